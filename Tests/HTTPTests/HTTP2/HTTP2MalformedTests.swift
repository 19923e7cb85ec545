import Testing

@testable import HTTP

@Suite("HTTP/2: malformed heads, checks B12 to B16 and B19")
struct HTTP2MalformedTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var name: String
        var fields: [(String, String)]
        var testDescription: String { name }

        init(_ name: String, _ changes: [(String, String?)], _ more: [(String, String)] = []) {
            self.name = name
            fields = Frames.request(changes, more)
        }

        init(_ name: String, exactly fields: [(String, String)]) {
            self.name = name
            self.fields = fields
        }
    }

    static let malformedHeads: [Example] =
        [
            Example("no method", [(":method", nil)]), Example("no scheme", [(":scheme", nil)]),
            Example("no path", [(":path", nil)]), Example("empty path", [(":path", "")]),
            Example("path without slash", [(":path", "a")]), Example("asterisk with GET", [(":path", "*")]),
            Example("absolute path", [(":path", "https://a.example/")]),
            Example("asterisk and more", [(":method", "OPTIONS"), (":path", "*a")]),
            Example("other scheme", [(":scheme", "ftp")]), Example("empty scheme", [(":scheme", "")]),
            Example("two methods", [], [(":method", "GET")]), Example("two paths", [], [(":path", "/")]),
            Example("two schemes", [], [(":scheme", "https")]),
            Example("two authorities", [], [(":authority", "a.example")]),
            Example("unknown pseudo-header", [(":foo", "bar")]), Example("status in a request", [(":status", "200")]),
            Example("extended CONNECT", [(":method", "CONNECT"), (":protocol", "websocket")]),
            Example(
                "pseudo-header after a field",
                exactly: [
                    (":method", "GET"), (":scheme", "https"), ("accept", "*/*"), (":path", "/"), (":authority", "a"),
                ]),
            Example("no host", [(":authority", nil)]),
            Example("Host contradicts :authority", [], [("host", "b.example")]),
            Example("Host twice", [(":authority", nil)], [("host", "a.example"), ("host", "a.example")]),
            Example("Host twice beside :authority", [], [("host", "a.example"), ("host", "a.example")]),
            Example("method with a space", [(":method", "GET /x")]),
            Example("method with CRLF", [(":method", "GET / HTTP/1.1\r\nHost: b\r\n\r\n")]),
            Example("empty method", [(":method", "")]),
            Example("path with CRLF", [(":path", "/ HTTP/1.1\r\nX: y")]),
            Example("path with a space", [(":path", "/a b")]), Example("path with NUL", [(":path", "/\0")]),
            Example("authority with CRLF", [(":authority", "a\r\nX: y")]),
            Example("content-length with body missing", [], [("content-length", "5")]),
            Example(
                "two equal content-lengths", [(":method", "POST")], [("content-length", "0"), ("content-length", "0")]
            ),
        ]
        + ["+5", "-1", "", "0x5", "5 ", "5,5", "9223372036854775808", "1_0"].map {
            Example("content-length '\($0)'", [(":method", "POST")], [("content-length", $0)])
        }
        + [
            ("connection", "close"), ("keep-alive", "1"), ("proxy-connection", "x"), ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"), ("te", "gzip"), ("te", "trailers, deflate"), ("Accept", "x"), ("aCcept", "x"),
            ("", "x"),
            ("a b", "x"), ("a:b", "x"), ("a\r\nb", "x"), ("a\0", "x"), ("a\u{80}", "x"), ("x", "a\rb"), ("x", "a\nb"),
            ("x", "a\0b"), ("x", "a\u{1}b"), ("x", "a\u{7f}b"), ("x", " a"), ("x", "a "), ("x", "\ta"), ("x", "a\t"),
            ("x", "a\r\nY: z"),
        ].map { field in Example("field '\(field.0)' of '\(field.1)'", [], [field]) }

    @Test("Malformed: RST_STREAM with PROTOCOL_ERROR, nothing told, the connection goes on", arguments: malformedHeads)
    func malformed(_ example: Example) throws {
        let server = HTTP2Peer(.server)
        server.receive(Frames.clientStart + Frames.headers(1, example.fields))
        let frames = Frames.read(server.output())
        #expect(server.told == [] && server.error == nil)
        let resets = frames.filter { $0.type == 0x3 }
        #expect(resets.map(\.code) == [.protocolError] && resets.map(\.stream) == [1], "\(frames)")
        #expect(!frames.contains { $0.type == 0x7 })
        // The compression state is still right, and the stream forgotten.
        server.receive(Frames.headers(3, Frames.request([(":path", "/next")])))
        #expect(server.told.count == 1)
        #expect(server.session.activeStreams == 1)
    }

    static let refusedHeads: [(String, [(String, String)], HTTPError)] = [
        ("CONNECT", [(":method", "CONNECT"), (":authority", "a.example:443")], .connectNotSupported),
        ("long method", Frames.request([(":method", String(repeating: "M", count: 33))]), .methodTooLong),
        ("fragment", Frames.request([(":path", "/a#b")]), .invalidTarget),
        ("fragment in the query", Frames.request([(":path", "/a?b#c")]), .invalidTarget),
        ("backslash", Frames.request([(":path", "/a\\b")]), .invalidTarget),
        ("eight bits", Frames.request([(":path", "/\u{e4}")]), .invalidTarget),
        ("long path", Frames.request([(":path", "/" + String(repeating: "a", count: 8192))]), .requestLineTooLong),
        ("user information", Frames.request([(":authority", "u@a.example")]), .invalidHost),
        ("list of hosts", Frames.request([(":authority", "a,b")]), .invalidHost),
        ("bad port", Frames.request([(":authority", "a:65536")]), .invalidHost),
        ("other expectation", Frames.request([], [("expect", "200-ok")]), .unknownExpectation),
        ("too many fields", Frames.request([], (0..<101).map { ("x-\($0)", "v") }), .tooManyFields),
        (
            "too large a head",
            Frames.request([], (0..<5).map { ("x-\($0)", String(repeating: "v", count: 3_000)) }), .headTooLarge
        ),
    ]

    @Test(
        "Refused with a status: the caller answers, what follows is discarded, the connection goes on",
        arguments: refusedHeads)
    func refused(_ example: (name: String, fields: [(String, String)], error: HTTPError)) {
        var limits = HTTP2Limits()
        if example.error == .headTooLarge { limits.headerListBytesMax = 12_000 }
        let server = HTTP2Peer(.server, limits)
        server.receive(Frames.clientStart + Frames.headers(1, example.fields, ends: false))
        server.receive(Frames.data(1, [1, 2, 3]) + Frames.data(1, [4], ends: true))
        #expect(server.told == [.malformed(1, example.error)], "\(example.name)")
        server.respond(1, example.error.status)
        let frames = Frames.read(server.output())
        #expect(frames.contains { $0.type == 0x1 && $0.stream == 1 && $0.flags & Frames.endStream != 0 })
        #expect(server.told.last == .closed(1))
        server.receive(Frames.headers(3, Frames.request()))
        #expect(server.told.count == 3 && server.session.activeStreams == 1)
    }

    @Test("Valid: what is at the edge")
    func valid() {
        for (fields, lines) in [
            (Frames.request([(":method", "OPTIONS"), (":path", "*")]), "host: a.example\r\n"),
            (Frames.request([], [("host", "A.example")]), "host: a.example\r\n"),
            (Frames.request([(":authority", nil)], [("x", "y"), ("host", "a")]), "x: y\r\nhost: a\r\n"),
            (Frames.request([], [("te", "trailers"), ("x", "")]), "host: a.example\r\nte: trailers\r\nx: \r\n"),
            (Frames.request([], [("x", "\u{e4} \t b")]), nil),
            (
                Frames.request([], [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")]),
                "host: a.example\r\ncookie: a=1; b=2; c=3\r\nx: y\r\n"
            ),
            (Frames.request([], [("content-length", "0")]), "host: a.example\r\ncontent-length: 0\r\n"),
        ] as [([(String, String)], String?)] {
            let server = HTTP2Peer(.server)
            server.receive(Frames.clientStart + Frames.headers(1, fields))
            guard case .request(_, _, _, _, let told, .none)? = server.told.first, server.told.count == 1 else {
                Issue.record("\(fields): \(server.told)")
                continue
            }
            if let lines { #expect(told == lines) }
        }
    }

    @Test("B15: DATA that does not add up to content-length")
    func contentLength() {
        for pieces in [[3, 2], [6], [2, 4]] {
            let server = HTTP2Peer(.server)
            let fields = Frames.request([(":method", "POST")], [("content-length", "5")])
            server.receive(Frames.clientStart + Frames.headers(1, fields, ends: false))
            for (index, count) in pieces.enumerated() {
                server.receive(
                    Frames.data(1, [UInt8](repeating: 1, count: count), ends: index == pieces.count - 1))
            }
            let resets = Frames.read(server.output()).filter { $0.type == 0x3 }
            let hasEnded = server.told.contains { if case .ended = $0 { true } else { false } }
            if pieces == [3, 2] {
                #expect(hasEnded && resets.isEmpty)
            } else {
                #expect(!hasEnded && resets.map(\.code) == [.protocolError])
                #expect(server.told.last == .reset(1, .protocolError, by: .session))
            }
        }
        let server = HTTP2Peer(.server)
        let fields = Frames.request([(":method", "POST")], [("content-length", "5")])
        server.receive(
            Frames.clientStart + Frames.headers(1, fields, ends: false) + Frames.data(1, [1, 2], ends: true))
        #expect(Frames.read(server.output()).contains { $0.type == 0x3 && $0.code == .protocolError })
        #expect(!server.told.contains { if case .ended = $0 { true } else { false } })
    }

    @Test("Trailers: forbidden ones left out, malformed and too many refused")
    func trailers() {
        func told(_ fields: [(String, String)], ends: Bool = true) -> (HTTP2Peer, [Frames.Frame]) {
            let server = HTTP2Peer(.server)
            let start = Frames.headers(1, Frames.request([(":method", "POST")]), ends: false)
            server.receive(Frames.clientStart + start + Frames.headers(1, fields, ends: ends))
            server.told.removeFirst()
            return (server, Frames.read(server.output()))
        }
        let id: HTTP2StreamID = 1
        #expect(
            told([("x", "y"), ("idempotency-key", "k"), ("host", "a.example"), ("x", "z")]).0.told
                == [.ended(id, trailers: "x: y\r\nx: z\r\n")])
        #expect(told([("authorization", "k")]).0.told == [.ended(id, trailers: "")])
        for bad in [[(":path", "/")], [("X", "y")], [("x", "a\nb")], [("connection", "close")]] {
            let (server, frames) = told(bad)
            #expect(server.told == [.reset(id, .protocolError, by: .session)], "\(bad)")
            #expect(frames.contains { $0.type == 0x3 && $0.code == .protocolError })
        }
        #expect(told((0..<33).map { ("x\($0)", "") }).0.told == [.malformed(id, .tooManyTrailers)])
        #expect(told([("x", String(repeating: "a", count: 8200))]).0.told == [.malformed(id, .trailersTooLarge)])
        // Without END_STREAM they are no trailers.
        #expect(told([("x", "y")], ends: false).1.contains { $0.type == 0x3 || $0.type == 0x7 })
    }
}
