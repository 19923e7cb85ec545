import Foundation
import TestSupport
import Testing

@Suite(.blackBox) struct OperationTests {
    /// An upstream whose K-unknown stays unknown, and a proxy that holds one record of each kind.
    private func withRecords(_ release: Latch, top: String = "") throws -> Pair {
        let pair = try Pair("record_body_limit 1KiB; in_flight wait 100ms;", configure: { $0.top = top }) {
            switch $0.path {
            case "/unknown": .resetAfterRequest
            case "/held": .held(release)
            case "/large": .answer(200, [], body: [UInt8](repeating: 1, count: 2000))
            default: .answer()
            }
        }
        _ = try pair.proxy.post("/done", key: "done-secret")
        _ = try pair.proxy.post("/large", key: "large-secret")
        _ = try pair.proxy.post("/unknown", key: "unknown-secret")
        let client = try pair.proxy.client()
        try client.send(.post("/held", key: "held-secret"))
        try pair.upstream.waitForExecutions(4)
        return pair
    }

    private func key(_ pair: Pair, _ state: String) throws -> String {
        let record = try #require(try pair.proxy.records("?state=\(state)").first)
        let key = try #require(record["key"] as? String)
        #expect(key.count == 64)
        return key
    }

    @Test("B71 the admin list shows records with state, age and route; keys never show")
    func list() throws {
        let release = Latch()
        let pair = try withRecords(release)
        let records = try pair.proxy.records()
        #expect(
            Set(records.compactMap { $0["state"] as? String }) == ["completed", "tombstone", "unknown", "in_flight"])
        for record in records { #expect((record["route"] as? String)?.isEmpty == false) }
        #expect(try pair.proxy.records("?state=unknown&limit=10").count == 1)
        #expect(try pair.proxy.records("?limit=2").count == 2)
        #expect(try pair.proxy.records("?route=nowhere").isEmpty)
        let hexadecimal = try key(pair, "unknown")
        let one = try pair.proxy.adminGet("/records/\(hexadecimal)")
        #expect(one.status == 200)
        #expect(one.text.contains(hexadecimal))
        #expect(try pair.proxy.adminGet("/records/" + String(repeating: "0", count: 64)).status == 404)
        #expect(try pair.proxy.adminGet("/records/xyz").status == 400)
        // The command shows the same.
        let listed = try pair.proxy.command("records", "list")
        #expect(listed.ending == .exit(0), "\(listed.error)")
        #expect(listed.output.contains(hexadecimal) || listed.output.contains(hexadecimal.prefix(12)))
        #expect(listed.output.contains("unknown"))
        let shown = try pair.proxy.command("records", "show", hexadecimal)
        #expect(shown.ending == .exit(0), "\(shown.error)")
        #expect(shown.output.contains("unknown"))
        release.open()
        // J6: no key, no credential and no body in logs, metrics, lists or the store.
        let metrics = try pair.proxy.adminGet("/metrics").text
        let log = try String(contentsOfFile: "\(pair.proxy.directory)/access.log", encoding: .utf8)
        let everything =
            try pair.proxy.adminGet("/records").text + listed.output + shown.output + metrics + log
            + pair.proxy.process.standardError + pair.proxy.process.standardOutput
        #expect(!everything.contains("-secret"))
        for file in try files(in: "\(pair.proxy.directory)/store") {
            #expect(FileManager.default.contents(atPath: file)?.range(of: Data("-secret".utf8)) == nil, "\(file)")
        }
    }

    @Test("B71 release: the next attempt runs")
    func release() throws {
        let pair = try withRecords(Latch())
        let unknown = try key(pair, "unknown")
        let released = try pair.proxy.command("records", "release", unknown)
        #expect(released.ending == .exit(0), "\(released.error)")
        #expect(try pair.proxy.records("?state=unknown").isEmpty)
        expectProblem(try pair.proxy.post("/unknown", key: "unknown-secret"), "upstream-broken", status: 502)
        #expect(pair.upstream.executions(of: "/unknown") == 2)
        // Only an unknown record can be released.
        #expect(try pair.proxy.command("records", "release", key(pair, "completed")).ending != .exit(0))
        #expect(try pair.proxy.command("records", "release", key(pair, "in_flight")).ending != .exit(0))
        #expect(try pair.proxy.post("/done", key: "done-secret").isReplay)
        #expect(try pair.proxy.command("records", "release", String(repeating: "0", count: 64)).ending == .exit(1))
    }

    @Test("B71 forget: whatever its state but in flight; survives a restart")
    func forget() throws {
        let pair = try withRecords(Latch())
        #expect(try pair.proxy.command("records", "forget", key(pair, "completed")).ending == .exit(0))
        #expect(try pair.proxy.command("records", "forget", key(pair, "tombstone")).ending == .exit(0))
        #expect(try pair.proxy.command("records", "forget", key(pair, "in_flight")).ending != .exit(0))
        let proxy = try pair.proxy.crashAndRestart()
        expectAnswer(try proxy.post("/done", key: "done-secret"))
        #expect(pair.upstream.executions(of: "/done") == 2)
        expectProblem(try proxy.post("/held", key: "held-secret"), "outcome-unknown", status: 409)
    }

    @Test("B71 resolve: an unknown record gets an answer, which is replayed from then on")
    func resolve() throws {
        let pair = try withRecords(Latch())
        let unknown = try key(pair, "unknown")
        let resolved = try pair.proxy.command(
            "records", "resolve", unknown, "--status", "201", "--field", "Content-Type: application/json", "--field",
            "X-By: operator",
            "--body", #"{"id":7}"#)
        #expect(resolved.ending == .exit(0), "\(resolved.error)")
        func check(_ proxy: ProxyProcess) throws {
            let answer = try proxy.post("/unknown", key: "unknown-secret")
            #expect(answer.isReplay)
            #expect(answer.status == 201)
            #expect(answer["X-By"] == "operator")
            #expect(answer.text == #"{"id":7}"#)
        }
        try check(pair.proxy)
        try check(pair.proxy.crashAndRestart())
        #expect(pair.upstream.executions(of: "/unknown") == 1)
    }

    @Test("B71 resolve refuses what is no answer, and what is not unknown")
    func resolveRefuses() throws {
        let pair = try withRecords(Latch())
        let unknown = try key(pair, "unknown")
        func refused(_ key: String, _ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
            let result = try Subprocess.run(
                [ProxyProcess.binary, "records", "resolve", key, "--admin", pair.proxy.admin.description] + arguments)
            #expect(result.ending != .exit(0), sourceLocation: sourceLocation)
            #expect(!result.error.isEmpty, sourceLocation: sourceLocation)
        }
        for arguments in [
            [], ["--status", "99"], ["--status", "100"], ["--status", "600"], ["--status", "x"],
            ["--status", "200", "--field", "A b: c"],
            ["--status", "200", "--field", "A: c\r\nB: d"], ["--status", "200", "--field", "nothing"],
            ["--status", "200", "--field", "Transfer-Encoding: chunked"],
            ["--status", "200", "--field", "Content-Length: 7", "--body", "ok"],
        ] {
            try refused(unknown, arguments)
        }
        try refused(key(pair, "completed"), ["--status", "200", "--body", "ok"])
        try refused(String(repeating: "0", count: 64), ["--status", "200"])
        expectProblem(try pair.proxy.post("/unknown", key: "unknown-secret"), "outcome-unknown", status: 409)
    }

    @Test("B71 an operator's decisions are audited")
    func audited() throws {
        let pair = try withRecords(Latch())
        let unknown = try key(pair, "unknown")
        _ = try pair.proxy.adminPost("/records/\(unknown)/release")
        try pair.proxy.process.waitForError("the audit line") {
            $0.contains(unknown) && $0.contains("release") ? true : nil
        }
    }

    @Test("B71 the audit: who by the kernel's word, what, the key's hash, before and after, whatever the log level")
    func audit() throws {
        let pair = try withRecords(Latch(), top: "log_level error;")
        let (unknown, completed) = try (key(pair, "unknown"), key(pair, "completed"))
        func line(_ key: String, _ action: String) throws -> [String: Any] {
            try pair.proxy.process.waitForError("the audit of \(action)") { output in
                output.split(separator: "\n").lazy.compactMap { line in
                    try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                }.first { $0["key"] as? String == key && $0["action"] as? String == action }
            }
        }
        _ = try pair.proxy.command("records", "release", completed)
        let refused = try line(completed, "release")
        #expect(refused["msg"] as? String == "record not resolved" && refused["before"] as? String == "completed")
        _ = try pair.proxy.command("records", "resolve", unknown, "--status", "202", "--body", "secret")
        let resolved = try line(unknown, "resolve")
        #expect(resolved["msg"] as? String == "record resolved by operator")
        #expect(resolved["before"] as? String == "unknown" && resolved["after"] as? String == "completed")
        #expect(resolved["cause"] as? String == "broken" && resolved["status"] as? Int == 202)
        #expect(resolved["route"] as? String == "/" && resolved["body_bytes"] as? Int == 6)
        #expect(resolved["peer"] as? String == "unix" && resolved["uid"] as? UInt32 == getuid())
        #expect((resolved["pid"] as? Int ?? 0) > 0)
        _ = try pair.proxy.command("records", "forget", unknown)
        let forgotten = try line(unknown, "forget")
        #expect(forgotten["before"] as? String == "completed" && forgotten["after"] as? String == "absent")
        _ = try pair.proxy.command("records", "forget", unknown)
        try pair.proxy.process.waitForError("the refusal") { $0.contains("no such record") ? true : nil }
        #expect(!pair.proxy.process.standardError.contains("secret"))
    }

    @Test("B71 the timeline of a record that was unknown; lists by age")
    func timeline() throws {
        let pair = try withRecords(Latch())
        let unknown = try key(pair, "unknown")
        let before = try pair.proxy.command("records", "show", unknown).output
        #expect(before.contains("  claimed\n") && before.contains("  outcome unknown: broken\n"), "\(before)")
        #expect(!before.contains("settled"))
        _ = try pair.proxy.command("records", "resolve", unknown, "--status", "201")
        let after = try pair.proxy.crashAndRestart().command("records", "show", unknown).output
        #expect(after.contains("  outcome unknown: broken\n") && after.contains("  settled by operator\n"), "\(after)")
        #expect(after.contains("completed"))
    }

    @Test("B71 lists by age")
    func age() throws {
        let pair = try withRecords(Latch())
        let all = try pair.proxy.records().count
        // The worker's clock and the store's differ by milliseconds.
        try poll("all are old enough") { try pair.proxy.records("?older_than_ms=0").count == all ? true : nil }
        #expect(try pair.proxy.records("?older_than_ms=3600000").isEmpty)
        #expect(try pair.proxy.adminGet("/records?older_than_ms=x").status == 400)
        let none = try pair.proxy.command("records", "list", "--older-than", "1h")
        #expect(none.ending == .exit(0) && none.output == "no records\n", "\(none.error)")
        let some = try pair.proxy.command("records", "list", "--older-than", "0s", "--state", "unknown", "--json")
        #expect(some.output.contains("\"unknown_at_ms\":"), "\(some.output)")
        #expect(try pair.proxy.command("records", "list", "--older-than", "1").ending != .exit(0))
    }

    @Test("B72 metrics count every outcome")
    func metrics() throws {
        let release = Latch()
        let pair = try withRecords(release)
        let proxy = pair.proxy
        _ = try proxy.post("/done", key: "done-secret")
        _ = try proxy.post("/done", key: "done-secret", body: "other")
        _ = try proxy.post("/large", key: "large-secret")
        _ = try proxy.post("/unknown", key: "unknown-secret")
        _ = try proxy.post("/held", key: "held-secret")
        _ = try proxy.post("/none")
        _ = try proxy.post("/bad", key: "\"")
        _ = try proxy.send(.get())
        let expected = [
            "replayed": 1, "mismatch": 1, "unknown_outcome": 1, "in_progress": 1, "bypassed": 1, "invalid_key": 1,
        ]
        for (outcome, count) in expected { #expect(try proxy.outcomes(outcome) == count, "\(outcome)") }
        #expect(try proxy.outcomes("not_kept") + proxy.outcomes("answer_not_kept") + proxy.outcomes("tombstone") == 1)
        for name in [
            "oncegate_build_info", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
            "oncegate_heap_allocated_bytes", "process_start_time_seconds",
            "oncegate_http_requests_total", "oncegate_connections_total", "oncegate_store_up",
            "oncegate_idempotency_records",
        ] {
            let value = try proxy.metric(name) ?? 0
            #expect(value > 0, "\(name)")
        }
        #expect(try proxy.metric("oncegate_idempotency_records", ["state": "unknown"]) == 1)
        let text = try proxy.adminGet("/metrics").text
        #expect(text.contains("# TYPE \(outcomeMetric) counter"))
        #expect(text.contains("oncegate_store_"))
        #expect(!text.contains("secret"))
        // Counted when it ends: done, large, unknown; and the held one later.
        #expect(try proxy.outcomes("first") == 3)
        release.open()
        try poll("the held one is counted") { try proxy.outcomes("first") == 4 ? true : nil }
    }

    @Test("the access log has one JSON line per request, with the outcome")
    func accessLog() throws {
        let pair = try Pair()
        _ = try pair.proxy.post("/a?token=secret", key: "K", [Field("Authorization", "Bearer secret")])
        _ = try pair.proxy.post("/a?token=secret", key: "K", [Field("Authorization", "Bearer secret")])
        _ = try pair.proxy.send(.get("/b"))
        let lines = try poll("three lines") { () -> [[String: Any]]? in
            let lines = try pair.proxy.accessLog()
            return lines.count >= 3 ? lines : nil
        }
        #expect(lines.count == 3)
        #expect(lines.map { $0["status"] as? Int } == [201, 201, 201])
        #expect(lines.map { $0["method"] as? String } == ["POST", "POST", "GET"])
        let text = try String(contentsOfFile: "\(pair.proxy.directory)/access.log", encoding: .utf8)
        #expect(text.contains("replayed"))
        #expect(!text.contains("secret"))
    }

    @Test("SIGUSR1 reopens the access log")
    func reopensLog() throws {
        let pair = try Pair()
        _ = try pair.proxy.send(.get("/1"))
        let path = "\(pair.proxy.directory)/access.log"
        try poll("the first line") { (try? pair.proxy.accessLog().count) == 1 ? true : nil }
        rename(path, path + ".1")
        pair.proxy.kill(SIGUSR1)
        try poll("a new file") { FileManager.default.fileExists(atPath: path) ? true : nil }
        _ = try pair.proxy.send(.get("/2"))
        try poll("the second line") { (try? pair.proxy.accessLog().count) == 1 ? true : nil }
    }

    @Test("livez, readyz, startupz, status; readyz says 503 while it drains")
    func health() throws {
        let release = Latch()
        let pair = try Pair(configure: { $0.drainDelay = "drain_delay 30s;" }) { _ in .held(release) }
        for path in ["/livez", "/readyz", "/startupz", "/status"] {
            #expect(try pair.proxy.adminGet(path).status == 200, "\(path)")
        }
        #expect(try pair.proxy.adminGet("/nonsense").status == 404)
        #expect([404, 405].contains(try pair.proxy.adminPost("/livez").status))
        pair.proxy.kill(SIGTERM)
        try poll("readyz says so") { try pair.proxy.adminGet("/readyz").status == 503 ? true : nil }
        #expect(try pair.proxy.adminGet("/livez").status == 200)
        // While the delay lasts requests are still taken.
        let late = Running { try pair.proxy.post(key: "K") }
        try pair.upstream.waitForExecutions(1)
        release.open()
        expectAnswer(try late.join())
    }

    @Test("SIGTERM ends an idle proxy at once with 0; SIGQUIT too", arguments: [SIGTERM, SIGQUIT, SIGINT])
    func stopsIdle(signal: Int32) throws {
        let pair = try Pair()
        let client = try pair.proxy.client()
        expectAnswer(try client.exchange(.get()))
        pair.proxy.kill(signal)
        #expect(try pair.proxy.waitForExit(until: .after(5)) == .exit(0))
        #expect(client.isClosed())
    }

    @Test("SIGTERM with exchanges in flight: they get their answers, `Connection: close` tells to go")
    func drains() throws {
        let release = Latch()
        let pair = try Pair { _ in .held(release) }
        let kept = try pair.proxy.client()
        try kept.send(.post(key: "K"))
        let uncovered = try pair.proxy.client()
        try uncovered.send(.get())
        try pair.upstream.waitForExecutions(2)
        pair.proxy.kill(SIGTERM)
        try poll("no new connections") { (try? RawClient(pair.proxy.address)) == nil ? true : nil }
        #expect(pair.proxy.process.isRunning)
        release.open()
        let first = try kept.response()
        expectAnswer(first)
        #expect(first.fields[all: "Connection"].contains { $0.lowercased() == "close" })
        #expect(kept.isClosed())
        expectAnswer(try uncovered.response(to: "GET"))
        #expect(try pair.proxy.waitForExit() == .exit(0))
        expectReplay(try pair.proxy.restarted().post(key: "K"), of: first)
    }

    @Test("SIGTERM: who has connected before the listeners close is served", arguments: Wire.allCases)
    func drainsBacklog(wire: Wire) throws {
        let pair = try ProtocolPair(.http1, configure: { $0.workers = 1 })
        let kept = try pair.proxy.client()
        expectAnswer(try kept.exchange(.get("/kept")))
        // In the kernel's backlog, its request with it; more than are accepted at a time.
        try pair.proxy.stop()
        let clients = try (0..<40).map { _ in try pair.proxy.client() }
        for client in clients { try client.send(.get()) }
        try kept.send(.get("/kept"))
        let other = Running { try pair.proxy.send(.get("/other"), over: wire) }
        let (port, count) = wire.isSecure ? (pair.proxy.secure.port, 1) : (pair.proxy.clear.port, clients.count + 2)
        try poll("it has connected") {
            try KernelSockets.count(.established, localPort: port) >= count ? true : nil
        }
        pair.proxy.kill(SIGTERM)
        pair.proxy.kill(SIGCONT)
        for client in clients + [kept] { expectAnswer(try client.response(to: "GET")) }
        expectAnswer(try other.join())
        #expect(try pair.proxy.waitForExit() == .exit(0))
    }

    @Test("a client that is slow to read gets all of its last answer", arguments: ["SIGTERM", "half close"])
    func slowLastAnswer(what: String) throws {
        // More than the socket holds, and less than holds the service up.
        let body = [UInt8](repeating: 77, count: 256 << 10)
        let path = try TestScope.current!.newDirectory() + "/p.sock"
        let pair = try Pair(configure: { $0.listen = "listen unix:\(path);" }) { _ in .answer(200, body: body) }
        let client = try RawClient(.unix(path))
        try client.send(.get())
        try pair.upstream.waitForExecutions(1)
        try poll("the exchange is over") {
            let status = try pair.proxy.adminGet("/status")
            return status.text.contains("\"requests_in_flight\":0") ? true : nil
        }
        if what == "SIGTERM" {
            pair.proxy.kill(SIGTERM)
            try poll("no new connections") { (try? RawClient(.unix(path))) == nil ? true : nil }
        } else {
            client.shutdownWrite()
            expectAnswer(try RawClient(.unix(path)).exchange(.get("/after")), status: 200)
        }
        #expect(try client.response(to: "GET").body.count == body.count)
    }

    @Test("SIGTERM: who has connected and says nothing holds nothing up for long")
    func drainsSilent() throws {
        let pair = try Pair()
        let silent = try pair.proxy.client()
        let begun = try pair.proxy.client()
        try begun.send("GET / HTTP/1.1\r\n")
        expectAnswer(try pair.proxy.send(.get()))
        let elapsed = try elapsedSeconds {
            pair.proxy.kill(SIGTERM)
            let ending = try pair.proxy.waitForExit()
            #expect(ending == .exit(0))
        }
        #expect(elapsed < 5, "\(elapsed) s")
        #expect(silent.isClosed() && begun.isClosed())
    }

    @Test("a second SIGINT ends it at once, with 2")
    func secondInterrupt() throws {
        let pair = try Pair { _ in .never }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        try pair.upstream.waitForExecutions(1)
        pair.proxy.kill(SIGINT)
        try poll("no new connections") { (try? RawClient(pair.proxy.address)) == nil ? true : nil }
        #expect(pair.proxy.process.isRunning)
        pair.proxy.kill(SIGINT)
        #expect(try pair.proxy.waitForExit(until: .after(5)) == .exit(2))
        expectProblem(try pair.proxy.restarted().post(key: "K"), "outcome-unknown", status: 409)
    }

    @Test("a broken pipe at standard output does not end it")
    func brokenPipes() throws {
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream)
        configuration.accessLog = "access_log json stdout;"
        let proxy = try ProxyProcess(configuration, output: .closed)
        for index in 0..<50 { expectAnswer(try proxy.post(key: "K\(index)")) }
        #expect(upstream.executions == 50)
        #expect(proxy.process.isRunning)
    }
}
