import Testing

@testable import Idempotency

/// Behaviour 21.
@Suite struct SOAPTests {
    static func envelope(
        prefix: String = "soap", created: String = "2026-01-01T00:00:00Z", nonce: String = "bm9uY2U=",
        messageID: String = "urn:uuid:1",
        user: String = "u", amount: String = "5", version: String = "http://schemas.xmlsoap.org/soap/envelope/",
        addressing: String = "http://www.w3.org/2005/08/addressing", comment: String = "", extra: String = ""
    ) -> String {
        """
        <?xml version="1.0" encoding="utf-8"?>
        <\(prefix):Envelope xmlns:\(prefix)="\(version)" xmlns:a="\(addressing)">
          <\(prefix):Header>\(comment)
            <a:MessageID>\(messageID)</a:MessageID>
            <a:Action>urn:pay</a:Action>
            <w:Security xmlns:w="\(XMLNamespaces.security)" xmlns:u="\(XMLNamespaces.securityUtility)">
              <u:Timestamp u:Id="T-\(nonce)"><u:Created>\(created)</u:Created><u:Expires>\(created)</u:Expires></u:Timestamp>
              <w:UsernameToken><w:Username>\(user)</w:Username><w:Nonce>\(nonce)</w:Nonce>
              <u:Created>\(created)</u:Created>
              </w:UsernameToken>\(extra)
            </w:Security>
          </\(prefix):Header>
          <\(prefix):Body><pay xmlns="urn:pay"><amount>\(amount)</amount></pay></\(prefix):Body>
        </\(prefix):Envelope>
        """
    }

    private static func form(_ text: String) throws -> [UInt8] { try XMLForm.tokens(text, soap: true) }

    @Test func whatAClientMakesAnewDoesNotMatter() throws {
        let first = try Self.form(Self.envelope())
        for other in [
            Self.envelope(prefix: "S"), Self.envelope(created: "2026-02-02T00:00:00Z"), Self.envelope(nonce: "eA=="),
            Self.envelope(messageID: "urn:uuid:2"), Self.envelope(comment: "<!-- x -->"),
            Self.envelope().replacing("\n", with: ""), Self.envelope().replacing("\n", with: "\r\n  "),
            Self.envelope().replacing("<a:MessageID>urn:uuid:1</a:MessageID>", with: ""),
            Self.envelope().replacing(#"xmlns:a="#, with: #"xmlns:unused="urn:x" xmlns:a="#),
        ] {
            #expect(try first == Self.form(other))
        }
    }

    @Test func allElseMatters() throws {
        let first = try Self.form(Self.envelope())
        for other in [
            Self.envelope(amount: "6"), Self.envelope(user: "v"), Self.envelope(amount: " 5"),
            Self.envelope(version: "http://www.w3.org/2003/05/soap-envelope"),
            Self.envelope().replacing("urn:pay</a:Action>", with: "urn:refund</a:Action>"),
            Self.envelope().replacing(#"xmlns="urn:pay""#, with: #"xmlns="urn:refund""#),
            Self.envelope(addressing: "urn:other"), Self.envelope(extra: "<w:Password>p</w:Password>"),
            Self.envelope().replacing("<amount>", with: "<amount currency='EUR'>"),
        ] {
            #expect(try first != Self.form(other))
        }
        // wsu:Created counts but in a UsernameToken or a Timestamp; nothing of the body is left out.
        let created = { (text: String) in Self.envelope(extra: "<u:Created>\(text)</u:Created>") }
        #expect(try Self.form(created("1")) != Self.form(created("2")))
        for name in [
            "<x:MessageID xmlns:x='http://www.w3.org/2005/08/addressing'>{}</x:MessageID>",
            "<x:Timestamp xmlns:x='\(XMLNamespaces.securityUtility)'>{}</x:Timestamp>",
            "<x:Nonce xmlns:x='\(XMLNamespaces.security)'>{}</x:Nonce>",
        ] {
            let body = { (text: String) in
                Self.envelope().replacing("</pay>", with: name.replacing("{}", with: text) + "</pay>")
            }
            #expect(try Self.form(body("1")) != Self.form(body("2")))
        }
    }

    @Test func onlyEnvelopesAreSOAP() {
        for text in [
            "<a/>", "<Envelope/>", "<s:envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'/>",
            "<s:Body xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'/>", "<s:Envelope xmlns:s='urn:x'/>",
        ] {
            #expect(XMLForm.error(text, soap: true) == .notSOAP)
        }
    }

    // MARK: Requests

    private static func identifier(_ body: HashRule.BodyForm = .soap, _ change: (inout Policy) -> Void = { _ in })
        throws -> Identifier
    {
        var policy = Policy()
        policy.onMissingKey = .hash
        var rule = HashRule()
        rule.body = body
        policy.hash = rule
        change(&policy)
        return try Identifier(route: "r", policy: policy)
    }

    private static func request(_ body: String, _ fields: [(String, String)]) -> TestRequest {
        TestRequest(fields: fields, body: body)
    }

    @Test func theActionCounts() throws {
        let identifier = try Self.identifier()
        let key = { (fields: [(String, String)]) in try identifier.identity(Self.request(Self.envelope(), fields)).key }
        let soap11 = { (action: String) in [("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", action)] }
        let soap12 = { (action: String) in [("Content-Type", "application/soap+xml; charset=utf-8; action=\(action)")] }
        #expect(try key(soap11("\"urn:pay\"")) == key(soap11("urn:pay")))
        #expect(try key(soap11("urn:pay")) != key(soap11("urn:refund")))
        #expect(try key(soap11("urn:pay")) != key(soap11("")))
        #expect(try key(soap11("")) == key(soap11("\"\"")))
        #expect(try key(soap11("")) != key([("Content-Type", "text/xml; charset=utf-8")]))
        #expect(try key(soap12("\"urn:pay\"")) == key(soap12("urn:pay")))
        #expect(try key(soap12("\"urn:pay\"")) != key(soap12("\"urn:refund\"")))
        #expect(try key(soap12("urn:pay")) != key([("Content-Type", "application/soap+xml; charset=utf-8")]))
        // Without `body soap` it is a header like others.
        let xml = try Self.identifier(.xml)
        #expect(
            try xml.identity(Self.request("<a/>", soap11("urn:pay"))).key
                == xml.identity(Self.request("<a/>", soap11("urn:refund"))).key)
    }

    @Test func anUnexpectedBodyFallsBack() throws {
        let type = [("Content-Type", "text/xml")]
        for (form, body, fields, fallsBack) in [
            (.soap, Self.envelope(), type, false), (.soap, "<a/>", type, true), (.xml, "<a/>", type, false),
            (.xml, "<a/>", [], false),
            (.xml, "<a>", type, true), (.xml, "<!DOCTYPE a><a/>", type, true),
            (.xml, "<a/>", [("Content-Type", "text/plain")], true),
            (.xml, "<a/>", [("Content-Type", "application/vnd.x+xml; charset=utf-8")], false),
            (.xml, "<a/>", [("Content-Type", "text/xml; charset=koi8-r")], true),
            (.xml, "<a/>", type + [("Content-Encoding", "gzip")], true),
            (.xml, "<a/>", type + [("Content-Encoding", "identity")], false), (.xml, "<a/>", type + type, true),
        ] as [(HashRule.BodyForm, String, [(String, String)], Bool)] {
            let identity = try Self.identifier(form).identity(Self.request(body, fields))
            #expect(identity.fellBackToOctets == fallsBack, "\(form) \(body) \(fields)")
        }
        // What fell back equals itself and nothing else.
        let identifier = try Self.identifier(.xml)
        let key = { (body: String) in try identifier.identity(Self.request(body, type)).key }
        #expect(try key("<a>") == key("<a>"))
        #expect(try key("<a>") != key("<a >"))
        #expect(try key("<!DOCTYPE a><a/>") != key("<a/>"))
    }

    @Test func messageIDIsAToken() throws {
        let identifier = try Self.identifier { $0.keySources = [.soapMessageID] }
        let key = { (body: String) in try identifier.identity(Self.request(body, [])).key }
        let kind = { (body: String) in try identifier.identity(Self.request(body, [])).kind }
        #expect(try kind(Self.envelope()) == .token)
        #expect(try key(Self.envelope()) == key(Self.envelope(amount: "6")))
        #expect(
            try key(Self.envelope())
                == key(Self.envelope(addressing: "http://schemas.xmlsoap.org/ws/2004/08/addressing")))
        #expect(try key(Self.envelope()) == key(Self.envelope(messageID: "\n  urn:uuid:1 ")))
        #expect(try key(Self.envelope()) != key(Self.envelope(messageID: "urn:uuid:2")))
        #expect(try kind(Self.envelope(addressing: "urn:other")) == .hash)
        #expect(try kind("<a/>") == .hash)
        #expect(try kind("{}") == .hash)
        let doubled = { (second: String) in
            Self.envelope().replacing("<a:Action>", with: "<a:MessageID>\(second)</a:MessageID><a:Action>")
        }
        #expect(try key(doubled("urn:uuid:1")) == key(Self.envelope()))
        for body in [
            doubled("urn:uuid:2"), Self.envelope(messageID: ""), Self.envelope(messageID: "a b"), "<!DOCTYPE a><a/>",
        ] {
            #expect(identifier.identify(Self.request(body, [])) == .malformedKey)
        }
        let long = String(repeating: "x", count: 5000)
        #expect(identifier.identify(Self.request(Self.envelope(messageID: long), [])) == .malformedKey)
    }

    @Test func pathsGiveTokens() throws {
        let identifier = try Self.identifier {
            $0.keySources = [.header("k"), .xpath("/p:a/@id"), .xpath("string(//p:ref)")]
            $0.xmlNamespaces = [XMLNamespace(prefix: "p", name: "u")]
        }
        let key = { (body: String) in
            try identifier.identity(Self.request(body, [("Content-Type", "application/xml")])).key
        }
        let kind = { (body: String) in try identifier.identity(Self.request(body, [])).kind }
        #expect(try kind("<a xmlns='u' id='7'/>") == .token)
        #expect(try key("<a xmlns='u' id='7'/>") == key("<x:a xmlns:x='u' id='7'>other</x:a>"))
        #expect(try key("<a xmlns='u' id='7'/>") == key("<a xmlns='u'><ref> 7 </ref></a>"))
        #expect(try key("<a xmlns='u' id='7'/>") != key("<a xmlns='u' id='8'/>"))
        #expect(try kind("<a id='7'/>") == .hash)
        #expect(try kind("x") == .hash)
        #expect(try key("<a xmlns='u'><ref>7</ref></a>") == identifier.identity(Self.request("", [("k", "7")])).key)
        for body in ["<a xmlns='u' id=''/>", "<a xmlns='u' id='a b'/>", "<!DOCTYPE a><a xmlns='u' id='7'/>"] {
            #expect(identifier.identify(Self.request(body, [])) == .malformedKey)
        }
        let several = try Self.identifier { $0.keySources = [.xpath("//ref")] }
        #expect(try several.identity(Self.request("<a><ref>1</ref><ref>1</ref></a>", [])).kind == .token)
        #expect(several.identify(Self.request("<a><ref>1</ref><ref>2</ref></a>", [])) == .malformedKey)
        // A body of another type is not looked into, and a picture is none.
        #expect(
            try several.identity(Self.request("<a><ref>1</ref></a>", [("Content-Type", "application/json")])).kind
                == .hash)
        #expect(try several.identity(Self.request("\u{FFFE}<", [("Content-Type", "image/png")])).kind == .hash)
    }

    @Test func selectorsAreChecked() {
        for (form, selector) in [
            (.json, .xpath("//a")), (.xml, .jsonPointer("/a")), (.soap, .form("a")), (.multipart, .xpath("//a")),
            (.xml, .part("a")),
            (.raw, .xpath("//a")), (.form(orderFree: false), .part("a")),
        ] as [(HashRule.BodyForm, HashRule.Selector)] {
            #expect(throws: PolicyError.self) { try Self.identifier(form) { $0.hash?.exclude = [selector] } }
        }
        #expect(throws: PolicyError.tooManyXPaths) {
            try Self.identifier(.xml) { $0.hash?.exclude = .init(repeating: .xpath("//a"), count: 17) }
        }
        #expect(throws: PolicyError.self) { try Self.identifier { $0.keySources = [.xpath("count(//a)")] } }
    }
}
