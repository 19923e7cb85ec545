/// The grammar of a token: what a client sends to name its operation.
///
/// A value is either bare, 1…255 visible ASCII characters (0x21…0x7E) without `"`, or an RFC 9651 §3.3.3 string, `"…"`
/// with the escapes `\"` and `\\`, whose content is 1…255 visible ASCII characters. Both forms of one content are the
/// same token.
///
/// Refused: the empty value, 256 characters, spaces (a list that an intermediary merged, `a, b`, has one), controls,
/// octets above 0x7E, a quote that is not closed or not at the start, and parameters after a string (they have no
/// meaning here, and ignoring them would make one token of two different values). A comma or semicolon is an ordinary
/// character of a bare token: UUIDs, base64 and the formats of the Stripe SDKs pass, and nothing is split.
package enum Token {
    /// Characters of a token at most.
    package static let countMax = 255

    /// Replaces `token` by the token in a value. False, with `token` undefined, if the value is malformed.
    package static func parse(_ value: Span<UInt8>, into token: inout [UInt8]) -> Bool {
        token.removeAll(keepingCapacity: true)
        guard value.count > 0 else { return false }
        if value[0] == 0x22 { return parseString(value, into: &token) }
        guard value.count <= countMax else { return false }
        for index in value.indices {
            let octet = value[index]
            guard isVisible(octet), octet != 0x22 else { return false }
        }
        token.append(value)
        return true
    }

    /// RFC 9651 §4.2.5, with the content narrowed to visible characters.
    private static func parseString(_ value: Span<UInt8>, into token: inout [UInt8]) -> Bool {
        var index = 1
        while index < value.count {
            var octet = value[index]
            if octet == 0x22 {
                return index == value.count - 1 && !token.isEmpty
            }
            if octet == 0x5C {
                index += 1
                guard index < value.count, value[index] == 0x22 || value[index] == 0x5C else { return false }
                octet = value[index]
            }
            guard isVisible(octet), token.count < countMax else { return false }
            token.append(octet)
            index += 1
        }
        return false
    }

    @inline(__always)
    private static func isVisible(_ octet: UInt8) -> Bool {
        octet &- 0x21 < 0x5E
    }
}
