import Foundation
import TestSupport
import Testing

private let large = [UInt8](repeating: 0x5A, count: 1 << 20)

@Suite(.blackBox) struct FidelityTests {
    private func expectSameTwice(_ reply: Reply, _ request: Request = .post(key: "K"), status: Int = 200) throws
        -> Response
    {
        let pair = try Pair { _ in reply }
        let first = try pair.proxy.send(request)
        expectAnswer(first, status: status)
        let second = try pair.proxy.send(request)
        expectReplay(second, of: first)
        #expect(second.framing == first.framing)
        #expect(pair.upstream.executions == 1)
        // And after a restart.
        let third = try pair.proxy.crashAndRestart().send(request)
        expectReplay(third, of: first)
        #expect(third.framing == first.framing)
        return first
    }

    @Test("B48 a gzip body: octets and Content-Encoding identical")
    func gzip() throws {
        var generator = SeededGenerator(seed: 48)
        let body = [0x1F, 0x8B, 8, 0] + generator.octets(3000)
        let first = try expectSameTwice(
            .answer(200, [Field("Content-Encoding", "gzip"), Field("Vary", "Accept-Encoding")], body: body))
        expectOctets(first.body, body)
        #expect(first["Content-Encoding"] == "gzip")
    }

    @Test("B49 ISO-8859-1, every octet, empty bodies: identical")
    func octetsIdentical() throws {
        let xml = octets("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\u{e9}\u{fc}\u{ff}</a>")
        let type = [Field("Content-Type", "text/xml; charset=ISO-8859-1")]
        #expect(try expectSameTwice(.answer(200, type, body: xml)).body == xml)
        let every = (0...255).map { UInt8($0) }
        #expect(try expectSameTwice(.answer(200, [], body: every)).body == every)
        #expect(try expectSameTwice(.answer(204, [Field("X", "1")], body: []), status: 204).framing == .none)
        #expect(try expectSameTwice(.answer(304, [Field("ETag", "\"a\"")], body: []), status: 304).framing == .none)
        #expect(try expectSameTwice(.answer(200, [], body: [])).framing == .length)
        #expect(try expectSameTwice(.answer(205, [], body: []), status: 205).body.isEmpty)
    }

    @Test("B49 field lines: order, case, duplicates, empty and 8-bit values kept")
    func fieldLines() throws {
        let fields = [
            Field("x-LOWER", "a"), Field("X-Dup", "1"), Field("Y", ""), Field("x-dup", "2"), Field("X-Dup", "1"),
            Field("X-8bit", "\u{e9}\u{a0}"),
            Field("Date", "Tue, 15 Nov 1994 08:12:31 GMT"), Field("Server", "Legacy/1.0"),
            Field("Location", "/orders/1"),
            Field("Link", "<a>; rel=b, <c>; rel=d"), Field("Age", "7"), Field("X-Tab", "a\tb"),
        ]
        let first = try expectSameTwice(.answer(201, fields, body: [1]), status: 201)
        #expect(first.comparableFields == fields)
    }

    @Test("B50 Set-Cookie is replayed to the same scope, never to an anonymous caller (E18)")
    func cookies() throws {
        let fields = [
            Field("Set-Cookie", "a=1"), Field("X-A", "1"), Field("Set-Cookie", "b=2"),
            Field("WWW-Authenticate", "Basic"),
            Field("Authentication-Info", "x"),
        ]
        let pair = try Pair { _ in .answer(200, fields, body: [1]) }
        let credential = [Field("Authorization", "Bearer t")]
        let first = try pair.proxy.post(key: "K", credential)
        expectReplay(try pair.proxy.post(key: "K", credential), of: first)
        #expect(first.fields[all: "Set-Cookie"] == ["a=1", "b=2"])
        let anonymous = try pair.proxy.post(key: "K")
        #expect(anonymous.fields[all: "Set-Cookie"] == ["a=1", "b=2"])
        let replay = try pair.proxy.post(key: "K")
        #expect(replay.isReplay)
        #expect(replay.comparableFields == [Field("X-A", "1")])
        #expect(pair.upstream.executions == 2)
    }

    @Test("B51 trailers are recorded and replayed; without TE they are dropped and nothing breaks")
    func trailers() throws {
        let upstream = try ScriptedUpstream { _ in
            .chunked(
                200, [Field("Trailer", "X-Sum")], [octets("abc"), octets("de")],
                trailers: [Field("X-Sum", "5"), Field("X-Two", "b"), Field("Content-Length", "9")])
        }
        let pair = try Pair(upstream: upstream)
        let accepting = Request.post(key: "K").with("TE", "trailers").with("Connection", "TE")
        let first = try pair.proxy.send(accepting)
        #expect(first.text == "abcde")
        #expect(first.trailers == [Field("X-Sum", "5"), Field("X-Two", "b")])
        let second = try pair.proxy.send(accepting)
        expectReplay(second, of: first)
        #expect(second.trailers == first.trailers)
        let without = try pair.proxy.post(key: "K")
        #expect(without.isReplay)
        #expect(without.text == "abcde")
        #expect(without.trailers.isEmpty)
        #expect(upstream.executions == 1)
        let uncovered = try pair.proxy.send(.get("/", [Field("TE", "trailers"), Field("Connection", "TE")]))
        #expect(uncovered.trailers == first.trailers)
    }

    @Test("B51 trailers of a request: a key in them is ignored, framing names are not forwarded (A26)")
    func requestTrailers() throws {
        let pair = try Pair("on_missing_key reject;")
        let trailers = [Field("Idempotency-Key", "K"), Field("X-T", "1")]
        expectProblem(
            try pair.proxy.send(Request("POST", "/", body: .chunked([octets("x")], trailers: trailers))), "key-missing",
            status: 400)
        let request = Request(
            "POST", "/", [Field("Idempotency-Key", "L")],
            body: .chunked(
                [octets("x")],
                trailers: [Field("Content-Length", "3"), Field("Host", "h"), Field("Authorization", "a")]))
        let response = try pair.proxy.send(request)
        #expect(response.status == 201 || response.status == 400)
        for received in pair.upstream.requests {
            #expect(
                received.trailers.allSatisfy {
                    !["content-length", "host", "authorization"].contains($0.name.lowercased())
                })
        }
    }

    @Test("B52 a close-delimited or chunked record is served to an HTTP/1.0 client without chunks, and the reverse")
    func versions() throws {
        let upstream = try ScriptedUpstream {
            $0.path == "/chunked" ? .chunked(200, [], [octets("abc")]) : .untilClose(body: octets("abc"))
        }
        let pair = try Pair(upstream: upstream)
        for path in ["/chunked", "/close"] {
            let first = try pair.proxy.post(path, key: path)
            expectAnswer(first, status: 200)
            #expect(first.text == "abc")
            var old = Request.post(path, key: path)
            old.version = "HTTP/1.0"
            let replay = try pair.proxy.send(old)
            #expect(replay.isReplay)
            #expect(replay.text == "abc")
            #expect(replay.framing != .chunked)
            var new = old
            new.fields[0].value = "new" + path
            let direct = try pair.proxy.send(new)
            expectAnswer(direct, status: 200)
            #expect(direct.text == "abc")
            #expect(direct.framing != .chunked)
            let again = try pair.proxy.post(path, key: "new" + path)
            #expect(again.isReplay)
            #expect(again.text == "abc")
        }
        #expect(upstream.executions == 4)
    }

    @Test("B52 hop-by-hop fields of the service are not recorded")
    func hopByHop() throws {
        let fields = [
            Field("Connection", "X-Hop"), Field("X-Hop", "1"), Field("Keep-Alive", "timeout=5"),
            Field("Proxy-Connection", "x"), Field("X-End", "2"),
        ]
        let first = try expectSameTwice(.answer(200, fields, body: [1]))
        #expect(first.comparableFields == [Field("X-End", "2")])
        #expect(first.fields[all: "Keep-Alive"].isEmpty && first.fields[all: "X-Hop"].isEmpty)
    }

    @Test("B53 a 100 MB answer streams with bounded memory; its retry gets the tombstone")
    func hugeAnswer() throws {
        let size = 100_000_000
        let pair = try Pair { _ in .huge(size, piece: large) }
        expectAnswer(try pair.proxy.post("/warm", key: newKey(), until: .after(60)), status: 200)
        let before = try pair.proxy.memoryKiB("VmHWM")
        let first = try pair.proxy.post(key: "K", until: .after(60))
        #expect(first.body.count == size)
        #expect(first.body.allSatisfyPiecewise(large))
        #expect(try pair.proxy.memoryKiB("VmHWM") - before < 32 << 10)
        #expect(try pair.proxy.memoryKiB("VmHWM") < 160 << 10)
        let digest = try sha256(of: first.body)
        let check = { (response: Response) in
            expectProblem(response, "answer-not-kept", status: 409)
            #expect(response.text.contains(digest))
            #expect(response.text.contains("\(size)"))
            #expect(response.text.contains("200"))
        }
        check(try pair.proxy.post(key: "K"))
        expectProblem(try pair.proxy.post(key: "K", body: "other"), "key-reused", status: 422)
        check(try pair.proxy.crashAndRestart().post(key: "K"))
        #expect(pair.upstream.executions == 2)
    }

    @Test("B53 a slow client holds the service back, not the proxy's memory")
    func slowClient() throws {
        let sent = Monitored(0)
        let pair = try Pair { _ in .huge(100_000_000, piece: large, sent: sent) }
        let client = try pair.proxy.client(receiveBuffer: 65536)
        try client.send(.get())
        #expect(try client.head().status == 200)
        // What the kernel and the proxy hold: some megabytes of socket buffers.
        _ = try poll("the service is held back") { () -> Bool? in
            let one = sent.with { $0 }
            usleep(100_000)
            return sent.with { $0 } == one ? true : nil
        }
        #expect(sent.with { $0 } < 40_000_000)
        #expect(try pair.proxy.memoryKiB("VmRSS") < 160 << 10)
        var count = 0
        while count < 100_000_000 { count += try client.some(atMost: 1 << 20).count }
        #expect(count == 100_000_000)
    }

    @Test("B53 within the limit a large answer is replayed octet for octet")
    func largeAnswer() throws {
        var generator = SeededGenerator(seed: 53)
        let body = generator.octets(6_000_000)
        let first = try expectSameTwice(.chunked(200, [], [Array(body[..<1000]), Array(body[1000...])]))
        expectOctets(first.body, body)
    }

    @Test("B53 exactly at record_body_limit it is kept, one octet more and it is not")
    func recordLimit() throws {
        let pair = try Pair("record_body_limit 1KiB;") {
            .answer(200, [], body: large.prefix($0.path == "/1024" ? 1024 : 1025).map { $0 })
        }
        let first = try pair.proxy.post("/1024", key: "A")
        expectReplay(try pair.proxy.post("/1024", key: "A"), of: first)
        expectAnswer(try pair.proxy.post("/1025", key: "B"), status: 200)
        expectProblem(try pair.proxy.post("/1025", key: "B"), "answer-not-kept", status: 409)
        #expect(pair.upstream.executions == 2)
    }

    @Test("B54 server-sent events pass one by one", arguments: ["GET", "POST"])
    func events(method: String) throws {
        let latches = [Latch(), Latch(), Latch()]
        let pair = try Pair { _ in .events([(latches[0], "one"), (latches[1], "two"), (latches[2], "three")]) }
        let client = try pair.proxy.client()
        try client.send(method == "GET" ? .get() : .post(key: "K"))
        #expect(try client.head()["Content-Type"] == "text/event-stream")
        latches[0].open()
        #expect(try text(client.chunk()) == "data: one\n\n")
        latches[1].open()
        #expect(try text(client.chunk()) == "data: two\n\n")
        #expect(client.isSilent(for: 0.05))
        latches[2].open()
        #expect(try text(client.chunk()) == "data: three\n\n")
        #expect(try client.chunk().isEmpty)
    }

    @Test("B54 events past record_body_limit on a covered route: still one by one; the retry meets the tombstone")
    func eventsPastLimit() throws {
        let latches = (0..<4).map { _ in Latch() }
        let pair = try Pair("record_body_limit 16B;") { _ in .events(latches.map { ($0, "an event of some length") }) }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        #expect(try client.head().status == 200)
        for latch in latches {
            #expect(client.isSilent(for: 0.02))
            latch.open()
            #expect(try text(client.chunk()) == "data: an event of some length\n\n")
        }
        #expect(try client.chunk().isEmpty)
        expectProblem(try pair.proxy.post(key: "K"), "answer-not-kept", status: 409)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B55 Expect: 100-continue: the proxy asks for the body, and answers at once what needs none")
    func expectContinue() throws {
        let pair = try Pair("request_body_limit 1KiB;")
        func head(_ fields: [Field], _ length: Int, _ method: String = "POST") -> [UInt8] {
            Request(method, "/", fields + [Field("Expect", "100-continue"), Field("Content-Length", "\(length)")])
                .octets
        }
        let client = try pair.proxy.client()
        try client.send(head([Field("Idempotency-Key", "K")], 3))
        #expect(try client.head().status == 100)
        try client.send("abc")
        let first = try client.response()
        expectAnswer(first)
        #expect(try text(pair.upstream.request(0).body) == "abc")
        // A client that does not wait gets no harm.
        try client.send(head([Field("Idempotency-Key", "K")], 3) + octets("abc"))
        expectReplay(try client.response(), of: first)

        let malformed = try pair.proxy.client()
        try malformed.send(head([Field("Idempotency-Key", "\"a")], 3))
        let refused = try malformed.response()
        expectProblem(refused, "key-malformed", status: 400)
        #expect(refused.interim.isEmpty)
        let large = try pair.proxy.client()
        try large.send(head([Field("Idempotency-Key", "K")], 3000))
        let tooLarge = try large.response()
        expectProblem(tooLarge, "content-too-large", status: 413)
        #expect(tooLarge.interim.isEmpty)
        let uncovered = try pair.proxy.client()
        try uncovered.send(head([], 3, "OPTIONS"))
        #expect(try uncovered.head().status == 100)
        try uncovered.send("xyz")
        expectAnswer(try uncovered.response())
        #expect(try text(pair.upstream.request(1).body) == "xyz")
    }

    @Test("B55 an expectation that is not known: 417 (A36)")
    func unknownExpectation() throws {
        let pair = try Pair()
        expectProblem(try pair.proxy.post(key: "K", [Field("Expect", "200-ok")]), "expectation-failed", status: 417)
        #expect(pair.upstream.attempts == 0)
    }

    @Test("B55 where the body does not count, a replay needs none")
    func replayWithoutBody() throws {
        let pair = try Pair("hash { body none; window 1h; replay always; }")
        let first = try pair.proxy.post(key: "K")
        let client = try pair.proxy.client()
        try client.send(
            Request(
                "POST", "/",
                [
                    Field("Idempotency-Key", "K"), Field("Content-Type", "application/json"),
                    Field("Expect", "100-continue"), Field("Content-Length", "16"),
                ]
            ).octets)
        let replay = try client.response()
        expectReplay(replay, of: first)
        #expect(replay.interim.isEmpty)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B56 GET, HEAD and OPTIONS around a recorded URL are unaffected")
    func safeAround() throws {
        let pair = try Pair { .answer(200, [Field("X-Method", $0.method)], body: octets("\($0.method) \($0.ordinal)")) }
        let first = try pair.proxy.post("/a", key: "K")
        #expect(try pair.proxy.send(.get("/a", [Field("Idempotency-Key", "K")])).text == "GET 2")
        let head = try pair.proxy.send(Request("HEAD", "/a", [Field("Idempotency-Key", "K")]))
        #expect(head["X-Method"] == "HEAD")
        #expect(head["Content-Length"] == "6")
        #expect(try pair.proxy.send(Request("OPTIONS", "/a")).text == "OPTIONS 4")
        expectReplay(try pair.proxy.post("/a", key: "K"), of: first)
        #expect(pair.upstream.executions == 4)
    }

    @Test("B52 interim responses pass and are never recorded (H6, E25)")
    func interim() throws {
        let upstream = try ScriptedUpstream { _ in
            .interim([(103, [Field("Link", "</a>; rel=preload")]), (102, [])], then: .answer(200))
        }
        let pair = try Pair(upstream: upstream)
        let first = try pair.proxy.post(key: "K")
        #expect(first.interim.contains { $0.status == 103 && $0["Link"] == "</a>; rel=preload" })
        let replay = try pair.proxy.post(key: "K")
        expectReplay(replay, of: first)
        #expect(replay.interim.isEmpty)
        let uncovered = try pair.proxy.send(.get())
        #expect(uncovered.interim.contains { $0.status == 103 })
        // RFC 9110 §15.2: a 1.0 client knows no 1xx.
        var old = Request.get()
        old.version = "HTTP/1.0"
        #expect(try pair.proxy.send(old).interim.isEmpty)
    }
}

func sha256(of octets: [UInt8]) throws -> String {
    let path = try TestScope.current!.newDirectory() + "/octets"
    try Data(octets).write(to: URL(filePath: path))
    return String(try Subprocess.run(["sha256sum", path]).output.prefix(64))
}

extension [UInt8] {
    /// Whether this is the piece over and over.
    fileprivate func allSatisfyPiecewise(_ piece: [UInt8]) -> Bool {
        var offset = 0
        while offset < count {
            let length = Swift.min(piece.count, count - offset)
            if self[offset..<offset + length] != piece[..<length] { return false }
            offset += length
        }
        return true
    }
}
