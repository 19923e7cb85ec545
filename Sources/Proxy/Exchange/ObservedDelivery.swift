import Idempotency
import Transport

/// An observation whose answer is on its way to the client. Left for the log when it is known whether it arrived, or
/// when nobody can tell any more.
final class ObservedDelivery {
    private let context: WorkerContext
    /// Set when the exchange is over.
    var observation: Observation? {
        didSet {
            guard observation != nil, let flag = early else { return }
            early = nil
            settle(flag)
        }
    }
    /// What was told before that.
    private var early: Observation.Flags?

    init(context: WorkerContext) {
        self.context = context
    }

    // A stream that is reset forgets the note that holds this: its answer never left.
    deinit {
        settle(.isLost)
    }

    func settle(_ flag: Observation.Flags) {
        guard var observation else {
            if early == nil { early = flag }
            return
        }
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
    private var isDue = false

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

    /// A call of the kernel for each answer on its way: made when the alarm has rung, not with every batch.
    func check() {
        guard isDue, !watched.isEmpty else { return }
        isDue = false
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

    /// The batch that the alarm rings in ends with `check`.
    private func wakeUp() {
        guard !isAlarmSet else { return }
        isAlarmSet = true
        worker.schedule(at: worker.now.adding(milliseconds: Self.intervalMilliseconds)) { [unowned self] in
            self.isAlarmSet = false
            self.isDue = true
        }
    }
}
