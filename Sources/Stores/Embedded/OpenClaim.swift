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

    @exclusivity(unchecked) var machine: RecordMachine
    @exclusivity(unchecked) var row: RecordRow
    var phase = Phase.claiming
    /// Who gets the claim once it is durable.
    let address: ReplyAddress
    /// Waiters that an unknown outcome does not stop.
    var resenders = Resenders()

    init(machine: RecordMachine, row: RecordRow, address: ReplyAddress) {
        self.machine = machine
        self.row = row
        self.address = address
    }
}

/// The claims of waiters whose route runs again what is unknown; mostly empty.
struct Resenders {
    private var claims: [ReplyAddress: Claim] = [:]

    mutating func note(_ claim: Claim, _ address: ReplyAddress) {
        if claim.resendsUnknown { claims[address] = claim }
    }

    func claim(of address: ReplyAddress) -> Claim? {
        claims.isEmpty ? nil : claims[address]
    }
}

/// What the next commit does.
/// Behind a reference: a change is copied as it passes from step to step.
indirect enum Change {
    /// `replaced`: the row that stood under the key.
    case claim(OpenClaim, replaced: RecordRow?)
    case outcome(OpenClaim, PendingOutcome)
    /// Octets of a body, from an offset on.
    case append(ClaimReference, at: UInt64, [UInt8], ReplyAddress)
    /// A record that no running claim owns changes from one row to another (nil = removed).
    case amend(from: RecordRow, to: RecordRow?, answer: RecordedAnswer?, octets: [UInt8]?, reply: AmendReply)
}

/// An outcome that is not committed.
struct PendingOutcome {
    var outcome: Outcome
    var address: ReplyAddress
    /// The row after it; nil = the key is free, or its successor's.
    var row: RecordRow?
    var octets: [UInt8]?
    var waiters: [ReplyAddress] = []
    /// The waiter that owns the key next.
    var successor: OpenClaim?
}

enum AmendReply {
    case none
    case stored(ReplyAddress)
    case resolved(ReplyAddress)
    /// The state of an outcome that could not be stored earlier.
    case held(HeldRecord)
}

/// A record that memory knows better than its row.
struct HeldRecord {
    /// As it should stand: unknown.
    var row: RecordRow
    /// Released: the row should not stand at all.
    var isFree: Bool
}
