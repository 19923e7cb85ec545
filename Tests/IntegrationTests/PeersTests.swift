import Foundation
import TestSupport
import Testing

/// The HTTP/2 and TLS instruments against each other and against nginx and nghttpx, without a proxy of ours.
@Suite(.blackBox) struct PeersTests {
    private static let post = Request.post("/a?x=1", key: "K", [Field("A", "1"), Field("A", "2")], body: "body")

    @Test func `h2c with prior knowledge: fields, body, trailers and counts arrive`() throws {
        let upstream = try HTTP2Upstream { request in
            #expect(request[":authority"] == "service.test")
            return .answer(201, [Field("b", "1"), Field("b", "2")], body: [0, 255], trailers: [Field("sum", "7")])
        }
        let client = try HTTP2Client(.ipv4(port: upstream.port))
        let response = try client.send(Self.post)
        #expect(response.status == 201)
        #expect(response.fields == [Field("b", "1"), Field("b", "2")])
        #expect(response.body == [0, 255])
        #expect(response.trailers == [Field("sum", "7")])
        let request = try upstream.request(0)
        #expect(request.target == "/a?x=1")
        #expect(request.fields[all: "a"] == ["1", "2"])
        #expect(text(request.body) == "body")
        #expect(request.isComplete)
        #expect(request.ordinal == 1)
        _ = try client.send(.get("/a"))
        #expect(upstream.executions(of: "/a") == 2)
        #expect(upstream.connectionCount == 1)
    }

    @Test func `TLS with ALPN: both sides agree on h2, and the name reaches the other side`() throws {
        let upstream = try HTTP2Upstream(tls: .server())
        let client = try HTTP2Client(.ipv4(port: upstream.port), tls: .client())
        #expect(try client.send(.post()).status == 201)
        #expect(client.agreement.alpn == "h2")
        #expect(client.agreement.version == "TLSv1.3")
        #expect(upstream.agreements.first?.name == "service.test")
    }

    @Test func `resets, GOAWAY, interim answers, truncation: the client sees which`() throws {
        let upstream = try HTTP2Upstream { request in
            switch request.path {
            case "/refused": .refused()
            case "/after": .resetAfterRequest()
            case "/half": .truncated(declared: 100, body: [1, 2, 3])
            case "/away": .goAwayBelow
            case "/early": .interim(103, [Field("link", "</a>")])
            case "/reset": HTTP2Reply(.read, .reset)
            default: .never
            }
        }
        let client = try HTTP2Client(.ipv4(port: upstream.port))
        #expect(try client.ending(of: client.start(.post("/refused"))).resetCode == .refusedStream)
        #expect(try client.ending(of: client.start(.post("/after"))).resetCode == .internalError)
        let half = try client.ending(of: client.start(.post("/half")))
        #expect(half.response?.body == [1, 2, 3])
        #expect(half.resetCode == .internalError)
        let early = try client.send(.post("/early"))
        #expect(early.interim.map(\.status) == [103])
        #expect(early.interim.first?["link"] == "</a>")
        let away = try client.start(.post("/away"))
        let ending = try client.waitForGoAway()
        #expect(ending.goAway?.last == away - 2)
        let reset = try client.start(.post("/reset"))
        #expect(try !client.ending(of: reset).isConnectionOpen)
        #expect(upstream.executions == 4)
        #expect(upstream.failures.isEmpty, "\(upstream.failures)")
    }

    @Test func `a held answer waits for its latch, and a cancelled stream is reported`() throws {
        let latch = Latch()
        let upstream = try HTTP2Upstream { request in request.path == "/held" ? .held(latch) : .never }
        let client = try HTTP2Client(.ipv4(port: upstream.port))
        let held = try client.start(.post("/held"))
        let never = try client.start(.post("/never"))
        try upstream.waitForExecutions(2)
        latch.open()
        #expect(try client.response(on: held).status == 201)
        try client.reset(never)
        try upstream.waitForResets(1)
        #expect(upstream.resetCodes == [HTTP2Code.cancel.rawValue])
    }

    @Test func `windows: a large answer, a reader that gives none back, an upstream that gives none back`() throws {
        let piece = [UInt8](repeating: 7, count: 65536)
        let upstream = try HTTP2Upstream { _ in .huge(3_000_000, piece: piece) }
        let client = try HTTP2Client(.ipv4(port: upstream.port))
        #expect(try client.send(.get()).body.count == 3_000_000)
        let stalled = try HTTP2Client(.ipv4(port: upstream.port), acknowledges: false)
        let stream = try stalled.start(.get())
        #expect(try stalled.body(on: stream, atLeast: 65535).response?.body.count == 65535)
        try stalled.grantWindow()
        #expect(try stalled.response(on: stream).body.count == 3_000_000)
        let starving = try HTTP2Upstream(acknowledges: false)
        let sender = try HTTP2Client(.ipv4(port: starving.port))
        let body = Running { try sender.send(.post(body: String(repeating: "x", count: 200_000))) }
        try starving.waitForAttempts(1)
        #expect(!body.isFinished)
        try starving.grantWindow()
        #expect(try body.join().status == 201)
        #expect(try starving.request(0).body.count == 200_000)
    }

    @Test func `a relay makes a scripted upstream an HTTPS service, and a raw client a TLS client`() throws {
        let upstream = try ScriptedUpstream { _ in .untilClose(200, body: octets("whole")) }
        let front = try TLSRelay(inFrontOf: upstream.address, .server(alpn: ["http/1.1"]))
        let tunnel = try TLSRelay(to: front.address, .client(alpn: ["http/1.1"]))
        let response = try RawClient(tunnel.address).exchange(.post(key: "K"))
        #expect(response.text == "whole")
        #expect(front.agreements.first?.name == "service.test")
        #expect(tunnel.agreements.first?.alpn == "http/1.1")
        // A bare FIN: s_client tells it from a close_notify.
        let truncating = try TLSRelay(inFrontOf: upstream.address, .server(alpn: []), manners: .truncating)
        let result = try Subprocess.run([
            "sh", "-c",
            "printf 'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' | openssl s_client -quiet -connect \(truncating.address)",
        ])
        #expect(result.error.contains("unexpected eof"), "\(result)")
        let failing = try TLSRelay(to: front.address, .client("other.test"))
        try RawClient(failing.address).send("x")
        try failing.waitForFailures(1)
        #expect(failing.failures.first?.contains("CERTIFICATE_VERIFY_FAILED") == true)
    }

    @Test func `client certificates are seen with their subject`() throws {
        let upstream = try HTTP2Upstream(tls: .server(asksClients: true))
        let certificate = TestCertificate.client("/O=Shop/CN=till-1", "URI:spiffe://shop/till-1")
        let client = try HTTP2Client(.ipv4(port: upstream.port), tls: .client(certificate: certificate))
        #expect(try client.send(.post()).status == 201)
        #expect(upstream.agreements.first?.subject == "organizationName=Shop,commonName=till-1")
    }

    @Test(
        "certificates say what was asked: ECDSA, RSA, expired, another purpose, self-signed, below an intermediate, NUL",
        arguments: [
            (TestCertificate.service, "OK"), (.server("rsa.test", algorithm: .rsa), "OK"),
            (.service.with { $0.days = -1 }, "certificate has expired"),
            (.service.with { $0.usage = .client }, "unsuitable certificate purpose"),
            (.service.with { $0.authority = nil }, "self-signed certificate"),
            (.service.with { $0.authority = "other" }, "unable to get local issuer certificate"),
            (.service.with { $0.authority = "main/a/b" }, "OK"),
            (.service.with { $0.rawNames = [octets("service.test\0.evil")] }, "OK"),
        ])
    func certificates(certificate: TestCertificate, verdict: String) throws {
        let result = try Subprocess.run([
            "openssl", "verify", "-purpose", "sslserver", "-CAfile", try TestCertificate.authority(), "-untrusted",
            try certificate.files.certificate, try certificate.files.certificate,
        ])
        #expect((result.output + result.error).contains(verdict), "\(result)")
    }

    @Test func `nginx and nghttpx serve h2 before a scripted upstream`() throws {
        let upstream = try ScriptedUpstream()
        let servers = [
            (try RealServer.nginx(listen: "ssl http2", certificate: .service, to: upstream.address), true),
            (try RealServer.nginx(listen: "http2", to: upstream.address), false),
            (try RealServer.nghttpx(certificate: .service, to: upstream.address), true),
            (try RealServer.nghttpx(to: upstream.address), false),
        ]
        for (server, isSecure) in servers {
            let client = try HTTP2Client(server.address, tls: isSecure ? .client() : nil)
            let response = try client.send(Self.post)
            #expect(response.status == 201)
            #expect(response.text == Canary.answerBody)
        }
        #expect(upstream.executions == 4)
        let line = try servers[0].0.waitForAccessLog(1)[0]
        #expect(line == "POST /a?x=1 HTTP/2.0 201 \(Canary.marked(key: "K"))")
    }

    @Test func `nghttpx upgrades to h2c and speaks h2 to a scripted upstream`() throws {
        let upstream = try HTTP2Upstream()
        let server = try RealServer.nghttpx(to: .ipv4(port: upstream.port), serviceProtocol: "h2")
        let client = try HTTP2Client(server.address, upgrade: [Field("A", "1")])
        #expect(client.upgradeHead.hasPrefix("HTTP/1.1 101"))
        #expect(try client.response(on: 1).status == 201)
        #expect(try client.send(.post()).status == 201)
        #expect(upstream.executions == 2)
        #expect(upstream.failures.isEmpty, "\(upstream.failures)")
    }
}
