/// The settings as JSON: every directive of the table, as given or by default, in the order of the table.
///
/// A directive without block is its value, one with block an object with its arguments as `value`; a repeatable one
/// is an array of these, and one that is not there and has no default is null. `schema` says the same of all of them.
enum Dump {
    static let mask = "********"

    static func text(of top: CheckedBlock) -> String {
        JSON.object(members(of: top)).text() + "\n"
    }

    private static func members(of block: CheckedBlock) -> [JSON.Member] {
        Directives.in(block.kind).filter { !$0.isFileInclude }.map { directive in
            JSON.Member(name: directive.name, value: value(of: directive, in: block))
        }
    }

    private static func value(of directive: Directive, in block: CheckedBlock) -> JSON {
        let given = block.all(directive.name)
        if directive.isRepeatable {
            guard given.isEmpty else { return .array(given.map(entry)) }
            let values = directive.defaultValues
            return .array(values.isEmpty ? [] : [arguments(values, of: directive)])
        }
        // What holds may be more than the file names: the status lists do so.
        if let statement = given.first, block.effective[directive.name] == nil { return entry(statement) }
        let values = block.effective[directive.name] ?? block.values(directive.name)
        guard !values.isEmpty else { return .null }
        guard directive.hasBlock else { return arguments(values, of: directive) }
        return entry(CheckedStatement(directive: directive, source: .absent, values: values))
    }

    private static func entry(_ statement: CheckedStatement) -> JSON {
        let directive = statement.directive
        guard directive.hasBlock else { return arguments(statement.values, statement.secrets, of: directive) }
        var members: [JSON.Member] = []
        if !statement.values.isEmpty {
            members.append(
                JSON.Member(name: "value", value: arguments(statement.values, statement.secrets, of: directive)))
        }
        let keyword = statement.values.text(0)
        let form =
            directive.forms.first { $0.keyword != nil && $0.keyword == keyword }
            ?? directive.forms.first { $0.keyword == nil }
        if let kind = form?.blockKind {
            members += self.members(of: statement.block ?? CheckedBlock(kind: kind))
        }
        return .object(members)
    }

    private static func arguments(_ values: [Value], _ secrets: [Bool] = [], of directive: Directive) -> JSON {
        let items = values.enumerated().map { index, value -> JSON in
            if index < secrets.count, secrets[index] { return .string(mask) }
            if case .integer(let number) = value { return .number(number) }
            return .string(value.canonicalText)
        }
        return directive.isList ? .array(items) : items.first ?? .null
    }
}

extension Directive {
    var hasBlock: Bool {
        forms.contains { $0.blockKind != nil }
    }

    /// Whether its arguments are shown as an array.
    var isList: Bool {
        forms.contains { form in
            form.parameters.count > 1 || form.parameters.contains { $0.isMany }
        }
    }
}

extension Statement {
    /// For what no file says.
    fileprivate static let absent = Statement(
        name: "", nameRange: SourceRange(file: 0, start: 0, end: 0), arguments: [], block: nil)
}

/// JSON Schema of the dump.
package enum Schema {
    package static let text: String = {
        var members = [
            JSON.Member(name: "$schema", value: .string("https://json-schema.org/draft/2020-12/schema")),
            JSON.Member(name: "title", value: .string("oncegate config dump")),
        ]
        members += object(.top)
        return JSON.object(members).text() + "\n"
    }()

    private static func object(_ kind: BlockKind, value: JSON? = nil) -> [JSON.Member] {
        let directives = Directives.in(kind).filter { !$0.isFileInclude }
        var properties = directives.map { JSON.Member(name: $0.name, value: property($0)) }
        var required = directives.map(\.name)
        if let value {
            properties.insert(JSON.Member(name: "value", value: value), at: 0)
            required.insert("value", at: 0)
        }
        return [
            JSON.Member(name: "type", value: .string("object")),
            JSON.Member(name: "properties", value: .object(properties)),
            JSON.Member(name: "required", value: .strings(required)),
            JSON.Member(name: "additionalProperties", value: .bool(false)),
        ]
    }

    private static func property(_ directive: Directive) -> JSON {
        var alternatives = directive.hasBlock ? blocks(directive) : [arguments(directive)]
        let isAlwaysThere = directive.isRepeatable || directive.isRequired || directive.defaultText != nil
        if !isAlwaysThere { alternatives.append(type("null")) }
        let one =
            alternatives.count == 1 ? alternatives[0] : .object([.init(name: "anyOf", value: .array(alternatives))])
        var members = [JSON.Member(name: "description", value: .string(directive.help))]
        if let text = directive.defaultText { members.append(.init(name: "default", value: .string(text))) }
        if directive.isRepeatable {
            members += [.init(name: "type", value: .string("array")), .init(name: "items", value: one)]
        } else if case .object(let inner) = one {
            members += inner
        }
        return .object(members)
    }

    /// One object per kind of block, and one for the forms without.
    private static func blocks(_ directive: Directive) -> [JSON] {
        directive.forms.reduce(into: [JSON]()) { schemas, form in
            let value: JSON? =
                directive.isList
                ? arguments(directive)
                : form.parameters.first.map { scalar([$0]) }
            let members: [JSON.Member]
            if let kind = form.blockKind {
                members = object(kind, value: value)
            } else {
                members = [
                    .init(name: "type", value: .string("object")),
                    .init(name: "properties", value: .object([.init(name: "value", value: value ?? type("null"))])),
                    .init(name: "required", value: .strings(["value"])),
                    .init(name: "additionalProperties", value: .bool(false)),
                ]
            }
            if !schemas.contains(.object(members)) { schemas.append(.object(members)) }
        }
    }

    private static func arguments(_ directive: Directive) -> JSON {
        let parameters = directive.forms.flatMap(\.parameters)
        guard directive.isList else { return scalar(parameters) }
        return .object([
            .init(name: "type", value: .string("array")),
            .init(name: "items", value: scalar(parameters)),
        ])
    }

    private static func scalar(_ parameters: [Parameter]) -> JSON {
        let keywords = parameters.compactMap { parameter -> String? in
            switch parameter {
            case .keyword(let keyword), .optionalKeyword(let keyword): keyword
            default: nil
            }
        }
        let values = parameters.compactMap { parameter -> ValueType? in
            switch parameter {
            case .value(let type), .optional(let type), .many(let type), .rest(let type): type
            default: nil
            }
        }
        guard !values.isEmpty else { return .object([.init(name: "enum", value: .strings(keywords))]) }
        let hasIntegers = values.contains { if case .integer = $0 { true } else { false } }
        let hasTexts = !keywords.isEmpty || values.contains { if case .integer = $0 { false } else { true } }
        let types = (hasIntegers ? ["integer"] : []) + (hasTexts ? ["string"] : [])
        // A secret is masked, whatever its type.
        let all = types.contains("string") ? types : types + ["string"]
        return all.count == 1 ? type(all[0]) : .object([.init(name: "type", value: .strings(all))])
    }

    private static func type(_ name: String) -> JSON {
        .object([.init(name: "type", value: .string(name))])
    }
}
