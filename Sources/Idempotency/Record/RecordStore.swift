/// Where records live. Requests are submitted in batches by any worker; each is answered once, later, through the
/// store's `deliver` closure, except where its case says otherwise. Requests of one worker take effect in the order in
/// which they were submitted.
///
/// Promises that every implementation keeps (one contract suite runs on all of them):
/// - `.claimed` is delivered only after the claim is as durable as its `durability` asks.
/// - For one key at most one claim is open at any time, and no claim is given while a record stands, except where the
///   claim itself
///   says so (`resendsUnknown`, `replay undelivered`).
/// - An outcome is accepted only from the claim that is open (or unknown) under that key with the same epoch.
/// - A record is never evicted before its retention passes; a full store refuses new claims.
package protocol RecordStore: AnyObject, Sendable {
    /// Takes a batch of requests. Never blocks on I/O. Any thread.
    func submit(_ requests: consuming [StoreRequest])

    /// Notes, before the first octet goes to the service, that this claim may have been seen by it. Costs no system
    /// call. Any thread.
    func markSent(_ claim: ClaimReference)

    /// Flushes what was submitted, answers it, stops, and gives up the store's files. Blocks; not on a worker.
    func close()
}

/// Where an answer of the store goes: the worker that asked, and a number that means something to it only.
package struct ReplyAddress: Sendable, Hashable {
    package var worker: UInt32
    package var exchange: UInt64

    @inlinable
    package init(worker: UInt32, exchange: UInt64) {
        self.worker = worker
        self.exchange = exchange
    }
}

/// A claim that was given: the proof with which its outcome is stored.
package struct ClaimReference: Sendable, Equatable {
    package var key: RecordKey
    /// Unique within a store for all time; a stale one is refused. Its upper 40 bits say when the record expires.
    package var epoch: UInt64
    /// The store's slot for the send mark; `UInt32.max` = none (after a crash the claim then counts as sent).
    package var markSlot: UInt32

    @inlinable
    package init(key: RecordKey, epoch: UInt64, markSlot: UInt32 = .max) {
        self.key = key
        self.epoch = epoch
        self.markSlot = markSlot
    }

    /// When the record expires, whole seconds since the UNIX epoch.
    package var expirySeconds: UInt64 { epoch >> 24 }
}

/// A request to execute under a key, or to get what stands there.
package struct Claim: Sendable, Equatable {
    package enum Kind: UInt8, Sendable, Equatable {
        case token = 1
        case hash = 2
    }

    package var key: RecordKey
    package var fingerprint: Fingerprint
    package var kind: Kind
    /// The route's name, for lists; at most 255 octets are kept.
    package var route: String
    package var retentionMilliseconds: UInt64
    package var durability: Durability = .power
    /// Whether to join an attempt that is in flight. When false, or when `waitersMax` already wait, the answer comes at
    /// once.
    package var joins = true
    package var waitersMax = 64
    /// An unknown outcome does not stop this claim (`on_unknown resend`).
    package var resendsUnknown = false
    /// A completed record whose answer was delivered does not stop this claim (`replay undelivered`, and no evidence of
    /// a retry).
    package var runsAfterDelivery = false
    /// From this time on, by the store's clock, nothing runs where no record stands: there may have been one. A record
    /// that is claimed before stands at least until then.
    package var runsBeforeMilliseconds: UInt64?

    package init(
        key: RecordKey, fingerprint: Fingerprint, kind: Kind = .token, route: String = "", retentionMilliseconds: UInt64
    ) {
        self.key = key
        self.fingerprint = fingerprint
        self.kind = kind
        self.route = route
        self.retentionMilliseconds = retentionMilliseconds
    }

    /// How long the record stands if it is claimed now.
    package func lifetime(nowMilliseconds now: UInt64) -> UInt64 {
        guard let end = runsBeforeMilliseconds, end > now else { return retentionMilliseconds }
        return max(retentionMilliseconds, end - now)
    }
}

/// How an attempt ended.
package enum Outcome: Sendable, Equatable {
    /// Behind a reference, because an outcome passes through many hands and its arrays would be counted at each.
    indirect case answered(RecordedAnswer)
    /// The answer was larger than the record limit.
    case notKept(Tombstone)
    /// A byte may have reached the service, and no whole answer came back.
    case unknown(UnknownCause)
    /// Provably not sent, or the answer's status is on the release list: the key is free.
    case released
}

package enum UnknownCause: UInt8, Sendable, Equatable {
    /// The service did not answer in time.
    case timedOut = 1
    /// The service broke the connection, or its answer was malformed or incomplete.
    case broken = 2
    /// The answer's status is on the unknown list.
    case status = 3
    /// The proxy that held the claim ended (found at restart).
    case ownerDied = 4
    /// The answer came, and could not be stored.
    case notStored = 5
}

/// An outcome that is not known, as who asks for the claim learns of it.
package struct UnknownOutcome: Sendable, Equatable {
    package var cause: UnknownCause
    /// Of the claim whose outcome it is: with it a verdict is stored, and refused as stale when somebody else was
    /// quicker.
    package var epoch: UInt64
    /// Since it became unknown or, where that is not known, since the store was opened.
    package var ageMilliseconds: UInt64

    package init(cause: UnknownCause, epoch: UInt64, ageMilliseconds: UInt64) {
        self.cause = cause
        self.epoch = epoch
        self.ageMilliseconds = ageMilliseconds
    }
}

/// How an unknown outcome came to be known.
package enum Settlement: UInt8, Sendable, Equatable {
    /// The service answered after all.
    case lateAnswer = 1
    case probe = 2
    case `operator` = 3
}

package enum StoreRequest: Sendable {
    /// Answered by `.claimed`, `.recorded`, `.notKept`, `.unknown`, `.mismatch`, `.inFlight`, `.tooManyWaiters`,
    /// `.tooLate`, `.refused`, or by `.joined` and then, later, by one of the others (`.claimed` when the attempt was
    /// released: the waiter is then its owner).
    case claim(Claim, ReplyAddress)
    /// Answered by `.stored(…)` once the outcome is as durable as the claim was asked to be. `.unknown` may later be
    /// followed by `.answered` or `.notKept` with the same epoch (a late answer).
    case complete(ClaimReference, Outcome, ReplyAddress)
    /// A probe's verdict on an unknown outcome: as `.complete`, but nothing where the claim is open.
    case settle(ClaimReference, Outcome, ReplyAddress)
    /// Adds octets to the body of the answer that this claim's attempt is receiving, best in pieces of
    /// `StoredBody.pieceBytes`. Answered by `.body`. Taken while the claim is open or its outcome unknown. Nobody sees
    /// them until the claim completes with an answer whose `storedBodyBytes` is the sum of all that was appended,
    /// and are gone if it ends in any other way.
    case appendBody(ClaimReference, [UInt8], ReplyAddress)
    /// Reads a slice of a recorded answer's stored octets: some of those at `from` and after, at least one, at most
    /// `countMax`. Answered by `.body`. Possible for `StoredBody.graceMilliseconds` after the record expired or was
    /// replaced, so that a replay ends as it began.
    case readBody(ClaimReference, from: UInt64, countMax: Int, ReplyAddress)
    /// The waiter at this address no longer waits. Not answered; an answer already on its way may still come.
    case leave(RecordKey, ReplyAddress)
    /// The answer was completely delivered to its client. Not answered.
    case delivered(ClaimReference)
    /// The answer is known not to have reached its client whole: it had left, or the connection ended before its last
    /// octet was acknowledged. Taken at any time after the claim. Not answered.
    case undelivered(ClaimReference)
    /// For an operator: answered by `.listed`.
    case list(RecordFilter, ReplyAddress)
    /// For an operator: answered by `.resolved`.
    case resolve(RecordKey, Resolution, ReplyAddress)
}

package struct StoreReply: Sendable {
    package var address: ReplyAddress
    package var result: StoreResult

    package init(address: ReplyAddress, result: StoreResult) {
        self.address = address
        self.result = result
    }
}

package enum StoreResult: Sendable, Equatable {
    case claimed(ClaimReference)
    /// The first attempt is in flight; another answer follows.
    case joined
    /// The first attempt is in flight, and the claim does not join.
    case inFlight
    case tooManyWaiters
    case recorded(RecordedAnswer, epoch: UInt64)
    case notKept(Tombstone)
    case unknown(UnknownOutcome)
    /// Another fingerprint stands under this key.
    case mismatch
    /// Nothing stands under this key, and the claim's time is over.
    case tooLate
    case refused(StoreRefusal)

    case stored(Storing)
    case body(StoredBody.Result)
    case listed([RecordSummary])
    case resolved(ResolveResult)
}

/// Why the store gave no claim.
package enum StoreRefusal: Sendable, Equatable {
    /// The configured size is reached, or a limit on open claims.
    case full
    /// The device is full.
    case diskFull
    /// An input or output error; the store serves nothing until it is reopened.
    case failed
    /// The record that stands there does not pass its checksum, or is sealed under a key that is missing; it is never
    /// served and never run again.
    case corrupt
    case closing
}

/// What became of an outcome.
package enum Storing: Sendable, Equatable {
    case durable
    /// Not durable; the key is unknown from here on (and after a restart).
    case failed(StoreRefusal)
    /// The epoch is not the one that is open: nothing was changed.
    case stale
}

package enum RecordState: UInt8, Sendable, Equatable, CaseIterable {
    case inFlight = 1
    case completed = 2
    case tombstone = 3
    case unknown = 4
}

/// Metadata of a record; never its key's source, its body or its fields.
package struct RecordSummary: Sendable, Equatable {
    package var key: RecordKey
    package var route: String
    package var kind: Claim.Kind
    package var state: RecordState
    package var epoch: UInt64
    /// Milliseconds since the UNIX epoch, by the store's clock.
    package var claimedAtMilliseconds: UInt64
    package var expiresAtMilliseconds: UInt64
    /// Status of the answer, 0 where there is none.
    package var status: UInt16
    package var bodyBytes: UInt64
    /// Stays when the outcome comes to be known.
    package var unknownCause: UnknownCause?
    /// When the outcome became unknown; 0 = never, or before this was kept.
    package var unknownAtMilliseconds: UInt64 = 0
    /// When and how the unknown outcome came to be known; 0 = it did not.
    package var settledAtMilliseconds: UInt64 = 0
    package var settlement: Settlement?
    package var isDelivered: Bool
    /// Known not to have reached its client whole. Of most answers neither is known.
    package var isUndelivered = false
    package var waiters: Int

    package init(
        key: RecordKey, route: String, kind: Claim.Kind, state: RecordState, epoch: UInt64,
        claimedAtMilliseconds: UInt64,
        expiresAtMilliseconds: UInt64, status: UInt16 = 0, bodyBytes: UInt64 = 0, unknownCause: UnknownCause? = nil,
        isDelivered: Bool = false, waiters: Int = 0
    ) {
        self.key = key
        self.route = route
        self.kind = kind
        self.state = state
        self.epoch = epoch
        self.claimedAtMilliseconds = claimedAtMilliseconds
        self.expiresAtMilliseconds = expiresAtMilliseconds
        self.status = status
        self.bodyBytes = bodyBytes
        self.unknownCause = unknownCause
        self.isDelivered = isDelivered
        self.waiters = waiters
    }
}

package struct RecordFilter: Sendable, Equatable {
    /// Nil = every state.
    package var states: [RecordState]?
    /// Only the record with this key.
    package var key: RecordKey?
    package var route: String?
    /// Only those claimed at this time or earlier.
    package var claimedThroughMilliseconds: UInt64?
    /// Only those that became unknown at this time or later.
    package var unknownFromMilliseconds: UInt64?
    /// At most this many, oldest first.
    package var countMax = 1000

    package init() {}

    package func takes(_ record: RecordSummary) -> Bool {
        if let key, key != record.key { return false }
        if let states, !states.contains(record.state) { return false }
        if let route, route != record.route { return false }
        if let claimedThroughMilliseconds, record.claimedAtMilliseconds > claimedThroughMilliseconds { return false }
        if let unknownFromMilliseconds, record.unknownAtMilliseconds < unknownFromMilliseconds { return false }
        return true
    }
}

/// What an operator decides about a record.
package enum Resolution: Sendable, Equatable {
    /// An unknown record becomes completed with this answer.
    case answer(RecordedAnswer)
    /// An unknown record is forgotten: the next attempt runs.
    case release
    /// A record that is not in flight is forgotten, whatever its state.
    case forget
}

package enum ResolveResult: Sendable, Equatable {
    /// The record as it stood before.
    case done(RecordSummary)
    case notFound
    /// The record is in this state, in which the resolution is not allowed.
    case refused(RecordState)
    case failed(StoreRefusal)
}

/// What a store measures, read by the metrics at any time.
package struct StoreStatistics: Sendable, Equatable {
    package var isUp = true
    package var records = 0
    package var openClaims = 0
    package var unknowns = 0
    package var bytesUsed: UInt64 = 0
    package var bytesMax: UInt64 = 0
    package var claims: UInt64 = 0
    package var completions: UInt64 = 0
    package var replays: UInt64 = 0
    package var commits: UInt64 = 0
    package var commitFailures: UInt64 = 0
    package var syncFailures: UInt64 = 0
    package var corruptRecords: UInt64 = 0
    /// Refusals because the key of a record is missing.
    package var unreadableRecords: UInt64 = 0
    package var expired: UInt64 = 0
    package var refusedFull: UInt64 = 0
    /// Sum over all commits.
    package var commitMicroseconds: UInt64 = 0

    package init() {}
}
