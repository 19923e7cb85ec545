import Foundation
import TestSupport
import Testing

/// Probes that no repeat asks for.
@Suite(.blackBox) struct ProbeBackgroundTests {
    private func pair(
        _ probe: String, top: String = "", get: @escaping @Sendable (Int) -> Reply, post: Reply = .closeAfterRequest
    ) throws -> Pair {
        let count = Tally()
        return try Pair(
            "on_unknown probe { get \"/o/{key}?ref={body.json(/ref)}\"; \(probe) }", configure: { $0.top = top }
        ) { request in
            request.method == "GET" ? get(count.increment()) : request.ordinal == 1 ? post : .answer()
        }
    }

    private func probes(_ pair: Pair) -> [ReceivedRequest] { pair.upstream.requests.filter { $0.method == "GET" } }
    private static let body = #"{"ref":"r 1"}"#

    @Test("found in the background: the record is completed before anybody asks; then nothing more is asked")
    func found() throws {
        let pair = try pair("found 200; absent 404; background 100ms;") { number in
            number < 3 ? .answer(500) : .answer(200, [], body: "probed")
        }
        #expect(try pair.proxy.post("/orders", key: "K", body: Self.body).status == 502)
        try pair.proxy.waitForState("completed")
        #expect(probes(pair).count == 3)
        #expect(probes(pair).allSatisfy { $0.target == "/o/K?ref=r%201" })
        let record = try #require(try pair.proxy.records().first)
        #expect(record["settled_by"] as? String == "probe" && record["probes"] as? Int == 3)
        let retry = try pair.proxy.post("/orders", key: "K", body: Self.body)
        #expect(retry.isReplay && retry.text == "probed")
        try poll("nothing waits") {
            try pair.proxy.metric("oncegate_idempotency_background_probes") == 0 ? true : nil
        }
        #expect(probes(pair).count == 3)
    }

    @Test("absent in the background frees the key by the same rules, not before absent_after")
    func absent() throws {
        let pair = try pair("found 200; absent 404; absent_after 700ms; background 100ms 200ms;") { _ in
            .answer(404, [], body: "no")
        }
        #expect(try pair.proxy.post("/orders", key: "K", body: Self.body).status == 502)
        try poll("the key is free") { try pair.proxy.records().isEmpty ? true : nil }
        let early = try pair.proxy.metric("oncegate_idempotency_probes_total", ["result": "too_early"]) ?? 0
        #expect(early >= 1)
        #expect(try pair.proxy.metric("oncegate_idempotency_probes_total", ["result": "absent"]) == 1)
        expectAnswer(try pair.proxy.post("/orders", key: "K", body: Self.body))
    }

    @Test("max_attempts bounds them; a repeat still asks")
    func attempts() throws {
        let pair = try pair("found 200; background 100ms; max_attempts 2;") { number in
            number < 3 ? .answer(500) : .answer(200, [], body: "probed")
        }
        #expect(try pair.proxy.post("/orders", key: "K", body: Self.body).status == 502)
        try poll("given up") {
            try pair.proxy.metric("oncegate_idempotency_background_probes") == 0 && probes(pair).count == 2
                ? true : nil
        }
        #expect(try pair.proxy.records("?state=unknown").count == 1)
        #expect(try pair.proxy.post("/orders", key: "K", body: Self.body).text == "probed")
    }

    @Test("a late answer, or an operator, ends them")
    func ended() throws {
        let release = Latch()
        let pair = try pair(
            "found 200; background 10s;", top: "response_header_timeout 200ms;", get: { _ in .answer(500) },
            post: .held(release, then: .answer(201, [], body: "late")))
        #expect(try pair.proxy.post("/orders", key: "K", body: Self.body).status == 504)
        #expect(try pair.proxy.metric("oncegate_idempotency_background_probes") == 1)
        release.open()
        try pair.proxy.waitForState("completed")
        try poll("nothing waits") {
            try pair.proxy.metric("oncegate_idempotency_background_probes") == 0 ? true : nil
        }
        #expect(probes(pair).isEmpty)
        #expect(try pair.proxy.post("/orders", key: "K", body: Self.body).text == "late")
    }

    @Test("a request without the value: nothing is asked, and that is counted")
    func missing() throws {
        let pair = try pair("found 200; background 100ms;") { _ in .answer(200) }
        #expect(try pair.proxy.post("/orders", key: "K", body: "{}").status == 502)
        try poll("counted") {
            try pair.proxy.metric("oncegate_idempotency_probes_total", ["result": "not_rendered"]) == 1 ? true : nil
        }
        #expect(probes(pair).isEmpty)
    }

    @Test("after a restart the outcome waits for a repeat, which asks")
    func restart() throws {
        let pair = try pair("found 200; background 10s;") { _ in .answer(200, [], body: "probed") }
        #expect(try pair.proxy.post("/orders", key: "K", body: Self.body).status == 502)
        let proxy = try pair.proxy.crashAndRestart()
        #expect(try proxy.metric("oncegate_idempotency_background_probes") == 0)
        #expect(try proxy.post("/orders", key: "K", body: Self.body).text == "probed")
    }

    @Test("what is asked without a repeat is asked of a draining proxy no more: it stops in time")
    func draining() throws {
        let pair = try pair("found 200; background 100ms;") { _ in .answer(500) }
        #expect(try pair.proxy.post("/orders", key: "K", body: Self.body).status == 502)
        try poll("a probe") { probes(pair).isEmpty ? nil : true }
        pair.proxy.kill(SIGTERM)
        #expect(try pair.proxy.waitForExit() == .exit(0))
    }
}
