#if canImport(HTTP)
    @testable import HTTP
#endif

extension HTTP2StreamID: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: UInt32) { self.init(value) }
}

/// HTTP/2 frames made by hand, right or wrong.
enum Frames {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    /// What a client says first.
    static let clientStart = preface + settings()

    static let endStream: UInt8 = 0x1
    static let acknowledgement: UInt8 = 0x1
    static let endHeaders: UInt8 = 0x4
    static let padded: UInt8 = 0x8
    static let priority: UInt8 = 0x20

    static func frame(_ type: UInt8, _ flags: UInt8 = 0, _ stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16 & 0xff), UInt8(length >> 8 & 0xff), UInt8(length & 0xff), type, flags]
            + bigEndian(stream) + payload
    }

    static func bigEndian(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    static func data(_ stream: UInt32, _ payload: [UInt8], ends: Bool = false) -> [UInt8] {
        frame(0x0, ends ? endStream : 0, stream, payload)
    }

    static func paddedData(_ stream: UInt32, _ payload: [UInt8], padding: UInt8, ends: Bool = false) -> [UInt8] {
        let octets = [padding] + payload + [UInt8](repeating: 0, count: Int(padding))
        return frame(0x0, padded | (ends ? endStream : 0), stream, octets)
    }

    static func headers(_ stream: UInt32, _ fields: [(String, String)], ends: Bool = true) -> [UInt8] {
        frame(0x1, endHeaders | (ends ? endStream : 0), stream, block(fields))
    }

    static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> [UInt8] { frame(0x3, 0, stream, bigEndian(code)) }

    static func settings(_ entries: [(UInt16, UInt32)] = []) -> [UInt8] {
        frame(0x4, 0, 0, entries.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 0xff)] + bigEndian($0.1) })
    }

    static let settingsAcknowledgement = frame(0x4, acknowledgement)

    static func ping(_ value: UInt8 = 0) -> [UInt8] { frame(0x6, 0, 0, [UInt8](repeating: value, count: 8)) }

    static func goAway(_ lastStream: UInt32, _ code: UInt32 = 0) -> [UInt8] {
        frame(0x7, 0, 0, bigEndian(lastStream) + bigEndian(code))
    }

    static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> [UInt8] {
        frame(0x8, 0, stream, bigEndian(increment))
    }

    static func continuation(_ stream: UInt32, _ block: [UInt8], ends: Bool) -> [UInt8] {
        frame(0x9, ends ? endHeaders : 0, stream, block)
    }

    /// The usual request, with other pseudo-header fields and more fields.
    static func request(_ changes: [(String, String?)] = [], _ more: [(String, String)] = []) -> [(String, String)] {
        var fields = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a.example")]
        for (name, value) in changes {
            fields.removeAll { $0.0 == name }
            if let value { fields.append((name, value)) }
        }
        return fields + more
    }

    // MARK: HPACK (RFC 7541)

    /// Literals, neither indexed nor Huffman-coded (§6.2.2).
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0x00] + string($0.0) + string($0.1) }
    }

    /// A literal that goes into the dynamic table (§6.2.1).
    static func indexedLiteral(_ name: String, _ value: String) -> [UInt8] { [0x40] + string(name) + string(value) }

    private static func string(_ text: String) -> [UInt8] {
        // Scalars, not UTF-8: a test may want any octet.
        let octets = text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
        return integer(octets.count, prefix: 7) + octets
    }

    static func integer(_ value: Int, prefix: Int, _ firstBits: UInt8 = 0) -> [UInt8] {
        let max = 1 << prefix - 1
        guard value >= max else { return [firstBits | UInt8(value)] }
        var octets = [firstBits | UInt8(max)]
        var rest = value - max
        while rest >= 128 {
            octets.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return octets + [UInt8(rest)]
    }

    // MARK: Reading

    struct Frame: Equatable {
        var type: UInt8
        var flags: UInt8
        var stream: UInt32
        var payload: [UInt8]
        /// The error code of RST_STREAM and GOAWAY.
        var code: HTTP2ErrorCode? {
            switch type {
            case 0x3: HTTP2ErrorCode(number(0))
            case 0x7: HTTP2ErrorCode(number(4))
            default: nil
            }
        }

        func number(_ offset: Int) -> UInt32 {
            payload[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
        }
    }

    /// Every frame of a server's output.
    static func read(_ octets: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var index = 0
        while index + 9 <= octets.count {
            let length = Int(octets[index]) << 16 | Int(octets[index + 1]) << 8 | Int(octets[index + 2])
            let stream = octets[index + 5..<index + 9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            frames.append(
                Frame(
                    type: octets[index + 3], flags: octets[index + 4], stream: stream,
                    payload: Array(octets[index + 9..<index + 9 + length])))
            index += 9 + length
        }
        precondition(index == octets.count)
        return frames
    }
}
