/// A block whose statements follow the table.
struct CheckedBlock: Sendable {
    var kind: BlockKind
    /// Where to say what concerns the block as a whole; nil for the whole configuration.
    var place: SourceRange?
    private(set) var statements: [CheckedStatement] = []
    /// Where in `statements` each name stands; a configuration has thousands of routes.
    private var indices: [String: [Int]] = [:]
    /// What holds for a directive that the block does not give, where that is not the table's default; filled in
    /// while the model is built, shown by the dump.
    var effective: [String: [Value]] = [:]
}

extension CheckedBlock {
    init(kind: BlockKind, place: SourceRange? = nil) {
        self.kind = kind
        self.place = place
    }

    mutating func append(_ statement: CheckedStatement) {
        indices[statement.directive.name, default: []].append(statements.count)
        statements.append(statement)
    }

    mutating func replaceBlock(of index: Int, by block: CheckedBlock) {
        statements[index].block = block
    }

    /// Where in `statements` the name stands, valid or not.
    func indices(_ name: String) -> [Int] {
        indices[name] ?? []
    }
}

struct CheckedStatement: Sendable {
    var directive: Directive
    var source: Statement
    /// All arguments, the keywords included; empty when they are not valid.
    var values: [Value] = []
    /// By argument: whether it comes from `env()` or `file()`.
    var secrets: [Bool] = []
    /// By argument: the file that `file()` has read.
    var secretPaths: [String?] = []
    /// Whether the arguments are valid.
    var isComplete = false
    var block: CheckedBlock?

    /// Where the argument at `index` stands.
    func place(_ index: Int) -> SourceRange {
        index < source.arguments.count ? source.arguments[index].range : source.nameRange
    }
}

extension CheckedBlock {
    /// The valid statements of a name, in order.
    func all(_ name: String) -> [CheckedStatement] {
        indices(name).map { statements[$0] }.filter(\.isComplete)
    }

    /// The statement of a name, if it is there and valid.
    func given(_ name: String) -> CheckedStatement? {
        indices(name).first { statements[$0].isComplete }.map { statements[$0] }
    }

    /// Whether the name was written at all.
    func mentions(_ name: String) -> Bool {
        indices[name] != nil
    }

    /// What holds: as given, else the table's default; empty where there is none.
    func values(_ name: String) -> [Value] {
        if let given = given(name) { return given.values }
        if let effective = effective[name] { return effective }
        return directive(name).defaultValues
    }

    func directive(_ name: String) -> Directive {
        guard let directive = Directives.named(name, in: kind) else {
            preconditionFailure("the table has no '\(name)' in \(kind.inWords)")
        }
        return directive
    }

    func integer(_ name: String) -> Int {
        guard case .integer(let number) = values(name).first else { preconditionFailure("'\(name)' is no number") }
        return Int(number)
    }

    /// Milliseconds.
    func duration(_ name: String) -> UInt64 {
        guard case .duration(let milliseconds) = values(name).first else { preconditionFailure("'\(name)' is no time") }
        return milliseconds
    }

    /// Milliseconds; nil = off.
    func timeout(_ name: String) -> UInt64? {
        if case .duration(let milliseconds) = values(name).first { milliseconds } else { nil }
    }

    /// Octets.
    func size(_ name: String) -> UInt64 {
        guard case .size(let octets) = values(name).first else { preconditionFailure("'\(name)' is no size") }
        return octets
    }

    func text(_ name: String) -> String? {
        values(name).first.map(\.canonicalText)
    }
}

extension [Value] {
    /// The text of the argument at `index`; nil when there is none.
    func text(_ index: Int) -> String? {
        index < count ? self[index].canonicalText : nil
    }

    var isOff: Bool { self == [.keyword("off")] }

    var statuses: [ClosedRange<UInt16>] {
        compactMap { if case .statuses(let range) = $0 { range } else { nil } }
    }
}

extension Directive {
    /// The default, read; empty where there is none.
    var defaultValues: [Value] {
        guard let defaultText else { return [] }
        let words = defaultText.split(separator: " ").map { ArgumentMatcher.Input(text: String($0)) }
        let match = ArgumentMatcher(self).match(words)
        precondition(match.problems.isEmpty, "the default of '\(name)' is not valid")
        return match.values
    }
}
