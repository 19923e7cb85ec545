import Testing

@testable import Idempotency

/// A probe asks with what its record's requests share: an XPath reads nothing that the fingerprint leaves out.
@Suite struct ProbeCountedTests {
    private static let order = """
        <o:order xmlns:o="urn:o" id="7" at="12:00"><o:head><o:time>1</o:time><o:from>a</o:from></o:head>\
        <o:line no="1"><o:item>x</o:item></o:line></o:order>
        """
    private static let envelope = """
        <soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" \
        xmlns:a="http://www.w3.org/2005/08/addressing"><soap:Header><a:MessageID>m1</a:MessageID><a:To>t</a:To>\
        </soap:Header><soap:Body><r>7</r><a:MessageID>b</a:MessageID></soap:Body></soap:Envelope>
        """

    private func asked(
        _ path: String, _ rule: HashRule, key: Policy.KeySource = .header("idempotency-key"), _ body: String,
        type: String = "text/xml"
    ) throws -> String? {
        var policy = Policy()
        policy.keySources = [key]
        policy.hash = rule
        policy.xmlNamespaces = [XMLNamespace(prefix: "o", name: "urn:o")]
        policy.onUnknown = .probe(Probe(target: Template([.literal("/"), .value(.bodyXPath(path))])))
        let identifier = try Identifier(route: "/", policy: policy)
        let request = TestRequest(fields: [("idempotency-key", "K"), ("content-type", type)], body: body)
        let identity = try identifier.identity(request)
        var scratch = IdentityScratch()
        let query: [UInt8] = []
        return identifier.question(
            about: identity, query: query.span, fields: request, body: request.body.span, scratch: &scratch
        ).map { String(decoding: $0.target.dropFirst(), as: UTF8.self) }
    }

    private func rule(
        _ body: HashRule.BodyForm, include: [String] = [], exclude: [String] = []
    ) -> HashRule {
        var rule = HashRule()
        rule.body = body
        rule.include = include.map { .xpath($0) }
        rule.exclude = exclude.map { .xpath($0) }
        return rule
    }

    @Test func excluded() throws {
        let rule = rule(.xml, exclude: ["//o:time", "//@at"])
        #expect(try asked("//o:from", rule, Self.order) == "a")
        #expect(try asked("//o:time", rule, Self.order) == nil)
        #expect(try asked("//*/@at", rule, Self.order) == nil)
        #expect(try asked("/*/@id", rule, Self.order) == "7")
        // By the text around it, or by an expression.
        #expect(try asked("//o:head", rule, Self.order) == "a")
        #expect(try asked("string(/*/*[1])", rule, Self.order) == "a")
        #expect(try asked("concat(//o:time, '-', //o:from)", rule, Self.order) == "-a")
        #expect(try asked("//o:from", self.rule(.xml, exclude: ["/"]), Self.order) == nil)
        #expect(try asked("//o:from", self.rule(.xml, exclude: ["/*"]), Self.order) == nil)
        #expect(try asked("//o:time", self.rule(.xml), Self.order) == "1")
    }

    @Test func notIncluded() throws {
        let rule = rule(.xml, include: ["//o:line", "/o:order/@id"], exclude: ["//@no"])
        #expect(try asked("//o:item", rule, Self.order) == "x")
        #expect(try asked("/*/@id", rule, Self.order) == "7")
        #expect(try asked("//@at", rule, Self.order) == nil)
        #expect(try asked("//@no", rule, Self.order) == nil)
        #expect(try asked("//o:from", rule, Self.order) == nil)
        #expect(try asked("string(/)", rule, Self.order) == "x")
    }

    @Test func soap() throws {
        let rule = rule(.soap)
        #expect(try asked("//r", rule, Self.envelope) == "7")
        #expect(try asked("//wsa:MessageID", rule, Self.envelope) == "b")
        #expect(try asked("//soap:Header", rule, Self.envelope) == "t")
        #expect(try asked("/soap:Envelope/soap:Header/wsa:MessageID", rule, Self.envelope) == nil)
    }

    @Test func theKeyIsThere() throws {
        let rule = rule(.xml, exclude: ["//o:time"])
        #expect(try asked("//o:time", rule, key: .xpath("//o:time"), Self.order) == "1")
    }

    /// Then every octet counts.
    @Test func octets() throws {
        let rule = rule(.xml, exclude: ["//o:time"])
        #expect(try asked("//o:time", rule, Self.order, type: "text/plain") == "1")
        #expect(try asked("//o:time", self.rule(.soap, exclude: ["//o:time"]), Self.order) == "1")
    }
}
