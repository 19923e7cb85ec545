import Testing

@testable import HTTP

/// What a request must not be, with the error that says so. The identifiers are those of checks.md, section A.
enum MalformedRequests {
    struct Example: Sendable, CustomTestStringConvertible {
        var check: String
        var octets: [UInt8]
        var error: HTTPError

        var testDescription: String {
            "\(check) \(error.reason): \(String(decoding: octets.prefix(60), as: UTF8.self))"
        }
    }

    static let all: [Example] = lines + startLines + hosts + framings + options + tooLarge

    private static func example(_ check: String, _ error: HTTPError, _ text: String) -> Example {
        Example(check: check, octets: Array(text.utf8), error: error)
    }

    /// One field after a good request line and Host.
    private static func field(_ check: String, _ error: HTTPError, _ line: String) -> Example {
        example(check, error, "POST / HTTP/1.1\r\nHost: a\r\n\(line)\r\n\r\n")
    }

    private static func target(_ check: String, _ error: HTTPError, _ target: String) -> Example {
        example(check, error, "GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
    }

    /// One field after a good request line and Host, with an octet in it that is not ASCII.
    private static func octets(
        _ check: String, _ error: HTTPError, _ before: String, _ octet: UInt8, _ after: String
    ) -> Example {
        let start = Array("POST / HTTP/1.1\r\nHost: a\r\n\(before)".utf8)
        return Example(check: check, octets: start + [octet] + Array("\(after)\r\n\r\n".utf8), error: error)
    }

    private static let lines: [Example] =
        [
            example("A2", .bareCarriageReturn, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
            example("A2", .bareCarriageReturn, "GET / HTTP/1.1\r\nHo\rst: a\r\n\r\n"),
            field("A2", .bareCarriageReturn, "X: a\rb"),
            field("A2", .bareCarriageReturn, "X: a\r"),
            example("A2", .bareCarriageReturn, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            example("A3", .bareLineFeed, "GET / HTTP/1.1\nHost: a\n\n"),
            example("A3", .bareLineFeed, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            field("A3", .bareLineFeed, "X: a\nY: b"),
            example("A3", .bareLineFeed, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
            example("A4", .whitespaceBeforeFirstField, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
            example("A4", .whitespaceBeforeFirstField, "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"),
            example("A4", .whitespaceBeforeFirstField, "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n"),
            example("A5", .invalidFirstOctet, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            field("A13", .whitespaceBeforeColon, "X : a"),
            field("A13", .whitespaceBeforeColon, "Content-Length\t: 5"),
            field("A13", .whitespaceBeforeColon, "Transfer-Encoding : chunked"),
            field("A14", .obsoleteFold, "X: a\r\n b"),
            field("A14", .obsoleteFold, "X: a\r\n\tb: c"),
            field("A14", .obsoleteFold, "X: a\r\n "),
            field("A15", .emptyFieldName, ": a"),
            field("A15", .missingColon, "abc"),
            field("A15", .invalidFieldName, "a b"),
            field("A15", .invalidFieldName, "a b: c"),
            field("A15", .invalidFieldName, "\"a\": c"),
            field("A15", .controlOctet, "a\u{0}b: c"),
            octets("A15", .invalidFieldName, "X", 0xe9, ": a"),
            field("A16", .controlOctet, "X: a\u{0}b"),
            field("A16", .controlOctet, "X: a\u{b}b"),
            field("A16", .controlOctet, "X: a\u{7f}"),
            field("A16", .controlOctet, "X: \u{1b}[0m"),
        ] + "(),/;@[\\]{}<>?=".map { field("A15", .invalidFieldName, "a\($0): c") }

    private static let startLines: [Example] = [
        example("A6", .versionNotSupported, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        example("A6", .versionNotSupported, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
        example("A6", .versionNotSupported, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
        example("A6", .versionNotSupported, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        example("A6", .malformedRequestLine, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        example("A6", .malformedRequestLine, "GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
        example("A6", .malformedRequestLine, "GET / HTTP/1.1x\r\nHost: a\r\n\r\n"),
        example("A6", .malformedRequestLine, "GET / HTTP/99999999999999999999.1\r\nHost: a\r\n\r\n"),
        example("A6", .malformedVersion, "GET / http/1.1\r\nHost: a\r\n\r\n"),
        example("A6", .malformedVersion, "GET / HTTP-1.1\r\nHost: a\r\n\r\n"),
        example("A6", .malformedVersion, "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
        example("A6", .malformedVersion, "GET / HTTP/x.1\r\nHost: a\r\n\r\n"),
        example("A6", .malformedRequestLine, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        example("A7", .invalidMethod, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        example("A7", .invalidMethod, "G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        example("A7", .invalidMethod, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        example("A7", .invalidFirstOctet, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        example("A7", .invalidFirstOctet, "\u{16}\u{3}\u{1}"),
        example("A7", .methodTooLong, String(repeating: "A", count: 33) + " / HTTP/1.1\r\nHost: a\r\n\r\n"),
        example("A9", .malformedRequestLine, "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
        example("A9", .malformedRequestLine, "GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
        example("A9", .controlOctet, "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n"),
        target("A9", .invalidTarget, " /"),
        target("A9", .invalidTarget, "/ "),
        target("A9", .invalidTarget, "/a b"),
        target("A9", .invalidTarget, "/a\tb"),
        target("A9", .invalidTarget, "/a#b"),
        target("A9", .invalidTarget, "/a?b#c"),
        target("A9", .invalidTarget, "/\u{e9}"),
        target("A9", .invalidTarget, "/?\u{e9}"),
        target("A9", .invalidTarget, "/a\\b"),
        target("A9", .invalidTarget, "a"),
        target("A9", .invalidTarget, "?a"),
        target("A9", .invalidTarget, "ftp://a/"),
        target("A9", .invalidTarget, "http:/a/"),
        target("A9", .invalidTarget, "http://"),
        target("A9", .invalidTarget, "http:///a"),
        target("A9", .invalidTarget, "http://user@a/"),
        target("A9", .invalidTarget, "http://a:b/"),
        target("A12", .invalidTarget, "*"),
        target("A12", .invalidTarget, "a:80"),
        example("A12", .invalidTarget, "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"),
        example("A12", .connectNotSupported, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
        example("A37", .malformedRequestLine, "GET /\r\n"),
        example("A37", .malformedRequestLine, "GET\r\n\r\n"),
    ]

    private static let hosts: [Example] =
        [
            example("A10", .hostMissing, "GET / HTTP/1.1\r\n\r\n"),
            example("A10", .hostMissing, "GET http://a/ HTTP/1.1\r\n\r\n"),
            example("A10", .duplicateHost, "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
            example("A10", .duplicateHost, "GET / HTTP/1.0\r\nHost: a\r\nHOST: b\r\n\r\n"),
        ]
        + [
            "", "a,b", "a, b", "a b", "a/b", "user@a", "a:", "a:80:80", "a:x", "a:99999", "a:65536", "a:123456", "[::1",
            "[]", "[::1]x",
            "[g::1]", "::1", "a%00b", "a\"b", "\u{e9}", "a?b", "a#b", "a\\b", ":80",
        ].map { example("A10", .invalidHost, "GET / HTTP/1.1\r\nHost: \($0)\r\n\r\n") }

    private static let framings: [Example] =
        [
            field("A18", .conflictingFraming, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
            field("A18", .conflictingFraming, "transfer-encoding: chunked\r\ncontent-length: 5"),
            field("A18", .conflictingFraming, "TRANSFER-ENCODING: gzip\r\nCONTENT-LENGTH: x"),
            field("A19", .duplicateTransferEncoding, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            field("A19", .duplicateTransferEncoding, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
            field("A19", .invalidTransferEncoding, "Transfer-Encoding: chunked, chunked"),
            field("A19", .invalidTransferEncoding, "Transfer-Encoding: chunked, gzip"),
            field("A19", .invalidTransferEncoding, "Transfer-Encoding: ,chunked"),
            field("A19", .invalidTransferEncoding, "Transfer-Encoding: chunked,"),
            field("A19", .invalidTransferEncoding, "Transfer-Encoding:"),
            field("A19", .invalidTransferEncoding, "Transfer-Encoding: chunked;q=1"),
            field("A19", .invalidTransferEncoding, "Transfer-Encoding: \"chunked\""),
            field("A19", .invalidTransferEncoding, "Transfer-Encoding: ch unked"),
            field("A19", .controlOctet, "Transfer-Encoding: \u{b}chunked"),
            octets("A19", .invalidTransferEncoding, "Transfer-Encoding: chunked", 0xa0, ""),
            field("A19", .unsupportedTransferCoding, "Transfer-Encoding: gzip, chunked"),
            field("A19", .unsupportedTransferCoding, "Transfer-Encoding: identity"),
            field("A19", .unsupportedTransferCoding, "Transfer-Encoding: xchunked"),
            field("A19", .unsupportedTransferCoding, "Transfer-Encoding: gzip"),
            example("A20", .transferEncodingInHTTP10, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            field("A21", .duplicateContentLength, "Content-Length: 5\r\nContent-Length: 5"),
            field("A21", .duplicateContentLength, "Content-Length: 5\r\nContent-Length: 6"),
        ]
        + [
            "", "+5", "-1", "0x5", "5,5", "5, 6", "1_0", "5 5", "5.0", "5e1", "\"5\"", "9223372036854775808",
            "18446744073709551617",
            "99999999999999999999999999", "\u{661}",
        ].map { field("A21", .invalidContentLength, "Content-Length: \($0)") }

    private static let options: [Example] = [
        field("A35", .malformedConnection, "Connection: a b"),
        field("A35", .malformedConnection, "Connection: \"close\""),
        field(
            "A35", .tooManyConnectionOptions,
            "Connection: " + [String](repeating: "a", count: 33).joined(separator: ",")),
        field("A36", .unknownExpectation, "Expect: 200-ok"),
        field("A36", .unknownExpectation, "Expect: 100-continue, x"),
        field("A36", .unknownExpectation, "Expect: 100-continue\r\nExpect: y"),
    ]

    private static let tooLarge: [Example] = [
        target("A8", .requestLineTooLong, "/" + String(repeating: "a", count: 8192 - 14 + 1)),
        example("A8", .requestLineTooLong, String(repeating: "A", count: 8193)),
        field("A17", .tooManyFields, [String](repeating: "A: b", count: 100).joined(separator: "\r\n")),
        field("A17", .fieldTooLong, "X: " + String(repeating: "a", count: 16384 - 2)),
        field("A17", .fieldTooLong, String(repeating: "a", count: 20000)),
        field(
            "A17", .headTooLarge,
            [String](repeating: "X: " + String(repeating: "a", count: 11000), count: 3).joined(separator: "\r\n")),
    ]
}
