internal import COpenSSL

/// An application protocol that ALPN can choose.
package enum TLSProtocol: String, Sendable, CaseIterable {
    case http2 = "h2"
    case http11 = "http/1.1"
}

package enum TLSVersion: Int32, Sendable, Comparable, CustomStringConvertible {
    case tls12 = 0x0303
    case tls13 = 0x0304

    package static func < (left: TLSVersion, right: TLSVersion) -> Bool { left.rawValue < right.rawValue }

    package var description: String {
        switch self {
        case .tls12: "TLSv1.2"
        case .tls13: "TLSv1.3"
        }
    }
}

/// What a handshake agreed on.
package final class TLSAgreement: Sendable {
    package let version: TLSVersion
    /// Nil when the client offered none.
    package let alpn: TLSProtocol?
    /// The name that the client asked for, in lower case without a trailing dot; empty when it asked for none.
    package let serverName: [UInt8]
    package let isResumed: Bool
    /// The other side's certificate, verified unless verification is off; nil when it sent none.
    package let peerCertificate: TLSPeerCertificate?
    /// It sent one that was accepted, whether its names can be told or not.
    package let hasPeerCertificate: Bool
    /// The address of a text of libssl's own table, which lives as long as the process.
    private let cipherName: UInt

    /// As OpenSSL calls it: "TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256".
    package var cipher: String {
        UnsafePointer<CChar>(bitPattern: cipherName).map { String(cString: $0) } ?? ""
    }

    init?(_ ssl: OpaquePointer, serverName: [UInt8]) {
        guard let version = TLSVersion(rawValue: SSL_version(ssl)) else { return nil }
        self.version = version
        self.serverName = serverName
        isResumed = SSL_session_reused(ssl) == 1
        cipherName = UInt(bitPattern: SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)))
        hasPeerCertificate = SSL_get0_peer_certificate(ssl) != nil
        peerCertificate = SSL_get0_peer_certificate(ssl).flatMap { TLSPeerCertificate($0) }
        var selected: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &selected, &count)
        let name = UnsafeBufferPointer(start: selected, count: Int(count))
        alpn = TLSProtocol.allCases.first { name.elementsEqual($0.rawValue.utf8) }
    }
}
