import Idempotency

/// The block `idempotency`.
extension ModelBuilder {
    mutating func policy(_ block: inout CheckedBlock) -> Policy {
        var policy = Policy()
        if let methods = block.given("methods") { policy.methods = methods.values.map(\.canonicalText) }
        policy.mode = block.text("mode") == "observe" ? .observe : .enforce
        policy.xmlNamespaces = namespaces(block)
        policy.keySources = keySources(block, policy.xmlNamespaces)
        policy.onMissingKey =
            switch block.text("on_missing_key") {
            case "reject": .reject
            case "hash": .hash
            default: .pass
            }
        policy.scope = scope(block)
        policy.retentionMilliseconds = block.duration("retention")
        policy.inFlight = inFlight(block.values("in_flight"))
        policy.waitersMax = block.integer("max_waiters")
        policy.statuses = statusRules(&block)
        policy.onUnknown = onUnknown(block, policy.xmlNamespaces)
        policy.onStoreError = block.text("on_store_error") == "pass" ? .pass : .reject
        policy.requestBodyBytesMax = Int(block.size("request_body_limit"))
        policy.recordBodyBytesMax = Int(block.size("record_body_limit"))
        policy.durability = block.text("durability") == "process" ? .process : .power
        policy.forwardKey = forwardKey(block.values("forward_key"))
        policy.lateAnswerLimitMilliseconds = block.duration("late_answer_limit")
        policy.replayMarker = block.values("replay_marker").isOff ? nil : block.text("replay_marker")
        policy.speaksRepeatability = block.text("repeatability") == "on"
        policy.sendsExpiry = block.text("idempotency_expires") == "on"
        policy.exposesFields = block.text("expose_headers") == "on"
        if let hash = block.given("hash")?.block { policy.hash = hashRule(hash, block, policy.xmlNamespaces) }
        checkPolicy(policy, block)
        checkProbeValues(policy, block)
        return policy
    }

    private mutating func keySources(_ block: CheckedBlock, _ namespaces: [XMLNamespace]) -> [Policy.KeySource] {
        var sources: [Policy.KeySource] = []
        for statement in block.all("key") {
            let source = keySource(statement.values)
            if sources.contains(source) {
                log.error(statement.place(1), "the key is given twice", hint: "remove one")
            }
            if case .header(let name) = source, Self.unfitFields.contains(name) {
                log.error(statement.place(1), "\(shown(statement, 1)) cannot carry a token")
            }
            if case .xpath(let text) = source { checkXPath(text, statement, 1, namespaces, use: .token) }
            sources.append(source)
        }
        return sources.isEmpty ? [keySource(block.directive("key").defaultValues)] : sources
    }

    /// Fields that frame or route the message or say who is calling.
    private static let unfitFields: Set<String> = [
        "host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "keep-alive", "expect",
        "authorization", "cookie", "proxy-authorization", "content-type", "via",
    ]

    private func keySource(_ values: [Value]) -> Policy.KeySource {
        let name = values.text(1) ?? ""
        return switch values.text(0) {
        case "query": .query(name)
        case "cookie": .cookie(name)
        case "json": .jsonPointer(name)
        case "form": .form(name)
        case "xpath": .xpath(name)
        case "soap": .soapMessageID
        default: .header(name.lowercased())
        }
    }

    private mutating func scope(_ block: CheckedBlock) -> Policy.Scope {
        if let given = block.given("scope"), given.values.text(0) == "jwt" { return .jwt(jwtScope(given)) }
        let values = block.values("scope")
        let name = values.text(1) ?? ""
        return switch values.text(0) {
        case "header": .header(name.lowercased())
        case "cookie": .cookie(name)
        case "client_cert": .clientCertificate(name == "san" ? .alternativeNames : .subject)
        case "none": .none
        default: .standard
        }
    }

    private mutating func onUnknown(_ block: CheckedBlock, _ namespaces: [XMLNamespace]) -> Policy.OnUnknown {
        guard let given = block.given("on_unknown") else { return .hold }
        switch given.values.text(0) {
        case "resend": return .resend
        case "probe": return given.block.flatMap { probe($0, namespaces: namespaces) }.map { .probe($0) } ?? .hold
        default: return .hold
        }
    }

    private func inFlight(_ values: [Value]) -> Policy.InFlight {
        if case .duration(let milliseconds) = values.last { .wait(milliseconds: milliseconds) } else { .reject }
    }

    private func forwardKey(_ values: [Value]) -> Policy.ForwardKey {
        switch values.text(0) {
        case "strip": .strip
        case "rename": .rename(values.text(1) ?? "")
        default: .keep
        }
    }

    /// The three lists move statuses away from their default place; a status may stand on one of them.
    private mutating func statusRules(_ block: inout CheckedBlock) -> StatusRules {
        var rules = StatusRules()
        var owners: [UInt16: String] = [:]
        let lists: [(name: String, rule: StatusRules.Rule)] = [
            ("record", .record), ("release", .release), ("unknown", .unknown),
        ]
        for list in lists {
            guard let statement = block.given(list.name) else { continue }
            for (index, range) in statement.values.statuses.enumerated() {
                if let shared = range.first(where: { owners[$0] != nil }), let owner = owners[shared] {
                    log.error(
                        statement.place(index), "\(shared) is on two lists: '\(owner)' and '\(list.name)'",
                        hint: "a status has one rule")
                    continue
                }
                for status in range {
                    owners[status] = list.name
                    rules[Int(status)] = list.rule
                }
            }
        }
        for list in lists {
            block.effective[list.name] = ranges(of: list.rule, in: rules).map { .statuses($0) }
        }
        return rules
    }

    private func ranges(of rule: StatusRules.Rule, in rules: StatusRules) -> [ClosedRange<UInt16>] {
        var ranges: [ClosedRange<UInt16>] = []
        for status in UInt16(200)...599 where rules[Int(status)] == rule {
            if let last = ranges.last, last.upperBound + 1 == status {
                ranges[ranges.count - 1] = last.lowerBound...status
            } else {
                ranges.append(status...status)
            }
        }
        return ranges
    }

    // MARK: hash

    private mutating func hashRule(
        _ hash: CheckedBlock, _ block: CheckedBlock, _ namespaces: [XMLNamespace]
    ) -> HashRule {
        var rule = HashRule()
        rule.headers = hash.values("headers").map { $0.canonicalText.lowercased() }
        rule.body =
            switch hash.text("body") {
            case "json": .json
            case "form": .form(orderFree: hash.values("body").count > 1)
            case "xml": .xml
            case "soap": .soap
            case "multipart": .multipart
            case "none": .none
            default: .raw
            }
        rule.include = selectors("include", hash, rule.body, namespaces)
        rule.exclude = selectors("exclude", hash, rule.body, namespaces)
        if let window = hash.given("window"), case .duration(let milliseconds) = window.values[0] {
            rule.windowMilliseconds = milliseconds
            let retention = block.duration("retention")
            if milliseconds > retention {
                log.error(
                    window.place(0),
                    "'window' is longer than 'retention' (\(Unit.text(retention, in: Unit.durations)))",
                    hint: "the record would be gone before the window ends")
            }
        }
        rule.replay = hash.text("replay") == "undelivered" ? .undelivered : .always
        return rule
    }

    private mutating func selectors(
        _ name: String, _ hash: CheckedBlock, _ body: HashRule.BodyForm, _ namespaces: [XMLNamespace]
    ) -> [HashRule.Selector] {
        var selectors: [HashRule.Selector] = []
        for statement in hash.all(name) {
            let kind = statement.values.text(0) ?? ""
            if hash.given("body") != nil || !hash.mentions("body"), let needed = Self.bodyForm(of: kind, but: body) {
                log.error(statement.place(0), "'\(name) \(kind)' needs 'body \(needed)'", hint: "add 'body \(needed);'")
            }
            for (index, value) in statement.values.enumerated().dropFirst() {
                let text = value.canonicalText
                switch kind {
                case "json": selectors.append(.jsonPointer(text))
                case "form": selectors.append(.form(text))
                case "part": selectors.append(.part(text))
                case "xpath":
                    checkXPath(text, statement, index, namespaces, use: .selection)
                    selectors.append(.xpath(text))
                default: selectors.append(.query(text))
                }
            }
        }
        return selectors
    }

    /// The form of body that a selector needs; nil where it is the one that there is.
    private static func bodyForm(of selector: String, but body: HashRule.BodyForm) -> String? {
        switch (selector, body) {
        case ("json", .json), ("form", .form), ("xpath", .xml), ("xpath", .soap), ("part", .multipart), ("query", _):
            nil
        case ("xpath", _): "xml"
        case ("part", _): "multipart"
        default: selector
        }
    }

    /// What only the identifier of a route finds, at the argument that its message begins with.
    mutating func checkIdentity(by policy: Policy, _ block: CheckedBlock) {
        do throws(PolicyError) {
            _ = try Identifier(route: "", policy: policy)
        } catch {
            for statement in block.statements + (block.given("hash")?.block?.statements ?? []) {
                for (index, value) in statement.values.enumerated()
                where error.description.hasPrefix("'\(value.canonicalText)'") {
                    let isSecret = index < statement.secrets.count && statement.secrets[index]
                    let message = isSecret ? "the value of \(shown(statement, index)) is not valid here" : nil
                    return log.error(statement.place(index), message ?? error.description)
                }
            }
            if let place = block.place { log.error(place, error.description) }
        }
    }

    private mutating func checkPolicy(_ policy: Policy, _ block: CheckedBlock) {
        if policy.mode == .observe, let mode = block.given("mode") {
            log.note(
                mode.place(0), "'mode observe' protects nothing: every request is forwarded",
                hint: "`oncegate report` shows what 'mode enforce' would have done")
            if case .memory = configuration.store {
                log.warning(
                    mode.place(0), "'mode observe' with 'store memory' leaves nothing for `oncegate report`",
                    hint: "the metrics count repeats all the same; 'store embedded' keeps what the report reads")
            }
        }
        if policy.speaksRepeatability, policy.keySources.contains(.header("repeatability-request-id")),
            let given = block.given("repeatability")
        {
            log.warning(
                given.source.nameRange, "'repeatability on' takes Repeatability-Request-ID by itself",
                hint: "remove 'key header Repeatability-Request-ID;'")
        }
        let asks = configuration.listeners.contains { ($0.tls?.clientCertificates ?? .off) != .off }
        if case .clientCertificate = policy.scope, !asks, let scope = block.given("scope") {
            log.warning(
                scope.place(0), "'scope client_cert', and no listener asks clients for a certificate",
                hint: "every request is refused; add 'client_certificate required FILE;' to a listener's 'tls'")
        }
        checkBodyLimit(policy, block)
        let missing = block.given("on_missing_key")
        guard policy.onMissingKey == .hash, let missing else {
            if let hash = block.given("hash")?.block { checkUnusedChoices(hash, block) }
            return
        }
        guard let statement = block.indices("hash").first.map({ block.statements[$0] }) else {
            log.error(
                missing.place(0), "'on_missing_key hash' without a block 'hash'",
                hint: "add 'hash { window 2m; replay always; }' and say what makes two requests the same")
            return
        }
        guard let hash = statement.block else { return }
        checkChoices(hash, statement)
    }

    private mutating func checkBodyLimit(_ policy: Policy, _ block: CheckedBlock) {
        guard let limit = block.given("request_body_limit") else { return }
        let isSpooled = configuration.spool.place != .off
        let room = isSpooled ? configuration.spool.bytesMax : configuration.limits.bodyMemoryBytesMax
        if UInt64(policy.requestBodyBytesMax) > room {
            log.warning(
                limit.place(0), "'request_body_limit' is larger than '\(isSpooled ? "spool_limit" : "body_memory")'",
                hint: "such a request never fits")
        }
        guard policy.requestBodyBytesMax > Identifier.canonicalBodyBytesMax else { return }
        let hasKeyInBody = policy.keySources.contains { source in
            switch source {
            case .jsonPointer, .form, .xpath, .soapMessageID: true
            case .header, .query, .cookie: false
            }
        }
        if hasKeyInBody {
            log.warning(
                limit.place(0), "a key is looked for in bodies of at most 8MiB; a larger one is answered 413",
                hint: "let the key stand in a header, or leave the limit at 8MiB")
        } else if let hash = policy.hash, ![.raw, .none].contains(hash.body) {
            log.note(
                limit.place(0), "bodies larger than 8MiB are compared octet by octet, not in their canonical form",
                hint: "see docs/canonical-forms.md")
        }
    }

    /// A hash that identifies requests: `window` and `replay` are the operator's to choose, as a hash cannot tell a
    /// machine's retry from a person's second order.
    private mutating func checkChoices(_ hash: CheckedBlock, _ statement: CheckedStatement) {
        if !hash.mentions("window") {
            log.error(
                statement.source.nameRange, "'hash' identifies requests and has no 'window'",
                hint: "add 'window 2m;': how long equal requests are one request")
        }
        if !hash.mentions("replay") {
            log.error(
                statement.source.nameRange, "'hash' identifies requests and has no 'replay'",
                hint: "two equal requests can be meant: 'replay always;' replays both within the window, "
                    + "'replay undelivered;' only while the first answer was not completely delivered")
        }
        guard let replay = hash.given("replay"), replay.values.text(0) == "undelivered" else { return }
        let message = "'replay undelivered' is right where clients connect directly"
        if let trusted = top.given("trusted_proxies") {
            log.warning(
                replay.place(0), message,
                hint:
                    "behind a proxy (trusted_proxies at \(log.place(trusted.source.nameRange))) it is wrong: the proxy "
                    + "acknowledges for its clients")
        } else {
            log.note(
                replay.place(0), message, hint: "it is wrong behind another proxy, which acknowledges for its clients")
        }
    }

    private mutating func checkUnusedChoices(_ hash: CheckedBlock, _ block: CheckedBlock) {
        for name in ["window", "replay"] {
            guard let statement = hash.given(name) else { continue }
            log.warning(
                statement.source.nameRange, "'\(name)' has no effect: requests are identified by their token",
                hint: "add 'on_missing_key hash;' to identify those without one by their arguments")
        }
    }
}
