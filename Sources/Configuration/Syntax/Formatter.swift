/// The canonical layout: one statement a line, four blanks a level, arguments one blank apart, at most one empty line
/// between two lines, comments kept where they stand. Works on tokens, so that nothing but blanks can change.
package struct Formatter {
    private let file: SourceFile
    private var output = ""
    private var depth = 0
    private var place = Place.lineStart

    /// What the output ends with.
    private enum Place {
        /// An end of line (or nothing at all), outside of a statement.
        case lineStart
        /// A finished line whose end is not written yet, because a comment may follow on it.
        case lineEnd
        /// A name or an argument.
        case statement
        /// A comment inside a statement.
        case statementLineStart
    }

    /// `text` in canonical layout, or what is wrong with its grammar. Directives it does not know are kept.
    package static func format(_ text: [UInt8], name: String) -> Result<String, ConfigurationError> {
        var log = DiagnosticLog()
        let file = log.add(SourceFile(name: name, octets: text))
        let tokens = Lexer.tokens(file: file, log: &log)
        _ = Parser.parse(tokens, log: &log)
        guard log.errorCount == 0 else { return .failure(ConfigurationError(diagnostics: log.diagnostics)) }
        return .success(format(tokens, of: log.files[file]))
    }

    static func format(_ tokens: [Token], of file: SourceFile) -> String {
        var formatter = Formatter(file: file)
        for (index, token) in tokens.enumerated() {
            formatter.write(token, previous: index > 0 ? tokens[index - 1] : nil)
        }
        return formatter.output
    }

    private init(file: SourceFile) {
        self.file = file
    }

    private mutating func write(_ token: Token, previous: Token?) {
        switch token.kind {
        case .comment(let text):
            comment(text, token, previous: previous)
        case .word, .string, .call:
            lead(token, previous: previous)
            output += file.text(token.range)
            place = .statement
        case .semicolon:
            // A statement that ends in a comment has its `;` on the next line.
            if place == .statementLineStart { indent(depth + 1) }
            if place == .lineEnd { endLine() }
            if place == .lineStart { indent(depth) }
            output += ";"
            place = .lineEnd
        case .open:
            lead(token, previous: previous)
            output += "{"
            depth += 1
            place = .lineEnd
        case .close:
            close(previous: previous)
        case .end:
            if place != .lineStart, place != .statementLineStart { endLine() }
        }
    }

    /// Whatever must stand before a name, an argument or `{`.
    private mutating func lead(_ token: Token, previous: Token?) {
        switch place {
        case .statement:
            output += " "
        case .statementLineStart:
            indent(depth + 1)
        case .lineEnd, .lineStart:
            if place == .lineEnd { endLine() }
            if token.newlinesBefore > 1, let previous, previous.kind != .open { output += "\n" }
            indent(depth)
        }
    }

    private mutating func comment(_ text: String, _ token: Token, previous: Token?) {
        let trails = token.newlinesBefore == 0 && previous != nil && place != .lineStart
        switch place {
        case .statement, .statementLineStart:
            if trails && place == .statement {
                output += "  "
            } else {
                if place == .statement { endLine() }
                indent(depth + 1)
            }
            output += text
            endLine()
            place = .statementLineStart
        case .lineEnd where trails:
            output += "  " + text
            endLine()
        case .lineEnd, .lineStart:
            if place == .lineEnd { endLine() }
            if token.newlinesBefore > 1, let previous, previous.kind != .open { output += "\n" }
            indent(depth)
            output += text
            endLine()
        }
    }

    private mutating func close(previous: Token?) {
        depth = max(depth - 1, 0)
        if case .open = previous?.kind, place == .lineEnd {
            output += "}"
        } else {
            if place != .lineStart, place != .statementLineStart { endLine() }
            indent(depth)
            output += "}"
        }
        place = .lineEnd
    }

    private mutating func endLine() {
        output += "\n"
        place = .lineStart
    }

    private mutating func indent(_ levels: Int) {
        output += String(repeating: "    ", count: levels)
    }
}
