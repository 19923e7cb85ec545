import Configuration
import Proxy
import Transport

/// From what the configuration says to what the proxy takes. A time that is `off` becomes one that never passes.
extension ServerSettings {
    init(_ configuration: Configuration, cores: Int) throws(StartError) {
        self.init()
        workers = configuration.workers ?? cores
        for listener in configuration.listeners { listeners.append(try ListenerSettings(listener)) }
        if let admin = configuration.admin { self.admin = try ListenerSettings(admin) }
        for upstream in configuration.upstreams { upstreams.append(try UpstreamSettings(upstream)) }
        routes = configuration.routes.map { RouteSettings($0) }
        trustedPeers = configuration.trustedProxies.map {
            AddressBlock(octets: $0.octets, prefixLength: $0.prefixBits)
        }
        viaPseudonym = configuration.via
        let times = configuration.timeouts
        timeouts.requestHeader = times.requestHeaderMilliseconds ?? .never
        timeouts.requestBodyIdle = times.requestBodyIdleMilliseconds ?? .never
        timeouts.requestBody = times.requestBodyMilliseconds ?? .never
        timeouts.keepAlive = times.keepaliveMilliseconds ?? .never
        timeouts.responseWriteIdle = times.responseWriteIdleMilliseconds ?? .never
        limits.connectionsMax = configuration.limits.connectionsMax
        limits.requestsInFlightMax = configuration.limits.requestsInFlightMax
        limits.bodyMemoryBytesMax = Int(clamping: configuration.limits.bodyMemoryBytesMax)
        drainDelayMilliseconds = configuration.drain.delayMilliseconds
        drainTimeoutMilliseconds = configuration.drain.timeoutMilliseconds
    }
}

extension UInt64 {
    /// A hundred years in milliseconds.
    fileprivate static let never: UInt64 = 3_155_760_000_000
}

extension ListenerSettings {
    init(_ listener: Configuration.Listener) throws(StartError) {
        self.init(
            text: listener.address.description, address: try SocketAddress(listener.address), mode: listener.mode)
    }
}

extension SocketAddress {
    /// The address of an endpoint that names none by DNS.
    init(_ endpoint: Configuration.Endpoint) throws(StartError) {
        switch endpoint {
        case .unix(let path):
            self = .unix(Array(path.utf8))
        case .network(let host, let port):
            guard let address = SocketAddress.ip(host, port: port) else {
                throw StartError("'\(host)' is not an IP address")
            }
            self = address
        }
    }
}

extension UpstreamSettings {
    init(_ upstream: Configuration.Upstream) throws(StartError) {
        var servers: [Server] = []
        for server in upstream.servers {
            let host: ServerHost
            if case .network(let name, let port) = server.endpoint, SocketAddress.ip(name, port: port) == nil {
                host = .name(name, port: port)
            } else {
                host = .address(try SocketAddress(server.endpoint))
            }
            servers.append(Server(text: server.authority, host: host))
        }
        self.init(name: upstream.name, servers: servers)
        switch upstream.balance {
        case .roundRobin: balance = .roundRobin
        case .leastRequests: balance = .leastRequests
        case .first: balance = .first
        }
        idleConnectionsMax = upstream.idleConnectionsMax
        idleTimeoutMilliseconds = upstream.keepaliveMilliseconds ?? .never
        resolveIntervalMilliseconds = upstream.resolveIntervalMilliseconds
        failuresMax = upstream.failuresMax
        failTimeoutMilliseconds = upstream.failTimeoutMilliseconds
        healthCheck = upstream.healthCheck.map { check in
            var health = HealthCheck(path: check.path)
            health.intervalMilliseconds = check.intervalMilliseconds
            health.timeoutMilliseconds = check.timeoutMilliseconds
            health.healthyCount = check.healthyCount
            health.unhealthyCount = check.unhealthyCount
            health.expectedStatuses = Set((200..<600).filter { check.expectedStatuses.contains(UInt16($0)) })
            return health
        }
    }
}

extension RouteSettings {
    init(_ route: Configuration.Route) {
        let pattern: Pattern =
            switch route.match {
            case .prefix(let path): .prefix(path)
            case .exact(let path): .exact(path)
            case .regex(let text): .expression(text)
            }
        self.init(name: route.name, host: route.host, pattern: pattern, upstream: route.upstream)
        hostField =
            switch route.hostHeader {
            case .preserve: .preserve
            case .upstream: .upstream
            case .literal(let text): .fixed(text)
            }
        requestsInFlightMax = route.requestsInFlightMax
        allowsUpgrade = route.allowsUpgrade
        timeouts.connect = route.timeouts.connectMilliseconds ?? .never
        timeouts.responseHeader = route.timeouts.responseHeaderMilliseconds ?? .never
        timeouts.responseIdle = route.timeouts.upstreamIdleMilliseconds ?? .never
        timeouts.route = route.timeouts.routeMilliseconds
        timeouts.tunnel = route.timeouts.tunnelMilliseconds ?? .never
        policy = route.policy
    }
}
