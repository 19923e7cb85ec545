import Idempotency

/// Keys: those of issuers of tokens, and those that records are sealed with.
extension ModelBuilder {
    // MARK: scope jwt

    mutating func jwtScope(_ statement: CheckedStatement) -> JWTScope {
        var scope = JWTScope(claim: statement.values.text(1) ?? "")
        guard let block = statement.block else { return scope }
        scope.keys = block.all("key").compactMap { jwtKey($0) }
        scope.keySetPath = block.text("jwks")
        scope.keySetAlgorithms = block.values("algorithms").compactMap {
            JWTScope.Algorithm(rawValue: $0.canonicalText)
        }
        scope.issuer = block.text("issuer")
        scope.audience = block.text("audience")
        scope.field = block.text("header")?.lowercased() ?? scope.field
        scope.leewayMilliseconds = block.duration("leeway")
        if !block.mentions("key"), !block.mentions("jwks") {
            log.error(
                statement.place(0), "'scope jwt' has no key of the issuer",
                hint: "add 'jwks FILE;' or 'key RS256 FILE;': a token that nobody verifies says nothing")
        }
        if let given = block.given("algorithms"), !block.mentions("jwks") {
            log.warning(
                given.source.nameRange, "'algorithms' has no effect without 'jwks'",
                hint: "each 'key' names its own")
        }
        if let set = block.given("jwks"), let inspection, let path = set.values.text(0) {
            for finding in inspection.keySet(path, scope.keySetAlgorithms) { report(finding, set, 0) }
        }
        return scope
    }

    private mutating func jwtKey(_ statement: CheckedStatement) -> JWTScope.Key? {
        guard let algorithm = statement.values.text(0).flatMap(JWTScope.Algorithm.init),
            let value = statement.values.text(1)
        else { return nil }
        guard algorithm == .hs256 else {
            if let inspection {
                for finding in inspection.publicKey(algorithm, value) { report(finding, statement, 1) }
            }
            return .publicKey(algorithm, path: value)
        }
        let octets = Array(value.utf8)
        if octets.count < 32 {
            log.error(
                statement.place(1), "the value of \(shown(statement, 1)) has \(octets.count) octets: HS256 needs 32",
                hint: "RFC 7518 §3.2")
        }
        inspectSecret(statement, 1)
        return .secret(Secret(octets))
    }

    // MARK: encryption

    /// The keys of all lines together; nil where there is none or a mistake.
    mutating func keyRing(_ block: CheckedBlock) -> KeyRing? {
        let statements = block.all("key")
        var text: [UInt8] = []
        var ring: KeyRing?
        for statement in statements {
            text += Array((statement.values.text(0) ?? "").utf8) + [UInt8(ascii: "\n")]
            do throws(KeyRingError) {
                // Of one line alone first: what is wrong with it does not depend on the others.
                _ = try KeyRing(parsing: (statement.values.text(0) ?? "").utf8)
                ring = try KeyRing(parsing: text)
            } catch {
                log.error(statement.place(0), "\(shown(statement, 0)): \(error)")
                return nil
            }
            inspectSecret(statement, 0)
        }
        return ring
    }

    private mutating func inspectSecret(_ statement: CheckedStatement, _ index: Int) {
        guard let inspection, index < statement.secretPaths.count, let path = statement.secretPaths[index] else {
            return
        }
        for finding in inspection.secret(path) { report(finding, statement, index) }
    }
}
