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

        func token(_ key: String, _ algorithm: String, _ claims: [String: Any], header: [String: Any] = [:]) throws
            -> String
        {
            let keys = [key: algorithm].filter { !$0.key.contains(":") && $0.key != "none" }
            let token: [String: Any] = ["key": key, "claims": claims, "header": header]
            let made = try run(["keys": keys, "tokens": ["t": token]])
            return try #require(made["t"])
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
        _ = try issuer.token(key, algorithm, issuer.claims("warm"))
        try Self.secret.write(toFile: "\(issuer.directory)/secret", atomically: true, encoding: .utf8)
        chmod("\(issuer.directory)/secret", 0o600)
        let material =
            algorithm == "HS256" ? "file(\"\(issuer.directory)/secret\")" : "\(issuer.directory)/a.pem"
        let pair = try Pair("scope jwt sub { key \(algorithm) \(material); }") {
            .answer(200, body: octets($0["Authorization"] ?? "-"))
        }
        func token(_ subject: Any, _ more: [String: Any] = [:]) throws -> String {
            try issuer.token(key, algorithm, issuer.claims(subject, more))
        }
        let tokens = [try token("till-1"), try token("till-1")]
        try #require(tokens[0] != tokens[1])
        let first = try pair.proxy.post(key: "K", bearer(tokens[0]))
        #expect(first.text == "Bearer \(tokens[0])")
        for token in tokens + tokens { expectReplay(try pair.proxy.post(key: "K", bearer(token)), of: first) }
        // The scheme is written in any case.
        expectReplay(try pair.proxy.post(key: "K", [Field("Authorization", "bearer  \(tokens[1])")]), of: first)
        #expect(pair.upstream.executions == 1)
        let others: [(Any, [String: Any])] = [
            ("till-2", [:]), ("till-1", ["iss": "https://other.test"]), (1, [:]), ("1", [:]),
        ]
        for (number, other) in others.enumerated() {
            let token = try token(other.0, other.1)
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
        let good = try issuer.token("a", "RS256", issuer.claims("x"))
        let pair = try Pair(
            """
            scope jwt sub {
                key RS256 \(issuer.directory)/a.pem; issuer https://id.test; audience orders; leeway 5s;
            }
            """)
        let parts = good.split(separator: ".").map(String.init)
        let flipped = parts[2].hasPrefix("A") ? "B" : "A"
        let bad: [(String, String)] = [
            ("expired", try issuer.token("a", "RS256", issuer.claims("x", expiresIn: -10))),
            ("not_yet_valid", try issuer.token("a", "RS256", issuer.claims("x", ["nbf": 4_000_000_000]))),
            ("issuer", try issuer.token("a", "RS256", issuer.claims("x", ["iss": "https://id.test.evil"]))),
            ("audience", try issuer.token("a", "RS256", issuer.claims("x", ["aud": "other"]))),
            ("signature", try issuer.token("b", "RS256", issuer.claims("x"))),
            ("signature", "\(parts[0]).\(parts[1]).\(flipped)\(parts[2].dropFirst())"),
            ("algorithm", try issuer.token("none", "none", issuer.claims("x"))),
            ("algorithm", try issuer.token("raw:a.pem", "HS256", issuer.claims("x"))),
            ("algorithm", try issuer.token("c", "ES256", issuer.claims("x"))),
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

    @Test("B16 scope jwt: no token, one in another scheme, two of them, or one without the claim: 400")
    func missing() throws {
        let issuer = try Issuer()
        let good = try issuer.token("a", "ES256", issuer.claims("x"))
        let other = try issuer.token("a", "ES256", issuer.claims("x", ["tenant": NSNull()]))
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
        let tokens = try (0..<2).map { _ in try issuer.token("a", "EdDSA", issuer.claims("x")) }
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
        try issuer.run(["keys": keys, "set": ["one", "two"]])
        let pair = try Pair("scope jwt sub { jwks \(issuer.directory)/jwks.json; }")
        func token(_ key: String, kid: String? = nil) throws -> String {
            try issuer.token(key, keys[key]!, issuer.claims("x"), header: ["kid": kid ?? key])
        }
        func post(_ token: String) throws -> Response { try pair.proxy.post(key: "K", bearer(token)) }
        func reloads(_ result: String) throws -> Double {
            try pair.proxy.metric("oncegate_access_token_key_reloads_total", ["result": result]) ?? 0
        }
        let first = try post(token("one"))
        expectAnswer(first)
        expectReplay(try post(token("two")), of: first)
        expectProblem(try post(token("three")), "access-token-invalid", status: 401)
        expectProblem(try post(token("one", kid: "four")), "access-token-invalid", status: 401)
        let old = try token("one")
        expectReplay(try post(old), of: first)

        // The issuer takes another key and drops the first: what was verified with it counts no more.
        try issuer.run(["keys": keys, "set": ["two", "three"]])
        try poll("the new set") { try reloads("success") >= 1 ? true : nil }
        expectReplay(try post(token("three")), of: first)
        expectProblem(try post(old), "access-token-invalid", status: 401)

        for bad in ["{", #"{"keys":[]}"#, #"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#] {
            let failures = try reloads("failure")
            try bad.write(toFile: "\(issuer.directory)/jwks.json", atomically: true, encoding: .utf8)
            try poll("a set that is refused") { try reloads("failure") > failures ? true : nil }
            expectReplay(try post(token("three")), of: first)
        }
        try pair.proxy.process.waitForError("the log says so") {
            $0.contains("keys of a token issuer refused") && $0.contains("jwks.json") ? true : nil
        }
        #expect(pair.upstream.executions == 1)
    }

    @Test("SIGHUP reads the keys again, and refuses a configuration whose keys are bad")
    func reload() throws {
        let issuer = try Issuer()
        try issuer.run(["keys": ["a": "RS256", "b": "RS256"]])
        let pair = try Pair("scope jwt sub { key RS256 \(issuer.directory)/a.pem; }")
        let first = try pair.proxy.post(key: "K", bearer(issuer.token("a", "RS256", issuer.claims("x"))))
        expectAnswer(first)
        let configuration = "\(pair.proxy.directory)/proxy.conf"
        let text = try String(contentsOfFile: configuration, encoding: .utf8)
        try text.replacingOccurrences(of: "a.pem", with: "b.pem")
            .write(toFile: configuration, atomically: true, encoding: .utf8)
        pair.proxy.kill(SIGHUP)
        let other = try issuer.token("b", "RS256", issuer.claims("x"))
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
