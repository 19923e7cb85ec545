import Transport

/// The connections of one worker to the servers of one upstream: which server an exchange goes to, and whether it gets
/// an idle connection or a fresh one.
final class UpstreamPool {
    /// What `acquire` gives.
    enum Acquired {
        /// Attached and connected: send at once.
        case ready(Upstream)
        /// Attached; `upstreamConnected` or `upstreamFailed` follows.
        case connecting(Upstream)
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
        /// Connections that exchanges share: HTTP/2.
        var shared: [UpstreamConnection] = []
        /// One that will be shared, and is not made yet.
        var pending: UpstreamConnection?
        /// What ALPN chose last; a guess until the first connection stands.
        var speaksHTTP2: Bool
        /// Exchanges that are served or wait for a connection.
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
            // A wrong guess costs the exchanges of the first connection a second one.
            let isHTTP2 =
                server.scheme == .h2c
                || server.scheme == .https && settings.tls?.context.options.alpn.contains(.http2) == true
            return switch server.host {
            case .address(let address): Server(settings: server, addresses: [address], speaksHTTP2: isHTTP2)
            case .name: Server(settings: server, addresses: [], speaksHTTP2: isHTTP2)
            }
        }
    }

    var serverCount: Int { servers.count }

    /// The server as it is written in the configuration.
    func serverText(_ server: Int) -> String { servers[server].settings.text }

    func scheme(_ server: Int) -> UpstreamSettings.Scheme { servers[server].settings.scheme }

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
            if let connection = sharedConnection(server, validates: validates) {
                servers[server].active += 1
                return .ready(.stream(connection.addStream(exchange)))
            }
            while let connection = servers[server].idle.popLast() {
                if validates && !connection.peekIsAlive() {
                    servers[server].active += 1
                    connection.end()
                    continue
                }
                servers[server].active += 1
                connection.attach(exchange)
                return .ready(.connection(connection))
            }
        }
        return connect(server, for: exchange)
    }

    /// One of the server's HTTP/2 connections that has room.
    private func sharedConnection(_ server: Int, validates: Bool) -> UpstreamConnection? {
        // Not before something is shared: other servers pay nothing.
        guard !servers[server].shared.isEmpty else { return nil }
        return servers[server].shared.first { connection in
            guard connection.hasRoom else { return false }
            guard validates else { return true }
            // Octets that wait are the answers of other exchanges, if there are any.
            return connection.streamCount > 0 ? connection.peekIsWhole() : connection.peekIsAlive()
        }
    }

    private func connect(_ server: Int, for exchange: Exchange) -> Acquired {
        guard !servers[server].addresses.isEmpty else { return .unavailable }
        servers[server].active += 1
        let end = context.worker.now.adding(milliseconds: exchange.connectTimeoutMilliseconds)
        guard servers[server].speaksHTTP2 else {
            let connection = startConnection(server)
            connection.attach(exchange)
            connection.deadline = end
            return .connecting(.connection(connection))
        }
        let connection: UpstreamConnection
        if let pending = servers[server].pending, pending.hasRoom {
            connection = pending
        } else {
            connection = startConnection(server)
            connection.isShared = true
            servers[server].pending = connection
        }
        let stream = connection.addStream(exchange)
        stream.deadline = end
        return .connecting(.stream(stream))
    }

    private func startConnection(_ server: Int) -> UpstreamConnection {
        let address = servers[server].addresses[servers[server].nextAddress % servers[server].addresses.count]
        servers[server].nextAddress &+= 1
        let connection = UpstreamConnection(pool: self, server: server)
        do {
            let tls = tlsTarget(server, address)
            try connection.connect(to: address, tls: tls?.context, serverName: tls?.serverName ?? "")
        } catch {
            // A UNIX socket or a full backlog fails at once; told like every other failure, after this call has
            // returned.
            context.afterThisEvent { connection.failed(error) }
        }
        return connection
    }

    /// How a connection to a server is secured.
    struct TLSTarget {
        var context: TLSClientContext
        /// What its certificate must be for.
        var serverName: String
    }

    /// Nil where the server is spoken to in the clear.
    func tlsTarget(_ server: Int, _ address: SocketAddress) -> TLSTarget? {
        guard servers[server].settings.scheme == .https, let tls = settings.tls else { return nil }
        if let name = tls.serverName { return TLSTarget(context: tls.context, serverName: name) }
        if case .name(let host, _) = servers[server].settings.host {
            return TLSTarget(context: tls.context, serverName: host)
        }
        var text: [UInt8] = []
        address.appendIPText(to: &text)
        let name = text.isEmpty ? "localhost" : String(decoding: text, as: UTF8.self)
        return TLSTarget(context: tls.context, serverName: name)
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
        if servers[server].pending === connection { servers[server].pending = nil }
        // The exchanges of a shared connection were counted one by one.
        if connection.isShared { return takesNoMore(connection) }
        if let position = servers[server].idle.lastIndex(where: { $0 === connection }) {
            servers[server].idle.remove(at: position)
        } else {
            servers[server].active -= 1
        }
    }

    // MARK: Shared connections

    /// The connection speaks HTTP/2, and its limits are known.
    func becameShared(_ connection: UpstreamConnection) {
        let server = connection.server
        if servers[server].pending === connection { servers[server].pending = nil }
        if isRetired || context.isDraining { return }
        servers[server].shared.append(connection)
    }

    func speaksHTTP2(_ server: Int) { servers[server].speaksHTTP2 = true }

    /// The connection speaks HTTP/1.
    func becameExclusive(_ connection: UpstreamConnection) {
        let server = connection.server
        if servers[server].pending === connection { servers[server].pending = nil }
        servers[server].speaksHTTP2 = false
    }

    func takesNoMore(_ connection: UpstreamConnection) {
        servers[connection.server].shared.removeAll { $0 === connection }
    }

    func streamEnded(_ server: Int) { servers[server].active -= 1 }

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
            for connection in servers[server].shared where connection.streamCount == 0 { connection.end() }
        }
    }

    var idleCount: Int { servers.reduce(0) { $0 + $1.idle.count } }
    var activeCount: Int { servers.reduce(0) { $0 + $1.active } }
}
