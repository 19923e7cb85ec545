import Foundation
import Testing

@testable import Observability

@Suite struct TextTests {
    private func escape(_ octets: [UInt8]) -> String {
        text { $0.append(escaped: octets.span) }
    }

    /// What a JSON reader makes of it.
    private func unescape(_ octets: [UInt8]) throws -> String {
        try JSONDecoder().decode([String].self, from: Data("[\"\(escape(octets))\"]".utf8))[0]
    }

    @Test func everyOctetIsEscapedOrHarmless() throws {
        for octet in UInt8.min ... .max {
            let escaped = escape([octet])
            #expect(escaped.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }, "octet \(octet)")
            // Octets that are no UTF-8 read back as the scalar of the same number.
            #expect(try unescape([octet]).unicodeScalars.map(\.value) == [UInt32(octet)], "octet \(octet)")
        }
    }

    @Test func everyPairOfOctetsStaysValidJSON() throws {
        for first in UInt8.min ... .max {
            var all: [UInt8] = []
            for second in UInt8.min ... .max {
                all += [first, second, 0x7C]
            }
            let escaped = escape(all)
            #expect(
                !escaped.unicodeScalars.contains {
                    $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) || $0.value == 0xFFFD
                })
            _ = try unescape(all)
        }
    }

    @Test(arguments: [
        ("plain", "plain"), ("é", "é"), ("漢", "漢"), ("😀", "😀"), ("a\r\nb\u{1B}[31m", #"a\r\nb\u001b[31m"#),
        ("\"\\", #"\"\\"#), ("\u{9B}31m", #"\u009b31m"#), ("\u{2028}\u{2029}", #"\u2028\u2029"#),
        ("\u{202E}x\u{2066}", #"\u202ex\u2066"#), ("\u{7F}\0", #"\u007f\u0000"#),
    ])
    func textIsEscaped(_ raw: String, _ expected: String) {
        #expect(escape(Array(raw.utf8)) == expected)
    }

    @Test(
        arguments: [
            ([0xC0, 0xAF], #"\u00c0\u00af"#),  // overlong
            ([0xE0, 0x80, 0x80], #"\u00e0\u0080\u0080"#),  // overlong
            ([0xED, 0xA0, 0x80], #"\u00ed\u00a0\u0080"#),  // surrogate
            ([0xF4, 0x90, 0x80, 0x80], #"\u00f4\u0090\u0080\u0080"#),  // above U+10FFFF
            ([0xE6, 0xBC], #"\u00e6\u00bc"#),  // cut
            ([0xC3, 0x0A], #"\u00c3\n"#),
            ([0x61, 0xFF, 0x62], #"a\u00ffb"#),
        ] as [([UInt8], String)])
    func invalidSequenceIsEscapedOctetByOctet(_ octets: [UInt8], _ expected: String) {
        #expect(escape(octets) == expected)
    }

    @Test(arguments: [
        ("a=1&b=2", "a=***&b=***"), ("a=", "a=***"), ("token", "***"), ("a=1&secret&c=3", "a=***&***&c=***"), ("", ""),
        ("=v", "***"), ("a=b=c", "a=***"), ("&&a=1", "&&a=***"), ("a=1&", "a=***"), ("a%0D%0A=1", "a%0D%0A=***"),
        ("a\r\n=1", #"a\r\n=***"#), ("x;y=1", "x;y=***"),
    ])
    func queryKeepsOnlyNames(_ query: String, _ expected: String) {
        #expect(text { $0.append(redactedQuery: Array(query.utf8).span) } == expected)
    }

    @Test func longQueriesAreCut() {
        let long = String(repeating: "n", count: 65) + "=1"
        #expect(text { $0.append(redactedQuery: Array(long.utf8).span) } == "***")
        let many = (0..<40).map { "p\($0)=secret" }.joined(separator: "&")
        let redacted = text { $0.append(redactedQuery: Array(many.utf8).span) }
        #expect(redacted.hasSuffix("p31=***&..."))
        #expect(!redacted.contains("secret"))
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"), (1_709_164_800_001, "2024-02-29T00:00:00.001Z"),
            (1_767_322_845_678, "2026-01-02T03:00:45.678Z"), (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (4_133_980_799_999, "2100-12-31T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"), (68_169_600_000, "1972-02-29T00:00:00.000Z"),
        ] as [(UInt64, String)])
    func knownTimes(_ milliseconds: UInt64, _ expected: String) {
        #expect(
            text {
                var formatter = TimestampFormatter()
                formatter.append(milliseconds: milliseconds, to: &$0)
            } == expected)
    }

    @Test func timesAgreeWithTheCLibrary() {
        var formatter = TimestampFormatter()
        for step in 0..<40_000 {
            // Every day and a bit until 2079.
            let seconds = time_t(step * 86_461)
            var parts = tm()
            var copy = seconds
            gmtime_r(&copy, &parts)
            var octets = [CChar](repeating: 0, count: 64)
            strftime(&octets, 64, "%Y-%m-%dT%H:%M:%S.007Z", &parts)
            let expected = String(decoding: octets.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            let got = text { formatter.append(milliseconds: UInt64(seconds) * 1000 + 7, to: &$0) }
            guard got == expected else {
                Issue.record("\(got) is not \(expected)")
                return
            }
        }
    }

    @Test func cachedSecondIsReplaced() {
        var formatter = TimestampFormatter()
        let texts = [1000, 1999, 2000, 1000, 86_400_000].map { milliseconds in
            text { formatter.append(milliseconds: milliseconds, to: &$0) }
        }
        #expect(
            texts == [
                "1970-01-01T00:00:01.000Z", "1970-01-01T00:00:01.999Z", "1970-01-01T00:00:02.000Z",
                "1970-01-01T00:00:01.000Z",
                "1970-01-02T00:00:00.000Z",
            ])
    }

    @Test func numbers() {
        for number in [0, 9, 10, 99, 100, 12_345, UInt64.max, UInt64.max / 10, 10_000_000_000_000_000_000] {
            #expect(text { $0.append(decimal: number) } == "\(number)")
        }
        #expect(text { $0.append(decimal: Int64.min) } == "\(Int64.min)")
        #expect(text { $0.append(decimal: 7, digits: 3) } == "007")
        #expect(text { $0.append(hex: 0x0123_4567_89AB_CDEF) } == "0123456789abcdef")
        #expect(text { $0.append(secondsOf: 1_234_567) } == "0.001234")
        #expect(text { $0.append(secondsOf: 61_000_009_999) } == "61.000009")
    }

    @Test func bufferGrowsAndKeepsWhatItHolds() {
        var buffer = TextBuffer(capacity: 1)
        for _ in 0..<1000 {
            buffer.append("0123456789")
        }
        #expect(buffer.count == 10_000)
        #expect(String(decoding: buffer.octets.suffix(12), as: UTF8.self) == "890123456789")
        buffer.truncate(to: 3)
        #expect(buffer.octets == Array("012".utf8))
    }
}
