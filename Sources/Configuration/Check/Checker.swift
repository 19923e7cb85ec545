/// Walks the statements, holds them against the table, and brings in what `include`, `env` and `file` name.
///
/// Every mistake is reported and checking goes on: below a misspelt directive as if it were spelt right.
struct Checker {
    private static let includeDepthMax = 16
    private static let filesMax = 1000

    let files: ConfigurationFiles
    var log = DiagnosticLog()
    /// Whether a part of the configuration could not be read, so that nothing can be called missing.
    private var hasGaps = false

    init(files: ConfigurationFiles) {
        self.files = files
    }

    /// The whole configuration.
    mutating func check(_ octets: [UInt8], name: String) -> CheckedBlock {
        var top = CheckedBlock(kind: .top)
        check(file: log.add(SourceFile(name: name, octets: octets)), into: &top)
        finish(top, file: name)
        return top
    }

    private mutating func check(file: Int, into block: inout CheckedBlock) {
        let errorsBefore = log.errorCount
        let tokens = Lexer.tokens(file: file, log: &log)
        let parsed = Parser.parse(tokens, log: &log)
        if log.errorCount > errorsBefore { hasGaps = true }
        check(parsed.statements, into: &block)
    }

    private mutating func check(_ statements: [Statement], into block: inout CheckedBlock) {
        for statement in statements where !statement.name.isEmpty {
            guard let directive = directive(of: statement, in: block.kind) else { continue }
            if directive.isFileInclude {
                include(statement, directive, into: &block)
            } else {
                block.append(check(statement, directive, in: block))
            }
        }
    }

    /// The entry of the table for a statement, reporting a name that is not valid here; then the entry that was meant.
    private mutating func directive(of statement: Statement, in kind: BlockKind) -> Directive? {
        if let directive = Directives.named(statement.name, in: kind) { return directive }
        let name = statement.name
        if Directives.planned.contains(name) {
            log.error(statement.nameRange, "directive '\(name)' is not supported in this version")
            return nil
        }
        if Directives.isName(name) {
            let homes = BlockKind.allCases.filter { Directives.named(name, in: $0) != nil }
            let list = homes.map { $0 == .top ? "at the top level" : "in \($0.inWords)" }.joined(separator: " or ")
            log.error(
                statement.nameRange, "directive '\(name)' is not allowed in \(kind.inWords)",
                hint: "it belongs \(list)" + (homes == [.top] ? "; is a '}' missing above?" : ""))
            return nil
        }
        let guess = Suggestion.nearest(to: name, among: Directives.in(kind).map(\.name))
        let place = kind == .top ? "" : " in \(kind.inWords)"
        log.error(
            statement.nameRange, "unknown directive '\(name)'\(place)", hint: guess.map { "did you mean '\($0)'?" })
        return guess.flatMap { Directives.named($0, in: kind) }
    }

    private mutating func check(
        _ statement: Statement, _ directive: Directive, in block: CheckedBlock
    )
        -> CheckedStatement
    {
        var checked = CheckedStatement(directive: directive, source: statement)
        if !directive.isRepeatable, let first = block.indices(directive.name).first {
            log.error(
                statement.nameRange, "'\(directive.name)' is given twice",
                hint: "first at \(log.place(block.statements[first].source.nameRange))")
        }
        let form = match(&checked)
        if let written = statement.block {
            if let kind = form?.blockKind ?? likelyBlock(of: directive, form) {
                var inner = CheckedBlock(kind: kind, place: statement.headRange)
                check(written.statements, into: &inner)
                finish(inner)
                checked.block = inner
            } else if form != nil {
                let hint = directive.takesTemplate ? "put what holds a '{' in quotes" : "write ';' instead"
                log.error(statement.nameRange, "'\(directive.name)' takes no block here", hint: hint)
            }
        } else if case .required = form?.block {
            log.error(statement.headRange.after, "'\(directive.name)' needs a block", hint: "write '{ … }'")
            checked.isComplete = false
        } else if case .optional(let kind) = form?.block {
            // All its defaults.
            checked.block = CheckedBlock(kind: kind, place: statement.headRange)
        }
        return checked
    }

    /// The block of a statement whose arguments are wrong, when it can be only one.
    private func likelyBlock(of directive: Directive, _ form: Form?) -> BlockKind? {
        let kinds = Set(directive.forms.compactMap(\.blockKind))
        return form == nil && kinds.count == 1 ? kinds.first : nil
    }

    /// Fills in the statement's values; returns the form that its arguments have.
    private mutating func match(_ checked: inout CheckedStatement) -> Form? {
        var inputs: [ArgumentMatcher.Input] = []
        var isResolved = true
        for argument in checked.source.arguments {
            if let input = resolve(argument) {
                inputs.append(input)
            } else {
                isResolved = false
                inputs.append(ArgumentMatcher.Input(text: "", secretSource: ""))
            }
        }
        let match = ArgumentMatcher(checked.directive).match(inputs)
        // What follows from a value that could not be had is no mistake of its own.
        guard isResolved else { return match.form }
        for problem in match.problems {
            let place =
                switch problem.place {
                case .argument(let index): checked.place(index)
                case .argumentsFrom(let index): checked.place(index).through(checked.source.headRange)
                case .end: checked.source.headRange
                }
            if problem.isWarning {
                log.warning(place, problem.message, hint: problem.hint)
            } else {
                log.error(place, problem.message, hint: problem.hint)
            }
        }
        checked.values = match.isComplete ? match.values.map { absolute($0, in: checked) } : []
        checked.secrets = inputs.map { $0.secretSource != nil }
        checked.secretPaths = inputs.map(\.secretPath)
        checked.isComplete = match.isComplete
        return match.form
    }

    /// A file's path from the root on, as the file that names it sees it.
    private func absolute(_ value: Value, in checked: CheckedStatement) -> Value {
        guard case .file(let text) = value else { return value }
        return .file(files.absolute(path(text, from: checked.source.nameRange.file)))
    }

    private mutating func resolve(_ argument: Argument) -> ArgumentMatcher.Input? {
        guard !argument.isBroken else { return nil }
        guard case .call(let source) = argument.kind else {
            return ArgumentMatcher.Input(text: argument.text, isBare: argument.kind == .word)
        }
        let shown = log.files[argument.range.file].text(argument.range)
        switch source {
        case .env:
            guard let value = files.environment(argument.text) else {
                log.error(argument.range, "environment variable '\(argument.text)' is not set")
                return nil
            }
            return ArgumentMatcher.Input(text: value, isBare: false, secretSource: shown)
        case .file:
            let path = path(argument.text, from: argument.range.file)
            switch files.read(path) {
            case .failure(let failure):
                log.error(argument.range, "cannot read '\(path)': \(failure.message)")
                return nil
            case .success(let octets):
                guard var value = String(validating: octets, as: UTF8.self) else {
                    log.error(argument.range, "'\(path)' is not UTF-8 text")
                    return nil
                }
                if value.hasSuffix("\r\n") || value.hasSuffix("\n") { value.removeLast() }
                return ArgumentMatcher.Input(text: value, isBare: false, secretSource: shown, secretPath: path)
            }
        }
    }

    /// Required directives that are not there.
    private mutating func finish(_ block: CheckedBlock, file: String = "") {
        for directive in Directives.in(block.kind) where directive.isRequired && !block.mentions(directive.name) {
            guard let place = block.place else {
                if !hasGaps { log.error(file: file, "no '\(directive.name)': \(directive.reasonToRequire)") }
                continue
            }
            log.error(
                place, "\(block.kind.rawValue) without '\(directive.name)'",
                hint: "add '\(directive.name) \(directive.example);'")
        }
    }

    // MARK: include

    private mutating func include(_ statement: Statement, _ directive: Directive, into block: inout CheckedBlock) {
        var checked = CheckedStatement(directive: directive, source: statement)
        _ = match(&checked)
        if statement.block != nil {
            log.error(statement.nameRange, "'include' takes no block here", hint: "write ';' instead")
        }
        guard checked.isComplete, case .text(let pattern) = checked.values[0] else {
            hasGaps = true
            return
        }
        let place = checked.place(0)
        let path = path(pattern, from: place.file)
        let isPattern = path.contains { "*?[".contains($0) }
        for name in isPattern ? files.matches(path) : [path] {
            include(name, place, into: &block)
        }
    }

    private mutating func include(_ name: String, _ place: SourceRange, into block: inout CheckedBlock) {
        var chain: [String] = []
        var parent: SourceRange? = place
        while let range = parent {
            chain.append(log.files[range.file].name)
            parent = log.files[range.file].includedFrom
        }
        if chain.contains(name) {
            log.error(place, "'\(name)' includes itself", hint: (chain.reversed() + [name]).joined(separator: " → "))
        } else if chain.count > Self.includeDepthMax {
            log.error(place, "includes are nested deeper than \(Self.includeDepthMax)")
        } else if log.files.count >= Self.filesMax {
            log.error(place, "more than \(Self.filesMax) files")
        } else {
            switch files.read(name) {
            case .success(let octets):
                let file = log.add(SourceFile(name: name, octets: octets, includedFrom: place))
                check(file: file, into: &block)
                return
            case .failure(let failure):
                log.error(place, "cannot read '\(name)': \(failure.message)")
            }
        }
        hasGaps = true
    }

    /// A path as seen from the file that names it.
    private func path(_ path: String, from file: Int) -> String {
        let name = log.files[file].name
        guard !path.hasPrefix("/"), let slash = name.lastIndex(of: "/") else { return path }
        return String(name[...slash]) + path
    }
}

extension Directive {
    fileprivate var takesTemplate: Bool {
        forms.contains { form in
            form.parameters.contains { parameter in
                switch parameter {
                case .value(.requestTemplate), .value(.fieldTemplate), .value(.answerTemplate): true
                default: false
                }
            }
        }
    }

    /// Why a configuration is nothing without it.
    fileprivate var reasonToRequire: String {
        switch name {
        case "listen": "clients have nowhere to connect; add 'listen \(example);'"
        case "route": "no request would go anywhere; add 'route / { upstream NAME; }'"
        default: "it is required"
        }
    }
}
