/// The life of one record (product.md): events in, one action out. The answer itself and durability stay with the
/// store.
///
/// ```
///            claim                                 complete(answered) ──▶ completed ─┐
///   absent ─────────▶ inFlight(epoch, waiters) ──┬─ complete(notKept) ──▶ tombstone ─┤ expire, resolve(forget)
///     ▲  ▲                │ complete(released)   └─ complete(unknown) ──▶ unknown ───┤
///     │  └── no waiter ───┤                         ownerDied(wasSent)      │        │
///     │                   └─ first waiter: inFlight(next epoch)             │        │
///     │                                          complete (late answer), resolve ──▶ completed, tombstone
///     └──────────────────────────────────────────────────────────────────────────────┘
///   completed, tombstone ── claim(runsAfterDelivery), delivered ──▶ inFlight
///   unknown ── claim(resendsUnknown) ──▶ inFlight
/// ```
/// Exits: absent: claim. inFlight: complete, ownerDied, claimNotStored. completed, tombstone: expire, resolve,
/// outcomeNotStored, claim after delivery. unknown: complete, expire, resolve, claim with resend.
///
/// An event takes effect at once; what it answers is sent by the store after the commit that holds it. If that commit
/// fails the store says so (`claimNotStored`, `outcomeNotStored`), and sends refusals instead. Times are milliseconds
/// of one clock, the store's.
package struct RecordMachine: Sendable, Equatable {
    package enum State: Sendable, Equatable {
        case absent
        case inFlight
        case completed
        case tombstone
        case unknown(UnknownCause)
    }

    package private(set) var state = State.absent
    package private(set) var kind = Claim.Kind.token
    package private(set) var isDelivered = false
    /// The answer, if there is or will be one, is known not to have reached its client. Never with `isDelivered`.
    package private(set) var isUndelivered = false
    /// Meaningless while absent, like the fields below.
    package private(set) var fingerprint = Fingerprint(words: (0, 0, 0, 0))
    /// Of the claim that is open, or whose outcome stands.
    package private(set) var epoch: UInt64 = 0
    /// When the record is forgotten. A claim in flight is not forgotten.
    package private(set) var expiresAtMilliseconds: UInt64 = 0
    /// Who waits for the attempt in flight, in the order in which they came.
    package private(set) var waiters: [ReplyAddress] = []
    /// What the claim in flight took the place of, until that claim is stored.
    private var superseded: Superseded?

    private struct Superseded: Sendable, Equatable {
        var state: State
        var epoch: UInt64
        var isDelivered: Bool
        var isUndelivered: Bool
        var expiresAtMilliseconds: UInt64
    }

    /// A record of which nothing is known.
    package init() {}

    /// A record as a store kept it. A claim that is found in flight at a restart is then given `ownerDied`.
    package init(
        restoring state: State, kind: Claim.Kind, fingerprint: Fingerprint, epoch: UInt64,
        expiresAtMilliseconds: UInt64,
        isDelivered: Bool, isUndelivered: Bool = false
    ) {
        self.state = state
        self.kind = kind
        self.fingerprint = fingerprint
        self.epoch = epoch
        self.expiresAtMilliseconds = expiresAtMilliseconds
        self.isDelivered = isDelivered
        self.isUndelivered = isUndelivered
    }

    package var recordState: RecordState? {
        switch state {
        case .absent: nil
        case .inFlight: .inFlight
        case .completed: .completed
        case .tombstone: .tombstone
        case .unknown: .unknown
        }
    }

    // MARK: Claim

    package enum ClaimAction: Sendable, Equatable {
        /// Store the claim with the machine's epoch, then answer `.claimed`. `replacing`: the epoch of the record that
        /// it replaces.
        case claim(replacing: UInt64?)
        /// Answer `.joined`; a later event answers again.
        case joined
        case inFlight
        case tooManyWaiters
        /// Answer with the recorded answer of the machine's epoch.
        case replay
        case notKept
        case unknown(UnknownCause)
        case mismatch
        /// The claim's time is over.
        case tooLate
    }

    /// A request asks to execute. `newEpoch` becomes the claim's, if it is given; an epoch is never used twice.
    package mutating func claim(
        _ claim: borrowing Claim, from address: ReplyAddress, newEpoch: UInt64, nowMilliseconds: UInt64
    ) -> ClaimAction {
        var replaced: Superseded?
        if hasExpired(nowMilliseconds) {
            replaced = snapshot
            forget()
        }
        // The payload is compared before anything else is told (behaviour 32).
        if state != .absent, claim.fingerprint != fingerprint { return .mismatch }
        switch state {
        case .absent:
            if let end = claim.runsBeforeMilliseconds, nowMilliseconds >= end { return .tooLate }
        case .inFlight:
            guard claim.joins else { return .inFlight }
            guard waiters.count < claim.waitersMax else { return .tooManyWaiters }
            waiters.append(address)
            return .joined
        case .completed, .tombstone:
            guard claim.runsAfterDelivery, isDelivered else { return state == .completed ? .replay : .notKept }
            replaced = snapshot
            superseded = replaced
        case .unknown(let cause):
            guard claim.resendsUnknown else { return .unknown(cause) }
            replaced = snapshot
            superseded = replaced
        }
        kind = claim.kind
        fingerprint = claim.fingerprint
        let lifetime = claim.lifetime(nowMilliseconds: nowMilliseconds)
        let (expiry, hasOverflowed) = nowMilliseconds.addingReportingOverflow(lifetime)
        open(epoch: newEpoch, expiresAtMilliseconds: hasOverflowed ? .max : expiry)
        return .claim(replacing: replaced?.epoch)
    }

    /// The claim is durable.
    package mutating func claimStored(epoch: UInt64) {
        guard state == .inFlight, self.epoch == epoch else { return }
        superseded = nil
    }

    /// The claim could not be stored: what it replaced stands again. Gives those who waited for it, to be refused with
    /// its owner.
    package mutating func claimNotStored(epoch: UInt64) -> [ReplyAddress] {
        guard state == .inFlight, self.epoch == epoch else { return [] }
        let waiters = takeWaiters()
        guard let superseded else {
            forget()
            return waiters
        }
        state = superseded.state
        self.epoch = superseded.epoch
        isDelivered = superseded.isDelivered
        isUndelivered = superseded.isUndelivered
        expiresAtMilliseconds = superseded.expiresAtMilliseconds
        self.superseded = nil
        return waiters
    }

    // MARK: Outcome

    /// How an attempt ended: `Outcome` without what it carries.
    package enum Ending: Sendable, Equatable {
        case answered
        case notKept
        case unknown(UnknownCause)
        case released

        package init(_ outcome: borrowing Outcome) {
            switch outcome {
            case .answered: self = .answered
            case .notKept: self = .notKept
            case .unknown(let cause): self = .unknown(cause)
            case .released: self = .released
            }
        }
    }

    package enum CompleteAction: Sendable, Equatable {
        /// The epoch is not that of the claim: nothing was changed.
        case stale
        /// Store the outcome as the machine's state says, then answer it to these who waited.
        case settled([ReplyAddress])
        /// Store a claim with the machine's new epoch in place of the released one, then answer `.claimed` to this
        /// first of the waiters.
        case handedOver(ReplyAddress)
        /// Forget the claim.
        case freed
    }

    /// The owner says how its attempt ended. The next epoch and its expiry are used if the claim goes over to a waiter.
    package mutating func complete(
        _ ending: Ending, epoch: UInt64, nextEpoch: UInt64, nextExpiresAtMilliseconds: UInt64
    ) -> CompleteAction {
        guard self.epoch == epoch else { return .stale }
        switch state {
        case .absent, .completed, .tombstone: return .stale
        case .inFlight, .unknown: break
        }
        superseded = nil
        switch ending {
        case .answered:
            state = .completed
        case .notKept:
            state = .tombstone
        case .unknown(let cause):
            // What is unknown already stays so for its first cause.
            if state == .inFlight { state = .unknown(cause) }
            switch cause {
            case .timedOut, .broken, .ownerDied: isUndelivered = true
            case .status, .notStored: break
            }
        case .released:
            guard let next = waiters.first else {
                forget()
                return .freed
            }
            waiters.removeFirst()
            open(epoch: nextEpoch, expiresAtMilliseconds: nextExpiresAtMilliseconds)
            return .handedOver(next)
        }
        return .settled(takeWaiters())
    }

    /// The owner of the open claim is gone, and its request may have been seen by the service, or provably was not.
    package mutating func ownerDied(
        wasSent: Bool, nextEpoch: UInt64, nextExpiresAtMilliseconds: UInt64
    ) -> CompleteAction {
        guard state == .inFlight else { return .stale }
        return complete(
            wasSent ? .unknown(.ownerDied) : .released, epoch: epoch, nextEpoch: nextEpoch,
            nextExpiresAtMilliseconds: nextExpiresAtMilliseconds)
    }

    /// The outcome could not be stored: from here on it is not known. False if this outcome does not stand here.
    package mutating func outcomeNotStored(epoch: UInt64) -> Bool {
        guard self.epoch == epoch, state == .completed || state == .tombstone else { return false }
        state = .unknown(.notStored)
        isDelivered = false
        return true
    }

    /// The answer of this epoch was completely delivered. True if that is news.
    package mutating func delivered(epoch: UInt64) -> Bool {
        guard self.epoch == epoch, state == .completed || state == .tombstone, !isDelivered else { return false }
        isDelivered = true
        isUndelivered = false
        return true
    }

    /// The answer of this epoch is known not to have reached its client, whether or not it is here. True if a record
    /// that stands must say so.
    package mutating func undelivered(epoch: UInt64) -> Bool {
        guard self.epoch == epoch, state != .absent, !isDelivered, !isUndelivered else { return false }
        isUndelivered = true
        return state != .inFlight
    }

    // MARK: Waiters, time, operator

    /// A waiter went away. False if it does not wait.
    package mutating func leave(_ address: ReplyAddress) -> Bool {
        guard let index = waiters.firstIndex(of: address) else { return false }
        waiters.remove(at: index)
        return true
    }

    /// Whether the record's time has passed: it is as good as absent. Never while in flight.
    package func hasExpired(_ nowMilliseconds: UInt64) -> Bool {
        switch state {
        case .absent, .inFlight: false
        case .completed, .tombstone, .unknown: nowMilliseconds >= expiresAtMilliseconds
        }
    }

    /// Forgets a record whose time has passed; false if it has not.
    package mutating func expire(nowMilliseconds: UInt64) -> Bool {
        guard hasExpired(nowMilliseconds) else { return false }
        forget()
        return true
    }

    package enum ResolveAction: Sendable, Equatable {
        /// Store the operator's answer under the machine's epoch.
        case answered
        case forgotten
        case notFound
        case refused(RecordState)
    }

    /// An operator decides (see `Resolution`).
    package mutating func resolve(_ resolution: borrowing Resolution, nowMilliseconds: UInt64) -> ResolveAction {
        guard let recordState, !hasExpired(nowMilliseconds) else { return .notFound }
        switch resolution {
        case .answer:
            guard recordState == .unknown else { return .refused(recordState) }
            state = .completed
            isDelivered = false
            return .answered
        case .release:
            guard recordState == .unknown else { return .refused(recordState) }
        case .forget:
            guard recordState != .inFlight else { return .refused(recordState) }
        }
        forget()
        return .forgotten
    }

    // MARK: Helpers

    private var snapshot: Superseded {
        Superseded(
            state: state, epoch: epoch, isDelivered: isDelivered, isUndelivered: isUndelivered,
            expiresAtMilliseconds: expiresAtMilliseconds)
    }

    private mutating func open(epoch: UInt64, expiresAtMilliseconds: UInt64) {
        state = .inFlight
        self.epoch = epoch
        self.expiresAtMilliseconds = expiresAtMilliseconds
        isDelivered = false
        isUndelivered = false
    }

    private mutating func forget() {
        self = RecordMachine()
    }

    private mutating func takeWaiters() -> [ReplyAddress] {
        exchange(&waiters, with: [])
    }
}
