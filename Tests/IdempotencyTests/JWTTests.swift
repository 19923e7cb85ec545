import Testing

@testable import Idempotency

@Suite struct JWTTests {
    private let now: UInt64 = 1_800_000_000_000

    private func check(
        _ token: String, keys: [JWTKey] = [TestTokens().key], now: UInt64? = nil,
        _ configure: (inout JWTScope) -> Void = { _ in }
    ) throws(JWTError) -> [UInt8]? {
        var scope = JWTScope(claim: "sub")
        configure(&scope)
        var scratch = IdentityScratch()
        return try JWTVerifier(scope, keys: JWTKeyRing(keys))
            .caller(of: Array(token.utf8).span, nowMilliseconds: now ?? self.now, scratch: &scratch)
    }

    private func token(_ claims: String, header: String = #"{"alg":"HS256"}"#) -> String {
        TestTokens().token(claims, header: header)
    }

    // MARK: Signatures

    @Test(
        "the examples of RFC 7515 verify, and with one bit changed they do not",
        arguments: [
            (JWTVectors.hs256, JWTVectors.hs256Key), (JWTVectors.rs256, JWTVectors.rs256Key),
            (JWTVectors.es256, JWTVectors.es256Key),
        ])
    func vectors(token: String, key: String) throws {
        let keys = try JWTVectors.keys(key)
        let before = JWTVectors.expiryMilliseconds - 1
        let caller = try check(token, keys: keys, now: before) {
            $0.claim = "iss"
            $0.leewayMilliseconds = 0
        }
        #expect(caller == [0, 0, 0, 3] + Array("joe".utf8) + [5, 0, 0, 0, 3] + Array("joe".utf8))
        #expect(throws: JWTError.expired) {
            try check(token, keys: keys, now: before + 1) { $0.leewayMilliseconds = 0 }
        }
        let parts = try #require(JWSParts(text: token))
        for index in parts.signature.indices {
            for bit in [UInt8(1), 0x80] {
                var signature = parts.signature
                signature[index] ^= bit
                #expect(!keys[0].verifies(signature, over: parts.signed))
            }
        }
        for index in stride(from: 0, to: parts.signed.count, by: 7) {
            var signed = parts.signed
            signed[index] ^= 1
            #expect(!keys[0].verifies(parts.signature, over: signed))
        }
        #expect(!keys[0].verifies(parts.signature + [0], over: parts.signed))
        #expect(!keys[0].verifies(parts.signature.dropLast(), over: parts.signed))
    }

    @Test func vectorOfRFC8037() throws {
        let key = try JWTVectors.keys(JWTVectors.edDSAKey)[0]
        let parts = try #require(JWSParts(text: JWTVectors.edDSA))
        #expect(key.algorithm == .edDSA)
        #expect(key.verifies(parts.signature, over: parts.signed))
        #expect(!key.verifies(parts.signature, over: parts.signed.dropLast()))
        var high = parts.signature
        // S is not below the group's order: another text of the same signature.
        high[63] |= 0x80
        #expect(!key.verifies(high, over: parts.signed))
        #expect(throws: JWTError.malformed) { try check(JWTVectors.edDSA, keys: [key]) }
    }

    @Test("RFC 9864 names Ed25519 by itself; what it names otherwise is still nothing here")
    func newNames() throws {
        let key = JWTVectors.edDSAKey.replacing("{", with: #"{"alg":"Ed25519","#)
        #expect(try JWTVectors.keys(key).count == 1)
        let other = JWTVectors.edDSAKey.replacing("{", with: #"{"alg":"Ed448","#)
        #expect(try JWTVectors.keys(JWTVectors.es256Key, other).count == 1)
        let claims = TestTokens.encode(Array(#"{"sub":"a"}"#.utf8))
        let keys = try JWTVectors.keys(key)
        for (name, error) in [("Ed25519", JWTError.signature), ("Ed448", .algorithm), ("ed25519", .algorithm)] {
            let header = TestTokens.encode(Array(#"{"alg":"\#(name)"}"#.utf8))
            #expect(throws: error) { try check("\(header).\(claims).AAAA", keys: keys) }
        }
    }

    @Test("ES256: zeros, a signature in DER and one with r and s out of range are none")
    func signaturesOfNobody() throws {
        let key = try JWTVectors.keys(JWTVectors.es256Key)[0]
        let parts = try #require(JWSParts(text: JWTVectors.es256))
        let zeros = [UInt8](repeating: 0, count: 64)
        let ones = [UInt8](repeating: 0xFF, count: 64)
        let der: [UInt8] = [0x30, 6, 2, 1, 0, 2, 1, 0]
        for signature in [zeros, ones, Array(zeros[..<32]) + Array(parts.signature[32...]), [], der] {
            #expect(!key.verifies(signature, over: parts.signed))
        }
    }

    @Test("a public key never verifies an HMAC, whatever the header says")
    func confusion() throws {
        let keys = try JWTVectors.keys(JWTVectors.rs256Key, JWTVectors.es256Key)
        // Made with the public key's octets as the secret, as the attack does.
        let signed =
            TestTokens.encode(Array(#"{"alg":"HS256"}"#.utf8)) + "." + TestTokens.encode(Array(#"{"sub":"a"}"#.utf8))
        let code = HMACKey(Array(JWTVectors.rs256Key.utf8)).code(over: Array(signed.utf8))
        #expect(throws: JWTError.algorithm) { try check(signed + "." + TestTokens.encode(code), keys: keys) }
        // And a token of one algorithm with the header of the other.
        let parts = JWTVectors.rs256.split(separator: ".")
        let other = TestTokens.encode(Array(#"{"alg":"ES256"}"#.utf8)) + ".\(parts[1]).\(parts[2])"
        #expect(throws: JWTError.signature) { try check(other, keys: keys, now: 0) }
    }

    @Test(
        "alg none in every spelling, and what is no algorithm here",
        arguments: ["none", "None", "NONE", "nOnE", "", "hs256", "HS384", "RS512", "PS256", "ES256K", "HS256 "])
    func algorithms(name: String) {
        for signature in ["", "AAAA"] {
            let token =
                TestTokens.encode(Array(#"{"alg":"\#(name)"}"#.utf8)) + "."
                + TestTokens.encode(Array(#"{"sub":"a"}"#.utf8)) + "." + signature
            #expect(throws: JWTError.algorithm) { try check(token) }
        }
    }

    @Test("kid chooses among the keys; a key without one is always tried")
    func keyIDs() throws {
        func key(_ octet: UInt8, _ id: String?) -> JWTKey {
            JWTKey(secret: Secret([UInt8](repeating: octet, count: 32)), id: id.map { Array($0.utf8) })
        }
        let right = JWTKey(secret: Secret(TestTokens.secret), id: Array("right".utf8))
        let keys = [key(1, "one"), right, key(2, "two")]
        #expect(try check(token(#"{"sub":"a"}"#, header: #"{"alg":"HS256","kid":"right"}"#), keys: keys) != nil)
        #expect(try check(token(#"{"sub":"a"}"#), keys: keys) != nil)
        #expect(throws: JWTError.signature) {
            try check(token(#"{"sub":"a"}"#, header: #"{"alg":"HS256","kid":"one"}"#), keys: keys)
        }
        #expect(throws: JWTError.unknownKey) {
            try check(token(#"{"sub":"a"}"#, header: #"{"alg":"HS256","kid":"three"}"#), keys: keys)
        }
        #expect(
            try check(
                token(#"{"sub":"a"}"#, header: #"{"alg":"HS256","kid":"three"}"#),
                keys: [key(1, "one"), TestTokens().key])
                != nil)
        #expect(throws: JWTError.malformed) {
            try check(token(#"{"sub":"a"}"#, header: #"{"alg":"HS256","kid":7}"#), keys: keys)
        }
    }

    // MARK: The form

    @Test(
        "a header or payload that is not one JSON object with each member once",
        arguments: [
            (#"{"alg":"HS256","alg":"HS256"}"#, #"{"sub":"a"}"#),
            (#"{"alg":"HS256","\u0061lg":"none"}"#, #"{"sub":"a"}"#),
            (#"{"alg":"HS256"}"#, #"{"sub":"a","sub":"b"}"#), (#"{"alg":"HS256"}"#, #"{"sub":"a","x":{"y":1,"y":2}}"#),
            (#"{"alg":"HS256"} x"#, #"{"sub":"a"}"#), (#"["alg"]"#, #"{"sub":"a"}"#), ("", #"{"sub":"a"}"#),
            (#"{"alg":"HS256"}"#, "7"), (#"{"alg":"HS256"}"#, ""), (#"{"typ":"JWT"}"#, #"{"sub":"a"}"#),
            (#"{"alg":["HS256"]}"#, #"{"sub":"a"}"#), (#"{"alg":"HS256"}"#, #"{"sub":"\ud800"}"#),
            (#"{"alg":"HS256",}"#, #"{"sub":"a"}"#), (#"{"alg":"HS256"}"#, #"{"sub":"a","exp":"soon"}"#),
            (#"{"alg":"HS256"}"#, #"{"sub":"a","exp":1e30}"#), (#"{"alg":"HS256"}"#, #"{"sub":"a","exp":null}"#),
            (#"{"alg":"HS256"}"#, #"{"sub":"a","exp":99999999999999999999}"#),
            (#"{"alg":"HS256"}"#, #"{"sub":"a","nbf":[]}"#),
        ])
    func malformed(header: String, claims: String) {
        #expect(throws: JWTError.malformed) { try check(token(claims, header: header)) }
    }

    @Test("crit is refused, whatever it lists")
    func critical() {
        for header in [#"{"alg":"HS256","crit":["b64"],"b64":false}"#, #"{"alg":"HS256","crit":[]}"#] {
            #expect(throws: JWTError.critical) { try check(token(#"{"sub":"a"}"#, header: header)) }
        }
    }

    @Test("every truncation and every padded or line-broken form of a good token is refused")
    func truncations() throws {
        let token = token(#"{"sub":"a","exp":1900000000}"#, header: #"{"alg":"HS256","typ":"JWT"}"#)
        #expect(try check(token) != nil)
        for count in 0..<token.utf8.count {
            let cut = String(token.prefix(count))
            #expect(throws: JWTError.self) { try check(cut) }
        }
        let parts = token.split(separator: ".").map(String.init)
        let others = [
            token + "=", token + ".", "." + token, token + " ", token + "\n", token + ".x",
            "\(parts[0])=.\(parts[1]).\(parts[2])",
            "\(parts[0]).\(parts[1])..\(parts[2])", parts.joined(separator: ".."), token.replacing("-", with: "+"),
            "\(parts[0]).\(parts[1]).\(parts[2]).\(parts[2]).\(parts[2])", String(repeating: "A", count: 9000),
        ]
        for other in others where other != token { #expect(throws: JWTError.self) { try check(other) } }
    }

    @Test("base64url: one text for each sequence of octets")
    func base64URL() {
        let texts: [(String, [UInt8]?)] = [
            ("", []), ("Zg", [0x66]), ("Zm8", [0x66, 0x6F]), ("Zm9v", [0x66, 0x6F, 0x6F]), ("_-8", [0xFF, 0xEF]),
            ("Zh", nil), ("Zm9", nil), ("Z", nil), ("Zg==", nil), ("Zg\n", nil), ("Z g", nil), ("+/8", nil),
            ("Zé", nil),
            ("Zm9vY", nil),
        ]
        for (text, octets) in texts {
            #expect(Base64URL.octets(text: text) == octets, "\(text)")
        }
        for count in 0..<70 {
            let octets = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            #expect(Base64URL.octets(text: TestTokens.encode(octets)) == octets)
        }
    }

    // MARK: Claims

    @Test("exp and nbf, with the leeway, to the second")
    func times() throws {
        let seconds = now / 1000
        #expect(try check(token(#"{"sub":"a","exp":\#(seconds + 1)}"#)) != nil)
        #expect(try check(token(#"{"sub":"a","exp":\#(seconds - 59)}"#)) != nil)
        #expect(try check(token(#"{"sub":"a","exp":\#(seconds - 59).5}"#)) != nil)
        #expect(throws: JWTError.expired) { try check(token(#"{"sub":"a","exp":\#(seconds - 60)}"#)) }
        #expect(throws: JWTError.expired) { try check(token(#"{"sub":"a","exp":0}"#)) }
        #expect(throws: JWTError.expired) { try check(token(#"{"sub":"a","exp":-1}"#)) }
        #expect(throws: JWTError.expired) {
            try check(token(#"{"sub":"a","exp":\#(seconds)}"#)) { $0.leewayMilliseconds = 0 }
        }
        #expect(try check(token(#"{"sub":"a","nbf":\#(seconds + 60)}"#)) != nil)
        #expect(throws: JWTError.notYetValid) { try check(token(#"{"sub":"a","nbf":\#(seconds + 61)}"#)) }
        // Without exp a token is good for ever; the issuer wants it so.
        #expect(try check(token(#"{"sub":"a"}"#)) != nil)
    }

    @Test func parties() throws {
        let token = token(#"{"sub":"a","iss":"https://id.example","aud":["x","orders"]}"#)
        #expect(
            try check(token) {
                $0.issuer = "https://id.example"
                $0.audience = "orders"
            } != nil)
        #expect(throws: JWTError.issuer) { try check(token) { $0.issuer = "https://id.example/" } }
        #expect(throws: JWTError.audience) { try check(token) { $0.audience = "order" } }
        #expect(try check(self.token(#"{"sub":"a","aud":"orders"}"#)) { $0.audience = "orders" } != nil)
        for claims in [
            #"{"sub":"a"}"#, #"{"sub":"a","aud":"other"}"#, #"{"sub":"a","aud":[["orders"]]}"#,
            #"{"sub":"a","aud":{"orders":1}}"#,
            #"{"sub":"a","aud":[]}"#,
        ] {
            #expect(throws: JWTError.audience) { try check(self.token(claims)) { $0.audience = "orders" } }
        }
        for claims in [#"{"sub":"a"}"#, #"{"sub":"a","iss":["https://id.example"]}"#] {
            #expect(throws: JWTError.issuer) { try check(self.token(claims)) { $0.issuer = "https://id.example" } }
        }
    }

    @Test("the caller is the issuer, the sort of the value and the value; nothing of them meets")
    func callers() throws {
        func caller(_ claims: String) throws -> [UInt8]? { try check(token(claims)) }
        let claims = [
            #"{"sub":"1"}"#, #"{"sub":1}"#, #"{"sub":"11"}"#, #"{"sub":-1}"#, #"{"sub":"1","iss":""}"#,
            #"{"sub":"1","iss":"1"}"#,
            #"{"sub":"11","iss":""}"#, #"{"sub":9007199254740993}"#, #"{"sub":9007199254740992}"#,
            #"{"sub":"a","iss":"b"}"#,
            #"{"sub":"b","iss":"a"}"#, #"{"sub":"A"}"#, #"{"sub":" a"}"#,
        ]
        let callers = try claims.map { try #require(try caller($0)) }
        #expect(Set(callers).count == claims.count)
        #expect(try caller(#"{"sub":"a\u0062"}"#) == caller(#"{"exp":1900000000,"sub":"ab","jti":"x"}"#))
        // One that names nobody.
        for claims in [
            "{}", #"{"sub":""}"#, #"{"sub":null}"#, #"{"sub":true}"#, #"{"sub":1.5}"#, #"{"sub":1e3}"#,
            #"{"sub":["a"]}"#,
            #"{"sub":{"sub":"a"}}"#, #"{"x":{"sub":"a"}}"#, #"{"sub":"a","iss":7}"#,
        ] {
            #expect(try caller(claims) == nil, "\(claims)")
        }
    }

    // MARK: What was verified

    @Test func cache() throws {
        let ring = JWTKeyRing([TestTokens().key])
        var scope = JWTScope(claim: "sub")
        scope.leewayMilliseconds = 0
        let verifier = JWTVerifier(scope, keys: ring)
        var scratch = IdentityScratch()
        func check(_ token: String, at time: UInt64, _ verifier: JWTVerifier) throws(JWTError) -> TokenCheck {
            _ = try verifier.caller(of: Array(token.utf8).span, nowMilliseconds: time, scratch: &scratch)
            return scratch.tokenCheck
        }
        let short = token(#"{"sub":"a","exp":\#(now / 1000 + 10)}"#)
        #expect(try check(short, at: now, verifier) == .verified(evicts: false))
        #expect(try check(short, at: now + 9_999, verifier) == .known)
        #expect(throws: JWTError.expired) { try check(short, at: now + 10_000, verifier) }
        // Without exp, or with one far away, it is looked at again after a while.
        let long = token(#"{"sub":"a"}"#)
        #expect(try check(long, at: now, verifier) == .verified(evicts: false))
        #expect(try check(long, at: now + 299_999, verifier) == .known)
        #expect(try check(long, at: now + 300_000, verifier) == .verified(evicts: false))
        // Other rules have verified nothing of it.
        var other = scope
        other.issuer = "x"
        #expect(throws: JWTError.issuer) { try check(long, at: now, JWTVerifier(other, keys: ring)) }
        other = scope
        other.claim = "jti"
        #expect(try check(long, at: now, JWTVerifier(other, keys: ring)) == .verified(evicts: false))
        // Nor have other keys.
        ring.replace([JWTKey(secret: Secret([UInt8](repeating: 7, count: 32)))])
        #expect(throws: JWTError.signature) { try check(long, at: now, verifier) }
        ring.replace([TestTokens().key])
        #expect(try check(long, at: now, verifier) == .verified(evicts: false))
    }

    @Test func cacheIsBounded() {
        var tokens = VerifiedTokens()
        var evictions = 0
        let count = 10_000
        for number in 0..<count {
            let digest = SHA256.digest(of: Array("\(number)".utf8).span)
            if tokens.keep([1], of: digest, untilMilliseconds: 10, nowMilliseconds: 0) { evictions += 1 }
            #expect(tokens.caller(of: digest, nowMilliseconds: 9) == [1])
            #expect(tokens.caller(of: digest, nowMilliseconds: 10) == nil)
        }
        #expect(evictions >= count - 2 * VerifiedTokens.setsMax)
        let octets: [UInt8] = [0]
        let large = SHA256.digest(of: octets.span)
        let caller = [UInt8](repeating: 0, count: 513)
        let evicts = tokens.keep(caller, of: large, untilMilliseconds: 10, nowMilliseconds: 0)
        #expect(!evicts)
        #expect(tokens.caller(of: large, nowMilliseconds: 0) == nil)
    }
}
