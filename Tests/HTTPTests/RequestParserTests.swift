import Testing

@testable import HTTP

/// The head of one complete request.
func parseRequest(_ text: String) throws -> RequestHead {
    var parser = RequestParser()
    var head = RequestHead()
    let octets = Array(text.utf8)
    let count = try parser.parse(octets.span, into: &head)
    #expect(count == octets.count)
    return head
}

extension RequestHead {
    func text(_ range: OctetRange) -> String { String(decoding: fields.octets[range.bounds], as: UTF8.self) }
}

@Suite("HTTP/1 requests")
struct RequestParserTests {
    @Test("Malformed requests are refused with their status and reason", arguments: MalformedRequests.all)
    func malformed(_ example: MalformedRequests.Example) {
        var parser = RequestParser()
        var head = RequestHead()
        #expect(throws: example.error) { try parser.parse(example.octets.span, into: &head) }
        let expected: UInt16
        switch example.error {
        case .requestLineTooLong: expected = 414
        case .tooManyFields, .fieldTooLong, .headTooLarge: expected = 431
        case .methodTooLong, .connectNotSupported, .unsupportedTransferCoding: expected = 501
        case .versionNotSupported: expected = 505
        case .unknownExpectation: expected = 417
        default: expected = 400
        }
        #expect(example.error.status == expected)
    }

    @Test("Every error has a reason of its own, lower-case and hyphenated")
    func reasons() {
        let reasons = HTTPError.allCases.map { "\($0.reason)" }
        #expect(Set(reasons).count == reasons.count)
        for reason in reasons { #expect(reason.allSatisfy { $0.isLowercase || $0 == "-" || $0.isNumber }) }
        for error in HTTPError.allCases { #expect([400, 413, 414, 417, 431, 501, 502, 505].contains(error.status)) }
    }

    @Test("Faults that no further octet can mend are refused before the head is complete")
    func atOnce() {
        for text in [
            "\u{16}", "\r\n\r", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n", "GET / HTTP/1.1\r\nHost: a\r\n ",
            "GET / HTTP/1.1\r\nX\u{0}", "GET / HTTP/1.1\r\n\t", "GET /\r\n", "GET / HTTP/1.1\r\nX y: a\r\n",
            "GET / HTTP/1.1\rx",
        ] {
            var parser = RequestParser()
            var head = RequestHead()
            #expect(throws: HTTPError.self, "\(text.debugDescription)") {
                try parser.parse(Array(text.utf8).span, into: &head)
            }
        }
    }

    @Test("The parts of an origin-form target")
    func originForm() throws {
        let head = try parseRequest("POST /a//b/%7e?x=1&y=?z HTTP/1.1\r\nHost: Example.org:8080\r\n\r\n")
        #expect(head.method == .post && head.form == .origin && head.version == .http11 && head.hasQuery)
        #expect(head.text(head.methodRange) == "POST" && head.text(head.targetRange) == "/a//b/%7e?x=1&y=?z")
        #expect(head.text(head.path) == "/a//b/%7e" && head.text(head.query) == "x=1&y=?z")
        #expect(head.text(head.authority) == "Example.org:8080" && head.text(head.host) == "Example.org")
        #expect(head.framing == .none && head.keepsAlive && !head.expectsContinue && !head.wantsUpgrade)
    }

    @Test("A11: an absolute-form target's authority wins over Host")
    func absoluteForm() throws {
        let head = try parseRequest("GET HTTP://[::1]:80/p?q HTTP/1.1\r\nHost: other\r\n\r\n")
        #expect(head.form == .absolute && head.text(head.authority) == "[::1]:80" && head.text(head.host) == "[::1]")
        #expect(head.text(head.path) == "/p" && head.text(head.query) == "q")
        let empty = try parseRequest("GET https://a?q HTTP/1.1\r\nHost: other\r\n\r\n")
        #expect(empty.text(empty.path) == "/" && empty.text(empty.query) == "q" && empty.text(empty.authority) == "a")
    }

    @Test("A12: OPTIONS * and TRACE are read; the proxy decides")
    func asteriskAndTrace() throws {
        let options = try parseRequest("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(options.form == .asterisk && options.text(options.path) == "*" && options.method == .options)
        #expect(try parseRequest("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").method == .trace)
    }

    @Test("A7: methods are case-sensitive and read whole")
    func methods() throws {
        let methods: [(String, RequestHead.Method)] = [
            ("GET", .get), ("HEAD", .head), ("OPTIONS", .options), ("TRACE", .trace), ("POST", .post), ("PUT", .put),
            ("DELETE", .delete), ("PATCH", .patch), ("post", .other), ("POSTS", .other), ("POS", .other),
            ("M-SEARCH", .other),
            (String(repeating: "A", count: 32), .other),
        ]
        for (name, method) in methods {
            #expect(try parseRequest("\(name) / HTTP/1.1\r\nHost: a\r\n\r\n").method == method)
        }
    }

    private static let persistences: [(String, String, Bool)] = [
        ("HTTP/1.1", "", true), ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: x, CLOSE\r\n", false),
        ("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", false), ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true), ("HTTP/1.0", "Connection: keep-alive, close\r\n", false),
        ("HTTP/1.1", "Connection: ,, keep-alive ,\r\n", true), ("HTTP/1.1", "Connection: closed\r\n", true),
    ]

    @Test("A37: persistence", arguments: persistences)
    func persistence(_ version: String, _ fields: String, _ keepsAlive: Bool) throws {
        #expect(try parseRequest("GET / \(version)\r\nHost: a\r\n\(fields)\r\n").keepsAlive == keepsAlive)
    }

    @Test("HTTP/1.0 may do without Host")
    func hostInHTTP10() throws {
        let head = try parseRequest("GET / HTTP/1.0\r\n\r\n")
        #expect(head.authority.isEmpty && head.host.isEmpty && head.version == .http10)
    }

    private static let framings: [(String, BodyFraming)] = [
        ("", BodyFraming.none), ("Content-Length: 0\r\n", .length(0)),
        ("Content-Length: 9223372036854775807\r\n", .length(1 << 63 - 1)),
        ("Content-Length: \t5\t \r\n", .length(5)), ("Content-Length: 007\r\n", .length(7)),
        ("Transfer-Encoding: \tChunked \r\n", .chunked),
    ]

    @Test("A21, A22: framing", arguments: framings)
    func framing(_ fields: String, _ framing: BodyFraming) throws {
        #expect(try parseRequest("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n").framing == framing)
    }

    @Test("Expect, Upgrade and TE")
    func intentions() throws {
        let expects = try parseRequest("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
        #expect(expects.expectsContinue)
        let bodiless = try parseRequest("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n")
        #expect(!bodiless.expectsContinue)
        let old = try parseRequest("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        #expect(!old.expectsContinue)
        let upgrade = try parseRequest(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Upgrade\r\nUpgrade: websocket\r\n\r\n")
        #expect(upgrade.wantsUpgrade)
        #expect(!(try parseRequest("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n").wantsUpgrade))
        #expect(!(try parseRequest("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").wantsUpgrade))
        #expect(try parseRequest("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=1, Trailers\r\n\r\n").acceptsTrailers)
        #expect(!(try parseRequest("GET / HTTP/1.1\r\nHost: a\r\nTE: trailersx\r\n\r\n").acceptsTrailers))
    }

    @Test("A1, A16: octets that are not UTF-8 stay as they are, and only SP and HTAB are trimmed")
    func octetsStay() throws {
        var octets = Array("GET / HTTP/1.1\r\nHost: a\r\nX: \t".utf8)
        let value: [UInt8] = [0xa0, 0xff, 0xc3, 0x20, 0x09, 0x85]
        octets += value + Array(" \t\r\nEmpty: \t \r\n\r\n".utf8)
        var parser = RequestParser()
        var head = RequestHead()
        let count = try parser.parse(octets.span, into: &head)
        #expect(count == octets.count)
        #expect(Array(head.fields.octets[head.fields.lines[1].value.bounds]) == value)
        #expect(head.fields.lines[2].value.isEmpty)
    }

    @Test("A8, A17: what is exactly at a limit is accepted")
    func atTheLimit() throws {
        _ = try parseRequest("GET /" + String(repeating: "a", count: 8192 - 14) + " HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = try parseRequest("GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "A: b\r\n", count: 99) + "\r\n")
        _ = try parseRequest("GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "a", count: 16384 - 3) + "\r\n\r\n")
        let first = "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "a", count: 16381) + "\r\nY: "
        _ = try parseRequest(first + String(repeating: "a", count: 32768 - first.utf8.count - 4) + "\r\n\r\n")
    }

    @Test("A32: pipelined requests are taken one by one from the same parser")
    func pipelined() throws {
        let octets = Array("\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGE".utf8)
        var parser = RequestParser()
        var head = RequestHead()
        let first = try parser.parse(octets.span, into: &head) ?? 0
        #expect(head.text(head.path) == "/1" && !parser.hasBegun)
        let rest = Array(octets[first...])
        let second = try parser.parse(rest.span, into: &head) ?? 0
        #expect(head.text(head.path) == "/2")
        let third = try parser.parse(Array(rest[second...]).span, into: &head)
        #expect(third == nil)
        #expect(parser.hasBegun)
    }

    @Test("A CRLF alone does not begin a request")
    func lineEndAlone() throws {
        var parser = RequestParser()
        var head = RequestHead()
        for text in ["\r", "\r\n"] {
            let count = try parser.parse(Array(text.utf8).span, into: &head)
            #expect(count == nil)
        }
        #expect(!parser.hasBegun)
    }

    @Test("A reused head keeps its buffers: the steady state allocates nothing")
    func reuse() throws {
        let octets = Array(MessageCorpus.requests[1].utf8)
        var parser = RequestParser()
        var head = RequestHead()
        _ = try parser.parse(octets.span, into: &head)
        let before = Self.buffers(of: head)
        for _ in 0..<100 { _ = try parser.parse(octets.span, into: &head) }
        head.reset()
        _ = try parser.parse(octets.span, into: &head)
        let after = Self.buffers(of: head)
        #expect(after == before)
    }

    /// Where the head's two arrays keep their elements.
    private static func buffers(of head: borrowing RequestHead) -> [UInt] {
        // Safe: only the addresses leave the closures.
        unsafe [
            head.fields.octets.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) },
            head.fields.lines.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) },
        ]
    }
}
