import HTTP
import Transport

/// A connection to one server of an upstream. With HTTP/1 it serves one exchange at a time and waits in its pool
/// between them; with HTTP/2 exchanges share it (`HTTP2Upstream`).
///
/// Topics: `+Request` (requests as HTTP/1 messages), `+HTTP2`. Here: HTTP/1 answers, the end, time.
final class UpstreamConnection: StreamChannel {
    enum Phase {
        /// TLS included.
        case connecting
        case idle
        /// An exchange is attached; the head of an answer is awaited.
        case awaitingHead
        case body
        /// Both directions are opaque after a 101.
        case tunnel
        case http2
        case closed
    }

    let pool: UpstreamPool
    /// Index into the pool's servers.
    let server: Int
    /// The exchange that this connection serves.
    @exclusivity(unchecked) private(set) var exchange: Exchange?
    @exclusivity(unchecked) var phase: Phase = .connecting
    var http2: HTTP2Upstream?
    /// Exchanges that share the connection once it stands.
    var waiting: [UpstreamStream] = []
    /// The pool counts the connection's streams, not the connection.
    var isShared = false
    /// It is known how many exchanges may share it.
    var isSettled = false
    @exclusivity(unchecked) private var parser: ResponseParser
    @exclusivity(unchecked) private var decoder = BodyDecoder(framing: .none)
    private var keepsAlive = false
    /// The head of an answer came, interim ones included.
    @exclusivity(unchecked) var hasAnswered = false
    /// True when the connection has served an exchange before: it may have died while idle.
    private(set) var isReused = false
    /// Where `octetsWritten` stood when the exchange was attached.
    private var octetsWrittenBefore: UInt64 = 0
    @exclusivity(unchecked) var requestFraming = BodyFraming.none

    init(pool: UpstreamPool, server: Int) {
        self.pool = pool
        self.server = server
        self.parser = ResponseParser()
        super.init(worker: pool.context.worker)
    }

    // MARK: Entry points for the exchange

    func attach(_ exchange: Exchange) {
        self.exchange = exchange
        octetsWrittenBefore = payloadOctetsWritten
        if phase == .idle {
            isReused = true
            phase = .awaitingHead
        }
    }

    /// Whether any octet of the exchange's request was given to the kernel.
    var hasSentAnyOctet: Bool { payloadOctetsWritten > octetsWrittenBefore }

    var isConnected: Bool {
        switch phase {
        case .connecting, .closed: false
        case .idle, .awaitingHead, .body, .tunnel, .http2: true
        }
    }

    /// The exchange ends here; the connection goes back to the pool if it can be used again, else it is closed.
    /// - Parameter requestIsComplete: the whole request was handed over, so that nothing of it can follow.
    func detach(requestIsComplete: Bool, hasLeftover: Bool) {
        exchange = nil
        let isClean =
            phase == .awaitingHead && decoder.isEnd && requestIsComplete && !hasLeftover && queuedOutputBytes == 0
        pool.serverAnswered(server)
        if keepsAlive && isClean {
            phase = .idle
            // It may be paused still for a client that took its time with the answer's last octets.
            resumeReading()
            pool.checkIn(self)
        } else {
            end()
        }
    }

    /// Gives the exchange up: nothing more is read or sent.
    func end() {
        exchange = nil
        guard phase != .closed else { return }
        phase = .closed
        pool.connectionClosed(self)
        closeNow()
        failStreams(.closedEarly)
    }

    /// The exchange goes to a stream of this connection.
    func takeExchange() -> Exchange? {
        let exchange = self.exchange
        self.exchange = nil
        return exchange
    }

    /// What is queued still goes out: the last octets of a tunnel's client, or a GOAWAY.
    func endAfterFlush() {
        exchange = nil
        guard phase != .closed else { return }
        phase = .closed
        pool.connectionClosed(self)
        deadline = worker.now.adding(milliseconds: 5_000)
        closeAfterFlush()
        failStreams(.closedEarly)
    }

    // MARK: Transport events

    override func connected() {
        if speaksHTTP2 { return becomeHTTP2() }
        phase = .awaitingHead
        deadline = .never
        isSettled = true
        if !waiting.isEmpty { placeWaiting() }
        exchange?.upstreamConnected()
    }

    override func willFlush() {
        if phase == .http2 { http2?.fillOutput() }
    }

    override func received(_ octets: Span<UInt8>) -> Int {
        var offset = 0
        while offset < octets.count {
            let rest = octets.extracting(offset..<octets.count)
            switch phase {
            case .awaitingHead:
                guard let exchange else { return abandon(octets) }
                guard let consumed = receiveHead(rest, exchange) else { return offset }
                offset += consumed
            case .body:
                guard let exchange else { return abandon(octets) }
                guard let consumed = receiveBody(rest, exchange) else { return octets.count }
                offset += consumed
                if consumed == 0 {
                    exchange.answerReadEnded()
                    return offset
                }
            case .http2:
                http2?.receive(rest)
                return octets.count
            case .tunnel:
                exchange?.tunnelFromUpstream(rest)
                return octets.count
            case .idle, .connecting:
                // RFC 9112 §9.2: octets that no request asked for; the connection cannot be trusted.
                return abandon(octets)
            case .closed:
                return octets.count
            }
        }
        exchange?.answerReadEnded()
        return offset
    }

    /// Returns the octets consumed, nil when more are needed or the connection is no longer in use.
    private func receiveHead(_ octets: Span<UInt8>, _ exchange: Exchange) -> Int? {
        guard hasSentAnyOctet else {
            // RFC 9112 §9.2: an answer to a request of which nothing was sent answers something else.
            fail(exchange, .extraOctets)
            return octets.count
        }
        let consumed: Int?
        do {
            consumed = try parser.parse(octets, requestMethod: exchange.head.method, into: &exchange.answerHead)
        } catch {
            fail(exchange, .malformed(error))
            return octets.count
        }
        guard let consumed else { return nil }
        hasAnswered = true
        let status = exchange.answerHead.status
        if status == 101 {
            return receiveSwitch(consumed, exchange)
        }
        if status < 200 {
            exchange.interimAnswerReceived()
            return consumed
        }
        decoder = BodyDecoder(framing: exchange.answerHead.framing)
        keepsAlive = exchange.answerHead.keepsAlive
        phase = .body
        exchange.answerHeadReceived(ends: decoder.isEnd)
        if self.exchange === exchange, phase == .body, decoder.isEnd {
            finish(exchange, hasLeftover: consumed < octets.count)
        }
        return consumed
    }

    private func receiveSwitch(_ consumed: Int, _ exchange: Exchange) -> Int {
        if exchange.upgradeAccepted() {
            phase = .tunnel
        } else {
            fail(exchange, .unexpectedSwitch)
        }
        return consumed
    }

    /// Returns the octets consumed; nil when the connection is no longer in use.
    private func receiveBody(_ octets: Span<UInt8>, _ exchange: Exchange) -> Int? {
        do {
            switch try decoder.next(octets) {
            case .data(let consumed, let range):
                exchange.answerBodyReceived(octets.extracting(range))
                guard self.exchange === exchange else { return nil }
                if decoder.isEnd { finish(exchange, hasLeftover: consumed < octets.count) }
                return consumed
            case .needsMore(let consumed):
                return consumed
            case .end(let consumed):
                finish(exchange, hasLeftover: consumed < octets.count)
                return consumed
            }
        } catch {
            fail(exchange, .malformed(error))
            return nil
        }
    }

    private func finish(_ exchange: Exchange, hasLeftover: Bool) {
        phase = .awaitingHead
        parser = ResponseParser()
        exchange.answerEndReceived(trailers: decoder.trailers, hasLeftover: hasLeftover)
    }

    private func fail(_ exchange: Exchange, _ failure: UpstreamFailure) {
        exchange.upstreamFailed(failure)
    }

    /// Closes the connection because of octets that belong to no exchange.
    private func abandon(_ octets: Span<UInt8>) -> Int {
        end()
        return octets.count
    }

    override func receivedEnd() {
        guard let exchange, phase != .http2 else {
            end()
            return
        }
        switch phase {
        case .body:
            do {
                // RFC 9112 §9.8: without close_notify anybody may have cut the answer short.
                if isEndTruncated { throw HTTPError.incomplete }
                try decoder.inputEnded()
                keepsAlive = false
                finish(exchange, hasLeftover: false)
            } catch {
                fail(exchange, .closedEarly)
            }
        case .tunnel:
            exchange.tunnelEnded(byUpstream: true)
        case .connecting, .idle, .awaitingHead:
            fail(exchange, .closedEarly)
        case .http2, .closed:
            break
        }
    }

    override func failed(_ error: Errno) {
        guard phase != .closed else { return }
        let failure = failure(error)
        if let tlsFailure, failure == .notSecured || failure == .certificateRefused {
            pool.context.telemetry.notSecured(pool, server, tlsFailure)
        }
        guard let exchange else {
            phase = .closed
            pool.connectionClosed(self)
            failStreams(failure)
            return
        }
        fail(exchange, failure)
    }

    private func failure(_ error: Errno) -> UpstreamFailure {
        guard phase != .connecting else { return tlsFailure == nil ? .notConnected(error) : .notSecured }
        // Over TLS 1.3 our handshake ends before the service has looked at our certificate.
        let hasRead = hasAnswered || http2?.session.areSettingsAcknowledged == true
        return isRefusedByServer && !hasRead ? .certificateRefused : .reset(error)
    }

    override func outputDrained() {
        if phase == .http2 { markDirty() } else { exchange?.upstreamOutputDrained() }
    }

    override func deadlinePassed() {
        // What was left to send is not taken.
        if phase == .closed { return closeNow() }
        if phase == .http2 || !waiting.isEmpty { return streamDeadlinePassed() }
        guard let exchange else {
            end()
            return
        }
        if phase == .connecting {
            fail(exchange, .connectTimedOut)
        } else {
            exchange.upstreamDeadlinePassed()
        }
    }
}
