import Testing

@testable import HTTP

@Suite("HTTP/1 bodies")
struct BodyDecoderTests {
    private static let malformedBodies: [(String, HTTPError)] = [
        ("\r\n", HTTPError.invalidChunkSize), (" 5\r\n", .invalidChunkSize), ("5 \r\n", .invalidChunkSize),
        ("0x5\r\n", .invalidChunkSize),
        ("+5\r\n", .invalidChunkSize), ("-5\r\n", .invalidChunkSize), ("1_0\r\n", .invalidChunkSize),
        ("5\t;a\r\n", .invalidChunkSize),
        ("g\r\n", .invalidChunkSize), (";a\r\n", .invalidChunkSize), ("00000000000000005\r\n", .invalidChunkSize),
        ("8000000000000000\r\n", .invalidChunkSize), ("ffffffffffffffff\r\n", .invalidChunkSize),
        ("10000000000000000\r\n", .invalidChunkSize),
        ("5\n", .bareLineFeed), ("\n", .bareLineFeed), ("5\rX", .bareCarriageReturn), ("5\r\r\n", .bareCarriageReturn),
        ("5;a\n", .bareLineFeed), ("5;a\rb", .bareCarriageReturn), ("5;a \r b", .bareCarriageReturn),
        ("5;a=\"b\r\n\"\r\n", .invalidChunkExtension),
        ("5;a=\"b\\\r\n", .invalidChunkExtension), ("5;a\u{0}\r\n", .invalidChunkExtension),
        ("5;\u{e9}\r\n", .invalidChunkExtension),
        ("1\r\nab\r\n", .chunkNotTerminated), ("1\r\na\rX", .chunkNotTerminated), ("1\r\na\n", .chunkNotTerminated),
        ("1\r\na0\r\n\r\n", .chunkNotTerminated),
        ("0\r\nX : y\r\n\r\n", .whitespaceBeforeColon), ("0\r\n X: y\r\n\r\n", .whitespaceBeforeFirstField),
        ("0\r\nX: y\r\n z\r\n\r\n", .obsoleteFold),
        ("0\r\nX: y\n\r\n", .bareLineFeed), ("0\r\nGET / HTTP/1.1\r\n\r\n", .invalidFieldName),
        ("0\r\nX: \rY\r\n\r\n", .bareCarriageReturn),
        ("0\r\n\n", .bareLineFeed), ("5\r\nhell", .incomplete), ("", .incomplete), ("0\r\n", .incomplete),
        ("0\r\nX: y\r\n", .incomplete),
    ]

    @Test("A2, A23 to A25: malformed chunks are refused, at every split", arguments: malformedBodies)
    func malformed(_ text: String, _ error: HTTPError) {
        let octets = Array(text.utf8)
        #expect(transcript(.body(.chunked), octets).last == .error(error))
        #expect(transcript(.body(.chunked), octets, cuts: Array(0...octets.count)).last == .error(error))
        #expect(octets.isEmpty || error.status == 400)
    }

    @Test("A25: extensions and padding are bounded over the whole message")
    func overhead() {
        let extended = String(repeating: "1;" + String(repeating: "a", count: 99) + "\r\nx\r\n", count: 50)
        #expect(transcript(.body(.chunked), Array(extended.utf8)).last == .error(.chunkExtensionsTooLarge))
        let padded = String(repeating: "0000000000000001\r\nx\r\n", count: 10_000)
        #expect(transcript(.body(.chunked), Array(padded.utf8)).last == .error(.chunkOverheadTooLarge))
        #expect(HTTPError.chunkOverheadTooLarge.status == 413 && HTTPError.chunkExtensionsTooLarge.status == 413)
        let tiny = String(repeating: "1\r\nx\r\n", count: 3000) + "0\r\n\r\n"
        #expect(transcript(.body(.chunked), Array(tiny.utf8)) == [.data([UInt8](repeating: 0x78, count: 3000)), .end])
    }

    @Test("A26: trailers are bounded; fields of consequence are not taken from them")
    func trailers() {
        let many = "0\r\n" + String(repeating: "A: b\r\n", count: 33) + "\r\n"
        #expect(transcript(.body(.chunked), Array(many.utf8)).last == .error(.tooManyTrailers))
        let long = "0\r\nA: " + String(repeating: "b", count: 8200) + "\r\n\r\n"
        let last = transcript(.body(.chunked), Array(long.utf8)).last
        #expect(last == .error(.trailersTooLarge) || last == .error(.fieldTooLong))
        let forbidden = [
            "Content-Length: 5", "Transfer-Encoding: x", "Host: a", "Authorization: b", "Cookie: c", "Set-Cookie: d",
            "idempotency-KEY: e", "Connection: f", "Content-Type: g",
        ]
        let octets = Array("1\r\nx\r\n0\r\nA:1\r\n\(forbidden.joined(separator: "\r\n"))\r\nB: 2 \r\n\r\n".utf8)
        #expect(
            transcript(.body(.chunked), octets) == [.data([0x78]), .trailers(Array("A: 1\r\nB: 2\r\n".utf8)), .end])
        let onlyForbidden = Array("0\r\nHost: a\r\n\r\n".utf8)
        #expect(transcript(.body(.chunked), onlyForbidden) == [.end])
    }

    @Test("RFC 9112 §7.1: chunks of every size form")
    func chunks() {
        let octets = Array("A\r\n0123456789\r\n0b;x\r\nabcdefghijk\r\n00\r\n\r\n".utf8)
        #expect(transcript(.body(.chunked), octets) == [.data(Array("0123456789abcdefghijk".utf8)), .end])
    }

    @Test("A known length ends exactly there, and at once")
    func length() throws {
        var decoder = BodyDecoder(framing: .length(5))
        var steps = [try decoder.next(""), try decoder.next("abc")]
        #expect(!decoder.isEnd)
        var broken = decoder
        #expect(throws: HTTPError.incomplete) { try broken.inputEnded() }
        steps.append(try decoder.next("def"))
        #expect(decoder.isEnd)
        steps.append(try decoder.next("f"))
        try decoder.inputEnded()
        #expect(
            steps == [.needsMore(consumed: 0), .data(consumed: 3, 0..<3), .data(consumed: 2, 0..<2), .end(consumed: 0)])
    }

    @Test("No body takes nothing; until close takes all")
    func others() throws {
        var none = BodyDecoder(framing: .none)
        #expect(none.isEnd && BodyDecoder(framing: .length(0)).isEnd)
        let nothing = try none.next("a")
        #expect(nothing == .end(consumed: 0))
        var untilClose = BodyDecoder(framing: .untilClose)
        let all = try untilClose.next("ab")
        #expect(all == .data(consumed: 2, 0..<2))
        #expect(!untilClose.isEnd)
        try untilClose.inputEnded()
        #expect(untilClose.isEnd)
    }

    @Test("The piece of a chunk is where the step says, behind its size line")
    func pieceInPlace() throws {
        var decoder = BodyDecoder(framing: .chunked)
        let steps = [try decoder.next("3\r\nabc\r\n0\r\n\r\nG"), try decoder.next("\r\n0\r\n\r\nG")]
        #expect(steps == [.data(consumed: 6, 3..<6), .end(consumed: 7)])
        #expect(decoder.isEnd && decoder.trailers == nil)
    }
}
