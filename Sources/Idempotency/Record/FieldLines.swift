/// The form of recorded fields: `name ": " value CRLF` for each line.
enum FieldLines {
    /// Whether every line has that form, every name is a token (RFC 9110 §5.6.2), and no value holds CR, LF or NUL:
    /// what is written out again can then not become another message.
    static func areValid(_ octets: Span<UInt8>) -> Bool {
        var index = 0
        while index < octets.count {
            let nameStart = index
            while index < octets.count, isTokenCharacter(octets[index]) { index += 1 }
            guard index > nameStart, index + 1 < octets.count, octets[index] == 0x3A, octets[index + 1] == 0x20 else {
                return false
            }
            index += 2
            while index < octets.count, octets[index] != 0x0D {
                guard octets[index] != 0x0A, octets[index] != 0 else { return false }
                index += 1
            }
            guard index + 1 < octets.count, octets[index + 1] == 0x0A else { return false }
            index += 2
        }
        return true
    }

    private static func isTokenCharacter(_ octet: UInt8) -> Bool {
        switch octet {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E, 0x5F, 0x60, 0x7C, 0x7E: true
        default: false
        }
    }
}
