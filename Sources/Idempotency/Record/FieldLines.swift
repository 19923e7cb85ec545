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

    /// The values of a field, whose name is in lower case. Precondition: valid.
    static func values(of name: [UInt8], in lines: [UInt8]) -> [[UInt8]] {
        var values: [[UInt8]] = []
        forEach(in: lines) { line, value in if matches(line, name, in: lines) { values.append(Array(lines[value])) } }
        return values
    }

    static func values(of name: String, in lines: [UInt8]) -> [[UInt8]] {
        values(of: Array(name.utf8), in: lines)
    }

    /// The lines without those of some fields, whose names are in lower case. Precondition: valid.
    static func without(_ names: [String], _ lines: [UInt8]) -> [UInt8] {
        var kept: [UInt8] = []
        forEach(in: lines) { line, value in
            guard !names.contains(where: { matches(line, Array($0.utf8), in: lines) }) else { return }
            kept += lines[line.lowerBound..<value.upperBound]
            kept += "\r\n".utf8
        }
        return kept
    }

    private static func matches(_ line: Range<Int>, _ name: [UInt8], in lines: [UInt8]) -> Bool {
        lines[line].elementsEqual(name) { lowercased($0) == $1 }
    }

    /// Calls `body` with the ranges of each name and value.
    private static func forEach(in lines: [UInt8], _ body: (Range<Int>, Range<Int>) -> Void) {
        var start = 0
        while start < lines.count {
            let end = lines.span.firstIndex(of: 0x0D, from: start)
            let colon = lines.span.firstIndex(of: 0x3A, from: start)
            guard colon + 2 <= end, end < lines.count else { return }
            body(start..<colon, colon + 2..<end)
            start = end + 2
        }
    }

    private static func isTokenCharacter(_ octet: UInt8) -> Bool {
        switch octet {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E, 0x5F, 0x60, 0x7C, 0x7E: true
        default: false
        }
    }
}
