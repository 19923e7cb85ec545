import Transport

/// The connections of one worker to the servers of one upstream: which server an exchange goes to, and whether it gets
/// an idle connection or a fresh one.
final class UpstreamPool {
    /// What `acquire` gives.
    enum Acquired {
        /// Attached and connected: send at once.
        case ready(UpstreamConnection)
        /// Attached; `upstreamConnected` or `upstreamFailed` follows.
        case connecting(UpstreamConnection)
        /// No server can be tried.
        case unavailable
    }

    private struct Server {
        let settings: UpstreamSettings.Server
        var addresses: [SocketAddress]
        var nextAddress = 0
        /// The most recently used last: the warmest connection serves next, and the others get the chance to pass their
        /// idle time.
        var idle: [UpstreamConnection] = []
        var active = 0
        var consecutiveFailures = 0
        /// Until when the server rests after failures.
        var restsUntil = Instant(nanoseconds: 0)
    }

    let context: WorkerContext
    let settings: UpstreamSettings
    /// What metrics know the upstream by.
    let label: Int
    let health: UpstreamHealth
    @exclusivity(unchecked) private var servers: [Server]
    private var next = 0
    private var names: [ResolvedName] = []
    private var isRetired = false

    init(context: WorkerContext, settings: UpstreamSettings, label: Int, health: UpstreamHealth) {
        self.context = context
        self.settings = settings
        self.label = label
        self.health = health
        servers = settings.servers.map { server in
            switch server.host {
            case .address(let address): Server(settings: server, addresses: [address])
            case .name: Server(settings: server, addresses: [])
            }
        }
    }

    var serverCount: Int { servers.count }

    /// The server as it is written in the configuration.
    func serverText(_ server: Int) -> String { servers[server].settings.text }

    /// One of the server's addresses; nil while its name is not resolved.
    func address(ofServer server: Int) -> SocketAddress? { servers[server].addresses.first }

    /// Keeps the addresses of servers with names; `initial` is what the start found. The last good answer is kept.
    func startResolving(_ resolver: Resolver, initial: [[SocketAddress]]) {
        for (index, server) in settings.servers.enumerated() {
            guard case .name(let host, let port) = server.host else { continue }
            servers[index].addresses = initial[index]
            names.append(
                ResolvedName(
                    host: host, port: port, resolver: resolver, worker: context.worker,
                    intervalMilliseconds: settings.resolveIntervalMilliseconds
                ) { [unowned self] name in
                    if !name.addresses.isEmpty { self.servers[index].addresses = name.addresses }
                })
        }
    }

    // MARK: Acquiring

    /// - Parameters:
    ///   - tried: servers that this exchange has failed to connect to.
    ///   - validates: look at an idle connection before it is used, because a lost request could not be sent again.
    ///   - fresh: do not use an idle connection at all.
    func acquire(for exchange: Exchange, tried: Set<Int>, validates: Bool, fresh: Bool) -> Acquired {
        guard let server = choose(excluding: tried) else { return .unavailable }
        if !fresh {
            while let connection = servers[server].idle.popLast() {
                if validates && !connection.peekIsAlive() {
                    servers[server].active += 1
                    connection.end()
                    continue
                }
                servers[server].active += 1
                connection.attach(exchange)
                return .ready(connection)
            }
        }
        return connect(server, for: exchange)
    }

    private func connect(_ server: Int, for exchange: Exchange) -> Acquired {
        guard !servers[server].addresses.isEmpty else { return .unavailable }
        let address = servers[server].addresses[servers[server].nextAddress % servers[server].addresses.count]
        servers[server].nextAddress &+= 1
        let connection = UpstreamConnection(pool: self, server: server)
        servers[server].active += 1
        connection.attach(exchange)
        do {
            try connection.connect(to: address)
        } catch {
            // A UNIX socket or a full backlog fails at once; told like every other failure, after this call has
            // returned.
            context.afterThisEvent { connection.failed(error) }
        }
        connection.deadline = context.worker.now.adding(milliseconds: exchange.connectTimeoutMilliseconds)
        return .connecting(connection)
    }

    private func choose(excluding tried: Set<Int>) -> Int? {
        if servers.count == 1 { return tried.contains(0) || servers[0].addresses.isEmpty ? nil : 0 }
        return choose(excluding: tried, backup: false) ?? choose(excluding: tried, backup: true)
            ?? chooseResting(excluding: tried)
    }

    private func choose(excluding tried: Set<Int>, backup: Bool) -> Int? {
        var best: Int?
        let start = next
        // Least requests begins its comparison at another server each time, so that ties are spread.
        if settings.balance != .first { next = (next + 1) % servers.count }
        for step in servers.indices {
            let candidate = settings.balance == .first ? step : (start + step) % servers.count
            guard servers[candidate].settings.isBackup == backup, isUsable(candidate, tried) else { continue }
            guard settings.balance == .leastRequests else { return candidate }
            if best.map({ servers[candidate].active < servers[$0].active }) ?? true { best = candidate }
        }
        return best
    }

    private func isUsable(_ server: Int, _ tried: Set<Int>) -> Bool {
        !tried.contains(server) && !servers[server].addresses.isEmpty && health.isHealthy(server)
            && servers[server].restsUntil <= context.worker.now
    }

    /// When every server rests or is unhealthy, one that was not tried is better than none.
    private func chooseResting(excluding tried: Set<Int>) -> Int? {
        servers.indices.first { !tried.contains($0) && !servers[$0].addresses.isEmpty }
    }

    // MARK: What connections tell

    func checkIn(_ connection: UpstreamConnection) {
        let server = connection.server
        servers[server].active -= 1
        if servers[server].idle.count >= settings.idleConnectionsMax || context.isDraining || isRetired {
            servers[server].active += 1
            connection.end()
            return
        }
        connection.deadline = context.worker.now.adding(milliseconds: settings.idleTimeoutMilliseconds)
        servers[server].idle.append(connection)
    }

    func connectionClosed(_ connection: UpstreamConnection) {
        let server = connection.server
        if let position = servers[server].idle.lastIndex(where: { $0 === connection }) {
            servers[server].idle.remove(at: position)
        } else {
            servers[server].active -= 1
        }
    }

    /// A whole answer came: earlier failures no longer count.
    func serverAnswered(_ server: Int) {
        servers[server].consecutiveFailures = 0
    }

    /// A connection could not be made, or broke while an exchange used it.
    func serverFailed(_ server: Int) {
        guard settings.failuresMax > 0 else { return }
        servers[server].consecutiveFailures += 1
        if servers[server].consecutiveFailures >= settings.failuresMax {
            servers[server].consecutiveFailures = 0
            servers[server].restsUntil = context.worker.now.adding(milliseconds: settings.failTimeoutMilliseconds)
        }
    }

    /// A reload has no use for this pool: it ends with the exchanges that use it.
    func retire() {
        isRetired = true
        for name in names { name.stop() }
        names = []
        closeIdle()
    }

    func closeIdle() {
        for server in servers.indices {
            for connection in servers[server].idle { connection.end() }
        }
    }

    var idleCount: Int { servers.reduce(0) { $0 + $1.idle.count } }
    var activeCount: Int { servers.reduce(0) { $0 + $1.active } }
}
