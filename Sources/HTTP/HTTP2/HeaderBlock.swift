/// The header block that is being read, of which a connection has one at a time: what it is and what is wrong with it.
struct HeaderBlock: Sendable {
    enum Kind: Sendable {
        case request, response, trailers
    }

    /// The first thing wrong; what comes behind it is only decoded.
    enum Fault: Sendable, Equatable {
        /// RFC 9113 §8.1.1: a stream error.
        case malformed
        /// Well-formed HTTP/2 that is refused all the same.
        case refused(HTTPError)
    }

    private(set) var kind = Kind.request
    private(set) var fault: Fault?
    private var expandedBytes = 0
    private var fieldCount = 0
    private var expandedBytesMax = 0
    private var fieldsMax = 0
    private var targetBytesMax = 0

    private var hasMethod = false
    private var hasScheme = false
    private var hasPath = false
    private var hasAuthority = false
    /// The line of the Cookie field, and its pieces so far when there are more than one.
    private var cookieLine = -1
    private var cookie: [UInt8] = []
    private var isCookieInPieces = false
    /// The client says how its response is to be scheduled (RFC 9218 §5).
    private(set) var hasPriority = false

    mutating func giveUpBuffers(above bytesMax: Int) {
        if cookie.capacity > bytesMax { cookie = [] }
    }

    mutating func begin(_ kind: Kind, limits: HTTP2Limits) {
        self.kind = kind
        fault = nil
        expandedBytes = 0
        fieldCount = 0
        hasMethod = false
        hasScheme = false
        hasPath = false
        hasAuthority = false
        cookieLine = -1
        isCookieInPieces = false
        hasPriority = false
        cookie.removeAll(keepingCapacity: true)
        targetBytesMax = Int(limits.targetBytesMax)
        switch kind {
        case .request:
            expandedBytesMax = Int(limits.headerListBytesMax)
            fieldsMax = Int(limits.fieldsMax)
        case .response:
            expandedBytesMax = Int(limits.headerListBytesMax)
            fieldsMax = Int(limits.responseFieldsMax)
        case .trailers:
            expandedBytesMax = Int(limits.trailerBytesMax)
            fieldsMax = Int(limits.trailersMax)
        }
    }

    mutating func fail(_ fault: Fault) {
        if self.fault == nil { self.fault = fault }
    }

    // MARK: Fields

    mutating func read(_ name: Span<UInt8>, _ value: Span<UInt8>, into head: inout RequestHead) {
        guard admit(name, value) else { return }
        if name[0] == Octet.colon {
            readPseudo(name, value, into: &head)
        } else if let known = field(name, value) {
            if known == .host, hasAuthority {
                // RFC 9113 §8.3.1: Host may repeat :authority, not contradict it. The line is there already.
                if !head[head.authority].equalsIgnoringCase(value) || head.fields.isRepeated(.host) {
                    fail(.malformed)
                }
            } else if known == .cookie, cookieLine >= 0 {
                joinCookie(value, in: head.fields)
            } else {
                if known == .cookie { cookieLine = head.fields.lines.count }
                if known == .other, name.equalsIgnoringCase("priority") { hasPriority = true }
                head.fields.appendChecked(name: name, value: value, known: known)
            }
        }
    }

    mutating func read(_ name: Span<UInt8>, _ value: Span<UInt8>, into head: inout ResponseHead) {
        guard admit(name, value) else { return }
        if name[0] == Octet.colon {
            guard name.equalsIgnoringCase(":status"), fieldCount == 0, head.status == 0, value.count == 3 else {
                return fail(.malformed)
            }
            var status: UInt16 = 0
            for index in value.indices {
                let digit = value[index] &- Octet.zero
                guard digit < 10 else { return fail(.malformed) }
                status = status * 10 + UInt16(digit)
            }
            // RFC 9113 §8.6: there is no 101 in HTTP/2.
            guard (100...599).contains(status), status != 101 else { return fail(.malformed) }
            head.status = status
        } else if let known = field(name, value) {
            head.fields.appendChecked(name: name, value: value, known: known)
        }
    }

    /// Fields for framing, routing, authentication or control are left out (RFC 9110 §6.5.1).
    mutating func read(_ name: Span<UInt8>, _ value: Span<UInt8>, into trailers: inout FieldSection) {
        guard admit(name, value), let known = field(name, value), !known.isForbiddenInTrailers else { return }
        trailers.appendChecked(name: name, value: value, known: known)
    }

    /// Counts a field; false when it is not to be looked at.
    private mutating func admit(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Bool {
        guard fault == nil else { return false }
        guard name.count > 0 else {
            fail(.malformed)
            return false
        }
        expandedBytes &+= name.count &+ value.count &+ 32
        guard expandedBytes <= expandedBytesMax else {
            fail(.refused(kind == .trailers ? .trailersTooLarge : .headTooLarge))
            return false
        }
        return true
    }

    /// What the name of a regular field is known as; nil after a fault.
    private mutating func field(_ name: Span<UInt8>, _ value: Span<UInt8>) -> KnownField? {
        // The C library has checked this. What would let a message be split in HTTP/1 is checked twice.
        guard name.isLowercaseToken, isFieldValue(value) else {
            fail(.malformed)
            return nil
        }
        let known = KnownFieldTable.field(at: 0, count: name.count, in: name)
        switch known {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade:
            // RFC 9113 §8.2.2.
            fail(.malformed)
            return nil
        case .te:
            guard value.equalsIgnoringCase("trailers") else {
                fail(.malformed)
                return nil
            }
        default: break
        }
        if known != .cookie || cookieLine < 0 {
            fieldCount &+= 1
            guard fieldCount <= fieldsMax else {
                fail(.refused(kind == .trailers ? .tooManyTrailers : .tooManyFields))
                return nil
            }
        }
        return known
    }

    /// RFC 9113 §8.2.3: the pieces of a Cookie become one line again.
    private mutating func joinCookie(_ value: Span<UInt8>, in fields: borrowing FieldSection) {
        if !isCookieInPieces { cookie.append(span: fields.value(fields.lines[cookieLine])) }
        isCookieInPieces = true
        // An empty piece would leave a value that ends with a space.
        guard value.count > 0 else { return }
        if !cookie.isEmpty { cookie.append(literal: "; ") }
        cookie.append(span: value)
    }

    // MARK: Pseudo-header fields

    private mutating func readPseudo(_ name: Span<UInt8>, _ value: Span<UInt8>, into head: inout RequestHead) {
        // RFC 9113 §8.3: all of them stand before the regular fields.
        guard fieldCount == 0 else { return fail(.malformed) }
        if name.equalsIgnoringCase(":method") {
            guard !hasMethod, isFieldName(value) else { return fail(.malformed) }
            hasMethod = true
            guard value.count <= 32 else { return fail(.refused(.methodTooLong)) }
            head.methodRange = head.fields.appendOctets(value)
            head.method = RequestHead.Method(value)
        } else if name.equalsIgnoringCase(":scheme") {
            guard !hasScheme, value.equalsIgnoringCase("http") || value.equalsIgnoringCase("https") else {
                return fail(.malformed)
            }
            hasScheme = true
        } else if name.equalsIgnoringCase(":path") {
            guard !hasPath else { return fail(.malformed) }
            hasPath = true
            guard value.count <= targetBytesMax else { return fail(.refused(.requestLineTooLong)) }
            head.targetRange = head.fields.appendOctets(value)
        } else if name.equalsIgnoringCase(":authority") {
            guard !hasAuthority else { return fail(.malformed) }
            hasAuthority = true
            readAuthority(value, into: &head)
        } else {
            fail(.malformed)
        }
    }

    /// `:authority` becomes the Host line, which stands first.
    private mutating func readAuthority(_ value: Span<UInt8>, into head: inout RequestHead) {
        guard let hostCount = hostCount(inAuthority: value) else { return fail(.refused(.invalidHost)) }
        guard isFieldValue(value) else { return fail(.malformed) }
        let start = head.fields.octets.count
        head.fields.octets.append(literal: "host: ")
        let range = head.fields.appendOctets(value)
        head.fields.octets.append(literal: "\r\n")
        head.fields.append(FieldLine(name: OctetRange(start..<start + 4), value: range, known: .host))
        head.authority = range
        head.host = OctetRange(start: range.start, count: UInt32(hostCount))
    }

    // MARK: The end of a block

    /// Decides target, host and framing once all fields are read. `ends`: no body follows.
    mutating func finish(_ head: inout RequestHead, ends: Bool) {
        head.version = .http2
        guard fault == nil else { return }
        if isCookieInPieces {
            head.fields.replace(line: cookieLine, value: cookie.span)
        }
        guard hasMethod else { return fail(.malformed) }
        guard head.method != .connect else { return fail(.refused(.connectNotSupported)) }
        guard hasScheme, hasPath else { return fail(.malformed) }
        do throws(HTTPError) {
            try finishTarget(&head)
            if fault == nil { try finishHost(&head) }
            if fault == nil { try head.finishFields(ends: ends) }
        } catch .invalidContentLength, .duplicateContentLength, .duplicateHost {
            fail(.malformed)
        } catch {
            fail(.refused(error))
        }
    }

    private mutating func finishTarget(_ head: inout RequestHead) throws(HTTPError) {
        let target = head.targetRange.bounds
        guard let pathEnd = try Self.pathEnd(of: head[head.targetRange], method: head.method) else {
            return fail(.malformed)
        }
        head.path = OctetRange(target.lowerBound..<target.lowerBound + pathEnd)
        head.form = head.fields.octets[target.lowerBound] == Octet.asterisk ? .asterisk : .origin
        head.hasQuery = pathEnd < target.count
        if head.hasQuery { head.query = OctetRange(target.lowerBound + pathEnd + 1..<target.upperBound) }
    }

    /// Where the path of a `:path` ends; nil when it is malformed (RFC 9113 §8.3.1): a path is never empty, and `*`
    /// stands for OPTIONS only.
    private static func pathEnd(of target: Span<UInt8>, method: RequestHead.Method) throws(HTTPError) -> Int? {
        guard target.count > 0 else { return nil }
        if target[0] == Octet.asterisk { return target.count == 1 && method == .options ? 1 : nil }
        guard target[0] == Octet.slash else { return nil }
        var end = 0
        while end < target.count, OctetSet.path.contains(target[end]) { end &+= 1 }
        guard end < target.count else { return end }
        guard target[end] == Octet.question else { throw .invalidTarget }
        var index = end
        while index < target.count, OctetSet.target.contains(target[index]) { index &+= 1 }
        guard index == target.count else { throw .invalidTarget }
        return end
    }

    private mutating func finishHost(_ head: inout RequestHead) throws(HTTPError) {
        guard !hasAuthority else { return }
        guard let line = head.fields.first(.host) else { throw .hostMissing }
        guard !head.fields.isRepeated(.host) else { throw .duplicateHost }
        guard let hostCount = hostCount(inAuthority: head.fields.value(line)) else { throw .invalidHost }
        head.authority = line.value
        head.host = OctetRange(start: line.value.start, count: UInt32(hostCount))
    }

    /// `requestMethod`: what is answered. `ends`: no body follows.
    mutating func finish(_ head: inout ResponseHead, isAnswerToHead: Bool, ends: Bool) {
        head.version = .http2
        guard fault == nil else { return }
        guard head.status != 0 else { return fail(.malformed) }
        do throws(HTTPError) {
            let stated = try head.fields.framing(version: .http2)
            if head.isInformational || head.status == 204 || head.status == 304 || isAnswerToHead {
                head.framing = .none
            } else if ends {
                head.framing = .length(0)
            } else {
                head.framing = stated ?? .chunked
            }
        } catch {
            fail(.malformed)
        }
    }
}

extension RequestHead {
    fileprivate mutating func finishFields(ends: Bool) throws(HTTPError) {
        let stated = try fields.framing(version: .http2)
        framing = ends ? .none : stated ?? .chunked
        keepsAlive = true
        wantsUpgrade = false
        // There is no other framing: trailers can always follow.
        acceptsTrailers = true
        expectsContinue = false
        if fields.contains(.expect) { try readExpect() }
    }
}

extension FieldSection {
    /// Appends octets that are no line of their own.
    fileprivate mutating func appendOctets(_ value: Span<UInt8>) -> OctetRange {
        let start = octets.count
        octets.append(span: value)
        return OctetRange(start..<octets.count)
    }

    /// Appends `name: value CRLF`, both of which are known to be valid.
    fileprivate mutating func appendChecked(name: Span<UInt8>, value: Span<UInt8>, known: KnownField) {
        let start = octets.count
        let valueStart = start &+ name.count &+ 2
        octets.append(addingCapacity: name.count &+ value.count &+ 4) { output in
            output.append(copying: name)
            output.append(Octet.colon)
            output.append(Octet.space)
            output.append(copying: value)
            output.append(Octet.carriageReturn)
            output.append(Octet.lineFeed)
        }
        append(
            FieldLine(
                name: OctetRange(start..<start + name.count), value: OctetRange(valueStart..<valueStart + value.count),
                known: known))
    }

    /// Gives a line another value, which is written at the end.
    fileprivate mutating func replace(line index: Int, value: Span<UInt8>) {
        let name = lines[index].name
        let start = octets.count
        // A copy: a span of `octets` must not be open while they grow.
        for offset in name.bounds { octets.append(octets[offset]) }
        octets.append(literal: ": ")
        let valueRange = appendOctets(value)
        octets.append(literal: "\r\n")
        lines[index].name = OctetRange(start..<start + Int(name.count))
        lines[index].value = valueRange
    }
}

extension OutputSpan<UInt8> {
    /// Appends all of the octets, for which there is room.
    @inline(__always)
    fileprivate mutating func append(copying octets: Span<UInt8>) {
        unsafe withUnsafeMutableBufferPointer { buffer, count in
            unsafe octets.withUnsafeBufferPointer { source in
                // Safe: both buffers are live, they are different memory, and the room is checked.
                precondition(source.count <= buffer.count - count)
                if let from = source.baseAddress, let to = buffer.baseAddress {
                    unsafe (to + count).update(from: from, count: source.count)
                }
            }
            count += octets.count
        }
    }
}

extension Span<UInt8> {
    /// A field name as HTTP/2 has it: tchar without upper-case letters (RFC 9113 §8.2.1).
    fileprivate var isLowercaseToken: Bool {
        count > 0 && firstNonToken(from: 0) == count && !hasUppercase
    }

    private var hasUppercase: Bool {
        var index = 0
        while index &+ 8 <= count {
            let word = word(at: index)
            // Octets are below 0x80, as all tchar: no sum carries into the next. Bit 7 tells ≥ `A` and > `Z`.
            let fromA = word &+ 0x3f3f_3f3f_3f3f_3f3f
            let aboveZ = word &+ 0x2525_2525_2525_2525
            if fromA & ~aboveZ & 0x8080_8080_8080_8080 != 0 { return true }
            index &+= 8
        }
        while index < count {
            if self[index] &- 0x41 < 26 { return true }
            index &+= 1
        }
        return false
    }
}
