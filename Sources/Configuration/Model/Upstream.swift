extension Configuration {
    /// A named group of servers that do the same work.
    package struct Upstream: Sendable, Equatable {
        package struct Server: Sendable, Equatable {
            package enum Scheme: String, Sendable, Equatable {
                case http
                /// TLS; ALPN decides between HTTP/2 and HTTP/1.1.
                case https
                /// HTTP/2 in the clear, by prior knowledge.
                case h2c

                /// The port of a URL without one.
                package var defaultPort: UInt16 {
                    self == .https ? 443 : 80
                }
            }

            package var scheme: Scheme
            /// A name here is resolved again every `resolveIntervalMilliseconds`.
            package var endpoint: Endpoint
            /// What `host_header upstream` sends: host and, unless it is the scheme's own, port; `localhost` for a
            /// UNIX socket.
            package var authority: String

            package init(scheme: Scheme = .http, endpoint: Endpoint) {
                self.scheme = scheme
                self.endpoint = endpoint
                switch endpoint {
                case .network(_, scheme.defaultPort):
                    authority = String(endpoint.description.dropLast(String(scheme.defaultPort).count + 1))
                case .network:
                    authority = endpoint.description
                case .unix:
                    authority = "localhost"
                }
            }
        }

        package enum Balance: String, Sendable, Equatable {
            case roundRobin = "round_robin"
            case leastRequests = "least_requests"
            /// The first healthy server in the order of the file.
            case first
        }

        package struct HealthCheck: Sendable, Equatable {
            package var path: String
            package var intervalMilliseconds: UInt64 = 5_000
            package var timeoutMilliseconds: UInt64 = 2_000
            /// Successes in a row that make a server healthy.
            package var healthyCount = 2
            /// Failures in a row that make it unhealthy.
            package var unhealthyCount = 3
            package var expectedStatuses = StatusSet(ranges: [200...399])

            package init(path: String) {
                self.path = path
            }
        }

        package var name: String
        /// Never empty.
        package var servers: [Server]
        package var balance: Balance = .roundRobin
        /// Idle connections kept per server and worker; 0 = none.
        package var idleConnectionsMax = 32
        package var keepaliveMilliseconds: UInt64? = 15_000
        package var resolveIntervalMilliseconds: UInt64 = 30_000
        package var healthCheck: HealthCheck?
        /// Failures in a row (no connection, or a broken one) that take a server out for `failTimeoutMilliseconds`; 0
        /// = never.
        package var failuresMax = 0
        package var failTimeoutMilliseconds: UInt64 = 10_000
        /// Requests at once on one HTTP/2 connection; the server may allow fewer.
        package var streamsMax = 100
        /// For the servers with `https`; nil = there are none.
        package var tls: TLS?

        package init(name: String, servers: [Server]) {
            self.name = name
            self.servers = servers
        }
    }

    /// Final statuses, as ranges within 200…599.
    package struct StatusSet: Sendable, Equatable {
        package var ranges: [ClosedRange<UInt16>]

        package init(ranges: [ClosedRange<UInt16>]) {
            self.ranges = ranges
        }

        package func contains(_ status: UInt16) -> Bool {
            ranges.contains { $0.contains(status) }
        }
    }
}
