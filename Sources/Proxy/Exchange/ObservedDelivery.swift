import Idempotency
import Transport

/// An observation whose answer is on its way to the client. Left for the log when it is known whether it arrived, or
/// when nobody can tell any more.
final class ObservedDelivery {
    private let context: WorkerContext
    /// Set when the exchange is over.
    var observation: Observation?

    init(context: WorkerContext) {
        self.context = context
    }

    // A stream that is reset forgets the note that holds this: its answer never left.
    deinit {
        settle(.isLost)
    }

    func settle(_ flag: Observation.Flags) {
        guard var observation else { return }
        self.observation = nil
        observation.flags.insert(flag)
        context.observe(observation)
    }
}

/// Looks whether the answers of observed routes reached their clients: every octet acknowledged by the client's TCP.
/// One per worker.
final class ObservedDeliveries {
    private struct Watched {
        let connection: DownstreamConnection
        let delivery: Delivery
        let observed: ObservedDelivery
    }

    /// Beyond so many, whether an answer arrived stays unknown.
    private static let watchedMax = 4096
    private static let intervalMilliseconds: UInt64 = 20

    private unowned let worker: Worker
    private var watched: [Watched] = []
    private var isAlarmSet = false

    init(worker: Worker) {
        self.worker = worker
    }

    /// The answer is queued.
    func watch(_ connection: DownstreamConnection, _ observed: ObservedDelivery) {
        guard watched.count < Self.watchedMax else { return observed.settle([]) }
        if !connection.peerAddress.isIP {
            // A UNIX socket tells only what it holds: all must be in it first.
            connection.flush()
            guard connection.queuedOutputBytes == 0 else { return observed.settle([]) }
        }
        watched.append(Watched(connection: connection, delivery: Delivery(of: connection), observed: observed))
        wakeUp()
    }

    func check() {
        guard !watched.isEmpty else { return }
        watched.removeAll { entry in
            guard entry.observed.observation != nil, entry.delivery.isComplete else { return false }
            entry.observed.settle(.isDelivered)
            return true
        }
        if !watched.isEmpty { wakeUp() }
    }

    /// The last look, while the descriptor is still open.
    func connectionCloses(_ connection: DownstreamConnection) {
        guard !watched.isEmpty else { return }
        watched.removeAll { entry in
            guard entry.connection === connection else { return false }
            entry.observed.settle(entry.delivery.isComplete ? .isDelivered : .isLost)
            return true
        }
    }

    /// A timer whose only effect is that a batch ends, and `check` runs.
    private func wakeUp() {
        guard !isAlarmSet else { return }
        isAlarmSet = true
        worker.schedule(at: worker.now.adding(milliseconds: Self.intervalMilliseconds)) { [unowned self] in
            self.isAlarmSet = false
        }
    }
}
