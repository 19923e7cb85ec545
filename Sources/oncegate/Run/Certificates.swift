import Configuration
import Glibc
import Observability
import Proxy
import Synchronization
import Transport

/// The TLS contexts of the process and the files behind them: made once each, read again when somebody asks or the
/// files change. On the main queue, figures aside.
///
/// A Kubernetes volume changes by swapping a symbolic link, an ACME client by renaming: what is watched is the file
/// that a path leads to.
final class Certificates: Sendable {
    private struct Server {
        let context: TLSServerContext
        let paths: [String]
    }

    private struct Client {
        let context: TLSClientContext
        let paths: [String]
    }

    private struct State {
        var servers: [Server] = []
        var clients: [Client] = []
        /// What the files were when they were last read, readable or not.
        var seen: [String: FileIdentity] = [:]
    }

    private let state = Mutex(State())
    private let successes = Atomic<UInt64>(0)
    private let failures = Atomic<UInt64>(0)
    /// When a certificate is warned of before it expires.
    private static let warningSeconds: Int64 = 14 * 86_400

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
        let context = try TLSServerContext(options)
        state.withLock { $0.servers.append(Server(context: context, paths: paths)) }
        return context
    }

    /// The same for the same options, so that a reload keeps sessions and connections.
    func client(_ options: TLSClientContext.Options) throws(TLSError) -> TLSClientContext {
        if let known = state.withLock({ $0.clients.first { $0.context.options == options } }) { return known.context }
        var paths = options.certificate.map { [$0.chainPath, $0.keyPath] } ?? []
        if let path = options.caPath { paths.append(path) }
        remember(paths)
        let context = try TLSClientContext(options)
        state.withLock { $0.clients.append(Client(context: context, paths: paths)) }
        return context
    }

    private func remember(_ paths: [String]) {
        state.withLock { state in
            for path in paths { state.seen[path] = FileIdentity(path) }
        }
    }

    // MARK: Reading again

    /// Reads every file again. What is bad is told, and what was read before stays in use.
    func reload(_ log: Log) {
        reload(log) { _ in true }
    }

    /// Reads what has changed since the last time.
    func reloadChanged(_ log: Log) {
        let changed = state.withLock { state in
            Set(state.seen.compactMap { FileIdentity($0.key) == $0.value ? nil : $0.key })
        }
        guard !changed.isEmpty else { return }
        reload(log) { paths in paths.contains { changed.contains($0) } }
    }

    private func reload(_ log: Log, where isDue: ([String]) -> Bool) {
        let (servers, clients) = state.withLock { ($0.servers, $0.clients) }
        for server in servers where isDue(server.paths) {
            remember(server.paths)
            do {
                try server.context.reload()
                succeeded(log, server.paths)
            } catch {
                failed(log, error)
            }
        }
        for client in clients where isDue(client.paths) {
            remember(client.paths)
            do {
                try client.context.reload()
                succeeded(log, client.paths)
            } catch {
                failed(log, error)
            }
        }
        warn(log)
    }

    private func succeeded(_ log: Log, _ paths: [String]) {
        successes.add(1, ordering: .relaxed)
        log.info("certificates read again", .string("file", paths.first ?? ""))
    }

    private func failed(_ log: Log, _ error: TLSError) {
        failures.add(1, ordering: .relaxed)
        log.error(
            "certificates refused: those before stay in use", .string("file", error.path),
            .string("error", error.description))
    }

    /// Tells of certificates that have expired, or soon will.
    func warn(_ log: Log) {
        let now = Int64(time(nil))
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
            samples.set(.tlsCertificateReloads, ["success"], Double(successes.load(ordering: .relaxed)))
            samples.set(.tlsCertificateReloads, ["failure"], Double(failures.load(ordering: .relaxed)))
            for server in state.withLock({ $0.servers }) {
                for expiry in server.context.expiries {
                    let name = expiry.names.first ?? expiry.path
                    samples.set(.tlsCertificateNotAfter, [name], Double(expiry.notAfterUnixSeconds))
                }
            }
        }
    }
}
