/// Who is calling, by a claim of a verified token (RFC 7519), so that a refreshed token keeps its scope. The token's
/// issuer is part of the scope: equal claims of two issuers are two callers.
package struct JWTScope: Sendable, Equatable {
    /// RFC 7518 §3.1, RFC 8037 §3.1.
    package enum Algorithm: String, Sendable, Equatable, CaseIterable {
        case hs256 = "HS256"
        case rs256 = "RS256"
        case es256 = "ES256"
        case edDSA = "EdDSA"
    }

    /// A key is for one algorithm, whatever a token's header says: a public key never verifies an HMAC.
    package enum Key: Sendable, Equatable {
        /// HS256; at least 32 octets (RFC 7518 §3.2).
        case secret(Secret)
        /// A PEM file, an absolute path; not HS256.
        case publicKey(Algorithm, path: String)
    }

    /// Its value is a string or an integer.
    package var claim: String
    package var keys: [Key] = []
    /// A JSON Web Key Set (RFC 7517), an absolute path. There are `keys` or this.
    package var keySetPath: String?
    /// What keys of the set may be for.
    package var keySetAlgorithms: [Algorithm] = [.rs256, .es256, .edDSA]
    /// What `iss` must be; nil = anything.
    package var issuer: String?
    /// What `aud` must hold; nil = anything.
    package var audience: String?
    /// The field that carries the token; lower case. In `authorization` after `Bearer`, elsewhere as it is.
    package var field = "authorization"
    /// By how much clocks may differ where `exp` and `nbf` are compared.
    package var leewayMilliseconds: UInt64 = 60_000

    package init(claim: String) {
        self.claim = claim
    }
}
