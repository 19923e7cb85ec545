/// A directive as written: its name, its arguments and, if it has one, its block.
struct Statement: Sendable {
    var name: String
    var nameRange: SourceRange
    var arguments: [Argument]
    var block: Block?

    /// From the name to the last argument.
    var headRange: SourceRange {
        arguments.last.map { nameRange.through($0.range) } ?? nameRange
    }
}

/// What stands between `{` and `}`, or in a whole file.
struct Block: Sendable {
    var statements: [Statement]
}

struct Argument: Sendable {
    enum Kind: Sendable, Equatable {
        case word
        case string
        case call(ValueSource)
    }

    var kind: Kind
    /// The word, the string's value, or the argument of the call.
    var text: String
    var range: SourceRange
    /// Whether a mistake in it has been reported, so that its text says nothing.
    var isBroken = false
}
