/// 64-bit key hash → row id for every record, in open-addressed shards. Equal hashes stand side by side: a hit is only
/// a candidate, and the row's full key decides. 16 octets per slot, between 0.53 and 0.8 full, so 20 to 30 octets per
/// record; a shard grows alone, which takes microseconds where one table would pause for the whole.
struct RecordIndex {
    private static let shardBits = 10
    private var shards: [Shard]
    private(set) var count = 0

    init() {
        shards = (0..<1 << Self.shardBits).map { _ in Shard() }
    }

    mutating func insert(hash: UInt64, id: UInt64) {
        shards[Self.shard(of: hash)].insert(hash: hash, id: id)
        count += 1
    }

    /// False when no such pair stands here.
    @discardableResult
    mutating func remove(hash: UInt64, id: UInt64) -> Bool {
        guard shards[Self.shard(of: hash)].remove(hash: hash, id: id) else { return false }
        count -= 1
        return true
    }

    /// Calls `body` with the id of each record of this hash, until it returns true.
    func forEach(hash: UInt64, _ body: (UInt64) -> Bool) {
        shards[Self.shard(of: hash)].forEach(hash: hash, body)
    }

    func contains(hash: UInt64, id: UInt64) -> Bool {
        var isFound = false
        forEach(hash: hash) { candidate in
            isFound = candidate == id
            return isFound
        }
        return isFound
    }

    private static func shard(of hash: UInt64) -> Int {
        Int(hash >> UInt64(64 - shardBits))
    }

    /// Linear probing from a position that is proportional to the hash; removal shifts back, so there are no graves.
    private final class Shard {
        private struct Slot {
            var hash: UInt64
            /// 0 = empty; no record has id 0.
            var id: UInt64
        }

        private var slots: UnsafeMutablePointer<Slot>?
        private var capacity = 0
        private var count = 0

        deinit {
            slots?.deallocate()
        }

        func insert(hash: UInt64, id: UInt64) {
            if (count + 1) * 5 > capacity * 4 { grow() }
            place(Slot(hash: hash, id: id))
            count += 1
        }

        func remove(hash: UInt64, id: UInt64) -> Bool {
            guard capacity > 0, let slots else { return false }
            var hole = home(of: hash)
            while slots[hole].id != 0 {
                if slots[hole].id == id && slots[hole].hash == hash { break }
                hole = next(hole)
            }
            guard slots[hole].id != 0 else { return false }
            var probe = next(hole)
            while slots[probe].id != 0 {
                // The slot may move into the hole unless its home lies cyclically in (hole, probe].
                let distanceFromHome = distance(from: home(of: slots[probe].hash), to: probe)
                if distanceFromHome >= distance(from: hole, to: probe) {
                    slots[hole] = slots[probe]
                    hole = probe
                }
                probe = next(probe)
            }
            slots[hole] = Slot(hash: 0, id: 0)
            count -= 1
            return true
        }

        func forEach(hash: UInt64, _ body: (UInt64) -> Bool) {
            guard capacity > 0, let slots else { return }
            var position = home(of: hash)
            while slots[position].id != 0 {
                if slots[position].hash == hash && body(slots[position].id) { return }
                position = next(position)
            }
        }

        private func grow() {
            let old = slots
            let oldCapacity = capacity
            capacity = max(8, capacity + capacity / 2)
            let new = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
            new.initialize(repeating: Slot(hash: 0, id: 0), count: capacity)
            slots = new
            for position in 0..<oldCapacity {
                if let slot = old?[position], slot.id != 0 { place(slot) }
            }
            old?.deallocate()
        }

        private func place(_ slot: Slot) {
            guard let slots else { return }
            var position = home(of: slot.hash)
            while slots[position].id != 0 { position = next(position) }
            slots[position] = slot
        }

        /// The bits below the shard's, scaled to the capacity.
        private func home(of hash: UInt64) -> Int {
            Int((hash << UInt64(RecordIndex.shardBits)).multipliedFullWidth(by: UInt64(capacity)).high)
        }

        private func next(_ position: Int) -> Int {
            position + 1 == capacity ? 0 : position + 1
        }

        private func distance(from start: Int, to end: Int) -> Int {
            end >= start ? end - start : end + capacity - start
        }
    }
}
