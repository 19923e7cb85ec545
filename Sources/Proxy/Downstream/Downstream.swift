import HTTP
import Idempotency
import Transport

/// The client's side of one exchange, whatever protocol it speaks. What goes in are messages; how they are framed is
/// the protocol's.
enum Downstream {
    /// HTTP/1: the connection serves one exchange at a time.
    case connection(DownstreamConnection)
    /// HTTP/2: one of the streams of a connection.
    case stream(DownstreamStream)

    /// The connection below.
    var channel: DownstreamConnection {
        switch self {
        case .connection(let connection): connection
        case .stream(let stream): stream.connection
        }
    }

    // MARK: The request

    func pauseReading() {
        switch self {
        case .connection(let connection): connection.pauseReading()
        case .stream: break  // The stream's window is not given back while the exchange takes nothing.
        }
    }

    /// The exchange takes more of the request's body.
    func resumeReading() {
        switch self {
        case .connection(let connection): connection.resumeReading()
        case .stream(let stream): stream.resumeReading()
        }
    }

    /// The body is asked for only now: its time begins.
    func restartBodyTimers() {
        switch self {
        case .connection(let connection): connection.restartBodyTimers()
        case .stream(let stream): stream.restartBodyTimers()
        }
    }

    // MARK: The answer

    func sendContinue() {
        switch self {
        case .connection(let connection): connection.write(contentsOf: WireText.continueLine)
        case .stream(let stream): stream.sendInterim(100, fieldLines: [])
        }
    }

    /// A 1xx answer. HTTP/1.0 has none.
    func sendInterim(_ status: UInt16, fieldLines: [UInt8], version: HTTPVersion) {
        switch self {
        case .connection(let connection):
            if version == .http11 { connection.sendInterim(status, fieldLines: fieldLines) }
        case .stream(let stream): stream.sendInterim(status, fieldLines: fieldLines)
        }
    }

    /// The head of the answer. Its framing fields are the protocol's; both kinds of lines are `name: value CRLF`.
    /// Returns the octets it takes on the wire, or about.
    func sendHead(_ head: AnswerHead, fieldLines: [UInt8], more: [UInt8]) -> Int {
        switch self {
        case .connection(let connection): connection.sendHead(head, fieldLines: fieldLines, more: more)
        case .stream(let stream): stream.sendHead(head, fieldLines: fieldLines, more: more)
        }
    }

    /// A part of the body.
    func sendBody(_ octets: Span<UInt8>) {
        switch self {
        case .connection(let connection): connection.sendBody(octets)
        case .stream(let stream): stream.sendBody(octets)
        }
    }

    /// The whole body, by reference.
    func sendBody(shared octets: [UInt8]) {
        switch self {
        case .connection(let connection): connection.sendBody(shared: octets)
        case .stream(let stream): stream.sendBody(shared: octets)
        }
    }

    /// The end of the answer.
    func sendEnd(trailerLines: [UInt8]) {
        switch self {
        case .connection(let connection): connection.sendEnd(trailerLines: trailerLines)
        case .stream(let stream): stream.sendEnd(trailerLines: trailerLines)
        }
    }

    /// The exchange needs its client no more; the answer, if any, is completely queued.
    func answerEnded() {
        switch self {
        case .connection(let connection): connection.answerEnded()
        case .stream(let stream): stream.answerEnded()
        }
    }

    /// The message cannot be completed: the client must see that it is broken.
    func abort() {
        switch self {
        case .connection(let connection): connection.abort()
        case .stream(let stream): stream.abort()
        }
    }

    // MARK: Persistence

    /// The answer tells the client that the connection ends with it. HTTP/2 has no such answers.
    var closesAfterAnswer: Bool {
        switch self {
        case .connection(let connection): connection.closesAfterAnswer
        case .stream: false
        }
    }

    /// Nothing that follows the request on its connection can be read.
    func closeAfterAnswer() {
        switch self {
        case .connection(let connection): connection.closeAfterAnswer()
        case .stream: break
        }
    }

    // MARK: Backpressure and time

    /// Octets queued towards the client.
    var queuedOctets: Int {
        switch self {
        case .connection(let connection): connection.queuedOutputBytes
        case .stream(let stream): stream.queuedOctets
        }
    }

    /// Asks for `Exchange.downstreamOutputDrained`.
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

    /// Starts the clock for a client that does not read.
    func watchWriting() {
        switch self {
        case .connection(let connection): connection.watchWriting()
        case .stream(let stream): stream.watchWriting()
        }
    }

    /// When the client's side of the exchange is looked at.
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

    /// Tells the watch when the answer, which is queued, can be looked for at the client.
    func watchDelivery(of claim: ClaimReference, _ note: @escaping (DownstreamConnection) -> Void) {
        switch self {
        case .connection(let connection): note(connection)
        case .stream(let stream): stream.watchDelivery(of: claim, note)
        }
    }

    /// The answer of this record is completely queued. If it is found not to arrive, the store is told.
    func noteSent(_ claim: ClaimReference) {
        switch self {
        case .connection(let connection): connection.noteSent(claim)
        case .stream(let stream): stream.noteSent(claim)
        }
    }
}

/// What the head of an answer must say beside its fields.
struct AnswerHead {
    var status: UInt16
    /// How the body is delimited as far as the service, or the record, says; a client of HTTP/1.0 has no chunks.
    var framing: BodyFraming
    /// The client's version.
    var version: HTTPVersion
    /// No body and no trailers follow.
    var ends: Bool
}
