import Idempotency

/// Reads `text{placeholder}text`; `{{` and `}}` are braces.
///
///     placeholder = key | header(NAME) | query(NAME) | body.json(POINTER) | body.xpath(EXPR) | body.form(NAME)
///                 | probe.header(NAME) | probe.json(POINTER) | probe.xpath(EXPR) | probe.body
struct TemplateReader {
    private static let forms = [
        "key", "header(NAME)", "query(NAME)", "body.json(/POINTER)", "body.xpath(EXPR)", "body.form(NAME)",
    ]
    private static let probeForms = [
        "probe.header(NAME)", "probe.json(/POINTER)", "probe.xpath(EXPR)", "probe.body",
    ]

    private var rest: Substring
    private let mayAskProbe: Bool
    private var parts: [Template.Part] = []
    private var literal = ""

    static func read(_ text: String, mayAskProbe: Bool = false) throws(ValueProblem) -> Template {
        var reader = TemplateReader(text, mayAskProbe: mayAskProbe)
        return try reader.run()
    }

    private init(_ text: String, mayAskProbe: Bool) {
        rest = text[...]
        self.mayAskProbe = mayAskProbe
    }

    private mutating func run() throws(ValueProblem) -> Template {
        while let character = rest.popFirst() {
            switch character {
            case "{" where rest.first == "{", "}" where rest.first == "}":
                literal.append(character)
                rest.removeFirst()
            case "{":
                endLiteral()
                parts.append(.value(try placeholder()))
            case "}":
                throw ValueProblem("a '}' without '{'", hint: "write '}}' for the brace itself")
            default:
                literal.append(character)
            }
        }
        endLiteral()
        return Template(parts)
    }

    private mutating func endLiteral() {
        if !literal.isEmpty { parts.append(.literal(literal)) }
        literal = ""
    }

    /// Up to its `}`, those in its argument's strings and brackets not counted.
    private mutating func placeholder() throws(ValueProblem) -> Template.Source {
        var text = ""
        var quote: Character?
        var depth = 0
        while let character = rest.popFirst() {
            if let open = quote {
                if character == open { quote = nil }
            } else if depth > 0, character == "\"" || character == "'" {
                quote = character
            } else if character == "(" {
                depth += 1
            } else if character == ")" {
                depth -= 1
            } else if character == "}", depth <= 0 {
                return try source(text)
            }
            text.append(character)
        }
        throw ValueProblem("'{\(text)' has no '}'", hint: "write '{{' for the brace itself")
    }

    private func source(_ text: String) throws(ValueProblem) -> Template.Source {
        let name = text.prefix { $0 != "(" }
        let tail = text.dropFirst(name.count)
        guard tail.isEmpty || tail.hasSuffix(")") else { throw unknown(text) }
        let argument = tail.isEmpty ? nil : String(tail.dropFirst().dropLast())
        if name.hasPrefix("probe."), !mayAskProbe {
            throw ValueProblem("'{\(text)}' stands for the probe's answer", hint: "which is there in 'answer' only")
        }
        switch (String(name), argument) {
        case ("key", nil): return .key
        case ("probe.body", nil): return .probeBody
        case ("header", let argument?): return .header(try ValueReader(argument).fieldName())
        case ("probe.header", let argument?): return .probeHeader(try ValueReader(argument).fieldName())
        case ("query", let argument?) where !argument.isEmpty: return .query(argument)
        case ("body.form", let argument?) where !argument.isEmpty: return .bodyForm(argument)
        case ("body.json", let argument?): return .bodyJSON(try ValueReader(argument).jsonPointer())
        case ("probe.json", let argument?): return .probeJSON(try ValueReader(argument).jsonPointer())
        case ("body.xpath", let argument?) where !argument.isEmpty: return .bodyXPath(argument)
        case ("probe.xpath", let argument?) where !argument.isEmpty: return .probeXPath(argument)
        default: throw unknown(text)
        }
    }

    private func unknown(_ text: String) -> ValueProblem {
        let forms = Self.forms + (mayAskProbe ? Self.probeForms : [])
        let name = String(text.prefix { $0 != "(" })
        let names = forms.map { String($0.prefix { $0 != "(" }) }
        if let index = names.firstIndex(of: name)
            ?? Suggestion.nearest(to: name, among: names).flatMap(names.firstIndex)
        {
            return ValueProblem("unknown placeholder '{\(text)}'", hint: "write '{\(forms[index])}'?")
        }
        return ValueProblem(
            "unknown placeholder '{\(text)}'", hint: "there are \(forms.map { "{\($0)}" }.joined(separator: ", "))")
    }
}

extension ValueReader {
    /// The target of a probe: a literal path, at least its `/`.
    func requestTemplate() throws(ValueProblem) -> Template {
        let template = try TemplateReader.read(text)
        guard case .literal(let start)? = template.parts.first, start.hasPrefix("/"), !start.hasPrefix("//") else {
            throw ValueProblem("'\(text)' is not a path", hint: "it starts with '/'")
        }
        for case .literal(let literal) in template.parts {
            let isVisible = literal.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }
            guard isVisible else {
                throw ValueProblem("'\(text)' is not a path", hint: "visible ASCII without '#'; escape the rest as %XX")
            }
        }
        return template
    }

    func fieldTemplate() throws(ValueProblem) -> Template {
        let template = try TemplateReader.read(text)
        try checkFieldValue(of: template)
        return template
    }

    /// RFC 9110 §5.5.
    func checkFieldValue(of template: Template) throws(ValueProblem) {
        for case .literal(let literal) in template.parts {
            guard literal.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
                throw ValueProblem("the value of a field holds no control characters")
            }
        }
    }
}
