import Foundation
import TestSupport
import Testing

/// kill -9 at each step of the request path (checks.md, G): the binary ends itself at the point, is restarted on the
/// same store, and the repeat's result must be that of the table. ONCEGATE_TEST_REPEAT multiplies the runs.
@Suite(.blackBox) struct CrashMatrixTests {
    typealias Point = ProxyProcess.CrashPoint

    static let runs = 3 * (Int(ProcessInfo.processInfo.environment["ONCEGATE_TEST_REPEAT"] ?? "") ?? 1)

    /// What the repeat may be after a crash at a point.
    enum Expectation {
        /// The first execution.
        case runs
        case unknown
        /// kill -9 does not take back what the kernel has: written, not yet synced, may be found again.
        case unknownOrReplayed
        case replayed
    }

    static let table: [(Point, Expectation)] = [
        (.accepted, .runs), (.headRead, .runs), (.bodyHalf, .runs), (.bodyRead, .runs), (.beforeClaim, .runs),
        (.claimSubmitted, .runs), (.claimWritten, .runs),
        // The send mark survives kill -9: a claim without it is provably unsent.
        (.claimDurable, .runs), (.connecting, .runs), (.firstByte, .runs),
        (.markedSent, .unknown), (.requestHalf, .unknown), (.requestSent, .unknown), (.responseHead, .unknown),
        (.responseBodyHalf, .unknown), (.responseComplete, .unknown), (.outcomeWritten, .unknownOrReplayed),
        (.outcomeDurable, .replayed), (.replyHalf, .replayed), (.replySent, .replayed),
    ]

    @Test("G1–G18 kill -9 at a point of the request path", arguments: table.map(\.0), Array(1...runs))
    func crash(point: Point, run: Int) throws {
        let expectation = Self.table.first { $0.0 == point }!.1
        let isLarge = [.bodyHalf, .requestHalf, .responseBodyHalf, .replyHalf].contains(point) || run % 2 == 0
        var generator = SeededGenerator(seed: UInt64(run))
        let request = Request.post("/orders", key: "K").withBody(generator.octets(isLarge ? 7_000_000 : 20))
        let answer = generator.octets(isLarge ? 5_000_000 : 40)
        let stalls = point == .requestHalf
        let pair = try Pair("", crashAt: point) { request in
            // To get stuck half way the service does not read; what it took in counts as an attempt only.
            if stalls && request.ordinal == 1 {
                return Reply { exchange in
                    exchange.socket.limitBuffers(65536)
                    _ = try exchange.readBody(atMost: 100_000)
                    try exchange.readBody()
                    try exchange.send(headOctets(201, [Field("Content-Length", "0")]))
                }
            }
            return .answer(201, [Field("X-Order", "1")], body: answer)
        }
        let received = Running { () -> Response? in
            let client = try pair.proxy.client()
            try? client.send(request.headOctets)
            let body = request.bodyOctets
            try? client.send(Array(body[..<(body.count / 2)]))
            try? client.send(Array(body[(body.count / 2)...]))
            return try? client.response()
        }
        let ending = try pair.proxy.waitForExit()
        #expect(ending == .signal(SIGKILL), "the point was not reached")
        let delivered = try received.join()
        let before = pair.upstream.executions
        #expect(before <= 1)

        let proxy = try pair.proxy.restarted()
        let repeated = try proxy.send(request)
        let after = pair.upstream.executions
        #expect(after <= 1, "executed twice")
        switch expectation {
        case .runs: expectRun(repeated, before, after)
        case .unknown: expectUnknown(repeated)
        case .unknownOrReplayed:
            if repeated.status == 409 { expectUnknown(repeated) } else { expectReplayed(repeated, answer) }
        case .replayed: expectReplayed(repeated, answer)
        }
        // A whole answer that the client got is the one that is repeated.
        if let delivered { expectReplay(repeated, of: delivered) }
        // And the repeat of the repeat is like it.
        let again = try proxy.send(request)
        #expect(again.status == repeated.status)
        if again.status != 409 { expectOctets(again.body, repeated.body) }
        #expect(pair.upstream.executions == after)
    }

    private func expectRun(_ response: Response, _ before: Int, _ after: Int) {
        expectAnswer(response)
        #expect(before == 0)
        #expect(after == 1)
    }

    private func expectUnknown(_ response: Response) {
        expectProblem(response, "outcome-unknown", status: 409)
    }

    private func expectReplayed(_ response: Response, _ body: [UInt8]) {
        #expect(response.isReplay, "\(response.status)")
        #expect(response.status == 201)
        #expect(response["X-Order"] == "1")
        expectOctets(response.body, body)
    }

    @Test("G19 kill -9 during expiry: what has expired runs, what has not is replayed", arguments: 1...runs)
    func duringExpiry(run: Int) throws {
        let upstream = try ScriptedUpstream { .answer(201, [], body: octets("\($0.path) \($0.ordinal)")) }
        let pair = try Pair(upstream: upstream, crashAt: .duringExpiry) {
            $0.route = nil
            $0.top = "route_timeout 1s;"
            $0.more = """
                route /short { upstream service; idempotency { retention 1s; } }
                route /long { upstream service; idempotency { retention 1h; } }
                """
        }
        var long: [Response] = []
        for index in 0..<10 {
            long.append(try pair.proxy.post("/long", key: "L\(index)"))
            _ = try pair.proxy.post("/short", key: "S\(index)")
        }
        #expect(try pair.proxy.waitForExit(until: .after(30)) == .signal(SIGKILL), "the point was not reached")
        let proxy = try pair.proxy.restarted()
        for index in 0..<10 { expectReplay(try proxy.post("/long", key: "L\(index)"), of: long[index]) }
        #expect(upstream.executions(of: "/long") == 10)
        let response = try poll("the short ones are gone") { () -> Response? in
            let response = try proxy.post("/short", key: "S0")
            return response.isReplay ? nil : response
        }
        expectAnswer(response)
    }

    @Test("G20 kill -9 during a checkpoint: no complete record is lost (B60)", arguments: 1...runs)
    func duringCheckpoint(run: Int) throws {
        let pair = try Pair(crashAt: .duringCheckpoint) {
            .answer(201, [], body: [UInt8](repeating: 65, count: 60_000) + octets("\($0.ordinal)"))
        }
        var kept: [(String, Response)] = []
        var last: String?
        for index in 0..<2000 {
            guard let response = try? pair.proxy.post(key: "K\(index)") else {
                last = "K\(index)"
                break
            }
            kept.append(("K\(index)", response))
        }
        #expect(try pair.proxy.waitForExit() == .signal(SIGKILL), "the point was not reached")
        let executions = pair.upstream.executions
        let proxy = try pair.proxy.restarted()
        for (key, first) in kept { expectReplay(try proxy.post(key: key), of: first) }
        #expect(pair.upstream.executions == executions)
        if let last {
            let response = try proxy.post(key: last)
            #expect(response.isReplay || response.status == 409 || pair.upstream.executions == kept.count + 1)
        }
    }

    @Test(
        "G random kills under load: every key executes at most once, every answer given is repeated",
        arguments: 1...runs)
    func randomKills(run: Int) throws {
        var generator = SeededGenerator(seed: UInt64(run) &* 7919)
        let pair = try Pair("in_flight wait 2s;") {
            .answer(201, [], body: octets("\($0["Idempotency-Key"] ?? "") \($0.ordinal)"))
        }
        var proxy = pair.proxy
        let answers = Monitored<[String: Set<[UInt8]>]>([:])
        for round in 0..<4 {
            let current = proxy
            let threads = (0..<6).map { thread in
                Running {
                    var generator = SeededGenerator(seed: UInt64(run * 1000 + round * 10 + thread))
                    while current.process.isRunning {
                        let key = "K\(generator.next() % 40 + UInt64(round * 20))"
                        guard let response = try? current.post("/\(key)", key: key), response.status == 201 else {
                            continue
                        }
                        answers.with { _ = $0[key, default: []].insert(response.body) }
                    }
                }
            }
            let enough = pair.upstream.executions + 5 + Int(generator.next() % 20)
            _ = try? pair.upstream.waitForExecutions(enough, until: .after(1))
            try proxy.crash()
            for thread in threads { try thread.join() }
            proxy = try proxy.restarted()
        }
        let requests = pair.upstream.requests.filter(\.isComplete)
        let counts = Dictionary(grouping: requests, by: \.path).mapValues(\.count)
        #expect(counts.values.allSatisfy { $0 == 1 }, "\(counts.filter { $0.value > 1 })")
        #expect(counts.count >= 10)
        for (key, bodies) in answers.with({ $0 }) {
            #expect(bodies.count == 1)
            let response = try proxy.post("/\(key)", key: key)
            #expect(response.isReplay)
            #expect(bodies.contains(response.body))
        }
    }
}
