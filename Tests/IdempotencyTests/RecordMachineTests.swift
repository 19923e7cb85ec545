import Testing

@testable import Idempotency

@Suite struct RecordMachineTests {
    static let answer = RecordedAnswer(status: 200, framing: .none, fieldLines: [], body: [])

    static func claim(
        _ payload: UInt64 = 1, joins: Bool = true, resends: Bool = false, afterDelivery: Bool = false
    ) -> RecordModel.Event {
        .claim(payload: payload, joins: joins, resends: resends, afterDelivery: afterDelivery)
    }

    static let everyEvent: [RecordModel.Event] = [
        claim(), claim(2), claim(joins: false), claim(resends: true), claim(afterDelivery: true),
        claim(2, afterDelivery: true), .stored,
        .notStored, .complete(.answered, isStale: false), .complete(.notKept, isStale: false),
        .complete(.unknown(.timedOut), isStale: false), .complete(.unknown(.broken), isStale: false),
        .complete(.released, isStale: false), .complete(.answered, isStale: true), .complete(.released, isStale: true),
        .ownerDied(wasSent: true), .ownerDied(wasSent: false), .outcomeNotStored, .delivered(isStale: false),
        .delivered(isStale: true),
        .leave(0), .leave(1), .pass(5), .pass(10), .expire, .resolve(.answer(answer)), .resolve(.release),
        .resolve(.forget),
    ]

    /// Tries every sequence; `count` counts them.
    static func enumerate(
        _ events: [RecordModel.Event], depth: Int, from model: RecordModel = RecordModel(),
        path: [RecordModel.Event] = [],
        count: inout Int
    ) throws {
        guard depth > 0 else { return count += 1 }
        for event in events {
            var next = model
            do {
                try next.apply(event)
            } catch {
                throw RecordModel.Failure(description: "\(path + [event]): \(error)")
            }
            try enumerate(events, depth: depth - 1, from: next, path: path + [event], count: &count)
        }
    }

    @Test func everySequenceOfFourOfAllEvents() throws {
        var count = 0
        try Self.enumerate(Self.everyEvent, depth: 4, count: &count)
        #expect(count == 28 * 28 * 28 * 28)
    }

    /// Waiting, handing over and late answers.
    @Test func everySequenceOfSevenOfOneLife() throws {
        var count = 0
        let events: [RecordModel.Event] = [
            Self.claim(), Self.claim(2), .complete(.answered, isStale: false),
            .complete(.unknown(.timedOut), isStale: false),
            .complete(.released, isStale: false), .leave(0), .pass(10),
        ]
        try Self.enumerate(events, depth: 7, count: &count)
        #expect(count == 823_543)
    }

    /// Claims that take the place of an outcome, and commits that fail.
    @Test func everySequenceOfSixOfReplacement() throws {
        var count = 0
        let events: [RecordModel.Event] = [
            Self.claim(resends: true, afterDelivery: true), .stored, .notStored, .complete(.answered, isStale: false),
            .complete(.unknown(.broken), isStale: false), .complete(.released, isStale: false),
            .delivered(isStale: false),
            .outcomeNotStored, .pass(10),
        ]
        try Self.enumerate(events, depth: 6, count: &count)
        #expect(count == 531_441)
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func randomWalks(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for walk in 0..<200 {
            var model = RecordModel()
            var path: [RecordModel.Event] = []
            for _ in 0..<100 {
                let event = Self.everyEvent.randomElement(using: &random) ?? .expire
                path.append(event)
                do {
                    try model.apply(event)
                } catch {
                    Issue.record("seed \(seed), walk \(walk): \(path): \(error)")
                    return
                }
            }
        }
    }

    // MARK: Lives worth reading

    static func claimed(_ machine: inout RecordMachine, epoch: UInt64 = 1, now: UInt64 = 0) {
        let claim = Claim(
            key: Digest256(words: (0, 0, 0, 0)), fingerprint: Digest256(words: (1, 0, 0, 0)), retentionMilliseconds: 10)
        let action = machine.claim(
            claim, from: ReplyAddress(worker: 0, exchange: epoch), newEpoch: epoch, nowMilliseconds: now)
        #expect(machine.epoch == epoch && machine.state == .inFlight, "\(action)")
        machine.claimStored(epoch: epoch)
    }

    /// The claim of epoch 1 ends.
    static func complete(_ machine: inout RecordMachine, _ ending: RecordMachine.Ending) -> RecordMachine.CompleteAction
    {
        machine.complete(ending, epoch: 1, nextEpoch: 9, nextExpiresAtMilliseconds: 0)
    }

    @Test func aLateAnswerTurnsUnknownIntoCompleted() {
        var machine = RecordMachine()
        Self.claimed(&machine)
        #expect(Self.complete(&machine, .unknown(.timedOut)) == .settled([]))
        #expect(machine.state == .unknown(.timedOut))
        #expect(Self.complete(&machine, .answered) == .settled([]))
        #expect(machine.state == .completed)
        #expect(Self.complete(&machine, .answered) == .stale)
    }

    @Test func aStaleOwnerChangesNothing() {
        var machine = RecordMachine()
        Self.claimed(&machine)
        _ = Self.complete(&machine, .released)
        Self.claimed(&machine, epoch: 2)
        let before = machine
        for ending in [RecordMachine.Ending.answered, .notKept, .unknown(.broken), .released] {
            #expect(Self.complete(&machine, ending) == .stale)
        }
        #expect(machine == before)
    }

    @Test func aClaimInFlightDoesNotExpire() {
        var machine = RecordMachine()
        Self.claimed(&machine)
        #expect(!machine.hasExpired(.max))
        _ = Self.complete(&machine, .answered)
        #expect(!machine.hasExpired(9))
        #expect(machine.hasExpired(10))
    }

    @Test func whatAFailedClaimReplacedStandsAgain() {
        var machine = RecordMachine(
            restoring: .completed, kind: .hash, fingerprint: Digest256(words: (1, 0, 0, 0)), epoch: 1,
            expiresAtMilliseconds: 50,
            isDelivered: true)
        let before = machine
        var claim = Claim(
            key: Digest256(words: (0, 0, 0, 0)), fingerprint: before.fingerprint, kind: .hash, retentionMilliseconds: 10
        )
        claim.runsAfterDelivery = true
        let address = ReplyAddress(worker: 0, exchange: 1)
        let first = machine.claim(claim, from: address, newEpoch: 2, nowMilliseconds: 0)
        #expect(first == .claim(replacing: 1))
        let second = machine.claim(claim, from: address, newEpoch: 3, nowMilliseconds: 0)
        #expect(second == .joined)
        let refused = machine.claimNotStored(epoch: 2)
        #expect(refused == [address])
        #expect(machine == before)
    }

    @Test func retentionDoesNotOverflow() {
        var machine = RecordMachine()
        let claim = Claim(
            key: Digest256(words: (0, 0, 0, 0)), fingerprint: Digest256(words: (1, 0, 0, 0)),
            retentionMilliseconds: .max)
        _ = machine.claim(claim, from: ReplyAddress(worker: 0, exchange: 1), newEpoch: 1, nowMilliseconds: 5)
        #expect(machine.expiresAtMilliseconds == .max)
    }
}
