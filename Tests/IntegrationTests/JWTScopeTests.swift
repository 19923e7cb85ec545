import Foundation
import TestSupport
import Testing

/// `scope jwt`: who is calling, by a claim of a verified token. The issuer is jwcrypto and PyJWT.
@Suite(.blackBox) struct JWTScopeTests {
    /// Keys, their set and tokens in a directory of the test's own.
    private struct Issuer {
        let directory: String

        init() throws {
            directory = try TestScope.current!.newDirectory()
        }

        /// As `Clients/jwt_issuer.py` says.
        @discardableResult
        func run(_ specification: [String: Any]) throws -> [String: String] {
            let text = String(decoding: try JSONSerialization.data(withJSONObject: specification), as: UTF8.self)
            let result = try Subprocess.run(
                [InteropTests.python, "\(InteropTests.clients)/jwt_issuer.py", directory, text])
            try #require(
                result.ending == .exit(0),
                "\(result.error): Scripts/test installs PyJWT and jwcrypto and sets ONCEGATE_PYTHON")
            let json = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
            return try #require(json as? [String: String])
        }

        func claims(_ subject: Any, _ more: [String: Any] = [:], expiresIn seconds: Double = 600) -> [String: Any] {
            var claims: [String: Any] = [
                "sub": subject, "iss": "https://id.test", "aud": ["orders"], "jti": newKey(),
                "exp": Int(Date().timeIntervalSince1970 + seconds),
            ]
            for (name, value) in more { claims[name] = value }
            return claims
        }

        /// Tokens by one run, because a Python with cryptography takes its time to start.
        func tokens(
            keys: [String: String], set: [String]? = nil, _ wanted: [(key: String, claims: [String: Any])],
            ids: [String?] = []
        ) throws -> [String] {
            var tokens: [String: Any] = [:]
            for (number, token) in wanted.enumerated() {
                var header: [String: Any] = [:]
                if number < ids.count, let id = ids[number] { header["kid"] = id }
                tokens["\(number)"] = ["key": token.key, "claims": token.claims, "header": header]
            }
            var specification: [String: Any] = ["keys": keys, "tokens": tokens]
            if let set { specification["set"] = set }
            let made = try run(specification)
            return try wanted.indices.map { try #require(made["\($0)"]) }
        }
    }

    private static let secret = "an-issuers-secret-of-thirty-two-octets"

    private func bearer(_ token: String) -> [Field] { [Field("Authorization", "Bearer \(token)")] }

    private func refused(_ proxy: ProxyProcess, _ reason: String) throws -> Int {
        Int(try proxy.metric("oncegate_access_tokens_total", ["result": reason]) ?? 0)
    }

    @Test(
        "B15 a refreshed token keeps its scope: once; B14 other subjects and issuers never share",
        arguments: ["RS256", "ES256", "EdDSA", "HS256"])
    func refreshed(algorithm: String) throws {
        let issuer = try Issuer()
        let key = algorithm == "HS256" ? "secret:\(Self.secret)" : "a"
        let others: [[String: Any]] = [
            issuer.claims("till-2"), issuer.claims("till-1", ["iss": "https://other.test"]), issuer.claims(1),
            issuer.claims("1"),
        ]
        let made = try issuer.tokens(
            keys: algorithm == "HS256" ? [:] : ["a": algorithm],
            ([issuer.claims("till-1"), issuer.claims("till-1")] + others).map { (key, $0) })
        let tokens = Array(made[..<2])
        try Self.secret.write(toFile: "\(issuer.directory)/secret", atomically: true, encoding: .utf8)
        chmod("\(issuer.directory)/secret", 0o600)
        let material =
            algorithm == "HS256" ? "file(\"\(issuer.directory)/secret\")" : "\(issuer.directory)/a.pem"
        let pair = try Pair("scope jwt sub { key \(algorithm) \(material); }") {
            .answer(200, body: octets($0["Authorization"] ?? "-"))
        }
        try #require(tokens[0] != tokens[1])
        let first = try pair.proxy.post(key: "K", bearer(tokens[0]))
        #expect(first.text == "Bearer \(tokens[0])")
        for token in tokens + tokens { expectReplay(try pair.proxy.post(key: "K", bearer(token)), of: first) }
        // The scheme is written in any case.
        expectReplay(try pair.proxy.post(key: "K", [Field("Authorization", "bearer  \(tokens[1])")]), of: first)
        #expect(pair.upstream.executions == 1)
        for (number, token) in made[2...].enumerated() {
            let answer = try pair.proxy.post(key: "K", bearer(token))
            #expect(answer.text == "Bearer \(token)")
            #expect(!answer.isReplay)
            #expect(pair.upstream.executions == number + 2)
        }
        #expect(try refused(pair.proxy, "verified") + refused(pair.proxy, "known") == 10)
    }

    @Test("a token that says nothing: 401, the service untouched, and never a shared record")
    func refusals() throws {
        let issuer = try Issuer()
        let made = try issuer.tokens(
            keys: ["a": "RS256", "b": "RS256", "c": "ES256"],
            [
                ("a", issuer.claims("x")), ("a", issuer.claims("x", expiresIn: -10)),
                ("a", issuer.claims("x", ["nbf": 4_000_000_000])),
                ("a", issuer.claims("x", ["iss": "https://id.test.evil"])), ("a", issuer.claims("x", ["aud": "other"])),
                ("b", issuer.claims("x")), ("none", issuer.claims("x")), ("raw:a.pem", issuer.claims("x")),
                ("c", issuer.claims("x")),
            ])
        let good = made[0]
        let pair = try Pair(
            """
            scope jwt sub {
                key RS256 \(issuer.directory)/a.pem; issuer https://id.test; audience orders; leeway 5s;
            }
            """)
        let parts = good.split(separator: ".").map(String.init)
        let flipped = parts[2].hasPrefix("A") ? "B" : "A"
        let bad: [(String, String)] = [
            ("expired", made[1]), ("not_yet_valid", made[2]), ("issuer", made[3]), ("audience", made[4]),
            ("signature", made[5]), ("signature", "\(parts[0]).\(parts[1]).\(flipped)\(parts[2].dropFirst())"),
            ("algorithm", made[6]), ("algorithm", made[7]), ("algorithm", made[8]),
            ("malformed", "\(parts[0]).\(parts[1])"), ("malformed", "abc"), ("malformed", "\(good)="),
            ("malformed", "\(good) x"),
        ]
        var counts: [String: Int] = [:]
        for (reason, token) in bad {
            let response = try pair.proxy.post(key: "K", bearer(token))
            expectProblem(response, "access-token-invalid", status: 401, retryAfter: false)
            #expect(response["WWW-Authenticate"]?.hasPrefix(#"Bearer error="invalid_token""#) == true)
            #expect(!response.text.contains(token))
            counts[reason, default: 0] += 1
            #expect(try refused(pair.proxy, reason) == counts[reason], "\(reason): \(response.text)")
        }
        #expect(pair.upstream.attempts == 0)
        #expect(try pair.proxy.records().isEmpty)
        expectAnswer(try pair.proxy.post(key: "K", bearer(good)))
        #expect(pair.upstream.executions == 1)
    }

    @Test("a token is counted with the request that brought it, and not where nobody looks at it")
    func counts() throws {
        let issuer = try Issuer()
        let token = try issuer.tokens(keys: ["a": "ES256"], [("a", issuer.claims("x", expiresIn: -600))])[0]
        let pair = try Pair("scope jwt sub { key ES256 \(issuer.directory)/a.pem; } repeatability on;")
        let malformed = [Field("Repeatability-Request-ID", "a")] + bearer(token)
        for _ in 0..<3 {
            expectAnswer(try pair.proxy.send(Request("GET", "/", bearer(token))))
            #expect(try pair.proxy.post("/", malformed).status == 400)
        }
        #expect(try refused(pair.proxy, "expired") == 0)
        #expect(try pair.proxy.post(key: "K", bearer(token)).status == 401)
        for _ in 0..<3 {
            expectAnswer(try pair.proxy.send(Request("GET", "/", bearer(token))))
            #expect(try pair.proxy.post("/", malformed).status == 400)
        }
        #expect(try refused(pair.proxy, "expired") == 1)
    }

    @Test("mode observe refuses no token, and counts what enforce would make of each")
    func observed() throws {
        let issuer = try Issuer()
        let tokens = try issuer.tokens(
            keys: ["a": "ES256"], [("a", issuer.claims("x")), ("a", issuer.claims("x", expiresIn: -600))])
        let pair = try Pair("mode observe; scope jwt sub { key ES256 \(issuer.directory)/a.pem; }")
        for token in tokens {
            expectAnswer(try pair.proxy.post(key: "K", bearer(token)))
            expectAnswer(try pair.proxy.send(Request("GET", "/", bearer(token))))
        }
        #expect(try refused(pair.proxy, "verified") == 1)
        #expect(try refused(pair.proxy, "expired") == 1)
        #expect(try pair.proxy.metric("oncegate_access_tokens_total") == 2)
    }

    @Test("B16 scope jwt: no token, one in another scheme, two of them, or one without the claim: 400")
    func missing() throws {
        let issuer = try Issuer()
        let made = try issuer.tokens(
            keys: ["a": "ES256"], [("a", issuer.claims("x")), ("a", issuer.claims("x", ["tenant": NSNull()]))])
        let (good, other) = (made[0], made[1])
        let pair = try Pair("scope jwt tenant { key ES256 \(issuer.directory)/a.pem; }")
        let requests: [[Field]] = [
            [], [Field("Authorization", "Basic dTpw")], [Field("Authorization", "Bearer")],
            [Field("Authorization", "")],
            [Field("Authorization", good)], bearer(good) + bearer(good), bearer(good), bearer(other),
        ]
        for fields in requests {
            expectProblem(try pair.proxy.post(key: "K", fields), "scope-missing", status: 400)
        }
        #expect(pair.upstream.attempts == 0)
        // Without a key the request is not covered, and nobody asks who is calling.
        expectAnswer(try pair.proxy.post())
        expectAnswer(try pair.proxy.post("/", bearer("abc")))
    }

    @Test("another field carries the token as it is, and Connection cannot take it away")
    func otherField() throws {
        let issuer = try Issuer()
        let tokens = try issuer.tokens(
            keys: ["a": "EdDSA"], [("a", issuer.claims("x")), ("a", issuer.claims("x"))])
        let pair = try Pair("scope jwt sub { key EdDSA \(issuer.directory)/a.pem; header X-Access-Token; }")
        let first = try pair.proxy.post(key: "K", [Field("X-Access-Token", tokens[0])])
        expectAnswer(first)
        expectReplay(try pair.proxy.post(key: "K", [Field("x-access-token", tokens[1])]), of: first)
        expectProblem(
            try pair.proxy.post(key: "K", [Field("X-Access-Token", "Bearer \(tokens[0])")]), "access-token-invalid",
            status: 401)
        expectProblem(try pair.proxy.post(key: "K", bearer(tokens[0])), "scope-missing", status: 400)
        let taken = [Field("X-Access-Token", tokens[0]), Field("Connection", "x-access-token")]
        #expect(try pair.proxy.post(key: "K", taken).status == 400)
        #expect(try pair.proxy.post(key: "K", [Field("X_Access_Token", tokens[0])]).status == 400)
        #expect(pair.upstream.executions == 1)
    }

    // MARK: Key sets

    @Test("JWKS: kid chooses; the set changes while the proxy runs; a bad one keeps the keys")
    func rotation() throws {
        let issuer = try Issuer()
        let keys = ["one": "RS256", "two": "ES256", "three": "EdDSA"]
        let made = try issuer.tokens(
            keys: keys, set: ["one", "two"],
            ["one", "two", "three", "one", "one"].map { ($0, issuer.claims("x")) },
            ids: ["one", "two", "three", "four", "one"])
        let (one, two, three, unknown, old) = (made[0], made[1], made[2], made[3], made[4])
        let pair = try Pair("scope jwt sub { jwks \(issuer.directory)/jwks.json; }")
        func post(_ token: String) throws -> Response { try pair.proxy.post(key: "K", bearer(token)) }
        func reloads(_ result: String) throws -> Double {
            try pair.proxy.metric("oncegate_access_token_key_reloads_total", ["result": result]) ?? 0
        }
        let first = try post(one)
        expectAnswer(first)
        expectReplay(try post(two), of: first)
        expectProblem(try post(three), "access-token-invalid", status: 401)
        expectProblem(try post(unknown), "access-token-invalid", status: 401)
        expectReplay(try post(old), of: first)

        // The issuer takes another key and drops the first: what was verified with it counts no more.
        try issuer.run(["keys": keys, "set": ["two", "three"]])
        try poll("the new set") { try reloads("success") >= 1 ? true : nil }
        expectReplay(try post(three), of: first)
        expectProblem(try post(old), "access-token-invalid", status: 401)

        for bad in ["{", #"{"keys":[]}"#, #"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#] {
            let failures = try reloads("failure")
            try bad.write(toFile: "\(issuer.directory)/jwks.json", atomically: true, encoding: .utf8)
            try poll("a set that is refused") { try reloads("failure") > failures ? true : nil }
            expectReplay(try post(three), of: first)
        }
        try pair.proxy.process.waitForError("the log says so") {
            $0.contains("keys of a token issuer refused") && $0.contains("jwks.json") ? true : nil
        }
        #expect(pair.upstream.executions == 1)
    }

    @Test("SIGHUP reads the keys again, and refuses a configuration whose keys are bad")
    func reload() throws {
        let issuer = try Issuer()
        let tokens = try issuer.tokens(
            keys: ["a": "RS256", "b": "RS256"], [("a", issuer.claims("x")), ("b", issuer.claims("x"))])
        let pair = try Pair("scope jwt sub { key RS256 \(issuer.directory)/a.pem; }")
        let first = try pair.proxy.post(key: "K", bearer(tokens[0]))
        expectAnswer(first)
        let configuration = "\(pair.proxy.directory)/proxy.conf"
        let text = try String(contentsOfFile: configuration, encoding: .utf8)
        try text.replacingOccurrences(of: "a.pem", with: "b.pem")
            .write(toFile: configuration, atomically: true, encoding: .utf8)
        pair.proxy.kill(SIGHUP)
        let other = tokens[1]
        try poll("the other key") {
            try pair.proxy.post(key: "K", bearer(other)).isReplay ? true : nil
        }
        try text.replacingOccurrences(of: "a.pem", with: "c.pem")
            .write(toFile: configuration, atomically: true, encoding: .utf8)
        pair.proxy.kill(SIGHUP)
        try poll("a reload that failed") {
            try pair.proxy.metric("oncegate_config_reloads_total", ["result": "failure"]) ?? 0 >= 1 ? true : nil
        }
        #expect(try pair.proxy.post(key: "K", bearer(other)).isReplay)
        #expect(pair.upstream.executions == 1)
    }

    @Test("a reload that fails hides no change of the keys")
    func failedReload() throws {
        let issuer = try Issuer()
        let keys = ["one": "ES256", "two": "ES256"]
        let made = try issuer.tokens(
            keys: keys, set: ["one"], [("one", issuer.claims("x")), ("two", issuer.claims("x"))], ids: ["one", "two"])
        let set = "jwks \(issuer.directory)/jwks.json;"
        let other = "route /other { upstream service; idempotency { } }"
        let pair = try Pair(
            "scope jwt sub { \(set) }",
            configure: { $0.more = "\(other)\nroute /third { upstream service; idempotency { } }" })
        expectAnswer(try pair.proxy.post(key: "K", bearer(made[0])))

        let configuration = "\(pair.proxy.directory)/proxy.conf"
        let text = try String(contentsOfFile: configuration, encoding: .utf8)
        // Another scope reads the same file, and then a later route is refused.
        try text.replacingOccurrences(
            of: other, with: other.replacingOccurrences(of: "{ }", with: "{ scope jwt sub { \(set) leeway 5s; } }")
        ).replacingOccurrences(
            of: "/third { upstream service; idempotency { }",
            with: "/third { upstream service; idempotency { scope jwt sub { key ES256 \(issuer.directory)/none.pem; } }"
        ).write(toFile: configuration, atomically: true, encoding: .utf8)
        try issuer.run(["keys": keys, "set": ["two"]])
        pair.proxy.kill(SIGHUP)
        try poll("a reload that failed") {
            try pair.proxy.metric("oncegate_config_reloads_total", ["result": "failure"]) ?? 0 >= 1 ? true : nil
        }
        try poll("the key that is gone") {
            try pair.proxy.post(key: "K", bearer(made[0])).status == 401 ? true : nil
        }
        #expect(try pair.proxy.post(key: "K", bearer(made[1])).isReplay)
    }

    @Test("check and the start say what is wrong with a key, and where")
    func badKeys() throws {
        let issuer = try Issuer()
        try issuer.run(["keys": ["a": "RS256", "e": "EdDSA"]])
        try "{}".write(toFile: "\(issuer.directory)/jwks.json", atomically: true, encoding: .utf8)
        try "hello".write(toFile: "\(issuer.directory)/text.pem", atomically: true, encoding: .utf8)
        for (key, message) in [
            ("key ES256 $D/a.pem;", "a.pem': its key is one for RS256, not ES256"),
            ("key RS256 $D/a.key;", "a.key': holds a private key; tokens are verified with the public one"),
            ("key RS256 $D/text.pem;", "text.pem': holds no public key in PEM"),
            ("key RS256 $D/none.pem;", "none.pem': cannot be read: No such file or directory"),
            ("jwks $D/jwks.json;", "jwks.json': has no array 'keys'"),
        ] {
            var configuration = try ProxyConfiguration(ScriptedUpstream())
            let idempotency = key.replacingOccurrences(of: "$D", with: issuer.directory)
            configuration.route = "idempotency { scope jwt sub { \(idempotency) } }"
            let directory = try TestScope.current!.newDirectory()
            try ProxyProcess.write(configuration, in: directory)
            for command in ["check", "run"] {
                let result = try Subprocess.run([ProxyProcess.binary, command, "-c", "\(directory)/proxy.conf"])
                #expect(result.ending == .exit(1))
                #expect(result.error.contains(message), "\(command): \(result.error)")
                #expect(result.error.contains("proxy.conf:"), "\(result.error)")
            }
        }
    }
}
