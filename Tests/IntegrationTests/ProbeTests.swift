import Foundation
import TestSupport
import Testing

/// Unknown outcomes and `on_unknown probe`: a service that is asked what became of a request.
@Suite(.blackBox) struct ProbeTests {
    /// Executes POSTs and answers as it is told; knows its orders when it is asked by GET.
    private final class Service: Sendable {
        private struct State {
            var orders: [String] = []
            var probes: [ReceivedRequest] = []
        }

        private let state = Monitored(State())
        let hasOrder: Bool
        let post: Reply
        let get: @Sendable (ReceivedRequest) -> Reply?

        /// - Parameters:
        ///   - executes: whether a POST leaves an order.
        ///   - post: the answer to it.
        ///   - get: the answer to a probe; nil: 200 with the order, or 404.
        init(
            executes: Bool = true, post: Reply = .closeAfterRequest,
            get: @escaping @Sendable (ReceivedRequest) -> Reply? = { _ in nil }
        ) {
            hasOrder = executes
            self.post = post
            self.get = get
        }

        var probes: [ReceivedRequest] { state.with { $0.probes } }

        func waitForProbes(_ count: Int) throws {
            try state.wait("\(count) probes", until: .standard) { $0.probes.count >= count ? true : nil }
        }

        func reply(_ request: ReceivedRequest) -> Reply {
            guard request.method == "GET" else {
                return Reply { [self] exchange in
                    try exchange.readBody()
                    let number = state.with { state in
                        if hasOrder || request.ordinal > 1 { state.orders.append(request["Idempotency-Key"] ?? "") }
                        return request.ordinal
                    }
                    try (number == 1 ? post : .answer(201, body: #"{"order":\#(number)}"#)).run(exchange)
                }
            }
            let found = state.with { state in
                state.probes.append(request)
                return !state.orders.isEmpty
            }
            if let reply = get(request) { return reply }
            let order = [Field("Content-Type", "application/json"), Field("X-Order", "7")]
            return found ? .answer(200, order, body: #"{"id":7,"state":"paid"}"#) : .answer(404, [], body: "no")
        }
    }

    private static let plain = #"get "/orders?ref={key}"; found 200; absent 404; absent_after 0s;"#

    private func pair(
        _ service: Service, _ probe: String = plain, more: String = "", top: String = "",
        configure: (inout ProxyConfiguration) -> Void = { _ in }
    ) throws -> Pair {
        try Pair(
            "on_unknown probe { \(probe) } \(more)",
            configure: {
                $0.top = top
                configure(&$0)
            }, script: { service.reply($0) })
    }

    private func probes(_ proxy: ProxyProcess, _ result: String) throws -> Int {
        Int(try proxy.metric("oncegate_idempotency_probes_total", ["result": result]) ?? 0)
    }

    private func posts(_ pair: Pair) -> Int { pair.upstream.requests.count { $0.method == "POST" && $0.isComplete } }

    // MARK: Both ways

    @Test("B46 the probe finds the order: the retry gets it, the service executed once")
    func found() throws {
        let service = Service()
        let pair = try pair(service)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        let retry = try pair.proxy.post("/orders", key: "K")
        #expect(retry.status == 200 && retry.isReplay)
        #expect(retry.text == #"{"id":7,"state":"paid"}"#)
        #expect(retry["X-Order"] == "7")
        #expect(posts(pair) == 1 && service.probes.count == 1)
        #expect(service.probes[0].target == "/orders?ref=K")
        #expect(service.probes[0]["Host"] == pair.upstream.requests[0]["Host"])
        #expect(service.probes[0].fields[all: "X-Forwarded-For"].isEmpty)
        #expect(service.probes[0]["Via"] != nil)
        try poll("the outcome in the access log") {
            try pair.proxy.accessLog().contains { ($0["idem"] as? [String: Any])?["outcome"] as? String == "probed" }
                ? true : nil
        }
        // Durable: the same answer without another probe, also after kill -9.
        let again = try pair.proxy.crashAndRestart().post("/orders", key: "K")
        expectOctets(again.body, retry.body)
        #expect(again.isReplay && again.comparableFields == retry.comparableFields)
        #expect(posts(pair) == 1 && service.probes.count == 1)
    }

    @Test("B46 the probe proves absence: the retry runs, once")
    func absent() throws {
        let service = Service(executes: false)
        let pair = try pair(service)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        let retry = try pair.proxy.post("/orders", key: "K")
        expectAnswer(retry)
        expectReplay(try pair.proxy.post("/orders", key: "K"), of: retry)
        #expect(posts(pair) == 2 && service.probes.count == 1)
        #expect(try probes(pair.proxy, "absent") == 1)
    }

    @Test("neither found nor absent: 409 as with hold, and the next repeat asks again")
    func unclear() throws {
        let service = Service(get: { _ in .answer(500, [], body: "?") })
        let pair = try pair(service)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        for count in 1...2 {
            expectProblem(try pair.proxy.post("/orders", key: "K"), "outcome-unknown", status: 409, retryAfter: false)
            #expect(service.probes.count == count)
        }
        #expect(posts(pair) == 1)
        #expect(try probes(pair.proxy, "unclear") == 2)
        #expect(try pair.proxy.outcomes("unknown_outcome") == 2)
        let record = try #require(try pair.proxy.records("?state=unknown").first)
        #expect(record["probes"] as? Int == 2 && record["last_probe"] as? String == "unclear")
        #expect(record["unknown_at_ms"] is Int && record["cause"] as? String == "broken")
    }

    @Test(
        "a service that executes and never answers, then a probe that finds the order; the same with kill -9 between",
        arguments: [false, true])
    func executesAndNeverAnswers(isKilled: Bool) throws {
        let service = Service(post: .never)
        let pair = try pair(service, top: "response_header_timeout 300ms;")
        var proxy = pair.proxy
        if isKilled {
            let client = try proxy.client()
            try client.send(.post("/orders", key: "K"))
            try pair.upstream.waitForExecutions(1)
            proxy = try proxy.crashAndRestart()
        } else {
            expectProblem(try proxy.post("/orders", key: "K"), "upstream-timed-out", status: 504)
        }
        let retry = try proxy.post("/orders", key: "K")
        #expect(retry.status == 200 && retry.isReplay && retry.text == #"{"id":7,"state":"paid"}"#)
        #expect(posts(pair) == 1)
        let record = try #require(try proxy.records().first)
        #expect(record["settled_by"] as? String == "probe" && record["settled_at_ms"] is Int)
        #expect(record["cause"] as? String == (isKilled ? "owner_died" : "timed_out"))
    }

    // MARK: When absence is believed

    @Test("absent before absent_after has passed: 409, the key is not freed; afterwards it is")
    func tooEarly() throws {
        let service = Service(executes: false)
        let pair = try pair(service, Self.plain.replacing("0s", with: "1500ms"))
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "outcome-unknown", status: 409)
        #expect(try probes(pair.proxy, "too_early") == 1)
        #expect(posts(pair) == 1)
        let retry = try poll("the key is freed") { () -> Response? in
            let response = try pair.proxy.post("/orders", key: "K")
            return response.status == 409 ? nil : response
        }
        expectAnswer(retry)
        #expect(posts(pair) == 2)
    }

    @Test("absent after a restart: absent_after begins anew")
    func tooEarlyAfterRestart() throws {
        let service = Service(executes: false)
        let pair = try pair(service, Self.plain.replacing("0s", with: "1h"))
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        expectProblem(try pair.proxy.crashAndRestart().post("/orders", key: "K"), "outcome-unknown", status: 409)
        #expect(posts(pair) == 1)
    }

    @Test("absent while the first attempt may still be answered: 409, however long that takes")
    func stillListening() throws {
        let release = Latch()
        let service = Service(
            executes: false, post: .held(release, then: .answer(201, [], body: "late")))
        let pair = try pair(service, top: "response_header_timeout 200ms;")
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-timed-out", status: 504)
        for _ in 0..<3 { expectProblem(try pair.proxy.post("/orders", key: "K"), "outcome-unknown", status: 409) }
        #expect(try probes(pair.proxy, "too_early") == 3)
        release.open()
        let answer = try poll("the late answer") { () -> Response? in
            let response = try pair.proxy.post("/orders", key: "K")
            return response.status == 409 ? nil : response
        }
        #expect(answer.isReplay && answer.text == "late")
        #expect(posts(pair) == 1)
    }

    @Test("absent that was said while the first attempt was listened for proves nothing, even if it arrives afterwards")
    func saidTooEarly() throws {
        let (release, asked) = (Latch(), Latch())
        let service = Service(
            executes: false, post: .held(release, then: Reply { $0.close() }),
            get: { _ in .held(asked, then: .answer(404, [], body: "no")) })
        let pair = try pair(service, top: "response_header_timeout 200ms;")
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-timed-out", status: 504)
        let proxy = pair.proxy
        let repeated = Running { try proxy.post("/orders", key: "K") }
        try service.waitForProbes(1)
        // The service has looked, and then executes the first attempt, and breaks off.
        release.open()
        try pair.upstream.waitForOpenConnections { $0 == 1 }
        try poll("the proxy has heard of it") {
            try proxy.metric("oncegate_http_requests_in_flight").map { $0 <= 1 } == true ? true : nil
        }
        asked.open()
        expectProblem(try repeated.join(), "outcome-unknown", status: 409)
        #expect(try probes(proxy, "too_early") == 1)
        #expect(posts(pair) == 1)
        // Said now, it is believed.
        expectAnswer(try proxy.post("/orders", key: "K"))
        #expect(posts(pair) == 2)
    }

    @Test("without `absent` a key is never freed by a probe")
    func neverFreed() throws {
        let service = Service(executes: false)
        let pair = try pair(service, #"get "/orders?ref={key}"; found 200;"#)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        for _ in 0..<2 { expectProblem(try pair.proxy.post("/orders", key: "K"), "outcome-unknown", status: 409) }
        #expect(posts(pair) == 1)
    }

    @Test("a late answer while the probe runs: it wins, once, and the repeat gets it")
    func lateAnswerWins() throws {
        let (release, asked) = (Latch(), Latch())
        let service = Service(
            post: .held(release, then: .answer(201, [], body: "late")),
            get: { _ in .held(asked, then: .answer(200, [], body: "probed")) })
        let pair = try pair(service, top: "response_header_timeout 200ms;")
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-timed-out", status: 504)
        let proxy = pair.proxy
        let repeated = Running { try proxy.post("/orders", key: "K") }
        try service.waitForProbes(1)
        release.open()
        try proxy.waitForState("completed")
        asked.open()
        let answer = try repeated.join()
        #expect(answer.isReplay && answer.status == 201 && answer.text == "late")
        #expect(try probes(proxy, "superseded") == 1)
        #expect(try proxy.records().first?["settled_by"] as? String == "late_answer")
        #expect(posts(pair) == 1)
    }

    @Test("an answer by hand while the probe runs stands")
    func operatorWins() throws {
        let asked = Latch()
        let service = Service(get: { _ in .held(asked, then: .answer(200, [], body: "probed")) })
        let pair = try pair(service)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        let proxy = pair.proxy
        let repeated = Running { try proxy.post("/orders", key: "K") }
        try service.waitForProbes(1)
        let key = try #require(try proxy.records("?state=unknown").first?["key"] as? String)
        let resolved = try proxy.command("records", "resolve", key, "--status", "202", "--body", "by hand")
        #expect(resolved.ending == .exit(0), "\(resolved.error)")
        asked.open()
        let answer = try repeated.join()
        #expect(answer.isReplay && answer.status == 202 && answer.text == "by hand")
    }

    // MARK: One at a time

    @Test("20 simultaneous repeats make one probe, and all get its answer")
    func onceForAll() throws {
        let asked = Latch()
        let service = Service(get: { _ in .held(asked, then: .answer(200, [], body: "probed")) })
        let pair = try pair(service)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        let proxy = pair.proxy
        let repeats = (0..<20).map { _ in Running { try proxy.post("/orders", key: "K") } }
        try service.waitForProbes(1)
        // All have met the unknown record, or will: the probe is held.
        try poll("20 repeats are in flight") {
            try proxy.metric("oncegate_http_requests_in_flight").map { $0 >= 20 } == true ? true : nil
        }
        asked.open()
        for repeated in repeats {
            let answer = try repeated.join()
            #expect(answer.isReplay && answer.text == "probed", "\(answer.status) \(answer.text)")
        }
        #expect(service.probes.count == 1 && posts(pair) == 1)
    }

    @Test("a repeat waits for another's probe as in_flight says: 409 at once, or after the wait")
    func waits() throws {
        for (mode, longest) in [("in_flight reject;", 5.0), ("in_flight wait 300ms;", 10.0)] {
            let asked = Latch()
            let service = Service(get: { _ in .held(asked, then: .answer(200, [], body: "probed")) })
            let pair = try pair(service, more: mode)
            expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
            let proxy = pair.proxy
            let first = Running { try proxy.post("/orders", key: "K") }
            try service.waitForProbes(1)
            let seconds = try elapsedSeconds {
                expectProblem(try proxy.post("/orders", key: "K"), "outcome-unknown", status: 409)
            }
            #expect(seconds < longest)
            asked.open()
            #expect(try first.join().text == "probed")
            #expect(service.probes.count == 1)
        }
    }

    @Test("who asked leaves: the probe goes on, and the next repeat gets its answer without another")
    func askerLeaves() throws {
        let asked = Latch()
        let service = Service(get: { _ in .held(asked, then: .answer(200, [], body: "probed")) })
        let pair = try pair(service)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        let client = try pair.proxy.client()
        try client.send(.post("/orders", key: "K"))
        try service.waitForProbes(1)
        client.reset()
        asked.open()
        try pair.proxy.waitForState("completed")
        #expect(try pair.proxy.post("/orders", key: "K").text == "probed")
        #expect(service.probes.count == 1)
    }

    // MARK: Probes that fail

    @Test("a probe that times out, breaks, is refused or too large: 409, and still unknown")
    func failures() throws {
        let replies: [(String, String, Reply)] = [
            ("timed_out", "", .never), ("failed", "", .resetAfterRequest),
            ("failed", "", .truncated(declared: 10, body: octets("01234"), reset: false)),
            ("failed", "", .raw("garbage\r\n\r\n", thenClose: true)),
            ("too_large", "record_body_limit 1KiB;", .answer(200, [], body: [UInt8](repeating: 65, count: 2000))),
            ("too_large", "record_body_limit 1KiB;", .chunked(200, [], [[UInt8](repeating: 65, count: 2000)])),
        ]
        for (result, more, reply) in replies {
            let service = Service(get: { _ in reply })
            let pair = try pair(service, Self.plain + " timeout 300ms;", more: more)
            expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
            expectProblem(try pair.proxy.post("/orders", key: "K"), "outcome-unknown", status: 409)
            #expect(try probes(pair.proxy, result) == 1, "\(result)")
            #expect(posts(pair) == 1)
        }
        let refused = Service()
        let pair = try pair(refused)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        try pair.upstream.refuse()
        pair.upstream.dropConnections()
        expectProblem(try pair.proxy.post("/orders", key: "K"), "outcome-unknown", status: 409)
        #expect(try probes(pair.proxy, "failed") == 1)
        try pair.upstream.open()
        #expect(try pair.proxy.post("/orders", key: "K").status == 200)
    }

    @Test("a probe is no request of the route: not covered and not recorded; an anonymous caller gets no cookie of it")
    func notCovered() throws {
        let service = Service(get: { _ in .answer(200, [Field("Set-Cookie", "a=b")], body: "probed") })
        let pair = try pair(service)
        expectProblem(try pair.proxy.post("/orders", key: "K"), "upstream-broken", status: 502)
        let answer = try pair.proxy.post("/orders", key: "K")
        #expect(answer.text == "probed")
        #expect(answer.fields[all: "Set-Cookie"].isEmpty)
        #expect(try pair.proxy.records().count == 1)
    }

    // MARK: Upstreams

    @Test("the probe goes over TLS and HTTP/2, too", arguments: ServiceKind.allCases)
    func protocols(kind: ServiceKind) throws {
        let service = Service()
        var kept: [Any] = []
        let url: String
        switch kind {
        case .http1, .https:
            let scripted = try ScriptedUpstream { service.reply($0) }
            let front = kind == .https ? try TLSRelay(inFrontOf: scripted.address, .server(alpn: ["http/1.1"])) : nil
            url = front?.serverURL ?? scripted.address.serverURL
            kept = [scripted, front as Any]
        case .h2c, .http2:
            let scripted = try HTTP2Upstream(tls: kind == .http2 ? .server() : nil) { request in
                request.method == "POST"
                    ? .resetAfterRequest()
                    : .answer(200, [Field("content-type", "application/json")], body: octets("probed"))
            }
            url = scripted.serverURL
            kept = [scripted]
        }
        var configuration = ProxyConfiguration()
        try configuration.serve(url)
        configuration.route = "idempotency { on_unknown probe { \(Self.plain) } }"
        let proxy = try ProxyProcess(configuration)
        #expect(try proxy.post("/orders", key: "K").status == 502)
        let retry = try proxy.post("/orders", key: "K")
        #expect(retry.status == 200 && retry.isReplay, "\(retry.text)")
        withExtendedLifetime(kept) {}
    }
}
