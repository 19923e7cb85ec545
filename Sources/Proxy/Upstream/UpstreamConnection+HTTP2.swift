import HTTP
import Transport

/// A connection that exchanges share.
extension UpstreamConnection {
    var isSecure: Bool { pool.scheme(server) == .https }

    /// What the scheme or ALPN has decided.
    var speaksHTTP2: Bool {
        switch pool.scheme(server) {
        case .http: false
        case .h2c: true
        case .https: tlsAgreement?.alpn == .http2
        }
    }

    /// Whether one more exchange can share the connection, or wait for it.
    var hasRoom: Bool {
        guard isSettled else { return isOpen && phase != .closed && waiting.count < pool.settings.streamsMax }
        return phase == .http2 && http2?.hasRoom == true && (http2?.streamCount ?? 0) < pool.settings.streamsMax
    }

    /// Octets of messages that were given to the channel, sent or not.
    var octetsHandedOver: UInt64 { payloadOctetsWritten + UInt64(queuedOutputBytes) }

    var streamCount: Int { (http2?.streamCount ?? 0) + waiting.count }

    /// Gives an exchange its place here; its request is sent by `Upstream.sendHead`.
    func addStream(_ exchange: Exchange) -> UpstreamStream {
        let stream = UpstreamStream(connection: self, exchange: exchange)
        if !isSettled { waiting.append(stream) }
        return stream
    }

    /// The connection stands and speaks HTTP/2. One request goes at once; the others wait until the service has said
    /// how many it takes.
    func becomeHTTP2() {
        do {
            http2 = try HTTP2Upstream(connection: self)
        } catch {
            failStreams(.notConnected(.noMemory))
            end()
            return
        }
        phase = .http2
        isShared = true
        deadline = .never
        pool.speaksHTTP2(server)
        markDirty()
        if let exchange = takeExchange() {
            exchange.upstream = .stream(addStream(exchange))
        }
        guard !waiting.isEmpty else { return }
        waiting.removeFirst().exchange?.upstreamConnected()
        for stream in waiting { wakeUp(at: stream.deadline) }
    }

    /// The service has told its limits: those that waited are sent, or look for another connection.
    func settle() {
        isSettled = true
        pool.becameShared(self)
        let ready = waiting
        waiting = []
        for stream in ready {
            if hasRoom {
                stream.exchange?.upstreamConnected()
            } else if let exchange = stream.takeExchange() {
                pool.streamEnded(server)
                exchange.upstream = nil
                exchange.startForwarding()
            }
        }
        streamDetached()
    }

    /// The connection speaks HTTP/1 where HTTP/2 was expected: the first exchange has it, the others look for another.
    func placeWaiting() {
        pool.becameExclusive(self)
        isShared = false
        isSettled = true
        let ready = waiting
        waiting = []
        for stream in ready {
            guard let other = stream.takeExchange() else { continue }
            if exchange == nil {
                // Counted as a stream so far, from here on as the connection.
                attach(other)
                other.upstream = .connection(self)
            } else {
                pool.streamEnded(server)
                other.upstream = nil
                other.startForwarding()
            }
        }
    }

    /// A stream is done with: without any, the idle time runs.
    func streamDetached() {
        guard phase == .http2, streamCount == 0 else { return }
        deadline = worker.now.adding(milliseconds: pool.settings.idleTimeoutMilliseconds)
    }

    /// An exchange has given its stream up. Nobody else may wait for the connection.
    func streamGivenUp(_ stream: UpstreamStream) {
        if let position = waiting.firstIndex(where: { $0 === stream }) { waiting.remove(at: position) }
        if phase == .connecting, waiting.isEmpty, exchange == nil { end() } else { streamDetached() }
    }

    func failStreams(_ failure: UpstreamFailure) {
        let left = waiting
        waiting = []
        for stream in left { stream.failed(failure) }
        http2?.failAll(failure)
    }

    // MARK: Time

    /// Sees that `streamDeadlinePassed` is called by then.
    func wakeUp(at instant: Instant) {
        if instant < deadline { deadline = instant }
    }

    func streamDeadlinePassed() {
        let now = worker.now
        for stream in waiting where stream.deadline <= now { stream.deadlinePassed() }
        var next = http2?.deadlinePassed(at: now) ?? .never
        guard isOpen else { return }
        for stream in waiting where stream.deadline < next { next = stream.deadline }
        if phase == .http2, streamCount == 0 {
            http2?.endIdle()
        } else {
            wakeUp(at: next)
        }
    }
}
