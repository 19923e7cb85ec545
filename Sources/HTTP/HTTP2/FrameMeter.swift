/// Watches the frames that arrive, before they are processed, for peers that cost more than they are worth.
///
/// The C library tells of most frames, but not of those that it ignores, and some of its own limits end the session
/// without a GOAWAY. So the frame headers are read here, too.
/// ```
///  0       3      4       5           9
///  ┌───────┬──────┬───────┬───────────┬─────────┐
///  │length │ type │ flags │ stream id │ payload │   RFC 9113 §4.1, big-endian
///  └───────┴──────┴───────┴───────────┴─────────┘
/// ```
struct FrameMeter: Sendable {
    /// Octets of preface, stream identifier or payload to be passed over.
    private var skipped: Int
    /// The first octets of a frame header that is not complete, at most eight.
    private var partial: UInt64 = 0
    private var partialCount = 0
    /// The stream of a PRIORITY frame whose payload comes next.
    private var prioritised: UInt32?
    /// The header block that is open, on the wire.
    private var blockBytes = 0
    private var continuations: UInt32 = 0
    /// END_HEADERS of the last HEADERS is still to come, or the frame's own payload.
    private var isBlockOpen = false
    private var isHeadFrame = true

    private var glitches: TokenBucket
    private var resets: TokenBucket
    private let role: HTTP2Session.Role
    private var streams = PeerStreams()
    private let blockBytesMax: Int
    private let continuationsMax: UInt32

    private struct Frame {
        let length: Int
        let type: UInt8
        let flags: UInt8
        let stream: UInt32

        static let data: UInt8 = 0x0
        static let headers: UInt8 = 0x1
        static let priority: UInt8 = 0x2
        static let rstStream: UInt8 = 0x3
        static let settings: UInt8 = 0x4
        static let continuation: UInt8 = 0x9

        /// The header's first eight octets, big-endian, and the ninth.
        @inline(__always)
        init(_ first: UInt64, _ last: UInt8) {
            length = Int(truncatingIfNeeded: first >> 40)
            type = UInt8(truncatingIfNeeded: first >> 32)
            flags = UInt8(truncatingIfNeeded: first >> 24)
            stream = (UInt32(truncatingIfNeeded: first) << 8 | UInt32(last)) & 0x7fff_ffff
        }

        var endsStream: Bool { flags & 0x1 != 0 }
        var endsHeaders: Bool { flags & 0x4 != 0 }
        var isPadded: Bool { flags & 0x8 != 0 }
    }

    init(role: HTTP2Session.Role, limits: HTTP2Limits) {
        // Only a client sends a preface before its frames (RFC 9113 §3.4).
        skipped = role == .server ? 24 : 0
        self.role = role
        glitches = TokenBucket(burst: limits.glitchBurst, perSecond: limits.glitchesPerSecond)
        resets = TokenBucket(burst: limits.resetBurst, perSecond: limits.resetsPerSecond)
        blockBytesMax = Int(limits.headerBlockBytesMax)
        continuationsMax = limits.continuationsMax
    }

    /// Reads the octets that arrive next.
    mutating func scan(_ input: Span<UInt8>, now: UInt64) throws(HTTP2Error) {
        var index = 0
        while true {
            let passed = min(skipped, input.count &- index)
            skipped &-= passed
            index &+= passed
            guard index < input.count else { return }
            if prioritised != nil {
                guard collect(4, input, &index) else { return }
                try readDependency()
                continue
            }
            if partialCount == 0, index &+ 9 <= input.count {
                partial = input.word(at: index).byteSwapped
                index &+= 8
            } else {
                guard collect(8, input, &index), index < input.count else { return }
            }
            let frame = Frame(partial, input[index])
            index &+= 1
            partial = 0
            partialCount = 0
            skipped = frame.length
            try weigh(frame, now: now)
        }
    }

    /// A head, or the preface, has begun and is not complete.
    var isInsideHead: Bool { isBlockOpen || isHeadFrame && skipped > 0 }

    /// Adds octets to `partial` until it holds `count`; false when more are needed.
    private mutating func collect(_ count: Int, _ input: Span<UInt8>, _ index: inout Int) -> Bool {
        while partialCount < count, index < input.count {
            partial = partial << 8 | UInt64(input[index])
            partialCount &+= 1
            index &+= 1
        }
        return partialCount == count
    }

    /// RFC 7540 §5.3.1. The library does not look at priorities, since we have none.
    private mutating func readDependency() throws(HTTP2Error) {
        let dependency = UInt32(truncatingIfNeeded: partial) & 0x7fff_ffff
        let isItself = dependency == prioritised
        prioritised = nil
        partial = 0
        partialCount = 0
        // The weight.
        skipped = 1
        guard !isItself else { throw .protocolViolation(.protocolError) }
    }

    /// DATA of this size was sent, or a response: the peer has reason to send WINDOW_UPDATE and PING.
    mutating func dataSent(_ count: Int) {
        glitches.give(2 &+ count >> 11)
    }

    /// A request, or the final head of its response: that is what frames are for.
    mutating func headReceived() {
        glitches.give(5)
    }

    /// A stream was reset because of an error of the peer (MadeYouReset).
    mutating func resetSent(now: UInt64) -> Bool {
        !countsResets || resets.take(1, now: now)
    }

    mutating func frameWasInvalid(now: UInt64) -> Bool {
        glitches.take(1, now: now)
    }

    mutating func upgraded() {
        streams.upgraded(.upgraded)
    }

    /// A server that refuses much of what we sent is no attacker: each of its resets was paid for by a request.
    private var countsResets: Bool { role == .server }

    private mutating func weigh(_ frame: Frame, now: UInt64) throws(HTTP2Error) {
        var cost = 1
        isHeadFrame = frame.type == Frame.headers || frame.type == Frame.continuation
        switch frame.type {
        case Frame.data:
            // Nothing but a message's end can be worth a frame that holds next to nothing; but a service may stream a
            // word at a time, and its connection is shared.
            let isTiny = frame.length <= 4 || frame.isPadded && frame.length < 256
            cost = role == .server && isTiny && !frame.endsStream ? 1 : 0
            if role == .server, let code = streams.data(frame.stream, ends: frame.endsStream) {
                throw .protocolViolation(code)
            }
        case Frame.headers:
            isBlockOpen = !frame.endsHeaders
            continuations = 0
            blockBytes = frame.length
            guard blockBytes <= blockBytesMax else { throw .headerBlockTooLarge }
            if role == .server, let code = streams.headers(frame.stream, ends: frame.endsStream) {
                throw .protocolViolation(code)
            }
        case Frame.rstStream:
            cost = 0
            if role == .server { streams.reset(frame.stream) }
            guard !countsResets || resets.take(1, now: now) else { throw .tooManyResets }
        case Frame.priority:
            guard frame.stream != 0 else { throw .protocolViolation(.protocolError) }
            // Another length is the library's to refuse.
            if frame.length == 5 {
                prioritised = frame.stream
                skipped = 0
            }
        case Frame.settings:
            cost = 5
        case Frame.continuation:
            isBlockOpen = !frame.endsHeaders
            continuations &+= 1
            blockBytes &+= frame.length
            guard continuations <= continuationsMax, blockBytes <= blockBytesMax else { throw .headerBlockTooLarge }
        default: break
        }
        if cost > 0, !glitches.take(cost, now: now) { throw .tooManyGlitches }
    }
}
