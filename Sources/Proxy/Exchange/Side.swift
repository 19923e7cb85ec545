import HTTP
import Transport

/// One side of an exchange, the client's or the service's, whatever protocol it speaks. What goes in are messages; how
/// they are framed is the protocol's.
enum Side<Connection: MessageCarrier, Stream: MessageCarrier>
where Connection.Channel == Connection, Stream.Channel == Connection {
    /// HTTP/1: the connection serves one exchange at a time.
    case connection(Connection)
    /// HTTP/2: one of the streams of a connection.
    case stream(Stream)
}

/// What carries messages of an exchange to and from one side: a connection, or a stream of one.
protocol MessageCarrier: AnyObject {
    associatedtype Channel: StreamChannel

    /// The connection below.
    var channel: Channel { get }
    /// Octets queued towards this side.
    var queuedOctets: Int { get }
    /// When this side of the exchange is looked at.
    var deadline: Instant { get set }

    /// A part of the body.
    func sendBody(_ octets: Span<UInt8>)
    /// The same by reference, if it is large.
    func sendBody(shared octets: [UInt8])
    /// The end of the message.
    func sendEnd(trailerLines: [UInt8])
    /// Asks to be told when what is queued has left.
    func requestDrainNotice()
    /// The exchange takes nothing of this side's message for now.
    func pauseReading()
    /// The exchange takes more.
    func resumeReading()
}

extension MessageCarrier where Self: StreamChannel {
    var channel: Self { self }
    var queuedOctets: Int { queuedOutputBytes }
}

extension Side {
    /// The connection below.
    var channel: Connection {
        switch self {
        case .connection(let connection): connection
        case .stream(let stream): stream.channel
        }
    }

    /// A part of the body.
    func sendBody(_ octets: Span<UInt8>) {
        switch self {
        case .connection(let connection): connection.sendBody(octets)
        case .stream(let stream): stream.sendBody(octets)
        }
    }

    /// The same by reference, if it is large.
    func sendBody(shared octets: [UInt8]) {
        switch self {
        case .connection(let connection): connection.sendBody(shared: octets)
        case .stream(let stream): stream.sendBody(shared: octets)
        }
    }

    /// The end of the message.
    func sendEnd(trailerLines: [UInt8]) {
        switch self {
        case .connection(let connection): connection.sendEnd(trailerLines: trailerLines)
        case .stream(let stream): stream.sendEnd(trailerLines: trailerLines)
        }
    }

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

    /// Octets queued towards this side.
    var queuedOctets: Int {
        switch self {
        case .connection(let connection): connection.queuedOctets
        case .stream(let stream): stream.queuedOctets
        }
    }

    /// Asks for the exchange's `downstreamOutputDrained` or `upstreamOutputDrained`.
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

    /// When this side of the exchange is looked at.
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
