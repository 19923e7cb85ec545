import COpenSSL

/// A key of an issuer, for the one algorithm that it was made for.
package struct JWTKey: Sendable {
    /// A modulus shorter than this protects nothing (RFC 7518 §3.3); a longer one than the other costs milliseconds.
    static let rsaBits = 2048...8192
    /// RFC 7518 §3.2.
    static let secretOctetsMin = 32

    package let algorithm: JWTScope.Algorithm
    /// How tokens name it; nil where only one key of its algorithm is expected.
    package let id: [UInt8]?
    private let material: Material

    private enum Material: Sendable {
        case hmac(HMACKey)
        case publicKey(PublicKey)
    }

    /// Of HS256. Precondition: at least `secretOctetsMin` octets.
    package init(secret: Secret, id: [UInt8]? = nil) {
        precondition(secret.octets.count >= Self.secretOctetsMin, "a secret of HS256 has at least 32 octets")
        algorithm = .hs256
        self.id = id
        material = .hmac(HMACKey(secret.octets))
    }

    /// Of a PEM file: a public key, or a certificate.
    package init(_ algorithm: JWTScope.Algorithm, pem: [UInt8]) throws(JWTKeyError) {
        guard algorithm != .hs256 else { throw JWTKeyError("a secret of HS256 is not a PEM file") }
        guard let key = PublicKey(pem: pem) else {
            if pem.contains("PRIVATE KEY-----") {
                throw JWTKeyError(
                    "holds a private key; tokens are verified with the public one",
                    hint: "make one with 'openssl pkey -pubout'")
            }
            throw JWTKeyError(
                "holds no public key in PEM", hint: "it begins with '-----BEGIN PUBLIC KEY-----', or is a certificate")
        }
        try self.init(key, for: algorithm, id: nil)
    }

    init(_ key: PublicKey, for algorithm: JWTScope.Algorithm, id: [UInt8]?) throws(JWTKeyError) {
        guard let actual = key.algorithm else {
            throw JWTKeyError("its key is for none of the algorithms here", hint: "RSA, EC on P-256, or Ed25519")
        }
        guard actual == algorithm else {
            throw JWTKeyError("its key is one for \(actual.rawValue), not \(algorithm.rawValue)")
        }
        if algorithm == .rs256, !Self.rsaBits.contains(key.bits) {
            throw JWTKeyError(
                "its RSA key has \(key.bits) bits: \(Self.rsaBits.lowerBound) to \(Self.rsaBits.upperBound) are taken")
        }
        guard key.isSound else { throw JWTKeyError("its key is not a sound one") }
        self.algorithm = algorithm
        self.id = id
        material = .publicKey(key)
    }

    /// Whether the key's holder signed these octets.
    func verifies(_ signature: [UInt8], of octets: Span<UInt8>) -> Bool {
        switch material {
        case .hmac(let key): key.verifies(signature, of: octets)
        case .publicKey(let key): key.verifies(signature, of: octets, algorithm)
        }
    }
}

extension JWTScope.Algorithm {
    /// As headers and keys name it. RFC 9864 calls EdDSA with Ed25519 by the curve alone.
    init?(name: [UInt8]) {
        self.init(rawValue: name.span.equals("Ed25519") ? "EdDSA" : String(decoding: name, as: UTF8.self))
    }
}

/// What is wrong with a key or a file of keys: "its key …", "holds …".
package struct JWTKeyError: Error, Equatable, CustomStringConvertible {
    package let description: String
    package let hint: String?

    init(_ description: String, hint: String? = nil) {
        self.description = description
        self.hint = hint
    }
}

/// HMAC with SHA-256 (RFC 2104); the two blocks that depend on the key only are absorbed already.
struct HMACKey: Sendable {
    private var inner = SHA256()
    private var outer = SHA256()

    init(_ secret: [UInt8]) {
        var block = secret
        if block.count > 64 {
            let digest = SHA256.digest(of: secret.span)
            block = []
            block.append(digest)
        }
        block += [UInt8](repeating: 0, count: 64 - block.count)
        inner.update(block.map { $0 ^ 0x36 })
        outer.update(block.map { $0 ^ 0x5C })
    }

    func code(of octets: Span<UInt8>) -> Digest256 {
        var inner = inner
        inner.update(octets)
        var outer = outer
        outer.update(inner.finish())
        return outer.finish()
    }

    func verifies(_ code: [UInt8], of octets: Span<UInt8>) -> Bool {
        guard code.count == 32 else { return false }
        var expected: [UInt8] = []
        expected.append(self.code(of: octets))
        return unsafe code.withUnsafeBytes { code in
            unsafe expected.withUnsafeBytes { expected in
                // Both hold 32 octets and live through the call.
                unsafe oncegate_equal_octets(code.baseAddress, expected.baseAddress, 32) == 1
            }
        }
    }
}

extension [UInt8] {
    /// Whether a text stands somewhere in the octets.
    fileprivate func contains(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard self.count >= count else { return false }
        for start in 0...(self.count - count) where span.extracting(start..<start + count).equals(text) { return true }
        return false
    }
}
