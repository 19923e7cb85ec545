/// Reads request heads (RFC 9112 §2 to §6). Incremental; holds offsets only, so an idle connection costs no buffer.
///
/// Offer all unconsumed octets each time. The head is written anew when it is complete; between calls it may serve
/// others. After an error the parser must not be used again.
package struct RequestParser: Sendable {
    private var scanner = LineScanner()
    private let limits: HTTP1Limits

    package init(limits: HTTP1Limits = HTTP1Limits()) {
        self.limits = limits
    }

    /// Octets of a request line have been offered since the last complete head; a CRLF before it does not count.
    package var hasBegun: Bool { scanner.hasBegun }

    /// Reads one head from the first of `input` on.
    ///
    /// Returns how many octets it took, through the empty line and with at most one ignored CRLF before the request
    /// line (RFC 9112 §2.2); nil when more are needed. Looks only at octets that no earlier call has seen, until the
    /// end is found.
    package mutating func parse(_ input: Span<UInt8>, into head: inout RequestHead) throws(HTTPError) -> Int? {
        if !scanner.hasBegun {
            guard let start = try Self.start(of: input) else { return nil }
            if start > 0, start == input.count { return nil }
            scanner.begin(at: start)
        }
        let isFirstPass = scanner.lineCount == 0
        if !isFirstPass {
            // Lines that earlier calls saw were written to a head that has served others since: find the end, then read
            // again.
            guard try advance(input, into: &head) != nil else { return nil }
            let start = Int(scanner.sectionStart)
            scanner = LineScanner()
            scanner.begin(at: start)
        }
        guard let end = try advance(input, into: &head) else { return nil }
        let start = Int(scanner.sectionStart)
        head.fields.copyOctets(of: input, start..<end)
        try head.finish()
        scanner = LineScanner()
        return end
    }

    /// Reads lines until the head's end (the offset past it) or the input's.
    private mutating func advance(_ input: Span<UInt8>, into head: inout RequestHead) throws(HTTPError) -> Int? {
        head.fields.removeLines()
        let base = Int(scanner.sectionStart)
        let lineLimits = LineScanner.Limits(
            startLineBytesMax: limits.requestLineBytesMax, startLineError: .requestLineTooLong,
            sectionBytesMax: limits.headBytesMax, sectionError: .headTooLarge,
            linesMax: limits.fieldsMax + 1, linesError: .tooManyFields,
            fieldBytesMax: limits.fieldBytesMax, hasStartLine: true)
        while true {
            switch try scanner.next(input, limits: lineLimits) {
            case .needsMore: return nil
            case .end(let end): return end
            case .line(let line):
                if scanner.lineCount == 1 {
                    try head.readRequestLine(line, of: input, base: base)
                } else {
                    try head.fields.appendLine(line, of: input, base: base)
                }
            }
        }
    }

    /// Where the request line begins; nil when the input does not tell yet.
    private static func start(of input: Span<UInt8>) throws(HTTPError) -> Int? {
        guard input.count > 0 else { return nil }
        var start = 0
        if input[0] == Octet.carriageReturn {
            guard input.count > 1 else { return nil }
            guard input[1] == Octet.lineFeed else { throw .bareCarriageReturn }
            start = 2
            guard input.count > 2 else { return 2 }
        }
        // A second CRLF, a TLS record or any other octet that cannot begin a method is refused without waiting for a
        // line.
        guard OctetSet.token.contains(input[start]) else {
            throw input[start] == Octet.lineFeed ? .bareLineFeed : .invalidFirstOctet
        }
        return start
    }
}

extension RequestHead {
    /// Reads `METHOD SP target SP HTTP/d.d` (RFC 9112 §3). A line that is not so spaced is refused, never guessed at.
    mutating func readRequestLine(_ line: Range<Int>, of input: Span<UInt8>, base: Int) throws(HTTPError) {
        var index = line.lowerBound
        while index < line.upperBound, OctetSet.token.contains(input[index]) { index &+= 1 }
        guard index < line.upperBound else { throw .malformedRequestLine }
        guard input[index] == Octet.space else { throw .invalidMethod }
        let methodBounds = line.lowerBound..<index
        guard methodBounds.count <= 32 else { throw .methodTooLong }
        methodRange = OctetRange(methodBounds, from: base)
        method = Method(input.extracting(methodBounds))

        let versionStart = line.upperBound &- 8
        guard versionStart > index &+ 2, input[versionStart &- 1] == Octet.space else { throw .malformedRequestLine }
        version = try HTTPVersion(input, at: versionStart)
        guard method != .connect else { throw .connectNotSupported }
        try readTarget(index &+ 1..<versionStart &- 1, of: input, base: base)
    }

    /// RFC 9112 §3.2.
    private mutating func readTarget(_ bounds: Range<Int>, of input: Span<UInt8>, base: Int) throws(HTTPError) {
        targetRange = OctetRange(bounds, from: base)
        authority = .empty
        host = .empty
        var pathStart = bounds.lowerBound
        switch input[pathStart] {
        case Octet.slash:
            form = .origin
        case Octet.asterisk:
            guard bounds.count == 1, method == .options else { throw .invalidTarget }
            form = .asterisk
        default:
            form = .absolute
            pathStart = try readAuthority(bounds, of: input, base: base)
        }
        var index = pathStart
        while index < bounds.upperBound, OctetSet.path.contains(input[index]) { index &+= 1 }
        path = OctetRange(pathStart..<index, from: base)
        // Only an absolute-form target can have an empty path: the last slash of its "://" stands for it.
        if path.isEmpty { path = OctetRange(start: authority.start - 1, count: 1) }
        hasQuery = false
        query = .empty
        guard index < bounds.upperBound else { return }
        guard input[index] == Octet.question else { throw .invalidTarget }
        hasQuery = true
        query = OctetRange(index &+ 1..<bounds.upperBound, from: base)
        while index < bounds.upperBound, OctetSet.target.contains(input[index]) { index &+= 1 }
        guard index == bounds.upperBound else { throw .invalidTarget }
    }

    /// Reads `http://authority` or `https://authority`; returns where it ends.
    private mutating func readAuthority(_ bounds: Range<Int>, of input: Span<UInt8>, base: Int) throws(HTTPError) -> Int
    {
        let target = input.extracting(bounds)
        let schemeCount: Int
        if target.count >= 7, target.extracting(0..<7).equalsIgnoringCase("http://") {
            schemeCount = 7
        } else if target.count >= 8, target.extracting(0..<8).equalsIgnoringCase("https://") {
            schemeCount = 8
        } else {
            throw .invalidTarget
        }
        let start = bounds.lowerBound + schemeCount
        var end = start
        while end < bounds.upperBound, input[end] != Octet.slash, input[end] != Octet.question { end += 1 }
        guard let hostCount = hostCount(inAuthority: input.extracting(start..<end)) else { throw .invalidTarget }
        authority = OctetRange(start..<end, from: base)
        host = OctetRange(start..<start + hostCount, from: base)
        return end
    }

    /// Decides host, framing and persistence from the fields, once all are read and copied.
    mutating func finish() throws(HTTPError) {
        try readHost()
        let options = try fields.connectionOptions()
        keepsAlive = options.keepsAlive(version)
        wantsUpgrade = version == .http11 && options.contains(.upgrade) && fields.contains(.upgrade)
        framing = try fields.framing(version: version) ?? .none
        acceptsTrailers = fields.contains(.te) && fields.listsTrailersInTE()
        expectsContinue = false
        if fields.contains(.expect) { try readExpect() }
    }

    /// RFC 9112 §3.2: exactly one valid Host, none only in HTTP/1.0. An absolute-form target's authority wins over it.
    private mutating func readHost() throws(HTTPError) {
        guard let line = fields.first(.host) else {
            guard version == .http10 else { throw .hostMissing }
            return
        }
        guard !fields.isRepeated(.host) else { throw .duplicateHost }
        guard let hostCount = hostCount(inAuthority: fields.value(line)) else { throw .invalidHost }
        guard form != .absolute else { return }
        authority = line.value
        host = OctetRange(start: line.value.start, count: UInt32(hostCount))
    }

    /// RFC 9110 §10.1.1: the one expectation there is; ignored from HTTP/1.0 and where no body follows.
    mutating func readExpect() throws(HTTPError) {
        for line in fields.lines where line.known == .expect {
            guard fields.value(line).equalsIgnoringCase("100-continue") else { throw .unknownExpectation }
        }
        expectsContinue = version != .http10 && framing != .none && framing != .length(0)
    }
}

/// How many octets of `host[:port]` are the host; nil when it is no valid authority. No userinfo, no list, no escapes.
func hostCount(inAuthority authority: Span<UInt8>) -> Int? {
    var end = 0
    if authority.count > 0, authority[0] == Octet.openBracket {
        end = 1
        while end < authority.count, OctetSet.addressLiteral.contains(authority[end]) { end &+= 1 }
        // The shortest literal is "[::]"; the longest has 45 octets between its brackets.
        guard end < authority.count, authority[end] == Octet.closeBracket, end >= 3, end <= 46 else { return nil }
        end &+= 1
    } else {
        while end < authority.count, OctetSet.unreserved.contains(authority[end]) { end &+= 1 }
        guard end > 0, end <= 255 else { return nil }
    }
    guard end < authority.count else { return end }
    let digits = end &+ 1..<authority.count
    guard authority[end] == Octet.colon, (1...5).contains(digits.count) else { return nil }
    var port = 0
    for index in digits {
        let digit = authority[index] &- Octet.zero
        guard digit < 10 else { return nil }
        port = port * 10 + Int(digit)
    }
    return port <= 65535 ? end : nil
}

extension RequestHead.Method {
    /// Methods are case-sensitive (RFC 9110 §9.1): `post` is `other`.
    init(_ token: Span<UInt8>) {
        var word: UInt64 = 0
        guard token.count <= 8 else {
            self = .other
            return
        }
        for index in token.indices { word = word << 8 | UInt64(token[index]) }
        switch word {
        case 0x47_4554: self = .get
        case 0x48_4541_44: self = .head
        case 0x504f_5354: self = .post
        case 0x50_5554: self = .put
        case 0x5041_5443_48: self = .patch
        case 0x4445_4c45_5445: self = .delete
        case 0x4f_5054_494f_4e53: self = .options
        case 0x5452_4143_45: self = .trace
        case 0x434f_4e4e_4543_54: self = .connect
        default: self = .other
        }
    }
}

extension HTTPVersion {
    /// Reads the eight octets from `offset`: `HTTP/1.0` or `HTTP/1.1`, case-sensitive (RFC 9112 §2.3).
    @inline(__always)
    init(_ input: Span<UInt8>, at offset: Int) throws(HTTPError) {
        let word = input.word(at: offset)
        // "HTTP/1.1" and "HTTP/1.0", the first octet lowest.
        if word == 0x312e_312f_5054_5448 {
            self = .http11
        } else if word == 0x302e_312f_5054_5448 {
            self = .http10
        } else {
            let isName = word & 0xff_ffff_ffff == 0x2f_5054_5448
            let isNumber =
                input[offset + 5] &- Octet.zero < 10 && input[offset + 6] == Octet.dot
                && input[offset + 7] &- Octet.zero < 10
            throw isName && isNumber ? .versionNotSupported : .malformedVersion
        }
    }
}
