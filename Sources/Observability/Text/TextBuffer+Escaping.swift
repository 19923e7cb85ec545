/// Text of arbitrary octets as the inside of a JSON string. What could leave the line or drive a terminal never gets
/// out as it is.
extension TextBuffer {
    /// Quotes, backslashes, control characters (C0, DEL, C1), line and paragraph separators and bidirectional controls
    /// are escaped; an octet that belongs to no valid UTF-8 sequence becomes `\u00XX`. The result is valid UTF-8
    /// whatever came in.
    package mutating func append(escaped octets: Span<UInt8>) {
        var at = 0
        while at < octets.count {
            var end = at
            while end < octets.count, isPlain(octets[end]) {
                end += 1
            }
            if end > at {
                append(octets.extracting(at..<end))
                at = end
            }
            if at < octets.count {
                at += appendSpecial(octets, at)
            }
        }
    }

    package mutating func append(escaped text: String) {
        var text = text
        text.withUTF8 { octets in
            append(escaped: octets.span)
        }
    }

    /// Writes what stands at `at`, an octet that is not plain, and gives its octets consumed.
    private mutating func appendSpecial(_ octets: Span<UInt8>, _ at: Int) -> Int {
        let octet = octets[at]
        switch octet {
        case UInt8(ascii: "\""): append("\\\"")
        case UInt8(ascii: "\\"): append("\\\\")
        case 0x0A: append("\\n")
        case 0x0D: append("\\r")
        case 0x09: append("\\t")
        case 0x80...:
            let size = validSequence(octets, at)
            guard size > 0 else {
                appendUnicodeEscape(UInt16(octet))
                return 1
            }
            if let scalar = harmful(octets, at, size) {
                appendUnicodeEscape(scalar)
            } else {
                append(octets.extracting(at..<at + size))
            }
            return size
        default: appendUnicodeEscape(UInt16(octet))
        }
        return 1
    }

    private mutating func appendUnicodeEscape(_ scalar: UInt16) {
        append("\\u")
        var shift: UInt16 = 16
        while shift > 0 {
            shift -= 4
            let digit = UInt8(truncatingIfNeeded: (scalar >> shift) & 0xF)
            append(digit < 10 ? digit + 0x30 : digit + 0x57)
        }
    }
}

@inline(__always)
private func isPlain(_ octet: UInt8) -> Bool {
    octet >= 0x20 && octet < 0x7F && octet != UInt8(ascii: "\"") && octet != UInt8(ascii: "\\")
}

/// Octets of the valid UTF-8 sequence that starts at `at` with an octet of at least 0x80; 0 = there is none (Unicode,
/// table 3-7).
private func validSequence(_ octets: Span<UInt8>, _ at: Int) -> Int {
    let size: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch octets[at] {
    case 0xC2...0xDF: size = 2
    case 0xE0: (size, second) = (3, 0xA0...0xBF)
    case 0xED: (size, second) = (3, 0x80...0x9F)
    case 0xE1...0xEF: size = 3
    case 0xF0: (size, second) = (4, 0x90...0xBF)
    case 0xF4: (size, second) = (4, 0x80...0x8F)
    case 0xF1...0xF3: size = 4
    default: return 0
    }
    guard octets.count - at >= size, second.contains(octets[at + 1]) else { return 0 }
    for index in 2..<max(size, 2) where octets[at + index] & 0xC0 != 0x80 {
        return 0
    }
    return size
}

/// The scalar of a valid sequence when it may break lines or reorder text on a screen: C1 controls (U+009B starts an
/// escape sequence), U+2028 to U+202E, U+2066 to U+2069.
private func harmful(_ octets: Span<UInt8>, _ at: Int, _ size: Int) -> UInt16? {
    switch size {
    case 2:
        let scalar = UInt16(octets[at] & 0x1F) << 6 | UInt16(octets[at + 1] & 0x3F)
        return scalar < 0xA0 ? scalar : nil
    case 3:
        let scalar =
            UInt16(octets[at] & 0x0F) << 12 | UInt16(octets[at + 1] & 0x3F) << 6 | UInt16(octets[at + 2] & 0x3F)
        return (0x2028...0x202E).contains(scalar) || (0x2066...0x2069).contains(scalar) ? scalar : nil
    default: return nil
    }
}
