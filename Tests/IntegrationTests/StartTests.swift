import Foundation
import TestSupport
import Testing

/// A start that fails says why in one line and exits with 1; nothing is half started.
@Suite(.blackBox) struct StartTests {
    private func expectFailure(
        _ configuration: ProxyConfiguration, in directory: String? = nil, wrapper: [String] = [], _ words: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let directory = try directory ?? TestScope.current!.newDirectory()
        try ProxyProcess.write(configuration, in: directory)
        let result = try Subprocess.run(wrapper + [ProxyProcess.binary, "run", "-c", "\(directory)/proxy.conf"])
        #expect(result.ending == .exit(1), "\(result.error)", sourceLocation: sourceLocation)
        let lines = result.error.split(separator: "\n").filter { $0.hasPrefix("oncegate: ") }
        #expect(lines.count == 1, "\(result.error)", sourceLocation: sourceLocation)
        for word in words {
            #expect(lines.first?.contains(word) == true, "no \(word): \(result.error)", sourceLocation: sourceLocation)
        }
        #expect(!result.error.contains("listening on"), sourceLocation: sourceLocation)
    }

    private func configuration() throws -> ProxyConfiguration { try ProxyConfiguration(ScriptedUpstream()) }

    @Test("a port in use")
    func portInUse() throws {
        var configuration = try configuration()
        let taken = try ScriptedUpstream()
        configuration.listen = "listen \(taken.address);"
        try expectFailure(configuration, ["\(taken.address)", "in use"])
    }

    @Test("a probe that asks with what an attempt may make anew: check and the start refuse it")
    func probeOfAnotherOperation() throws {
        var configuration = try configuration()
        configuration.route =
            "idempotency { on_unknown probe { get \"/o/{header(X-Request-Id)}\"; found 200; absent 404; } }"
        let directory = try TestScope.current!.newDirectory()
        try ProxyProcess.write(configuration, in: directory)
        for command in ["check", "run"] {
            let result = try Subprocess.run([ProxyProcess.binary, command, "-c", "\(directory)/proxy.conf"])
            #expect(result.ending == .exit(1), "\(command): \(result.error)")
            #expect(result.error.contains("'{header(X-Request-Id)}' may differ in a repeat"), "\(result.error)")
            #expect(result.error.contains("hash { headers Content-Type X-Request-Id; }"), "\(result.error)")
            #expect(!result.error.contains("listening on"))
        }
    }

    @Test("an address that is not ours")
    func foreignAddress() throws {
        var configuration = try configuration()
        configuration.listen = "listen 192.0.2.1:8080;"
        try expectFailure(configuration, ["192.0.2.1:8080"])
    }

    @Test("a UNIX socket on which somebody listens; a stale one is replaced")
    func unixSocket() throws {
        let path = try TestScope.current!.newDirectory() + "/p.sock"
        var configuration = try configuration()
        configuration.listen = "listen 127.0.0.1:0; listen unix:\(path) { mode 0600; }"
        let live = try ScriptedUpstream(at: .unix(path))
        try expectFailure(configuration, [path])
        #expect(FileManager.default.fileExists(atPath: path))
        live.stop()
        // Left behind by a process that was killed.
        let proxy = try ProxyProcess(configuration)
        #expect(try RawClient(.unix(path)).exchange(.post()).status == 201)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try proxy.crash()
        let second = try proxy.restarted()
        #expect(try RawClient(.unix(path)).exchange(.post()).status == 201)
        second.kill(SIGTERM)
        #expect(try second.waitForExit() == .exit(0))
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("a store directory that cannot be written: a file in its place, a missing parent on a read-only disk")
    func unwritableStore() throws {
        let directory = try TestScope.current!.newDirectory()
        try "not a directory".write(toFile: "\(directory)/store", atomically: true, encoding: .utf8)
        try expectFailure(try configuration(), in: directory, ["\(directory)/store"])
        #expect(try String(contentsOfFile: "\(directory)/store", encoding: .utf8) == "not a directory")
        let disk = try SmallDisk(megabytes: 1)
        try Subprocess.run(["mount", "-o", "remount,ro", disk.path])
        var readOnly = try configuration()
        readOnly.store = "store embedded { path \(disk.path)/store; }"
        try expectFailure(readOnly, ["\(disk.path)/store"])
    }

    @Test("a store that another process has open (F10); free again after kill -9")
    func lockedStore() throws {
        let pair = try Pair()
        let first = try pair.proxy.post(key: "K")
        var configuration = ProxyConfiguration(pair.upstream)
        configuration.store = "store embedded { path \(pair.proxy.directory)/store; }"
        try expectFailure(configuration, ["\(pair.proxy.directory)/store"])
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        expectReplay(try pair.proxy.crashAndRestart().post(key: "K"), of: first)
    }

    @Test(
        "files that are no store of ours: a clear error, nothing overwritten (F8)",
        arguments: ["garbage", "foreign database", "newer format"])
    func foreignStore(kind: String) throws {
        let pair = try Pair()
        _ = try pair.proxy.post(key: "K")
        pair.proxy.kill(SIGTERM)
        try pair.proxy.waitForExit()
        let store = "\(pair.proxy.directory)/store"
        let database = try #require(
            try files(in: store).first { path in
                FileManager.default.contents(atPath: path)?.prefix(15) == Data("SQLite format 3".utf8)
            })
        for path in try files(in: store) where path != database && path.hasPrefix(database) { unlink(path) }
        switch kind {
        case "garbage": try Data([UInt8](repeating: 0xA5, count: 8192)).write(to: URL(filePath: database))
        case "foreign database":
            unlink(database)
            try python("c.execute('create table t(x)'); c.commit()", database)
        default: try python("c.execute('pragma user_version=9999'); c.commit()", database)
        }
        let before = try Data(contentsOf: URL(filePath: database))
        try expectFailure(ProxyConfiguration(pair.upstream), in: pair.proxy.directory, ["store"])
        #expect(try Data(contentsOf: URL(filePath: database)) == before)
    }

    private func python(_ statements: String, _ path: String) throws {
        let result = try Subprocess.run([
            "python3", "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \(statements)", path,
        ])
        try #require(result.ending == .exit(0), "\(result.error)")
    }

    @Test("a bad configuration prints every error and starts nothing")
    func badConfiguration() throws {
        let directory = try TestScope.current!.newDirectory()
        var configuration = try configuration()
        configuration.more = "nonsense 1;\nroute /x { upstream nowhere; }\nroute /y { upstream service; retenti 3; }"
        try ProxyProcess.write(configuration, in: directory)
        let result = try Subprocess.run([ProxyProcess.binary, "run", "-c", "\(directory)/proxy.conf"])
        #expect(result.ending == .exit(1))
        for word in ["nonsense", "nowhere", "retenti", "3 errors"] {
            #expect(result.error.contains(word), "\(result.error)")
        }
        #expect(!result.error.contains("listening on"))
        #expect(!FileManager.default.fileExists(atPath: "\(directory)/store"))
    }

    @Test("an upstream name that does not resolve: one clear line, exit 1")
    func unknownUpstreamName() throws {
        var configuration = try configuration()
        configuration.servers = []
        configuration.more = "upstream service { server http://no-such-host.invalid:8000; }"
        try expectFailure(configuration, ["no-such-host.invalid"])
    }

    @Test("a missing file, unknown options, no command: 1 and 64")
    func usage() throws {
        let missing = try Subprocess.run([ProxyProcess.binary, "run", "-c", "/nonexistent/proxy.conf"])
        #expect(missing.ending == .exit(1))
        #expect(missing.error.contains("/nonexistent/proxy.conf"))
        #expect(try Subprocess.run([ProxyProcess.binary, "run", "--nonsense"]).ending == .exit(64))
        #expect(try Subprocess.run([ProxyProcess.binary, "nonsense"]).ending == .exit(64))
        let help = try Subprocess.run([ProxyProcess.binary, "--help"])
        #expect(help.ending == .exit(0))
        for command in ["run", "check", "fmt", "config", "records", "healthcheck", "version"] {
            #expect(help.output.contains(command))
            #expect(try Subprocess.run([ProxyProcess.binary, command, "--help"]).ending == .exit(0))
        }
        let version = try Subprocess.run([ProxyProcess.binary, "version"])
        #expect(version.ending == .exit(0))
        #expect(version.output.lowercased().contains("sqlite"))
    }

    @Test("healthcheck: 0 while it runs, 1 when it does not")
    func healthcheck() throws {
        let pair = try Pair()
        #expect(try pair.proxy.command("healthcheck").ending == .exit(0))
        #expect(
            try Subprocess.run([ProxyProcess.binary, "healthcheck", "-c", "\(pair.proxy.directory)/proxy.conf"]).ending
                == .exit(0))
        try pair.proxy.crash()
        let result = try pair.proxy.command("healthcheck")
        #expect(result.ending == .exit(1))
        #expect(!result.error.isEmpty)
    }

    @Test("IPv6 and several listeners")
    func listeners() throws {
        let upstream = try ScriptedUpstream(at: .ipv6(port: 0))
        var configuration = ProxyConfiguration(upstream)
        configuration.listen = "listen 127.0.0.1:0; listen [::1]:0;"
        let proxy = try ProxyProcess(configuration)
        let addresses = try proxy.process.waitForError("both listen") { output -> [Address]? in
            let found = output.split(separator: "\n").compactMap { line -> Address? in
                guard let range = line.range(of: "listening on ") else { return nil }
                return Address(line[range.upperBound...].prefix { !" ,".contains($0) })
            }
            return found.contains { if case .ipv6 = $0 { true } else { false } } ? found : nil
        }
        for address in addresses where address.port != 0 {
            expectAnswer(try RawClient(address).exchange(.post(key: "K\(address)")))
        }
        #expect(upstream.executions == 2)
    }
}
