/// What a client itself has said of its streams, to tell frames that come too late because of us from frames that can
/// never come (RFC 9113 §5.1, §5.1.1). The C library forgets closed streams and ignores both.
struct PeerStreams: Sendable {
    /// The highest stream that was opened.
    private var last: UInt32 = 0
    /// Streams that the client has opened and neither ended nor reset, in order. Also those that we have reset.
    private var open: [UInt32] = []
    /// Ids that were passed over, and can not be used any more.
    private var skipped: [ClosedRange<UInt32>] = []

    /// More than may be open at once; beyond, the oldest are those that we have reset long ago.
    private static let openMax = 1024
    private static let skippedMax = 16

    /// The stream came with an upgrade, and has ended.
    mutating func upgraded(_ id: HTTP2StreamID) {
        last = id.rawValue
    }

    /// A HEADERS frame. What is wrong with it, if anything.
    mutating func headers(_ id: UInt32, ends: Bool) -> HTTP2ErrorCode? {
        guard id & 1 == 1, id <= last else {
            // Other ids are the library's to refuse.
            if id & 1 == 1 { opened(id, ends: ends) }
            return nil
        }
        if let index = index(of: id) {
            if ends { open.remove(at: index) }
            return nil
        }
        return skipped.contains { $0.contains(id) } ? .protocolError : .streamClosed
    }

    /// A DATA frame.
    mutating func data(_ id: UInt32, ends: Bool) -> HTTP2ErrorCode? {
        guard id & 1 == 1, id <= last else { return nil }
        guard let index = index(of: id) else { return .streamClosed }
        if ends { open.remove(at: index) }
        return nil
    }

    mutating func reset(_ id: UInt32) {
        if let index = index(of: id) { open.remove(at: index) }
    }

    private mutating func opened(_ id: UInt32, ends: Bool) {
        if id > last &+ 2 {
            if skipped.count == Self.skippedMax { skipped.removeFirst() }
            skipped.append(last &+ 1...id &- 1)
        }
        last = id
        guard !ends else { return }
        if open.count == Self.openMax { open.removeFirst() }
        open.append(id)
    }

    /// Most frames are for a stream that was opened lately.
    private func index(of id: UInt32) -> Int? { open.lastIndex(of: id) }
}
