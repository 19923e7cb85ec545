import Foundation

/// The text of a proxy.conf as a test needs it: port 0, admin and store in the test's own directory.
package struct ProxyConfiguration: Sendable {
    /// Lines before everything else, for top-level directives.
    package var top = ""
    package var workers = 2
    package var listen = "listen 127.0.0.1:0;"
    package var store = "store embedded { path $STORE; }"
    package var accessLog = "access_log json $DIR/access.log;"
    package var drainDelay = "drain_delay 0s;"
    /// Servers of the upstream `service`; empty = no such block.
    package var servers: [Address] = []
    /// Further ones as proxy.conf writes them: `https://127.0.0.1:8443`.
    package var serverURLs: [String] = []
    /// Further directives in the upstream block.
    package var upstream = ""
    /// Directives of `route /` beside its upstream; nil = no such route.
    package var route: String? = ""
    /// Blocks after everything else.
    package var more = ""

    package init() {}

    /// One route that covers everything with these idempotency directives.
    package init(_ service: ScriptedUpstream, idempotency: String = "") {
        servers = [service.address]
        route = "idempotency { \(idempotency) }"
    }

    package func text(directory: String) -> String {
        var lines = [
            "workers \(workers);", listen, "admin unix:$DIR/admin.sock;", store, accessLog, drainDelay, top,
        ]
        let all = servers.map(\.serverURL) + serverURLs
        if !all.isEmpty {
            lines.append("upstream service { \(all.map { "server \($0);" }.joined(separator: " ")) \(upstream) }")
        }
        if !(top + more).contains("log_level") { lines.append("log_level debug;") }
        if let route { lines.append("route / { upstream service; \(route) }") }
        lines.append(more)
        return lines.filter { !$0.isEmpty }.joined(separator: "\n")
            .replacingOccurrences(of: "$STORE", with: "\(directory)/store")
            .replacingOccurrences(of: "$DIR", with: directory) + "\n"
    }
}

/// The real binary, running.
package final class ProxyProcess: Sendable {
    /// Where the proxy crashes itself (SIGKILL) when ONCEGATE_CRASH_AT names the point.
    package enum CrashPoint: String, Sendable, CaseIterable {
        case accepted, headRead, bodyHalf, bodyRead, beforeClaim, claimSubmitted, claimWritten, claimDurable, connecting
        case firstByte, markedSent, requestHalf, requestSent, responseHead, responseBodyHalf, responseComplete
        case outcomeWritten, outcomeDurable, replyHalf, replySent, duringExpiry, duringCheckpoint
    }

    package static let packageRoot = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    /// ONCEGATE_BINARY, else the debug build of this package.
    package static var binary: String {
        ProcessInfo.processInfo.environment["ONCEGATE_BINARY"] ?? packageRoot + "/.build/debug/oncegate"
    }

    package let process: Subprocess
    package let directory: String
    /// What it listens on, in the order of the lines on standard error; the admin socket is not among them.
    package let addresses: [Address]

    package var address: Address { addresses[0] }
    package var admin: Address { .unix("\(directory)/admin.sock") }

    /// Starts the binary with this configuration and waits until it says that it listens.
    /// - Parameters:
    ///   - crashAt: a crash point, with `:n` for its n-th time.
    ///   - wrapper: a command that runs the binary in its turn, e.g. `prlimit`.
    package convenience init(
        _ configuration: ProxyConfiguration, crashAt: CrashPoint? = nil, occurrence: Int = 1,
        environment: [String: String] = [:], wrapper: [String] = [], directory: String? = nil,
        output: Subprocess.OutputHandling = .collected
    ) throws {
        let directory = try directory ?? TestScope.current!.newDirectory()
        try Self.write(configuration, in: directory)
        var environment = environment
        if let crashAt {
            environment["ONCEGATE_CRASH_AT"] = occurrence == 1 ? crashAt.rawValue : "\(crashAt.rawValue):\(occurrence)"
        }
        try self.init(
            arguments: ["run", "-c", "\(directory)/proxy.conf"], environment: environment, wrapper: wrapper,
            directory: directory,
            output: output)
    }

    package init(
        arguments: [String], environment: [String: String] = [:], wrapper: [String] = [], directory: String,
        output: Subprocess.OutputHandling = .collected
    ) throws {
        let process = try Subprocess(
            wrapper + [Self.binary] + arguments, environment: environment, directory: directory, output: output)
        self.process = process
        self.directory = directory
        let scope = TestScope.current
        let search = LeakSearch(process: process, directory: directory, environment: environment)
        scope?.atEnd { [weak scope] in
            // Metrics and lists before the end, logs after it.
            let told = search.run()
            process.kill(SIGKILL)
            _ = try? process.waitForExit(until: .after(5))
            scope?.note(leaks: told + search.run())
        }
        TestScope.current?.describeOnFailure {
            """
            --- oncegate \(arguments.joined(separator: " ")) (\(process.isRunning ? "running" : "ended"))
            --- standard error
            \(process.standardError.suffix(6000))--- standard output
            \(process.standardOutput.suffix(3000))--- access log
            \((try? String(contentsOfFile: "\(directory)/access.log", encoding: .utf8))?.suffix(3000) ?? "")
            """
        }
        let count = Self.listenerCount(directory)
        addresses = try process.waitForError("the proxy listens") { output in
            Self.listeningAddresses(output).flatMap { $0.count >= count ? $0 : nil }
        }
    }

    package static func write(_ configuration: ProxyConfiguration, in directory: String) throws {
        try configuration.text(directory: directory)
            .write(toFile: "\(directory)/proxy.conf", atomically: true, encoding: .utf8)
    }

    /// How many listeners the configuration in this directory has; the proxy names them one by one.
    private static func listenerCount(_ directory: String) -> Int {
        let text = (try? String(contentsOfFile: "\(directory)/proxy.conf", encoding: .utf8)) ?? ""
        return max(1, text.split(separator: "\n").count { $0.hasPrefix("listen ") })
    }

    /// Nil until there is one that is not the admin's.
    private static func listeningAddresses(_ output: String) -> [Address]? {
        let lines = output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        let found = lines.flatMap { line -> [Address] in
            guard let range = line.range(of: "listening on "), !line.contains("admin") else { return [] }
            return line[range.upperBound...].split(whereSeparator: { " ,;\"".contains($0) })
                .compactMap { Address($0.trimmingCharacters(in: CharacterSet(charactersIn: "()"))) }
        }
        return found.isEmpty ? nil : found
    }

    // MARK: Requests

    package func client(receiveBuffer: Int32? = nil) throws -> RawClient {
        try RawClient(address, receiveBuffer: receiveBuffer)
    }

    /// One request on a connection of its own.
    package func send(_ request: Request, until deadline: Deadline = .standard) throws -> Response {
        let client = try client()
        defer { client.close() }
        return try client.exchange(request, until: deadline)
    }

    package func post(
        _ target: String = "/", key: String? = nil, _ fields: [Field] = [], body: String = Canary.requestBody,
        until deadline: Deadline = .standard
    ) throws -> Response {
        try send(.post(target, key: key, fields, body: body), until: deadline)
    }

    // MARK: Admin

    package func adminGet(_ target: String) throws -> Response {
        try RawClient(admin).exchange(Request.get(target, [Field("Connection", "close")]))
    }

    package func adminPost(_ target: String, body: String = "") throws -> Response {
        try RawClient(admin).exchange(
            Request(
                "POST", target, [Field("Connection", "close"), Field("Content-Type", "application/json")],
                body: .length(octets(body))))
    }

    /// Every sample of /metrics by its name and labels as written.
    package func metrics() throws -> [String: Double] {
        let response = try adminGet("/metrics")
        guard response.status == 200 else { throw MalformedMessage("metrics \(response.status)", response.body) }
        var samples: [String: Double] = [:]
        for line in response.text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else {
                throw MalformedMessage("sample", octets(String(line)))
            }
            samples[String(line[..<space])] = value
        }
        return samples
    }

    /// The sum of the samples with this name that carry all these labels; nil when there is none.
    package func metric(_ name: String, _ labels: [String: String] = [:]) throws -> Double? {
        let found = try metrics().filter { sample, _ in
            let parts = sample.split(separator: "{", maxSplits: 1)
            guard parts[0] == name else { return false }
            return labels.allSatisfy { label, value in
                parts.count == 2
                    && (parts[1].contains("{\(label)=\"\(value)\"") || parts[1].contains("\(label)=\"\(value)\""))
            }
        }
        return found.isEmpty ? nil : found.values.reduce(0, +)
    }

    /// The access log's lines, each as a JSON object.
    package func accessLog() throws -> [[String: Any]] {
        let text = try String(contentsOfFile: "\(directory)/access.log", encoding: .utf8)
        return try text.split(separator: "\n").map { line in
            try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
        }
    }

    /// Runs `oncegate` with a command and this proxy's admin socket.
    package func command(_ arguments: String...) throws -> (ending: Subprocess.Ending, output: String, error: String) {
        try Subprocess.run([Self.binary] + arguments + ["--admin", admin.description])
    }

    // MARK: Process

    package func kill(_ signal: Int32) {
        process.kill(signal)
    }

    /// SIGSTOP, and no thread runs any more. `kill(SIGCONT)` goes on.
    package func stop() throws {
        kill(SIGSTOP)
        let tasks = "/proc/\(process.processIdentifier)/task"
        try poll("the proxy stops") {
            try FileManager.default.contentsOfDirectory(atPath: tasks).allSatisfy { task in
                let stat = try String(contentsOfFile: "\(tasks)/\(task)/stat", encoding: .utf8)
                return stat[stat.lastIndex(of: ")")!...].dropFirst(2).hasPrefix("T")
            } ? true : nil
        }
    }

    @discardableResult
    package func waitForExit(until deadline: Deadline = .standard) throws -> Subprocess.Ending {
        try process.waitForExit(until: deadline)
    }

    /// kill -9, and the end awaited.
    package func crash() throws {
        kill(SIGKILL)
        try waitForExit()
    }

    /// The same configuration and store, in a new process.
    package func restarted(environment: [String: String] = [:]) throws -> ProxyProcess {
        try ProxyProcess(
            arguments: ["run", "-c", "\(directory)/proxy.conf"], environment: environment, directory: directory)
    }

    package func crashAndRestart() throws -> ProxyProcess {
        try crash()
        return try restarted()
    }

    /// A number of /proc/PID/status in KiB, e.g. `VmRSS` or `VmHWM`.
    package func memoryKiB(_ name: String) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
        for line in status.split(separator: "\n") where line.hasPrefix("\(name):") {
            return Int(line.split(whereSeparator: { $0 == " " || $0 == "\t" })[1]) ?? 0
        }
        throw MalformedMessage("no \(name)", octets(status))
    }

    package var openDescriptorCount: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.processIdentifier)/fd").count) ?? 0
    }
}
