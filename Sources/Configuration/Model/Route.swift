package import Idempotency

extension Configuration {
    /// Which requests go to which upstream, and by which rules.
    package struct Route: Sendable, Equatable {
        package enum Match: Sendable, Hashable {
            /// A normalised path and what lies below it: `/v1` covers `/v1` and `/v1/x`, not `/v1x`; `/v1/` covers
            /// only what lies below.
            case prefix(String)
            /// A normalised path.
            case exact(String)
            /// A POSIX extended regular expression, searched in the normalised path; compiles.
            case regex(String)
        }

        package enum HostHeader: Sendable, Equatable {
            /// The client's.
            case preserve
            /// The authority of the chosen server.
            case upstream
            case literal(String)
        }

        /// The times of the exchange with the upstream, the top level's values filled in.
        package struct Timeouts: Sendable, Equatable {
            package var connectMilliseconds: UInt64? = 3_000
            package var responseHeaderMilliseconds: UInt64? = 60_000
            package var upstreamIdleMilliseconds: UInt64? = 60_000
            /// The whole exchange; by default off, 120 s on a route with idempotency.
            package var routeMilliseconds: UInt64?
            package var tunnelMilliseconds: UInt64? = 3_600_000

            package init() {}
        }

        /// The match as the file wrote it, blanks single: `/v1`, `api.example.com/v1`, `= /x`, `~ ^/x`. Unique; part
        /// of every record key.
        package var name: String
        /// Lower case, without port; nil = every host.
        package var host: String?
        package var match: Match
        /// Index into `Configuration.upstreams`.
        package var upstream: Int
        package var hostHeader: HostHeader = .preserve
        /// Requests at the upstream at once; nil = no limit of its own.
        package var requestsInFlightMax: Int?
        /// Whether `Upgrade` may open a tunnel; false on a route with idempotency.
        package var allowsUpgrade = true
        package var timeouts = Timeouts()
        /// Nil = everything passes through.
        package var policy: Policy?
        /// What the report of a route with `mode observe` is to know of it.
        package var observed: ObservedRoute?

        package init(name: String, host: String? = nil, match: Match, upstream: Int) {
            self.name = name
            self.host = host
            self.match = match
            self.upstream = upstream
        }
    }
}
