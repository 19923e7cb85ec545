internal import Glibc

/// Milliseconds since the UNIX epoch for everything a store dates. Anchored to the wall clock once and advanced by a
/// clock that nobody sets, so that a jump of the wall clock while the process runs neither expires nor prolongs a
/// record. Time suspended counts.
package struct StoreClock: Sendable {
    package let milliseconds: @Sendable () -> UInt64

    package init(milliseconds: @escaping @Sendable () -> UInt64) {
        self.milliseconds = milliseconds
    }

    /// A clock anchored to the wall clock at this moment.
    package static func anchored() -> StoreClock {
        let wall = read(CLOCK_REALTIME)
        let start = read(CLOCK_BOOTTIME)
        return StoreClock { wall &+ (read(CLOCK_BOOTTIME) &- start) }
    }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }
}

func monotonicMicroseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
}
