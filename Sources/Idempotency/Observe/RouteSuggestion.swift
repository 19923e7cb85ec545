/// How a route should be protected, by what was observed of it.
package struct RouteSuggestion: Sendable, Equatable {
    package struct Reason: Sendable, Equatable {
        /// The directive.
        package var subject: String
        package var text: String
    }

    /// The block `idempotency` for `proxy.conf`, one line each, indented by four blanks a level.
    package private(set) var lines: [String] = []
    package private(set) var reasons: [Reason] = []
    /// What the operator should know or look at before enforcing.
    package private(set) var cautions: [String] = []

    /// Nil where nothing was observed.
    package init?(_ figures: RouteFigures) {
        guard figures.requests > 0 else { return nil }
        let choice = Choice(figures)
        lines = choice.block()
        reasons = choice.reasons
        cautions = choice.cautions
    }
}

/// The choices, each with its reason.
private struct Choice {
    private static let second: UInt64 = 1_000
    private static let hour: UInt64 = 3_600_000
    private static let day: UInt64 = 86_400_000
    /// What retries of machines take at most, between the first and the last.
    private static let clusterLimit = 6 * hour
    private static let cautiousWindow: UInt64 = 120_000
    /// Longer than any attempt may take by default.
    private static let waitMax: UInt64 = 120_000
    private static let bodyLimitMax: UInt64 = 1 << 30

    let figures: RouteFigures
    var onMissingKey = ""
    var window: UInt64?
    var replay = ""
    var retention = day
    var wait: UInt64?
    var bodyLimit: UInt64?
    var reasons: [RouteSuggestion.Reason] = []
    var cautions: [String] = []

    init(_ figures: RouteFigures) {
        self.figures = figures
        chooseMissingKey()
        if onMissingKey == "hash" {
            chooseWindow()
            chooseReplay()
        }
        chooseRetention()
        chooseWait()
        chooseBodyLimit()
        addCautions()
    }

    private mutating func reason(_ subject: String, _ text: String) {
        reasons.append(RouteSuggestion.Reason(subject: subject, text: text))
    }

    private mutating func chooseMissingKey() {
        let all = figures.requests
        if figures.withoutToken == 0 {
            onMissingKey = "reject"
            reason("on_missing_key reject", "not one of \(all) requests came without a token")
        } else if figures.withToken == 0 {
            onMissingKey = "hash"
            reason(
                "on_missing_key hash", "not one of \(all) requests carried a token: what they ask for identifies them")
        } else if figures.duplicatesWithoutToken > 0 {
            onMissingKey = "hash"
            reason(
                "on_missing_key hash",
                "\(figures.withoutToken) of \(all) requests had no token, and \(figures.duplicatesWithoutToken) of "
                    + "these were repeats")
        } else {
            onMissingKey = "pass"
            reason(
                "on_missing_key pass",
                "\(figures.withoutToken) of \(all) requests had no token, and none of these was sent again")
        }
    }

    private mutating func chooseWindow() {
        let ages = figures.agesWithoutToken
        guard let end = ages.clusterEnd(limit: Self.clusterLimit) else {
            window = Self.cautiousWindow
            return reason("window", "no repeat without token was seen: 2m is a cautious start; observe for longer")
        }
        // One step of room, and never less than half a minute.
        let step = min(GapHistogram.step(of: end) + 1, GapHistogram.boundsMilliseconds.count - 1)
        let chosen = max(GapHistogram.boundsMilliseconds[step], 30 * Self.second)
        window = chosen
        let inside = ages.count(upTo: end)
        var text = "\(inside) of \(ages.total) repeats without token came within \(TimeText.text(end)) of the first"
        let later = figures.gapsWithoutToken.total - figures.gapsWithoutToken.count(upTo: chosen)
        if later > 0 { text += "; \(later) equal requests came later than the window and run" }
        reason("window \(TimeText.text(chosen))", text)
    }

    private mutating func chooseReplay() {
        let lost = figures.afterLost
        let delivered = figures.afterDelivered
        if lost > 0, delivered == 0 {
            replay = "undelivered"
            reason("replay undelivered", "all \(lost) repeats came after an attempt whose answer its client never got")
            cautions.append(
                "'replay undelivered' is right where clients connect directly; behind another proxy write "
                    + "'replay always'")
        } else if lost + delivered > 0 {
            replay = "always"
            reason(
                "replay always",
                "\(delivered) of \(lost + delivered) repeats came though the earlier answer had arrived: only the "
                    + "window can tell them from new requests")
            cautions.append(
                "within the window two equal requests without token that are both meant become one: an order number "
                    + "in the body (key json, key xpath) tells them apart")
        } else {
            replay = "always"
            reason("replay always", "no repeat was seen that would speak for 'undelivered'")
        }
    }

    private mutating func chooseRetention() {
        let oldest = figures.ages.maxMilliseconds
        if oldest > 12 * Self.hour {
            retention = min((oldest / Self.day + 1) * 2 * Self.day, 365 * Self.day)
        }
        if let window { retention = max(retention, window) }
        reason(
            "retention \(TimeText.text(retention))",
            figures.duplicates == 0
                ? "no token came twice: a day is what clients expect"
                : "the latest repeat of a token came \(TimeText.text(oldest)) after its first attempt")
    }

    private mutating func chooseWait() {
        let joined = figures.verdicts.joined + figures.verdictsWithoutToken.joined
        let longest = figures.joinedMillisecondsMax
        // By default repeats wait for ten seconds.
        guard joined > 0, longest > 10 * Self.second else { return }
        let chosen = min(GapHistogram.boundsMilliseconds.first { $0 >= longest } ?? Self.waitMax, Self.waitMax)
        wait = chosen
        reason(
            "in_flight wait \(TimeText.text(chosen))",
            "\(joined) repeats came while the first attempt was running, which took up to \(TimeText.text(longest))")
    }

    private mutating func chooseBodyLimit() {
        guard figures.large > 0 else { return }
        var limit: UInt64 = 1 << 20
        while limit < figures.requestBytesMax, limit < Self.bodyLimitMax { limit *= 2 }
        bodyLimit = limit
        reason(
            "request_body_limit \(limit >> 20)MiB",
            "\(figures.large) requests were larger than the route's limit; the largest had "
                + "\(figures.requestBytesMax) octets")
        if figures.requestBytesMax > limit {
            cautions.append("requests of more than \(limit >> 20) MiB are refused on a route with idempotency")
        }
    }

    private mutating func addCautions() {
        for name in fieldsLeftOut {
            cautions.append(
                "the value of 'header \(name)' is not kept here: put env(\"NAME\") or file(\"PATH\") in the place of "
                    + "'\(ObservedRoute.leftOut)' before you take the block; a probe that may not ask finds nothing")
        }
        if figures.otherKeys > 0, figures.otherKeys >= figures.duplicates {
            cautions.append(
                "\(figures.otherKeys) requests repeat a payload under another token: clients that make a token for "
                    + "each attempt are not protected by it; let them keep it, or name what they do keep with 'key'")
        }
        if figures.mismatches > 0 {
            cautions.append(
                "\(figures.mismatches) requests used a token again with another payload: they would be answered 422; "
                    + "if they mean the same, exclude what differs in 'hash'")
        }
        if figures.malformed > 0 {
            cautions.append("\(figures.malformed) requests had a malformed token: they would be answered 400")
        }
        if figures.unscoped > 0 {
            cautions.append(
                "\(figures.unscoped) requests lacked the route's 'scope': they would be answered 400, or 401 where an "
                    + "access token does not verify")
        }
        if figures.fellBackToOctets * 10 > figures.requests {
            cautions.append(
                "\(figures.fellBackToOctets) of \(figures.requests) bodies were not in the form that 'body' names, and "
                    + "counted by their octets")
        }
        let held = figures.verdicts.held + figures.verdictsWithoutToken.held
        if held > 0 {
            cautions.append(
                "\(held) repeats followed an attempt whose outcome is not known: 'on_unknown hold' answers them 409 "
                    + "until it is resolved; see 'on_unknown probe'")
        }
        if figures.requests < 100 {
            cautions.append("only \(figures.requests) requests were observed: let it run for longer")
        }
    }

    /// Of a probe; their values are not kept.
    private var fieldsLeftOut: [Substring] {
        figures.route.directives.flatMap { directive in
            directive.split(separator: "header ").dropFirst().compactMap { text in
                let words = text.split(separator: " ", maxSplits: 2)
                return words.count > 1 && words[1] == "\"\(ObservedRoute.leftOut)\";" ? words[0] : nil
            }
        }
    }

    // MARK: The block

    private static let chosenNames: Set<Substring> = ["on_missing_key", "retention"]

    func block() -> [String] {
        var lines = ["idempotency {", "    mode enforce;"]
        var replaced = Self.chosenNames
        if wait != nil { replaced.insert("in_flight") }
        if bodyLimit != nil { replaced.insert("request_body_limit") }
        for directive in figures.route.directives where !replaced.contains(Self.name(directive)) {
            lines.append("    " + directive)
        }
        lines.append("    on_missing_key \(onMissingKey);")
        let kept = figures.route.hashDirectives.filter { !["window", "replay"].contains(Self.name($0)) }
        if let window {
            lines.append("    hash {")
            for directive in kept { lines.append("        " + directive) }
            lines.append("        window \(TimeText.text(window));")
            lines.append("        replay \(replay);")
            lines.append("    }")
        } else if !kept.isEmpty {
            lines.append("    hash {")
            for directive in kept { lines.append("        " + directive) }
            lines.append("    }")
        }
        lines.append("    retention \(TimeText.text(retention));")
        if let wait { lines.append("    in_flight wait \(TimeText.text(wait));") }
        if let bodyLimit { lines.append("    request_body_limit \(bodyLimit >> 20)MiB;") }
        lines.append("}")
        return lines
    }

    private static func name(_ directive: String) -> Substring {
        directive.prefix { $0 != " " && $0 != ";" }
    }
}

/// Times as `proxy.conf` writes them: one number, exact where three digits suffice, else rounded up.
package enum TimeText {
    package static func text(_ milliseconds: UInt64) -> String {
        for (unit, size) in [("h", UInt64(3_600_000)), ("m", 60_000), ("s", 1000)]
        where milliseconds >= size && milliseconds % size == 0 && milliseconds / size < 1000 {
            return "\(milliseconds / size)\(unit)"
        }
        let minutes = milliseconds / 60_000 + (milliseconds % 60_000 == 0 ? 0 : 1)
        if minutes >= 1000 { return "\(minutes / 60 + (minutes % 60 == 0 ? 0 : 1))h" }
        if milliseconds >= 100_000 { return "\(minutes)m" }
        if milliseconds >= 10_000 { return "\((milliseconds + 999) / 1000)s" }
        return "\(milliseconds)ms"
    }
}
