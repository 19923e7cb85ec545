import Foundation
import TestSupport
import Testing

/// The instruments are tested without a proxy between them: what they measure later must be the proxy.
@Suite(.blackBox) struct TestSupportTests {
    @Test func `the upstream counts a request only when its whole body has arrived`() throws {
        let upstream = try ScriptedUpstream()
        let client = try RawClient(upstream.address)
        let request = Request.post("/a", key: "k", body: "0123456789")
        try client.send(request.headOctets + request.bodyOctets.prefix(5))
        try upstream.waitForAttempts(1)
        #expect(upstream.executions == 0)
        try client.send(Array(request.bodyOctets.suffix(5)))
        let response = try client.response()
        #expect(upstream.executions(of: "/a") == 1)
        #expect(response.status == 201)
        #expect(response.framing == .length)
        #expect(response.text == Canary.answerBody)
        #expect(try upstream.request(0).headOctets == request.headOctets)
        #expect(try text(upstream.request(0).body) == "0123456789")
    }

    @Test func `pipelined requests are answered in order on one connection`() throws {
        let upstream = try ScriptedUpstream { .answer(200, [], body: octets($0.path)) }
        let client = try RawClient(upstream.address)
        try client.send(Request.post("/1").octets + Request.post("/2").octets + Request.get("/3").octets)
        #expect(try client.response().text == "/1")
        #expect(try client.response().text == "/2")
        #expect(try client.response(to: "GET").text == "/3")
        #expect(upstream.connectionCount == 1)
    }

    @Test func `chunked bodies with trailers are read both ways`() throws {
        let upstream = try ScriptedUpstream { _ in
            .chunked(200, [], [octets("ab"), octets("c")], trailers: [Field("X-Sum", "3")])
        }
        let client = try RawClient(upstream.address)
        let response = try client.exchange(
            Request("POST", "/", body: .chunked([octets("xy"), octets("z")], trailers: [Field("X-Last", "1")])))
        #expect(response.framing == .chunked)
        #expect(response.text == "abc")
        #expect(response.trailers == [Field("X-Sum", "3")])
        #expect(try text(upstream.request(0).body) == "xyz")
        #expect(try text(upstream.request(0).rawBody) == "2\r\nxy\r\n1\r\nz\r\n0\r\nX-Last: 1\r\n\r\n")
        #expect(try upstream.request(0).trailers == [Field("X-Last", "1")])
    }

    @Test func `a close-delimited answer ends with its connection`() throws {
        let upstream = try ScriptedUpstream { _ in .untilClose(body: octets("rest")) }
        let client = try RawClient(upstream.address)
        let response = try client.exchange(.post())
        #expect(response.framing == .untilClose)
        #expect(response.text == "rest")
        #expect(client.isClosed())
    }

    @Test func `interim responses come before the final one`() throws {
        let upstream = try ScriptedUpstream { _ in .interim([(100, []), (103, [Field("Link", "</a>")])]) }
        let response = try RawClient(upstream.address).exchange(.post())
        #expect(response.interim.map(\.status) == [100, 103])
        #expect(response.status == 201)
    }

    @Test func `a held answer comes when its latch opens`() throws {
        let latch = Latch()
        let upstream = try ScriptedUpstream { _ in .held(latch) }
        let client = try RawClient(upstream.address)
        try client.send(.post())
        try upstream.waitForExecutions(1)
        #expect(client.isSilent(for: 0.05))
        latch.open()
        #expect(try client.response().status == 201)
    }

    @Test func `breaks look to a client like what they are`() throws {
        func failure(_ reply: Reply) throws -> any Error {
            let upstream = try ScriptedUpstream { _ in reply }
            let client = try RawClient(upstream.address)
            return try #require(throws: (any Error).self) { try client.exchange(.post(body: "0123456789")) }
        }
        #expect(try failure(.resetAfterHead) as? SocketError == .reset)
        #expect(try failure(.resetInRequest(after: 4)) as? SocketError == .reset)
        #expect(try failure(.resetAfterRequest) as? SocketError == .reset)
        #expect(try failure(.closeAfterRequest) is StreamEnded)
        let short = try failure(.truncated(declared: 10, body: octets("abc"), reset: false))
        #expect((short as? StreamEnded)?.octets == octets("abc"))
        #expect(try failure(.broken(octets("HTTP/1.1 20"), reset: false)) is StreamEnded)
    }

    @Test func `a reset in the request does not count as an execution`() throws {
        let upstream = try ScriptedUpstream { _ in .resetInRequest(after: 4) }
        _ = try? RawClient(upstream.address).exchange(.post(body: "0123456789"))
        #expect(upstream.attempts == 1)
        #expect(upstream.executions == 0)
        #expect(try text(upstream.request(0).body) == "0123")
    }

    @Test func `a connection reset before reading gives no request`() throws {
        let upstream = try ScriptedUpstream(reception: .init { $0 == 1 ? .reset : .serve })
        #expect(throws: (any Error).self) { try RawClient(upstream.address).exchange(.post()) }
        #expect(upstream.attempts == 0)
        #expect(try RawClient(upstream.address).exchange(.post()).status == 201)
    }

    @Test(arguments: [Address.ipv4(port: 0), .ipv6(port: 0)])
    func `refuses and reopens on the same port`(address: Address) throws {
        let upstream = try ScriptedUpstream(at: address, accepting: false)
        for _ in 0..<3 {
            #expect(throws: SocketError.refused) { try RawClient(upstream.address) }
            try upstream.open()
            #expect(try RawClient(upstream.address).exchange(.post()).status == 201)
            try upstream.refuse()
        }
    }

    @Test func `serves on a UNIX socket`() throws {
        let upstream = try ScriptedUpstream(at: .unix("\(TestScope.current!.directory)/up.sock"))
        #expect(try RawClient(upstream.address).exchange(.post()).status == 201)
    }

    @Test func `a huge answer waits for its reader`() throws {
        let sent = Monitored(0)
        let piece = [UInt8](repeating: 7, count: 65536)
        let upstream = try ScriptedUpstream { _ in .huge(50_000_000, piece: piece, sent: sent) }
        let client = try RawClient(upstream.address, receiveBuffer: 65536)
        try client.send(.post())
        let head = try client.head()
        #expect(head["Content-Length"] == "50000000")
        #expect(sent.with { $0 } < 20_000_000)
        var count = 0
        while count < 50_000_000 {
            let octets = try client.some()
            try #require(!octets.isEmpty)
            count += octets.count
        }
        #expect(count == 50_000_000)
    }

    @Test func `events come one by one`() throws {
        let latches = [Latch(), Latch()]
        let upstream = try ScriptedUpstream { _ in .events([(latches[0], "one"), (latches[1], "two")]) }
        let client = try RawClient(upstream.address)
        try client.send(.get())
        #expect(try client.head()["Content-Type"] == "text/event-stream")
        latches[0].open()
        #expect(try text(client.chunk()) == "data: one\n\n")
        #expect(client.isSilent(for: 0.05))
        latches[1].open()
        #expect(try text(client.chunk()) == "data: two\n\n")
    }

    @Test func `an upgrade echoes`() throws {
        let upstream = try ScriptedUpstream { _ in .upgrade(to: "echo") }
        let client = try RawClient(upstream.address)
        try client.send(.get("/", [Field("Connection", "Upgrade"), Field("Upgrade", "echo")]))
        #expect(try client.response(to: "GET").status == 101)
        try client.send("ping")
        #expect(try text(client.exactly(4)) == "ping")
        client.shutdownWrite()
        #expect(client.isClosed())
    }

    @Test func `what a test starts ends with it`() throws {
        let process = try Subprocess(["/bin/sh", "-c", "echo out; echo 'listening on 127.0.0.1:1' >&2; exit 7"])
        #expect(try process.waitForExit() == .exit(7))
        #expect(process.standardOutput == "out\n")
        #expect(try process.waitForError("line") { $0.contains("listening") ? true : nil })
        let killed = try Subprocess(["sleep", "100"])
        killed.kill(SIGKILL)
        #expect(try killed.waitForExit() == .signal(SIGKILL))
    }

    @Test func `the seeded generator repeats itself`() {
        var first = SeededGenerator(seed: 1)
        var second = SeededGenerator(seed: 1)
        #expect(first.octets(33) == second.octets(33))
        #expect(first.token() == second.token())
    }
}
