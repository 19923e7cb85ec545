/// The order of member names: by UTF-16 code units (RFC 8785 §3.2.3), found on UTF-8 without conversion.
///
/// UTF-8 has the order of code points. UTF-16 differs only in that U+10000 and above (surrogates, 0xD800…) stand before
/// U+E000…U+FFFF; by their first octets: 0xF0…0xF4 before 0xEE and 0xEF.
enum JSONName {
    /// The first eight octets as one integer whose order is that of the names; names with equal prefixes need
    /// `compare`.
    static func prefix(_ name: Span<UInt8>) -> UInt64 {
        var prefix: UInt64 = 0
        for index in 0..<8 {
            prefix = prefix << 8 | UInt64(index < name.count ? rank(name[index]) : 0)
        }
        return prefix
    }

    /// Negative, zero or positive.
    static func compare(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Int {
        let count = min(left.count, right.count)
        var index = 0
        while index < count {
            if left[index] != right[index] { return Int(rank(left[index])) - Int(rank(right[index])) }
            index += 1
        }
        return left.count - right.count
    }

    @inline(__always)
    private static func rank(_ octet: UInt8) -> UInt8 {
        switch octet {
        case 0xEE, 0xEF: octet + 0x10
        case 0xF0...: octet - 2
        default: octet
        }
    }
}
