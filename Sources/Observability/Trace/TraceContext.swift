/// What a valid `traceparent` says (W3C Trace Context §3.2). The field itself is always passed through, valid or not.
///
///     version "-" trace-id "-" parent-id "-" trace-flags
///        2           32           16             2        lower-case hexadecimal digits
package struct TraceContext: Sendable, Equatable {
    package var traceIDHigh: UInt64
    package var traceIDLow: UInt64
    package var parentID: UInt64
    package var flags: UInt8

    package var isSampled: Bool { flags & 1 != 0 }

    /// Nil when the field is to be ignored: malformed, version ff, or an identifier of only zeros.
    package init?(traceparent: Span<UInt8>) {
        guard traceparent.count >= 55,
            let version = hexadecimal(traceparent, 0..<2), version != 0xFF,
            // Version 00 has exactly 55 octets; a later one may go on, after a dash.
            traceparent.count == 55 || (version != 0 && traceparent[55] == UInt8(ascii: "-")),
            traceparent[2] == UInt8(ascii: "-"), traceparent[35] == UInt8(ascii: "-"),
            traceparent[52] == UInt8(ascii: "-"),
            let high = hexadecimal(traceparent, 3..<19), let low = hexadecimal(traceparent, 19..<35), high | low != 0,
            let parent = hexadecimal(traceparent, 36..<52), parent != 0,
            let flags = hexadecimal(traceparent, 53..<55)
        else { return nil }
        traceIDHigh = high
        traceIDLow = low
        parentID = parent
        self.flags = UInt8(flags)
    }
}

private func hexadecimal(_ octets: Span<UInt8>, _ range: Range<Int>) -> UInt64? {
    var value: UInt64 = 0
    for index in range {
        let octet = octets[index]
        switch octet {
        case 0x30...0x39: value = value << 4 | UInt64(octet - 0x30)
        case 0x61...0x66: value = value << 4 | UInt64(octet - 0x57)
        default: return nil
        }
    }
    return value
}
