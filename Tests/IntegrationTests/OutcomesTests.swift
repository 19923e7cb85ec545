import Foundation
import TestSupport
import Testing

@Suite(.blackBox) struct OutcomesTests {
    @Test(
        "B36 these statuses are recorded by default",
        arguments: [
            200, 201, 202, 203, 206, 300, 301, 302, 307, 400, 402, 404, 405, 406, 409, 410, 412, 413, 418, 422, 451,
            500, 501, 505, 599,
        ])
    func recorded(status: Int) throws {
        let pair = try Pair { _ in .answer(status, [Field("X-A", "b")], body: octets("body \(status)")) }
        let first = try pair.proxy.post(key: "K")
        expectAnswer(first, status: status)
        #expect(first.text == "body \(status)")
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        #expect(pair.upstream.executions == 1)
    }

    @Test(
        "B37 these are not recorded by default: the next attempt runs",
        arguments: [401, 403, 407, 408, 421, 425, 429, 503])
    func released(status: Int) throws {
        let pair = try Pair { $0.ordinal == 1 ? .answer(status, [], body: octets("first")) : .answer() }
        let first = try pair.proxy.post(key: "K")
        #expect(first.text == "first")
        expectAnswer(first, status: status)
        let second = try pair.proxy.post(key: "K")
        expectAnswer(second, status: 201)
        #expect(pair.upstream.executions == 2)
        expectReplay(try pair.proxy.post(key: "K"), of: second)
        #expect(pair.upstream.executions == 2)
    }

    @Test("B36 the service's own 502 and 504 pass once; the outcome is unknown then", arguments: [502, 504])
    func unknownStatuses(status: Int) throws {
        let pair = try Pair { _ in .answer(status, [], body: octets("upstream of the upstream")) }
        let first = try pair.proxy.post(key: "K")
        expectAnswer(first, status: status)
        #expect(first.text == "upstream of the upstream")
        #expect(first.fields[all: "Proxy-Status"].allSatisfy { !$0.contains("error=") })
        expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B38 a 500: recorded by default; unknown or released where the route says so")
    func serverErrors() throws {
        let unknown = try Pair("unknown 500-599;") { _ in .answer(500, [], body: octets("e")) }
        expectAnswer(try unknown.proxy.post(key: "K"), status: 500)
        expectProblem(try unknown.proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(unknown.upstream.executions == 1)
        let released = try Pair("release 500 502-599; record 501;") { $0.path == "/501" ? .answer(501) : .answer(500) }
        for _ in 0..<3 { expectAnswer(try released.proxy.post(key: "K"), status: 500) }
        #expect(released.upstream.executions == 3)
        let other = try released.proxy.post("/501", key: "L")
        expectReplay(try released.proxy.post("/501", key: "L"), of: other)
        let recorded = try Pair("record 429 503;") { _ in .answer(429) }
        let first = try recorded.proxy.post(key: "K")
        expectReplay(try recorded.proxy.post(key: "K"), of: first)
    }

    @Test("B38 on_unknown resend: the next attempt runs")
    func resend() throws {
        let pair = try Pair("on_unknown resend;") { $0.ordinal == 1 ? .resetAfterRequest : .answer() }
        expectProblem(try pair.proxy.post(key: "K"), "upstream-broken", status: 502)
        let second = try pair.proxy.post(key: "K")
        expectAnswer(second)
        expectReplay(try pair.proxy.post(key: "K"), of: second)
        expectProblem(try pair.proxy.post(key: "K", body: "other"), "key-reused", status: 422)
        #expect(pair.upstream.executions == 2)
    }

    @Test("B39 the service executes and never answers: 504, and the retry does not execute")
    func neverAnswers() throws {
        let pair = try Pair(configure: { $0.top = "response_header_timeout 300ms;" }) { _ in .never }
        let first = try pair.proxy.post(key: "K")
        expectProblem(first, "upstream-timed-out", status: 504)
        for _ in 0..<2 {
            expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409, retryAfter: false)
        }
        expectProblem(try pair.proxy.post(key: "K", body: "other"), "key-reused", status: 422)
        #expect(pair.upstream.executions == 1)
        #expect(try pair.proxy.outcomes("unknown_outcome") == 2)
    }

    @Test("B40 a late answer is captured: a later retry gets it")
    func lateAnswer() throws {
        let release = Latch()
        let pair = try Pair(configure: { $0.top = "response_header_timeout 300ms;" }) { _ in
            .held(release, then: .answer(201, [Field("X-Late", "yes")], body: octets("late")))
        }
        expectProblem(try pair.proxy.post(key: "K"), "upstream-timed-out", status: 504)
        expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409)
        release.open()
        let answer = try poll("the late answer") { () -> Response? in
            let response = try pair.proxy.post(key: "K")
            return response.status == 409 ? nil : response
        }
        #expect(answer.status == 201)
        #expect(answer.isReplay)
        #expect(answer.text == "late")
        #expect(answer["X-Late"] == "yes")
        #expect(pair.upstream.executions == 1)
        expectReplayEquals(try pair.proxy.crashAndRestart().post(key: "K"), answer)
    }

    private func expectReplayEquals(_ one: Response, _ other: Response) {
        #expect(one.isReplay)
        expectOctets(one.body, other.body)
        #expect(one.comparableFields == other.comparableFields)
    }

    @Test("B40 a late answer completes the record though its client has long gone")
    func lateAnswerWithoutClient() throws {
        let release = Latch()
        let pair = try Pair(configure: { $0.top = "response_header_timeout 300ms;" }) { _ in
            .held(release, then: .answer(201, [], body: octets("late")))
        }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        try pair.upstream.waitForExecutions(1)
        client.reset()
        try pair.proxy.waitForState("unknown")
        release.open()
        try pair.proxy.waitForState("completed")
        let retry = try pair.proxy.post(key: "K")
        #expect(retry.isReplay && retry.text == "late")
        #expect(try pair.proxy.records().first?["settled_by"] as? String == "late_answer")
        #expect(pair.upstream.executions == 1)
    }

    @Test("B40 late_answer_limit bounds how long a late answer is awaited")
    func lateAnswerLimit() throws {
        let pair = try Pair("late_answer_limit 300ms;", configure: { $0.top = "response_header_timeout 200ms;" }) { _ in
            .never
        }
        expectProblem(try pair.proxy.post(key: "K"), "upstream-timed-out", status: 504)
        try pair.upstream.waitForOpenConnections { $0 == 0 }
        expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B41 connection refused: 502 not-sent, and the retry runs (H1)")
    func refused() throws {
        let upstream = try ScriptedUpstream(accepting: false)
        let pair = try Pair(upstream: upstream)
        let response = try pair.proxy.post(key: "K")
        expectProblem(response, "not-sent", status: 502)
        #expect(response["Proxy-Status"]?.contains("connection_refused") == true)
        #expect(try pair.proxy.records().isEmpty)
        try upstream.open()
        let first = try pair.proxy.post(key: "K")
        expectAnswer(first)
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        #expect(upstream.executions == 1)
    }

    /// RFC 9112 §9.2: what a service says before it was asked answers nothing, however much it looks like an answer.
    @Test("H9 an answer before any octet of the request is no answer: nothing is recorded, the client gets 502")
    func answersUnasked() throws {
        let listener = try TestListener(at: .ipv4(port: 0))
        try listener.listen()
        let asked = Monitored(0)
        let serving = Thread {
            while let connection = listener.accept() {
                let answer = "HTTP/1.1 201 Created\r\nContent-Length: 5\r\nConnection: close\r\n\r\nEARLY"
                try? connection.send(octets(answer))
                connection.shutdownWrite()
                let received = (try? connection.receive()) ?? []
                if !received.isEmpty { asked.with { $0 += 1 } }
            }
        }
        serving.start()
        defer { listener.close() }
        let pair = try Pair(configure: { $0.servers = [listener.address] })
        var answered = 0
        for index in 0..<100 {
            let response = try pair.proxy.post(key: "K\(index)")
            if response.status == 502 { continue }
            #expect(response.text == "EARLY")
            answered += 1
        }
        // Where the request was quicker than the octets they pass for its answer: nobody can tell. But it was asked.
        #expect(answered <= asked.with { $0 })
        #expect(try pair.proxy.records().filter { $0["state"] as? String == "completed" }.count <= asked.with { $0 })
    }

    @Test("B41 a UNIX socket that is not there: 502 not-sent")
    func missingSocket() throws {
        let upstream = try ScriptedUpstream(at: .unix("\(TestScope.current!.directory)/up.sock"), accepting: false)
        upstream.stop()
        let pair = try Pair(upstream: upstream)
        expectProblem(try pair.proxy.post(key: "K"), "not-sent", status: 502)
    }

    @Test("B41 the connection is not established in time: 502 or 504 not sent, and the retry runs")
    func connectTimesOut() throws {
        let full = try FullBacklog()
        let pair = try Pair(configure: {
            $0.servers = [full.address]
            $0.top = "connect_timeout 300ms;"
        })
        let response = try pair.proxy.post(key: "K")
        #expect([502, 504].contains(response.status))
        #expect(response.text.contains("urn:oncegate:problem:not-sent"))
        #expect(try pair.proxy.records().isEmpty)
    }

    @Test(
        "B42 B43 an answer that breaks off is never recorded as complete, and never replayed cut (H2, H8)",
        arguments: [
            "reset in the body", "close in the body", "reset after the head", "close in the head", "reset in the head",
            "chunk missing",
            "last chunk missing", "close after the request", "reset after the request", "large, then reset",
        ])
    func brokenAnswers(kind: String) throws {
        let chunkedHead = headOctets(200, [Field("Transfer-Encoding", "chunked")])
        let pair = try Pair { _ in
            switch kind {
            case "reset in the body": .truncated(declared: 10, body: octets("01234"), reset: true)
            case "close in the body": .truncated(declared: 10, body: octets("01234"), reset: false)
            case "reset after the head": .truncated(declared: 10, body: [], reset: true)
            case "close in the head": .broken(octets("HTTP/1.1 200 OK\r\nContent-Le"), reset: false)
            case "reset in the head": .broken(octets("HTTP/1.1 200 OK\r\nContent-Le"), reset: true)
            case "chunk missing": .broken(chunkedHead + octets("5\r\n012"), reset: false)
            case "last chunk missing": .broken(chunkedHead + octets("5\r\n01234\r\n"), reset: false)
            case "close after the request": .closeAfterRequest
            case "large, then reset":
                .truncated(declared: 3_000_000, body: [UInt8](repeating: 1, count: 2_000_000), reset: true)
            default: .resetAfterRequest
            }
        }
        expectBroken(pair)
        for _ in 0..<2 { expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409) }
        #expect(pair.upstream.executions == 1)
    }

    /// 502 while nothing of the answer has been sent, else a visibly incomplete message.
    private func expectBroken(_ pair: Pair, sourceLocation: SourceLocation = #_sourceLocation) {
        do {
            expectProblem(try pair.proxy.post(key: "K"), "upstream-broken", status: 502, sourceLocation: sourceLocation)
        } catch {
            #expect(error is StreamEnded || error as? SocketError == .reset, "\(error)", sourceLocation: sourceLocation)
        }
    }

    @Test(
        "B42 a malformed answer: 502, nothing recorded, the connection not used again (A13, A14, A30, A38)",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 20\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", "HTTQ/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "garbage\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\u{0}c\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: x\r\nContent-Length: 0\r\n\r\n",
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "",
        ])
    func malformedAnswers(answer: String) throws {
        let pair = try Pair { $0["Idempotency-Key"] == "K" ? .raw(answer, thenClose: true) : .answer() }
        expectBroken(pair)
        expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(pair.upstream.executions == 1)
        expectAnswer(try pair.proxy.post(key: "L"))
        #expect(pair.upstream.connectionCount == 2)
    }

    @Test(
        "B44 the client disconnects right after sending: once, recorded, its retry is replayed (E22)", arguments: 0..<5)
    func clientLeaves(run: Int) throws {
        let release = Latch()
        let pair = try Pair { _ in .held(release) }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        if run % 2 == 0 { client.close() } else { client.shutdownWrite() }
        try pair.upstream.waitForExecutions(1)
        client.close()
        release.open()
        let retry = try pair.proxy.post(key: "K")
        #expect(retry.isReplay)
        #expect(retry.status == 201)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B44 a client that half-closes after its request still gets the answer")
    func halfClose() throws {
        let pair = try Pair()
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        client.shutdownWrite()
        expectAnswer(try client.response())
        #expect(client.isClosed())
    }

    @Test(
        "B45 the client disconnects before its body is complete: the key stays free",
        arguments: ["close", "reset", "half close"])
    func incompleteBody(kind: String) throws {
        let pair = try Pair()
        let request = Request.post(key: "K", body: "0123456789")
        let client = try pair.proxy.client()
        try client.send(request.headOctets + request.bodyOctets.prefix(5))
        switch kind {
        case "close": client.close()
        case "reset": client.reset()
        default:
            client.shutdownWrite()
            let rest = try client.rest()
            #expect(rest.isEmpty || text(rest).hasPrefix("HTTP/1.1 400"))
        }
        expectAnswer(try pair.proxy.send(request))
        #expect(pair.upstream.attempts == 1)
    }

    @Test("B47 the proxy's own 502, 503 and 504 carry an error source and are never replayed as the service's (E17)")
    func ownErrors() throws {
        let upstream = try ScriptedUpstream(accepting: false)
        let pair = try Pair(upstream: upstream)
        for _ in 0..<3 {
            let response = try pair.proxy.post(key: "K")
            expectProblem(response, "not-sent", status: 502)
            #expect(response["Proxy-Status"]?.contains("error=") == true)
        }
        try upstream.open()
        expectAnswer(try pair.proxy.post(key: "K"))
    }

    @Test("B47 a local 400, 413 or 422 does not take the key")
    func localErrorsFree() throws {
        let pair = try Pair("request_body_limit 1KiB;")
        expectProblem(
            try pair.proxy.post(key: "K", body: String(repeating: "x", count: 1025)), "content-too-large", status: 413)
        expectAnswer(try pair.proxy.post(key: "K", body: String(repeating: "x", count: 1024)))
        let chunked = Request(
            "POST", "/", [Field("Idempotency-Key", "L")],
            body: .chunked([octets(String(repeating: "x", count: 1025))], trailers: []))
        expectProblem(try pair.proxy.send(chunked), "content-too-large", status: 413)
        #expect(pair.upstream.attempts == 1)
    }
}

/// A port on which connections are never established: its backlog is full.
final class FullBacklog: Sendable {
    let address: Address
    private let listener: TestListener

    init() throws {
        listener = try TestListener(at: .ipv4(port: 0))
        address = listener.address
        try listener.listen(backlog: 0)
        // Each holds one place; the connections past the backlog hang in SYN-SENT and are ended with the test.
        let script = """
            import socket, sys, time
            held = []
            for _ in range(4):
                s = socket.socket(); s.setblocking(False)
                try: s.connect(("127.0.0.1", int(sys.argv[1])))
                except BlockingIOError: pass
                held.append(s)
            print("full", flush=True)
            time.sleep(60)
            """
        let filler = try Subprocess(["python3", "-c", script, "\(listener.address.port)"])
        TestScope.current?.atEnd { filler.kill(SIGKILL) }
        try filler.waitForOutput("the backlog is full") { $0.contains("full") ? true : nil }
    }
}
