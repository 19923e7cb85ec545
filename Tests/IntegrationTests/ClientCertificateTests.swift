import Foundation
import TestSupport
import Testing

/// Client certificates: who gets in (C7), and who is whom (`scope client_cert`).
@Suite(.blackBox) struct ClientCertificateTests {
    private static let till1 = TestCertificate.client(
        "/O=Shop/CN=till-1", "URI:spiffe://shop/till-1", "DNS:till-1.shop")
    private static let till2 = TestCertificate.client(
        "/O=Shop/CN=till-2", "URI:spiffe://shop/till-2", "DNS:till-2.shop")

    private struct Door {
        let upstream: ScriptedUpstream
        let proxy: ProxyProcess

        init(_ mode: String, _ idempotency: String = "") throws {
            upstream = try ScriptedUpstream()
            var configuration = ProxyConfiguration(upstream, idempotency: idempotency)
            configuration.listen = try ProxyConfiguration.tlsListener(
                tls: "client_certificate \(mode) \(try TestCertificate.authority());")
            proxy = try ProxyProcess(configuration)
        }

        /// Nil when the handshake failed. Over TLS 1.3 a client hears of it only when it reads.
        func post(_ certificate: TestCertificate?, key: String = "K", alpn: String = "h2", version: String? = nil)
            throws
            -> Response?
        {
            var tls = try TLSSettings.client(alpn: [alpn], certificate: certificate)
            tls.max = version
            if alpn == "h2" {
                guard let client = try? HTTP2Client(proxy.address, tls: tls) else { return nil }
                return try? client.post(key: key)
            }
            let client = try RawClient(TLSRelay(to: proxy.address, tls).address)
            return try? client.exchange(.post(key: key))
        }
    }

    @Test("required: a good one passes, none does not", arguments: ["1.2", "1.3"], ["h2", "http/1.1"])
    func required(version: String, alpn: String) throws {
        let door = try Door("required")
        #expect(try door.post(Self.till1, alpn: alpn, version: version)?.status == 201)
        #expect(try door.post(nil, key: "L", alpn: alpn, version: version) == nil)
        #expect(door.upstream.executions == 1)
    }

    @Test("optional: none passes, a good one passes")
    func optional() throws {
        let door = try Door("optional")
        #expect(try door.post(nil)?.status == 201)
        #expect(try door.post(Self.till1, key: "L")?.status == 201)
    }

    static let bad: [(name: String, certificate: TestCertificate)] = [
        ("expired", till1.with { $0.days = -1 }), ("for servers", till1.with { $0.usage = .server }),
        ("for code", till1.with { $0.usage = .codeSigning }),
        ("another authority", till1.with { $0.authority = "other" }),
        ("signed by itself", till1.with { $0.authority = nil }),
        ("a chain of ten", till1.with { $0.authority = "main/1/2/3/4/5/6/7/8/9/10" }),
    ]

    @Test("C7 a bad one is refused, also where it is optional", arguments: bad, ["required", "optional"])
    func refused(bad: (name: String, certificate: TestCertificate), mode: String) throws {
        let door = try Door(mode)
        #expect(try door.post(bad.certificate) == nil, "\(bad.name)")
        #expect(door.upstream.attempts == 0)
        #expect(try door.post(Self.till1)?.status == 201)
    }

    @Test("C7 a short chain passes")
    func chain() throws {
        let door = try Door("required")
        #expect(try door.post(Self.till1.with { $0.authority = "main/1" })?.status == 201)
    }

    @Test("C7 a chain of a megabyte is refused")
    func hugeChain() throws {
        let door = try Door("required")
        let files = try Self.till1.files
        let leaf = try String(contentsOfFile: files.certificate, encoding: .utf8)
        let path = try TestScope.current!.newDirectory() + "/chain.pem"
        try String(repeating: leaf, count: 2000).write(toFile: path, atomically: true, encoding: .utf8)
        let output = try TLSTests.handshake(
            door.proxy.address, ["-tls1_2", "-cert", files.certificate, "-key", files.key, "-cert_chain", path])
        #expect(!output.contains("Verify return code: 0 (ok)\n---\nread"), "\(output.suffix(500))")
        #expect(try door.post(Self.till1)?.status == 201)
        #expect(try door.proxy.memoryKiB("VmHWM") < 150_000)
    }

    @Test("C7 a NUL in an alternative name makes no other name of it")
    func embeddedNUL() throws {
        let door = try Door("required", "scope client_cert san;")
        let spoof = Self.till1.with { $0.rawNames = [octets("till-1.shop\0.evil.test")] }
        let first = try door.post(Self.till1.with { $0.alternativeNames = ["DNS:till-1.shop"] })
        #expect(first?.status == 201)
        // Refused, or another caller: never the first one's answer.
        let second = try door.post(spoof)
        #expect(second?.isReplay != true, "\(String(describing: second))")
    }

    @Test(
        "B14 scope client_cert: two certificates are two callers, the same one is the same",
        arguments: ["subject", "san"])
    func scope(part: String) throws {
        let door = try Door("required", "scope client_cert \(part);")
        let first = try #require(try door.post(Self.till1))
        expectAnswer(first)
        expectAnswer(try #require(try door.post(Self.till2)))
        #expect(door.upstream.executions == 2)
        for version in ["1.2", "1.3"] {
            expectReplayAcross(try #require(try door.post(Self.till1, version: version)), of: first)
        }
        expectReplayAcross(try #require(try door.post(Self.till1, alpn: "http/1.1")), of: first)
        // Renewed: other key, other serial, same names.
        expectReplayAcross(try #require(try door.post(Self.till1.with { $0.serial = 1 })), of: first)
        #expect(door.upstream.executions == 2)
    }

    @Test("B14 the subject's field borders cannot be forged by its values")
    func forgedSubject() throws {
        let door = try Door("required", "scope client_cert subject;")
        let first = try #require(try door.post(.client("/O=Shop/CN=till-1")))
        expectAnswer(first)
        let forged = try #require(try door.post(.client("/CN=till-1,O=Shop")))
        #expect(!forged.isReplay)
        #expect(door.upstream.executions == 2)
    }

    @Test("B16 scope client_cert where none was shown: 400")
    func missing() throws {
        let door = try Door("optional", "scope client_cert subject;")
        #expect(try door.post(nil)?.status == 400)
        #expect(door.upstream.attempts == 0)
    }

    @Test("without a scope directive the certificate is who is calling, after Authorization")
    func defaultScope() throws {
        let door = try Door("optional")
        expectAnswer(try #require(try door.post(Self.till1)))
        expectAnswer(try #require(try door.post(Self.till2)))
        expectAnswer(try #require(try door.post(nil)))
        #expect(door.upstream.executions == 3)
    }

    @Test("curl with a client certificate")
    func curl() throws {
        let door = try Door("required")
        let files = try Self.till1.files
        let port = door.proxy.address.port
        func run(_ more: [String]) throws -> Subprocess.Ending {
            try Subprocess.run(
                [
                    "curl", "-sSf", "--cacert", try TestCertificate.authority(), "--resolve",
                    "service.test:\(port):127.0.0.1", "-H", "Idempotency-Key: K", "-d", "a=1",
                ] + more + ["https://service.test:\(port)/"]
            ).ending
        }
        #expect(try run(["--cert", files.certificate, "--key", files.key]) == .exit(0))
        #expect(try run([]) != .exit(0))
        #expect(door.upstream.executions == 1)
    }
}
