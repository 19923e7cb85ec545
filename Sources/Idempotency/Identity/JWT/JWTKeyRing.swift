import Synchronization

/// The keys of one issuer as they are at the moment. Shared by all workers; a file that changes replaces them.
package final class JWTKeyRing: Sendable {
    /// Keys of a set at most; the rest is refused with the whole set.
    package static let keysMax = 64

    struct Keys: Sendable {
        var keys: [JWTKey]
        /// Never the same for other keys, in the whole process.
        var generation: UInt64
    }

    private let current: Mutex<Keys>
    private let published: Atomic<UInt64>

    private static let generations = Atomic<UInt64>(0)

    package init(_ keys: [JWTKey]) {
        let generation = Self.nextGeneration()
        current = Mutex(Keys(keys: keys, generation: generation))
        published = Atomic(generation)
    }

    /// What was verified with the keys before counts no more.
    package func replace(_ keys: [JWTKey]) {
        let generation = Self.nextGeneration()
        current.withLock { $0 = Keys(keys: keys, generation: generation) }
        published.store(generation, ordering: .releasing)
    }

    /// What tells these keys from those before and after them.
    var generation: UInt64 { published.load(ordering: .acquiring) }

    /// A lock, taken only where a signature is verified, which costs a thousand times as much.
    var keys: [JWTKey] { current.withLock { $0.keys } }

    private static func nextGeneration() -> UInt64 { generations.add(1, ordering: .relaxed).newValue }
}

extension JWTKeyRing {
    /// The keys of a JSON Web Key Set (RFC 7517 §5) that can be for one of these algorithms. Keys of other kinds, and
    /// those that are for something else, are passed over; a broken one is an error.
    package static func keys(
        ofSet octets: [UInt8], for algorithms: [JWTScope.Algorithm]
    ) throws(JWTKeyError) -> [JWTKey] {
        var canonicaliser = JSONCanonicaliser()
        guard let set = JSONMembers(octets, checking: &canonicaliser) else {
            throw JWTKeyError("is not a JSON object, or names a member twice")
        }
        guard case .array(let array)? = set["keys"] else {
            throw JWTKeyError("has no array 'keys'", hint: "RFC 7517 §5")
        }
        let elements = set.elements(of: array)
        guard elements.count <= keysMax else { throw JWTKeyError("has more than \(keysMax) keys") }
        var keys: [JWTKey] = []
        for (index, element) in elements.enumerated() {
            guard case .object(let range) = element, let members = set.object(at: range) else {
                throw JWTKeyError("key \(index + 1) is not an object")
            }
            do throws(JWTKeyError) {
                if let key = try key(of: members), algorithms.contains(key.algorithm) { keys.append(key) }
            } catch {
                throw JWTKeyError("key \(index + 1): \(error)", hint: error.hint)
            }
        }
        guard !keys.isEmpty else {
            let names = algorithms.map(\.rawValue).joined(separator: ", ")
            throw JWTKeyError("has no key for \(names)", hint: "'algorithms' says what its keys may be for")
        }
        return keys
    }

    /// Nil for a key that is not to be used here.
    private static func key(of members: JSONMembers) throws(JWTKeyError) -> JWTKey? {
        guard let kind = members.string("kty") else { throw JWTKeyError("no 'kty'") }
        // RFC 7517 §4.2, §4.3: one for encryption only, or for signing with the private half.
        if let use = members.string("use"), !use.span.equals("sig") { return nil }
        if case .array(let operations)? = members["key_ops"],
            !members.elements(of: operations).contains(.string(Array("verify".utf8)))
        {
            return nil
        }
        guard let algorithm = algorithm(kind, members) else { return nil }
        if let named = members.string("alg"), JWTScope.Algorithm(name: named) != algorithm { return nil }
        let id = members.string("kid")
        switch algorithm {
        case .hs256:
            let secret = try octets("k", members)
            guard secret.count >= JWTKey.secretOctetsMin else {
                throw JWTKeyError("its secret has \(secret.count) octets: HS256 needs \(JWTKey.secretOctetsMin)")
            }
            return JWTKey(secret: Secret(secret), id: id)
        case .rs256:
            let key = PublicKey(modulus: try octets("n", members), exponent: try octets("e", members))
            return try checked(key, .rs256, id)
        case .es256:
            return try checked(PublicKey(x: try octets("x", members), y: try octets("y", members)), .es256, id)
        case .edDSA:
            return try checked(PublicKey(ed25519: try octets("x", members)), .edDSA, id)
        }
    }

    private static func algorithm(_ kind: [UInt8], _ members: JSONMembers) -> JWTScope.Algorithm? {
        let curve = members.string("crv") ?? []
        if kind.span.equals("RSA") { return .rs256 }
        if kind.span.equals("EC"), curve.span.equals("P-256") { return .es256 }
        if kind.span.equals("OKP"), curve.span.equals("Ed25519") { return .edDSA }
        return kind.span.equals("oct") ? .hs256 : nil
    }

    private static func octets(_ name: StaticString, _ members: JSONMembers) throws(JWTKeyError) -> [UInt8] {
        guard let text = members.string(name), !text.isEmpty, let octets = Base64URL.octets(text.span) else {
            throw JWTKeyError("'\(name)' is not a text in base64url without padding")
        }
        return octets
    }

    private static func checked(
        _ key: PublicKey?, _ algorithm: JWTScope.Algorithm, _ id: [UInt8]?
    ) throws(JWTKeyError) -> JWTKey {
        guard let key else { throw JWTKeyError("it is not a key for \(algorithm.rawValue)") }
        return try JWTKey(key, for: algorithm, id: id)
    }
}
