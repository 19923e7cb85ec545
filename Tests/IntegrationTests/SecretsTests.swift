import Foundation
import TestSupport
import Testing

/// J6: what clients, services and operators keep to themselves never shows in what the proxy writes or tells. The
/// proxies of every test here are searched when it ends (`LeakSearch`); these put secrets where no other test does.
@Suite(.blackBox) struct SecretsTests {
    private static let secret = Canary.request

    @Test("the search finds what it looks for: in a log, in the lists, and keys of the configuration")
    func searchFinds() throws {
        let keys = try TestScope.current!.newDirectory() + "/keys"
        let key = Data((0..<32).map { UInt8($0 * 7) }).base64EncodedString()
        try key.write(toFile: keys, atomically: true, encoding: .utf8)
        chmod(keys, 0o600)
        let pair = try Pair(configure: {
            $0.store = "store embedded { path $STORE; encryption { key file(\"\(keys)\"); } }"
        })
        expectAnswer(try pair.proxy.post("/", key: "K"))
        let search = LeakSearch(process: pair.proxy.process, directory: pair.proxy.directory, environment: [:])
        #expect(search.run().isEmpty)
        let planted = "\(pair.proxy.directory)/planted.log"
        for text in [Self.secret, Canary.answer, key] {
            try "a line\nwith \(text) in it\n".write(toFile: planted, atomically: true, encoding: .utf8)
            #expect(search.run().count == 1, "\(search.run())")
        }
        unlink(planted)
    }

    @Test("credentials: Authorization, Proxy-Authorization, cookies, scopes, tokens in header, query, cookie and body")
    func credentials() throws {
        let upstream = try ScriptedUpstream { _ in
            .answer(201, [Field("Set-Cookie", "sid=\(Canary.answer)"), Field("WWW-Authenticate", Canary.answer)])
        }
        let pair = try Pair(upstream: upstream) {
            $0.more = """
                route /query { upstream service; idempotency { key query token; } }
                route /cookie { upstream service; idempotency { key cookie token; scope cookie tenant; } }
                route /json { upstream service; idempotency { key json /token; on_missing_key reject; } }
                route /form { upstream service; idempotency { key form token; } }
                route /xml { upstream service; idempotency { key xpath "string(//token)"; } }
                route /scope { upstream service; idempotency { scope header X-Tenant; } }
                """
        }
        let basic = Data("user:\(Self.secret)".utf8).base64EncodedString()
        let requests: [Request] = [
            .post(key: "A", [Field("Authorization", "Bearer \(Self.secret)")]),
            .post(
                key: "B", [Field("Authorization", "Basic \(basic)"), Field("Proxy-Authorization", "Basic \(basic)")]),
            .post(key: "C", [Field("Cookie", "sid=\(Self.secret)"), Field("Cookie2", Self.secret)]),
            .post("/query?token=\(Self.secret)&\(Self.secret)&a=b"),
            .post("/cookie", [Field("Cookie", "tenant=\(Self.secret); token=\(Self.secret)")]),
            .post("/json", body: #"{"token":"\#(Self.secret)"}"#),
            .post("/form", [Field("Content-Type", "application/x-www-form-urlencoded")], body: "token=\(Self.secret)"),
            .post("/xml", [Field("Content-Type", "text/xml")], body: "<a><token>\(Self.secret)</token></a>"),
            .post("/scope", key: "D", [Field("X-Tenant", Self.secret)]),
        ]
        for request in requests {
            let first = try pair.proxy.send(request)
            expectAnswer(first)
            #expect(try pair.proxy.send(request).isReplay, "\(request.target)")
        }
        for text in [basic] {
            #expect(!pair.proxy.process.standardError.contains(text))
            #expect(!(try String(contentsOfFile: "\(pair.proxy.directory)/access.log", encoding: .utf8)).contains(text))
        }
    }

    @Test("refusals: what is malformed is told by its kind, not by its octets")
    func refusals() throws {
        let pair = try Pair("on_missing_key reject; request_body_limit 1KiB;")
        let s = Self.secret
        let large = String(repeating: s, count: 100)
        let heads = [
            "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \"\(s)\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \(s)\r\nIdempotency-Key: \(s)2\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nX : \(s)\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\n \(s)\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nX: \(s)\0\r\n\r\n", "POST / HTTP/1.1\r\nHost: \(s)\u{1}\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(s)\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \(s)\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n\(s)\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nExpect: \(s)\r\nContent-Length: 1\r\n\r\nx",
            "POST / \(s)\r\nHost: a\r\n\r\n", "\(s)\r\n\r\n", "POST http://u:\(s)@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: \(large.utf8.count)\r\n\r\n\(large)",
            "POST / HTTP/1.1\r\nHost: a\r\nX-Large: \(String(repeating: large, count: 20))\r\n\r\n",
        ]
        for head in heads {
            let client = try pair.proxy.client()
            try? client.send(head)
            let answer = try client.response()
            #expect((400..<600).contains(answer.status), "\(head.prefix(80)): \(answer.status)")
            // The refusal itself tells nothing back either.
            #expect(!text(answer.headOctets + answer.body).contains(s), "\(head.prefix(80))")
        }
        expectProblem(try pair.proxy.post(), "key-missing", status: 400)
        #expect(pair.upstream.attempts == 0)
    }

    @Test("outcomes: mismatches, conflicts, unknown outcomes, tombstones, late answers")
    func outcomes() throws {
        let release = Latch()
        let pair = try Pair(
            "in_flight reject; record_body_limit 10B;", configure: { $0.top = "response_header_timeout 300ms;" }
        ) {
            switch $0.path {
            case "/held": .held(release)
            case "/broken": .resetAfterRequest
            default: .answer()
            }
        }
        expectAnswer(try pair.proxy.post("/large", key: "T"))
        expectProblem(try pair.proxy.post("/large", key: "T"), "answer-not-kept", status: 409)
        expectProblem(try pair.proxy.post("/large", key: "T", body: Self.secret), "key-reused", status: 422)
        expectProblem(try pair.proxy.post("/broken", key: "B"), "upstream-broken", status: 502)
        expectProblem(try pair.proxy.post("/broken", key: "B"), "outcome-unknown", status: 409)
        expectProblem(try pair.proxy.post("/held", key: "H"), "upstream-timed-out", status: 504)
        release.open()
        try pair.proxy.waitForState("tombstone", count: 2)
        let unknown = try #require(try pair.proxy.records("?state=unknown").first?["key"] as? String)
        let resolved = try pair.proxy.command(
            "records", "resolve", unknown, "--status", "200", "--field", "X-Secret: \(Canary.answer)", "--body",
            Canary.answer)
        #expect(resolved.ending == .exit(0), "\(resolved.error)")
        #expect(!(resolved.output + resolved.error).contains(Canary.answer))
        #expect(try pair.proxy.post("/broken", key: "B").text == Canary.answer)
    }

    @Test(
        "services that break the protocol: their octets do not show",
        arguments: [
            "HTTP/1.1 200 \(Canary.answer)\r\nX : \(Canary.answer)\r\n\r\n", "\(Canary.answer)\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: \(Canary.answer)\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(Canary.answer)\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 500\r\nX-Secret: \(Canary.answer)\r\n\r\n\(Canary.answer)",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno\(Canary.answer)",
            "HTTP/1.1 103 \(Canary.answer)\r\nLink: \(Canary.answer)\r\n\r\nHTTP/1.1 204 \(Canary.answer)\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: \(Canary.answer)\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 101 \(Canary.answer)\r\nUpgrade: \(Canary.answer)\r\n\r\n",
        ])
    func brokenServices(octets: String) throws {
        let pair = try Pair { _ in .raw(octets, thenClose: true) }
        for target in ["/a", "/b"] {
            let client = try pair.proxy.client()
            try client.send(target == "/a" ? .post(target, key: "K") : .get(target))
            _ = try? client.rest(until: .after(10))
        }
    }

    @Test("HTTP/2, trailers and TLS: names and values of fields, of broken ones too")
    func http2() throws {
        let pair = try ProtocolPair(.h2c) { _ in PlainAnswer(trailers: [Field("x-secret", Canary.answer)]) }
        let request = Request.post(
            key: "K", [Field("TE", "trailers"), Field("Authorization", "Bearer \(Self.secret)")])
        for wire in [Wire.h2c, .http2, .http1TLS] { _ = try pair.proxy.send(request, over: wire) }
        let client = try pair.proxy.http2()
        for fields in [
            [Field("x\(Self.secret) ", "v")], [Field("connection", Self.secret)], [Field(":x", Self.secret)],
        ] {
            let stream = try client.open(
                [
                    Field(":method", "POST"), Field(":scheme", "http"), Field(":authority", "a"), Field(":path", "/"),
                ] + fields, end: true)
            _ = try? client.ending(of: stream, until: .after(5))
        }
        // Octets that are no TLS, and no PROXY header.
        let raw = try RawClient(pair.proxy.secure)
        try raw.send("POST / HTTP/1.1\r\nAuthorization: \(Self.secret)\r\n\r\n")
        _ = try? raw.rest(until: .after(5))
    }

    @Test("a large body that cannot be spooled, and a store that fails: their errors hold none of it")
    func failingDisks() throws {
        let disk = try SmallDisk(megabytes: 2)
        let pair = try Pair(configure: {
            $0.store = "store embedded { path \(disk.path)/store; }"
            $0.top = "spool_threshold 4KiB;"
        })
        disk.fill()
        let body = octets(String(repeating: Self.secret, count: 4000))
        let client = try pair.proxy.client()
        try? client.send(Request.post(key: "L").withBody(body))
        #expect(try client.response().status == 503)
        try poll("a store error") { try pair.proxy.post(key: newKey()).status == 503 ? true : nil }
        #expect(!pair.proxy.process.standardError.isEmpty)
    }

    @Test("a configuration with a mistake beside its secrets: `check`, start and reload do not print them")
    func configurationErrors() throws {
        let keys = try TestScope.current!.newDirectory() + "/keys"
        let key = Data((0..<32).map { UInt8($0 * 5) }).base64EncodedString()
        try "\(key)\n\(Self.secret)\n".write(toFile: keys, atomically: true, encoding: .utf8)
        chmod(keys, 0o600)
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream)
        configuration.store =
            "store embedded { path $STORE; encryption { key file(\"\(keys)\"); key env(\"SPOOL_TEST_KEY\"); } }"
        let directory = try TestScope.current!.newDirectory()
        try ProxyProcess.write(configuration, in: directory)
        for command in ["check", "run"] {
            let result = try Subprocess.run(
                [ProxyProcess.binary, command, "-c", "\(directory)/proxy.conf"],
                environment: ["SPOOL_TEST_KEY": "not-a-key-\(Self.secret)"])
            #expect(result.ending == .exit(1), "\(result)")
            for text in [key, Self.secret] {
                #expect(!(result.output + result.error).contains(text), "\(command): \(result.error)")
            }
        }
    }
}
