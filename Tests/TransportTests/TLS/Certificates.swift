import Foundation
import TestSupport
import Transport

/// Certificates made with the openssl command, in a directory that lasts as long as the process.
final class Certificates: Sendable {
    static let shared = Certificates()

    struct Authority: Sendable, Hashable {
        var name = "root"
        /// The authority above it; nil: it signs itself.
        var parents: [String] = []
    }

    struct Leaf: Sendable, Hashable {
        enum Key: Sendable, Hashable {
            case ec
            case rsa(Int)
        }

        var subject = "/CN=test"
        /// As openssl writes them: "DNS:a.test", "IP:127.0.0.1".
        var names: [String] = []
        /// A subjectAltName in DER, in place of the above.
        var rawNames: [UInt8] = []
        var usage = "serverAuth"
        var key = Key.ec
        /// Nil: it signs itself.
        var authority: Authority? = Authority()
        var days = 30
        /// Tells apart what is otherwise equal.
        var serial = 0
    }

    private struct State {
        var leaves: [Leaf: TLSCertificateFiles] = [:]
        var authorities: [Authority: TLSCertificateFiles] = [:]
        var count = 0
    }

    let directory: String
    private let state = Monitored(State())

    private init() {
        var template = Array("/tmp/oncegate-tls-XXXXXX".utf8CString)
        directory = String(cString: mkdtemp(&template)!)
        atexit { try? FileManager.default.removeItem(atPath: Certificates.shared.directory) }
    }

    static func server(_ names: String..., key: Leaf.Key = .ec, serial: Int = 0) throws -> TLSCertificateFiles {
        try shared.files(
            Leaf(subject: "/CN=\(names[0])", names: names.map { "DNS:\($0)" }, key: key, serial: serial))
    }

    static func client(_ change: (inout Leaf) -> Void = { _ in }) throws -> TLSCertificateFiles {
        var leaf = Leaf(subject: "/O=Shop/CN=till-1", names: ["URI:spiffe://shop/till-1"], usage: "clientAuth")
        change(&leaf)
        return try shared.files(leaf)
    }

    /// The path of the bundle that holds the root.
    static func root(_ authority: Authority = Authority()) throws -> String {
        try shared.authority(authority).chainPath
    }

    /// A new path, for a file that a test writes.
    static func path(_ suffix: String = ".pem") -> String {
        let number = shared.state.with { state in
            state.count += 1
            return state.count
        }
        return "\(shared.directory)/\(number)\(suffix)"
    }

    func files(_ leaf: Leaf) throws -> TLSCertificateFiles {
        if let known = state.with({ $0.leaves[leaf] }) { return known }
        let files = try make(leaf)
        return state.with { state in
            let known = state.leaves[leaf] ?? files
            state.leaves[leaf] = known
            return known
        }
    }

    func authority(_ authority: Authority) throws -> TLSCertificateFiles {
        if let known = state.with({ $0.authorities[authority] }) { return known }
        let files = TLSCertificateFiles(chainPath: Self.path(), keyPath: Self.path(".key"))
        var arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        arguments += ["-days", "3650", "-keyout", files.keyPath, "-out", files.chainPath]
        arguments += ["-subj", "/CN=Authority \(authority.name)"]
        arguments += ["-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=keyCertSign,cRLSign"]
        if let parent = authority.parents.first {
            let above = try self.authority(Authority(name: parent, parents: Array(authority.parents.dropFirst())))
            arguments += ["-CA", above.chainPath, "-CAkey", above.keyPath]
        }
        try openssl(arguments)
        return state.with { state in
            let known = state.authorities[authority] ?? files
            state.authorities[authority] = known
            return known
        }
    }

    private func make(_ leaf: Leaf) throws -> TLSCertificateFiles {
        let files = TLSCertificateFiles(chainPath: Self.path(), keyPath: Self.path(".key"))
        var lines = ["basicConstraints=CA:false", "extendedKeyUsage=\(leaf.usage)"]
        if !leaf.rawNames.isEmpty {
            lines.append(
                "subjectAltName=DER:" + leaf.rawNames.map { String(format: "%02x", $0) }.joined(separator: ":"))
        } else if !leaf.names.isEmpty {
            lines.append("subjectAltName=" + leaf.names.joined(separator: ","))
        }
        let extensions = Self.path(".ext")
        let request = Self.path(".csr")
        try lines.joined(separator: "\n").write(toFile: extensions, atomically: false, encoding: .utf8)
        let key =
            switch leaf.key {
            case .ec: ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            case .rsa(let bits): ["-newkey", "rsa:\(bits)"]
            }
        try openssl(
            ["req", "-new", "-nodes", "-keyout", files.keyPath, "-out", request, "-subj", leaf.subject] + key)
        let issuer = try leaf.authority.map { try authority($0) }
        let signer = issuer.map { ["-CA", $0.chainPath, "-CAkey", $0.keyPath] } ?? ["-signkey", files.keyPath]
        try openssl(
            ["x509", "-req", "-in", request, "-out", files.chainPath, "-days", "\(leaf.days)", "-extfile", extensions]
                + signer)
        // The authorities between it and the root, which a verifier does not know.
        var chain = try String(contentsOfFile: files.chainPath, encoding: .utf8)
        if let authority = leaf.authority {
            var names = [authority.name] + authority.parents
            while names.count > 1 {
                let above = try self.authority(Authority(name: names[0], parents: Array(names.dropFirst())))
                chain += try String(contentsOfFile: above.chainPath, encoding: .utf8)
                names.removeFirst()
            }
        }
        try chain.write(toFile: files.chainPath, atomically: true, encoding: .utf8)
        return files
    }

    func openssl(_ arguments: [String]) throws {
        let result = try Subprocess.run(["openssl"] + arguments)
        guard result.ending == .exit(0) else {
            throw TestFailure(text: "openssl \(arguments.joined(separator: " ")): \(result.error)")
        }
    }
}
