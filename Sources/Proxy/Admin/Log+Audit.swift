import Idempotency
import Observability
import Transport

extension Log {
    /// Who may reach the admin listener may decide; every decision, and every one that was refused, is told here.
    func audit(
        _ action: String, _ key: RecordKey, _ resolution: Resolution, _ result: StoreResult, by peer: AdminConnection
    ) {
        var fields: [LogField] = [.string("action", action), .string("key", key.hexadecimal)] + who(peer)
        guard case .resolved(let resolved) = result else { return }
        switch resolved {
        case .done(let record):
            fields += [
                .string("route", record.route), .int("epoch", record.epoch), .string("before", record.state.name),
            ]
            if let cause = record.unknownCause, record.state == .unknown { fields.append(.string("cause", cause.name)) }
            switch resolution {
            case .answer(let answer):
                fields += [
                    .string("after", "completed"), .int("status", answer.status), .int("body_bytes", answer.bodyBytes),
                ]
            case .release, .forget: fields.append(.string("after", "absent"))
            }
            audit("record resolved by operator", fields)
        case .refused(let state):
            audit("record not resolved", fields + [.string("before", state.name), .string("error", "not possible")])
        case .notFound: audit("record not resolved", fields + [.string("error", "no such record")])
        case .failed: audit("record not resolved", fields + [.string("error", "the store failed")])
        }
    }

    /// A UNIX socket has no address; the kernel knows who connected it.
    private func who(_ peer: AdminConnection) -> [LogField] {
        guard let credentials = PeerCredentials(of: peer) else {
            return [.string("peer", peer.peerAddress.description)]
        }
        return [
            .string("peer", "unix"), .int("uid", credentials.userID), .int("pid", credentials.processID),
        ]
    }
}
