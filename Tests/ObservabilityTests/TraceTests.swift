import Testing

@testable import Observability

@Suite struct TraceTests {
    @Test func requestIDsAreUniqueHexadecimal() {
        var seen: Set<[UInt8]> = []
        for _ in 0..<4 {
            var generator = RequestIDGenerator()
            for _ in 0..<25_000 {
                var octets: [UInt8] = []
                generator.append(to: &octets)
                #expect(octets.count == RequestIDGenerator.octetCount)
                #expect(seen.insert(octets).inserted)
            }
        }
        #expect(seen.allSatisfy { $0.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) } })
    }

    /// First outputs of the reference implementation of xoshiro256** from the state 1, 2, 3, 4.
    @Test func generatorIsXoshiro() {
        var generator = RequestIDGenerator(seed: (1, 2, 3, 4))
        let (a, b) = (generator.next(), generator.next())
        #expect(a == (11520, 0))
        #expect(b == (1_509_978_240, 1_215_971_899_390_074_240))
    }

    private func parse(_ text: String) -> TraceContext? {
        TraceContext(traceparent: Array(text.utf8).span)
    }

    @Test func validTraceparent() throws {
        let context = try #require(parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
        #expect(context.traceIDHigh == 0x0AF7_6519_16CD_43DD)
        #expect(context.traceIDLow == 0x8448_EB21_1C80_319C)
        #expect(context.parentID == 0xB7AD_6B71_6920_3331)
        #expect(context.isSampled)
        #expect(parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")?.isSampled == false)
        #expect(parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what.the.future") != nil)
        #expect(parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") != nil)
    }

    @Test(arguments: [
        "", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
        "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ])
    func invalidTraceparentIsIgnored(_ text: String) {
        #expect(parse(text) == nil)
    }
}
