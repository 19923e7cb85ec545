import Idempotency
import Transport

/// Whether answers reached their clients: every octet acknowledged by the client's TCP. Only routes with `replay
/// undelivered` ask.
final class DeliveryWatch {
    private struct Watched {
        let connection: DownstreamConnection
        let claim: ClaimReference
        /// The count of octets, over the connection's life, at which the answer is complete.
        let octets: UInt64
    }

    private unowned let context: WorkerContext
    private var watched: [Watched] = []
    private var isAlarmSet = false
    /// How often an answer that is not acknowledged yet is looked at.
    private static let intervalMilliseconds: UInt64 = 20

    init(context: WorkerContext) {
        self.context = context
    }

    /// The answer is queued; its delivery is looked at from the end of this batch on.
    func watch(_ connection: DownstreamConnection, _ claim: ClaimReference) {
        let octets = connection.octetsWritten + UInt64(connection.queuedOutputBytes)
        watched.append(Watched(connection: connection, claim: claim, octets: octets))
        // What is queued leaves after this batch: look again soon, whatever else happens.
        wakeUp(milliseconds: 1)
    }

    func check() {
        guard !watched.isEmpty else { return }
        watched.removeAll { isDelivered($0) }
        if !watched.isEmpty {
            wakeUp(milliseconds: DeliveryWatch.intervalMilliseconds)
        }
    }

    private func isDelivered(_ entry: Watched) -> Bool {
        let acknowledged = entry.connection.octetsWritten - UInt64(entry.connection.unacknowledgedBytes)
        guard acknowledged >= entry.octets else { return false }
        context.submit(.delivered(entry.claim))
        return true
    }

    /// A timer whose only effect is that a batch ends, and `check` runs.
    private func wakeUp(milliseconds: UInt64) {
        guard !isAlarmSet else { return }
        isAlarmSet = true
        context.worker.schedule(at: context.worker.now.adding(milliseconds: milliseconds)) { [unowned self] in
            self.isAlarmSet = false
        }
    }

    /// The last look, while the descriptor is still open; what is not acknowledged by now counts as not delivered.
    func connectionCloses(_ connection: DownstreamConnection) {
        guard !watched.isEmpty else { return }
        watched.removeAll { entry in
            guard entry.connection === connection else { return false }
            _ = isDelivered(entry)
            return true
        }
    }
}
