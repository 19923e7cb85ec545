internal import Idempotency

extension RecordRow {
    /// The domain's view of the row.
    var machine: RecordMachine {
        let machineState: RecordMachine.State =
            switch state {
            case .inFlight: .inFlight
            case .completed: .completed
            case .tombstone: .tombstone
            // A row without its cause does not pass `stored(id:octets:sealer:)`.
            case .unknown: .unknown(cause ?? .ownerDied)
            }
        return RecordMachine(
            restoring: machineState, kind: kind, fingerprint: fingerprint, epoch: id,
            expiresAtMilliseconds: expiresAtMilliseconds,
            isDelivered: isDelivered, isUndelivered: isUndelivered)
    }

    /// Takes over what the machine decided; the id, the key and the times stay.
    mutating func take(
        _ machine: borrowing RecordMachine, nowMilliseconds now: UInt64, by settlement: Settlement? = nil
    ) {
        guard let recordState = machine.recordState else { return }
        if let cause, recordState != .unknown {
            history = history ?? History(unknownAtMilliseconds: 0, cause: cause)
            history?.settledAtMilliseconds = now
            history?.settlement = settlement
        }
        state = recordState
        isDelivered = machine.isDelivered
        isUndelivered = machine.isUndelivered
        if case .unknown(let why) = machine.state {
            becomeUnknown(why, nowMilliseconds: now)
        } else {
            cause = nil
        }
    }

    mutating func becomeUnknown(_ cause: UnknownCause, nowMilliseconds now: UInt64) {
        state = .unknown
        self.cause = cause
        if history == nil { history = History(unknownAtMilliseconds: now, cause: cause) }
    }

    /// The octets that stand beside the row for this outcome, if any; notes its status and size in the row. Throws when
    /// the outcome cannot be represented.
    mutating func encode(_ outcome: borrowing Outcome, isSealed: Bool) throws(RecordCodingError) -> [UInt8]? {
        var octets: [UInt8] = []
        switch outcome {
        case .answered(let answer):
            try RecordCoding.encode(answer, key: key, epoch: id, into: &octets)
            status = answer.status
            bodyBytes = answer.bodyBytes
        case .notKept(let tombstone):
            try RecordCoding.encode(tombstone, key: key, epoch: id, into: &octets)
            status = tombstone.status
            bodyBytes = tombstone.bodyBytes
        case .unknown, .released:
            return nil
        }
        isAnswerSealed = isSealed
        return octets
    }
}
