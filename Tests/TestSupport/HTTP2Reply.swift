import Foundation

/// What a scripted HTTP/2 upstream does with one request, as steps that peer.py takes in turn. They begin when the head
/// has arrived.
package struct HTTP2Reply: Sendable {
    package struct Step: Encodable, Sendable {
        var `do`: String
        var status, count, code, last, offset, latch: Int?
        var fields: [[String]]?
        var body: String?
        var end: Bool?
        /// Becomes `latch` when the reply is sent.
        var awaited: Latch?

        init(_ name: String) {
            self.do = name
        }

        private enum CodingKeys: CodingKey {
            case `do`, status, count, code, last, offset, latch, fields, body, end
        }
    }

    package var steps: [Step]

    package init(_ steps: Step...) {
        self.steps = steps
    }

    package init(_ steps: [Step]) {
        self.steps = steps
    }

    /// One reply's steps and then another's.
    package func then(_ next: HTTP2Reply) -> HTTP2Reply {
        HTTP2Reply(steps + next.steps)
    }

    /// Reads the body, then answers with Content-Length.
    package static func answer(
        _ status: Int = 201, _ fields: [Field] = [Field("content-type", "application/json")],
        body: [UInt8] = octets(Canary.answerBody), trailers: [Field] = []
    ) -> HTTP2Reply {
        let length = trailers.isEmpty && status != 204 ? [Field("content-length", "\(body.count)")] : []
        return HTTP2Reply(.read, .head(status, fields + length, end: body.isEmpty && trailers.isEmpty))
            .then(HTTP2Reply(body.isEmpty ? [] : [.data(body, end: trailers.isEmpty)]))
            .then(HTTP2Reply(trailers.isEmpty ? [] : [.trailers(trailers)]))
    }

    package static func interim(_ status: Int, _ fields: [Field] = [], then reply: HTTP2Reply = .answer()) -> HTTP2Reply
    {
        HTTP2Reply(.head(status, fields)).then(reply)
    }

    /// Reads the body, waits until the latch opens, then goes on.
    package static func held(_ latch: Latch, then reply: HTTP2Reply = .answer()) -> HTTP2Reply {
        HTTP2Reply(.read, .wait(latch)).then(reply)
    }

    /// A large answer as fast as the windows let it.
    package static func huge(_ count: Int, piece: [UInt8]) -> HTTP2Reply {
        HTTP2Reply(.read, .head(200, [Field("content-length", "\(count)")]), .fill(count, piece: piece))
    }

    /// Executes, and never answers.
    package static let never = HTTP2Reply(.read, .never)

    /// RST_STREAM before anything else; the body is not read. REFUSED_STREAM (7) says that nothing was done.
    package static func refused(_ code: HTTP2Code = .refusedStream) -> HTTP2Reply { HTTP2Reply(.rst(code)) }

    /// Executes, and resets the stream.
    package static func resetAfterRequest(_ code: HTTP2Code = .internalError) -> HTTP2Reply {
        HTTP2Reply(.read, .rst(code))
    }

    /// Executes, sends a part of what it declares, and resets.
    package static func truncated(declared: Int, body: [UInt8], _ code: HTTP2Code = .internalError) -> HTTP2Reply {
        HTTP2Reply(.read, .head(200, [Field("content-length", "\(declared)")]), .data(body), .rst(code))
    }

    /// GOAWAY whose last id is below this stream's: it was not processed. The connection stays until the peer closes.
    package static let goAwayBelow = HTTP2Reply(.goAway(offset: -2, .noError), .never)
}

extension HTTP2Reply.Step {
    private static func step(_ name: String, _ fill: (inout Self) -> Void) -> Self {
        var step = Self(name)
        fill(&step)
        return step
    }

    /// Until the whole body is there: the request then counts as executed.
    package static let read = Self("read")

    package static func read(atLeast count: Int) -> Self { step("read") { $0.count = count } }

    package static func head(_ status: Int, _ fields: [Field] = [], end: Bool = false) -> Self {
        step("head") {
            $0.status = status
            $0.fields = fields.map { [$0.name, $0.value] }
            $0.end = end
        }
    }

    package static func data(_ octets: [UInt8], end: Bool = false) -> Self {
        step("data") {
            $0.body = Data(octets).base64EncodedString()
            $0.end = end
        }
    }

    package static func fill(_ count: Int, piece: [UInt8], end: Bool = true) -> Self {
        step("fill") {
            $0.count = count
            $0.body = Data(piece).base64EncodedString()
            $0.end = end
        }
    }

    /// DATA with so many octets of padding.
    package static func padded(_ octets: [UInt8], by count: Int) -> Self {
        step("padded") {
            $0.body = Data(octets).base64EncodedString()
            $0.count = count
        }
    }

    package static func trailers(_ fields: [Field]) -> Self {
        step("trailers") { $0.fields = fields.map { [$0.name, $0.value] } }
    }

    package static func rst(_ code: HTTP2Code) -> Self { step("rst") { $0.code = code.rawValue } }

    /// - Parameter offset: added to this stream's id; 0 = it is the last one processed.
    package static func goAway(offset: Int, _ code: HTTP2Code) -> Self {
        step("goaway") {
            $0.offset = offset
            $0.code = code.rawValue
        }
    }

    /// Octets past the library; a stream id of 0x7FFFFFFF stands for this stream's.
    package static func raw(_ octets: [UInt8]) -> Self {
        step("raw") { $0.body = Data(octets).base64EncodedString() }
    }

    package static func wait(_ latch: Latch) -> Self { step("latch") { $0.awaited = latch } }

    /// Opens the latch.
    package static func reach(_ latch: Latch) -> Self { step("reach") { $0.awaited = latch } }

    /// Until the proxy has handled everything that was sent so far: it has answered a PING.
    package static let ping = Self("ping")

    /// Until the connection ends.
    package static let never = Self("never")
    /// With close_notify under TLS.
    package static let close = Self("close")
    /// FIN without close_notify.
    package static let truncate = Self("truncate")
    /// TCP RST.
    package static let reset = Self("reset")
}

/// RFC 9113 §7.
package enum HTTP2Code: Int, Sendable {
    case noError, protocolError, internalError, flowControlError, settingsTimeout, streamClosed, frameSizeError
    case refusedStream, cancel, compressionError, connectError, enhanceYourCalm, inadequateSecurity, http11Required
}
