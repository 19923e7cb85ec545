internal import CLinux
internal import COpenSSL

/// An X509, freed when the last holder lets go.
final class X509Handle {
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { X509_free(pointer) }
}

/// Certificates and keys as they stand in PEM files.
enum TLSFile {
    /// A bundle of every public authority has a quarter of that.
    static let bytesMax = 1 << 20

    static func read(_ path: String) throws(TLSError) -> [UInt8] {
        try readWithMode(path).octets
    }

    /// With the file's permissions.
    static func readWithMode(_ path: String) throws(TLSError) -> (octets: [UInt8], mode: Int) {
        func unreadable(_ result: Int) -> TLSError {
            let error = Errno(result: result)
            let advice =
                error == .accessDenied ? "let the user that runs Oncegate read it" : "check the path and the file"
            return TLSError(kind: .unreadable, path: path, problem: "cannot be read: \(error)", advice: advice)
        }
        guard !path.utf8.contains(0) else { throw unreadable(-Int(EINVAL)) }
        let descriptor = cl_open_read(path)
        guard descriptor >= 0 else { throw unreadable(descriptor) }
        defer { _ = cl_close(Int32(descriptor)) }
        var octets: [UInt8] = []
        var failure = 0
        while octets.count <= bytesMax {
            var count = 0
            let part = [UInt8](unsafeUninitializedCapacity: 65536) { buffer, initialised in
                count = cl_read(Int32(descriptor), buffer.baseAddress, 65536)
                initialised = max(0, count)
            }
            if count == -Int(EINTR) { continue }
            if count < 0 { failure = count }
            guard count > 0 else { break }
            octets += part
        }
        guard failure == 0 else { throw unreadable(failure) }
        guard octets.count <= bytesMax else {
            throw TLSError(
                kind: .malformed, path: path, problem: "is larger than \(bytesMax) octets",
                advice: "it should hold certificates or a key in PEM, and nothing else")
        }
        return (octets, max(0, cl_file_mode(Int32(descriptor))))
    }

    /// All certificates, at least one.
    static func certificates(in octets: [UInt8], path: String) throws(TLSError) -> [X509Handle] {
        func malformed(_ problem: String) -> TLSError {
            TLSError(
                kind: .malformed, path: path, problem: problem,
                advice: "it must hold certificates in PEM (\"-----BEGIN CERTIFICATE-----\")")
        }
        ERR_clear_error()
        let bio = BIO_new_mem_buf(octets, Int32(octets.count))
        defer { BIO_free(bio) }
        var found: [X509Handle] = []
        while let certificate = PEM_read_bio_X509(bio, nil, nil, nil) { found.append(X509Handle(certificate)) }
        let code = ERR_peek_last_error()
        let isEnd = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE
        let reason = TLSError.takeReason()
        guard isEnd else { throw malformed("certificate \(found.count + 1) of the file is damaged (\(reason))") }
        guard !found.isEmpty else { throw malformed("holds no certificate") }
        return found
    }

    /// The first private key; the caller frees it.
    static func privateKey(in octets: [UInt8], path: String) throws(TLSError) -> OpaquePointer {
        ERR_clear_error()
        let bio = BIO_new_mem_buf(octets, Int32(octets.count))
        defer { BIO_free(bio) }
        // Asked for a passphrase only if the key is encrypted.
        var isEncrypted = false
        let key = withUnsafeMutablePointer(to: &isEncrypted) { flag in
            PEM_read_bio_PrivateKey(
                bio, nil,
                { _, _, _, flag in
                    flag?.assumingMemoryBound(to: Bool.self).pointee = true
                    return -1
                }, flag)
        }
        let reason = TLSError.takeReason()
        if let key { return key }
        guard !isEncrypted else {
            throw TLSError(
                kind: .encryptedKey, path: path, problem: "the private key is encrypted",
                advice: "write it without a passphrase (openssl pkey -in … -out …), readable by this user only")
        }
        throw TLSError(
            kind: .malformed, path: path, problem: "holds no private key that can be used (\(reason))",
            advice: "it must hold one in PEM (\"-----BEGIN PRIVATE KEY-----\")")
    }
}
