import HTTP
import Idempotency
import Observability
import Synchronization
import Transport

@testable import Proxy

/// One worker's part of a proxy, without listeners: a started worker, its context, and servers that take connections
/// and say nothing. Everything of the context is used inside `onWorker`.
final class Bench {
    let worker: Worker
    let shared: SharedState
    let store = SilentStore()
    private(set) var context: WorkerContext!
    private var sockets: [ListeningSocketBox] = []

    /// Closes with the bench.
    private final class ListeningSocketBox {
        let socket: ListeningSocket

        init(_ socket: ListeningSocket) {
            self.socket = socket
        }

        deinit {
            socket.close()
        }
    }

    /// - Parameters:
    ///   - servers: how many the one upstream has; `configure` may change them.
    ///   - route: the one route.
    init(
        servers: Int = 1, route: RouteSettings = RouteSettings(name: "/", pattern: .prefix("/"), upstream: 0),
        via: String? = "oncegate", configure: (inout UpstreamSettings) -> Void = { _ in }
    ) throws {
        worker = try Worker(index: 0)
        shared = SharedState()
        var list: [UpstreamSettings.Server] = []
        for _ in 0..<servers {
            let socket = try ListeningSocket.bind(.v4(0x7F00_0001, port: 0))
            sockets.append(ListeningSocketBox(socket))
            list.append(UpstreamSettings.Server(text: "service:8080", host: .address(socket.address)))
        }
        var upstream = UpstreamSettings(name: "service", servers: list)
        configure(&upstream)
        var settings = ServerSettings()
        settings.upstreams = [upstream]
        settings.routes = [route]
        settings.viaPseudonym = via
        worker.start()
        context = try worker.performAndWait {
            let registry = MetricRegistry(names: ConfiguredNames(routes: ["/"], upstreams: ["service"]))
            let plan = RulesPlan(
                settings: settings, addresses: [Array(repeating: [], count: list.count)], health: [UpstreamHealth()],
                inFlight: [nil],
                routeLabels: [0], upstreamLabels: [0])
            let log = AccessLog(.off, sink: nil, names: ConfiguredNames())
            return try WorkerContext(
                worker: worker, plan: plan, store: store, shared: shared, resolver: Resolver(queue: BlockingQueue()),
                telemetry: Telemetry(
                    worker: worker, registry: registry, log: log, operatorLog: Log(try LogSink(.descriptor(2)))))
        }
    }

    deinit {
        worker.stop()
    }

    func onWorker<Value>(_ work: (WorkerContext) throws -> Value) rethrows -> Value {
        try worker.performAndWait { try work(context) }
    }

    var pool: UpstreamPool { context.rules.pools[0] }
    var route: Route { context.rules.routes[0] }

    /// Returns once the worker's clock has passed this many milliseconds more.
    func pass(milliseconds: UInt64) {
        let passed = Gate()
        worker.post { [worker] in
            worker.schedule(at: worker.now.adding(milliseconds: milliseconds)) { passed.open() }
        }
        passed.wait()
    }
}

/// Answers nothing.
final class SilentStore: RecordStore {
    func submit(_ requests: consuming [StoreRequest]) {}
    func markSent(_ claim: ClaimReference) {}
    func close() {}
}
