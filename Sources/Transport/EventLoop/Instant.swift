internal import CLinux

/// A point of the monotonic clock (CLOCK_MONOTONIC), in nanoseconds. For deadlines and durations; means nothing
/// across restarts.
package struct Instant: Comparable, Hashable, Sendable {
    package var nanoseconds: UInt64

    /// Later than every other instant: no deadline.
    @inlinable
    package static var never: Instant { Instant(nanoseconds: .max) }

    @inlinable
    package init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// Asks the clock. Workers keep the answer of the batch in `Worker.now`: prefer that.
    package static func current() -> Instant {
        Instant(nanoseconds: cl_monotonic_nanoseconds())
    }

    /// When this was by the wall clock, as that stands now: milliseconds since the UNIX epoch, to the millisecond.
    /// `Worker.wallMilliseconds` costs nothing and may be some milliseconds behind, so that it does not tell which of
    /// two events was the earlier one.
    package var wallMilliseconds: UInt64 {
        let (wall, now) = (cl_wall_nanoseconds(), cl_monotonic_nanoseconds())
        return (nanoseconds <= now ? wall &- (now &- nanoseconds) : wall &+ (nanoseconds &- now)) / 1_000_000
    }

    @inlinable
    package static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// Saturates at `never`.
    @inlinable
    package func adding(nanoseconds more: UInt64) -> Instant {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(more)
        return overflow ? .never : Instant(nanoseconds: sum)
    }

    /// Saturates at `never`.
    @inlinable
    package func adding(milliseconds more: UInt64) -> Instant {
        let (product, overflow) = more.multipliedReportingOverflow(by: 1_000_000)
        return overflow ? .never : adding(nanoseconds: product)
    }

    /// Saturates at `never`; a negative duration adds nothing.
    @inlinable
    package func adding(_ duration: Duration) -> Instant {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return self }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .never : adding(nanoseconds: product).adding(nanoseconds: UInt64(attoseconds) / 1_000_000_000)
    }

    /// Nanoseconds that passed from `earlier` to this instant; 0 when it is not earlier.
    @inlinable
    package func nanoseconds(since earlier: Instant) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0
    }
}
