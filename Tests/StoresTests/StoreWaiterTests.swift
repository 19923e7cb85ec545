import Idempotency
import Stores
import Testing

/// Joining an attempt that is in flight, and requests that meet in one batch.
@Suite("Store contract: waiters and batches")
struct StoreWaiterTests {
    @Test("Waiters get the answer", arguments: StoreKind.allCases)
    func waitersGetTheAnswer(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let tombstone = Tombstone(status: 201, bodyBytes: 9, bodyDigest: fingerprint(3))
        let outcomes: [(Outcome, (UInt64) -> StoreResult)] = [
            (.answered(answer("done")), { .recorded(answer("done"), epoch: $0) }),
            (.notKept(tombstone), { _ in .notKept(tombstone) }),
            (
                .unknown(.broken),
                { .unknown(UnknownOutcome(cause: .broken, epoch: $0, ageMilliseconds: 0)) }
            ),
        ]
        for (number, (outcome, expected)) in outcomes.enumerated() {
            let reference = try harness.claimed(claim(UInt64(number)))
            let waiters = (0..<3).map { _ in harness.join(claim(UInt64(number))) }
            #expect(harness.complete(reference, outcome) == .stored(.durable))
            for waiter in waiters { #expect(harness.replies.next(waiter) == expected(reference.epoch)) }
        }
    }

    @Test("A released attempt goes over to the first who waits", arguments: StoreKind.allCases)
    func promotion(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let first = try harness.claimed(claim(1))
        let waiters = (0..<3).map { _ in harness.join(claim(1)) }
        #expect(harness.complete(first, .released) == .stored(.durable))
        guard case .claimed(let second) = harness.replies.next(waiters[0]) else {
            Issue.record("the first waiter got no claim")
            return
        }
        #expect(second.epoch != first.epoch)
        #expect(harness.complete(first, .answered(answer("stale"))) == .stored(.stale))
        harness.settle()
        #expect(harness.replies.isEmpty(waiters[1]))
        #expect(harness.complete(second, .answered(answer("done"))) == .stored(.durable))
        for waiter in waiters[1...] {
            #expect(harness.replies.next(waiter) == .recorded(answer("done"), epoch: second.epoch))
        }
        harness.settle()
        #expect(harness.store.statistics.records == 1)
        #expect(harness.store.statistics.openClaims == 0)
    }

    @Test("Who left is neither promoted nor answered", arguments: StoreKind.allCases)
    func leave(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let first = try harness.claimed(claim(1))
        let waiters = (0..<2).map { _ in harness.join(claim(1)) }
        harness.store.submit([.leave(key(1), waiters[0]), .leave(key(9), waiters[0])])
        #expect(harness.complete(first, .released) == .stored(.durable))
        guard case .claimed(let second) = harness.replies.next(waiters[1]) else {
            Issue.record("the second waiter got no claim")
            return
        }
        #expect(harness.complete(second, .released) == .stored(.durable))
        #expect(harness.replies.isEmpty(waiters[0]))
        _ = try harness.claimed(claim(1))
    }

    @Test("Limits on waiters", arguments: StoreKind.allCases)
    func limits(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        _ = try harness.claimed(claim(1))
        var impatient = claim(1)
        impatient.joins = false
        #expect(harness.claim(impatient) == .inFlight)
        var limited = claim(1)
        limited.waitersMax = 2
        let waiters = [harness.join(limited), harness.join(limited)]
        #expect(harness.claim(limited) == .tooManyWaiters)
        #expect(harness.claim(claim(1, print: 2)) == .mismatch)
        harness.store.submit([.leave(key(1), waiters[0])])
        _ = harness.join(limited)
    }

    @Test("Waiters of a route that resends run what has become unknown", arguments: StoreKind.allCases)
    func resendingWaiters(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        var resending = claim(1)
        resending.resendsUnknown = true
        let first = try harness.claimed(resending)
        let holder = harness.join(claim(1))
        let waiters = (0..<2).map { _ in harness.join(resending) }
        #expect(harness.complete(first, .unknown(.timedOut)) == .stored(.durable))
        #expect(harness.replies.next(holder).unknownCause == .timedOut)
        guard case .claimed(let second) = harness.replies.next(waiters[0]) else {
            Issue.record("no claim")
            return
        }
        #expect(harness.complete(second, .answered(answer("second"))) == .stored(.durable))
        #expect(harness.replies.next(waiters[1]) == .recorded(answer("second"), epoch: second.epoch))
        harness.settle()
        #expect(harness.store.statistics.unknowns == 0)
    }

    @Test("Requests for one key in one batch", arguments: StoreKind.allCases)
    func oneBatch(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let addresses = (0..<10).map { _ in harness.address() }
        harness.store.submit([
            .claim(claim(1), addresses[0]), .claim(claim(1), addresses[1]), .claim(claim(1, print: 2), addresses[2]),
            .claim(claim(2), addresses[3]),
        ])
        guard case .claimed(let reference) = harness.replies.next(addresses[0]) else {
            Issue.record("no claim")
            return
        }
        #expect(harness.replies.next(addresses[1]) == .joined)
        #expect(harness.replies.next(addresses[2]) == .mismatch)
        var intent = claim(1)
        intent.runsAfterDelivery = true
        harness.store.submit([
            .complete(reference, .unknown(.timedOut), addresses[4]), .claim(claim(1), addresses[5]),
            .complete(reference, .answered(answer("late")), addresses[6]), .claim(claim(1), addresses[7]),
            .delivered(reference), .claim(intent, addresses[8]), .resolve(key(1), .forget, addresses[9]),
        ])
        #expect(harness.replies.next(addresses[4]) == .stored(.durable))
        #expect(harness.replies.next(addresses[1]).unknownCause == .timedOut)
        #expect(harness.replies.next(addresses[5]).unknownCause == .timedOut)
        #expect(harness.replies.next(addresses[6]) == .stored(.durable))
        #expect(harness.replies.next(addresses[7]) == .recorded(answer("late"), epoch: reference.epoch))
        guard case .claimed = harness.replies.next(addresses[8]) else {
            Issue.record("no claim after delivery")
            return
        }
        #expect(harness.replies.next(addresses[9]) == .resolved(.refused(.inFlight)))
    }

    // MARK: Operators

    @Test("What is known of deliveries", arguments: StoreKind.allCases)
    func deliveries(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        func known(_ number: UInt64) -> String {
            var filter = RecordFilter()
            filter.key = key(number)
            guard let record = harness.list(filter).first else { return "absent" }
            return record.isDelivered ? "delivered" : record.isUndelivered ? "lost" : "nothing"
        }
        func isKnownLost(_ number: UInt64) -> Bool? {
            if case .recorded(let answer, _) = harness.claim(claim(number)) { answer.isKnownLost } else { nil }
        }
        var claims: [UInt64: ClaimReference] = [:]
        for number in UInt64(1)...6 { claims[number] = try harness.claimed(claim(number)) }
        func reference(_ number: UInt64) throws -> ClaimReference { try #require(claims[number]) }
        // Before the answer, after it, and never.
        harness.store.submit([.undelivered(try reference(1))])
        #expect(known(1) == "nothing")
        for number in UInt64(1)...3 { _ = harness.complete(try reference(number), .answered(answer("a"))) }
        harness.store.submit([.undelivered(try reference(2))])
        #expect([known(1), known(2), known(3)] == ["lost", "lost", "nothing"])
        #expect([isKnownLost(1), isKnownLost(2), isKnownLost(3)] == [true, true, false])
        // A replay that arrived; a loss after it changes nothing.
        harness.store.submit([.delivered(try reference(1)), .undelivered(try reference(1))])
        #expect(known(1) == "delivered")
        #expect(isKnownLost(1) == false)
        // No answer, no delivery; what the service said under an `unknown` status was passed on.
        _ = harness.complete(try reference(4), .unknown(.timedOut))
        _ = harness.complete(try reference(5), .unknown(.status))
        #expect([known(4), known(5)] == ["lost", "nothing"])
        _ = harness.complete(try reference(4), .answered(answer("late")))
        #expect(known(4) == "lost")
        // A stale reference, and a record that is gone.
        harness.store.submit([.undelivered(ClaimReference(key: key(3), epoch: 1))])
        #expect(known(3) == "nothing")
        _ = harness.complete(try reference(6), .released)
        harness.store.submit([.undelivered(try reference(6))])
        #expect(known(6) == "absent")
    }

    @Test("Lists", arguments: StoreKind.allCases)
    func lists(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        #expect(harness.list().isEmpty)
        let start = harness.clock.now
        var claims: [ClaimReference] = []
        for number in UInt64(1)...4 {
            var claim = claim(number, retentionMilliseconds: 1_000_000 - number)
            claim.route = number == 4 ? "a route whose name is longer than fifteen octets" : "orders"
            claims.append(try harness.claimed(claim))
            harness.clock.advance(milliseconds: 10)
        }
        let waiter = harness.join(claim(4))
        _ = harness.complete(claims[0], .answered(answer("12345")))
        _ = harness.complete(claims[1], .notKept(Tombstone(status: 202, bodyBytes: 77, bodyDigest: fingerprint(1))))
        _ = harness.complete(claims[2], .unknown(.broken))
        harness.store.submit([.delivered(claims[0])])
        let all = harness.list()
        #expect(all.map(\.epoch) == claims.map(\.epoch))
        #expect(all.map(\.state) == [.completed, .tombstone, .unknown, .inFlight])
        #expect(all.map(\.status) == [201, 202, 0, 0])
        #expect(all.map(\.bodyBytes) == [5, 77, 0, 0])
        #expect(all.map(\.unknownCause) == [nil, nil, .broken, nil])
        #expect(all.map(\.isDelivered) == [true, false, false, false])
        #expect(all.map(\.waiters) == [0, 0, 0, 1])
        #expect(all.map(\.claimedAtMilliseconds) == [start, start + 10, start + 20, start + 30])
        #expect(all[0].expiresAtMilliseconds == start + 1_000_000 - 1)
        var filter = RecordFilter()
        filter.states = [.unknown, .inFlight]
        #expect(harness.list(filter).map(\.key) == [key(3), key(4)])
        filter.route = "orders"
        #expect(harness.list(filter).map(\.key) == [key(3)])
        filter = RecordFilter()
        filter.countMax = 2
        #expect(harness.list(filter).map(\.key) == [key(1), key(2)])
        filter.key = key(4)
        #expect(harness.list(filter).map(\.route) == ["a route whose name is longer than fifteen octets"])
        filter.key = key(5)
        #expect(harness.list(filter).isEmpty)
        harness.clock.advance(milliseconds: 1_000_000)
        #expect(harness.list().map(\.key) == [key(4)])
        harness.store.submit([.leave(key(4), waiter)])
    }

    @Test("An operator resolves", arguments: StoreKind.allCases)
    func resolves(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        #expect(harness.resolve(key(1), .release) == .resolved(.notFound))
        let first = try harness.claimed(claim(1))
        for resolution in [Resolution.answer(answer("x")), .release, .forget] {
            #expect(harness.resolve(key(1), resolution) == .resolved(.refused(.inFlight)))
        }
        _ = harness.complete(first, .unknown(.timedOut))
        #expect(harness.resolve(key(1), .answer(answer("by hand"))).isDone)
        #expect(harness.claim(claim(1)) == .recorded(answer("by hand"), epoch: first.epoch))
        #expect(harness.complete(first, .answered(answer("late"))) == .stored(.stale))
        #expect(harness.resolve(key(1), .answer(answer("x"))) == .resolved(.refused(.completed)))
        #expect(harness.resolve(key(1), .release) == .resolved(.refused(.completed)))
        #expect(harness.resolve(key(1), .forget).isDone)
        #expect(harness.resolve(key(1), .forget) == .resolved(.notFound))
        let second = try harness.claimed(claim(1))
        _ = harness.complete(second, .unknown(.timedOut))
        #expect(harness.resolve(key(1), .release).isDone)
        #expect(harness.complete(second, .answered(answer("late"))) == .stored(.stale))
        let third = try harness.claimed(claim(1))
        _ = harness.complete(third, .notKept(Tombstone(status: 200, bodyBytes: 1, bodyDigest: fingerprint(1))))
        #expect(harness.resolve(key(1), .release) == .resolved(.refused(.tombstone)))
        harness.clock.advance(milliseconds: 3_600_000)
        #expect(harness.resolve(key(1), .forget) == .resolved(.notFound))
        harness.settle()
        #expect(harness.store.statistics.unknowns == 0)
    }
}
