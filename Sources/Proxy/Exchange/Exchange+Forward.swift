import HTTP
import Idempotency
import Transport

/// Towards the service: a connection, the request rebuilt from parsed values, its body.
extension Exchange {
    /// Gets a connection and sends what is there of the request.
    func startForwarding(fresh: Bool = false) {
        guard let route else { return }
        let validates = isCovered || !head.method.isSafe
        switch route.pool.acquire(for: self, tried: triedServers, validates: validates, fresh: fresh) {
        case .ready(let acquired):
            upstream = acquired
            timeline.upstreamServer = acquired.server
            timeline.isUpstreamReused = true
            sendRequest()
        case .connecting(let acquired):
            upstream = acquired
            timeline.upstreamServer = acquired.server
            timeline.isUpstreamReused = false
            sending = .connecting
            CrashPoint.reach(.connecting)
        case .unavailable:
            attemptFailed(.notSent(.noUpstream))
        }
    }

    func upstreamConnected() {
        sendRequest()
    }

    private func sendRequest() {
        guard let upstream, let route else { return }
        timeline.forwarded = context.worker.now
        CrashPoint.reach(.firstByte)
        if let claim { context.store.markSent(claim) }
        CrashPoint.reach(.markedSent)
        let framing = requestFraming
        ForwardedRequest.dropManaged(&head.fields, isTrusted: client.isTrusted)
        route.dropManaged(&head.fields, isCovered: isCovered)
        guard upstream.sendHead(of: self, route: route, framing: framing) else {
            upstreamFailed(.noStream)
            return
        }
        sending = .streaming
        if isCovered {
            sendCollectedBody(upstream)
            return
        }
        if body.spooled != nil { return sendSpooledBody() }
        if !body.isEmpty {
            // Collected before it was known that the request passes through.
            if upstream.queuedOctets + body.count >= context.limits.outputHighWater { upstream.requestDrainNotice() }
            upstream.sendBody(shared: body.memory)
            body.memory = []
            context.releaseBodyMemory(reservedBytes)
            reservedBytes = 0
        }
        if hasRequestEnded || head.framing == .none {
            endForwarding()
        } else {
            upstream.deadline = .never
            downstream?.resumeReading()
        }
    }

    /// A covered body is whole, so its length is known; only trailers need chunks.
    private var requestFraming: BodyFraming {
        if isCovered, case .chunked = head.framing, trailerLines.isEmpty { return .length(UInt64(body.count)) }
        if head.version == .http2, head.framing == .none {
            // RFC 9110 §8.6: a method that expects content says that there is none. HTTP/2 has told it by END_STREAM.
            switch head.method {
            case .post, .put, .patch: return .length(0)
            case .get, .head, .options, .trace, .connect, .delete, .other: break
            }
        }
        return head.framing
    }

    /// Nothing follows the request's head towards the service.
    var sendsHeadOnly: Bool {
        guard trailerLines.isEmpty else { return false }
        guard body.isEmpty else { return false }
        return isCovered || hasRequestEnded && bodyBytesReceived == 0 || head.framing == .none
    }

    private func sendCollectedBody(_ upstream: Upstream) {
        if CrashPoint.isArmed(.requestHalf) { upstream.flush() }
        CrashPoint.reach(.requestHalf)
        if body.spooled != nil { return sendSpooledBody() }
        if !body.isEmpty { upstream.sendBody(shared: body.memory) }
        endForwarding()
    }

    /// One piece of a body that passes through.
    func forwardBody(_ octets: Span<UInt8>) {
        guard let upstream, octets.count > 0 else { return }
        if upstream.queuedOctets + octets.count >= context.limits.outputHighWater { upstream.requestDrainNotice() }
        // A service that stops reading ends the exchange as one that stops writing does.
        upstream.deadline = earlier(context.worker.now.adding(milliseconds: route?.timeouts.responseIdle ?? 60_000))
        upstream.sendBody(octets)
    }

    /// The whole request is queued: from here on the service's time runs.
    func endForwarding() {
        guard let upstream else { return }
        upstream.sendEnd(trailerLines: trailerLines)
        sending = .complete
        if !hasAnswerHead, isAnswerAwaited {
            upstream.deadline = earlier(
                context.worker.now.adding(milliseconds: route?.timeouts.responseHeader ?? 60_000))
        }
        CrashPoint.reach(.requestSent)
    }

    /// False once it was given up in time: then only a late one may come, in its own time.
    var isAnswerAwaited: Bool { attempt?.isForwarding ?? true }

    /// The route's own limit bounds every other one, until the client has been told.
    func earlier(_ deadline: Instant) -> Instant { isClientDone ? deadline : min(deadline, routeDeadline) }

    func upstreamOutputDrained() {
        if body.spooled != nil { return continueSpooledBody() }
        if isTunnel || (!hasRequestEnded && !isClientDone && !isCovered) { downstream?.resumeReading() }
    }

    // MARK: Failure

    func upstreamFailed(_ failure: UpstreamFailure) {
        guard let upstream else { return }
        // A service that has begun to answer has taken the request, whatever it says of it later.
        let isUnprocessed = failure.isUnprocessed && !hasAnswerHead && interimAnswers == 0
        let nothingSent = !upstream.hasSentAnyOctet || isUnprocessed
        let server = upstream.server
        let wasReused = upstream.isReused
        self.upstream = nil
        upstream.end()
        if !failure.isOfConnection { route?.pool.serverFailed(server) }
        if let pool = route?.pool { context.telemetry.upstreamFailed(pool, failure) }
        if isTunnel {
            tunnelEnded(byUpstream: true)
            return
        }
        if retries(failure, server: server, nothingSent: nothingSent, wasReused: wasReused) { return }
        attemptFailed(nothingSent ? .notSent(.notSent) : .broken)
    }

    /// A new connection where nothing was sent, or where the request is safe and its connection may have been dead
    /// already (RFC 9110 §9.2.2). Never where an octet of another request may have been taken.
    private func retries(_ failure: UpstreamFailure, server: Int, nothingSent: Bool, wasReused: Bool) -> Bool {
        guard !hasAnswerHead, !isClientDone, attempt?.isForwarding ?? true, let route,
            downstream != nil || isCovered || probe != nil, routeDeadline > context.worker.now
        else { return false }
        if failure.isOfConnection, nothingSent, !hasRetriedFresh, isReplayable {
            // RFC 9113 §8.7: it may be sent again; on another connection, because this one takes no more.
            hasRetriedFresh = true
            context.telemetry.upstreamRetried(route.pool)
            startForwarding(fresh: true)
            return true
        }
        if nothingSent && !wasReused {
            triedServers.insert(server)
            guard triedServers.count < route.pool.serverCount, isReplayable else { return false }
            context.telemetry.upstreamRetried(route.pool)
            startForwarding()
            return true
        }
        guard wasReused, !hasRetriedFresh, isReplayable else { return false }
        let isSafeToRepeat = !isCovered && head.method.isSafe && head.framing == .none && isDead(failure)
        guard nothingSent || isSafeToRepeat else { return false }
        hasRetriedFresh = true
        context.telemetry.upstreamRetried(route.pool)
        startForwarding(fresh: true)
        return true
    }

    /// Whether all that was given towards the service can be given again.
    private var isReplayable: Bool {
        isCovered || sending == .connecting || sending == .notStarted || head.framing == .none
    }

    private func isDead(_ failure: UpstreamFailure) -> Bool {
        switch failure {
        case .closedEarly, .reset: true
        case .notConnected, .connectTimedOut, .malformed, .unexpectedSwitch, .responseTimedOut, .extraOctets,
            .notSecured, .certificateRefused, .noStream, .streamRefused, .streamReset:
            false
        }
    }

    func upstreamDeadlinePassed() {
        guard let upstream else { return }
        if let pool = route?.pool { context.telemetry.upstreamFailed(pool, .responseTimedOut) }
        route?.pool.serverFailed(upstream.server)
        if isTunnel {
            tunnelIdle()
            return
        }
        // A service that has not taken all of the request must not get the rest after its outcome is unknown.
        let isSent = sending == .complete && upstream.queuedOctets == 0
        let mayStillAnswer = isSent && isCovered && !hasAnswerHead && attempt != nil && !isClientDone
        if mayStillAnswer {
            // The connection stays for a late answer; it is not read until the store knows that the outcome is unknown.
            upstream.pauseReading()
            upstream.deadline = .never
        } else {
            self.upstream = nil
            upstream.end()
        }
        attemptFailed(.timedOut)
    }

    /// Ends the attempt: for a covered exchange the machine decides, else the client is told.
    func attemptFailed(_ failure: Attempt.Failure) {
        if attempt != nil {
            let clientWaits = !isClientDone
            let partSent = isAnswerStarted
            run { $0.attemptFailed(failure, clientWaits: clientWaits, partSent: partSent) }
            return
        }
        observed?.attemptFailed(failure)
        if let probe {
            probeFailed(probe, failure)
            return
        }
        if isAnswerStarted {
            abortClient()
            return
        }
        switch failure {
        case .notSent(let problem): refuse(problem, nil)
        case .broken: refuse(.upstreamBroken, nil)
        case .timedOut: refuse(.upstreamTimedOut, nil)
        }
    }

    /// The message cannot be completed: the client must see that it is broken.
    func abortClient() {
        let client = downstream
        downstream = nil
        client?.abort()
        finish()
    }
}
