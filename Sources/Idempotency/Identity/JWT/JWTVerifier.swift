/// Why a token says nothing about who is calling.
package enum JWTError: Error, Equatable, Sendable {
    case malformed
    /// `none`, or one that no key is for.
    case algorithm
    /// An extension that must be understood (RFC 7515 §4.1.11).
    case critical
    case unknownKey
    case signature
    case expired
    case notYetValid
    case issuer
    case audience

    /// For the client, and as a metric's label.
    package var text: StaticString {
        switch self {
        case .malformed: "malformed"
        case .algorithm: "algorithm"
        case .critical: "critical_extension"
        case .unknownKey: "unknown_key"
        case .signature: "signature"
        case .expired: "expired"
        case .notYetValid: "not_yet_valid"
        case .issuer: "issuer"
        case .audience: "audience"
        }
    }

    package var detail: StaticString {
        switch self {
        case .malformed: "It is not a JWS in compact serialisation over a JSON object."
        case .algorithm: "Its algorithm is not one that is accepted here."
        case .critical: "It has an extension that is not known here."
        case .unknownKey: "No key here is the one that it names."
        case .signature: "Its signature does not verify."
        case .expired: "It has expired."
        case .notYetValid: "It is not valid yet."
        case .issuer: "It is not from the issuer that is expected here."
        case .audience: "It is not for this audience."
        }
    }
}

/// Verifies tokens (RFC 7515, 7519) and tells who is calling. What says which algorithm a signature has is the key; the
/// token's header can only choose among the keys.
package struct JWTVerifier: Sendable {
    /// Octets of a token at most.
    package static let octetsMax = 8192
    /// Keys that are tried for a token which names none.
    private static let triesMax = 8
    /// A token without `exp` is verified again after this time.
    private static let cacheMillisecondsMax: UInt64 = 300_000
    /// A time further on than this is not a date.
    private static let secondsMax: UInt64 = 1 << 45

    private let claim: [UInt8]
    private let issuer: [UInt8]?
    private let audience: [UInt8]?
    private let leeway: UInt64
    private let ring: JWTKeyRing
    /// What is verified depends on more than the token.
    private let cachePrefix: SHA256

    package init(_ scope: JWTScope, keys ring: JWTKeyRing) {
        claim = Array(scope.claim.utf8)
        issuer = scope.issuer.map { Array($0.utf8) }
        audience = scope.audience.map { Array($0.utf8) }
        leeway = scope.leewayMilliseconds
        self.ring = ring
        var prefix = SHA256()
        for part in [claim, issuer ?? [], audience ?? []] { prefix.update(prefixed: part) }
        prefix.update(issuer == nil ? 0 : 1)
        prefix.update(audience == nil ? 0 : 1)
        prefix.update(integer: leeway)
        cachePrefix = prefix
    }

    /// Who is calling: the issuer, the sort of the claim's value and the value, each after its size; nil where the
    /// token has no such claim, or its value is neither an integer nor a text that is not empty.
    package func caller(
        of token: Span<UInt8>, nowMilliseconds now: UInt64, scratch: inout IdentityScratch
    ) throws(JWTError) -> [UInt8]? {
        guard token.count <= Self.octetsMax else { throw .malformed }
        var hash = cachePrefix
        hash.update(integer: ring.generation)
        hash.update(token)
        let key = hash.finish()
        if let known = scratch.verifiedTokens.caller(of: key, nowMilliseconds: now) {
            scratch.tokenCheck = .known
            return known
        }
        let claims = try verifiedClaims(of: token, nowMilliseconds: now, canonicaliser: &scratch.json)
        scratch.tokenCheck = .verified(evicts: false)
        guard let caller = caller(in: claims) else { return nil }
        var end = now &+ Self.cacheMillisecondsMax
        if let expiry = try expiry(claims) { end = min(expiry, now &+ Self.cacheMillisecondsMax) }
        let evicts = scratch.verifiedTokens.keep(caller, of: key, untilMilliseconds: end, nowMilliseconds: now)
        scratch.tokenCheck = .verified(evicts: evicts)
        return caller
    }

    // MARK: The token

    private func verifiedClaims(
        of token: Span<UInt8>, nowMilliseconds now: UInt64, canonicaliser: inout JSONCanonicaliser
    ) throws(JWTError) -> JSONMembers {
        guard let parts = JWSParts(token),
            let header = JSONMembers(parts.header, checking: &canonicaliser),
            let claims = JSONMembers(parts.payload, checking: &canonicaliser)
        else { throw .malformed }
        guard !header.contains("crit") else { throw .critical }
        guard let name = header.string("alg") else { throw .malformed }
        guard let algorithm = JWTScope.Algorithm(name: name) else { throw .algorithm }
        // What costs nothing first: a flood of old tokens is not worth a signature each.
        try checkTimes(claims, now)
        try checkParties(claims)
        let id = header.string("kid")
        guard header.contains("kid") == (id != nil) else { throw .malformed }
        try checkSignature(parts, algorithm, id)
        return claims
    }

    private func checkSignature(
        _ parts: JWSParts, _ algorithm: JWTScope.Algorithm, _ id: [UInt8]?
    ) throws(JWTError) {
        let all = ring.keys.filter { $0.algorithm == algorithm }
        guard !all.isEmpty else { throw .algorithm }
        // A key without a name is the only one of its file.
        let candidates = all.filter { id == nil || $0.id == nil || $0.id == id }
        guard !candidates.isEmpty else { throw .unknownKey }
        for key in candidates.prefix(Self.triesMax) where key.verifies(parts.signature, of: parts.signed.span) {
            return
        }
        throw .signature
    }

    private func checkTimes(_ claims: JSONMembers, _ now: UInt64) throws(JWTError) {
        if let expiry = try expiry(claims), now >= expiry { throw .expired }
        if let start = try milliseconds("nbf", claims), now &+ leeway < start { throw .notYetValid }
    }

    /// With the leeway; nil where the token has none.
    private func expiry(_ claims: JSONMembers) throws(JWTError) -> UInt64? {
        try milliseconds("exp", claims).map { $0 &+ leeway }
    }

    /// A NumericDate (RFC 7519 §2); of a fraction, the whole seconds.
    private func milliseconds(_ name: StaticString, _ claims: JSONMembers) throws(JWTError) -> UInt64? {
        guard let value = claims[name] else { return nil }
        guard case .number(let digits) = value else { throw .malformed }
        guard digits.first != 0x2D else { return 0 }
        var seconds: UInt64 = 0
        for (index, digit) in digits.enumerated() {
            if digit == 0x2E {
                // A power of ten behind the fraction would move the point.
                guard digits[index...].dropFirst().allSatisfy({ $0 &- 0x30 <= 9 }) else { throw .malformed }
                break
            }
            guard digit &- 0x30 <= 9 else { throw .malformed }
            seconds = seconds * 10 + UInt64(digit & 15)
            guard seconds < Self.secondsMax else { throw .malformed }
        }
        return seconds * 1000
    }

    private func checkParties(_ claims: JSONMembers) throws(JWTError) {
        if let issuer, claims.string("iss") != issuer { throw .issuer }
        guard let audience else { return }
        // RFC 7519 §4.1.3: one text, or an array of them.
        switch claims["aud"] {
        case .string(let text)?:
            guard text == audience else { throw .audience }
        case .array(let range)?:
            guard claims.elements(of: range).contains(.string(audience)) else { throw .audience }
        default:
            throw .audience
        }
    }

    private func caller(in claims: JSONMembers) -> [UInt8]? {
        var sort: UInt8
        let value: [UInt8]
        switch claims[claim] {
        case .string(let text)?:
            guard !text.isEmpty else { return nil }
            sort = 1
            value = text
        case .number(let digits)?:
            // Of one number there is one text, if it is an integer.
            let magnitude = digits.first == 0x2D ? digits.dropFirst() : digits[...]
            guard magnitude.allSatisfy({ $0 &- 0x30 <= 9 }) else { return nil }
            sort = 2
            value = digits
        default:
            return nil
        }
        let issuer: [UInt8]
        switch claims["iss"] {
        case .string(let text)?: issuer = text
        case nil: issuer = []
        default: return nil
        }
        if claims.contains("iss") { sort |= 4 }
        var caller: [UInt8] = []
        caller.append(bigEndian: UInt32(issuer.count))
        caller += issuer
        caller.append(sort)
        caller.append(bigEndian: UInt32(value.count))
        return caller + value
    }
}

/// The three parts of a JWS in compact serialisation (RFC 7515 §7.1).
struct JWSParts {
    let header: [UInt8]
    let payload: [UInt8]
    let signature: [UInt8]
    /// What the signature is over: the first two parts as they stand, with the point between them.
    let signed: [UInt8]

    init?(_ token: Span<UInt8>) {
        let first = token.firstIndex(of: 0x2E, from: 0)
        guard first < token.count else { return nil }
        let second = token.firstIndex(of: 0x2E, from: first + 1)
        // A third point is no character of base64url.
        guard second < token.count,
            let header = Base64URL.octets(token.extracting(..<first)),
            let payload = Base64URL.octets(token.extracting(first + 1..<second)),
            let signature = Base64URL.octets(token.extracting(second + 1..<token.count))
        else { return nil }
        self.header = header
        self.payload = payload
        self.signature = signature
        signed = [UInt8](token.extracting(..<second))
    }
}
