import Configuration
import Idempotency
import Proxy
import Transport

/// From what the configuration says to what the proxy takes. A time that is `off` becomes one that never passes.
extension ServerSettings {
    init(
        _ configuration: Configuration, cores: Int, certificates: Certificates, tokenKeys: TokenKeys
    ) throws(StartError) {
        self.init()
        workers = configuration.workers ?? cores
        for listener in configuration.listeners { listeners.append(try ListenerSettings(listener, certificates)) }
        if let admin = configuration.admin { self.admin = try ListenerSettings(admin, certificates) }
        for upstream in configuration.upstreams { upstreams.append(try UpstreamSettings(upstream, certificates)) }
        for route in configuration.routes { routes.append(try RouteSettings(route, tokenKeys)) }
        unknownWebhook = try configuration.unknownWebhook.map { (webhook) throws(StartError) in
            try WebhookSettings(webhook, certificates)
        }
        trustedPeers = configuration.trustedProxies.map {
            AddressBlock(octets: $0.octets, prefixLength: $0.prefixBits)
        }
        viaPseudonym = configuration.via
        let times = configuration.timeouts
        timeouts.handshake = times.tlsHandshakeMilliseconds ?? .never
        timeouts.requestHeader = times.requestHeaderMilliseconds ?? .never
        timeouts.requestBodyIdle = times.requestBodyIdleMilliseconds ?? .never
        timeouts.requestBody = times.requestBodyMilliseconds ?? .never
        timeouts.keepAlive = times.keepaliveMilliseconds ?? .never
        timeouts.responseWriteIdle = times.responseWriteIdleMilliseconds ?? .never
        limits.connectionsMax = configuration.limits.connectionsMax
        limits.requestsInFlightMax = configuration.limits.requestsInFlightMax
        limits.bodyMemoryBytesMax = Int(clamping: configuration.limits.bodyMemoryBytesMax)
        limits.spoolThresholdBytes = Int(clamping: configuration.spool.thresholdBytes)
        limits.spoolBytesMax = Int(clamping: configuration.spool.bytesMax)
        drainDelayMilliseconds = configuration.drain.delayMilliseconds
        drainTimeoutMilliseconds = configuration.drain.timeoutMilliseconds
    }
}

extension UInt64 {
    /// A hundred years in milliseconds.
    fileprivate static let never: UInt64 = 3_155_760_000_000
}

extension ListenerSettings {
    init(_ listener: Configuration.Listener, _ certificates: Certificates) throws(StartError) {
        self.init(
            text: listener.address.description, address: try SocketAddress(listener.address), mode: listener.mode)
        allowsHTTP2 = listener.allowsHTTP2
        proxyPeers = listener.trustedProxyPeers.map {
            AddressBlock(octets: $0.octets, prefixLength: $0.prefixBits)
        }
        guard let tls = listener.tls else { return }
        asksForClientCertificate = tls.clientCertificates != .off
        do throws(TLSError) {
            self.tls = try certificates.server(TLSServerContext.Options(tls, allowsHTTP2: listener.allowsHTTP2))
        } catch {
            throw StartError("listen \(text): \(error.description)")
        }
    }
}

extension TLSServerContext.Options {
    fileprivate init(_ tls: Configuration.Listener.TLS, allowsHTTP2: Bool) {
        self.init(certificates: tls.certificates.map { TLSCertificateFiles($0) })
        alpn = tls.alpn.map { TLSProtocol($0) }.filter { allowsHTTP2 || $0 != .http2 }
        minimumVersion = tls.minimumVersion == .tls13 ? .tls13 : .tls12
        clientCertificates =
            switch tls.clientCertificates {
            case .off: .none
            case .optional(let path): .optional(caPath: path)
            case .required(let path): .required(caPath: path)
            }
        rejectsUnknownName = tls.rejectsUnknownName
        tickets =
            switch tls.tickets {
            case .off: .none
            case .on: .own
            case .shared(let path): .shared(path: path)
            }
    }
}

extension TLSCertificateFiles {
    fileprivate init(_ certificate: Configuration.Certificate) {
        self.init(chainPath: certificate.chainPath, keyPath: certificate.keyPath)
    }
}

extension TLSProtocol {
    fileprivate init(_ name: Configuration.ApplicationProtocol) {
        switch name {
        case .http2: self = .http2
        case .http11: self = .http11
        }
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

extension WebhookSettings {
    init(_ webhook: Configuration.Webhook, _ certificates: Certificates) throws(StartError) {
        let server = try UpstreamSettings.Server(webhook.server)
        guard server.scheme == .https else {
            self.init(server: server, tls: nil, target: webhook.target)
            return
        }
        var tls = Configuration.Upstream.TLS()
        tls.alpn = [.http11]
        do throws(TLSError) {
            self.init(server: server, tls: try UpstreamTLS(tls, certificates), target: webhook.target)
        } catch {
            throw StartError("unknown_webhook: \(error.description)")
        }
    }
}

extension UpstreamSettings.Server {
    fileprivate init(_ server: Configuration.Upstream.Server) throws(StartError) {
        let host: UpstreamSettings.ServerHost
        if case .network(let name, let port) = server.endpoint, SocketAddress.ip(name, port: port) == nil {
            host = .name(name, port: port)
        } else {
            host = .address(try SocketAddress(server.endpoint))
        }
        self.init(text: server.authority, host: host, scheme: UpstreamSettings.Scheme(server.scheme))
    }
}

extension UpstreamSettings {
    init(_ upstream: Configuration.Upstream, _ certificates: Certificates) throws(StartError) {
        var servers: [Server] = []
        for server in upstream.servers { servers.append(try Server(server)) }
        self.init(name: upstream.name, servers: servers)
        streamsMax = upstream.streamsMax
        if servers.contains(where: { $0.scheme == .https }) {
            do throws(TLSError) {
                tls = try UpstreamTLS(upstream.tls ?? Configuration.Upstream.TLS(), certificates)
            } catch {
                throw StartError("upstream \(upstream.name): \(error.description)")
            }
        }
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

extension UpstreamSettings.Scheme {
    fileprivate init(_ scheme: Configuration.Upstream.Server.Scheme) {
        switch scheme {
        case .http: self = .http
        case .https: self = .https
        case .h2c: self = .h2c
        }
    }
}

extension UpstreamTLS {
    fileprivate init(_ tls: Configuration.Upstream.TLS, _ certificates: Certificates) throws(TLSError) {
        var options = TLSClientContext.Options()
        options.caPath = tls.authoritiesPath
        options.verifies = tls.verifies
        options.certificate = tls.certificate.map { TLSCertificateFiles($0) }
        options.alpn = tls.alpn.map { TLSProtocol($0) }
        self.init(context: try certificates.client(options), serverName: tls.name)
    }
}

extension RouteSettings {
    init(_ route: Configuration.Route, _ keys: TokenKeys) throws(StartError) {
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
        observed = route.observed
        guard case .jwt(let scope)? = route.policy?.scope else { return }
        do throws(TokenKeyFileError) {
            tokenKeys = try keys.ring(for: scope)
        } catch {
            throw StartError("route \(route.name): \(error.path): \(error)")
        }
    }
}
