package import Idempotency

/// Opens the files that a configuration names. Configuration knows no TLS library: the program gives it what does, and
/// tests theirs.
package struct FileInspection: Sendable {
    package struct Finding: Sendable, Equatable {
        /// The file that it is about, of a certificate and its key.
        package enum File: Sendable, Equatable {
            case chain
            case key
        }

        package var file: File
        /// What follows the file's name and a colon: "cannot be read".
        package var message: String
        package var hint: String?
        package var isWarning: Bool

        package init(_ file: File, _ message: String, hint: String? = nil, isWarning: Bool = false) {
            self.file = file
            self.message = message
            self.hint = hint
            self.isWarning = isWarning
        }
    }

    /// What is wrong with a certificate and its key: unreadable, no PEM, not a pair, expired.
    package var certificate: @Sendable (Configuration.Certificate) -> [Finding]
    /// What is wrong with a file of authorities, as the chain.
    package var authorities: @Sendable (_ path: String) -> [Finding]

    /// What is wrong with a file that holds a secret: others can read it. As the key.
    package var secret: @Sendable (_ path: String) -> [Finding]
    /// What is wrong with the public key of an issuer, for its algorithm. As the key.
    package var publicKey: @Sendable (JWTScope.Algorithm, _ path: String) -> [Finding]
    /// What is wrong with a JSON Web Key Set, whose keys are to be for these algorithms. As the key.
    package var keySet: @Sendable (_ path: String, _ algorithms: [JWTScope.Algorithm]) -> [Finding]
    /// What is wrong with a file of keys for session tickets. As the key.
    package var ticketKeys: @Sendable (_ path: String) -> [Finding]

    package init(
        certificate: @escaping @Sendable (Configuration.Certificate) -> [Finding],
        authorities: @escaping @Sendable (_ path: String) -> [Finding],
        secret: @escaping @Sendable (_ path: String) -> [Finding] = { _ in [] },
        publicKey: @escaping @Sendable (JWTScope.Algorithm, _ path: String) -> [Finding] = { _, _ in [] },
        keySet: @escaping @Sendable (_ path: String, _ algorithms: [JWTScope.Algorithm]) -> [Finding] = { _, _ in [] },
        ticketKeys: @escaping @Sendable (_ path: String) -> [Finding] = { _ in [] }
    ) {
        self.certificate = certificate
        self.authorities = authorities
        self.secret = secret
        self.publicKey = publicKey
        self.keySet = keySet
        self.ticketKeys = ticketKeys
    }
}
