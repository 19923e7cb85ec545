import Foundation

/// What a test certificate says. Equal descriptions are one certificate in a test process.
package struct TestCertificate: Sendable, Hashable {
    package enum Algorithm: Sendable, Hashable {
        case ecdsa
        case rsa
    }

    package enum Usage: String, Sendable {
        case server = "serverAuth"
        case client = "clientAuth"
        case codeSigning
    }

    /// RFC 2253 order reversed, as `openssl -subj` wants it: `/O=Shop/CN=till-1`.
    package var subject: String
    /// `DNS:service.test`, `URI:spiffe://shop/till`, `IP:127.0.0.1`, `email:…`.
    package var alternativeNames: [String]
    /// A subjectAltName of dNSName entries with any octets, in place of the above.
    package var rawNames: [[UInt8]] = []
    package var usage: Usage
    package var algorithm = Algorithm.ecdsa
    /// The name of the authority that signs; nil = the certificate signs itself. `a/b` = an intermediate below `a`.
    package var authority: String? = "main"
    /// Valid from now for so long; negative = it ended so long ago.
    package var days = 30
    /// Valid only so many seconds after it is made.
    package var startsInSeconds = 0
    /// Tells apart certificates that say the same.
    package var serial = 0

    /// For a server with these names; the first is the default of the tests' clients.
    package static func server(_ names: String..., algorithm: Algorithm = .ecdsa, serial: Int = 0) -> TestCertificate {
        var certificate = TestCertificate(
            subject: "/CN=\(names[0])", alternativeNames: names.map { "DNS:\($0)" }, usage: .server)
        certificate.algorithm = algorithm
        certificate.serial = serial
        return certificate
    }

    package static let service = server("service.test", "localhost")

    package static func client(_ subject: String, _ alternativeNames: String...) -> TestCertificate {
        TestCertificate(subject: subject, alternativeNames: alternativeNames, usage: .client)
    }

    package func with(_ change: (inout TestCertificate) -> Void) -> TestCertificate {
        var copy = self
        change(&copy)
        return copy
    }

    /// Made on first use.
    package var files: CertificateFiles {
        get throws { try TestCertificates.shared.files(of: self) }
    }

    /// The certificate of an authority, which a verifier trusts.
    package static func authority(_ name: String = "main") throws -> String {
        try TestCertificates.shared.authority(name).certificate
    }
}

/// PEM files.
package struct CertificateFiles: Sendable {
    /// The leaf, and the intermediates after it.
    package var certificate: String
    package var key: String
}

/// Makes certificates with the openssl command in a directory that lasts as long as the process.
private final class TestCertificates: Sendable {
    static let shared = TestCertificates()

    private struct State {
        var leaves: [TestCertificate: CertificateFiles] = [:]
        var authorities: [String: CertificateFiles] = [:]
        var count = 0
    }

    private let directory: String
    private let state = Monitored(State())

    private init() {
        var template = Array("/tmp/oncegate-certificates-XXXXXX".utf8CString)
        directory = String(cString: mkdtemp(&template)!)
        atexit { try? FileManager.default.removeItem(atPath: TestCertificates.shared.directory) }
    }

    func files(of certificate: TestCertificate) throws -> CertificateFiles {
        try state.with { state in
            if let known = state.leaves[certificate] { return known }
            let files = try make(certificate, &state)
            state.leaves[certificate] = files
            return files
        }
    }

    func authority(_ name: String) throws -> CertificateFiles {
        try state.with { try authority(name, &$0) }
    }

    private func authority(_ name: String, _ state: inout State) throws -> CertificateFiles {
        if let known = state.authorities[name] { return known }
        let files = newFiles(&state)
        let parent = name.lastIndex(of: "/").map { String(name[..<$0]) }
        let issuer = try parent.map { try authority($0, &state) }
        try openssl(
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"]
                + ["-keyout", files.key, "-out", files.certificate, "-subj", "/CN=Authority \(name)".escapedSlashes]
                + ["-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=keyCertSign,cRLSign"]
                + (issuer.map { ["-CA", $0.certificate, "-CAkey", $0.key] } ?? []))
        state.authorities[name] = files
        return files
    }

    private func make(_ certificate: TestCertificate, _ state: inout State) throws -> CertificateFiles {
        let files = newFiles(&state)
        let request = files.certificate + ".csr"
        let extensions = files.certificate + ".ext"
        var lines = ["basicConstraints=CA:false", "extendedKeyUsage=\(certificate.usage.rawValue)"]
        if !certificate.rawNames.isEmpty {
            lines.append("subjectAltName=DER:" + Self.hex(Self.alternativeNames(certificate.rawNames)))
        } else if !certificate.alternativeNames.isEmpty {
            lines.append("subjectAltName=" + certificate.alternativeNames.joined(separator: ","))
        }
        try lines.joined(separator: "\n").write(toFile: extensions, atomically: false, encoding: .utf8)
        let algorithm =
            certificate.algorithm == .ecdsa
            ? ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] : ["-newkey", "rsa:2048"]
        try openssl(
            ["req", "-new", "-nodes", "-keyout", files.key, "-out", request, "-subj", certificate.subject] + algorithm)
        let issuer = try certificate.authority.map { try authority($0, &state) }
        if certificate.startsInSeconds > 0, let issuer {
            try signForLater(certificate, files, request: request, extensions: extensions, issuer)
        } else {
            let signature = issuer.map { ["-CA", $0.certificate, "-CAkey", $0.key] } ?? ["-signkey", files.key]
            try openssl(
                ["x509", "-req", "-in", request, "-out", files.certificate, "-days", "\(certificate.days)"]
                    + ["-extfile", extensions] + signature)
        }
        try append(intermediatesOf: certificate.authority, to: files.certificate, &state)
        return files
    }

    /// `openssl x509` of Debian 12 knows no beginning but now.
    private func signForLater(
        _ certificate: TestCertificate, _ files: CertificateFiles, request: String, extensions: String,
        _ issuer: CertificateFiles
    ) throws {
        let (configuration, database) = (files.certificate + ".cnf", files.certificate + ".db")
        try """
        [ca]
        default_ca = tests
        [tests]
        database = \(database)
        new_certs_dir = \(directory)
        rand_serial = yes
        unique_subject = no
        default_md = sha256
        policy = any
        [any]
        commonName = optional
        """.write(toFile: configuration, atomically: false, encoding: .utf8)
        try "".write(toFile: database, atomically: false, encoding: .utf8)
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "UTC")
        format.dateFormat = "yyyyMMddHHmmss'Z'"
        let start = Date(timeIntervalSinceNow: Double(certificate.startsInSeconds))
        let end = start.addingTimeInterval(Double(certificate.days) * 86_400)
        try openssl(
            ["ca", "-batch", "-notext", "-config", configuration, "-in", request, "-out", files.certificate]
                + ["-startdate", format.string(from: start), "-enddate", format.string(from: end)]
                + ["-extfile", extensions, "-cert", issuer.certificate, "-keyfile", issuer.key])
    }

    /// A verifier knows the root alone.
    private func append(intermediatesOf name: String?, to path: String, _ state: inout State) throws {
        var chain = try String(contentsOfFile: path, encoding: .utf8)
        var name = name
        while let current = name, let slash = current.lastIndex(of: "/") {
            chain += try String(contentsOfFile: try authority(current, &state).certificate, encoding: .utf8)
            name = String(current[..<slash])
        }
        try chain.write(toFile: path, atomically: true, encoding: .utf8)
    }

    private func newFiles(_ state: inout State) -> CertificateFiles {
        state.count += 1
        return CertificateFiles(
            certificate: "\(directory)/\(state.count).pem", key: "\(directory)/\(state.count).key")
    }

    private func openssl(_ arguments: [String]) throws {
        let result = try Subprocess.run(["openssl"] + arguments)
        guard result.ending == .exit(0) else {
            throw MalformedMessage("openssl \(arguments.joined(separator: " "))", octets(result.error))
        }
    }

    /// GeneralNames ::= SEQUENCE OF dNSName [2] IA5String, lengths below 128.
    private static func alternativeNames(_ names: [[UInt8]]) -> [UInt8] {
        let entries: [UInt8] = names.flatMap { (name: [UInt8]) -> [UInt8] in [0x82, UInt8(name.count)] + name }
        return [0x30, UInt8(entries.count)] + entries
    }

    private static func hex(_ octets: [UInt8]) -> String {
        octets.map { String(format: "%02x", $0) }.joined(separator: ":")
    }
}

extension String {
    /// A slash in a value of `-subj` begins the next one otherwise. The first stands.
    fileprivate var escapedSlashes: String {
        "/" + dropFirst().replacingOccurrences(of: "/", with: "\\/")
    }
}
