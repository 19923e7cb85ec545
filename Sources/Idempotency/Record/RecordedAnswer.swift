/// A service's final answer as it is recorded and replayed: status, end-to-end fields, body octets and trailers.
package struct RecordedAnswer: Sendable, Equatable {
    /// How the service delimited the body; a replay is delimited the same way where the client's version allows it.
    package enum Framing: UInt8, Sendable, Equatable {
        /// No body can stand here (204, 304); a Content-Length among the fields is only a statement.
        case none = 0
        /// The fields hold the one Content-Length, equal to the body's size.
        case length = 1
        /// The fields hold no Content-Length: the body was chunked, delimited by close, or an HTTP/2 stream.
        case stream = 2
    }

    /// 200…599.
    package var status: UInt16
    package var framing: Framing
    /// `name ": " value CRLF` for each field line, in order, case and duplicates kept, hop-by-hop and framing-unrelated
    /// fields only. Names are tokens; values hold no CR, LF or NUL. Checked when a record is decoded.
    package var fieldLines: [UInt8]
    /// The body, or what of it follows the stored octets.
    package var body: [UInt8]
    /// The trailer section in the form of `fieldLines`; mostly empty.
    package var trailerLines: [UInt8]
    /// Octets of the body that stand in the store, before those in `body`: appended while the attempt ran, and read
    /// back in slices (`StoreRequest.appendBody`, `.readBody`).
    package var storedBodyBytes: UInt64
    /// Told by the store as it hands the answer out, and no part of what it keeps: the answer is known not to have
    /// reached its client.
    package var isKnownLost = false

    package init(
        status: UInt16, framing: Framing, fieldLines: [UInt8], body: [UInt8], trailerLines: [UInt8] = [],
        storedBodyBytes: UInt64 = 0
    ) {
        self.status = status
        self.framing = framing
        self.fieldLines = fieldLines
        self.body = body
        self.trailerLines = trailerLines
        self.storedBodyBytes = storedBodyBytes
    }

    /// The same answer; what the store tells beside it is no part of it.
    package static func == (left: RecordedAnswer, right: RecordedAnswer) -> Bool {
        left.status == right.status && left.framing == right.framing && left.fieldLines == right.fieldLines
            && left.body == right.body && left.trailerLines == right.trailerLines
            && left.storedBodyBytes == right.storedBodyBytes
    }

    /// Octets of the whole body.
    package var bodyBytes: UInt64 { storedBodyBytes &+ UInt64(body.count) }
}

/// What stays of an answer whose body was larger than the record limit.
package struct Tombstone: Sendable, Equatable {
    package var status: UInt16
    package var bodyBytes: UInt64
    /// SHA-256 of the body's octets.
    package var bodyDigest: Digest256

    package init(status: UInt16, bodyBytes: UInt64, bodyDigest: Digest256) {
        self.status = status
        self.bodyBytes = bodyBytes
        self.bodyDigest = bodyDigest
    }
}
