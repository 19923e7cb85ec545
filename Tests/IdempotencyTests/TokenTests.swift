import Testing

@testable import Idempotency

@Suite struct TokenTests {
    static func parse(_ value: String) -> String? {
        parse(Array(value.utf8))
    }

    static func parse(_ value: [UInt8]) -> String? {
        var token: [UInt8] = []
        return Token.parse(value.span, into: &token) ? String(decoding: token, as: UTF8.self) : nil
    }

    @Test(arguments: [
        "8e03978e-40d5-43e8-bc93-6894a57f9324",  // UUID, stripe-python, the draft's example
        "stripe-node-retry-8e03978e-40d5-43e8-bc93-6894a57f9324",
        "1700000000000000000_123456",  // stripe-go
        "q83vEjRWeJA+/9==", "a", "a,b", "a;b=c", "key:1/2?x=%20", "back\\slash", "'single'",
        String(repeating: "x", count: 255),
    ])
    func bareIsItself(value: String) {
        #expect(Self.parse(value) == value)
    }

    @Test(arguments: [
        (#""K""#, "K"), (#""a\"b""#, #"a"b"#), (#""a\\b""#, #"a\b"#), (#""\"""#, #"""#),
        ("\"" + String(repeating: "x", count: 255) + "\"", String(repeating: "x", count: 255)),
    ])
    func quotedIsItsContent(value: String, token: String) {
        #expect(Self.parse(value) == token)
    }

    @Test(arguments: [
        "", "\"\"", "\"", "\"abc", "abc\"", "a\"b", "\"abc\"x", "\"abc\" ", " abc", "abc ", "a b", "\"a b\"", "a, b",
        "\"a\", \"b\"", "\"a\";p=1", "\"a\";p", #""a\b""#, #""a\"#, #""a\""#, "a\tb", "a\u{0}b", "a\u{7F}", "é",
        "\"é\"", "a\r\nb", "a\nb", String(repeating: "x", count: 256), "\"" + String(repeating: "x", count: 256) + "\"",
    ])
    func malformedIsRefused(value: String) {
        #expect(Self.parse(value) == nil)
    }

    @Test func everyOctetAlone() {
        for octet in UInt8.min...UInt8.max {
            let isToken = (0x21...0x7E).contains(octet) && octet != 0x22
            #expect((Self.parse([octet]) != nil) == isToken, "octet \(octet)")
        }
    }

    /// Whatever parses says the same in quotes.
    @Test func quotingChangesNothing() {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<2000 {
            let count = Int.random(in: 1...20, using: &random)
            let content = (0..<count).map { _ in UInt8.random(in: 0x21...0x7E, using: &random) }
            var quoted: [UInt8] = [0x22]
            for octet in content {
                if octet == 0x22 || octet == 0x5C { quoted.append(0x5C) }
                quoted.append(octet)
            }
            quoted.append(0x22)
            #expect(Self.parse(quoted) == String(decoding: content, as: UTF8.self))
            if !content.contains(0x22) { #expect(Self.parse(content) == Self.parse(quoted)) }
        }
    }
}
