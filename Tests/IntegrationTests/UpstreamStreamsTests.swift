import Foundation
import TestSupport
import Testing

/// Streams to HTTP/2 services whose turns are rare: slow clients, early answers, connections that go away meanwhile.
@Suite(.blackBox) struct UpstreamStreamsTests {
    /// More than a client with the least window and the proxy's queue for it hold: the stream is paused behind it.
    private static let pausing = 196_700
    private static let tail = 1000

    /// A large answer whose last octets come when its stream is paused for a slow client.
    private func pausedAnswer(reads: Bool, then steps: [HTTP2Reply.Step], _ reached: Latch) -> HTTP2Reply {
        let head = HTTP2Reply.Step.head(200, [Field("content-length", "\(Self.pausing + Self.tail)")])
        let body = [UInt8](repeating: 8, count: Self.pausing)
        return HTTP2Reply(reads ? [.read] : [])
            .then(HTTP2Reply(head, .data(body), .ping, .data(Array(body[..<Self.tail]), end: true)))
            .then(HTTP2Reply(steps + [.ping, .reach(reached)]))
    }

    @Test("an answer that waits for a slow client outlives its connection, and is recorded", arguments: [true, false])
    func pausedOutlivesConnection(goesAway: Bool) throws {
        let reached = Latch()
        let pair = try HTTP2Pair { _ in pausedAnswer(reads: true, then: [], reached) }
        let client = try pair.proxy.http2(acknowledges: false)
        let stream = try client.start(.post(key: "K"))
        try reached.wait()
        if goesAway { try pair.upstream.goAway(last: 0x7FFF_FFFF) } else { try pair.upstream.dropConnections() }
        try pair.upstream.waitForLostConnections(1)
        try client.grantWindow()
        let first = try client.response(on: stream)
        #expect(first.body.count == Self.pausing + Self.tail)
        expectReplayAcross(try pair.proxy.post(key: "K"), of: first)
        #expect(pair.upstream.executions == 1)
    }

    @Test("RST_STREAM NO_ERROR behind a whole answer that waits for a slow client takes nothing of it back")
    func resetBehindPaused() throws {
        let reached = Latch()
        let pair = try HTTP2Pair(acknowledges: false) { _ in
            pausedAnswer(reads: false, then: [.rst(.noError)], reached)
        }
        let client = try pair.proxy.http2(acknowledges: false)
        let request = Request.post(key: "K", body: String(repeating: "b", count: 200_000))
        let stream = try client.start(request)
        try reached.wait()
        try client.grantWindow()
        let first = try client.response(on: stream)
        #expect(first.body.count == Self.pausing + Self.tail)
        expectReplayAcross(try pair.proxy.send(request, over: .h2c), of: first)
        #expect(pair.upstream.attempts == 1)
    }

    @Test("a service that answers and neither takes nor resets the request is told that the rest is not sent")
    func earlyAnswerWithoutReset() throws {
        let pair = try HTTP2Pair(acknowledges: false) { _ in
            HTTP2Reply(.head(413, [Field("content-length", "3")]), .data(octets("big"), end: true))
        }
        let answer = try pair.proxy.post(key: "K", body: String(repeating: "b", count: 200_000))
        #expect(answer.text == "big")
        try pair.upstream.waitForResets(1)
    }

    @Test("of a request whose end alone waits for a window nothing is left when it is answered")
    func endWithoutWindow() throws {
        let latch = Latch()
        let pair = try HTTP2Pair(acknowledges: false) { _ in
            HTTP2Reply(.read(atLeast: 65_535), .wait(latch)).then(
                HTTP2Reply(.head(200, [Field("content-length", "2")]), .data(octets("ok"), end: true)))
        }
        let client = try pair.proxy.http2()
        let stream = try client.open(Request.post().http2Fields.filter { $0.name != "content-length" }, end: false)
        try client.send([UInt8](repeating: 7, count: 65_535), on: stream, end: false)
        try client.send([], on: stream, end: true)
        try client.ping()
        latch.open()
        #expect(try client.response(on: stream).text == "ok")
        try pair.upstream.waitForResets(1)
    }

    @Test("B41 a shared connection whose end the kernel knows gets no POST", arguments: [false, true])
    func deadSharedConnection(tls: Bool) throws {
        let (begun, latch) = (Latch(), Latch())
        let pair = try HTTP2Pair(tls: tls, configure: { $0.workers = 1 }) { request in
            request.path == "/held"
                ? HTTP2Reply(.read, .reach(begun), .wait(latch), tls ? .truncate : .close) : .answer()
        }
        let held = Running { try pair.proxy.send(.get("/held")) }
        try begun.wait()
        let client = try pair.proxy.client()
        expectAnswer(try client.exchange(.post(key: "A")))
        // The POST first, then the end: both are in the kernel when the proxy next looks.
        try pair.proxy.stop()
        try client.send(.post(key: "B"))
        latch.open()
        let port = pair.upstream.serverURL.split(separator: ":").last.flatMap { Int($0) }
        try poll("the service's FIN") { try KernelSockets.count(.closeWait, remotePort: port) > 0 ? true : nil }
        pair.proxy.kill(SIGCONT)
        expectAnswer(try client.response())
        #expect(try held.join().status == 502)
        #expect(pair.upstream.requests.map(\.connection) == [1, 1, 2])
    }

    @Test("twenty clients that read nothing do not hold up others on the same connection")
    func stalledReaders() throws {
        let piece = [UInt8](repeating: 5, count: 65536)
        let pair = try HTTP2Pair(configure: { $0.workers = 1 }) { request in
            .huge(request.path == "/slow" ? 1_000_000 : 200_000, piece: piece)
        }
        let slow = try pair.proxy.http2(settings: ["initial_window_size": 0])
        for _ in 0..<20 { _ = try slow.start(.get("/slow")) }
        try pair.upstream.waitForStalledStreams(20)
        #expect(try pair.proxy.post("/other", key: "K").body.count == 200_000)
        #expect(pair.upstream.connectionCount == 1)
    }

    @Test("the last octet of an answer is held while its end may come in a frame of its own", arguments: ["hello", ""])
    func endInItsOwnFrame(body: String) throws {
        let reached = Latch()
        let pair = try HTTP2Pair { _ in
            let head = HTTP2Reply.Step.head(200, [Field("content-length", "\(body.utf8.count)")])
            return HTTP2Reply([.read, head] + (body.isEmpty ? [] : [.data(octets(body))]))
                .then(HTTP2Reply(.ping, .reach(reached), .never))
        }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        try reached.wait()
        try pair.proxy.crash()
        // Nothing is durable: who has the whole answer would be told later that its outcome is not known.
        let rest = text(try client.rest())
        #expect(body.isEmpty ? rest.isEmpty : !rest.hasSuffix(body), "\(rest)")
        expectProblem(try pair.proxy.restarted().post(key: "K"), "outcome-unknown", status: 409)
    }

    @Test("a silent connection that let a request time out gets no further one")
    func silentConnection() throws {
        let pair = try HTTP2Pair(configure: { configuration in
            configuration.workers = 1
            configuration.top = "response_header_timeout 300ms;"
        }) { $0.path == "/lost" ? .never : .answer() }
        expectAnswer(try pair.proxy.post("/a", key: "A"))
        expectProblem(try pair.proxy.post("/lost", key: "L"), "upstream-timed-out", status: 504)
        expectAnswer(try pair.proxy.post("/b", key: "B"))
        #expect(pair.upstream.requests.map(\.connection) == [1, 1, 2])
    }

    @Test("REFUSED_STREAM while a timeout is being stored: nothing is sent again, and the proxy stands")
    func refusedWhileStoring() throws {
        let (latch, timedOut) = (Latch(), Latch())
        let pair = try HTTP2Pair(configure: { configuration in
            // It takes effect from four open claims on.
            configuration.store = "store embedded { path $STORE; commit_delay 1000ms; }"
            configuration.more = "route /brief { upstream service; response_header_timeout 200ms; idempotency { } }"
        }) { request in
            guard request.path == "/brief" else { return .held(latch) }
            return request.ordinal == 1 ? HTTP2Reply(.wait(timedOut), .rst(.refusedStream)) : .answer()
        }
        let held = (0..<5).map { index in Running { try pair.proxy.post("/held", key: "H\(index)") } }
        try pair.upstream.waitForExecutions(5)
        let brief = Running { try pair.proxy.post("/brief", key: "B") }
        try poll("the answer is late") { try pair.proxy.metric("oncegate_upstream_errors_total") ?? 0 > 0 ? true : nil }
        timedOut.open()
        #expect(try brief.join().status == 504)
        latch.open()
        for each in held { expectAnswer(try each.join()) }
        #expect(pair.upstream.requests.count { $0.path == "/brief" } == 1)
        expectAnswer(try pair.proxy.post("/after", key: "A"))
    }

    @Test(
        "a gRPC call that turns out to stream, with much of it collected and a service that is slow to take it",
        arguments: [240_000, 300_000])
    func collectedStreamingCall(size: Int) throws {
        // In memory and in the spool; both more than a queue and a window take at once.
        let (taken, all) = (Latch(), Latch())
        let whole = size + 100 + 30_000 + 3 * 5
        let pair = try HTTP2Pair(acknowledges: false) { _ in
            HTTP2Reply(.read(atLeast: 65_535), .reach(taken), .read(atLeast: whole), .reach(all)).then(.answer(200))
        }
        let message = { (count: Int) in
            [0] + withUnsafeBytes(of: UInt32(count).bigEndian, Array.init) + [UInt8](repeating: 7, count: count)
        }
        let client = try pair.proxy.http2()
        let call = Request(
            "POST", "/p.S/M", [Field("content-type", "application/grpc"), Field("idempotency-key", "K")])
        let stream = try client.open(call.http2Fields, end: false)
        try client.send(message(size) + message(100), on: stream, end: false)
        try taken.wait()
        try client.send(message(30_000), on: stream, end: false)
        try client.ping()
        try pair.upstream.grantWindow()
        try all.wait()
        // What was collected is the service's, and no longer the budget's, however long the call goes on.
        #expect(try pair.proxy.metric("oncegate_body_memory_bytes") == 0)
        try client.send([], on: stream, end: true)
        expectAnswer(try client.response(on: stream), status: 200)
        #expect(try pair.upstream.request(0).body.count == whole)
        #expect(try pair.proxy.records().isEmpty)
    }

    @Test("requests that wait for the SETTINGS of what turns out to be no HTTP/2 server are all answered")
    func noSettings() throws {
        let latch = Latch()
        let greeting = ScriptedUpstream.Receptions { _ in
            try? latch.wait()
            return .greet(octets("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
        }
        let upstream = try ScriptedUpstream(reception: greeting)
        var configuration = ProxyConfiguration()
        configuration.workers = 1
        try configuration.serve("h2c://\(upstream.address)")
        configuration.route = "idempotency { }"
        let proxy = try ProxyProcess(configuration)
        let requests = (0..<5).map { index in Running { try proxy.post("/\(index)", key: "K\(index)") } }
        try poll("five requests wait") { try proxy.metric("oncegate_http_requests_in_flight") == 5 ? true : nil }
        latch.open()
        for request in requests { #expect(try request.join().status == 502) }
        #expect(try proxy.records("?state=in_flight").isEmpty)
    }

    @Test("octets that wait encrypted behind a slow service do not hide that a request was sent")
    func sentBehindBacklog() throws {
        let pair = try HTTP2Pair(tls: true, settings: ["initial_window_size": 1 << 30], configure: { $0.workers = 1 }) {
            $0.path == "/executed" ? .resetAfterRequest() : .answer()
        }
        expectAnswer(try pair.proxy.post("/first", key: "F"))
        try pair.upstream.pauseReading()
        let client = try pair.proxy.http2()
        let upload = try client.open(Request("POST", "/upload").http2Fields, end: false)
        let sending = Running { try client.send([UInt8](repeating: 1, count: 60_000_000), on: upload, end: false) }
        var before = -1
        // Until nothing more is taken: windows come no more.
        try poll("the service's kernel is full", until: .after(60)) {
            let now = try client.state().octets
            defer { before = now }
            return now == before && now > 100 && (try? sending.join(until: .after(0.2))) == nil ? true : nil
        }
        // Nothing else of this connection may follow the request.
        try client.reset(upload)
        try client.ping()
        let request = Running { try pair.proxy.post("/executed", key: "K") }
        try poll("the request is on its way") { try pair.proxy.records("?state=in_flight").isEmpty ? nil : true }
        try pair.upstream.resumeReading()
        expectProblem(try request.join(), "upstream-broken", status: 502)
        expectProblem(try pair.proxy.post("/executed", key: "K"), "outcome-unknown", status: 409)
        #expect(pair.upstream.executions(of: "/executed") == 1)
    }
}
