/// A template of a probe, compiled.
struct ProbeTemplate: Sendable {
    enum Part: Sendable {
        case literal([UInt8])
        case value(Source)
    }

    /// Where a value stands.
    enum Source: Sendable {
        case key
        /// In lower case.
        case header([UInt8])
        case query([UInt8])
        case json(JSONSelection)
        case xpath(XPath)
        case form([UInt8])
        case probeHeader([UInt8])
        case probeJSON(JSONSelection)
        case probeXPath(XPath)
        case probeBody

        /// Of the probe's answer; the others are the request's.
        var isOfProbe: Bool {
            switch self {
            case .probeHeader, .probeJSON, .probeXPath, .probeBody: true
            case .key, .header, .query, .json, .xpath, .form: false
            }
        }

        var isInBody: Bool {
            switch self {
            case .json, .xpath, .form: true
            case .key, .header, .query, .probeHeader, .probeJSON, .probeXPath, .probeBody: false
            }
        }
    }

    let parts: [Part]

    init(_ template: Template, namespaces: [XMLNamespace]) throws(PolicyError) {
        var parts: [Part] = []
        for part in template.parts {
            switch part {
            case .literal(let text): parts.append(.literal(Array(text.utf8)))
            case .value(let source): parts.append(.value(try Self.compile(source, namespaces)))
            }
        }
        self.parts = parts
    }

    private static func compile(_ source: Template.Source, _ namespaces: [XMLNamespace]) throws(PolicyError) -> Source {
        switch source {
        case .key: .key
        case .header(let name): .header(name.utf8.map(lowercased))
        case .query(let name): .query(Array(name.utf8))
        case .bodyJSON(let pointer): .json(try selection(pointer))
        case .bodyXPath(let text): .xpath(try XPath(text, namespaces: namespaces, use: .token))
        case .bodyForm(let name): .form(Array(name.utf8))
        case .probeHeader(let name): .probeHeader(name.utf8.map(lowercased))
        case .probeJSON(let pointer): .probeJSON(try selection(pointer))
        case .probeXPath(let text): .probeXPath(try XPath(text, namespaces: namespaces, use: .token))
        case .probeBody: .probeBody
        }
    }

    static func selection(_ text: String) throws(PolicyError) -> JSONSelection {
        let pointer = try JSONPointer(text)
        guard !pointer.hasWildcard else { throw .wildcardInKeyPointer(text) }
        return try JSONSelection(include: [pointer])
    }

    var readsBody: Bool {
        parts.contains { if case .value(let source) = $0 { source.isInBody } else { false } }
    }

    var readsKey: Bool {
        parts.contains { if case .value(.key) = $0 { true } else { false } }
    }

    /// The template with all that is known of it: values of the request are octets, those of the probe stay sources.
    struct Filled: Sendable, Equatable {
        enum Part: Sendable, Equatable {
            case literal([UInt8])
            /// Not escaped yet.
            case value([UInt8])
            /// Place of the source among the template's parts.
            case source(Int)
        }

        var parts: [Part] = []
    }

    /// Nil where `value` has none for a source of the request.
    func filled(_ value: (Source) -> [UInt8]?) -> Filled? {
        var filled = Filled()
        for (index, part) in parts.enumerated() {
            switch part {
            case .literal(let octets): filled.parts.append(.literal(octets))
            case .value(let source) where source.isOfProbe: filled.parts.append(.source(index))
            case .value(let source):
                guard let octets = value(source) else { return nil }
                filled.parts.append(.value(octets))
            }
        }
        return filled
    }
}

/// Where a value is put, and what must not happen to what stands around it there.
enum ValuePlace {
    /// Of a request: everything but unreserved characters is percent-encoded (RFC 3986 §2.3).
    case target
    /// Of a field: a value that holds control characters has no place there.
    case field
    /// Inside of a JSON string, or as a number.
    case json
    /// XML text or an attribute's value.
    case xml
    case content

    /// Appends the value, escaped; false where it cannot stand here.
    func append(_ value: [UInt8], to output: inout [UInt8]) -> Bool {
        switch self {
        case .target: appendEncoded(value, to: &output)
        case .field:
            for octet in value where octet < 0x20 && octet != 0x09 || octet == 0x7F { return false }
            output += value
        case .json:
            guard String(validating: value, as: UTF8.self) != nil else { return false }
            JSONString.escape(value, value.indices, to: &output)
        case .xml:
            guard String(validating: value, as: UTF8.self) != nil else { return false }
            return appendXML(value, to: &output)
        case .content: output += value
        }
        return true
    }

    private func appendEncoded(_ value: [UInt8], to output: inout [UInt8]) {
        let digits = Array("0123456789ABCDEF".utf8)
        for octet in value {
            switch octet {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: output.append(octet)
            default: output += [0x25, digits[Int(octet >> 4)], digits[Int(octet & 15)]]
            }
        }
    }

    /// Precondition: valid UTF-8.
    private func appendXML(_ value: [UInt8], to output: inout [UInt8]) -> Bool {
        for (index, octet) in value.enumerated() {
            switch octet {
            case 0x26: output += "&amp;".utf8
            case 0x3C: output += "&lt;".utf8
            case 0x3E: output += "&gt;".utf8
            case 0x22: output += "&quot;".utf8
            case 0x27: output += "&apos;".utf8
            case 0x09: output += "&#9;".utf8
            case 0x0A: output += "&#10;".utf8
            case 0x0D: output += "&#13;".utf8
            // XML 1.0 §2.2: other controls, U+FFFE and U+FFFF are no characters.
            case 0..<0x20: return false
            case 0xEF where value[index + 1] == 0xBF && value[index + 2] >= 0xBE: return false
            default: output.append(octet)
            }
        }
        return true
    }
}
