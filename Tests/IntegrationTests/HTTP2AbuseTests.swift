import Foundation
import TestSupport
import Testing

/// Checks B1 to B19: Clients/h2_abuse.py and h2_conformance.py do it, by hand-made frames, and tell what came of it.
@Suite(.blackBox) struct HTTP2AbuseTests {
    /// One line of h2_abuse.py.
    private struct Finding: Decodable, CustomStringConvertible {
        var scenario: String
        var goaway, outcome, error: String?
        var survives, closed: Bool?
        var resets, statuses: [String: Int]?
        var sent, sent_octets, frames_in, full, window, stuck, table, limit: Int?
        var seconds: Double?
        var cases: [String: String]?

        var description: String {
            "\(scenario): GOAWAY \(goaway ?? "no") survives \(survives ?? false) closed \(closed ?? false) resets "
                + "\(resets ?? [:]) statuses \(statuses ?? [:]) sent \(sent ?? 0) \(cases ?? [:]) \(outcome ?? "") "
                + "window \(window ?? 0)/\(full ?? 0) \(seconds ?? 0) s \(error ?? "")"
        }

        /// Sent away: GOAWAY ENHANCE_YOUR_CALM, or another connection error and the end of the connection.
        var isSentAway: Bool { survives == false && (goaway.map { $0 != "NO_ERROR" } ?? false || closed == true) }
    }

    /// The burst of 200, what the bucket gave back meanwhile, and what was in one turn of the proxy: the client's
    /// resets are counted as they are read, the proxy's own as they are sent, with at most 1000 in the queue.
    private static func resetsMax(_ finding: Finding, ofProxy: Bool = false) -> Int {
        200 + 20 * Int((finding.seconds ?? 0).rounded(.up)) + (ofProxy ? 1000 : 100)
    }

    private struct Case: Decodable {
        var section, `case`, happened: String
        var ok: Bool
        var expected: [String]
    }

    private struct Bench {
        let upstream: ScriptedUpstream
        let proxy: ProxyProcess

        init(
            _ idempotency: String = "", top: String = "",
            script: @escaping ScriptedUpstream.Script = { _ in .answer(200) }
        ) throws {
            upstream = try ScriptedUpstream(script)
            var configuration = ProxyConfiguration(upstream, idempotency: idempotency)
            try configuration.listenEverywhere()
            configuration.top = top
            proxy = try ProxyProcess(configuration)
        }

        func run(_ scenarios: String..., secure: Bool = false, count: Int? = nil) throws -> [Finding] {
            let address = secure ? proxy.secure : proxy.clear
            var command = [Peer.python, "\(Peer.clients)/h2_abuse.py", "127.0.0.1", "\(address.port)"] + scenarios
            if secure { command.append("--tls") }
            if let count { command += ["--count", "\(count)"] }
            let result = try Subprocess.run(command, until: .after(100))
            let findings = result.output.split(separator: "\n").compactMap {
                try? JSONDecoder().decode(Finding.self, from: Data($0.utf8))
            }
            try #require(findings.count == scenarios.count, "\(result.output)\(result.error)")
            #expect(findings.allSatisfy { $0.error == nil }, "\(findings)")
            // Whatever was done: the next client is served.
            expectAnswer(try proxy.send(.get("/after"), over: secure ? .http2 : .h2c), status: 200)
            return findings
        }

        func cpuSeconds() throws -> Double {
            let stat = try String(contentsOfFile: "/proc/\(proxy.process.processIdentifier)/stat", encoding: .utf8)
            let fields = stat[stat.lastIndex(of: ")")!...].split(separator: " ")
            return Double(Int(fields[12])! + Int(fields[13])!) / Double(sysconf(Int32(_SC_CLK_TCK)))
        }
    }

    // MARK: B1

    @Test("B1 RFC 9113 and RFC 7541, case by case (as h2spec has them)", arguments: [false, true])
    func conformance(secure: Bool) throws {
        let bench = try Bench()
        let address = secure ? bench.proxy.secure : bench.proxy.clear
        let result = try Subprocess.run(
            [Peer.python, "\(Peer.clients)/h2_conformance.py", "127.0.0.1", "\(address.port)"]
                + (secure ? ["--tls"] : []),
            until: .after(110))
        let cases = result.output.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(Case.self, from: Data($0.utf8))
        }
        #expect(cases.count > 100, "\(result.output.suffix(1000))\(result.error)")
        for each in cases {
            #expect(each.ok, "§\(each.section) \(each.case): \(each.happened), allowed are \(each.expected)")
        }
    }

    // MARK: B2, B3, B4

    @Test(
        "B2 rapid reset: sent away within the burst, the service's work is bounded",
        arguments: ["rapid_reset", "rapid_reset_keyed"])
    func rapidReset(scenario: String) throws {
        let bench = try Bench()
        let before = try bench.cpuSeconds()
        let finding = try bench.run(scenario, count: 10_000)[0]
        #expect(finding.goaway == "ENHANCE_YOUR_CALM", "\(finding)")
        #expect(finding.closed == true, "\(finding)")
        let attempts = bench.upstream.attempts
        #expect(attempts <= Self.resetsMax(finding), "\(attempts) requests reached the service")
        #expect(try bench.cpuSeconds() - before < 1)
    }

    @Test(
        "B3 resets that the client provokes come out of the same bucket (MadeYouReset)",
        arguments: [
            "provoked_window_zero", "provoked_window_overflow", "provoked_data_after_end", "provoked_self_dependency",
            "provoked_content_length", "provoked_malformed",
        ])
    func provokedResets(scenario: String) throws {
        let bench = try Bench()
        let finding = try bench.run(scenario)[0]
        #expect(finding.isSentAway, "\(finding)")
        #expect(finding.resets?.values.reduce(0, +) ?? 0 <= Self.resetsMax(finding, ofProxy: true), "\(finding)")
        #expect(bench.upstream.attempts <= Self.resetsMax(finding, ofProxy: true))
    }

    @Test(
        "B4 RST_STREAM after the POST was dispatched: it completes and is recorded; the retry gets it",
        arguments: [false, true])
    func resetAfterDispatch(secure: Bool) throws {
        let latch = Latch()
        let bench = try Bench { _ in .held(latch) }
        let client = try bench.proxy.http2(secure: secure)
        let stream = try client.start(.post(key: "K"))
        try bench.upstream.waitForExecutions(1)
        try client.reset(stream)
        // The claim is held: a repeat waits for the first attempt.
        let retry = try client.start(.post(key: "K"))
        try poll("the retry waits") { try bench.proxy.records().contains { $0["waiters"] as? Int == 1 } ? true : nil }
        latch.open()
        let answer = try client.response(on: retry)
        #expect(answer.isReplay)
        #expect(answer.status == 201)
        #expect(bench.upstream.executions == 1)
        expectReplayAcross(try client.post(key: "K"), of: try notReplay(answer))
    }

    private func notReplay(_ response: Response) throws -> Response {
        var copy = response
        copy.fields.removeAll { $0.name.lowercased() == "idempotent-replayed" }
        return copy
    }

    @Test("B4 two hundred resets after dispatch: every claim is held, every answer recorded")
    func manyResetsAfterDispatch() throws {
        let latch = Latch()
        let bench = try Bench { _ in .held(latch) }
        for round in 0..<2 {
            let client = try bench.proxy.http2()
            let streams = try (0..<90).map { try client.start(.post("/\(round)/\($0)", key: "K\(round)-\($0)")) }
            try bench.upstream.waitForExecutions((round + 1) * 90)
            for stream in streams { try client.reset(stream) }
        }
        latch.open()
        try bench.proxy.waitForState("completed", count: 90)
        for round in 0..<2 {
            for index in 0..<90 {
                #expect(try bench.proxy.post("/\(round)/\(index)", key: "K\(round)-\(index)").isReplay)
            }
        }
        #expect(bench.upstream.executions == 180)
    }

    // MARK: B5, B6, B7

    @Test(
        "B5 CONTINUATION floods are ended within 8 frames or 64 KiB",
        arguments: ["continuation_flood", "continuation_empty"])
    func continuations(scenario: String) throws {
        let bench = try Bench()
        let finding = try bench.run(scenario)[0]
        #expect(finding.isSentAway, "\(finding)")
        #expect(bench.upstream.attempts == 1, "only the request after it")
        #expect(try bench.proxy.memoryKiB("VmHWM") < 100_000)
    }

    @Test("B5 a head that never ends is ended at request_header_timeout")
    func endlessHead() throws {
        let bench = try Bench(top: "request_header_timeout 700ms;")
        let finding = try bench.run("continuation_never_ends", count: 15)[0]
        #expect(finding.survives == false || finding.resets?.isEmpty == false, "\(finding)")
        #expect(finding.seconds ?? 99 < 5, "\(finding)")
    }

    @Test(
        "B6 an HPACK bomb, or too many fields: 431 or the end, memory bounded",
        arguments: ["hpack_bomb", "hpack_bomb_continued", "many_fields"])
    func hpackBombs(scenario: String) throws {
        let bench = try Bench()
        let before = try bench.proxy.memoryKiB("VmHWM")
        let finding = try bench.run(scenario)[0]
        // The one in CONTINUATION frames has more than 64 KiB on the wire, too.
        let isLong = scenario == "hpack_bomb_continued"
        #expect(finding.outcome == (isLong ? "goaway:ENHANCE_YOUR_CALM" : "status:431"), "\(finding)")
        #expect(try bench.proxy.memoryKiB("VmHWM") - before < 16_000)
        #expect(bench.upstream.attempts == 1)
    }

    @Test("B7 the encoder's table stays at 4 KiB, whatever the client allows; churn is borne or ended")
    func tables() throws {
        let bench = try Bench()
        let findings = try bench.run("table_size_huge", "table_size_churn")
        #expect(findings[0].table ?? 0 <= 4096, "\(findings[0])")
        #expect(findings[0].statuses == ["200": 50], "\(findings[0])")
        #expect(findings[1].table ?? 0 <= 4096, "\(findings[1])")
        #expect(try bench.proxy.memoryKiB("VmHWM") < 100_000)
    }

    // MARK: B8

    @Test(
        "B8 floods: the client is sent away",
        arguments: [
            "settings_flood", "settings_empty_flood", "ping_flood", "priority_flood", "empty_data_flood",
            "padded_data_flood", "one_octet_data_flood", "window_update_flood", "window_update_stream_flood",
            "unknown_frame_flood", "priority_update_flood", "empty_headers_flood", "settings_ack_flood",
            "ping_ack_flood", "goaway_flood",
        ])
    func floods(scenario: String) throws {
        let bench = try Bench()
        let before = try bench.cpuSeconds()
        // What is sent before the GOAWAY is read says nothing, but five thousand are enough.
        let finding = try bench.run(scenario, count: 5000)[0]
        #expect(finding.isSentAway, "\(finding)")
        #expect(try bench.cpuSeconds() - before < 1)
    }

    @Test(
        "B8 floods whose answers nobody reads: the queue is bounded",
        arguments: ["ping_flood_unread", "settings_flood_unread"])
    func unreadFloods(scenario: String) throws {
        let bench = try Bench()
        let before = try bench.proxy.memoryKiB("VmRSS")
        let finding = try bench.run(scenario)[0]
        #expect(finding.isSentAway, "\(finding)")
        #expect(try bench.proxy.memoryKiB("VmHWM") - before < 20_000, "\(finding)")
    }

    @Test("B8 SETTINGS with two thousand entries")
    func manyEntries() throws {
        #expect(try Bench().run("settings_many_entries")[0].isSentAway)
    }

    @Test(
        "ordinary clients never meet these limits: slow small uploads, many pings, many windows",
        arguments: [false, true])
    func ordinary(secure: Bool) throws {
        let bench = try Bench()
        let findings = try bench.run(
            "ping_flood", "window_update_flood", "one_octet_data_flood", secure: secure, count: 900)
        #expect(findings.allSatisfy { $0.survives == true }, "\(findings)")
    }

    // MARK: B9, B10

    @Test("B9 a hundred readers that never open their window, on a record of ten megabytes: bounded memory, and an end")
    func stalledReaders() throws {
        let piece = [UInt8](repeating: 9, count: 65536)
        let bench = try Bench("record_body_limit 16MiB;", top: "response_write_idle 3s;") { _ in
            .huge(10 << 20, piece: piece)
        }
        #expect(try bench.proxy.post(key: "K", until: .after(60)).body.count == 10 << 20)
        let before = try bench.proxy.memoryKiB("VmRSS")
        let client = try bench.proxy.http2(settings: ["initial_window_size": 0])
        let streams = try (0..<100).map { _ in try client.start(.post(key: "K")) }
        for stream in streams { #expect(try client.head(on: stream).response?.isReplay == true) }
        let growth = try bench.proxy.memoryKiB("VmRSS") - before
        #expect(growth < 100 * 128 + 8192, "\(growth) KiB for 100 streams")
        // Whether by RST_STREAM each or by the connection's end.
        for stream in streams { #expect(try !client.ending(of: stream).isComplete) }
        #expect(bench.upstream.executions == 1)
    }

    @Test("B9 the connection's window shut: as well")
    func stalledConnection() throws {
        let piece = [UInt8](repeating: 9, count: 65536)
        let bench = try Bench("record_body_limit 16MiB;", top: "response_write_idle 3s;") { _ in
            .huge(10 << 20, piece: piece)
        }
        _ = try bench.proxy.post(key: "K", until: .after(60))
        let before = try bench.proxy.memoryKiB("VmRSS")
        let client = try bench.proxy.http2(settings: ["initial_window_size": 1 << 30], acknowledges: false)
        let streams = try (0..<100).map { _ in try client.start(.post(key: "K")) }
        for stream in streams { _ = try client.head(on: stream) }
        let growth = try bench.proxy.memoryKiB("VmRSS") - before
        #expect(growth < 100 * 128 + 8192, "\(growth) KiB for 100 streams")
        for stream in streams { #expect(try !client.ending(of: stream).isComplete) }
    }

    @Test("B9 connections that are idle after a hundred streams at a time keep none of their memory")
    func idleAfterBurst() throws {
        let piece = [UInt8](repeating: 9, count: 60 << 10)
        let bench = try Bench { _ in .answer(200, body: piece) }
        func burst() throws -> HTTP2Client {
            let client = try bench.proxy.http2(settings: ["initial_window_size": 0])
            let streams = try (0..<100).map { _ in try client.start(.get("/asset")) }
            // All of each answer waits in the proxy.
            for stream in streams { #expect(try client.head(on: stream).response?.status == 200) }
            for stream in streams { try client.openWindow(of: stream, by: piece.count) }
            for stream in streams { #expect(try client.response(on: stream).body.count == piece.count) }
            try client.ping()
            return client
        }
        let first = try burst()
        let before = try bench.proxy.memoryKiB("VmRSS")
        let idle = try (0..<12).map { _ in try burst() }
        let growth = try bench.proxy.memoryKiB("VmRSS") - before
        #expect(growth < 24 * 1024, "\(growth) KiB for \(idle.count) idle connections")
        try first.close()
        for client in idle { try client.close() }
    }

    @Test(
        "B10 the connection's window is full again after octets that were read, padded, reset, refused or malformed",
        arguments: [
            "window_read", "window_padded", "window_reset", "window_refused", "window_malformed", "window_length",
        ],
        [false, true])
    func windows(scenario: String, secure: Bool) throws {
        let bench = try Bench(scenario == "window_refused" ? "on_missing_key reject;" : "")
        let finding = try bench.run(scenario, secure: secure)[0]
        #expect(finding.survives == true, "\(finding)")
        #expect(finding.stuck == 0, "\(finding)")
        let (full, window, sent) = (finding.full ?? 0, finding.window ?? 0, finding.sent ?? 0)
        #expect(full >= 1 << 20, "\(finding)")
        #expect(sent > 2 * full, "\(sent) octets say nothing about a window of \(full)")
        // To the octet.
        #expect(window == full, "\(finding)")
    }

    // MARK: B11 to B16, B19

    @Test("B11 more than 100 streams: the rest is refused, the connection goes on")
    func tooManyStreams() throws {
        let bench = try Bench()
        let finding = try bench.run("too_many_streams")[0]
        #expect(finding.limit == 100)
        #expect(finding.resets == ["REFUSED_STREAM": 50], "\(finding)")
        #expect(finding.survives == true, "\(finding)")
        #expect(bench.upstream.attempts == 1, "bodies that do not end reach nobody")
    }

    @Test("B11 even, reused, lower and zero ids are errors; gaps and the last id are not")
    func streamIdentifiers() throws {
        let cases = try Bench().run("stream_ids")[0].cases ?? [:]
        #expect(cases["even"] == "goaway:PROTOCOL_ERROR" || cases["even"] == "closed", "\(cases)")
        #expect(cases["zero"] == "goaway:PROTOCOL_ERROR" || cases["zero"] == "closed", "\(cases)")
        for name in ["reuse", "lower"] { #expect(cases[name]?.hasPrefix("status:") == false, "\(cases)") }
        #expect(cases["gap"] == "status:200")
        #expect(cases["last"] == "status:200")
    }

    /// What may become of a request that is no request.
    private static func isRefusal(_ outcome: String) -> Bool {
        [
            "reset:PROTOCOL_ERROR", "goaway:PROTOCOL_ERROR", "status:400", "status:431", "status:501", "status:405",
            "closed",
        ]
        .contains(outcome)
    }

    @Test(
        "B12 B13 B14 B15 B16 B19 B78 what is malformed never reaches the service",
        arguments: ["pseudo_fields", "field_octets", "connection_fields", "content_length", "smuggling", "connect"],
        [false, true])
    func malformed(scenario: String, secure: Bool) throws {
        let bench = try Bench()
        let cases = try bench.run(scenario, secure: secure)[0].cases ?? [:]
        #expect(!cases.isEmpty)
        // What the RFCs leave open: an authority alone is enough for a target, an empty one in the clear not.
        let open = ["authority_none", "chunked_body", "value_leading_tab", "value_trailing_tab"]
        for (name, outcome) in cases where !open.contains(name) {
            #expect(Self.isRefusal(outcome), "\(name): \(outcome)")
        }
        // The request after the scenario, and what may pass.
        let allowed = 1 + cases.filter { open.contains($0.key) && $0.value.hasPrefix("status:2") }.count
        #expect(bench.upstream.attempts <= allowed, "\(bench.upstream.requests.map(\.headOctets).map(text))")
        #expect(!bench.upstream.requests.contains { $0.target.contains("smuggled") })
        #expect(try bench.proxy.records().allSatisfy { $0["state"] as? String != "in_flight" })
    }

    @Test("B14 te: trailers is no offence")
    func teTrailers() throws {
        #expect(try Bench().run("te_trailers")[0].cases == ["te_trailers": "status:200"])
    }

    @Test("B15 no claim is taken before the body is complete: a repeat after a short one runs")
    func claimAfterBody() throws {
        let bench = try Bench()
        let client = try bench.proxy.http2()
        let whole = Request.post(key: "K")
        let stream = try client.open(whole.http2Fields, end: false)
        try client.send(octets("{}"), on: stream, end: true)
        let ending = try client.ending(of: stream)
        #expect(ending.resetCode == .protocolError || ending.response?.status == 400, "\(ending)")
        #expect(try bench.proxy.records().isEmpty)
        expectAnswer(try bench.proxy.send(whole, over: .h2c), status: 200)
        #expect(bench.upstream.executions == 1)
    }

    @Test("B19 a flood of extended CONNECT: refused, then sent away")
    func connectFlood() throws {
        let bench = try Bench()
        let finding = try bench.run("connect_flood")[0]
        #expect(finding.isSentAway, "\(finding)")
        #expect(finding.statuses?["200"] == nil, "\(finding)")
        #expect(bench.upstream.attempts == 1)
    }

    @Test("B77 extended CONNECT is not offered")
    func noConnectProtocol() throws {
        #expect(try Bench().proxy.http2().state().settings[8] ?? 0 == 0)
    }
}
