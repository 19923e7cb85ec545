// Compiled into the fuzzer as well, with the sources in one module.
#if canImport(Idempotency)
    @testable import Idempotency
#endif

/// The examples of RFC 7515 (appendices A.1 to A.3) and RFC 8037 (A.4), with their keys.
enum JWTVectors {
    static let hs256Key =
        #"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#
    static let hs256 =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + payload + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

    static let rs256Key =
        #"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt"#
        + "0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e"
        + "-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8"
        + #"q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#
    static let rs256 =
        "eyJhbGciOiJSUzI1NiJ9." + payload
        + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb"
        + "F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOL"
        + "n6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB"
        + "p0igcN_IoypGlUPQGe77Rw"

    static let es256Key =
        #"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#
        + #""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
    static let es256 =
        "eyJhbGciOiJFUzI1NiJ9." + payload
        + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

    static let edDSAKey = #"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
    /// Its payload is a text and no JSON.
    static let edDSA =
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        + ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

    /// `iss` joe, `exp` 1300819380, and a claim that is true.
    static let payload =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    static let expiryMilliseconds: UInt64 = 1_300_819_380_000

    static func keys(_ jwk: String..., algorithms: [JWTScope.Algorithm] = JWTScope.Algorithm.allCases) throws
        -> [JWTKey]
    {
        try JWTKeyRing.keys(
            ofSet: Array(#"{"keys":[\#(jwk.joined(separator: ","))]}"#.utf8), for: algorithms)
    }
}

/// Makes tokens of HS256, for what is the same for every algorithm.
struct TestTokens {
    static let secret = Array("0123456789abcdef0123456789abcdef".utf8)
    let key = JWTKey(secret: Secret(secret), id: nil)

    static func encode(_ octets: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var count: UInt32 = 0
        for octet in octets {
            bits = bits << 8 | UInt32(octet)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> count & 63)])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << (6 - count) & 63)]) }
        return String(decoding: text, as: UTF8.self)
    }

    func token(_ claims: String, header: String = #"{"alg":"HS256"}"#) -> String {
        token(Array(claims.utf8), header: Array(header.utf8))
    }

    func token(_ claims: [UInt8], header: [UInt8]) -> String {
        let signed = Self.encode(header) + "." + Self.encode(claims)
        return signed + "." + Self.encode(HMACKey(Self.secret).code(over: Array(signed.utf8)))
    }
}

// Without spans, so that expectations can hold them.

extension JWTKey {
    func verifies(_ signature: [UInt8], over octets: [UInt8]) -> Bool { verifies(signature, of: octets.span) }
}

extension JWSParts {
    init?(text: String) {
        self.init(Array(text.utf8).span)
    }
}

extension Base64URL {
    static func octets(text: String) -> [UInt8]? { octets(Array(text.utf8).span) }
}

extension HMACKey {
    func code(over octets: [UInt8]) -> [UInt8] {
        var code: [UInt8] = []
        code.append(self.code(of: octets.span))
        return code
    }
}
