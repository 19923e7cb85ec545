import Foundation
import TestSupport
import Testing

/// TLS towards services: who is believed (C13), and where an answer ends (C12).
@Suite(.blackBox) struct UpstreamTLSTests {
    private static func proxy(_ url: String, tls: String? = nil) throws -> ProxyProcess {
        var configuration = ProxyConfiguration()
        configuration.serverURLs = [url]
        let trusted = "ca \(try TestCertificate.authority()); name service.test;"
        configuration.upstream = "tls { \(tls ?? trusted) }"
        configuration.route = "idempotency { }"
        return try ProxyProcess(configuration)
    }

    @Test("the service sees the name, ALPN, and TLS 1.3; its certificate is verified by the configured name")
    func agreement() throws {
        let upstream = try ScriptedUpstream()
        let front = try TLSRelay(inFrontOf: upstream.address, .server(alpn: ["http/1.1"]))
        let proxy = try Self.proxy(front.serverURL)
        let first = try proxy.post(key: "K")
        expectAnswer(first)
        expectReplay(try proxy.post(key: "K"), of: first)
        let agreement = try #require(front.agreements.first)
        #expect(agreement.name == "service.test")
        #expect(agreement.alpn == "http/1.1")
        #expect(agreement.version == "TLSv1.3")
    }

    @Test("`alpn http/1.1` asks for nothing else; a service without ALPN gets HTTP/1.1")
    func alpn() throws {
        let upstream = try ScriptedUpstream()
        for offered in [["h2", "http/1.1"], []] {
            let front = try TLSRelay(inFrontOf: upstream.address, .server(alpn: offered))
            let trusted = "ca \(try TestCertificate.authority()); name service.test;"
            let proxy = try Self.proxy(front.serverURL, tls: trusted + (offered.isEmpty ? "" : " alpn http/1.1;"))
            expectAnswer(try proxy.post(key: "K"))
            #expect(front.agreements.first?.alpn == (offered.isEmpty ? "" : "http/1.1"))
        }
    }

    @Test("an address as the name is verified as an address, without SNI")
    func addressName() throws {
        let certificate = TestCertificate.server("other.test").with { $0.alternativeNames = ["IP:127.0.0.1"] }
        let upstream = try HTTP2Upstream(tls: .server(certificate))
        let proxy = try Self.proxy(upstream.serverURL, tls: "ca \(try TestCertificate.authority());")
        expectAnswer(try proxy.post(key: "K"))
        #expect(upstream.agreements.first?.name == "")
    }

    static let wrong: [(name: String, certificate: TestCertificate)] = [
        ("another host", .server("other.test")), ("expired", .service.with { $0.days = -1 }),
        ("signed by itself", .service.with { $0.authority = nil }),
        ("another authority", .service.with { $0.authority = "other" }),
        ("for clients", .service.with { $0.usage = .client }),
        ("a name with NUL", .service.with { $0.rawNames = [octets("service.test\0.evil.test")] }),
    ]

    @Test(
        "C13 B41 a service that is not who it should be: 502 not-sent, no octet of the request, the key is free",
        arguments: wrong)
    func refused(wrong: (name: String, certificate: TestCertificate)) throws {
        let upstream = try ScriptedUpstream()
        let front = try TLSRelay(inFrontOf: upstream.address, .server(wrong.certificate, alpn: ["http/1.1"]))
        let proxy = try Self.proxy(front.serverURL)
        for _ in 0..<2 { expectProblem(try proxy.post(key: "K"), "not-sent", status: 502) }
        #expect(upstream.attempts == 0)
        #expect(try proxy.records().isEmpty)
        // Each attempt tried anew, so the claim of the one before was released.
        try front.waitForAccepted(2)
        // `verify off` takes it.
        let careless = try Self.proxy(front.serverURL, tls: "verify off;")
        expectAnswer(try careless.post(key: "K"))
    }

    @Test(
        "C13 without a tls block, and on the command line, a service is verified by the system's authorities",
        arguments: [false, true])
    func verifiesByDefault(byCommandLine: Bool) throws {
        let upstream = try ScriptedUpstream()
        let certificate = TestCertificate.service.with { $0.alternativeNames = ["IP:127.0.0.1"] }
        let front = try TLSRelay(inFrontOf: upstream.address, .server(certificate, alpn: ["http/1.1"]))
        func proxy(authorities: String) throws -> ProxyProcess {
            let environment = ["SSL_CERT_FILE": authorities]
            var configuration = ProxyConfiguration()
            configuration.serverURLs = [front.serverURL]
            configuration.route = "idempotency { }"
            guard byCommandLine else { return try ProxyProcess(configuration, environment: environment) }
            let directory = try TestScope.current!.newDirectory()
            return try ProxyProcess(
                arguments: [
                    "run", "--upstream", front.serverURL, "--listen", "127.0.0.1:0", "--store", "\(directory)/store",
                    "--admin", "unix:\(directory)/admin.sock",
                ], environment: environment, directory: directory)
        }
        let careful = try proxy(authorities: "")
        for _ in 0..<2 { expectProblem(try careful.post(key: "K"), "not-sent", status: 502) }
        #expect(upstream.attempts == 0)
        try front.waitForAccepted(2)
        #expect(try careful.records().isEmpty)
        // It is the authority alone that was amiss.
        expectAnswer(try proxy(authorities: TestCertificate.authority()).post(key: "K"))
    }

    @Test("C13 octets in the clear before the handshake are no answer (CVE-2026-1642)")
    func plaintextFirst() throws {
        let upstream = try ScriptedUpstream()
        let forged = octets("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        let front = try TLSRelay(inFrontOf: upstream.address, .server(), manners: .greeting(forged))
        let proxy = try Self.proxy(front.serverURL)
        let answer = try proxy.post(key: "K")
        expectProblem(answer, "not-sent", status: 502)
        #expect(upstream.attempts == 0)
    }

    @Test("C13 a service in the clear on an https server; one that says nothing: not-sent")
    func noTLS() throws {
        let plain = try ScriptedUpstream()
        let first = try Self.proxy("https://\(plain.address)")
        expectProblem(try first.post(key: "K"), "not-sent", status: 502)
        #expect(plain.executions == 0)
        let silent = try TLSRelay(inFrontOf: plain.address, .server(), manners: .silent)
        var configuration = ProxyConfiguration()
        try configuration.serve(silent.serverURL)
        configuration.top = "connect_timeout 400ms;"
        configuration.route = "idempotency { }"
        let second = try ProxyProcess(configuration)
        let answer = try second.post(key: "K")
        #expect([502, 504].contains(answer.status), "\(answer)")
        #expect(try second.records().isEmpty)
    }

    @Test("C12 a close-delimited answer counts when close_notify ends it, and is unknown when a bare FIN does")
    func closeDelimited() throws {
        let upstream = try ScriptedUpstream { _ in .untilClose(200, body: octets("whole")) }
        let polite = try TLSRelay(inFrontOf: upstream.address, .server(alpn: ["http/1.1"]))
        let proxy = try Self.proxy(polite.serverURL)
        let first = try proxy.post(key: "K")
        #expect(first.text == "whole")
        expectReplay(try proxy.post(key: "K"), of: first)
        let truncating = try TLSRelay(
            inFrontOf: upstream.address, .server(alpn: ["http/1.1"]), manners: .truncating)
        let other = try Self.proxy(truncating.serverURL)
        let client = try other.client()
        try client.send(.post(key: "K"))
        let cut = try? client.response()
        #expect(cut == nil || cut?.status == 502, "the client must see that it is cut: \(String(describing: cut))")
        expectProblem(try other.post(key: "K"), "outcome-unknown", status: 409)
        #expect(upstream.executions == 2)
    }

    @Test(
        "C12 content-length and chunked answers that a FIN cuts are unknown", arguments: [true, false], [true, false])
    func cut(isChunked: Bool, isTruncated: Bool) throws {
        let upstream = try ScriptedUpstream { _ in
            isChunked
                ? .broken(headOctets(200, [Field("Transfer-Encoding", "chunked")]) + octets("5\r\nhel"), reset: false)
                : .truncated(declared: 10, body: octets("hello"), reset: false)
        }
        let front = try TLSRelay(
            inFrontOf: upstream.address, .server(alpn: ["http/1.1"]), manners: isTruncated ? .truncating : .polite)
        let proxy = try Self.proxy(front.serverURL)
        let client = try proxy.client()
        try client.send(.post(key: "K"))
        let cut = try? client.response()
        #expect(cut == nil || cut?.status == 502)
        expectProblem(try proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(upstream.executions == 1)
    }

    @Test(
        "C12 over HTTP/2 the end of a stream is END_STREAM: a whole answer before a bare FIN counts, half a one does not"
    )
    func http2Truncation() throws {
        let upstream = try HTTP2Upstream(tls: .server()) { request in
            request.path == "/whole"
                ? HTTP2Reply(.read, .head(200), .data(octets("whole"), end: true), .truncate)
                : HTTP2Reply(.read, .head(200), .data(octets("ha")), .truncate)
        }
        let proxy = try Self.proxy(upstream.serverURL)
        let first = try proxy.post("/whole", key: "W")
        #expect(first.text == "whole")
        expectReplay(try proxy.post("/whole", key: "W"), of: first)
        let client = try proxy.client()
        try client.send(.post("/half", key: "H"))
        let half = try? client.response()
        #expect(half == nil || half?.status == 502)
        expectProblem(try proxy.post("/half", key: "H"), "outcome-unknown", status: 409)
    }

    @Test("the proxy's own certificate is shown to a service that asks")
    func ownCertificate() throws {
        let upstream = try HTTP2Upstream(tls: .server(asksClients: true))
        let files = try TestCertificate.client("/O=Shop/CN=proxy").files
        let trusted = "ca \(try TestCertificate.authority()); name service.test;"
        let proxy = try Self.proxy(
            upstream.serverURL, tls: trusted + " certificate \(files.certificate); key \(files.key);")
        expectAnswer(try proxy.post(key: "K"))
        #expect(upstream.agreements.first?.subject == "organizationName=Shop,commonName=proxy")
        #expect(upstream.executions == 1)
    }

    @Test(
        "a service that refuses the proxy's certificate has read nothing, though over TLS 1.3 our handshake had ended",
        arguments: ["h2", "http/1.1"])
    func ownCertificateRefused(alpn: String) throws {
        let service = try RealServer.opensslAskingClients()
        let trusted = "ca \(try TestCertificate.authority()); name service.test; alpn \(alpn);"
        let proxy = try Self.proxy(service.url("https"), tls: trusted)
        for _ in 0..<3 { expectProblem(try proxy.post(key: "L"), "not-sent", status: 502) }
        #expect(try proxy.records().isEmpty)
        let refused = try proxy.metric("oncegate_upstream_errors_total", ["kind": "certificate_refused"])
        #expect(refused == 3)
    }

    @Test("health checks and failover work over TLS")
    func failover() throws {
        let upstream = try HTTP2Upstream(tls: .server())
        let dead = try TestListener(at: .ipv4(port: 0))
        var configuration = ProxyConfiguration()
        try configuration.serve("https://\(dead.address)", upstream.serverURL)
        configuration.route = "idempotency { }"
        let proxy = try ProxyProcess(configuration)
        for index in 0..<6 { expectAnswer(try proxy.post(key: "K\(index)")) }
        #expect(upstream.executions == 6)
    }
}
