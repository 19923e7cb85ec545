import Foundation
import TestSupport
import Testing

/// HTTP/2 towards clients: the same promises, and what the protocol adds.
@Suite(.blackBox) struct HTTP2Tests {
    @Test(
        "B1 B2 the same key twice: once, over every protocol to every service", arguments: Wire.allCases,
        ServiceKind.allCases)
    func sameKeyTwice(wire: Wire, kind: ServiceKind) throws {
        let pair = try ProtocolPair(kind) { _ in
            PlainAnswer(fields: [Field("content-type", "text/plain"), Field("x-a", "1"), Field("x-a", "2")])
        }
        let first = try pair.proxy.send(.post("/orders?a=1", key: "K"), over: wire)
        expectAnswer(first)
        #expect(first.fields[all: "x-a"] == ["1", "2"])
        expectFieldsOfVersion(first)
        expectReplayAcross(try pair.proxy.send(.post("/orders?a=1", key: "K"), over: wire), of: first)
        #expect(pair.service.executions == 1)
        let request = try pair.service.request(0)
        #expect(request.method == "POST")
        #expect(request.target == "/orders?a=1")
        #expect(text(request.body) == Canary.requestBody)
        #expect(request["idempotency-key"] == "K")
        #expect((request["host"] ?? request[":authority"]) == "service.test")
    }

    @Test("B52 what was recorded over one protocol is replayed over any other", arguments: ServiceKind.allCases)
    func acrossProtocols(kind: ServiceKind) throws {
        let pair = try ProtocolPair(kind) { request in
            switch request.path {
            case "/empty": PlainAnswer(status: 204, fields: [Field("x", "y")], body: [])
            case "/large": PlainAnswer(status: 200, fields: [], body: [UInt8](repeating: 9, count: 300_000))
            default: PlainAnswer(fields: [Field("X-Case", "Kept"), Field("x-dup", "1"), Field("x-dup", "2")])
            }
        }
        for recorder in Wire.allCases {
            for path in ["/", "/empty", "/large"] {
                let key = "\(recorder)\(path)"
                let first = try pair.proxy.send(.post(path, key: key), over: recorder)
                expectFieldsOfVersion(first)
                for wire in Wire.allCases {
                    expectReplayAcross(try pair.proxy.send(.post(path, key: key), over: wire), of: first)
                }
            }
        }
        #expect(pair.service.executions == 12)
    }

    @Test("B52 a record made over HTTP/1.1 keeps its case there, and the record outlives a restart")
    func caseKept() throws {
        let pair = try ProtocolPair { _ in PlainAnswer(fields: [Field("X-Case", "Kept")]) }
        let first = try pair.proxy.send(.post(key: "K"), over: .http1)
        #expect(first.fields.contains(Field("X-Case", "Kept")))
        #expect(try pair.proxy.send(.post(key: "K"), over: .http2).fields.contains(Field("x-case", "Kept")))
        let again = try pair.proxy.crashAndRestart()
        expectReplayAcross(try again.send(.post(key: "K"), over: .h2c), of: first)
        #expect(try again.send(.post(key: "K"), over: .http1).fields.contains(Field("X-Case", "Kept")))
    }

    @Test(
        "B51 trailers are replayed over HTTP/2, and over HTTP/1.1 to a client that takes them",
        arguments: ServiceKind.allCases)
    func trailers(kind: ServiceKind) throws {
        let trailers = [Field("x-sum", "7"), Field("x-sum", "8")]
        let pair = try ProtocolPair(kind) { _ in
            PlainAnswer(status: 200, fields: [], body: octets("whole"), trailers: trailers)
        }
        let first = try pair.proxy.send(.post(key: "K"), over: .h2c)
        #expect(first.trailers == trailers)
        for wire in [Wire.h2c, .http2] {
            let again = try pair.proxy.send(.post(key: "K"), over: wire)
            expectReplayAcross(again, of: first)
            #expect(again.trailers == trailers)
        }
        let asking = Request.post(key: "K", [Field("TE", "trailers"), Field("Connection", "TE")])
        #expect(try pair.proxy.send(asking, over: .http1).trailers == trailers)
        let plain = try pair.proxy.send(.post(key: "K"), over: .http1)
        #expect(plain.trailers.isEmpty)
        #expect(plain.text == "whole")
        #expect(pair.service.executions == 1)
    }

    @Test(
        "B51 trailers of a request reach the service, covered or not; a key in them is none (A26)",
        arguments: Wire.allCases, ServiceKind.allCases)
    func requestTrailers(wire: Wire, kind: ServiceKind) throws {
        let pair = try ProtocolPair(kind)
        let trailers = [Field("x-check", "1"), Field("x-check", "2"), Field("idempotency-key", "T")]
        func request(_ fields: [Field] = []) -> Request {
            Request("POST", "/", fields, body: .chunked([octets("ab"), octets("c")], trailers: trailers))
        }
        for _ in 0..<2 { expectAnswer(try pair.proxy.send(request(), over: wire)) }
        #expect(pair.service.executions == 2)
        let covered = request([Field("idempotency-key", "K")])
        let first = try pair.proxy.send(covered, over: wire)
        expectAnswer(first)
        expectReplayAcross(try pair.proxy.send(covered, over: wire), of: first)
        #expect(pair.service.executions == 3)
        for index in 0..<3 {
            let received = try pair.service.request(index)
            #expect(text(received.body) == "abc")
            #expect(received.trailers.filter { $0.name.lowercased() == "x-check" }.map(\.value) == ["1", "2"])
            #expect(!received.trailers.contains { $0.name.lowercased() == "idempotency-key" })
        }
    }

    @Test("B28 fifty simultaneous POSTs with one key on one connection: once, equal answers")
    func simultaneous() throws {
        let latch = Latch()
        let pair = try ProtocolPair { _ in PlainAnswer(latch: latch) }
        let client = try pair.proxy.http2(secure: true)
        let streams = try (0..<50).map { _ in try client.start(.post(key: "K")) }
        try poll("49 waiters") {
            try pair.proxy.records().contains { $0["waiters"] as? Int == 49 } ? true : nil
        }
        latch.open()
        let answers = try streams.map { try client.response(on: $0) }
        #expect(answers.count(where: \.isReplay) == 49)
        #expect(answers.allSatisfy { $0.status == 201 && $0.body == answers[0].body })
        #expect(pair.service.executions == 1)
    }

    @Test("a hundred streams at once, each with its own answer", arguments: [ServiceKind.http1, .h2c])
    func manyStreams(kind: ServiceKind) throws {
        let pair = try ProtocolPair(kind) { PlainAnswer(status: 200, fields: [], body: octets($0.target)) }
        let client = try pair.proxy.http2()
        let streams = try (0..<100).map { try client.start(.get("/n/\($0)")) }
        for (index, stream) in streams.enumerated() {
            #expect(try client.response(on: stream).text == "/n/\(index)")
        }
        #expect(try client.state().settings[3] == 100)
    }

    @Test("B45 the client resets before its body is complete: the service gets no complete request, the key is free")
    func resetInBody() throws {
        let pair = try ProtocolPair()
        let client = try pair.proxy.http2()
        let whole = Request.post(key: "K")
        let stream = try client.open(whole.http2Fields, end: false)
        try client.send(octets("{"), on: stream, end: false)
        try client.reset(stream)
        let first = try client.send(whole)
        expectAnswer(first)
        expectReplayAcross(try client.send(whole), of: first)
        #expect(pair.service.executions == 1)
        #expect(pair.service.attempts == 1)
    }

    @Test("B53 twenty megabytes to a client over HTTP/2: whole, in bounded memory, and as a tombstone afterwards")
    func hugeAnswer() throws {
        let piece = [UInt8](repeating: 3, count: 65536)
        let upstream = try ScriptedUpstream { _ in .huge(20_000_000, piece: piece) }
        var configuration = ProxyConfiguration(upstream)
        try configuration.listenEverywhere()
        let proxy = try ProxyProcess(configuration)
        let client = try proxy.http2(secure: true)
        let first = try client.send(.post(key: "K"), until: .after(60))
        #expect(first.body.count == 20_000_000)
        #expect(try proxy.memoryKiB("VmHWM") < 120_000)
        expectProblem(try client.send(.post(key: "K")), "answer-not-kept", status: 409)
        #expect(upstream.executions == 1)
    }

    @Test("B54 events pass one by one")
    func events() throws {
        let latches = [Latch(), Latch()]
        let upstream = try ScriptedUpstream { _ in .events([(latches[0], "one"), (latches[1], "two")]) }
        var configuration = ProxyConfiguration(upstream)
        try configuration.listenEverywhere()
        let client = try ProxyProcess(configuration).http2()
        let stream = try client.start(.get("/events"))
        #expect(try client.head(on: stream).response?["content-type"] == "text/event-stream")
        latches[0].open()
        #expect(try client.body(on: stream, atLeast: 11).response?.text == "data: one\n\n")
        latches[1].open()
        #expect(try client.response(on: stream).text == "data: one\n\ndata: two\n\n")
    }

    @Test("B55 Expect: 100-continue: an interim answer before the body, then the final one")
    func expectContinue() throws {
        let pair = try ProtocolPair()
        let client = try pair.proxy.http2()
        let request = Request.post(key: "K").with("expect", "100-continue")
        let stream = try client.open(request.http2Fields, end: false)
        #expect(try client.interim(on: stream).isConnectionOpen)
        try client.send(octets(Canary.requestBody), on: stream, end: true)
        let first = try client.response(on: stream)
        expectAnswer(first)
        #expect(first.interim.map(\.status) == [100])
        let again = try client.open(request.http2Fields, end: false)
        try client.send(octets(Canary.requestBody), on: again, end: true)
        expectReplayAcross(try client.response(on: again), of: first)
    }

    @Test("B55 an unknown expectation: 417")
    func unknownExpectation() throws {
        let pair = try ProtocolPair()
        #expect(try pair.proxy.send(Request.post(key: "K").with("expect", "miracle"), over: .h2c).status == 417)
        #expect(pair.service.attempts == 0)
    }

    @Test("interim answers of the service are passed on")
    func interim() throws {
        let upstream = try ScriptedUpstream { _ in .interim([(103, [Field("Link", "</a.css>; rel=preload")])]) }
        var configuration = ProxyConfiguration(upstream)
        try configuration.listenEverywhere()
        let client = try ProxyProcess(configuration).http2()
        let response = try client.send(.post(key: "K"))
        #expect(response.interim.map(\.status) == [103])
        #expect(response.interim.first?["link"] == "</a.css>; rel=preload")
    }

    @Test("B9 B49 HEAD, 204 and 304 end without a body", arguments: [ServiceKind.http1, .h2c])
    func bodiless(kind: ServiceKind) throws {
        let pair = try ProtocolPair(kind) { request in
            switch request.path {
            case "/204": PlainAnswer(status: 204, fields: [], body: [])
            case "/304": PlainAnswer(status: 304, fields: [Field("etag", "\"a\"")], body: [])
            default: PlainAnswer(status: 200, body: request.method == "HEAD" ? [] : octets("x"))
            }
        }
        let client = try pair.proxy.http2()
        #expect(try client.send(.get("/204")).status == 204)
        #expect(try client.send(.get("/304"))["etag"] == "\"a\"")
        let head = try client.send(Request("HEAD", "/"))
        #expect(head.status == 200)
        #expect(head.body.isEmpty)
        #expect(try client.send(.get("/")).text == "x")
    }

    @Test("cookie lines reach an HTTP/1.1 service as one (RFC 9113 §8.2.3)")
    func cookies() throws {
        let pair = try ProtocolPair()
        _ = try pair.proxy.send(.get("/", [Field("cookie", "a=1"), Field("cookie", "b=2")]), over: .h2c)
        #expect(try pair.service.request(0).fields[all: "cookie"] == ["a=1; b=2"])
    }

    @Test("Upgrade: h2c: 101, the answer on stream 1, and more requests after it")
    func upgrade() throws {
        let pair = try ProtocolPair { PlainAnswer(status: 200, fields: [], body: octets($0.target)) }
        let client = try HTTP2Client(
            pair.proxy.clear, upgrade: [Field(":line", "GET /first HTTP/1.1"), Field("X-A", "1")])
        #expect(client.upgradeHead.hasPrefix("HTTP/1.1 101"), "\(client.upgradeHead)")
        #expect(try client.response(on: 1).text == "/first")
        #expect(try client.send(.get("/second")).text == "/second")
        let first = try pair.service.request(0)
        #expect(first["x-a"] == "1")
        #expect(first.fields[all: "http2-settings"].isEmpty)
        #expect(first.fields[all: "upgrade"].isEmpty)
    }

    @Test("B17 what a listener does not speak is refused")
    func wrongProtocol() throws {
        let pair = try ProtocolPair()
        // HTTP/2 by prior knowledge where a ClientHello should be.
        let preface = try RawClient(pair.proxy.secure)
        try preface.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0")
        #expect(try !text(preface.rest()).contains("HTTP"))
        // HTTP/1.1 where h2 was agreed upon.
        let agreed = try RawClient(TLSRelay(to: pair.proxy.secure, .client(alpn: ["h2"])).address)
        try agreed.send("GET / HTTP/1.1\r\nHost: service.test\r\n\r\n")
        #expect(try !text(agreed.rest()).contains("HTTP/1.1 201"))
        // h2c is not upgraded to under TLS, and the preface is no request where http/1.1 was agreed upon.
        let secure = try RawClient(TLSRelay(to: pair.proxy.secure, .client(alpn: ["http/1.1"])).address)
        try secure.send(
            "GET /tls HTTP/1.1\r\nHost: service.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                + "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
        #expect(try secure.response(to: "GET").status == 201)
        let prior = try RawClient(TLSRelay(to: pair.proxy.secure, .client(alpn: ["http/1.1"])).address)
        try prior.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        #expect(try [400, 505].contains(prior.response().status))
        // A ClientHello where requests in the clear should be.
        #expect(throws: (any Error).self) { try HTTP2Client(pair.proxy.clear, tls: .client()) }
        #expect(pair.service.attempts == 1)
    }

    @Test("B17 `http2 off` in the clear: the preface is no request, Upgrade: h2c is ignored")
    func http2Off() throws {
        let pair = try ProtocolPair(configure: { $0.listen = "listen 127.0.0.1:0 { http2 off; }" })
        let client = try pair.proxy.client()
        try client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        #expect(try [400, 505].contains(client.response().status))
        let upgrading = try HTTP2Client(pair.proxy.clear, upgrade: [])
        #expect(upgrading.upgradeHead.hasPrefix("HTTP/1.1 201"), "\(upgrading.upgradeHead)")
    }

    @Test("B18 drain: two GOAWAYs, streams in flight finish, later ones are not processed")
    func drain() throws {
        let latch = Latch()
        let pair = try ProtocolPair { request in
            request.path == "/held" ? PlainAnswer(latch: latch) : PlainAnswer()
        }
        let client = try pair.proxy.http2(secure: true)
        let held = try client.start(.post("/held", key: "K"))
        try pair.service.waitForExecutions(1)
        pair.proxy.kill(SIGTERM)
        let goAway = try client.waitForGoAway().goAway
        #expect(goAway?.code == 0)
        #expect((goAway?.last ?? 0) >= held)
        latch.open()
        let first = try client.response(on: held)
        expectAnswer(first)
        let ending = try client.waitForClose()
        #expect(ending.goAway?.last == held, "\(ending)")
        #expect(try pair.proxy.waitForExit() == .exit(0))
        #expect(pair.service.executions == 1)
        expectReplayAcross(try pair.proxy.restarted().send(.post("/held", key: "K"), over: .h2c), of: first)
    }

    @Test("an error of ours over HTTP/2 is problem+json")
    func problems() throws {
        let pair = try ProtocolPair(.http1, "on_missing_key reject;")
        let client = try pair.proxy.http2()
        expectProblem(try client.post(), "key-missing", status: 400)
        expectAnswer(try client.post(key: "K"))
        expectProblem(try client.post(key: "K", body: "other"), "key-reused", status: 422)
        #expect(pair.service.executions == 1)
    }

    @Test("the access log and the metrics count requests over HTTP/2")
    func accessLog() throws {
        let pair = try ProtocolPair()
        _ = try pair.proxy.send(.post("/logged", key: "K"), over: .http2)
        let lines = try poll("a line in the access log") {
            let lines = try pair.proxy.accessLog()
            return lines.isEmpty ? nil : lines
        }
        #expect("\(lines[0])".contains("HTTP/2"), "\(lines[0])")
        #expect(try pair.proxy.outcomes("first") == 1)
    }
}
