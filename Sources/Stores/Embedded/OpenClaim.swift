internal import Idempotency

/// A claim whose owner runs in this process, and those who wait for its outcome.
final class OpenClaim {
    enum Phase {
        /// Its row is not committed.
        case claiming
        case running
        /// Its outcome is not committed.
        case completing
    }

    struct Waiter {
        var claim: Claim
        var address: ReplyAddress
    }

    var row: RecordRow
    var phase: Phase
    /// Who gets the claim once it is durable.
    let address: ReplyAddress
    var waiters: [Waiter]

    init(row: RecordRow, phase: Phase, address: ReplyAddress, waiters: [Waiter] = []) {
        self.row = row
        self.phase = phase
        self.address = address
        self.waiters = waiters
    }
}

/// What the next commit does.
enum Change {
    /// `replaced`: the row that stood under the key.
    case claim(OpenClaim, replaced: RecordRow?)
    case outcome(OpenClaim, PendingOutcome)
    /// A record that no running claim owns changes from one row to another (nil = removed).
    case amend(from: RecordRow, to: RecordRow?, answer: Outcome?, octets: [UInt8]?, reply: AmendReply)
}

struct PendingOutcome {
    var outcome: Outcome
    /// The row after it; nil = the key is free.
    var row: RecordRow?
    var octets: [UInt8]?
    var address: ReplyAddress
    /// The waiter that owns the key next.
    var successor: OpenClaim?
}

enum AmendReply {
    case none
    case stored(ReplyAddress)
    case resolved(ReplyAddress)
    /// The unknown state of an outcome that could not be stored earlier.
    case held(HeldRecord)
}
