package import Idempotency
package import Transport

/// Everything the proxy is told at start. Durations in milliseconds; nil = no limit.
package struct ServerSettings: Sendable {
    package var workers = 1
    package var listeners: [ListenerSettings] = []
    package var admin: ListenerSettings?
    package var upstreams: [UpstreamSettings] = []
    package var routes: [RouteSettings] = []
    /// Peers whose `X-Forwarded-*` and `X-Request-ID` are believed.
    package var trustedPeers: [AddressBlock] = []
    /// The pseudonym in `Via`; nil = no `Via`.
    package var viaPseudonym: String? = "oncegate"
    package var timeouts = ClientTimeouts()
    package var limits = Limits()
    /// Who hears of an outcome that became unknown; nil = nobody.
    package var unknownWebhook: WebhookSettings?
    package var drainDelayMilliseconds: UInt64 = 5_000
    package var drainTimeoutMilliseconds: UInt64 = 25_000

    package init() {}
}

package struct ListenerSettings: Sendable {
    /// As written in the configuration.
    package var text: String
    package var address: SocketAddress
    /// Permissions of a UNIX socket's file.
    package var mode: UInt32?
    /// A descriptor handed over by the service manager, already bound and listening.
    package var inheritedDescriptor: Int32?
    /// Nil = no TLS.
    package var tls: TLSServerContext?
    /// Clients are asked for certificates.
    package var asksForClientCertificate = false
    /// Peers that begin each connection with a PROXY header, and are refused without one.
    package var proxyPeers: [AddressBlock] = []
    /// Without TLS: whether HTTP/2 is spoken with clients that begin it, or ask for the upgrade.
    package var allowsHTTP2 = true

    package init(text: String, address: SocketAddress, mode: UInt32? = nil, inheritedDescriptor: Int32? = nil) {
        self.text = text
        self.address = address
        self.mode = mode
        self.inheritedDescriptor = inheritedDescriptor
    }
}

extension ListenerSettings {
    /// Never guessed from what the peer sends: the PROXY protocol forbids it.
    func expectsProxyHeader(from peer: SocketAddress) -> Bool {
        guard !proxyPeers.isEmpty else { return false }
        // The peers of a UNIX socket have no address: they are all of the operator's choosing.
        guard let octets = peer.octets else { return true }
        return proxyPeers.contains { $0.contains(octets) }
    }
}

/// Timeouts towards clients (operations.md §1.5).
package struct ClientTimeouts: Sendable {
    package var handshake: UInt64 = 10_000
    package var requestHeader: UInt64 = 10_000
    package var requestBodyIdle: UInt64 = 15_000
    package var requestBody: UInt64 = 60_000
    package var keepAlive: UInt64 = 60_000
    package var responseWriteIdle: UInt64 = 30_000
    /// How long the rest of a request is read after its answer was sent.
    package var drainBody: UInt64 = 1_000

    package init() {}
}

/// Timeouts towards services.
package struct UpstreamTimeouts: Sendable {
    package var connect: UInt64 = 3_000
    package var responseHeader: UInt64 = 60_000
    package var responseIdle: UInt64 = 60_000
    /// The whole exchange, counted from the request's head.
    package var route: UInt64?
    package var tunnel: UInt64 = 3_600_000

    package init() {}
}

/// Every bound of the request flow in one place. Each has a metric for when it is hit.
package struct Limits: Sendable {
    package var connectionsMax = 16_384
    package var requestsInFlightMax = 16_384
    /// Octets of buffered request bodies and answers being recorded, over all workers.
    package var bodyMemoryBytesMax = 256 << 20
    /// Octets of one request body that are kept in memory; past it the body goes to a spool file.
    package var spoolThresholdBytes = 256 << 10
    /// Octets of all spool files.
    package var spoolBytesMax = 1 << 30
    /// Octets queued towards one peer before the other side is paused.
    package var outputHighWater = 128 << 10
    /// Octets of an unread request body that are skipped before the connection is closed instead.
    package var drainBodyBytesMax = 64 << 10
    /// Interim (1xx) answers forwarded per exchange.
    package var interimAnswersMax = 32
    /// Octets a second under which a request body is given up, after `requestBodyGrace`.
    package var requestBodyRateMin = 240
    package var requestBodyGraceMilliseconds: UInt64 = 5_000
    /// Probes of unknown outcomes at once, over all workers.
    package var probesMax = 256
    /// Outcomes that wait for their probe in the background, over all workers.
    package var backgroundProbesMax = 4096
    /// Events of unknown outcomes that wait for the webhook, over all workers.
    package var webhookEventsMax = 1024

    package init() {}
}

package struct UpstreamSettings: Sendable, Equatable {
    package enum Balance: Sendable, Equatable {
        case roundRobin
        case leastRequests
        case first
    }

    package struct Server: Sendable, Equatable {
        /// As written, for logs and metrics.
        package var text: String
        package var host: ServerHost
        package var scheme: Scheme
        package var isBackup: Bool

        package init(text: String, host: ServerHost, scheme: Scheme = .http, isBackup: Bool = false) {
            self.text = text
            self.host = host
            self.scheme = scheme
            self.isBackup = isBackup
        }
    }

    package enum Scheme: Sendable, Equatable {
        /// HTTP/1.1 in the clear.
        case http
        /// TLS; ALPN says which HTTP.
        case https
        /// HTTP/2 in the clear, with prior knowledge.
        case h2c
    }

    package enum ServerHost: Sendable, Equatable {
        case address(SocketAddress)
        case name(String, port: UInt16)
    }

    package struct HealthCheck: Sendable, Equatable {
        package var path: String
        package var intervalMilliseconds: UInt64 = 5_000
        package var timeoutMilliseconds: UInt64 = 2_000
        package var healthyCount = 2
        package var unhealthyCount = 3
        /// Empty = 200…399.
        package var expectedStatuses: Set<Int> = []

        package init(path: String) {
            self.path = path
        }
    }

    package var name: String
    package var servers: [Server]
    package var balance: Balance = .roundRobin
    /// Idle connections kept per server and worker.
    package var idleConnectionsMax = 32
    package var idleTimeoutMilliseconds: UInt64 = 15_000
    package var resolveIntervalMilliseconds: UInt64 = 30_000
    package var healthCheck: HealthCheck?
    /// For `https` servers.
    package var tls: UpstreamTLS?
    /// Requests at once on one HTTP/2 connection.
    package var streamsMax = 100
    /// Consecutive failures after which a server rests for `failTimeoutMilliseconds`; 0 = never.
    package var failuresMax = 0
    package var failTimeoutMilliseconds: UInt64 = 10_000

    package init(name: String, servers: [Server]) {
        self.name = name
        self.servers = servers
    }
}

/// How the servers of an upstream are spoken to over TLS.
package struct UpstreamTLS: Sendable, Equatable {
    package var context: TLSClientContext
    /// The name that is asked for and verified; nil = each server's own.
    package var serverName: String?

    package init(context: TLSClientContext, serverName: String?) {
        self.context = context
        self.serverName = serverName
    }

    /// The same configuration: a reload keeps the connections.
    package static func == (left: UpstreamTLS, right: UpstreamTLS) -> Bool {
        left.context.options == right.context.options && left.serverName == right.serverName
    }
}

/// Where events are posted to.
package struct WebhookSettings: Sendable, Equatable {
    /// `http` or `https`.
    package var server: UpstreamSettings.Server
    package var tls: UpstreamTLS?
    /// Path and query.
    package var target: String

    package init(server: UpstreamSettings.Server, tls: UpstreamTLS?, target: String) {
        self.server = server
        self.tls = tls
        self.target = target
    }
}

package struct RouteSettings: Sendable {
    package enum Pattern: Sendable, Equatable {
        /// Matches the path itself and everything below it; a `/` at the end matches only below it.
        case prefix(String)
        case exact(String)
        /// POSIX extended regular expression over the normalised path.
        case expression(String)
    }

    package enum HostField: Sendable, Equatable {
        case preserve
        case upstream
        case fixed(String)
    }

    /// In lists, metrics and the record key: `[HOST]PATTERN` as written. Stable across restarts.
    package var name: String
    /// Lower case, without port; nil = every host.
    package var host: String?
    package var pattern: Pattern
    /// Index into `ServerSettings.upstreams`.
    package var upstream: Int
    package var hostField: HostField = .preserve
    package var requestsInFlightMax: Int?
    package var allowsUpgrade = true
    package var timeouts = UpstreamTimeouts()
    /// Nil = passes through.
    package var policy: Policy?
    /// What the report is to know of a route with `mode observe`.
    package var observed: ObservedRoute?
    /// The issuer's keys, for `scope jwt`.
    package var tokenKeys: JWTKeyRing?

    package init(name: String, host: String? = nil, pattern: Pattern, upstream: Int) {
        self.name = name
        self.host = host
        self.pattern = pattern
        self.upstream = upstream
    }
}

/// A CIDR block.
package struct AddressBlock: Sendable, Equatable {
    /// 4 or 16 octets.
    package var octets: [UInt8]
    package var prefixLength: Int

    package init(octets: [UInt8], prefixLength: Int) {
        self.octets = octets
        self.prefixLength = prefixLength
    }

    package func contains(_ address: [UInt8]) -> Bool {
        guard address.count == octets.count else { return false }
        var bits = prefixLength
        for index in octets.indices where bits > 0 {
            let mask: UInt8 = bits >= 8 ? 0xFF : ~(0xFF >> UInt8(bits))
            if (octets[index] ^ address[index]) & mask != 0 { return false }
            bits -= 8
        }
        return true
    }
}
