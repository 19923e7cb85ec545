/// Holds arguments against a directive's forms.
struct ArgumentMatcher {
    struct Input: Sendable {
        var text: String
        /// Written as a bare word; only those are keywords where any value may stand.
        var isBare = true
        /// What stands in the file in place of a secret value, `env("NAME")`; nil for a plain argument.
        var secretSource: String?
        /// The file that gave it; nil for a plain argument and a variable.
        var secretPath: String?
    }

    struct Problem: Sendable, Equatable {
        enum Place: Sendable, Equatable {
            case argument(Int)
            /// From this argument to the last.
            case argumentsFrom(Int)
            case end
        }

        var place: Place
        var message: String
        var hint: String?
        var isWarning = false
    }

    struct Match: Sendable {
        var form: Form?
        var values: [Value] = []
        var problems: [Problem] = []

        var isComplete: Bool { problems.allSatisfy(\.isWarning) }
    }

    private let directive: Directive

    init(_ directive: Directive) {
        self.directive = directive
    }

    func match(_ arguments: [Input]) -> Match {
        var match = Match()
        guard let form = form(for: arguments, &match) else { return match }
        match.form = form
        var index = 0
        for parameter in form.parameters {
            let isPresent = index < arguments.count
            switch parameter {
            case .keyword(let keyword):
                match.values.append(.keyword(keyword))
                index += 1
            case .optionalKeyword(let keyword):
                guard isPresent else { continue }
                if arguments[index].text != keyword {
                    match.problems.append(unknown(arguments[index], at: index, among: [keyword]))
                }
                match.values.append(.keyword(keyword))
                index += 1
            case .optional(let type):
                guard isPresent else { continue }
                read(arguments[index], at: index, as: type, &match)
                index += 1
            case .rest(let type):
                while index < arguments.count {
                    read(arguments[index], at: index, as: type, &match)
                    index += 1
                }
            case .value(let type), .many(let type):
                guard isPresent else {
                    let head = ([directive.name] + match.values.map(\.canonicalText)).joined(separator: " ")
                    match.problems.append(missing(head: head))
                    continue
                }
                repeat {
                    read(arguments[index], at: index, as: type, &match)
                    index += 1
                } while parameter.isMany && index < arguments.count
            }
        }
        if index < arguments.count {
            match.problems.append(
                Problem(
                    place: .argumentsFrom(index), message: "too many arguments for '\(directive.name)'",
                    hint: "the syntax is: \(directive.syntaxInOneLine)"))
        }
        return match
    }

    private func form(for arguments: [Input], _ match: inout Match) -> Form? {
        let keywords = directive.forms.compactMap(\.keyword)
        let free = directive.forms.first { $0.keyword == nil && !$0.parameters.isEmpty }
        let empty = directive.forms.first { $0.parameters.isEmpty }
        guard let first = arguments.first else {
            if let form = empty ?? (keywords.isEmpty ? free : nil) { return form }
            match.problems.append(
                Problem(
                    place: .end, message: "'\(directive.name)' needs an argument",
                    hint: "the syntax is: \(directive.syntaxInOneLine)"))
            return nil
        }
        if first.isBare || free == nil, let form = directive.forms.first(where: { $0.keyword == first.text }) {
            return form
        }
        if directive.planned.contains(first.text) {
            match.problems.append(
                Problem(
                    place: .argument(0),
                    message: "'\(directive.name) \(first.text)' is not supported in this version"))
            return nil
        }
        if let free {
            if first.isBare, first.secretSource == nil, let guess = Suggestion.nearest(to: first.text, among: keywords)
            {
                match.problems.append(
                    Problem(
                        place: .argument(0), message: "unknown value '\(first.text)' for '\(directive.name)'",
                        hint: "did you mean '\(guess)'?"))
                return nil
            }
            return free
        }
        guard !keywords.isEmpty else { return empty }
        match.problems.append(unknown(first, at: 0, among: keywords))
        return nil
    }

    private func read(_ argument: Input, at index: Int, as type: ValueType, _ match: inout Match) {
        if case .choice(let words) = type, !words.contains(argument.text) {
            match.problems.append(unknown(argument, at: index, among: words))
            return
        }
        if case .secret = type, argument.secretSource == nil {
            match.problems.append(
                Problem(
                    place: .argument(index), message: "a secret does not stand in the configuration itself",
                    hint: "write file(\"/run/secrets/…\") or env(\"…\")"))
            return
        }
        do throws(ValueProblem) {
            let sample = directive.defaultText ?? directive.example
            let words = sample.split(separator: " ")
            let reader = ValueReader(argument.text, sample: words.last.map(String.init))
            match.values.append(try reader.read(as: type))
        } catch {
            if let value = error.value { match.values.append(value) }
            let isWarning = error.value != nil
            guard let source = argument.secretSource else {
                match.problems.append(
                    Problem(place: .argument(index), message: error.message, hint: error.hint, isWarning: isWarning))
                return
            }
            // The message of the reader would show the secret.
            match.problems.append(
                Problem(
                    place: .argument(index), message: "the value of \(source) is not valid here",
                    hint: "\(type.label) is expected", isWarning: isWarning))
        }
    }

    private func unknown(_ argument: Input, at index: Int, among keywords: [String]) -> Problem {
        let shown = argument.secretSource.map { "of \($0)" } ?? "'\(argument.text)'"
        let guess = argument.secretSource == nil ? Suggestion.nearest(to: argument.text, among: keywords) : nil
        let list =
            keywords.count == 1
            ? keywords[0] : keywords.dropLast().joined(separator: ", ") + " or " + keywords[keywords.count - 1]
        return Problem(
            place: .argument(index), message: "unknown value \(shown) for '\(directive.name)'",
            hint: guess.map { "did you mean '\($0)'?" } ?? "expected: \(list)")
    }

    private func missing(head: String) -> Problem {
        Problem(
            place: .end, message: "'\(head)' needs an argument", hint: "the syntax is: \(directive.syntaxInOneLine)")
    }
}

extension Directive {
    var syntaxInOneLine: String {
        syntax.joined(separator: "  or  ")
    }
}

extension Parameter {
    var isMany: Bool {
        if case .many = self { true } else { false }
    }
}
