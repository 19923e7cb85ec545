import HTTP
import Idempotency
import Observability
import Transport

/// Unknown outcomes: how an exchange asks what became of the attempt before its own, and how an exchange of its own
/// carries the question to the service.
extension Exchange {
    // MARK: For a repeat

    /// The record is unknown: the service is asked, or somebody asks it already.
    func probe(_ outcome: UnknownOutcome, waitMilliseconds: UInt64) {
        guard let route, let key = identity?.key, let plan = route.identifier.probe else {
            return run { $0.probeEnded(decided: false) }
        }
        timeline.outcome = .probed
        switch context.prober.begin(key, replyAddress, route: route) {
        case .full:
            run { $0.probeEnded(decided: false) }
        case .waits:
            guard waitMilliseconds > 0 else { return run { $0.probeEnded(decided: false) } }
            waitDeadline = context.worker.now.adding(milliseconds: waitMilliseconds)
            downstream?.deadline = waitDeadline
        case .first:
            // Its own time limit ends the probe, and with it the wait.
            waitDeadline = .never
            downstream?.deadline = .never
            let subject = ProbeRun.Subject(
                key: key, epoch: outcome.epoch, ageMilliseconds: outcome.ageMilliseconds, learned: context.worker.now)
            let prober: Prober = context.prober
            let authority = self.authority
            withQuestion { question in
                guard let question else { return prober.giveUp(key, route: route) }
                prober.ask(
                    ProbeRun(subject: subject, route: route, plan: plan, question: question, authority: authority))
            }
        }
    }

    /// Asks the store once more, by the same identity.
    func claimAgain() {
        guard let route, let identity else { return }
        waitDeadline = .never
        downstream?.deadline = .never
        if route.tracksDelivery { context.deliveries.settle(identity.key) }
        context.submit(.claim(route.identifier.claim(for: identity), replyAddress))
    }

    private var authority: [UInt8] { Array(head.fields.octets[head.authority.bounds]) }

    /// Gives what the service is asked, nil where the request lacks a value: at once where the body is in memory, else
    /// when it has been read, whether this exchange is still there or not.
    private func withQuestion(_ then: @escaping (ProbeQuestion?) -> Void) {
        guard let route, let identity else { return then(nil) }
        let fields = head.fields
        let query = head.query
        let identifier = route.identifier
        guard identifier.questionReadsBody else {
            return then(
                identifier.question(
                    about: identity, query: fields.octets.span.extracting(query.bounds), fields: fields, body: Span(),
                    scratch: &context.identityScratch))
        }
        withWholeBody { body in
            var scratch = IdentityScratch()
            return identifier.question(
                about: identity, query: fields.octets.span.extracting(query.bounds), fields: fields, body: body,
                scratch: &scratch)
        } then: { question in
            then(question ?? nil)
        }
    }

    // MARK: For the attempt whose outcome is unknown

    /// Before the store is told: from then on a repeat may probe.
    func noteUnknown(_ claim: ClaimReference, _ cause: UnknownCause) {
        guard cause == .timedOut, !isLate, route?.identifier.probe != nil else { return }
        isLate = true
        context.shared.probes.becameLate(claim.key)
    }

    /// The store has the outcome, or has lost it: either may leave it unknown.
    func outcomeWasStored(_ storing: Storing) {
        guard let kind = storedKind, let claim else { return }
        storedKind = nil
        switch (kind, storing) {
        case (_, .stale), (.released, .failed): break
        case (.unknown(let cause), _): becameUnknown(claim, cause)
        // A late answer that cannot be stored leaves what is unknown already.
        case (.answer, .failed): if !isLate { becameUnknown(claim, .notStored) }
        case (.answer, .durable), (.released, .durable):
            if isLate { context.shared.probes.removePending(claim.key) }
        }
    }

    private func becameUnknown(_ claim: ClaimReference, _ cause: UnknownCause) {
        guard let route, !hasToldUnknown else { return }
        hasToldUnknown = true
        context.tellUnknown(
            UnknownEvent(
                key: claim.key, epoch: claim.epoch, route: route.settings.name, cause: cause,
                claimedAtMilliseconds: timeline.beganWallMilliseconds,
                unknownAtMilliseconds: context.worker.wallMilliseconds))
        guard let plan = route.identifier.probe, plan.background != nil else { return }
        let subject = ProbeRun.Subject(
            key: claim.key, epoch: claim.epoch, ageMilliseconds: 0, learned: context.worker.now)
        let context = self.context
        let authority = self.authority
        withQuestion { [unowned context] question in
            guard let question else { return context.telemetry.probeEnded(route, .notRendered) }
            context.prober.schedule(
                ProbeRun(subject: subject, route: route, plan: plan, question: question, authority: authority))
        }
    }

    // MARK: As the carrier of a question

    /// Takes an unused exchange into service for a probe.
    func open(id: UInt64, probe run: ProbeRun) {
        begin(id: id)
        probe = run
        route = run.route
        hasRequestEnded = true
        // Of the proxy's own fields none is told of a client: there is none.
        client = ForwardedRequest.Client(text: [], isTrusted: true)
        routeDeadline = context.worker.now.adding(milliseconds: run.plan.timeoutMilliseconds)
        var parser = RequestParser()
        let octets = run.headOctets
        guard let count = try? parser.parse(octets.span, into: &head), count == octets.count, head.method == .get,
            (try? head.fields.markHopByHop()) != nil
        else {
            run.failure = .notRendered
            finish()
            return
        }
        startForwarding()
    }

    func collectProbe(_ octets: Span<UInt8>) {
        guard let probe else { return }
        guard probe.body.count + octets.count <= probe.route.recordBodyBytesMax, reserve(octets.count) else {
            probe.failure = .tooLarge
            endProbe()
            return
        }
        probe.body.append(octets)
    }

    func probeAnswered(_ probe: ProbeRun) {
        let framing: RecordedAnswer.Framing =
            switch answerHead.framing {
            case .none: .none
            case .length: .length
            case .chunked, .untilClose: .stream
            }
        probe.reply = ProbeReply(
            status: answerHead.status, framing: framing, fieldLines: fieldLines, body: probe.body)
        finish()
    }

    func probeFailed(_ probe: ProbeRun, _ failure: Attempt.Failure) {
        probe.failure = failure == .timedOut ? .timedOut : .failed
        endProbe()
    }

    private func endProbe() {
        if let upstream {
            self.upstream = nil
            upstream.end()
        }
        finish()
    }
}
