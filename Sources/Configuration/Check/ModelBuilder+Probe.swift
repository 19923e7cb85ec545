import Idempotency

/// The block of `on_unknown probe`.
extension ModelBuilder {
    /// Nil where the block lacks what it must have.
    mutating func probe(_ block: CheckedBlock, namespaces: [XMLNamespace]) -> Probe? {
        guard let get = block.given("get"), case .template(let target, _) = get.values[0] else { return nil }
        var probe = Probe(target: target)
        checkTemplate(target, get, 0, namespaces)
        probe.fields = fields("header", block, namespaces)
        if target.sources.isEmpty, probe.fields.allSatisfy({ $0.value.sources.isEmpty }) {
            log.warning(
                get.place(0), "the probe asks the same of every request",
                hint: "name what tells them apart: '{key}', '{body.json(/POINTER)}'")
        }
        probe.forwardedFields = forwardedFields(block)
        probe.found = conditions("found", block, namespaces)
        probe.absent = conditions("absent", block, namespaces)
        checkReach(of: probe, block)
        probe.absentAfterMilliseconds = block.duration("absent_after")
        checkAbsence(probe, block)
        probe.answer = answer(block, namespaces)
        probe.timeoutMilliseconds = block.duration("timeout")
        probe.background = background(block)
        probe.attemptsMax = block.integer("max_attempts")
        if probe.background == nil, let given = block.given("max_attempts") {
            log.warning(
                given.source.nameRange, "'max_attempts' has no effect without 'background'",
                hint: "probes that repeats ask for are not counted")
        }
        return probe
    }

    private mutating func fields(_ name: String, _ block: CheckedBlock, _ namespaces: [XMLNamespace]) -> [Probe.Field] {
        var fields: [Probe.Field] = []
        for statement in block.all(name) {
            guard let field = statement.values.text(0), case .template(let value, _) = statement.values[1] else {
                continue
            }
            if Self.framingFields.contains(field.lowercased()) {
                log.error(statement.place(0), "\(shown(statement, 0)) is the proxy's to write", hint: "remove it")
            }
            do throws(ValueProblem) {
                try ValueReader("").checkFieldValue(of: value)
            } catch {
                log.error(statement.place(1), error.message, hint: error.hint)
            }
            if name == "header", value.parts == [.literal(ObservedRoute.leftOut)] {
                log.warning(
                    statement.place(1), "'\(ObservedRoute.leftOut)' stands for a value that the report did not know",
                    hint: "write env(\"NAME\") or file(\"/run/secrets/…\"): asked without it, the service finds nothing"
                )
            }
            checkTemplate(value, statement, 1, namespaces)
            fields.append(Probe.Field(name: field, value: value))
        }
        return fields
    }

    /// Fields that frame a message or belong to one connection.
    private static let framingFields: Set<String> = [
        "host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "keep-alive", "expect",
        "via",
    ]

    private mutating func forwardedFields(_ block: CheckedBlock) -> [String] {
        guard let given = block.given("forward") else { return [] }
        var names: [String] = []
        for (index, value) in given.values.enumerated() {
            let name = value.canonicalText.lowercased()
            if Self.framingFields.contains(name) || name.hasPrefix("content-") {
                log.error(
                    given.place(index), "\(shown(given, index)) belongs to the request, not to a probe",
                    hint: "remove it")
            }
            if !names.contains(name) { names.append(name) }
        }
        return names
    }

    // MARK: Conditions

    private mutating func conditions(
        _ name: String, _ block: CheckedBlock, _ namespaces: [XMLNamespace]
    ) -> [Probe.Condition] {
        var conditions: [Probe.Condition] = []
        for statement in block.all(name) {
            var condition = Probe.Condition(statuses: statement.values.statuses)
            for test in statement.block?.statements ?? [] where test.isComplete {
                let values = test.values.dropFirst().map(\.canonicalText)
                let text = test.values.text(0) ?? ""
                switch test.directive.name {
                case "json":
                    condition.tests.append(.json(pointer: text, values: values))
                case "xpath":
                    checkXPath(text, test, 0, namespaces, use: nil)
                    condition.tests.append(.xpath(text, values: values))
                default:
                    condition.tests.append(.contains(text))
                }
            }
            conditions.append(condition)
        }
        return conditions
    }

    /// A status that is found whatever the body says is never absent.
    private mutating func checkReach(of probe: Probe, _ block: CheckedBlock) {
        for statement in block.all("absent") {
            for (index, range) in statement.values.statuses.enumerated() {
                let isTaken = range.contains { status in
                    probe.found.contains { $0.tests.isEmpty && $0.statuses.contains { $0.contains(status) } }
                }
                guard isTaken else { continue }
                log.error(
                    statement.place(index), "\(shown(statement, index)) is 'found' already, whatever the body says",
                    hint: "add a block to 'found' that tells them apart: 'found 200 { json /0; }'")
            }
        }
    }

    /// Too early it proves nothing: the service may still be executing what it was sent.
    private mutating func checkAbsence(_ probe: Probe, _ block: CheckedBlock) {
        let given = block.given("absent_after")
        guard let absent = block.all("absent").first else {
            if let given {
                log.warning(
                    given.source.nameRange, "'absent_after' has no effect without 'absent'",
                    hint: "no probe frees a key here")
            }
            return
        }
        guard let limit = responseHeaderMilliseconds, probe.absentAfterMilliseconds < limit else { return }
        let after = Unit.text(probe.absentAfterMilliseconds, in: Unit.durations)
        let longest = Unit.text(limit, in: Unit.durations)
        log.warning(
            given?.place(0) ?? absent.source.nameRange,
            "absence is believed after \(after), and the service may take \(longest) to answer",
            hint: "what still executes would run twice: 'absent_after \(longest)' or more")
    }

    // MARK: The answer

    private mutating func answer(_ block: CheckedBlock, _ namespaces: [XMLNamespace]) -> Probe.Answer {
        guard let given = block.given("answer"), case .statuses(let range) = given.values[0], let inner = given.block
        else { return .probe }
        if range.count > 1 {
            log.error(
                given.place(0), "\(shown(given, 0)) is more than one status", hint: "an answer has one, such as 201")
        }
        let fields = fields("field", inner, namespaces)
        var body = Template([])
        if let content = inner.given("body"), case .template(let template, _) = content.values[0] {
            checkTemplate(template, content, 0, namespaces)
            body = template
        }
        return .made(status: range.lowerBound, fields: fields, body: body)
    }

    private mutating func background(_ block: CheckedBlock) -> Probe.Background? {
        let times = block.values("background").compactMap { if case .duration(let time) = $0 { time } else { nil } }
        guard let first = times.first else { return nil }
        let last = times.count > 1 ? times[1] : first
        if last < first, let given = block.given("background") {
            log.error(
                given.place(1), "\(shown(given, 1)) is shorter than \(shown(given, 0))",
                hint: "the first interval, then the longest")
        }
        return Probe.Background(first: first, max: max(first, last))
    }

    // MARK: Templates

    private mutating func checkTemplate(
        _ template: Template, _ statement: CheckedStatement, _ index: Int, _ namespaces: [XMLNamespace]
    ) {
        for source in template.sources {
            switch source {
            case .bodyXPath(let text), .probeXPath(let text):
                checkXPath(text, statement, index, namespaces, use: .token)
            default: continue
            }
        }
    }
}
