import Foundation
import TestSupport
import Testing

@Suite(.blackBox) struct ConfigurationTests {
    @Test("B67 two routes, each with its own rules; the longest prefix wins, `=` before it, `~` last")
    func routes() throws {
        let upstream = try ScriptedUpstream { .answer(201, [], body: octets("\($0.path) \($0.ordinal)")) }
        let pair = try Pair(upstream: upstream) {
            $0.route = "idempotency { on_missing_key reject; }"
            $0.more = """
                route /v1 { upstream service; route_timeout 1s; idempotency { key header X-Op; retention 1s; } }
                route /v1/open { upstream service; }
                route = /v1/exact {
                    upstream service;
                    idempotency { on_missing_key hash; hash { body raw; window 1h; replay always; } }
                }
                route ~ ^/r[0-9]+$ { upstream service; }
                """
        }
        expectProblem(try pair.proxy.post("/other"), "key-missing", status: 400)
        // A regular expression comes last: the prefix / has taken it.
        expectProblem(try pair.proxy.post("/r12"), "key-missing", status: 400)
        let first = try pair.proxy.post("/v1/a", [Field("X-Op", "1")])
        expectReplay(try pair.proxy.post("/v1/a", [Field("X-Op", "1")]), of: first)
        for _ in 0..<2 { expectAnswer(try pair.proxy.post("/v1/open/a", key: "K", [Field("X-Op", "1")])) }
        let exact = try pair.proxy.post("/v1/exact")
        expectReplay(try pair.proxy.post("/v1/exact"), of: exact)
        // A prefix ends at a segment.
        expectProblem(try pair.proxy.post("/v1open"), "key-missing", status: 400)
        // A spelling of the path does not slip past its route (E30).
        expectProblem(try pair.proxy.post("/%6Fther/x"), "key-missing", status: 400)
        let spelled = try pair.proxy.post("//v1//exact")
        #expect(spelled.isReplay || spelled.status == 400 || spelled.status == 422)
        try poll("the short retention") { try pair.proxy.post("/v1/a", [Field("X-Op", "1")]).isReplay ? nil : true }
    }

    @Test("B67 routes by host")
    func hosts() throws {
        let upstream = try ScriptedUpstream()
        let pair = try Pair(upstream: upstream) {
            $0.route = nil
            $0.more = """
                route a.test/ { upstream service; idempotency { on_missing_key reject; } }
                route /only { upstream service; }
                """
        }
        func host(_ name: String, _ target: String) -> Request {
            var request = Request.post(target)
            request.host = name
            return request
        }
        expectProblem(try pair.proxy.send(host("a.test", "/x")), "key-missing", status: 400)
        expectProblem(try pair.proxy.send(host("A.TEST:8080", "/x")), "key-missing", status: 400)
        expectAnswer(try pair.proxy.send(host("b.test", "/only")))
        expectProblem(try pair.proxy.send(host("b.test", "/x")), "no-route", status: 404)
        #expect(upstream.executions == 1)
    }

    @Test("B68 `check` reports every error with its place, reason and hint, and exits 1")
    func checkErrors() throws {
        let directory = try TestScope.current!.newDirectory()
        let path = "\(directory)/proxy.conf"
        let configuration = """
            listen 127.0.0.1:0;
            store embedded { path \(directory)/store; }
            upstream service { server http://127.0.0.1:9; }
            route / {
                upstream service;
                idempotancy {
                    retention 24;
                }
            }
            route /b {
                upstream nowhere;
                idempotency {
                    retention 24;
                    methdos POST;
                    hash { body json; window 48h; replay always; }
                }
            }
            route /c { idempotency { on_missing_key hash; } }

            """
        try configuration.write(toFile: path, atomically: true, encoding: .utf8)
        let result = try Subprocess.run([ProxyProcess.binary, "check", "-c", path])
        #expect(result.ending == .exit(1))
        let output = result.output + result.error
        for expected in [
            "proxy.conf:6:5: error:", "idempotancy", "did you mean 'idempotency'?", "proxy.conf:13:19: error:",
            "'24' has no unit",
            "write '24h'?", "proxy.conf:14:9: error:", "did you mean 'methods'?", "nowhere", "errors",
        ] {
            #expect(output.contains(expected), "no \(expected) in:\n\(output)")
        }
    }

    @Test(
        "B68 single faults, each with its line",
        arguments: [
            ("listen 127.0.0.1:0; listen 127.0.0.1:99999;", 1),
            ("route / { upstream service; }\nroute / { upstream service; }", 2),
            ("upstream service { server http://127.0.0.1:1; }\nupstream service { server http://127.0.0.1:2; }", 2),
            ("route /h { upstream service; idempotency { hash { body json; } on_missing_key hash; } }", 1),
            ("route /w { upstream service; idempotency {\n hash { body raw; replay always;\n window 48h; } } }", 3),
            ("route /s { upstream service; idempotency { record 99; } }", 1), ("route /q { upstream \"service; }", 1),
            ("route /k { upstream service; idempotency { key cookie; } }", 1), ("route /o { upstream service;", 1),
            ("workers many;", 1),
        ])
    func singleFaults(text: String, line: Int) throws {
        let directory = try TestScope.current!.newDirectory()
        let path = "\(directory)/proxy.conf"
        let base =
            "listen 127.0.0.1:0;\nupstream service { server http://127.0.0.1:9; }\nroute /base { upstream service; }\n"
        let twice = text.hasPrefix("upstream service")
        try (text + "\n" + (twice ? "listen 127.0.0.1:0;\nroute /base { upstream service; }\n" : base))
            .write(toFile: path, atomically: true, encoding: .utf8)
        let result = try Subprocess.run([ProxyProcess.binary, "check", "-c", path])
        #expect(result.ending == .exit(1))
        #expect((result.output + result.error).contains("proxy.conf:\(line):"), "\(result.output + result.error)")
        #expect((result.output + result.error).contains("error:"))
        let run = try Subprocess.run([ProxyProcess.binary, "run", "-c", path])
        #expect(run.ending == .exit(1))
        #expect(!run.error.contains("listening on"))
    }

    @Test("B68 a sound configuration passes `check`; it binds nothing")
    func checkPasses() throws {
        let pair = try Pair()
        // Everything is in use by the running proxy, and check does not mind.
        let result = try Subprocess.run([ProxyProcess.binary, "check", "-c", "\(pair.proxy.directory)/proxy.conf"])
        #expect(result.ending == .exit(0), "\(result.output)\(result.error)")
    }

    @Test("B68 include, env() and file(); an error in an included file names it")
    func includes() throws {
        let directory = try TestScope.current!.newDirectory()
        try FileManager.default.createDirectory(atPath: "\(directory)/conf.d", withIntermediateDirectories: true)
        let path = "\(directory)/proxy.conf"
        try "listen 127.0.0.1:0;\nupstream service { server http://127.0.0.1:9; }\ninclude \"conf.d/*.conf\";\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        try "route / { upstream service; }\n".write(
            toFile: "\(directory)/conf.d/a.conf", atomically: true, encoding: .utf8)
        let sound = try Subprocess.run([ProxyProcess.binary, "check", "-c", path])
        #expect(sound.ending == .exit(0), "\(sound.output)\(sound.error)")
        try "route /b { upstream service; nonsense; }\n".write(
            toFile: "\(directory)/conf.d/b.conf", atomically: true, encoding: .utf8)
        let broken = try Subprocess.run([ProxyProcess.binary, "check", "-c", path])
        #expect(broken.ending == .exit(1))
        #expect((broken.output + broken.error).contains("b.conf:1:"))
        #expect((broken.output + broken.error).contains("nonsense"))
    }

    @Test("fmt is stable and keeps comments; config dump is JSON")
    func formatting() throws {
        let directory = try TestScope.current!.newDirectory()
        let path = "\(directory)/proxy.conf"
        let text = """
            listen    127.0.0.1:0;# the port
            upstream service{server http://127.0.0.1:9;}
            route /{upstream service;idempotency{retention 24h;}}

            """
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let dump = try Subprocess.run([ProxyProcess.binary, "config", "dump", "--json", "-c", path])
        #expect(dump.ending == .exit(0), "\(dump.error)")
        #expect((try? JSONSerialization.jsonObject(with: Data(dump.output.utf8))) != nil, "\(dump.output)")
        #expect(dump.output.contains("Idempotency-Key") || dump.output.lowercased().contains("idempotency-key"))
        let once = try Subprocess.run([ProxyProcess.binary, "fmt", path])
        #expect(once.ending == .exit(0), "\(once.error)")
        let formatted = once.output.isEmpty ? try String(contentsOfFile: path, encoding: .utf8) : once.output
        #expect(formatted.contains("# the port"))
        try formatted.write(toFile: path, atomically: true, encoding: .utf8)
        let twice = try Subprocess.run([ProxyProcess.binary, "fmt", path])
        #expect((twice.output.isEmpty ? try String(contentsOfFile: path, encoding: .utf8) : twice.output) == formatted)
        #expect(try Subprocess.run([ProxyProcess.binary, "check", "-c", path]).ending == .exit(0))
    }

    @Test("B69 a reload while duplicates are in flight: no second execution; a bad file keeps the old rules (I1)")
    func reload() throws {
        let release = Latch()
        let pair = try Pair { $0["Idempotency-Key"] == "K" ? .held(release) : .answer() }
        let owner = Running { try pair.proxy.post(key: "K") }
        try pair.upstream.waitForExecutions(1)
        let waiter = Running { try pair.proxy.post(key: "K") }
        try pair.waitForWaiters(1)
        var configuration = ProxyConfiguration(pair.upstream, idempotency: "on_missing_key reject; in_flight wait 30s;")
        try ProxyProcess.write(configuration, in: pair.proxy.directory)
        pair.proxy.kill(SIGHUP)
        try poll("the new rules hold") { try pair.proxy.post().status == 400 ? true : nil }
        let late = Running { try pair.proxy.post(key: "K") }
        try pair.waitForWaiters(2)
        configuration.route = "idempotency { nonsense; }"
        try ProxyProcess.write(configuration, in: pair.proxy.directory)
        pair.proxy.kill(SIGHUP)
        try poll("the failure is counted") {
            try pair.proxy.metric("oncegate_config_last_reload_successful") == 0 ? true : nil
        }
        expectProblem(try pair.proxy.post(), "key-missing", status: 400)
        release.open()
        let first = try owner.join()
        expectAnswer(first)
        expectReplay(try waiter.join(), of: first)
        expectReplay(try late.join(), of: first)
        #expect(pair.upstream.requests.count { $0["Idempotency-Key"] == "K" } == 1)
    }

    @Test("run --upstream needs no file: every non-safe method with a key is covered")
    func withoutFile() throws {
        let upstream = try ScriptedUpstream()
        let directory = try TestScope.current!.newDirectory()
        let proxy = try ProxyProcess(
            arguments: [
                "run", "--upstream", upstream.address.serverURL, "--listen", "127.0.0.1:0", "--store",
                "\(directory)/store",
            ],
            directory: directory)
        let first = try proxy.post(key: "K")
        expectReplay(try proxy.post(key: "K"), of: first)
        for _ in 0..<2 { expectAnswer(try proxy.post()) }
        #expect(upstream.executions == 3)
        let admin = try RawClient(.unix("\(directory)/store/admin.sock")).exchange(.get("/readyz"))
        #expect(admin.status == 200)
        // It says what it listens on, what it protects and where the records are.
        #expect(proxy.process.standardError.contains("\(directory)/store"))
        #expect(proxy.process.standardError.contains("\(upstream.address.port)"))
    }
}
