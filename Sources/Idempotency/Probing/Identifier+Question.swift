/// What is asked about a request.
extension Identifier {
    /// Whether `question` needs the request's body.
    package var questionReadsBody: Bool {
        guard let probe else { return false }
        return probe.readsBody || probe.readsKey && keySources.contains { $0.isInBody }
    }

    /// The probe's question about a request that was identified; nil where a value that it needs is missing, ambiguous,
    /// empty, or cannot stand in its place: to ask with less would ask about something else.
    package func question<Fields: FieldSource>(
        about identity: RequestIdentity, query: Span<UInt8>, fields: borrowing Fields, body: Span<UInt8>,
        scratch: inout IdentityScratch
    ) -> ProbeQuestion? {
        guard let plan = probe else { return nil }
        wanted.gather(fields, into: &scratch.gathered)
        defer { scratch.trim(after: body.count) }
        var reader = RequestValues(
            type: bodyType(octets: fields.fieldOctets, gathered: scratch.gathered, readsMedia: true), scratch: scratch)
        var lines: [Line] = []
        for index in 0..<fields.fieldLineCount {
            lines.append(
                Line(
                    name: Array(fields.fieldOctets.extracting(fields.fieldName(at: index))).map(lowercased),
                    value: Array(fields.fieldOctets.extracting(fields.fieldValue(at: index)))))
        }
        let token =
            identity.kind == .token
            ? self.token(query: query, octets: fields.fieldOctets, body: body, &reader) : nil
        func value(_ source: ProbeTemplate.Source) -> [UInt8]? {
            let found: [UInt8]? =
                switch source {
                case .key: token
                case .header(let name): RequestValues.only(lines.filter { $0.name == name }.map(\.value))
                case .query(let name): reader.parameter(name, in: query)
                case .json(let selection): reader.json(selection, in: body)
                case .xpath(let path):
                    reader.xpath(path, in: body, of: identity.fellBackToOctets ? nil : counted(for: path))
                case .form(let name): reader.form(name, in: body)
                case .probeHeader, .probeJSON, .probeXPath, .probeBody: nil
                }
            guard let found, !found.isEmpty else { return nil }
            return found
        }
        guard let target = self.target(plan.target, value) else { return nil }
        var question = ProbeQuestion(target: target, fieldLines: [], isAnonymous: identity.isAnonymous)
        for line in lines where plan.forwarded.contains(line.name) {
            Self.append(name: line.name, value: line.value, to: &question.fieldLines)
        }
        for field in plan.fields {
            guard let value = self.field(field.value, value) else { return nil }
            Self.append(name: field.name, value: value, to: &question.fieldLines)
        }
        if case .made(_, let fields, let body) = plan.answer {
            for field in fields {
                guard let filled = field.value.filled(value) else { return nil }
                question.answerFields.append(filled)
            }
            guard let filled = body.filled(value) else { return nil }
            question.answerBody = filled
        }
        return question
    }

    /// What of an XML body there is for a path; nil = all of it. The key is there, counted or not.
    private func counted(for path: XPath) -> XMLSelection? {
        guard case .xml(let selection) = body.form, selection != XMLSelection() else { return nil }
        if repeatability == nil, case .xpath(let key)? = keySources.first, key == path { return nil }
        return selection
    }

    private struct Line {
        /// In lower case.
        var name: [UInt8]
        var value: [UInt8]
    }

    private static func append(name: [UInt8], value: [UInt8], to output: inout [UInt8]) {
        output += name
        output += ": ".utf8
        output += value
        output += "\r\n".utf8
    }

    /// The token again: hashing it has kept nothing of it.
    private func token(
        query: Span<UInt8>, octets: Span<UInt8>, body: Span<UInt8>, _ reader: inout RequestValues
    ) -> [UInt8]? {
        if let repeatability, repeatability.isPresent(reader.scratch.gathered) {
            // It won over the other sources when the request was identified.
            return repeatability.soleToken(octets, scratch: &reader.scratch)
        }
        for source in keySources {
            let lookup =
                source.isInBody
                ? lookUp(source, body: body, type: reader.type, scratch: &reader.scratch)
                : lookUp(source, query: query, octets: octets, scratch: &reader.scratch)
            switch lookup {
            case .absent: continue
            case .malformed: return nil
            case .found: return reader.scratch.token
            }
        }
        return nil
    }

    private func target(
        _ template: ProbeTemplate, _ value: (ProbeTemplate.Source) -> [UInt8]?
    ) -> [UInt8]? {
        guard let filled = template.filled(value), let target = filled.text(in: .target),
            target.count <= ProbeQuestion.partBytesMax, !Self.hasDotSegment(target)
        else { return nil }
        return target
    }

    /// A value of dots would make of the path another one (RFC 3986 §5.2.4), encoded or not.
    private static func hasDotSegment(_ target: [UInt8]) -> Bool {
        let path = target.prefix { $0 != 0x3F }
        return path.split(separator: 0x2F).contains { segment in
            segment.elementsEqual(".".utf8) || segment.elementsEqual("..".utf8)
        }
    }

    private func field(_ template: ProbeTemplate, _ value: (ProbeTemplate.Source) -> [UInt8]?) -> [UInt8]? {
        template.filled(value)?.fieldValue()
    }
}

extension ProbeTemplate.Filled {
    /// Its octets, each value escaped for its place; nil where one cannot stand there, or `probe` has none.
    func text(in place: ValuePlace, _ probe: (Int) -> (octets: [UInt8], isContent: Bool)? = { _ in nil }) -> [UInt8]? {
        var output: [UInt8] = []
        for part in parts {
            switch part {
            case .literal(let octets): output += octets
            case .value(let octets): guard place.append(octets, to: &output) else { return nil }
            case .source(let index):
                guard let value = probe(index) else { return nil }
                if value.isContent, place != .field {
                    output += value.octets
                } else {
                    guard place.append(value.octets, to: &output) else { return nil }
                }
            }
        }
        return output
    }

    /// As the value of a field, without white space around it (RFC 9113 §8.2.1).
    func fieldValue(_ probe: (Int) -> (octets: [UInt8], isContent: Bool)? = { _ in nil }) -> [UInt8]? {
        guard let text = text(in: .field, probe), text.count <= ProbeQuestion.partBytesMax else { return nil }
        return Array(text.span.extracting(text.span.trimmed(0..<text.count)))
    }
}

/// Looks values up in a request, or in an answer to a probe.
struct RequestValues {
    var type: BodyType
    var scratch: IdentityScratch

    /// A value is one only where all that stand there are the same.
    static func only(_ values: [[UInt8]]) -> [UInt8]? {
        guard let first = values.first, values.allSatisfy({ $0 == first }) else { return nil }
        return first
    }

    func parameter(_ name: [UInt8], in octets: Span<UInt8>) -> [UInt8]? {
        var values: [[UInt8]] = []
        var cursor = ParameterCursor()
        while cursor.next(in: octets) {
            var decoded: [UInt8] = []
            guard PercentCoding.decode(octets.extracting(cursor.name), plusIsSpace: true, into: &decoded),
                decoded == name
            else { continue }
            decoded = []
            let value = octets.extracting(cursor.value ?? 0..<0)
            guard PercentCoding.decode(value, plusIsSpace: true, into: &decoded) else { return nil }
            values.append(decoded)
        }
        return Self.only(values)
    }

    func form(_ name: [UInt8], in body: Span<UInt8>) -> [UInt8]? {
        type.mayBeForm && type.coding.isEmpty ? parameter(name, in: body) : nil
    }

    enum JSONValue: Equatable {
        case null
        /// A string's content; a number or literal as it stands.
        case text([UInt8])
        case compound
    }

    /// Nil where there is none, or the body is not JSON, or a member stands there twice.
    mutating func jsonValue(_ selection: JSONSelection, in body: Span<UInt8>) -> JSONValue? {
        guard type.coding.isEmpty,
            (try? scratch.json.canonicalise(body, selection: selection, checksNumbers: false)) != nil,
            let target = scratch.json.target
        else { return nil }
        guard let end = target.end else { return .compound }
        switch body[target.start] {
        case 0x6E: return .null
        case 0x22:
            var text: [UInt8] = []
            var position = target.start + 1
            guard (try? JSONString.read(body, at: &position, as: .decoded, to: &text)) != nil else { return nil }
            return .text(text)
        default: return .text(Array(body.extracting(target.start..<end)))
        }
    }

    mutating func json(_ selection: JSONSelection, in body: Span<UInt8>) -> [UInt8]? {
        if case .text(let text)? = jsonValue(selection, in: body) { text } else { nil }
    }

    /// Without the white space around it, which schemas collapse.
    func xpath(_ path: XPath, in body: Span<UInt8>, of selection: XMLSelection? = nil) -> [UInt8]? {
        guard type.coding.isEmpty,
            let values = try? path.values(in: body, charset: type.charset, of: selection)
        else { return nil }
        return Self.only(values.map { Self.trimmed($0) })
    }

    private static func trimmed(_ value: [UInt8]) -> [UInt8] {
        func isSpace(_ octet: UInt8) -> Bool { octet == 0x20 || octet == 0x09 || octet == 0x0A || octet == 0x0D }
        let start = value.firstIndex { !isSpace($0) } ?? value.endIndex
        let end = value.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? start
        return Array(value[start..<end])
    }
}
