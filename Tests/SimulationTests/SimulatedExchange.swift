import Idempotency

/// Drives the production `Attempt` the way the proxy's `Exchange` does (Exchange+Attempt.swift,
/// Exchange+Forward.swift): the same events, the same one switch over its actions, and nothing of sockets.
final class SimulatedExchange {
    let id: UInt64
    let worker: Int
    private unowned let proxy: SimulatedProxy
    private let simulation: Simulation
    private let request: ClientRequest
    private var client: ClientRequest?
    private var attempt: Attempt?
    private var claim: ClaimReference?
    private(set) var link: Link?
    private var answer: RecordedAnswer?
    private var replayEpoch: UInt64 = 0
    private var hasAnswerHead = false
    private var isAnswerStarted = false
    private var isClientDone = false
    /// A drain that is over does not tell apart what was sent and what was not.
    private var isAbandoned = false
    private var isLate = false
    /// Tells a deadline that was moved from the one that stands.
    private var deadlineSerial = 0

    init(_ proxy: SimulatedProxy, _ simulation: Simulation, id: UInt64, worker: Int, request: ClientRequest) {
        self.proxy = proxy
        self.simulation = simulation
        self.id = id
        self.worker = worker
        self.request = request
        client = request
    }

    var address: ReplyAddress { ReplyAddress(worker: UInt32(worker), exchange: id) }

    func start() {
        attempt = Attempt(policy: AttemptPolicy(simulation.plan.policy))
        proxy.submit(.claim(makeClaim(), address), worker)
    }

    /// As `Identifier.claim(for:)`.
    private func makeClaim() -> Claim {
        let policy = simulation.plan.policy
        var claim = Claim(
            key: request.key, fingerprint: request.fingerprint, kind: simulation.plan.isHashed ? .hash : .token,
            route: "/",
            retentionMilliseconds: policy.retentionMilliseconds)
        claim.joins = policy.inFlight != .reject
        claim.waitersMax = policy.waitersMax
        claim.resendsUnknown = policy.onUnknown == .resend
        claim.runsAfterDelivery = simulation.plan.isHashed && !request.isRetry
        return claim
    }

    // MARK: The machine

    private func run(_ event: (inout Attempt) -> Attempt.Action) {
        guard var machine = attempt else { return }
        let action = event(&machine)
        attempt = machine
        simulation.note { "exchange \(id): \(action)" }
        perform(action)
    }

    func storeAnswered(_ result: StoreResult) {
        switch result {
        case .stored(let storing): run { $0.outcomeStored(storing) }
        case .claimed(let claim):
            self.claim = claim
            run { $0.claimAnswered(result) }
        case .recorded(_, let epoch):
            replayEpoch = epoch
            run { $0.claimAnswered(result) }
        case .joined, .inFlight, .tooManyWaiters, .notKept, .unknown, .mismatch, .tooLate, .refused:
            run { $0.claimAnswered(result) }
        case .body, .listed, .resolved: simulation.fail("an answer was delivered that no exchange asked for")
        }
    }

    private func perform(_ action: Attempt.Action) {
        switch action {
        case .wait: break
        case .startWaiting(let milliseconds):
            simulation.at(simulation.now + milliseconds) { [weak self] in
                guard let self, client != nil, attempt?.isWaiting == true else { return }
                run { $0.waitExpired() }
            }
        case .probe(let outcome, let milliseconds): probe(outcome, milliseconds)
        case .claimAgain: proxy.submit(.claim(makeClaim(), address), worker)
        case .forward, .forwardUnprotected: startForwarding()
        case .replay(let answer):
            if client != nil {
                simulation.oracle.replayed(answer, epoch: replayEpoch, to: request)
                tell(.answer(status: answer.status, isReplay: true))
            }
            finish()
        case .reject(let rejection): reject(rejection)
        case .leave(let rejection):
            proxy.submit(.leave(request.key, address), worker)
            if let rejection { reject(rejection) } else { finish() }
        case .store(let claim, let kind):
            let outcome = outcome(kind)
            if kind == .unknown(.timedOut), !isLate {
                isLate = true
                proxy.becameLate(request.key)
            }
            if !isAbandoned { simulation.oracle.concluded(claim, outcome) }
            proxy.submit(.complete(claim, outcome, address), worker)
        case .releaseAnswer: releaseAnswer()
        case .abort: abortClient()
        case .rejectAndListen(let rejection): rejectAndListen(rejection)
        case .end: finish()
        }
    }

    /// As `Exchange.probe`.
    private func probe(_ outcome: UnknownOutcome, _ milliseconds: UInt64) {
        switch proxy.probe(request, outcome, for: self) {
        case .first: break
        case .waits:
            guard milliseconds > 0 else { return run { $0.probeEnded(decided: false) } }
            simulation.at(simulation.now + milliseconds) { [weak self] in
                guard let self, client != nil, attempt?.isWaiting == true else { return }
                run { $0.waitExpired() }
            }
        }
    }

    func probeEnded(decided: Bool) {
        run { $0.probeEnded(decided: decided) }
    }

    private func outcome(_ kind: Attempt.OutcomeKind) -> Outcome {
        switch kind {
        case .unknown(let cause): return .unknown(cause)
        case .released: return .released
        case .answer:
            guard let answer else {
                simulation.fail("an answer is to be stored that was not received")
                return .unknown(.broken)
            }
            guard simulation.chance(simulation.plan.largeAnswer) else { return .answered(answer) }
            return .notKept(
                Tombstone(status: answer.status, bodyBytes: 1 << 30, bodyDigest: Digest256(words: (1, 1, 1, 1))))
        }
    }

    // MARK: Towards the client

    private func tell(_ result: ClientRequest.Result) {
        if isClientDone { simulation.fail("exchange \(id) tells its client again: \(result)") }
        guard let client else { return }
        if !client.resolve(result) { simulation.fail("exchange \(id) tells its client twice") }
    }

    private func reject(_ rejection: Attempt.Rejection) {
        if isAnswerStarted { simulation.fail("exchange \(id) rejects in the middle of an answer") }
        switch rejection {
        case .problem(let problem): tell(.problem(problem))
        case .notKept: tell(.problem(.answerNotKept))
        }
        finish()
    }

    private func releaseAnswer() {
        if let answer, client != nil {
            simulation.oracle.passedOn(answer, to: request)
            tell(.answer(status: answer.status, isReplay: false))
            if let claim, simulation.plan.isHashed, simulation.chance(80) {
                simulation.oracle.delivered(claim)
                proxy.submit(.delivered(claim), worker)
            }
        }
        finish()
    }

    private func abortClient() {
        tell(.broken)
        finish()
    }

    private func rejectAndListen(_ rejection: Attempt.Rejection) {
        if case .problem(let problem) = rejection { tell(.problem(problem)) }
        client = nil
        isClientDone = true
        guard let link else { return run { $0.attemptFailed(.broken, clientWaits: false, partSent: false) } }
        setDeadline(Plan.lateAnswerLimit)
        link.resume(simulation)
    }

    func clientLeft() {
        client = nil
        run { $0.clientLeft() }
    }

    private func finish() {
        if let client, !client.isResolved { simulation.fail("exchange \(id) ends without an answer to its client") }
        link = nil
        attempt = nil
        client = nil
        if isLate { proxy.lateEnded(request.key) }
        proxy.closed(self)
    }

    // MARK: Towards the service

    private func startForwarding() {
        let link = Link(self)
        self.link = link
        simulation.after(0...8) { [weak self] in
            guard let self, self.link === link else { return }
            if simulation.chance(simulation.plan.refusal) { return upstreamFailed() }
            if let claim { proxy.markSent(claim) }
            simulation.after(0...2) { [weak self] in self?.send(on: link) }
        }
    }

    private func send(on link: Link) {
        guard self.link === link else { return }
        // The connection may break before the kernel takes an octet.
        if simulation.chance(2) { return upstreamFailed() }
        link.hasSent = true
        if let claim { simulation.oracle.sent(claim, now: simulation.now) }
        simulation.service.receive(request, from: link)
        setDeadline(Plan.responseTimeout)
    }

    private func setDeadline(_ milliseconds: UInt64) {
        deadlineSerial += 1
        let serial = deadlineSerial
        simulation.at(simulation.now + milliseconds) { [weak self] in
            guard let self, serial == deadlineSerial, link != nil else { return }
            deadlinePassed()
        }
    }

    private func deadlinePassed() {
        if !hasAnswerHead && !isClientDone {
            link?.isPaused = true
        } else {
            link = nil
        }
        attemptFailed(.timedOut)
    }

    func upstreamFailed() {
        guard let link else { return }
        self.link = nil
        attemptFailed(link.hasSent ? .broken : .notSent(.notSent))
    }

    private func attemptFailed(_ failure: Attempt.Failure) {
        let clientWaits = !isClientDone
        let partSent = isAnswerStarted
        run { $0.attemptFailed(failure, clientWaits: clientWaits, partSent: partSent) }
    }

    func answerHeadReceived(_ status: Int) {
        hasAnswerHead = true
        setDeadline(Plan.responseTimeout)
        run { $0.answerStarted(status: status) }
    }

    func answerPartReceived() {
        setDeadline(Plan.responseTimeout)
        if client != nil && !isClientDone { isAnswerStarted = true }
    }

    func answerEndReceived(_ answer: RecordedAnswer) {
        link = nil
        self.answer = answer
        if let claim { simulation.oracle.answered(claim, answer) }
        let clientWaits = !isClientDone
        run { $0.answerEnded(clientWaits: clientWaits) }
    }

    // MARK: The proxy's end

    /// As `Exchange.abandon`.
    func abandon() {
        link = nil
        isAbandoned = true
        guard let attempt, attempt.ownsClaim else { return abortClient() }
        attemptFailed(.broken)
    }

    /// The process is gone: nothing of the exchange happens any more, and its client sees a broken connection.
    func crash() {
        link = nil
        attempt = nil
        let client = client
        self.client = nil
        if let client, !client.isResolved { _ = client.resolve(.broken) }
    }
}
