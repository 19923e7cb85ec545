internal import COpenSSL

/// An SSL_CTX, freed when the last holder lets go.
///
/// Unchecked: libssl counts references to a context atomically, and lets any number of threads make sessions from one
/// that is no longer changed. Ours are changed only by the code that makes them, before they are shared.
final class TLSContextHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// For a chain of at most `chainBytesMax` octets from the other side.
    init(
        _ method: OpaquePointer?, minimumVersion: TLSVersion, chainBytesMax: Int
    ) throws(TLSError) {
        ERR_clear_error()
        guard let pointer = SSL_CTX_new(method) else { throw .library("libssl makes no context") }
        self.pointer = pointer
        guard oncegate_tls_harden(pointer, minimumVersion.rawValue, chainBytesMax) == 1 else {
            throw .library("libssl refuses the settings of a context")
        }
    }

    deinit {
        SSL_CTX_free(pointer)
    }
}

/// A set of trusted certificates, an X509_STORE.
///
/// Unchecked: libcrypto locks a store on every use.
final class TLSTrustStore: @unchecked Sendable {
    let pointer: OpaquePointer
    /// What it was made from; empty for the system's.
    let octets: [UInt8]
    /// The names of the certificates, which a server tells its clients. Nil for the system's.
    private let names: OpaquePointer?

    /// Of a bundle in PEM.
    init(bundle path: String) throws(TLSError) {
        octets = try TLSFile.read(path)
        guard let pointer = X509_STORE_new(), let names = oncegate_tls_name_list() else {
            throw .library("no store of certificates")
        }
        self.pointer = pointer
        self.names = names
        for certificate in try TLSFile.certificates(in: octets, path: path) {
            guard X509_STORE_add_cert(pointer, certificate.pointer) == 1,
                oncegate_tls_add_name(names, certificate.pointer) == 1
            else { throw .library("a certificate of the bundle can't be used", path: path) }
        }
    }

    /// The system's: where OpenSSL was built to look, or what SSL_CERT_FILE and SSL_CERT_DIR name.
    init() throws(TLSError) {
        octets = []
        names = nil
        guard let pointer = X509_STORE_new() else { throw .library("no store of certificates") }
        self.pointer = pointer
        guard X509_STORE_set_default_paths(pointer) == 1 else {
            throw .library("the system's certificates can't be used", advice: "name a `ca`")
        }
    }

    deinit {
        X509_STORE_free(pointer)
        if let names { oncegate_tls_free_names(names) }
    }

    /// Makes the context verify with it.
    func trust(in context: TLSContextHandle) {
        SSL_CTX_set1_cert_store(context.pointer, pointer)
    }

    /// Makes the context verify with it, and tell clients whose certificates it takes.
    func trustForClients(in context: TLSContextHandle) {
        trust(in: context)
        if let names { oncegate_tls_set_client_authorities(context.pointer, names) }
    }
}
