import HTTP
import Idempotency
import Observability
import Synchronization
import Transport

/// What the connections and exchanges of one worker share. Everything here is used on the worker's queue only.
final class WorkerContext {
    let worker: Worker
    let store: any RecordStore
    /// Where routes with `mode observe` leave what they see.
    let observations: (any ObservationLog)?
    let shared: SharedState
    /// Stay as they are over reloads.
    let listeners: [ListenerSettings]
    private(set) var rules: Rules!
    private(set) var deliveries: DeliveryWatch!
    private(set) var prober: Prober!
    let observedDeliveries: ObservedDeliveries
    let telemetry: Telemetry
    /// Where large request bodies go; nil = they stay in memory.
    let spool: Spool?
    private let resolver: Resolver

    /// The head being parsed, swapped into an exchange when it is whole, so that a connection inside a head holds no
    /// exchange.
    @exclusivity(unchecked) var parsedHead = RequestHead()
    /// For serialisers; empty before each use, its capacity kept.
    @exclusivity(unchecked) var scratch: [UInt8] = []
    @exclusivity(unchecked) var identityScratch = IdentityScratch()

    @exclusivity(unchecked) private var exchanges: [Exchange] = []
    @exclusivity(unchecked) private var generations: [UInt32] = []
    /// Unused exchanges, those that keep their buffers apart: they are taken first.
    @exclusivity(unchecked) private var warmExchanges: [Int] = []
    @exclusivity(unchecked) private var coldExchanges: [Int] = []
    @exclusivity(unchecked) private var outbox: [StoreRequest] = []
    @exclusivity(unchecked) private var observed: [Observation] = []
    @exclusivity(unchecked) private var deferred: [() -> Void] = []
    private var connections: [ObjectIdentifier: DownstreamConnection] = [:]
    private(set) var isDraining = false
    private var healthCheckers: [HealthChecker] = []
    private var webhookSender: WebhookSender?
    private var operatorRequests: [UInt64: (StoreResult) -> Void] = [:]
    private var operatorSerial: UInt64 = 0

    init(
        worker: Worker, plan: RulesPlan, store: any RecordStore, shared: SharedState, resolver: Resolver,
        telemetry: Telemetry, spool: Spool? = nil, observations: (any ObservationLog)? = nil
    ) throws(PolicyError) {
        self.worker = worker
        self.store = store
        self.observations = observations
        observedDeliveries = ObservedDeliveries(worker: worker)
        self.shared = shared
        listeners = plan.settings.listeners
        self.resolver = resolver
        self.telemetry = telemetry
        self.spool = spool
        scratch.reserveCapacity(64 << 10)
        rules = try Rules(plan, context: self, resolver: resolver, earlier: nil)
        telemetry.prepare(plan)
        deliveries = DeliveryWatch(context: self, pending: shared.deliveries)
        prober = Prober(context: self)
        worker.onBatchEnd { [unowned self] in self.endBatch() }
    }

    var timeouts: ClientTimeouts { rules.timeouts }
    var limits: Limits { rules.limits }

    /// Serves by other rules from the next request on.
    func reload(_ plan: RulesPlan) throws(PolicyError) {
        let earlier: Rules = rules
        rules = try Rules(plan, context: self, resolver: resolver, earlier: earlier)
        telemetry.prepare(plan)
        earlier.retire(for: rules)
        startHealthChecks()
    }

    /// On the first worker only: it posts what all workers tell, and what the start found. `since`: the start, by the
    /// wall clock.
    func startWebhooks(since: UInt64) {
        guard worker.index == 0 else { return }
        let sender = WebhookSender(context: self, resolver: resolver)
        webhookSender = sender
        let bound = WorkerBound(sender, worker: worker)
        shared.webhooks.connect { bound.worker.post { bound.value.wake() } }
        guard rules.unknownWebhook != nil else { return }
        var filter = RecordFilter()
        filter.states = [.unknown]
        filter.unknownFromMilliseconds = since
        // One more than the queue takes, so that the surplus is counted.
        filter.countMax = limits.webhookEventsMax + 1
        ask {
            .list(filter, $0)
        } _: { [unowned self] result in
            guard case .listed(let records) = result else { return }
            for record in records { tellUnknown(UnknownEvent(record)) }
        }
    }

    /// On the first worker only; the others see the result.
    func startHealthChecks() {
        guard worker.index == 0 else { return }
        healthCheckers = rules.pools.compactMap { pool in
            guard let check = pool.settings.healthCheck else { return nil }
            return healthCheckers.first { $0.pool === pool } ?? HealthChecker(pool: pool, check: check)
        }
    }

    // MARK: Exchanges

    func openExchange(for downstream: Downstream) -> Exchange {
        let (exchange, id) = takeExchange()
        exchange.open(id: id, downstream: downstream)
        swap(&exchange.head, &parsedHead)
        return exchange
    }

    /// Sends a probe's question; `run.ended` is called once.
    func openProbe(_ run: ProbeRun) {
        let (exchange, id) = takeExchange()
        exchange.open(id: id, probe: run)
    }

    /// A probe has ended for which this exchange waited, if it still does.
    func probeEnded(_ id: UInt64, decided: Bool) {
        exchange(id)?.run { $0.probeEnded(decided: decided) }
    }

    private func takeExchange() -> (Exchange, id: UInt64) {
        let index: Int
        if let free = warmExchanges.popLast() ?? coldExchanges.popLast() {
            index = free
        } else {
            index = exchanges.count
            exchanges.append(Exchange(context: self))
            generations.append(0)
        }
        // 31 bits: the uppermost marks an operator's request.
        generations[index] = (generations[index] &+ 1) & 0x7FFF_FFFF
        shared.requestsInFlight.add(1, ordering: .relaxed)
        return (exchanges[index], UInt64(generations[index]) << 32 | UInt64(index))
    }

    func closeExchange(_ exchange: Exchange) {
        let index = Int(exchange.id & 0xFFFF_FFFF)
        generations[index] = (generations[index] &+ 1) & 0x7FFF_FFFF
        if warmExchanges.count < WorkerContext.warmExchangesMax {
            warmExchanges.append(index)
        } else {
            exchange.giveUpBuffers()
            coldExchanges.append(index)
        }
        shared.requestsInFlight.subtract(1, ordering: .relaxed)
    }

    /// So many unused exchanges keep their buffers; what a peak needed more is given back.
    private static let warmExchangesMax = 256

    var exchangesInFlight: Int { exchanges.count - warmExchanges.count - coldExchanges.count }

    /// More requests than the limit are in flight, over all workers.
    var isAtCapacity: Bool { shared.requestsInFlight.load(ordering: .relaxed) > limits.requestsInFlightMax }

    /// Nil when it has ended.
    func exchange(_ id: UInt64) -> Exchange? {
        let index = Int(id & 0xFFFF_FFFF)
        guard index < exchanges.count, generations[index] == UInt32(id >> 32) else { return nil }
        return exchanges[index]
    }

    // MARK: The store

    /// Sent to the store at the end of the batch, with everything else that the batch asks for.
    func submit(_ request: StoreRequest) {
        outbox.append(request)
    }

    /// Left for the observation log at the end of the batch.
    func observe(_ observation: Observation) {
        observed.append(observation)
    }

    /// Answers of the store to this worker's exchanges.
    func deliver(_ replies: [StoreReply]) {
        for reply in replies {
            if reply.address.exchange & WorkerContext.operatorBit != 0 {
                operatorRequests.removeValue(forKey: reply.address.exchange)?(reply.result)
            } else if let exchange = exchange(reply.address.exchange) {
                exchange.storeAnswered(reply.result)
            } else if case .claimed(let claim) = reply.result {
                // A waiter left while the store made it the owner: nothing was sent, so the next attempt may run.
                submit(.complete(claim, .released, reply.address))
            }
        }
    }

    /// Asks the store something for an operator.
    func ask(_ makeRequest: (ReplyAddress) -> StoreRequest, _ answered: @escaping (StoreResult) -> Void) {
        operatorSerial += 1
        let number = WorkerContext.operatorBit | operatorSerial
        operatorRequests[number] = answered
        submit(makeRequest(ReplyAddress(worker: UInt32(worker.index), exchange: number)))
    }

    /// Marks addresses that are no exchange's.
    private static let operatorBit: UInt64 = 1 << 63

    /// Runs after the current event, on this worker, before the batch ends.
    func afterThisEvent(_ work: @escaping () -> Void) {
        deferred.append(work)
    }

    private func endBatch() {
        while !deferred.isEmpty {
            let works = deferred
            deferred.removeAll()
            for work in works { work() }
        }
        deliveries.check()
        observedDeliveries.check()
        if !outbox.isEmpty {
            let requests = outbox
            outbox = []
            outbox.reserveCapacity(requests.count)
            store.submit(requests)
        }
        if !observed.isEmpty {
            let observations = observed
            observed = []
            observed.reserveCapacity(observations.count)
            self.observations?.submit(observations)
        }
        telemetry.batchEnded()
    }

    // MARK: Unknown outcomes

    /// An outcome became unknown: whoever is configured to hear of it is told, later.
    func tellUnknown(_ event: UnknownEvent) {
        switch shared.webhooks.add(event, countMax: limits.webhookEventsMax) {
        case .off, .added: break
        case .full: telemetry.webhookEnded("dropped")
        }
    }

    // MARK: Connections

    func accept(_ descriptor: Int32, from peer: SocketAddress, listener: Int) {
        let connection = DownstreamConnection(context: self, listener: listener)
        guard shared.connections.add(1, ordering: .relaxed).newValue <= limits.connectionsMax, !isDraining else {
            shared.connections.subtract(1, ordering: .relaxed)
            telemetry.connectionRejected("connections")
            connection.turnAway(descriptor, peer, .overloaded)
            return
        }
        do {
            try connection.adopt(descriptor: descriptor, peer: peer)
        } catch {
            shared.connections.subtract(1, ordering: .relaxed)
            return
        }
        connections[ObjectIdentifier(connection)] = connection
        telemetry.connectionOpened(listener)
        connection.opened()
    }

    func connectionClosed(_ connection: DownstreamConnection) {
        deliveries.connectionCloses(connection)
        observedDeliveries.connectionCloses(connection)
        if connections.removeValue(forKey: ObjectIdentifier(connection)) != nil {
            shared.connections.subtract(1, ordering: .relaxed)
            telemetry.connectionClosed(connection.listener, isHTTP2: connection.speaksHTTP2)
        }
    }

    // MARK: Draining

    /// Idle connections close, the others after their answer.
    func startDraining() {
        isDraining = true
        for connection in Array(connections.values) { connection.drainConnection() }
        for pool in rules.pools { pool.closeIdle() }
    }

    /// The drain's time is over: what is still in flight on covered routes becomes unknown, and is stored as such.
    func abandonExchanges() {
        for exchange in exchanges where exchange.isInUse { exchange.abandon() }
    }

    // MARK: Memory

    func reserveBodyMemory(_ count: Int) -> Bool {
        if shared.bodyMemory.add(count, ordering: .relaxed).newValue <= limits.bodyMemoryBytesMax { return true }
        shared.bodyMemory.subtract(count, ordering: .relaxed)
        return false
    }

    /// The same for a body that is only looked at: it leaves half of the budget to those that must be held.
    func reserveObservedMemory(_ count: Int) -> Bool {
        if shared.bodyMemory.add(count, ordering: .relaxed).newValue <= limits.bodyMemoryBytesMax / 2 { return true }
        shared.bodyMemory.subtract(count, ordering: .relaxed)
        return false
    }

    func releaseBodyMemory(_ count: Int) {
        if count > 0 { shared.bodyMemory.subtract(count, ordering: .relaxed) }
    }
}

/// Counters that bound what all workers hold together.
final class SharedState: Sendable {
    let connections = Atomic<Int>(0)
    let requestsInFlight = Atomic<Int>(0)
    let bodyMemory = Atomic<Int>(0)
    let isDraining = Atomic<Bool>(false)
    let deliveries = PendingDeliveries()
    let probes = ProbeRegistry()
    let webhooks = WebhookQueue()
    let keyChurn = KeyChurn()
    /// From the configuration, for the operator's view.
    let requestsInFlightMax = Atomic<Int>(.max)

    init() {}
}
