import Foundation
import Idempotency
import Stores
import TestSupport
import Testing

/// `oncegate report` on what a running proxy has seen, and on what was made up.
@Suite(.blackBox) struct ReportTests {
    /// A JSON report.
    struct Content {
        let object: [String: Any]

        var requests: Int { object["requests"] as? Int ?? -1 }
        var routes: [Route] { (object["routes"] as? [[String: Any]] ?? []).map { Route(object: $0) } }
    }

    struct Route {
        let object: [String: Any]

        /// The number at this path; -1 where there is none.
        func number(_ path: String...) -> Int {
            var value: Any? = object
            for name in path { value = (value as? [String: Any])?[name] }
            return value as? Int ?? -1
        }

        func gaps(_ kind: String) -> [Int] {
            let gaps = (object["gaps"] as? [String: Any])?[kind] as? [[String: Any]] ?? []
            return gaps.map { $0["count"] as? Int ?? -1 }
        }

        var suggestion: [String: Any] { object["suggestion"] as? [String: Any] ?? [:] }
        var configuration: String { suggestion["configuration"] as? String ?? "" }
    }

    static func run(_ arguments: [String]) throws -> (ending: Subprocess.Ending, output: String, error: String) {
        try Subprocess.run([ProxyProcess.binary, "report"] + arguments)
    }

    static func report(_ proxy: ProxyProcess, _ arguments: String...) throws -> String {
        let result = try run(["-c", "\(proxy.directory)/proxy.conf"] + arguments)
        #expect(result.ending == .exit(0), "\(result.error)")
        return result.output
    }

    static func json(_ proxy: ProxyProcess) throws -> Content {
        try content(try report(proxy, "--format", "json"))
    }

    static func content(_ text: String) throws -> Content {
        Content(object: try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] ?? [:])
    }

    /// Waits until this many requests are written.
    static func waitForReport(_ proxy: ProxyProcess, requests: Int) throws -> Content {
        try poll("\(requests) reported requests") {
            let content = try json(proxy)
            return content.requests == requests ? content : nil
        }
    }

    @Test("a run with known repeats gives exact figures, while the proxy runs")
    func figures() throws {
        let pair = try Pair(
            "mode observe;",
            configure: { configuration in
                configuration.more = "route /b { upstream service; idempotency { mode observe; } }"
            },
            script: { request in
                switch request.path {
                // Another order each time, under another number.
                case "/orders": .answer(201, [Field("Location", "/orders/\(request.ordinal)")], body: octets("ok"))
                case "/flaky": .answer(request.ordinal == 1 ? 201 : 500, [], body: octets("ok"))
                case "/busy": .answer(503, [], body: octets("later"))
                case "/gone": .closeAfterRequest
                default: .answer(201, [Field("Date", "\(request.ordinal)")], body: octets("same"))
                }
            })
        for _ in 0..<3 { _ = try pair.proxy.post("/orders", key: "A") }
        for _ in 0..<2 { _ = try pair.proxy.post("/flaky", key: "B") }
        for _ in 0..<2 { _ = try pair.proxy.post("/same", key: "C") }
        for _ in 0..<2 { _ = try pair.proxy.post("/busy", key: "D") }
        for _ in 0..<2 { expectProblem(try pair.proxy.post("/gone", key: "E"), "upstream-broken", status: 502) }
        _ = try pair.proxy.post("/same", key: "C", body: "other")
        _ = try pair.proxy.post("/same", key: "F", body: "new token")
        _ = try pair.proxy.post("/same", key: "G", body: "new token")
        for _ in 0..<4 { _ = try pair.proxy.post("/orders", body: "no token") }
        _ = try pair.proxy.post("/b", key: "A")
        let report = try Self.waitForReport(pair.proxy, requests: 19)
        #expect(report.object["format"] as? Int == 1)
        #expect(report.routes.map { $0.object["route"] as? String } == ["/", "/b"])
        let route = try #require(report.routes.first)
        #expect(route.number("requests") == 18)
        #expect(route.number("keys", "token") == 14 && route.number("keys", "none") == 4)
        #expect(route.number("repeats", "token") == 6 && route.number("repeats", "without_token") == 3)
        #expect(route.number("mismatches") == 1 && route.number("mismatched_tokens") == 1)
        #expect(route.number("other_keys") == 1)
        #expect(route.number("enforced", "token", "would_replay") == 4)
        #expect(route.number("enforced", "token", "other_answer") == 2)
        #expect(route.number("enforced", "token", "other_status") == 1)
        #expect(route.number("enforced", "token", "same_answer") == 1)
        #expect(route.number("enforced", "token", "would_run") == 1)
        #expect(route.number("enforced", "token", "would_hold") == 1)
        #expect(route.number("enforced", "without_token", "other_answer") == 3)
        #expect(route.number("ran_again") == 6)
        #expect(route.gaps("token").reduce(0, +) == 6 && route.gaps("without_token").reduce(0, +) == 3)
        let hours = route.object["hours"] as? [[String: Any]] ?? []
        #expect(hours.reduce(0) { $0 + ($1["repeats"] as? Int ?? 0) } == 9)
        // Only one route, only what is recent, only what is old.
        #expect(try Self.content(try Self.report(pair.proxy, "--format", "json", "--route", "/b")).requests == 1)
        #expect(try Self.content(try Self.report(pair.proxy, "--format", "json", "--since", "1h")).requests == 19)
        let unknown = try Self.run(["-c", "\(pair.proxy.directory)/proxy.conf", "--route", "/c"])
        #expect(unknown.ending == .exit(1) && unknown.error.contains("there are '/', '/b'"))
    }

    @Test("a client that leaves before its answer and comes again has not got the first: 'replay undelivered' would do")
    func clientLeft() throws {
        let latch = Latch()
        let pair = try Pair("mode observe;") { $0.ordinal == 1 ? .held(latch) : .answer() }
        let client = try pair.proxy.client()
        try client.send(.post(body: "order"))
        try pair.upstream.waitForExecutions(1)
        client.close()
        latch.open()
        _ = try Self.waitForReport(pair.proxy, requests: 1)
        expectAnswer(try pair.proxy.post(body: "order"))
        let route = try #require(try Self.waitForReport(pair.proxy, requests: 2).routes.first)
        // The service's first answer was read all the same: it is known that the second is the same.
        #expect(route.number("enforced", "without_token", "same_answer") == 1)
        #expect(route.configuration.contains("replay undelivered;"))
    }

    @Test("a repeat on another connection right behind an answer that was read is not taken for one that overtook it")
    func rightBehind() throws {
        let pair = try Pair("mode observe;") { _ in
            // Longer than a tick of the coarse clock is behind.
            usleep(1500)
            return .answer(body: octets("same"))
        }
        for number in 0..<200 {
            for _ in 0..<2 { expectAnswer(try pair.proxy.post(body: "order \(number)")) }
        }
        let route = try #require(try Self.waitForReport(pair.proxy, requests: 400).routes.first)
        #expect(route.number("enforced", "without_token", "same_answer") == 200)
        // Every one of them came after an answer that had arrived.
        #expect("\(route.suggestion)".contains("200 of 200 repeats"), "\(route.suggestion)")
    }

    @Test("an answer of which a UNIX socket does not tell whether it arrived is not taken for lost")
    func unknownDelivery() throws {
        let path = try TestScope.current!.newDirectory() + "/p.sock"
        // More than the socket holds, and less than holds the service up.
        let pair = try Pair(
            "mode observe;", configure: { $0.listen = "listen unix:\(path);" },
            script: { _ in .answer(200, body: [UInt8](repeating: 65, count: 256 << 10)) })
        for requests in 1...2 {
            let client = try RawClient(.unix(path))
            try client.send(.post(body: "order"))
            // Nothing of it is read before it is known what is said of it.
            _ = try Self.waitForReport(pair.proxy, requests: requests)
            #expect(try client.response().body.count == 256 << 10)
        }
        let route = try #require(try Self.json(pair.proxy).routes.first)
        #expect(route.number("enforced", "without_token", "same_answer") == 1)
        #expect(!route.configuration.contains("replay undelivered;"))
    }

    @Test("the suggested block passes check in the place of the one that observed, and protects")
    func suggestion() throws {
        let blocks = [
            "mode observe;",
            "mode observe; key json /id; scope none; hash { body json; exclude json /ts; } retention 1h; on_missing_key reject;",
            "mode observe; namespace o urn:o; key xpath \"//o:Ref\"; hash { body soap; exclude xpath \"//o:Sent\"; window 1m; replay always; } on_missing_key hash; in_flight wait 5s; record 500; request_body_limit 1KiB;",
            "mode observe; hash { body json; } on_unknown probe { get \"/o?a={body.json(/a)}\"; header Accept a/b; header X-Ref \"{body.json(/a)}\"; found 200; }",
        ]
        for (index, block) in blocks.enumerated() {
            let pair = try Pair(block)
            let body = index == 2 ? "<a/>" : #"{"a": 1}"#
            let type = [Field("Content-Type", index == 2 ? "text/xml" : "application/json")]
            // Open until all is observed: the answers are known to have arrived.
            let client = try RawClient(pair.proxy.address)
            for _ in 0..<2 { expectAnswer(try client.exchange(.post("/", type, body: body))) }
            if index == 2 {
                let large = "<a>\(String(repeating: "x", count: 2000))</a>"
                expectAnswer(try client.exchange(.post("/", type, body: large)))
            }
            let route = try #require(try Self.waitForReport(pair.proxy, requests: index == 2 ? 3 : 2).routes.first)
            #expect(route.configuration.contains("on_missing_key hash;"), "\(route.configuration)")
            let path = "\(pair.proxy.directory)/proxy.conf"
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text.contains("idempotency { \(block) }"))
            try text.replacingOccurrences(of: "idempotency { \(block) }", with: route.configuration)
                .write(toFile: path, atomically: true, encoding: .utf8)
            let check = try Subprocess.run([ProxyProcess.binary, "check", "-c", path])
            #expect(check.ending == .exit(0), "\(check.error)\n\(route.configuration)")
            #expect(!check.error.contains("warning"), "\(check.error)")
            pair.proxy.kill(SIGHUP)
            _ = try poll("the reload") { pair.proxy.process.standardError.contains("\"reloaded\"") ? true : nil }
            let first = try pair.proxy.post("/", type, body: body)
            expectReplay(try pair.proxy.post("/", type, body: body), of: first)
        }
    }

    @Test(
        "a probe's credential that the configuration spells out is kept nowhere; the suggested block says where it goes"
    )
    func literalCredential() throws {
        let block = #"mode observe; on_unknown probe { get /o; header Authorization "Bearer hunter2"; found 200; }"#
        let pair = try Pair(block)
        for _ in 0..<2 { expectAnswer(try pair.proxy.post(body: "order")) }
        let route = try #require(try Self.waitForReport(pair.proxy, requests: 2).routes.first)
        #expect(route.configuration.contains("header Authorization \"…\";"), "\(route.configuration)")
        let cautions = (route.object["suggestion"] as? [String: Any])?["cautions"] as? [String] ?? []
        #expect(cautions.contains { $0.contains("'header Authorization'") }, "\(cautions)")
        for format in ["json", "table", "html"] {
            #expect(!(try Self.report(pair.proxy, "--format", format)).contains("hunter2"))
        }
        let folder = "\(pair.proxy.directory)/store/observations"
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let octets = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))
            #expect(octets.range(of: Data("hunter2".utf8)) == nil, "\(name)")
        }
        let path = "\(pair.proxy.directory)/proxy.conf"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try text.replacingOccurrences(of: "idempotency { \(block) }", with: route.configuration)
            .write(toFile: path, atomically: true, encoding: .utf8)
        let check = try Subprocess.run([ProxyProcess.binary, "check", "-c", path])
        #expect(check.ending == .exit(0) && check.error.contains("'…' stands for a value"), "\(check.error)")
    }

    @Test("nothing observed: what to do is said; wrong arguments: what is wrong")
    func empty() throws {
        let pair = try Pair("")
        expectAnswer(try pair.proxy.post(key: "K"))
        #expect(try Self.report(pair.proxy).contains("mode observe;"))
        #expect(try Self.json(pair.proxy).requests == 0)
        #expect(try Self.report(pair.proxy, "--format", "html").contains("mode observe;"))
        #expect(!FileManager.default.fileExists(atPath: "\(pair.proxy.directory)/store/observations"))
        for (arguments, code, expected) in [
            (["--path", "/nowhere"], 1, "/nowhere is not a directory"),
            (["--since", "24"], 64, "write 30m, 24h or 7d"),
            (["--path", "/tmp", "-c", "x"], 64, "exclude each other"), (["-c", "/nowhere.conf"], 1, "--path DIR"),
            (["--format", "pdf", "--path", "/tmp"], 64, "table"),
            (["--path", pair.proxy.directory + "/store", "-o", "/nowhere/a"], 1, "cannot write /nowhere/a"),
        ] as [([String], Int32, String)] {
            let result = try Self.run(arguments)
            #expect(result.ending == .exit(code) && result.error.contains(expected), "\(arguments): \(result.error)")
        }
        let memory = try Pair("mode observe;", configure: { $0.store = "store memory;" })
        let result = try Self.run(["-c", "\(memory.proxy.directory)/proxy.conf"])
        #expect(result.ending == .exit(1) && result.error.contains("'store embedded' does"))
        expectAnswer(try memory.proxy.post(key: "K"))
        try ObserveTests.waitForObserved(memory.proxy, 1)
    }

    @Test("docs/legacy-soap.md is true: each of its commands, in its order, does what it says")
    func guide() throws {
        let root = ProxyProcess.packageRoot
        let result = try Subprocess.run(
            ["\(root)/examples/legacy-soap/guide"], environment: ["ONCEGATE_BINARY": ProxyProcess.binary],
            until: .after(110))
        #expect(result.ending == .exit(0), "\(result.output)\n\(result.error)")
        func commands(_ text: String) -> [Substring] {
            text.split(separator: "\n").filter { $0.hasPrefix("$ ") }
        }
        let guide = try String(contentsOfFile: "\(root)/docs/legacy-soap.md", encoding: .utf8)
        // The service and the proxy are started by other means, so that their ports are free ones.
        let own = ["$ python order_service.py", "$ oncegate run", "$ cp ", "$ cd ", "$ export ", "$ pip "]
        let shown = commands(guide).filter { command in !own.contains { command.hasPrefix($0) } }
        #expect(!shown.isEmpty && shown == commands(result.output))
    }

    /// Made-up observations in a directory of the test's own.
    private func write(_ routes: [ObservedRoute], _ observations: [Observation], batch: Int = 50_000) throws -> String {
        let directory = try TestScope.current!.newDirectory()
        let recorder = try ObservationRecorder(store: directory, bytesMax: 1 << 30)
        for route in routes { _ = recorder.register(route) }
        var rest = observations[...]
        while !rest.isEmpty {
            recorder.submit(Array(rest.prefix(batch)))
            rest = rest.dropFirst(batch)
            // A batch waits for 20 ms; more than the queue takes would be dropped.
            recorder.flush()
        }
        recorder.close()
        return directory
    }

    private static func observation(
        _ milliseconds: UInt64, route: UInt32 = 0, token: UInt64? = nil, payload: UInt64, answer: UInt64 = 0
    ) -> Observation {
        var observation = Observation(route: route)
        observation.milliseconds = milliseconds
        observation.key = token == nil ? .none : .token
        observation.token = ObservedHash(high: token ?? 0, low: 1)
        observation.payload = ObservedHash(high: payload, low: 2)
        observation.digest = ObservedHash(high: answer, low: 3)
        observation.ending = .answered
        observation.status = 200
        return observation
    }

    @Test("the table fits 100 columns, whatever the routes are called and however much there is")
    func tableWidth() throws {
        let routes = [
            ObservedRoute(name: "/" + String(repeating: "very-long-", count: 30)),
            ObservedRoute(name: "host.example/\u{1B}[31mred", directives: ["key header X;"]),
        ]
        var generator = SeededGenerator(seed: 2)
        var observations: [Observation] = []
        for number in UInt64(0)..<50_000 {
            let time = 1_700_000_000_000 + number * 20_000
            observations.append(
                Self.observation(
                    time + generator.next() % 100_000_000, route: UInt32(number % 2),
                    token: number % 3 == 0 ? nil : generator.next() % 30_000, payload: generator.next() % 20_000,
                    answer: generator.next() % 2))
        }
        let directory = try write(routes, observations)
        let text = try Self.run(["--path", directory]).output
        for line in text.split(separator: "\n") where !line.hasPrefix("    ") { #expect(line.count <= 100, "\(line)") }
        #expect(!text.contains("\u{1B}"))
    }

    @Test("the page stands alone: nothing is loaded, nothing runs, everything is escaped, and it is well-formed")
    func page() throws {
        let routes = [ObservedRoute(name: "~ ^/<script>alert('x')</script>&\"", directives: ["key header \"<b>\";"])]
        let observations = (UInt64(0)..<500).map { number in
            Self.observation(1_700_000_000_000 + number * 600_000, payload: number / 2, answer: number)
        }
        let directory = try write(routes, observations)
        let file = directory + "/report.html"
        #expect(try Self.run(["--path", directory, "--format", "html", "-o", file]).ending == .exit(0))
        let page = try String(contentsOfFile: file, encoding: .utf8)
        for forbidden in ["<script", "http:", "https:", "src=", "url(", "@import", "<b>", "javascript:", " on"] {
            let found = page.components(separatedBy: forbidden).count - 1
            // ` on` is looked for as an attribute.
            if forbidden == " on" {
                #expect(page.range(of: #"\son[a-z]+="#, options: .regularExpression) == nil)
            } else {
                #expect(found == 0, "\(forbidden)")
            }
        }
        #expect(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"))
        #expect(page.contains("prefers-color-scheme: dark") && page.contains("<svg") && page.contains("<desc"))
        let check = try Subprocess.run([
            ProcessInfo.processInfo.environment["ONCEGATE_PYTHON"] ?? "python3", "-c",
            """
            import sys
            from html.parser import HTMLParser
            void = {"meta", "rect", "line"}
            class Check(HTMLParser):
                stack, ids, labels = [], set(), set()
                def handle_starttag(self, tag, attributes):
                    attributes = dict(attributes)
                    if "id" in attributes:
                        assert attributes["id"] not in self.ids, attributes
                        self.ids.add(attributes["id"])
                    self.labels.update((attributes.get("aria-labelledby") or "").split())
                    if tag == "rect": self.stack.append(tag)
                    elif tag not in void: self.stack.append(tag)
                def handle_startendtag(self, tag, attributes): pass
                def handle_endtag(self, tag): assert self.stack.pop() == tag, tag
            check = Check()
            check.feed(open(sys.argv[1]).read())
            check.close()
            assert not check.stack, check.stack
            assert check.labels <= check.ids and check.labels
            print("well-formed")
            """, file,
        ])
        #expect(check.output == "well-formed\n", "\(check.error)")
    }

    @Test("a million observations are reported in less than ten seconds", .enabled(if: hasReleaseBinary))
    func million() throws {
        var generator = SeededGenerator(seed: 4)
        let observations = (UInt64(0)..<1_000_000).map { number in
            Self.observation(
                1_700_000_000_000 + number * 500, route: UInt32(number % 4),
                token: number % 2 == 0 ? generator.next() % 400_000 : nil, payload: generator.next() % 600_000,
                answer: generator.next() % 3)
        }
        let directory = try write((0..<4).map { ObservedRoute(name: "/\($0)") }, observations)
        for format in ["table", "json", "html"] {
            // Processor time: the machine may be busy with other tests.
            let result = try Subprocess.run([
                "bash", "-c", "TIMEFORMAT='%U %S'; time \"$0\" report \"$@\"", ProxyProcess.binary, "--path", directory,
                "--format", format,
            ])
            let seconds = result.error.split(whereSeparator: \.isWhitespace).compactMap { Double($0) }.reduce(0, +)
            print("a million observations as \(format): \(seconds) s of processor time")
            #expect(seconds > 0 && seconds < 10 && result.output.contains("1000000"))
        }
    }

    /// A debug build is several times as slow: the promise is not about it.
    private static var hasReleaseBinary: Bool { ProxyProcess.binary.contains("release") }
}
