/// Finds a body's data in the octets of a connection, in both directions (RFC 9112 §6, §7.1).
///
/// ```
/// fixed ──────────────▶ end          untilClose ──EOF──▶ end
/// size ─▶ digits ─┬─▶ sizeLineFeed ─┬─▶ data ─▶ dataReturn ─▶ dataLineFeed ─▶ size
///                 └─▶ extension ──▲ └─▶ trailers ─▶ end        (a chunk of size 0)
///                      ▲ ▼ quoted ⇄ escaped
/// ```
/// Chunk lines are consumed octet by octet; a trailer section only when it is complete.
package struct BodyDecoder: Sendable {
    package enum Step: Sendable, Equatable {
        /// One contiguous piece of data at this range of the input. `consumed` ends where the piece ends.
        case data(consumed: Int, Range<Int>)
        /// Every octet up to `consumed` was framing; offer the rest again with more behind it.
        case needsMore(consumed: Int)
        /// The body is complete; octets from `consumed` on belong to the next message.
        case end(consumed: Int)
    }

    private enum State: UInt8 {
        case fixed, untilClose, size, digits, `extension`, quoted, escaped, sizeLineFeed, data, dataReturn, dataLineFeed
        case trailers, end
    }

    private var state: State
    private var digitCount: UInt8 = 0
    private var extensionBytes: UInt32 = 0
    /// Octets still to come: of the body (`fixed`) or of the chunk.
    private var remaining: UInt64 = 0
    /// Octets of chunked framing so far, and of data.
    private var overheadBytes: UInt64 = 0
    private var dataBytes: UInt64 = 0
    private var scanner = LineScanner()
    private let limits: HTTP1Limits

    /// The trailer fields that may be passed on, when a chunked body carried any and has ended. Fields for framing,
    /// routing, authentication, control or content are not among them (RFC 9110 §6.5.1).
    package private(set) var trailers: FieldSection?

    package init(framing: BodyFraming, limits: HTTP1Limits = HTTP1Limits()) {
        self.limits = limits
        switch framing {
        case .none, .length(0): state = .end
        case .length(let length):
            state = .fixed
            remaining = length
        case .chunked: state = .size
        case .untilClose: state = .untilClose
        }
    }

    /// The body is complete. True at once with the last data of a body of known length; `next` then gives `end`.
    package var isEnd: Bool { state == .end }

    /// The next step in `input`, which begins with the first octet not yet consumed. After an error: close.
    package mutating func next(_ input: Span<UInt8>) throws(HTTPError) -> Step {
        switch state {
        case .end: return .end(consumed: 0)
        case .fixed:
            guard input.count > 0 else { return .needsMore(consumed: 0) }
            return takeData(input, at: 0, then: .end)
        case .untilClose:
            guard input.count > 0 else { return .needsMore(consumed: 0) }
            return .data(consumed: input.count, 0..<input.count)
        default: return try nextChunked(input)
        }
    }

    /// The connection has ended: right for `untilClose`, or after the end; else the body is incomplete (RFC 9112 §8).
    package mutating func inputEnded() throws(HTTPError) {
        guard state == .end || state == .untilClose else { throw .incomplete }
        state = .end
    }

    private mutating func nextChunked(_ input: Span<UInt8>) throws(HTTPError) -> Step {
        var index = 0
        while index < input.count {
            let octet = input[index]
            switch state {
            case .data:
                return takeData(input, at: index, then: .dataReturn)
            case .trailers:
                return try nextTrailers(input, at: index)
            case .dataReturn:
                // RFC 9112 §7.1: nothing but CRLF may stand behind the data.
                guard octet == Octet.carriageReturn else { throw .chunkNotTerminated }
                state = .dataLineFeed
            case .dataLineFeed:
                guard octet == Octet.lineFeed else { throw .chunkNotTerminated }
                state = .size
            case .sizeLineFeed:
                guard octet == Octet.lineFeed else { throw .bareCarriageReturn }
                state = remaining > 0 ? .data : .trailers
            case .size, .digits:
                try readSize(octet)
            default:
                try readExtension(octet)
            }
            index += 1
            try countOverhead()
        }
        return .needsMore(consumed: index)
    }

    @inline(__always)
    private mutating func takeData(_ input: Span<UInt8>, at start: Int, then next: State) -> Step {
        let available = input.count - start
        let count = remaining < UInt64(available) ? Int(remaining) : available
        remaining -= UInt64(count)
        dataBytes &+= UInt64(count)
        if remaining == 0 { state = next }
        return .data(consumed: start + count, start..<start + count)
    }

    /// 1*16 HEXDIG, at most 2⁶³ − 1, then at once CRLF or `;`: no sign, prefix, separator or whitespace (RFC 9112
    /// §7.1).
    private mutating func readSize(_ octet: UInt8) throws(HTTPError) {
        if let digit = Octet.hexValue(octet) {
            guard digitCount < 16, remaining < 1 << 59 else { throw .invalidChunkSize }
            digitCount += 1
            remaining = remaining << 4 | UInt64(digit)
            state = .digits
            return
        }
        guard state == .digits else { throw octet == Octet.lineFeed ? .bareLineFeed : .invalidChunkSize }
        digitCount = 0
        switch octet {
        case Octet.carriageReturn: state = .sizeLineFeed
        case Octet.semicolon: state = .extension
        case Octet.lineFeed: throw .bareLineFeed
        default: throw .invalidChunkSize
        }
    }

    /// RFC 9112 §7.1.1. Extensions are checked, counted and dropped; a line never ends inside a quoted string.
    private mutating func readExtension(_ octet: UInt8) throws(HTTPError) {
        extensionBytes += 1
        guard extensionBytes <= limits.chunkExtensionBytesMax else { throw .chunkExtensionsTooLarge }
        guard octet != Octet.lineFeed else { throw .bareLineFeed }
        let isText = octet >= 0x20 && octet != 0x7f || octet == Octet.tab
        switch state {
        case .quoted:
            guard isText else { throw .invalidChunkExtension }
            if octet == Octet.quote { state = .extension }
            if octet == Octet.backslash { state = .escaped }
        case .escaped:
            guard isText else { throw .invalidChunkExtension }
            state = .quoted
        default:
            if octet == Octet.carriageReturn {
                state = .sizeLineFeed
            } else if octet == Octet.quote {
                state = .quoted
            } else if !OctetSet.chunkExtension.contains(octet) {
                throw .invalidChunkExtension
            }
        }
    }

    /// Many tiny chunks with padded sizes cost work out of proportion to their data.
    @inline(__always)
    private mutating func countOverhead() throws(HTTPError) {
        overheadBytes &+= 1
        let allowed = UInt64(limits.chunkOverheadBytesMax) &+ (dataBytes &<< 3)
        guard overheadBytes <= allowed || dataBytes >= 1 << 60 else { throw .chunkOverheadTooLarge }
    }

    /// Reads the trailer section, which begins at `start`, once all of it is there.
    private mutating func nextTrailers(_ input: Span<UInt8>, at start: Int) throws(HTTPError) -> Step {
        let section = input.extracting(start..<input.count)
        if scanner.lineCount > 0 {
            var discarded = FieldSection()
            guard try advance(section, into: &discarded) != nil else { return .needsMore(consumed: start) }
            scanner = LineScanner()
        }
        var fields = FieldSection()
        guard let end = try advance(section, into: &fields) else { return .needsMore(consumed: start) }
        state = .end
        if !fields.lines.isEmpty {
            fields.copyOctets(of: section, 0..<end)
            trailers = fields
        }
        return .end(consumed: start + end)
    }

    private mutating func advance(_ section: Span<UInt8>, into fields: inout FieldSection) throws(HTTPError) -> Int? {
        let lineLimits = LineScanner.Limits(
            startLineBytesMax: 0, startLineError: .trailersTooLarge,
            sectionBytesMax: limits.trailerBytesMax, sectionError: .trailersTooLarge,
            linesMax: limits.trailersMax, linesError: .tooManyTrailers,
            fieldBytesMax: limits.trailerBytesMax, hasStartLine: false)
        while true {
            switch try scanner.next(section, limits: lineLimits) {
            case .needsMore: return nil
            case .end(let end): return end
            case .line(let line):
                try fields.appendLine(line, of: section, base: 0)
                fields.dropLastIfForbiddenInTrailers()
            }
        }
    }
}

extension FieldSection {
    /// Takes back the line just read when its field may not come from a trailer section.
    fileprivate mutating func dropLastIfForbiddenInTrailers() {
        guard let line = lines.last, line.known.isForbiddenInTrailers else { return }
        lines.removeLast()
        present &= ~line.known.bit
    }
}
