import Idempotency
import Testing

/// Keys as an operator writes them.
@Suite("Key ring")
struct KeyRingTests {
    private static let hexadecimal = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    private static let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    private static let other = "ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmc="

    private func parse(_ text: String) throws(KeyRingError) -> KeyRing { try KeyRing(parsing: text.utf8) }

    @Test("One key, in each notation")
    func notations() throws {
        let octets = (0..<32).map { UInt8($0) }
        let unpadded = Self.base64.replacing("=", with: "")
        for text in [Self.hexadecimal, Self.hexadecimal.uppercased(), Self.base64, unpadded, " \(Self.base64)\t\r\n"] {
            let ring = try parse(text)
            #expect(ring.keys.map(\.octets) == [octets])
            // The first octets of SHA-256(00 01 … 1f), computed by another program.
            #expect(ring.keys[0].id.description == "630dcd2966c43366")
        }
        let url = try parse("-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_8")
        let plain = try parse("+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/8=")
        #expect(url == plain)
    }

    @Test("Several keys, comments, ids, and their order")
    func several() throws {
        let ring = try parse("# first, second: what\n\n  2a:\(Self.other) , \(Self.base64)\r\n   # end\n")
        #expect(ring.keys.map(\.id.description) == ["000000000000002a", "630dcd2966c43366"])
        #expect(ring.keys[1].octets == (0..<32).map { UInt8($0) })
    }

    @Test(
        "What is no key ring",
        arguments: [
            ("", KeyRingError.empty), ("# only this\n,,\n", .empty), ("A B", .malformedKey(entry: 1)),
            ("AAECAwQF", .wrongLength(entry: 1, octets: 6)), ("\(hexadecimal)00", .malformedKey(entry: 1)),
            ("\(hexadecimal.dropLast(2))", .malformedKey(entry: 1)),
            ("\(base64),\(base64)", .repeatedKey(entry: 2, earlier: 1)),
            ("\(hexadecimal)\n\(base64)", .repeatedKey(entry: 2, earlier: 1)),
            ("1:\(base64),01:\(other)", .repeatedID(entry: 2, earlier: 1, id: KeyRing.KeyID(value: 1))),
            (":\(base64)", .malformedID(entry: 1)), ("12345678901234567:\(base64)", .malformedID(entry: 1)),
            ("key:\(base64)", .malformedID(entry: 1)), ("1:", .wrongLength(entry: 1, octets: 0)),
            ("1:2:\(base64)", .malformedKey(entry: 1)),
            (String(repeating: "0", count: 64), .notRandom(entry: 1)),
            ("\(other),\(base64.dropLast(2))=", .malformedKey(entry: 2)),
            (String(repeating: base64 + "\n", count: 65), .tooMany),
        ])
    func refused(text: String, error: KeyRingError) {
        #expect(throws: error) { try parse(text) }
        #expect(!error.description.contains("\n"))
    }

    @Test("No description, reflection or error holds a key")
    func redacted() throws {
        let ring = try parse("\(Self.hexadecimal)\n7:\(Self.other)")
        var texts = ["\(ring)", "\(ring.keys)", String(reflecting: ring), String(reflecting: ring.keys[0])]
        var dumped = ""
        dump(ring, to: &dumped)
        texts.append(dumped)
        for text in texts {
            #expect(text.contains("630dcd2966c43366"))
            #expect(!text.contains("102") && !text.contains("31"), "\(text)")
        }
    }
}
