import Configuration
import Dispatch
import Glibc
import Idempotency
import Observability
import Proxy
import Transport

/// From the start to the last exit: signals, drain, exit codes (operations.md §1.2). On the main queue.
///
/// SIGTERM and SIGQUIT drain after `drain_delay`; SIGINT drains at once, a second one ends the process (exit 2);
/// SIGUSR1 reopens logs.
final class Lifecycle: Sendable {
    private enum Phase {
        case serving
        case draining
        case stopping
    }

    /// Exit codes.
    private enum Exit {
        static let normal: Int32 = 0
        static let forced: Int32 = 2
        static let failedToQuit: Int32 = 3
    }

    private static let pollMilliseconds = 10
    /// How long exchanges that were given up may take to store that their outcome is unknown.
    private static let abandonMilliseconds: UInt64 = 3_000
    /// How long clients may take for the last octets of their answers.
    private static let lastOctetsMilliseconds: UInt64 = 3_000

    private let assembly: Assembly
    /// Nil where there is no file to read again.
    private let configurationPath: String?
    private let state: MainQueueBox<Phase>

    init(_ assembly: Assembly, configurationPath: String?) {
        self.assembly = assembly
        self.configurationPath = configurationPath
        state = MainQueueBox(.serving)
    }

    func run() -> Never {
        do throws(Errno) {
            try Signals.start([.terminate, .quit, .interrupt, .user1, .hangUp], on: .main) { [self] in received($0) }
        } catch {
            Terminal.error("oncegate: cannot handle signals: \(error)")
            exit(1)
        }
        for line in assembly.summary() { Terminal.error("oncegate: \(line)") }
        assembly.log.becomeAsynchronous()
        ServiceManager.notify("READY=1")
        startWatchdog()
        watchFiles()
        dispatchMain()
    }

    private func received(_ signal: Signal) {
        switch signal {
        case .user1:
            assembly.reopenLogs()
        case .hangUp:
            if state.value == .serving { reload() }
        case .interrupt:
            if state.value == .serving {
                beginDraining(delayMilliseconds: 0)
            } else {
                assembly.flushLogs()
                _exit(Exit.forced)
            }
        case .terminate, .quit:
            if state.value == .serving {
                beginDraining(delayMilliseconds: assembly.configuration.drain.delayMilliseconds)
            }
        case .user2:
            break
        }
    }

    // MARK: Reload

    /// A configuration with errors changes nothing: the old one keeps serving.
    private func reload() {
        guard let configurationPath else {
            assembly.reloadCertificates()
            assembly.log.warning("no configuration to reload: the proxy runs without a file")
            return
        }
        ServiceManager.notify("RELOADING=1\nMONOTONIC_USEC=\(Instant.current().nanoseconds / 1000)")
        defer { ServiceManager.notify("READY=1") }
        let checked = Configuration.check(path: configurationPath, inspection: .reload)
        if !checked.diagnostics.isEmpty { Terminal.error(checked.diagnostics.report) }
        guard let configuration = checked.configuration else {
            assembly.noteReload(succeeded: false)
            assembly.log.error("reload refused: the old configuration stays", .string("file", configurationPath))
            return
        }
        do throws(StartError) {
            try assembly.reload(configuration)
            assembly.log.info("reloaded", .string("file", configurationPath))
        } catch {
            assembly.noteReload(succeeded: false)
            assembly.log.error(
                "reload refused: the old configuration stays", .string("file", configurationPath),
                .string("error", error.description))
        }
    }

    // MARK: Drain

    private func beginDraining(delayMilliseconds: UInt64) {
        state.value = .draining
        ServiceManager.notify("STOPPING=1")
        assembly.log.info("draining", .int("in_flight", assembly.server.requestsInFlight))
        assembly.server.announceDraining()
        after(delayMilliseconds) { [self] in
            assembly.server.startDraining()
            let deadline = Instant.current().adding(milliseconds: assembly.configuration.drain.timeoutMilliseconds)
            finishExchanges(until: deadline)
        }
    }

    private func finishExchanges(until deadline: Instant) {
        waitForExchanges(until: deadline) { [self] isDone in
            if isDone {
                let end = Instant.current().adding(milliseconds: Lifecycle.lastOctetsMilliseconds)
                return waitForConnections(until: end, exchangesUntil: deadline)
            }
            assembly.log.warning(
                "drain timeout: what is in flight becomes unknown",
                .int("in_flight", assembly.server.requestsInFlight))
            assembly.server.abandonExchanges()
            let end = Instant.current().adding(milliseconds: Lifecycle.abandonMilliseconds)
            waitForExchanges(until: end) { [self] _ in stop() }
        }
    }

    private func waitForExchanges(until deadline: Instant, _ done: @escaping @Sendable (Bool) -> Void) {
        if assembly.server.requestsInFlight == 0 { return done(true) }
        if Instant.current() >= deadline { return done(false) }
        after(UInt64(Lifecycle.pollMilliseconds)) { [self] in waitForExchanges(until: deadline, done) }
    }

    /// Every exchange is over. What was queued for its client may not have left, and a client that had just connected
    /// may still send its first request.
    private func waitForConnections(until end: Instant, exchangesUntil deadline: Instant) {
        // Who was let in last is served, too.
        if assembly.server.requestsInFlight > 0 { return finishExchanges(until: max(deadline, end)) }
        if assembly.server.connectionCount == 0 || Instant.current() >= end { return stop() }
        after(UInt64(Lifecycle.pollMilliseconds)) { [self] in
            waitForConnections(until: end, exchangesUntil: deadline)
        }
    }

    private func stop() {
        state.value = .stopping
        let isClean = assembly.server.requestsInFlight == 0
        assembly.server.stop()
        assembly.closeStores()
        assembly.log.info("stopped")
        assembly.flushLogs()
        exit(isClean ? Exit.normal : Exit.failedToQuit)
    }

    private func after(_ milliseconds: UInt64, _ work: @escaping @Sendable () -> Void) {
        DispatchQueue.main.asyncAfter(deadline: .now() + .milliseconds(Int(milliseconds)), execute: work)
    }

    /// A look at a few files a second costs nothing, and needs no limits of the kernel's.
    private func watchFiles() {
        after(1_000) { [self] in
            assembly.reloadChangedFiles()
            watchFiles()
        }
    }

    /// Tells the service manager that the workers still turn, at half the interval it asks for.
    private func startWatchdog() {
        guard let interval = ServiceManager.watchdogMicroseconds() else { return }
        askWorkers(everyMilliseconds: max(1, interval / 2000))
    }

    private func askWorkers(everyMilliseconds interval: UInt64) {
        after(interval) { [self] in
            assembly.server.afterAllWorkersTurned { ServiceManager.notify("WATCHDOG=1") }
            askWorkers(everyMilliseconds: interval)
        }
    }
}

/// A value that only the main queue touches.
private final class MainQueueBox<Value>: @unchecked Sendable {
    // Unchecked: the assertion below is the proof.
    private var stored: Value

    init(_ value: Value) {
        stored = value
    }

    var value: Value {
        get {
            dispatchPrecondition(condition: .onQueue(.main))
            return stored
        }
        set {
            dispatchPrecondition(condition: .onQueue(.main))
            stored = newValue
        }
    }
}
