import Foundation
import TestSupport
import Testing

/// What options add to answers at sending: `Idempotency-Expires`, `Access-Control-Expose-Headers`.
@Suite(.blackBox) struct AnswerFieldsTests {
    private func expiry(_ response: Response) throws -> Date {
        let lines = response.fields[all: "Idempotency-Expires"]
        #expect(lines.count == 1)
        return try #require(lines.first.flatMap(dateOfIMF), "\(lines)")
    }

    @Test(
        "Idempotency-Expires: the first answer and its replays say when the record expires",
        arguments: ["store embedded { path $STORE; }", "store memory;"])
    func expires(store: String) throws {
        let pair = try Pair("idempotency_expires on; retention 2h;", configure: { $0.store = store }) { _ in
            .answer(201, [Field("Idempotency-Expires", "never"), Field("X-Own", "1")], body: octets("x"))
        }
        let first = try pair.proxy.post(key: "K")
        expectAnswer(first)
        let date = try expiry(first)
        #expect(abs(date.timeIntervalSinceNow - 7200) < 3)
        let record = try #require(try pair.proxy.records().first)
        let expires = try #require(record["expires_at_ms"] as? Double)
        #expect(Double(Int(expires / 1000)) == date.timeIntervalSince1970)
        try poll("another second") { Date().timeIntervalSince1970 > Double(Int(expires / 1000)) - 7199 ? true : nil }
        let repeated = try pair.proxy.post(key: "K")
        #expect(repeated.isReplay)
        #expect(try expiry(repeated) == date)
        #expect(repeated["X-Own"] == "1")
        // Nobody else speaks for the proxy, and errors promise nothing.
        #expect(try pair.proxy.post()["Idempotency-Expires"] == nil)
        let problem = try pair.proxy.post(key: "K", body: "other")
        #expect(problem.status == 422)
        #expect(problem["Idempotency-Expires"] == nil)
    }

    @Test("Idempotency-Expires: a waiter, a released answer, one that is too large, and hash mode with its window")
    func expiresElsewhere() throws {
        let release = Latch()
        let large = [UInt8](repeating: 65, count: 3000)
        let pair = try Pair(
            "idempotency_expires on; record_body_limit 1KiB; on_missing_key hash; "
                + "hash { body raw; window 10m; replay always; }"
        ) { request in
            switch request.path {
            case "/busy": .answer(503, body: octets("busy"))
            case "/large": .answer(200, body: large)
            case "/slow": .held(release)
            default: .answer()
            }
        }
        #expect(try pair.proxy.post("/busy", key: "A")["Idempotency-Expires"] == nil)
        #expect(try pair.proxy.post("/large", key: "B")["Idempotency-Expires"] == nil)
        let owner = Running { try pair.proxy.post("/slow", key: "C") }
        try pair.upstream.waitForExecutions(3)
        let waiter = Running { try pair.proxy.post("/slow", key: "C") }
        try pair.waitForWaiters(1)
        release.open()
        let first = try owner.join()
        let joined = try waiter.join()
        expectReplay(joined, of: first)
        #expect(try expiry(joined) == expiry(first))
        #expect(abs(try expiry(try pair.proxy.post("/hash")).timeIntervalSinceNow - 600) < 3)
    }

    @Test("interim answers and trailers of the service speak for the proxy as little as its answers do")
    func interimAndTrailers() throws {
        let reserved = [
            Field("Idempotent-Replayed", "true"), Field("Idempotency-Expires", "never"),
            Field("Repeatability-Result", "rejected"),
        ]
        let pair = try Pair("idempotency_expires on; repeatability on;") { request in
            .interim(
                [(103, [Field("Link", "</a>")] + reserved)],
                then: .chunked(201, [], [request.body], trailers: [Field("X-Sum", "5")] + reserved))
        }
        for isReplay in [false, true] {
            let answer = try pair.proxy.post(key: "K", [Field("TE", "trailers")])
            #expect(answer.isReplay == isReplay)
            #expect(answer.interim.map(\.status) == (isReplay ? [] : [103]))
            for interim in answer.interim {
                #expect(interim["Link"] == "</a>")
                for field in reserved { #expect(interim[field.name] == nil) }
            }
            #expect(answer.trailers[all: "X-Sum"] == ["5"])
            for field in reserved { #expect(answer.trailers[all: field.name].isEmpty) }
        }
    }

    @Test("what the service said while the option was off gives way to the proxy's word in replays")
    func optionTurnedOn() throws {
        let own = [Field("X-A", "1"), Field("idempotency-expires", "never"), Field("X-B", "2")]
        let trailers = [Field("Idempotency-Expires", "never"), Field("X-Sum", "5")]
        let pair = try Pair { .chunked(201, own, [$0.body], trailers: trailers) }
        let accepts = [Field("TE", "trailers")]
        let first = try pair.proxy.post(key: "K", accepts)
        #expect(first.fields[all: "Idempotency-Expires"] == ["never"])
        let path = "\(pair.proxy.directory)/proxy.conf"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try text.replacingOccurrences(of: "idempotency {", with: "idempotency { idempotency_expires on;")
            .write(toFile: path, atomically: true, encoding: .utf8)
        let repeated = try pair.proxy.crashAndRestart().post(key: "K", accepts)
        #expect(repeated.isReplay)
        #expect(abs(try expiry(repeated).timeIntervalSinceNow - 86_400) < 60)
        #expect(repeated["X-A"] == "1" && repeated["X-B"] == "2")
        #expect(repeated.body == first.body)
        #expect(repeated.trailers[all: "Idempotency-Expires"].isEmpty)
        #expect(repeated.trailers[all: "X-Sum"] == ["5"])
    }

    @Test("Idempotency-Expires: a head that comes alone and tells a length that is too large promises nothing")
    func expiresOfLargeLength() throws {
        let release = Latch()
        let pair = try Pair("idempotency_expires on; record_body_limit 1KiB;") { _ in
            Reply { exchange in
                try exchange.readBody()
                try exchange.send(headOctets(201, [Field("Content-Length", "3000")]))
                try release.wait(until: .standard)
                try exchange.send([UInt8](repeating: 65, count: 3000))
            }
        }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        let head = try client.head()
        #expect(head.status == 201)
        #expect(head["Idempotency-Expires"] == nil)
        release.open()
        try poll("the tombstone") {
            try pair.proxy.post(key: "K").text.contains("answer-not-kept") ? true : nil
        }
    }

    @Test("none of it is in the record: without the option a replay does not have it, and with it an old one does")
    func notRecorded() throws {
        let pair = try Pair("idempotency_expires on; expose_headers on;")
        let origin = [Field("Origin", "https://shop.test")]
        let first = try pair.proxy.post(key: "K", origin)
        let path = "\(pair.proxy.directory)/proxy.conf"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try text.replacingOccurrences(of: "idempotency_expires on; expose_headers on;", with: "")
            .write(toFile: path, atomically: true, encoding: .utf8)
        let without = try pair.proxy.crashAndRestart()
        let plain = try without.post(key: "K", origin)
        #expect(plain.isReplay)
        for name in ["Idempotency-Expires", "Access-Control-Expose-Headers"] { #expect(plain[name] == nil) }
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let with = try without.crashAndRestart()
        let again = try with.post(key: "K", origin)
        #expect(again.isReplay)
        #expect(again["Idempotency-Expires"] == first["Idempotency-Expires"])
        #expect(again["Access-Control-Expose-Headers"] == first["Access-Control-Expose-Headers"])
    }

    // MARK: Cross-origin scripts

    private static let origin = [Field("Origin", "https://shop.test")]

    private func exposed(_ response: Response) -> [String] {
        response.fields[all: "Access-Control-Expose-Headers"].joined(separator: ",").split(separator: ",")
            .map { $0.trimmingCharacters(in: .whitespaces) }
    }

    @Test("B79 the names of the proxy's fields stand beside the service's, each once, on first answers and replays")
    func exposes() throws {
        let pair = try Pair("expose_headers on; idempotency_expires on; repeatability on;") { request in
            switch request.path {
            case "/none": .answer(201, [Field("X-Total", "1")], body: octets("x"))
            case "/star": .answer(201, [Field("Access-Control-Expose-Headers", "*")], body: octets("x"))
            default:
                .answer(
                    201,
                    [
                        Field("Access-Control-Expose-Headers", "X-Total , idempotent-replayed"),
                        Field("access-control-expose-headers", "Retry-After"),
                    ], body: octets("x"))
            }
        }
        let own = [
            "Idempotent-Replayed", "Idempotency-Expires", "Repeatability-Result", "Proxy-Status", "Retry-After",
        ]
        let cases: [(String, [String])] = [
            ("/none", own), ("/star", ["*"] + own),
            ("/", ["X-Total", "idempotent-replayed", "Retry-After"] + own[1...3]),
        ]
        for (path, names) in cases {
            let first = try pair.proxy.post(path, key: "K\(path)", Self.origin)
            expectAnswer(first)
            #expect(exposed(first) == names, "\(path)")
            let repeated = try pair.proxy.post(path, key: "K\(path)", Self.origin)
            expectReplay(repeated, of: first)
            #expect(exposed(repeated) == names, "\(path)")
            // Who does not come from elsewhere needs nothing: the record has only what the service said.
            let plain = try pair.proxy.post(path, key: "K\(path)")
            #expect(plain.isReplay)
            #expect(exposed(plain).count == names.count - (path == "/" ? 3 : 5), "\(path)")
        }
        // So it is with the proxy's own errors, for a layer before it that allows the origin.
        let problem = try pair.proxy.post("/none", key: "K/none", Self.origin, body: "other")
        expectProblem(problem, "key-reused", status: 422)
        #expect(exposed(problem) == own)
        #expect(problem["Access-Control-Allow-Origin"] == nil)
        // And not with what passes.
        #expect(exposed(try pair.proxy.post("/none", Self.origin)).isEmpty)
    }

    @Test("B79 the marker under another name, or none")
    func renamedMarker() throws {
        let renamed = try Pair("expose_headers on; replay_marker X-Replayed;")
        #expect(
            exposed(try renamed.proxy.post(key: "K", Self.origin)) == ["X-Replayed", "Proxy-Status", "Retry-After"])
        let off = try Pair("expose_headers on; replay_marker off;")
        #expect(exposed(try off.proxy.post(key: "K", Self.origin)) == ["Proxy-Status", "Retry-After"])
        let without = try Pair()
        #expect(exposed(try without.proxy.post(key: "K", Self.origin)).isEmpty)
    }

    @Test("over HTTP/2 as well")
    func http2() throws {
        let pair = try Pair("expose_headers on; idempotency_expires on;")
        let client = try HTTP2Client(pair.proxy.address)
        for isReplay in [false, true] {
            let answer = try client.post(key: "K", Self.origin)
            #expect(answer.isReplay == isReplay)
            #expect(exposed(answer).contains("Idempotency-Expires"))
            _ = try expiry(answer)
        }
    }
}

/// B80: clients that make a new key for each attempt.
@Suite(.blackBox) struct KeyChurnTests {
    private func churn(_ proxy: ProxyProcess) throws -> Double {
        try proxy.metric("oncegate_idempotency_key_churn_total") ?? 0
    }

    @Test("B80 the same request under two keys within a second: both run, and the metric counts one")
    func counts() throws {
        let pair = try Pair()
        for key in ["K1", "K2"] { expectAnswer(try pair.proxy.post(key: key)) }
        #expect(pair.upstream.executions == 2)
        #expect(try churn(pair.proxy) == 1)
        #expect(try pair.proxy.metric("oncegate_idempotency_key_churn_total", ["route": "/"]) == 1)
        // Repeats under the same key are what keys are for.
        for key in ["K1", "K2", "K1", "K2"] { #expect(try pair.proxy.post(key: key).isReplay) }
        #expect(try churn(pair.proxy) == 1)
        expectAnswer(try pair.proxy.post(key: "K3"))
        #expect(try churn(pair.proxy) == 2)
    }

    @Test("B80 other callers, other payloads and other routes are no churn")
    func others() throws {
        let pair = try Pair("", configure: { $0.more = "route /other { upstream service; idempotency { } }" })
        var number = 0
        func post(_ target: String, _ caller: String, _ body: String) throws {
            number += 1
            expectAnswer(
                try pair.proxy.post(target, key: "K\(number)", [Field("Authorization", caller)], body: body))
        }
        try post("/a", "one", "x")
        try post("/a", "two", "x")
        try post("/a", "one", "y")
        try post("/b", "one", "x")
        try post("/other/a", "one", "x")
        #expect(try churn(pair.proxy) == 0)
        try post("/a", "two", "x")
        #expect(try churn(pair.proxy) == 1)
    }

    @Test("B80 what comes later than a second is another intent")
    func later() throws {
        let pair = try Pair()
        expectAnswer(try pair.proxy.post(key: "K1"))
        let start = Date()
        try poll("a second and a little") { Date().timeIntervalSince(start) > 1.2 ? true : nil }
        expectAnswer(try pair.proxy.post(key: "K2"))
        #expect(try churn(pair.proxy) == 0)
    }
}
