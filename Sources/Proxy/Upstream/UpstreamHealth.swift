import Synchronization

/// Which servers of an upstream pass their health check: one writer (the checker), read by every worker.
final class UpstreamHealth: Sendable {
    /// One bit per server, set = unhealthy. Servers past the 64th are always taken as healthy.
    private let unhealthy = Atomic<UInt64>(0)

    init() {}

    func isHealthy(_ server: Int) -> Bool {
        server >= 64 || unhealthy.load(ordering: .relaxed) & (1 << UInt64(server)) == 0
    }

    func set(_ server: Int, isHealthy: Bool) {
        guard server < 64 else { return }
        let bit: UInt64 = 1 << UInt64(server)
        if isHealthy {
            unhealthy.bitwiseAnd(~bit, ordering: .relaxed)
        } else {
            unhealthy.bitwiseOr(bit, ordering: .relaxed)
        }
    }
}
