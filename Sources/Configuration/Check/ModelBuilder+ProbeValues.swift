import Idempotency

/// What a probe asks with: values that every repeat of a request has in common.
extension ModelBuilder {
    mutating func checkProbeValues(_ policy: Policy, _ block: CheckedBlock) {
        guard case .probe = policy.onUnknown, let probe = block.given("on_unknown")?.block else { return }
        for statement in probe.all("get") { check(statement, 0, policy) }
        for statement in probe.all("header") { check(statement, 1, policy, isField: true) }
        let answer = probe.given("answer")?.block
        for statement in answer?.all("field") ?? [] { check(statement, 1, policy) }
        for statement in answer?.all("body") ?? [] { check(statement, 0, policy) }
        checkForwarded(probe, policy)
    }

    /// Fields that say who is calling. They may be renewed between attempts: another one asks about the same operation,
    /// or may not ask.
    private func isCredential(_ name: String, _ policy: Policy) -> Bool {
        if case .jwt(let scope) = policy.scope, scope.field == name { return true }
        return name == "authorization" || name == "cookie"
    }

    /// - Parameter isField: it is a field of the probe, and may carry the caller's credentials.
    private mutating func check(
        _ statement: CheckedStatement, _ index: Int, _ policy: Policy, isField: Bool = false
    ) {
        guard case .template(let template, _) = statement.values[index] else { return }
        let isSecret = index < statement.secrets.count && statement.secrets[index]
        var seen: [Template.Source] = []
        for source in template.sources where !seen.contains(source) {
            seen.append(source)
            let name = isSecret ? "a value in \(shown(statement, index))" : "'\(source.text)'"
            if case .header(let field) = source, isCredential(field.lowercased(), policy) {
                guard !isField else { continue }
                let isTarget = statement.directive.name == "get"
                log.error(
                    statement.place(index),
                    "\(name) is a credential, which does not stand in \(isTarget ? "a target" : "an answer")",
                    hint: isTarget ? "let a field carry it: 'forward \(isSecret ? "NAME" : field);'" : "remove it")
                continue
            }
            guard let reason = policy.uncounted(source) else { continue }
            log.error(
                statement.place(index), "\(name) may differ in a repeat: \(Self.text(of: reason))",
                hint: isSecret ? "ask by '{key}'" : Self.hint(source, reason, policy))
        }
    }

    /// Fields that only go along: most do not say what is asked about, but may.
    private mutating func checkForwarded(_ probe: CheckedBlock, _ policy: Policy) {
        guard let given = probe.given("forward") else { return }
        for (index, value) in given.values.enumerated() {
            let name = value.canonicalText
            guard !isCredential(name.lowercased(), policy),
                let reason = policy.uncountedField(name.lowercased())
            else { continue }
            log.warning(
                given.place(index), "\(shown(given, index)) may differ in a repeat: \(Self.text(of: reason))",
                hint: "if what is found depends on it, add it to 'hash { \(Self.headers(name, policy)) }'")
        }
    }

    private static func text(of reason: Policy.Uncounted) -> String {
        switch reason {
        case .field: "the fingerprint does not count it"
        case .excluded: "'exclude' leaves it out of the fingerprint"
        case .notIncluded: "'include' leaves it out of the fingerprint"
        case .body: "'body none' leaves it out of the fingerprint"
        case .soapHeader: "'body soap' leaves it out of the fingerprint"
        case .otherKey: "another source may give the key"
        }
    }

    private static func hint(_ source: Template.Source, _ reason: Policy.Uncounted, _ policy: Policy) -> String {
        switch reason {
        case .field: "add it to 'hash { \(headers(source.argument, policy)) }', or ask by '{key}'"
        case .excluded: "remove it from 'exclude \(source.kind)', or ask by '{key}'"
        case .notIncluded: "add 'include \(source.kind) \(source.argument);', or ask by '{key}'"
        case .body: "write 'body \(source.kind == "xpath" ? "xml" : source.kind);', or ask by '{key}'"
        case .soapHeader: "ask by '{key}': with 'key soap message-id;' it is the MessageID"
        case .otherKey: "write '{key}'"
        }
    }

    private static func headers(_ name: String, _ policy: Policy) -> String {
        // Without a block 'hash', Content-Type counts.
        policy.hash == nil ? "headers Content-Type \(name);" : "headers \(name);"
    }
}

extension Template.Source {
    /// As it is written.
    fileprivate var text: String {
        switch self {
        case .key: "{key}"
        case .header(let name): "{header(\(name))}"
        case .query(let name): "{query(\(name))}"
        case .bodyJSON(let pointer): "{body.json(\(pointer))}"
        case .bodyXPath(let path): "{body.xpath(\(path))}"
        case .bodyForm(let name): "{body.form(\(name))}"
        case .probeHeader(let name): "{probe.header(\(name))}"
        case .probeJSON(let pointer): "{probe.json(\(pointer))}"
        case .probeXPath(let path): "{probe.xpath(\(path))}"
        case .probeBody: "{probe.body}"
        }
    }

    /// As `include` and `exclude` name it.
    fileprivate var kind: String {
        switch self {
        case .query: "query"
        case .bodyJSON: "json"
        case .bodyXPath: "xpath"
        case .bodyForm: "form"
        case .key, .header, .probeHeader, .probeJSON, .probeXPath, .probeBody: ""
        }
    }

    fileprivate var argument: String {
        switch self {
        case .header(let text), .query(let text), .bodyJSON(let text), .bodyXPath(let text), .bodyForm(let text): text
        case .key, .probeHeader, .probeJSON, .probeXPath, .probeBody: ""
        }
    }
}
