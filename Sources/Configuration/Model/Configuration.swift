package import Idempotency

/// What `proxy.conf` says, checked and typed, with every default filled in.
///
/// Times are milliseconds; a nil time is `off`. Sizes are octets. Names and paths are as the file wrote them unless a
/// field says more.
package struct Configuration: Sendable, Equatable {
    /// Worker queues; nil = one per core (`auto`).
    package var workers: Int?
    /// Where clients connect; never empty, no address twice.
    package var listeners: [Listener] = []
    /// Where operators connect; nil = off.
    package var admin: Listener?
    package var store: Store = .embedded(EmbeddedStore())
    /// In the order of the file; `Route.upstream` is an index into it.
    package var upstreams: [Upstream] = []
    /// In the order of the file; never empty, no match twice.
    package var routes: [Route] = []
    package var timeouts = DownstreamTimeouts()
    package var limits = Limits()
    package var spool = Spool()
    package var log = Log()
    /// The peers whose `X-Forwarded-*` and `X-Request-ID` are believed.
    package var trustedProxies: [AddressBlock] = []
    /// The pseudonym in `Via`; nil = no `Via`.
    package var via: String? = "oncegate"
    package var drain = Drain()
    /// Who hears of an outcome that became unknown; nil = nobody.
    package var unknownWebhook: Webhook?

    package init() {}
}

extension Configuration {
    package struct Listener: Sendable, Equatable {
        package var address: Endpoint
        /// Permission bits of a UNIX socket; nil = by the umask, and for a network address.
        package var mode: UInt32?
        /// Nil = in the clear.
        package var tls: TLS?
        /// In the clear: prior knowledge and `Upgrade: h2c`. With TLS: whether ALPN may agree on it.
        package var allowsHTTP2 = true
        /// The peers whose connections begin with a PROXY header, always; those of nobody else ever do. The peers of a
        /// UNIX socket have no address: it is all of them unless this is empty.
        package var trustedProxyPeers: [AddressBlock] = []

        package init(address: Endpoint, mode: UInt32? = nil) {
            self.address = address
            self.mode = mode
        }
    }

    package struct Webhook: Sendable, Equatable {
        /// `http` or `https`.
        package var server: Upstream.Server
        /// Path and query.
        package var target: String

        package init(server: Upstream.Server, target: String) {
            self.server = server
            self.target = target
        }
    }

    package enum Store: Sendable, Equatable {
        case embedded(EmbeddedStore)
        /// Records die with the process.
        case memory(bytesMax: UInt64)
    }

    package struct EmbeddedStore: Sendable, Equatable {
        package var directory = "/var/lib/oncegate"
        package var bytesMax: UInt64 = 16 << 30
        /// How long a commit waits for company; 0 = commit at once what is waiting.
        package var commitDelayMilliseconds: UInt64 = 0
        /// Room for what routes with `mode observe` leave for the report.
        package var observationsBytesMax: UInt64 = 256 << 20
        /// Recorded answers are sealed with it; nil = stored as they are.
        package var keyRing: KeyRing?

        package init() {}
    }

    /// The times that concern a client's connection whatever the route.
    package struct DownstreamTimeouts: Sendable, Equatable {
        /// From the accepted connection to the end of the handshake.
        package var tlsHandshakeMilliseconds: UInt64? = 10_000
        package var requestHeaderMilliseconds: UInt64? = 10_000
        package var requestBodyIdleMilliseconds: UInt64? = 15_000
        /// The whole body of a covered request.
        package var requestBodyMilliseconds: UInt64? = 60_000
        package var keepaliveMilliseconds: UInt64? = 60_000
        package var responseWriteIdleMilliseconds: UInt64? = 30_000

        package init() {}
    }

    package struct Limits: Sendable, Equatable {
        package var connectionsMax = 65_536
        package var requestsInFlightMax = 16_384
        /// The budget of all bodies held in memory.
        package var bodyMemoryBytesMax: UInt64 = 256 << 20

        package init() {}
    }

    /// Where large bodies of covered requests are kept while they are needed.
    package struct Spool: Sendable, Equatable {
        package enum Place: Sendable, Equatable {
            /// Beside the store, or where temporary files go.
            case standard
            case directory(String)
            /// Bodies stay in memory.
            case off
        }

        package var place = Place.standard
        /// Of one body, in memory.
        package var thresholdBytes: UInt64 = 256 << 10
        /// Of all files.
        package var bytesMax: UInt64 = 1 << 30

        package init() {}
    }

    package struct Log: Sendable, Equatable {
        package enum Format: String, Sendable, Equatable {
            /// Text when the destination is a terminal, else JSON.
            case auto
            case json
            case text
            case off
        }

        package enum Destination: Sendable, Equatable {
            case standardOutput
            case standardError
            case file(path: String)
        }

        package enum Level: String, Sendable, Equatable {
            case debug
            case info
            case warning
            case error
        }

        package var accessFormat: Format = .auto
        package var accessDestination: Destination = .standardOutput
        package var level: Level = .info

        package init() {}
    }

    package struct Drain: Sendable, Equatable {
        /// Readiness says no, connections are still accepted.
        package var delayMilliseconds: UInt64 = 5_000
        /// From the end of accepting to the forced end of what still runs.
        package var timeoutMilliseconds: UInt64 = 25_000

        package init() {}
    }
}
