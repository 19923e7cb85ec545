internal import COpenSSL

/// What libssl asks us for during a server's handshake.
enum ServerCallbacks {
    static func install(_ context: OpaquePointer, choosesProtocol: Bool) {
        SSL_CTX_set_client_hello_cb(context, clientHello, nil)
        oncegate_tls_on_server_name(context, serverName)
        if choosesProtocol { SSL_CTX_set_alpn_select_cb(context, chooseProtocol, nil) }
    }

    static func installTickets(_ context: OpaquePointer) {
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticketKey)
        SSL_CTX_set_session_ticket_cb(context, ticketMade, ticketRead, nil)
    }

    private static func generation(_ ssl: OpaquePointer?) -> TLSServerGeneration? {
        guard let ssl, case .server(let generation) = TLSSession.of(ssl)?.role else { return nil }
        return generation
    }

    /// Before anything of the ClientHello is acted on: so a session is resumed under the certificate of the name that
    /// is asked for, never under another's (CVE-2025-23419).
    private static let clientHello: SSL_client_hello_cb_fn = { ssl, alert, _ in
        guard let ssl, let session = TLSSession.of(ssl) else { return SSL_CLIENT_HELLO_ERROR }
        var body: UnsafePointer<UInt8>?
        var count = 0
        if SSL_client_hello_get0_ext(ssl, UInt32(TLSEXT_TYPE_server_name), &body, &count) == 1 {
            // A malformed extension is libssl's to refuse.
            let text = ServerName.inExtension(UnsafeBufferPointer(start: body, count: count))
            let name = text.flatMap { ServerName.normalised($0) }
            guard session.choose(ssl, name: name) else {
                alert?.pointee = SSL_AD_UNRECOGNIZED_NAME
                return SSL_CLIENT_HELLO_ERROR
            }
        }
        return SSL_CLIENT_HELLO_SUCCESS
    }

    /// RFC 6066 §3: a server that used the name says so.
    private static let serverName:
        @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutableRawPointer?)
            -> Int32 = { ssl, _, _ in
                ssl.flatMap { TLSSession.of($0) }?.isNameKnown == true ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK
            }

    /// RFC 7301 §3.2: the first of ours that the client offers; without one, no_application_protocol.
    private static let chooseProtocol: SSL_CTX_alpn_select_cb_func = { ssl, out, outCount, offered, offeredCount, _ in
        guard let generation = generation(ssl), let offered, let out, let outCount else {
            return SSL_TLSEXT_ERR_ALERT_FATAL
        }
        let list = UnsafeBufferPointer(start: offered, count: Int(offeredCount))
        for wanted in generation.options.alpn {
            let name = wanted.rawValue.utf8
            var start = 0
            while start < list.count {
                let count = Int(list[start])
                guard start + 1 + count <= list.count else { return SSL_TLSEXT_ERR_ALERT_FATAL }
                if list[(start + 1)..<(start + 1 + count)].elementsEqual(name) {
                    out.pointee = offered + start + 1
                    outCount.pointee = UInt8(count)
                    return SSL_TLSEXT_ERR_OK
                }
                start += 1 + count
            }
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }

    /// Called for each certificate of a client's chain, after libssl's own checks.
    static let verify: SSL_verify_cb = { isGood, store in
        guard isGood == 1, let store, X509_STORE_CTX_get_error_depth(store) == 0 else { return isGood }
        guard let certificate = X509_STORE_CTX_get_current_cert(store), !X509Reading.hasHiddenOctets(certificate) else {
            X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_EXTENSION)
            return 0
        }
        return 1
    }

    private static let ticketKey:
        @convention(c) (
            OpaquePointer?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<UInt8>?, OpaquePointer?, OpaquePointer?,
            Int32
        ) -> Int32 = { ssl, name, iv, cipher, mac, encrypts in
            guard let keys = generation(ssl)?.tickets, let name, let iv, let cipher, let mac else { return -1 }
            return encrypts == 1
                ? keys.encrypt(name: name, iv: iv, cipher, mac) : keys.decrypt(name: name, iv: iv, cipher, mac)
        }

    /// A ticket carries the time of the full handshake, and each that follows from it carries it on: so resumption
    /// can't be kept up for ever.
    private static let ticketMade: SSL_CTX_generate_session_ticket_fn = { ssl, _ in
        guard let generation = generation(ssl), let session = SSL_get_session(ssl) else { return 0 }
        guard began(session) == nil else { return 1 }
        return withUnsafeBytes(of: generation.clock().bigEndian) {
            SSL_SESSION_set1_ticket_appdata(session, $0.baseAddress, $0.count)
        }
    }

    private static let ticketRead: SSL_CTX_decrypt_session_ticket_fn = { ssl, session, _, _, status, _ in
        switch status {
        case SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW:
            guard let generation = generation(ssl), let session, isFresh(session, now: generation.clock()) else {
                return SSL_TICKET_RETURN_IGNORE_RENEW
            }
            // A client of TLS 1.3 uses a ticket once (RFC 8446 C.4).
            let isSpent = SSL_version(ssl) >= TLS1_3_VERSION
            return status == SSL_TICKET_SUCCESS && !isSpent ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW
        default: return SSL_TICKET_RETURN_IGNORE_RENEW
        }
    }

    /// Whether the session began not too long ago, and the client's certificate has not expired since.
    private static func isFresh(_ session: OpaquePointer, now: Int64) -> Bool {
        guard let began = began(session) else { return false }
        let age = now.subtractingReportingOverflow(began).partialValue
        guard age < TLSTicketKeys.rotationSeconds * Int64(TLSTicketKeys.keptMax) else { return false }
        guard let certificate = SSL_SESSION_get0_peer(session) else { return true }
        return (X509Reading.seconds(X509_get0_notAfter(certificate)) ?? .min) >= now
    }

    private static func began(_ session: OpaquePointer) -> Int64? {
        var data: UnsafeMutableRawPointer?
        var count = 0
        guard SSL_SESSION_get0_ticket_appdata(session, &data, &count) == 1, let data, count == 8 else { return nil }
        return Int64(bigEndian: data.loadUnaligned(as: Int64.self))
    }
}
