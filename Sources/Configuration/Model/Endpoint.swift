extension Configuration {
    /// Where a socket is bound or connected to.
    package enum Endpoint: Sendable, Hashable, CustomStringConvertible {
        /// `host` is an address literal without brackets or, of an upstream's server, a name in lower case.
        case network(host: String, port: UInt16)
        /// An absolute path.
        case unix(path: String)

        /// `sun_path` holds 108 octets, the NUL included.
        static let unixPathOctetsMax = 107

        /// `127.0.0.1:80`, `[::1]:80`, `name:80` or `unix:/path`.
        package var description: String {
            switch self {
            case .network(let host, let port):
                host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
            case .unix(let path):
                "unix:\(path)"
            }
        }
    }

    /// A CIDR block.
    package struct AddressBlock: Sendable, Hashable, CustomStringConvertible {
        /// Four or sixteen octets, network order; those after the prefix are zero.
        package var octets: [UInt8]
        package var prefixBits: Int

        package init(octets: [UInt8], prefixBits: Int) {
            precondition((octets.count == 4 || octets.count == 16) && (0...octets.count * 8).contains(prefixBits))
            self.octets = octets
            self.prefixBits = prefixBits
            for index in octets.indices {
                self.octets[index] &= Self.mask(octet: index, prefixBits: prefixBits)
            }
        }

        /// Whether an address of four or sixteen octets lies in the block; the IPv4-mapped form of IPv6 is not
        /// unwrapped here.
        package func contains(_ address: Span<UInt8>) -> Bool {
            guard address.count == octets.count else { return false }
            for index in octets.indices
            where address[index] & Self.mask(octet: index, prefixBits: prefixBits) != octets[index] {
                return false
            }
            return true
        }

        package var description: String {
            "\(AddressText.text(of: octets))/\(prefixBits)"
        }

        private static func mask(octet: Int, prefixBits: Int) -> UInt8 {
            let bits = min(max(prefixBits - octet * 8, 0), 8)
            return bits == 0 ? 0 : UInt8.max << (8 - bits)
        }
    }
}
