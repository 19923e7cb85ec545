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
        probe.start(address)
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

/// One check: a connection of its own, one request, the status of its answer.
private final class HealthProbe: StreamChannel {
    private let check: UpstreamSettings.HealthCheck
    private let host: String
    private var done: ((Bool) -> Void)?
    private var parser = ResponseParser()
    private var head = ResponseHead()

    init(worker: Worker, check: UpstreamSettings.HealthCheck, host: String, done: @escaping (Bool) -> Void) {
        self.check = check
        self.host = host
        self.done = done
        super.init(worker: worker)
    }

    func start(_ address: SocketAddress) {
        do {
            try connect(to: address)
        } catch {
            finish(false)
            return
        }
        deadline = worker.now.adding(milliseconds: check.timeoutMilliseconds)
        let start = "GET \(check.path) HTTP/1.1\r\nHost: \(host)\r\n"
        write(contentsOf: Array((start + "User-Agent: oncegate-health\r\nConnection: close\r\n\r\n").utf8))
    }

    override func received(_ octets: Span<UInt8>) -> Int {
        do {
            guard let consumed = try parser.parse(octets, requestMethod: .get, into: &head) else { return 0 }
            if head.isInformational { return consumed }
            let status = Int(head.status)
            finish(
                check.expectedStatuses.isEmpty ? (200..<400).contains(status) : check.expectedStatuses.contains(status))
        } catch {
            finish(false)
        }
        return octets.count
    }

    override func receivedEnd() { finish(false) }

    override func failed(_ error: Errno) { finish(false) }

    override func deadlinePassed() { finish(false) }

    private func finish(_ isHealthy: Bool) {
        guard let done else { return }
        self.done = nil
        close()
        done(isHealthy)
    }
}
