import Foundation
import TestSupport
import Testing

/// What a probe asks: values of the request, each escaped for its place; and what is made of its answer.
@Suite(.blackBox) struct ProbeValuesTests {
    /// A service that breaks off every POST and answers a GET by the reply; the probes that it got.
    private func asked(
        _ request: Request, _ probe: String, more: String = "", reply: Reply = .answer(200, [], body: "probed"),
        _ check: (Response, ReceivedRequest?) throws -> Void
    ) throws {
        let pair = try Pair("on_unknown probe { \(probe) } \(more)") { received in
            received.method == "GET" ? reply : .closeAfterRequest
        }
        let first = try pair.proxy.send(request)
        #expect(first.status == 502, "\(first.text)")
        let retry = try pair.proxy.send(request)
        try check(retry, pair.upstream.requests.first { $0.method == "GET" })
    }

    private func target(
        _ request: Request, _ get: String, more: String = "", sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String? {
        var target: String?
        try asked(request, "get \"\(get)\"; found 200;", more: more) { retry, probe in
            target = probe?.target
            #expect(retry.status == (probe == nil ? 409 : 200), "\(retry.text)", sourceLocation: sourceLocation)
        }
        return target
    }

    private static let hard = #"a b/c?d=e&f%g"h'i#j\k;é€😀+.~"#
    private static let encoded =
        "a%20b%2Fc%3Fd%3De%26f%25g%22h%27i%23j%5Ck%3B%C3%A9%E2%82%AC%F0%9F%98%80%2B.~"

    private func utf8(_ response: Response) -> String { String(decoding: response.body, as: UTF8.self) }

    private func json(_ text: String) -> String {
        String(decoding: (try? JSONSerialization.data(withJSONObject: ["ref": text])) ?? Data(), as: UTF8.self)
    }

    @Test("values that need escaping are octets of one segment or one parameter, whatever they hold")
    func escaped() throws {
        let body = Request.post("/orders", key: "K", body: json(Self.hard))
        #expect(
            try target(body, "/o/{body.json(/ref)}/x?r={body.json(/ref)}&t=1")
                == "/o/\(Self.encoded)/x?r=\(Self.encoded)&t=1")
        let xml = #"<o xmlns="urn:o"><ref>a b/c?d=e&amp;f%g"h'i#j\k;é€😀+.~</ref></o>"#
        let soap = Request.post("/orders", key: "K", [Field("Content-Type", "text/xml; charset=utf-8")], body: xml)
        #expect(
            try target(soap, "/o?r={body.xpath(//o:ref)}", more: "namespace o urn:o;") == "/o?r=\(Self.encoded)")
        let form = Request.post(
            "/orders", key: "K", [Field("Content-Type", "application/x-www-form-urlencoded")],
            body: "x=1&ref=a+b%2Fc%3Fd%3De%26f%25g%22h%27i%23j%5Ck%3B%C3%A9%E2%82%AC%F0%9F%98%80%2B.~")
        #expect(try target(form, "/o?r={body.form(ref)}") == "/o?r=\(Self.encoded)")
        let query = Request.post("/orders?q=a%20b%26c%2Fd+e&z=", key: "K")
        #expect(try target(query, "/o/{query(q)}") == "/o/a%20b%26c%2Fd%20e")
        let field = Request.post("/orders", key: "K", [Field("X-Ref", "a b/\u{e9}?&\"")])
        let counted = "hash { headers X-Ref; }"
        #expect(try target(field, "/o/{header(X-Ref)}", more: counted) == "/o/a%20b%2F%E9%3F%26%22")
        #expect(try target(.post("/orders", key: #""k/&%?""#), "/o/{key}") == "/o/k%2F%26%25%3F")
        #expect(
            try target(
                .post("/orders", key: "K", body: #"{"ref":1.50,"b":true}"#), "/o/{body.json(/ref)}/{body.json(/b)}")
                == "/o/1.50/true")
    }

    @Test("a key from the body, as a JSON value and as an XPath")
    func keyInBody() throws {
        let request = Request.post("/orders", body: #"{"ref":"r/1"}"#)
        #expect(try target(request, "/o/{key}", more: "key json /ref; on_missing_key reject;") == "/o/r%2F1")
    }

    @Test(
        "without the value, or with two, an empty one, one that makes another path: no probe, 409, counted",
        arguments: [
            (#"{"other":1}"#, ""), (#"{"ref":""}"#, ""), (#"{"ref":null}"#, ""), (#"{"ref":{"a":1}}"#, ""),
            (#"{"ref":"a","ref":"b"}"#, ""), ("not json", ""), (#"{"ref":".."}"#, ""), (#"{"ref":"."}"#, ""), ("", ""),
        ])
    func missing(body: String, unused: String) throws {
        let pair = try Pair(#"on_unknown probe { get "/o/{body.json(/ref)}"; found 200; }"#) { received in
            received.method == "GET" ? .answer(200) : .closeAfterRequest
        }
        let request = Request.post("/orders", key: "K", body: body)
        #expect(try pair.proxy.send(request).status == 502)
        expectProblem(try pair.proxy.send(request), "outcome-unknown", status: 409)
        #expect(pair.upstream.requests.allSatisfy { $0.method == "POST" })
        let labels = ["result": "not_rendered"]
        #expect(try pair.proxy.metric("oncegate_idempotency_probes_total", labels) == 1)
    }

    @Test("a field with a control character from the body is refused; what may stand there stands there")
    func fields() throws {
        let probe =
            #"get /o; header X-Ref "<{body.json(/ref)}>"; header Accept a/b; forward Authorization x-tenant; found 200;"#
        let fields = [Field("Authorization", "Bearer t"), Field("X-Tenant", "1"), Field("X-Other", "no")]
        try asked(.post("/orders", key: "K", fields, body: json("a\"€, b")), probe) { retry, received in
            #expect(retry.status == 200)
            let received = try #require(received)
            #expect(received["X-Ref"] == text(Array("<a\"€, b>".utf8)) && received["Accept"] == "a/b")
            #expect(received["Authorization"] == "Bearer t" && received["X-Tenant"] == "1")
            #expect(received["X-Other"] == nil && received["Idempotency-Key"] == nil)
            #expect(received["Cache-Control"] == "no-cache")
            #expect(received["Accept-Encoding"] == "identity" && received["User-Agent"] == "oncegate-probe")
        }
        for text in ["a\r\nX-Evil: 1", "a\nb", "a\u{0}b", "\u{7f}"] {
            try asked(.post("/orders", key: "K", body: json(text)), probe) { retry, received in
                #expect(retry.status == 409 && received == nil)
            }
        }
    }

    // MARK: The predicate

    private static let paid = #"{"orders":[{"state":"paid","n":7,"done":true,"none":null}]}"#

    @Test(
        "status and body decide",
        arguments: [
            ("found 200;", true), ("found 201-299;", false), ("found 200 { json /orders/0/state; }", true),
            ("found 200 { json /orders/0/state paid settled; }", true),
            ("found 200 { json /orders/0/state open; }", false), ("found 200 { json /orders/1; }", false),
            ("found 200 { json /orders/0/none; }", false), ("found 200 { json /orders/0/n 7; }", true),
            ("found 200 { json /orders/0/done true; }", true), ("found 200 { json /orders; }", true),
            ("found 200 { json /orders/0/state paid; contains open; }", false),
            ("found 201; found 200 { contains paid; }", true), ("found 200 { xpath //a; }", false),
        ])
    func predicates(conditions: String, isFound: Bool) throws {
        let reply = Reply.answer(200, body: Self.paid)
        try asked(.post("/orders", key: "K"), "get /o/1; \(conditions)", reply: reply) { retry, _ in
            #expect(retry.status == (isFound ? 200 : 409), "\(conditions)")
        }
    }

    @Test(
        "XPaths decide",
        arguments: [
            ("xpath //o:ref;", true), ("xpath //ref;", false), ("xpath //o:ref a-1;", true),
            ("xpath //o:ref a-2;", false), ("xpath \"count(//o:ref) = 1\";", true),
            ("xpath \"count(//o:ref)\" 1;", true),
            ("xpath \"count(//o:none)\";", false), ("xpath \"string(//o:none)\";", false),
        ])
    func xpaths(test: String, isFound: Bool) throws {
        let reply = Reply.answer(
            200, [Field("Content-Type", "application/xml")], body: "<o xmlns='urn:o'><ref>a-1</ref></o>")
        try asked(
            .post("/orders", key: "K"), "get /o/1; found 200 { \(test) }", more: "namespace o urn:o;", reply: reply
        ) { retry, _ in #expect(retry.status == (isFound ? 200 : 409), "\(test)") }
    }

    @Test("what is encoded cannot be looked into: unclear")
    func encodedAnswer() throws {
        let reply = Reply.answer(200, [Field("Content-Encoding", "gzip")], body: Self.paid)
        try asked(.post("/orders", key: "K"), "get /o; found 200 { contains paid; }", reply: reply) { retry, _ in
            #expect(retry.status == 409)
        }
    }

    // MARK: The answer that is made

    @Test("a made answer in JSON: values are escaped, the probe's body stands as it is")
    func jsonAnswer() throws {
        let probe = #"""
            get /o; found 200;
            answer 201 {
                field Content-Type application/json; field Location "/orders/{probe.json(/id)}";
                field X-Ref "{body.json(/ref)}"; field X-Etag "{probe.header(ETag)}";
                body "{{\"ref\":\"{body.json(/ref)}\",\"id\":{probe.json(/id)},\"name\":\"{probe.json(/name)}\",\"raw\":{probe.body}}}";
            }
            """#
        let content = #"{"id":7,"name":"a\"\\\n\u00e9"}"#
        let reply = Reply.answer(
            200, [Field("Content-Type", "application/json"), Field("ETag", "\"e\"")], body: content)
        try asked(.post("/orders", key: "K", body: #"{"ref":"q\"\\"}"#), probe, reply: reply) { retry, _ in
            #expect(retry.status == 201 && retry.isReplay)
            #expect(retry["Location"] == "/orders/7" && retry["X-Etag"] == "\"e\"" && retry["X-Ref"] == "q\"\\")
            #expect(utf8(retry) == #"{"ref":"q\"\\","id":7,"name":"a\"\\\né","raw":\#(content)}"#)
            #expect(retry.fields[all: "Content-Length"] == ["\(retry.body.count)"])
            #expect((try? JSONSerialization.jsonObject(with: Data(retry.body))) != nil)
        }
    }

    @Test("a made answer in XML: values are escaped")
    func xmlAnswer() throws {
        let probe = #"""
            get /o; found 200;
            answer 200 {
                field Content-Type "text/xml; charset=utf-8";
                body "<r a=\"{probe.xpath(//n)}\">{probe.xpath(//n)}</r>";
            }
            """#
        let reply = Reply.answer(
            200, [Field("Content-Type", "text/xml")], body: "<o><n>a&lt;b&amp;c\"d'&#233;&#13;</n></o>")
        try asked(.post("/orders", key: "K"), probe, reply: reply) { retry, _ in
            #expect(retry.status == 200)
            #expect(
                utf8(retry)
                    == "<r a=\"a&lt;b&amp;c&quot;d&apos;é\">a&lt;b&amp;c&quot;d&apos;é</r>", "\(retry.text)")
        }
    }

    @Test("a made answer of what the probe did not bring: found, and still unknown")
    func incomplete() throws {
        let probe = #"get /o; found 200; answer 201 { field Location "/o/{probe.json(/id)}"; }"#
        try asked(.post("/orders", key: "K"), probe, reply: .answer(200, body: "{}")) { retry, received in
            #expect(retry.status == 409 && received != nil)
        }
    }

    @Test("a made answer without content: 204")
    func noContent() throws {
        let probe = #"get /o; found 200; answer 204 { field X-Id "{probe.json(/id)}"; }"#
        try asked(.post("/orders", key: "K"), probe, reply: .answer(200, body: #"{"id":"x"}"#)) { retry, _ in
            #expect(retry.status == 204 && retry.body.isEmpty && retry["X-Id"] == "x")
        }
    }
}
