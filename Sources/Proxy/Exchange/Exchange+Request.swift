import HTTP
import Idempotency
import Observability
import Transport

/// What the client sends: checks in the order of their price, routing, and the two ways on.
extension Exchange {
    func headReceived() {
        if let problem = checkHead() {
            refuseMalformed(problem.0, problem.1)
            return
        }
        guard let index = routeIndex() else {
            refuse(.noRoute, nil)
            return
        }
        let route = context.rules.routes[index]
        self.route = route
        context.telemetry.requestStarted(route)
        let hasRoom = route.enter()
        if context.isAtCapacity || !hasRoom {
            context.telemetry.shed(hasRoom ? "requests" : "route")
            refuse(.overloaded, nil)
            return
        }
        if let limit = route.timeouts.route {
            routeDeadline = timeline.began.adding(milliseconds: limit)
        }
        if let detail = route.guardedFieldCollision(head.fields) {
            refuseMalformed(.badRequest, detail)
            return
        }
        do {
            try head.fields.markHopByHop(protecting: route.protectedNames)
        } catch {
            context.telemetry.malformed(error)
            refuseMalformed(Problem(error), error.reason)
            return
        }
        if route.isCovered {
            identifyHead(route)
        } else {
            if route.isObserved { beginObserving(route) }
            beginPassThrough()
        }
    }

    /// What is refused whatever the route.
    private func checkHead() -> (Problem, StaticString?)? {
        if head.fields.contains(.via), context.rules.hops(head.fields) >= Rules.hopsMax {
            return (.loopDetected, "Via names this proxy again and again; 'via NAME' gives each proxy its own.")
        }
        if let downstream, downstream.channel.misdirects(head) { return (.misdirected, nil) }
        if head.method == .trace { return (.methodNotAllowed, "TRACE is not served.") }
        do {
            let octets = head.fields.octets
            let raw = octets.span.extracting(head.path.bounds)
            if try !PathNormaliser.normalise(raw, into: &path) {
                path.removeAll(keepingCapacity: true)
                path.append(raw)
            }
        } catch {
            context.telemetry.malformed(error)
            return (Problem(error), error.reason)
        }
        return nil
    }

    private func routeIndex() -> Int? {
        // One reference to the octets instead of a copy of the head per use.
        let octets = head.fields.octets
        // `OPTIONS *` concerns the server as a whole: the route for everything takes it.
        let routed = head.form == .asterisk ? WireText.root : path
        return context.rules.router.route(
            host: octets.span.extracting(head.authority.bounds), path: routed.span)
    }

    // MARK: Passing through

    private func beginPassThrough() {
        if head.expectsContinue && head.framing != .none { sendContinue() }
        startForwarding()
    }

    private func sendContinue() {
        downstream?.sendContinue()
    }

    func requestBodyReceived(_ octets: Span<UInt8>) {
        bodyBytesReceived += UInt64(octets.count)
        if isClientDone || slicedReplay != nil { return }
        if isCovered {
            collect(octets)
        } else {
            forwardBody(octets)
            observed?.requestBodyReceived(octets)
        }
    }

    func requestEnded(trailers: FieldSection?) {
        hasRequestEnded = true
        if slicedReplay != nil { downstream?.watchWriting() }
        if isClientDone || slicedReplay != nil { return }
        if let trailers { HTTP1Serialiser.fieldLines(of: trailers, to: &trailerLines) }
        if isCovered {
            collectedBodyEnded()
        } else {
            if sending == .streaming, body.spooled == nil { endForwarding() }
            observed?.requestEnded()
        }
    }

    // MARK: Covered

    private func identifyHead(_ route: Route) {
        if let names = route.repeatabilityNames {
            isRepeatable = names.contains { head.fields.firstIndex(named: $0) != nil }
        }
        let early = beginIdentifying(route)
        if route.identifier.verifiesTokens { context.telemetry.tokenChecked(route, context.identityScratch.tokenCheck) }
        switch early {
        case .notCovered:
            if isRepeatable, !head.method.isSafe { return refuseRepeatability() }
            beginPassThrough()
        case .missingKey:
            handleMissingKey(route)
        case .malformedKey:
            refuseIdentity(.keyMalformed)
        case .refusedCaller:
            refuseCaller(context.identityScratch.callerFault)
        case .refusedRepeatability:
            let isMalformed = context.identityScratch.repeatabilityFault == .malformed
            refuseIdentity(isMalformed ? .repeatabilityMalformed : .firstSentOutOfRange)
        case .pending(let pending):
            self.pending = pending
            isCovered = true
            beginCollecting(route)
        }
    }

    /// The client waits for a 100, and the head alone decides: the store is asked first, and a replay needs no body at
    /// all.
    private var claimsBeforeBody: Bool {
        // Few ask for a 100, and to look at what is pending copies it.
        guard head.expectsContinue, head.framing != .none, let pending else { return false }
        // A probe that asks for a value of the body needs it.
        if route?.identifier.probe?.readsBody == true { return false }
        return !pending.countsBody && pending.recordKey != nil
    }

    func beginIdentifying(_ route: Route) -> EarlyIdentification {
        // Of its own, so that no reference to the fields is left when they are changed.
        let fields = head.fields
        let octets = fields.octets
        let path = self.path
        return route.identifier.begin(
            method: octets.span.extracting(head.methodRange.bounds), path: path.span,
            query: octets.span.extracting(head.query.bounds), hasQuery: head.hasQuery, fields: fields,
            certificate: downstream?.channel.callerCertificate, nowMilliseconds: context.worker.wallMilliseconds,
            scratch: &context.identityScratch)
    }

    private func handleMissingKey(_ route: Route) {
        if route.onMissingKey == .pass {
            timeline.outcome = .bypassed
            isCovered = false
            beginPassThrough()
        } else {
            refuseIdentity(.keyMissing)
        }
    }

    private func beginCollecting(_ route: Route) {
        bodyBytesMax = route.requestBodyBytesMax
        if pending?.needsBodyForKey == true { bodyBytesMax = min(bodyBytesMax, Identifier.canonicalBodyBytesMax) }
        if case .length(let length) = head.framing {
            if length > UInt64(bodyBytesMax) { return refuseTooLarge() }
            if length > 0 { body.memory.reserveCapacity(min(Int(length), 64 << 10)) }
        }
        if claimsBeforeBody {
            identifyBody()
        } else if head.expectsContinue && head.framing != .none {
            sendContinue()
        }
    }

    /// The claim is ours before the body is here: ask for it. `requestEnded` goes on.
    func askForBody() {
        guard let downstream else {
            // Its client has left: the body never comes.
            run { $0.attemptFailed(.notSent(.badRequest), clientWaits: false, partSent: false) }
            return
        }
        sendContinue()
        downstream.restartBodyTimers()
    }

    private func collect(_ octets: Span<UInt8>) {
        // After a refusal nothing more is collected: what came later would follow a gap.
        if attempt?.mayForward == false { return }
        if body.count + octets.count > bodyBytesMax {
            if holdsUnsentClaim { return attemptFailed(.notSent(.contentTooLarge)) }
            return refuseTooLarge()
        }
        guard reserve(octets.count) else {
            context.telemetry.limitHit("body_memory")
            if holdsUnsentClaim { return attemptFailed(.notSent(.overloaded)) }
            refuse(.overloaded, "The memory for request bodies is used up.")
            return
        }
        body.append(octets)
        if isGRPC, claim == nil, attempt == nil, holdsSecondGRPCMessage { return passStreamingCall() }
        if body.memory.count > context.limits.spoolThresholdBytes, context.spool != nil { spoolBody() }
    }

    private func refuseTooLarge() {
        refuse(.contentTooLarge, text: "The limit of this route is \(bodyBytesMax) octets.")
    }

    /// The request is whole; a large body may not be in its file yet.
    func collectedBodyEnded() {
        guard !body.isWriting else { return }
        if body.spooled != nil {
            if !body.memory.isEmpty { return spoolBody() }
            // What was reserved for more of it.
            body.memory = []
        }
        guard let attempt else { return identifyBody() }
        if attempt.isForwarding {
            // Once: a body may end more than once, in its file and at its client.
            if sending == .notStarted { startForwarding() }
        } else if attempt.isWaiting {
            // The end of the body has put an end to the client's deadline.
            downstream?.deadline = waitDeadline
        }
    }

    /// gRPC over HTTP/2: a message is a flag, four octets of length and its content. A unary call has one.
    private var holdsSecondGRPCMessage: Bool {
        guard body.count > 5 else { return false }
        let length = (1..<5).reduce(0) { $0 << 8 | Int(body.head($1)) }
        return body.count > 5 + length
    }

    /// A call that streams its messages cannot be told from its repeats before it ends: it passes untouched, with what
    /// was collected of it first. The same call always takes this way, whatever its timing.
    private func passStreamingCall() {
        if isRepeatable { return refuseRepeatability() }
        timeline.outcome = .bypassed
        isCovered = false
        pending = nil
        startForwarding()
    }

    /// Takes from the budget for buffered bodies; given back when the exchange ends.
    func reserve(_ count: Int) -> Bool {
        guard context.reserveBodyMemory(count) else { return false }
        reservedBytes += count
        return true
    }

    /// Gives a part of it back earlier.
    func unreserve(_ count: Int) {
        context.releaseBodyMemory(count)
        reservedBytes -= count
    }

    /// The body is whole: who is asking for what is known, and the store is asked.
    private func identifyBody() {
        CrashPoint.reach(.bodyRead)
        guard let route, let pending = pending.take() else { return }
        if body.spooled == nil, pending.takesPieces || body.memory.count <= Identifier.canonicalBodyBytesMax {
            identified(route.identifier.finish(pending, body: body.memory.span, scratch: &context.identityScratch))
        } else {
            identifyLargeBody(route, pending)
        }
    }

    func identified(_ identification: Identification) {
        guard let route else { return }
        switch identification {
        case .missingKey:
            handleMissingKeyInBody(route)
        case .malformedKey:
            refuseIdentity(.keyMalformed)
        case .refusedCaller(let fault):
            refuseCaller(fault)
        case .identified(let identity):
            if identity.fellBackToOctets { context.telemetry.limitHit("canonical_form") }
            CrashPoint.reach(.beforeClaim)
            self.identity = identity
            attempt = Attempt(policy: route.attemptPolicy)
            timeline.outcome = .first
            if route.tracksDelivery { context.deliveries.settle(identity.key) }
            context.submit(.claim(route.identifier.claim(for: identity), replyAddress))
            // It may have left while the disk was waited for.
            if downstream == nil { run { $0.clientLeft() } }
        }
    }

    /// The key could have stood in the body, which is collected already: it is sent as it is, without a record.
    private func handleMissingKeyInBody(_ route: Route) {
        if route.onMissingKey == .pass {
            timeline.outcome = .bypassed
            startForwarding()
        } else {
            refuseIdentity(.keyMissing)
        }
    }

    /// The request does not say, as its route asks, which operation it is or who is calling.
    private func refuseIdentity(_ problem: Problem, _ detail: StaticString? = nil) {
        timeline.outcome = problem == .keyMissing ? .missingKey : .invalidKey
        refuse(problem, detail)
    }

    private func refuseCaller(_ fault: CallerFault) {
        switch fault {
        case .missing: refuseIdentity(.scopeMissing)
        case .missingClaim:
            refuseIdentity(.scopeMissing, "The access token lacks the claim that says so, or it is no text or integer.")
        case .token(let error): refuseIdentity(.accessTokenInvalid, error.detail)
        }
    }

    /// OASIS Repeatable Requests 1.0 §3: what cannot be repeated must not be executed.
    private func refuseRepeatability() {
        refuse(.notImplemented, "This request cannot be made repeatable here.")
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
            abortClient()
        } else if holdsUnsentClaim {
            attemptFailed(.notSent(problem))
        } else {
            refuse(problem, detail)
        }
    }

    /// The claim was given before the body came: it must be given back if the body never does.
    var holdsUnsentClaim: Bool { claim != nil && !hasRequestEnded }

    /// Whoever sent this may mean something else by the octets that follow: nothing more is read from the connection.
    private func refuseMalformed(_ problem: Problem, _ detail: StaticString?) {
        downstream?.closeAfterAnswer()
        refuse(problem, detail)
    }

    func refuse(_ problem: Problem, _ detail: StaticString?) {
        refuse(problem, text: detail.map { "\($0)" })
    }
}
