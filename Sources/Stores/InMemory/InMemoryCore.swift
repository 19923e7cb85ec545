internal import Idempotency

/// The in-memory store's state and rules, in the plainest form: other stores are tested against it.
final class InMemoryCore {
    private struct Record {
        var summary: RecordSummary
        var fingerprint: Fingerprint
        /// What ended it; nil while it is in flight.
        var outcome: Outcome?
        var waiters: [(claim: Claim, address: ReplyAddress)] = []
        var bytes: UInt64 = InMemoryCore.recordBytes
    }

    private static let recordBytes: UInt64 = 512

    private let clock: StoreClock
    private var outbox: ReplyOutbox
    private var records: [RecordKey: Record] = [:]
    /// Keys by the second after which they have expired.
    private var expiries: [UInt64: [RecordKey]] = [:]
    private var expiredThrough: UInt64 = 0
    private var epoch: UInt64 = 0
    private var now: UInt64 = 0
    private var isClosing = false
    private(set) var figures = StoreStatistics()

    init(bytesMax: UInt64, clock: StoreClock, deliver: @escaping ReplyOutbox.Deliver) {
        self.clock = clock
        outbox = ReplyOutbox(sink: deliver)
        figures.bytesMax = bytesMax
        now = clock.milliseconds()
        expiredThrough = now / 1000
    }

    func handle(_ requests: [StoreRequest]) {
        now = clock.milliseconds()
        for request in requests {
            switch request {
            case .claim(let claim, let address): handleClaim(claim, address)
            case .complete(let reference, let outcome, let address): handleComplete(reference, outcome, address)
            case .leave(let key, let address): records[key]?.waiters.removeAll { $0.address == address }
            case .delivered(let reference): handleDelivered(reference)
            case .list(let filter, let address): outbox.add(address, .listed(list(filter)))
            case .resolve(let key, let resolution, let address): outbox.add(address, .resolved(resolve(key, resolution)))
            }
        }
        outbox.deliver()
        figures.records = records.count
    }

    func close() {
        isClosing = true
        for key in Array(records.keys) {
            for waiter in records[key]?.waiters ?? [] { outbox.add(waiter.address, .refused(.closing)) }
            records[key]?.waiters = []
        }
        outbox.deliver()
    }

    // MARK: Claims

    private func handleClaim(_ claim: Claim, _ address: ReplyAddress) {
        figures.claims += 1
        guard !isClosing else { return outbox.add(address, .refused(.closing)) }
        guard let record = records[claim.key] else { return start(claim, address) }
        guard let outcome = record.outcome else { return join(claim, address, record) }
        guard now < record.summary.expiresAtMilliseconds else { return start(claim, address) }
        guard record.fingerprint == claim.fingerprint else { return outbox.add(address, .mismatch) }
        switch outcome {
        case .unknown(let cause):
            if claim.resendsUnknown { start(claim, address) } else { outbox.add(address, .unknown(cause)) }
        case .answered, .notKept:
            if claim.runsAfterDelivery && record.summary.isDelivered { return start(claim, address) }
            figures.replays += 1
            answer(address, outcome, record.summary.epoch)
        case .released:
            preconditionFailure("a released record stands")
        }
    }

    private func join(_ claim: Claim, _ address: ReplyAddress, _ record: Record) {
        guard record.fingerprint == claim.fingerprint else { return outbox.add(address, .mismatch) }
        guard claim.joins else { return outbox.add(address, .inFlight) }
        guard record.waiters.count < claim.waitersMax else { return outbox.add(address, .tooManyWaiters) }
        records[claim.key]?.waiters.append((claim, address))
        outbox.add(address, .joined)
    }

    /// Replaces whatever stands under the key.
    private func start(
        _ claim: Claim, _ address: ReplyAddress, waiters: [(claim: Claim, address: ReplyAddress)] = [], isPromotion: Bool = false
    ) {
        guard isPromotion || figures.bytesUsed < figures.bytesMax else {
            figures.refusedFull += 1
            return outbox.add(address, .refused(.full))
        }
        remove(claim.key)
        epoch += 1
        let (sum, overflows) = now.addingReportingOverflow(claim.retentionMilliseconds)
        let expiry = overflows ? UInt64.max : sum
        let summary = RecordSummary(
            key: claim.key, route: claim.route, kind: claim.kind, state: .inFlight, epoch: epoch, claimedAtMilliseconds: now,
            expiresAtMilliseconds: expiry)
        records[claim.key] = Record(summary: summary, fingerprint: claim.fingerprint, waiters: waiters)
        expiries[expiry / 1000, default: []].append(claim.key)
        figures.bytesUsed += Self.recordBytes
        figures.openClaims += 1
        outbox.add(address, .claimed(ClaimReference(key: claim.key, epoch: epoch)))
    }

    private func remove(_ key: RecordKey) {
        guard let record = records.removeValue(forKey: key) else { return }
        figures.bytesUsed -= record.bytes
        switch record.outcome {
        case nil: figures.openClaims -= 1
        case .unknown: figures.unknowns -= 1
        default: break
        }
    }

    private func answer(_ address: ReplyAddress, _ outcome: Outcome, _ epoch: UInt64) {
        switch outcome {
        case .answered(let answer): outbox.add(address, .recorded(answer, epoch: epoch))
        case .notKept(let tombstone): outbox.add(address, .notKept(tombstone))
        case .unknown(let cause): outbox.add(address, .unknown(cause))
        case .released: preconditionFailure("a release answers nobody")
        }
    }

    // MARK: Outcomes

    private func handleComplete(_ reference: ClaimReference, _ outcome: Outcome, _ address: ReplyAddress) {
        guard let record = records[reference.key], record.summary.epoch == reference.epoch, accepts(record, outcome) else {
            return outbox.add(address, .stored(.stale))
        }
        figures.completions += 1
        outbox.add(address, .stored(.durable))
        switch outcome {
        case .released:
            remove(reference.key)
            guard let first = record.waiters.first else { return }
            guard !isClosing else { return outbox.add(first.address, .refused(.closing)) }
            start(first.claim, first.address, waiters: Array(record.waiters.dropFirst()), isPromotion: true)
        case .unknown(let cause):
            set(reference.key, outcome)
            let resenders = record.waiters.filter(\.claim.resendsUnknown)
            for waiter in record.waiters where !waiter.claim.resendsUnknown { outbox.add(waiter.address, .unknown(cause)) }
            guard let first = resenders.first, !isClosing else { return }
            start(first.claim, first.address, waiters: Array(resenders.dropFirst()), isPromotion: true)
        case .answered, .notKept:
            set(reference.key, outcome)
            for waiter in record.waiters {
                figures.replays += 1
                answer(waiter.address, outcome, reference.epoch)
            }
        }
    }

    private func accepts(_ record: Record, _ outcome: Outcome) -> Bool {
        switch (record.outcome, outcome) {
        case (nil, _), (.unknown, .answered), (.unknown, .notKept): true
        default: false
        }
    }

    private func set(_ key: RecordKey, _ outcome: Outcome) {
        guard var record = records[key] else { return }
        if record.outcome == nil { figures.openClaims -= 1 }
        if case .unknown = record.outcome { figures.unknowns -= 1 }
        figures.bytesUsed -= record.bytes
        record.outcome = outcome
        record.waiters = []
        record.summary.unknownCause = nil
        switch outcome {
        case .answered(let answer):
            record.summary.state = .completed
            record.summary.status = answer.status
            record.summary.bodyBytes = UInt64(answer.body.count)
            record.bytes =
                Self.recordBytes + UInt64(answer.body.count + answer.fieldLines.count + answer.trailerLines.count)
        case .notKept(let tombstone):
            record.summary.state = .tombstone
            record.summary.status = tombstone.status
            record.summary.bodyBytes = tombstone.bodyBytes
        case .unknown(let cause):
            record.summary.state = .unknown
            record.summary.unknownCause = cause
            figures.unknowns += 1
        case .released:
            preconditionFailure("a release leaves no record")
        }
        figures.bytesUsed += record.bytes
        records[key] = record
    }

    private func handleDelivered(_ reference: ClaimReference) {
        guard let record = records[reference.key], record.summary.epoch == reference.epoch,
            record.summary.state == .completed || record.summary.state == .tombstone
        else { return }
        records[reference.key]?.summary.isDelivered = true
    }

    // MARK: Operators

    private func list(_ filter: RecordFilter) -> [RecordSummary] {
        var found: [RecordSummary] = []
        for (key, record) in records where filter.key == nil || filter.key == key {
            var summary = record.summary
            guard summary.state == .inFlight || now < summary.expiresAtMilliseconds,
                filter.states?.contains(summary.state) ?? true, filter.route ?? summary.route == summary.route
            else { continue }
            summary.waiters = record.waiters.count
            found.append(summary)
        }
        found.sort { ($0.claimedAtMilliseconds, $0.epoch) < ($1.claimedAtMilliseconds, $1.epoch) }
        return Array(found.prefix(filter.countMax))
    }

    private func resolve(_ key: RecordKey, _ resolution: Resolution) -> ResolveResult {
        guard let record = records[key] else { return .notFound }
        guard record.outcome != nil else { return .refused(.inFlight) }
        guard now < record.summary.expiresAtMilliseconds else { return .notFound }
        let isUnknown = record.summary.state == .unknown
        switch resolution {
        case .answer(let answer):
            guard isUnknown else { return .refused(record.summary.state) }
            set(key, .answered(answer))
        case .release:
            guard isUnknown else { return .refused(record.summary.state) }
            remove(key)
        case .forget:
            remove(key)
        }
        return .done
    }

    // MARK: Expiry

    func expire() {
        now = clock.milliseconds()
        let second = now / 1000
        guard second > expiredThrough else { return }
        let due = expiries.keys.filter { $0 < second }
        for expired in due {
            for key in expiries.removeValue(forKey: expired) ?? [] {
                guard let record = records[key], record.summary.expiresAtMilliseconds <= now else { continue }
                guard record.outcome != nil else {
                    // A claim does not expire while its owner runs: looked at again later.
                    expiries[second, default: []].append(key)
                    continue
                }
                remove(key)
                figures.expired += 1
            }
        }
        expiredThrough = second
        figures.records = records.count
    }
}
