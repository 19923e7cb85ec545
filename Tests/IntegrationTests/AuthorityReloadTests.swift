import Foundation
import TestSupport
import Testing

/// Whom the proxy believes, and who it says it is, change while it runs (C9): the authorities of clients, those of
/// services, and its own certificate towards services.
@Suite(.blackBox) struct AuthorityReloadTests {
    /// PEM files of a test's own, replaced as an administrator's tool does it.
    private struct Replaceable {
        let directory: String

        init() throws {
            directory = try TestScope.current!.newDirectory()
        }

        func path(_ name: String) -> String { "\(directory)/\(name).pem" }

        func put(_ source: String, as name: String) throws {
            try write(String(contentsOfFile: source, encoding: .utf8), as: name)
        }

        func write(_ text: String, as name: String) throws {
            let new = path(name) + ".new"
            try text.write(toFile: new, atomically: false, encoding: .utf8)
            chmod(new, 0o600)
            rename(new, path(name))
        }
    }

    private func reloads(_ proxy: ProxyProcess, _ result: String) throws -> Double {
        try proxy.metric("oncegate_tls_certificate_reloads_total", ["result": result]) ?? 0
    }

    /// Garbage in place of a file in use: a failure that is counted.
    private func spoil(_ files: Replaceable, _ name: String, _ proxy: ProxyProcess) throws {
        let before = try reloads(proxy, "failure")
        try files.write("no certificate\n", as: name)
        proxy.kill(SIGHUP)
        try poll("a reload that failed") { try reloads(proxy, "failure") > before ? true : nil }
        try proxy.process.waitForError("the log names it") { $0.contains(files.path(name)) ? true : nil }
    }

    private static let ours = TestCertificate.client("/O=Shop/CN=ours")
    private static let theirs = ours.with { $0.authority = "other" }

    /// What `openssl s_client` says of one request.
    private func request(_ proxy: ProxyProcess, _ options: [String], showing certificate: TestCertificate?) throws
        -> (isServed: Bool, isResumed: Bool, output: String)
    {
        let files = try certificate?.files
        let shown = files.map { ["-cert", $0.certificate, "-key", $0.key] } ?? []
        let output = try TLSTests.handshake(
            proxy.address, options + ["-ign_eof", "-alpn", "http/1.1"] + shown,
            input: "GET / HTTP/1.1\\r\\nHost: service.test\\r\\nConnection: close\\r\\n\\r\\n")
        return (output.contains("HTTP/1.1 200"), output.contains("Reused, TLSv1"), output)
    }

    @Test(
        "C9 other authorities for clients: those of the old one are refused, resumed or not; garbage changes nothing",
        arguments: ["-tls1_2", "-tls1_3"])
    func authoritiesOfClients(version: String) throws {
        let files = try Replaceable()
        try files.put(TestCertificate.authority(), as: "clients")
        let upstream = try ScriptedUpstream { _ in .answer(200) }
        var configuration = ProxyConfiguration(upstream)
        configuration.listen = try ProxyConfiguration.tlsListener(
            tls: "client_certificate required \(files.path("clients"));")
        let proxy = try ProxyProcess(configuration)
        let session = "\(files.directory)/session"
        #expect(try request(proxy, [version, "-sess_out", session], showing: Self.ours).isServed)
        let resumed = try request(proxy, [version, "-sess_in", session], showing: Self.ours)
        #expect(resumed.isServed && resumed.isResumed, "\(resumed.output)")
        #expect(try !request(proxy, [version], showing: Self.theirs).isServed)
        #expect(upstream.attempts == 2)

        try files.put(TestCertificate.authority("other"), as: "clients")
        proxy.kill(SIGHUP)
        try poll("the new authority is believed") {
            try request(proxy, [version], showing: Self.theirs).isServed ? true : nil
        }
        func expectNewAuthority() throws {
            let before = upstream.attempts
            #expect(try !request(proxy, [version], showing: Self.ours).isServed)
            for certificate in [Self.ours, nil] {
                let again = try request(proxy, [version, "-sess_in", session], showing: certificate)
                #expect(!again.isServed && !again.isResumed, "\(again.output)")
            }
            #expect(upstream.attempts == before)
            #expect(try request(proxy, [version], showing: Self.theirs).isServed)
        }
        try expectNewAuthority()
        try spoil(files, "clients", proxy)
        try expectNewAuthority()
    }

    /// No connection is used twice, so that each request shows who is believed.
    private static func service(_ tls: TLSSettings) throws -> (upstream: ScriptedUpstream, front: TLSRelay) {
        let upstream = try ScriptedUpstream { _ in .answer(200, [Field("Connection", "close")]) }
        return (upstream, try TLSRelay(inFrontOf: upstream.address, tls))
    }

    @Test("C9 C13 other authorities for services: the old one is refused, the new one served; garbage changes nothing")
    func authoritiesOfServices() throws {
        let files = try Replaceable()
        try files.put(TestCertificate.authority(), as: "services")
        let old = try Self.service(.server(alpn: ["http/1.1"]))
        let new = try Self.service(.server(.service.with { $0.authority = "other" }, alpn: ["http/1.1"]))
        let tls = "tls { ca \(files.path("services")); name service.test; }"
        var configuration = ProxyConfiguration()
        configuration.serverURLs = [old.front.serverURL]
        configuration.upstream = tls
        configuration.route = "idempotency { }"
        configuration.more = """
            upstream second { server \(new.front.serverURL); \(tls) }
            route /new { upstream second; idempotency { } }
            """
        let proxy = try ProxyProcess(configuration)
        expectAnswer(try proxy.post("/", key: newKey()), status: 200)
        expectProblem(try proxy.post("/new", key: newKey()), "not-sent", status: 502)
        #expect(new.upstream.attempts == 0)

        try files.put(TestCertificate.authority("other"), as: "services")
        proxy.kill(SIGHUP)
        try poll("the new authority is believed") {
            try proxy.post("/new", key: newKey()).status == 200 ? true : nil
        }
        // The proxy has a session of before with the old one.
        let attempts = old.upstream.attempts
        for isSpoiled in [false, true] {
            if isSpoiled { try spoil(files, "services", proxy) }
            expectProblem(try proxy.post("/", key: newKey()), "not-sent", status: 502)
            expectAnswer(try proxy.post("/new", key: newKey()), status: 200)
        }
        #expect(old.upstream.attempts == attempts)
    }

    @Test("C9 another certificate of our own towards a service: it sees the new one; garbage changes nothing")
    func certificateForServices() throws {
        let files = try Replaceable()
        func put(_ name: String) throws {
            let made = try TestCertificate.client("/CN=\(name)").files
            try files.put(made.key, as: "key")
            try files.put(made.certificate, as: "own")
        }
        try put("first")
        let service = try Self.service(.server(alpn: ["http/1.1"], asksClients: true))
        var configuration = ProxyConfiguration()
        try configuration.serve(
            service.front.serverURL, tls: "certificate \(files.path("own")); key \(files.path("key"));")
        configuration.route = "idempotency { }"
        let proxy = try ProxyProcess(configuration)
        /// Whom the service sees.
        func subject() throws -> String? {
            expectAnswer(try proxy.post(key: newKey()), status: 200)
            return service.front.agreements.last?.subject
        }
        #expect(try subject() == "commonName=first")
        try put("second")
        proxy.kill(SIGHUP)
        try poll("the new one is shown") { try subject() == "commonName=second" ? true : nil }
        try spoil(files, "own", proxy)
        #expect(try subject() == "commonName=second")
    }
}
