import Configuration
import Glibc
import Idempotency
import Observability
import Proxy
import Stores
import Synchronization
import Transport

/// The one place that names every target: it builds the parts from a configuration and connects them.
final class Assembly: Sendable {
    let configuration: Configuration
    let log: Log
    let server: Server
    let store: any RecordStore
    let observations: ObservationRecorder
    let bound: [SocketAddress]
    private let accessSink: LogSink?
    private let reloads = ReloadFigures()
    private let certificates = Certificates()
    private let tokenKeys = TokenKeys()

    init(_ configuration: Configuration, inherited: [Int32]) throws(StartError) {
        self.configuration = configuration
        Assembly.raiseDescriptorLimit()
        let log = try Assembly.makeLog(configuration)
        self.log = log
        var settings = try ServerSettings(
            configuration, cores: max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))),
            certificates: certificates, tokenKeys: tokenKeys)
        for (index, descriptor) in inherited.enumerated() where index < settings.listeners.count {
            settings.listeners[index].inheritedDescriptor = descriptor
        }
        let names = ConfiguredNames(
            listeners: settings.listeners.map(\.text), routes: settings.routes.map(\.name),
            upstreams: settings.upstreams.map(\.name))
        let registry = MetricRegistry(names: names)
        let (sink, format) = try Assembly.makeAccessSink(configuration.log)
        accessSink = sink
        do {
            server = try Server(settings: settings, registry: registry, log: log) {
                AccessLog(format, sink: sink, names: names)
            }
        } catch {
            throw StartError("cannot create the workers: \(error)")
        }
        let (store, statistics) = try Assembly.makeStore(configuration.store, server, log)
        self.store = store
        log.noteSealing(configuration.store)
        do throws(StoreOpenError) {
            observations = try Assembly.makeObservations(configuration.store, log)
        } catch {
            store.close()
            throw StartError(error.description)
        }
        observations.register(in: registry)
        let server = self.server
        Assembly.register(registry, server: server, statistics: statistics, accessSink: sink, log: log)
        reloads.register(registry)
        certificates.register(registry)
        tokenKeys.register(registry)
        certificates.use(settings)
        tokenKeys.use(configuration)
        certificates.warn(log)
        do throws(StartError) {
            bound = try server.start(
                store: store, observations: observations,
                admin: AdminEnvironment(version: Version.oncegate, log: log, statistics: statistics),
                spool: Assembly.spoolDirectory(configuration, log))
        } catch {
            store.close()
            throw error
        }
    }

    // MARK: Parts

    private static func makeLog(_ configuration: Configuration) throws(StartError) -> Log {
        do throws(LogSinkError) {
            let sink = try LogSink(.descriptor(2))
            let level: Log.Level =
                switch configuration.log.level {
                case .debug: .debug
                case .info: .info
                case .warning: .warning
                case .error: .error
                }
            return Log(sink, level: level, format: sink.isTerminal ? .text : .json)
        } catch {
            throw StartError("cannot open the log: \(error)")
        }
    }

    private static func makeAccessSink(
        _ log: Configuration.Log
    ) throws(StartError) -> (LogSink?, AccessLog.Format) {
        if log.accessFormat == .off { return (nil, .off) }
        let destination: LogSink.Destination =
            switch log.accessDestination {
            case .standardOutput: .descriptor(1)
            case .standardError: .descriptor(2)
            case .file(let path): .file(path)
            }
        do throws(LogSinkError) {
            let sink = try LogSink(destination)
            switch log.accessFormat {
            case .off: return (nil, .off)
            case .json: return (sink, .json)
            case .text: return (sink, .text)
            case .auto: return (sink, sink.isTerminal ? .text : .json)
            }
        } catch {
            throw StartError("cannot open the access log: \(error)")
        }
    }

    private static func makeStore(
        _ settings: Configuration.Store, _ server: Server, _ log: Log
    ) throws(StartError) -> (any RecordStore, @Sendable () -> StoreStatistics) {
        switch settings {
        case .memory(let bytesMax):
            let store = InMemoryStore(bytesMax: bytesMax) { server.deliver($0, $1) }
            return (store, { store.statistics })
        case .embedded(let embedded):
            var options = EmbeddedStoreOptions(directory: embedded.directory)
            options.bytesMax = embedded.bytesMax
            options.keyRing = embedded.keyRing
            options.report = { log.note($0) }
            options.commitDelayMicroseconds = UInt32(clamping: embedded.commitDelayMilliseconds * 1000)
            do throws(StoreOpenError) {
                let store = try EmbeddedStore(options: options) { server.deliver($0, $1) }
                return (store, { store.statistics })
            } catch {
                throw StartError(error.description)
            }
        }
    }

    /// Beside the records of an embedded store; without one, requests are only counted.
    private static func makeObservations(
        _ settings: Configuration.Store, _ log: Log
    ) throws(StoreOpenError) -> ObservationRecorder {
        switch settings {
        case .memory:
            try ObservationRecorder(store: nil, bytesMax: 0)
        case .embedded(let embedded):
            try ObservationRecorder(store: embedded.directory, bytesMax: embedded.observationsBytesMax) {
                log.warning("observations cannot be written: the disk is full or failed")
            }
        }
    }

    private static func register(
        _ registry: MetricRegistry, server: Server, statistics: @escaping @Sendable () -> StoreStatistics,
        accessSink: LogSink?, log: Log
    ) {
        registry.registerProcess(version: Version.oncegate, revision: "", swift: Version.swift)
        registry.collect { samples in
            let store = statistics()
            samples.set(.storeUp, [], store.isUp ? 1 : 0)
            samples.set(.idempotencyRecords, ["all"], Double(store.records))
            samples.set(.idempotencyRecords, ["in_flight"], Double(store.openClaims))
            samples.set(.idempotencyRecords, ["unknown"], Double(store.unknowns))
            samples.set(.idempotencyExpired, [], Double(store.expired))
            samples.set(.storeUsedBytes, [], Double(store.bytesUsed))
            samples.set(.storeLimitBytes, [], Double(store.bytesMax))
            samples.set(.storeCommits, [], Double(store.commits))
            samples.set(.storeCommitFailures, [], Double(store.commitFailures))
            samples.set(.storeCorruptRecords, [], Double(store.corruptRecords))
            samples.set(.storeUnreadableRecords, [], Double(store.unreadableRecords))
            samples.set(.storeSyncFailures, [], Double(store.syncFailures))
            for upstream in server.upstreamHealth() {
                samples.set(.upstreamHealthy, [upstream.name], upstream.isHealthy ? 1 : 0)
            }
            samples.set(.idempotencyBackgroundProbes, [], Double(server.backgroundProbeCount))
            samples.set(.bodyMemoryBytes, [], Double(server.bodyMemoryBytes))
            samples.set(.spoolBytes, [], Double(server.spool?.reservedBytes ?? 0))
            samples.set(.spoolFiles, [], Double(server.spool?.fileCount ?? 0))
            samples.set(.overloadState, [], server.isOverloaded ? 1 : 0)
            samples.set(.draining, [], server.isDraining ? 1 : 0)
            samples.set(.accessLogDropped, [], Double(accessSink?.droppedCount ?? 0))
            samples.set(.logDropped, [], Double(log.sink.droppedCount))
        }
    }

    /// As many descriptors as the system allows: each connection needs one.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    // MARK: Reload

    /// What a reload cannot change is said, and stays as it was.
    func reload(_ next: Configuration) throws(StartError) {
        do throws(StartError) {
            let settings = try ServerSettings(
                next, cores: server.workers.count, certificates: certificates, tokenKeys: tokenKeys)
            tokenKeys.reload(log)
            try server.reload(settings)
            certificates.use(settings)
        } catch {
            certificates.forgetUnused()
            tokenKeys.forgetUnused()
            throw error
        }
        tokenKeys.use(next)
        certificates.reload(log)
        if next.listeners != configuration.listeners { noteRestartNeeded("listen") }
        if next.admin != configuration.admin { noteRestartNeeded("admin") }
        if case .embedded(let embedded) = next.store, let store = store as? EmbeddedStore {
            store.setKeyRing(embedded.keyRing)
            log.noteSealing(next.store)
        }
        if next.store.withoutKeys != configuration.store.withoutKeys { noteRestartNeeded("store") }
        if next.spool.place != configuration.spool.place { noteRestartNeeded("spool_path") }
        if next.workers != configuration.workers { noteRestartNeeded("workers") }
        if next.log != configuration.log { noteRestartNeeded("access_log, log_level") }
        if next.drain != configuration.drain { noteRestartNeeded("drain_delay, drain_timeout") }
        noteReload(succeeded: true)
    }

    func reloadCertificates() {
        certificates.reload(log)
    }

    /// Certificates that were renewed are used for the connections from here on, keys of issuers for the requests.
    func reloadChangedFiles() {
        certificates.reloadChanged(log)
        tokenKeys.reloadChanged(log)
    }

    private func noteRestartNeeded(_ directive: String) {
        log.warning("a changed directive takes effect at the next start only", .string("directive", directive))
    }

    func noteReload(succeeded: Bool) {
        reloads.note(succeeded: succeeded)
    }

    /// Everything that was submitted is on disk afterwards.
    func closeStores() {
        store.close()
        observations.close()
    }

    // MARK: The operator's view

    /// What the proxy listens on, what it protects, and where the records are: one line each.
    func summary() -> [String] {
        var lines: [String] = []
        for address in bound { lines.append("listening on \(address)") }
        if let admin = configuration.admin { lines.append("admin on \(admin.address)") }
        for route in configuration.routes {
            let upstream = configuration.upstreams[route.upstream]
            let servers = upstream.servers.map(\.endpoint.description).joined(separator: ", ")
            lines.append("route \(route.name) -> \(servers): \(Assembly.protection(of: route.policy))")
        }
        switch configuration.store {
        case .memory: lines.append("records in memory: they are lost when the proxy stops")
        case .embedded(let embedded):
            lines.append("records in \(embedded.directory)")
        }
        return lines
    }

    private static func protection(of policy: Policy?) -> String {
        guard let policy else { return "passes through" }
        if policy.mode == .observe { return "observed: everything passes, nothing is protected" }
        let methods = policy.methods.map { $0.joined(separator: " ") } ?? "every method but GET HEAD OPTIONS TRACE"
        let idOfRepeatability = policy.speaksRepeatability ? ["header repeatability-request-id"] : []
        let keys =
            idOfRepeatability
            + policy.keySources.map { source in
                switch source {
                case .header(let name): "header \(name)"
                case .query(let name): "query \(name)"
                case .cookie(let name): "cookie \(name)"
                case .jsonPointer(let pointer): "json \(pointer)"
                case .form(let name): "form \(name)"
                case .xpath(let path): "xpath \(path)"
                case .soapMessageID: "soap message-id"
                }
            }
        let missing =
            switch policy.onMissingKey {
            case .pass: "without key: passes"
            case .reject: "without key: 400"
            case .hash: "without key: by hash"
            }
        return "protects \(methods), key \(keys.joined(separator: " or ")), \(missing)"
    }

    func reopenLogs() {
        accessSink?.reopen()
        log.sink.reopen()
    }

    /// Everything logged so far is written, or a second has passed.
    func flushLogs() {
        _ = accessSink?.flush(timeoutMilliseconds: 1000)
        _ = log.sink.flush(timeoutMilliseconds: 1000)
    }
}

extension Configuration.Store {
    /// What a reload cannot change: keys may be exchanged while the store is open.
    fileprivate var withoutKeys: Configuration.Store {
        guard case .embedded(var store) = self else { return self }
        store.keyRing = nil
        return .embedded(store)
    }
}
