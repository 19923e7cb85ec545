/// Why an HTTP/2 connection must end. What is queued, a GOAWAY at the end of it, is still to be taken and sent.
package enum HTTP2Error: Error, Sendable, Equatable {
    /// The client's octets do not begin with the preface (RFC 9113 §3.4): another protocol. There is no GOAWAY.
    case prefaceExpected
    /// The HTTP2-Settings field of an upgrade is malformed (RFC 7540 §3.2.1).
    case invalidUpgradeSettings
    /// More streams were reset, by the peer or by us because of its errors, than the limit allows.
    case tooManyResets
    /// More frames that achieve nothing than the limit allows.
    case tooManyGlitches
    /// A header block in too many frames, or too large to decode at all.
    case headerBlockTooLarge
    /// A frame that can never come: for a stream that the peer has ended, reset or passed over (RFC 9113 §5.1), or a
    /// PRIORITY that makes no sense. What else the C library finds wrong shows as `goAwaySent` only.
    case protocolViolation(HTTP2ErrorCode)
    /// The peer makes us queue more frames than it reads.
    case outputQueueTooLong
    /// The C library gave up: out of memory, or a limit of its own.
    case internalFailure

    /// A stable name for logs and metric labels.
    package var reason: StaticString {
        switch self {
        case .prefaceExpected: "preface-expected"
        case .invalidUpgradeSettings: "invalid-upgrade-settings"
        case .tooManyResets: "too-many-resets"
        case .tooManyGlitches: "too-many-glitches"
        case .headerBlockTooLarge: "header-block-too-large"
        case .protocolViolation: "protocol-violation"
        case .outputQueueTooLong: "output-queue-too-long"
        case .internalFailure: "internal-failure"
        }
    }

    /// What the GOAWAY says.
    var code: HTTP2ErrorCode {
        switch self {
        case .protocolViolation(let code): code
        case .prefaceExpected, .invalidUpgradeSettings: .protocolError
        case .internalFailure: .internalError
        case .tooManyResets, .tooManyGlitches, .headerBlockTooLarge, .outputQueueTooLong: .enhanceYourCalm
        }
    }
}
