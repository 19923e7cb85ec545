internal import Idempotency
internal import Transport

/// The embedded store's state and decisions. Everything here runs on the storage queue.
///
/// A batch is decided in memory, with reads where the memory does not suffice; what can be answered is answered; then all changes are
/// committed as one; then their replies go out. A request for a key with an uncommitted change waits for that commit first, except that
/// a claim may join one that is being claimed.
final class StorageCore {
    let options: EmbeddedStoreOptions
    let clock: StoreClock
    /// Tells rows of this process from those of earlier ones.
    let owner: UInt64
    let marks: SendMarks
    let database: String
    /// Held until the store is closed.
    private var directory: StoreDirectory?
    /// The store went down.
    var onFailure: (StorageError) -> Void = { _ in }

    /// Nil while the store is down.
    var engine: (any StorageEngine)?
    var index = RecordIndex()
    var cache: RecordCache
    var open: [RecordKey: OpenClaim] = [:]
    /// Claims of this process whose outcome could not be stored, though their rows still say in flight.
    var held: [RecordKey: HeldRecord] = [:]
    var listings: [Listing] = []

    var changes: [Change] = []
    /// Keys changed by `.amend` in this batch.
    var amendedKeys: Set<RecordKey> = []
    var changeBytes = 0
    var outbox: ReplyOutbox
    var figures = StoreStatistics()
    var now: UInt64 = 0
    var isClosing = false

    var sequence: UInt32
    var commitsSinceMeasurement = 0
    var expiryCursor: UInt64 = 0

    init(opened: consuming OpenedStore, options: EmbeddedStoreOptions, deliver: @escaping ReplyOutbox.Deliver) {
        self.options = options
        clock = opened.clock
        owner = opened.owner
        marks = opened.marks
        index = opened.index
        engine = opened.engine
        sequence = opened.sequence
        figures.unknowns = opened.unknowns
        database = opened.directory.database
        directory = consume opened.directory
        cache = RecordCache(bytesMax: options.cacheBytesMax)
        outbox = ReplyOutbox(sink: deliver)
        figures.bytesMax = options.bytesMax
        now = clock.milliseconds()
        measure()
        publish()
    }

    /// Decides requests; `finishBatch` makes them durable.
    func handle(_ requests: [StoreRequest]) {
        now = clock.milliseconds()
        for request in requests {
            switch request {
            case .claim(let claim, let address): handleClaim(claim, address)
            case .complete(let reference, let outcome, let address): handleComplete(reference, outcome, address)
            case .leave(let key, let address): handleLeave(key, address)
            case .delivered(let reference): handleDelivered(reference)
            case .list(let filter, let address): handleList(filter, address)
            case .resolve(let key, let resolution, let address): handleResolve(key, resolution, address)
            }
            if changes.count >= EmbeddedLimits.transactionChangesMax || changeBytes >= EmbeddedLimits.transactionBytesMax {
                commitChanges()
            }
        }
    }

    /// Answers what needs no commit, commits the rest, answers that.
    func finishBatch() {
        outbox.deliver()
        guard !changes.isEmpty else {
            publish()
            return
        }
        commitChanges()
        outbox.deliver()
        publish()
        tidy()
    }

    func giveUpDirectory() {
        directory = nil
    }

    func publish() {
        figures.isUp = engine != nil
        figures.records = index.count
        figures.openClaims = open.count
    }

    // MARK: Claims

    private func handleClaim(_ claim: Claim, _ address: ReplyAddress) {
        figures.claims &+= 1
        guard !isClosing else { return refuse(address, .closing) }
        guard engine != nil else { return refuse(address, .failed) }
        if let running = open[claim.key] {
            guard running.phase == .completing else { return join(running, claim, address) }
            commitChanges()
            return reconsider(claim, address)
        }
        if amendedKeys.contains(claim.key) {
            commitChanges()
            return reconsider(claim, address)
        }
        decide(claim, address)
    }

    /// After a commit, which may have changed everything, the engine included.
    private func reconsider(_ claim: Claim, _ address: ReplyAddress) {
        guard engine != nil else { return refuse(address, .failed) }
        if let running = open[claim.key] { return join(running, claim, address) }
        decide(claim, address)
    }

    private func join(_ running: OpenClaim, _ claim: Claim, _ address: ReplyAddress) {
        guard running.row.fingerprint == claim.fingerprint else { return outbox.add(address, .mismatch) }
        guard claim.joins else { return outbox.add(address, .inFlight) }
        guard running.waiters.count < claim.waitersMax else { return outbox.add(address, .tooManyWaiters) }
        running.waiters.append(OpenClaim.Waiter(claim: claim, address: address))
        outbox.add(address, .joined)
    }

    /// No claim is open under the key and no change pending.
    private func decide(_ claim: Claim, _ address: ReplyAddress) {
        if !held.isEmpty, let record = held[claim.key] {
            if record.isFree { return start(claim, address, replaced: record.row) }
            return decide(claim, address, standing: record.row, answer: nil)
        }
        if let entry = cache.find(claim.key) {
            return decide(claim, address, standing: entry.row, answer: entry.answer)
        }
        switch findRow(claim.key) {
        case .absent: start(claim, address, replaced: nil)
        case .row(let row): decide(claim, address, standing: row, answer: nil)
        case .corrupt: refuse(address, .corrupt)
        case .failed: refuse(address, .failed)
        }
    }

    private func decide(_ claim: Claim, _ address: ReplyAddress, standing row: RecordRow, answer: RecordedAnswer?) {
        guard now < row.expiresAtMilliseconds else { return start(claim, address, replaced: row) }
        guard row.fingerprint == claim.fingerprint else { return outbox.add(address, .mismatch) }
        switch row.state {
        case .completed, .tombstone:
            if claim.runsAfterDelivery && row.isDelivered { return start(claim, address, replaced: row) }
            replay(row, answer, address)
        case .unknown:
            if claim.resendsUnknown { return start(claim, address, replaced: row) }
            outbox.add(address, .unknown(row.cause ?? .ownerDied))
        case .inFlight:
            // Neither open nor held, so its owner is gone. Opening resolves these; to guess otherwise would run it twice.
            outbox.add(address, .unknown(.ownerDied))
        }
    }

    private func replay(_ row: RecordRow, _ cached: RecordedAnswer?, _ address: ReplyAddress) {
        figures.replays &+= 1
        if let cached { return outbox.add(address, .recorded(cached, epoch: row.id)) }
        guard let octets = readAnswer(row.id) else {
            return refuse(address, engine == nil ? .failed : .corrupt)
        }
        switch (row.state, AnswerCoding.decode(octets)) {
        case (.completed, .answer(let answer)):
            cache.insert(RecordCache.Entry(row: row, answer: answer))
            outbox.add(address, .recorded(answer, epoch: row.id))
        case (.tombstone, .tombstone(let tombstone)):
            outbox.add(address, .notKept(tombstone))
        default:
            refuse(address, .corrupt)
        }
    }

    private func start(_ claim: Claim, _ address: ReplyAddress, replaced: RecordRow?) {
        guard open.count < options.openClaimsMax, !isFull() else { return refuse(address, .full) }
        let running = OpenClaim(row: makeRow(claim), phase: .claiming, address: address)
        open[claim.key] = running
        changes.append(.claim(running, replaced: replaced))
        changeBytes += RecordRow.bytesMax
    }

    func makeRow(_ claim: Claim) -> RecordRow {
        let (sum, overflows) = now.addingReportingOverflow(claim.retentionMilliseconds)
        // An id has 39 bits for seconds.
        let expiry = overflows ? EmbeddedStore.timeMax : min(sum, EmbeddedStore.timeMax)
        let id = nextID(expiresAtMilliseconds: expiry)
        return RecordRow(
            id: id, key: claim.key, fingerprint: claim.fingerprint, state: .inFlight, kind: claim.kind, cause: nil,
            durability: claim.durability, owner: owner, claimedAtMilliseconds: now, expiresAtMilliseconds: expiry,
            markSlot: marks.take(epoch: id), route: claim.route)
    }

    func nextID(expiresAtMilliseconds: UInt64) -> UInt64 {
        sequence = (sequence &+ 1) & 0xFF_FFFF
        return expiresAtMilliseconds / 1000 << 24 | UInt64(sequence)
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
        if open[reference.key]?.phase == .completing || amendedKeys.contains(reference.key) { commitChanges() }
        if let running = open[reference.key] {
            guard running.row.id == reference.epoch, running.phase == .running else { return outbox.add(address, .stored(.stale)) }
            return complete(running, outcome, address)
        }
        completeLate(reference, outcome, address)
    }

    private func complete(_ running: OpenClaim, _ outcome: Outcome, _ address: ReplyAddress) {
        var pending = PendingOutcome(outcome: outcome, row: running.row, octets: nil, address: address, successor: nil)
        pending.octets = pending.row?.apply(outcome)
        switch outcome {
        case .answered, .notKept: break
        case .unknown:
            if let position = running.waiters.firstIndex(where: \.claim.resendsUnknown) { promote(position, of: running, in: &pending) }
        case .released:
            pending.row = nil
            if !running.waiters.isEmpty { promote(0, of: running, in: &pending) }
        }
        guard engine != nil else { return hold(running, pending, .failed) }
        running.phase = .completing
        changes.append(.outcome(running, pending))
        changeBytes += (pending.octets?.count ?? 0) + RecordRow.bytesMax
    }

    private func promote(_ position: Int, of running: OpenClaim, in pending: inout PendingOutcome) {
        guard engine != nil, !isClosing else { return }
        let waiter = running.waiters.remove(at: position)
        pending.row = nil
        pending.successor = OpenClaim(row: makeRow(waiter.claim), phase: .claiming, address: waiter.address)
    }

    /// The answer of a claim whose outcome was given as unknown.
    private func completeLate(_ reference: ClaimReference, _ outcome: Outcome, _ address: ReplyAddress) {
        guard engine != nil else { return outbox.add(address, .stored(.failed(.failed))) }
        switch outcome {
        case .answered, .notKept: break
        case .unknown, .released: return outbox.add(address, .stored(.stale))
        }
        guard let row = standingRow(reference.key), row.id == reference.epoch, row.state == .unknown else {
            return outbox.add(address, .stored(engine == nil ? .failed(.failed) : .stale))
        }
        var amended = row
        let octets = amended.apply(outcome)
        amend(from: row, to: amended, answer: outcome, octets: octets, reply: .stored(address))
    }

    func amend(from: RecordRow, to: RecordRow?, answer: Outcome?, octets: [UInt8]?, reply: AmendReply) {
        changes.append(.amend(from: from, to: to, answer: answer, octets: octets, reply: reply))
        amendedKeys.insert(from.key)
        changeBytes += (octets?.count ?? 0) + RecordRow.bytesMax
    }

    private func handleLeave(_ key: RecordKey, _ address: ReplyAddress) {
        if open[key]?.phase == .completing { commitChanges() }
        guard let running = open[key], !running.waiters.isEmpty else { return }
        running.waiters.removeAll { $0.address == address }
    }

    private func handleDelivered(_ reference: ClaimReference) {
        if open[reference.key]?.phase == .completing || amendedKeys.contains(reference.key) { commitChanges() }
        guard engine != nil, let row = standingRow(reference.key), row.id == reference.epoch, !row.isDelivered,
            row.state == .completed || row.state == .tombstone
        else { return }
        var amended = row
        amended.isDelivered = true
        amend(from: row, to: amended, answer: nil, octets: nil, reply: .none)
    }

    // MARK: Reading

    enum Found {
        case row(RecordRow)
        case absent
        case corrupt
        case failed
    }

    /// The record under a key that is not open: held in memory, cached, or read.
    func standingRow(_ key: RecordKey) -> RecordRow? {
        if let record = held[key] { return record.isFree ? nil : record.row }
        if let entry = cache.find(key) { return entry.row }
        if case .row(let row) = findRow(key) { return row }
        return nil
    }

    func findRow(_ key: RecordKey) -> Found {
        var found = Found.absent
        index.forEach(hash: key.indexHash) { id in
            switch readRow(id) {
            case .row(let row):
                // Equal hashes of different keys stand side by side.
                guard row.key == key else { return false }
                found = .row(row)
            case .absent: found = .corrupt
            case let other: found = other
            }
            return true
        }
        return found
    }

    private func readRow(_ id: UInt64) -> Found {
        guard let engine else { return .failed }
        do throws(StorageError) {
            switch try engine.read(id) {
            case .row(let row): return .row(row)
            case .corrupt: return .corrupt
            case .absent: return .absent
            }
        } catch {
            fail(error)
            return .failed
        }
    }

    private func readAnswer(_ id: UInt64) -> [UInt8]? {
        do throws(StorageError) {
            return try engine?.readAnswer(id)
        } catch {
            // A damaged page holds back its own answers only; any other error stops the store.
            if !error.isCorruption { fail(error) }
            return nil
        }
    }
}

/// A record that memory knows better than its row.
struct HeldRecord {
    /// As it should stand: unknown.
    var row: RecordRow
    /// Released: the row should not stand at all.
    var isFree: Bool
}

extension RecordRow {
    /// Takes the outcome over; the octets to store beside the row.
    mutating func apply(_ outcome: Outcome) -> [UInt8]? {
        switch outcome {
        case .answered(let answer):
            state = .completed
            cause = nil
            status = answer.status
            bodyBytes = UInt64(answer.body.count)
            return AnswerCoding.encode(answer)
        case .notKept(let tombstone):
            state = .tombstone
            cause = nil
            status = tombstone.status
            bodyBytes = tombstone.bodyBytes
            return AnswerCoding.encode(tombstone)
        case .unknown(let why):
            state = .unknown
            cause = why
            return nil
        case .released:
            return nil
        }
    }
}
