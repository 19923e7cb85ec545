/// Address literals, to octets and back.
enum AddressText {
    /// Four octets of dotted decimal or sixteen of RFC 4291 §2.2 text; nil for anything else (zones, leading zeros,
    /// names).
    static func octets(of text: some StringProtocol) -> [UInt8]? {
        text.utf8.contains(UInt8(ascii: ":")) ? version6(Substring(text)) : version4(Substring(text))
    }

    /// The canonical text, RFC 5952.
    static func text(of octets: [UInt8]) -> String {
        guard octets.count == 16 else { return octets.map { String($0) }.joined(separator: ".") }
        let groups = (0..<8).map { UInt16(octets[$0 * 2]) << 8 | UInt16(octets[$0 * 2 + 1]) }
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            // RFC 5952 §4.2.2 and §4.2.3: one group alone is not shortened; of equal runs the first is.
            if end - start > max(best.count, 1) { best = start..<end }
            start = max(end, start + 1)
        }
        let hexadecimal = groups.map { String($0, radix: 16) }
        guard !best.isEmpty else { return hexadecimal.joined(separator: ":") }
        return hexadecimal[..<best.lowerBound].joined(separator: ":") + "::"
            + hexadecimal[best.upperBound...].joined(separator: ":")
    }

    private static func version4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var octets: [UInt8] = []
        for part in parts {
            // A leading zero means octal to some readers and decimal to others.
            guard part.utf8.allSatisfy({ (48...57).contains($0) }), part.utf8.count == 1 || part.utf8.first != 48,
                let octet = UInt8(part)
            else { return nil }
            octets.append(octet)
        }
        return octets
    }

    private static func version6(_ text: Substring) -> [UInt8]? {
        let halves = halves(of: text)
        guard let head = groups(halves.head, mayEndInVersion4: halves.tail == nil) else { return nil }
        guard let tailText = halves.tail else { return head.count == 16 ? head : nil }
        guard let tail = groups(tailText, mayEndInVersion4: true), head.count + tail.count <= 14 else { return nil }
        return head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail
    }

    private static func halves(of text: Substring) -> (head: Substring, tail: Substring?) {
        var previous: Substring.Index?
        for index in text.utf8.indices {
            guard text.utf8[index] == UInt8(ascii: ":") else {
                previous = nil
                continue
            }
            if let first = previous {
                return (text[..<first], text[text.utf8.index(after: index)...])
            }
            previous = index
        }
        return (text, nil)
    }

    /// The octets of `a:b:c` or `a:b:1.2.3.4`; none for the empty text.
    private static func groups(_ text: Substring, mayEndInVersion4: Bool) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var octets: [UInt8] = []
        for (index, part) in parts.enumerated() {
            if mayEndInVersion4, index == parts.count - 1, part.utf8.contains(UInt8(ascii: ".")) {
                guard let last = version4(part) else { return nil }
                octets += last
                continue
            }
            guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy(\.isHexadecimalDigit),
                let group = UInt16(part, radix: 16)
            else { return nil }
            octets += [UInt8(group >> 8), UInt8(group & 0xFF)]
        }
        return octets.count <= 16 ? octets : nil
    }
}

extension UInt8 {
    var isHexadecimalDigit: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default:
            false
        }
    }
}
