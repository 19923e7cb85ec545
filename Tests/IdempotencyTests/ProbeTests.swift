import Testing

@testable import Idempotency

/// What is asked about a request, and what is made of the answer: the domain alone.
@Suite struct ProbeTests {
    private struct Fields: FieldSource {
        var octets: [UInt8] = []
        var lines: [(name: Range<Int>, value: Range<Int>)] = []

        init(_ fields: [(String, String)]) {
            for (name, value) in fields {
                let start = octets.count
                octets += Array(name.utf8)
                let middle = octets.count
                octets += Array(value.utf8)
                lines.append((start..<middle, middle..<octets.count))
            }
        }

        var fieldOctets: Span<UInt8> {
            @_lifetime(borrow self)
            get { octets.span }
        }

        var fieldLineCount: Int { lines.count }
        func fieldName(at line: Int) -> Range<Int> { lines[line].name }
        func fieldValue(at line: Int) -> Range<Int> { lines[line].value }
    }

    private static let identity = RequestIdentity(
        kind: .token, key: Digest256(words: (1, 2, 3, 4)), fingerprint: Digest256(words: (5, 6, 7, 8)),
        hasRetryEvidence: false, isAnonymous: false, fellBackToOctets: false)

    private func identifier(_ probe: Probe) throws -> Identifier {
        var policy = Policy()
        policy.onUnknown = .probe(probe)
        return try Identifier(route: "/", policy: policy)
    }

    private func question(
        _ probe: Probe, _ fields: [(String, String)] = [], query: String = "", body: String = "",
        identity: RequestIdentity = identity
    ) throws -> ProbeQuestion? {
        var scratch = IdentityScratch()
        let source = Fields(fields)
        let (query, body) = (Array(query.utf8), Array(body.utf8))
        return try identifier(probe).question(
            about: identity, query: query.span, fields: source, body: body.span, scratch: &scratch)
    }

    private func probe(_ source: Template.Source) -> Probe {
        Probe(target: Template([.literal("/o?r="), .value(source), .literal("&x")]))
    }

    private func target(
        _ source: Template.Source, _ fields: [(String, String)] = [], query: String = "", body: String = ""
    ) throws -> String? {
        try question(probe(source), fields, query: query, body: body).map {
            String(decoding: $0.target, as: UTF8.self)
        }
    }

    @Test func everyOctetStaysInItsPlace() throws {
        for octet in 0...255 as ClosedRange<UInt8> {
            var output: [UInt8] = []
            #expect(ValuePlace.target.append([octet], to: &output))
            var decoded: [UInt8] = []
            #expect(PercentCoding.decode(output.span, plusIsSpace: false, into: &decoded) && decoded == [octet])
            #expect(output.allSatisfy { $0 > 0x20 && $0 < 0x7F })
            #expect(!output.contains { "/?#&=+;:@\"'<>\\".utf8.contains($0) })
            output = []
            let mayStand = octet >= 0x20 && octet != 0x7F || octet == 0x09
            #expect(ValuePlace.field.append([octet], to: &output) == mayStand)
        }
    }

    @Test func xmlAndJSONRefuseWhatIsNoText() {
        var output: [UInt8] = []
        for value in [[0xFF], [0xC3], [0xED, 0xA0, 0x80]] as [[UInt8]] {
            #expect(!ValuePlace.json.append(value, to: &output) && !ValuePlace.xml.append(value, to: &output))
        }
        for value in [[0], [0x1F], [0xEF, 0xBF, 0xBE], [0xEF, 0xBF, 0xBF]] as [[UInt8]] {
            #expect(!ValuePlace.xml.append(value, to: &output))
        }
        output = []
        #expect(ValuePlace.xml.append(Array("a<b>&\"'\t\n\r\u{10000}".utf8), to: &output))
        #expect(
            String(decoding: output, as: UTF8.self) == "a&lt;b&gt;&amp;&quot;&apos;&#9;&#10;&#13;\u{10000}")
        output = []
        #expect(ValuePlace.json.append(Array("\u{0}\n\"\\".utf8), to: &output))
        #expect(String(decoding: output, as: UTF8.self) == #"\u0000\n\"\\"#)
    }

    @Test func values() throws {
        let key = [("Idempotency-Key", "\"k 1\"")]
        #expect(try target(.key, [("idempotency-key", "k/1")]) == "/o?r=k%2F1&x")
        // Not a token.
        #expect(try target(.key, key) == nil)
        #expect(try target(.header("X-A"), [("x-a", "1"), ("X-A", "1")]) == "/o?r=1&x")
        #expect(try target(.header("X-A"), [("x-a", "1"), ("X-A", "2")]) == nil)
        #expect(try target(.header("X-A"), [("x-a", "")]) == nil)
        #expect(try target(.header("X-A")) == nil)
        #expect(try target(.query("a b"), query: "a+b=1&a%20b=1&c=2") == "/o?r=1&x")
        #expect(try target(.query("a"), query: "a=1&a=2") == nil)
        #expect(try target(.query("a"), query: "a=%") == nil)
        #expect(try target(.query("a"), query: "a") == nil)
        #expect(try target(.bodyJSON("/a/1"), body: #"{"a":[0,"é"]}"#) == "/o?r=%C3%A9&x")
        #expect(try target(.bodyJSON("/a"), body: #"{"a":-1.50e3}"#) == "/o?r=-1.50e3&x")
        #expect(try target(.bodyJSON("/a"), body: #"{"a":12345678901234567890}"#) == "/o?r=12345678901234567890&x")
        #expect(try target(.bodyJSON("/a"), body: #"{"a":true}"#) == "/o?r=true&x")
        for body in [#"{"a":null}"#, #"{"a":[]}"#, #"{"a":{}}"#, #"{"a":""}"#, #"{"a":1,"a":1}"#, #"{"a":1"#, "", "[]"]
        {
            #expect(try target(.bodyJSON("/a"), body: body) == nil, "\(body)")
        }
        let xml = [("content-type", "application/xml")]
        #expect(try target(.bodyXPath("//a"), xml, body: "<o><a> x </a><a>x</a></o>") == "/o?r=x&x")
        #expect(try target(.bodyXPath("//a"), xml, body: "<o><a>x</a><a>y</a></o>") == nil)
        #expect(try target(.bodyXPath("//a"), xml, body: "<!DOCTYPE o><o><a>x</a></o>") == nil)
        #expect(try target(.bodyXPath("string(//@b)"), xml, body: "<o b='1'/>") == "/o?r=1&x")
        let form = [("content-type", "application/x-www-form-urlencoded")]
        #expect(try target(.bodyForm("a"), form, body: "b=1&a=x%26") == "/o?r=x%26&x")
        #expect(try target(.bodyForm("a"), [("content-type", "text/plain")], body: "a=1") == nil)
        #expect(try target(.bodyForm("a"), form + [("content-encoding", "gzip")], body: "a=1") == nil)
    }

    @Test func dotsMakeNoOtherPath() throws {
        var probe = Probe(target: Template([.literal("/o/"), .value(.bodyJSON("/a")), .literal("/x?y=..")]))
        for (value, isAsked) in [("..", false), (".", false), ("...", true), ("a..", true), ("../..", true)] {
            #expect(try (question(probe, body: #"{"a":"\#(value)"}"#) != nil) == isAsked, "\(value)")
        }
        probe.target = Template([.literal("/o?r="), .value(.bodyJSON("/a"))])
        #expect(try question(probe, body: #"{"a":".."}"#) != nil)
        // Longer than any service takes.
        #expect(try question(probe, body: #"{"a":"\#(String(repeating: "a", count: 9000))"}"#) == nil)
    }

    @Test func theKeyOfARepeatableRequestIsItsID() throws {
        var policy = Policy()
        policy.onUnknown = .probe(probe(.key))
        policy.speaksRepeatability = true
        let identifier = try Identifier(route: "/", policy: policy)
        func target(_ fields: [(String, String)]) -> String? {
            var scratch = IdentityScratch()
            let none: [UInt8] = []
            return identifier.question(
                about: Self.identity, query: none.span, fields: Fields(fields), body: none.span, scratch: &scratch
            ).map { String(decoding: $0.target, as: UTF8.self) }
        }
        let date = ("repeatability-first-sent", "Tue, 24 Nov 2026 15:00:00 GMT")
        let other = ("idempotency-key", "B")
        #expect(target([("repeatability-request-id", "A"), date, other]) == "/o?r=A&x")
        // Equal ids of two clients are two operations.
        #expect(target([("repeatability-request-id", "A"), ("repeatability-client-id", "C"), date, other]) == nil)
        #expect(target([other]) == "/o?r=B&x")
    }

    @Test func aHashHasNoKey() throws {
        var identity = Self.identity
        identity.kind = .hash
        #expect(try question(probe(.key), [("idempotency-key", "k")], identity: identity) == nil)
    }

    // MARK: The verdict

    private func verdict(
        _ probe: Probe, status: UInt16 = 200, _ fields: String = "", body: String = "", request: String = "{}",
        isAnonymous: Bool = false, bodyBytesMax: Int = 1000
    ) throws -> ProbeVerdict {
        let identifier = try identifier(probe)
        var identity = Self.identity
        identity.isAnonymous = isAnonymous
        let question = try #require(try question(probe, body: request, identity: identity))
        var scratch = IdentityScratch()
        let reply = ProbeReply(
            status: status, framing: .length, fieldLines: Array(fields.utf8), body: Array(body.utf8))
        return try #require(identifier.probe).verdict(
            on: reply, to: question, bodyBytesMax: bodyBytesMax, scratch: &scratch)
    }

    private func simple(_ answer: Probe.Answer = .probe) -> Probe {
        var probe = Probe(target: Template([.literal("/")]))
        probe.found = [.init(statuses: [200...299])]
        probe.absent = [.init(statuses: [404...404])]
        probe.answer = answer
        return probe
    }

    @Test func theProbesOwnAnswer() throws {
        let fields = "Set-Cookie: a=b\r\nX-A: 1\r\nset-cookie: c=d\r\nWWW-Authenticate: x\r\n"
        guard case .found(let answer) = try verdict(simple(), fields, body: "b") else {
            Issue.record("not found")
            return
        }
        #expect(answer.status == 200 && answer.body == Array("b".utf8) && answer.fieldLines == Array(fields.utf8))
        guard case .found(let reduced) = try verdict(simple(), fields, body: "b", isAnonymous: true) else {
            Issue.record("not found")
            return
        }
        #expect(reduced.fieldLines == Array("X-A: 1\r\n".utf8))
        #expect(try verdict(simple(), status: 404) == .absent)
        #expect(try verdict(simple(), status: 500) == .unclear)
        #expect(try verdict(simple(), body: "12345", bodyBytesMax: 4) == .incomplete)
    }

    /// What a service or a client says cannot become a field or another member of the answer.
    @Test func aMadeAnswerIsNotInjectedInto() throws {
        let template = Template([.literal("{\"a\":\""), .value(.probeJSON("/a")), .literal("\"}")])
        let fields = [
            Probe.Field(name: "Content-Type", value: Template([.literal("application/json")])),
            Probe.Field(name: "X-A", value: Template([.value(.probeJSON("/b"))])),
        ]
        let probe = simple(.made(status: 201, fields: fields, body: template))
        guard case .found(let answer) = try verdict(probe, body: #"{"a":"x\",\"b\":\"y","b":"1"}"#) else {
            Issue.record("not found")
            return
        }
        #expect(String(decoding: answer.body, as: UTF8.self) == #"{"a":"x\",\"b\":\"y"}"#)
        #expect(try verdict(probe, body: #"{"a":"x","b":"1\r\nX-B: 2"}"#) == .incomplete)
        #expect(try verdict(probe, body: #"{"a":"x"}"#) == .incomplete)
        #expect(try verdict(probe, body: "not json") == .incomplete)
    }
}
