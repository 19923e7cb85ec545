import TestSupport
import Testing

@Suite(.blackBox) struct BasicsTests {
    @Test("B1 B2 the same key twice: once, and the second answer equals the first plus the marker")
    func sameKeyTwice() throws {
        let fields = [
            Field("Content-Type", "application/json"), Field("x-Order", "1"), Field("X-ORDER", "2"),
            Field("ETag", "\"a\""),
        ]
        let pair = try Pair { _ in .answer(201, fields, body: octets(#"{"id":"ord_1"}"#)) }
        let first = try pair.proxy.post("/orders", key: "K")
        expectAnswer(first)
        #expect(
            first.fields.filter { $0.name.lowercased() == "x-order" } == [Field("x-Order", "1"), Field("X-ORDER", "2")])
        let second = try pair.proxy.post("/orders", key: "K")
        expectReplay(second, of: first)
        #expect(second["Content-Length"] == first["Content-Length"])
        #expect(pair.upstream.executions == 1)
        expectReplay(try pair.proxy.post("/orders", key: "K"), of: first)
        #expect(pair.upstream.attempts == 1)
    }

    @Test("B1 on one connection, pipelined: POST k1, POST k1, POST k2 in one packet (A32)")
    func pipelined() throws {
        let pair = try Pair { .answer(201, [], body: octets("\($0["Idempotency-Key"] ?? "")")) }
        let client = try pair.proxy.client()
        try client.send(
            Request.post(key: "k1").octets + Request.post(key: "k1").octets + Request.post(key: "k2").octets)
        let first = try client.response()
        expectAnswer(first)
        #expect(first.text == "k1")
        expectReplay(try client.response(), of: first)
        let third = try client.response()
        expectAnswer(third)
        #expect(third.text == "k2")
        #expect(pair.upstream.executions == 2)
    }

    @Test("B2 a marker from a client or from the service is removed (E21)")
    func foreignMarkers() throws {
        let pair = try Pair { _ in
            .answer(200, [Field("Idempotent-Replayed", "true"), Field("A", "1")], body: octets("x"))
        }
        let first = try pair.proxy.post(key: "K", [Field("Idempotent-Replayed", "true")])
        expectAnswer(first, status: 200)
        #expect(first["A"] == "1")
        #expect(try pair.upstream.request(0).fields[all: "Idempotent-Replayed"].isEmpty)
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        let uncovered = try pair.proxy.send(.get("/", [Field("Idempotent-Replayed", "true")]))
        expectAnswer(uncovered, status: 200)
        #expect(try pair.upstream.request(1).fields[all: "Idempotent-Replayed"].isEmpty)
    }

    @Test("B2 the marker can be renamed or switched off")
    func markerName() throws {
        let renamed = try Pair("replay_marker X-Replay;")
        _ = try renamed.proxy.post(key: "K")
        let second = try renamed.proxy.post(key: "K")
        #expect(second["X-Replay"] == "true")
        #expect(second.fields[all: "Idempotent-Replayed"].isEmpty)
        let off = try Pair("replay_marker off;")
        let first = try off.proxy.post(key: "K")
        let silent = try off.proxy.post(key: "K")
        #expect(silent.fields.map { $0.name.lowercased() } == first.fields.map { $0.name.lowercased() })
        #expect(off.upstream.executions == 1)
    }

    @Test("B3 a bare token and the same as an sf-string are one key")
    func quotedToken() throws {
        let pair = try Pair()
        let first = try pair.proxy.post(key: "K-1")
        expectReplay(try pair.proxy.post(key: "\"K-1\""), of: first)
        expectReplay(try pair.proxy.post(key: "  K-1 \t"), of: first)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B4 an sf-string with escapes is parsed")
    func escapedToken() throws {
        let pair = try Pair()
        let first = try pair.proxy.post(key: #""a\"b""#)
        expectAnswer(first)
        expectReplay(try pair.proxy.post(key: #""a\"b""#), of: first)
        expectAnswer(try pair.proxy.post(key: #""a\\b""#))
        #expect(pair.upstream.executions == 2)
    }

    @Test(
        "B4 B5 malformed keys: 400, upstream untouched",
        arguments: [
            "", "   ", "\"abc", "abc\"", "\"a\\x\"", "\"a\"b", "\"\"", String(repeating: "k", count: 256), "a b",
            "caf\u{e9}", "a\u{1}b", "a\u{7f}",
        ])
    func malformedKey(key: String) throws {
        let pair = try Pair()
        let response = try pair.proxy.post(key: key)
        if key.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 }) {
            // A control character is no field value at all.
            #expect(response.status == 400)
            #expect(response["Content-Type"] == "application/problem+json")
        } else {
            expectProblem(response, "key-malformed", status: 400)
        }
        #expect(pair.upstream.attempts == 0)
    }

    @Test("B5 255 characters are a key, and every visible character is")
    func longestKey() throws {
        let pair = try Pair()
        let key = String(repeating: "k", count: 255)
        let longest = try pair.proxy.post(key: key)
        expectReplay(try pair.proxy.post(key: key), of: longest)
        let visible = text((33...126).filter { $0 != 34 })
        let first = try pair.proxy.post(key: visible)
        expectAnswer(first)
        expectReplay(try pair.proxy.post(key: visible), of: first)
        #expect(pair.upstream.executions == 2)
    }

    @Test("B5 two different key lines: 400; two equal ones are one key")
    func twoKeyLines() throws {
        let pair = try Pair()
        expectProblem(try pair.proxy.post(key: "K", [Field("idempotency-key", "other")]), "key-malformed", status: 400)
        expectProblem(try pair.proxy.post(key: "K", [Field("Idempotency-Key", "")]), "key-malformed", status: 400)
        #expect(pair.upstream.attempts == 0)
        let first = try pair.proxy.post(key: "K", [Field("idempotency-key", "K")])
        expectReplay(try pair.proxy.post(key: "K"), of: first)
    }

    @Test("B6 on_missing_key reject: 400, upstream untouched")
    func rejectsMissingKey() throws {
        let pair = try Pair("on_missing_key reject;")
        expectProblem(try pair.proxy.post(), "key-missing", status: 400)
        #expect(pair.upstream.attempts == 0)
        expectAnswer(try pair.proxy.send(.get("/")))
        #expect(try pair.proxy.outcomes("missing_key") == 1)
    }

    @Test("B7 on_missing_key pass: forwarded each time and counted")
    func passesMissingKey() throws {
        let pair = try Pair()
        for _ in 0..<3 { expectAnswer(try pair.proxy.post()) }
        #expect(pair.upstream.executions == 3)
        #expect(try pair.proxy.outcomes("bypassed") == 3)
    }

    @Test(
        "B8 keys in the formats of the Stripe SDKs",
        arguments: [
            "0c1b2f4e-5d8c-4f6a-9b1e-2a3b4c5d6e7f", "1700000000123456789_a1B2c3",
            "stripe-node-retry-0c1b2f4e-5d8c-4f6a-9b1e-2a3b4c5d6e7f",
            "order:2024/11#7=ok", "{tag}../'; DROP TABLE rec;--",
        ])
    func keysOfSDKs(key: String) throws {
        let pair = try Pair()
        // The last one is hostile (E8) and holds a space, which is not allowed.
        if key.contains(" ") {
            expectProblem(try pair.proxy.post(key: key), "key-malformed", status: 400)
        } else {
            let first = try pair.proxy.post(key: key)
            expectAnswer(first)
            expectReplay(try pair.proxy.post(key: key), of: first)
        }
    }

    @Test("B9 safe methods with a key are never deduplicated (E23)", arguments: ["GET", "HEAD", "OPTIONS"])
    func safeMethods(method: String) throws {
        let pair = try Pair("on_missing_key reject;")
        for _ in 0..<2 {
            let response = try pair.proxy.send(Request(method, "/", [Field("Idempotency-Key", "K")]))
            expectAnswer(response)
        }
        #expect(pair.upstream.executions == 2)
        #expect(pair.upstream.requests.map(\.method) == [method, method])
    }

    @Test(
        "B10 PUT, PATCH, DELETE and unknown methods are deduplicated as POST is",
        arguments: ["PUT", "PATCH", "DELETE", "CHARGE"])
    func otherMethods(method: String) throws {
        let pair = try Pair()
        let request = Request(method, "/a", [Field("Idempotency-Key", "K")], body: .length(octets("x")))
        let first = try pair.proxy.send(request)
        expectReplay(try pair.proxy.send(request), of: first)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B10 `methods` narrows the coverage; methods are case-sensitive (A7)")
    func methodsDirective() throws {
        let pair = try Pair("methods PUT;")
        for _ in 0..<2 { expectAnswer(try pair.proxy.post(key: "K")) }
        #expect(pair.upstream.executions == 2)
        let put = Request("PUT", "/", [Field("Idempotency-Key", "P")], body: .length([1]))
        let covered = try pair.proxy.send(put)
        expectReplay(try pair.proxy.send(put), of: covered)
        #expect(pair.upstream.executions == 3)
        // The default covers every method that is not known to be safe, so a lower-case `post` does not slip by.
        let open = try Pair()
        let lower = Request("post", "/", [Field("Idempotency-Key", "L")], body: .length([1]))
        let first = try open.proxy.send(lower)
        if first.status < 400 { expectReplay(try open.proxy.send(lower), of: first) }
        #expect(open.upstream.executions <= 1)
    }

    @Test("B1 a key in the query, a cookie, a JSON member, a form field")
    func keySources() throws {
        func check(_ directive: String, _ request: Request, _ other: Request) throws {
            let pair = try Pair("\(directive) on_missing_key reject;")
            let first = try pair.proxy.send(request)
            expectAnswer(first)
            expectReplay(try pair.proxy.send(request), of: first)
            expectAnswer(try pair.proxy.send(other))
            #expect(pair.upstream.executions == 2)
            expectProblem(try pair.proxy.send(.post("/none", body: "{}")), "key-missing", status: 400)
        }
        try check("key query key;", .post("/a?x=1&key=K1"), .post("/a?x=1&key=K2"))
        try check(
            "key cookie op;", .post("/a", [Field("Cookie", "a=b; op=K1; c=d")]),
            .post("/a", [Field("Cookie", "a=b; op=K2")]))
        try check("key json /order/id;", .post(body: #"{"order":{"id":"K1"}}"#), .post(body: #"{"order":{"id":"K2"}}"#))
        let form = [Field("Content-Type", "application/x-www-form-urlencoded")]
        try check("key form op;", .post("/", form, body: "a=1&op=K1"), .post("/", form, body: "a=1&op=K2"))
        // The first source that is present wins.
        try check(
            "key header X-Op; key header Idempotency-Key;", .post(key: "same", [Field("X-Op", "1")]),
            .post(key: "same", [Field("X-Op", "2")]))
    }
}
