import Foundation
import TestSupport
import Testing

/// `unknown_webhook`: whoever listens hears once of each outcome that became unknown, and of nothing else.
@Suite(.blackBox) struct UnknownWebhookTests {
    private func pair(
        _ hook: ScriptedUpstream, _ idempotency: String = "", top: String = "", url: String? = nil,
        script: @escaping ScriptedUpstream.Script
    ) throws -> Pair {
        try Pair(
            idempotency,
            configure: { $0.top = "unknown_webhook \(url ?? "\(hook.address.serverURL)/hook?t=1"); \(top)" },
            script: script)
    }

    private func event(_ request: ReceivedRequest) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(request.body)) as? [String: Any])
    }

    @Test("an outcome becomes unknown: one POST with route, key hash, cause and times, nothing of the request")
    func told() throws {
        let hook = try ScriptedUpstream { _ in .answer(204) }
        let pair = try pair(hook) { _ in .closeAfterRequest }
        let fields = [Field("Authorization", "Bearer secret")]
        #expect(try pair.proxy.post("/orders?secret=1", key: "secret-key", fields, body: "secret").status == 502)
        try hook.waitForExecutions(1)
        let request = try hook.request(0)
        #expect(request.method == "POST" && request.target == "/hook?t=1")
        #expect(request["Content-Type"] == "application/json" && request["Host"] != nil)
        #expect(!text(request.headOctets + request.body).contains("secret"))
        let event = try event(request)
        let record = try #require(try pair.proxy.records().first)
        #expect(event["event"] as? String == "outcome_unknown" && event["route"] as? String == "/")
        #expect(event["key"] as? String == record["key"] as? String && event["cause"] as? String == "broken")
        let id = try #require(event["id"] as? String)
        #expect(request["Idempotency-Key"] == "\"\(id)\"")
        let (claimed, unknown) = (event["claimed_at_ms"] as? UInt64 ?? 0, event["unknown_at_ms"] as? UInt64 ?? 0)
        #expect(claimed > 1_700_000_000_000 && unknown >= claimed)
        // Repeats and other requests are told of no more.
        #expect(try pair.proxy.post("/orders?secret=1", key: "secret-key", fields, body: "secret").status == 409)
        #expect(try pair.proxy.post("/orders", key: "other").status == 502)
        try hook.waitForExecutions(2)
        #expect(try self.event(hook.request(1))["key"] as? String != event["key"] as? String)
        #expect(try pair.proxy.metric("oncegate_webhook_deliveries_total", ["result": "delivered"]) == 2)
    }

    @Test("each cause: timed out, status; a late answer does not tell again")
    func causes() throws {
        let hook = try ScriptedUpstream { _ in .answer(200) }
        let release = Latch()
        let pair = try pair(hook, top: "response_header_timeout 200ms;") { request in
            request.path == "/late" ? .held(release, then: .answer(201, [], body: "late")) : .answer(502)
        }
        #expect(try pair.proxy.post("/late", key: "K").status == 504)
        try hook.waitForExecutions(1)
        #expect(try event(hook.request(0))["cause"] as? String == "timed_out")
        release.open()
        try pair.proxy.waitForState("completed")
        #expect(try pair.proxy.post("/late", key: "K").isReplay)
        #expect(try pair.proxy.post("/other", key: "L").status == 502)
        try hook.waitForExecutions(2)
        #expect(try event(hook.request(1))["cause"] as? String == "status")
        #expect(hook.attempts == 2)
    }

    @Test("a restart that finds a claim without owner tells it, once; what was unknown before is not told again")
    func restart() throws {
        let hook = try ScriptedUpstream { _ in .answer(200) }
        let pair = try pair(hook) { $0.path == "/broken" ? .closeAfterRequest : .never }
        #expect(try pair.proxy.post("/broken", key: "K").status == 502)
        try hook.waitForExecutions(1)
        let client = try pair.proxy.client()
        try client.send(.post("/open", key: "L"))
        try pair.upstream.waitForExecutions(2)
        let proxy = try pair.proxy.crashAndRestart()
        try hook.waitForExecutions(2)
        #expect(try event(hook.request(1))["cause"] as? String == "owner_died")
        _ = try proxy.crashAndRestart()
        #expect(hook.attempts == 2)
    }

    @Test("a receiver that fails gets the event again, with the same id, and then no more")
    func retries() throws {
        let hook = try ScriptedUpstream { $0.ordinal < 3 ? .answer(500) : .answer(200) }
        let pair = try pair(hook) { _ in .closeAfterRequest }
        #expect(try pair.proxy.post("/orders", key: "K").status == 502)
        try hook.waitForExecutions(3)
        let ids = try hook.requests.map { try #require(try event($0)["id"] as? String) }
        #expect(Set(ids).count == 1)
        try poll("counted") {
            try pair.proxy.metric("oncegate_webhook_deliveries_total", ["result": "delivered"]) == 1 ? true : nil
        }
        #expect(try pair.proxy.metric("oncegate_webhook_deliveries_total", ["result": "retried"]) == 2)
    }

    @Test("nobody answers: requests are as quick as ever, and the event is dropped, counted and logged")
    func unreachable() throws {
        let hook = try ScriptedUpstream(accepting: false)
        let pair = try pair(hook) { _ in .closeAfterRequest }
        let seconds = try elapsedSeconds {
            for number in 0..<20 {
                let response = try pair.proxy.post("/orders", key: "K\(number)")
                #expect(response.status == 502)
            }
        }
        #expect(seconds < 10)
        try poll("dropped", until: .after(60)) {
            (try pair.proxy.metric("oncegate_webhook_deliveries_total", ["result": "dropped"]) ?? 0) == 20 ? true : nil
        }
        try pair.proxy.process.waitForError("the log") { $0.contains("a webhook's event was dropped") ? true : nil }
    }

    @Test("https: the receiver's certificate is verified, and a wrong one gets nothing")
    func https() throws {
        let hook = try ScriptedUpstream { _ in .answer(200) }
        let front = try TLSRelay(inFrontOf: hook.address, .server(alpn: ["http/1.1"]))
        let port = front.serverURL.split(separator: ":").last ?? ""
        let service = try ScriptedUpstream { _ in .closeAfterRequest }
        var configuration = ProxyConfiguration(service)
        configuration.top = "unknown_webhook https://localhost:\(port)/hook;"
        let trusted = try ProxyProcess(configuration, environment: ["SSL_CERT_FILE": TestCertificate.authority()])
        #expect(try trusted.post(key: "K").status == 502)
        try hook.waitForExecutions(1)
        #expect(front.agreements.first?.name == "localhost")
        let untrusted = try ProxyProcess(configuration)
        #expect(try untrusted.post(key: "K").status == 502)
        try poll("an attempt that failed") {
            (try untrusted.metric("oncegate_webhook_deliveries_total", ["result": "retried"]) ?? 0) > 0 ? true : nil
        }
        #expect(hook.attempts == 1)
    }

    @Test("a reload switches it on and off")
    func reload() throws {
        let hook = try ScriptedUpstream { _ in .answer(200) }
        let service = try ScriptedUpstream { _ in .closeAfterRequest }
        var configuration = ProxyConfiguration(service)
        let proxy = try ProxyProcess(configuration)
        #expect(try proxy.post(key: "K").status == 502)
        for (index, top) in ["unknown_webhook \(hook.address.serverURL);", ""].enumerated() {
            configuration.top = top
            try ProxyProcess.write(configuration, in: proxy.directory)
            proxy.kill(SIGHUP)
            let labels = ["result": "success"]
            try poll("reloaded") {
                (try proxy.metric("oncegate_config_reloads_total", labels) ?? 0) >= Double(index + 1) ? true : nil
            }
            #expect(try proxy.post(key: "K\(index)").status == 502)
            if index == 0 { try hook.waitForExecutions(1) }
        }
        #expect(hook.attempts == 1)
    }
}
