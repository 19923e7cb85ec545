internal import CLinux
internal import COpenSSL

/// libssl's work towards one upstream: whom to trust, what to show, which sessions to resume. Shared by all workers.
package final class TLSClientContext: Sendable {
    package struct Options: Sendable, Equatable {
        /// A bundle in PEM; nil: the system's authorities.
        package var caPath: String?
        /// Whether the server's chain and name are checked.
        package var verifies = true
        package var certificate: TLSCertificateFiles?
        /// In the order of preference; empty: ALPN is not offered.
        package var alpn: [TLSProtocol] = [.http2, .http11]

        package init() {}
    }

    package let options: Options
    private let current: Locked<TLSClientGeneration>

    private let clock: @Sendable () -> Int64

    /// - Parameter clock: seconds since the UNIX epoch.
    package init(
        _ options: Options, clock: @escaping @Sendable () -> Int64 = { Int64(cl_wall_milliseconds() / 1000) }
    ) throws(TLSError) {
        self.options = options
        self.clock = clock
        current = Locked(try TLSClientGeneration(options))
    }

    /// Reads the same files again, for the connections from here on; on an error those in use stay.
    package func reload() throws(TLSError) {
        let next = try TLSClientGeneration(options)
        if next.validity != generation.validity, let problem = next.validity?.problem(now: clock()) { throw problem }
        current.replace(with: next)
    }

    /// What is wrong with our own certificate and does not keep it from being shown, as for `TLSServerContext`.
    package var warnings: [TLSError] {
        let generation = generation
        return [generation.validity?.problem(now: clock()), generation.exposure].compactMap { $0 }
    }

    /// Of our own certificate.
    package var expiry: TLSExpiry? { generation.expiry }

    var generation: TLSClientGeneration { current.withLock { $0 } }
}

/// What the files of a client context held when they were read, and the sessions that began under them.
final class TLSClientGeneration: Sendable {
    /// A session belongs to a worker: two threads never work on one.
    struct SessionKey: Hashable, Sendable {
        let worker: Int
        let serverName: [UInt8]
    }

    private struct Sessions {
        var byKey: [SessionKey: UInt] = [:]
    }

    let context: TLSContextHandle
    let options: TLSClientContext.Options
    let validity: TLSValidity?
    let exposure: TLSError?
    let expiry: TLSExpiry?
    /// SSL_SESSION pointers, each with a reference that is ours.
    private let sessions = Locked(Sessions())

    private static let sessionsMax = 256

    init(_ options: TLSClientContext.Options) throws(TLSError) {
        self.options = options
        let handle = try TLSContextHandle(
            TLS_client_method(), minimumVersion: .tls12, chainBytesMax: 100 * 1024)
        context = handle
        let pointer = handle.pointer
        if options.verifies {
            let trust: TLSTrustStore
            if let path = options.caPath { trust = try .init(bundle: path) } else { trust = try .init() }
            trust.trust(in: handle)
            SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER, nil)
        } else {
            SSL_CTX_set_verify(pointer, SSL_VERIFY_NONE, nil)
        }
        let credential: TLSCredential?
        if let files = options.certificate { credential = try .init(files) } else { credential = nil }
        try credential?.use(in: handle)
        validity = credential?.validity
        exposure = credential?.exposure
        expiry = credential?.expiry
        let protocols = options.alpn.flatMap { [UInt8($0.rawValue.utf8.count)] + $0.rawValue.utf8 }
        // Gives 0 for success.
        guard protocols.isEmpty || SSL_CTX_set_alpn_protos(pointer, protocols, UInt32(protocols.count)) == 0 else {
            throw .library("libssl refuses the protocols")
        }
        oncegate_tls_session_cache(pointer, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
        SSL_CTX_sess_set_new_cb(pointer) { ssl, session in
            guard let ssl, let session else { return 0 }
            return TLSSession.of(ssl)?.keep(session: session) == true ? 1 : 0
        }
    }

    deinit {
        sessions.withLock { sessions in
            for session in sessions.byKey.values { SSL_SESSION_free(OpaquePointer(bitPattern: session)) }
        }
    }

    /// Makes the connection resume the last session with this server, if there is one.
    func resume(_ ssl: OpaquePointer, _ key: SessionKey) {
        sessions.withLock { sessions in
            guard let session = sessions.byKey[key].flatMap({ OpaquePointer(bitPattern: $0) }) else { return }
            if SSL_SESSION_is_resumable(session) == 1 {
                SSL_set_session(ssl, session)
            } else {
                sessions.byKey[key] = nil
                SSL_SESSION_free(session)
            }
        }
    }

    /// Whether the session is kept, and the reference to it is ours.
    func keep(_ session: OpaquePointer, _ key: SessionKey) -> Bool {
        let session = UInt(bitPattern: session)
        return sessions.withLock { sessions in
            guard sessions.byKey.count < Self.sessionsMax || sessions.byKey[key] != nil else { return false }
            if let old = sessions.byKey.updateValue(session, forKey: key) {
                SSL_SESSION_free(OpaquePointer(bitPattern: old))
            }
            return true
        }
    }
}
