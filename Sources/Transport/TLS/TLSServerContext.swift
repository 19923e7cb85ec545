internal import CLinux
internal import COpenSSL

/// libssl's work for one listener: certificates chosen by SNI, tickets, client certificates. Shared by all workers.
package final class TLSServerContext: Sendable {
    package struct Options: Sendable, Equatable {
        /// The first is the default. Each serves the names of its certificate; two with the same names and keys of
        /// different types (RSA, EC) serve them together.
        package var certificates: [TLSCertificateFiles]
        /// In the order of preference. A client that offers ALPN and none of these is refused (RFC 7301 §3.2).
        package var alpn: [TLSProtocol] = [.http2, .http11]
        package var minimumVersion: TLSVersion = .tls12
        package var clientCertificates: ClientCertificates = .none
        /// A client that asks for a name that no certificate has gets an alert instead of the default certificate. One
        /// that asks for no name gets the default in either case.
        package var rejectsUnknownName = false
        package var tickets = Tickets.own

        package init(certificates: [TLSCertificateFiles]) {
            self.certificates = certificates
        }
    }

    /// Whether clients are asked for a certificate. One that is sent must be good in either case.
    package enum ClientCertificates: Sendable, Equatable {
        case none
        case optional(caPath: String)
        case required(caPath: String)
    }

    /// Whether sessions can be resumed, and who can read their tickets.
    package enum Tickets: Sendable, Equatable {
        case none
        /// Of this process.
        case own
        /// Of every proxy that has the file's secrets. Who makes the context reads the file.
        case shared(path: String)
    }

    package let options: Options
    private let tickets: TLSTicketKeys
    private let clock: @Sendable () -> Int64
    private let current: Locked<TLSServerGeneration>

    /// Reads and checks the files. An expired certificate is used all the same: see `warnings`.
    /// - Parameters:
    ///   - tickets: to be shared by what serves the same names, and kept when a context is replaced. A session is
    ///     resumed by every context with the same keys, certificates and rules for clients.
    ///   - clock: seconds since the UNIX epoch.
    package init(
        _ options: Options, tickets: TLSTicketKeys = TLSTicketKeys(),
        clock: @escaping @Sendable () -> Int64 = { Int64(cl_wall_milliseconds() / 1000) }
    ) throws(TLSError) {
        self.options = options
        self.tickets = tickets
        self.clock = clock
        current = Locked(try TLSServerGeneration(options, tickets: tickets, clock: clock))
    }

    /// Reads the same files again, for the connections from here on. On an error, and when a certificate that was not
    /// in use has expired or is not valid yet, those in use stay.
    package func reload() throws(TLSError) {
        let next = try TLSServerGeneration(options, tickets: tickets, clock: clock)
        let (now, known) = (clock(), generation.validity)
        for validity in next.validity where !known.contains(validity) {
            if let problem = validity.problem(now: now) { throw problem }
        }
        current.replace(with: next)
    }

    /// What is wrong and does not keep the listener from serving: certificates that have expired, or are not valid
    /// yet, keys that every user can read.
    package var warnings: [TLSError] {
        let generation = generation
        return generation.validityProblems(now: clock()) + generation.exposures
    }

    package var expiries: [TLSExpiry] { generation.expiries }

    var generation: TLSServerGeneration { current.withLock { $0 } }
}
