import Idempotency
import Stores
import Testing

/// What RecordStore promises, asked of every store.
@Suite("Store contract")
struct StoreContractTests {
    // MARK: One attempt

    @Test("A claim, its answer, and the replay", arguments: StoreKind.allCases)
    func claimCompleteReplay(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.record(1)
        #expect(harness.claim(claim(1)) == .recorded(answer("done"), epoch: reference.epoch))
        #expect(harness.claim(claim(1, print: 2)) == .mismatch)
        #expect(harness.claim(claim(1)) == .recorded(answer("done"), epoch: reference.epoch))
    }

    @Test("Every part of an answer comes back", arguments: StoreKind.allCases)
    func answerIsKeptWhole(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let whole = RecordedAnswer(
            status: 500, framing: .stream, fieldLines: [UInt8]("B: 1\r\na: \u{E9}\r\nB: 2\r\n".utf8),
            body: (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }, trailerLines: [UInt8]("grpc-status: 0\r\n".utf8))
        let reference = try harness.claimed(claim(1))
        #expect(harness.complete(reference, .answered(whole)) == .stored(.durable))
        #expect(harness.claim(claim(1)) == .recorded(whole, epoch: reference.epoch))
        let empty = RecordedAnswer(status: 204, framing: .none, fieldLines: [], body: [])
        let second = try harness.claimed(claim(2))
        #expect(harness.complete(second, .answered(empty)) == .stored(.durable))
        #expect(harness.claim(claim(2)) == .recorded(empty, epoch: second.epoch))
    }

    @Test("An answer that is not kept leaves a tombstone", arguments: StoreKind.allCases)
    func tombstone(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let tombstone = Tombstone(status: 200, bodyBytes: 1 << 40, bodyDigest: fingerprint(9))
        let reference = try harness.claimed(claim(1))
        #expect(harness.complete(reference, .notKept(tombstone)) == .stored(.durable))
        #expect(harness.claim(claim(1)) == .notKept(tombstone))
        #expect(harness.claim(claim(1, print: 2)) == .mismatch)
    }

    @Test("A released key is free, under another epoch", arguments: StoreKind.allCases)
    func released(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let first = try harness.claimed(claim(1))
        #expect(harness.complete(first, .released) == .stored(.durable))
        let second = try harness.claimed(claim(1, print: 2))
        #expect(second.epoch != first.epoch)
        #expect(harness.complete(first, .answered(answer("late"))) == .stored(.stale))
        #expect(harness.complete(second, .answered(answer("done"))) == .stored(.durable))
        #expect(harness.claim(claim(1, print: 2)) == .recorded(answer("done"), epoch: second.epoch))
    }

    @Test("From its time on a claim runs nothing; what stands is replayed", arguments: StoreKind.allCases)
    func claimThatIsTooLate(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let now = harness.clock.now
        var early = claim(1, retentionMilliseconds: 1000)
        early.runsBeforeMilliseconds = now + 5000
        let reference = try harness.claimed(early)
        // Whole seconds, and its record stands at least as long as it may run.
        #expect(reference.expirySeconds == (now + 5000) / 1000)
        #expect(harness.complete(reference, .answered(answer("done"))) == .stored(.durable))
        var late = claim(2)
        late.runsBeforeMilliseconds = now
        #expect(harness.claim(late) == .tooLate)
        #expect(harness.claim(late) == .tooLate)
        harness.clock.advance(milliseconds: 4999)
        #expect(harness.claim(early) == .recorded(answer("done"), epoch: reference.epoch))
        early.runsBeforeMilliseconds = now
        #expect(harness.claim(early) == .recorded(answer("done"), epoch: reference.epoch))
        harness.clock.advance(milliseconds: 1)
        #expect(harness.claim(early) == .tooLate)
        // Nothing was left by those that were refused.
        let other = try harness.claimed(claim(2))
        #expect(other.expirySeconds == (harness.clock.now + 3_600_000) / 1000)
    }

    @Test("Only the open epoch can complete", arguments: StoreKind.allCases)
    func staleEpochs(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1))
        var other = reference
        other.epoch += 1
        #expect(harness.complete(other, .answered(answer("no"))) == .stored(.stale))
        #expect(harness.complete(ClaimReference(key: key(2), epoch: reference.epoch), .released) == .stored(.stale))
        #expect(harness.complete(reference, .answered(answer("yes"))) == .stored(.durable))
        for outcome in [Outcome.answered(answer("again")), .unknown(.broken), .released] {
            #expect(harness.complete(reference, outcome) == .stored(.stale))
        }
        #expect(harness.claim(claim(1)) == .recorded(answer("yes"), epoch: reference.epoch))
    }

    // MARK: Unknown

    @Test("An unknown outcome holds, and a late answer completes it", arguments: StoreKind.allCases)
    func unknownThenLateAnswer(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1))
        #expect(harness.complete(reference, .unknown(.timedOut)) == .stored(.durable))
        #expect(harness.store.statistics.unknowns == 1)
        #expect(harness.claim(claim(1)).unknownCause == .timedOut)
        #expect(harness.claim(claim(1, print: 2)) == .mismatch)
        var other = reference
        other.epoch += 1
        #expect(harness.complete(other, .answered(answer("no"))) == .stored(.stale))
        #expect(harness.complete(reference, .answered(answer("late"))) == .stored(.durable))
        #expect(harness.claim(claim(1)) == .recorded(answer("late"), epoch: reference.epoch))
        harness.settle()
        #expect(harness.store.statistics.unknowns == 0)
    }

    @Test("A late answer that is not kept", arguments: StoreKind.allCases)
    func unknownThenTombstone(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let tombstone = Tombstone(status: 201, bodyBytes: 9, bodyDigest: fingerprint(3))
        let reference = try harness.claimed(claim(1))
        #expect(harness.complete(reference, .unknown(.broken)) == .stored(.durable))
        #expect(harness.complete(reference, .notKept(tombstone)) == .stored(.durable))
        #expect(harness.claim(claim(1)) == .notKept(tombstone))
    }

    @Test("Resend runs what is unknown, and makes the first attempt stale", arguments: StoreKind.allCases)
    func resend(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let first = try harness.claimed(claim(1))
        #expect(harness.complete(first, .unknown(.status)) == .stored(.durable))
        var again = claim(1)
        again.resendsUnknown = true
        let second = try harness.claimed(again)
        #expect(second.epoch != first.epoch)
        #expect(harness.complete(first, .answered(answer("late"))) == .stored(.stale))
        #expect(harness.complete(second, .answered(answer("second"))) == .stored(.durable))
        #expect(harness.claim(claim(1)) == .recorded(answer("second"), epoch: second.epoch))
        harness.settle()
        #expect(harness.store.statistics.unknowns == 0)
    }

    // MARK: Delivered

    @Test("After delivery an identical request is a new intent, where the claim says so", arguments: StoreKind.allCases)
    func runsAfterDelivery(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let first = try harness.record(1)
        var intent = claim(1)
        intent.runsAfterDelivery = true
        #expect(harness.claim(intent) == .recorded(answer("done"), epoch: first.epoch))
        var stale = first
        stale.epoch += 1
        harness.store.submit([.delivered(stale)])
        #expect(harness.claim(intent) == .recorded(answer("done"), epoch: first.epoch))
        harness.store.submit([.delivered(first)])
        #expect(harness.claim(claim(1)) == .recorded(answer("done"), epoch: first.epoch))
        let second = try harness.claimed(intent)
        #expect(second.epoch != first.epoch)
        #expect(harness.complete(second, .answered(answer("new"))) == .stored(.durable))
        #expect(harness.claim(intent) == .recorded(answer("new"), epoch: second.epoch))
    }

    // MARK: Time

    @Test("A record expires to the millisecond", arguments: StoreKind.allCases, [-1, 0, 1])
    func expiry(_ kind: StoreKind, offset: Int64) throws {
        let harness = try StoreHarness(kind)
        harness.clock.now = 1_700_000_000_123
        let reference = try harness.claimed(claim(1, retentionMilliseconds: 5_000))
        #expect(harness.complete(reference, .answered(answer("done"))) == .stored(.durable))
        harness.clock.now = UInt64(1_700_000_005_123 + offset)
        let result = harness.claim(claim(1, retentionMilliseconds: 5_000))
        if offset < 0 {
            #expect(result == .recorded(answer("done"), epoch: reference.epoch))
        } else if case .claimed(let second) = result {
            #expect(second.epoch != reference.epoch)
        } else {
            Issue.record("\(result)")
        }
    }

    @Test("Expired records are removed, and nothing else", arguments: StoreKind.allCases)
    func expiredAreRemoved(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        for number in 1...600 { try harness.record(UInt64(number)) }
        let unknown = try harness.claimed(claim(700))
        #expect(harness.complete(unknown, .unknown(.timedOut)) == .stored(.durable))
        let open = try harness.claimed(claim(701))
        let long = try harness.claimed(claim(702, retentionMilliseconds: 100_000_000))
        #expect(harness.complete(long, .answered(answer("long"))) == .stored(.durable))
        harness.clock.advance(milliseconds: 3_600_000 - 1)
        harness.store.runUpkeep()
        #expect(harness.store.statistics.expired == 0)
        harness.clock.advance(milliseconds: 1001)
        harness.store.runUpkeep()
        let figures = harness.store.statistics
        #expect(figures.expired == 601)
        #expect(figures.records == 2)
        #expect(figures.unknowns == 0)
        #expect(figures.openClaims == 1)
        // A claim never expires while its owner runs.
        #expect(harness.claim(claim(701, print: 2)) == .mismatch)
        let waiter = harness.join(claim(701))
        #expect(harness.complete(open, .answered(answer("slow"))) == .stored(.durable))
        #expect(harness.replies.next(waiter) == .recorded(answer("slow"), epoch: open.epoch))
        // Its retention has passed by then.
        _ = try harness.claimed(claim(701, print: 2))
        #expect(harness.claim(claim(702)) == .recorded(answer("long"), epoch: long.epoch))
    }

    @Test("A retention without end", arguments: StoreKind.allCases)
    func endlessRetention(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1, retentionMilliseconds: .max))
        #expect(harness.complete(reference, .answered(answer("done"))) == .stored(.durable))
        harness.clock.advance(milliseconds: 1 << 40)
        harness.store.runUpkeep()
        #expect(harness.claim(claim(1)) == .recorded(answer("done"), epoch: reference.epoch))
    }

    // MARK: Size

    @Test("A full store refuses claims, replays, and finishes what is open", arguments: StoreKind.allCases)
    func full(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind, bytesMax: 256 << 10)
        let open = try harness.claimed(claim(1_000_000))
        var epochs: [UInt64: UInt64] = [:]
        var number: UInt64 = 0
        while true {
            number += 1
            let result = harness.claim(claim(number))
            guard case .claimed(let reference) = result else {
                #expect(result == .refused(.full))
                break
            }
            epochs[number] = reference.epoch
            #expect(
                harness.complete(reference, .answered(answer(String(repeating: "x", count: 2000)))) == .stored(.durable)
            )
            try #require(number < 1000)
        }
        for (number, epoch) in epochs {
            #expect(
                harness.claim(claim(number)) == .recorded(answer(String(repeating: "x", count: 2000)), epoch: epoch))
        }
        #expect(harness.complete(open, .answered(answer("open"))) == .stored(.durable))
        #expect(harness.store.statistics.refusedFull == 1)
        for number in epochs.keys where number % 2 == 0 {
            #expect(harness.resolve(key(number), .forget).isDone)
        }
        harness.clock.advance(milliseconds: 3_700_000)
        harness.store.runUpkeep()
        _ = try harness.claimed(claim(2_000_000))
    }

    // MARK: End

    @Test("A closed store refuses", arguments: StoreKind.allCases)
    func closing(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1))
        let waiter = harness.join(claim(1))
        harness.store.close()
        #expect(harness.replies.next(waiter) == .refused(.closing))
        #expect(harness.claim(claim(2)) == .refused(.closing))
        harness.store.markSent(reference)
        harness.store.close()
    }
}
