/// What an answer to a probe says.
package enum ProbeVerdict: Sendable, Equatable {
    /// The request was executed; this completes its record.
    case found(RecordedAnswer)
    /// It was found, and the configured answer cannot be made of what the probe brought.
    case incomplete
    /// The service knows nothing of the request.
    case absent
    case unclear
}

extension ProbePlan {
    /// Judges an answer. `bodyBytesMax`: of the answer that is made.
    package func verdict(
        on reply: ProbeReply, to question: ProbeQuestion, bodyBytesMax: Int, scratch: inout IdentityScratch
    ) -> ProbeVerdict {
        var reader = ReplyReader(reply, scratch: scratch)
        defer { scratch.trim(after: reply.body.count) }
        if found.contains(where: { holds($0, reply, &reader) }) {
            return made(reply, question, bodyBytesMax, &reader).map { .found($0) } ?? .incomplete
        }
        return absent.contains(where: { holds($0, reply, &reader) }) ? .absent : .unclear
    }

    private func holds(_ condition: Condition, _ reply: ProbeReply, _ reader: inout ReplyReader) -> Bool {
        guard condition.statuses.contains(where: { $0.contains(reply.status) }) else { return false }
        for test in condition.tests where !holds(test, reply, &reader) { return false }
        return true
    }

    private func holds(_ test: Test, _ reply: ProbeReply, _ reader: inout ReplyReader) -> Bool {
        // What is encoded cannot be looked into.
        guard reader.values.type.coding.isEmpty else { return false }
        switch test {
        case .json(let selection, let values):
            switch reader.values.jsonValue(selection, in: reply.body.span) {
            case nil: return false
            case .null: return values.contains(Array("null".utf8))
            case .text(let text): return values.isEmpty || values.contains(text)
            case .compound: return values.isEmpty
            }
        case .xpath(let path, let values):
            let holds = try? path.holds(
                of: reply.body.span, contentType: reader.contentType.span, values: values)
            return holds == true
        case .contains(let text): return reply.body.span.contains(text)
        }
    }

    private func made(
        _ reply: ProbeReply, _ question: ProbeQuestion, _ bodyBytesMax: Int, _ reader: inout ReplyReader
    ) -> RecordedAnswer? {
        let answer: RecordedAnswer?
        switch self.answer {
        case .probe:
            answer = RecordedAnswer(
                status: reply.status, framing: reply.framing, fieldLines: reply.fieldLines, body: reply.body)
        case .made(let status, let fields, let body):
            answer = made(status, fields, body, question, reply, &reader)
        }
        guard var answer, answer.body.count <= bodyBytesMax, FieldLines.areValid(answer.fieldLines.span) else {
            return nil
        }
        if question.isAnonymous {
            answer.fieldLines = FieldLines.without(
                ["set-cookie", "www-authenticate", "authentication-info"], answer.fieldLines)
        }
        return answer
    }

    private func made(
        _ status: UInt16, _ fields: [Field], _ template: ProbeTemplate, _ question: ProbeQuestion,
        _ reply: ProbeReply, _ reader: inout ReplyReader
    ) -> RecordedAnswer? {
        var lines: [UInt8] = []
        var place = ValuePlace.content
        for (field, filled) in zip(fields, question.answerFields) {
            let value = filled.fieldValue { reader.value(field.value, $0, reply) }
            guard let value else { return nil }
            lines += field.name
            lines += ": ".utf8
            lines += value
            lines += "\r\n".utf8
            if field.name.span.equals(ignoringCase: "content-type") { place = ValuePlace(contentType: value) }
        }
        if status == 204 || status == 304 {
            return RecordedAnswer(status: status, framing: .none, fieldLines: lines, body: [])
        }
        let body = question.answerBody.text(in: place) { reader.value(template, $0, reply) }
        guard let body else { return nil }
        lines += "Content-Length: \(body.count)\r\n".utf8
        return RecordedAnswer(status: status, framing: .length, fieldLines: lines, body: body)
    }
}

extension ValuePlace {
    init(contentType: [UInt8]) {
        switch BodyType(contentType: contentType.span).media {
        case .json: self = .json
        case .xml: self = .xml
        case .absent, .form, .multipart, .other, .ambiguous: self = .content
        }
    }
}

/// Values of an answer to a probe.
private struct ReplyReader {
    var values: RequestValues
    /// Empty where there is none.
    let contentType: [UInt8]

    init(_ reply: ProbeReply, scratch: IdentityScratch) {
        let contentType = FieldLines.values(of: "content-type", in: reply.fieldLines).first ?? []
        var type = BodyType(contentType: contentType.span)
        for coding in FieldLines.values(of: "content-encoding", in: reply.fieldLines) {
            type.add(contentEncoding: coding.span)
        }
        self.contentType = contentType
        values = RequestValues(type: type, scratch: scratch)
    }

    /// The value of the source at a place of a template.
    mutating func value(
        _ template: ProbeTemplate, _ index: Int, _ reply: ProbeReply
    ) -> (octets: [UInt8], isContent: Bool)? {
        guard case .value(let source) = template.parts[index] else { return nil }
        let found: [UInt8]? =
            switch source {
            case .probeHeader(let name): RequestValues.only(FieldLines.values(of: name, in: reply.fieldLines))
            case .probeJSON(let selection): values.json(selection, in: reply.body.span)
            case .probeXPath(let path): values.xpath(path, in: reply.body.span)
            case .probeBody: values.type.coding.isEmpty ? reply.body : nil
            case .key, .header, .query, .json, .xpath, .form: nil
            }
        if case .probeBody = source { return found.map { ($0, true) } }
        return found.map { ($0, false) }
    }
}

extension Span<UInt8> {
    /// Whether these octets stand in it.
    fileprivate func contains(_ text: [UInt8]) -> Bool {
        guard let first = text.first else { return true }
        var start = firstIndex(of: first, from: 0)
        while start + text.count <= count {
            if equals(text, at: start..<start + text.count) { return true }
            start = firstIndex(of: first, from: start + 1)
        }
        return false
    }
}
