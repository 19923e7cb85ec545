import Foundation
import TestSupport
import Testing

private let hashJSON = "on_missing_key hash; hash { body json; window 1h; replay always; }"
private let form = [Field("Content-Type", "application/x-www-form-urlencoded")]

@Suite(.blackBox) struct IdentityTests {
    @Test("B11 same key, other body: 422 and the record stays")
    func otherBody() throws {
        let pair = try Pair()
        let first = try pair.proxy.post(key: "K", body: "A")
        expectProblem(try pair.proxy.post(key: "K", body: "B"), "key-reused", status: 422)
        expectReplay(try pair.proxy.post(key: "K", body: "A"), of: first)
        expectProblem(try pair.proxy.post(key: "K", body: ""), "key-reused", status: 422)
        #expect(pair.upstream.executions == 1)
        #expect(try pair.proxy.outcomes("mismatch") == 2)
    }

    @Test("B12 same key on another path of the route: 422; on another route both run")
    func otherPath() throws {
        let upstream = try ScriptedUpstream { .answer(201, [], body: octets($0.path)) }
        let pair = try Pair(upstream: upstream) {
            $0.route = nil
            $0.more = """
                route /a { upstream service; idempotency { } }
                route /b { upstream service; idempotency { } }
                """
        }
        #expect(try pair.proxy.post("/a/1", key: "K").text == "/a/1")
        expectProblem(try pair.proxy.post("/a/2", key: "K"), "key-reused", status: 422)
        #expect(try pair.proxy.post("/b/1", key: "K").text == "/b/1")
        #expect(try pair.proxy.post("/b/1", key: "K").text == "/b/1")
        #expect(upstream.executions == 2)
    }

    @Test("B12 same key, other method: 422")
    func otherMethod() throws {
        let pair = try Pair()
        let first = try pair.proxy.post("/", key: "K")
        var put = Request.post("/", key: "K")
        put.method = "PUT"
        expectProblem(try pair.proxy.send(put), "key-reused", status: 422)
        expectReplay(try pair.proxy.post("/", key: "K"), of: first)
    }

    @Test(
        "B12 spellings of one path are one path (E30)", arguments: ["/%61/b", "//a/b", "/a/./b", "/a/c/../b", "/a//b"])
    func pathSpellings(target: String) throws {
        let pair = try Pair()
        let first = try pair.proxy.post("/a/b", key: "K")
        let second = try pair.proxy.post(target, key: "K")
        if second.status != 400 { expectReplay(second, of: first) }
        #expect(pair.upstream.executions == 1)
    }

    @Test("B13 another query is another request")
    func otherQuery() throws {
        let pair = try Pair()
        let first = try pair.proxy.post("/a?x=1", key: "K")
        expectProblem(try pair.proxy.post("/a?x=2", key: "K"), "key-reused", status: 422)
        expectProblem(try pair.proxy.post("/a", key: "K"), "key-reused", status: 422)
        expectReplay(try pair.proxy.post("/a?x=1", key: "K"), of: first)
    }

    @Test("B14 two tenants with one key: both run, and no octet crosses (E1)")
    func twoTenants() throws {
        let pair = try Pair {
            .answer(200, [Field("X-For", $0["Authorization"] ?? "")], body: octets($0["Authorization"] ?? "-"))
        }
        let one = [Field("Authorization", "Bearer one")]
        let two = [Field("Authorization", "Bearer two")]
        let first = try pair.proxy.post(key: "K", one)
        let second = try pair.proxy.post(key: "K", two)
        #expect(first.text == "Bearer one")
        #expect(second.text == "Bearer two")
        #expect(!text(second.headOctets).contains("one"))
        expectReplay(try pair.proxy.post(key: "K", one), of: first)
        expectReplay(try pair.proxy.post(key: "K", two), of: second)
        // An anonymous caller is a third one.
        #expect(try pair.proxy.post(key: "K").text == "-")
        // Another tenant's other payload tells nothing about the first's.
        expectAnswer(
            try pair.proxy.post(key: "K", [Field("Authorization", "Bearer three")], body: "other"), status: 200)
        #expect(pair.upstream.executions == 4)
    }

    @Test("B14 scope by header, by cookie and none")
    func explicitScopes() throws {
        let header = try Pair("scope header X-Tenant;")
        let first = try header.proxy.post(key: "K", [Field("X-Tenant", "a"), Field("Authorization", "old")])
        expectReplay(
            try header.proxy.post(key: "K", [Field("X-Tenant", "a"), Field("Authorization", "new")]), of: first)
        expectAnswer(try header.proxy.post(key: "K", [Field("X-Tenant", "b")]))
        #expect(header.upstream.executions == 2)

        let cookie = try Pair("scope cookie sid;")
        let session = try cookie.proxy.post(key: "K", [Field("Cookie", "x=1; sid=a")])
        expectReplay(try cookie.proxy.post(key: "K", [Field("Cookie", "sid=a; y=2")]), of: session)
        expectAnswer(try cookie.proxy.post(key: "K", [Field("Cookie", "sid=b")]))

        let none = try Pair("scope none;")
        let shared = try none.proxy.post(key: "K", [Field("Authorization", "one")])
        expectReplay(try none.proxy.post(key: "K", [Field("Authorization", "two")]), of: shared)
    }

    @Test(
        "B16 an explicit scope whose value is missing or double: 400 (E2)",
        arguments: [
            [], [Field("X-Tenant", "a"), Field("X-Tenant", "b")], [Field("X-Tenant", "")], [Field("X_Tenant", "a")],
        ])
    func missingScope(fields: [Field]) throws {
        let pair = try Pair("scope header X-Tenant;")
        let response = try pair.proxy.post(key: "K", fields)
        #expect(response.status == 400)
        #expect(response["Content-Type"] == "application/problem+json")
        #expect(pair.upstream.attempts == 0)
    }

    @Test(
        "B16 a scope cookie that is missing, double or empty: 400",
        arguments: [
            [], [Field("Cookie", "")], [Field("Cookie", "SID=a")], [Field("Cookie", "sid=")],
            [Field("Cookie", "xsid=a")],
            [Field("Cookie", "sid=a; sid=b")], [Field("Cookie", "sid=a"), Field("Cookie", "sid=b")],
        ])
    func missingCookie(fields: [Field]) throws {
        let pair = try Pair("scope cookie sid;")
        expectProblem(try pair.proxy.post(key: "K", fields), "scope-missing", status: 400)
        #expect(pair.upstream.attempts == 0)
    }

    @Test("B16 a scope in a trailer does not count")
    func scopeInTrailer() throws {
        let pair = try Pair("scope header X-Tenant;")
        let request = Request(
            "POST", "/", [Field("Idempotency-Key", "K")],
            body: .chunked([octets("x")], trailers: [Field("X-Tenant", "a")]))
        expectProblem(try pair.proxy.send(request), "scope-missing", status: 400)
        #expect(pair.upstream.attempts == 0)
    }

    @Test(
        "B17 B18 B19 JSON: what is the same and what is not (E10)",
        arguments: [
            (#"{"a":1,"b":[1,2]}"#, #"{ "b" : [1, 2],"a":1 }"#, true),
            (#"{"b":[1,2]}"#, #"{"b":[2,1]}"#, false),
            (#"{"a":1.0}"#, #"{"a":1}"#, true),
            (#"{"a":1e0}"#, #"{"a":1}"#, true),
            (#"{"a":9007199254740993}"#, #"{"a":9007199254740992}"#, false),
            (#"{"a":"\u0041"}"#, #"{"a":"A"}"#, true),
            (#"{"a":"A"}"#, #"{"a":"a"}"#, false),
            (#"{"a":1,"a":2}"#, #"{"a":2,"a":1}"#, false),
            (#"{"a":1,"a":2}"#, #"{"a":2}"#, false),
            (#"{"a":null}"#, #"{}"#, false),
            (#"{"a":"1"}"#, #"{"a":1}"#, false),
            (#"{"a":1}"#, #"{"a":1} x"#, false),
            (#"{"a":NaN}"#, #"{"a":nan}"#, false),
        ])
    func jsonBodies(first: String, second: String, same: Bool) throws {
        let pair = try Pair(hashJSON)
        let one = try pair.proxy.post(body: first)
        let two = try pair.proxy.post(body: second)
        #expect(two.isReplay == same)
        // A body that is no JSON, or has double names, is compared by its octets or refused; never equal to another.
        if one.status < 400 && two.status < 400 { #expect(pair.upstream.executions == (same ? 1 : 2)) }
        #expect([one.status, two.status].allSatisfy { $0 == 201 || $0 == 400 })
    }

    @Test("B17 in token mode the rule for the body applies too")
    func jsonTokenMode() throws {
        let pair = try Pair("hash { body json; window 1h; replay always; }")
        let first = try pair.proxy.post(key: "K", body: #"{"a":1,"b":2}"#)
        expectReplay(try pair.proxy.post(key: "K", body: #"{"b":2, "a":1.0}"#), of: first)
        expectProblem(try pair.proxy.post(key: "K", body: #"{"b":2,"a":2}"#), "key-reused", status: 422)
    }

    @Test("B20 excluded parts may differ, any other part counts")
    func excludedParts() throws {
        let pair = try Pair(
            """
            on_missing_key hash;
            hash { body json; window 1h; replay always; exclude json /timestamp /meta/*/at; exclude query t; }
            """
        )
        #expect(
            try areSame(
                pair, .post(body: #"{"a":1,"timestamp":1,"meta":[{"at":1,"b":2}]}"#),
                .post(body: #"{"a":1,"timestamp":2,"meta":[{"at":9,"b":2}]}"#)))
        #expect(
            try !areSame(
                pair, .post("/x", body: #"{"a":1,"timestamp":1}"#), .post("/x", body: #"{"a":2,"timestamp":1}"#)))
        #expect(try areSame(pair, .post("/y?t=1&z=1"), .post("/y?t=2&z=1")))
        #expect(try !areSame(pair, .post("/w?t=1&z=1"), .post("/w?t=1&z=2")))
    }

    @Test("B20 with `include` only the chosen parts count, and chosen headers do")
    func includedParts() throws {
        let pair = try Pair(
            "on_missing_key hash; hash { body json; window 1h; replay always; include json /order; headers X-Kind; }")
        #expect(try areSame(pair, .post(body: #"{"order":7,"x":1}"#), .post(body: #"{"order":7,"x":2}"#)))
        #expect(try !areSame(pair, .post("/b", body: #"{"order":1}"#), .post("/b", body: #"{"order":2}"#)))
        #expect(
            try !areSame(
                pair, .post("/c", [Field("X-Kind", "a")], body: #"{"order":1}"#),
                .post("/c", [Field("X-Kind", "b")], body: #"{"order":1}"#)))
    }

    @Test("B24 forms: order counts unless the route says that it does not (E11)")
    func forms() throws {
        func pair(_ body: String) throws -> Pair {
            try Pair("on_missing_key hash; hash { body \(body); window 1h; replay always; }")
        }
        let ordered = try pair("form")
        #expect(try !areSame(ordered, .post("/1", form, body: "a=1&b=2"), .post("/1", form, body: "b=2&a=1")))
        #expect(try areSame(ordered, .post("/2", form, body: "a=x+y"), .post("/2", form, body: "a=x%20y")))
        let free = try pair("form order_free")
        #expect(try areSame(free, .post("/1", form, body: "a=1&b=2"), .post("/1", form, body: "b=2&a=1")))
        #expect(try !areSame(free, .post("/2", form, body: "a=1&a=2"), .post("/2", form, body: "a=2&a=1")))
        #expect(try !areSame(free, .post("/3", form, body: "a=1&b=2"), .post("/3", form, body: "a=1&b=3")))
        // The boundary between name and value counts (E12).
        #expect(try !areSame(free, .post("/4", form, body: "ab=c"), .post("/4", form, body: "a=bc")))
    }

    @Test("B25 hash mode: two equal requests beyond the window both run")
    func beyondWindow() throws {
        let pair = try Pair("on_missing_key hash; retention 1h; hash { body raw; window 1s; replay always; }")
        let first = try pair.proxy.post()
        expectReplay(try pair.proxy.post(), of: first)
        let again = try poll("the window passes") { () -> Response? in
            let response = try pair.proxy.post()
            return response.isReplay ? nil : response
        }
        expectAnswer(again)
        #expect(pair.upstream.executions == 2)
    }

    private static let undelivered = "on_missing_key hash; hash { body raw; window 1h; replay undelivered; }"
    private static let large = [UInt8](repeating: 65, count: 4_000_000)

    /// A large answer whose client has gone away in the middle.
    private func cutAnswer() throws -> Pair {
        let pair = try Pair(Self.undelivered) { _ in .answer(200, [], body: Self.large) }
        let client = try pair.proxy.client(receiveBuffer: 16384)
        try client.send(.post())
        #expect(try client.head().status == 200)
        client.reset()
        return pair
    }

    @Test("B26 replay undelivered: an identical request after a delivered answer runs")
    func deliveredRuns() throws {
        let pair = try Pair(Self.undelivered)
        let client = try pair.proxy.client()
        for count in 1...5 {
            expectAnswer(try client.exchange(.post()))
            #expect(pair.upstream.executions == count)
        }
        // A sign of a retry says more than the delivery.
        #expect(try client.exchange(.post().with("X-Stainless-Retry-Count", "1")).isReplay)
        #expect(pair.upstream.executions == 5)
    }

    @Test("B26 replay undelivered: a cut answer is replayed", arguments: 0..<3)
    func cutIsReplayed(run: Int) throws {
        let pair = try cutAnswer()
        let repeated = try pair.proxy.post()
        #expect(repeated.isReplay)
        expectOctets(repeated.body, Self.large)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B26 replay undelivered: once a replay was delivered, an identical request is a new intent")
    func deliveredReplay() throws {
        let pair = try cutAnswer()
        #expect(try pair.proxy.post().isReplay)
        let next = try poll("a new intent runs") { () -> Response? in
            let response = try pair.proxy.post()
            return response.isReplay ? nil : response
        }
        expectAnswer(next, status: 200)
        #expect(pair.upstream.executions == 2)
    }

    @Test(
        "B27 the last octet of a large body counts", arguments: ["", "hash { body json; window 1h; replay always; }"])
    func largeBody(rule: String) throws {
        let pair = try Pair("request_body_limit 16MiB; \(rule)")
        var body = [UInt8](repeating: 0x20, count: 9_000_000)
        body.replaceSubrange(0..<3, with: octets(#"[" "#))
        body.replaceSubrange(body.count - 3..<body.count, with: octets(#"a"]"#))
        let first = try pair.proxy.send(.post(key: "K").withBody(body))
        expectAnswer(first)
        expectReplay(try pair.proxy.send(.post(key: "K").withBody(body)), of: first)
        body[body.count - 3] = 0x62
        expectProblem(try pair.proxy.send(.post(key: "K").withBody(body)), "key-reused", status: 422)
        #expect(try pair.upstream.request(0).body.count == body.count)
    }
}
