import Testing

@testable import Idempotency

@Suite struct RepeatabilityTests {
    private let now: UInt64 = 784_111_777_000
    private let date = "Sun, 06 Nov 1994 08:49:37 GMT"

    private func identify(
        _ fields: [(String, String)], now: UInt64? = nil, body: String = "x",
        _ configure: (inout Policy) -> Void = { _ in }
    ) throws -> (RepeatabilityError?, RequestIdentity?, Claim?) {
        var policy = Policy()
        policy.speaksRepeatability = true
        configure(&policy)
        let identifier = try Identifier(route: "r", policy: policy)
        let request = TestRequest(fields: fields, body: body)
        var scratch = IdentityScratch()
        let none: [UInt8] = []
        let early = identifier.begin(
            method: Array("POST".utf8).span, path: Array("/".utf8).span, query: none.span, hasQuery: false,
            fields: request, nowMilliseconds: now ?? self.now, scratch: &scratch)
        guard case .pending(let pending) = early,
            case .identified(let identity) = identifier.finish(pending, body: request.body.span, scratch: &scratch)
        else {
            if case .refusedRepeatability = early { return (scratch.repeatabilityFault, nil, nil) }
            return (nil, nil, nil)
        }
        return (nil, identity, identifier.claim(for: identity))
    }

    private func fields(_ id: String, _ date: String, client: String? = nil) -> [(String, String)] {
        [("Repeatability-Request-ID", id), ("Repeatability-First-Sent", date)]
            + (client.map { [("Repeatability-Client-ID", $0)] } ?? [])
    }

    @Test func claimRunsBeforeItsRetentionEnds() throws {
        let (_, identity, claim) = try identify(fields("a", date)) { $0.retentionMilliseconds = 5000 }
        #expect(identity?.kind == .token)
        #expect(identity?.firstSentMilliseconds == now)
        #expect(claim?.runsBeforeMilliseconds == now + 5000)
        let (_, other, plain) = try identify([("Idempotency-Key", "a")])
        #expect(plain?.runsBeforeMilliseconds == nil)
        // One kind of token.
        #expect(other?.key == identity?.key)
    }

    @Test func identities() throws {
        func key(_ fields: [(String, String)]) throws -> RecordKey? { try identify(fields).1?.key }
        func print(_ fields: [(String, String)]) throws -> Fingerprint? { try identify(fields).1?.fingerprint }
        let plain = fields("a", date)
        let keys = try [plain, fields("a", date, client: "b"), fields("a", date, client: "c"), fields("ab", date)].map(
            key)
        #expect(Set(keys).count == 4)
        #expect(try key(fields("\"a\"", date)) == key(plain))
        #expect(try key(plain + [("Idempotency-Key", "z")]) == key(plain))
        let other = fields("a", "Sun, 06 Nov 1994 08:49:36 GMT")
        #expect(try key(other) == key(plain))
        #expect(try print(other) != print(plain))
        #expect(try print(plain) != print([("Idempotency-Key", "a")]))
        #expect(try print(fields("b", date, client: "c")) == print(plain))
    }

    @Test func refusals() throws {
        func refusal(_ fields: [(String, String)], now: UInt64? = nil) throws -> RepeatabilityError? {
            try identify(fields, now: now).0
        }
        #expect(try refusal(fields("a", date)) == nil)
        #expect(try refusal(fields("a", date), now: now - 60_000) == nil)
        #expect(try refusal(fields("a", date), now: now - 60_001) == .outOfRange)
        #expect(try refusal(fields("a", "x")) == .malformed)
        #expect(try refusal(fields("", date)) == .malformed)
        #expect(try refusal(fields("a", date, client: "")) == .malformed)
        #expect(try refusal(fields("a", date) + fields("a", date)) == .malformed)
        for missing in 0..<2 {
            var some = fields("a", date, client: "c")
            some.remove(at: missing)
            #expect(try refusal(some) == .malformed)
        }
        for count in 0..<date.utf8.count { #expect(try refusal(fields("a", String(date.prefix(count)))) == .malformed) }
        // Of no concern where the policy does not speak of it.
        let (_, identity, _) = try identify(fields("a", "x") + [("Idempotency-Key", "k")]) {
            $0.speaksRepeatability = false
        }
        #expect(identity != nil)
    }

    @Test("no repeat runs after its record has expired, whatever the clocks say")
    func noSecondExecution() throws {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<5000 {
            var claim = Claim(
                key: Digest256(words: (1, 0, 0, 0)), fingerprint: Digest256(words: (2, 0, 0, 0)),
                retentionMilliseconds: UInt64.random(in: 1...10_000, using: &generator))
            let firstSent = UInt64.random(in: 90_000...120_000, using: &generator)
            claim.runsBeforeMilliseconds = firstSent + claim.retentionMilliseconds
            var machine = RecordMachine()
            var executions = 0
            var time = UInt64.random(in: 90_000...110_000, using: &generator)
            for step in 0..<6 {
                let action = machine.claim(
                    claim, from: ReplyAddress(worker: 0, exchange: 0), newEpoch: UInt64(step) + 1, nowMilliseconds: time
                )
                if case .claim = action {
                    executions += 1
                    machine.claimStored(epoch: UInt64(step) + 1)
                    _ = machine.complete(
                        .answered, epoch: UInt64(step) + 1, nextEpoch: 0, nextExpiresAtMilliseconds: 0)
                }
                time += UInt64.random(in: 0...8000, using: &generator)
            }
            #expect(executions <= 1)
        }
    }

    @Test func similarityIsThatOfCallerRouteAndFingerprint() throws {
        func similarity(_ key: String, _ caller: String, _ body: String) throws -> UInt64? {
            try identify([("Idempotency-Key", key), ("Authorization", caller)], body: body).1?.similarity
        }
        let one = try similarity("a", "x", "1")
        #expect(try similarity("b", "x", "1") == one)
        #expect(try similarity("a", "y", "1") != one)
        #expect(try similarity("a", "x", "2") != one)
    }
}
