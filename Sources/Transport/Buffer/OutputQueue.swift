internal import CLinux

/// Octets on their way to the kernel: pooled blocks for what is copied, whole arrays for what is shared.
///
/// The first segment is kept inline, so that an answer that fits one block allocates nothing.
struct OutputQueue: ~Copyable {
    private struct Segment {
        var base: UnsafeMutableRawPointer
        var start: Int
        var end: Int
        /// The shared array that `base` points into; empty for a pooled block.
        var owner: [UInt8]
    }

    private var front: Segment?
    private var more: [Segment] = []
    private var moreStart = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ octets: UnsafeRawBufferPointer, pool: BlockPool) {
        guard var source = octets.baseAddress else { return }
        var left = octets.count
        count += left
        while left > 0 {
            let n: Int
            if moreStart < more.count {
                n = Self.fill(&more[more.count - 1], from: source, count: left, blockBytes: pool.blockBytes)
            } else if front != nil {
                n = Self.fill(&front!, from: source, count: left, blockBytes: pool.blockBytes)
            } else {
                n = 0
            }
            if n == 0 { push(Segment(base: pool.take(), start: 0, end: 0, owner: [])) }
            source += n
            left -= n
        }
    }

    /// Keeps the array by reference until its octets are sent.
    mutating func append(shared array: [UInt8], range: Range<Int>) {
        guard !range.isEmpty else { return }
        precondition(range.lowerBound >= 0 && range.upperBound <= array.count, "range outside the array")
        // The storage of an array is a heap object that does not move while a reference to it is held: `owner` is
        // that reference.
        let base = array.withUnsafeBytes { UnsafeMutableRawPointer(mutating: $0.baseAddress) }
        guard let base else { return }
        count += range.count
        push(Segment(base: base, start: range.lowerBound, end: range.upperBound, owner: array))
    }

    /// Lists the first pieces, at most `max`, and gives their number.
    func gather(into pieces: UnsafeMutablePointer<iovec>, max: Int) -> Int {
        guard let front else { return 0 }
        pieces[0] = iovec(iov_base: front.base + front.start, iov_len: front.end - front.start)
        var n = 1
        var i = moreStart
        while i < more.count, n < max {
            pieces[n] = iovec(iov_base: more[i].base + more[i].start, iov_len: more[i].end - more[i].start)
            n += 1
            i += 1
        }
        return n
    }

    /// The first octets, at most `countMax`: where they stand, or put together in `scratch` when the first piece is
    /// small. Not for an empty queue.
    func firstRecord(_ scratch: UnsafeMutableRawPointer, countMax: Int) -> UnsafeRawBufferPointer {
        guard let front else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        var filled = front.end - front.start
        guard filled < countMax / 2, filled < count else {
            return UnsafeRawBufferPointer(start: front.base + front.start, count: min(filled, countMax))
        }
        scratch.copyMemory(from: front.base + front.start, byteCount: filled)
        var i = moreStart
        while i < more.count, filled < countMax {
            let n = min(more[i].end - more[i].start, countMax - filled)
            (scratch + filled).copyMemory(from: more[i].base + more[i].start, byteCount: n)
            filled += n
            i += 1
        }
        return UnsafeRawBufferPointer(start: scratch, count: filled)
    }

    /// Takes away octets that the kernel accepted.
    mutating func removeFirst(_ sent: Int, pool: BlockPool) {
        count -= sent
        var left = sent
        while left > 0, front != nil {
            let n = min(left, front!.end - front!.start)
            front!.start += n
            left -= n
            if front!.start == front!.end { popFront(pool: pool) }
        }
    }

    mutating func removeAll(pool: BlockPool) {
        while front != nil { popFront(pool: pool) }
        count = 0
        more = []
    }

    private static func fill(
        _ segment: inout Segment, from source: UnsafeRawPointer, count: Int, blockBytes: Int
    ) -> Int {
        guard segment.owner.isEmpty else { return 0 }
        let n = min(count, blockBytes - segment.end)
        (segment.base + segment.end).copyMemory(from: source, byteCount: n)
        segment.end += n
        return n
    }

    private mutating func push(_ segment: Segment) {
        if front == nil { front = segment } else { more.append(segment) }
    }

    private mutating func popFront(pool: BlockPool) {
        if let front, front.owner.isEmpty { pool.give(front.base) }
        guard moreStart < more.count else {
            front = nil
            return
        }
        front = more[moreStart]
        more[moreStart].owner = []
        moreStart += 1
        if moreStart == more.count {
            // An idle connection keeps no more than a few hundred octets for this.
            more.removeAll(keepingCapacity: more.capacity <= 8)
            moreStart = 0
        } else if moreStart >= 64, moreStart * 2 >= more.count {
            more.removeFirst(moreStart)
            moreStart = 0
        }
    }
}
