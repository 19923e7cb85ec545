import Testing

@testable import Idempotency

@Suite struct JSONNumberTests {
    /// RFC 8785 appendix B: a double's bits and its text.
    static let vectors: [(bits: UInt64, text: String)] = [
        (0x0000_0000_0000_0000, "0"), (0x8000_0000_0000_0000, "0"), (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"), (0x7FEF_FFFF_FFFF_FFFF, "1.7976931348623157e+308"),
        (0xFFEF_FFFF_FFFF_FFFF, "-1.7976931348623157e+308"), (0x4340_0000_0000_0000, "9007199254740992"),
        (0xC340_0000_0000_0000, "-9007199254740992"), (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44B5_2D02_C7E1_4AF5, "9.999999999999997e+22"), (0x44B5_2D02_C7E1_4AF6, "1e+23"),
        (0x44B5_2D02_C7E1_4AF7, "1.0000000000000001e+23"), (0x444B_1AE4_D6E2_EF4E, "999999999999999700000"),
        (0x444B_1AE4_D6E2_EF4F, "999999999999999900000"), (0x444B_1AE4_D6E2_EF50, "1e+21"),
        (0x3EB0_C6F7_A0B5_ED8C, "9.999999999999997e-7"), (0x3EB0_C6F7_A0B5_ED8D, "0.000001"),
        (0x41B3_DE43_5555_5553, "333333333.3333332"), (0x41B3_DE43_5555_5554, "333333333.33333325"),
        (0x41B3_DE43_5555_5555, "333333333.3333333"), (0x41B3_DE43_5555_5556, "333333333.3333334"),
        (0x41B3_DE43_5555_5557, "333333333.33333343"), (0xBECB_F647_612F_3696, "-0.0000033333333333333333"),
        (0x4314_3FF3_C1CB_0959, "1424953923781206.2"),
    ]

    @Test func rfc8785AppendixB() throws {
        for vector in Self.vectors {
            let double = Double(bitPattern: vector.bits)
            #expect(try JSONCanonicaliserTests.canonical(double.description) == vector.text)
            #expect(try JSONCanonicaliserTests.canonical(vector.text) == vector.text)
        }
    }

    @Test(arguments: [
        ("1", ["1.0", "1e0", "1.000", "10e-1", "0.1e1", "0.01E+2", "1E-0"]), ("100", ["1e2", "100.00", "0.1E3"]),
        ("0.5", ["5e-1", "0.50"]), ("0", ["-0", "0.0", "0e5", "-0E-5"]), ("-1.5", ["-15e-1", "-1.50"]),
        ("100000000000000000000", ["1e20", "100000000000000000000"]), ("1e+21", ["1000000000000000000000", "10e20"]),
        ("1e-7", ["0.0000001", "10e-8"]), ("1.2e-7", ["0.00000012"]), ("0.000001", ["1e-6"]),
        ("123456789012345680000", ["12345678901234568e4"]),
    ])
    func equalNumbersAreWrittenAlike(canonical: String, others: [String]) throws {
        #expect(try JSONCanonicaliserTests.canonical(canonical) == canonical)
        for other in others { #expect(try JSONCanonicaliserTests.canonical(other) == canonical) }
    }

    /// Behaviour 18. The last two lines: RFC 8785 would write the neighbour.
    @Test(arguments: [
        "9007199254740993", "-9007199254740993", "900719925474099300e-2", "1e400", "-1e400", "1e-400", "1e99999999999",
        "1e-99999999999",
        "123456789012345678901", "0.1000000000000000055511151231257827", "1.00000000000000000001",
        "333333333.33333329", "295147905179352825856",
    ])
    func inexactNumbersAreRefused(text: String) {
        #expect(throws: JSONError.inexactNumber) { try JSONCanonicaliserTests.canonical(text) }
    }

    @Test func everyDoubleSurvives() throws {
        var random = SeededGenerator(seed: 8785)
        for _ in 0..<20_000 {
            let double = Double(bitPattern: random.next())
            guard double.isFinite else { continue }
            let text = try JSONCanonicaliserTests.canonical(double.description)
            #expect(Double(text) == double)
            #expect(try JSONCanonicaliserTests.canonical(text) == text)
        }
    }

    /// The shortcut for up to 15 digits writes what the way over the double writes.
    @Test func shortNumbersAreWhatTheirDoublesSay() throws {
        var random = SeededGenerator(seed: 15)
        for _ in 0..<20_000 {
            let digits = UInt64.random(in: 1..<1_000_000_000_000_000, using: &random)
            let text = "\(digits)e\(Int.random(in: -305...293, using: &random))"
            let double = try #require(Double(text))
            #expect(try JSONCanonicaliserTests.canonical(text) == JSONCanonicaliserTests.canonical(double.description))
        }
    }
}
