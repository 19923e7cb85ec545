import Foundation
import TestSupport
import Testing

/// Real clients with their own retries. Scripts/test installs what the Python ones need and sets ONCEGATE_PYTHON.
@Suite(.blackBox) struct InteropTests {
    static let python = ProcessInfo.processInfo.environment["ONCEGATE_PYTHON"] ?? "python3"
    static let clients = ProxyProcess.packageRoot + "/Tests/IntegrationTests/Clients"

    private func runPython(_ script: String, _ arguments: String..., modules: String...) throws -> [String: String] {
        for module in modules {
            let check = try Subprocess.run([Self.python, "-c", "import \(module)"])
            try #require(
                check.ending == .exit(0),
                "\(Self.python) has no module '\(module)': Scripts/test installs it and sets ONCEGATE_PYTHON"
            )
        }
        let result = try Subprocess.run([Self.python, "\(Self.clients)/\(script)"] + arguments)
        try #require(result.ending == .exit(0), "\(result.output)\(result.error)")
        let json = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        let object = try #require(json as? [String: Any], "\(result.output)")
        return object.filter { !($0.value is NSNull) }.mapValues { "\($0)" }
    }

    @Test("curl --retry: the service is down at first, the retry ends with the answer, once")
    func curlRetriesUnsent() throws {
        let upstream = try ScriptedUpstream(accepting: false)
        let pair = try Pair(upstream: upstream)
        let curl = Running {
            try Subprocess.run([
                "curl", "-sS", "--retry", "20", "--retry-delay", "1", "--retry-all-errors", "-o", "-", "-w",
                "\n%{http_code}", "-H",
                "Idempotency-Key: K", "-d", "amount=1", "http://\(pair.proxy.address)/orders",
            ])
        }
        try poll("a refused attempt") { try pair.proxy.metric("oncegate_upstream_errors_total") ?? 0 >= 1 ? true : nil }
        try upstream.open()
        let result = try curl.join(until: .after(40))
        #expect(result.ending == .exit(0), "\(result.error)")
        #expect(result.output.hasSuffix("\n201"))
        #expect(upstream.executions == 1)
    }

    @Test("curl --retry: its first attempt is cut by its own time limit, the retry gets the recorded answer")
    func curlRetriesAfterTimeout() throws {
        let release = Latch()
        let pair = try Pair { _ in .held(release) }
        let curl = Running {
            try Subprocess.run([
                "curl", "-sS", "-i", "--max-time", "1", "--retry", "10", "--retry-delay", "1", "-H",
                "Idempotency-Key: K", "-d", "amount=1",
                "http://\(pair.proxy.address)/orders",
            ])
        }
        try pair.upstream.waitForExecutions(1)
        // curl gives up after a second, closes, and comes again: it joins the attempt that is still running.
        try poll("a joined retry") {
            try pair.proxy.records().contains { $0["waiters"] as? Int ?? 0 >= 1 } ? true : nil
        }
        release.open()
        let result = try curl.join(until: .after(40))
        #expect(result.ending == .exit(0), "\(result.error)")
        #expect(result.output.contains("HTTP/1.1 201"))
        #expect(pair.upstream.executions == 1)
    }

    @Test("curl sends Expect: 100-continue for a large body and gets its answer")
    func curlLargeBody() throws {
        let pair = try Pair()
        let path = try TestScope.current!.newDirectory() + "/body"
        try Data([UInt8](repeating: 65, count: 3_000_000)).write(to: URL(filePath: path))
        for _ in 0..<2 {
            let result = try Subprocess.run([
                "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect: 100-continue", "-H",
                "Idempotency-Key: K", "--data-binary", "@\(path)",
                "http://\(pair.proxy.address)/",
            ])
            #expect(result.output == "201")
        }
        #expect(pair.upstream.executions == 1)
        #expect(try pair.upstream.request(0).body.count == 3_000_000)
    }

    @Test("Python requests with urllib3 Retry: 503 and 409 are retried and end with the recorded answer, once")
    func requestsRetry() throws {
        let pair = try Pair("in_flight reject;") { request in
            switch request.path {
            // Not recorded: the retry runs.
            case "/busy":
                request.ordinal == 1 ? .answer(503, [Field("Retry-After", "0")], body: octets("busy")) : .answer()
            default: .answer()
            }
        }
        let result = try runPython(
            "requests_retry.py", "http://\(pair.proxy.address)/busy", "K", modules: "requests", "urllib3")
        #expect(result["status"] == "201")
        #expect(result["replayed"] == nil)
        let again = try runPython("requests_retry.py", "http://\(pair.proxy.address)/busy", "K", modules: "requests")
        #expect(again["status"] == "201")
        #expect(again["replayed"] == "true")
        #expect(pair.upstream.executions(of: "/busy") == 2)
    }

    @Test("Python requests: a read time-out, then its retry gets the first attempt's answer")
    func requestsTimeout() throws {
        let release = Latch()
        let pair = try Pair { _ in .held(release) }
        let python = Running {
            try runPython("requests_retry.py", "http://\(pair.proxy.address)/slow", "K", "0.5", modules: "requests")
        }
        try pair.upstream.waitForExecutions(1)
        try poll("a joined retry") {
            try pair.proxy.records().contains { $0["waiters"] as? Int ?? 0 >= 1 } ? true : nil
        }
        release.open()
        let result = try python.join(until: .after(40))
        #expect(result["status"] == "201")
        #expect(result["replayed"] == "true")
        #expect(pair.upstream.executions == 1)
    }

    private static let charge = Reply.answer(
        200, [Field("Content-Type", "application/json"), Field("Request-Id", "req_1")],
        body: octets(#"{"id":"ch_1","object":"charge","amount":2000,"currency":"usd"}"#))

    @Test("B74 the Stripe SDK: its first attempt is in flight, its retry meets 409 and ends with the recorded answer")
    func stripeInFlight() throws {
        let release = Latch()
        let pair = try Pair("in_flight reject; on_missing_key reject;") { _ in .held(release, then: Self.charge) }
        // The SDK gives up its first attempt after a second and retries with the same key.
        let python = Running {
            try runPython("stripe_client.py", "http://\(pair.proxy.address)", "1", modules: "stripe")
        }
        try pair.upstream.waitForExecutions(1)
        try poll("a retry met 409") { try pair.proxy.outcomes("in_progress") >= 1 ? true : nil }
        release.open()
        let result = try python.join(until: .after(60))
        #expect(result["id"] == "ch_1", "\(result)")
        #expect(pair.upstream.executions == 1)
    }

    @Test("B74 the Stripe SDK and a service that cannot be reached at first: 502, then the charge, once")
    func stripeUnsent() throws {
        let upstream = try ScriptedUpstream(accepting: false) { _ in Self.charge }
        let pair = try Pair(upstream: upstream, "on_missing_key reject;")
        let python = Running {
            try runPython("stripe_client.py", "http://\(pair.proxy.address)", "10", modules: "stripe")
        }
        try poll("a refused attempt") { try pair.proxy.metric("oncegate_upstream_errors_total") ?? 0 >= 1 ? true : nil }
        try upstream.open()
        let result = try python.join(until: .after(60))
        #expect(result["id"] == "ch_1", "\(result)")
        #expect(upstream.executions == 1)
    }

    @Test("B74 the Stripe SDK and a service that drops its first answer: an honest unknown, never a second charge")
    func stripeDropped() throws {
        let pair = try Pair("on_missing_key reject;") { $0.ordinal == 1 ? .resetAfterRequest : Self.charge }
        let result = try runPython("stripe_client.py", "http://\(pair.proxy.address)", "10", "2", modules: "stripe")
        #expect(result["id"] == nil)
        #expect(result["status"] == "409", "\(result)")
        #expect(pair.upstream.executions == 1)
        // The operator who knows that a second charge does no harm says so.
        let resend = try Pair("on_missing_key reject; on_unknown resend;") {
            $0.ordinal == 1 ? .resetAfterRequest : Self.charge
        }
        let charged = try runPython("stripe_client.py", "http://\(resend.proxy.address)", "10", modules: "stripe")
        #expect(charged["id"] == "ch_1", "\(charged)")
        #expect(resend.upstream.executions == 2)
    }
}
