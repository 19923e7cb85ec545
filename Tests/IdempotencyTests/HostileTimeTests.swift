import CLinux
import Testing

@testable import Idempotency

/// D10: what a body of one mebibyte costs at most, whoever made it.
@Suite(.serialized) struct HostileTimeTests {
    #if DEBUG
        // Without optimisation only what grows faster than the body is found.
        static let size = 1 << 16
        static let milliseconds = 250.0
    #else
        static let size = 1 << 20
        static let milliseconds = 50.0
    #endif

    @Test func everyHostileBodyHasABound() {
        for hostile in HostileBodies.all(size: Self.size) {
            #expect(hostile.body.count >= Self.size, "\(hostile.name)")
            // What else runs on this core is no cost of the body: the best of a few counts.
            var best = Double.infinity
            for _ in 0..<5 where best > Self.milliseconds { best = min(best, Self.time(hostile)) }
            #expect(best <= Self.milliseconds, "\(hostile.name)")
        }
    }

    /// Milliseconds of this thread's CPU.
    private static func time(_ hostile: HostileBodies.Case) -> Double {
        let start = now()
        hostile.run(hostile.body)
        return now() - start
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }
}
