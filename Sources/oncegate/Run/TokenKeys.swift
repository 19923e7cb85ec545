import Configuration
import Idempotency
import Observability
import Synchronization

/// What is wrong with a file of an issuer's keys.
struct TokenKeyFileError: Error, CustomStringConvertible {
    let path: String
    /// What follows the path and a colon: "holds no public key in PEM".
    let description: String
    let hint: String?
}

/// The keys with which `scope jwt` verifies tokens, and the files behind them: one ring for each scope that is
/// configured, read again when somebody asks or the files change. On the main queue, figures aside.
final class TokenKeys: Sendable {
    private struct Issuer {
        let scope: JWTScope
        let ring: JWTKeyRing
        let paths: [String]
    }

    private struct State {
        var issuers: [Issuer] = []
        /// What the files were when they were last read, readable or not.
        var seen: [String: FileIdentity] = [:]
    }

    private let state = Mutex(State())
    private let successes = Atomic<UInt64>(0)
    private let failures = Atomic<UInt64>(0)

    /// The same ring for the same scope, so that a reload keeps what was verified.
    func ring(for scope: JWTScope) throws(TokenKeyFileError) -> JWTKeyRing {
        if let known = state.withLock({ $0.issuers.first { $0.scope == scope } }) { return known.ring }
        let paths = TokenKeys.paths(of: scope)
        // Before they are read: a change in between is seen as one.
        remember(paths)
        let issuer = Issuer(scope: scope, ring: JWTKeyRing(try TokenKeys.keys(of: scope)), paths: paths)
        state.withLock { $0.issuers.append(issuer) }
        return issuer.ring
    }

    /// What no scope needs any more is not looked at again.
    func keep(for scopes: [JWTScope]) {
        state.withLock { state in
            state.issuers.removeAll { !scopes.contains($0.scope) }
            let paths = Set(state.issuers.flatMap(\.paths))
            state.seen = state.seen.filter { paths.contains($0.key) }
        }
    }

    private func remember(_ paths: [String]) {
        state.withLock { state in
            for path in paths { state.seen[path] = FileIdentity(path) }
        }
    }

    // MARK: Files

    private static func paths(of scope: JWTScope) -> [String] {
        var paths = scope.keySetPath.map { [$0] } ?? []
        for case .publicKey(_, let path) in scope.keys { paths.append(path) }
        return paths
    }

    private static func keys(of scope: JWTScope) throws(TokenKeyFileError) -> [JWTKey] {
        var keys: [JWTKey] = []
        for key in scope.keys {
            switch key {
            case .secret(let secret): keys.append(JWTKey(secret: secret))
            case .publicKey(let algorithm, let path): keys.append(try self.key(algorithm, at: path))
            }
        }
        if let path = scope.keySetPath { keys += try self.keys(ofSet: path, for: scope.keySetAlgorithms) }
        return keys
    }

    static func key(_ algorithm: JWTScope.Algorithm, at path: String) throws(TokenKeyFileError) -> JWTKey {
        let octets = try read(path)
        do throws(JWTKeyError) {
            return try JWTKey(algorithm, pem: octets)
        } catch {
            throw TokenKeyFileError(path: path, description: error.description, hint: error.hint)
        }
    }

    static func keys(
        ofSet path: String, for algorithms: [JWTScope.Algorithm]
    ) throws(TokenKeyFileError) -> [JWTKey] {
        let octets = try read(path)
        do throws(JWTKeyError) {
            return try JWTKeyRing.keys(ofSet: octets, for: algorithms)
        } catch {
            throw TokenKeyFileError(path: path, description: error.description, hint: error.hint)
        }
    }

    private static func read(_ path: String) throws(TokenKeyFileError) -> [UInt8] {
        switch ConfigurationFiles.system.read(path) {
        case .success(let octets): return octets
        case .failure(let failure):
            throw TokenKeyFileError(path: path, description: "cannot be read: \(failure.message)", hint: nil)
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
        for issuer in state.withLock({ $0.issuers }) where !issuer.paths.isEmpty && isDue(issuer.paths) {
            remember(issuer.paths)
            do throws(TokenKeyFileError) {
                issuer.ring.replace(try TokenKeys.keys(of: issuer.scope))
                successes.add(1, ordering: .relaxed)
                log.info("keys of a token issuer read again", .string("file", issuer.paths.first ?? ""))
            } catch {
                failures.add(1, ordering: .relaxed)
                log.error(
                    "keys of a token issuer refused: those before stay in use", .string("file", error.path),
                    .string("error", error.description))
            }
        }
    }

    // MARK: Figures

    func register(_ registry: MetricRegistry) {
        registry.collect { [self] samples in
            samples.set(.accessTokenKeyReloads, ["success"], Double(successes.load(ordering: .relaxed)))
            samples.set(.accessTokenKeyReloads, ["failure"], Double(failures.load(ordering: .relaxed)))
        }
    }
}
