import HTTP
import Transport

/// What a connection to a server does when it speaks HTTP/2: many exchanges share it, each as one stream.
final class HTTP2Upstream {
    unowned let connection: UpstreamConnection
    let session: HTTP2Session
    private var streams: [HTTP2StreamID: UpstreamStream] = [:]
    private var touched: [UpstreamStream] = []
    private var scratch: [UInt8] = []
    /// The service takes no more requests here.
    private(set) var isGoingAway = false
    private var endsAfterOutput = false

    init(connection: UpstreamConnection) throws(HTTP2Error) {
        self.connection = connection
        let limits = HTTP2Limits.towardsService(streamsMax: connection.pool.settings.streamsMax)
        session = try HTTP2Session(role: .client, limits: limits)
    }

    private var context: WorkerContext { connection.pool.context }

    var streamCount: Int { streams.count }

    /// The service has told its limits.
    var hasSettings: Bool { session.hasPeerSettings }

    /// Those that are here are served to their end.
    func takeNoMore() {
        isGoingAway = true
        connection.pool.takesNoMore(connection)
    }

    /// Whether one more exchange finds room here.
    var hasRoom: Bool { !isGoingAway && !endsAfterOutput && session.canOpenStream }

    // MARK: Requests

    /// Nil when the connection takes no more.
    func sendRequest(
        of exchange: Exchange, route: Route, framing: BodyFraming, for stream: UpstreamStream
    ) -> HTTP2StreamID? {
        let context = self.context
        let pool = connection.pool
        context.scratch.removeAll(keepingCapacity: true)
        ForwardedRequest.writeFields(
            exchange.head, route: route, client: exchange.client, via: context.rules.viaLine(exchange.head.version),
            isCovered: exchange.isCovered, to: &context.scratch)
        // gRPC servers insist on it, and HTTP/2 has no other use of TE (RFC 9113 §8.2.2).
        if exchange.head.fields.contains(.te) { context.scratch.append(contentsOf: WireText.teLine) }
        if case .length(let length) = framing { HTTP1Serialiser.contentLength(length, to: &context.scratch) }
        scratch.removeAll(keepingCapacity: true)
        ForwardedRequest.writeAuthority(
            exchange.head, route: route, serverText: pool.serverText(connection.server), to: &scratch)
        let authorityEnd = scratch.count
        ForwardedRequest.writeTarget(exchange.head, to: &scratch)
        let octets = exchange.head.fields.octets
        let target = scratch
        let scheme = connection.isSecure ? WireText.https : WireText.http
        let id = session.sendRequest(
            method: octets.span.extracting(exchange.head.methodRange.bounds), scheme: scheme.span,
            authority: target.span.extracting(0..<authorityEnd),
            path: target.span.extracting(authorityEnd..<target.count),
            fieldLines: context.scratch, ends: exchange.sendsHeadOnly)
        guard let id else { return nil }
        streams[id] = stream
        return id
    }

    func reset(_ stream: UpstreamStream, _ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        guard streams[id] === stream else { return }
        streams[id] = nil
        session.reset(id, code)
        connection.markDirty()
    }

    // MARK: Input

    func receive(_ octets: Span<UInt8>) {
        do {
            try session.receive(octets, on: connection, while: { !endsAfterOutput }, handle: { handle($0, $1) })
        } catch {
            endsAfterOutput = true
            isGoingAway = true
            connection.failStreams(.malformed(.incomplete))
        }
        if !connection.isSettled, hasSettings { connection.settle() }
        let read = touched
        touched.removeAll(keepingCapacity: true)
        for stream in read { stream.readEnded() }
        connection.markDirty()
    }

    private func handle(_ event: HTTP2Event, _ octets: Span<UInt8>) {
        switch event {
        case .response(let id, let head, let ends):
            connection.hasAnswered = true
            guard let stream = streams[id] else { return }
            touched.append(stream)
            stream.headReceived(head, ends: ends)
        case .data(let id, let range):
            guard let stream = streams[id] else { return session.consumed(id, range.count) }
            if touched.last !== stream { touched.append(stream) }
            stream.bodyReceived(octets.extracting(range))
        case .ended(let id, let trailers):
            streams[id]?.ended(trailers.map { session.trailers($0) })
        case .reset(let id, let code, _):
            guard let stream = streams.removeValue(forKey: id) else { return }
            stream.failed(code == .refusedStream ? .streamRefused : .streamReset(code.rawValue))
            becameIdleIfEmpty()
        case .malformed(let id, let error):
            guard let stream = streams.removeValue(forKey: id) else { return }
            stream.failed(.malformed(error))
            becameIdleIfEmpty()
        case .closed(let id):
            guard let stream = streams.removeValue(forKey: id) else { return }
            stream.closed()
            becameIdleIfEmpty()
        case .drained(let id):
            streams[id]?.drained()
        case .goAway:
            takeNoMore()
            becameIdleIfEmpty()
        case .request:
            break
        }
    }

    private func becameIdleIfEmpty() {
        guard streams.isEmpty else { return }
        if isGoingAway { endsAfterOutput = true } else { connection.streamDetached() }
        connection.markDirty()
    }

    // MARK: Output

    /// Pulls frames as far as the connection's output has room.
    func fillOutput() {
        let hasMore: Bool
        do {
            hasMore = try session.write(
                to: connection, highWater: context.limits.outputHighWater, handle: { handle($0, $1) })
        } catch {
            connection.end()
            return
        }
        if hasMore {
            connection.requestDrainNotice()
        } else if endsAfterOutput || session.isFinished {
            connection.endAfterFlush()
        }
    }

    /// No exchange for the whole idle time.
    func endIdle() {
        session.terminate(.noError)
        endsAfterOutput = true
        connection.markDirty()
    }

    // MARK: The end

    /// The connection is gone.
    func failAll(_ failure: UpstreamFailure) {
        let left = streams.sorted { $0.key < $1.key }.map(\.value)
        streams = [:]
        for stream in left { stream.failed(failure) }
    }

    func deadlinePassed(at now: Instant) -> Instant {
        for stream in Array(streams.values) where stream.deadline <= now { stream.deadlinePassed() }
        var next = Instant.never
        for stream in streams.values where stream.deadline < next { next = stream.deadline }
        return next
    }
}
