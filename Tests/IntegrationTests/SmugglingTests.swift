import TestSupport
import Testing

/// Shapes on which two parsers could disagree (checks.md, A): refused, never repaired.
@Suite(.blackBox) struct SmugglingTests {
    static let head = "POST / HTTP/1.1\r\nHost: a\r\n"

    /// Each is a whole request, and the only statuses that may answer it.
    static let refused: [(name: String, octets: String, statuses: [Int])] = [
        ("A2 bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A2 bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", [400]),
        ("A2 bare CR in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\r: a\r\n\r\n", [400]),
        ("A2 CR in a chunk line", head + "Transfer-Encoding: chunked\r\n\r\n1;\ra\r\nx\r\n0\r\n\r\n", [400]),
        ("A3 bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", [400]),
        ("A3 bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", [400]),
        ("A3 bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", [400]),
        ("A3 bare LF in chunks", head + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", [400]),
        ("A4 space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", [400]),
        ("A5 two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A6 version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", [400, 505]),
        ("A6 version 01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", [400, 505]),
        ("A6 version 1.1x", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", [400, 505]),
        ("A6 version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", [400, 505]),
        ("A6 version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", [400, 505]),
        ("A6 lower-case name", "GET / http/1.1\r\nHost: a\r\n\r\n", [400, 505]),
        ("A6 a preface of HTTP/2 that goes wrong", "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", [400, 505]),
        ("A7 method with a space before", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A7 method with a slash", "GE/T / HTTP/1.1\r\nHost: a\r\n\r\n", [400, 501]),
        ("A7 method of 33 octets", String(repeating: "M", count: 33) + " / HTTP/1.1\r\nHost: a\r\n\r\n", [400, 501]),
        (
            "A8 request line over 8 KiB",
            "GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", [414]
        ),
        ("A9 control in the target", "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A9 8-bit in the target", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A9 space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A9 fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A9 no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A9 target that is no path", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A9 tab between the parts", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A9 two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A10 no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", [400]),
        ("A10 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", [400]),
        ("A10 Host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", [400]),
        ("A10 Host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", [400]),
        ("A10 Host with userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", [400]),
        ("A10 port that is no number", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", [400]),
        ("A12 CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", [405, 501]),
        ("A12 authority-form", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("A13 space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", [400]),
        ("A13 space before the colon of Content-Length", head + "Content-Length : 1\r\n\r\nx", [400]),
        ("A14 obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", [400]),
        ("A14 obs-fold with a tab", head + "Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n", [400]),
        ("A15 empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", [400]),
        ("A15 NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\u{0}: b\r\n\r\n", [400]),
        ("A15 8-bit in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: b\r\n\r\n", [400]),
        ("A15 parenthesis in a name", "GET / HTTP/1.1\r\nHost: a\r\nX(a): b\r\n\r\n", [400]),
        ("A15 line without colon", "GET / HTTP/1.1\r\nHost: a\r\nXYZ\r\n\r\n", [400]),
        ("A16 NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{0}b\r\n\r\n", [400]),
        ("A16 control in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{8}b\r\n\r\n", [400]),
        (
            "A17 101 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + (0..<101).map { "X-\($0): y\r\n" }.joined() + "\r\n",
            [431]
        ),
        (
            "A17 one field over 16 KiB",
            "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "a", count: 17_000) + "\r\n\r\n", [431]
        ),
        (
            "A17 head over 32 KiB",
            "GET / HTTP/1.1\r\nHost: a\r\n"
                + (0..<4).map { "X-\($0): " + String(repeating: "a", count: 9000) + "\r\n" }.joined() + "\r\n",
            [431]
        ),
        ("A18 CL then TE", head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
        ("A18 TE then CL", head + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", [400]),
        ("A18 in other case", head + "content-LENGTH: 5\r\ntransfer-ENCODING: Chunked\r\n\r\n0\r\n\r\n", [400]),
        (
            "A19 two TE lines", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            [400, 501]
        ),
        ("A19 chunked twice", head + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", [400, 501]),
        ("A19 empty element", head + "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", [400, 501]),
        ("A19 gzip, chunked", head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [400, 501]),
        ("A19 chunked, gzip", head + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", [400, 501]),
        ("A19 identity", head + "Transfer-Encoding: identity\r\n\r\n", [400, 501]),
        ("A19 xchunked", head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [400, 501]),
        ("A19 a parameter", head + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", [400, 501]),
        ("A19 vertical tab", head + "Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n", [400, 501]),
        ("A19 empty TE", head + "Transfer-Encoding: \r\n\r\n0\r\n\r\n", [400, 501]),
        ("A20 TE in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
        ("A21 CL empty", head + "Content-Length: \r\n\r\n", [400]),
        ("A21 CL +5", head + "Content-Length: +5\r\n\r\n01234", [400]),
        ("A21 CL -1", head + "Content-Length: -1\r\n\r\n", [400]),
        ("A21 CL hexadecimal", head + "Content-Length: 0x5\r\n\r\n01234", [400]),
        ("A21 CL list of equals", head + "Content-Length: 5,5\r\n\r\n01234", [400]),
        ("A21 CL list", head + "Content-Length: 5, 6\r\n\r\n01234", [400]),
        ("A21 CL twice, equal", head + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n01234", [400]),
        ("A21 CL twice, different", head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n01234", [400]),
        ("A21 CL 2^63", head + "Content-Length: 9223372036854775808\r\n\r\n", [400, 413]),
        ("A21 CL 2^64+1", head + "Content-Length: 18446744073709551617\r\n\r\n0", [400, 413]),
        ("A21 CL with underscore", head + "Content-Length: 1_0\r\n\r\n0123456789", [400]),
        ("A21 CL with inner space", head + "Content-Length: 1 0\r\n\r\n0123456789", [400]),
        ("A23 chunk size empty", head + "Transfer-Encoding: chunked\r\n\r\n\r\nx\r\n0\r\n\r\n", [400]),
        ("A23 chunk size 0x", head + "Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", [400]),
        ("A23 chunk size +1", head + "Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n", [400]),
        ("A23 chunk size 1_0", head + "Transfer-Encoding: chunked\r\n\r\n1_0\r\nx\r\n0\r\n\r\n", [400]),
        ("A23 space before the size", head + "Transfer-Encoding: chunked\r\n\r\n 1\r\nx\r\n0\r\n\r\n", [400]),
        ("A23 17 digits", head + "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n", [400, 413]),
        ("A23 16 digits", head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx\r\n0\r\n\r\n", [400, 413]),
        ("A24 chunk data too long", head + "Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n", [400]),
        ("A24 chunk ended by CR X", head + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\rX0\r\n\r\n", [400]),
        (
            "A25 chunk extension over 4 KiB",
            head + "Transfer-Encoding: chunked\r\n\r\n1;a=" + String(repeating: "b", count: 5000)
                + "\r\nx\r\n0\r\n\r\n", [400, 413, 431]
        ),
        (
            "A25 many small extensions",
            head + "Transfer-Encoding: chunked\r\n\r\n" + String(repeating: "1;abcdefgh\r\nx\r\n", count: 600)
                + "0\r\n\r\n", [400, 413, 431]
        ),
        ("A26 a trailer with a bare LF", head + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\r\n", [400]),
        (
            "A35 Connection names the key",
            head + "Idempotency-Key: K\r\nConnection: close, Idempotency-Key\r\nContent-Length: 0\r\n\r\n", [400]
        ),
        (
            "A35 Connection names Authorization",
            head + "Authorization: a\r\nConnection: Authorization\r\nContent-Length: 0\r\n\r\n", [400]
        ),
        (
            "A35 Connection names Content-Length", head + "Connection: content-length\r\nContent-Length: 1\r\n\r\nx",
            [400]
        ),
        ("A35 Connection names Host", head + "Connection: host\r\nContent-Length: 1\r\n\r\nx", [400]),
        ("A37 HTTP/0.9", "GET /\r\n\r\n", [400, 505]),
        ("not HTTP: TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}", [400]),
        ("path with an escaped NUL", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        ("path above the root", "GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    ]

    /// The shapes in groups, each with a proxy of its own.
    private static let groups = Array(0..<8)

    private static func shapes(of group: Int) -> [(name: String, octets: String, statuses: [Int])] {
        refused.enumerated().filter { $0.offset % groups.count == group }.map(\.element)
    }

    @Test(
        "B78 a shape on which parsers could disagree: refused, closed, the service sees nothing",
        arguments: [true, false], groups)
    func refused(isCovered: Bool, group: Int) throws {
        let pair = try Pair(configure: { if !isCovered { $0.route = "" } })
        for shape in Self.shapes(of: group) {
            let client = try pair.proxy.client()
            // What comes after in the same packet must never be taken for a request.
            try? client.send(shape.octets + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            do {
                let method = shape.octets.hasPrefix("HEAD") ? "HEAD" : "GET"
                let response = try client.response(to: method, until: .after(5))
                #expect(shape.statuses.contains(response.status), "\(shape.name): \(response.status)")
                #expect(response["Content-Type"] == "application/problem+json", "\(shape.name)")
                #expect(response.fields[all: "Connection"].contains { $0.lowercased() == "close" }, "\(shape.name)")
                let rest = try client.rest(until: .after(5))
                #expect(rest.isEmpty, "\(shape.name): \(text(rest))")
            } catch {
                Issue.record("\(shape.name): \(error)")
            }
        }
        #expect(pair.upstream.requests.map(\.target).filter { $0 == "/smuggled" }.isEmpty)
        #expect(
            pair.upstream.executions == 0, "\(pair.upstream.requests.filter(\.isComplete).map { text($0.headOctets) })")
        // On a covered route not even a head may get there.
        if isCovered { #expect(pair.upstream.attempts == 0) }
        expectAnswer(try pair.proxy.send(.get()))
    }

    @Test("B78 the same shapes octet by octet are refused as well (A40)", arguments: groups)
    func refusedInPieces(group: Int) throws {
        let pair = try Pair()
        for shape in Self.shapes(of: group) where shape.octets.utf8.count < 300 {
            let client = try pair.proxy.client()
            try? client.sendOctetByOctet(octets(shape.octets))
            do {
                let response = try client.response(to: "GET", until: .after(5))
                #expect(shape.statuses.contains(response.status), "\(shape.name): \(response.status)")
            } catch {
                Issue.record("\(shape.name): \(error)")
            }
        }
        // Without a key these pass through, streaming: a head may be on its way before its body proves to be malformed.
        #expect(pair.upstream.executions == 0)
    }

    /// Unusual, and right: each must reach the service as one request with this body.
    static let accepted: [(name: String, octets: String, body: String)] = [
        ("one empty line first (A5)", "\r\n" + head + "Content-Length: 3\r\n\r\nabc", "abc"),
        ("leading zeros", head + "Content-Length: 003\r\n\r\nabc", "abc"),
        ("white space around the length", head + "Content-Length: \t3 \r\n\r\nabc", "abc"),
        ("names in any case", "POST / HTTP/1.1\r\nhOST: a\r\ncONTENT-lENGTH: 3\r\n\r\nabc", "abc"),
        ("chunked in any case", head + "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("chunk extensions", head + "Transfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n", "abc"),
        ("leading zeros in a chunk size", head + "Transfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n000\r\n\r\n", "abc"),
        (
            "upper and lower hexadecimal",
            head + "Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "01234567890123456789"
        ),
        ("no body", head + "\r\n", ""),
        ("a GET with a body (A28)", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("absolute-form (A11)", "POST http://other/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("8-bit in a value", head + "X: caf\u{e9}\u{a0}\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("empty value", head + "X:\r\nContent-Length: 3\r\n\r\nabc", "abc"),
    ]

    @Test("B78 what is unusual and right passes, in any segmentation, rebuilt with one framing (A27, A40)")
    func accepted() throws {
        let pair = try Pair("on_missing_key pass;")
        var expected = 0
        for shape in Self.accepted {
            for inPieces in [false, true] {
                let client = try pair.proxy.client()
                if inPieces { try client.sendOctetByOctet(octets(shape.octets)) } else { try client.send(shape.octets) }
                let response = try client.response()
                #expect(response.status == 201, "\(shape.name): \(response.status) \(response.text)")
                expected += 1
                let received = try #require(pair.upstream.requests.last)
                #expect(text(received.body) == shape.body, "\(shape.name)")
                let framing =
                    received.fields[all: "Content-Length"].count + received.fields[all: "Transfer-Encoding"].count
                #expect(framing <= 1, "\(shape.name)")
                #expect(received.version == "HTTP/1.1")
                #expect(received.fields[all: "Host"].count == 1)
            }
        }
        #expect(pair.upstream.executions == expected)
        #expect(pair.upstream.requests.filter { $0.target.hasSuffix("/x") }.allSatisfy { $0["Host"] == "other" })
    }

    @Test("A22 octets after a request without framing are the next request")
    func noFraming() throws {
        let pair = try Pair()
        let client = try pair.proxy.client()
        try client.send("POST /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        expectAnswer(try client.response())
        expectAnswer(try client.response(to: "GET"))
        #expect(pair.upstream.requests.map(\.target) == ["/1", "/2"])
    }

    @Test("A33 an early answer: the rest of the body is never the next request")
    func earlyAnswer() throws {
        let pair = try Pair("request_body_limit 1KiB;")
        let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        for body in [inner + String(repeating: "x", count: 2000), String(repeating: inner, count: 4000)] {
            let client = try pair.proxy.client()
            try? client.send(.post("/", key: "\"bad", body: body))
            let response = try client.response()
            #expect([400, 413].contains(response.status))
            if !client.isClosed(within: 0.2) {
                let next = try? client.exchange(.get("/next"))
                if let next { expectAnswer(next) }
            }
        }
        #expect(pair.upstream.requests.allSatisfy { $0.target == "/next" })
    }

    @Test("A37 HTTP/1.0: closed after the answer, kept only on request")
    func oldVersion() throws {
        let pair = try Pair()
        let client = try pair.proxy.client()
        try client.send("GET / HTTP/1.0\r\n\r\n")
        expectAnswer(try client.response(to: "GET"))
        #expect(client.isClosed())
        let keeping = try pair.proxy.client()
        for _ in 0..<2 {
            try keeping.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            expectAnswer(try keeping.response(to: "GET"))
        }
        #expect(pair.upstream.executions == 3)
    }

    @Test("A12 TRACE is refused")
    func trace() throws {
        let pair = try Pair()
        let response = try pair.proxy.send(Request("TRACE", "/"))
        #expect([405, 501].contains(response.status))
        #expect(response["Content-Type"] == "application/problem+json")
        #expect(pair.upstream.attempts == 0)
    }

    @Test("malformed requests are counted by reason")
    func counted() throws {
        let pair = try Pair()
        let client = try pair.proxy.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n")
        #expect(try client.response(to: "GET").status == 400)
        #expect(try pair.proxy.metric("oncegate_http_malformed_requests_total") == 1)
    }
}
