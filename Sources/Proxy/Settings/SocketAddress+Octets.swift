import Transport

extension SocketAddress {
    /// The IP address in network order, 4 or 16 octets; an IPv4-mapped IPv6 address gives 4. Nil for other kinds.
    var octets: [UInt8]? {
        switch kind {
        case .v4:
            return (0..<4).map { UInt8(truncatingIfNeeded: low >> UInt64(24 - 8 * $0)) }
        case .v6:
            if high == 0, low >> 32 == 0xFFFF {
                return (0..<4).map { UInt8(truncatingIfNeeded: low >> UInt64(24 - 8 * $0)) }
            }
            return [high, low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) }
            }
        case .unix, .unknown:
            return nil
        }
    }

    /// From 4 or 16 octets in network order; nil for any other number.
    init?(octets: [UInt8], port: UInt16) {
        func word(_ range: Range<Int>) -> UInt64 { octets[range].reduce(0) { $0 << 8 | UInt64($1) } }
        switch octets.count {
        case 4: self = .v4(UInt32(word(0..<4)), port: port)
        case 16: self = .v6(high: word(0..<8), low: word(8..<16), port: port)
        default: return nil
        }
    }
}
