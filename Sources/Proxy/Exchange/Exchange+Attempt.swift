import HTTP
import Idempotency
import Observability
import Transport

/// The driver of the idempotency machine: what the store answers goes in, what to do comes out, and is done here.
extension Exchange {
    /// Gives the machine one event and performs its action.
    func run(_ event: (inout Attempt) -> Attempt.Action) {
        if let action = attempt?.apply(event) { perform(action) }
    }

    /// An answer of the store to this exchange.
    func storeAnswered(_ result: StoreResult) {
        switch result {
        case .stored(let storing):
            if case .failed = storing {
                context.telemetry.outcomeNotStored()
                recording.isKept = false
            }
            outcomeWasStored(storing)
            run { $0.outcomeStored(storing) }
        case .claimed(let claim):
            self.claim = claim
            if downstream == nil { context.submit(.undelivered(claim)) }
            run { $0.claimAnswered(result) }
        case .recorded(let answer, let epoch):
            if let key = identity?.key { replayed = ClaimReference(key: key, epoch: epoch) }
            rescuesAnswer = answer.isKnownLost
            run { $0.claimAnswered(result) }
        case .joined, .inFlight, .tooManyWaiters, .notKept, .unknown, .mismatch, .tooLate, .refused:
            run { $0.claimAnswered(result) }
        case .body(let result):
            if slicedReplay != nil { sliceRead(result) } else { pieceAnswered(result) }
        case .listed, .resolved:
            preconditionFailure("an answer was delivered that no exchange asked for")
        }
    }

    private func perform(_ action: Attempt.Action) {
        switch action {
        case .wait:
            break
        case .startWaiting(let milliseconds):
            timeline.outcome = .waited
            waitDeadline = context.worker.now.adding(milliseconds: milliseconds)
            downstream?.deadline = waitDeadline
        case .probe(let outcome, let milliseconds):
            probe(outcome, waitMilliseconds: milliseconds)
        case .claimAgain:
            claimAgain()
        case .forward:
            timeline.outcome = .first
            waitDeadline = .never
            downstream?.deadline = .never
            noteKeyChurn()
            forwardWhenWhole()
        case .forwardUnprotected:
            timeline.outcome = .unprotected
            waitDeadline = .never
            downstream?.deadline = .never
            forwardWhenWhole()
        case .replay(let answer):
            if timeline.outcome != .waited, timeline.outcome != .probed { timeline.outcome = .replayed }
            replay(answer)
        case .reject(let rejection):
            reject(rejection)
        case .leave(let rejection):
            if let key = identity?.key { context.submit(.leave(key, replyAddress)) }
            if let rejection { reject(rejection) } else { finish() }
        case .store(let claim, let kind):
            store(claim, kind)
        case .releaseAnswer:
            releaseAnswer()
        case .abort:
            abortClient()
        case .rejectAndListen(let rejection):
            rejectAndListen(rejection)
        case .end:
            finish()
        }
    }

    /// The request may go to the service, with its body, which a client that waits for a 100 has not sent.
    private func forwardWhenWhole() {
        if hasRequestEnded { collectedBodyEnded() } else { askForBody() }
    }

    private func store(_ claim: ClaimReference, _ kind: Attempt.OutcomeKind) {
        storedKind = kind
        if kind == .answer, recording.appendsInFlight > 0 {
            // A piece that is refused makes a tombstone of the answer.
            recording.unstored = claim
            return
        }
        let outcome: Outcome =
            switch kind {
            case .answer: takeOutcome()
            case .unknown(let cause): unknown(claim, cause)
            case .released: .released
            }
        context.submit(.complete(claim, outcome, replyAddress))
    }

    private func unknown(_ claim: ClaimReference, _ cause: UnknownCause) -> Outcome {
        noteUnknown(claim, cause)
        return .unknown(cause)
    }

    private func reject(_ rejection: Attempt.Rejection) {
        switch rejection {
        case .problem(let problem):
            noteOutcome(of: problem)
            refuse(problem, nil)
        case .notKept(let tombstone):
            timeline.outcome = .notKept
            refuse(tombstone)
        }
    }

    private func noteOutcome(of problem: Problem) {
        switch problem {
        case .inProgress: timeline.outcome = .inProgress
        case .keyReused: timeline.outcome = .mismatch
        case .firstSentOutOfRange: timeline.outcome = .invalidKey
        case .outcomeUnknown: timeline.outcome = .unknownOutcome
        case .storeFull, .storeUnavailable, .recordCorrupt: timeline.outcome = .storeError
        default: break
        }
    }

    /// A client that makes a new key for each attempt has no protection, and does not know.
    private func noteKeyChurn() {
        guard let route, let identity, identity.kind == .token else { return }
        let finding = context.shared.keyChurn.note(
            similarity: identity.similarity, key: identity.key.words.0,
            milliseconds: context.worker.now.nanoseconds / 1_000_000)
        switch finding {
        case .new: break
        case .churn: context.telemetry.keyChurned(route)
        case .displaced: context.telemetry.keyChurnDisplaced()
        }
    }

    /// The client is told; the connection to the service stays for a late answer.
    private func rejectAndListen(_ rejection: Attempt.Rejection) {
        if case .problem(let problem) = rejection, let downstream {
            sendProblem(problem, detail: nil, to: downstream)
        }
        releaseClient()
        guard let upstream else {
            run { $0.attemptFailed(.broken, clientWaits: false, partSent: false) }
            return
        }
        let limit = route?.lateAnswerLimitMilliseconds ?? 0
        upstream.deadline = context.worker.now.adding(milliseconds: limit)
        upstream.resumeReading()
    }

    /// The client's deadline passed while its answer was awaited. True if it was the wait for another attempt, or for
    /// a probe.
    func waitDeadlinePassed() -> Bool {
        guard let attempt, attempt.isWaiting else { return false }
        if context.worker.now < waitDeadline {
            downstream?.deadline = waitDeadline
            return true
        }
        run { $0.waitExpired() }
        return true
    }

    /// `replay undelivered` needs to know whether the client got every octet, and so does who gets an answer that was
    /// lost before. Elsewhere it costs too much; only that an answer did not arrive is noted.
    func noteDelivery(_ downstream: Downstream) {
        guard let claim = claim ?? replayed, let route else { return }
        guard route.tracksDelivery || rescuesAnswer else { return downstream.noteSent(claim) }
        let deliveries: DeliveryWatch = context.deliveries
        let rescuedRoute = rescuesAnswer ? route.label : nil
        downstream.watchDelivery(of: claim) { deliveries.watch($0, claim, rescuedRoute: rescuedRoute) }
    }
}
