import Glibc
package import Synchronization

/// A counter or gauge of one shard.
package struct SeriesID: Sendable, Equatable {
    @usableFromInline
    let cell: UInt32

    @inlinable
    init(cell: UInt32) {
        self.cell = cell
    }
}

/// A histogram of one shard: its cells are one per bound, one above all bounds, and the sum.
package struct HistogramID: Sendable, Equatable {
    @usableFromInline
    let cell: UInt32
    @usableFromInline
    let boundsStart: UInt16
    @usableFromInline
    let boundsCount: UInt16

    @inlinable
    init(cell: UInt32, boundsStart: UInt16, boundsCount: UInt16) {
        self.cell = cell
        self.boundsStart = boundsStart
        self.boundsCount = boundsCount
    }
}

/// The bounds of all histograms, one after the other, where a shard finds them without a check or a retain. Made once,
/// never freed.
private enum HistogramBounds {
    // Written before `let` publishes them, never again.
    nonisolated(unsafe) static let bounds: UnsafePointer<UInt64> = {
        let all = MetricFamilies.all.flatMap(\.bounds)
        let memory = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: all.count)
        _ = memory.initialize(from: all)
        return UnsafePointer(memory.baseAddress!)  // There are histograms.
    }()

    /// By family: where its bounds start, and how many there are.
    nonisolated(unsafe) static let ranges: UnsafePointer<(UInt16, UInt16)> = {
        let families = MetricFamilies.all
        let memory = UnsafeMutablePointer<(UInt16, UInt16)>.allocate(capacity: families.count)
        var start = 0
        for (index, family) in families.enumerated() {
            (memory + index).initialize(to: (UInt16(start), UInt16(family.bounds.count)))
            start += family.bounds.count
        }
        return UnsafePointer(memory)
    }()
}

/// The measurements of one writer: a worker, or a thread of the store. Made by `MetricRegistry.makeShard`.
///
/// Everything but `scan` is for the one writer only. Cells never move; the scraper learns of a series through
/// `published`.
///
/// Unchecked: cells are atomics with one writer, so load and store suffice; `seriesKeys` and `seriesCells` are written
/// below `published` never again after its releasing store, and read only below its acquiring load; the map belongs to
/// the writer.
package final class MetricShard: @unchecked Sendable {
    @usableFromInline
    let cells: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline
    let bounds: UnsafePointer<UInt64>
    /// By family: where its bounds start, and how many there are.
    @usableFromInline
    let boundsRanges: UnsafePointer<(UInt16, UInt16)>
    /// Behind a pointer because a class's variable would be checked for overlapping accesses at each use.
    @usableFromInline
    let map: UnsafeMutablePointer<Map>

    /// Packed key to cell, open addressing. At most half full.
    @usableFromInline
    struct Map {
        @usableFromInline
        var slots: UnsafeMutablePointer<Slot>
        @usableFromInline
        var shift: UInt64

        @usableFromInline
        struct Slot {
            @usableFromInline
            var key: UInt64
            @usableFromInline
            var cell: UInt32
        }

        init(shift: UInt64) {
            self.shift = shift
            slots = .allocate(capacity: 1 << Int(64 - shift))
            slots.initialize(repeating: Slot(key: MetricShard.emptyKey, cell: 0), count: 1 << Int(64 - shift))
        }

        func insert(_ key: UInt64, _ cell: UInt32) {
            let mask = (1 as UInt64) << (64 - shift) - 1
            var slot = MetricShard.spread(key) >> shift
            while slots[Int(slot)].key != MetricShard.emptyKey {
                slot = (slot + 1) & mask
            }
            slots[Int(slot)] = Slot(key: key, cell: cell)
        }
    }

    /// Fibonacci hashing, the labels' low bits folded in first.
    @inlinable
    @inline(__always)
    static func spread(_ key: UInt64) -> UInt64 {
        (key ^ key >> 29) &* 0x9E37_79B9_7F4A_7C15
    }

    /// Keeps its shards, and is asked for literals only.
    private unowned let registry: MetricRegistry
    private let seriesKeys: UnsafeMutablePointer<UInt64>
    private let seriesCells: UnsafeMutablePointer<UInt32>
    private let published = Atomic<Int>(0)
    private var cellsUsed = 2
    private let cellsMax: Int
    private let seriesMax: Int
    private var literals: [UnsafePointer<UInt8>: MetricLabel] = [:]

    /// No packed key: there is no family 255.
    @usableFromInline
    static let emptyKey = UInt64.max

    /// Cells 0 and 1 take what no longer fits: the first counts it.
    private static let overflow: UInt32 = 0

    init(registry: MetricRegistry, cellsMax: Int, seriesMax: Int) {
        self.registry = registry
        bounds = HistogramBounds.bounds
        boundsRanges = HistogramBounds.ranges
        self.cellsMax = cellsMax
        self.seriesMax = seriesMax
        // Zero octets are an Atomic of zero. Pages that no series uses are never touched.
        guard let memory = calloc(cellsMax, MemoryLayout<Atomic<UInt64>>.stride) else {
            preconditionFailure("out of memory for metrics")
        }
        cells = memory.bindMemory(to: Atomic<UInt64>.self, capacity: cellsMax)
        seriesKeys = .allocate(capacity: seriesMax)
        seriesCells = .allocate(capacity: seriesMax)
        map = .allocate(capacity: 1)
        map.initialize(to: Map(shift: 64 - 8))
    }

    deinit {
        free(cells)
        seriesKeys.deallocate()
        seriesCells.deallocate()
        map.pointee.slots.deallocate()
        map.deallocate()
    }

    // MARK: Writing

    /// Adds to a counter.
    @inlinable
    @inline(__always)
    package func add(_ series: SeriesID, _ amount: UInt64 = 1) {
        bump(series.cell, amount)
    }

    /// Moves a gauge.
    @inlinable
    @inline(__always)
    package func move(_ series: SeriesID, by amount: Int64) {
        bump(series.cell, UInt64(bitPattern: amount))
    }

    /// Adds to a counter that is found by its labels.
    @inlinable
    package func add(
        _ family: MetricFamily, _ first: MetricLabel = .index(0), _ second: MetricLabel = .index(0),
        _ third: MetricLabel = .index(0), _ fourth: MetricLabel = .index(0), amount: UInt64 = 1
    ) {
        bump(series(family, first, second, third, fourth).cell, amount)
    }

    /// Moves a gauge that is found by its labels.
    @inlinable
    package func move(
        _ family: MetricFamily, _ first: MetricLabel = .index(0), _ second: MetricLabel = .index(0), by amount: Int64
    ) {
        bump(series(family, first, second).cell, UInt64(bitPattern: amount))
    }

    /// - Parameter value: nanoseconds, or octets, as the family is declared.
    @inlinable
    @inline(__always)
    package func observe(_ histogram: HistogramID, _ value: UInt64) {
        let bounds = self.bounds + Int(histogram.boundsStart)
        let count = Int(histogram.boundsCount)
        var bucket = 0
        while bucket < count, value > bounds[bucket] {
            bucket += 1
        }
        bump(histogram.cell &+ UInt32(truncatingIfNeeded: bucket), 1)
        bump(histogram.cell &+ UInt32(truncatingIfNeeded: count) &+ 1, value)
    }

    /// Observes in a histogram that is found by its labels.
    @inlinable
    package func observe(
        _ family: MetricFamily, _ first: MetricLabel = .index(0), _ second: MetricLabel = .index(0), value: UInt64
    ) {
        let start = boundsRanges[Int(family.rawValue)]
        let cell = series(family, first, second).cell
        // What no longer fits has no buckets: it goes to the two overflow cells.
        observe(HistogramID(cell: cell, boundsStart: start.0, boundsCount: cell == 0 ? 0 : start.1), value)
    }

    // MARK: Resolving

    /// The counter or gauge with these labels; published from here on, at 0.
    @inlinable
    package func series(
        _ family: MetricFamily, _ first: MetricLabel = .index(0), _ second: MetricLabel = .index(0),
        _ third: MetricLabel = .index(0), _ fourth: MetricLabel = .index(0)
    ) -> SeriesID {
        let key =
            UInt64(family.rawValue) << 56 | UInt64(first.value) << 42 | UInt64(second.value) << 28
            | UInt64(third.value) << 14 | UInt64(fourth.value)
        let map = self.map.pointee
        let mask = (1 as UInt64) << (64 &- map.shift) &- 1
        var slot = Self.spread(key) >> map.shift
        while true {
            let found = map.slots[Int(truncatingIfNeeded: slot)]
            if found.key == key {
                return SeriesID(cell: found.cell)
            }
            if found.key == Self.emptyKey {
                return SeriesID(cell: register(key, family))
            }
            slot = (slot &+ 1) & mask
        }
    }

    /// The histogram with these labels; published from here on, empty.
    package func histogram(
        _ family: MetricFamily, _ first: MetricLabel = .index(0), _ second: MetricLabel = .index(0)
    ) -> HistogramID {
        let start = boundsRanges[Int(family.rawValue)]
        let cell = series(family, first, second).cell
        return HistogramID(cell: cell, boundsStart: start.0, boundsCount: cell == Self.overflow ? 0 : start.1)
    }

    /// The label of a literal. A dictionary look-up: resolve the series beforehand where it matters.
    package func literal(_ text: StaticString) -> MetricLabel {
        if let known = literals[text.utf8Start] {
            return known
        }
        let label = registry.literal(text)
        literals[text.utf8Start] = label
        return label
    }

    @inlinable
    @inline(__always)
    func bump(_ cell: UInt32, _ amount: UInt64) {
        let cell = cells + Int(cell)
        // One writer: no read-modify-write is needed.
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    @usableFromInline
    @inline(never)
    func register(_ key: UInt64, _ family: MetricFamily) -> UInt32 {
        let boundsCount = Int(boundsRanges[Int(family.rawValue)].1)
        let needed = boundsCount == 0 ? 1 : boundsCount + 2
        let count = published.load(ordering: .relaxed)
        guard count < seriesMax, cellsUsed + needed <= cellsMax else { return Self.overflow }
        let cell = UInt32(cellsUsed)
        cellsUsed += needed
        seriesKeys[count] = key
        seriesCells[count] = cell
        if (count + 1) * 2 > 1 << (64 - map.pointee.shift) {
            growMap(count)
        }
        map.pointee.insert(key, cell)
        published.store(count + 1, ordering: .releasing)
        return cell
    }

    private func growMap(_ count: Int) {
        map.pointee.slots.deallocate()
        map.pointee = Map(shift: map.pointee.shift - 1)
        for index in 0..<count {
            map.pointee.insert(seriesKeys[index], seriesCells[index])
        }
    }

    // MARK: Scraping, from any thread

    /// Calls `visit` with each series' packed key and its first cell.
    func scan(_ visit: (UInt64, Int) -> Void) {
        let count = published.load(ordering: .acquiring)
        for index in 0..<count {
            visit(seriesKeys[index], Int(seriesCells[index]))
        }
    }

    func read(_ cell: Int) -> UInt64 {
        cells[cell].load(ordering: .relaxed)
    }

    /// Measurements that found no place.
    var droppedCount: UInt64 {
        read(Int(Self.overflow))
    }
}
