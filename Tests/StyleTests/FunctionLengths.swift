/// Finds functions in formatted Swift: a body ends at the first line that closes a brace at the indentation of its
/// declaration.
enum FunctionLengths {
    struct Function: Equatable {
        var name: String
        /// Of the declaration, from 1.
        var line: Int
        /// From the declaration to the closing brace, both included.
        var length: Int
    }

    static func functions(in lines: [Substring]) -> [Function] {
        var found: [Function] = []
        for (index, line) in lines.enumerated() {
            guard let name = declaredName(line), let end = lastLine(of: index, in: lines) else { continue }
            found.append(Function(name: name, line: index + 1, length: end - index + 1))
        }
        return found
    }

    private static let modifiers: Set<Substring> = [
        "package", "private", "fileprivate", "internal", "public", "open", "static", "class", "final", "override",
        "mutating",
        "nonmutating", "consuming", "borrowing", "convenience", "required", "nonisolated",
    ]

    /// The name if the line declares a function, an initialiser, a deinitialiser or a subscript.
    private static func declaredName(_ line: Substring) -> String? {
        var words = line.split(separator: " ")[...]
        while let word = words.first, modifiers.contains(word) || word.hasPrefix("@") || word.hasPrefix("nonisolated(")
        {
            words = words.dropFirst()
        }
        guard let word = words.first else { return nil }
        if word == "func", let name = words.dropFirst().first { return String(name.prefix { $0 != "(" && $0 != "<" }) }
        for keyword in ["init", "deinit", "subscript"] where word.hasPrefix(keyword) {
            let rest = word.dropFirst(keyword.count)
            if rest.isEmpty ? keyword == "deinit" : "(<?!".contains(rest.first!) { return keyword }
        }
        return nil
    }

    private static func indentation(_ line: Substring) -> Int {
        line.prefix { $0 == " " }.count
    }

    /// Nil for a declaration without a body.
    private static func lastLine(of start: Int, in lines: [Substring]) -> Int? {
        let indent = indentation(lines[start])
        var index = start
        while true {
            let line = lines[index].reversed().drop { $0 == " " }
            if line.first == "{" { break }
            if index == start && line.first == "}" { return start }
            index += 1
            guard index < lines.count else { return nil }
            let next = lines[index]
            let text = next.drop { $0 == " " }
            let goesOn = indentation(next) > indent || text.hasPrefix(")") || text.hasPrefix("where ") || text == "{"
            if !goesOn || text.isEmpty { return nil }
            if indentation(next) == indent && text.hasSuffix("}") { return index }
        }
        let closing = String(repeating: " ", count: indent) + "}"
        return lines[index...].firstIndex { $0.hasPrefix(closing) }
    }
}
