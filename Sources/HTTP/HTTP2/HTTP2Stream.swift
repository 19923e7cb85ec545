/// One stream of a session, from its first frame to its last.
struct HTTP2Stream {
    /// What of our message is still to come once the queue is empty.
    enum Ending {
        case open
        /// END_STREAM stands on the last frame.
        case last
        /// A HEADERS frame with these lines follows the last DATA.
        case trailers([UInt8])
        /// Everything of ours has been handed to the C library.
        case submitted
    }

    var id: HTTP2StreamID
    var outbound = OutboundBody()
    var ending = Ending.open
    /// DATA received and not yet given back to the windows.
    var unreturned = 0
    /// The caller knows the stream, and is told how it ends.
    var isAnnounced = false
    /// What else arrives for it is given back at once and not told.
    var isDiscarding = false
    var hasRemoteEnded = false
    /// Server: the rest of the request is not wanted; when the answer is complete, the client is told so.
    var isDone = false
    var hasLocalEnded = false
    /// The queue was above `drainedBytes` since `drained` was told.
    var isDrainDue = false
    /// The library waits to be told that there is DATA.
    var isDeferred = false
    /// A final response's head has arrived, or was sent.
    var hasFinalHead = false
    /// Server: the client has said how the response is to be scheduled.
    var hasPriority = false
    /// Client: the request's head is in a frame.
    var isHeadSent = false
    /// Client: the request's method was HEAD.
    var isHead = false
    /// The peer's RST_STREAM has arrived.
    var isResetByPeer = false
    /// The caller's `reset`, which costs the peer nothing.
    var isResetByCaller = false

    /// The peer's message is complete, or need not be.
    var isRemoteDone: Bool { hasRemoteEnded || isDone }

    init(id: HTTP2StreamID) {
        self.id = id
    }

    /// Makes a used one new, but for its buffers.
    mutating func reuse(as id: HTTP2StreamID) {
        var queue = OutboundBody()
        swap(&queue, &outbound)
        self = HTTP2Stream(id: id)
        swap(&queue, &outbound)
    }
}

/// The streams of a session that are not closed, by their ids.
///
/// Slots are reused. The index over them is open addressing with ids as keys and no tombstones, so that looking up
/// costs a probe or two and nothing is allocated once the table has grown to the connection's concurrency.
struct HTTP2StreamTable {
    var slots: [HTTP2Stream] = []
    private var free: [Int] = []
    /// Slot + 1; 0 in an empty place. A power of two, at most half full.
    private var index = [UInt32](repeating: 0, count: 16)
    private(set) var count = 0

    /// The slot of an open stream.
    @inline(__always)
    func slot(of id: HTTP2StreamID) -> Int? {
        var place = home(of: id)
        // Ends: at least half of the places are empty.
        while index[place] != 0 {
            let slot = Int(index[place] &- 1)
            if slots[slot].id == id { return slot }
            place = (place &+ 1) & (index.count &- 1)
        }
        return nil
    }

    /// Adds a stream that is not in the table; returns its slot.
    mutating func insert(_ id: HTTP2StreamID) -> Int {
        if (count + 1) * 2 > index.count { grow() }
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            slots[slot].reuse(as: id)
        } else {
            slot = slots.count
            slots.append(HTTP2Stream(id: id))
        }
        place(slot)
        count += 1
        return slot
    }

    /// Removes the stream in a slot; the slot's small buffers stay for the next one.
    mutating func remove(_ slot: Int) {
        var hole = home(of: slots[slot].id)
        while index[hole] != UInt32(slot) + 1 {
            guard index[hole] != 0 else { return }
            hole = (hole &+ 1) & (index.count &- 1)
        }
        index[hole] = 0
        // Those behind move up, so that no probe ends early.
        var next = (hole &+ 1) & (index.count &- 1)
        while index[next] != 0 {
            let moved = Int(index[next] &- 1)
            index[next] = 0
            place(moved)
            next = (next &+ 1) & (index.count &- 1)
        }
        slots[slot].outbound.handOn()
        slots[slot].ending = .open
        slots[slot].id = HTTP2StreamID(UInt32(0))
        free.append(slot)
        count -= 1
    }

    /// With no stream open: gives up what more than a few streams at a time have needed.
    mutating func trim() {
        guard slots.count > Self.slotsKept else { return }
        // Of a part, so that it is a copy with no more room than that.
        slots = Array(slots[..<Self.slotsKept])
        free = Array(slots.indices)
        index = [UInt32](repeating: 0, count: 16)
    }

    private static let slotsKept = 2

    /// Ids of one side go up in twos.
    @inline(__always)
    private func home(of id: HTTP2StreamID) -> Int { Int(id.rawValue >> 1) & (index.count &- 1) }

    private mutating func place(_ slot: Int) {
        var place = home(of: slots[slot].id)
        while index[place] != 0 { place = (place &+ 1) & (index.count &- 1) }
        index[place] = UInt32(slot) + 1
    }

    private mutating func grow() {
        index = [UInt32](repeating: 0, count: index.count * 2)
        for slot in slots.indices where slots[slot].id.rawValue != 0 { place(slot) }
    }
}
