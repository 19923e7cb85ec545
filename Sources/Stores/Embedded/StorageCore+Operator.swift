internal import Idempotency

/// A listing in progress: it reads the records in steps between batches, since no second connection may read beside the writer.
struct Listing {
    var filter: RecordFilter
    var address: ReplyAddress
    var cursor: UInt64 = 0
    var found: [RecordSummary] = []
}

extension StorageCore {
    func handleList(_ filter: RecordFilter, _ address: ReplyAddress) {
        commitChanges()
        guard engine != nil else { return refuse(address, .failed) }
        if let key = filter.key {
            let row = open[key]?.row ?? standingRow(key)
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
            for case .row(let row) in rows where listing.found.count < listing.filter.countMax {
                if let summary = summary(of: current(row), listing.filter) { listing.found.append(summary) }
            }
            if let last = rows.last?.id { listing.cursor = last + 1 }
            if rows.count < EmbeddedLimits.listStepMax || listing.found.count >= listing.filter.countMax {
                listing.found.sort { ($0.claimedAtMilliseconds, $0.epoch) < ($1.claimedAtMilliseconds, $1.epoch) }
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
        if let states = filter.states, !states.contains(row.state) { return nil }
        if let route = filter.route, route != row.route { return nil }
        var summary = row.summary
        summary.waiters = running?.waiters.count ?? 0
        return summary
    }

    func handleResolve(_ key: RecordKey, _ resolution: Resolution, _ address: ReplyAddress) {
        commitChanges()
        guard engine != nil else { return outbox.add(address, .resolved(.failed(.failed))) }
        if open[key] != nil { return outbox.add(address, .resolved(.refused(.inFlight))) }
        guard let row = standingRow(key), now < row.expiresAtMilliseconds else {
            return outbox.add(address, .resolved(engine == nil ? .failed(.failed) : .notFound))
        }
        switch resolution {
        case .answer(let answer):
            guard row.state == .unknown else { return outbox.add(address, .resolved(.refused(row.state))) }
            var amended = row
            let octets = amended.apply(.answered(answer))
            amend(from: row, to: amended, answer: .answered(answer), octets: octets, reply: .resolved(address))
        case .release:
            guard row.state == .unknown else { return outbox.add(address, .resolved(.refused(row.state))) }
            amend(from: row, to: nil, answer: nil, octets: nil, reply: .resolved(address))
        case .forget:
            amend(from: row, to: nil, answer: nil, octets: nil, reply: .resolved(address))
        }
    }
}

extension StoredRow {
    var id: UInt64? {
        switch self {
        case .row(let row): row.id
        case .corrupt(let id): id
        case .absent: nil
        }
    }
}
