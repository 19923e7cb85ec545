/// The channels of a worker by index and generation, so that an event costs no retain and a stale one is dropped.
///
/// A removed channel is kept alive until `releaseRemoved` at the end of the batch: it may be the one whose callback
/// is running.
struct ChannelSlab: ~Copyable {
    private struct Slot {
        var channel: Unmanaged<Channel>?
        var generation: UInt32
        var nextFree: UInt32
    }

    private static let none = UInt32.max

    private var slots: UnsafeMutablePointer<Slot>
    private var capacity = 0
    private var used = 0
    private var free = Self.none
    private var removed: [Unmanaged<Channel>] = []
    private let countMax: Int
    private(set) var count = 0

    init(countMax: Int) {
        self.countMax = countMax
        slots = .allocate(capacity: 1)
    }

    deinit {
        for i in 0..<used { slots[i].channel?.release() }
        for channel in removed { channel.release() }
        slots.deallocate()
    }

    /// Retains the channel. Nil when the limit is reached.
    mutating func insert(_ channel: Channel) -> (index: UInt32, generation: UInt32)? {
        guard count < countMax else { return nil }
        let index: UInt32
        if free != Self.none {
            index = free
            free = slots[Int(index)].nextFree
        } else {
            if used == capacity { grow() }
            index = UInt32(used)
            (slots + used).initialize(to: Slot(channel: nil, generation: 0, nextFree: Self.none))
            used += 1
        }
        slots[Int(index)].channel = Unmanaged.passRetained(channel)
        count += 1
        return (index, slots[Int(index)].generation)
    }

    mutating func remove(index: UInt32) {
        guard let channel = slots[Int(index)].channel else { preconditionFailure("slot \(index) is empty") }
        slots[Int(index)].channel = nil
        // 31 bits: the highest one tells timers of channels from other timers.
        slots[Int(index)].generation = (slots[Int(index)].generation &+ 1) & 0x7FFF_FFFF
        slots[Int(index)].nextFree = free
        free = index
        count -= 1
        removed.append(channel)
    }

    /// The channel a datum was made for; nil when it has been removed since. Not retained: alive until
    /// `releaseRemoved`.
    func channel(_ datum: UInt64) -> Unmanaged<Channel>? {
        let index = Int(UInt32(truncatingIfNeeded: datum))
        guard index < used, slots[index].generation == UInt32(truncatingIfNeeded: datum >> 32) else { return nil }
        return slots[index].channel
    }

    mutating func releaseRemoved() {
        guard !removed.isEmpty else { return }
        // A deinitialiser may remove further channels.
        var batch: [Unmanaged<Channel>] = []
        swap(&batch, &removed)
        for channel in batch { channel.release() }
        if removed.isEmpty {
            batch.removeAll(keepingCapacity: batch.capacity <= 1024)
            swap(&batch, &removed)
        }
    }

    /// Every channel, retained; for closing them all.
    func all() -> [Channel] {
        (0..<used).compactMap { slots[$0].channel?.takeUnretainedValue() }
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Slot>.allocate(capacity: max(64, capacity * 2))
        larger.moveInitialize(from: slots, count: used)
        slots.deallocate()
        slots = larger
        capacity = max(64, capacity * 2)
    }
}
