import Idempotency

/// An outcome that became unknown, as the webhook tells it: nothing of the request.
struct UnknownEvent: Sendable, Equatable {
    var key: RecordKey
    var epoch: UInt64
    var route: String
    var cause: UnknownCause
    var claimedAtMilliseconds: UInt64
    var unknownAtMilliseconds: UInt64

    /// The same in every attempt to deliver the event, and of no other event.
    var id: String { "\(key.hexadecimal)-\(epoch)" }

    var json: String {
        """
        {"event":"outcome_unknown","id":"\(id)","route":\(JSONText.string(route)),"key":"\(key.hexadecimal)",\
        "cause":"\(cause.name)","claimed_at_ms":\(claimedAtMilliseconds),"unknown_at_ms":\(unknownAtMilliseconds)}
        """
    }
}

extension UnknownEvent {
    /// Of a record that was found unknown.
    init(_ record: RecordSummary) {
        self.init(
            key: record.key, epoch: record.epoch, route: record.route, cause: record.unknownCause ?? .ownerDied,
            claimedAtMilliseconds: record.claimedAtMilliseconds, unknownAtMilliseconds: record.unknownAtMilliseconds)
    }
}
