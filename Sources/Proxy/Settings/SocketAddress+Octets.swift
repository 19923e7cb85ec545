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
}
