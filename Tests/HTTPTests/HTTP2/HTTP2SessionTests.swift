import TestSupport
import Testing

@testable import HTTP

@Suite("HTTP/2: a client's session against a server's")
struct HTTP2SessionTests {
    let client = HTTP2Peer(.client)
    let server = HTTP2Peer(.server)

    @Test("A request and its response")
    func simple() throws {
        let id = try #require(client.request("GET", "/a?b", lines: "Accept: */*\r\n"))
        #expect(id.rawValue == 1)
        exchange(client, server)
        #expect(
            server.told == [
                .request(
                    id, method: "GET", target: "/a?b", authority: "example.com",
                    lines: "host: example.com\r\naccept: */*\r\n", .none)
            ])
        let head = server.head
        #expect(head.version == .http2 && head.keepsAlive && head.acceptsTrailers && !head.wantsUpgrade)
        #expect(Array(head.fields.octets[head.path.bounds]) == Array("/a".utf8) && head.hasQuery)
        #expect(Array(head.fields.octets[head.query.bounds]) == Array("b".utf8))
        #expect(head.host == head.authority && head.form == .origin)
        server.told = []
        server.respond(id, 200, lines: "Content-Type: text/plain\r\nContent-Length: 5\r\n", ends: false)
        server.send(id, "hello")
        server.session.endStream(id)
        exchange(client, server)
        #expect(
            client.told == [
                .response(id, status: 200, lines: "content-type: text/plain\r\ncontent-length: 5\r\n", .length(5)),
                .data(id, "hello"), .ended(id, trailers: ""), .closed(id),
            ])
        #expect(server.told == [.closed(id)])
        #expect(client.session.activeStreams == 0 && server.session.activeStreams == 0)
        #expect(client.session.areSettingsAcknowledged && server.session.areSettingsAcknowledged)
    }

    @Test("Bodies and trailers both ways, 1xx, Expect")
    func everything() throws {
        let id = try #require(
            client.request("POST", "/", lines: "Expect: 100-continue\r\nTE: trailers\r\n", ends: false))
        exchange(client, server)
        #expect(server.head.expectsContinue && server.head.framing == .chunked)
        server.session.sendInterim(id, status: 100, fieldLines: [])
        server.session.sendInterim(id, status: 103, fieldLines: Array("Link: </a>\r\n".utf8))
        exchange(client, server)
        client.send(id, "one ")
        exchange(client, server)
        client.send(id, "two")
        client.session.endStream(id, trailerLines: Array("X-Sum: 1\r\nX-Sum: 2\r\n".utf8))
        exchange(client, server)
        server.respond(id, 201, lines: "X: y\r\n", ends: false)
        server.send(id, "three")
        server.session.endStream(id, trailerLines: Array("Grpc-Status: 0\r\n".utf8))
        exchange(client, server)
        #expect(
            server.told.dropFirst() == [
                .data(id, "one two"), .ended(id, trailers: "x-sum: 1\r\nx-sum: 2\r\n"), .closed(id),
            ])
        #expect(
            client.told == [
                .response(id, status: 100, lines: "", .none),
                .response(id, status: 103, lines: "link: </a>\r\n", .none),
                .response(id, status: 201, lines: "x: y\r\n", .chunked), .data(id, "three"),
                .ended(id, trailers: "grpc-status: 0\r\n"), .closed(id),
            ])
    }

    @Test("A client's GOAWAY says nothing of its own streams: they end as if there were none")
    func goAwayOfClient() throws {
        let id = try #require(client.request())
        exchange(client, server)
        server.receive(Frames.frame(0x7, 0, 0, [UInt8](repeating: 0, count: 8)))
        server.respond(id)
        _ = server.output()
        #expect(server.told.last == .closed(id), "\(server.told)")
    }

    @Test("Reused heads, queues and slots keep their buffers: the steady state allocates nothing of ours")
    func buffers() throws {
        var addresses: Set<UInt> = []
        let body = [UInt8](repeating: 7, count: 3000)
        for index in 0..<300 {
            let id = try #require(client.request("POST", lines: "Accept: */*\r\nX: \(index)\r\n", ends: false))
            client.session.sendData(id, body.span)
            client.session.endStream(id)
            server.receive(client.output())
            server.session.sendResponse(id, status: 200, fieldLines: Array("C: d\r\n".utf8), ends: false)
            server.session.sendData(id, shared: body, 0..<body.count)
            server.session.endStream(id)
            client.receive(server.output())
            server.told.removeAll(keepingCapacity: true)
            client.told.removeAll(keepingCapacity: true)
            let head = server.head
            if index >= 20 {
                addresses.insert(head.fields.octets.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) })
            }
        }
        // The caller's, the session's slot, and the one being read.
        #expect(addresses.count <= 3, "\(addresses.count)")
        for state in [client.session.box.state, server.session.box.state] {
            #expect(state.table.slots.count == 1 && state.table.count == 0 && state.requestHeads.count <= 1)
            #expect(state.responseHeads.count <= 1 && state.connectionCredit == 0)
        }
    }

    @Test("Whether a head is incomplete can be told")
    func insideHead() {
        let block = Frames.block(Frames.request())
        server.receive(Array(Frames.clientStart.prefix(10)))
        #expect(server.session.isInsideHead)
        server.receive(Array(Frames.clientStart.dropFirst(10)))
        #expect(!server.session.isInsideHead)
        let head = Frames.frame(0x1, 0, 1, Array(block.prefix(20)))
        server.receive(Array(head.prefix(15)))
        #expect(server.session.isInsideHead)
        server.receive(Array(head.dropFirst(15)))
        #expect(server.session.isInsideHead)
        server.receive(Frames.continuation(1, Array(block.dropFirst(20)), ends: true))
        #expect(!server.session.isInsideHead && server.told.count == 1)
        server.receive(Array(Frames.data(1, [1, 2, 3]).prefix(11)))
        #expect(!server.session.isInsideHead)
    }

    @Test("Trailers without a body, before and after the head is in a frame")
    func trailersOnly() throws {
        let first = try #require(client.request("POST", ends: false))
        client.session.endStream(first, trailerLines: Array("A: b\r\n".utf8))
        let second = try #require(client.request("POST", ends: false))
        exchange(client, server)
        client.session.endStream(second, trailerLines: Array("C: d\r\n".utf8))
        exchange(client, server)
        #expect(server.told.contains(.ended(first, trailers: "a: b\r\n")))
        #expect(server.told.contains(.ended(second, trailers: "c: d\r\n")))
        server.respond(first, ends: false)
        server.session.endStream(first, trailerLines: Array("E: f\r\n".utf8))
        exchange(client, server)
        #expect(client.told.contains(.ended(first, trailers: "e: f\r\n")))
        #expect(!client.told.contains { if case .data = $0 { true } else { false } })
    }

    @Test(
        "Framing of responses",
        arguments: [
            ("GET", 200, "", true, BodyFraming.length(0)), ("GET", 200, "", false, .chunked),
            ("GET", 200, "Content-Length: 0\r\n", true, .length(0)),
            ("HEAD", 200, "Content-Length: 5\r\n", true, .none),
            ("HEAD", 200, "", true, .none), ("GET", 204, "", true, .none),
            ("GET", 304, "Content-Length: 9\r\n", true, .none),
        ] as [(String, UInt16, String, Bool, BodyFraming)])
    func framing(_ method: String, _ status: UInt16, _ lines: String, _ ends: Bool, _ framing: BodyFraming) throws {
        let id = try #require(client.request(method))
        exchange(client, server)
        server.respond(id, status, lines: lines, ends: ends)
        exchange(client, server)
        guard case .response(id, status: status, _, framing)? = client.told.first else {
            Issue.record("\(client.told)")
            return
        }
        #expect(client.session.activeStreams == (ends ? 0 : 1))
    }

    @Test("What belongs to one HTTP/1 connection does not go over")
    func connectionSpecific() throws {
        let lines = """
            Connection: x\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r
            TE: gzip\r\nTE: Trailers\r\nHTTP2-Settings: AAAA\r\nHost: other\r\nX-Kept:  a b\t\r\n
            """
        let id = try #require(client.request("GET", lines: lines))
        exchange(client, server)
        guard case .request(_, _, _, _, let told, _)? = server.told.first else {
            Issue.record("\(server.told)")
            return
        }
        #expect(told == "host: example.com\r\nte: Trailers\r\nx-kept: a b\r\n")
        server.respond(id, lines: lines)
        exchange(client, server)
        #expect(client.told.first == .response(id, status: 200, lines: "host: other\r\nx-kept: a b\r\n", .length(0)))
    }

    @Test("Secrets are never put into a compression table")
    func neverIndexed() throws {
        let long = String(repeating: "c", count: 20)
        let lines = "Authorization: a\r\nCookie: b\r\nIdempotency-Key: k\r\nSet-Cookie: \(long)\r\nCookie: \(long)\r\n"
        var reader = OutboundFieldLines(isRequest: true)
        var flags: [Bool] = []
        while let line = reader.next(in: Array(lines.utf8).span) { flags.append(line.isNeverIndexed) }
        #expect(flags == [true, true, true, true, false])
        // The second time the whole request but the secret ones is an index each.
        for _ in 0..<2 { _ = client.request(lines: lines) }
        let heads = Frames.read(Array(client.output().dropFirst(24))).filter { $0.type == 0x1 }
        #expect(heads.count == 2)
        // RFC 7541 §6.2.3: 0001xxxx.
        #expect(heads[1].payload.filter { $0 & 0xf0 == 0x10 }.count >= 4)
    }

    @Test("Every split of a connection's octets tells the same")
    func splits() throws {
        let id = try #require(client.request("POST", "/p", lines: "X: y\r\n", ends: false))
        client.send(id, "body")
        client.session.endStream(id, trailerLines: Array("T: u\r\n".utf8))
        _ = client.request("GET", "/q", lines: "Cookie: a\r\nCookie: b\r\n")
        let reset = try #require(client.request("POST", "/r", ends: false))
        var sent = client.output()
        client.session.reset(reset, .cancel)
        sent += client.output()
        func told(_ cuts: [Int]) -> ([HTTP2Peer.Told], [UInt8]) {
            let server = HTTP2Peer(.server)
            var start = 0
            for cut in cuts + [sent.count] {
                server.receive(Array(sent[start..<cut]))
                start = cut
            }
            return (server.told, server.output())
        }
        let whole = told([])
        #expect(whole.0.count == 6, "\(whole.0)")
        for cut in 1..<sent.count { #expect(told([cut]).0 == whole.0, "cut at \(cut)") }
        #expect(told(Array(1..<sent.count)) == whole)

        // And the answers, at the client.
        exchange(client, server)
        let answers = answers()
        for cut in 1..<answers.count {
            let client = HTTP2Peer(.client)
            for _ in 0..<2 { _ = client.request() }
            _ = client.output()
            client.receive(Array(answers[..<cut]))
            client.receive(Array(answers[cut...]))
            #expect(client.told.count == 7, "cut at \(cut): \(client.told)")
        }
    }

    /// What a server says to two requests.
    private func answers() -> [UInt8] {
        let client = HTTP2Peer(.client)
        let server = HTTP2Peer(.server)
        for _ in 0..<2 { _ = client.request() }
        server.receive(client.output())
        server.session.sendInterim(1, status: 103, fieldLines: Array("A: b\r\n".utf8))
        server.respond(1, 200, lines: "C: d\r\n", ends: false)
        server.send(1, "hello")
        server.session.endStream(1, trailerLines: Array("E: f\r\n".utf8))
        server.respond(3, 404)
        return server.output()
    }

    @Test("HTTP/1 to HTTP/2 and back: order, duplicates and values of field lines stay", arguments: 0..<200)
    func translation(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let names = ["X-A", "x-b", "Accept", "Cookie", "Via", "X-Long-Name-That-Is-Not-Known", "ETag", "Set-Cookie"]
        let octets = (0x20...0x7e).map { UInt8($0) } + [0x09, 0x80, 0xc3, 0xff]
        var lines: [UInt8] = []
        for _ in 0..<Int.random(in: 0...40, using: &generator) {
            let name = names.randomElement(using: &generator) ?? ""
            var value: [UInt8] = []
            for _ in 0..<Int.random(in: 0...60, using: &generator) {
                value.append(octets.randomElement(using: &generator) ?? 0x20)
            }
            let trimmed = value.span.trimmed(0..<value.count)
            lines += Array((name.lowercased() + ": ").utf8) + value[trimmed] + [0x0d, 0x0a]
        }
        let id = try #require(client.request("PUT", "/x"))
        exchange(client, server)
        server.session.sendResponse(id, status: 200, fieldLines: lines, ends: true)
        var head = ResponseHead()
        client.session.clearEvents()
        try client.session.receive(server.output().span, now: 1)
        client.session.takeResponseHead(0, into: &head)
        var output: [UInt8] = []
        HTTP1Serialiser.fieldLines(of: head.fields, to: &output)
        #expect(output == lines)
        // As a request too, but for the pieces of Cookie.
        let cookie = Array("cookie:".utf8)
        let kept = lines.split(separator: 0x0a).filter { !$0.starts(with: cookie) }
        client.session.clearEvents()
        server.told = []
        _ = client.session.sendRequest(
            method: Array("GET".utf8).span, scheme: Array("http".utf8).span, authority: Array("a".utf8).span,
            path: Array("/".utf8).span, fieldLines: lines, ends: true)
        exchange(client, server)
        output = []
        HTTP1Serialiser.fieldLines(of: server.head.fields, to: &output)
        let told = output.split(separator: 0x0a).filter { !$0.starts(with: cookie) }
        #expect(told.first == ArraySlice("host: a\r".utf8) && Array(told.dropFirst()) == kept)
    }
}
