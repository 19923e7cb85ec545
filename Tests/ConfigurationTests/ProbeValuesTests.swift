import Idempotency
import Testing

@testable import Configuration

/// Which values of a repeat its probe may ask with: those that are the same in every request of its record.
@Suite struct ProbeValuesTests {
    private func diagnostics(_ text: String, files: ConfigurationFiles = .fake()) -> [Diagnostic] {
        let text = "listen 127.0.0.1:1; upstream a { server http://a; } route / { upstream a; idempotency { \(text) } }"
        return Configuration.check(Array(text.utf8), name: "/etc/p.conf", files: files).diagnostics
    }

    private func messages(_ text: String, files: ConfigurationFiles = .fake()) -> [String] {
        diagnostics(text, files: files).map { "\($0.severity.rawValue): \($0.message)" }
    }

    private static let rest = "found 200; absent 404;"

    struct Case: Sendable, CustomTestStringConvertible {
        var block: String
        var source: String

        init(_ block: String, _ source: String) {
            self.block = block
            self.source = source
        }

        var testDescription: String { "\(block) \(source)" }
    }

    static let counted = [
        Case("", "{key}"), Case("", "{query(q)}"), Case("", "{body.json(/a)}"), Case("", "{body.form(a)}"),
        Case("", "{body.xpath(//a)}"), Case("", "{header(Content-Type)}"), Case("", "{header(Idempotency-Key)}"),
        Case("", "{header(X-HTTP-Method-Override)}"), Case("hash { headers X-Ref x-b; }", "{header(x-ref)}"),
        Case("hash { headers X-Ref x-b; }", "{header(X-B)}"), Case("scope header X-Tenant;", "{header(X-Tenant)}"),
        Case("key header X-Order; key json /id;", "{header(X-Order)}"),
        Case("key json /id; hash { body none; }", "{body.json(/id)}"),
        Case("key form id; hash { body none; }", "{body.form(id)}"),
        Case("key xpath //id; hash { body none; }", "{body.xpath(//id)}"),
        Case("key query id; hash { exclude query id; }", "{query(id)}"),
        Case("hash { include query a; }", "{query(a)}"), Case("hash { exclude query b; }", "{query(a)}"),
        Case("hash { body raw; }", "{body.json(/a)}"), Case("hash { body json; }", "{body.json(/a/b)}"),
        Case("hash { body json; include json /a; }", "{body.json(/a/b)}"),
        Case("hash { body json; include json /*/b; }", "{body.json(/a/b/0)}"),
        Case("hash { body json; exclude json /a/c /b; }", "{body.json(/a/b)}"),
        Case("hash { body json; exclude json /a; }", "{body.form(a)}"),
        Case("hash { body form; include form a; }", "{body.form(a)}"),
        Case("hash { body form; exclude form b; }", "{body.form(a)}"),
        Case("hash { body multipart; exclude part a; }", "{body.json(/a)}"),
        Case("hash { body soap; }", "{body.xpath(//OrderRef)}"), Case("hash { body soap; }", "{header(SOAPAction)}"),
        Case("hash { body soap; }", "{body.xpath(//soap:Body/*[local-name()='MessageID'])}"),
        Case("hash { body xml; exclude xpath \"//*[local-name()='Timestamp']\"; }", "{body.xpath(//OrderRef)}"),
        Case("hash { body xml; exclude xpath //Sent/@at; }", "{body.xpath(//at)}"),
        Case("hash { body xml; include xpath //Order; }", "{body.xpath(/a/Order/Ref)}"),
        Case("hash { body xml; include xpath //Order/Ref; }", "{body.xpath(string(//Ref))}"),
        Case("repeatability on;", "{header(Repeatability-Request-ID)}"), Case("repeatability on;", "{key}"),
        Case("repeatability on;", "{header(Repeatability-First-Sent)}"),
    ]

    @Test(arguments: counted)
    func mayBeAskedWith(_ example: Case) {
        let (block, source) = (example.block, example.source)
        for probe in [
            "get \"/o?r=\(source)\"; \(Self.rest)", "get \"/o/{key}\"; header X-R \"<\(source)>\"; \(Self.rest)",
            "get \"/o/{key}\"; \(Self.rest) answer 201 { field X-R \"\(source)\"; body \"\(source)\"; }",
        ] {
            #expect(messages("\(block) on_unknown probe { \(probe) }") == [], "\(probe)")
        }
    }

    static let uncounted = [
        (Case("", "{header(X-Request-Id)}"), "hash { headers Content-Type X-Request-Id; }"),
        (Case("hash { body json; }", "{header(Content-Type)}"), "hash { headers Content-Type; }"),
        (Case("hash { headers X-Ref; }", "{header(X-Tenant)}"), "hash { headers X-Tenant; }"),
        (Case("scope none;", "{header(X-Tenant)}"), "hash { headers Content-Type X-Tenant; }"),
        (Case("hash { exclude query q r; }", "{query(r)}"), "'exclude query'"),
        (Case("hash { include query q; }", "{query(r)}"), "'include query r;'"),
        (Case("hash { body none; }", "{body.json(/a)}"), "'body json;'"),
        (Case("hash { body none; }", "{body.form(a)}"), "'body form;'"),
        (Case("hash { body none; }", "{body.xpath(//a)}"), "'body xml;'"),
        (Case("hash { body json; exclude json /a; }", "{body.json(/a/b)}"), "'exclude json'"),
        (Case("hash { body json; exclude json /*/b; }", "{body.json(/a/b)}"), "'exclude json'"),
        (Case("hash { body json; include json /a /c; }", "{body.json(/b)}"), "'include json /b;'"),
        (Case("hash { body json; include json /a/b; }", "{body.json(/a)}"), "'include json /a;'"),
        (Case("hash { body form; exclude form a; }", "{body.form(a)}"), "'exclude form'"),
        (Case("hash { body form; include form b; }", "{body.form(a)}"), "'include form a;'"),
        (Case("hash { body xml; exclude xpath //Sent; }", "{body.xpath(//Sent)}"), "'exclude xpath'"),
        (
            Case("hash { body xml; exclude xpath \"//*[local-name()='Sent']\"; }", "{body.xpath(/a/Sent/at)}"),
            "'exclude xpath'"
        ),
        (Case("hash { body xml; exclude xpath //@at; }", "{body.xpath(//a/@at)}"), "'exclude xpath'"),
        (Case("hash { body xml; include xpath //Order; }", "{body.xpath(//Ref)}"), "'include xpath //Ref;'"),
        (Case("hash { body soap; }", "{body.xpath(//wsa:MessageID)}"), "'key soap message-id;'"),
        (Case("hash { body soap; }", "{body.xpath(//wsu:Timestamp/wsu:Created)}"), "{key}"),
        // Another source may have given the key.
        (Case("key json /id; key header X-Order;", "{header(X-Order)}"), "write '{key}'"),
        (Case("key header X-Order; key json /id; hash { body none; }", "{body.json(/id)}"), "write '{key}'"),
        (Case("repeatability on;", "{header(Idempotency-Key)}"), "write '{key}'"),
        // Where it is written to does not matter.
        (Case("", "{header(X-Authorization)}"), "headers Content-Type X-Authorization"),
    ]

    @Test(arguments: uncounted)
    func mayNotBeAskedWith(_ example: Case, hint: String) {
        for probe in [
            "get \"/o?r=\(example.source)\"; \(Self.rest)",
            "get \"/o/{key}\"; header X-R \"<\(example.source)>\"; \(Self.rest)",
            "get \"/o/{key}\"; \(Self.rest) answer 201 { field X-R \"\(example.source)\"; }",
            "get \"/o/{key}\"; \(Self.rest) answer 201 { body \"\(example.source)\"; }",
        ] {
            let found = diagnostics("\(example.block) on_unknown probe { \(probe) }")
            #expect(found.count == 1 && found.first?.severity == .error, "\(probe): \(found.map(\.text))")
            #expect(found.first?.message.hasPrefix("'\(example.source)' ") == true, "\(found.map(\.text))")
            #expect(found.first?.hint?.contains(hint) == true, "\(found.map(\.text))")
        }
    }

    @Test func modesDoNotMatter() {
        let probe = "on_unknown probe { get \"/o/{header(X-A)}\"; \(Self.rest) }"
        for block in ["mode observe;", "on_missing_key hash; hash { window 1m; replay always; }"] {
            #expect(messages("\(block) \(probe)").filter { $0.hasPrefix("error") }.count == 1, "\(block)")
        }
    }

    @Test func credentialsGoIntoFieldsOnly() {
        let token = "scope jwt sub { jwks /k; header X-Token; }"
        for (block, name) in [
            ("", "Authorization"), ("", "cookie"), ("scope cookie sid;", "Cookie"), ("scope none;", "authorization"),
            ("hash { headers Authorization; }", "Authorization"), (token, "X-Token"),
        ] {
            let source = "{header(\(name))}"
            #expect(
                messages("\(block) on_unknown probe { get \"/o/{key}\"; header X-A \"\(source)\"; found 200; }") == [])
            for probe in [
                "get \"/o/\(source)\"; found 200;", "get \"/o/{key}\"; found 200; answer 201 { body \"\(source)\"; }",
                "get \"/o/{key}\"; found 200; answer 201 { field X-A \"\(source)\"; }",
            ] {
                let found = diagnostics("\(block) on_unknown probe { \(probe) }")
                #expect(found.count == 1 && found.first?.severity == .error, "\(probe): \(found.map(\.text))")
                #expect(found.first?.message.contains("credential") == true, "\(found.map(\.text))")
            }
        }
    }

    @Test func forwardedFieldsAreWarnedOf() {
        func probe(_ names: String) -> String { "on_unknown probe { get \"/o/{key}\"; forward \(names); found 200; }" }
        #expect(messages(probe("Authorization Cookie")) == [])
        #expect(messages("hash { headers X-A; } scope header X-B; \(probe("authorization x-a X-B"))") == [])
        #expect(
            messages(probe("Authorization X-Tenant"))
                == ["warning: 'X-Tenant' may differ in a repeat: the fingerprint does not count it"])
    }

    @Test func secretsAreNotShown() {
        let files = ConfigurationFiles.fake(environment: ["A": "/o/{header(X-Hunter2)}"])
        let found = diagnostics("on_unknown probe { get env(\"A\"); found 200; }", files: files)
        #expect(found.count == 1 && found.first?.severity == .error)
        #expect(found.first?.text.contains("Hunter2") == false, "\(found.map(\.text))")
    }

    // MARK: What is kept of an observed route

    private func observed(_ probe: String, files: ConfigurationFiles = .fake()) throws -> String {
        let text =
            "listen 127.0.0.1:1; upstream a { server http://a; }\n"
            + "route / { upstream a; idempotency { mode observe; on_unknown probe { \(probe) } } }"
        let checked = Configuration.check(Array(text.utf8), name: "/etc/p.conf", files: files)
        let configuration = try #require(checked.configuration, "\(checked.diagnostics.report)")
        return try #require(configuration.routes[0].observed).directives.joined(separator: "\n")
    }

    @Test func literalsOfAProbesFieldsAreNotKept() throws {
        let files = ConfigurationFiles.fake(["/etc/token": "t0"], environment: ["TOKEN": "t1"])
        let kept = try observed(
            """
            get "/o/{key}"; header Authorization "Bearer hunter2"; header X-Api-Key hunter3;
            header X-A env("TOKEN"); header X-B file("token"); header X-C "{key}"; header X-D "{key}-hunter4";
            header Accept "application/json"; found 200; answer 201 { field X-E "kept"; body "{probe.body}"; }
            """, files: files)
        #expect(
            kept == """
                on_unknown probe { get "/o/{key}"; header Authorization "…"; header X-Api-Key "…"; \
                header X-A env("TOKEN"); header X-B file("token"); header X-C "{key}"; header X-D "…"; \
                header Accept "application/json"; found 200; answer 201 { field X-E "kept"; body "{probe.body}"; } }
                """)
    }

    @Test func thePlaceholderIsWarnedOf() {
        #expect(
            messages("on_unknown probe { get \"/o/{key}\"; header Authorization \"…\"; found 200; }")
                == ["warning: '…' stands for a value that the report did not know"])
    }
}
