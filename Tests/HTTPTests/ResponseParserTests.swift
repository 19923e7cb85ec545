import Testing

@testable import HTTP

@Suite("HTTP/1 responses")
struct ResponseParserTests {
    private func parse(_ text: String, _ method: RequestHead.Method = .get) throws -> ResponseHead {
        var parser = ResponseParser()
        var head = ResponseHead()
        let octets = Array(text.utf8)
        let count = try parser.parse(octets.span, requestMethod: method, into: &head)
        #expect(count == octets.count)
        return head
    }

    private static let malformedResponses: [(String, HTTPError)] = [
        ("HTTP/1.1 20 OK\r\n\r\n", HTTPError.invalidStatus), ("HTTP/1.1 2000 OK\r\n\r\n", .malformedStatusLine),
        ("HTTP/1.1 099 X\r\n\r\n", .invalidStatus), ("HTTP/1.1 600 X\r\n\r\n", .invalidStatus),
        ("HTTP/1.1 20x X\r\n\r\n", .invalidStatus), ("HTTP/1.1  200 OK\r\n\r\n", .invalidStatus),
        ("HTTP/1.1\r\n\r\n", .malformedStatusLine), ("HTTP/2.0 200 OK\r\n\r\n", .versionNotSupported),
        ("HTTP/1.x 200 OK\r\n\r\n", .malformedVersion), ("ICY 200 OK\r\n\r\n", .invalidFirstOctet),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", .invalidFirstOctet), ("HTTP/1.1 200 O\rK\r\n\r\n", .bareCarriageReturn),
        ("HTTP/1.1 200 OK\n\n", .bareLineFeed), ("HTTP/1.1 200 O\u{0}\r\n\r\n", .controlOctet),
        ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", .whitespaceBeforeColon),
        ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", .obsoleteFold),
        ("HTTP/1.1 200 OK\r\n X: y\r\n\r\n", .whitespaceBeforeFirstField),
        ("HTTP/1.1 200 OK\r\nX\r\n\r\n", .missingColon),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", .conflictingFraming),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", .duplicateContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", .invalidContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .unsupportedTransferCoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10),
        ("HTTP/1.1 200 OK\r\n" + String(repeating: "A: b\r\n", count: 201) + "\r\n", .tooManyFields),
        ("HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 32768) + "\r\n\r\n", .fieldTooLong),
        (
            "HTTP/1.1 200 OK\r\n" + String(repeating: "A: " + String(repeating: "b", count: 1000) + "\r\n", count: 66),
            .headTooLarge
        ),
    ]

    @Test("A13 to A15, A30: malformed responses are refused", arguments: malformedResponses)
    func malformed(_ text: String, _ error: HTTPError) {
        var parser = ResponseParser()
        var head = ResponseHead()
        #expect(throws: error) { try parser.parse(Array(text.utf8).span, requestMethod: .get, into: &head) }
    }

    private static let statusLines: [(String, UInt16, String, HTTPVersion)] = [
        ("HTTP/1.1 200 OK", UInt16(200), "OK", HTTPVersion.http11), ("HTTP/1.1 404 ", 404, "", .http11),
        ("HTTP/1.0 599 a  b\tc\u{e9}", 599, "a  b\tc\u{e9}", .http10), ("HTTP/1.1 204", 204, "", .http11),
    ]

    @Test("Status line", arguments: statusLines)
    func statusLine(_ line: String, _ status: UInt16, _ reason: String, _ version: HTTPVersion) throws {
        let head = try parse(line + "\r\n\r\n")
        #expect(head.status == status && head.version == version)
        #expect(String(decoding: head.fields.octets[head.reason.bounds], as: UTF8.self) == reason)
    }

    private static let framings: [(String, RequestHead.Method, BodyFraming, Bool)] = [
        ("200 OK\r\nContent-Length: 5", RequestHead.Method.get, BodyFraming.length(5), true),
        ("200 OK\r\nContent-Length: 5", .head, .none, true),
        ("200 OK\r\nTransfer-Encoding: chunked", .head, .none, true),
        ("200 OK\r\nTransfer-Encoding: chunked", .post, .chunked, true), ("200 OK", .get, .untilClose, false),
        ("204 No Content", .get, .none, true), ("204 No Content\r\nContent-Length: 0", .get, .none, true),
        ("204 No Content\r\nContent-Length: 5", .get, .none, false),
        ("204 No Content\r\nTransfer-Encoding: chunked", .get, .none, false),
        ("304 X\r\nContent-Length: 5", .get, .none, true),
        ("100 Continue\r\nContent-Length: 5", .post, .none, false), ("101 X\r\nUpgrade: a", .get, .none, true),
        ("205 X\r\nContent-Length: 0", .post, .length(0), true),
        ("200 OK\r\nContent-Length: 1\r\nConnection: close", .get, .length(1), false),
    ]

    @Test("A29: what has a body, and how it is delimited", arguments: framings)
    func framing(_ text: String, _ method: RequestHead.Method, _ framing: BodyFraming, _ keepsAlive: Bool) throws {
        let head = try parse("HTTP/1.1 \(text)\r\n\r\n", method)
        #expect(head.framing == framing && head.keepsAlive == keepsAlive)
    }

    @Test("HTTP/1.0 persists only with keep-alive")
    func http10() throws {
        #expect(!(try parse("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").keepsAlive))
        #expect(try parse("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n").keepsAlive)
    }
}
