/// One piece of the text. Comments are tokens so that the formatter can keep them.
struct Token: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        /// A bare word.
        case word(String)
        /// The value of a quoted string, escapes resolved.
        case string(String)
        /// `env("NAME")` or `file("/path")`.
        case call(ValueSource, argument: String)
        case semicolon
        case open
        case close
        /// With its `#`, without the end of line.
        case comment(String)
        case end
    }

    var kind: Kind
    var range: SourceRange
    /// Ends of line between the token before and this one.
    var newlinesBefore: Int
    /// Whether a mistake in it has been reported, so that its value says nothing.
    var isBroken = false
}

/// Where an argument's value comes from.
enum ValueSource: String, Sendable, CaseIterable {
    /// An environment variable.
    case env
    /// A file's contents, trailing newline removed.
    case file
}
