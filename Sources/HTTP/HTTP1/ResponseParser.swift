/// Reads response heads (RFC 9112 §4 to §6) as strictly as `RequestParser` reads requests, and in the same way.
package struct ResponseParser: Sendable {
    private var scanner = LineScanner()
    private let limits: HTTP1Limits

    package init(limits: HTTP1Limits = HTTP1Limits()) {
        self.limits = limits
    }

    /// Octets of a response have been offered since the last complete head.
    package var hasBegun: Bool { scanner.hasBegun }

    /// Reads one head from the first of `input` on; the answer to a request with `requestMethod`.
    ///
    /// Returns how many octets it took, through the empty line; nil when more are needed. A 1xx head is returned like
    /// any other.
    package mutating func parse(
        _ input: Span<UInt8>, requestMethod: RequestHead.Method, into head: inout ResponseHead
    ) throws(HTTPError) -> Int? {
        guard input.count > 0 else { return nil }
        guard input[0] == 0x48 else { throw .invalidFirstOctet }
        if scanner.lineCount > 0 {
            // As in RequestParser: the lines seen so far were written to a head that has served others since.
            guard try advance(input, into: &head) != nil else { return nil }
            scanner = LineScanner()
        }
        guard let end = try advance(input, into: &head) else { return nil }
        head.fields.copyOctets(of: input, 0..<end)
        try head.finish(requestMethod: requestMethod)
        scanner = LineScanner()
        return end
    }

    private mutating func advance(_ input: Span<UInt8>, into head: inout ResponseHead) throws(HTTPError) -> Int? {
        head.fields.removeLines()
        let lineLimits = LineScanner.Limits(
            startLineBytesMax: limits.responseFieldBytesMax, startLineError: .malformedStatusLine,
            sectionBytesMax: limits.responseHeadBytesMax, sectionError: .headTooLarge,
            linesMax: limits.responseFieldsMax + 1, linesError: .tooManyFields,
            fieldBytesMax: limits.responseFieldBytesMax, hasStartLine: true)
        while true {
            switch try scanner.next(input, limits: lineLimits) {
            case .needsMore: return nil
            case .end(let end): return end
            case .line(let line):
                if scanner.lineCount == 1 {
                    try head.readStatusLine(line, of: input)
                } else {
                    try head.fields.appendLine(line, of: input, base: 0)
                }
            }
        }
    }
}

extension ResponseHead {
    /// Reads `HTTP/d.d SP 3DIGIT SP reason` (RFC 9112 §4). The space before an absent reason may be missing: nothing
    /// else can be meant.
    mutating func readStatusLine(_ line: Range<Int>, of input: Span<UInt8>) throws(HTTPError) {
        let start = line.lowerBound
        guard line.count >= 12, input[start + 8] == Octet.space else { throw .malformedStatusLine }
        version = try HTTPVersion(input, at: start)
        let hundreds = input[start + 9] &- Octet.zero
        let tens = input[start + 10] &- Octet.zero
        let ones = input[start + 11] &- Octet.zero
        guard hundreds < 10, tens < 10, ones < 10 else { throw .invalidStatus }
        status = UInt16(hundreds) * 100 + UInt16(tens) * 10 + UInt16(ones)
        guard (100...599).contains(status) else { throw .invalidStatus }
        guard line.count > 12 else {
            reason = .empty
            return
        }
        guard input[start + 12] == Octet.space else { throw .malformedStatusLine }
        reason = OctetRange(start + 13..<line.upperBound)
    }

    mutating func finish(requestMethod: RequestHead.Method) throws(HTTPError) {
        keepsAlive = try fields.connectionOptions().keepsAlive(version)
        let stated = try fields.framing(version: version)
        if isInformational || status == 204 {
            framing = .none
            // RFC 9110 §8.6, RFC 9112 §6.1: no body can be stated here; one that is may follow all the same.
            if stated != nil, stated != .length(0) { keepsAlive = false }
        } else if requestMethod == .head || status == 304 {
            framing = .none
        } else if let stated {
            framing = stated
        } else {
            framing = .untilClose
            keepsAlive = false
        }
    }
}
