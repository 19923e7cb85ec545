import Transport

/// How long the body of one request may take: the gap between its octets, and on covered routes the whole of it and
/// its rate, because nobody else bounds what is collected.
struct BodyClock {
    private var started = Instant.never
    private var end = Instant.never

    /// The body is asked for, or begins. Returns when it is looked at next.
    mutating func start(at now: Instant, _ timeouts: ClientTimeouts) -> Instant {
        started = now
        end = now.adding(milliseconds: timeouts.requestBody)
        return now.adding(milliseconds: timeouts.requestBodyIdle)
    }

    /// Octets came. Returns when the body is looked at next.
    func progressed(at now: Instant, _ timeouts: ClientTimeouts, isCovered: Bool) -> Instant {
        let idle = now.adding(milliseconds: timeouts.requestBodyIdle)
        return isCovered ? min(idle, end) : idle
    }

    /// Under the minimum rate, once the grace has passed.
    func isTooSlow(at now: Instant, octets: UInt64, _ limits: Limits) -> Bool {
        let elapsed = now.nanoseconds(since: started) / 1_000_000
        guard elapsed > limits.requestBodyGraceMilliseconds else { return false }
        return octets * 1000 < UInt64(limits.requestBodyRateMin) * elapsed
    }
}
