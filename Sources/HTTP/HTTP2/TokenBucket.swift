/// So many at once, so many a second. Time is given in, in nanoseconds of a clock that does not go back.
struct TokenBucket: Sendable {
    /// When the bucket will be full again.
    private var fullAt: UInt64 = 0
    private let interval: UInt64
    private let depth: UInt64

    init(burst: UInt32, perSecond: UInt32) {
        interval = 1_000_000_000 / UInt64(max(perSecond, 1))
        depth = interval * UInt64(burst)
    }

    /// Takes tokens; false when there were not enough.
    @inline(__always)
    mutating func take(_ count: Int, now: UInt64) -> Bool {
        if fullAt < now { fullAt = now }
        fullAt &+= interval &* UInt64(truncatingIfNeeded: count)
        return fullAt &- now <= depth
    }

    /// Puts tokens in; never more than the burst.
    @inline(__always)
    mutating func give(_ count: Int) {
        let amount = interval &* UInt64(truncatingIfNeeded: count)
        fullAt = fullAt > amount ? fullAt &- amount : 0
    }
}
