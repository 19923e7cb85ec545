import Idempotency

/// XPaths and the prefixes that they use.
extension ModelBuilder {
    /// Reports an expression that cannot be used; a test, whose use is nil, may have any value.
    mutating func checkXPath(
        _ text: String, _ statement: CheckedStatement, _ index: Int, _ namespaces: [XMLNamespace], use: XPath.Use?
    ) {
        do throws(PolicyError) {
            // boolean(…) of every expression is one, so that nothing but its grammar is checked.
            _ = try XPath(use == nil ? "string(boolean(\(text)))" : text, namespaces: namespaces, use: use ?? .token)
        } catch {
            guard case .invalidXPath(_, let reason) = error else { return }
            let isSecret = index < statement.secrets.count && statement.secrets[index]
            log.error(
                statement.place(index), isSecret ? "\(shown(statement, index)): \(reason)" : "'\(text)': \(reason)",
                hint: reason.contains("prefix") ? "add 'namespace PREFIX NAME;', or write local-name()" : nil)
        }
    }

    mutating func namespaces(_ block: CheckedBlock) -> [XMLNamespace] {
        var namespaces: [XMLNamespace] = []
        for statement in block.all("namespace") {
            guard let prefix = statement.values.text(0), let name = statement.values.text(1) else { continue }
            if namespaces.contains(where: { $0.prefix == prefix }) {
                log.error(statement.place(0), "\(shown(statement, 0)) is declared twice", hint: "remove one")
            }
            namespaces.append(XMLNamespace(prefix: prefix, name: name))
        }
        return namespaces
    }
}
