import Foundation
import TestSupport
import Testing

/// Behaviour 70: `mode observe` sees everything and touches nothing.
@Suite(.blackBox) struct ObserveTests {
    static let metric = "oncegate_observed_requests_total"

    /// How many requests were observed, once so many are.
    static func waitForObserved(_ proxy: ProxyProcess, _ count: Int) throws {
        _ = try poll("\(count) observed requests") { try proxy.metric(metric) == Double(count) ? true : nil }
    }

    @Test(
        "B70 everything is forwarded, nothing replayed, and repeats, mismatches and requests without token are counted")
    func counts() throws {
        let pair = try Pair("mode observe; on_missing_key reject;") { _ in .answer() }
        for _ in 0..<3 { expectAnswer(try pair.proxy.post(key: "K")) }
        expectAnswer(try pair.proxy.post(key: "K", body: "other"))
        expectAnswer(try pair.proxy.post(key: "L"))
        expectAnswer(try pair.proxy.post(key: "M", body: "once"))
        for _ in 0..<2 { expectAnswer(try pair.proxy.post(body: "keyless")) }
        for key in ["a b", "\"open"] { expectAnswer(try pair.proxy.post(key: key, body: "malformed")) }
        expectAnswer(try pair.proxy.send(.get()))
        #expect(pair.upstream.executions == 11)
        try Self.waitForObserved(pair.proxy, 10)
        let expected: [(String, String, Double)] = [
            ("token", "first", 2), ("token", "duplicate", 2), ("token", "mismatch", 1), ("token", "other_key", 1),
            ("none", "first", 1), ("none", "duplicate", 1), ("malformed", "first", 2),
        ]
        for (key, finding, count) in expected {
            #expect(
                try pair.proxy.metric(Self.metric, ["route": "/", "key": key, "finding": finding]) == count,
                "\(key) \(finding)")
        }
        #expect(try pair.proxy.records().isEmpty)
        #expect(try pair.proxy.metric(outcomeMetric) == nil)
    }

    @Test("many clients at once: the counts stay exact")
    func concurrentCounts() throws {
        let pair = try Pair("mode observe;") { _ in .answer() }
        // Each of eight clients sends forty tokens twice; all send the same ones, so of 640 requests 600 are repeats.
        let clients = (0..<8).map { _ in
            Running {
                let client = try pair.proxy.client()
                for number in 0..<80 {
                    let request = Request.post(key: "K\(number % 40)", body: "body \(number % 40)")
                    expectAnswer(try client.exchange(request, until: .after(30)))
                }
                return true
            }
        }
        for client in clients { #expect(try client.join()) }
        try Self.waitForObserved(pair.proxy, 640)
        #expect(try pair.proxy.metric(Self.metric, ["key": "token", "finding": "first"]) == 40)
        #expect(try pair.proxy.metric(Self.metric, ["key": "token", "finding": "duplicate"]) == 600)
        let report = try ReportTests.json(pair.proxy)
        let route = try #require(report.routes.first)
        #expect(route.number("requests") == 640 && route.number("repeats", "token") == 600)
        #expect(try pair.proxy.metric("oncegate_observations_dropped_total") == 0)
    }

    @Test("what client and service see is what they would see without the block")
    func sameOctets() throws {
        let script: ScriptedUpstream.Script = { request in
            .answer(
                request.path == "/500" ? 500 : 201,
                [
                    Field("X-B", "2"), Field("x-a", "1"), Field("Set-Cookie", "a=1"), Field("Set-Cookie", "b=2"),
                    Field("Location", "/orders/7"), Field("Content-Type", "text/plain"),
                ], body: octets("echo ") + request.body)
        }
        let upstream = try ScriptedUpstream(script)
        let plain = try Pair(upstream: upstream) { $0.route = "" }
        let hash =
            "hash { body json; } request_body_limit 1KiB; scope header X-Tenant; forward_key strip; key json /id;"
        for idempotency in ["mode observe;", "mode observe; on_missing_key reject; \(hash)"] {
            let observed = try Pair(upstream: upstream, idempotency)
            let requests: [Request] = [
                .post("/a?x=%41", key: "K"), .post(key: "a b", body: "x"), .post(body: ""), .post("/500", key: "K"),
                .post(body: String(repeating: "x", count: 5000)), .post(body: "{\"a\": 1, \"id\": \"T\"}"),
                Request(
                    "PUT", "/put", [Field("Idempotency-Key", "")],
                    body: .chunked([[65], [66, 67]], trailers: [Field("X-T", "1")])),
                Request("DELETE", "/d"), .get("/g"), Request("HEAD", "/h"),
                .post(key: "K", [Field("Connection", "Idempotency-Key")]), .post(key: "K", [Field("X_Tenant", "1")]),
            ]
            for request in requests {
                let before = upstream.requests.count
                let direct = try plain.proxy.send(request)
                let watched = try observed.proxy.send(request)
                #expect(watched.status == direct.status, "\(request.target)")
                #expect(watched.headOctets == direct.headOctets, "\(request.target)")
                expectOctets(watched.body, direct.body)
                let received = Array(upstream.requests[before...])
                #expect(received.count == (direct.status < 400 || direct.status == 500 ? 2 : 0), "\(request)")
                #expect(received.first?.headOctets == received.last?.headOctets, "\(request.target)")
                #expect(received.first?.rawBody == received.last?.rawBody, "\(request.target)")
            }
        }
    }

    @Test("server-sent events pass one by one")
    func events() throws {
        let latches = [Latch(), Latch()]
        let pair = try Pair("mode observe;") { _ in .events([(latches[0], "one"), (latches[1], "two")]) }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        #expect(try client.head()["Content-Type"] == "text/event-stream")
        for (latch, data) in zip(latches, ["one", "two"]) {
            latch.open()
            #expect(try text(client.chunk()) == "data: \(data)\n\n")
        }
        #expect(try client.chunk().isEmpty)
    }

    @Test("a request streams to the service while it comes, whatever the body's form", arguments: ["raw", "json"])
    func uploadStreams(form: String) throws {
        let began = Latch()
        let pair = try Pair("mode observe; hash { body \(form); }") { _ in
            Reply { exchange in
                try exchange.readBody(atMost: 5)
                began.open()
                try exchange.readBody()
                try exchange.send(headOctets(201, [Field("Content-Length", "0")]))
            }
        }
        let client = try pair.proxy.client()
        try client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n12345")
        // The service has the first half before the second is sent.
        try began.wait(until: .standard)
        try client.send("67890")
        #expect(try client.response().status == 201)
    }

    @Test("large bodies both ways need no memory of their size", arguments: ["raw", "json"])
    func largeBodies(form: String) throws {
        let piece = [UInt8](repeating: 0x41, count: 64 << 10)
        let count = 200 << 20
        let pair = try Pair(
            "mode observe; hash { body \(form); } key json /id; request_body_limit 4MiB;",
            configure: { $0.top = "body_memory 16MiB;" },
            script: { _ in
                Reply { exchange in
                    // Read, not kept.
                    var left = Int(exchange.request["Content-Length"] ?? "") ?? 0
                    while left > 0 { left -= try exchange.reader.some(atMost: 1 << 20, until: .after(60)).count }
                    try exchange.send(
                        headOctets(200, [Field("Content-Length", "\(count)"), Field("Connection", "close")]))
                    for _ in 0..<(count / piece.count) { try exchange.send(piece) }
                    exchange.close()
                }
            })
        let before = try pair.proxy.memoryKiB("VmHWM")
        let client = try pair.proxy.client()
        try client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: \(count)\r\n\r\n")
        for _ in 0..<(count / piece.count) { try client.socket.send(piece, until: .after(60)) }
        #expect(try client.head().status == 200)
        var received = 0
        while received < count { received += try client.some(until: .after(60)).count }
        #expect(received == count)
        #expect(try pair.proxy.memoryKiB("VmHWM") - before < 24 << 10)
        let route = try #require(try ReportTests.waitForReport(pair.proxy, requests: 1).routes.first)
        #expect(route.number("keys", form == "raw" ? "unread" : "unread") == 1)
        #expect(try pair.proxy.metric("oncegate_body_memory_bytes") == 0)
    }

    @Test("a store that cannot be written fails no request, and is counted")
    func unwritable() throws {
        let directory = try TestScope.current!.newDirectory()
        try FileManager.default.createDirectory(atPath: "\(directory)/store", withIntermediateDirectories: true)
        let upstream = try ScriptedUpstream()
        let proxy = try ProxyProcess(
            ProxyConfiguration(upstream, idempotency: "mode observe;"), directory: directory)
        // A file stands where the directory of the observations would be made.
        #expect(FileManager.default.createFile(atPath: "\(directory)/store/observations", contents: nil))
        for _ in 0..<3 { expectAnswer(try proxy.post(key: "K")) }
        try Self.waitForObserved(proxy, 3)
        _ = try poll("counted") {
            try proxy.metric("oncegate_observations_dropped_total", ["reason": "write"]) == 3 ? true : nil
        }
        #expect(proxy.process.standardError.contains("observations cannot be written"))
    }

    @Test("kill -9 takes what was not written yet, and nothing else")
    func kill() throws {
        let pair = try Pair("mode observe;")
        for number in 0..<50 { expectAnswer(try pair.proxy.post(key: "K\(number)")) }
        _ = try ReportTests.waitForReport(pair.proxy, requests: 50)
        // The last batch is on its way when the proxy dies.
        for number in 50..<60 { expectAnswer(try pair.proxy.post(key: "K\(number)")) }
        let proxy = try pair.proxy.crashAndRestart()
        let kept = try ReportTests.json(proxy).requests
        #expect((50...60).contains(kept))
        // What was kept is known: its repeats count as such after the restart.
        expectAnswer(try proxy.post(key: "K7"))
        try Self.waitForObserved(proxy, 1)
        #expect(try proxy.metric(Self.metric, ["finding": "duplicate"]) == 1)
        #expect(try ReportTests.waitForReport(proxy, requests: kept + 1).routes[0].number("repeats", "token") == 1)
    }

    @Test("HTTP/2 and gRPC-like trailers are observed as HTTP/1 is")
    func http2() throws {
        let pair = try ProtocolPair(.h2c, configure: { $0.route = "idempotency { mode observe; }" }) { _ in
            PlainAnswer(body: octets("answer"))
        }
        for _ in 0..<2 {
            #expect(try pair.proxy.send(.post(key: "K"), over: .http2).status == 201)
        }
        #expect(pair.service.executions == 2)
        let route = try #require(try ReportTests.waitForReport(pair.proxy, requests: 2).routes.first)
        #expect(route.number("repeats", "token") == 1)
        #expect(route.number("enforced", "token", "same_answer") == 1)
    }

    @Test("a reload turns observing into enforcing")
    func reload() throws {
        let pair = try Pair("mode observe;")
        for _ in 0..<2 { expectAnswer(try pair.proxy.post(key: "K")) }
        let path = "\(pair.proxy.directory)/proxy.conf"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try text.replacingOccurrences(of: "mode observe;", with: "").write(
            toFile: path, atomically: true, encoding: .utf8)
        pair.proxy.kill(SIGHUP)
        _ = try poll("the reload") { pair.proxy.process.standardError.contains("\"reloaded\"") ? true : nil }
        let first = try pair.proxy.post(key: "K")
        expectAnswer(first)
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        #expect(pair.upstream.executions == 3)
    }

    @Test("neither tokens nor payloads are in what is kept or reported")
    func redaction() throws {
        let pair = try Pair("mode observe; scope header X-Tenant;") { _ in
            .answer(201, [Field("Location", "/canary-location")], body: octets("canary-answer"))
        }
        let fields = [Field("X-Tenant", "canary-tenant")]
        for _ in 0..<2 { _ = try pair.proxy.post("/canary-path", key: "canary-token", fields, body: "canary-body") }
        _ = try ReportTests.waitForReport(pair.proxy, requests: 2)
        let directory = "\(pair.proxy.directory)/store/observations"
        for file in try FileManager.default.contentsOfDirectory(atPath: directory) {
            let octets = try Data(contentsOf: URL(filePath: "\(directory)/\(file)"))
            #expect(octets.range(of: Data("canary".utf8)) == nil)
        }
        for format in ["table", "json", "html"] {
            #expect(!(try ReportTests.report(pair.proxy, "--format", format).contains("canary")))
        }
    }
}
