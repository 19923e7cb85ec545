import Idempotency
import Transport

/// Answers whose delivery is not known yet, over all workers: the repeat of a request may come to another worker than
/// the answer went out on, and must find out at once. Only routes with `replay undelivered` ask, and replays of answers
/// that were lost before.
final class PendingDeliveries: Sendable {
    private struct Pending {
        let claim: ClaimReference
        let delivery: Delivery
        /// The answer was lost before; the label of its route.
        let rescuedRoute: Int?
    }

    /// An entry stands here only while its descriptor is open: `remove` comes before the close.
    private let pending = Locked<[RecordKey: Pending]>([:])

    func add(_ claim: ClaimReference, _ delivery: Delivery, rescuedRoute: Int?) {
        pending.withLock {
            $0[claim.key] = Pending(claim: claim, delivery: delivery, rescuedRoute: rescuedRoute)
        }
    }

    /// The claim whose answer has arrived by now, and the route if it was lost before; nil when there is none, or it
    /// has not.
    func takeDelivered(_ key: RecordKey) -> (claim: ClaimReference, rescuedRoute: Int?)? {
        pending.withLock { pending in
            guard let entry = pending[key], entry.delivery.isComplete else { return nil }
            pending[key] = nil
            return (entry.claim, entry.rescuedRoute)
        }
    }

    /// False once its delivery was told, by whichever worker, or a later answer under its key is watched instead.
    func contains(_ claim: ClaimReference) -> Bool {
        pending.withLock { $0[claim.key]?.claim == claim }
    }

    /// True if its delivery was still awaited.
    func remove(_ claim: ClaimReference) -> Bool {
        pending.withLock { pending in
            guard pending[claim.key]?.claim == claim else { return false }
            pending[claim.key] = nil
            return true
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
    func watch(_ connection: DownstreamConnection, _ claim: ClaimReference, rescuedRoute: Int?) {
        if !connection.peerAddress.isIP {
            // A UNIX socket tells only what it holds, not how much it has passed on: all must be in it first.
            connection.flush()
            guard connection.queuedOutputBytes == 0 else { return connection.noteSent(claim) }
        }
        pending.add(claim, Delivery(of: connection), rescuedRoute: rescuedRoute)
        watched.append(Watched(connection: connection, claim: claim))
        wakeUp()
    }

    /// Tells the store of a delivery before it is asked about the same key.
    func settle(_ key: RecordKey) {
        guard let delivered = pending.takeDelivered(key) else { return }
        context.submit(.delivered(delivered.claim))
        if let route = delivered.rescuedRoute { context.telemetry.answerRescued(route) }
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
        for claim in connection.takeLostAnswers() { context.submit(.undelivered(claim)) }
        guard !watched.isEmpty else { return }
        watched.removeAll { entry in
            guard entry.connection === connection else { return false }
            settle(entry.claim.key)
            if pending.remove(entry.claim) { context.submit(.undelivered(entry.claim)) }
            return true
        }
    }
}
