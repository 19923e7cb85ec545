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
    mutating func take(_ machine: borrowing RecordMachine) {
        guard let recordState = machine.recordState else { return }
        state = recordState
        isDelivered = machine.isDelivered
        isUndelivered = machine.isUndelivered
        if case .unknown(let why) = machine.state { cause = why } else { cause = nil }
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
