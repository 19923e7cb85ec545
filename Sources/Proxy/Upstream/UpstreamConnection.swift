import HTTP
import Transport

/// A connection to one server of an upstream. It serves one exchange at a time and waits in its pool between them.
final class UpstreamConnection: StreamChannel {
    private enum Phase {
        case connecting
        case idle
        /// An exchange is attached; the head of an answer is awaited.
        case awaitingHead
        case body
        /// Both directions are opaque after a 101.
        case tunnel
        case closed
    }

    let pool: UpstreamPool
    /// Index into the pool's servers.
    let server: Int
    /// The exchange that this connection serves.
    @exclusivity(unchecked) private(set) var exchange: Exchange?
    @exclusivity(unchecked) private var phase: Phase = .connecting
    @exclusivity(unchecked) private var parser: ResponseParser
    @exclusivity(unchecked) private var decoder = BodyDecoder(framing: .none)
    private var keepsAlive = false
    /// True when the connection has served an exchange before: it may have died while idle.
    private(set) var isReused = false
    /// Where `octetsWritten` stood when the exchange was attached.
    private var octetsWrittenBefore: UInt64 = 0

    init(pool: UpstreamPool, server: Int) {
        self.pool = pool
        self.server = server
        self.parser = ResponseParser()
        super.init(worker: pool.context.worker)
    }

    // MARK: Entry points for the exchange

    func attach(_ exchange: Exchange) {
        self.exchange = exchange
        octetsWrittenBefore = octetsWritten
        if phase == .idle {
            isReused = true
            phase = .awaitingHead
        }
    }

    /// Whether any octet of the exchange's request was given to the kernel.
    var hasSentAnyOctet: Bool { octetsWritten > octetsWrittenBefore }

    var isConnected: Bool {
        switch phase {
        case .connecting, .closed: false
        case .idle, .awaitingHead, .body, .tunnel: true
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
    }

    /// The client of a tunnel is gone: what it sent last still goes out.
    func endAfterFlush() {
        exchange = nil
        guard phase != .closed else { return }
        phase = .closed
        pool.connectionClosed(self)
        deadline = worker.now.adding(milliseconds: 5_000)
        closeAfterFlush()
    }

    // MARK: Transport events

    override func connected() {
        phase = .awaitingHead
        deadline = .never
        exchange?.upstreamConnected()
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
        exchange.answerHeadReceived()
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
        guard let exchange else {
            end()
            return
        }
        switch phase {
        case .body:
            do {
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
        case .closed:
            break
        }
    }

    override func failed(_ error: Errno) {
        let wasConnecting = phase == .connecting
        guard let exchange else {
            end()
            return
        }
        fail(exchange, wasConnecting ? .notConnected(error) : .reset(error))
    }

    override func outputDrained() {
        exchange?.upstreamOutputDrained()
    }

    override func deadlinePassed() {
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

/// What went wrong with a connection to a service.
enum UpstreamFailure: Equatable {
    case notConnected(Errno)
    case connectTimedOut
    /// The connection ended before the answer did.
    case closedEarly
    case reset(Errno)
    case malformed(HTTPError)
    /// A 101 that was not asked for, or on a covered route.
    case unexpectedSwitch
    case responseTimedOut
    case extraOctets
}
