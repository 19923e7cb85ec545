import Foundation
import TestSupport
import Testing

/// Recorded answers at rest: sealed with a key, plain without one.
@Suite(.blackBox) struct EncryptionTests {
    private static let canary = "canary-3c1f9a77"
    private static let unreadable = "oncegate_store_unreadable_records_total"
    private static let keys = (0..<3).map {
        Data((0..<32).map { [seed = $0] in UInt8(truncatingIfNeeded: 7 * $0 + 31 * seed) })
    }

    /// A service whose answers hold the canary in body, a field and a trailer, and a proxy whose keys stand in a file.
    private struct Vault {
        let upstream: ScriptedUpstream
        var configuration: ProxyConfiguration
        let directory: String

        init(keys: [Int]?, size: Int = 1) throws {
            let body = octets(String(repeating: "<\(canary)>", count: size))
            upstream = try ScriptedUpstream { _ in
                .chunked(201, [Field("X-Secret", canary)], [body], trailers: [Field("X-Trailer", canary)])
            }
            directory = try TestScope.current!.newDirectory()
            configuration = ProxyConfiguration(upstream, idempotency: "")
            if let keys { try put(keys) } else { encrypts(false) }
        }

        var file: String { "\(directory)/keys" }

        /// The first seals.
        mutating func put(_ numbers: [Int]) throws {
            let lines = numbers.map { keys[$0].base64EncodedString() }.joined(separator: "\n") + "\n"
            try lines.write(toFile: file, atomically: true, encoding: .utf8)
            chmod(file, 0o600)
            encrypts(true)
        }

        mutating func encrypts(_ isOn: Bool) {
            let block = isOn ? "encryption { key file(\"\(file)\"); }" : ""
            configuration.store = "store embedded { path $STORE; \(block) }"
        }

        func start() throws -> ProxyProcess {
            try ProxyProcess(configuration, directory: directory)
        }

        func reload(_ proxy: ProxyProcess) throws {
            try ProxyProcess.write(configuration, in: directory)
            let before = try proxy.metric("oncegate_config_reloads_total") ?? 0
            proxy.kill(SIGHUP)
            try poll("a reload") { try proxy.metric("oncegate_config_reloads_total") ?? 0 > before ? true : nil }
        }

        /// Files of the store that hold the canary.
        func leaks(_ secret: String = canary) throws -> [String] {
            let store = "\(directory)/store"
            let names = try FileManager.default.contentsOfDirectory(atPath: store).filter { $0 != "spool" }
            #expect(names.count >= 2)
            #expect(try files(in: "\(store)/spool").isEmpty)
            return try names.filter { name in
                try Data(contentsOf: URL(filePath: "\(store)/\(name)")).range(of: Data(secret.utf8)) != nil
            }
        }
    }

    private func stop(_ proxy: ProxyProcess) throws {
        proxy.kill(SIGTERM)
        #expect(try proxy.waitForExit() == .exit(0))
    }

    // MARK: On the disk

    @Test(
        "no octet of an answer's body, fields or trailers is in the store's files, running, killed or stopped",
        arguments: [1, 40_000])
    func sealed(size: Int) throws {
        let vault = try Vault(keys: [0], size: size)
        let proxy = try vault.start()
        let first = try proxy.post(key: "K")
        expectReplay(try proxy.post(key: "K"), of: first)
        #expect(try vault.leaks() == [])
        let again = try proxy.crashAndRestart()
        #expect(try vault.leaks() == [])
        expectReplay(try again.post(key: "K"), of: first)
        try stop(again)
        #expect(try vault.leaks() == [])
        #expect(vault.upstream.executions == 1)
        // Nor is the key anywhere that an operator's tools collect.
        let key = Self.keys[0].base64EncodedString()
        #expect(try vault.leaks(key) == [])
        for process in [proxy, again] {
            #expect(!process.process.standardError.contains(key))
            #expect(!process.process.standardError.contains(Self.canary))
            #expect(!process.process.standardError.contains("in clear"))
        }
        let dump = try Subprocess.run([ProxyProcess.binary, "config", "dump", "-c", "\(vault.directory)/proxy.conf"])
        #expect(!dump.output.contains(key))
        #expect(dump.output.contains("encryption"), "\(dump)")
    }

    @Test("without a key the answer is there to read, and the start says so", arguments: [1, 40_000])
    func plain(size: Int) throws {
        let vault = try Vault(keys: nil, size: size)
        let proxy = try vault.start()
        _ = try proxy.post(key: "K")
        #expect(try !vault.leaks().isEmpty)
        let lines = proxy.process.standardError.split(separator: "\n").filter { $0.contains("stored in clear") }
        #expect(lines.count == 1)
        #expect(lines.first?.contains("encryption { key") == true)
    }

    @Test("a key from the environment")
    func fromEnvironment() throws {
        var vault = try Vault(keys: nil)
        vault.configuration.store = "store embedded { path $STORE; encryption { key env(\"STORE_KEY\"); } }"
        let environment = ["STORE_KEY": Self.keys[1].map { String(format: "%02x", $0) }.joined()]
        let proxy = try ProxyProcess(vault.configuration, environment: environment, directory: vault.directory)
        let first = try proxy.post(key: "K")
        #expect(try vault.leaks() == [])
        try proxy.crash()
        expectReplay(try proxy.restarted(environment: environment).post(key: "K"), of: first)
    }

    // MARK: Without the key

    @Test("restarted without its key: 503, said in log and metric, never run again; with the key back it is replayed")
    func keyLost() throws {
        var vault = try Vault(keys: [0])
        let before = try vault.start()
        let first = try before.post(key: "K")
        try stop(before)
        vault.encrypts(false)
        let proxy = try vault.start()
        #expect(proxy.process.standardError.contains("records need a key"))
        for _ in 0..<2 { expectProblem(try proxy.post(key: "K"), "record-corrupt", status: 503) }
        #expect(vault.upstream.attempts == 1)
        #expect(try proxy.metric(Self.unreadable) == 2)
        #expect(try proxy.metric("oncegate_store_corrupt_records_total") == 0)
        // Others are served.
        expectAnswer(try proxy.post(key: "K2"))
        // Another key is none.
        try vault.put([1])
        try vault.reload(proxy)
        expectProblem(try proxy.post(key: "K"), "record-corrupt", status: 503)
        try vault.put([1, 0])
        try vault.reload(proxy)
        expectReplay(try proxy.post(key: "K"), of: first)
        #expect(vault.upstream.executions == 2)
    }

    // MARK: Rotation

    @Test("SIGHUP rotates: old records stay readable while their key is there, new ones are sealed with the first")
    func rotates() throws {
        var vault = try Vault(keys: [0])
        let proxy = try vault.start()
        let old = try proxy.post(key: "old")
        try vault.put([1, 0])
        try vault.reload(proxy)
        expectReplay(try proxy.post(key: "old"), of: old)
        let new = try proxy.post(key: "new")
        try vault.put([1])
        try vault.reload(proxy)
        expectReplay(try proxy.post(key: "new"), of: new)
        expectProblem(try proxy.post(key: "old"), "record-corrupt", status: 503)
        #expect(try vault.leaks() == [])
        #expect(!proxy.process.standardError.contains("at the next start only"))
        // The same after a restart: it is the ring of the file that counts.
        let again = try proxy.crashAndRestart()
        expectReplay(try again.post(key: "new"), of: new)
        expectProblem(try again.post(key: "old"), "record-corrupt", status: 503)
        #expect(vault.upstream.executions == 2)
    }

    @Test("encryption begins with a reload: what is there stays readable, what comes is sealed")
    func begins() throws {
        var vault = try Vault(keys: nil)
        let proxy = try vault.start()
        let plain = try proxy.post(key: "plain")
        try vault.put([2])
        try vault.reload(proxy)
        expectReplay(try proxy.post(key: "plain"), of: plain)
        let sealed = try proxy.post(key: "sealed")
        vault.encrypts(false)
        try vault.reload(proxy)
        expectReplay(try proxy.post(key: "plain"), of: plain)
        expectProblem(try proxy.post(key: "sealed"), "record-corrupt", status: 503)
        try vault.put([2])
        try vault.reload(proxy)
        expectReplay(try proxy.post(key: "sealed"), of: sealed)
    }

    @Test("a reload with a broken, open or missing key file changes nothing", arguments: ["broken", "open", "missing"])
    func refusedReload(what: String) throws {
        let vault = try Vault(keys: [0])
        let proxy = try vault.start()
        let first = try proxy.post(key: "K")
        switch what {
        case "broken": try "not-a-key\n".write(toFile: vault.file, atomically: true, encoding: .utf8)
        case "open":
            try Self.keys[1].base64EncodedString().write(toFile: vault.file, atomically: true, encoding: .utf8)
            chmod(vault.file, 0o644)
        default: unlink(vault.file)
        }
        try vault.reload(proxy)
        #expect(try proxy.metric("oncegate_config_last_reload_successful") == 0)
        #expect(!proxy.process.standardError.contains("not-a-key"))
        expectReplay(try proxy.post(key: "K"), of: first)
        _ = try proxy.post(key: "K2")
        #expect(try vault.leaks() == [])
    }
}
