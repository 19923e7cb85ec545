import Foundation
import TestSupport
import Testing

private let xml = [Field("Content-Type", "text/xml; charset=utf-8")]

private func hash(_ body: String, _ more: String = "") -> String {
    "on_missing_key hash; hash { body \(body); window 1h; replay always; \(more) }"
}

/// Bodies that mean the same, and those that do not: XML, SOAP and multipart; tokens inside XML.
@Suite(.blackBox) struct PayloadsTests {
    // MARK: SOAP

    /// An envelope as one SOAP library writes it.
    private static func envelope(
        item: String = "book", created: String = "2026-11-24T10:00:00Z", message: String = "urn:uuid:1",
        to: String = "urn:shop"
    ) -> String {
        """
        <soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Header>
        <wsse:Security xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">
        <wsu:Timestamp xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd">
        <wsu:Created>\(created)</wsu:Created></wsu:Timestamp></wsse:Security>
        <wsa:MessageID xmlns:wsa="http://www.w3.org/2005/08/addressing">\(message)</wsa:MessageID>
        <wsa:To xmlns:wsa="http://www.w3.org/2005/08/addressing">\(to)</wsa:To>
        </soap:Header><soap:Body><o:Order xmlns:o="urn:orders" currency="EUR" lines="1"><o:item>\(item)</o:item>
        </o:Order></soap:Body></soap:Envelope>
        """
    }

    private func soap(_ body: String, action: String = "\"urn:orders/Place\"", _ target: String = "/") -> Request {
        .post(target, xml + [Field("SOAPAction", action)], body: body)
    }

    @Test("B21 SOAP: prefixes, order of attributes, comments, wsu:Created and wsa:MessageID do not count")
    func soapSame() throws {
        let pair = try Pair(hash("soap"))
        let first = Self.envelope()
        let variants = [
            Self.envelope(created: "2026-11-24T10:00:07Z", message: "urn:uuid:2"),
            first.replacingOccurrences(of: "soap:", with: "S:").replacingOccurrences(of: ":soap=", with: ":S="),
            first.replacingOccurrences(of: "o:", with: "").replacingOccurrences(of: "xmlns:o=", with: "xmlns="),
            first.replacingOccurrences(of: #"currency="EUR" lines="1""#, with: "lines='1' currency = 'EUR'"),
            first.replacingOccurrences(of: "<soap:Body>", with: "<!-- again --><soap:Body>\n  "),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + first,
            first.replacingOccurrences(of: "book", with: "<![CDATA[bo]]>&#x6f;k"),
        ]
        let answer = try pair.proxy.send(soap(first))
        for variant in variants {
            #expect(variant != first)
            expectReplay(try pair.proxy.send(soap(variant)), of: answer)
        }
        expectReplay(try pair.proxy.send(soap(first, action: "urn:orders/Place")), of: answer)
        #expect(pair.upstream.executions == 1)
        // The service saw the first one's octets.
        #expect(try text(pair.upstream.request(0).body) == first)
        #expect(try pair.proxy.metric("oncegate_limit_reached_total", ["limit": "canonical_form"]) ?? 0 == 0)
    }

    @Test("B21 SOAP: a text node, an attribute, another header, a namespace or the SOAPAction count")
    func soapDifferent() throws {
        let pair = try Pair(hash("soap"))
        let first = Self.envelope()
        expectAnswer(try pair.proxy.send(soap(first)))
        let others = [
            Self.envelope(item: "pen"), Self.envelope(item: "book "), Self.envelope(to: "urn:other"),
            first.replacingOccurrences(of: "EUR", with: "USD"),
            first.replacingOccurrences(of: "urn:orders", with: "urn:orders2"),
            first.replacingOccurrences(of: "</soap:Body>", with: "<o:x xmlns:o=\"urn:orders\"/></soap:Body>"),
        ]
        for other in others { expectAnswer(try pair.proxy.send(soap(other))) }
        expectAnswer(try pair.proxy.send(soap(first, action: "urn:orders/Cancel")))
        #expect(pair.upstream.executions == 2 + others.count)
    }

    @Test("B21 in token mode the same rule tells a retry from another request")
    func soapTokenMode() throws {
        let pair = try Pair("hash { body soap; }")
        let first = try pair.proxy.send(soap(Self.envelope()).with("Idempotency-Key", "K"))
        let retry = soap(Self.envelope(created: "2026-11-24T10:00:09Z", message: "urn:uuid:9"))
        expectReplay(try pair.proxy.send(retry.with("Idempotency-Key", "K")), of: first)
        let other = soap(Self.envelope(item: "pen")).with("Idempotency-Key", "K")
        expectProblem(try pair.proxy.send(other), "key-reused", status: 422)
        #expect(pair.upstream.executions == 1)
    }

    // MARK: XML

    @Test("XML: what is selected by XPath, and what is not")
    func xpaths() throws {
        let excluded = try Pair(#"namespace o urn:o; \#(hash("xml", #"exclude xpath "//o:sent" "/o:a/@n";"#))"#)
        func order(_ item: String, sent: String, number: Int = 1) -> String {
            "<a xmlns='urn:o' n='\(number)'><item>\(item)</item><sent>\(sent)</sent></a>"
        }
        let one = Request.post("/", xml, body: order("x", sent: "1"))
        #expect(try areSame(excluded, one, .post("/", xml, body: order("x", sent: "2", number: 2))))
        #expect(
            try !areSame(
                excluded, .post("/2", xml, body: order("x", sent: "1")),
                .post("/2", xml, body: order("y", sent: "1"))))
        let included = try Pair(#"namespace o urn:o; \#(hash("xml", #"include xpath "/o:a/o:item";"#))"#)
        #expect(try areSame(included, one, .post("/", xml, body: order("x", sent: "2", number: 2))))
        #expect(
            try !areSame(
                included, .post("/2", xml, body: order("x", sent: "1")),
                .post("/2", xml, body: order("z", sent: "1"))))
    }

    /// Ten entities, each ten times the one before: ten thousand million octets if they were expanded.
    private static func laughs(_ tail: String = "", levels: Int = 10) -> String {
        var lines = ["<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY l0 \"lol\">"]
        for level in 1...levels {
            let references = String(repeating: "&l\(level - 1);", count: 10)
            lines.append("<!ENTITY l\(level) \"\(references)\">")
        }
        return lines.joined(separator: "\n") + "]><l>&l\(levels);\(tail)</l>"
    }

    private static let hostile: [(name: String, body: @Sendable (String) -> String)] = [
        ("billion laughs", { laughs($0) }),
        (
            "quadratic",
            { tail in
                let long = String(repeating: "a", count: 100_000)
                return "<!DOCTYPE l [<!ENTITY a \"\(long)\">]><l>\(String(repeating: "&a;", count: 20_000))\(tail)</l>"
            }
        ),
        ("a file", { "<!DOCTYPE l [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><l>&a;\($0)</l>" }),
        (
            "depth",
            { tail in
                String(repeating: "<a>", count: 300_000) + tail + String(repeating: "</a>", count: 300_000)
            }
        ),
        (
            "attributes",
            { tail in
                "<a \((0..<200_000).map { "a\($0)='\(tail)'" }.joined(separator: " "))/>"
            }
        ),
        (
            "namespaces",
            { tail in
                (0..<20_000).map { "<a xmlns:p\($0)='urn:\($0)'>" }.joined() + tail
                    + String(repeating: "</a>", count: 20_000)
            }
        ),
    ]

    @Test(
        "B22 hostile XML: bounded time and memory, compared by its octets, counted, forwarded", arguments: 0..<6,
        ["xml", "soap"])
    func hostileXML(index: Int, form: String) throws {
        let pair = try Pair(hash(form))
        let body = Self.hostile[index].body
        _ = try pair.proxy.post("/warm", xml, body: "<a/>")
        let before = try pair.proxy.memoryKiB("VmHWM")
        let counted = try pair.proxy.metric("oncegate_limit_reached_total", ["limit": "canonical_form"]) ?? 0
        let (one, two) = (Request.post("/", xml, body: body("1")), Request.post("/", xml, body: body("2")))
        var answer: Response?
        let elapsed = try elapsedSeconds {
            answer = try pair.proxy.send(one)
            expectReplay(try pair.proxy.send(one), of: answer!)
            expectAnswer(try pair.proxy.send(two))
        }
        // Three requests of up to 2 MiB on a busy machine and a debug build.
        #expect(elapsed < 10, "\(elapsed) s")
        expectAnswer(answer!)
        #expect(pair.upstream.executions == 3)
        #expect(try text(pair.upstream.request(1).body) == body("1"))
        #expect(try pair.proxy.memoryKiB("VmHWM") - before < 64 << 10)
        let now = try pair.proxy.metric("oncegate_limit_reached_total", ["limit": "canonical_form"])
        #expect(try #require(now) - counted >= 3)
    }

    // MARK: Tokens in XML

    @Test("a token from an XPath: repeated, with another payload, missing, ambiguous")
    func xpathToken() throws {
        let pair = try Pair(#"namespace o urn:o; key xpath "/o:order/o:ref"; on_missing_key reject;"#)
        func order(_ inner: String) -> Request { .post("/", xml, body: "<order xmlns=\"urn:o\">\(inner)</order>") }
        let first = try pair.proxy.send(order("<ref>7</ref><item>book</item>"))
        expectAnswer(first)
        expectReplay(try pair.proxy.send(order("<ref>7</ref><item>book</item>")), of: first)
        let other = order("<ref>7</ref><item>pen</item>")
        expectProblem(try pair.proxy.send(other), "key-reused", status: 422)
        expectAnswer(try pair.proxy.send(order("<ref>8</ref><item>book</item>")))
        #expect(pair.upstream.executions == 2)
        expectProblem(try pair.proxy.send(order("<item>book</item>")), "key-missing", status: 400)
        let ambiguous = try pair.proxy.send(order("<ref>7</ref><ref>8</ref>"))
        #expect(ambiguous.status == 400, "\(ambiguous.text)")
        #expect(pair.upstream.attempts == 2)
    }

    @Test("the token is wsa:MessageID: a retry of the same message is replayed, a new message runs")
    func messageIDToken() throws {
        let pair = try Pair("key soap message-id; on_missing_key reject; hash { body soap; }")
        let first = try pair.proxy.send(soap(Self.envelope()))
        expectAnswer(first)
        let again = Self.envelope(created: "2026-11-24T10:00:30Z", message: " urn:uuid:1\n")
        expectReplay(try pair.proxy.send(soap(again)), of: first)
        expectProblem(try pair.proxy.send(soap(Self.envelope(item: "pen"))), "key-reused", status: 422)
        expectAnswer(try pair.proxy.send(soap(Self.envelope(message: "urn:uuid:2"))))
        #expect(pair.upstream.executions == 2)
        let without = Self.envelope().replacingOccurrences(of: "MessageID", with: "RelatesTo")
        expectProblem(try pair.proxy.send(soap(without)), "key-missing", status: 400)
        #expect(pair.upstream.attempts == 2)
    }

    @Test("B22 a token inside XML with a DOCTYPE is no token: 400, soon, and the service is not touched")
    func hostileToken() throws {
        let pair = try Pair(#"key xpath "//ref";"#)
        let elapsed = try elapsedSeconds {
            for _ in 0..<3 {
                let response = try pair.proxy.post("/", xml, body: Self.laughs("<ref>1</ref>"))
                expectProblem(response, "key-malformed", status: 400)
            }
        }
        #expect(elapsed < 5, "\(elapsed) s")
        #expect(pair.upstream.attempts == 0)
    }

    // MARK: Multipart

    private func multipart(_ file: String, boundary: String, field: String = "7", _ target: String = "/") -> Request {
        let body = [
            "--\(boundary)", "Content-Disposition: form-data; name=\"order\"", "", field, "--\(boundary)",
            "Content-Disposition: form-data; name=\"file\"; filename=\"a.bin\"",
            "Content-Type: application/octet-stream", "", file, "--\(boundary)--", "",
        ].joined(separator: "\r\n")
        let type = Field("Content-Type", "multipart/form-data; boundary=\(boundary)")
        return .post(target, [type], body: body)
    }

    @Test("B23 multipart: the boundary does not count; each octet of a file, its name and the fields do")
    func multipartParts() throws {
        let pair = try Pair(hash("multipart"))
        let one = multipart("data\r\n--data", boundary: "one")
        #expect(try areSame(pair, one, multipart("data\r\n--data", boundary: "two")))
        let others = [
            multipart("data\r\n--dat4", boundary: "three"), multipart("data\r\n--data\r\n", boundary: "four"),
            multipart("data\r\n--data", boundary: "five", field: "8"),
            .post("/", one.fields, body: text(one.bodyOctets).replacingOccurrences(of: "a.bin", with: "b.bin")),
            .post(
                "/", one.fields, body: text(one.bodyOctets).replacingOccurrences(of: "\"order\"", with: "\"orders\"")),
        ]
        for other in others { expectAnswer(try pair.proxy.send(other)) }
        #expect(pair.upstream.executions == 1 + others.count)
        #expect(try text(pair.upstream.request(0).body) == text(one.bodyOctets))
    }

    @Test("B23 an excluded part may differ, no other one may")
    func multipartExcluded() throws {
        let pair = try Pair(hash("multipart", "exclude part order;"))
        #expect(try areSame(pair, multipart("x", boundary: "a"), multipart("x", boundary: "b", field: "9")))
        #expect(try !areSame(pair, multipart("x", boundary: "a", "/2"), multipart("y", boundary: "a", "/2")))
    }

    // MARK: Fallbacks

    @Test(
        "B19 another media type, broken or encoded bodies: by their octets, counted, never skipped",
        arguments: [
            ("xml", "application/json", "<a b='1'/>", "<a b=\"1\"/>"), ("xml", "text/xml", "<a b='1'>", "<a b=\"1\">"),
            ("soap", "text/xml", "<a b='1'/>", "<a b=\"1\"/>"), ("json", "text/plain", "{\"a\":1}", "{ \"a\":1}"),
            ("multipart", "multipart/form-data", "--a\r\n\r\nx\r\n--a--", "--b\r\n\r\nx\r\n--b--"),
            ("form", "text/plain", "a=%41", "a=A"),
        ])
    func fallbacks(form: String, type: String, one: String, other: String) throws {
        let pair = try Pair(hash(form))
        let fields = [Field("Content-Type", type)]
        #expect(try areSame(pair, .post("/", fields, body: one), .post("/", fields, body: one)))
        #expect(try !areSame(pair, .post("/2", fields, body: one), .post("/2", fields, body: other)))
        #expect(try pair.proxy.metric("oncegate_limit_reached_total", ["limit": "canonical_form"]) == 4)
    }
}
