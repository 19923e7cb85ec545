import Testing

@testable import Idempotency

/// Behaviours 70 and 80 as far as they are counting: what is a repeat of what.
@Suite struct ObservationTallyTests {
    static let route = ObservedRoute(name: "r", retentionMilliseconds: 1000, windowMilliseconds: 100)

    private func findings(_ observations: [Observation]) -> [ObservedFinding] {
        var tally = ObservationTally()
        return observations.map { tally.take($0, of: Self.route) }
    }

    @Test func tokens() {
        #expect(
            findings([
                .seen(0, token: 1, payload: 1), .seen(10, token: 1, payload: 1), .seen(20, token: 1, payload: 2),
                .seen(30, token: 1, payload: 1), .seen(900, token: 1, payload: 1), .seen(1001, token: 1, payload: 1),
                .seen(1002, token: 1, payload: 2),
            ]) == [.first, .duplicate, .mismatch, .duplicate, .duplicate, .first, .mismatch])
    }

    @Test("the same payload under another token is counted, within the window (B80)")
    func keyChurn() {
        #expect(
            findings([
                .seen(0, token: 1, payload: 1), .seen(50, token: 2, payload: 1), .seen(60, token: 2, payload: 1),
                .seen(101, token: 3, payload: 1), .seen(150, token: 4, payload: 1),
            ]) == [.first, .otherKey, .duplicate, .first, .otherKey])
    }

    @Test func withoutToken() {
        #expect(
            findings([
                .seen(0, payload: 1), .seen(100, payload: 1), .seen(101, payload: 1), .seen(110, token: 1, payload: 1),
                .seen(120, payload: 2),
            ]) == [.first, .duplicate, .first, .otherKey, .first])
    }

    @Test("a request without its scope is a repeat of nothing")
    func unscoped() {
        var one = Observation.seen(0, payload: 1)
        one.key = .unscoped
        #expect(findings([one, one, .seen(1, payload: 1)]) == [.first, .first, .first])
    }

    @Test("what the index has no room for is forgotten, oldest first, and said")
    func bound() {
        var tally = ObservationTally(indexMax: 4)
        for number in UInt64(0)..<8 {
            #expect(tally.take(.seen(number, token: number, payload: number), of: Self.route) == .first)
        }
        // Four tokens and four payloads had to go.
        #expect(tally.forgotten == 8)
        #expect(tally.take(.seen(9, token: 7, payload: 7), of: Self.route) == .duplicate)
        #expect(tally.take(.seen(9, token: 0, payload: 0), of: Self.route) == .first)
    }

    @Test("expired entries make room without being missed")
    func expiry() {
        var tally = ObservationTally(indexMax: 2)
        for number in UInt64(0)..<20 {
            _ = tally.take(.seen(number * 2000, token: number, payload: number), of: Self.route)
        }
        #expect(tally.forgotten == 0)
    }

    @Test("tally and analysis say what looking at everything before says", arguments: 0..<60)
    func property(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let span = [UInt64(50), 500, 5000].randomElement(using: &generator)!
        var observations: [Observation] = []
        var now: UInt64 = 1_000_000
        for _ in 0..<400 {
            now += UInt64.random(in: 0...span / 20, using: &generator)
            var observation = Observation.seen(
                now, token: Bool.random(using: &generator) ? UInt64.random(in: 0..<12, using: &generator) : nil,
                payload: UInt64.random(in: 0..<8, using: &generator),
                answer: UInt64.random(in: 0..<3, using: &generator))
            switch UInt8.random(in: 0..<20, using: &generator) {
            case 0: observation.key = .malformed
            case 1: observation.key = .unscoped
            case 2: observation.key = .unread
            default: break
            }
            observations.append(observation)
        }
        var tally = ObservationTally(indexMax: 1000)
        var oracle = TallyOracle()
        var counts: [ObservedFinding: UInt64] = [:]
        var withoutToken: UInt64 = 0
        for observation in observations {
            let expected = oracle.take(observation, of: Self.route)
            #expect(tally.take(observation, of: Self.route) == expected, "seed \(seed)")
            if observation.key == .token { counts[expected, default: 0] += 1 }
            if observation.key == .none, expected == .duplicate { withoutToken += 1 }
        }
        // Whatever the order in which they were written.
        let figures = ObservationAnalysis.figures(routes: [Self.route], observations: stableShuffle(observations))[0]
        #expect(figures.requests == 400, "seed \(seed)")
        #expect(figures.duplicates == counts[.duplicate, default: 0], "seed \(seed)")
        #expect(figures.mismatches == counts[.mismatch, default: 0], "seed \(seed)")
        #expect(figures.otherKeys == counts[.otherKey, default: 0], "seed \(seed)")
        #expect(figures.duplicatesWithoutToken == withoutToken, "seed \(seed)")
        #expect(figures.hours.reduce(0) { $0 + $1.duplicates } == figures.allDuplicates)
        #expect(figures.gaps.total == figures.duplicates)
        let verdicts = figures.verdicts
        #expect(verdicts.replayed + verdicts.runs + verdicts.held == figures.duplicates)
    }

    /// Blocks of different times in another order; those of one time keep theirs.
    private func stableShuffle(_ observations: [Observation]) -> [Observation] {
        var blocks: [[Observation]] = []
        for observation in observations {
            if blocks.last?.last?.milliseconds == observation.milliseconds {
                blocks[blocks.count - 1].append(observation)
            } else {
                blocks.append([observation])
            }
        }
        return blocks.reversed().flatMap { $0 }
    }
}

/// What enforcing would have made of repeats.
@Suite struct ObservationAnalysisTests {
    private func figures(
        _ observations: [Observation], route: ObservedRoute = ObservationTallyTests.route, since: UInt64 = 0
    ) -> RouteFigures {
        ObservationAnalysis.figures(routes: [route], observations: observations, since: since)[0]
    }

    @Test func secondAnswers() {
        let verdicts = figures([
            .seen(0, token: 1, payload: 1, answer: 1), .seen(1, token: 1, payload: 1, answer: 1),
            .seen(2, token: 1, payload: 1, answer: 2), .seen(3, token: 1, payload: 1, answer: 1, status: 500),
            .seen(4, token: 1, payload: 1, ending: .clientLeft),
        ]).verdicts
        #expect(verdicts.same == 1 && verdicts.otherAnswer == 1 && verdicts.otherStatus == 1)
        #expect(verdicts.uncompared == 1 && verdicts.lost == 0 && verdicts.replayed == 4 && verdicts.ranAgain == 2)
    }

    @Test("a first answer that its client never got: nothing to compare with, and it ran again")
    func lostAnswers() {
        let verdicts = figures([
            .seen(0, token: 1, payload: 1, took: 5, ending: .clientLeft), .seen(10, token: 1, payload: 1),
            .seen(20, token: 1, payload: 1),
        ]).verdicts
        #expect(verdicts.lost == 2 && verdicts.replayed == 2)
    }

    @Test func releasedUnknownAndRunning() {
        let verdicts = figures([
            // Not sent, then 503 (release), then the one whose answer counts.
            .seen(0, token: 1, payload: 1, ending: .notSent),
            .seen(1, token: 1, payload: 1, status: 503, rule: .release),
            .seen(2, token: 1, payload: 1, answer: 7), .seen(3, token: 1, payload: 1, answer: 7),
            .seen(10, token: 2, payload: 2, ending: .broken), .seen(11, token: 2, payload: 2),
            .seen(20, token: 3, payload: 3, status: 504, rule: .unknown), .seen(21, token: 3, payload: 3),
            .seen(30, token: 4, payload: 4, took: 10), .seen(35, token: 4, payload: 4),
        ]).verdicts
        #expect(verdicts.runs == 2 && verdicts.held == 2 && verdicts.same == 2 && verdicts.joined == 1)
    }

    @Test("'since' counts only later requests, and still knows the earlier ones")
    func since() {
        let observations: [Observation] = [
            .seen(0, token: 1, payload: 1), .seen(10, token: 1, payload: 1), .seen(20, token: 1, payload: 1),
        ]
        let later = figures(observations, since: 15)
        #expect(later.requests == 1 && later.duplicates == 1 && later.firstMilliseconds == 20)
    }

    @Test("routes do not mix")
    func routes() {
        let routes = [ObservedRoute(name: "a"), ObservedRoute(name: "b")]
        let figures = ObservationAnalysis.figures(
            routes: routes,
            observations: [
                .seen(0, payload: 1, route: 0), .seen(1, payload: 2, route: 1), .seen(2, payload: 2, route: 1),
            ])
        #expect(figures[0].requests == 1 && figures[0].duplicatesWithoutToken == 0)
        #expect(figures[1].requests == 2 && figures[1].duplicatesWithoutToken == 1)
    }

    @Test func emptyInput() {
        #expect(ObservationAnalysis.figures(routes: [], observations: []).isEmpty)
        let figures = figures([])
        #expect(figures.requests == 0 && figures.hours.isEmpty)
        #expect(RouteSuggestion(figures) == nil)
        // A route that no description names is nobody's.
        #expect(self.figures([.seen(0, payload: 1, route: 9)]).requests == 0)
    }

    @Test func gapSteps() {
        var gaps = GapHistogram()
        for milliseconds: UInt64 in [0, 100, 101, 86_400_000, 86_400_001] { gaps.add(milliseconds) }
        #expect(gaps.counts[0] == 2 && gaps.counts[1] == 1 && gaps.counts.suffix(2) == [1, 1])
        #expect(gaps.total == 5 && gaps.maxMilliseconds == 86_400_001)
        #expect(gaps.clusterEnd(limit: 3_600_000) == 250)
    }

    @Test("the digest of an answer: what was done counts, not when")
    func digests() {
        func digest(_ status: UInt16, _ fields: [(String, String)], _ body: [String]) -> ObservedHash {
            var digest = AnswerDigest(status: status)
            for (name, value) in fields {
                let index = AnswerDigest.fieldNames.firstIndex(of: Array(name.utf8))
                if let index { digest.absorb(field: index, value: Array(value.utf8).span) }
            }
            for piece in body { digest.absorbBody(Array(piece.utf8).span) }
            return digest.finish()
        }
        let one = digest(201, [("location", "/orders/1")], ["ab"])
        #expect(digest(201, [("location", "/orders/1"), ("date", "later"), ("x-request-id", "7")], ["a", "b"]) == one)
        #expect(digest(201, [("location", "/orders/2")], ["ab"]) != one)
        #expect(digest(200, [("location", "/orders/1")], ["ab"]) != one)
        #expect(digest(201, [("location", "/orders/1")], ["abc"]) != one)
        #expect(digest(201, [("etag", "/orders/1")], ["ab"]) != one)
    }
}

/// Suggestions follow the figures.
@Suite struct RouteSuggestionTests {
    private func suggestion(
        _ observations: [Observation], _ route: ObservedRoute = ObservedRoute(name: "r")
    ) throws -> RouteSuggestion {
        try #require(RouteSuggestion(ObservationAnalysis.figures(routes: [route], observations: observations)[0]))
    }

    @Test("tokens throughout: those without one are refused")
    func tokens() throws {
        let suggestion = try suggestion((0..<200).map { .seen($0, token: $0, payload: $0) })
        #expect(suggestion.lines.contains("    on_missing_key reject;"))
        #expect(!suggestion.lines.contains { $0.contains("hash") })
        #expect(suggestion.lines.contains("    retention 24h;"))
        #expect(suggestion.cautions.isEmpty)
    }

    @Test("no tokens, retries within seconds, equal orders after hours: a window between them")
    func hash() throws {
        var observations: [Observation] = []
        for number in UInt64(0)..<100 {
            let start = number * 100_000_000
            observations.append(.seen(start, payload: number, took: 900, ending: .clientLeft))
            observations.append(.seen(start + 4_000, payload: number, ending: .clientLeft))
            observations.append(.seen(start + 9_000, payload: number, ending: .clientLeft))
            observations.append(.seen(start + 30_000_000, payload: number))
        }
        let suggestion = try suggestion(observations)
        #expect(suggestion.lines.contains("    on_missing_key hash;"))
        #expect(suggestion.lines.contains("        window 30s;"), "\(suggestion)")
        #expect(suggestion.lines.contains("        replay undelivered;"), "\(suggestion)")
        #expect(suggestion.reasons.contains { $0.text.contains("100 equal requests came later than the window") })
    }

    @Test("repeats after an answer that was sent cannot be told by delivery")
    func always() throws {
        let suggestion = try suggestion([
            .seen(0, payload: 1), .seen(500, payload: 1), .seen(900, payload: 1, ending: .clientLeft),
        ])
        #expect(suggestion.lines.contains("        replay always;"))
    }

    @Test("the route's own directives stay; those that were chosen are replaced")
    func directives() throws {
        let route = ObservedRoute(
            name: "r", directives: ["key header X-Order;", "on_missing_key pass;", "retention 1h;", "scope none;"],
            hashDirectives: ["body json;", "exclude json /ts;", "window 5m;", "replay always;"])
        let suggestion = try suggestion([.seen(0, payload: 1), .seen(1, payload: 1)], route)
        #expect(
            suggestion.lines == [
                "idempotency {", "    mode enforce;", "    key header X-Order;", "    scope none;",
                "    on_missing_key hash;", "    hash {", "        body json;", "        exclude json /ts;",
                "        window 30s;", "        replay always;", "    }", "    retention 24h;", "}",
            ])
    }

    @Test("values that are not kept are asked for")
    func leftOut() throws {
        let route = ObservedRoute(
            name: "r",
            directives: [
                #"on_unknown probe { get "/o/{key}"; header Authorization "…"; header X-A "a"; found 200; }"#
            ])
        let suggestion = try suggestion([.seen(0, token: 1, payload: 1)], route)
        #expect(suggestion.cautions.contains { $0.contains("'header Authorization'") && !$0.contains("X-A") })
    }

    @Test("late repeats of a token lengthen the retention; slow first attempts the wait; large bodies the limit")
    func longer() throws {
        var large = Observation.seen(300_000_000, token: 3, payload: 3)
        large.flags = .isLarge
        large.requestBytes = 20 << 20
        let suggestion = try suggestion(
            [
                .seen(0, token: 1, payload: 1), .seen(100_000_000, token: 1, payload: 1),
                .seen(200_000_000, token: 2, payload: 2, took: 45_000), .seen(200_001_000, token: 2, payload: 2), large,
            ], ObservedRoute(name: "r", retentionMilliseconds: 7 * 86_400_000))
        #expect(suggestion.lines.contains("    retention 96h;"), "\(suggestion.lines)")
        #expect(suggestion.lines.contains("    in_flight wait 1m;"))
        #expect(suggestion.lines.contains("    request_body_limit 32MiB;"))
    }

    @Test("times as proxy.conf writes them")
    func times() {
        #expect(TimeText.text(0) == "0ms" && TimeText.text(250) == "250ms" && TimeText.text(30_000) == "30s")
        #expect(TimeText.text(120_000) == "2m" && TimeText.text(86_400_000) == "24h" && TimeText.text(12_345) == "13s")
        #expect(TimeText.text(3_700_000) == "62m" && TimeText.text(8760 * 3_600_000) == "8760h")
        #expect(TimeText.text(70_000_001) == "20h" && TimeText.text(.max).hasSuffix("h"))
    }
}

/// What an observed route makes of a request.
@Suite struct ObservedIdentityTests {
    private func identity(
        _ request: TestRequest, pieces: Int? = nil, _ change: (inout Policy) -> Void = { _ in }
    ) throws -> ObservedIdentity {
        var policy = Policy()
        policy.mode = .observe
        change(&policy)
        let identifier = try Identifier(route: "r", policy: policy)
        var scratch = IdentityScratch()
        guard case .pending(var pending) = identifier.begin(request, scratch: &scratch) else {
            throw NotIdentified()
        }
        guard let pieces else { return identifier.observe(pending, body: request.body.span, scratch: &scratch) }
        let kept = Array(request.body.prefix(pieces))
        if pending.takesPieces {
            pending.append(kept.span)
        } else {
            pending.continueInPieces(after: kept.span, by: identifier)
        }
        pending.append(Array(request.body.dropFirst(pieces)).span)
        return identifier.observe(pending, isCanonical: true)
    }

    @Test("nothing is refused, whatever the policy says")
    func nothingRefused() throws {
        let reject: (inout Policy) -> Void = { $0.onMissingKey = .reject }
        #expect(try identity(TestRequest(body: "a"), reject).key == .none)
        #expect(try identity(TestRequest(fields: [("Idempotency-Key", "a b")]), reject).key == .malformed)
        #expect(
            try identity(TestRequest(fields: [IdentifierTests.key])) { $0.scope = .header("x-tenant") }.key == .unscoped
        )
        #expect(try identity(TestRequest()) { $0.scope = .header("x-tenant") }.payload == .none)
    }

    @Test("token and payload are the record keys that enforcing would have")
    func keys() throws {
        let request = TestRequest(fields: [IdentifierTests.key], body: "a")
        let observed = try identity(request)
        let enforced = try IdentifierTests.identifier().identity(request)
        #expect(observed.key == .token && observed.token == ObservedHash(enforced.key))
        let hashed = try IdentifierTests.identifier { $0.onMissingKey = .hash }.identity(TestRequest(body: "a"))
        #expect(observed.payload == ObservedHash(hashed.key))
        #expect(try identity(TestRequest(body: "a")).payload == observed.payload)
        #expect(try identity(TestRequest(body: "b")).payload != observed.payload)
    }

    @Test("a body in pieces is the same body", arguments: [0, 1, 7, 20])
    func pieces(count: Int) throws {
        let request = TestRequest(fields: [IdentifierTests.key], body: #"{"amount": 100, "a": 1}"#)
        #expect(try identity(request, pieces: count) == identity(request))
    }

    @Test("a canonical body that is more than is kept counts by its octets, all of them")
    func fallback() throws {
        let json: (inout Policy) -> Void = { policy in
            policy.hash = HashRule()
            policy.hash?.body = .json
        }
        let one = TestRequest(fields: [("Content-Type", "application/json")], body: #"{"a": 1, "b": 2}"#)
        let other = TestRequest(fields: [("Content-Type", "application/json")], body: #"{"b": 2, "a": 1}"#)
        #expect(try identity(one, json).payload == identity(other, json).payload)
        #expect(try identity(one, pieces: 3, json).payload == identity(one, pieces: 9, json).payload)
        #expect(try identity(one, pieces: 3, json).payload != identity(other, pieces: 3, json).payload)
        // The octets that a body of no valid JSON counts by.
        let broken = TestRequest(fields: [("Content-Type", "application/json")], body: "{")
        #expect(try identity(broken, json).payload == identity(broken, pieces: 0, json).payload)
        // A token in a body that is not kept is not looked for.
        let inBody: (inout Policy) -> Void = { $0.keySources = [.jsonPointer("/a")] }
        #expect(try identity(one, pieces: 3, inBody).key == .unread)
        #expect(try identity(one, inBody).key == .token)
    }
}
