/// One covered exchange, from its claim to its end: what to do after each thing that happens. Pure; the driver performs
/// the actions.
///
/// ```
/// claiming ──claimed──▶ forwarding ──head──▶ answering ──end──▶ storing ──stored──▶ ended
///   │  │                  │   │                 └─broken──────▶ storing
///   │  │                  │   └─failed, not sent / sent ──────▶ storing
///   │  │                  └─timed out──▶ storing ──stored──▶ late ──answer's end──▶ storing ──▶ ended
///   │  ├─joined──▶ joined ──recorded, unknown, claimed, …──▶ as from claiming
///   │  └─unknown, with a probe──▶ probing ──decided──▶ claiming
///   │                               └─undecided──▶ ended
///   └─recorded, mismatch, unknown, refused, … ──▶ ended
/// ```
/// Exits: claiming → joined, probing, forwarding, unprotected, ended; joined → probing, forwarding, ended; probing →
/// claiming, ended; forwarding → answering, storing; answering → storing; storing → late, ended; late → storing, ended;
/// unprotected → ended. An attempt probes once.
package struct Attempt: Sendable {
    private enum State: Sendable {
        /// The store was asked.
        case claiming
        /// Another attempt runs; its end is awaited.
        case joined
        /// The service is asked what became of the attempt before.
        case probing
        /// The claim is ours; no answer yet.
        case forwarding(ClaimReference)
        /// The head of the final answer is here.
        case answering(ClaimReference, StatusRules.Rule)
        /// The outcome is on its way to the store.
        case storing(ClaimReference, Ending)
        /// The client was told that the outcome is unknown; the service may still answer.
        case late(ClaimReference)
        /// Forwarded without claim, because the store failed and the route says `on_store_error pass`.
        case unprotected
        case ended
    }

    /// What follows when the store has the outcome.
    private enum Ending: Equatable, Sendable {
        case releaseAnswer
        case reject(Rejection)
        case abort
        /// Tell the client, and keep listening to the service.
        case rejectAndListen(Rejection)
        /// A late answer was stored; no client waits.
        case endQuietly
    }

    /// An answer of the proxy's own instead of the service's.
    package enum Rejection: Equatable, Sendable {
        case problem(Problem)
        /// The answer was not kept; its status, size and digest are told.
        case notKept(Tombstone)
    }

    /// What to do next. Ids and values only.
    package enum Action: Equatable, Sendable {
        /// Nothing until the next event.
        case wait
        /// Start the wait timer of `in_flight wait`.
        case startWaiting(milliseconds: UInt64)
        /// Ask the service what became of this outcome, or wait for who asks already, at most so long.
        case probe(UnknownOutcome, waitMilliseconds: UInt64)
        /// Ask the store again for the claim.
        case claimAgain
        /// Send the request to the service. Mark the claim as sent before the first octet.
        case forward(ClaimReference)
        case forwardUnprotected
        case replay(RecordedAnswer)
        case reject(Rejection)
        /// Tell the store that this waiter is gone; then reject, when a client still listens.
        case leave(Rejection?)
        case store(ClaimReference, OutcomeKind)
        /// Send what was held back of the answer: the exchange is complete.
        case releaseAnswer
        /// The answer broke off after a part of it was sent: close the client's connection without ending the message.
        case abort
        /// Tell the client; keep the upstream connection for a late answer.
        case rejectAndListen(Rejection)
        /// Nobody waits for anything any more.
        case end
    }

    /// Which outcome to store; the driver holds the answer itself.
    package enum OutcomeKind: Equatable, Sendable {
        /// The recorded answer, or its tombstone where the body was too large.
        case answer
        case unknown(UnknownCause)
        case released
    }

    /// How an attempt to reach the service failed.
    package enum Failure: Equatable, Sendable {
        /// Provably no octet of the request was given to the network.
        case notSent(Problem)
        /// The connection broke, or the answer was malformed.
        case broken
        /// No answer within the time limit; the connection still stands.
        case timedOut
    }

    private var state: State
    /// Matters only before the claim is answered: who has left does not wait.
    private var clientHasLeft = false
    private var hasProbed = false
    private let policy: AttemptPolicy

    package init(policy: AttemptPolicy) {
        self.state = .claiming
        self.policy = policy
    }

    /// True while an octet may have gone to the service and the outcome is not stored.
    package var ownsClaim: Bool {
        switch state {
        case .forwarding, .answering, .storing, .late: true
        case .claiming, .joined, .probing, .unprotected, .ended: false
        }
    }

    /// Another attempt's end, or a probe's, is awaited, for a limited time.
    package var isWaiting: Bool {
        switch state {
        case .joined, .probing: true
        case .claiming, .forwarding, .answering, .storing, .late, .unprotected, .ended: false
        }
    }

    /// The request may be given to another connection: nothing of an answer has come, and no outcome is decided.
    package var isForwarding: Bool {
        switch state {
        case .forwarding, .unprotected: true
        case .claiming, .joined, .probing, .answering, .storing, .late, .ended: false
        }
    }

    /// What becomes of the answer that is being received; nil where there is none.
    package var answerRule: StatusRules.Rule? {
        if case .answering(_, let rule) = state { rule } else { nil }
    }

    /// The request may still be sent: what comes of its body is wanted.
    package var mayForward: Bool {
        switch state {
        case .claiming, .joined, .probing, .forwarding, .unprotected: true
        case .answering, .storing, .late, .ended: false
        }
    }

    package var isEnded: Bool {
        if case .ended = state { true } else { false }
    }

    // MARK: Events

    /// Gives the machine one event, in place.
    package mutating func apply(_ event: (inout Attempt) -> Action) -> Action { event(&self) }

    /// The store answered the claim, or, later, the join.
    package mutating func claimAnswered(_ result: StoreResult) -> Action {
        switch state {
        case .claiming:
            if case .joined = result {
                if clientHasLeft {
                    state = .ended
                    return .leave(nil)
                }
                state = .joined
                return .startWaiting(milliseconds: policy.waitMilliseconds)
            }
            return decide(result)
        case .joined:
            return decide(result)
        case .ended:
            // The waiter left while the store handed it the claim: give the claim back, nothing was sent.
            if case .claimed(let claim) = result { return .store(claim, .released) }
            return .wait
        case .probing, .forwarding, .answering, .storing, .late, .unprotected:
            preconditionFailure("a claim was answered twice")
        }
    }

    private mutating func decide(_ result: StoreResult) -> Action {
        switch result {
        case .claimed(let claim):
            state = .forwarding(claim)
            return .forward(claim)
        case .recorded(let answer, _):
            state = .ended
            return .replay(answer)
        case .notKept(let tombstone):
            state = .ended
            return .reject(.notKept(tombstone))
        case .unknown(let outcome):
            guard policy.probes, !hasProbed, !clientHasLeft else { return reject(.outcomeUnknown) }
            hasProbed = true
            state = .probing
            return .probe(outcome, waitMilliseconds: policy.waitMilliseconds)
        case .mismatch:
            return reject(.keyReused)
        case .tooLate:
            return reject(.firstSentOutOfRange)
        case .inFlight, .tooManyWaiters:
            return reject(.inProgress)
        case .refused(let refusal):
            return decideRefusal(refusal)
        case .joined, .stored, .body, .listed, .resolved:
            preconditionFailure("not an answer to a claim")
        }
    }

    private mutating func decideRefusal(_ refusal: StoreRefusal) -> Action {
        // A damaged record is a record: running the request again could run it twice, whatever the route says of store
        // errors.
        if refusal == .corrupt { return reject(.recordCorrupt) }
        if policy.onStoreError == .pass {
            state = .unprotected
            return .forwardUnprotected
        }
        return reject(refusal == .full ? .storeFull : .storeUnavailable)
    }

    private mutating func reject(_ problem: Problem) -> Action {
        state = .ended
        return .reject(.problem(problem))
    }

    /// The wait timer passed.
    package mutating func waitExpired() -> Action {
        switch state {
        case .joined:
            state = .ended
            return .leave(.problem(.inProgress))
        case .probing:
            return reject(.outcomeUnknown)
        case .claiming, .forwarding, .answering, .storing, .late, .unprotected, .ended:
            return .wait
        }
    }

    /// The probe has ended. `decided`: the store was told what became of the attempt before, or knows it already.
    package mutating func probeEnded(decided: Bool) -> Action {
        switch state {
        case .probing:
            guard decided else { return reject(.outcomeUnknown) }
            state = .claiming
            return .claimAgain
        case .ended:
            return .wait
        case .claiming, .joined, .forwarding, .answering, .storing, .late, .unprotected:
            preconditionFailure("a probe ended that nobody waited for")
        }
    }

    /// The final answer's head was received (never a 1xx).
    package mutating func answerStarted(status: Int) -> Action {
        switch state {
        case .forwarding(let claim), .late(let claim):
            state = .answering(claim, policy.statuses[status])
        case .unprotected:
            break
        case .claiming, .joined, .probing, .answering, .storing, .ended:
            preconditionFailure("an answer without an attempt")
        }
        return .wait
    }

    /// The whole answer was received. `clientWaits` is false when the client was already told otherwise (a late
    /// answer).
    package mutating func answerEnded(clientWaits: Bool) -> Action {
        switch state {
        case .answering(let claim, let rule):
            state = .storing(claim, clientWaits ? .releaseAnswer : .endQuietly)
            switch rule {
            case .record: return .store(claim, .answer)
            case .release: return .store(claim, .released)
            case .unknown: return .store(claim, .unknown(.status))
            }
        case .unprotected:
            state = .ended
            return .releaseAnswer
        case .claiming, .joined, .probing, .forwarding, .storing, .late, .ended:
            preconditionFailure("an answer's end without its head")
        }
    }

    /// The service could not be reached, or the connection to it failed, or it took too long.
    /// - Parameters:
    ///   - clientWaits: false when the client was already told otherwise.
    ///   - partSent: an octet of the service's answer has gone to the client.
    package mutating func attemptFailed(_ failure: Failure, clientWaits: Bool, partSent: Bool) -> Action {
        switch state {
        case .forwarding(let claim):
            return failed(claim, failure, headReceived: false, clientWaits: clientWaits, partSent: partSent)
        case .answering(let claim, _):
            return failed(claim, failure, headReceived: true, clientWaits: clientWaits, partSent: partSent)
        case .late:
            // The record is unknown already.
            state = .ended
            return .end
        case .unprotected:
            state = .ended
            if partSent { return .abort }
            switch failure {
            case .notSent(let problem): return .reject(.problem(problem))
            case .broken: return .reject(.problem(.upstreamBroken))
            case .timedOut: return .reject(.problem(.upstreamTimedOut))
            }
        case .storing:
            // The outcome is decided; what happens to the connection afterwards does not matter.
            return .wait
        case .claiming, .joined, .probing, .ended:
            preconditionFailure("a failure without an attempt")
        }
    }

    private mutating func failed(
        _ claim: ClaimReference, _ failure: Failure, headReceived: Bool, clientWaits: Bool, partSent: Bool
    ) -> Action {
        switch failure {
        case .notSent(let problem):
            // A service may answer before it has taken an octet, and break off.
            let told: Ending = partSent ? .abort : .reject(.problem(problem))
            state = .storing(claim, clientWaits ? told : .endQuietly)
            return .store(claim, .released)
        case .broken:
            let told: Ending = partSent ? .abort : .reject(.problem(.upstreamBroken))
            state = .storing(claim, clientWaits ? told : .endQuietly)
            return .store(claim, .unknown(.broken))
        case .timedOut:
            if headReceived {
                let told: Ending = partSent ? .abort : .reject(.problem(.upstreamTimedOut))
                state = .storing(claim, clientWaits ? told : .endQuietly)
            } else {
                state = .storing(claim, .rejectAndListen(.problem(.upstreamTimedOut)))
            }
            return .store(claim, .unknown(.timedOut))
        }
    }

    /// The store took the outcome, or failed to. Either way the client gets the true answer: the service has executed.
    package mutating func outcomeStored(_ storing: Storing) -> Action {
        switch state {
        case .storing(let claim, let ending):
            switch ending {
            case .releaseAnswer:
                state = .ended
                return .releaseAnswer
            case .reject(let rejection):
                state = .ended
                return .reject(rejection)
            case .abort:
                state = .ended
                return .abort
            case .rejectAndListen(let rejection):
                state = .late(claim)
                return .rejectAndListen(rejection)
            case .endQuietly:
                state = .ended
                return .end
            }
        case .ended:
            // The claim that a waiter gave back.
            return .wait
        case .claiming, .joined, .probing, .forwarding, .answering, .late, .unprotected:
            preconditionFailure("an outcome was stored that was not given")
        }
    }

    /// The client's connection is gone. A forwarded attempt goes on without it.
    package mutating func clientLeft() -> Action {
        switch state {
        case .joined:
            state = .ended
            return .leave(nil)
        case .unprotected, .probing:
            // A probe goes on without whoever asked for it.
            state = .ended
            return .end
        case .claiming:
            // The request is whole, so it is executed all the same if the claim is given; but nobody joins for this
            // client.
            clientHasLeft = true
            return .wait
        case .forwarding, .answering, .storing, .late, .ended:
            return .wait
        }
    }
}

/// The part of a route's policy that an attempt needs.
package struct AttemptPolicy: Sendable, Equatable {
    package var statuses: StatusRules
    package var onStoreError: Policy.OnStoreError
    package var waitMilliseconds: UInt64
    /// A repeat that meets an unknown outcome asks the service about it.
    package var probes: Bool

    package init(_ policy: Policy) {
        statuses = policy.statuses
        if case .probe = policy.onUnknown { probes = true } else { probes = false }
        onStoreError = policy.onStoreError
        switch policy.inFlight {
        case .wait(let milliseconds): waitMilliseconds = milliseconds
        case .reject: waitMilliseconds = 0
        }
    }
}
