import Idempotency
import Stores
import Testing

/// Bodies that are stored in pieces, on every store.
@Suite("Store contract: bodies in pieces")
struct StoreBodyTests {
    static let head = RecordedAnswer(
        status: 200, framing: .stream, fieldLines: [UInt8]("X-Test: a\r\n".utf8), body: [],
        trailerLines: [UInt8]("T: 1\r\n".utf8))

    /// Octets in which no stretch is like another.
    static func octets(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var random = Random(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
    }

    /// The answer whose body is so many stored octets and then these.
    static func answer(stored: Int, _ rest: [UInt8] = []) -> RecordedAnswer {
        var answer = head
        answer.storedBodyBytes = UInt64(stored)
        answer.body = rest
        return answer
    }

    /// Appends the octets in pieces of sizes that vary.
    private func append(_ octets: [UInt8], _ reference: ClaimReference, _ harness: StoreHarness, from: Int = 0) {
        let sizes = [1, 65_536, 10, 65_537, 200_000, 0, 30_000]
        var offset = 0
        var turn = 0
        while offset < octets.count {
            let end = min(offset + sizes[turn % sizes.count], octets.count)
            turn += 1
            let result = harness.append(reference, Array(octets[offset..<end]))
            #expect(result == .body(.appended(bodyBytes: UInt64(from + end))))
            offset = end
        }
    }

    @Test("A body in pieces comes back in slices, and the record stands as any other", arguments: StoreKind.allCases)
    func wholeLife(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let octets = Self.octets(700_000)
        let reference = try harness.claimed(claim(1))
        harness.store.markSent(reference)
        append(octets, reference, harness)
        let waiter = harness.join(claim(1))
        // Nothing is seen before the answer stands.
        #expect(harness.read(reference, 0, 10) == .body(.stale))
        let answer = Self.answer(stored: octets.count, [7, 8, 9])
        #expect(harness.complete(reference, .answered(answer)) == .stored(.durable))
        #expect(harness.replies.next(waiter) == .recorded(answer, epoch: reference.epoch))
        for countMax in [65_536, 1 << 30, 50_000] {
            #expect(harness.claim(claim(1)) == .recorded(answer, epoch: reference.epoch))
            #expect(harness.body(reference, octets.count, countMax: countMax) == octets)
        }
        #expect(harness.read(reference, 123_456, 0) == .body(.octets([octets[123_456]])))
        #expect(harness.read(reference, UInt64(octets.count), 1) == .body(.stale))
        #expect(harness.read(reference, .max, 1) == .body(.stale))
        var other = reference
        other.epoch += 1
        #expect(harness.read(other, 0, 1) == .body(.stale))
        #expect(harness.list().map(\.bodyBytes) == [UInt64(octets.count) + 3])
        #expect(harness.append(reference, [1]) == .body(.stale))
        #expect(harness.complete(reference, .answered(answer)) == .stored(.stale))
    }

    @Test("Only the open claim appends, and only what was appended is taken", arguments: StoreKind.allCases)
    func claimsAndSums(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1))
        var other = reference
        other.epoch += 1
        #expect(harness.append(other, [1]) == .body(.stale))
        #expect(harness.append(ClaimReference(key: key(2), epoch: reference.epoch), [1]) == .body(.stale))
        append(Self.octets(1000), reference, harness)
        let waiter = harness.join(claim(1))
        #expect(harness.complete(reference, .answered(Self.answer(stored: 999))) == .stored(.failed(.failed)))
        #expect(harness.replies.next(waiter).unknownCause == .notStored)
        #expect(harness.claim(claim(1)).unknownCause == .notStored)
        // The late answer of what is unknown, the right one after another wrong one.
        #expect(harness.complete(reference, .answered(Self.answer(stored: 1001))) == .stored(.failed(.failed)))
        #expect(harness.complete(reference, .answered(Self.answer(stored: 1000))) == .stored(.durable))
        #expect(harness.body(reference, 1000) == Self.octets(1000))
        let third = try harness.claimed(claim(3))
        #expect(harness.complete(third, .answered(Self.answer(stored: 1))) == .stored(.failed(.failed)))
        #expect(harness.resolve(key(3), .answer(Self.answer(stored: 1))) == .resolved(.failed(.failed)))
        #expect(harness.resolve(key(3), .answer(Self.answer(stored: 0))).isDone)
    }

    @Test("A late answer goes on where the outcome became unknown", arguments: StoreKind.allCases)
    func lateAnswer(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let octets = Self.octets(300_000)
        let reference = try harness.claimed(claim(1))
        append(Array(octets[..<100_000]), reference, harness)
        #expect(harness.complete(reference, .unknown(.timedOut)) == .stored(.durable))
        #expect(harness.claim(claim(1)).unknownCause == .timedOut)
        append(Array(octets[100_000...]), reference, harness, from: 100_000)
        #expect(harness.read(reference, 0, 10) == .body(.stale))
        #expect(harness.complete(reference, .answered(Self.answer(stored: 300_000))) == .stored(.durable))
        #expect(harness.body(reference, 300_000) == octets)
        // One that begins only then.
        let second = try harness.claimed(claim(2))
        #expect(harness.complete(second, .unknown(.broken)) == .stored(.durable))
        append(octets, second, harness)
        #expect(harness.complete(second, .answered(Self.answer(stored: 300_000))) == .stored(.durable))
        #expect(harness.body(second, 300_000) == octets)
    }

    @Test("Every other end gives the pieces up", arguments: StoreKind.allCases)
    func otherEnds(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        harness.store.runUpkeep()
        let tombstone = Tombstone(status: 201, bodyBytes: 9, bodyDigest: fingerprint(3))
        let outcomes: [Outcome] = [.released, .notKept(tombstone), .answered(Self.answer(stored: 0, [1, 2]))]
        for (number, outcome) in outcomes.enumerated() {
            let reference = try harness.claimed(claim(UInt64(number)))
            append(Self.octets(500_000), reference, harness)
            #expect(harness.complete(reference, outcome) == .stored(.durable))
            #expect(harness.read(reference, 0, 10) == .body(.stale) || kind != .memory)
            if number > 0 { #expect(harness.resolve(key(UInt64(number)), .forget).isDone) }
        }
        // Forgotten after it was recorded; handed over to a waiter; replaced while unknown.
        let recorded = try record(10, harness)
        #expect(harness.resolve(key(10), .forget).isDone)
        let first = try harness.claimed(claim(11))
        append(Self.octets(500_000), first, harness)
        let waiter = harness.join(claim(11))
        #expect(harness.complete(first, .released) == .stored(.durable))
        guard case .claimed(let second) = harness.replies.next(waiter) else { return }
        #expect(harness.append(first, [1]) == .body(.stale))
        append(Self.octets(10), second, harness)
        #expect(harness.complete(second, .unknown(.broken)) == .stored(.durable))
        var again = claim(11)
        again.resendsUnknown = true
        let third = try harness.claimed(again)
        #expect(harness.append(second, [1]) == .body(.stale))
        #expect(harness.complete(third, .released) == .stored(.durable))
        harness.store.runUpkeep()
        for reference in [recorded, first, second] { #expect(harness.read(reference, 0, 10) == .body(.stale)) }
        harness.settle()
        #expect(harness.store.statistics.records == 0)
        #expect(harness.store.statistics.bytesUsed < 100_000)
    }

    private func record(_ number: UInt64, _ harness: StoreHarness, retention: UInt64 = 3_600_000) throws
        -> ClaimReference
    {
        let reference = try harness.claimed(claim(number, retentionMilliseconds: retention))
        append(Self.octets(500_000), reference, harness)
        #expect(harness.complete(reference, .answered(Self.answer(stored: 500_000))) == .stored(.durable))
        return reference
    }

    @Test(
        "A replay ends as it began, though the record expires or is replaced meanwhile", arguments: StoreKind.allCases)
    func grace(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let expiring = try record(1, harness, retention: 5_000)
        let replaced = try record(2, harness)
        harness.store.submit([.delivered(replaced)])
        var intent = claim(2)
        intent.runsAfterDelivery = true
        let open = try harness.claimed(intent)
        append([1, 2, 3], open, harness)
        harness.clock.advance(milliseconds: 7_000)
        harness.store.runUpkeep()
        #expect(harness.store.statistics.expired == 1)
        for reference in [expiring, replaced] {
            #expect(harness.body(reference, 500_000) == Self.octets(500_000))
        }
        harness.clock.advance(milliseconds: StoredBody.graceMilliseconds)
        harness.store.runUpkeep()
        harness.settle()
        for reference in [expiring, replaced] { #expect(harness.read(reference, 0, 10) == .body(.stale)) }
        #expect(harness.store.statistics.bytesUsed < 100_000)
        #expect(harness.complete(open, .answered(Self.answer(stored: 3))) == .stored(.durable))
        #expect(harness.body(open, 3) == [1, 2, 3])
    }

    @Test("A claim that outlives its retention keeps its pieces", arguments: StoreKind.allCases)
    func slowerThanRetention(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1, retentionMilliseconds: 1_000))
        append(Self.octets(100_000), reference, harness)
        harness.clock.advance(milliseconds: 1_000 + StoredBody.graceMilliseconds - 2_000)
        harness.store.runUpkeep()
        append([5], reference, harness, from: 100_000)
        let waiter = harness.join(claim(1))
        #expect(harness.complete(reference, .answered(Self.answer(stored: 100_001))) == .stored(.durable))
        let replay = StoreResult.recorded(Self.answer(stored: 100_001), epoch: reference.epoch)
        #expect(harness.replies.next(waiter) == replay)
        #expect(harness.body(reference, 100_001) == Self.octets(100_000) + [5])
    }

    @Test("A full store takes no more pieces, and the answer can be given up", arguments: StoreKind.allCases)
    func full(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind, bytesMax: 1 << 20)
        let reference = try harness.claimed(claim(1))
        var bytes = 0
        while harness.append(reference, Self.octets(50_000)) == .body(.appended(bodyBytes: UInt64(bytes + 50_000))) {
            bytes += 50_000
            try #require(bytes < 3 << 20)
        }
        #expect(bytes >= 500_000)
        #expect(harness.append(reference, [1]) != .body(.appended(bodyBytes: UInt64(bytes + 1))))
        let tombstone = Tombstone(status: 200, bodyBytes: 1 << 30, bodyDigest: fingerprint(1))
        #expect(harness.complete(reference, .notKept(tombstone)) == .stored(.durable))
        harness.store.runUpkeep()
        harness.settle()
        _ = try harness.claimed(claim(2))
    }

    @Test("A claim, pieces and the outcome in one batch", arguments: StoreKind.allCases)
    func oneBatch(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1))
        let octets = Self.octets(100_000)
        let addresses = (0..<5).map { _ in harness.address() }
        harness.store.submit([
            .appendBody(reference, Array(octets[..<60_000]), addresses[0]),
            .appendBody(reference, Array(octets[60_000...]), addresses[1]),
            .complete(reference, .answered(Self.answer(stored: 100_000)), addresses[2]),
            .readBody(reference, from: 60_000, countMax: 5, addresses[3]),
            .claim(claim(1), addresses[4]),
        ])
        #expect(harness.replies.next(addresses[0]) == .body(.appended(bodyBytes: 60_000)))
        #expect(harness.replies.next(addresses[1]) == .body(.appended(bodyBytes: 100_000)))
        #expect(harness.replies.next(addresses[2]) == .stored(.durable))
        #expect(harness.replies.next(addresses[3]) == .body(.octets(Array(octets[60_000..<60_005]))))
        let replay = StoreResult.recorded(Self.answer(stored: 100_000), epoch: reference.epoch)
        #expect(harness.replies.next(addresses[4]) == replay)
    }

    @Test("A closed store takes and gives no pieces", arguments: StoreKind.allCases)
    func closed(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1))
        harness.store.close()
        #expect(harness.append(reference, [1]) == .body(.refused(.closing)))
        #expect(harness.read(reference, 0, 1) == .body(.refused(.closing)))
    }
}
