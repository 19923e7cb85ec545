internal import COpenSSL

/// The name under which a client reaches a server: what it asks for (SNI) and what the certificate must hold.
struct ClientName {
    private enum Kind {
        case dns
        case ip([UInt8])
        case none
    }

    /// In lower case, without a trailing dot; empty when there is none.
    let octets: [UInt8]
    private let kind: Kind

    /// A DNS name or an address. Nil for anything else, and for an empty one where a name is required.
    init?(_ text: String, isRequired: Bool) {
        if text.isEmpty {
            guard !isRequired else { return nil }
            octets = []
            kind = .none
        } else if let address = SocketAddress.ip(text) {
            octets = Array(text.utf8)
            kind = .ip(address.octets)
        } else {
            guard let name = ServerName.normalised(Array(text.utf8)) else { return nil }
            octets = name
            kind = .dns
        }
    }

    func apply(to ssl: OpaquePointer) -> Bool {
        let parameters = SSL_get0_param(ssl)
        switch kind {
        case .none: return true
        case .ip(let address): return X509_VERIFY_PARAM_set1_ip(parameters, address, address.count) == 1
        case .dns:
            // RFC 9525 §2, §6.3: the common name is no identifier, and a wildcard is a whole label.
            X509_VERIFY_PARAM_set_hostflags(
                parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
            let text = octets.map { CChar(bitPattern: $0) } + [0]
            return X509_VERIFY_PARAM_set1_host(parameters, text, octets.count) == 1
                && oncegate_tls_set_server_name(ssl, text) == 1
        }
    }
}
