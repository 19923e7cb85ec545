import Foundation
import TestSupport
import Testing

/// Time and windows of HTTP/2 clients: who is given up, and when.
@Suite(.blackBox) struct DownstreamStreamsTests {
    private struct Bench {
        let upstream: ScriptedUpstream
        let proxy: ProxyProcess

        init(
            _ idempotency: String = "", top: String = "", workers: Int = 1,
            script: @escaping ScriptedUpstream.Script = { _ in .answer() }
        ) throws {
            upstream = try ScriptedUpstream(script)
            var configuration = ProxyConfiguration(upstream, idempotency: idempotency)
            try configuration.listenEverywhere()
            configuration.top = top
            configuration.workers = workers
            proxy = try ProxyProcess(configuration)
        }
    }

    private static let chunkedHead = headOctets(200, [Field("Transfer-Encoding", "chunked")])

    /// Nothing changes within the time.
    private func expectPending<Value>(
        _ seconds: Double, _ work: (Deadline) throws -> Value, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(throws: DeadlinePassed.self, sourceLocation: sourceLocation) { _ = try work(.after(seconds)) }
    }

    // MARK: Readers

    @Test("a client that reads slowly, and reads, is served however long it takes")
    func slowReader() throws {
        let bench = try Bench(top: "response_write_idle 600ms;") { _ in
            .answer(200, body: [UInt8](repeating: 1, count: 400_000))
        }
        // The streams' windows are wide, the connection's is not.
        let client = try bench.proxy.http2(settings: ["initial_window_size": 1 << 20], acknowledges: false)
        let stream = try client.start(.get())
        var window = 65_535
        for _ in 0..<10 {
            #expect(try client.body(on: stream, atLeast: window).response?.body.count == window)
            expectPending(0.25) { try client.body(on: stream, atLeast: window + 1, until: $0) }
            try client.openWindow(by: 10_000)
            window += 10_000
        }
        try client.openWindow(by: 1 << 20)
        #expect(try client.response(on: stream).body.count == 400_000)
    }

    @Test(
        "a client that takes nothing is given up after response_write_idle, once and not twice",
        arguments: [true, false])
    func idleReader(isReplay: Bool) throws {
        let bench = try Bench(top: "response_write_idle 4s;") { _ in
            .answer(200, body: [UInt8](repeating: 1, count: 300_000))
        }
        if isReplay { _ = try bench.proxy.post(key: "K") }
        let client = try bench.proxy.http2(settings: ["initial_window_size": 0])
        let stream = try client.start(isReplay ? .post(key: "K") : .get())
        #expect(try client.head(on: stream).response?["idempotent-replayed"] == (isReplay ? "true" : nil))
        var ending: HTTP2Ending?
        let seconds = try elapsedSeconds { ending = try client.ending(of: stream) }
        #expect(ending?.resetCode == .cancel)
        #expect(seconds > 2 && seconds < 7.5, "\(seconds) s")
    }

    @Test("an answer whose end alone waits for the client's window does not wait for ever", arguments: [0, 5])
    func endBehindWindow(window: Int) throws {
        let latch = Latch()
        let bench = try Bench(top: "response_write_idle 500ms; keepalive_timeout 500ms;") { _ in
            Reply { exchange in
                try exchange.readBody()
                try exchange.send(Self.chunkedHead + (window == 0 ? [] : octets("5\r\nhello\r\n")))
                try latch.wait()
                try exchange.send("0\r\n\r\n")
            }
        }
        let client = try bench.proxy.http2(settings: ["initial_window_size": window], acknowledges: false)
        let stream = try client.start(.get())
        _ = try client.head(on: stream)
        if window > 0 { #expect(try client.body(on: stream, atLeast: window).response?.text == "hello") }
        latch.open()
        #expect(try client.ending(of: stream).resetCode == .cancel)
        // And the connection passes its idle time as any other.
        #expect(try !client.waitForClose().isConnectionOpen)
    }

    @Test("an answer before its request's end stays for a client whose window is shut")
    func earlyAnswerStays() throws {
        let bench = try Bench("on_missing_key reject;")
        let client = try bench.proxy.http2(settings: ["initial_window_size": 0])
        let stream = try client.open(Request.post().http2Fields.filter { $0.name != "content-length" }, end: false)
        #expect(try client.head(on: stream).response?.status == 400)
        try client.send([], on: stream, end: true)
        // Longer than the rest of a request is waited for.
        expectPending(2) { try client.ending(of: stream, until: $0) }
        try client.openWindow(of: stream, by: 10_000)
        expectProblem(try client.response(on: stream), "key-missing", status: 400)
    }

    @Test("after an error of the connection nothing is done for its streams any more")
    func connectionError() throws {
        let pair = try HTTP2Pair { _ in .never }
        let client = try pair.proxy.http2()
        _ = try client.start(.get("/a"))
        try pair.upstream.waitForAttempts(1)
        // WINDOW_UPDATE beyond 2^31 - 1 octets: RFC 9113 §6.9.1.
        try client.sendRaw([0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF])
        let ending = try client.waitForClose()
        #expect(ending.goAway?.code == HTTP2Code.flowControlError.rawValue)
        // The request has not changed anything, and nobody is to get its answer.
        try pair.upstream.waitForResets(1)
    }

    @Test("an event in the very moment in which the writing clock is looked at ends nothing", arguments: [false, true])
    func eventAtDeadline(isHTTP2: Bool) throws {
        let (latch, sent, seen) = (Latch(), Latch(), Latch())
        // The clock's second round at the earliest: in its first one the head has left.
        let bench = try Bench(top: "response_write_idle 1s;") { _ in
            Reply { exchange in
                try exchange.readBody()
                try exchange.send(Self.chunkedHead + octets("3\r\none\r\n"))
                try latch.wait()
                try exchange.send("3\r\ntwo\r\n")
                sent.open()
                try seen.wait()
                try exchange.send("0\r\n\r\n")
            }
        }
        /// The deadline passes and the event arrives while the proxy stands still: it finds both at once.
        func stop(_ silence: () throws -> Void) throws {
            try bench.proxy.stop()
            latch.open()
            try sent.wait()
            try silence()
            bench.proxy.kill(SIGCONT)
        }
        if isHTTP2 {
            let client = try bench.proxy.http2()
            let stream = try client.start(.get())
            #expect(try client.body(on: stream, atLeast: 3).response?.text == "one")
            expectPending(1.2) { try client.body(on: stream, atLeast: 4, until: $0) }
            try stop { expectPending(1.5) { try client.body(on: stream, atLeast: 4, until: $0) } }
            #expect(try client.body(on: stream, atLeast: 6).response?.text == "onetwo")
            seen.open()
            #expect(try client.response(on: stream).text == "onetwo")
        } else {
            let client = try bench.proxy.client()
            try client.send(.get())
            #expect(try client.head().status == 200)
            #expect(try client.chunk() == octets("one"))
            #expect(client.isSilent(for: 1.2))
            try stop { #expect(client.isSilent(for: 1.5)) }
            #expect(try client.chunk() == octets("two"))
            seen.open()
            #expect(try client.chunk() == [])
        }
    }

    @Test("a connection to the service that was paused for a slow client's last octets serves the next request")
    func pooledAfterPause() throws {
        let bench = try Bench { request in
            guard request.path == "/large" else { return .answer() }
            // The last octets fill the queue towards the client; with them comes the answer's end.
            let body = [UInt8](repeating: 1, count: 131_172)
            return Reply { exchange in
                try exchange.readBody()
                try exchange.send(headOctets(200, [Field("Content-Length", "\(body.count)")]) + body[..<131_000])
                try exchange.send(Array(body[131_000...]))
            }
        }
        let client = try bench.proxy.http2(settings: ["initial_window_size": 0])
        let stream = try client.start(.get("/large"))
        _ = try client.head(on: stream)
        try poll("the exchange ends") {
            try bench.proxy.metric("oncegate_http_requests_in_flight") == 0 ? true : nil
        }
        expectAnswer(try bench.proxy.post(key: "K"))
        #expect(bench.upstream.connectionCount == 1)
        try client.openWindow(of: stream, by: 1 << 20)
        try client.grantWindow()
        #expect(try client.response(on: stream).body.count == 131_172)
    }

    // MARK: Writers

    @Test("a call with messages both ways outlives request_body_idle while its client listens")
    func listeningCaller() throws {
        let latch = Latch()
        let pair = try HTTP2Pair(configure: { $0.top = "request_body_idle 300ms;" }) { _ in
            HTTP2Reply(.head(200), .data(octets("one ")), .wait(latch), .read, .data(octets("two"), end: true))
        }
        let client = try pair.proxy.http2()
        let stream = try client.open(Request("POST", "/").http2Fields, end: false)
        #expect(try client.body(on: stream, atLeast: 4).response?.text == "one ")
        try client.send(octets("x"), on: stream, end: false)
        expectPending(1.2) { try client.ending(of: stream, until: $0) }
        latch.open()
        try client.send(octets("y"), on: stream, end: true)
        #expect(try client.response(on: stream).text == "one two")
        #expect(text(try pair.upstream.request(0).body) == "xy")
    }

    @Test("a POST without content over HTTP/2 says so to a service over HTTP/1.1 (RFC 9110 §8.6)")
    func noContent() throws {
        let bench = try Bench()
        let client = try bench.proxy.http2()
        let methods = ["POST", "PUT", "PATCH", "GET", "DELETE"]
        for (index, method) in methods.enumerated() {
            for key in [nil, "K\(index)"] {
                _ = try client.send(Request(method, "/", key.map { [Field("idempotency-key", $0)] } ?? []))
            }
        }
        #expect(bench.upstream.requests.map(\.method) == methods.flatMap { [$0, $0] })
        for request in bench.upstream.requests {
            let expected = ["POST", "PUT", "PATCH"].contains(request.method) ? ["0"] : []
            #expect(request.fields[all: "Content-Length"] == expected, "\(request.method)")
            #expect(request.fields[all: "Transfer-Encoding"].isEmpty)
        }
    }

    // MARK: The end

    @Test("a request behind the first GOAWAY does not put off the second one")
    func requestBehindGoAway() throws {
        let latch = Latch()
        let pair = try ProtocolPair { _ in PlainAnswer(latch: latch) }
        let client = try pair.proxy.http2()
        let early = try client.start(.post("/early", key: "E"))
        try pair.service.waitForExecutions(1)
        pair.proxy.kill(SIGTERM)
        #expect(try client.waitForGoAway().goAway?.last == 0x7FFF_FFFF)
        let late = try client.start(.post("/late", key: "L"))
        try pair.service.waitForExecutions(2)
        // Both are still held.
        #expect(try client.waitForGoAway(last: 1000).goAway?.last == late)
        latch.open()
        expectAnswer(try client.response(on: early))
        expectAnswer(try client.response(on: late))
        #expect(try pair.proxy.waitForExit() == .exit(0))
    }

    @Test("B26 an answer to a client that has sent its own GOAWAY is delivered all the same")
    func deliveredAfterGoAway() throws {
        let latch = Latch()
        let undelivered = "on_missing_key hash; hash { body raw; window 1h; replay undelivered; }"
        let bench = try Bench(undelivered) { _ in .held(latch) }
        let client = try bench.proxy.http2()
        let stream = try client.start(.post())
        try bench.upstream.waitForExecutions(1)
        // GOAWAY, last stream 0, NO_ERROR: a client's names streams of the server's.
        try client.sendRaw([0, 0, 8, 7, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8))
        try client.ping()
        latch.open()
        expectAnswer(try client.response(on: stream))
        // Its octets carry the acknowledgement of the answer's, which TCP may put off.
        try client.ping()
        expectAnswer(try bench.proxy.send(.post(), over: .h2c))
        #expect(bench.upstream.executions == 2)
    }

    @Test("the excess on a listener with TLS is closed without an octet: nothing can be said before a handshake")
    func excessWithTLS() throws {
        let bench = try Bench(top: "max_connections 1;")
        let client = try bench.proxy.client()
        expectAnswer(try client.exchange(.get()))
        #expect(try RawClient(bench.proxy.secure).isClosed())
        #expect(text(try RawClient(bench.proxy.clear).rest()).hasPrefix("HTTP/1.1 503"))
        expectAnswer(try client.exchange(.get()))
    }
}
