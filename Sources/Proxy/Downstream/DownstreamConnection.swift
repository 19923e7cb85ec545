import HTTP
import Idempotency
import Transport

/// A client's connection. With HTTP/1 it parses one request at a time, hands it to an exchange, and reads the next one
/// only after the answer to the one before is complete: pipelined requests are answered in order, and none waits for
/// another's record (RFC 9112 §9.3.2). With HTTP/2 everything is `HTTP2Downstream`'s.
///
/// Topics: `+Opening` (what comes before the first request), `+Answer` (answers as HTTP/1 messages). Here: HTTP/1
/// requests, the end, time.
final class DownstreamConnection: StreamChannel {
    enum Phase {
        /// A PROXY header must come first.
        case proxyHeader
        /// TLS is being agreed on.
        case handshake
        /// Between requests, or inside a head.
        case head
        case body
        /// The request is complete; its answer is not.
        case answering
        /// The answer is complete; what is left of the request's body is skipped.
        case draining
        /// The last answer is on its way; octets are read and dropped until the client closes, so that no reset
        /// destroys it.
        case lingering
        case tunnel
        case http2
        case closed
    }

    /// Lives as long as the process, as its worker does.
    let context: WorkerContext
    let listener: Int
    @exclusivity(unchecked) private(set) var exchange: Exchange?
    @exclusivity(unchecked) var phase: Phase = .head
    var http2: HTTP2Downstream?
    var speaksHTTP2 = false
    @exclusivity(unchecked) private var parser: RequestParser
    @exclusivity(unchecked) private var decoder = BodyDecoder(framing: .none)
    private var headHasBegun = false
    private var hasServed = false
    /// Octets still skipped in `draining` and `lingering`.
    private var drainBytesLeft = 0
    /// Set when the connection must not serve another request.
    private(set) var closesAfterAnswer = false
    private var bodyClock = BodyClock()
    private var octetsWrittenAtDeadline: UInt64 = 0
    private var wasQueuedAtDeadline = false
    @exclusivity(unchecked) var answerFraming = AnswerFraming.length

    init(context: WorkerContext, listener: Int) {
        self.context = context
        self.listener = listener
        self.parser = RequestParser()
        super.init(worker: context.worker)
    }

    @exclusivity(unchecked) private var sentAnswers = SentAnswers()

    /// What the client's address is in fields and logs, without its port.
    var peerText: [UInt8] = []
    var peerIsTrusted = false
    /// What the client's verified certificate says of it.
    var callerCertificate: CallerCertificate?

    var isIdle: Bool { phase == .head && exchange == nil && !headHasBegun }

    // MARK: Reading

    override func received(_ octets: Span<UInt8>) -> Int {
        var offset = 0
        while offset < octets.count {
            let rest = octets.extracting(offset..<octets.count)
            switch phase {
            case .proxyHeader:
                let consumed = receiveProxyHeader(rest)
                offset += consumed
                // What follows is TLS's from here on.
                if consumed == 0 || phase == .handshake { return offset }
            case .handshake:
                // Before the handshake's end nothing is offered.
                return octets.count
            case .http2:
                http2?.receive(rest)
                return octets.count
            case .head:
                if mustWaitForClient() { return offset }
                if !hasServed, allowsPriorKnowledge {
                    switch priorKnowledge(rest) {
                    case .no: break
                    case .needsMore: return offset
                    case .yes:
                        becomeHTTP2()
                        continue
                    }
                }
                guard let consumed = receiveHead(rest) else { return offset }
                offset += consumed
            case .body:
                guard let exchange, exchange.canTakeBody else {
                    pauseReading()
                    return offset
                }
                guard let consumed = receiveBody(rest, exchange) else { return offset }
                offset += consumed
            case .answering:
                // The next request waits in the connection's leftover; more than that waits in the kernel.
                pauseReading()
                return offset
            case .draining:
                guard let consumed = drain(rest) else { return offset }
                offset += consumed
            case .lingering:
                drainBytesLeft -= rest.count
                if drainBytesLeft < 0 { end() }
                return octets.count
            case .tunnel:
                exchange?.tunnelFromDownstream(rest)
                return octets.count
            case .closed:
                return octets.count
            }
        }
        return offset
    }

    /// A client that sends requests and does not read answers gets no more of them: `outputDrained` goes on.
    private func mustWaitForClient() -> Bool {
        guard queuedOutputBytes > context.limits.outputHighWater else { return false }
        pauseReading()
        requestDrainNotice()
        watchWriting()
        return true
    }

    /// Returns the octets consumed, nil when more are needed.
    private func receiveHead(_ octets: Span<UInt8>) -> Int? {
        let consumed: Int?
        do {
            consumed = try parser.parse(octets, into: &context.parsedHead)
        } catch {
            context.telemetry.malformed(error)
            refuse(Problem(error), error.reason)
            return octets.count
        }
        guard let consumed else {
            if !headHasBegun, parser.hasBegun {
                headHasBegun = true
                deadline = context.worker.now.adding(milliseconds: context.timeouts.requestHeader)
            }
            return nil
        }
        CrashPoint.reach(.headRead)
        headHasBegun = false
        hasServed = true
        if context.parsedHead.wantsUpgrade, upgradesToHTTP2() { return consumed }
        let exchange = context.openExchange(for: .connection(self))
        self.exchange = exchange
        decoder = BodyDecoder(framing: exchange.head.framing)
        closesAfterAnswer = !exchange.head.keepsAlive || context.isDraining
        phase = decoder.isEnd ? .answering : .body
        if phase == .body { startBodyTimers() }
        exchange.headReceived()
        if phase == .answering, self.exchange === exchange { exchange.requestEnded(trailers: nil) }
        return consumed
    }

    /// The body is asked for only now: its time begins.
    func restartBodyTimers() {
        if phase == .body { startBodyTimers() }
    }

    private func startBodyTimers() {
        deadline = bodyClock.start(at: context.worker.now, context.timeouts)
    }

    /// Returns the octets consumed, nil when more are needed.
    private func receiveBody(_ octets: Span<UInt8>, _ exchange: Exchange) -> Int? {
        deadline = bodyClock.progressed(
            at: context.worker.now, context.timeouts, isCovered: exchange.isCovered)
        do {
            switch try decoder.next(octets) {
            case .data(let consumed, let range):
                exchange.requestBodyReceived(octets.extracting(range))
                if phase == .body, isTooSlow(exchange) { exchange.requestTimedOut() }
                CrashPoint.reach(.bodyHalf)
                if decoder.isEnd, phase == .body, self.exchange === exchange { endBody(exchange) }
                return consumed
            case .needsMore(let consumed):
                return consumed == 0 ? nil : consumed
            case .end(let consumed):
                endBody(exchange)
                return consumed
            }
        } catch {
            exchange.requestBroken(error)
            return octets.count
        }
    }

    private func isTooSlow(_ exchange: Exchange) -> Bool {
        self.exchange === exchange && exchange.isCovered && exchange.slicedReplay == nil
            && bodyClock.isTooSlow(
                at: context.worker.now, octets: exchange.bodyBytesReceived, context.limits)
    }

    private func endBody(_ exchange: Exchange) {
        phase = .answering
        deadline = .never
        exchange.requestEnded(trailers: decoder.trailers)
    }

    /// Skips the rest of a body whose answer is already sent (RFC 9112 §9.3); never takes it for a request.
    private func drain(_ octets: Span<UInt8>) -> Int? {
        do {
            switch try decoder.next(octets) {
            case .data(let consumed, let range):
                drainBytesLeft -= range.count
                if decoder.isEnd { becomeReady() } else if drainBytesLeft < 0 { linger() }
                return consumed
            case .needsMore(let consumed):
                return consumed == 0 ? nil : consumed
            case .end(let consumed):
                becomeReady()
                return consumed
            }
        } catch {
            linger()
            return octets.count
        }
    }

    override func receivedEnd() {
        switch phase {
        case .head where exchange == nil:
            endWhenSent()
        case .draining, .lingering:
            end()
        case .body, .head, .http2, .proxyHeader, .handshake:
            // The request will never be complete: nothing of it was executed on a covered route.
            end()
        case .answering:
            // A half close: the client still reads.
            closesAfterAnswer = true
        case .tunnel:
            exchange?.tunnelEnded(byUpstream: false)
        case .closed:
            break
        }
    }

    override func failed(_ error: Errno) {
        if let tlsFailure { handshakeFailed(tlsFailure) }
        end()
    }

    override func outputDrained() {
        if phase == .head {
            deadline = context.worker.now.adding(milliseconds: context.timeouts.keepAlive)
            resumeReading()
        }
        if let http2 { http2.outputDrained() } else { exchange?.downstreamOutputDrained() }
    }

    override func secured() {
        openSecured()
    }

    override func willFlush() {
        if phase == .http2 { http2?.fillOutput() }
    }

    // MARK: The answer's end

    /// The answer of this record is completely queued.
    func noteSent(_ claim: ClaimReference) {
        sentAnswers.note(claim, endsAt: payloadOctetsGiven, written: payloadOctetsWritten)
    }

    /// The answers that did not arrive, at the connection's end.
    func takeLostAnswers() -> [ClaimReference] { sentAnswers.takeLost { isLost(upTo: $0) } }

    /// The answer to the current request is completely queued.
    func answerEnded() {
        exchange = nil
        guard phase != .closed else { return }
        if phase == .body {
            if closesAfterAnswer {
                linger()
                return
            }
            phase = .draining
            drainBytesLeft = context.limits.drainBodyBytesMax
            deadline = context.worker.now.adding(milliseconds: context.timeouts.drainBody)
            resumeReading()
            return
        }
        if closesAfterAnswer {
            linger()
        } else {
            becomeReady()
        }
    }

    private func becomeReady() {
        phase = .head
        if context.isDraining {
            linger()
            return
        }
        deadline = context.worker.now.adding(milliseconds: context.timeouts.keepAlive)
        resumeReading()
    }

    /// Half-closes after what is queued, then waits for the client to close.
    private func linger() {
        phase = .lingering
        drainBytesLeft = context.limits.drainBodyBytesMax
        flush()
        // A client that has not taken its answer yet gets the time for that first.
        octetsWrittenAtDeadline = octetsWritten
        let patience = queuedOutputBytes == 0 ? context.timeouts.drainBody : context.timeouts.responseWriteIdle
        deadline = context.worker.now.adding(milliseconds: patience)
        shutdownWrite()
        resumeReading()
    }

    /// Nothing more is read; a client that is slow to take its last answer gets all of it.
    private func endWhenSent() {
        if queuedOutputBytes > 0 { linger() } else { end() }
    }

    /// Ends the connection at once. A part of an answer may have been sent, so the client must see a broken message.
    func abort() {
        guard phase != .closed else { return }
        exchange = nil
        phase = .closed
        context.connectionClosed(self)
        reset()
        endStreams()
    }

    func end() {
        guard phase != .closed else { return }
        phase = .closed
        let exchange = self.exchange
        self.exchange = nil
        context.connectionClosed(self)
        closeNow()
        exchange?.clientLeft()
        endStreams()
    }

    private func endStreams() {
        let streams = http2
        http2 = nil
        streams?.connectionEnded()
    }

    /// HTTP/2 is over: what is queued goes out, and the client is given time to read it.
    func endAfterOutput() {
        guard phase == .http2 else { return }
        linger()
        endStreams()
    }

    /// The answer cannot keep the connection: its end is the connection's end, or the rest of the request is not worth
    /// reading.
    func closeAfterAnswer() {
        closesAfterAnswer = true
    }

    /// Closes now if no request is being served, else after its answer. A client that has not sent a request yet gets a
    /// moment to do so: it would have to take an end for a failure.
    func drainConnection() {
        if let http2 { return http2.drain() }
        closesAfterAnswer = true
        guard isIdle || phase == .proxyHeader || phase == .handshake else { return }
        // What waits in the kernel may be a request that is about to be read.
        if hasServed, !hasUnreadInput { return endWhenSent() }
        deadline = min(deadline, drainingPatience)
    }

    /// Until when a connection on which nothing was served yet may begin, in a drain.
    var drainingPatience: Instant { context.worker.now.adding(milliseconds: DownstreamConnection.drainingMilliseconds) }
    private static let drainingMilliseconds: UInt64 = 2_000

    /// From here on the octets of both sides are opaque.
    func becomeTunnel(idleMilliseconds: UInt64) {
        phase = .tunnel
        deadline = context.worker.now.adding(milliseconds: idleMilliseconds)
        resumeReading()
    }

    func endTunnel() {
        guard phase != .closed else { return }
        exchange = nil
        closesAfterAnswer = true
        phase = .answering
        linger()
    }

    // MARK: Errors before an exchange exists

    func refuse(_ problem: Problem, _ detail: StaticString?) {
        context.telemetry.refusedBeforeExchange(listener, problem)
        closesAfterAnswer = true
        phase = .answering
        let answer = ProblemAnswer(problem, detail: detail.map { "\($0)" })
        let head = AnswerHead(
            status: answer.status, framing: .length(UInt64(answer.content.count)), version: .http11, ends: false)
        _ = sendHead(head, fieldLines: answer.fieldLines, more: [])
        sendBody(answer.content.span)
        linger()
    }

    /// Over the limit on connections: one answer, and the end.
    func turnAway(_ descriptor: Int32, _ peer: SocketAddress, _ problem: Problem) {
        guard (try? adopt(descriptor: descriptor, peer: peer)) != nil else { return }
        // Before a handshake nothing can be said.
        if isSecure { return end() }
        refuse(problem, nil)
    }

    // MARK: Time

    override func deadlinePassed() {
        switch phase {
        case .http2:
            http2?.deadlinePassed()
        case .proxyHeader:
            end()
        case .handshake:
            context.telemetry.handshakeFailed(listener, "timeout")
            end()
        case .head where queuedOutputBytes > 0 && octetsWritten > octetsWrittenAtDeadline:
            watchWriting()
        case .head:
            if headHasBegun {
                refuse(.requestTimedOut, nil)
            } else {
                end()
            }
        case .body where exchange?.slicedReplay != nil:
            answerDeadlinePassed()
        case .body where isReadingPaused:
            // The service is slow to take the body; its own time limit runs.
            deadline = context.worker.now.adding(milliseconds: context.timeouts.requestBodyIdle)
        case .body:
            if exchange?.waitDeadlinePassed() != true { exchange?.requestTimedOut() }
        case .answering:
            answerDeadlinePassed()
        case .draining, .lingering:
            if queuedOutputBytes > 0, octetsWritten > octetsWrittenAtDeadline {
                octetsWrittenAtDeadline = octetsWritten
                deadline = context.worker.now.adding(milliseconds: context.timeouts.responseWriteIdle)
            } else {
                end()
            }
        case .tunnel:
            exchange?.tunnelIdle()
        case .closed:
            break
        }
    }

    private func answerDeadlinePassed() {
        if exchange?.waitDeadlinePassed() == true { return }
        // What was queued just now, in this batch, has had no chance to leave.
        if queuedOutputBytes > 0 && octetsWritten == octetsWrittenAtDeadline && wasQueuedAtDeadline {
            end()
            return
        }
        watchWriting()
    }

    /// Starts the clock for a client that does not read.
    func watchWriting() {
        octetsWrittenAtDeadline = octetsWritten
        wasQueuedAtDeadline = queuedOutputBytes > 0
        deadline = context.worker.now.adding(milliseconds: context.timeouts.responseWriteIdle)
    }
}
