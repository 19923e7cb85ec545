import HTTP
import Idempotency
import Transport

/// One request of an HTTP/2 connection and its answer.
final class DownstreamStream {
    private enum Request {
        /// Its body goes to the exchange.
        case open
        /// END_STREAM came.
        case ended
        /// The exchange ended first: what still comes is dropped.
        case discarded
    }

    let id: HTTP2StreamID
    let connection: DownstreamConnection
    private unowned let owner: HTTP2Downstream
    private(set) var exchange: Exchange?
    private var request = Request.open
    /// Body that the exchange could not take yet; the client's window stays closed for it.
    private var waitingBody: [UInt8] = []
    /// The request has ended behind `waitingBody`.
    private var waitingEnd: (trailers: FieldSection?, Void)?
    private var bodyClock = BodyClock()
    private var isAnswerComplete = false
    private var wantsDrainNotice = false
    /// Octets of the body given to the session, and how many of them were in frames when the clock started.
    private var given: UInt64 = 0
    private var takenAtDeadline: UInt64 = 0
    /// Since when the client can have taken what is queued, unless it has taken something since the clock started.
    private var waitsSince = Instant.never
    private var droppedBytes = 0
    private var isDiscardedBySession = false
    private var deliveryNote: ((DownstreamConnection) -> Void)?
    /// The record whose answer is completely queued, and not in frames yet.
    private var sentClaim: ClaimReference?

    /// When `deadlinePassed` is called.
    var deadline = Instant.never {
        didSet { owner.wakeUp(at: deadline) }
    }

    init(id: HTTP2StreamID, owner: HTTP2Downstream) {
        self.id = id
        self.owner = owner
        connection = owner.connection
    }

    private var context: WorkerContext { connection.context }

    // MARK: The request

    /// - Parameter ends: no body follows.
    func begin(_ exchange: Exchange, ends: Bool) {
        self.exchange = exchange
        request = ends ? .ended : .open
        if !ends { deadline = bodyClock.start(at: context.worker.now, context.timeouts) }
        exchange.headReceived()
        if ends { self.exchange?.requestEnded(trailers: nil) }
    }

    func bodyReceived(_ octets: Span<UInt8>) {
        guard request == .open, let exchange else { return drop(octets.count) }
        deadline = bodyClock.progressed(at: context.worker.now, context.timeouts, isCovered: exchange.isCovered)
        guard waitingBody.isEmpty, exchange.canTakeBody else {
            waitingBody.append(octets)
            return
        }
        owner.session.consumed(id, octets.count)
        give(octets, to: exchange)
    }

    /// RFC 9113 §8.1: the rest of a request that is answered already. A client is left to finish a short one.
    private func drop(_ count: Int) {
        guard !isDiscardedBySession else { return }
        droppedBytes += count
        owner.session.consumed(id, count)
        if droppedBytes > context.limits.drainBodyBytesMax { discardInSession() }
    }

    /// Answered, and the rest of its request is let in.
    var lingers: Bool { request == .discarded && !isDiscardedBySession }

    /// The session drops the rest, and after the answer's end refuses it with NO_ERROR.
    private func discardInSession() {
        guard !isDiscardedBySession else { return }
        isDiscardedBySession = true
        owner.session.discardBody(id)
        connection.markDirty()
    }

    private func give(_ octets: Span<UInt8>, to exchange: Exchange) {
        exchange.requestBodyReceived(octets)
        guard self.exchange === exchange, exchange.isCovered, exchange.slicedReplay == nil,
            bodyClock.isTooSlow(at: context.worker.now, octets: exchange.bodyBytesReceived, context.limits)
        else { return }
        exchange.requestTimedOut()
    }

    func requestEnded(trailers: FieldSection?) {
        if request == .discarded {
            request = .ended
            watchWriting()
        }
        guard request == .open else { return }
        guard waitingBody.isEmpty else {
            waitingEnd = (trailers, ())
            return
        }
        request = .ended
        deadline = .never
        exchange?.requestEnded(trailers: trailers)
    }

    /// The stream's window is not given back while the exchange takes nothing.
    func pauseReading() {}

    /// The exchange can take more of the body.
    func resumeReading() {
        guard !waitingBody.isEmpty, let exchange, exchange.canTakeBody else { return }
        let body = waitingBody
        waitingBody = []
        owner.session.consumed(id, body.count)
        give(body.span, to: exchange)
        if let end = waitingEnd {
            waitingEnd = nil
            requestEnded(trailers: end.trailers)
        }
        connection.markDirty()
    }

    func restartBodyTimers() {
        if request == .open { deadline = bodyClock.start(at: context.worker.now, context.timeouts) }
    }

    /// The session refused the rest of the request.
    func broken(_ error: HTTPError) {
        exchange?.requestBroken(error)
    }

    /// The stream is gone before its answer was complete: the client gave it up, or its connection is closed.
    func clientLeft() {
        let exchange = self.exchange
        self.exchange = nil
        request = .discarded
        deadline = .never
        deliveryNote = nil
        if let sentClaim { context.submit(.undelivered(sentClaim)) }
        sentClaim = nil
        exchange?.clientLeft()
    }

    // MARK: The answer

    var queuedOctets: Int { owner.session.queuedOctets(id) }

    func sendInterim(_ status: UInt16, fieldLines: [UInt8]) {
        owner.session.sendInterim(id, status: status, fieldLines: fieldLines)
        connection.markDirty()
    }

    func sendHead(_ head: AnswerHead, fieldLines: [UInt8], more: [UInt8]) -> Int {
        owner.session.sendResponse(id, status: head.status, fieldLines: fieldLines, more: more, ends: head.ends)
        isAnswerComplete = head.ends
        connection.markDirty()
        return fieldLines.count + more.count
    }

    func sendBody(_ octets: Span<UInt8>) {
        willGive(octets.count)
        owner.session.sendData(id, octets)
        connection.markDirty()
    }

    func sendBody(shared octets: [UInt8]) {
        willGive(octets.count)
        owner.session.sendData(id, shared: octets, 0..<octets.count)
        connection.markDirty()
    }

    private func willGive(_ count: Int) {
        // The first octets since the clock started, which found nothing that waited.
        if given == takenAtDeadline { waitsSince = context.worker.now }
        given += UInt64(count)
    }

    func sendEnd(trailerLines: [UInt8]) {
        guard !isAnswerComplete else { return }
        isAnswerComplete = true
        owner.session.endStream(id, trailerLines: trailerLines)
        connection.markDirty()
    }

    func abort() {
        exchange = nil
        owner.session.reset(id, .internalError)
        owner.remove(self)
        connection.markDirty()
    }

    func answerEnded() {
        exchange = nil
        guard request != .open else {
            request = waitingEnd == nil ? .discarded : .ended
            drop(waitingBody.count)
            waitingBody = []
            waitingEnd = nil
            watchWriting()
            guard request == .discarded else { return }
            deadline = context.worker.now.adding(milliseconds: context.timeouts.drainBody)
            if !owner.mayLinger(self) { discardInSession() }
            return
        }
        // Even its end can wait for the client's window.
        watchWriting()
    }

    /// Everything of both sides is in frames.
    func closed() {
        if let note = deliveryNote {
            deliveryNote = nil
            note(connection)
        } else if let sentClaim {
            connection.noteSent(sentClaim)
        }
        sentClaim = nil
        clientLeft()
    }

    func requestDrainNotice() {
        wantsDrainNotice = true
        if queuedOctets == 0 { owner.noticeAtOnce(self) }
    }

    /// What was queued is in frames.
    func drained() {
        guard wantsDrainNotice else { return }
        wantsDrainNotice = false
        exchange?.downstreamOutputDrained()
    }

    /// The answer is queued; whether it arrives is known after its last frame is sent.
    func watchDelivery(of claim: ClaimReference?, _ note: @escaping (DownstreamConnection) -> Void) {
        sentClaim = claim
        deliveryNote = note
    }

    /// The same without a watch: only its loss is noted.
    func noteSent(_ claim: ClaimReference) {
        sentClaim = claim
    }

    // MARK: Time

    /// Octets of the answer that are in frames.
    private var takenOctets: UInt64 { given - min(given, UInt64(queuedOctets)) }

    func watchWriting() {
        takenAtDeadline = takenOctets
        waitsSince = context.worker.now
        deadline = waitsSince.adding(milliseconds: context.timeouts.responseWriteIdle)
    }

    func deadlinePassed() {
        deadline = .never
        if exchange?.waitDeadlinePassed() == true { return }
        switch request {
        case .open where exchange?.slicedReplay != nil:
            watchTaking()
        case .open where !waitingBody.isEmpty:
            // The service is slow to take the body; its own time limit runs.
            deadline = context.worker.now.adding(milliseconds: context.timeouts.requestBodyIdle)
        case .open where exchange?.isCovered == false && exchange?.hasAnswerHead == true:
            // A call with messages both ways: the service's own time limit runs.
            watchTaking()
        case .open:
            exchange?.requestTimedOut()
        case .discarded where !isDiscardedBySession:
            discardInSession()
            watchWriting()
        case .ended, .discarded:
            watchTaking()
        }
    }

    /// A client that takes nothing of what is queued, or not even the end, is given up.
    private func watchTaking() {
        guard takenOctets == takenAtDeadline, queuedOctets > 0 || exchange == nil else { return watchWriting() }
        let end = waitsSince.adding(milliseconds: context.timeouts.responseWriteIdle)
        if end <= context.worker.now { giveUp(.cancel) } else { deadline = end }
    }

    private func giveUp(_ code: HTTP2ErrorCode) {
        owner.session.reset(id, code)
        owner.remove(self)
        clientLeft()
        connection.markDirty()
    }
}
