import HTTP
import Idempotency
import Transport

/// The client's side of an exchange.
typealias Downstream = Side<DownstreamConnection, DownstreamStream>

extension DownstreamConnection: MessageCarrier {}
extension DownstreamStream: MessageCarrier {
    var channel: DownstreamConnection { connection }
}

extension Downstream {
    // MARK: The request

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

    // MARK: Time

    /// Starts the clock for a client that does not read.
    func watchWriting() {
        switch self {
        case .connection(let connection): connection.watchWriting()
        case .stream(let stream): stream.watchWriting()
        }
    }

    /// Tells the watch when the answer, which is queued, can be looked for at the client.
    /// - Parameter claim: its record; nil where it has none.
    func watchDelivery(of claim: ClaimReference?, _ note: @escaping (DownstreamConnection) -> Void) {
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
