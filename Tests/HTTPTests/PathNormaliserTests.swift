import Testing

@testable import HTTP

@Suite("Normal form of a path")
struct PathNormaliserTests {
    private func normalise(_ path: String) throws -> String? {
        var output: [UInt8] = []
        guard try PathNormaliser.normalise(Array(path.utf8).span, into: &output) else { return nil }
        return String(decoding: output, as: UTF8.self)
    }

    private static let spellingPairs: [(String, String?)] = [
        ("/a/%7euser", "/a/~user"), ("/%41%2d", "/A-"), ("/a//b", "/a/b"), ("//", "/"), ("///a", "/a"),
        ("/a/./b", "/a/b"), ("/a/.", "/a/"),
        ("/a/..", "/"), ("/a/b/../c", "/a/c"), ("/a/b/..", "/a/"), ("/a/%2E%2e/b", "/b"), ("/a/%2f", "/a/%2F"),
        ("/%c3%a9", "/%C3%A9"),
        ("/a//../b", "/b"), ("/./a", "/a"), ("/a/b/../../c", "/c"), ("/%252e", nil), ("/a/%2F..", nil),
        ("/", nil), ("/a/", nil), ("/a/.well-known", nil), ("/...", nil), ("/a..b/.c", nil), ("/a%20b", nil),
        ("*", nil), ("/a;b=c/@:", nil),
    ]

    @Test("Spellings of one path", arguments: spellingPairs)
    func spellings(_ path: String, _ normal: String?) throws {
        #expect(try normalise(path) == normal)
        if let normal { #expect(try normalise(normal) == nil) }
    }

    private static let refusedPaths: [(String, HTTPError)] = [
        ("/..", HTTPError.pathAboveRoot), ("/a/../..", .pathAboveRoot), ("/%2e%2e/a", .pathAboveRoot),
        ("//..", .pathAboveRoot),
        ("/%00", .nulInPath), ("/a\u{0}", .nulInPath), ("/%", .malformedEscape), ("/%4", .malformedEscape),
        ("/%4g", .malformedEscape),
        ("/%zz/", .malformedEscape), ("a", .invalidTarget), ("", .invalidTarget),
    ]

    @Test("What cannot be normalised is refused", arguments: refusedPaths)
    func refused(_ path: String, _ error: HTTPError) {
        #expect(throws: error) { try normalise(path) }
    }
}
