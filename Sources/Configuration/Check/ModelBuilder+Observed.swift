import Idempotency

/// What the report of a route with `mode observe` is to know of it.
extension ModelBuilder {
    func observed(_ policy: Policy, _ block: CheckedBlock, route: String) -> ObservedRoute? {
        guard policy.mode == .observe else { return nil }
        return ObservedRoute(
            name: route, retentionMilliseconds: policy.retentionMilliseconds,
            windowMilliseconds: policy.hash?.windowMilliseconds,
            requestBodyBytesMax: UInt64(policy.requestBodyBytesMax),
            directives: block.statements.filter { !["mode", "hash"].contains($0.directive.name) }.map(text),
            hashDirectives: block.given("hash")?.block?.statements.map(text) ?? [])
    }

    /// A directive as it was written, on one line. Secrets stand in it as the `env()` or `file()` that gives them, and
    /// not at all where the configuration spells them out.
    private func text(of statement: CheckedStatement) -> String {
        var words = [statement.source.name]
        for (index, argument) in statement.source.arguments.enumerated() {
            let isKept = index != 1 || isKept(statement)
            words.append(
                isKept ? log.files[argument.range.file].text(argument.range) : "\"\(ObservedRoute.leftOut)\"")
        }
        guard statement.source.block != nil, let block = statement.block else {
            return words.joined(separator: " ") + ";"
        }
        return (words + ["{"] + block.statements.map(text) + ["}"]).joined(separator: " ")
    }

    /// Whether the value of a probe's field may be shown: what is read from elsewhere, or from a request, or says only
    /// how to answer.
    private func isKept(_ statement: CheckedStatement) -> Bool {
        guard statement.directive.name == "header", statement.directive.blocks == [.probe] else { return true }
        if statement.secrets.count > 1, statement.secrets[1] { return true }
        if ["accept", "accept-language"].contains(statement.values.text(0)?.lowercased()) { return true }
        guard statement.values.count > 1, case .template(let value, _) = statement.values[1] else { return false }
        return value.parts.allSatisfy { if case .literal = $0 { false } else { true } }
    }
}
