import Idempotency

/// Makes the model of a checked configuration and reports what no single directive shows.
struct ModelBuilder {
    var log: DiagnosticLog
    /// Gets the effective values on the way.
    var top: CheckedBlock
    var configuration = Configuration()
    /// What opens certificates and keys; nil = nothing does.
    let inspection: FileInspection?
    /// Of the route that is being built.
    var responseHeaderMilliseconds: UInt64?
    private var listenPlaces: [Configuration.Endpoint: SourceRange] = [:]

    init(top: CheckedBlock, log: DiagnosticLog, inspection: FileInspection? = nil) {
        self.top = top
        self.log = log
        self.inspection = inspection
    }

    mutating func build() {
        if case .integer(let workers) = top.values("workers").first { configuration.workers = Int(workers) }
        buildListeners()
        buildStore()
        buildAdmin()
        buildLog()
        buildTimes()
        configuration.trustedProxies = top.values("trusted_proxies").compactMap {
            if case .addressBlock(let block) = $0 { block } else { nil }
        }
        if case .webhook(let webhook)? = top.values("unknown_webhook").first {
            configuration.unknownWebhook = webhook
        }
        configuration.via = top.values("via").isOff ? nil : top.text("via")
        configuration.limits.connectionsMax = top.integer("max_connections")
        configuration.limits.requestsInFlightMax = top.integer("max_requests_in_flight")
        configuration.limits.bodyMemoryBytesMax = top.size("body_memory")
        buildSpool()
        buildUpstreams()
        buildRoutes()
    }

    /// The argument at `index` for a message; of a secret, where it comes from.
    func shown(_ statement: CheckedStatement, _ index: Int) -> String {
        guard index < statement.secrets.count, statement.secrets[index] else {
            return "'\(statement.values.text(index) ?? "")'"
        }
        return log.files[statement.place(index).file].text(statement.place(index))
    }

    private mutating func buildListeners() {
        for index in top.indices("listen") {
            let statement = top.statements[index]
            guard statement.isComplete, var listener = listener(statement) else { continue }
            if var block = statement.block {
                buildProtocols(&block, &listener)
                top.replaceBlock(of: index, by: block)
            }
            if isNew(listener.address, statement) { configuration.listeners.append(listener) }
        }
    }

    /// Whether nobody listens on the address yet; two that ask for any free port do not collide.
    private mutating func isNew(_ address: Configuration.Endpoint, _ statement: CheckedStatement) -> Bool {
        if case .network(_, port: 0) = address { return true }
        if let first = listenPlaces[address] {
            log.error(
                statement.place(0), "\(shown(statement, 0)) is listened on twice", hint: "first at \(log.place(first))")
            return false
        }
        listenPlaces[address] = statement.place(0)
        return true
    }

    private mutating func listener(_ statement: CheckedStatement) -> Configuration.Listener? {
        guard case .endpoint(let address) = statement.values.first else { return nil }
        var listener = Configuration.Listener(address: address)
        if let mode = statement.block?.given("mode"), case .permissions(let bits) = mode.values[0] {
            listener.mode = bits
            if case .network = address {
                log.error(mode.source.nameRange, "'mode' needs a UNIX socket", hint: "remove it")
            }
        }
        return listener
    }

    private mutating func buildStore() {
        guard let statement = top.given("store") else { return }
        let block = statement.block
        if statement.values.text(0) == "memory" {
            let block = block ?? CheckedBlock(kind: .storeMemory)
            configuration.store = .memory(bytesMax: block.size("max_size"))
            return
        }
        let settings = block ?? CheckedBlock(kind: .storeEmbedded)
        var store = Configuration.EmbeddedStore()
        store.directory = settings.text("path") ?? store.directory
        store.bytesMax = settings.size("max_size")
        store.observationsBytesMax = settings.size("observations")
        store.commitDelayMilliseconds = settings.duration("commit_delay")
        if let encryption = settings.given("encryption")?.block { store.keyRing = keyRing(encryption) }
        configuration.store = .embedded(store)
    }

    private mutating func buildSpool() {
        if top.values("spool_path").isOff {
            configuration.spool.place = .off
        } else if let path = top.text("spool_path") {
            configuration.spool.place = .directory(path)
        }
        configuration.spool.thresholdBytes = top.size("spool_threshold")
        configuration.spool.bytesMax = top.size("spool_limit")
    }

    private mutating func buildAdmin() {
        if let statement = top.given("admin") {
            guard !statement.values.isOff, let admin = listener(statement) else { return }
            configuration.admin = admin
            _ = isNew(admin.address, statement)
        } else {
            configuration.admin = Configuration.defaultAdmin(store: configuration.store)
            if case .unix(let path) = configuration.admin?.address,
                path.utf8.count > Configuration.Endpoint.unixPathOctetsMax,
                let store = top.given("store")?.block?.given("path")
            {
                configuration.admin = nil
                log.warning(
                    store.place(0), "too long for the admin socket in it, which is off", hint: "add 'admin unix:/PATH;'"
                )
            }
            let values: [Value] = configuration.admin.map { [.endpoint($0.address)] } ?? [.keyword("off")]
            top.effective["admin"] = values
        }
        if case .unix = configuration.admin?.address, configuration.admin?.mode == nil {
            configuration.admin?.mode = 0o600
        }
    }

    private mutating func buildLog() {
        let access = top.values("access_log")
        configuration.log.accessFormat = access.text(0).flatMap(Configuration.Log.Format.init) ?? .auto
        switch access.text(1) {
        case nil, "stdout": configuration.log.accessDestination = .standardOutput
        case "stderr": configuration.log.accessDestination = .standardError
        case .some(let path): configuration.log.accessDestination = .file(path: path)
        }
        configuration.log.level = top.text("log_level").flatMap(Configuration.Log.Level.init) ?? .info
    }

    private mutating func buildTimes() {
        configuration.timeouts.tlsHandshakeMilliseconds = top.timeout("tls_handshake_timeout")
        configuration.timeouts.requestHeaderMilliseconds = top.timeout("request_header_timeout")
        configuration.timeouts.requestBodyIdleMilliseconds = top.timeout("request_body_idle")
        configuration.timeouts.requestBodyMilliseconds = top.timeout("request_body_timeout")
        configuration.timeouts.keepaliveMilliseconds = top.timeout("keepalive_timeout")
        configuration.timeouts.responseWriteIdleMilliseconds = top.timeout("response_write_idle")
        configuration.drain.delayMilliseconds = top.duration("drain_delay")
        configuration.drain.timeoutMilliseconds = top.duration("drain_timeout")
    }

    private mutating func buildUpstreams() {
        var places: [String: SourceRange] = [:]
        for statement in top.all("upstream") {
            guard let name = statement.values.text(0), let block = statement.block else { continue }
            if let first = places[name] {
                log.error(
                    statement.place(0), "upstream \(shown(statement, 0)) is defined twice",
                    hint: "first at \(log.place(first))")
                continue
            }
            places[name] = statement.place(0)
            configuration.upstreams.append(upstream(name, block))
        }
    }

    private mutating func upstream(_ name: String, _ block: CheckedBlock) -> Configuration.Upstream {
        var upstream = Configuration.Upstream(name: name, servers: [])
        var places: [Configuration.Endpoint: SourceRange] = [:]
        for statement in block.all("server") {
            guard case .server(let server) = statement.values[0] else { continue }
            if let first = places[server.endpoint] {
                log.error(
                    statement.place(0), "the server is given twice", hint: "first at \(log.place(first))")
            }
            places[server.endpoint] = statement.place(0)
            upstream.servers.append(server)
        }
        upstream.balance = block.text("balance").flatMap(Configuration.Upstream.Balance.init) ?? .roundRobin
        upstream.idleConnectionsMax = block.integer("keepalive")
        upstream.keepaliveMilliseconds = block.timeout("keepalive_timeout")
        upstream.resolveIntervalMilliseconds = block.duration("resolve_interval")
        upstream.failuresMax = block.integer("max_fails")
        upstream.failTimeoutMilliseconds = block.duration("fail_timeout")
        upstream.streamsMax = block.integer("max_streams")
        upstream.tls = upstreamTLS(block, upstream.servers)
        checkProtocols(of: upstream, block)
        if let check = block.given("health_check")?.block, let path = check.text("path") {
            upstream.healthCheck = healthCheck(path, check)
        }
        return upstream
    }

    private mutating func healthCheck(_ path: String, _ block: CheckedBlock) -> Configuration.Upstream.HealthCheck {
        var check = Configuration.Upstream.HealthCheck(path: path)
        check.intervalMilliseconds = block.duration("interval")
        check.timeoutMilliseconds = block.duration("timeout")
        check.healthyCount = block.integer("healthy")
        check.unhealthyCount = block.integer("unhealthy")
        check.expectedStatuses = Configuration.StatusSet(ranges: block.values("expect").statuses)
        if check.timeoutMilliseconds > check.intervalMilliseconds {
            let place = (block.given("timeout") ?? block.given("interval"))?.place(0) ?? block.place
            if let place {
                log.warning(place, "'timeout' is longer than 'interval'", hint: "a check is skipped while one runs")
            }
        }
        return check
    }
}

extension Configuration {
    /// A socket in the store's directory; none for a store without one.
    static func defaultAdmin(store: Store) -> Listener? {
        guard case .embedded(let store) = store else { return nil }
        let directory = store.directory.hasSuffix("/") ? String(store.directory.dropLast()) : store.directory
        return Listener(address: .unix(path: directory + "/admin.sock"), mode: 0o600)
    }
}
