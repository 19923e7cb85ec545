internal import COpenSSL

/// Why TLS ended a connection, or kept it from beginning.
package struct TLSFailure: Sendable, Equatable, CustomStringConvertible {
    /// A closed set, for metrics.
    package enum Kind: String, Sendable, CaseIterable {
        /// The other side ended the connection before the handshake was complete, without an alert.
        case handshakeCutOff = "handshake_cut_off"
        /// The other side sent an alert: it refused us.
        case alert
        /// Its certificate was not accepted.
        case certificate
        /// A certificate is required, and it sent none.
        case noCertificate = "no_certificate"
        /// No version, cipher or group in common.
        case noCommonParameters = "no_common_parameters"
        case noCommonProtocol = "no_common_protocol"
        case unknownName = "unknown_name"
        /// What came is not TLS: often plain HTTP.
        case notTLS = "not_tls"
        /// It makes us answer without end and does not read.
        case flood
        /// Anything else against the protocol, or altered on the way.
        case malformed
        /// Ours: out of memory, an error in libssl.
        case `internal`
    }

    package let kind: Kind
    package let reason: String
    /// The number of the alert that the other side sent (RFC 8446 §6); nil for other failures.
    package let alert: UInt8?

    /// The server does not accept our certificate, or wants one: bad_certificate, unsupported_certificate,
    /// certificate_revoked, certificate_expired, certificate_unknown, unknown_ca, access_denied, certificate_required.
    var refusesOurCertificate: Bool {
        switch alert {
        case 42, 43, 44, 45, 46, 48, 49, 116: true
        default: false
        }
    }

    package var description: String { reason }

    static let cutOff = TLSFailure(
        .handshakeCutOff, "the other side closed the connection during the handshake")

    init(_ kind: Kind, _ reason: String, alert: UInt8? = nil) {
        self.kind = kind
        self.reason = reason
        self.alert = alert
    }

    /// From libssl's list of errors, which is emptied.
    init(_ ssl: OpaquePointer?) {
        let code = ERR_peek_error()
        let text = ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(code)"
        ERR_clear_error()
        guard ERR_GET_LIB(code) == ERR_LIB_SSL else {
            // A signature or a key that libcrypto does not accept is the other side's too.
            self.init(code == 0 ? .internal : .malformed, text)
            return
        }
        let reason = ERR_GET_REASON(code)
        let kind = Self.kind(reason)
        let verification = kind == .certificate ? ssl.map { SSL_get_verify_result($0) } : nil
        if let verification, verification != Int(X509_V_OK) {
            self.init(kind, String(cString: X509_verify_cert_error_string(verification)))
        } else {
            self.init(kind, text, alert: kind == .alert ? UInt8(exactly: reason - SSL_AD_REASON_OFFSET) : nil)
        }
    }

    private static func kind(_ reason: Int32) -> Kind {
        // Alerts that were received are errors from this number on.
        if reason >= SSL_AD_REASON_OFFSET { return .alert }
        switch reason {
        case SSL_R_CERTIFICATE_VERIFY_FAILED, SSL_R_EXCESSIVE_MESSAGE_SIZE: return .certificate
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return .noCertificate
        case SSL_R_NO_APPLICATION_PROTOCOL: return .noCommonProtocol
        case SSL_R_CALLBACK_FAILED: return .unknownName
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_WRONG_VERSION_NUMBER,
            SSL_R_UNKNOWN_PROTOCOL:
            return .notTLS
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SHARED_GROUPS,
            SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
            SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_PROTOCOLS_AVAILABLE:
            return .noCommonParameters
        default: return .malformed
        }
    }
}
