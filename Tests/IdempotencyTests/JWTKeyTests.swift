import Testing

@testable import Idempotency

@Suite struct JWTKeyTests {
    private func error(_ set: String, algorithms: [JWTScope.Algorithm] = JWTScope.Algorithm.allCases) -> String? {
        do throws(JWTKeyError) {
            _ = try JWTKeyRing.keys(ofSet: Array(set.utf8), for: algorithms)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func aSetGivesItsKeys() throws {
        let keys = try JWTVectors.keys(
            JWTVectors.rs256Key, JWTVectors.es256Key, JWTVectors.edDSAKey, JWTVectors.hs256Key)
        #expect(keys.map(\.algorithm) == [.rs256, .es256, .edDSA, .hs256])
        #expect(try JWTVectors.keys(JWTVectors.rs256Key, JWTVectors.es256Key, algorithms: [.es256]).count == 1)
        let named = JWTVectors.es256Key.replacing("{", with: #"{"kid":"2026-01","use":"sig","alg":"ES256","x5t":"?","#)
        #expect(try JWTVectors.keys(named)[0].id == Array("2026-01".utf8))
    }

    @Test("RFC 7517 §5: what is for something else, or of a kind that is not known, is passed over")
    func passedOver() throws {
        let others = [
            JWTVectors.rs256Key.replacing("{", with: #"{"use":"enc","#),
            JWTVectors.rs256Key.replacing("{", with: #"{"alg":"RS512","#),
            JWTVectors.rs256Key.replacing("{", with: #"{"key_ops":["encrypt"],"#),
            #"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#, #"{"kty":"OKP","crv":"X25519","x":"AA"}"#,
            #"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#,
        ]
        for other in others {
            #expect(try JWTVectors.keys(other, JWTVectors.es256Key).count == 1, "\(other)")
            #expect(error(#"{"keys":[\#(other)]}"#) == "has no key for HS256, RS256, ES256, EdDSA")
        }
        #expect(
            try JWTVectors.keys(JWTVectors.rs256Key.replacing("{", with: #"{"key_ops":["verify"],"#)).count == 1)
    }

    @Test func brokenSets() throws {
        #expect(error("") == "is not a JSON object, or names a member twice")
        #expect(error("[]") == "is not a JSON object, or names a member twice")
        #expect(error(#"{"keys":[],"keys":[]}"#) == "is not a JSON object, or names a member twice")
        #expect(error("{}") == "has no array 'keys'")
        #expect(error(#"{"keys":{}}"#) == "has no array 'keys'")
        #expect(error(#"{"keys":[]}"#, algorithms: [.rs256]) == "has no key for RS256")
        #expect(error(#"{"keys":[7]}"#) == "key 1 is not an object")
        #expect(error(#"{"keys":[{}]}"#) == "key 1: no 'kty'")
        #expect(error(#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#) == "key 1: its secret has 3 octets: HS256 needs 32")
        #expect(
            error(#"{"keys":[{"kty":"oct","k":"AA=="}]}"#) == "key 1: 'k' is not a text in base64url without padding")
        #expect(
            error(#"{"keys":[{"kty":"RSA","e":"AQAB"}]}"#) == "key 1: 'n' is not a text in base64url without padding")
        let many = [String](repeating: JWTVectors.edDSAKey, count: 65).joined(separator: ",")
        #expect(error(#"{"keys":[\#(many)]}"#) == "has more than 64 keys")
    }

    @Test("weak and false keys are refused")
    func unsoundKeys() throws {
        // RSA with 1024 bits, with the exponent 1, and an even modulus.
        let short = TestTokens.encode([0xC1] + [UInt8](repeating: 0x5B, count: 127))
        #expect(error(#"{"keys":[{"kty":"RSA","n":"\#(short)","e":"AQAB"}]}"#)?.contains("1024 bits") == true)
        #expect(error(#"{"keys":[\#(JWTVectors.rs256Key.replacing("AQAB", with: "AQ"))]}"#) != nil)
        let even = TestTokens.encode([0xC1] + [UInt8](repeating: 0x5A, count: 255))
        #expect(error(#"{"keys":[{"kty":"RSA","n":"\#(even)","e":"AQAB"}]}"#) != nil)
        // A point that is not on the curve, one that is too short, and infinity.
        let off = JWTVectors.es256Key.replacing("f83O", with: "f83P")
        #expect(error(#"{"keys":[\#(off)]}"#) == "key 1: it is not a key for ES256")
        #expect(
            error(#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#) == "key 1: it is not a key for ES256")
        let zeros = TestTokens.encode([UInt8](repeating: 0, count: 32))
        #expect(error(#"{"keys":[{"kty":"EC","crv":"P-256","x":"\#(zeros)","y":"\#(zeros)"}]}"#) != nil)
        #expect(error(#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}"#) == "key 1: it is not a key for EdDSA")
    }

    static let p256 = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
        6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
        -----END PUBLIC KEY-----

        """

    @Test func filesInPEM() throws {
        let key = try JWTKey(.es256, pem: Array(Self.p256.utf8))
        let parts = try #require(JWSParts(text: JWTVectors.es256))
        #expect(key.verifies(parts.signature, over: parts.signed))
        #expect(throws: JWTKeyError("its key is one for ES256, not RS256")) {
            try JWTKey(.rs256, pem: Array(Self.p256.utf8))
        }
        for (text, message) in [
            ("", "holds no public key in PEM"), ("hello", "holds no public key in PEM"),
            (String(Self.p256.dropLast(40)), "holds no public key in PEM"),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "holds a private key; tokens are verified with the public one"
            ),
        ] {
            do throws(JWTKeyError) {
                _ = try JWTKey(.es256, pem: Array(text.utf8))
                Issue.record("\(text) was taken")
            } catch {
                #expect(error.description == message)
            }
        }
    }

    /// RFC 4231, test cases 2, 4 and 6 (a key of more than a block).
    @Test(
        arguments: [
            (
                Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                Array(1...25), [UInt8](repeating: 0xCD, count: 50),
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
            ),
            (
                [UInt8](repeating: 0xAA, count: 131),
                Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
        ] as [([UInt8], [UInt8], String)])
    func hmac(key: [UInt8], octets: [UInt8], code: String) {
        #expect(HMACKey(key).code(over: octets) == hexadecimal(code))
    }

    @Test func membersOfAnObject() throws {
        var canonicaliser = JSONCanonicaliser()
        let text = #" { "a" : [1, {"x":"]}"}, "\"" ,[], -2.5] , "b":{"c":{}}, "":"\u0041\\","d":false } "#
        let object = try #require(JSONMembers(Array(text.utf8), checking: &canonicaliser))
        guard case .array(let range)? = object["a"] else { return #expect(Bool(false)) }
        let elements = object.elements(of: range)
        #expect(elements.count == 5)
        #expect(elements[0] == .number([0x31]))
        #expect(elements[2] == .string([0x22]))
        #expect(elements[4] == .number(Array("-2.5".utf8)))
        guard case .object(let inner) = elements[1] else { return #expect(Bool(false)) }
        #expect(object.object(at: inner)?.string("x") == Array("]}".utf8))
        #expect(object[[]] == .string(Array(#"A\"#.utf8)))
        #expect(object["d"] == .literal)
        #expect(object["e"] == nil)
        guard case .object(let nested)? = object["b"], case .object? = object.object(at: nested)?["c"] else {
            return #expect(Bool(false))
        }
    }
}

/// The octets of a text in hexadecimal.
private func hexadecimal(_ text: String) -> [UInt8] {
    let digits = text.utf8.compactMap { hexadecimalValue($0) }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
