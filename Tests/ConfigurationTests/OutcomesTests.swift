import Idempotency
import Testing

@testable import Configuration

@Suite struct OutcomesTests {
    private func policy(_ text: String, files: ConfigurationFiles = .fake()) throws -> Policy {
        let text = "listen 127.0.0.1:1; upstream a { server http://a; } route / { upstream a; idempotency { \(text) } }"
        let checked = Configuration.check(Array(text.utf8), name: "/etc/p.conf", files: files)
        try #require(checked.configuration != nil, "\(checked.diagnostics.report)")
        return try #require(checked.configuration?.routes[0].policy)
    }

    /// The example of the design.
    @Test func probe() throws {
        let policy = try policy(
            """
            on_missing_key hash;
            hash { body xml; exclude xpath "//*[local-name()='Timestamp']"; window 2m; replay always; }
            on_unknown probe { get "/orders?ref={body.xpath(//OrderRef)}"; found 200; absent 404; }
            """)
        guard case .probe(let probe) = policy.onUnknown else { throw NoProbe() }
        var expected = Probe(target: Template([.literal("/orders?ref="), .value(.bodyXPath("//OrderRef"))]))
        expected.found = [.init(statuses: [200...200])]
        expected.absent = [.init(statuses: [404...404])]
        #expect(probe == expected)
    }

    @Test func probeInFull() throws {
        let policy = try policy(
            #"""
            hash { headers X-Ref; }
            on_unknown probe {
                get "/{key}/{query(q)}?a={body.json(/a/0)}&b={body.form(b)}&c={header(X-Ref)}&d={{}}";
                header Accept application/json; header X-Ref "{header(X-Ref)}:1";
                forward Authorization X-Tenant authorization;
                found 200 { json /0/status paid settled; xpath "count(//a) = 1"; xpath //b c; contains "[{"; }
                found 201 202;
                absent 200 404;
                answer 201 {
                    field Location "/orders/{probe.json(/0/id)}"; field X-ETag "{probe.header(ETag)}";
                    body "{{\"id\":\"{probe.xpath(string(//a['}']))}\",\"raw\":{probe.body}}}";
                }
                absent_after 5m; timeout 2s; background 5s 10m; max_attempts 7;
            }
            """#)
        guard case .probe(let probe) = policy.onUnknown else { throw NoProbe() }
        #expect(
            probe.target.parts == [
                .literal("/"), .value(.key), .literal("/"), .value(.query("q")), .literal("?a="),
                .value(.bodyJSON("/a/0")), .literal("&b="), .value(.bodyForm("b")), .literal("&c="),
                .value(.header("X-Ref")), .literal("&d={}"),
            ])
        #expect(
            probe.fields == [
                .init(name: "Accept", value: Template([.literal("application/json")])),
                .init(name: "X-Ref", value: Template([.value(.header("X-Ref")), .literal(":1")])),
            ])
        #expect(probe.forwardedFields == ["authorization", "x-tenant"])
        var found = Probe.Condition(statuses: [200...200])
        found.tests = [
            .json(pointer: "/0/status", values: ["paid", "settled"]), .xpath("count(//a) = 1", values: []),
            .xpath("//b", values: ["c"]), .contains("[{"),
        ]
        #expect(probe.found == [found, .init(statuses: [201...201, 202...202])])
        #expect(probe.absent == [.init(statuses: [200...200, 404...404])])
        #expect(
            probe.answer
                == .made(
                    status: 201,
                    fields: [
                        .init(name: "Location", value: Template([.literal("/orders/"), .value(.probeJSON("/0/id"))])),
                        .init(name: "X-ETag", value: Template([.value(.probeHeader("ETag"))])),
                    ],
                    body: Template([
                        .literal("{\"id\":\""), .value(.probeXPath("string(//a['}'])")), .literal("\",\"raw\":"),
                        .value(.probeBody), .literal("}"),
                    ])))
        #expect(probe.absentAfterMilliseconds == 300_000)
        #expect(probe.timeoutMilliseconds == 2000 && probe.attemptsMax == 7)
        #expect(probe.background == .init(first: 5000, max: 600_000))
    }

    @Test func backgroundWithOneInterval() throws {
        let text = "on_unknown probe { get /x/{key}; found 200; background 30s; }".replacing(
            "/x/{key}", with: "\"/x/{key}\"")
        guard case .probe(let probe) = try policy(text).onUnknown else { throw NoProbe() }
        #expect(probe.background == .init(first: 30_000, max: 30_000) && probe.attemptsMax == 20)
    }

    @Test func tokens() throws {
        let secret = String(repeating: "s", count: 32)
        let policy = try policy(
            """
            scope jwt "https://x.test/tenant" {
                key HS256 env("JWT"); key RS256 issuer.pem; key EdDSA /keys/ed.pem; key ES256 /keys/es.pem;
                jwks jwks.json; algorithms ES256 HS256; issuer https://id.test; audience orders; header X-Token;
                leeway 0s;
            }
            """, files: .fake(environment: ["JWT": secret]))
        guard case .jwt(let scope) = policy.scope else { throw NoProbe() }
        var expected = JWTScope(claim: "https://x.test/tenant")
        expected.keys = [
            .secret(Secret(Array(secret.utf8))), .publicKey(.rs256, path: "/etc/issuer.pem"),
            .publicKey(.edDSA, path: "/keys/ed.pem"), .publicKey(.es256, path: "/keys/es.pem"),
        ]
        expected.keySetPath = "/etc/jwks.json"
        expected.keySetAlgorithms = [.es256, .hs256]
        expected.issuer = "https://id.test"
        expected.audience = "orders"
        expected.field = "x-token"
        expected.leewayMilliseconds = 0
        #expect(scope == expected)
        #expect(!"\(scope) \(String(reflecting: scope))".contains("115"))
        guard case .jwt(let plain) = try self.policy("scope jwt sub { jwks /k; }").scope else { throw NoProbe() }
        var defaults = JWTScope(claim: "sub")
        defaults.keySetPath = "/k"
        #expect(plain == defaults)
    }

    @Test func options() throws {
        let all = try policy("mode observe; repeatability on; idempotency_expires on; expose_headers on;")
        #expect(all.mode == .observe && all.speaksRepeatability && all.sendsExpiry && all.exposesFields)
        #expect(try policy("") == Policy())
    }

    @Test func webhook() throws {
        func webhook(_ text: String) throws -> Configuration.Webhook? {
            let files = ConfigurationFiles.fake(environment: ["HOOK": "https://hooks.test:8443/T0/secret?x=1"])
            return try Configuration.parse(text: minimal + text, files: files).unknownWebhook
        }
        let server = Configuration.Upstream.Server(scheme: .https, endpoint: .network(host: "hooks.test", port: 8443))
        #expect(try webhook("unknown_webhook env(\"HOOK\");") == .init(server: server, target: "/T0/secret?x=1"))
        #expect(try webhook("unknown_webhook http://a;")?.target == "/")
        #expect(try webhook("unknown_webhook http://a?x;")?.target == "/?x")
        #expect(try webhook("unknown_webhook off;") == nil && webhook("") == nil)
    }

    @Test func secretFilesAreInspected() {
        let inspection = FileInspection(
            certificate: { _ in [] }, authorities: { _ in [] },
            secret: { [.init(.key, "can be read by everybody (\($0))")] },
            publicKey: { algorithm, path in [.init(.key, "\(path) is no \(algorithm.rawValue) key")] },
            keySet: { _, _ in [.init(.key, "is no JSON", isWarning: true)] })
        let text =
            "listen 127.0.0.1:1; store embedded { encryption { key file(\"k\"); } } upstream a { server http://a; }\n"
            + "route / { upstream a; idempotency { scope jwt sub { key ES256 /es; jwks /set; } } }"
        let checked = Configuration.check(
            Array(text.utf8), name: "/etc/p.conf", files: .fake(["/etc/k": sealingKey]), inspection: inspection)
        #expect(
            checked.diagnostics.map(\.message) == [
                "file(\"k\"): can be read by everybody (/etc/k)", "'/es': /es is no ES256 key", "'/set': is no JSON",
            ])
        #expect(checked.configuration == nil)
    }

    private struct NoProbe: Error {}
}
