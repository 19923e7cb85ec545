/// RFC 3986 §2.1 percent-encoding.
enum PercentCoding {
    /// Appends the decoded octets. False if a `%` is not followed by two hexadecimal digits; what was appended is then
    /// undefined.
    static func decode(_ octets: Span<UInt8>, plusIsSpace: Bool, into decoded: inout [UInt8]) -> Bool {
        var index = 0
        while index < octets.count {
            let octet = octets[index]
            switch octet {
            case 0x25:
                guard index + 2 < octets.count, let high = hexadecimalValue(octets[index + 1]),
                    let low = hexadecimalValue(octets[index + 2])
                else { return false }
                decoded.append(high << 4 | low)
                index += 3
            case 0x2B where plusIsSpace:
                decoded.append(0x20)
                index += 1
            default:
                decoded.append(octet)
                index += 1
            }
        }
        return true
    }
}

/// Walks `name=value` parameters separated by `&`, of a query or a urlencoded body.
struct ParameterCursor {
    /// The parameter at hand: `=` and what follows it may be missing.
    private(set) var name = 0..<0
    private(set) var value: Range<Int>?
    private var position = 0
    private var isAtEnd = false

    /// The whole parameter.
    var range: Range<Int> {
        name.lowerBound..<(value?.upperBound ?? name.upperBound)
    }

    /// Goes to the next parameter; false at the end. No octets hold no parameter.
    mutating func next(in octets: Span<UInt8>) -> Bool {
        if isAtEnd || octets.count == 0 { return false }
        let start = position
        let end = octets.firstIndex(of: 0x26, from: start)
        var equals = start
        while equals < end, octets[equals] != 0x3D { equals += 1 }
        name = start..<equals
        value = equals < end ? (equals + 1)..<end : nil
        isAtEnd = end == octets.count
        position = end + 1
        return true
    }
}
