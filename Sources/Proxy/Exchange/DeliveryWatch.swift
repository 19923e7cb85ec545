import Idempotency
import Transport

/// Answers whose delivery is not known yet, over all workers: the repeat of a request may come to another worker than
/// the answer went out on, and must find out at once. Only routes with `replay undelivered` ask.
final class PendingDeliveries: Sendable {
    private struct Pending {
        let claim: ClaimReference
        let delivery: Delivery
    }

    /// An entry stands here only while its descriptor is open: `remove` comes before the close.
    private let pending = Locked<[RecordKey: Pending]>([:])

    func add(_ claim: ClaimReference, _ delivery: Delivery) {
        pending.withLock { $0[claim.key] = Pending(claim: claim, delivery: delivery) }
    }

    /// The claim whose answer has arrived by now; nil when there is none, or it has not.
    func takeDelivered(_ key: RecordKey) -> ClaimReference? {
        pending.withLock { pending in
            guard let entry = pending[key], entry.delivery.isComplete else { return nil }
            pending[key] = nil
            return entry.claim
        }
    }

    /// False once its delivery was told, by whichever worker, or a later answer under its key is watched instead.
    func contains(_ claim: ClaimReference) -> Bool {
        pending.withLock { $0[claim.key]?.claim == claim }
    }

    func remove(_ claim: ClaimReference) {
        pending.withLock { pending in
            if pending[claim.key]?.claim == claim { pending[claim.key] = nil }
        }
    }
}

/// Whether answers reached their clients: every octet acknowledged by the client's TCP. One per worker.
final class DeliveryWatch {
    private struct Watched {
        let connection: DownstreamConnection
        let claim: ClaimReference
    }

    private unowned let context: WorkerContext
    private let pending: PendingDeliveries
    private var watched: [Watched] = []
    private var isAlarmSet = false
    /// How often an answer that is not acknowledged yet is looked at.
    private static let intervalMilliseconds: UInt64 = 20

    init(context: WorkerContext, pending: PendingDeliveries) {
        self.context = context
        self.pending = pending
    }

    /// The answer is queued; its delivery is looked at from the end of this batch on.
    func watch(_ connection: DownstreamConnection, _ claim: ClaimReference) {
        if !connection.peerAddress.isIP {
            // A UNIX socket tells only what it holds, not how much it has passed on: all must be in it first.
            connection.flush()
            guard connection.queuedOutputBytes == 0 else { return }
        }
        pending.add(claim, Delivery(of: connection))
        watched.append(Watched(connection: connection, claim: claim))
        wakeUp()
    }

    /// Tells the store of a delivery before it is asked about the same key.
    func settle(_ key: RecordKey) {
        if let claim = pending.takeDelivered(key) { context.submit(.delivered(claim)) }
    }

    func check() {
        guard !watched.isEmpty else { return }
        watched.removeAll { entry in
            settle(entry.claim.key)
            return !pending.contains(entry.claim)
        }
        if !watched.isEmpty { wakeUp() }
    }

    /// A timer whose only effect is that a batch ends, and `check` runs.
    private func wakeUp() {
        guard !isAlarmSet else { return }
        isAlarmSet = true
        let next = context.worker.now.adding(milliseconds: DeliveryWatch.intervalMilliseconds)
        context.worker.schedule(at: next) { [unowned self] in self.isAlarmSet = false }
    }

    /// The last look, while the descriptor is still open; what is not acknowledged by now counts as not delivered.
    func connectionCloses(_ connection: DownstreamConnection) {
        guard !watched.isEmpty else { return }
        watched.removeAll { entry in
            guard entry.connection === connection else { return false }
            settle(entry.claim.key)
            pending.remove(entry.claim)
            return true
        }
    }
}
