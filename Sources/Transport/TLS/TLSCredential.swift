internal import COpenSSL

/// Where a certificate and its key are.
package struct TLSCertificateFiles: Sendable, Equatable {
    /// The certificate, then those that lead to its authority, in PEM.
    package var chainPath: String
    package var keyPath: String

    package init(chainPath: String, keyPath: String) {
        self.chainPath = chainPath
        self.keyPath = keyPath
    }
}

/// When a certificate ends.
package struct TLSExpiry: Sendable, Equatable {
    package let path: String
    package let names: [String]
    package let notAfterUnixSeconds: Int64
}

/// When a certificate is good.
struct TLSValidity: Sendable, Equatable {
    let path: String
    let notBefore: Int64
    let notAfter: Int64

    /// What is wrong with the dates, if anything.
    func problem(now: Int64) -> TLSError? {
        guard now > notAfter || now < notBefore else { return nil }
        guard now <= notAfter else {
            return TLSError(
                kind: .expired, path: path, problem: "the certificate has expired",
                advice: "renew it, or check the clock of this machine")
        }
        return TLSError(
            kind: .expired, path: path, problem: "the certificate is not valid yet",
            advice: "it will be in \(notBefore - now) s, or the clock of this machine is wrong",
            validFromUnixSeconds: notBefore)
    }
}

/// A certificate with its chain and key, read and found to belong together.
struct TLSCredential {
    let files: TLSCertificateFiles
    let chain: [X509Handle]
    private let key: PrivateKey
    /// In lower case.
    let names: [[UInt8]]
    let notBefore: Int64
    let notAfter: Int64
    /// That every user can read the key.
    let exposure: TLSError?
    /// EVP_PKEY_RSA and so on: a context holds one certificate of each type.
    let keyType: Int32

    private final class PrivateKey {
        let pointer: OpaquePointer
        init(_ pointer: OpaquePointer) { self.pointer = pointer }
        deinit { EVP_PKEY_free(pointer) }
    }

    init(_ files: TLSCertificateFiles) throws(TLSError) {
        self.files = files
        chain = try TLSFile.certificates(in: TLSFile.read(files.chainPath), path: files.chainPath)
        var (octets, mode) = try TLSFile.readWithMode(files.keyPath)
        defer { octets.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        key = PrivateKey(try TLSFile.privateKey(in: octets, path: files.keyPath))
        let leaf = chain[0].pointer
        guard X509_check_private_key(leaf, key.pointer) == 1 else {
            ERR_clear_error()
            throw TLSError(
                kind: .mismatch, path: files.keyPath,
                problem: "is not the key of the first certificate in \(files.chainPath)",
                advice: "name the pair that belongs together; the server's own certificate must stand first in its file"
            )
        }
        exposure =
            mode & 0o006 == 0
            ? nil
            : TLSError(
                kind: .exposedKey, path: files.keyPath,
                problem: "the private key is open to every user of this machine (mode \(String(mode, radix: 8)))",
                advice: "chmod 600, or 640 with a group of its own")
        keyType = EVP_PKEY_get_base_id(key.pointer)
        names = X509Reading.serverNames(leaf)
        notBefore = X509Reading.seconds(X509_get0_notBefore(leaf)) ?? .min
        notAfter = X509Reading.seconds(X509_get0_notAfter(leaf)) ?? .min
    }

    var expiry: TLSExpiry {
        TLSExpiry(
            path: files.chainPath, names: names.map { String(decoding: $0, as: UTF8.self) },
            notAfterUnixSeconds: notAfter)
    }

    var validity: TLSValidity { TLSValidity(path: files.chainPath, notBefore: notBefore, notAfter: notAfter) }

    /// SHA-256 of the certificate.
    func fingerprint() -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        X509_digest(chain[0].pointer, EVP_sha256(), &digest, nil)
        return digest
    }

    /// Makes it one of those that the context can use.
    func use(in context: TLSContextHandle) throws(TLSError) {
        ERR_clear_error()
        guard SSL_CTX_use_certificate(context.pointer, chain[0].pointer) == 1 else { throw refusal() }
        guard SSL_CTX_use_PrivateKey(context.pointer, key.pointer) == 1 else { throw refusal() }
        for certificate in chain.dropFirst() {
            guard oncegate_tls_add_chain(context.pointer, certificate.pointer) == 1 else { throw refusal() }
        }
    }

    private func refusal() -> TLSError {
        let reason = ERR_GET_REASON(ERR_peek_last_error())
        let weak = [SSL_R_EE_KEY_TOO_SMALL, SSL_R_CA_KEY_TOO_SMALL, SSL_R_CA_MD_TOO_WEAK].contains(reason)
        return TLSError(
            kind: weak ? .weak : .other, path: files.chainPath,
            problem: "the certificate can't be used: \(TLSError.takeReason())",
            advice: weak ? "use a key of 2048 bits (RSA) or 256 bits (EC) and SHA-256 at least" : "")
    }
}
