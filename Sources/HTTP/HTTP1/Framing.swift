/// What the Connection field says about the connection itself.
struct ConnectionOptions: OptionSet {
    let rawValue: UInt8
    static let close = ConnectionOptions(rawValue: 1)
    static let keepAlive = ConnectionOptions(rawValue: 2)
    static let upgrade = ConnectionOptions(rawValue: 4)

    /// RFC 9112 §9.3.
    func keepsAlive(_ version: HTTPVersion) -> Bool {
        if contains(.close) { return false }
        return version == .http11 || contains(.keepAlive)
    }
}

extension FieldSection {
    /// Options that one message's Connection fields may list; bounds the work of matching them to fields.
    static let connectionOptionsMax = 32

    /// Reads every Connection line (RFC 9110 §7.6.1).
    func connectionOptions() throws(HTTPError) -> ConnectionOptions {
        var options: ConnectionOptions = []
        guard contains(.connection) else { return options }
        var count = 0
        for line in lines where line.known == .connection {
            var elements = ListElements(line.value.bounds)
            while let bounds = elements.next(in: octets.span) {
                count += 1
                guard count <= Self.connectionOptionsMax else { throw .tooManyConnectionOptions }
                let option = octets.span.extracting(bounds)
                guard isFieldName(option) else { throw .malformedConnection }
                if option.equalsIgnoringCase("close") {
                    options.insert(.close)
                } else if option.equalsIgnoringCase("keep-alive") {
                    options.insert(.keepAlive)
                } else if option.equalsIgnoringCase("upgrade") {
                    options.insert(.upgrade)
                }
            }
        }
        return options
    }

    /// The framing that Content-Length and Transfer-Encoding state (RFC 9112 §6); nil when neither stands here.
    ///
    /// Stricter than the RFC's MAY: both together, either twice, even with equal values, and any coding but `chunked`
    /// are refused.
    func framing(version: HTTPVersion) throws(HTTPError) -> BodyFraming? {
        if contains(.transferEncoding) {
            // RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 means that somebody on the way did not understand it.
            guard version == .http11 else { throw .transferEncodingInHTTP10 }
            guard !contains(.contentLength) else { throw .conflictingFraming }
            guard !isRepeated(.transferEncoding) else { throw .duplicateTransferEncoding }
            guard let line = first(.transferEncoding) else { return nil }
            if value(line).equalsIgnoringCase("chunked") { return .chunked }
            throw fault(inTransferEncoding: line.value)
        }
        guard let line = first(.contentLength) else { return nil }
        guard !isRepeated(.contentLength) else { throw .duplicateContentLength }
        return .length(try contentLength(value(line)))
    }

    /// RFC 9110 §8.6: 1*DIGIT, at most 2⁶³ − 1. A list of equal values is refused, too.
    private func contentLength(_ value: Span<UInt8>) throws(HTTPError) -> UInt64 {
        guard value.count > 0 else { throw .invalidContentLength }
        var length: UInt64 = 0
        for index in value.indices {
            let digit = value[index] &- Octet.zero
            // Holds for length * 10 + digit ≤ 2⁶³ − 1 exactly, as 2⁶³ − 1 ends in 7.
            guard digit < 10, length < 922_337_203_685_477_580 || length == 922_337_203_685_477_580 && digit <= 7 else {
                throw .invalidContentLength
            }
            length = length * 10 + UInt64(digit)
        }
        return length
    }

    /// Well-formed codings that are not ours are 501 (RFC 9112 §6.1); an empty element, a parameter, `chunked` twice or
    /// before another coding leave the length unknown and are 400 (§6.3).
    private func fault(inTransferEncoding value: OctetRange) -> HTTPError {
        var isAfterChunked = false
        var start = value.bounds.lowerBound
        let end = value.bounds.upperBound
        while true {
            var stop = start
            while stop < end, octets[stop] != Octet.comma { stop += 1 }
            let coding = octets.span.extracting(octets.span.trimmed(start..<stop))
            guard isFieldName(coding), !isAfterChunked else { return .invalidTransferEncoding }
            isAfterChunked = coding.equalsIgnoringCase("chunked")
            guard stop < end else { return .unsupportedTransferCoding }
            start = stop + 1
        }
    }

    /// TE holds the member `trailers` (RFC 9110 §10.1.4).
    func listsTrailersInTE() -> Bool {
        for line in lines where line.known == .te {
            var elements = ListElements(line.value.bounds)
            while let bounds = elements.next(in: octets.span) {
                if octets.span.extracting(bounds).equalsIgnoringCase("trailers") { return true }
            }
        }
        return false
    }
}
