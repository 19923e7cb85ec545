/// Why a stream or a connection ends (RFC 9113 §7). A code that is not registered is kept as it came.
package struct HTTP2ErrorCode: Sendable, Hashable {
    package let rawValue: UInt32

    package init(_ rawValue: UInt32) {
        self.rawValue = rawValue
    }

    package static let noError = Self(0x0)
    package static let protocolError = Self(0x1)
    package static let internalError = Self(0x2)
    package static let flowControlError = Self(0x3)
    package static let settingsTimeout = Self(0x4)
    package static let streamClosed = Self(0x5)
    package static let frameSizeError = Self(0x6)
    /// Not processed: the request may be sent again (RFC 9113 §8.7).
    package static let refusedStream = Self(0x7)
    package static let cancel = Self(0x8)
    package static let compressionError = Self(0x9)
    package static let connectError = Self(0xa)
    package static let enhanceYourCalm = Self(0xb)
    package static let inadequateSecurity = Self(0xc)
    package static let http11Required = Self(0xd)

    /// A stable name for logs and metric labels, from a closed set.
    package var reason: StaticString {
        switch rawValue {
        case 0x0: "no-error"
        case 0x1: "protocol-error"
        case 0x2: "internal-error"
        case 0x3: "flow-control-error"
        case 0x4: "settings-timeout"
        case 0x5: "stream-closed"
        case 0x6: "frame-size-error"
        case 0x7: "refused-stream"
        case 0x8: "cancel"
        case 0x9: "compression-error"
        case 0xa: "connect-error"
        case 0xb: "enhance-your-calm"
        case 0xc: "inadequate-security"
        case 0xd: "http-1-1-required"
        default: "unknown"
        }
    }
}
