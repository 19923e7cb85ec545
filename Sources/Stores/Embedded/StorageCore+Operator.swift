internal import Idempotency

/// A listing in progress: it reads the records in steps between batches, since no second connection may read beside the
/// writer.
struct Listing {
    var filter: RecordFilter
    var address: ReplyAddress
    var cursor: UInt64 = 0
    var found: [RecordSummary] = []

    /// Rows come in the order of their expiry, so the oldest are known only at the end; no more than are asked for are
    /// kept.
    mutating func keepOldest() {
        found.sort { ($0.claimedAtMilliseconds, $0.epoch) < ($1.claimedAtMilliseconds, $1.epoch) }
        found.removeLast(max(0, found.count - max(0, filter.countMax)))
    }
}

extension StorageCore {
    func handleList(_ filter: RecordFilter, _ address: ReplyAddress) {
        commitChanges()
        guard engine != nil else { return refuse(address, .failed) }
        if let key = filter.key {
            let row = open[key]?.row ?? clearRow(key)?.row
            let summaries = row.flatMap { summary(of: $0, filter) }.map { [$0] } ?? []
            return outbox.add(address, .listed(summaries))
        }
        listings.append(Listing(filter: filter, address: address))
    }

    /// One step of the oldest listing. True while there is more to do.
    func continueListing() -> Bool {
        guard var listing = listings.first else { return false }
        guard let engine else {
            for listing in listings { refuse(listing.address, .failed) }
            listings = []
            return false
        }
        now = clock.milliseconds()
        do throws(StorageError) {
            let rows = try engine.rows(from: listing.cursor, to: .max >> 1, countMax: EmbeddedLimits.listStepMax)
            for stored in rows {
                guard let row = stored.clearRow else { continue }
                if let summary = summary(of: current(row), listing.filter) { listing.found.append(summary) }
            }
            listing.keepOldest()
            if let last = rows.last?.id { listing.cursor = last + 1 }
            if rows.count < EmbeddedLimits.listStepMax {
                outbox.add(listing.address, .listed(listing.found))
                listings.removeFirst()
            } else {
                listings[0] = listing
            }
        } catch {
            fail(error)
        }
        return !listings.isEmpty
    }

    private func current(_ row: RecordRow) -> RecordRow {
        guard let record = held[row.key], record.row.id == row.id else { return row }
        return record.row
    }

    private func summary(of row: RecordRow, _ filter: RecordFilter) -> RecordSummary? {
        let running = open[row.key].flatMap { $0.row.id == row.id ? $0 : nil }
        guard running != nil || now < row.expiresAtMilliseconds else { return nil }
        if let record = held[row.key], record.row.id == row.id, record.isFree { return nil }
        var summary = row.summary
        guard filter.takes(summary) else { return nil }
        summary.waiters = running?.machine.waiters.count ?? 0
        return summary
    }

    func handleResolve(_ key: RecordKey, _ resolution: Resolution, _ address: ReplyAddress) {
        commitChanges()
        guard engine != nil else { return outbox.add(address, .resolved(.failed(.failed))) }
        let running = open[key].map { (row: $0.row, isReadable: true) }
        guard let (row, isReadable) = running ?? clearRow(key) else {
            return outbox.add(address, .resolved(engine == nil ? .failed(.failed) : .notFound))
        }
        var machine = open[key]?.machine ?? row.machine
        switch machine.resolve(resolution, nowMilliseconds: now) {
        case .notFound: outbox.add(address, .resolved(.notFound))
        case .refused(let state): outbox.add(address, .resolved(.refused(state)))
        case .forgotten: amend(from: row, to: nil, reply: .resolved(address))
        case .answered:
            guard case .answer(let answer) = resolution else { return }
            // Its fingerprint would be lost.
            guard isReadable else { return outbox.add(address, .resolved(.failed(.corrupt))) }
            var amended = row
            amended.take(machine, nowMilliseconds: now, by: .operator)
            amend(from: row, to: amended, outcome: .answered(answer), reply: .resolved(address))
        }
    }
}

extension StorageCore {
    /// The record under a key as far as it stands clear.
    private func clearRow(_ key: RecordKey) -> (row: RecordRow, isReadable: Bool)? {
        switch standing(key) {
        case .row(let row): (row, true)
        case .unreadable(let row, _): (row, false)
        case .absent, .corrupt, .failed: nil
        }
    }
}

extension StoredRow {
    /// Nil where nothing of the row can be believed.
    var clearRow: RecordRow? {
        switch self {
        case .row(let row), .unreadable(let row, _): row
        case .corrupt, .absent: nil
        }
    }

    var id: UInt64? {
        switch self {
        case .row(let row), .unreadable(let row, _): row.id
        case .corrupt(let id): id
        case .absent: nil
        }
    }
}
