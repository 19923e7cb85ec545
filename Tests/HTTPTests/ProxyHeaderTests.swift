import Testing

@testable import HTTP

@Suite("The PROXY protocol's header, versions 1 and 2")
struct ProxyHeaderTests {
    static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

    static func ipv4(_ octets: [UInt8], _ port: UInt16) -> ProxyHeader.Endpoint { .init(address: octets, port: port) }

    struct Example: Sendable, CustomTestStringConvertible {
        var name: String
        var octets: [UInt8]
        var header: ProxyHeader
        var testDescription: String { name }
    }

    static let headers: [Example] = [
        Example(
            name: "TCP4", octets: Array("PROXY TCP4 192.0.2.1 255.255.255.255 56324 443\r\n".utf8),
            header: ProxyHeader(source: ipv4([192, 0, 2, 1], 56324), destination: ipv4([255, 255, 255, 255], 443))),
        Example(
            name: "TCP6", octets: Array("PROXY TCP6 2001:db8::1 ::ffff:192.0.2.7 0 65535\r\n".utf8),
            header: ProxyHeader(
                source: ipv4([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 0),
                destination: ipv4([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7], 65535))),
        Example(
            name: "TCP6 whole",
            octets: Array("PROXY TCP6 1:2:3:4:5:6:7:8 ::1 1 2\r\n".utf8),
            header: ProxyHeader(
                source: ipv4([0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8], 1),
                destination: ipv4([UInt8](repeating: 0, count: 15) + [1], 2))),
        Example(name: "UNKNOWN", octets: Array("PROXY UNKNOWN\r\n".utf8), header: ProxyHeader()),
        Example(
            name: "UNKNOWN with the longest rest",
            octets: Array(("PROXY UNKNOWN " + String(repeating: "f", count: 91) + "\r\n").utf8), header: ProxyHeader()),
        Example(
            name: "v2 TCP4", octets: signature + [0x21, 0x11, 0, 12, 10, 0, 0, 1, 10, 0, 0, 2, 0x1f, 0x90, 1, 0xbb],
            header: ProxyHeader(source: ipv4([10, 0, 0, 1], 8080), destination: ipv4([10, 0, 0, 2], 443))),
        Example(
            name: "v2 TCP6 with TLVs",
            octets: signature + [0x21, 0x21, 0, 40] + Array(1...16) + Array(17...32) + [0, 80, 1, 0, 4, 0, 1, 7],
            header: ProxyHeader(source: ipv4(Array(1...16), 80), destination: ipv4(Array(17...32), 256))),
        Example(
            name: "v2 LOCAL, its addresses ignored",
            octets: signature + [0x20, 0x11, 0, 12] + [UInt8](repeating: 9, count: 12), header: ProxyHeader()),
        Example(name: "v2 LOCAL without any", octets: signature + [0x20, 0, 0, 0], header: ProxyHeader()),
        Example(name: "v2 unspecified", octets: signature + [0x21, 0, 0, 3, 1, 2, 3], header: ProxyHeader()),
        Example(
            name: "v2 Unix", octets: signature + [0x21, 0x31, 0, 216] + [UInt8](repeating: 0, count: 216),
            header: ProxyHeader()),
    ]

    @Test("Valid headers, with every split and with octets behind them", arguments: headers)
    func valid(_ example: Example) throws {
        let following = Array("GET / HTTP/1.1\r\n".utf8)
        let input = example.octets + following
        for count in 0...input.count {
            let part = Array(input[..<count])
            let result = try parse(part)
            if count < example.octets.count {
                #expect(result == nil, "\(count) octets cannot suffice")
            } else {
                #expect(result?.header == example.header)
                #expect(result?.consumed == example.octets.count)
            }
        }
    }

    static let faults: [(String, ProxyHeaderError)] = [
        ("GET / HTTP/1.1\r\n", .signatureExpected), ("PROXY\tTCP4", .signatureExpected),
        ("proxy TCP4", .signatureExpected), ("PROXX ", .signatureExpected),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", .malformedLine),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX", .malformedLine),
        ("PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", .malformedLine),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", .malformedLine),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", .malformedLine),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", .malformedLine),
        ("PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", .malformedLine),
        ("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", .malformedLine), ("PROXY \r\n", .malformedLine),
        ("PROXY unknown\r\n", .malformedLine), ("PROXY TCP4\0 1", .malformedLine),
        ("PROXY TCP4 256.0.2.1 192.0.2.2 1 2\r\n", .invalidAddress),
        ("PROXY TCP4 1.2.3 192.0.2.2 1 2\r\n", .invalidAddress),
        ("PROXY TCP4 1.2.3.4.5 192.0.2.2 1 2\r\n", .invalidAddress),
        ("PROXY TCP4 01.2.3.4 192.0.2.2 1 2\r\n", .invalidAddress),
        ("PROXY TCP4 1..3.4 192.0.2.2 1 2\r\n", .invalidAddress),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", .invalidAddress), ("PROXY TCP6 1.2.3.4 ::1 1 2\r\n", .invalidAddress),
        ("PROXY TCP6 1::2::3 ::1 1 2\r\n", .invalidAddress), ("PROXY TCP6 :1::2 ::1 1 2\r\n", .invalidAddress),
        ("PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n", .invalidAddress),
        ("PROXY TCP6 1:2:3:4:5:6:7: ::1 1 2\r\n", .invalidAddress),
        ("PROXY TCP6 1:2:3:4::5:6:7:8 ::1 1 2\r\n", .invalidAddress),
        ("PROXY TCP6 12345:: ::1 1 2\r\n", .invalidAddress), ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", .invalidAddress),
        ("PROXY TCP6 1:2:3:4:5:6:7:1.2.3.4 ::1 1 2\r\n", .invalidAddress),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", .invalidPort),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", .invalidPort),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", .invalidPort),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 999999\r\n", .invalidPort),
        ("PROXY UNKNOWN " + String(repeating: "f", count: 92) + "\r\n", .lineTooLong),
        ("PROXY " + String(repeating: "x", count: 102), .lineTooLong),
    ]

    @Test("Malformed headers of version 1", arguments: faults)
    func malformed(_ example: (String, ProxyHeaderError)) {
        #expect(throws: example.1) { try parse(Array(example.0.utf8)) }
    }

    @Test("Malformed headers of version 2")
    func malformedBinary() {
        func check(_ rest: [UInt8], _ error: ProxyHeaderError) {
            #expect(throws: error) { try parse(Self.signature + rest) }
        }
        check([0x11], .unknownVersion)
        check([0x22], .unknownCommand)
        check([0x21, 0x12, 0, 12], .unsupportedTransport)
        check([0x21, 0x41, 0, 0], .unsupportedTransport)
        check([0x21, 0x11, 0, 11], .lengthTooSmall)
        check([0x21, 0x21, 0, 35], .lengthTooSmall)
        check([0x21, 0x11, 8, 1], .lengthTooLarge)
        check([0x20, 0x00, 0xff, 0xff], .lengthTooLarge)
        let addresses = [UInt8](repeating: 1, count: 12)
        check([0x21, 0x11, 0, 14] + addresses + [4, 0], .malformedTLV)
        check([0x21, 0x11, 0, 16] + addresses + [4, 0, 200, 0], .malformedTLV)
        #expect(throws: ProxyHeaderError.signatureExpected) { try parse([0x0d, 0x0a, 0x0d, 0x0a, 0x0d]) }
    }

    @Test("No octets whatever trap, and none but a header's beginning are waited for")
    func mutations() throws {
        for example in Self.headers {
            for index in example.octets.indices {
                for octet: UInt8 in [0, 0x0a, 0x0d, 0x20, 0x2e, 0x3a, 0x30, 0x7f, 0xff] {
                    var octets = example.octets
                    octets[index] = octet
                    let result = try? parse(octets)
                    if let result { #expect(result.consumed <= octets.count) }
                }
            }
        }
    }

    private func parse(_ octets: [UInt8]) throws -> (header: ProxyHeader, consumed: Int)? {
        try ProxyHeaderParser.parse(octets.span)
    }
}
