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
    /// The first octets of a frame header that is not complete, at most five.
    private var partial: UInt64 = 0
    private var partialCount = 0
    /// The header block that is open, on the wire.
    private var blockBytes = 0
    private var continuations: UInt32 = 0
    /// END_HEADERS of the last HEADERS is still to come, or the frame's own payload.
    private var isBlockOpen = false
    private var isHeadFrame = true

    private var glitches: TokenBucket
    private var resets: TokenBucket
    private let countsResets: Bool
    private let blockBytesMax: Int
    private let continuationsMax: UInt32

    private enum Frame {
        static let data: UInt8 = 0x0
        static let headers: UInt8 = 0x1
        static let rstStream: UInt8 = 0x3
        static let settings: UInt8 = 0x4
        static let continuation: UInt8 = 0x9
        static let endStream: UInt8 = 0x1
        static let endHeaders: UInt8 = 0x4
        static let padded: UInt8 = 0x8
    }

    init(role: HTTP2Session.Role, limits: HTTP2Limits) {
        // Only a client sends a preface before its frames (RFC 9113 §3.4).
        skipped = role == .server ? 24 : 0
        // A server that refuses much of what we sent is no attacker: each of its resets was paid for by a request.
        countsResets = role == .server
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
            if partialCount == 0, index &+ 8 <= input.count {
                partial = input.word(at: index).byteSwapped >> 24
                index &+= 5
            } else {
                while partialCount < 5, index < input.count {
                    partial = partial << 8 | UInt64(input[index])
                    partialCount &+= 1
                    index &+= 1
                }
                guard partialCount == 5 else { return }
                partialCount = 0
            }
            let length = Int(truncatingIfNeeded: partial >> 16 & 0xff_ffff)
            let type = UInt8(truncatingIfNeeded: partial >> 8)
            let flags = UInt8(truncatingIfNeeded: partial)
            partial = 0
            skipped = 4 &+ length
            try weigh(type, flags, length: length, now: now)
        }
    }

    /// A head, or the preface, has begun and is not complete.
    var isInsideHead: Bool { isBlockOpen || isHeadFrame && skipped > 0 }

    /// DATA of this size was sent, or a response: the peer has reason to send WINDOW_UPDATE and PING.
    mutating func dataSent(_ count: Int) {
        glitches.give(2 &+ count >> 11)
    }

    /// A stream was reset because of an error of the peer (MadeYouReset).
    mutating func resetSent(now: UInt64) -> Bool {
        !countsResets || resets.take(1, now: now)
    }

    mutating func frameWasInvalid(now: UInt64) -> Bool {
        glitches.take(1, now: now)
    }

    private mutating func weigh(_ type: UInt8, _ flags: UInt8, length: Int, now: UInt64) throws(HTTP2Error) {
        var cost = 1
        isHeadFrame = type == Frame.headers || type == Frame.continuation
        switch type {
        case Frame.data:
            // Nothing but a message's end can be worth a frame that holds next to nothing.
            let isTiny = length <= 4 || flags & Frame.padded != 0 && length < 256
            cost = isTiny && flags & Frame.endStream == 0 ? 1 : 0
        case Frame.headers:
            isBlockOpen = flags & Frame.endHeaders == 0
            glitches.give(4)
            cost = 0
            continuations = 0
            blockBytes = length
            guard length <= blockBytesMax else { throw .headerBlockTooLarge }
        case Frame.rstStream:
            cost = 0
            guard !countsResets || resets.take(1, now: now) else { throw .tooManyResets }
        case Frame.settings:
            cost = 5
        case Frame.continuation:
            isBlockOpen = flags & Frame.endHeaders == 0
            continuations &+= 1
            blockBytes &+= length
            guard continuations <= continuationsMax, blockBytes <= blockBytesMax else { throw .headerBlockTooLarge }
        default: break
        }
        if cost > 0, !glitches.take(cost, now: now) { throw .tooManyGlitches }
    }
}
