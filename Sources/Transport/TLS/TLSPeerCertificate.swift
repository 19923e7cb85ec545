internal import COpenSSL
internal import Glibc

/// Who the other side is, taken from its certificate once, when the handshake ends.
package struct TLSPeerCertificate: Sendable, Equatable {
    /// The distinguished name as RFC 2253 writes it, everything outside ASCII escaped: "CN=client,O=Example".
    package let subject: [UInt8]
    /// "DNS:…", "URI:…", "email:…" and "IP:…" in the certificate's order; other kinds are left out.
    package let subjectAlternativeNames: [[UInt8]]
    /// SHA-256 of the whole certificate, 32 octets.
    package let fingerprintSHA256: [UInt8]
    package let notAfterUnixSeconds: Int64

    /// Nil when the certificate can't be read.
    init?(_ certificate: OpaquePointer) {
        guard let subject = X509Reading.text(X509_get_subject_name(certificate)),
            let names = X509Reading.alternativeNames(certificate)
        else { return nil }
        self.subject = subject
        subjectAlternativeNames = names.compactMap { name in
            switch name.kind {
            case .dns: Array("DNS:".utf8) + name.octets
            case .uri: Array("URI:".utf8) + name.octets
            case .email: Array("email:".utf8) + name.octets
            case .ip: name.ipText.map { Array("IP:".utf8) + $0 }
            }
        }
        var digest = [UInt8](repeating: 0, count: 32)
        guard X509_digest(certificate, EVP_sha256(), &digest, nil) == 1 else { return nil }
        fingerprintSHA256 = digest
        notAfterUnixSeconds = X509Reading.seconds(X509_get0_notAfter(certificate)) ?? 0
    }
}

/// What we read in certificates, X509 objects of libcrypto.
enum X509Reading {
    struct AlternativeName {
        enum Kind {
            case dns
            case uri
            case email
            case ip
        }

        let kind: Kind
        let octets: [UInt8]

        /// Nil for anything but an address.
        var ipText: [UInt8]? {
            var address: SocketAddress
            func half(_ range: Range<Int>) -> UInt64 { octets[range].reduce(0) { $0 << 8 | UInt64($1) } }
            switch octets.count {
            case 4: address = .v4(UInt32(half(0..<4)), port: 0)
            case 16: address = .v6(high: half(0..<8), low: half(8..<16), port: 0)
            default: return nil
            }
            var text: [UInt8] = []
            address.appendIPText(to: &text)
            return text
        }
    }

    /// Nil when the extension is malformed or stands there twice.
    static func alternativeNames(_ certificate: OpaquePointer) -> [AlternativeName]? {
        var critical: Int32 = 0
        guard let extracted = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nil) else {
            // -1: there is none.
            return critical == -1 ? [] : nil
        }
        let names = OpaquePointer(extracted)
        defer { GENERAL_NAMES_free(names) }
        var found: [AlternativeName] = []
        for i in 0..<oncegate_tls_names_count(names) {
            var type: Int32 = 0
            var count = 0
            let octets = oncegate_tls_name(names, i, &type, &count)
            let kind: AlternativeName.Kind
            switch type {
            case GEN_DNS: kind = .dns
            case GEN_URI: kind = .uri
            case GEN_EMAIL: kind = .email
            case GEN_IPADD: kind = .ip
            default: continue
            }
            found.append(.init(kind: kind, octets: Array(UnsafeBufferPointer(start: octets, count: count))))
        }
        return found
    }

    /// Whether a name of the certificate has an octet that must not be there: a text that ends at the NUL for one
    /// reader and goes on for another names two peers.
    static func hasHiddenOctets(_ certificate: OpaquePointer) -> Bool {
        guard let names = alternativeNames(certificate) else { return true }
        return names.contains { name in name.kind != .ip && name.octets.contains { $0 < 0x20 || $0 == 0x7F } }
    }

    /// The names that the certificate is for, in lower case: its dNSNames, its common name when it has no alternative
    /// names.
    static func serverNames(_ certificate: OpaquePointer) -> [[UInt8]] {
        guard let names = alternativeNames(certificate) else { return [] }
        if names.isEmpty { return commonName(certificate).map { [$0.map(ServerName.lowercased)] } ?? [] }
        return names.filter { $0.kind == .dns }.map { $0.octets.map(ServerName.lowercased) }
    }

    private static func commonName(_ certificate: OpaquePointer) -> [UInt8]? {
        let subject = X509_get_subject_name(certificate)
        let index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
        guard index >= 0, let value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)) else { return nil }
        return Array(UnsafeBufferPointer(start: ASN1_STRING_get0_data(value), count: Int(ASN1_STRING_length(value))))
    }

    /// RFC 2253; nil without memory.
    static func text(_ name: OpaquePointer?) -> [UInt8]? {
        guard let bio = BIO_new(BIO_s_mem()) else { return nil }
        defer { BIO_free(bio) }
        guard let name, oncegate_tls_print_name(bio, name) >= 0 else { return nil }
        var octets = [UInt8](repeating: 0, count: BIO_ctrl_pending(bio))
        guard !octets.isEmpty else { return [] }
        let count = BIO_read(bio, &octets, Int32(clamping: octets.count))
        return Array(octets.prefix(Int(max(0, count))))
    }

    /// Seconds since the UNIX epoch.
    static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
        var parts = tm()
        guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return Int64(timegm(&parts))
    }
}
