import HTTP
import Idempotency
import Transport

/// What a client's connection does when it speaks HTTP/2: it hands each stream to an exchange, and the octets of all to
/// the session.
///
/// The connection goes away in two steps (RFC 9113 §6.8): a GOAWAY that names no stream yet, so that requests under way
/// still arrive, then one with the last stream that is served.
final class HTTP2Downstream {
    private enum Shutdown {
        case none
        case announced
        case final
    }

    unowned let connection: DownstreamConnection
    let session: HTTP2Session
    private var streams: [HTTP2StreamID: DownstreamStream] = [:]
    private var shutdown = Shutdown.none
    /// When a connection without streams ends, or the next step of the shutdown is due.
    private var idleDeadline = Instant.never
    /// When a head that has begun must be complete.
    private var headDeadline = Instant.never
    /// Nothing more is served: what is queued goes out, then the connection ends.
    private var endsAfterOutput = false
    private var writeProgress: UInt64 = 0
    private var writeDeadline = Instant.never
    private var noticeDue: [DownstreamStream] = []
    /// Streams whose answer is complete and whose request is not.
    private var lingering: [HTTP2StreamID] = []
    private static let lingeringMax = 16
    /// How long requests that crossed the first GOAWAY may take to arrive.
    private static let shutdownGraceMilliseconds: UInt64 = 1_000

    init(connection: DownstreamConnection, session: HTTP2Session) {
        self.connection = connection
        self.session = session
        becameIdle()
    }

    private var context: WorkerContext { connection.context }
    private var worker: Worker { connection.worker }

    var isIdle: Bool { streams.isEmpty }

    // MARK: Input

    func receive(_ octets: Span<UInt8>) {
        do {
            try session.receive(octets, on: connection, while: { !endsAfterOutput }, handle: { handle($0, $1) })
        } catch {
            context.telemetry.goAwaySent(error.reason)
            endAfterOutput()
            return
        }
        watchHead()
        connection.markDirty()
    }

    private func watchHead() {
        guard session.isInsideHead else {
            headDeadline = .never
            return
        }
        guard headDeadline == .never else { return }
        headDeadline = worker.now.adding(milliseconds: context.timeouts.requestHeader)
        wakeUp(at: headDeadline)
    }

    private func handle(_ event: HTTP2Event, _ octets: Span<UInt8>) {
        switch event {
        case .request(let id, let head, let ends):
            begin(id, head, ends: ends)
        case .data(let id, let range):
            streams[id]?.bodyReceived(octets.extracting(range))
        case .ended(let id, let trailers):
            streams[id]?.requestEnded(trailers: trailers.map { session.trailers($0) })
        case .reset(let id, _, _):
            guard let stream = streams[id] else { return }
            remove(stream)
            stream.clientLeft()
        case .closed(let id):
            guard let stream = streams[id] else { return }
            remove(stream)
            stream.closed()
        case .malformed(let id, let error):
            malformed(id, error)
        case .drained(let id):
            streams[id]?.drained()
        case .response, .goAway:
            break
        }
    }

    private func begin(_ id: HTTP2StreamID, _ head: Int, ends: Bool) {
        let stream = DownstreamStream(id: id, owner: self)
        streams[id] = stream
        session.takeRequestHead(head, into: &context.parsedHead)
        start(stream, ends: ends)
    }

    private func start(_ stream: DownstreamStream, ends: Bool) {
        // While the connection goes away it is the time of the next step.
        if shutdown == .none { idleDeadline = .never }
        stream.begin(context.openExchange(for: .stream(stream)), ends: ends)
    }

    /// The request that asked for the upgrade is stream 1 (RFC 7540 §3.2); its head is in the context.
    func beginUpgraded() {
        let stream = DownstreamStream(id: .upgraded, owner: self)
        streams[.upgraded] = stream
        context.parsedHead.version = .http2
        context.parsedHead.acceptsTrailers = true
        start(stream, ends: true)
    }

    private func malformed(_ id: HTTP2StreamID, _ error: HTTPError) {
        context.telemetry.malformed(error)
        if let stream = streams[id] {
            stream.broken(error)
            return
        }
        context.telemetry.refusedBeforeExchange(connection.listener, Problem(error))
        let answer = ProblemAnswer(Problem(error), detail: "\(error.reason)")
        session.sendResponse(id, status: answer.status, fieldLines: answer.fieldLines, more: [], ends: false)
        session.sendData(id, answer.content.span)
        session.endStream(id, trailerLines: [])
    }

    /// Whether a client may take its time with the rest of a request that is answered. Those that never end would take
    /// the places of others.
    func mayLinger(_ stream: DownstreamStream) -> Bool {
        lingering = lingering.filter { streams[$0]?.lingers == true }
        guard lingering.count < HTTP2Downstream.lingeringMax else { return false }
        lingering.append(stream.id)
        return true
    }

    /// The stream needs no more from its connection.
    func remove(_ stream: DownstreamStream) {
        guard streams.removeValue(forKey: stream.id) != nil, streams.isEmpty else { return }
        becameIdle()
    }

    private func becameIdle() {
        // A connection may be idle for long after it was busy.
        if streams.capacity > 16 { streams = [:] }
        switch shutdown {
        case .none:
            idleDeadline = worker.now.adding(milliseconds: context.timeouts.keepAlive)
            wakeUp(at: idleDeadline)
        case .announced: finishShutdown()
        case .final: endAfterOutput()
        }
    }

    // MARK: Output

    /// Pulls frames as far as the connection's output has room.
    func fillOutput() {
        let hasMore: Bool
        do {
            hasMore = try session.write(
                to: connection, highWater: context.limits.outputHighWater, handle: { handle($0, $1) },
                written: { settleNotices() })
        } catch {
            connection.abort()
            return
        }
        if connection.queuedOutputBytes > 0, writeDeadline == .never { watchWriting() }
        if hasMore {
            connection.requestDrainNotice()
        } else if endsAfterOutput || session.isFinished {
            // Where the session has found an error itself, the streams that are left can be told nothing.
            connection.endAfterOutput()
        }
    }

    /// The kernel has taken all output.
    func outputDrained() {
        writeDeadline = .never
        connection.markDirty()
    }

    /// Nothing is queued of the stream already: its notice comes after this batch's output.
    func noticeAtOnce(_ stream: DownstreamStream) {
        noticeDue.append(stream)
        connection.markDirty()
    }

    private func settleNotices() {
        guard !noticeDue.isEmpty else { return }
        let due = noticeDue
        noticeDue = []
        for stream in due { stream.drained() }
    }

    // MARK: The end

    private func endAfterOutput() {
        endsAfterOutput = true
        connection.markDirty()
    }

    /// The connection is gone, and with it all its streams.
    func connectionEnded() {
        let left = streams.values.sorted { $0.id < $1.id }
        streams = [:]
        for stream in left { stream.clientLeft() }
    }

    /// No new requests; those that have begun are answered.
    func drain() {
        guard shutdown == .none else { return }
        shutdown = .announced
        session.announceShutdown()
        context.telemetry.goAwaySent("drain")
        idleDeadline = worker.now.adding(milliseconds: HTTP2Downstream.shutdownGraceMilliseconds)
        wakeUp(at: idleDeadline)
        connection.markDirty()
    }

    private func finishShutdown() {
        shutdown = .final
        session.finishShutdown()
        connection.markDirty()
        if streams.isEmpty { endAfterOutput() }
    }

    // MARK: Time

    /// Sees that `deadlinePassed` is called by then.
    func wakeUp(at instant: Instant) {
        if instant < connection.deadline { connection.deadline = instant }
    }

    private func watchWriting() {
        writeProgress = connection.octetsWritten
        writeDeadline = worker.now.adding(milliseconds: context.timeouts.responseWriteIdle)
        wakeUp(at: writeDeadline)
    }

    func deadlinePassed() {
        let now = worker.now
        if writeDeadline <= now {
            writeDeadline = .never
            if connection.queuedOutputBytes > 0 {
                guard connection.octetsWritten > writeProgress else { return connection.end() }
                watchWriting()
            }
        }
        for stream in Array(streams.values) where stream.deadline <= now { stream.deadlinePassed() }
        guard connection.isOpen else { return }
        if headDeadline <= now {
            headDeadline = .never
            goAway(.enhanceYourCalm, "request_header_timeout")
        }
        if idleDeadline <= now {
            idleDeadline = .never
            idleTimePassed()
        }
        var next = min(idleDeadline, writeDeadline, headDeadline)
        for stream in streams.values where stream.deadline < next { next = stream.deadline }
        wakeUp(at: next)
    }

    private func idleTimePassed() {
        switch shutdown {
        case .announced:
            finishShutdown()
        case .none where streams.isEmpty:
            goAway(.noError, "idle")
        case .none, .final:
            break
        }
    }

    private func goAway(_ code: HTTP2ErrorCode, _ reason: StaticString) {
        session.terminate(code)
        context.telemetry.goAwaySent(reason)
        endAfterOutput()
    }
}
