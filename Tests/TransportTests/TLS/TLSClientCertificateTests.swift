import Foundation
import TestSupport
import Testing
import Transport

/// Certificates of clients.
@Suite(.timeLimit(.minutes(5)))
struct TLSClientCertificateTests {
    static func required() throws -> TLSServerContext.Options {
        let root = try Certificates.root()
        return try .test { $0.clientCertificates = .required(caPath: root) }
    }

    /// What the server makes of the client's certificate; no octet of the client's is offered before.
    func outcome(
        _ options: TLSServerContext.Options, _ files: TLSCertificateFiles?, _ version: String = "-tls1_3"
    ) throws -> (event: TLSEvent, agreement: TLSAgreement?, error: String) {
        let server = try TLSServer.closing(options)
        defer { server.stop() }
        var arguments = ["-connect", "127.0.0.1:\(server.address.port)", "-servername", "a.test", version, "-ign_eof"]
        if let files {
            arguments += ["-cert", files.chainPath, "-cert_chain", files.chainPath, "-key", files.keyPath]
        }
        let client = try SClient.run(arguments, input: "x")
        let event = server.events.next()
        if event != .secured { #expect(server.events.next() == .closed) }
        return (event, server.agreement(), client.error)
    }

    @Test("a good one is taken, and told", arguments: ["-tls1_2", "-tls1_3"])
    func good(version: String) throws {
        let names = [
            "URI:spiffe://shop/till-1", "DNS:till-1.shop.test", "email:till@shop.test", "IP:192.0.2.7",
            "IP:2001:db8::7",
        ]
        let files = try Certificates.client { $0.names = names }
        let (event, agreement, _) = try outcome(Self.required(), files, version)
        #expect(event == .secured)
        let certificate = try #require(agreement?.peerCertificate)
        #expect(String(decoding: certificate.subject, as: UTF8.self) == "CN=till-1,O=Shop")
        #expect(certificate.subjectAlternativeNames.map { String(decoding: $0, as: UTF8.self) } == names)
        let printed = try Subprocess.run(
            ["openssl", "x509", "-in", files.chainPath, "-noout", "-fingerprint", "-sha256"]
        ).output
        let hex = certificate.fingerprintSHA256.map { String(format: "%02X", $0) }.joined(separator: ":")
        #expect(printed.hasSuffix("=\(hex)\n"), "\(printed)")
        let days = Double(certificate.notAfterUnixSeconds - Int64(Date().timeIntervalSince1970)) / 86400
        #expect(days > 29 && days < 31)
    }

    @Test("a chain through authorities that the server does not know")
    func chain() throws {
        let files = try Certificates.client { $0.authority = .init(name: "one", parents: ["two", "root"]) }
        #expect(try outcome(Self.required(), files).event == .secured)
    }

    @Test("bad ones are refused, where one is required and where it is optional", arguments: ["-tls1_2", "-tls1_3"])
    func bad(version: String) throws {
        let deep = Certificates.Authority(name: "d9", parents: (1...8).reversed().map { "d\($0)" } + ["root"])
        // In DER: a sequence of one dNSName, "shop.test" NUL ".evil".
        let hidden = Array("shop.test\0.evil".utf8)
        let raw: [UInt8] = [0x30, UInt8(hidden.count + 2), 0x82, UInt8(hidden.count)] + hidden
        let cases: [(String, TLSCertificateFiles)] = [
            ("expired", try Certificates.client { $0.days = -1 }),
            ("wrong usage", try Certificates.client { $0.usage = "serverAuth" }),
            ("other authority", try Certificates.client { $0.authority = .init(name: "other") }),
            ("self-signed", try Certificates.client { $0.authority = nil }),
            ("ten deep", try Certificates.client { $0.authority = deep }),
            ("NUL in a name", try Certificates.client { $0.rawNames = raw }),
        ]
        let root = try Certificates.root()
        let optional = try TLSServerContext.Options.test { $0.clientCertificates = .optional(caPath: root) }
        for options in [try Self.required(), optional] {
            for (what, files) in cases {
                let (event, agreement, error) = try outcome(options, files, version)
                #expect(event == .failed(.protocolError, .certificate), "\(what)")
                #expect(agreement == nil, "\(what)")
                #expect(error.contains("alert"), "\(what): \(error)")
            }
        }
    }

    @Test("none is refused where one is required, and only there", arguments: ["-tls1_2", "-tls1_3"])
    func none(version: String) throws {
        let refused = try outcome(Self.required(), nil, version)
        #expect(refused.event == .failed(.protocolError, .noCertificate))
        let root = try Certificates.root()
        let optional = try TLSServerContext.Options.test { $0.clientCertificates = .optional(caPath: root) }
        let taken = try outcome(optional, nil, version)
        #expect(taken.event == .secured)
        #expect(taken.agreement != nil && taken.agreement?.peerCertificate == nil)
        // Nobody asked: a certificate is not sent.
        let unasked = try outcome(.test(), Certificates.client(), version)
        #expect(unasked.event == .secured)
        #expect(unasked.agreement?.peerCertificate == nil)
    }

    @Test("a chain of a megabyte is refused before it is read")
    func hugeChain() throws {
        let server = try TLSServer.closing(Self.required())
        defer { server.stop() }
        let files = try Certificates.client()
        let one = try String(contentsOfFile: files.chainPath, encoding: .utf8)
        let path = Certificates.path()
        try String(repeating: one, count: 2200).write(toFile: path, atomically: true, encoding: .utf8)
        let client = try server.sClient(
            "-tls1_2", "-cert", files.chainPath, "-cert_chain", path, "-key", files.keyPath)
        #expect(!client.isSuccess)
        #expect(server.events.next() == .failed(.protocolError, .certificate))
        #expect(server.events.next() == .closed)
        let channel = server.channels.all[0]
        #expect(server.harness.worker.performAndWait { channel.value.octetsRead } < 256 * 1024)
    }

    @Test("the identity comes with a resumed session, too", arguments: ["-tls1_2", "-tls1_3"])
    func resumed(version: String) throws {
        let server = try TLSServer.closing(Self.required())
        defer { server.stop() }
        let session = Certificates.path(".session")
        let files = try Certificates.client()
        let fixed = ["-servername", "a.test", version, "-ign_eof", "-cert", files.chainPath, "-key", files.keyPath]
        let address = ["-connect", "127.0.0.1:\(server.address.port)"]
        let first = try SClient.run(address + fixed + ["-sess_out", session], input: "x")
        #expect(first.session.hasPrefix("New, "))
        let second = try SClient.run(address + fixed + ["-sess_in", session], input: "x")
        #expect(second.session.hasPrefix("Reused, "), "\(second.session)")
        #expect(server.agreement(1)?.isResumed == true)
        #expect(server.agreement(0)?.peerCertificate != nil)
        #expect(server.agreement(1)?.peerCertificate == server.agreement(0)?.peerCertificate)
    }
}
