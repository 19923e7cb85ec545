import Idempotency
import Transport

/// Answers whose delivery is not known yet, over all workers: the repeat of a request may come to another worker than
/// the answer went out on, and must find out at once. Only routes with `replay undelivered` ask, and replays of answers
/// that were lost before.
final class PendingDeliveries: Sendable {
    /// One answer on its way. One record may have several: replays that run at the same time.
    struct Ticket: Equatable {
        let claim: ClaimReference
        fileprivate let serial: UInt64
    }

    struct Delivered {
        let claim: ClaimReference
        /// The answer was lost before; the label of its route.
        let rescuedRoute: Int?
    }

    enum Look {
        case pending
        case delivered(Delivered)
        /// Its delivery was told, by whichever worker.
        case told
    }

    private struct Pending {
        let serial: UInt64
        let claim: ClaimReference
        let delivery: Delivery
        var rescuedRoute: Int?
    }

    private struct State {
        /// Those of a key in the order of their serial numbers. An entry stands here only while its descriptor is
        /// open: `remove` comes before the close.
        var pending: [RecordKey: [Pending]] = [:]
        var lastSerial: UInt64 = 0

        func index(of ticket: Ticket) -> Int? {
            guard let entries = pending[ticket.claim.key] else { return nil }
            var (low, high) = (0, entries.count)
            while low < high {
                let middle = (low + high) / 2
                if entries[middle].serial < ticket.serial { low = middle + 1 } else { high = middle }
            }
            return low < entries.count && entries[low].serial == ticket.serial ? low : nil
        }

        /// A rescue is counted once: it is the first delivery's.
        mutating func take(_ index: Int, of key: RecordKey) -> Delivered? {
            guard let entry = pending[key]?.remove(at: index) else { return nil }
            if entry.rescuedRoute != nil, let rest = pending[key]?.indices {
                for other in rest { pending[key]?[other].rescuedRoute = nil }
            }
            if pending[key]?.isEmpty == true { pending[key] = nil }
            return Delivered(claim: entry.claim, rescuedRoute: entry.rescuedRoute)
        }
    }

    /// A repeat asks about so many answers of its key, the latest; the others are looked at in their turn.
    static let askedMax = 16

    private let state = Locked(State())

    func add(_ claim: ClaimReference, _ delivery: Delivery, rescuedRoute: Int?) -> Ticket {
        state.withLock { state in
            state.lastSerial += 1
            state.pending[claim.key, default: []].append(
                Pending(serial: state.lastSerial, claim: claim, delivery: delivery, rescuedRoute: rescuedRoute))
            return Ticket(claim: claim, serial: state.lastSerial)
        }
    }

    /// The answers under a key that have arrived by now.
    func takeDelivered(_ key: RecordKey) -> [Delivered] {
        state.withLock { state in
            guard let entries = state.pending[key] else { return [] }
            var delivered: [Delivered] = []
            for index in entries.indices.suffix(Self.askedMax).reversed() where entries[index].delivery.isComplete {
                if let taken = state.take(index, of: key) { delivered.append(taken) }
            }
            return delivered
        }
    }

    /// What is known of one answer by now; it is told once.
    func look(_ ticket: Ticket) -> Look {
        state.withLock { state in
            guard let index = state.index(of: ticket), let entry = state.pending[ticket.claim.key]?[index] else {
                return .told
            }
            guard entry.delivery.isComplete, let taken = state.take(index, of: ticket.claim.key) else {
                return .pending
            }
            return .delivered(taken)
        }
    }

    /// Forgets an answer that did not arrive.
    func remove(_ ticket: Ticket) {
        state.withLock { state in
            guard let index = state.index(of: ticket) else { return }
            state.pending[ticket.claim.key]?.remove(at: index)
            if state.pending[ticket.claim.key]?.isEmpty == true { state.pending[ticket.claim.key] = nil }
        }
    }
}

/// Whether answers reached their clients: every octet acknowledged by the client's TCP. One per worker.
final class DeliveryWatch {
    private struct Watched {
        let connection: DownstreamConnection
        let ticket: PendingDeliveries.Ticket
    }

    private unowned let context: WorkerContext
    private let pending: PendingDeliveries
    private var watched = WatchList<Watched>()
    private var isAlarmSet = false
    private var isDue = false
    /// How often an answer that is not acknowledged yet is looked at.
    private static let intervalMilliseconds: UInt64 = 20
    /// A look is a call of the kernel (0.8 µs): at most so many at a time, and the rest soon after. Who needs to know
    /// earlier, a repeat or the connection's end, asks for itself.
    private static let looksMax = 512
    private static let restMilliseconds: UInt64 = 5

    init(context: WorkerContext, pending: PendingDeliveries) {
        self.context = context
        self.pending = pending
    }

    /// The answer is queued; its delivery is looked at from the next alarm on.
    func watch(_ connection: DownstreamConnection, _ claim: ClaimReference, rescuedRoute: Int?) {
        if !connection.peerAddress.isIP {
            // A UNIX socket tells only what it holds, not how much it has passed on: all must be in it first.
            connection.flush()
            guard connection.queuedOutputBytes == 0 else { return connection.noteSent(claim) }
        }
        let ticket = pending.add(claim, Delivery(of: connection), rescuedRoute: rescuedRoute)
        watched.append(Watched(connection: connection, ticket: ticket))
        wakeUp(in: DeliveryWatch.intervalMilliseconds)
    }

    /// Tells the store of deliveries before it is asked about the same key.
    func settle(_ key: RecordKey) {
        for delivered in pending.takeDelivered(key) { tell(delivered) }
    }

    /// Made when the alarm has rung, not with every batch.
    func check() {
        guard isDue else { return }
        isDue = false
        let isRoundOver = watched.look(atMost: DeliveryWatch.looksMax) { isTold($0.ticket) }
        guard !watched.isEmpty else { return }
        wakeUp(in: isRoundOver ? DeliveryWatch.intervalMilliseconds : DeliveryWatch.restMilliseconds)
    }

    private func isTold(_ ticket: PendingDeliveries.Ticket) -> Bool {
        switch pending.look(ticket) {
        case .pending: return false
        case .delivered(let delivered): tell(delivered)
        case .told: break
        }
        return true
    }

    private func tell(_ delivered: PendingDeliveries.Delivered) {
        context.submit(.delivered(delivered.claim))
        if let route = delivered.rescuedRoute { context.telemetry.answerRescued(route) }
    }

    /// The batch that the alarm rings in ends with `check`.
    private func wakeUp(in milliseconds: UInt64) {
        guard !isAlarmSet else { return }
        isAlarmSet = true
        context.worker.schedule(at: context.worker.now.adding(milliseconds: milliseconds)) { [unowned self] in
            self.isAlarmSet = false
            self.isDue = true
        }
    }

    /// The last look, while the descriptor is still open; what is not acknowledged by now counts as not delivered.
    func connectionCloses(_ connection: DownstreamConnection) {
        for claim in connection.takeLostAnswers() { context.submit(.undelivered(claim)) }
        guard !watched.isEmpty else { return }
        watched.removeAll { entry in
            guard entry.connection === connection else { return false }
            if !isTold(entry.ticket) {
                pending.remove(entry.ticket)
                context.submit(.undelivered(entry.ticket.claim))
            }
            return true
        }
    }
}
