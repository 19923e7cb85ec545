import Testing

@testable import Idempotency

@Suite struct BodyTypeTests {
    private static func type(_ text: String) -> BodyType { BodyType(contentType: Array(text.utf8).span) }

    @Test(arguments: [
        ("application/json", BodyType.Media.json), ("Application/JSON ; charset=utf-8", .json),
        ("application/problem+json", .json),
        ("application/x-amz-json-1.1", .json), ("text/xml", .xml), ("application/soap+xml; action=a", .xml),
        ("application/x-www-form-urlencoded", .form), ("application/X-WWW-Form-Urlencoded;charset=x", .form),
        ("multipart/form-data; boundary=x", .multipart), ("multipart/related", .multipart), ("text/plain", .other),
        ("", .other),
        ("json", .other), ("application/x-www-form-urlencoded2", .other), ("image/png", .other),
    ])
    func media(text: String, media: BodyType.Media) {
        #expect(Self.type(text).media == media)
    }

    @Test func parameters() {
        #expect(Self.type("text/xml").charset == .absent)
        #expect(Self.type("text/xml; charset=\"UTF-8\"").charset == .known(.utf8))
        #expect(Self.type("text/xml;Charset=iso-8859-1;x=y").charset == .known(.latin1))
        #expect(Self.type("text/xml; charset=koi8-r").charset == .other)
        #expect(Self.type("text/xml; charset").charset == .other)
        #expect(Self.type("multipart/Form-Data; boundary=\"a b\"").boundary == Array("a b".utf8))
        #expect(Self.type("multipart/Form-Data; boundary=a").subtype == Array("form-data".utf8))
        #expect(Self.type("multipart/form-data; boundary=a; Boundary=b").boundary.isEmpty)
        #expect(Self.type("multipart/form-data; boundary=----=_Part_1").boundary == Array("----=_Part_1".utf8))
    }

    // MARK: Requests

    private static func identity(_ body: HashRule.BodyForm?, _ text: String, _ fields: [(String, String)]) throws
        -> RequestIdentity
    {
        var policy = Policy()
        policy.onMissingKey = .hash
        var rule = HashRule()
        rule.body = body ?? .raw
        policy.hash = rule
        return try Identifier(route: "r", policy: policy).identity(TestRequest(fields: fields, body: text))
    }

    /// D11: nothing is decompressed; the coding counts with the octets.
    @Test(arguments: [.raw, .json, .xml, .soap, .multipart, .form(orderFree: true)] as [HashRule.BodyForm])
    func codedBodiesCountByTheirOctets(form: HashRule.BodyForm) throws {
        let key = { (text: String, codings: [String]) in
            try Self.identity(form, text, codings.map { ("Content-Encoding", $0) }).key
        }
        #expect(try key("a", ["gzip"]) == key("a", ["GZIP"]))
        #expect(try key("a", ["gzip"]) == key("a", ["gzip, identity"]))
        #expect(try key("a", ["gzip", "br"]) == key("a", ["gzip,br"]))
        #expect(try key("a", ["gzip"]) != key("b", ["gzip"]))
        #expect(try key("a", ["gzip"]) != key("a", ["br"]))
        #expect(try key("a", ["gzip"]) != key("a", []))
        #expect(try key("a", ["gzip", "br"]) != key("a", ["br", "gzip"]))
        #expect(try key("a", ["identity"]) == key("a", []))
        // No coding and octet are another coding and other octets.
        #expect(try key("pa", ["gzi"]) != key("a", ["gzip"]))
        let coded = try Self.identity(form, "a=1", [("Content-Encoding", "gzip")])
        #expect(coded.fellBackToOctets == (form != .raw))
    }

    /// The count of fallbacks; `form` before Content-Type, as requests come.
    @Test(
        arguments: [
            (.json, "{}", "application/json", false), (.json, "{}", "text/plain", true),
            (.json, "{}", "application/xml", true),
            (.json, "{", "application/json", true), (.json, #"{"a":1,"a":1}"#, "application/json", true),
            (.raw, "{", "application/json", false),
            (.none, "{", "application/json", false),
            (.form(orderFree: false), "a=1", "application/x-www-form-urlencoded", false),
            (.form(orderFree: false), "a=1", "text/plain", true),
            (.form(orderFree: false), "{}", "application/x-www-form-urlencoded", true),
        ] as [(HashRule.BodyForm, String, String, Bool)])
    func unexpectedTypesFallBack(form: HashRule.BodyForm, body: String, type: String, fallsBack: Bool) throws {
        #expect(try Self.identity(form, body, [("Content-Type", type)]).fellBackToOctets == fallsBack)
        #expect(
            try Self.identity(form, body, [("Content-Type", type)]).key
                == Self.identity(form, body, [("Content-Type", type)]).key)
    }

    /// A token is not lost because a second Content-Type is sent along.
    @Test func severalTypesHideNoToken() throws {
        var policy = Policy()
        policy.keySources = [.form("k"), .xpath("//k")]
        let identifier = try Identifier(route: "r", policy: policy)
        for types in [
            ["application/x-www-form-urlencoded", "text/plain"], ["text/plain", "application/x-www-form-urlencoded"],
        ] {
            let request = TestRequest(fields: types.map { ("Content-Type", $0) }, body: "k=1")
            #expect(try identifier.identity(request).kind == .token)
        }
        let request = TestRequest(
            fields: [("Content-Type", "text/xml"), ("Content-Type", "application/json")], body: "<k>1</k>")
        #expect(try identifier.identity(request).kind == .token)
    }

    /// One body under two forms is two requests, fallen back or not.
    @Test func formsDoNotMeet() throws {
        let bodies = [
            ("<a/>", [HashRule.BodyForm.xml, .raw, .none]),
            ("a=1", [.form(orderFree: false), .form(orderFree: true), .raw]), ("1", [.json, .raw]),
        ]
        for (body, forms) in bodies {
            let keys = try forms.map { try Self.identity($0, body, []).key }
            #expect(Set(keys).count == forms.count)
        }
        #expect(
            try Self.identity(.xml, SOAPTests.envelope(), []).key != Self.identity(.soap, SOAPTests.envelope(), []).key)
    }

    @Test func scratchIsNotKeptForLargeBodies() throws {
        var policy = Policy()
        policy.onMissingKey = .hash
        policy.hash = HashRule()
        policy.hash?.body = .xml
        let identifier = try Identifier(route: "r", policy: policy)
        var scratch = IdentityScratch()
        for (size, isKept) in [(1000, true), (300_000, false)] {
            let request = TestRequest(body: "<a>" + String(repeating: "x", count: size) + "</a>")
            guard case .pending(let pending) = identifier.begin(request, scratch: &scratch) else {
                throw NotIdentified()
            }
            _ = identifier.finish(pending, body: request.body.span, scratch: &scratch)
            #expect((scratch.xml.output.capacity > 0) == isKept)
        }
    }
}
