/// Takes lines of the form `Name: value CRLF` apart for an HTTP/2 head, leaving out what belongs to one HTTP/1
/// connection.
struct OutboundFieldLines {
    struct Line: Equatable {
        var name: Range<Int>
        var value: Range<Int>
        /// Never put into a compression table, here or further on (RFC 7541 §7.1.3): secrets, and what is not used
        /// twice.
        var isNeverIndexed: Bool
    }

    private var position = 0
    private let isRequest: Bool

    init(isRequest: Bool) {
        self.isRequest = isRequest
    }

    /// The next line that goes into the head; nil at the end, or where no line of that form stands.
    mutating func next(in lines: Span<UInt8>) -> Line? {
        while position < lines.count {
            let nameEnd = lines.firstNonToken(from: position)
            guard nameEnd > position, nameEnd &+ 1 < lines.count, lines[nameEnd] == Octet.colon,
                lines[nameEnd &+ 1] == Octet.space
            else { return malformed() }
            var valueEnd = lines.firstControl(from: nameEnd &+ 2)
            while valueEnd < lines.count, lines[valueEnd] == Octet.tab {
                valueEnd = lines.firstControl(from: valueEnd &+ 1)
            }
            guard valueEnd &+ 1 < lines.count, lines[valueEnd] == Octet.carriageReturn,
                lines[valueEnd &+ 1] == Octet.lineFeed
            else { return malformed() }
            let name = position..<nameEnd
            let value = lines.trimmed(nameEnd &+ 2..<valueEnd)
            position = valueEnd &+ 2
            let known = KnownFieldTable.field(at: name.lowerBound, count: name.count, in: lines)
            guard isForwarded(known, value, in: lines) else { continue }
            return Line(name: name, value: value, isNeverIndexed: Self.isNeverIndexed(known, valueCount: value.count))
        }
        return nil
    }

    /// Every caller writes its lines with the serialiser.
    private mutating func malformed() -> Line? {
        assertionFailure("not a field line")
        position = .max
        return nil
    }

    /// RFC 9113 §8.2.2, §8.3.1.
    private func isForwarded(_ known: KnownField, _ value: Range<Int>, in lines: Span<UInt8>) -> Bool {
        switch known {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .http2Settings: false
        case .host: !isRequest
        case .te: isRequest && lines.extracting(value).equalsIgnoringCase("trailers")
        default: true
        }
    }

    private static func isNeverIndexed(_ known: KnownField, valueCount: Int) -> Bool {
        switch known {
        case .authorization, .proxyAuthorization, .setCookie, .authenticationInfo: true
        case .idempotencyKey, .xRequestID, .traceparent: true
        // A short one can be guessed octet by octet from what it compresses to.
        case .cookie: valueCount < 20
        default: false
        }
    }
}
