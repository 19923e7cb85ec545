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

    /// A directive as it was written, on one line. Secrets stand in it as the `env()` or `file()` that gives them.
    private func text(of statement: CheckedStatement) -> String {
        var words = [statement.source.name]
        for argument in statement.source.arguments {
            words.append(log.files[argument.range.file].text(argument.range))
        }
        guard statement.source.block != nil, let block = statement.block else {
            return words.joined(separator: " ") + ";"
        }
        return (words + ["{"] + block.statements.map(text) + ["}"]).joined(separator: " ")
    }
}
