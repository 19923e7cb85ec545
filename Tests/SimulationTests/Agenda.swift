import Stores
import Synchronization

/// What happens when: events in the order of their times, those of equal times in the order in which they were added.
struct Agenda {
    private struct Entry {
        var time: UInt64
        var serial: UInt64
        var work: () -> Void

        func precedes(_ other: Entry) -> Bool {
            (time, serial) < (other.time, other.serial)
        }
    }

    /// A binary heap, the next entry first.
    private var heap: [Entry] = []
    private var serial: UInt64 = 0

    mutating func add(at time: UInt64, _ work: @escaping () -> Void) {
        serial += 1
        heap.append(Entry(time: time, serial: serial, work: work))
        var index = heap.count - 1
        while index > 0, heap[index].precedes(heap[(index - 1) / 2]) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func next() -> (time: UInt64, work: () -> Void)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return (first.time, first.work) }
        heap[0] = last
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child].precedes(heap[least]) {
                least = child
            }
            guard least != index else { return (first.time, first.work) }
            heap.swapAt(index, least)
            index = least
        }
    }
}

/// The time of a simulation, in milliseconds; the production store reads it as its clock.
final class VirtualClock: Sendable {
    private let time = Atomic<UInt64>(1_700_000_000_000)

    var now: UInt64 {
        get { time.load(ordering: .relaxed) }
        set { time.store(newValue, ordering: .relaxed) }
    }

    var storeClock: StoreClock {
        StoreClock { self.now }
    }
}
