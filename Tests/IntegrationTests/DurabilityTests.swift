import Foundation
import TestSupport
import Testing

@Suite(.blackBox) struct DurabilityTests {
    @Test(
        "B57 kill -9 after the service executed, before its answer: the retry does not execute",
        arguments: [false, true])
    func killedInFlight(answered: Bool) throws {
        let release = Latch()
        let pair = try Pair { _ in
            answered
                ? Reply { exchange in
                    try exchange.readBody()
                    try exchange.send(headOctets(200, [Field("Content-Length", "10")]) + octets("01234"))
                    try release.wait(until: .after(60))
                } : .held(release)
        }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        try pair.upstream.waitForExecutions(1)
        if answered { #expect(try client.head().status == 200) }
        let proxy = try pair.proxy.crashAndRestart()
        for _ in 0..<2 { expectProblem(try proxy.post(key: "K"), "outcome-unknown", status: 409) }
        expectProblem(try proxy.post(key: "K", body: "other"), "key-reused", status: 422)
        #expect(try proxy.records("?state=unknown").count == 1)
        release.open()
        #expect(pair.upstream.executions == 1)
    }

    @Test("B57 with on_unknown resend the retry executes after the restart")
    func resendAfterRestart() throws {
        let release = Latch()
        let pair = try Pair("on_unknown resend;") { $0.ordinal == 1 ? .held(release) : .answer() }
        try pair.proxy.client().send(.post(key: "K"))
        try pair.upstream.waitForExecutions(1)
        let proxy = try pair.proxy.crashAndRestart()
        let second = try proxy.post(key: "K")
        expectAnswer(second)
        expectReplay(try proxy.post(key: "K"), of: second)
        release.open()
        #expect(pair.upstream.executions == 2)
    }

    @Test("B58 kill -9 before any octet reached the service: the retry runs")
    func killedBeforeSending() throws {
        let full = try FullBacklog()
        let pair = try Pair(configure: { $0.servers = [full.address] })
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        try pair.proxy.waitForState("in_flight")
        try pair.proxy.crash()
        var configuration = ProxyConfiguration(pair.upstream, idempotency: "")
        configuration.servers = [pair.upstream.address]
        let proxy = try ProxyProcess(configuration, directory: pair.proxy.directory)
        expectAnswer(try proxy.post(key: "K"))
        #expect(pair.upstream.executions == 1)
    }

    @Test("B59 kill -9 after the client has the answer: replayed octet for octet", arguments: ["power", "process"])
    func killedAfterAnswer(durability: String) throws {
        var generator = SeededGenerator(seed: 59)
        let body = generator.octets(100_000)
        let pair = try Pair("durability \(durability);") { .answer(201, [Field("X-N", "\($0.ordinal)")], body: body) }
        var first: [Response] = []
        for index in 0..<20 { first.append(try pair.proxy.post(key: "K\(index)")) }
        var proxy = try pair.proxy.crashAndRestart()
        for _ in 0..<3 {
            for index in 0..<20 { expectReplay(try proxy.post(key: "K\(index)"), of: first[index]) }
            proxy = try proxy.crashAndRestart()
        }
        #expect(pair.upstream.executions == 20)
    }

    @Test(
        "B60 a torn or garbage end of the log: it starts, and no complete record is lost (F6)",
        arguments: ["garbage", "half a frame of zeros"])
    func tornLog(kind: String) throws {
        let pair = try Pair { .answer(201, [], body: octets("answer \($0.ordinal)")) }
        var first: [Response] = []
        for index in 0..<6 { first.append(try pair.proxy.post(key: "K\(index)")) }
        try pair.proxy.crash()
        let log = try #require(try files(in: "\(pair.proxy.directory)/store").first { $0.hasSuffix("-wal") })
        let handle = try #require(FileHandle(forWritingAtPath: log))
        try handle.seekToEnd()
        handle.write(
            Data(kind == "garbage" ? [UInt8](repeating: 0xA5, count: 3000) : [UInt8](repeating: 0, count: 2060)))
        try handle.close()
        let proxy = try pair.proxy.restarted()
        for index in 0..<6 { expectReplay(try proxy.post(key: "K\(index)"), of: first[index]) }
        #expect(pair.upstream.executions == 6)
    }

    @Test("B61 disk full at the claim: 503 with Retry-After, the service untouched; it recovers (F1)")
    func diskFullAtClaim() throws {
        let disk = try SmallDisk(megabytes: 2)
        let pair = try Pair(configure: { $0.store = "store embedded { path \(disk.path)/store; }" })
        let first = try pair.proxy.post(key: "K")
        disk.fill()
        let refused = try poll("a refusal") { () -> Response? in
            let response = try pair.proxy.post(key: newKey())
            return response.status == 201 ? nil : response
        }
        #expect(refused.status == 503)
        #expect(refused.text.contains("urn:oncegate:problem:store-"))
        #expect(refused["Retry-After"] != nil)
        let executions = pair.upstream.executions
        for _ in 0..<5 { #expect(try pair.proxy.post(key: newKey()).status == 503) }
        #expect(pair.upstream.executions == executions)
        #expect(try pair.proxy.outcomes("store_error") >= 6)
        // What is recorded is served, what needs no record passes.
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        expectAnswer(try pair.proxy.send(.get()))
        disk.free()
        try poll("it recovers") { try pair.proxy.post(key: newKey()).status == 201 ? true : nil }
    }

    @Test("B61 on_store_error pass: forwarded, marked and counted (F23)")
    func storeErrorPass() throws {
        let disk = try SmallDisk(megabytes: 2)
        let pair = try Pair(
            "on_store_error pass;", configure: { $0.store = "store embedded { path \(disk.path)/store; }" })
        let protected = try pair.proxy.post(key: "K")
        disk.fill()
        try poll("a store error") { () -> Bool? in
            let response = try pair.proxy.post(key: newKey())
            #expect(response.status == 201)
            return try pair.proxy.outcomes("unprotected") > 0 ? true : nil
        }
        let before = pair.upstream.executions
        let marked = try pair.proxy.post(key: "L")
        expectAnswer(marked)
        #expect(Set(marked.fields.map(\.name)).subtracting(protected.fields.map(\.name)).isEmpty == false, "no mark")
        expectAnswer(try pair.proxy.post(key: "L"))
        #expect(pair.upstream.executions == before + 2)
    }

    @Test("B61 a file size limit is a full disk, not a signal (RLIMIT_FSIZE)")
    func fileSizeLimit() throws {
        let upstream = try ScriptedUpstream { _ in .answer(201, [], body: [UInt8](repeating: 1, count: 20_000)) }
        let proxy = try ProxyProcess(
            ProxyConfiguration(upstream), wrapper: ["prlimit", "--fsize=2000000:2000000"])
        var kept: [(String, Response)] = []
        let refused = try poll("a refusal") { () -> Response? in
            let key = newKey()
            let response = try proxy.post(key: key)
            if response.status == 201 { kept.append((key, response)) }
            return response.status == 201 ? nil : response
        }
        #expect(refused.status == 503)
        #expect(proxy.process.isRunning)
        // The last answers may not have been stored; none of them is executed again.
        let executions = upstream.executions
        for (key, first) in kept {
            let response = try proxy.post(key: key)
            if response.status == 201 {
                expectReplay(response, of: first)
            } else {
                #expect(response.status == 409 || response.status == 503)
            }
        }
        #expect(upstream.executions == executions)
    }

    @Test("B62 the store fails at completion: the client gets the true answer, the retry does not execute (F2)")
    func diskFullAtCompletion() throws {
        let disk = try SmallDisk(megabytes: 3)
        let release = Latch()
        var generator = SeededGenerator(seed: 62)
        let body = generator.octets(3_500_000)
        let pair = try Pair(configure: { $0.store = "store embedded { path \(disk.path)/store; }" }) { _ in
            .held(release, then: .answer(201, [], body: body))
        }
        let owner = Running { try pair.proxy.post(key: "K") }
        try pair.upstream.waitForExecutions(1)
        disk.fill()
        release.open()
        let first = try owner.join()
        expectAnswer(first)
        expectOctets(first.body, body)
        let retry = try pair.proxy.post(key: "K")
        #expect(retry.status == 409 || retry.status == 503, "\(retry.status)")
        disk.free()
        let proxy = try pair.proxy.crashAndRestart()
        expectProblem(try proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(pair.upstream.executions == 1)
    }

    @Test(
        "B63 the store's size is reached: new claims get 503, every live record replays (D6)",
        arguments: ["embedded", "memory"])
    func storeFull(kind: String) throws {
        let pair = try Pair(configure: {
            $0.store =
                kind == "memory" ? "store memory { max_size 1MiB; }" : "store embedded { path $STORE; max_size 1MiB; }"
        }) { .answer(201, [Field("X-N", "\($0.ordinal)")], body: [UInt8](repeating: 7, count: 30_000)) }
        var kept: [(String, Response)] = []
        var refused: Response?
        for index in 0..<200 where refused == nil {
            let response = try pair.proxy.post(key: "K\(index)")
            if response.status == 201 { kept.append(("K\(index)", response)) } else { refused = response }
        }
        expectProblem(try #require(refused), "store-full", status: 503, retryAfter: true)
        #expect(kept.count >= 5)
        let executions = pair.upstream.executions
        #expect(executions == kept.count)
        for (key, first) in kept { expectReplay(try pair.proxy.post(key: key), of: first) }
        #expect(try pair.proxy.post(key: "new").status == 503)
        #expect(pair.upstream.executions == executions)
    }

    @Test(
        "B64 the retention passes: the record is gone and the next request runs",
        arguments: ["embedded { path $STORE; }", "memory { max_size 16MiB; }"])
    func retention(store: String) throws {
        let pair = try Pair(
            "retention 1s;",
            configure: {
                $0.store = "store \(store)"
                $0.top = "route_timeout 1s;"
            }
        ) { .answer(201, [], body: octets("\($0.ordinal)")) }
        let first = try pair.proxy.post(key: "K")
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        // Either a whole replay or a first attempt, never anything else (E27).
        let second = try poll("the retention passes") { () -> Response? in
            let response = try pair.proxy.post(key: "K")
            if response.isReplay { expectReplay(response, of: first) }
            return response.isReplay ? nil : response
        }
        expectAnswer(second)
        #expect(second.text == "2")
        #expect(pair.upstream.executions == 2)
        try poll("the record is reclaimed", until: .after(15)) { try pair.proxy.records().isEmpty ? true : nil }
        try poll("expiry is counted") {
            try pair.proxy.metric("oncegate_idempotency_expired_total") ?? 0 >= 1 ? true : nil
        }
    }

    @Test(
        "B65 the wall clock jumps an hour: no claim is taken over, records follow the documented bound (F19)",
        arguments: [3600, -3600])
    func clockJumps(seconds: Int) throws {
        let clock = try ShiftedClock()
        let release = Latch()
        let upstream = try ScriptedUpstream { $0.path == "/held" ? .held(release) : .answer() }
        let proxy = try ProxyProcess(
            ProxyConfiguration(upstream, idempotency: "retention 24h; in_flight wait 200ms;"),
            environment: clock.environment)
        let first = try proxy.post("/done", key: "D")
        let owner = Running { try proxy.post("/held", key: "K") }
        try upstream.waitForExecutions(2)
        clock.shift(by: seconds)
        expectProblem(try proxy.post("/held", key: "K"), "in-progress", status: 409)
        expectReplay(try proxy.post("/done", key: "D"), of: first)
        release.open()
        expectReplay(try proxy.post("/held", key: "K"), of: try owner.join())
        expectAnswer(try proxy.post("/new", key: "N"))
        #expect(upstream.executions == 3)
    }

    @Test("B65 after a restart the clock decides: past the retention a record is gone, before it it is there")
    func clockAfterRestart() throws {
        let clock = try ShiftedClock()
        let upstream = try ScriptedUpstream()
        let proxy = try ProxyProcess(
            ProxyConfiguration(upstream, idempotency: "retention 2h;"), environment: clock.environment)
        let first = try proxy.post(key: "K")
        try proxy.crash()
        clock.shift(by: 3600)
        let second = try proxy.restarted(environment: clock.environment)
        expectReplay(try second.post(key: "K"), of: first)
        try second.crash()
        clock.shift(by: 3 * 3600)
        expectAnswer(try second.restarted(environment: clock.environment).post(key: "K"))
        #expect(upstream.executions == 2)
    }

    @Test(
        "B66 SIGTERM with exchanges in flight: they finish and are recorded; what does not finish becomes unknown (I5)")
    func gracefulStop() throws {
        let release = Latch()
        let pair = try Pair(configure: { $0.top = "drain_timeout 1s;" }) {
            $0.path == "/never" ? .never : .held(release)
        }
        let quick = (0..<10).map { index in Running { try pair.proxy.post("/quick", key: "Q\(index)") } }
        let stuck = try pair.proxy.client()
        try stuck.send(.post("/never", key: "N"))
        try pair.upstream.waitForExecutions(11)
        pair.proxy.kill(SIGTERM)
        try poll("connections are refused") { (try? RawClient(pair.proxy.address)) == nil ? true : nil }
        release.open()
        let first = try quick.map { try $0.join() }
        for answer in first { expectAnswer(answer) }
        let ending = try pair.proxy.waitForExit()
        #expect(ending == .exit(0) || ending == .exit(3), "\(ending)")
        let proxy = try pair.proxy.restarted()
        for index in 0..<10 { expectReplay(try proxy.post("/quick", key: "Q\(index)"), of: first[index]) }
        expectProblem(try proxy.post("/never", key: "N"), "outcome-unknown", status: 409)
        #expect(pair.upstream.executions == 11)
    }

    @Test("B60 a paused and resumed process completes its own claim and no other")
    func pausedOwner() throws {
        let release = Latch()
        let pair = try Pair { _ in .held(release) }
        let owner = Running { try pair.proxy.post(key: "K") }
        try pair.upstream.waitForExecutions(1)
        pair.proxy.kill(SIGSTOP)
        release.open()
        pair.proxy.kill(SIGCONT)
        expectReplay(try pair.proxy.post(key: "K"), of: try owner.join())
        #expect(pair.upstream.executions == 1)
    }
}

func files(in directory: String) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: directory).map { "\(directory)/\($0)" }
}

/// A tmpfs of its own, which can be filled to the last octet. Needs root.
final class SmallDisk: Sendable {
    let path: String

    init(megabytes: Int) throws {
        let path = try TestScope.current!.newDirectory()
        self.path = path
        let mounted = try Subprocess.run(["mount", "-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs", path])
        try #require(mounted.ending == .exit(0), "mount: \(mounted.error)")
        TestScope.current?.atEnd { _ = try? Subprocess.run(["umount", "-l", path]) }
    }

    func fill() {
        _ = try? Subprocess.run(["sh", "-c", "cat /dev/zero > \(path)/filler"])
    }

    func free() {
        unlink("\(path)/filler")
    }
}

/// CLOCK_REALTIME of a process, shifted while it runs: a small library that is loaded before libc.
final class ShiftedClock: Sendable {
    let environment: [String: String]
    private let file: String

    init() throws {
        let directory = try TestScope.current!.newDirectory()
        let library = "\(directory)/clockshift.so"
        let source = ProxyProcess.packageRoot + "/Tests/IntegrationTests/Clients/clockshift.c"
        let built = try Subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source])
        try #require(built.ending == .exit(0), "cc: \(built.error)")
        file = "\(directory)/seconds"
        environment = ["LD_PRELOAD": library, "CLOCKSHIFT_FILE": file]
        shift(by: 0)
    }

    /// From the time's true value, not from the last shift.
    func shift(by seconds: Int) {
        let value = Data(withUnsafeBytes(of: Int64(seconds)) { Array($0) })
        if let handle = FileHandle(forUpdatingAtPath: file) {
            handle.write(value)
            try? handle.close()
        } else {
            try? value.write(to: URL(filePath: file))
        }
    }
}
