/// Builds the tree of statements from tokens. Knows the grammar only; which directives exist matters for one thing,
/// to tell where a forgotten `;` stood.
///
///     file      = statement*
///     statement = name argument* ( ";" | "{" statement* "}" )
///
/// Open blocks are kept on a stack of its own, bounded by `depthMax`, so that no input can exhaust the machine's.
struct Parser {
    static let depthMax = 32

    private let tokens: [Token]
    private var index = 0
    private var open: [Frame] = [Frame(statement: nil)]
    /// How many `}` the file lacks.
    private var missingCloses: Int

    /// A block that is not closed yet, and the statement it belongs to.
    private struct Frame {
        var statement: Statement?
        var statements: [Statement] = []
    }

    static func parse(_ tokens: [Token], log: inout DiagnosticLog) -> Block {
        var parser = Parser(tokens: tokens.filter { !$0.isComment })
        parser.run(&log)
        return Block(statements: parser.open[0].statements)
    }

    private init(tokens: [Token]) {
        self.tokens = tokens
        missingCloses = tokens.count { $0.kind == .open } - tokens.count { $0.kind == .close }
    }

    private mutating func run(_ log: inout DiagnosticLog) {
        while true {
            let token = tokens[index]
            switch token.kind {
            case .end:
                reportOpenBlocks(&log)
                return
            case .word(let name), .string(let name):
                if case .string = token.kind {
                    log.error(token.range, "a directive's name is a bare word", hint: "remove the quotes")
                }
                index += 1
                closeForgottenBlocks(before: name, token, &log)
                statement(name: name, range: token.range, &log)
            case .call(let source, _):
                log.error(token.range, "\(source.rawValue)() stands where a directive's name is expected")
                index += 1
                statement(name: "", range: token.range, &log)
            case .semicolon:
                log.error(token.range, "unexpected ';'", hint: "remove it")
                index += 1
            case .open:
                log.error(token.range, "block without a directive", hint: "a name is missing before '{'")
                begin(Statement(name: "", nameRange: token.range, arguments: []), &log)
            case .close:
                index += 1
                if open.count > 1 {
                    end()
                } else {
                    log.error(token.range, "unexpected '}'", hint: "no block is open here")
                }
            case .comment:
                index += 1
            }
        }
    }

    /// Reads the arguments and the end of a statement whose name has been read.
    private mutating func statement(name: String, range: SourceRange, _ log: inout DiagnosticLog) {
        var statement = Statement(name: name, nameRange: range, arguments: [])
        while true {
            let token = tokens[index]
            switch token.kind {
            case .word(let text):
                if !statement.arguments.isEmpty, token.newlinesBefore > 0, Directives.isName(text) {
                    reportMissingEnd(of: statement, &log)
                    return append(statement)
                }
                statement.arguments.append(
                    Argument(kind: .word, text: text, range: token.range, isBroken: token.isBroken))
            case .string(let text):
                statement.arguments.append(
                    Argument(kind: .string, text: text, range: token.range, isBroken: token.isBroken))
            case .call(let source, let argument):
                statement.arguments.append(
                    Argument(kind: .call(source), text: argument, range: token.range, isBroken: token.isBroken))
            case .semicolon:
                index += 1
                return append(statement)
            case .open:
                return begin(statement, &log)
            case .close, .end:
                reportMissingEnd(of: statement, &log)
                return append(statement)
            case .comment:
                break
            }
            index += 1
        }
    }

    /// In a file that lacks a `}`, a directive of the top level at the start of a line tells where: above it.
    private mutating func closeForgottenBlocks(before name: String, _ token: Token, _ log: inout DiagnosticLog) {
        let file = log.files[token.range.file]
        guard missingCloses > 0, open.count > 1, Directives.standsOnlyAtTop(name),
            file.start(ofLine: file.line(at: token.range.start)) == token.range.start
        else { return }
        missingCloses -= open.count - 1
        reportOpenBlocks(&log)
    }

    private mutating func append(_ statement: Statement) {
        open[open.count - 1].statements.append(statement)
    }

    /// Opens the block at the current token; one that is too deep is stepped over whole.
    private mutating func begin(_ statement: Statement, _ log: inout DiagnosticLog) {
        guard open.count <= Self.depthMax else {
            log.error(tokens[index].range, "blocks are nested deeper than \(Self.depthMax)")
            var depth = 0
            while tokens[index].kind != .end {
                if tokens[index].kind == .open { depth += 1 }
                if tokens[index].kind == .close { depth -= 1 }
                index += 1
                if depth == 0 { break }
            }
            return append(statement)
        }
        index += 1
        open.append(Frame(statement: statement))
    }

    private mutating func end() {
        let frame = open.removeLast()
        guard var statement = frame.statement else { return }
        statement.block = Block(statements: frame.statements)
        append(statement)
    }

    private func reportMissingEnd(of statement: Statement, _ log: inout DiagnosticLog) {
        let last = statement.arguments.last?.range ?? statement.nameRange
        log.error(last.after, "missing ';' after '\(log.files[last.file].text(last))'", hint: "write ';' here")
    }

    private mutating func reportOpenBlocks(_ log: inout DiagnosticLog) {
        while open.count > 1 {
            if let statement = open[open.count - 1].statement {
                log.error(
                    statement.nameRange, "block '\(statement.name)' is not closed", hint: "its '}' is missing")
            }
            end()
        }
    }
}

extension Token {
    var isComment: Bool {
        if case .comment = kind { true } else { false }
    }
}
