internal import COpenSSL

/// What the files of a server context held when they were read: one SSL_CTX for each certificate. Never changed.
final class TLSServerGeneration: Sendable {
    let options: TLSServerContext.Options
    let tickets: TLSTicketKeys
    let expiries: [TLSExpiry]
    let clock: @Sendable () -> Int64
    let validity: [TLSValidity]
    let exposures: [TLSError]
    private let names: ServerNameTable<TLSContextHandle>
    /// Of the first certificate.
    let standard: TLSContextHandle

    /// 32 KiB hold a chain of a dozen certificates.
    private static let chainBytesMax = 32 * 1024
    /// Authorities between a client's certificate and one that is trusted.
    private static let depthMax: Int32 = 4
    /// AEAD with forward secrecy only: all of them are allowed for HTTP/2 (RFC 9113 §9.2.2), and no Diffie-Hellman
    /// over integers, which costs the server most.
    private static let ciphers = """
        ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
        ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305
        """

    init(
        _ options: TLSServerContext.Options, tickets: TLSTicketKeys, clock: @escaping @Sendable () -> Int64
    ) throws(TLSError) {
        self.options = options
        self.tickets = tickets
        self.clock = clock
        var trust: TLSTrustStore?
        switch options.clientCertificates {
        case .none: break
        case .optional(let path), .required(let path): trust = try TLSTrustStore(bundle: path)
        }
        var groups: [[TLSCredential]] = []
        for files in options.certificates {
            let credential = try TLSCredential(files)
            let partner = groups.firstIndex { group in
                group[0].names == credential.names && !group.contains { $0.keyType == credential.keyType }
            }
            if let partner { groups[partner].append(credential) } else { groups.append([credential]) }
        }
        guard !groups.isEmpty else {
            throw TLSError(kind: .other, path: "", problem: "no certificate", advice: "name one")
        }
        var names = ServerNameTable<TLSContextHandle>()
        var contexts: [TLSContextHandle] = []
        for group in groups {
            let context = try Self.context(group, options, trust)
            contexts.append(context)
            for name in group[0].names { names.add(name, context) }
        }
        standard = contexts[0]
        self.names = names
        let all = groups.flatMap { $0 }
        expiries = all.map(\.expiry)
        validity = all.map(\.validity)
        exposures = all.compactMap(\.exposure)
    }

    func validityProblems(now: Int64) -> [TLSError] { validity.compactMap { $0.problem(now: now) } }

    /// The context for a name that a client asks for, and whether a certificate has that name; nil: refuse it.
    func context(for name: [UInt8]?) -> (context: TLSContextHandle, isKnown: Bool)? {
        if let name, let context = names[name] { return (context, true) }
        return options.rejectsUnknownName ? nil : (standard, false)
    }

    private static func context(
        _ group: [TLSCredential], _ options: TLSServerContext.Options, _ trust: TLSTrustStore?
    ) throws(TLSError) -> TLSContextHandle {
        let handle = try TLSContextHandle(
            TLS_server_method(), minimumVersion: options.minimumVersion, chainBytesMax: chainBytesMax)
        let context = handle.pointer
        guard SSL_CTX_set_cipher_list(context, ciphers) == 1 else { throw .library("libssl refuses the ciphers") }
        for credential in group { try credential.use(in: handle) }
        // Tickets only: no table of sessions to fill.
        oncegate_tls_session_cache(context, Int(SSL_SESS_CACHE_OFF))
        if options.tickets == .none {
            oncegate_tls_no_tickets(context)
        } else {
            ServerCallbacks.installTickets(context)
        }
        ServerCallbacks.install(context, choosesProtocol: !options.alpn.isEmpty)
        if let trust {
            trust.trustForClients(in: handle)
            SSL_CTX_set_verify_depth(context, depthMax)
            var mode = SSL_VERIFY_PEER
            if case .required = options.clientCertificates { mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT }
            SSL_CTX_set_verify(context, mode, ServerCallbacks.verify)
        }
        // A session is resumed only under the certificates, and the rules for clients, that it began with.
        let identity = sessionContext(group, options, trust)
        guard SSL_CTX_set_session_id_context(context, identity, UInt32(identity.count)) == 1 else {
            throw .library("libssl refuses the session context")
        }
        return handle
    }

    private static func sessionContext(
        _ group: [TLSCredential], _ options: TLSServerContext.Options, _ trust: TLSTrustStore?
    ) -> [UInt8] {
        var input: [UInt8] = []
        switch options.clientCertificates {
        case .none: input.append(0)
        case .optional: input.append(1)
        case .required: input.append(2)
        }
        // Fingerprints have one length; the bundle stands last.
        for credential in group { input += credential.fingerprint() }
        input += trust?.octets ?? []
        var digest = [UInt8](repeating: 0, count: 32)
        EVP_Digest(input, input.count, &digest, nil, EVP_sha256(), nil)
        return digest
    }
}
