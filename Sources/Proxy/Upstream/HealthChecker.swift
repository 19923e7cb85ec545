import HTTP
import Transport

/// Asks each server of one upstream for a page, again and again, and tells every worker which servers pass. On one
/// worker. The checks carry no token and are never recorded.
final class HealthChecker {
    let pool: UpstreamPool
    private let check: UpstreamSettings.HealthCheck
    private let health: UpstreamHealth
    private var successes: [Int]
    private var failures: [Int]

    init(pool: UpstreamPool, check: UpstreamSettings.HealthCheck) {
        self.pool = pool
        self.check = check
        self.health = pool.health
        successes = Array(repeating: 0, count: pool.serverCount)
        failures = Array(repeating: 0, count: pool.serverCount)
        for server in 0..<pool.serverCount { ask(server) }
    }

    private func ask(_ server: Int) {
        let worker = pool.context.worker
        guard let address = pool.address(ofServer: server) else {
            answered(server, isHealthy: false)
            return
        }
        let probe = HealthProbe(worker: worker, check: check, host: pool.serverText(server)) { [weak self] isHealthy in
            self?.answered(server, isHealthy: isHealthy)
        }
        probe.start(address, scheme: pool.scheme(server), tls: pool.tlsTarget(server, address))
    }

    private func answered(_ server: Int, isHealthy: Bool) {
        if isHealthy {
            successes[server] += 1
            failures[server] = 0
            if successes[server] >= check.healthyCount { health.set(server, isHealthy: true) }
        } else {
            failures[server] += 1
            successes[server] = 0
            if failures[server] >= check.unhealthyCount { health.set(server, isHealthy: false) }
        }
        let worker = pool.context.worker
        worker.schedule(at: worker.now.adding(milliseconds: check.intervalMilliseconds)) { [weak self] in
            self?.ask(server)
        }
    }
}
