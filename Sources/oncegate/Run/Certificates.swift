import Configuration
import Glibc
import Observability
import Proxy
import Synchronization
import Transport

/// The TLS contexts of the process and the files behind them: made once each, read again when somebody asks or the
/// files change, forgotten with the configuration that used them. On the main queue, figures aside.
///
/// A Kubernetes volume changes by swapping a symbolic link, an ACME client by renaming: what is watched is the file
/// that a path leads to.
final class Certificates: Sendable {
    private struct Entry<Context: AnyObject & Sendable> {
        let context: Context
        let paths: [String]
        var isInUse = false
        /// Its files hold a certificate that will be valid from then on, UNIX seconds.
        var validFrom: Int64?
    }

    private struct State {
        var servers: [Entry<TLSServerContext>] = []
        var clients: [Entry<TLSClientContext>] = []
        /// Keys of tickets that replicas share, by their file.
        var tickets: [String: TLSTicketKeys] = [:]
        /// What the files were when they were last read, readable or not.
        var seen: [String: FileIdentity] = [:]
        /// Whether there are listeners: they keep their contexts until the process ends.
        var isServing = false
    }

    private let state = Mutex(State())
    private let certificateReloads = Outcomes()
    private let ticketReloads = Outcomes()
    /// When a certificate is warned of before it expires.
    private static let warningSeconds: Int64 = 14 * 86_400

    /// How often something was read again.
    private final class Outcomes: Sendable {
        let successes = Atomic<UInt64>(0)
        let failures = Atomic<UInt64>(0)
    }

    // MARK: Contexts

    func server(_ options: TLSServerContext.Options) throws(TLSError) -> TLSServerContext {
        if let known = state.withLock({ $0.servers.first { $0.context.options == options } }) { return known.context }
        var paths = options.certificates.flatMap { [$0.chainPath, $0.keyPath] }
        switch options.clientCertificates {
        case .none: break
        case .optional(let path), .required(let path): paths.append(path)
        }
        // Before they are read: a change in between is seen as one.
        remember(paths)
        let context: TLSServerContext
        if case .shared(let path) = options.tickets {
            context = try TLSServerContext(options, tickets: ticketKeys(path))
        } else {
            context = try TLSServerContext(options)
        }
        state.withLock { $0.servers.append(Entry(context: context, paths: paths)) }
        return context
    }

    private func ticketKeys(_ path: String) throws(TLSError) -> TLSTicketKeys {
        if let known = state.withLock({ $0.tickets[path] }) { return known }
        remember([path])
        let keys = TLSTicketKeys(secrets: try TicketKeyFile.read(path))
        state.withLock { $0.tickets[path] = keys }
        return keys
    }

    /// The same for the same options, so that a reload keeps sessions and connections.
    func client(_ options: TLSClientContext.Options) throws(TLSError) -> TLSClientContext {
        if let known = state.withLock({ $0.clients.first { $0.context.options == options } }) { return known.context }
        var paths = options.certificate.map { [$0.chainPath, $0.keyPath] } ?? []
        if let path = options.caPath { paths.append(path) }
        remember(paths)
        let context = try TLSClientContext(options)
        state.withLock { $0.clients.append(Entry(context: context, paths: paths)) }
        return context
    }

    private func remember(_ paths: [String]) {
        state.withLock { state in
            for path in paths { state.seen[path] = FileIdentity(path) }
        }
    }

    /// What the proxy runs with from here on, but for listeners, which are those of the first call. Contexts of other
    /// configurations are forgotten: nobody hears of their files any more. Connections that have one keep it.
    func use(_ settings: ServerSettings) {
        state.withLock { state in
            for index in state.servers.indices where !state.isServing {
                state.servers[index].isInUse = settings.listeners.contains {
                    $0.tls === state.servers[index].context
                }
            }
            state.isServing = true
            for index in state.clients.indices {
                state.clients[index].isInUse = settings.upstreams.contains {
                    $0.tls?.context === state.clients[index].context
                }
            }
        }
        forgetUnused()
    }

    /// A configuration was refused after contexts were made for it, or had listeners that wait for the next start.
    func forgetUnused() {
        state.withLock { state in
            state.servers.removeAll { !$0.isInUse }
            state.clients.removeAll { !$0.isInUse }
            let shared = state.servers.compactMap { server -> String? in
                if case .shared(let path) = server.context.options.tickets { path } else { nil }
            }
            state.tickets = state.tickets.filter { shared.contains($0.key) }
            let paths = Set(shared + state.servers.flatMap(\.paths) + state.clients.flatMap(\.paths))
            state.seen = state.seen.filter { paths.contains($0.key) }
        }
    }

    // MARK: Reading again

    /// Reads every file again. What is bad is told, and what was read before stays in use.
    func reload(_ log: Log) {
        reload(log) { _, _ in true }
    }

    /// Reads what has changed since the last time, or has become valid.
    func reloadChanged(_ log: Log) {
        let now = Int64(time(nil))
        let (changed, isAnyValid) = state.withLock { state in
            (
                Set(state.seen.compactMap { FileIdentity($0.key) == $0.value ? nil : $0.key }),
                (state.servers.map(\.validFrom) + state.clients.map(\.validFrom)).contains { $0 ?? .max <= now }
            )
        }
        guard !changed.isEmpty || isAnyValid else { return }
        reload(log) { paths, validFrom in validFrom ?? .max <= now || paths.contains { changed.contains($0) } }
    }

    private func reload(_ log: Log, where isDue: (_ paths: [String], _ validFrom: Int64?) -> Bool) {
        reload(\.servers, log, where: isDue) { context throws(TLSError) in try context.reload() }
        reload(\.clients, log, where: isDue) { context throws(TLSError) in try context.reload() }
        let tickets = state.withLock { $0.tickets }
        for (path, keys) in tickets where isDue([path], nil) {
            remember([path])
            do {
                keys.replace(secrets: try TicketKeyFile.read(path))
                ticketReloads.successes.add(1, ordering: .relaxed)
                log.info("session ticket keys read again", .string("file", path))
            } catch {
                ticketReloads.failures.add(1, ordering: .relaxed)
                log.error(
                    "session ticket keys refused: those before stay in use", .string("file", path),
                    .string("error", error.description))
            }
        }
        warn(log)
    }

    private func reload<Context>(
        _ kind: WritableKeyPath<State, [Entry<Context>]>, _ log: Log,
        where isDue: (_ paths: [String], _ validFrom: Int64?) -> Bool, _ read: (Context) throws(TLSError) -> Void
    ) {
        for entry in state.withLock({ $0[keyPath: kind] }) where isDue(entry.paths, entry.validFrom) {
            remember(entry.paths)
            var validFrom: Int64?
            do throws(TLSError) {
                try read(entry.context)
                succeeded(log, entry.paths)
            } catch {
                failed(log, error)
                validFrom = error.validFromUnixSeconds
            }
            state.withLock { state in
                guard let index = state[keyPath: kind].firstIndex(where: { $0.context === entry.context }) else {
                    return
                }
                state[keyPath: kind][index].validFrom = validFrom
            }
        }
    }

    private func succeeded(_ log: Log, _ paths: [String]) {
        certificateReloads.successes.add(1, ordering: .relaxed)
        log.info("certificates read again", .string("file", paths.first ?? ""))
    }

    private func failed(_ log: Log, _ error: TLSError) {
        certificateReloads.failures.add(1, ordering: .relaxed)
        log.error(
            "certificates refused: those before stay in use", .string("file", error.path),
            .string("error", error.description))
    }

    /// Tells of certificates that have expired, or soon will, and of keys that others can read.
    func warn(_ log: Log) {
        let now = Int64(time(nil))
        for path in state.withLock({ $0.tickets.keys.sorted() }) {
            guard let exposure = FileInspection.exposure(of: path) else { continue }
            log.warning(
                "session ticket keys", .string("file", path), .string("problem", exposure.message))
        }
        for server in state.withLock({ $0.servers }) {
            for warning in server.context.warnings {
                log.warning("certificate", .string("problem", warning.description))
            }
            for expiry in server.context.expiries
            where expiry.notAfterUnixSeconds > now && expiry.notAfterUnixSeconds - now < Certificates.warningSeconds {
                log.warning(
                    "a certificate expires soon", .string("file", expiry.path),
                    .int("days_left", Int((expiry.notAfterUnixSeconds - now) / 86_400)))
            }
        }
    }

    // MARK: Figures

    func register(_ registry: MetricRegistry) {
        registry.collect { [self] samples in
            for (family, outcomes) in [
                (MetricFamily.tlsCertificateReloads, certificateReloads), (.tlsTicketKeyReloads, ticketReloads),
            ] {
                samples.set(family, ["success"], Double(outcomes.successes.load(ordering: .relaxed)))
                samples.set(family, ["failure"], Double(outcomes.failures.load(ordering: .relaxed)))
            }
            for server in state.withLock({ $0.servers }) {
                for expiry in server.context.expiries {
                    let name = expiry.names.first ?? expiry.path
                    samples.set(.tlsCertificateNotAfter, [name], Double(expiry.notAfterUnixSeconds))
                }
            }
        }
    }
}
