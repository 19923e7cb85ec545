import Idempotency
import Testing

@testable import Stores

/// What a store tells of outcomes that are not known, and how they come to be known.
@Suite("Store contract: unknown outcomes")
struct StoreUnknownTests {
    private func unknown(_ harness: StoreHarness, _ number: UInt64 = 1) -> UnknownOutcome? {
        if case .unknown(let outcome) = harness.claim(claim(number)) { outcome } else { nil }
    }

    @Test(
        "A repeat learns the epoch and the age; a verdict with the epoch is taken once", arguments: StoreKind.allCases)
    func verdicts(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1))
        harness.clock.advance(milliseconds: 5_000)
        // While the attempt runs nobody else decides.
        #expect(harness.settled(reference, .answered(answer("probe"))) == .stored(.stale))
        #expect(harness.complete(reference, .unknown(.timedOut)) == .stored(.durable))
        harness.clock.advance(milliseconds: 3_000)
        let outcome = try #require(unknown(harness))
        #expect(outcome == UnknownOutcome(cause: .timedOut, epoch: reference.epoch, ageMilliseconds: 3_000))
        var other = reference
        other.epoch += 1
        #expect(harness.settled(other, .answered(answer("probe"))) == .stored(.stale))
        let record = try #require(harness.list().first)
        #expect(record.unknownAtMilliseconds == record.claimedAtMilliseconds + 5_000)
        #expect(record.unknownCause == .timedOut && record.settlement == nil)
        #expect(harness.settled(reference, .answered(answer("probe"))) == .stored(.durable))
        // A late answer comes too late.
        #expect(harness.complete(reference, .answered(answer("late"))) == .stored(.stale))
        #expect(harness.claim(claim(1)) == .recorded(answer("probe"), epoch: reference.epoch))
        let settled = try #require(harness.list().first)
        #expect(settled.settlement == .probe && settled.unknownCause == .timedOut)
        #expect(settled.settledAtMilliseconds == settled.claimedAtMilliseconds + 8_000)
        #expect(harness.store.statistics.unknowns == 0)
    }

    @Test(
        "A verdict of absence frees the key; one that comes after another claim is refused",
        arguments: StoreKind.allCases)
    func absence(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let first = try harness.claimed(claim(1))
        #expect(harness.complete(first, .unknown(.broken)) == .stored(.durable))
        #expect(harness.settled(first, .released) == .stored(.durable))
        let second = try harness.claimed(claim(1))
        #expect(harness.settled(first, .released) == .stored(.stale))
        #expect(harness.settled(first, .answered(answer("old"))) == .stored(.stale))
        #expect(harness.complete(second, .answered(answer("new"))) == .stored(.durable))
        #expect(harness.settled(first, .released) == .stored(.stale))
        #expect(harness.claim(claim(1)) == .recorded(answer("new"), epoch: second.epoch))
    }

    @Test("How it came to be known is told: late, by probe, by the operator", arguments: StoreKind.allCases)
    func settlements(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        for number in 1...3 as ClosedRange<UInt64> {
            let reference = try harness.claimed(claim(number))
            #expect(harness.complete(reference, .unknown(.broken)) == .stored(.durable))
            switch number {
            case 1: #expect(harness.complete(reference, .answered(answer("late"))) == .stored(.durable))
            case 2: #expect(harness.settled(reference, .answered(answer("probe"))) == .stored(.durable))
            default:
                guard case .resolved(.done(let before)) = harness.resolve(key(number), .answer(answer("by hand")))
                else {
                    Issue.record("not resolved")
                    return
                }
                #expect(before.state == .unknown && before.unknownCause == .broken)
            }
        }
        let listed = harness.list().sorted { $0.epoch < $1.epoch }
        #expect(Set(listed.map(\.settlement)) == [.lateAnswer, .probe, .operator])
        // What was known at once has no history.
        try harness.record(4)
        let plain = try #require(harness.list().first { $0.key == key(4) })
        #expect(plain.unknownAtMilliseconds == 0 && plain.settlement == nil && plain.unknownCause == nil)
    }

    @Test("Lists by age, and by when the outcome became unknown", arguments: StoreKind.allCases)
    func filters(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let first = try harness.claimed(claim(1))
        let start = harness.clock.now
        harness.clock.advance(milliseconds: 10_000)
        try harness.record(2)
        _ = harness.complete(first, .unknown(.timedOut))
        func keys(_ change: (inout RecordFilter) -> Void) -> [RecordKey] {
            var filter = RecordFilter()
            change(&filter)
            return harness.list(filter).map(\.key)
        }
        #expect(keys { $0.claimedThroughMilliseconds = start } == [key(1)])
        #expect(keys { $0.claimedThroughMilliseconds = start - 1 } == [])
        #expect(keys { $0.unknownFromMilliseconds = start + 10_000 } == [key(1)])
        #expect(keys { $0.unknownFromMilliseconds = start + 10_001 } == [])
    }

    @Test("The history survives a restart, plain and sealed; the age begins anew", arguments: [false, true])
    func restart(isSealed: Bool) throws {
        let ring = isSealed ? keyRing(1) : nil
        let directory = TemporaryDirectory()
        let clock = TestClock()
        func open() throws -> EmbeddedHarness {
            try EmbeddedHarness(directory) {
                $0.clock = clock.storeClock
                $0.keyRing = ring
            }
        }
        var harness: EmbeddedHarness? = try open()
        let answered = try #require(harness).claimed(claim(1))
        _ = harness?.complete(answered, .unknown(.timedOut))
        clock.advance(milliseconds: 2_000)
        let late = answer("late")
        _ = harness?.complete(answered, .answered(late))
        let standing = try #require(harness).claimed(claim(2))
        _ = harness?.complete(standing, .unknown(.broken))
        harness?.store.markSent(try #require(harness).claimed(claim(3)))
        let before = try #require(harness).list().filter { $0.key != key(3) }
        crash(&harness)
        clock.advance(milliseconds: 7_000)
        let second = try open()
        let after = second.list()
        #expect(after.filter { $0.key != key(3) } == before)
        let orphan = try #require(after.first { $0.key == key(3) })
        #expect(orphan.unknownCause == .ownerDied && orphan.unknownAtMilliseconds == clock.now)
        clock.advance(milliseconds: 500)
        for (number, epoch) in [(2, standing.epoch), (3, orphan.epoch)] as [(UInt64, UInt64)] {
            guard case .unknown(let outcome) = second.claim(claim(number)) else {
                Issue.record("\(number) is not unknown")
                continue
            }
            #expect(outcome.epoch == epoch && outcome.ageMilliseconds == 500)
        }
    }
}
