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
        /// What each file was when it was last read for this ring, readable or not.
        var seen: [FileIdentity]
        var isInUse = false

        var hasChanged: Bool { paths.map { FileIdentity($0) } != seen }
    }

    private let issuers = Mutex<[Issuer]>([])
    private let successes = Atomic<UInt64>(0)
    private let failures = Atomic<UInt64>(0)

    /// The same ring for the same scope, so that a reload keeps what was verified.
    func ring(for scope: JWTScope) throws(TokenKeyFileError) -> JWTKeyRing {
        if let known = issuers.withLock({ $0.first { $0.scope == scope } }) { return known.ring }
        let paths = TokenKeys.paths(of: scope)
        // Before they are read: a change in between is seen as one.
        let seen = paths.map { FileIdentity($0) }
        let issuer = Issuer(scope: scope, ring: JWTKeyRing(try TokenKeys.keys(of: scope)), paths: paths, seen: seen)
        issuers.withLock { $0.append(issuer) }
        return issuer.ring
    }

    /// What the proxy runs with from here on. What no scope needs any more is not looked at again.
    func use(_ configuration: Configuration) {
        let scopes = configuration.routes.compactMap { route in
            if case .jwt(let scope)? = route.policy?.scope { scope } else { nil }
        }
        issuers.withLock { issuers in
            for index in issuers.indices { issuers[index].isInUse = scopes.contains(issuers[index].scope) }
        }
        forgetUnused()
    }

    /// A configuration was refused after rings were made for it.
    func forgetUnused() {
        issuers.withLock { $0.removeAll { !$0.isInUse } }
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
        reload(log, issuers.withLock { $0 })
    }

    /// Reads what has changed since the last time.
    func reloadChanged(_ log: Log) {
        reload(log, issuers.withLock { $0.filter(\.hasChanged) })
    }

    private func reload(_ log: Log, _ due: [Issuer]) {
        for issuer in due where !issuer.paths.isEmpty {
            let seen = issuer.paths.map { FileIdentity($0) }
            issuers.withLock { issuers in
                guard let index = issuers.firstIndex(where: { $0.scope == issuer.scope }) else { return }
                issuers[index].seen = seen
            }
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
