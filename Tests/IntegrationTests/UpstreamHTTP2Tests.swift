import Foundation
import TestSupport
import Testing

/// HTTP/2 towards services: multiplexing, what "not sent" means (RFC 9113 §6.8, §8.7), and broken answers.
@Suite(.blackBox) struct UpstreamHTTP2Tests {
    @Test("fifty requests at once share a few connections", arguments: [false, true])
    func multiplexes(tls: Bool) throws {
        let latch = Latch()
        let pair = try HTTP2Pair(tls: tls) { _ in .held(latch) }
        let clients = try (0..<50).map { index in
            let client = try pair.proxy.client()
            try client.send(.post("/\(index)", key: "K\(index)"))
            return client
        }
        try pair.upstream.waitForExecutions(50)
        latch.open()
        for client in clients { expectAnswer(try client.response()) }
        // Two workers; a third connection may have been opened while the first had not come up.
        #expect(pair.upstream.connectionCount <= 4)
        #expect(pair.upstream.failures.isEmpty, "\(pair.upstream.failures)")
    }

    @Test("no connection carries more streams than the service allows, or max_streams", arguments: [true, false])
    func streamLimit(ofService: Bool) throws {
        let latch = Latch()
        let pair = try HTTP2Pair(
            settings: ofService ? ["max_concurrent_streams": 2] : [:],
            configure: { configuration in
                configuration.workers = 1
                if !ofService { configuration.upstream += " max_streams 2;" }
            },
            script: { _ in .held(latch) })
        // The first request tells the proxy what the service allows.
        let first = Running { try pair.proxy.post("/first", key: "K") }
        try pair.upstream.waitForExecutions(1)
        let others = (0..<12).map { index in Running { try pair.proxy.post("/\(index)", key: "K\(index)") } }
        try pair.upstream.waitForExecutions(4)
        var busy: [Int: Int] = [:]
        for request in pair.upstream.requests { busy[request.connection, default: 0] += 1 }
        latch.open()
        expectAnswer(try first.join())
        let answers = try others.map { try $0.join() }
        #expect(answers.allSatisfy { $0.status == 201 }, "\(answers.map(\.status))")
        #expect(busy.values.allSatisfy { $0 <= 2 }, "\(busy)")
        #expect(pair.upstream.executions == 13)
        #expect(pair.upstream.failures.isEmpty, "\(pair.upstream.failures)")
        if !ofService { #expect(pair.upstream.refusedStreamCount == 0) }
    }

    @Test("B41 H8 REFUSED_STREAM: the service did nothing; the attempt runs again, at once or by the retry")
    func refusedStream() throws {
        let pair = try HTTP2Pair { $0.ordinal == 1 ? .refused() : .answer() }
        try expectRunsAgain(pair)
    }

    @Test("B41 H8 GOAWAY with a last id below ours: as REFUSED_STREAM")
    func goAwayBelow() throws {
        let pair = try HTTP2Pair { $0.ordinal == 1 ? .goAwayBelow : .answer() }
        try expectRunsAgain(pair)
    }

    @Test("B41 always REFUSED_STREAM: 502 not-sent in the end, and the key is free")
    func alwaysRefused() throws {
        let state = Monitored(true)
        let pair = try HTTP2Pair { _ in state.with { $0 } ? .refused() : .answer() }
        expectProblem(try pair.proxy.post(key: "K"), "not-sent", status: 502)
        #expect(pair.upstream.executions == 0)
        state.with { $0 = false }
        let first = try pair.proxy.post(key: "K")
        expectAnswer(first)
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        #expect(pair.upstream.executions == 1)
    }

    @Test(
        "P1 REFUSED_STREAM after the answer has begun: the service took the request, so nothing is released",
        arguments: [201, 103])
    func refusedTooLate(begun status: Int) throws {
        let pair = try HTTP2Pair { _ in HTTP2Reply(.read, .head(status), .rst(.refusedStream)) }
        // Who was given the head of the answer before the reset came is cut off.
        if let answer = try? pair.proxy.post(key: "K") { expectProblem(answer, "upstream-broken", status: 502) }
        expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(pair.upstream.attempts == 1)
    }

    private func expectRunsAgain(_ pair: HTTP2Pair, sourceLocation: SourceLocation = #_sourceLocation) throws {
        var first = try pair.proxy.post(key: "K")
        if first.status != 201 {
            expectProblem(first, "not-sent", status: 502, sourceLocation: sourceLocation)
            first = try pair.proxy.post(key: "K")
        }
        expectAnswer(first, sourceLocation: sourceLocation)
        expectReplay(try pair.proxy.post(key: "K"), of: first, sourceLocation: sourceLocation)
        #expect(pair.upstream.executions == 1, sourceLocation: sourceLocation)
        #expect(pair.upstream.attempts == 2, sourceLocation: sourceLocation)
    }

    @Test("H8 GOAWAY with a last id at ours: the stream finishes, the next request takes a new connection")
    func goAwayAt() throws {
        let pair = try HTTP2Pair { request in
            request.ordinal == 1
                ? HTTP2Reply(.read, .goAway(offset: 0, .noError)).then(.answer(body: octets("first"))) : .answer()
        }
        #expect(try pair.proxy.post(key: "K").text == "first")
        expectAnswer(try pair.proxy.post(key: "L"))
        #expect(pair.upstream.executions == 2)
        #expect(pair.upstream.connectionCount >= 2)
    }

    @Test("two streams, GOAWAY between them: the lower one is answered, the higher one runs again")
    func goAwayBetween() throws {
        let latch = Latch()
        let pair = try HTTP2Pair { request in
            switch (request.path, request.ordinal) {
            case ("/low", _): .held(latch)
            case ("/high", 1): .goAwayBelow
            default: .answer()
            }
        }
        let client = try pair.proxy.http2()
        let low = try client.start(.post("/low", key: "L"))
        try pair.upstream.waitForExecutions(1)
        var high = try client.post("/high", key: "H")
        if high.status == 502 { high = try client.post("/high", key: "H") }
        expectAnswer(high)
        latch.open()
        expectAnswer(try client.response(on: low))
        #expect(pair.upstream.executions(of: "/high") == 1)
        #expect(pair.upstream.executions(of: "/low") == 1)
    }

    @Test(
        "B42 H2 H8 broken after the request was sent: nothing complete is recorded, the outcome is unknown",
        arguments: ["reset", "cancel", "after-head", "mid-body", "lost", "away", "http11"])
    func broken(how: String) throws {
        let pair = try HTTP2Pair { _ in
            let head = HTTP2Reply.Step.head(200, [Field("content-length", "10")])
            return switch how {
            case "reset": .resetAfterRequest()
            case "cancel": .resetAfterRequest(.cancel)
            case "after-head": HTTP2Reply(.read, head, .rst(.internalError))
            case "mid-body": HTTP2Reply(.read, head, .data([1, 2]), .rst(.internalError))
            case "away": HTTP2Reply(.read, .goAway(offset: 0, .internalError), .close)
            case "http11": .resetAfterRequest(.http11Required)
            default: HTTP2Reply(.read, .reset)
            }
        }
        if how == "after-head" || how == "mid-body" {
            let client = try pair.proxy.http2()
            let ending = try client.ending(of: client.start(.post(key: "K")))
            #expect(!ending.isComplete || ending.response?.status == 502, "\(ending)")
        } else {
            expectProblem(try pair.proxy.post(key: "K"), "upstream-broken", status: 502)
        }
        for wire in [Wire.http1, .h2c] {
            expectProblem(try pair.proxy.send(.post(key: "K"), over: wire), "outcome-unknown", status: 409)
        }
        #expect(pair.upstream.executions == 1)
    }

    @Test("B43 fewer octets than content-length, END_STREAM: as broken")
    func shortBody() throws {
        let pair = try HTTP2Pair { _ in
            HTTP2Reply(.read, .head(200, [Field("content-length", "10")]), .data([1, 2], end: true))
        }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        // The head may have gone on; the body then never becomes whole.
        let answer = try? client.response()
        #expect(answer == nil || answer?.status == 502, "\(String(describing: answer))")
        expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(pair.upstream.executions == 1)
    }

    @Test(
        "malformed answers: 502, never passed on, never recorded (RFC 9113 §8.2, §8.3)",
        arguments: [
            [Field("X-Upper", "1")], [Field("connection", "close")], [Field("transfer-encoding", "chunked")],
            [Field("x", "a\nb")], [Field("x", "a\rb")], [Field("x", "a\0b")], [Field("x y", "1")], [Field("", "1")],
            [Field(":unknown", "1")], [Field(":status", "200")], [Field("content-length", "-1")],
            [Field("content-length", "2"), Field("content-length", "3")],
        ])
    func malformedAnswers(fields: [Field]) throws {
        let pair = try HTTP2Pair { _ in HTTP2Reply(.read, .head(200, fields), .data(octets("ok"), end: true)) }
        let answer = try pair.proxy.post(key: "K")
        #expect(answer.status == 502, "\(answer)")
        expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B39 B40 no answer in time: 504, unknown; a late one is captured")
    func lateAnswer() throws {
        let latch = Latch()
        let pair = try HTTP2Pair(configure: { $0.top = "response_header_timeout 300ms;" }) { _ in
            .held(latch, then: .answer(body: octets("late")))
        }
        expectProblem(try pair.proxy.post(key: "K"), "upstream-timed-out", status: 504)
        expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409)
        latch.open()
        let late = try poll("the late answer") { () -> Response? in
            let response = try pair.proxy.post(key: "K")
            return response.status == 409 ? nil : response
        }
        #expect(late.isReplay)
        #expect(late.text == "late")
        #expect(pair.upstream.executions == 1)
    }

    @Test(
        "B44 B22 the client goes away after its request was sent: the attempt completes and is recorded",
        arguments: Wire.allCases)
    func clientGone(wire: Wire) throws {
        let latch = Latch()
        let pair = try HTTP2Pair { _ in .held(latch) }
        if wire.isHTTP2 {
            let client = try pair.proxy.http2(secure: wire == .http2)
            _ = try client.start(.post(key: "K"))
            try pair.upstream.waitForExecutions(1)
            try client.abort()
        } else {
            let address =
                wire == .http1 ? pair.proxy.clear : try TLSRelay(to: pair.proxy.secure, .client(alpn: [])).address
            let client = try RawClient(address)
            try client.send(.post(key: "K"))
            try pair.upstream.waitForExecutions(1)
            client.reset()
        }
        latch.open()
        let again = try pair.proxy.post(key: "K")
        #expect(again.isReplay || again.status == 201)
        #expect(pair.upstream.executions == 1)
        #expect(pair.upstream.resetCodes.isEmpty)
    }

    @Test("an uncovered request whose client goes away is cancelled with RST_STREAM, its neighbours go on")
    func uncoveredCancelled() throws {
        let latch = Latch()
        let pair = try HTTP2Pair { $0.path == "/kept" ? .held(latch) : .never }
        let client = try pair.proxy.http2()
        let gone = try client.start(.get("/gone"))
        let kept = try client.start(.get("/kept"))
        try pair.upstream.waitForExecutions(2)
        try client.reset(gone)
        try pair.upstream.waitForResets(1)
        latch.open()
        #expect(try client.response(on: kept).status == 201)
    }

    @Test("a service that gives no window back: the body waits in bounded memory, and goes on when there is one")
    func starvedRequest() throws {
        let pair = try HTTP2Pair(acknowledges: false)
        let body = String(repeating: "b", count: 400_000)
        let client = try pair.proxy.http2()
        let sending = Running { try client.send(.post("/", key: "K", body: body)) }
        try pair.upstream.waitForAttempts(1)
        // Neither the client nor others on the same connection upstream are held up by more than the window.
        #expect(!sending.isFinished)
        try pair.upstream.grantWindow()
        expectAnswer(try sending.join())
        #expect(try pair.upstream.request(0).body.count == 400_000)
    }

    @Test("twenty megabytes from the service at a client's own pace: memory stays bounded")
    func slowClient() throws {
        let piece = [UInt8](repeating: 5, count: 65536)
        let pair = try HTTP2Pair { $0.path == "/small" ? .answer() : .huge(20_000_000, piece: piece) }
        let slow = try pair.proxy.http2(acknowledges: false)
        let streams = try (0..<8).map { try slow.start(.get("/\($0)")) }
        for stream in streams { _ = try slow.head(on: stream) }
        // Another request on the same connections is not held up.
        for index in 0..<4 { expectAnswer(try pair.proxy.post("/small", key: "K\(index)")) }
        #expect(try pair.proxy.memoryKiB("VmHWM") < 120_000)
        try slow.grantWindow()
        for stream in streams { #expect(try slow.response(on: stream, until: .after(60)).body.count == 20_000_000) }
    }

    @Test("padded DATA is counted with its padding: thousands of frames do not use up the window (B10)")
    func padded() throws {
        let steps =
            [HTTP2Reply.Step.read, .head(200)]
            + (0..<3000).map { _ in .padded([UInt8](repeating: 1, count: 100), by: 200) }
        // One connection with a window of 128 KiB, of which all the padding is five times as much.
        let pair = try HTTP2Pair(
            configure: { configuration in
                configuration.workers = 1
                configuration.upstream += " max_streams 2;"
            },
            script: { _ in HTTP2Reply(steps + [.data([], end: true)]) })
        for index in 0..<2 { #expect(try pair.proxy.send(.get("/\(index)")).body.count == 300_000) }
        #expect(pair.upstream.connectionCount == 1)
        #expect(pair.upstream.failures.isEmpty, "\(pair.upstream.failures)")
    }

    @Test("interim answers of an HTTP/2 service reach the client", arguments: Wire.allCases)
    func interim(wire: Wire) throws {
        let pair = try HTTP2Pair { _ in .interim(103, [Field("link", "</a>")]) }
        let response = try pair.proxy.send(.post(key: "K"), over: wire)
        #expect(response.interim.map(\.status) == [103])
        #expect(response.interim.first?["link"] == "</a>")
        #expect(try pair.proxy.send(.post(key: "K"), over: wire).interim.isEmpty)
    }

    @Test("an answer before the body is read, RST_STREAM NO_ERROR after it: the answer counts (RFC 9113 §8.1)")
    func earlyAnswer() throws {
        let pair = try HTTP2Pair(acknowledges: false) { _ in
            HTTP2Reply(.head(413, [Field("content-length", "3")]), .data(octets("big"), end: true), .rst(.noError))
        }
        let response = try pair.proxy.send(.post("/", body: String(repeating: "x", count: 300_000)))
        #expect(response.status == 413)
        #expect(response.text == "big")
    }

    @Test("an idle connection that the service closed is not used again; a request finds another")
    func idleClosed() throws {
        let pair = try HTTP2Pair()
        expectAnswer(try pair.proxy.post(key: "A"))
        try pair.upstream.dropConnections()
        try pair.upstream.waitForLostConnections(1)
        expectAnswer(try pair.proxy.post(key: "B"))
        try pair.upstream.goAway(last: 0x7FFF_FFFF)
        expectAnswer(try pair.proxy.post(key: "C"))
        #expect(pair.upstream.executions == 3)
    }

    @Test("B41 nothing listens: not-sent, and the key is free")
    func refusedConnection() throws {
        let reserved = try TestListener(at: .ipv4(port: 0))
        var configuration = ProxyConfiguration()
        try configuration.serve("h2c://\(reserved.address)")
        configuration.route = "idempotency { }"
        let proxy = try ProxyProcess(configuration)
        for _ in 0..<2 { expectProblem(try proxy.post(key: "K"), "not-sent", status: 502) }
    }

    @Test("a service that speaks no HTTP/2 on an h2c server: 502")
    func notHTTP2() throws {
        let upstream = try ScriptedUpstream(reception: .init { _ in .greet(octets("HTTP/1.1 400 Bad\r\n\r\n")) })
        var configuration = ProxyConfiguration()
        try configuration.serve("h2c://\(upstream.address)")
        configuration.route = "idempotency { }"
        let proxy = try ProxyProcess(configuration)
        #expect(try proxy.post(key: "K").status == 502)
        #expect(upstream.requests.allSatisfy { $0.method == "PRI" })
    }

    @Test("h2c over a UNIX socket")
    func unixSocket() throws {
        let path = try TestScope.current!.newDirectory() + "/service"
        let upstream = try HTTP2Upstream(path: path)
        var configuration = ProxyConfiguration()
        try configuration.serve(upstream.serverURL)
        configuration.route = "idempotency { }"
        let proxy = try ProxyProcess(configuration)
        let first = try proxy.post(key: "K")
        expectReplay(try proxy.post(key: "K"), of: first)
        #expect(upstream.executions == 1)
    }

    @Test("nginx and nghttpx as services, over TLS with h2 and HTTP/1.1, and over h2c")
    func realServices() throws {
        let upstream = try ScriptedUpstream { .answer(201, [], body: octets($0.target)) }
        let servers: [(url: String, version: String?, server: RealServer)] = try [
            (RealServer.nginx(listen: "ssl http2", certificate: .service, to: upstream.address), "https", "HTTP/2.0"),
            (RealServer.nginx(listen: "ssl", certificate: .service, to: upstream.address), "https", "HTTP/1.1"),
            (RealServer.nginx(listen: "http2", to: upstream.address), "h2c", "HTTP/2.0"),
            (RealServer.nghttpx(certificate: .service, to: upstream.address), "https", nil),
            (RealServer.nghttpx(to: upstream.address), "h2c", nil),
        ].map { ($0.0.url($0.1), $0.2, $0.0) }
        for (index, server) in servers.enumerated() {
            var configuration = ProxyConfiguration()
            try configuration.serve(server.url)
            configuration.route = "idempotency { }"
            let proxy = try ProxyProcess(configuration)
            for path in ["/a?b=c", "/second"] {
                let first = try proxy.post(path, key: "K\(index)\(path)")
                expectAnswer(first)
                #expect(first.text == path)
                expectReplay(try proxy.post(path, key: "K\(index)\(path)"), of: first)
            }
            if let version = server.version {
                let lines = try server.server.waitForAccessLog(2)
                #expect(lines.allSatisfy { $0.contains(version) }, "\(lines)")
            }
        }
        #expect(upstream.executions == 10)
    }
}
