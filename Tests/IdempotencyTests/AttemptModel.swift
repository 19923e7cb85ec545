@testable import Idempotency

/// The world around one attempt, kept as plain facts: what the store owes, what the connection has done, what the
/// client was told. Applies events to an attempt and checks each action against the promises of product.md. Knows
/// nothing of the attempt's states.
struct AttemptModel {
    enum Event: Equatable, CustomStringConvertible {
        case claimAnswered(StoreResult)
        case waitExpired
        case probeEnded(Bool)
        /// An octet of the request goes to the network. The machine is not told; later failures are.
        case octetSent
        case answerStarted(Int)
        /// An octet of the answer goes to the client. The machine is told with the failure, if one comes.
        case partGiven
        case answerEnded
        case failed(Attempt.Failure)
        case outcomeStored(Storing)
        case clientLeft

        var description: String {
            switch self {
            case .claimAnswered(.claimed): "claimed"
            case .claimAnswered(let result): "store: \(result)"
            case .waitExpired: "waitExpired"
            case .probeEnded(let decided): "probeEnded(\(decided))"
            case .octetSent: "octetSent"
            case .answerStarted(let status): "answerStarted(\(status))"
            case .partGiven: "partGiven"
            case .answerEnded: "answerEnded"
            case .failed(let failure): "failed(\(failure))"
            case .outcomeStored(let storing): "outcomeStored(\(storing))"
            case .clientLeft: "clientLeft"
            }
        }
    }

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// What the exchange does with its connection to the service.
    private enum Connection {
        case none
        case open
        /// Not read until the store knows that the outcome is unknown.
        case paused
        case lost
    }

    static let claim = ClaimReference(key: Digest256(words: (1, 2, 3, 4)), epoch: 7)
    static let answer = RecordedAnswer(status: 201, framing: .none, fieldLines: [], body: [])
    static let tombstone = Tombstone(status: 201, bodyBytes: 9, bodyDigest: Digest256(words: (0, 0, 0, 0)))
    /// One status of each rule.
    static let statuses = [201, 503, 502]
    static let unknown = UnknownOutcome(cause: .broken, epoch: 5, ageMilliseconds: 9)
    static let storeResults: [StoreResult] = [
        .claimed(claim), .joined, .inFlight, .tooManyWaiters, .recorded(answer, epoch: 1), .notKept(tombstone),
        .unknown(unknown), .mismatch, .tooLate, .refused(.full), .refused(.failed), .refused(.corrupt),
    ]

    private let policy: Policy
    private var attempt: Attempt

    // What the store owes and has.
    private var awaitsClaim = true
    private var hasJoined = false
    private var hasLeft = false
    /// The timer runs once; it may run after the wait is over.
    private var hasWaitExpired = false
    /// A probe runs whose end will be told.
    private var isProbing = false
    private var probes = 0
    private var isGranted = false
    private var isUnprotected = false
    private var outcomes: [Attempt.OutcomeKind] = []
    /// Outcomes that are on their way to the store.
    private var outcomesUnanswered = 0

    // What the connection has done.
    private var connection = Connection.none
    private var forwards = 0
    private var hasSent = false
    private var status: Int?
    private var hasAnswerEnded = false
    private var firstFailure: Attempt.Failure?
    private var owesLoss = false

    // What the client got.
    private var clientIsHere = true
    private var isPartGiven = false
    private var isTold = false
    private var isListening = false
    private var isOver = false

    init(_ onStoreError: Policy.OnStoreError, probes: Bool = false) {
        var policy = Policy()
        policy.onStoreError = onStoreError
        if probes { policy.onUnknown = .probe(Probe(target: Template([.literal("/")]))) }
        self.policy = policy
        attempt = Attempt(policy: AttemptPolicy(policy))
    }

    // MARK: What can happen

    /// Every event that the exchange, the store, the service and the client can make happen here.
    var possibleEvents: [Event] {
        var events: [Event] = []
        if awaitsClaim {
            for result in Self.storeResults where result != .joined || !hasJoined {
                events.append(.claimAnswered(result))
            }
        }
        if outcomesUnanswered > 0 {
            events += [.outcomeStored(.durable), .outcomeStored(.failed(.failed)), .outcomeStored(.stale)]
        }
        if isProbing { events += [.probeEnded(true), .probeEnded(false)] }
        guard !isOver else { return events }
        if isProbing { events.append(.waitExpired) }
        if hasJoined && !hasWaitExpired { events.append(.waitExpired) }
        if clientIsHere && !isListening { events.append(.clientLeft) }
        switch connection {
        case .none: break
        case .paused: events.append(.failed(.broken))
        // Lost while paused: the exchange says so as soon as it would listen.
        case .lost: if owesLoss { return [.failed(.broken)] + events }
        case .open:
            if !hasSent { events += [.octetSent, .failed(.notSent(.notSent))] }
            events += [.failed(.broken), .failed(.timedOut)]
            if status == nil { events += Self.statuses.map { .answerStarted($0) } } else { events.append(.answerEnded) }
            if status != nil, !isPartGiven, clientIsHere, !isListening { events.append(.partGiven) }
        }
        return events
    }

    // MARK: Applying

    mutating func apply(_ event: Event) throws {
        switch event {
        case .octetSent:
            hasSent = true
            return
        case .partGiven:
            isPartGiven = true
            return
        default: break
        }
        note(event)
        try check(perform(event), after: event)
        try expect(attempt.isEnded == isOver, "isEnded is \(attempt.isEnded)")
        try expect(attempt.ownsClaim == (isGranted && forwards > 0 && !isOver), "ownsClaim is \(attempt.ownsClaim)")
        let waits = (hasJoined && awaitsClaim || isProbing) && !isOver
        try expect(attempt.isWaiting == waits, "isWaiting is \(attempt.isWaiting)")
    }

    private mutating func note(_ event: Event) {
        switch event {
        case .claimAnswered(.joined): hasJoined = true
        case .claimAnswered(.claimed):
            awaitsClaim = false
            isGranted = true
        case .claimAnswered: awaitsClaim = false
        case .answerStarted(let started): status = started
        case .answerEnded:
            hasAnswerEnded = true
            connection = .none
        case .failed(let failure):
            if connection == .open, firstFailure == nil { firstFailure = failure }
            let keepsListening = failure == .timedOut && status == nil && isGranted && !isListening
            connection = keepsListening ? .paused : .lost
            owesLoss = false
        case .outcomeStored: outcomesUnanswered -= 1
        case .clientLeft: clientIsHere = false
        case .waitExpired: hasWaitExpired = true
        case .probeEnded(let decided):
            isProbing = false
            if decided, !isOver {
                awaitsClaim = true
                hasJoined = false
                hasWaitExpired = false
            }
        case .octetSent, .partGiven: break
        }
    }

    private mutating func perform(_ event: Event) -> Attempt.Action {
        switch event {
        case .claimAnswered(let result): attempt.claimAnswered(result)
        case .waitExpired: attempt.waitExpired()
        case .probeEnded(let decided): attempt.probeEnded(decided: decided)
        case .answerStarted(let status): attempt.answerStarted(status: status)
        case .answerEnded: attempt.answerEnded(clientWaits: !isListening)
        case .failed(let failure): attempt.attemptFailed(failure, clientWaits: !isListening, partSent: isPartGiven)
        case .outcomeStored(let storing): attempt.outcomeStored(storing)
        case .clientLeft: attempt.clientLeft()
        case .octetSent, .partGiven: .wait
        }
    }

    // MARK: Promises

    private mutating func check(_ action: Attempt.Action, after event: Event) throws {
        switch action {
        case .wait: break
        case .startWaiting(let milliseconds):
            try expect(event == .claimAnswered(.joined) && milliseconds == 10_000, "waits for nothing")
            try expect(clientIsHere, "waits for a client that has left")
        case .probe(let outcome, let milliseconds):
            try expect(event == .claimAnswered(.unknown(outcome)) && outcome == Self.unknown, "probes what is known")
            try expect(AttemptPolicy(policy).probes && probes == 0, "probes again, or against the policy")
            try expect(milliseconds == 10_000 && clientIsHere, "waits for nobody")
            probes += 1
            isProbing = true
        case .claimAgain:
            try expect(event == .probeEnded(true) && !isGranted, "claims again for no reason")
        case .forward(let claim):
            try expect(event == .claimAnswered(.claimed(claim)), "forwards without a claim")
            try forward()
        case .forwardUnprotected:
            try expect(
                event == .claimAnswered(.refused(.full)) || event == .claimAnswered(.refused(.failed)),
                "forwards unprotected")
            try expect(policy.onStoreError == .pass, "forwards unprotected against the policy")
            isUnprotected = true
            try forward()
        case .replay(let answer):
            try expect(event == .claimAnswered(.recorded(answer, epoch: 1)), "replays what is not recorded")
            try end(telling: true)
        case .reject(let rejection):
            try expect(!isPartGiven, "a problem in the middle of an answer")
            try expect(rejection == expectedRejection(event), "rejects with \(rejection)")
            if forwards > 0 { try expectStored() }
            try end(telling: true)
        case .leave(let rejection):
            try expect(hasJoined && !isGranted && !hasLeft, "leaves where it does not wait")
            try expect((rejection == nil) == !clientIsHere, "leaves with \(String(describing: rejection))")
            hasLeft = true
            try end(telling: rejection != nil)
        case .store(let claim, let kind): try store(claim, kind, event)
        case .releaseAnswer:
            try expect(hasAnswerEnded, "releases an answer that has not ended")
            try expectStored()
            try end(telling: true)
        case .abort:
            try expect(isPartGiven && !hasAnswerEnded, "aborts an answer that can be completed or replaced")
            try expectStored()
            try end(telling: true)
        case .rejectAndListen(let rejection):
            try expect(rejection == .problem(.upstreamTimedOut) && outcomes == [.unknown(.timedOut)], "listens")
            try expect(!isTold && !isPartGiven, "told twice")
            isTold = true
            isListening = true
            if connection == .paused { connection = .open } else { owesLoss = true }
        case .end:
            try expect(isListening || !clientIsHere, "ends while the client waits")
            if !isUnprotected, forwards > 0 { try expectStored() }
            try end(telling: false)
        }
    }

    private mutating func forward() throws {
        try expect(!isOver && forwards == 0, "forwards again")
        forwards += 1
        connection = .open
    }

    /// What must be stored follows from what happened, and from nothing else.
    private mutating func store(_ claim: ClaimReference, _ kind: Attempt.OutcomeKind, _ event: Event) throws {
        try expect(claim == Self.claim && isGranted, "stores an outcome of no claim")
        outcomesUnanswered += 1
        if forwards == 0 {
            try expect(isOver && kind == .released && outcomes.isEmpty, "gives back \(kind)")
            outcomes.append(kind)
            return
        }
        try expect(outcomes.isEmpty || (isListening && outcomes == [.unknown(.timedOut)]), "a second outcome")
        try expect(outcomesUnanswered == 1, "an outcome before the one before is answered")
        let expected: Attempt.OutcomeKind? =
            switch event {
            case .answerEnded where status == 201: .answer
            case .answerEnded where status == 503: .released
            case .answerEnded: .unknown(.status)
            case .failed(.notSent) where !hasSent: .released
            case .failed(.broken): .unknown(.broken)
            case .failed(.timedOut): .unknown(.timedOut)
            default: nil
            }
        try expect(kind == expected, "stores \(kind)")
        if kind == .released { try expect(!hasSent || status == 503, "released after an octet was sent") }
        outcomes.append(kind)
    }

    private func expectStored() throws {
        guard !isUnprotected else { return }
        try expect(isGranted && !outcomes.isEmpty && outcomesUnanswered == 0, "ends before the outcome is stored")
    }

    private mutating func end(telling: Bool) throws {
        try expect(!isOver, "ends twice")
        try expect(!(telling && isTold), "the client is told twice")
        if telling { isTold = true }
        isOver = true
        connection = .none
    }

    private func expectedRejection(_ event: Event) -> Attempt.Rejection? {
        switch event {
        case .claimAnswered(let result):
            switch result {
            case .notKept(let tombstone): return .notKept(tombstone)
            case .unknown where !AttemptPolicy(policy).probes || probes > 0 || !clientIsHere:
                return .problem(.outcomeUnknown)
            case .mismatch: return .problem(.keyReused)
            case .tooLate: return .problem(.firstSentOutOfRange)
            case .inFlight, .tooManyWaiters: return .problem(.inProgress)
            case .refused(.corrupt): return .problem(.recordCorrupt)
            case .refused(let refusal) where policy.onStoreError == .reject:
                return .problem(refusal == .full ? .storeFull : .storeUnavailable)
            default: return nil
            }
        case .probeEnded(false), .waitExpired: return .problem(.outcomeUnknown)
        case .outcomeStored, .failed:
            switch firstFailure {
            case .notSent(let problem): return .problem(problem)
            case .broken: return .problem(.upstreamBroken)
            case .timedOut: return .problem(.upstreamTimedOut)
            case nil: return nil
            }
        default: return nil
        }
    }

    // MARK: The end

    /// Lets whatever is outstanding come to an end, in the plainest way, and checks that nothing stays open.
    mutating func finish() throws {
        for _ in 0..<12 {
            if outcomesUnanswered > 0 {
                try apply(.outcomeStored(.durable))
            } else if isProbing {
                try apply(.probeEnded(true))
            } else if awaitsClaim && (!isOver || hasLeft) {
                try apply(.claimAnswered(.claimed(Self.claim)))
            } else if !isOver, connection == .open {
                try apply(.failed(hasSent ? .broken : .notSent(.notSent)))
            } else if !isOver, owesLoss {
                try apply(.failed(.broken))
            } else {
                break
            }
        }
        try expect(isOver, "nothing can end this attempt")
        try expect(outcomesUnanswered == 0, "an outcome is not answered")
        try expect(isGranted == !outcomes.isEmpty, "a claim was given and no outcome stored, or the reverse")
        try expect(isTold || !clientIsHere, "the client waits for ever")
    }

    private func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        guard condition else { throw Failure(description: message()) }
    }
}
