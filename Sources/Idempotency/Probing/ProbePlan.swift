/// A route's probe, compiled: what is asked about a request, and what the answer says of it.
package struct ProbePlan: Sendable {
    struct Condition: Sendable {
        var statuses: [ClosedRange<UInt16>]
        var tests: [Test]
    }

    enum Test: Sendable {
        case json(JSONSelection, values: [[UInt8]])
        case xpath(XPath, values: [[UInt8]])
        case contains([UInt8])
    }

    struct Field: Sendable {
        var name: [UInt8]
        var value: ProbeTemplate
    }

    enum Answer: Sendable {
        case probe
        case made(status: UInt16, fields: [Field], body: ProbeTemplate)
    }

    let target: ProbeTemplate
    let fields: [Field]
    /// In lower case.
    let forwarded: [[UInt8]]
    let found: [Condition]
    let absent: [Condition]
    let answer: Answer
    package let timeoutMilliseconds: UInt64
    package let absentAfterMilliseconds: UInt64
    package let background: Probe.Background?
    package let attemptsMax: Int
    /// A value of the request's body is asked for.
    package let readsBody: Bool
    /// The request's token is asked for.
    let readsKey: Bool

    package init(_ probe: Probe, namespaces: [XMLNamespace]) throws(PolicyError) {
        target = try ProbeTemplate(probe.target, namespaces: namespaces)
        fields = try Self.compile(probe.fields, namespaces)
        forwarded = probe.forwardedFields.map { $0.utf8.map(lowercased) }
        found = try Self.compile(probe.found, namespaces)
        absent = try Self.compile(probe.absent, namespaces)
        switch probe.answer {
        case .probe: answer = .probe
        case .made(let status, let fields, let body):
            answer = .made(
                status: status, fields: try Self.compile(fields, namespaces),
                body: try ProbeTemplate(body, namespaces: namespaces))
        }
        timeoutMilliseconds = probe.timeoutMilliseconds
        absentAfterMilliseconds = probe.absentAfterMilliseconds
        background = probe.background
        attemptsMax = probe.attemptsMax
        var templates = [target] + fields.map(\.value)
        if case .made(_, let fields, let body) = answer { templates += fields.map(\.value) + [body] }
        readsBody = templates.contains { $0.readsBody }
        readsKey = templates.contains { $0.readsKey }
    }

    private static func compile(_ fields: [Probe.Field], _ namespaces: [XMLNamespace]) throws(PolicyError) -> [Field] {
        var compiled: [Field] = []
        for field in fields {
            let value = try ProbeTemplate(field.value, namespaces: namespaces)
            compiled.append(Field(name: Array(field.name.utf8), value: value))
        }
        return compiled
    }

    private static func compile(
        _ conditions: [Probe.Condition], _ namespaces: [XMLNamespace]
    ) throws(PolicyError) -> [Condition] {
        var compiled: [Condition] = []
        for condition in conditions {
            var tests: [Test] = []
            for test in condition.tests {
                switch test {
                case .json(let pointer, let values):
                    tests.append(.json(try ProbeTemplate.selection(pointer), values: values.map { Array($0.utf8) }))
                case .xpath(let text, let values):
                    let path = try XPath(text, namespaces: namespaces, use: .test)
                    tests.append(.xpath(path, values: values.map { Array($0.utf8) }))
                case .contains(let text): tests.append(.contains(Array(text.utf8)))
                }
            }
            compiled.append(Condition(statuses: condition.statuses, tests: tests))
        }
        return compiled
    }
}

/// What is asked about one request: kept in memory, only as long as somebody asks.
package struct ProbeQuestion: Sendable, Equatable {
    /// Origin-form, complete.
    package var target: [UInt8]
    /// `name: value CRLF` each.
    package var fieldLines: [UInt8]
    /// Set-Cookie and the authentication fields are not replayed.
    package var isAnonymous: Bool
    /// The values of the request that the configured answer needs, by field and for the body; empty with the probe's
    /// own answer.
    var answerFields: [ProbeTemplate.Filled] = []
    var answerBody = ProbeTemplate.Filled()

    /// Whether a field is asked with; its name in lower case.
    package func has(_ name: String) -> Bool { !FieldLines.values(of: name, in: fieldLines).isEmpty }

    /// Octets that a question keeps.
    package var byteCount: Int {
        (answerFields + [answerBody]).reduce(target.count + fieldLines.count) { sum, filled in
            filled.parts.reduce(sum) { sum, part in
                switch part {
                case .literal(let octets), .value(let octets): sum + octets.count
                case .source: sum
                }
            }
        }
    }

    /// Of a target and of a field's value.
    static let partBytesMax = 8192
}

/// What the service said to a probe.
package struct ProbeReply: Sendable, Equatable {
    package var status: UInt16
    package var framing: RecordedAnswer.Framing
    /// End-to-end, `name: value CRLF` each.
    package var fieldLines: [UInt8]
    package var body: [UInt8]

    package init(status: UInt16, framing: RecordedAnswer.Framing, fieldLines: [UInt8], body: [UInt8]) {
        self.status = status
        self.framing = framing
        self.fieldLines = fieldLines
        self.body = body
    }
}
