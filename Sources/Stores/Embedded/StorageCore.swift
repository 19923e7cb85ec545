internal import Idempotency
internal import Transport

/// The embedded store's state and decisions. Everything here runs on the storage queue.
///
/// A batch is decided in memory, with reads where the memory does not suffice; what can be answered is answered; then
/// all changes are committed as one; then their replies go out. A request for a key with an uncommitted change waits
/// for that commit first, except that a claim may join one that is being claimed.
final class StorageCore {
    let options: EmbeddedStoreOptions
    let clock: StoreClock
    /// Tells rows of this process from those of earlier ones.
    let owner: UInt64
    let marks: SendMarks
    let database: String
    /// Held until the store is closed.
    private var directory: StoreDirectory?
    /// Called with the figures before replies go out, so that who has a reply finds it counted.
    var onPublish: (StoreStatistics) -> Void = { _ in }
    /// The store went down.
    var onFailure: (StorageError) -> Void = { _ in }

    /// Nil while the store is down.
    var engine: (any StorageEngine)?
    /// Nil: records are written plain. The engine has the same.
    var sealer: RecordSealer?
    /// Keys that records need and the ring has not, as far as they were reported.
    var missingKeys: Set<KeyRing.KeyID> = []
    @exclusivity(unchecked) var index = RecordIndex()
    @exclusivity(unchecked) var cache: RecordCache
    @exclusivity(unchecked) var open: [RecordKey: OpenClaim] = [:]
    /// Claims of this process whose outcome could not be stored, though their rows still say in flight.
    @exclusivity(unchecked) var held: [RecordKey: HeldRecord] = [:]
    var listings: [Listing] = []
    /// By epoch.
    @exclusivity(unchecked) var bodies: [UInt64: OpenBody] = [:]
    var doomed: [DoomedBody] = []

    @exclusivity(unchecked) var changes: [Change] = []
    /// Keys changed by `.amend` in this batch.
    @exclusivity(unchecked) var amendedKeys: Set<RecordKey> = []
    @exclusivity(unchecked) var changeBytes = 0
    @exclusivity(unchecked) var outbox: ReplyOutbox
    @exclusivity(unchecked) var figures = StoreStatistics()
    @exclusivity(unchecked) var now: UInt64 = 0
    private let openedAt: UInt64
    var isClosing = false

    @exclusivity(unchecked) private var sequence: UInt32
    /// Ids of this second and earlier ones may be taken already.
    private var takenThroughSecond: UInt64
    private var latestSecond: UInt64 = 0
    var commitsSinceMeasurement = 0
    var expiryCursor: UInt64 = 0
    var pieceCursor: UInt64 = 0

    init(opened: consuming OpenedStore, options: EmbeddedStoreOptions, deliver: @escaping ReplyOutbox.Deliver) {
        self.options = options
        clock = opened.clock
        owner = opened.owner
        marks = opened.marks
        index = opened.index
        engine = opened.engine
        sealer = opened.sealer
        sequence = UInt32(truncatingIfNeeded: opened.lastID & 0xFF_FFFF)
        takenThroughSecond = opened.lastID >> 24
        figures.unknowns = opened.unknowns
        doomed = opened.looseBodies.map { DoomedBody(id: $0, dueMilliseconds: 0) }
        database = opened.directory.database
        directory = consume opened.directory
        cache = RecordCache(bytesMax: options.cacheBytesMax)
        outbox = ReplyOutbox(sink: deliver)
        figures.bytesMax = options.bytesMax
        openedAt = clock.milliseconds()
        now = openedAt
        measure()
        publish()
    }

    deinit {
        // The directory is held for as long as its files are open.
        engine = nil
        directory = nil
    }

    /// Decides requests; `finishBatch` makes them durable.
    func handle(_ requests: [StoreRequest]) {
        now = clock.milliseconds()
        for request in requests {
            switch request {
            case .claim(let claim, let address): handleClaim(claim, address)
            case .complete(let reference, let outcome, let address): handleComplete(reference, outcome, address)
            case .settle(let reference, let outcome, let address): handleSettle(reference, outcome, address)
            case .appendBody(let reference, let octets, let address): handleAppend(reference, octets, address)
            case .readBody(let reference, let offset, let countMax, let address):
                handleRead(reference, from: offset, countMax: countMax, address)
            case .leave(let key, let address): handleLeave(key, address)
            case .delivered(let reference): handleDelivered(reference)
            case .undelivered(let reference): handleUndelivered(reference)
            case .list(let filter, let address): handleList(filter, address)
            case .resolve(let key, let resolution, let address): handleResolve(key, resolution, address)
            }
            if changes.count >= EmbeddedLimits.transactionChangesMax
                || changeBytes >= EmbeddedLimits.transactionBytesMax
            {
                commitChanges()
            }
        }
    }

    /// Answers what needs no commit, commits the rest, answers that.
    func finishBatch() {
        deliver()
        // Waiters that run again what has become unknown make changes of their own.
        while !changes.isEmpty {
            commitChanges()
            deliver()
        }
        tidy()
    }

    /// Sends the replies that are ready.
    func deliver() {
        publish()
        outbox.deliver()
    }

    func publish() {
        figures.isUp = engine != nil
        figures.records = index.count
        figures.openClaims = open.count
        onPublish(figures)
    }

    func giveUpDirectory() {
        directory = nil
    }

    // MARK: Claims

    private func handleClaim(_ claim: Claim, _ address: ReplyAddress) {
        figures.claims &+= 1
        guard !isClosing else { return refuse(address, .closing) }
        if isChanging(claim.key) { commitChanges() }
        decide(claim, address, isWaiting: false)
    }

    /// Whether what stands under the key waits for a commit; a claim that waits for it can be joined all the same.
    func isChanging(_ key: RecordKey) -> Bool {
        if let running = open[key] { return running.phase == .completing }
        return !amendedKeys.isEmpty && amendedKeys.contains(key)
    }

    /// No change of the key is pending, except that its claim may be. `isWaiting`: it has been told that it joined.
    func decide(_ claim: Claim, _ address: ReplyAddress, isWaiting: Bool) {
        guard engine != nil else { return refuse(address, .failed) }
        if let running = open[claim.key] {
            let action = running.machine.claim(claim, from: address, newEpoch: 0, nowMilliseconds: now)
            if action == .joined { running.resenders.note(claim, address) }
            return perform(action, claim, address, running.row, isWaiting: isWaiting)
        }
        if !held.isEmpty, let record = held[claim.key] {
            return decide(claim, address, standing: record.row, isFree: record.isFree, isWaiting: isWaiting)
        }
        // Most claims are new, and the index alone knows that.
        guard index.contains(hash: claim.key.indexHash) else {
            return decide(claim, address, standing: nil, isWaiting: isWaiting)
        }
        if let row = cache.row(of: claim.key) {
            return decide(claim, address, standing: row, isWaiting: isWaiting)
        }
        switch findRow(claim.key) {
        case .absent: decide(claim, address, standing: nil, isWaiting: isWaiting)
        case .row(let row): decide(claim, address, standing: row, isWaiting: isWaiting)
        case .unreadable(let row, let error):
            guard row.machine.hasExpired(now) else { return refuseUnreadable(claim.key, error, address) }
            decide(claim, address, standing: row, isWaiting: isWaiting)
        case .corrupt: refuse(address, .corrupt)
        case .failed: refuse(address, .failed)
        }
    }

    private func decide(
        _ claim: Claim, _ address: ReplyAddress, standing row: RecordRow?, isFree: Bool = false, isWaiting: Bool
    ) {
        if let row, row.state == .inFlight {
            // Neither open nor held, so its owner is gone. Opening resolves these; to guess otherwise would run it
            // twice.
            return outbox.add(address, .unknown(unknown(row, .ownerDied)))
        }
        let standing = isFree ? RecordMachine() : row?.machine ?? RecordMachine()
        var machine = standing
        var id = nextID(expiresAtMilliseconds: expiry(after: claim.lifetime(nowMilliseconds: now)))
        let action = machine.claim(claim, from: address, newEpoch: id, nowMilliseconds: now)
        guard case .claim = action else { return perform(action, claim, address, row, isWaiting: isWaiting) }
        while isTaken(id) {
            machine = standing
            id = nextID(expiresAtMilliseconds: expiry(after: claim.lifetime(nowMilliseconds: now)))
            _ = machine.claim(claim, from: address, newEpoch: id, nowMilliseconds: now)
        }
        guard open.count < options.openClaimsMax, !isOver(options.claimBytesMax) else { return refuse(address, .full) }
        let running = OpenClaim(machine: machine, row: makeRow(claim, id), address: address)
        open[claim.key] = running
        changes.append(.claim(running, replaced: row))
        changeBytes += RecordRow.bytesMax
    }

    /// Everything but a claim.
    private func perform(
        _ action: RecordMachine.ClaimAction, _ claim: Claim, _ address: ReplyAddress, _ row: RecordRow?, isWaiting: Bool
    ) {
        switch action {
        case .claim: preconditionFailure("a claim is started where its row is made")
        case .joined: if !isWaiting { outbox.add(address, .joined) }
        case .inFlight: outbox.add(address, .inFlight)
        case .tooManyWaiters: outbox.add(address, .tooManyWaiters)
        case .mismatch: outbox.add(address, .mismatch)
        case .tooLate: outbox.add(address, .tooLate)
        case .unknown(let cause): if let row { outbox.add(address, .unknown(unknown(row, cause))) }
        case .replay, .notKept: if let row { replay(row, address) }
        }
    }

    /// Counted within this process only: nobody may have set the clock meanwhile.
    func unknown(_ row: RecordRow, _ cause: UnknownCause) -> UnknownOutcome {
        let since = max(row.history?.unknownAtMilliseconds ?? 0, openedAt)
        return UnknownOutcome(cause: cause, epoch: row.id, ageMilliseconds: now - min(now, since))
    }

    private func makeRow(_ claim: Claim, _ id: UInt64) -> RecordRow {
        RecordRow(
            id: id, key: claim.key, fingerprint: claim.fingerprint, state: .inFlight, kind: claim.kind, cause: nil,
            durability: claim.durability, owner: owner, claimedAtMilliseconds: now,
            expiresAtMilliseconds: expiry(after: claim.lifetime(nowMilliseconds: now)), markSlot: marks.take(epoch: id),
            route: claim.route)
    }

    private func expiry(after retentionMilliseconds: UInt64) -> UInt64 {
        let (sum, overflows) = now.addingReportingOverflow(retentionMilliseconds)
        return overflows ? EmbeddedStore.timeMax : min(sum, EmbeddedStore.timeMax)
    }

    private func nextID(expiresAtMilliseconds: UInt64) -> UInt64 {
        let second = expiresAtMilliseconds / 1000
        latestSecond = max(latestSecond, second)
        sequence = (sequence &+ 1) & 0xFF_FFFF
        if sequence == 0 { takenThroughSecond = max(takenThroughSecond, latestSecond) }
        return second << 24 | UInt64(sequence)
    }

    /// Ids differ by their second or their sequence number. Both can only meet those of an earlier process, or of this
    /// one 16 million claims ago; there the table is asked.
    private func isTaken(_ id: UInt64) -> Bool {
        guard id >> 24 <= takenThroughSecond, let engine else { return id == 0 }
        // An error shows again in the commit.
        guard let stored = try? engine.read(id), case .absent = stored else { return self.engine != nil }
        return id == 0
    }

    func refuse(_ address: ReplyAddress, _ refusal: StoreRefusal) {
        switch refusal {
        case .full, .diskFull: figures.refusedFull &+= 1
        case .corrupt: figures.corruptRecords &+= 1
        case .failed, .closing: break
        }
        outbox.add(address, .refused(refusal))
    }

    // MARK: Outcomes

    private func handleComplete(_ reference: ClaimReference, _ outcome: Outcome, _ address: ReplyAddress) {
        if isChanging(reference.key) { commitChanges() }
        if let running = open[reference.key] {
            guard running.row.id == reference.epoch, running.phase == .running else {
                return outbox.add(address, .stored(.stale))
            }
            return complete(running, outcome, address)
        }
        completeLate(reference, outcome, by: .lateAnswer, address)
    }

    private func handleSettle(_ reference: ClaimReference, _ outcome: Outcome, _ address: ReplyAddress) {
        if isChanging(reference.key) { commitChanges() }
        guard open[reference.key] == nil else { return outbox.add(address, .stored(.stale)) }
        completeLate(reference, outcome, by: .probe, address)
    }

    private func complete(_ running: OpenClaim, _ outcome: Outcome, _ address: ReplyAddress) {
        let row = running.row
        let retention = row.expiresAtMilliseconds &- row.claimedAtMilliseconds
        let nextExpiry = expiry(after: retention)
        var nextEpoch: UInt64 = 0
        if !running.machine.waiters.isEmpty {
            repeat { nextEpoch = nextID(expiresAtMilliseconds: nextExpiry) } while isTaken(nextEpoch)
        }
        let action = running.machine.complete(
            RecordMachine.Ending(outcome), epoch: row.id, nextEpoch: nextEpoch, nextExpiresAtMilliseconds: nextExpiry)
        var pending = PendingOutcome(outcome: outcome, address: address)
        switch action {
        case .stale: return outbox.add(address, .stored(.stale))
        case .freed: break
        case .handedOver(let next):
            var nextRow = row
            nextRow.id = nextEpoch
            nextRow.claimedAtMilliseconds = now
            nextRow.expiresAtMilliseconds = nextExpiry
            nextRow.markSlot = marks.take(epoch: nextEpoch)
            let successor = OpenClaim(machine: running.machine, row: nextRow, address: next)
            successor.resenders = running.resenders
            pending.successor = successor
        case .settled(let waiters):
            var settled = row
            settled.take(running.machine, nowMilliseconds: now)
            pending.waiters = waiters
            guard attachBody(outcome, to: &settled) else { return hold(running, pending, .failed) }
            do throws(RecordCodingError) {
                pending.octets = try settled.encode(outcome, isSealed: sealer != nil)
            } catch {
                return hold(running, pending, .failed)
            }
            pending.row = settled
        }
        guard engine != nil else { return hold(running, pending, .failed) }
        running.phase = .completing
        changes.append(.outcome(running, pending))
        changeBytes += (pending.octets?.count ?? 0) + RecordRow.bytesMax
    }

    /// What became of a claim whose outcome was given as unknown.
    private func completeLate(
        _ reference: ClaimReference, _ outcome: Outcome, by settlement: Settlement, _ address: ReplyAddress
    ) {
        guard engine != nil else { return outbox.add(address, .stored(.failed(.failed))) }
        let row: RecordRow
        switch standing(reference.key) {
        case .row(let found) where found.state == .unknown: row = found
        case .row, .absent: return outbox.add(address, .stored(.stale))
        case .unreadable, .corrupt: return outbox.add(address, .stored(.failed(.corrupt)))
        case .failed: return outbox.add(address, .stored(.failed(.failed)))
        }
        var machine = row.machine
        let action = machine.complete(
            RecordMachine.Ending(outcome), epoch: reference.epoch, nextEpoch: 0, nextExpiresAtMilliseconds: 0)
        switch action {
        case .stale, .handedOver: outbox.add(address, .stored(.stale))
        case .freed: amend(from: row, to: nil, reply: .stored(address))
        case .settled:
            var amended = row
            amended.take(machine, nowMilliseconds: now, by: settlement)
            guard amended != row else { return outbox.add(address, .stored(.durable)) }
            amend(from: row, to: amended, outcome: outcome, reply: .stored(address))
        }
    }

    /// Changes a record that no running claim owns.
    func amend(from: RecordRow, to: RecordRow?, outcome: Outcome? = nil, reply: AmendReply) {
        var to = to
        var octets: [UInt8]?
        var answer: RecordedAnswer?
        if let outcome {
            if var row = to {
                guard attachBody(outcome, to: &row) else {
                    return failed(.amend(from: from, to: row, answer: nil, octets: nil, reply: reply), .failed)
                }
                to = row
            }
            if case .answered(let recorded) = outcome { answer = recorded }
            do throws(RecordCodingError) {
                octets = try to?.encode(outcome, isSealed: sealer != nil)
            } catch {
                return failed(.amend(from: from, to: to, answer: nil, octets: nil, reply: reply), .failed)
            }
        }
        changes.append(.amend(from: from, to: to, answer: answer, octets: octets, reply: reply))
        amendedKeys.insert(from.key)
        changeBytes += (octets?.count ?? 0) + RecordRow.bytesMax
    }

    private func handleLeave(_ key: RecordKey, _ address: ReplyAddress) {
        if isChanging(key) { commitChanges() }
        _ = open[key]?.machine.leave(address)
    }

    private func handleDelivered(_ reference: ClaimReference) {
        if isChanging(reference.key) { commitChanges() }
        guard engine != nil, open[reference.key] == nil, let row = standingRow(reference.key) else { return }
        var machine = row.machine
        guard machine.delivered(epoch: reference.epoch) else { return }
        var amended = row
        amended.take(machine, nowMilliseconds: now)
        amend(from: row, to: amended, reply: .none)
    }

    private func handleUndelivered(_ reference: ClaimReference) {
        if isChanging(reference.key) { commitChanges() }
        guard open[reference.key] == nil else {
            // Its row says so when the outcome is stored.
            _ = open[reference.key]?.machine.undelivered(epoch: reference.epoch)
            return
        }
        guard engine != nil, let row = standingRow(reference.key) else { return }
        var machine = row.machine
        guard machine.undelivered(epoch: reference.epoch) else { return }
        var amended = row
        amended.take(machine, nowMilliseconds: now)
        amend(from: row, to: amended, reply: .none)
    }
}
