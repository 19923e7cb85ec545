/// How a message's body is delimited (RFC 9112 §6.3).
package enum BodyFraming: Sendable, Equatable {
    /// No body follows the head, whatever its fields say.
    case none
    /// Exactly this many octets follow; at most 2⁶³ − 1.
    case length(UInt64)
    case chunked
    /// The body ends with the connection; responses only.
    case untilClose
}

/// An HTTP version that the proxy speaks.
package enum HTTPVersion: UInt8, Sendable, Equatable {
    case http10
    case http11
    case http2
}
