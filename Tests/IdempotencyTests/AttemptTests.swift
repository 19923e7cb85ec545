import Testing

@testable import Idempotency

@Suite struct AttemptTests {
    struct Broken: Error, CustomStringConvertible {
        var description: String
    }

    // MARK: All sequences

    /// Tries every sequence of possible events; `count` counts those that reach an end.
    private func enumerate(
        _ model: AttemptModel, depth: Int, path: inout [AttemptModel.Event], count: inout Int
    ) throws {
        // From everywhere there is a way to the end.
        try finish(model, path)
        let events = model.possibleEvents
        if events.isEmpty { count += 1 }
        guard depth > 0 else { throw Broken(description: "\(path): longer than any attempt should be") }
        for event in events {
            var next = model
            path.append(event)
            do {
                try next.apply(event)
            } catch {
                throw Broken(description: "\(path): \(error)")
            }
            try enumerate(next, depth: depth - 1, path: &path, count: &count)
            path.removeLast()
        }
    }

    private func finish(_ model: AttemptModel, _ path: [AttemptModel.Event]) throws {
        var model = model
        do {
            try model.finish()
        } catch {
            throw Broken(description: "\(path), finished: \(error)")
        }
    }

    /// Their number is finite: nothing that happens to an attempt happens to it again for ever.
    @Test(arguments: [Policy.OnStoreError.reject, .pass], [false, true])
    func everySequenceThereIs(_ onStoreError: Policy.OnStoreError, probes: Bool) throws {
        var count = 0
        var path: [AttemptModel.Event] = []
        let model = AttemptModel(onStoreError, probes: probes)
        try enumerate(model, depth: 20, path: &path, count: &count)
        #expect(count > 10_000)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func randomWalks(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for walk in 0..<2_000 {
            var model = AttemptModel(
                Bool.random(using: &random) ? .reject : .pass, probes: Bool.random(using: &random))
            var path: [AttemptModel.Event] = []
            do {
                for _ in 0..<24 {
                    guard let event = model.possibleEvents.randomElement(using: &random) else { break }
                    path.append(event)
                    try model.apply(event)
                }
                try model.finish()
            } catch {
                Issue.record("seed \(seed), walk \(walk): \(path): \(error)")
                return
            }
        }
    }

    // MARK: Lives worth reading

    private static func forwarded() -> Attempt {
        var attempt = Attempt(policy: AttemptPolicy(Policy()))
        #expect(attempt.claimAnswered(.claimed(AttemptModel.claim)) == .forward(AttemptModel.claim))
        return attempt
    }

    @Test func aLateAnswerIsStoredAndNobodyIsTold() {
        var attempt = Self.forwarded()
        #expect(
            attempt.attemptFailed(.timedOut, clientWaits: true, partSent: false)
                == .store(AttemptModel.claim, .unknown(.timedOut)))
        #expect(attempt.outcomeStored(.durable) == .rejectAndListen(.problem(.upstreamTimedOut)))
        #expect(attempt.ownsClaim)
        #expect(attempt.answerStarted(status: 201) == .wait)
        #expect(attempt.answerEnded(clientWaits: false) == .store(AttemptModel.claim, .answer))
        #expect(attempt.outcomeStored(.durable) == .end)
        #expect(attempt.isEnded)
    }

    @Test func theClientGetsTheTrueAnswerThoughItCannotBeStored() {
        var attempt = Self.forwarded()
        #expect(attempt.answerStarted(status: 201) == .wait)
        #expect(attempt.answerEnded(clientWaits: true) == .store(AttemptModel.claim, .answer))
        #expect(attempt.outcomeStored(.failed(.diskFull)) == .releaseAnswer)
    }

    @Test func aClientThatLeavesDoesNotCancelWhatIsForwarded() {
        var attempt = Self.forwarded()
        #expect(attempt.clientLeft() == .wait)
        #expect(attempt.answerStarted(status: 201) == .wait)
        #expect(attempt.clientLeft() == .wait)
        #expect(attempt.answerEnded(clientWaits: true) == .store(AttemptModel.claim, .answer))
    }

    @Test func aClaimThatMeetsALeftWaiterIsGivenBack() {
        var attempt = Attempt(policy: AttemptPolicy(Policy()))
        #expect(attempt.claimAnswered(.joined) == .startWaiting(milliseconds: 10_000))
        #expect(attempt.clientLeft() == .leave(nil))
        #expect(attempt.claimAnswered(.claimed(AttemptModel.claim)) == .store(AttemptModel.claim, .released))
        #expect(attempt.outcomeStored(.durable) == .wait)
    }

    /// A waiter without a client would take a place that another client could use, and no timer would end its wait.
    @Test func aClientThatLeftBeforeItCouldJoinDoesNotWait() {
        var attempt = Attempt(policy: AttemptPolicy(Policy()))
        #expect(attempt.clientLeft() == .wait)
        #expect(attempt.claimAnswered(.joined) == .leave(nil))
        #expect(attempt.isEnded)
        #expect(attempt.claimAnswered(.claimed(AttemptModel.claim)) == .store(AttemptModel.claim, .released))
    }

    /// A service may answer before it has taken an octet of the request, and break off.
    @Test func anAnswerThatBrokeOffIsNotFollowedByAProblem() {
        var attempt = Self.forwarded()
        #expect(attempt.answerStarted(status: 201) == .wait)
        #expect(
            attempt.attemptFailed(.notSent(.notSent), clientWaits: true, partSent: true)
                == .store(AttemptModel.claim, .released))
        #expect(attempt.outcomeStored(.durable) == .abort)
    }
}
