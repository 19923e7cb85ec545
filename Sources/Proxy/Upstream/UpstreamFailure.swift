import HTTP
import Transport

/// What went wrong with a connection to a service, or with one of its streams.
enum UpstreamFailure: Equatable {
    case notConnected(Errno)
    case connectTimedOut
    /// TLS could not be agreed on: nothing of the request was sent.
    case notSecured
    /// TLS: the service does not take our certificate, and so has read nothing.
    case certificateRefused
    /// The connection ended before the answer did.
    case closedEarly
    case reset(Errno)
    case malformed(HTTPError)
    /// A 101 that was not asked for, or on a covered route.
    case unexpectedSwitch
    case responseTimedOut
    case extraOctets
    /// HTTP/2: the connection takes no more requests.
    case noStream
    /// HTTP/2: the service says that it has not processed the request: REFUSED_STREAM, or a GOAWAY below the stream
    /// (RFC 9113 §6.8, §8.7).
    case streamRefused
    /// HTTP/2: the service gave the stream up with this code.
    case streamReset(UInt32)

    /// The service has provably not processed the request, whatever was sent of it.
    var isUnprocessed: Bool {
        switch self {
        case .noStream, .streamRefused, .certificateRefused: true
        case .notConnected, .connectTimedOut, .notSecured, .closedEarly, .reset, .malformed, .unexpectedSwitch,
            .responseTimedOut, .extraOctets, .streamReset:
            false
        }
    }

    /// The service is well, and takes the request on another connection.
    var isOfConnection: Bool {
        switch self {
        case .noStream, .streamRefused: true
        case .notConnected, .connectTimedOut, .notSecured, .certificateRefused, .closedEarly, .reset, .malformed,
            .unexpectedSwitch, .responseTimedOut, .extraOctets, .streamReset:
            false
        }
    }

    /// A metric's label.
    var kind: StaticString {
        switch self {
        case .notConnected: "not_connected"
        case .connectTimedOut: "connect_timeout"
        case .notSecured: "not_secured"
        case .certificateRefused: "certificate_refused"
        case .closedEarly: "closed_early"
        case .reset: "reset"
        case .malformed: "malformed"
        case .unexpectedSwitch: "unexpected_switch"
        case .responseTimedOut: "response_timeout"
        case .extraOctets: "extra_octets"
        case .noStream: "no_stream"
        case .streamRefused: "stream_refused"
        case .streamReset: "stream_reset"
        }
    }
}
