/// Deadlines of a worker, kept so that moving one later costs a store.
///
/// Pure: time comes in as an argument. Three levels of 256 buckets; a tick is 2^23 ns ≈ 8.4 ms, so the levels reach
/// 2.1 s, 9 min and 38 h. An entry stands in the bucket of the tick at which it is looked at next, never later than
/// its deadline's tick; what is found there too early is filed again by its present deadline. A deadline never fires
/// early, and at most one tick late plus the caller's own delay. Deadlines that pass in one call of `advance` come in
/// the order of their ticks.
///
///     level 0: tick & 255    level 1: tick >> 8 & 255    level 2: tick >> 16 & 255    farther: last of level 2
package final class TimerWheel {
    static let tickShift: UInt64 = 23
    private static let buckets = 256
    private static let levels = 3
    /// The list of entries that are due; it follows the buckets of all levels.
    private static let expired = levels * buckets
    private static let none: Int32 = -1
    private static let unlisted = UInt64.max

    private struct Entry {
        var deadline: Instant
        /// The tick at which the entry's bucket is looked at.
        var tick: UInt64
        /// Given back by `popExpired`.
        var datum: UInt64
        var next: Int32
        var previous: Int32
        var list: Int32
    }

    @exclusivity(unchecked) private var entries: UnsafeMutablePointer<Entry>
    private var capacity: Int
    private var freeEntry: Int32
    private var expiredLast: Int32
    private let heads: UnsafeMutablePointer<Int32>
    private let occupied: UnsafeMutablePointer<UInt64>
    @exclusivity(unchecked) private var current: UInt64
    /// Entries in use.
    package private(set) var count = 0

    package init(start: Instant) {
        current = start.nanoseconds >> Self.tickShift
        capacity = 64
        entries = .allocate(capacity: capacity)
        freeEntry = Self.none
        expiredLast = Self.none
        heads = .allocate(capacity: Self.expired + 1)
        heads.initialize(repeating: Self.none, count: Self.expired + 1)
        occupied = .allocate(capacity: Self.levels * Self.buckets / 64)
        occupied.initialize(repeating: 0, count: Self.levels * Self.buckets / 64)
        addFree(0..<capacity)
    }

    deinit {
        entries.deallocate()
        heads.deallocate()
        occupied.deallocate()
    }

    /// Takes a place, without a deadline, for a number that means something to the caller.
    package func insert(_ datum: UInt64) -> Int32 {
        insert { _ in datum }
    }

    /// As `insert`, for a number that is made from the place.
    func insert(_ datum: (Int32) -> UInt64) -> Int32 {
        if freeEntry == Self.none { grow() }
        let index = freeEntry
        freeEntry = entries[Int(index)].next
        entries[Int(index)] = Entry(
            deadline: .never, tick: Self.unlisted, datum: datum(index), next: Self.none, previous: Self.none,
            list: Self.none)
        count += 1
        return index
    }

    package func remove(_ index: Int32) {
        if entries[Int(index)].list != Self.none { unlink(index) }
        entries[Int(index)].next = freeEntry
        freeEntry = index
        count -= 1
    }

    package func deadline(of index: Int32) -> Instant {
        entries[Int(index)].deadline
    }

    package func set(_ index: Int32, deadline: Instant) {
        entries[Int(index)].deadline = deadline
        guard deadline != .never else { return }
        let tick = Self.tick(of: deadline)
        guard tick < entries[Int(index)].tick else { return }
        if entries[Int(index)].list != Self.none { unlink(index) }
        file(index, tick: tick)
    }

    /// Moves what is due at `now` to the list that `popExpired` empties.
    package func advance(to now: Instant) {
        let target = now.nanoseconds >> Self.tickShift
        guard target > current else { return }
        while let next = nextTick(), next <= target {
            current = next
            if next & 0xFFFF == 0 { refile(2 * Self.buckets + Int(next >> 16 & 255)) }
            if next & 0xFF == 0 { refile(Self.buckets + Int(next >> 8 & 255)) }
            refile(Int(next & 255))
        }
        current = target
    }

    /// The datum of an entry whose deadline has passed; the entry stays, without a deadline. Nil when there is none.
    package func popExpired(_ now: Instant) -> UInt64? {
        while case let index = heads[Self.expired], index != Self.none {
            unlink(index)
            let deadline = entries[Int(index)].deadline
            if deadline <= now {
                entries[Int(index)].deadline = .never
                return entries[Int(index)].datum
            }
            // Moved later since it was found due.
            if deadline != .never { file(index, tick: max(Self.tick(of: deadline), current + 1)) }
        }
        return nil
    }

    /// When to look again: no deadline passes unseen before it. `.never` when nothing is filed.
    package func nextCheck() -> Instant {
        if heads[Self.expired] != Self.none { return Instant(nanoseconds: current << Self.tickShift) }
        guard let tick = nextTick() else { return .never }
        return Instant(nanoseconds: tick << Self.tickShift)
    }

    // MARK: lists

    private static func tick(of deadline: Instant) -> UInt64 {
        let (tick, rest) = (deadline.nanoseconds >> tickShift, deadline.nanoseconds & (1 << tickShift - 1))
        return rest == 0 ? tick : tick + 1
    }

    private func file(_ index: Int32, tick: UInt64) {
        guard tick > current else { return link(index, list: Self.expired, tick: current) }
        let distance = tick - current
        if distance < 256 {
            link(index, list: Int(tick & 255), tick: tick)
        } else if distance < 1 << 16 {
            link(index, list: Self.buckets + Int(tick >> 8 & 255), tick: tick & ~0xFF)
        } else {
            let reach = min(tick, current + (255 << 16))
            link(index, list: 2 * Self.buckets + Int(reach >> 16 & 255), tick: reach & ~0xFFFF)
        }
    }

    private func link(_ index: Int32, list: Int, tick: UInt64) {
        if list == Self.expired, expiredLast != Self.none { return linkLast(index, tick: tick) }
        if list == Self.expired { expiredLast = index }
        let head = heads[list]
        entries[Int(index)].tick = tick
        entries[Int(index)].list = Int32(list)
        entries[Int(index)].next = head
        entries[Int(index)].previous = Self.none
        if head != Self.none { entries[Int(head)].previous = index }
        heads[list] = index
        if list != Self.expired { occupied[list >> 6] |= 1 << UInt64(list & 63) }
    }

    /// Appends to the expired list, so that deadlines pass in the order of their ticks.
    private func linkLast(_ index: Int32, tick: UInt64) {
        entries[Int(expiredLast)].next = index
        entries[Int(index)].tick = tick
        entries[Int(index)].list = Int32(Self.expired)
        entries[Int(index)].next = Self.none
        entries[Int(index)].previous = expiredLast
        expiredLast = index
    }

    private func unlink(_ index: Int32) {
        let entry = entries[Int(index)]
        if index == expiredLast { expiredLast = entry.previous }
        if entry.previous != Self.none {
            entries[Int(entry.previous)].next = entry.next
        } else {
            let list = Int(entry.list)
            heads[list] = entry.next
            if entry.next == Self.none, list != Self.expired { occupied[list >> 6] &= ~(1 << UInt64(list & 63)) }
        }
        if entry.next != Self.none { entries[Int(entry.next)].previous = entry.previous }
        entries[Int(index)].tick = Self.unlisted
        entries[Int(index)].list = Self.none
    }

    /// Empties a bucket whose tick is `current`: each entry goes to where its present deadline puts it.
    private func refile(_ list: Int) {
        while case let index = heads[list], index != Self.none {
            unlink(index)
            let deadline = entries[Int(index)].deadline
            if deadline != .never { file(index, tick: Self.tick(of: deadline)) }
        }
    }

    /// The first tick after `current` with a bucket to look at.
    private func nextTick() -> UInt64? {
        var first: UInt64?
        for level in 0..<Self.levels {
            let position = current >> UInt64(8 * level)
            guard let distance = distanceToOccupied(level: level, after: Int(position & 255)) else { continue }
            let tick = (position + UInt64(distance)) << UInt64(8 * level)
            if first.map({ tick < $0 }) ?? true { first = tick }
        }
        return first
    }

    /// How many buckets after `start`, 1…256, the next occupied one of a level is.
    private func distanceToOccupied(level: Int, after start: Int) -> Int? {
        let words = level * Self.buckets / 64
        let from = (start + 1) & 255
        // Five words, since the one that `from` is in is looked at twice: first its upper, last its lower part.
        for step in 0...4 {
            let word = (from >> 6 + step) & 3
            var bits = occupied[words + word]
            if step == 0 { bits &= UInt64.max << UInt64(from & 63) }
            if step == 4 { bits &= ~(UInt64.max << UInt64(from & 63)) }
            if bits != 0 {
                let bucket = word << 6 + bits.trailingZeroBitCount
                return (bucket - start + 255) & 255 + 1
            }
        }
        return nil
    }

    private func grow() {
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: entries, count: capacity)
        entries.deallocate()
        entries = larger
        addFree(capacity..<capacity * 2)
        capacity *= 2
    }

    private func addFree(_ range: Range<Int>) {
        for index in range.reversed() {
            (entries + index).initialize(
                to: Entry(
                    deadline: .never, tick: Self.unlisted, datum: 0, next: freeEntry, previous: Self.none,
                    list: Self.none))
            freeEntry = Int32(index)
        }
    }
}
