import HTTP
import Transport

/// The service's side of one exchange, whatever protocol it speaks. What goes in are messages; how they are framed is
/// the protocol's.
enum Upstream {
    /// HTTP/1: the connection serves one exchange at a time.
    case connection(UpstreamConnection)
    /// HTTP/2: one of the streams of a connection.
    case stream(UpstreamStream)

    /// The connection below.
    var channel: UpstreamConnection {
        switch self {
        case .connection(let connection): connection
        case .stream(let stream): stream.connection
        }
    }

    /// Index into the pool's servers.
    var server: Int { channel.server }

    /// The connection has served an exchange before: it may have died while idle.
    var isReused: Bool {
        switch self {
        case .connection(let connection): connection.isReused
        case .stream(let stream): stream.isReused
        }
    }

    /// Whether any octet of the exchange's request may have gone to the service.
    var hasSentAnyOctet: Bool {
        switch self {
        case .connection(let connection): connection.hasSentAnyOctet
        case .stream(let stream): stream.hasSentAnyOctet
        }
    }

    // MARK: The request

    /// The head, rebuilt from the exchange's parsed values. False when the connection takes no more requests.
    func sendHead(of exchange: Exchange, route: Route, framing: BodyFraming) -> Bool {
        switch self {
        case .connection(let connection):
            connection.sendHead(of: exchange, route: route, framing: framing)
            return true
        case .stream(let stream): return stream.sendHead(of: exchange, route: route, framing: framing)
        }
    }

    /// A part of the body.
    func sendBody(_ octets: Span<UInt8>) {
        switch self {
        case .connection(let connection): connection.sendBody(octets)
        case .stream(let stream): stream.sendBody(octets)
        }
    }

    /// The end of the request.
    func sendEnd(trailerLines: [UInt8]) {
        switch self {
        case .connection(let connection): connection.sendEnd(trailerLines: trailerLines)
        case .stream(let stream): stream.sendEnd(trailerLines: trailerLines)
        }
    }

    // MARK: The answer

    func pauseReading() {
        switch self {
        case .connection(let connection): connection.pauseReading()
        case .stream(let stream): stream.pauseReading()
        }
    }

    func resumeReading() {
        switch self {
        case .connection(let connection): connection.resumeReading()
        case .stream(let stream): stream.resumeReading()
        }
    }

    // MARK: The end

    /// The exchange ends here; the connection serves others.
    func detach(requestIsComplete: Bool, hasLeftover: Bool) {
        switch self {
        case .connection(let connection):
            connection.detach(requestIsComplete: requestIsComplete, hasLeftover: hasLeftover)
        case .stream(let stream): stream.detach(requestIsComplete: requestIsComplete)
        }
    }

    /// Gives the exchange up: nothing more is read or sent for it.
    func end() {
        switch self {
        case .connection(let connection): connection.end()
        case .stream(let stream): stream.end()
        }
    }

    // MARK: Backpressure and time

    /// Octets queued towards the service.
    var queuedOctets: Int {
        switch self {
        case .connection(let connection): connection.queuedOutputBytes
        case .stream(let stream): stream.queuedOctets
        }
    }

    /// Asks for `Exchange.upstreamOutputDrained`.
    func requestDrainNotice() {
        switch self {
        case .connection(let connection): connection.requestDrainNotice()
        case .stream(let stream): stream.requestDrainNotice()
        }
    }

    /// Hands everything to the kernel at once.
    func flush() {
        channel.willFlush()
        channel.flush()
    }

    /// When `Exchange.upstreamDeadlinePassed` is called.
    var deadline: Instant {
        get {
            switch self {
            case .connection(let connection): connection.deadline
            case .stream(let stream): stream.deadline
            }
        }
        nonmutating set {
            switch self {
            case .connection(let connection): connection.deadline = newValue
            case .stream(let stream): stream.deadline = newValue
            }
        }
    }
}
