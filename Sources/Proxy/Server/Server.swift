package import Idempotency
package import Observability
import Synchronization
package import Transport

/// The proxy: its workers, their listeners, and how they start and stop. Used from one control queue, never from a
/// worker.
package final class Server: @unchecked Sendable {
    // Unchecked: the listeners, contexts and spool are written once by `start`, before any worker serves or the store
    // is asked; `plan` is touched on the control queue only; everything else is immutable or an atomic.

    private let settings: ServerSettings
    /// By the wall clock, before any store was opened.
    private let startedMilliseconds: UInt64
    let shared: SharedState
    package let registry: MetricRegistry
    package let workers: [Worker]
    private let makeAccessLog: @Sendable () -> AccessLog
    private let resolver: Resolver
    private let log: Log
    /// Nil = large request bodies stay in memory.
    package private(set) var spool: Spool?
    private var plan: RulesPlan
    /// What the metrics ask about, from any thread.
    private let published = Locked<[(name: String, servers: Int, health: UpstreamHealth)]>([])
    private var contexts: [WorkerBound<WorkerContext>] = []
    private var listeners: [WorkerBound<Listener>] = []
    private var adminListener: WorkerBound<Listener>?

    /// - Parameter makeAccessLog: called once per worker.
    package init(
        settings: ServerSettings, registry: MetricRegistry, log: Log, makeAccessLog: @escaping @Sendable () -> AccessLog
    ) throws(Errno) {
        self.settings = settings
        self.registry = registry
        self.log = log
        self.makeAccessLog = makeAccessLog
        shared = SharedState()
        plan = RulesPlan(
            settings: settings, addresses: [], health: [], inFlight: [], routeLabels: [], upstreamLabels: [])
        resolver = Resolver(queue: BlockingQueue(label: "resolver", threadsMax: 2))
        var workers: [Worker] = []
        for index in 0..<settings.workers {
            workers.append(try Worker(index: index))
        }
        self.workers = workers
        startedMilliseconds = workers.first?.wallMilliseconds ?? 0
    }

    /// The store's way back to the workers.
    package func deliver(_ worker: Int, _ replies: [StoreReply]) {
        let context = contexts[worker]
        workers[worker].post { context.value.deliver(replies) }
    }

    // MARK: Start

    /// Binds every address, then serves. What was bound is in the answer, in the order of the settings.
    /// - Parameters:
    ///   - observations: where requests of routes with `mode observe` are told of.
    ///   - directory: where large request bodies go; nil = they stay in memory.
    package func start(
        store: any RecordStore, observations: (any ObservationLog)? = nil, admin: AdminEnvironment,
        spool directory: SpoolDirectory? = nil
    ) throws(StartError) -> [SocketAddress] {
        spool = directory.map { Spool(directory: $0) }
        plan = try makePlan(settings)
        for worker in workers { worker.start() }
        for worker in workers {
            let context: WorkerContext
            do {
                context = try worker.performAndWait {
                    try makeContext(worker, store, observations)
                }
            } catch {
                throw StartError("\(error)")
            }
            contexts.append(WorkerBound(context, worker: worker))
        }
        var bound: [SocketAddress] = []
        do throws(ListenError) {
            for (index, listener) in settings.listeners.enumerated() {
                bound.append(try listen(listener, index: index))
            }
            if let settings = settings.admin { try listenAdmin(settings, admin) }
        } catch {
            throw StartError(error.description)
        }
        startHealthChecks()
        let contexts = self.contexts
        shared.probes.connect { waiter, decided in
            let context = contexts[Int(waiter.worker)]
            context.worker.post { context.value.probeEnded(waiter.exchange, decided: decided) }
        }
        contexts.first?.worker.performAndWait { contexts.first?.value.startWebhooks(since: startedMilliseconds) }
        return bound
    }

    private func makeContext(
        _ worker: Worker, _ store: any RecordStore, _ observations: (any ObservationLog)?
    ) throws -> WorkerContext {
        try WorkerContext(
            worker: worker, plan: plan, store: store, shared: shared, resolver: resolver,
            telemetry: Telemetry(worker: worker, registry: registry, log: makeAccessLog(), operatorLog: log),
            spool: spool, observations: observations)
    }

    private func makePlan(_ settings: ServerSettings) throws(StartError) -> RulesPlan {
        let addresses = try resolve(settings.upstreams)
        let labels = registry.extend(routes: settings.routes.map(\.name), upstreams: settings.upstreams.map(\.name))
        let earlier = Array(zip(plan.settings.upstreams, plan.health))
        let health = settings.upstreams.map { upstream in
            earlier.first { $0.0 == upstream }?.1 ?? UpstreamHealth()
        }
        published.withLock { list in
            list = zip(settings.upstreams, health).map { ($0.name, $0.servers.count, $1) }
        }
        shared.webhooks.turn(on: settings.unknownWebhook != nil)
        shared.requestsInFlightMax.store(settings.limits.requestsInFlightMax, ordering: .relaxed)
        return RulesPlan(
            settings: settings, addresses: addresses, health: health,
            inFlight: settings.routes.map { $0.requestsInFlightMax.map { InFlightCounter(max: $0) } },
            routeLabels: labels.routes,
            upstreamLabels: labels.upstreams)
    }

    /// A name that does not exist is a mistake in the configuration; a name server that does not answer is not.
    private func resolve(_ upstreams: [UpstreamSettings]) throws(StartError) -> [[[SocketAddress]]] {
        var found: [[[SocketAddress]]] = []
        for upstream in upstreams {
            var servers: [[SocketAddress]] = []
            for server in upstream.servers {
                guard case .name(let host, let port) = server.host else {
                    servers.append([])
                    continue
                }
                switch Resolver.systemLookup(host, port) {
                case .success(let addresses):
                    servers.append(addresses)
                case .failure(.notFound):
                    throw StartError("upstream '\(upstream.name)': host not found: \(host)")
                case .failure(let error):
                    log.warning(
                        "upstream host not resolved yet", .string("host", host), .string("error", error.description))
                    servers.append([])
                }
            }
            found.append(servers)
        }
        return found
    }

    private func listen(_ settings: ListenerSettings, index: Int) throws(ListenError) -> SocketAddress {
        let first = try bindFirst(settings)
        var sockets = [first]
        for _ in workers.dropFirst() { sockets.append(try another(first, settings)) }
        for (socket, context) in zip(sockets, contexts) {
            listeners.append(
                try serve(socket, context, withTLS: settings.tls != nil) { $0.accept($1, from: $2, listener: index) })
        }
        return first.address
    }

    private func bindFirst(_ settings: ListenerSettings) throws(ListenError) -> ListeningSocket {
        if let descriptor = settings.inheritedDescriptor { return try ListeningSocket.adopt(descriptor) }
        var options = ListeningSocket.Options()
        options.mode = settings.mode
        if workers.count > 1 && settings.address.isIP {
            // Without this first look a second proxy would share the port with this one.
            try ListeningSocket.bind(settings.address, options: options).close()
            options.reusesPort = true
        }
        return try ListeningSocket.bind(settings.address, options: options)
    }

    /// IP sockets share the port, so that the kernel spreads connections; a UNIX or inherited socket is one queue for
    /// all workers.
    private func another(_ first: ListeningSocket, _ settings: ListenerSettings) throws(ListenError) -> ListeningSocket
    {
        if settings.inheritedDescriptor == nil && first.address.isIP {
            var options = ListeningSocket.Options()
            options.reusesPort = true
            return try ListeningSocket.bind(first.address, options: options)
        }
        do throws(Errno) {
            return try first.duplicate()
        } catch {
            throw ListenError(address: first.address.description, cause: .system(error))
        }
    }

    private func serve(
        _ socket: ListeningSocket, _ context: WorkerBound<WorkerContext>, withTLS: Bool = false,
        _ accept: @escaping (WorkerContext, Int32, SocketAddress) -> Void
    ) throws(ListenError) -> WorkerBound<Listener> {
        let result: Result<WorkerBound<Listener>, Errno> = context.worker.performAndWait {
            let owner = context.value
            do throws(Errno) {
                let listener = try Listener(worker: context.worker, socket: socket) { descriptor, peer in
                    accept(owner, descriptor, peer)
                }
                if withTLS { listener.onManyHandshakes = { owner.telemetry.limitHit("handshakes") } }
                return .success(WorkerBound(listener, worker: context.worker))
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let listener): return listener
        case .failure(let error): throw ListenError(address: socket.address.description, cause: .system(error))
        }
    }

    private func listenAdmin(_ settings: ListenerSettings, _ environment: AdminEnvironment) throws(ListenError) {
        let socket = try bindFirst(settings)
        let handler = AdminHandler(server: self, environment: environment)
        adminListener = try serve(socket, contexts[0]) { context, descriptor, peer in
            AdminConnection(context: context, handler: handler).serve(descriptor, peer)
        }
    }

    private func startHealthChecks() {
        contexts.first?.worker.performAndWait { contexts.first?.value.startHealthChecks() }
    }

    // MARK: Reload

    /// Serves by other routes, upstreams, times and limits from here on; what is in flight ends by the rules it began
    /// with. Listeners, workers, admin and store stay as they are.
    package func reload(_ settings: ServerSettings) throws(StartError) {
        let next = try makePlan(settings)
        for context in contexts {
            do {
                try context.worker.performAndWait { try context.value.reload(next) }
            } catch {
                throw StartError("\(error)")
            }
        }
        plan = next
    }

    // MARK: The operator's view

    /// Clients' connections.
    package var connectionCount: Int { shared.connections.load(ordering: .relaxed) }
    package var bodyMemoryBytes: Int { shared.bodyMemory.load(ordering: .relaxed) }
    package var isOverloaded: Bool { requestsInFlight > shared.requestsInFlightMax.load(ordering: .relaxed) }

    /// Per upstream: whether any of its servers passes its health check. Any thread.
    package func upstreamHealth() -> [(name: String, isHealthy: Bool)] {
        published.withLock { $0 }.map { upstream in
            (upstream.name, (0..<upstream.servers).contains { upstream.health.isHealthy($0) })
        }
    }

    /// Unknown outcomes that are asked for in the background.
    package var backgroundProbeCount: Int { shared.probes.pendingCount }

    package var isDraining: Bool { shared.isDraining.load(ordering: .relaxed) }

    /// Calls back, on a worker, once each worker has taken a turn since this call.
    package func afterAllWorkersTurned(_ done: @escaping @Sendable () -> Void) {
        pass(through: workers[...], done)
    }

    private func pass(through workers: ArraySlice<Worker>, _ done: @escaping @Sendable () -> Void) {
        guard let worker = workers.first else { return done() }
        worker.post { self.pass(through: workers.dropFirst(), done) }
    }

    // MARK: Stop

    /// Readiness says no from here on; clients are still served.
    package func announceDraining() {
        shared.isDraining.store(true, ordering: .relaxed)
    }

    package var requestsInFlight: Int { shared.requestsInFlight.load(ordering: .relaxed) }

    /// Accepts nothing more; connections close after the answer they wait for.
    package func startDraining() {
        shared.isDraining.store(true, ordering: .relaxed)
        for listener in listeners {
            listener.worker.performAndWait { listener.value.acceptWaitingAndClose() }
        }
        for context in contexts { context.worker.post { context.value.startDraining() } }
    }

    /// Ends what is still in flight: attempts that may have been sent become unknown.
    package func abandonExchanges() {
        for context in contexts { context.worker.post { context.value.abandonExchanges() } }
    }

    /// Ends the workers. After this nothing is served.
    package func stop() {
        if let adminListener {
            adminListener.worker.performAndWait { adminListener.value.closeAndUnlink() }
        }
        for worker in workers { worker.stop() }
    }
}

/// Why the proxy cannot start: one line for the operator.
package struct StartError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
