/// What TLS settings towards clients and towards servers share.
extension Configuration {
    /// A certificate with its chain, and its private key; absolute paths of PEM files.
    package struct Certificate: Sendable, Hashable {
        package var chainPath: String
        package var keyPath: String

        package init(chainPath: String, keyPath: String) {
            self.chainPath = chainPath
            self.keyPath = keyPath
        }
    }

    package enum TLSVersion: String, Sendable, Equatable {
        case tls12 = "1.2"
        case tls13 = "1.3"
    }

    /// What ALPN may agree on, by its registered name.
    package enum ApplicationProtocol: String, Sendable, Equatable, CaseIterable {
        case http2 = "h2"
        case http11 = "http/1.1"
    }
}

extension Configuration.Listener {
    package struct TLS: Sendable, Equatable {
        package enum ClientCertificates: Sendable, Equatable {
            case off
            /// Asked for; a client without one is served, one with an invalid one is not. An absolute path.
            case optional(authoritiesPath: String)
            /// Nobody is served without one. An absolute path.
            case required(authoritiesPath: String)
        }

        package enum Tickets: Sendable, Equatable {
            case off
            /// Under keys in memory.
            case on
            /// Under the keys in a file that replicas share; an absolute path.
            case shared(keysPath: String)
        }

        /// Never empty; the first is for clients whose server name is missing or unknown.
        package var certificates: [Configuration.Certificate]
        package var minimumVersion: Configuration.TLSVersion = .tls12
        /// The most wanted first; never empty.
        package var alpn: [Configuration.ApplicationProtocol] = [.http2, .http11]
        package var clientCertificates: ClientCertificates = .off
        /// Whether an unknown server name ends the handshake; else it gets the first certificate.
        package var rejectsUnknownName = false
        package var tickets = Tickets.on

        package init(certificates: [Configuration.Certificate]) {
            self.certificates = certificates
        }
    }
}

extension Configuration.Upstream {
    package struct TLS: Sendable, Equatable {
        /// Who vouches for the servers, an absolute path; nil = the system's authorities.
        package var authoritiesPath: String?
        /// The name that is asked for and verified, or an address literal without brackets; nil = the URL's host.
        package var name: String?
        /// The proxy's own.
        package var certificate: Configuration.Certificate?
        package var verifies = true
        /// The most wanted first; never empty.
        package var alpn: [Configuration.ApplicationProtocol] = [.http2, .http11]

        package init() {}
    }
}
