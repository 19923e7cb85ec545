package import CLinux

/// Where a socket is: IPv4, IPv6 or a path. An IPv4 address mapped into IPv6 is kept as IPv4.
package struct SocketAddress: Hashable, Sendable {
    package enum Kind: UInt8, Sendable {
        case unknown, v4, v6, unix
    }

    package let kind: Kind
    /// 0 for UNIX sockets.
    package var port: UInt16
    private let scope: UInt32
    /// The IPv6 address, most significant half first; for IPv4 the address is the last 32 bits of `low`.
    package let high: UInt64
    package let low: UInt64
    /// Path of a UNIX socket; a leading NUL means the abstract namespace. Empty for a peer that is not bound.
    package let path: [UInt8]

    package static let unknown = SocketAddress(kind: .unknown)

    private init(kind: Kind, port: UInt16 = 0, scope: UInt32 = 0, high: UInt64 = 0, low: UInt64 = 0, path: [UInt8] = [])
    {
        self.kind = kind
        self.port = port
        self.scope = scope
        self.high = high
        self.low = low
        self.path = path
    }

    /// From an address as a number in host order: 127.0.0.1 is 0x7F000001.
    package static func v4(_ address: UInt32, port: UInt16) -> SocketAddress {
        SocketAddress(kind: .v4, port: port, low: UInt64(address))
    }

    package static func v6(high: UInt64, low: UInt64, port: UInt16, scope: UInt32 = 0) -> SocketAddress {
        if high == 0, low >> 32 == 0xFFFF { return .v4(UInt32(truncatingIfNeeded: low), port: port) }
        return SocketAddress(kind: .v6, port: port, scope: scope, high: high, low: low)
    }

    package static func unix(_ path: [UInt8]) -> SocketAddress {
        SocketAddress(kind: .unix, path: path)
    }

    package var isIP: Bool { kind == .v4 || kind == .v6 }

    package var family: Int32 {
        switch kind {
        case .unknown: AF_UNSPEC
        case .v4: AF_INET
        case .v6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// The address alone in network order: 4 or 16 octets, none for a UNIX socket.
    var octets: [UInt8] {
        switch kind {
        case .unknown, .unix: []
        case .v4: withUnsafeBytes(of: UInt32(truncatingIfNeeded: low).bigEndian) { Array($0) }
        case .v6: withIPv6Octets { Array(UnsafeBufferPointer(start: $0, count: 16)) }
        }
    }

    package init(_ storage: UnsafePointer<sockaddr_storage>, length: socklen_t) {
        switch Int32(cl_address_family(storage)) {
        case AF_INET:
            self = .v4(UInt32(bigEndian: cl_address_v4_octets(storage)), port: cl_address_port(storage))
        case AF_INET6:
            guard let octets = cl_address_v6_octets(storage) else {
                self = .unknown
                return
            }
            let (high, low) = Self.halves(octets)
            self = .v6(high: high, low: low, port: cl_address_port(storage), scope: cl_address_scope(storage))
        case AF_UNIX:
            let count = cl_address_path_count(storage, length)
            self = .unix(Array(UnsafeBufferPointer(start: cl_address_path(storage), count: count)))
        default:
            self = .unknown
        }
    }

    /// The address as the kernel wants it, for the time of the call. A path that is too long gives the length 0.
    package func withSocketAddress<Result>(
        _ body: (UnsafePointer<sockaddr_storage>, socklen_t) -> Result
    ) -> Result {
        var storage = sockaddr_storage()
        let length: socklen_t
        switch kind {
        case .unknown:
            length = 0
        case .v4:
            cl_address_v4(&storage, UInt32(truncatingIfNeeded: low).bigEndian, port)
            length = socklen_t(MemoryLayout<sockaddr_in>.size)
        case .v6:
            withIPv6Octets { cl_address_v6(&storage, $0, port, scope) }
            length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        case .unix:
            length = path.withUnsafeBufferPointer { cl_address_unix(&storage, $0.baseAddress, $0.count) }
        }
        return body(&storage, length)
    }

    private static func halves(_ octets: UnsafePointer<UInt8>) -> (UInt64, UInt64) {
        var halves: (UInt64, UInt64) = (0, 0)
        for i in 0..<8 {
            halves.0 = halves.0 << 8 | UInt64(octets[i])
            halves.1 = halves.1 << 8 | UInt64(octets[i + 8])
        }
        return halves
    }

    private func withIPv6Octets<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
        var octets = (high.bigEndian, low.bigEndian)
        return withUnsafeBytes(of: &octets) { $0.withMemoryRebound(to: UInt8.self) { body($0.baseAddress!) } }
    }
}

// MARK: text

extension SocketAddress: CustomStringConvertible {
    /// "1.2.3.4:80", "[::1]:80" or "unix:/path".
    package var description: String {
        var text: [UInt8] = []
        switch kind {
        case .unknown:
            return "unknown"
        case .v4:
            appendIPText(to: &text)
        case .v6:
            text.append(UInt8(ascii: "["))
            appendIPText(to: &text)
            text.append(UInt8(ascii: "]"))
        case .unix:
            return "unix:"
                + String(decoding: path.first == 0 ? [UInt8(ascii: "@")] + path.dropFirst() : path, as: UTF8.self)
        }
        return String(decoding: text, as: UTF8.self) + ":\(port)"
    }

    /// Appends the address without port or brackets, as in X-Forwarded-For; nothing for a UNIX socket.
    package func appendIPText(to out: inout [UInt8]) {
        if kind == .v4 {
            for shift: UInt64 in [24, 16, 8, 0] {
                let octet = UInt8(truncatingIfNeeded: low >> shift)
                if octet >= 100 { out.append(UInt8(ascii: "0") + octet / 100) }
                if octet >= 10 { out.append(UInt8(ascii: "0") + octet / 10 % 10) }
                out.append(UInt8(ascii: "0") + octet % 10)
                if shift > 0 { out.append(UInt8(ascii: ".")) }
            }
        } else if kind == .v6 {
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
                let count = withIPv6Octets { cl_format_v6($0, text.baseAddress, text.count) }
                for i in 0..<count { out.append(UInt8(bitPattern: text[i])) }
            }
        }
    }

    /// Parses a numeric address with its port, or a path: "1.2.3.4:80", "[::1]:80", "unix:/path", "unix:@abstract".
    /// Nil for anything else, host names included.
    package static func parse(_ text: String) -> SocketAddress? {
        if text.hasPrefix("unix:") {
            var path = Array(text.utf8.dropFirst(5))
            guard !path.isEmpty, path.count < 108, !path.contains(0) else { return nil }
            if path[0] == UInt8(ascii: "@") { path[0] = 0 }
            return .unix(path)
        }
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits) else {
            return nil
        }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            guard let address = ip(String(host.dropFirst().dropLast()), port: port), host.contains(":") else {
                return nil
            }
            return address
        }
        return host.contains(":") ? nil : ip(String(host), port: port)
    }

    /// Parses an address alone: "1.2.3.4" or "::1".
    package static func ip(_ text: String, port: UInt16 = 0) -> SocketAddress? {
        guard !text.utf8.contains(0) else { return nil }
        var v4: UInt32 = 0
        if cl_parse_v4(text, &v4) == 1 { return .v4(UInt32(bigEndian: v4), port: port) }
        var v6 = [UInt8](repeating: 0, count: 16)
        guard cl_parse_v6(text, &v6) == 1 else { return nil }
        let (high, low) = v6.withUnsafeBufferPointer { halves($0.baseAddress!) }
        return .v6(high: high, low: low, port: port)
    }
}
