import HTTP
import Idempotency
import Transport

/// What the client sends: checks in the order of their price, routing, and the two ways on.
extension Exchange {
    func headReceived() {
        do {
            try head.fields.markHopByHop()
        } catch {
            refuse(Problem(error), error.reason)
            return
        }
        if head.method == .trace {
            refuse(.methodNotAllowed, "TRACE is not served.")
            return
        }
        guard PathNormaliser.normalise(head.fields.octets, head.path, into: &path) else {
            refuse(.badRequest, "The path holds %00, or leads above the root.")
            return
        }
        guard let index = context.router.route(host: head.authorityOctets, path: path.span) else {
            refuse(.noRoute, nil)
            return
        }
        let route = context.routes[index]
        self.route = route
        route.inFlight += 1
        if context.isAtCapacity || route.isAtCapacity {
            context.telemetry.shed(route: route)
            refuse(.overloaded, nil)
            return
        }
        if let limit = route.settings.timeouts.route {
            routeDeadline = timeline.began.advanced(milliseconds: limit)
        }
        if let guarded = route.guardedFieldCollision(head.fields) {
            refuse(.badRequest, guarded)
            return
        }
        if let policy = route.policy, route.covers(head) {
            beginCovered(route, policy)
        } else {
            beginPassThrough()
        }
    }

    // MARK: Passing through

    private func beginPassThrough() {
        if head.expectsContinue && head.framing != .none { sendContinue() }
        startForwarding()
    }

    private func sendContinue() {
        downstream?.write(WireText.continueLine.span)
    }

    func requestBodyReceived(_ octets: Span<UInt8>) {
        bodyBytesReceived += UInt64(octets.count)
        if isClientDone { return }
        if identity.isCovered {
            collect(octets)
        } else {
            forwardBody(octets)
        }
    }

    func requestEnded(trailers: FieldSection?) {
        hasRequestEnded = true
        timeline.requestEnded = context.worker.now
        if isClientDone { return }
        if let trailers { HTTP1Serialiser.fieldLines(of: trailers, to: &trailerLines) }
        if identity.isCovered {
            claimRecord()
        } else if sending == .streaming {
            endForwarding()
        }
    }

    // MARK: Covered

    private func beginCovered(_ route: Route, _ policy: Policy) {
        switch route.identifier.begin(head, path: path, into: &identity) {
        case .proceed:
            break
        case .passes:
            identity = Identity()
            timeline.outcome = .bypassed
            beginPassThrough()
            return
        case .refused(let problem):
            timeline.outcome = problem == .keyMissing ? .missingKey : .invalidKey
            refuse(problem, nil)
            return
        }
        if case .length(let length) = head.framing, length > UInt64(policy.requestBodyBytesMax) {
            refuse(.contentTooLarge, "The limit of this route is \(policy.requestBodyBytesMax) octets.")
            return
        }
        if head.expectsContinue && head.framing != .none { sendContinue() }
    }

    private func collect(_ octets: Span<UInt8>) {
        guard let policy = route?.policy else { return }
        if body.count + octets.count > policy.requestBodyBytesMax {
            refuse(.contentTooLarge, "The limit of this route is \(policy.requestBodyBytesMax) octets.")
            return
        }
        guard reserve(octets.count) else {
            context.telemetry.limitHit(.bodyMemory)
            refuse(.overloaded, "The memory for request bodies is used up.")
            return
        }
        body.append(octets)
    }

    /// Takes from the budget for buffered bodies; given back when the exchange ends.
    func reserve(_ count: Int) -> Bool {
        guard context.reserveBodyMemory(count) else { return false }
        reservedBytes += count
        return true
    }

    /// The body is whole: who is asking for what is known, and the store is asked.
    private func claimRecord() {
        CrashPoint.reach(.bodyRead)
        guard let route, let policy = route.policy else { return }
        switch route.identifier.complete(head, path: path, body: body, identity: &identity) {
        case .proceed:
            break
        case .passes:
            identity = Identity()
            timeline.outcome = .bypassed
            startForwarding()
            return
        case .refused(let problem):
            timeline.outcome = problem == .keyMissing ? .missingKey : .invalidKey
            refuse(problem, nil)
            return
        }
        CrashPoint.reach(.beforeClaim)
        attempt = Attempt(policy: route.attemptPolicy)
        timeline.outcome = .first
        context.submit(.claim(route.claim(for: identity, policy), replyAddress))
    }

    var replyAddress: ReplyAddress { ReplyAddress(worker: UInt32(context.worker.index), exchange: id) }

    // MARK: Errors

    /// The request's body broke a rule of its framing.
    func requestBroken(_ error: HTTPError) {
        context.telemetry.malformed(error)
        downstream?.closeAfterAnswer()
        refuseOrAbort(Problem(error), error.reason)
    }

    func requestTimedOut() {
        downstream?.closeAfterAnswer()
        refuseOrAbort(.requestTimedOut, nil)
    }

    private func refuseOrAbort(_ problem: Problem, _ detail: StaticString?) {
        if isAnswerStarted || isClientDone {
            let client = downstream
            downstream = nil
            client?.abort()
            finish()
        } else {
            refuse(problem, detail.map { "\($0)" })
        }
    }

    func refuse(_ problem: Problem, _ detail: StaticString?) {
        refuse(problem, detail.map { "\($0)" })
    }
}
