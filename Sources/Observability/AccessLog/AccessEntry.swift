/// One exchange, as the access log writes it. It borrows its texts: fill it and hand it over at once. A span taken from
/// a class's property does not live long enough; copy the array into a `let` first (that is a retain, not a copy).
///
/// What is nil, empty or negative is left out of the line.
package struct AccessEntry: ~Escapable {
    /// Wall clock at the end of the exchange, milliseconds since the UNIX epoch.
    package var milliseconds: UInt64 = 0
    /// Indices into the log's `ConfiguredNames`.
    package var listener = -1
    package var route = -1
    /// Who sent the request, after trusted proxies' fields were read.
    package var clientIP: Span<UInt8>
    /// The other end of the connection.
    package var remoteIP: Span<UInt8>
    package var version = Version.http11
    /// What TLS agreed on with the client; nil = no TLS.
    package var tlsVersion: StaticString?
    package var isTLSResumed = false
    /// The name that the client asked for in TLS.
    package var serverName: Span<UInt8>
    package var method: Span<UInt8>
    package var host: Span<UInt8>
    package var path: Span<UInt8>
    /// Without its question mark. Written with its parameters' names only.
    package var query: Span<UInt8>
    package var status: UInt16 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0
    package var durationNanoseconds: UInt64 = 0
    package var timeToFirstByteNanoseconds: UInt64?
    package var upstreamAddress: Span<UInt8>
    /// 0 = no answer.
    package var upstreamStatus: UInt16 = 0
    package var upstreamDurationNanoseconds: UInt64?
    package var upstreamConnectNanoseconds: UInt64?
    package var isUpstreamReused = false
    package var upstreamAttempts: UInt8 = 0
    package var overheadNanoseconds: UInt64?
    package var outcome: IdempotencyOutcome?
    /// The first 8 octets of the record key, big-endian.
    package var keyHashPrefix: UInt64?
    package var recordAgeMilliseconds: UInt64?
    package var requestID: Span<UInt8>
    package var trace: TraceContext?
    package var termination = Termination.normal

    /// Which version of HTTP the client speaks.
    package enum Version: Sendable {
        case http10
        case http11
        case http2
    }

    /// Why an exchange ended early, and in which phase: two letters, as HAProxy's.
    package struct Termination: Sendable, Equatable {
        package enum Cause: UInt8, Sendable {
            case none = 0x2D  // -
            case client = 0x43  // C
            case server = 0x53  // S
            case proxy = 0x50  // P
            case resource = 0x52  // R
            case clientTimeout = 0x63  // c
            case serverTimeout = 0x73  // s
        }

        package enum Phase: UInt8, Sendable {
            case none = 0x2D  // -
            /// The request was being read.
            case request = 0x52  // R
            /// It waited: for the store, or a first attempt.
            case queue = 0x51  // Q
            case connect = 0x43  // C
            /// The answer's head was awaited.
            case headers = 0x48  // H
            /// The answer's body was on its way.
            case data = 0x44  // D
            /// Its last octets were being sent.
            case last = 0x4C  // L
        }

        package var cause: Cause
        package var phase: Phase

        package static let normal = Self(.none, .none)

        package init(_ cause: Cause, _ phase: Phase) {
            self.cause = cause
            self.phase = phase
        }
    }

    @_lifetime(immortal)
    package init() {
        let none = Span<UInt8>()
        clientIP = none
        remoteIP = none
        method = none
        host = none
        path = none
        query = none
        upstreamAddress = none
        requestID = none
        serverName = none
    }
}
