import Foundation
import TestSupport
import Testing

/// More than the kernel takes for a client that does not read.
private let large = [UInt8](repeating: 66, count: 8_000_000)
private let rescuedMetric = "oncegate_idempotency_rescued_total"

extension ProxyProcess {
    /// Waits until the one record says whether its answer arrived.
    fileprivate func waitForDelivery(_ isDelivered: Bool, sourceLocation: SourceLocation = #_sourceLocation) throws {
        _ = try poll("delivered \(isDelivered)") { () -> Bool? in
            let records = try records()
            return records.count == 1 && records[0]["delivered"] as? Bool == isDelivered ? true : nil
        }
    }

    fileprivate var rescued: Int {
        get throws { Int(try metric(rescuedMetric) ?? 0) }
    }

    fileprivate func waitForRescues(_ count: Int) throws {
        try poll("\(count) rescues") { try rescued >= count ? true : nil }
        #expect(try rescued == count)
    }
}

/// What the proxy knows of whether answers reached their clients, and what it makes of it (B26).
@Suite(.blackBox) struct DeliveryTests {
    private static let undelivered = "on_missing_key hash; hash { body raw; window 1h; replay undelivered; }"

    enum Loss: String, CaseIterable, Sendable {
        /// The connection is reset while the service works.
        case resetBefore
        /// The client closes while the service works; nobody reads what comes.
        case closeBefore
        /// Reset within a large answer.
        case resetWithin
        /// Closed within a large answer.
        case closeWithin
        /// Nothing is read of a large answer until the proxy gives up.
        case stall

        var needsLargeAnswer: Bool { self != .resetBefore && self != .closeBefore }
    }

    private func pair(_ idempotency: String, _ loss: Loss, _ release: Latch) throws -> Pair {
        try Pair(idempotency, configure: { $0.top = loss == .stall ? "response_write_idle 300ms;" : "" }) { _ in
            .held(release, then: .answer(201, [], body: loss.needsLargeAnswer ? large : octets("small")))
        }
    }

    /// Sends the request and loses the answer.
    private func lose(_ pair: Pair, _ request: Request, _ loss: Loss, _ release: Latch) throws {
        let client = try pair.proxy.client(receiveBuffer: 16384)
        try client.send(request)
        try pair.upstream.waitForExecutions(1)
        switch loss {
        case .resetBefore:
            client.reset()
            try poll("the client has left") {
                try pair.proxy.metric("oncegate_connections") == 0 ? true : nil
            }
            release.open()
        case .closeBefore:
            client.close()
            release.open()
        case .resetWithin, .closeWithin:
            release.open()
            #expect(try client.head().status == 201)
            if loss == .resetWithin { client.reset() } else { client.close() }
        case .stall:
            release.open()
            #expect(try client.head().status == 201)
            try poll("the proxy gives up") { try pair.proxy.metric("oncegate_connections") == 0 ? true : nil }
            client.close()
        }
        try pair.proxy.waitForState("completed")
    }

    @Test(
        "an answer that was lost is known as such on every route, and its replay is counted once",
        arguments: Loss.allCases)
    func lossIsKnown(loss: Loss) throws {
        let release = Latch()
        let pair = try pair("", loss, release)
        let request = Request.post(key: "K")
        try lose(pair, request, loss, release)
        try pair.proxy.waitForDelivery(false)
        let listed = try pair.proxy.command("records", "list")
        #expect(listed.output.split(separator: "\n").last?.contains(" no ") == true, "\(listed.output)")
        #expect(try pair.proxy.rescued == 0)
        #expect(try pair.proxy.send(request).isReplay)
        try pair.proxy.waitForRescues(1)
        try pair.proxy.waitForDelivery(true)
        let key = try #require(try pair.proxy.records()[0]["key"] as? String)
        let shown = try pair.proxy.command("records", "show", key)
        #expect(shown.output.contains("delivered") && shown.output.contains("yes"), "\(shown.output)")
        for _ in 0..<3 { #expect(try pair.proxy.send(request).isReplay) }
        #expect(try pair.proxy.rescued == 1)
        #expect(pair.upstream.executions == 1)
    }

    @Test("of an answer that went out nothing more is known without `replay undelivered`: not tracked")
    func notTracked() throws {
        let pair = try Pair()
        let client = try pair.proxy.client()
        for number in 0..<3 { expectAnswer(try client.exchange(.post("/\(number)", key: "K\(number)"))) }
        // A half close is no loss.
        let half = try pair.proxy.client()
        try half.send(.post("/half", key: "H"))
        half.shutdownWrite()
        expectAnswer(try half.response())
        client.close()
        half.close()
        try poll("the connections are closed") { try pair.proxy.metric("oncegate_connections") == 0 ? true : nil }
        let records = try pair.proxy.records()
        #expect(records.count == 4 && records.allSatisfy { $0["delivered"] == nil }, "\(records)")
        let key = try #require(records[0]["key"] as? String)
        #expect(try pair.proxy.command("records", "show", key).output.contains("not tracked"))
        #expect(try pair.proxy.post("/0", key: "K0").isReplay)
        #expect(try pair.proxy.rescued == 0)
    }

    @Test(
        "lost, then kill -9: it is still known, and the rescue is counted by the next process",
        arguments: [false, true])
    func lossSurvives(inFlight: Bool) throws {
        let release = Latch()
        let pair = try pair("", .resetBefore, release)
        let request = Request.post(key: "K")
        if inFlight {
            let client = try pair.proxy.client()
            try client.send(request)
            try pair.upstream.waitForExecutions(1)
            let proxy = try pair.proxy.crashAndRestart()
            try proxy.waitForState("unknown")
            try proxy.waitForDelivery(false)
            release.open()
            return
        }
        try lose(pair, request, .resetBefore, release)
        try pair.proxy.waitForDelivery(false)
        let proxy = try pair.proxy.crashAndRestart()
        try proxy.waitForDelivery(false)
        #expect(try proxy.send(request).isReplay)
        try proxy.waitForRescues(1)
        try proxy.waitForDelivery(true)
    }

    @Test("B40 a late answer was never delivered: the retry that gets it is a rescue")
    func lateAnswer() throws {
        let release = Latch()
        let pair = try Pair(configure: { $0.top = "response_header_timeout 300ms;" }) { _ in .held(release) }
        expectProblem(try pair.proxy.post(key: "K"), "upstream-timed-out", status: 504)
        try pair.proxy.waitForDelivery(false)
        release.open()
        try pair.proxy.waitForState("completed")
        try pair.proxy.waitForDelivery(false)
        #expect(try pair.proxy.post(key: "K").isReplay)
        try pair.proxy.waitForRescues(1)
    }

    @Test("B33 who waits gets the answer that its owner lost: a rescue")
    func waiter() throws {
        let release = Latch()
        let pair = try Pair { _ in .held(release) }
        let owner = try pair.proxy.client()
        try owner.send(.post(key: "K"))
        try pair.upstream.waitForExecutions(1)
        let waiter = Running { try pair.proxy.post(key: "K") }
        try pair.waitForWaiters(1)
        owner.reset()
        try poll("the owner has left") { try pair.proxy.metric("oncegate_connections") == 1 ? true : nil }
        release.open()
        #expect(try waiter.join().isReplay)
        try pair.proxy.waitForRescues(1)
        #expect(pair.upstream.executions == 1)
    }

    @Test("pipelined: what had not left when the client went is lost, each answer for itself")
    func pipelined() throws {
        let pair = try Pair { _ in .answer(201, [], body: large) }
        let client = try pair.proxy.client(receiveBuffer: 16384)
        try client.send((0..<3).flatMap { Request.post("/\($0)", key: "K\($0)").octets })
        #expect(try client.head().status == 201)
        try pair.upstream.waitForExecutions(1)
        client.reset()
        try poll("the first is lost") {
            try pair.proxy.records().contains { $0["delivered"] as? Bool == false } ? true : nil
        }
        #expect(try pair.proxy.send(.post("/0", key: "K0")).isReplay)
        try pair.proxy.waitForRescues(1)
    }

    @Test(
        "HTTP/2: RST_STREAM by the client before the answer, within it, or the connection's end",
        arguments: [false, true], ["before", "within", "connection"])
    func streams(tracked: Bool, when: String) throws {
        let release = Latch()
        let pair = try ProtocolPair(.http1, tracked ? Self.undelivered : "") {
            PlainAnswer(
                body: when == "before" ? octets("small") : large, latch: $0.path == "/other" ? nil : release)
        }
        let request = Request.post(key: tracked ? nil : "K")
        let client = try HTTP2Client(pair.proxy.clear, tls: nil, settings: [:], acknowledges: false)
        let stream = try client.start(request)
        try pair.service.waitForExecutions(1)
        if when == "before" {
            try client.reset(stream)
            _ = try client.send(.get("/other"))
        }
        release.open()
        if when != "before" { _ = try client.body(on: stream, atLeast: 10_000) }
        if when == "within" { try client.reset(stream) }
        if when == "connection" { try client.abort() }
        try pair.proxy.waitForState("completed")
        try pair.proxy.waitForDelivery(false)
        #expect(try pair.proxy.send(request, over: .http2).isReplay)
        try pair.proxy.waitForDelivery(true)
        try pair.proxy.waitForRescues(1)
        #expect(pair.service.executions == (when == "before" ? 2 : 1))
        if tracked { expectAnswer(try pair.proxy.send(request, over: .h2c)) }
    }

    @Test("B26 tracked: delivered over every wire, the next identical request runs", arguments: Wire.allCases)
    func deliveredRuns(wire: Wire) throws {
        let pair = try ProtocolPair(.http1, Self.undelivered) { _ in PlainAnswer(body: large) }
        for count in 1...3 {
            let answer = try pair.proxy.send(.post(), over: wire)
            expectAnswer(answer)
            #expect(pair.service.executions == count)
            try pair.proxy.waitForDelivery(true)
        }
        #expect(try pair.proxy.rescued == 0)
    }

    @Test("B26 tracked: however the answer is lost, the next identical request is its retry", arguments: Loss.allCases)
    func lostIsReplayed(loss: Loss) throws {
        let release = Latch()
        let pair = try pair(Self.undelivered, loss, release)
        try lose(pair, .post(), loss, release)
        let repeated = try pair.proxy.post()
        #expect(repeated.isReplay)
        #expect(pair.upstream.executions == 1)
        // That one arrived: the next is a new intent.
        try pair.proxy.waitForDelivery(true)
        expectAnswer(try pair.proxy.post())
        #expect(pair.upstream.executions == 2)
    }

    @Test("B26 tracked: of two replays at once, the one that is lost does not hide that the other arrives")
    func twoReplays() throws {
        let release = Latch()
        let pair = try pair(Self.undelivered, .resetWithin, release)
        try lose(pair, .post(), .resetWithin, release)
        try pair.proxy.waitForDelivery(false)
        let clients = try [pair.proxy.client(receiveBuffer: 16384), pair.proxy.client(receiveBuffer: 16384)]
        for client in clients {
            try client.send(.post())
            #expect(try client.head().isReplay)
        }
        // The last of both is on its way.
        let unread = 300_000
        for client in clients { _ = try client.exactly(large.count - unread) }
        try poll("both replays have left the proxy") {
            try pair.proxy.metric("oncegate_http_requests_in_flight") == 0 ? true : nil
        }
        clients[0].reset()
        try poll("the first client has left") { try pair.proxy.metric("oncegate_connections") == 1 ? true : nil }
        try pair.proxy.waitForDelivery(false)
        _ = try clients[1].exactly(unread)
        try pair.proxy.waitForDelivery(true)
        try pair.proxy.waitForRescues(1)
        #expect(pair.upstream.executions == 1)
        // A new intent.
        expectAnswer(try pair.proxy.post())
        #expect(pair.upstream.executions == 2)
    }

    @Test("B26 tracked over TLS: a cut answer is replayed")
    func cutOverTLS() throws {
        let pair = try ProtocolPair(.http1, "record_body_limit 64MiB; \(Self.undelivered)") { _ in
            PlainAnswer(body: [UInt8](repeating: 1, count: 30_000_000))
        }
        let relay = try TLSRelay(to: pair.proxy.secure, .client(alpn: ["http/1.1"]))
        let client = try RawClient(relay.address, receiveBuffer: 16384)
        try client.send(.post())
        #expect(try client.head().status == 201)
        client.reset()
        try pair.proxy.waitForDelivery(false)
        #expect(try pair.proxy.send(.post(), over: .http1TLS).isReplay)
        #expect(pair.service.executions == 1)
    }

    @Test("B26 tracked: a restart in between forgets neither a delivery nor a loss", arguments: [false, true])
    func restart(isLost: Bool) throws {
        let release = Latch()
        let pair = try pair(Self.undelivered, .resetWithin, release)
        if isLost {
            try lose(pair, .post(), .resetWithin, release)
        } else {
            release.open()
            expectAnswer(try pair.proxy.post())
        }
        try pair.proxy.waitForDelivery(!isLost)
        let proxy = try pair.proxy.crashAndRestart()
        #expect(try proxy.post().isReplay == isLost)
        #expect(pair.upstream.executions == (isLost ? 1 : 2))
    }

    @Test("B26 tracked, pipelined: answers that all arrived are all delivered")
    func pipelinedDelivered() throws {
        let pair = try Pair(Self.undelivered) { .answer(201, [], body: $0.path) }
        let client = try pair.proxy.client()
        for round in 1...2 {
            try client.send((0..<4).flatMap { Request.post("/\($0)").octets })
            for number in 0..<4 {
                let answer = try client.response()
                expectAnswer(answer)
                #expect(answer.text == "/\(number)")
            }
            #expect(pair.upstream.executions == 4 * round)
            try poll("all are delivered") {
                try pair.proxy.records().allSatisfy { $0["delivered"] as? Bool == true } ? true : nil
            }
        }
    }

    @Test(
        "B26 evidence of a retry in the request says more than a delivery; first attempts and nonsense say nothing",
        arguments: [
            ("amz-sdk-request", "attempt=2; max=3", true), ("Amz-Sdk-Request", "ttl=1; attempt=3", true),
            ("amz-sdk-request", "attempt=1; max=3", false), ("amz-sdk-request", "attempt=x", false),
            ("x-stainless-retry-count", "1", true), ("x-stainless-retry-count", "0", false),
            ("x-stainless-retry-count", "-1", false), ("x-stainless-retry-count", "1.5", false),
            ("grpc-previous-rpc-attempts", "1", true), ("grpc-previous-rpc-attempts", "0", false),
            ("grpc-previous-rpc-attempts", "many", false), ("x-envoy-attempt-count", "2", true),
            ("x-envoy-attempt-count", "1", false), ("x-envoy-attempt-count", "99999999999999999999", false),
            ("x-envoy-attempt-count", "", false),
        ])
    func evidence(name: String, value: String, isRetry: Bool) throws {
        let pair = try Pair(Self.undelivered)
        let client = try pair.proxy.client()
        expectAnswer(try client.exchange(.post()))
        let second = try client.exchange(.post().with(name, value))
        #expect(second.isReplay == isRetry)
        #expect(pair.upstream.executions == (isRetry ? 1 : 2))
    }
}
