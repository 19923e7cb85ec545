internal import Idempotency

/// The in-memory store's state. The rules are the domain's RecordMachine; what it decides takes effect at once.
final class InMemoryCore {
    private final class Record {
        var machine: RecordMachine
        var summary: RecordSummary
        var resenders = Resenders()
        var outcome: RecordedOutcome?
        var bytes = InMemoryCore.recordBytes

        init(machine: RecordMachine, summary: RecordSummary) {
            self.machine = machine
            self.summary = summary
        }

        /// Takes over what the machine knows of the answer's delivery.
        func noteDelivery() {
            summary.isDelivered = machine.isDelivered
            summary.isUndelivered = machine.isUndelivered
        }

        /// Whether the claim of this epoch is open, or its outcome unknown.
        func takesOutcome(_ reference: ClaimReference) -> Bool {
            guard machine.epoch == reference.epoch else { return false }
            switch machine.state {
            case .inFlight, .unknown: return true
            case .absent, .completed, .tombstone: return false
            }
        }
    }

    /// What a record takes beside its answer.
    private static let recordBytes: UInt64 = 512

    private let clock: StoreClock
    private var outbox: ReplyOutbox
    private var records: [RecordKey: Record] = [:]
    /// Keys by the second in which they expire.
    private var expiries: [UInt64: [RecordKey]] = [:]
    private var bodies = InMemoryBodies()
    private var sequence: UInt64 = 0
    private var now: UInt64 = 0
    private var isClosing = false
    private(set) var figures = StoreStatistics()

    init(bytesMax: UInt64, clock: StoreClock, deliver: @escaping ReplyOutbox.Deliver) {
        self.clock = clock
        outbox = ReplyOutbox(sink: deliver)
        figures.bytesMax = bytesMax
    }

    func handle(_ requests: [StoreRequest]) {
        now = clock.milliseconds()
        for request in requests {
            switch request {
            case .claim(let claim, let address):
                figures.claims += 1
                handleClaim(claim, address, isWaiting: false)
            case .complete(let reference, let outcome, let address):
                handleComplete(reference, outcome, by: .lateAnswer, address)
            case .settle(let reference, let outcome, let address):
                guard records[reference.key]?.summary.state == .unknown else {
                    outbox.add(address, .stored(.stale))
                    continue
                }
                handleComplete(reference, outcome, by: .probe, address)
            case .appendBody(let reference, let octets, let address):
                outbox.add(address, .body(append(reference, octets)))
            case .readBody(let reference, let offset, let countMax, let address):
                outbox.add(address, .body(read(reference, from: offset, countMax: countMax)))
            case .leave(let key, let address):
                _ = records[key]?.machine.leave(address)
            case .delivered(let reference):
                guard let record = records[reference.key] else { continue }
                if record.machine.delivered(epoch: reference.epoch) { record.noteDelivery() }
            case .undelivered(let reference):
                guard let record = records[reference.key] else { continue }
                if record.machine.undelivered(epoch: reference.epoch) { record.noteDelivery() }
            case .list(let filter, let address):
                outbox.add(address, .listed(list(filter)))
            case .resolve(let key, let resolution, let address):
                outbox.add(address, .resolved(resolve(key, resolution)))
            }
        }
        figures.records = records.count
    }

    func deliver() {
        outbox.deliver()
    }

    func close() {
        isClosing = true
        for record in records.values where record.machine.state == .inFlight {
            for waiter in record.machine.waiters { outbox.add(waiter, .refused(.closing)) }
        }
        records = [:]
        bodies = InMemoryBodies()
        outbox.deliver()
    }

    // MARK: Claims

    private func handleClaim(_ claim: Claim, _ address: ReplyAddress, isWaiting: Bool) {
        guard !isClosing else { return outbox.add(address, .refused(.closing)) }
        let record = records[claim.key]
        var machine = record?.machine ?? RecordMachine()
        let newEpoch = nextEpoch(expiresAtMilliseconds: time(after: claim.lifetime(nowMilliseconds: now)))
        let action = machine.claim(claim, from: address, newEpoch: newEpoch, nowMilliseconds: now)
        switch action {
        case .claim:
            guard figures.bytesUsed < figures.bytesMax else {
                figures.refusedFull += 1
                return outbox.add(address, .refused(.full))
            }
            let end = min(now, record?.summary.expiresAtMilliseconds ?? now)
            remove(claim.key, bodyUntil: end &+ StoredBody.graceMilliseconds)
            start(machine, claim.key, route: claim.route, address)
        case .joined:
            record?.machine = machine
            record?.resenders.note(claim, address)
            if !isWaiting { outbox.add(address, .joined) }
        case .inFlight: outbox.add(address, .inFlight)
        case .tooManyWaiters: outbox.add(address, .tooManyWaiters)
        case .mismatch: outbox.add(address, .mismatch)
        case .tooLate: outbox.add(address, .tooLate)
        case .unknown(let cause): if let record { outbox.add(address, .unknown(unknown(record, cause))) }
        case .replay, .notKept:
            if let record, let outcome = record.outcome { replay(outcome, record, address) }
        }
    }

    /// The second of the expiry, then a number that is never the same for one second.
    private func nextEpoch(expiresAtMilliseconds: UInt64) -> UInt64 {
        sequence = (sequence &+ 1) & 0xFF_FFFF
        return (expiresAtMilliseconds / 1000) << 24 | sequence
    }

    private func time(after milliseconds: UInt64) -> UInt64 {
        let (sum, overflows) = now.addingReportingOverflow(milliseconds)
        return overflows ? .max : sum
    }

    private func start(_ machine: RecordMachine, _ key: RecordKey, route: String, _ address: ReplyAddress) {
        let epoch = machine.epoch
        let summary = RecordSummary(
            key: key, route: route, kind: machine.kind, state: .inFlight, epoch: epoch, claimedAtMilliseconds: now,
            expiresAtMilliseconds: machine.expiresAtMilliseconds)
        records[key] = Record(machine: machine, summary: summary)
        records[key]?.machine.claimStored(epoch: epoch)
        expiries[machine.expiresAtMilliseconds / 1000, default: []].append(key)
        figures.bytesUsed += Self.recordBytes
        figures.openClaims += 1
        outbox.add(address, .claimed(ClaimReference(key: key, epoch: epoch)))
    }

    /// `bodyUntil`: how long a recorded body can still be read.
    private func remove(_ key: RecordKey, bodyUntil: UInt64 = 0) {
        guard let record = records.removeValue(forKey: key) else { return }
        figures.bytesUsed -= bodies.forget(record.summary.epoch, until: bodyUntil)
        figures.bytesUsed -= record.bytes
        count(record.summary.state, -1)
    }

    private func count(_ state: RecordState, _ change: Int) {
        switch state {
        case .inFlight: figures.openClaims += change
        case .unknown: figures.unknowns += change
        case .completed, .tombstone: break
        }
    }

    private func replay(_ outcome: RecordedOutcome, _ record: Record, _ address: ReplyAddress) {
        switch outcome {
        case .answered(let answer):
            figures.replays += 1
            var handedOut = answer
            handedOut.isKnownLost = record.summary.isUndelivered
            outbox.add(address, .recorded(handedOut, epoch: record.summary.epoch))
        case .notKept(let tombstone):
            outbox.add(address, .notKept(tombstone))
        }
    }

    // MARK: Outcomes

    /// `settlement`: who makes known what is unknown by this.
    private func handleComplete(
        _ reference: ClaimReference, _ outcome: Outcome, by settlement: Settlement, _ address: ReplyAddress
    ) {
        guard let record = records[reference.key] else { return outbox.add(address, .stored(.stale)) }
        let summary = record.summary
        if record.takesOutcome(reference), case .answered(let answer) = outcome,
            !bodies.holds(reference.epoch, answer.storedBodyBytes)
        {
            outbox.add(address, .stored(.failed(.failed)))
            return loseOutcome(record, reference)
        }
        let retention = summary.expiresAtMilliseconds - summary.claimedAtMilliseconds
        let nextExpiry = time(after: retention)
        let action = record.machine.complete(
            RecordMachine.Ending(outcome), epoch: reference.epoch,
            nextEpoch: nextEpoch(expiresAtMilliseconds: nextExpiry), nextExpiresAtMilliseconds: nextExpiry)
        guard action != .stale else { return outbox.add(address, .stored(.stale)) }
        figures.completions += 1
        outbox.add(address, .stored(.durable))
        switch action {
        case .stale: break
        case .freed: remove(reference.key)
        case .handedOver(let next):
            remove(reference.key)
            start(record.machine, reference.key, route: summary.route, next)
            records[reference.key]?.resenders = record.resenders
        case .settled(let waiters):
            settle(record, outcome, by: settlement)
            settleBody(record, outcome)
            for waiter in waiters { answer(waiter, outcome, record) }
        }
    }

    /// The answer speaks of a body that was not stored.
    private func loseOutcome(_ record: Record, _ reference: ClaimReference) {
        // A late answer that is lost leaves what is unknown as it is.
        guard record.machine.state == .inFlight,
            case .settled(let waiters) = record.machine.complete(
                .unknown(.notStored), epoch: reference.epoch, nextEpoch: 0, nextExpiresAtMilliseconds: 0)
        else { return }
        settle(record, .unknown(.notStored))
        for waiter in waiters { outbox.add(waiter, .unknown(unknown(record, .notStored))) }
    }

    private func settleBody(_ record: Record, _ outcome: Outcome) {
        switch outcome {
        case .answered(let answer) where answer.storedBodyBytes > 0: bodies.record(record.summary.epoch)
        // A late answer may follow.
        case .unknown: break
        case .answered, .notKept, .released: figures.bytesUsed -= bodies.forget(record.summary.epoch, until: 0)
        }
    }

    private func append(_ reference: ClaimReference, _ octets: [UInt8]) -> StoredBody.Result {
        guard !isClosing else { return .refused(.closing) }
        guard records[reference.key]?.takesOutcome(reference) == true else { return .stale }
        guard octets.isEmpty || figures.bytesUsed < figures.bytesMax else {
            figures.refusedFull += 1
            bodies.lose(reference)
            return .refused(.full)
        }
        guard let bytes = bodies.append(reference, octets) else { return .refused(.failed) }
        figures.bytesUsed += UInt64(octets.count)
        return .appended(bodyBytes: bytes)
    }

    private func read(_ reference: ClaimReference, from offset: UInt64, countMax: Int) -> StoredBody.Result {
        guard !isClosing else { return .refused(.closing) }
        return bodies.read(reference, from: offset, countMax: countMax).map { .octets($0) } ?? .stale
    }

    private func answer(_ waiter: ReplyAddress, _ outcome: Outcome, _ record: Record) {
        if let recorded = record.outcome { return replay(recorded, record, waiter) }
        guard case .unknown(let cause) = outcome else { return }
        if let claim = record.resenders.claim(of: waiter) {
            handleClaim(claim, waiter, isWaiting: true)
        } else {
            outbox.add(waiter, .unknown(unknown(record, cause)))
        }
    }

    private func unknown(_ record: Record, _ cause: UnknownCause) -> UnknownOutcome {
        let since = record.summary.unknownAtMilliseconds
        return UnknownOutcome(
            cause: cause, epoch: record.summary.epoch, ageMilliseconds: now - min(now, since))
    }

    /// Takes over the machine's state and what the outcome carries.
    private func settle(_ record: Record, _ outcome: Outcome, by settlement: Settlement? = nil) {
        guard let state = record.machine.recordState else { return }
        if record.summary.state == .unknown, state != .unknown {
            record.summary.settledAtMilliseconds = now
            record.summary.settlement = settlement
        }
        count(record.summary.state, -1)
        count(state, 1)
        record.summary.state = state
        record.noteDelivery()
        if case .unknown(let cause) = record.machine.state, record.summary.unknownCause == nil {
            record.summary.unknownCause = cause
            record.summary.unknownAtMilliseconds = now
        }
        switch outcome {
        case .answered(let answer):
            record.outcome = .answered(answer)
            record.summary.status = answer.status
            record.summary.bodyBytes = answer.bodyBytes
            let bytes = UInt64(answer.body.count + answer.fieldLines.count + answer.trailerLines.count)
            record.bytes += bytes
            figures.bytesUsed += bytes
        case .notKept(let tombstone):
            record.outcome = .notKept(tombstone)
            record.summary.status = tombstone.status
            record.summary.bodyBytes = tombstone.bodyBytes
        case .unknown, .released:
            break
        }
    }

    // MARK: Operators

    private func list(_ filter: RecordFilter) -> [RecordSummary] {
        var found: [RecordSummary] = []
        for record in records.values where filter.takes(record.summary) {
            var summary = record.summary
            guard !record.machine.hasExpired(now) else { continue }
            summary.waiters = record.machine.waiters.count
            found.append(summary)
        }
        found.sort { ($0.claimedAtMilliseconds, $0.epoch) < ($1.claimedAtMilliseconds, $1.epoch) }
        return Array(found.prefix(max(0, filter.countMax)))
    }

    private func resolve(_ key: RecordKey, _ resolution: Resolution) -> ResolveResult {
        guard let record = records[key] else { return .notFound }
        let before = record.machine
        let summary = record.summary
        switch record.machine.resolve(resolution, nowMilliseconds: now) {
        case .notFound: return .notFound
        case .refused(let state): return .refused(state)
        case .forgotten:
            remove(key)
            return .done(summary)
        case .answered:
            guard case .answer(let answer) = resolution, bodies.holds(record.summary.epoch, answer.storedBodyBytes)
            else {
                record.machine = before
                return .failed(.failed)
            }
            settle(record, .answered(answer), by: .operator)
            settleBody(record, .answered(answer))
            return .done(summary)
        }
    }

    // MARK: Expiry

    func expire() {
        now = clock.milliseconds()
        let second = now / 1000
        for due in expiries.keys.filter({ $0 < second }) {
            for key in expiries.removeValue(forKey: due) ?? [] {
                guard let record = records[key], record.summary.expiresAtMilliseconds <= now else { continue }
                guard record.machine.expire(nowMilliseconds: now) else {
                    // A claim does not expire while its owner runs: looked at again in the next second.
                    expiries[second, default: []].append(key)
                    continue
                }
                remove(key, bodyUntil: record.summary.expiresAtMilliseconds &+ StoredBody.graceMilliseconds)
                figures.expired += 1
            }
        }
        figures.bytesUsed -= bodies.expire(now)
        figures.records = records.count
    }
}
