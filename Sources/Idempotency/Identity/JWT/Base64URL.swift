/// base64url without padding (RFC 7515 §2, RFC 4648 §5).
enum Base64URL {
    /// Appends what a text stands for. False, with `output` undefined, for padding, line ends, other characters, a
    /// length that no octets have, or bits behind the last octet: each sequence of octets has one text.
    static func decode(_ text: Span<UInt8>, into output: inout [UInt8]) -> Bool {
        guard text.count % 4 != 1 else { return false }
        var bits: UInt32 = 0
        var count = 0
        for index in text.indices {
            guard let value = value(text[index]) else { return false }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                output.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bits & (1 << UInt32(count) - 1) == 0
    }

    /// The octets of a text that is nothing else.
    static func octets(_ text: Span<UInt8>) -> [UInt8]? {
        var octets: [UInt8] = []
        octets.reserveCapacity(text.count / 4 * 3 + 2)
        return decode(text, into: &octets) ? octets : nil
    }

    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case 0x41...0x5A: character - 0x41
        case 0x61...0x7A: character - 0x47
        case 0x30...0x39: character + 4
        case 0x2D: 62
        case 0x5F: 63
        default: nil
        }
    }
}
