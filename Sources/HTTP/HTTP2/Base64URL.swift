/// RFC 4648 §5, without padding, as HTTP2-Settings has it; nil when it is anything else.
func decodeBase64URL(_ text: Span<UInt8>) -> [UInt8]? {
    guard text.count % 4 != 1 else { return nil }
    var octets: [UInt8] = []
    var bits: UInt32 = 0
    var bitCount: UInt32 = 0
    for index in text.indices {
        let digit: UInt8
        switch text[index] {
        case 0x41...0x5a: digit = text[index] - 0x41
        case 0x61...0x7a: digit = text[index] - 0x61 + 26
        case 0x30...0x39: digit = text[index] - 0x30 + 52
        case 0x2d: digit = 62
        case 0x5f: digit = 63
        default: return nil
        }
        bits = bits << 6 | UInt32(digit)
        bitCount += 6
        if bitCount >= 8 {
            bitCount -= 8
            octets.append(UInt8(truncatingIfNeeded: bits >> bitCount))
        }
    }
    return octets
}
