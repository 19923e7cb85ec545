/// How often which time passed, in steps that grow with the time.
package struct GapHistogram: Sendable, Equatable {
    /// The upper bounds of all steps but the last, which has none.
    package static let boundsMilliseconds: [UInt64] = [
        100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
        7_200_000, 21_600_000, 43_200_000, 86_400_000,
    ]

    /// One for each bound, and one above.
    package private(set) var counts = [UInt64](repeating: 0, count: boundsMilliseconds.count + 1)
    package private(set) var maxMilliseconds: UInt64 = 0

    package init() {}

    package mutating func add(_ milliseconds: UInt64) {
        counts[Self.step(of: milliseconds)] &+= 1
        maxMilliseconds = max(maxMilliseconds, milliseconds)
    }

    package var total: UInt64 { counts.reduce(0, &+) }

    package func count(upTo bound: UInt64) -> UInt64 {
        zip(Self.boundsMilliseconds, counts).filter { $0.0 <= bound }.reduce(0) { $0 &+ $1.1 }
    }

    package static func step(of milliseconds: UInt64) -> Int {
        boundsMilliseconds.firstIndex { milliseconds <= $0 } ?? boundsMilliseconds.count
    }

    /// Where the first cluster of times ends: the upper bound of the last step before three empty ones, or before
    /// `limit`; nil where nothing is below it.
    package func clusterEnd(limit: UInt64) -> UInt64? {
        var end: UInt64?
        var empty = 0
        for (bound, count) in zip(Self.boundsMilliseconds, counts) {
            guard bound <= limit else { break }
            if count > 0 {
                end = bound
                empty = 0
            } else if end != nil {
                empty += 1
                if empty == 3 { break }
            }
        }
        return end
    }
}
