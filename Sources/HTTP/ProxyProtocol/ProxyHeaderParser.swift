/// Reads the header that a load balancer puts before a connection's first octet, in version 1 or 2 of the PROXY
/// protocol (haproxy.org, proxy-protocol.txt).
///
/// Ask it only where a header must stand: whether there is one is decided by who connects, never by what is sent, or
/// anybody could claim any address.
/// ```
/// version 1   PROXY SP (TCP4|TCP6) SP source SP destination SP port SP port CRLF     at most 107 octets
///             PROXY SP UNKNOWN … CRLF
/// version 2   0            12         13       14       16
///             ┌────────────┬──────────┬────────┬────────┬───────────┬──────┐
///             │ signature  │ version, │ family │ length │ addresses │ TLVs │   big-endian; length counts
///             │            │ command  │        │        │           │      │   addresses and TLVs
///             └────────────┴──────────┴────────┴────────┴───────────┴──────┘
/// ```
package enum ProxyHeaderParser {
    /// No header is longer.
    package static let bytesMax = 16 + lengthMax

    private static let lineBytesMax = 107
    private static let lengthMax = 2048
    private static let signature: [UInt8] = [
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
    ]
    private static let linePrefix = Array("PROXY ".utf8)

    /// The header at the front of `input` and how many octets it took; nil when more are needed. Offer all of them
    /// again then: there are never many.
    package static func parse(_ input: Span<UInt8>) throws(ProxyHeaderError) -> (header: ProxyHeader, consumed: Int)? {
        guard input.count > 0 else { return nil }
        let isBinary = input[0] == signature[0]
        let expected = isBinary ? signature : linePrefix
        for index in 0..<min(input.count, expected.count) where input[index] != expected[index] {
            throw .signatureExpected
        }
        guard input.count >= expected.count else { return nil }
        return isBinary ? try parseBinary(input) : try parseLine(input)
    }

    // MARK: Version 2

    private static func parseBinary(
        _ input: Span<UInt8>
    ) throws(ProxyHeaderError) -> (header: ProxyHeader, consumed: Int)? {
        guard input.count >= 13 else { return nil }
        guard input[12] >> 4 == 2 else { throw .unknownVersion }
        let command = input[12] & 0xf
        guard command <= 1 else { throw .unknownCommand }
        guard input.count >= 16 else { return nil }
        let length = Int(input[14]) << 8 | Int(input[15])
        guard length <= lengthMax else { throw .lengthTooLarge }
        let isProxied = command == 1
        let addressCount = isProxied ? try addressCount(family: input[13]) : 0
        guard length >= 2 * addressCount + (addressCount > 0 ? 4 : 0) else { throw .lengthTooSmall }
        guard input.count >= 16 + length else { return nil }
        var header = ProxyHeader()
        if addressCount > 0 {
            let ports = 16 + 2 * addressCount
            header.source = endpoint(input, address: 16, count: addressCount, port: ports)
            header.destination = endpoint(input, address: 16 + addressCount, count: addressCount, port: ports + 2)
        }
        let addressesEnd = 16 + 2 * addressCount + (addressCount > 0 ? 4 : 0)
        // Without addresses the sender may have written any (section 2.2).
        if addressCount > 0 { try skipTLVs(input.extracting(addressesEnd..<16 + length)) }
        return (header, 16 + length)
    }

    /// None is used, but one that does not fit the header says that sender and receiver read it differently.
    private static func skipTLVs(_ tlvs: Span<UInt8>) throws(ProxyHeaderError) {
        var position = 0
        while position < tlvs.count {
            guard position + 3 <= tlvs.count else { throw .malformedTLV }
            position += 3 + (Int(tlvs[position + 1]) << 8 | Int(tlvs[position + 2]))
            guard position <= tlvs.count else { throw .malformedTLV }
        }
    }

    /// Octets of an IP address; 0 for connections that have none: unspecified, and those over Unix sockets.
    private static func addressCount(family: UInt8) throws(ProxyHeaderError) -> Int {
        switch family {
        case 0x11: 4
        case 0x21: 16
        case 0x00, 0x31: 0
        // Datagrams did not come over this connection.
        default: throw .unsupportedTransport
        }
    }

    private static func endpoint(
        _ input: Span<UInt8>, address: Int, count: Int, port: Int
    ) -> ProxyHeader.Endpoint {
        var octets: [UInt8] = []
        octets.append(span: input.extracting(address..<address + count))
        return ProxyHeader.Endpoint(address: octets, port: UInt16(input[port]) << 8 | UInt16(input[port + 1]))
    }

    // MARK: Version 1

    private static func parseLine(
        _ input: Span<UInt8>
    ) throws(ProxyHeaderError) -> (header: ProxyHeader, consumed: Int)? {
        let end = input.firstControl(from: 0)
        guard end + 2 <= lineBytesMax else { throw .lineTooLong }
        guard end < input.count else { return nil }
        guard input[end] == Octet.carriageReturn else { throw .malformedLine }
        guard end + 1 < input.count else { return nil }
        guard input[end + 1] == Octet.lineFeed else { throw .malformedLine }
        let consumed = end + 2

        var words = Words(position: linePrefix.count, end: end)
        let transport = try words.next(in: input)
        if input.extracting(transport).equals("UNKNOWN") { return (ProxyHeader(), consumed) }
        let isIPv4 = input.extracting(transport).equals("TCP4")
        guard isIPv4 || input.extracting(transport).equals("TCP6") else { throw .malformedLine }
        let source = try address(input.extracting(words.next(in: input)), isIPv4: isIPv4)
        let destination = try address(input.extracting(words.next(in: input)), isIPv4: isIPv4)
        let sourcePort = try port(input.extracting(words.next(in: input)))
        let destinationPort = try port(input.extracting(words.next(in: input)))
        guard words.isAtEnd else { throw .malformedLine }
        let header = ProxyHeader(
            source: .init(address: source, port: sourcePort),
            destination: .init(address: destination, port: destinationPort))
        return (header, consumed)
    }

    /// Words with exactly one space between them.
    private struct Words {
        var position: Int
        let end: Int
        var isAtEnd = false

        init(position: Int, end: Int) {
            self.position = position
            self.end = end
        }

        mutating func next(in line: Span<UInt8>) throws(ProxyHeaderError) -> Range<Int> {
            let start = position
            while position < end, line[position] != Octet.space { position += 1 }
            guard !isAtEnd, position > start else { throw .malformedLine }
            let word = start..<position
            isAtEnd = position == end
            position += 1
            return word
        }
    }

    private static func port(_ text: Span<UInt8>) throws(ProxyHeaderError) -> UInt16 {
        guard (1...5).contains(text.count), text.count == 1 || text[0] != Octet.zero else { throw .invalidPort }
        var port = 0
        for index in text.indices {
            let digit = text[index] &- Octet.zero
            guard digit < 10 else { throw .invalidPort }
            port = port * 10 + Int(digit)
        }
        guard port <= 65535 else { throw .invalidPort }
        return UInt16(port)
    }

    private static func address(_ text: Span<UInt8>, isIPv4: Bool) throws(ProxyHeaderError) -> [UInt8] {
        guard let address = isIPv4 ? ipv4(text) : ipv6(text) else { throw .invalidAddress }
        return address
    }

    /// Four decimal numbers without leading zeros: some readers take those for octal.
    private static func ipv4(_ text: Span<UInt8>) -> [UInt8]? {
        var octets: [UInt8] = []
        var value = 0
        var digits = 0
        for index in text.indices {
            if text[index] == Octet.dot {
                guard digits > 0, octets.count < 3 else { return nil }
                octets.append(UInt8(value))
                value = 0
                digits = 0
                continue
            }
            let digit = text[index] &- Octet.zero
            guard digit < 10, digits == 0 || value > 0 else { return nil }
            value = value * 10 + Int(digit)
            digits += 1
            guard value <= 255 else { return nil }
        }
        guard digits > 0, octets.count == 3 else { return nil }
        octets.append(UInt8(value))
        return octets
    }

    /// RFC 4291 §2.2: eight groups, of which one run may be `::`; the last two may be an IPv4 address. No zone.
    private static func ipv6(_ text: Span<UInt8>) -> [UInt8]? {
        var octets: [UInt8] = []
        var gap: Int?
        var index = 0
        if text.count >= 2, text[0] == Octet.colon {
            guard text[1] == Octet.colon else { return nil }
            gap = 0
            index = 2
        }
        while index < text.count {
            guard octets.count < 16 else { return nil }
            var end = index
            while end < text.count, text[end] != Octet.colon { end += 1 }
            let group = text.extracting(index..<end)
            if end == text.count, let last = ipv4(group), octets.count <= 12 {
                octets += last
                break
            }
            guard let value = hexadecimal(group) else { return nil }
            octets.append(UInt8(value >> 8))
            octets.append(UInt8(value & 0xff))
            guard end < text.count else { break }
            index = end + 1
            // A colon is followed by a group or by the one gap.
            guard index < text.count else { return nil }
            if text[index] == Octet.colon {
                guard gap == nil else { return nil }
                gap = octets.count
                index += 1
            }
        }
        guard let gap else { return octets.count == 16 ? octets : nil }
        guard octets.count <= 14 else { return nil }
        octets.insert(contentsOf: [UInt8](repeating: 0, count: 16 - octets.count), at: gap)
        return octets
    }

    private static func hexadecimal(_ group: Span<UInt8>) -> UInt16? {
        guard (1...4).contains(group.count) else { return nil }
        var value: UInt16 = 0
        for index in group.indices {
            guard let digit = Octet.hexValue(group[index]) else { return nil }
            value = value << 4 | UInt16(digit)
        }
        return value
    }
}

extension Span<UInt8> {
    /// The same octets, case and all.
    fileprivate func equals(_ literal: StaticString) -> Bool {
        guard count == literal.utf8CodeUnitCount else { return false }
        // Safe: a StaticString's octets live as long as the program, and `index` stays below their count.
        let other = unsafe UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount)
        for index in indices where unsafe self[index] != other[index] { return false }
        return true
    }
}
