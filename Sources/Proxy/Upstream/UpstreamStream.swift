import HTTP
import Transport

/// One request on an HTTP/2 connection to a server, and its answer.
final class UpstreamStream {
    /// What came while the exchange did not want it.
    private enum Waiting {
        case head(ResponseHead, ends: Bool)
        case body([UInt8])
        case end(FieldSection?)
    }

    let connection: UpstreamConnection
    private(set) var exchange: Exchange?
    /// Nil until the request is sent: the connection may still be in the making.
    private(set) var id: HTTP2StreamID?
    /// The connection stood before the exchange came: it may have died since.
    let isReused: Bool
    private var octetsBefore: UInt64 = 0
    private var readBefore: UInt64 = 0
    private var isRequestComplete = false
    private var isPaused = false
    private var waiting: [Waiting] = []
    private var hasAnswerEnded = false
    /// Octets of the answer that the service's window does not have back.
    private var owed = 0
    private var wantsDrainNotice = false

    /// When the exchange's `upstreamDeadlinePassed` is called.
    var deadline = Instant.never {
        didSet { connection.wakeUp(at: deadline) }
    }

    init(connection: UpstreamConnection, exchange: Exchange) {
        self.connection = connection
        self.exchange = exchange
        isReused = connection.isSettled
    }

    private var owner: HTTP2Upstream? { connection.http2 }

    // MARK: The request

    /// Conservative: other streams' octets may have been sent, and not this one's. What waits in the connection's
    /// output counts, because it goes out even when the exchange has given up.
    var hasSentAnyOctet: Bool { id != nil && connection.payloadOctetsGiven > octetsBefore }

    func sendHead(of exchange: Exchange, route: Route, framing: BodyFraming) -> Bool {
        guard let owner, connection.isOpen else { return false }
        octetsBefore = connection.payloadOctetsGiven
        readBefore = connection.octetsRead
        isRequestComplete = exchange.sendsHeadOnly
        id = owner.sendRequest(of: exchange, route: route, framing: framing, for: self)
        connection.markDirty()
        return id != nil
    }

    func sendBody(_ octets: Span<UInt8>) {
        guard let owner, let id else { return }
        owner.session.sendData(id, octets)
        connection.markDirty()
    }

    func sendBody(shared octets: [UInt8]) {
        guard octets.count >= UpstreamStream.sharedBytesMin else { return sendBody(octets.span) }
        guard let owner, let id else { return }
        owner.session.sendData(id, shared: octets, 0..<octets.count)
        connection.markDirty()
    }

    /// What is smaller is cheaper to copy.
    private static let sharedBytesMin = 4096

    func sendEnd(trailerLines: [UInt8]) {
        guard !isRequestComplete, let owner, let id else { return }
        isRequestComplete = true
        owner.session.endStream(id, trailerLines: trailerLines)
        connection.markDirty()
    }

    var queuedOctets: Int {
        guard let owner, let id else { return 0 }
        return owner.session.queuedOctets(id)
    }

    func requestDrainNotice() {
        wantsDrainNotice = true
        if queuedOctets == 0 { connection.pool.context.afterThisEvent { self.resumed() } }
    }

    /// What was queued is in frames.
    func drained() {
        guard wantsDrainNotice else { return }
        wantsDrainNotice = false
        exchange?.upstreamOutputDrained()
    }

    // MARK: The answer

    func pauseReading() {
        isPaused = true
    }

    /// What waits is given at the end of this batch, never inside this call.
    func resumeReading() {
        guard isPaused else { return }
        isPaused = false
        // Whether the connection still stands or not.
        connection.pool.context.afterThisEvent { self.resumed() }
    }

    func headReceived(_ head: Int, ends: Bool) {
        guard let exchange, let owner else { return }
        if isPaused || !waiting.isEmpty {
            var answer = ResponseHead()
            owner.session.takeResponseHead(head, into: &answer)
            waiting.append(.head(answer, ends: ends))
            return
        }
        owner.session.takeResponseHead(head, into: &exchange.answerHead)
        give(exchange, ends: ends)
    }

    private func give(_ exchange: Exchange, ends: Bool) {
        if exchange.answerHead.isInformational { return exchange.interimAnswerReceived() }
        exchange.answerHeadReceived(ends: ends)
        // The head may have been refused, and the exchange have left.
        if ends, self.exchange === exchange { finish(exchange, nil) }
    }

    private func finish(_ exchange: Exchange, _ trailers: FieldSection?) {
        hasAnswerEnded = true
        exchange.answerEndReceived(trailers: trailers, hasLeftover: false)
    }

    func bodyReceived(_ octets: Span<UInt8>) {
        guard let exchange else {
            giveBack(octets.count)
            return
        }
        owed += octets.count
        if isPaused || !waiting.isEmpty {
            var body: [UInt8] = []
            body.append(octets)
            waiting.append(.body(body))
            return
        }
        exchange.answerBodyReceived(octets)
        settleWindow()
    }

    func ended(_ trailers: FieldSection?) {
        if isPaused || !waiting.isEmpty {
            waiting.append(.end(trailers))
            return
        }
        if let exchange { finish(exchange, trailers) }
    }

    /// The connection has nothing more for this stream. An answer that waits for its exchange still counts.
    func closed() {
        failed(.closedEarly)
    }

    /// The whole answer is here, and the exchange has not taken it yet.
    private var waitsForEnd: Bool {
        switch waiting.last {
        case .end, .head(_, ends: true): true
        case .head, .body, nil: false
        }
    }

    /// Everything that came with this read was handled.
    func readEnded() {
        if !hasAnswerEnded, waiting.isEmpty { exchange?.answerReadEnded() }
    }

    /// The exchange takes more, or what it sent has left.
    func resumed() {
        if queuedOctets == 0 { drained() }
        while !isPaused, !waiting.isEmpty, let exchange {
            switch waiting.removeFirst() {
            case .head(let head, let ends):
                exchange.answerHead = head
                give(exchange, ends: ends)
            case .body(let octets): exchange.answerBodyReceived(octets.span)
            case .end(let trailers): finish(exchange, trailers)
            }
        }
        settleWindow()
        if !isPaused { readEnded() }
    }

    private func settleWindow() {
        guard !isPaused, owed > 0 else { return }
        giveBack(owed)
        owed = 0
    }

    private func giveBack(_ count: Int) {
        guard let owner, let id else { return }
        owner.session.consumed(id, count)
        connection.markDirty()
    }

    // MARK: The end

    /// The exchange has its whole answer.
    func detach(requestIsComplete: Bool) {
        exchange = nil
        deadline = .never
        connection.pool.serverAnswered(connection.server)
        connection.pool.streamEnded(connection.server)
        if let owner, let id {
            // RFC 9113 §8.1: what is left of the request is not needed. That may be its end alone, which waits for the
            // service's window as octets do.
            if !requestIsComplete || !owner.session.isOwnMessageSent(id) { owner.reset(self, id, .noError) }
            if owed > 0 { giveBack(owed) }
            owed = 0
        }
        connection.streamDetached()
    }

    /// Gives the exchange up: nothing more is read or sent for it.
    func end() {
        guard exchange != nil else { return }
        exchange = nil
        connection.pool.streamEnded(connection.server)
        deadline = .never
        waiting = []
        if let owner, let id { owner.reset(self, id, .cancel) }
        connection.streamGivenUp(self)
    }

    /// A whole answer that waits for its exchange is not undone by what comes after it.
    func failed(_ failure: UpstreamFailure) {
        if !waitsForEnd { exchange?.upstreamFailed(failure) }
    }

    /// The connection speaks HTTP/1 after all, or is of no use: the exchange looks for another.
    func takeExchange() -> Exchange? {
        let exchange = self.exchange
        self.exchange = nil
        return exchange
    }

    func deadlinePassed() {
        deadline = .never
        guard id != nil else {
            exchange?.upstreamFailed(.connectTimedOut)
            return
        }
        // Not an octet since the request was sent: the way there may be dead, and no other request is to find out.
        if connection.octetsRead == readBefore { owner?.takeNoMore() }
        exchange?.upstreamDeadlinePassed()
    }
}
