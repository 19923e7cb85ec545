import HTTP
import Idempotency

/// One of the proxy's own errors as an answer: `application/problem+json` (RFC 9457) with `Proxy-Status` (RFC 9209), so
/// that a client can tell it from the service's; for gRPC, the status in the fields of an answer without body.
struct ProblemAnswer {
    var status: UInt16
    /// `name: value CRLF` each, framing excepted.
    var fieldLines: [UInt8] = []
    var content: [UInt8] = []

    init(_ problem: Problem, detail: String?) {
        status = problem.status
        start(problem)
        if let detail { append(member: "detail", detail) }
        if problem == .accessTokenInvalid { appendChallenge(detail) }
        finish(problem)
    }

    /// The problem of an answer that was not kept: its status, size and digest.
    init(_ tombstone: Tombstone) {
        status = Problem.answerNotKept.status
        start(.answerNotKept)
        content.append(contentsOf: ",\"answer\":{\"status\":\(tombstone.status),\"bytes\":\(tombstone.bodyBytes)".utf8)
        content.append(contentsOf: ",\"sha256\":\"\(tombstone.bodyDigest.hexadecimal)\"}".utf8)
        finish(.answerNotKept)
    }

    private init(status: UInt16) {
        self.status = status
    }

    /// A gRPC client reads its status from the fields, and takes HTTP's for a broken transport (gRPC over HTTP/2,
    /// "Responses").
    static func grpc(_ problem: Problem, detail: String?) -> ProblemAnswer {
        var answer = ProblemAnswer(status: 200)
        answer.fieldLines.append(contentsOf: "Content-Type: application/grpc\r\n".utf8)
        answer.fieldLines.append(contentsOf: "Grpc-Status: \(problem.grpcStatus)\r\nGrpc-Message: ".utf8)
        answer.appendEscaped("\(problem.rawValue): \(detail ?? problem.title)")
        answer.fieldLines.append(contentsOf: WireText.lineEnd)
        answer.appendProxyStatus(problem)
        return answer
    }

    private mutating func start(_ problem: Problem) {
        content.reserveCapacity(256)
        content.append(contentsOf: "{\"type\":\"urn:oncegate:problem:\(problem.rawValue)\"".utf8)
        append(member: "title", problem.title)
        content.append(contentsOf: ",\"status\":\(problem.status)".utf8)
    }

    /// The texts are the program's own; quotes and backslashes are escaped all the same.
    private mutating func append(member name: StaticString, _ text: String) {
        content.append(contentsOf: ",\"\(name)\":\"".utf8)
        for octet in text.utf8 {
            switch octet {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                content.append(UInt8(ascii: "\\"))
                content.append(octet)
            case 0..<0x20:
                content.append(UInt8(ascii: " "))
            default:
                content.append(octet)
            }
        }
        content.append(UInt8(ascii: "\""))
    }

    private mutating func finish(_ problem: Problem) {
        content.append(UInt8(ascii: "}"))
        fieldLines.append(contentsOf: "Content-Type: application/problem+json\r\nCache-Control: no-store\r\n".utf8)
        appendProxyStatus(problem)
        if let seconds = problem.retryAfterSeconds { fieldLines.append(contentsOf: "Retry-After: \(seconds)\r\n".utf8) }
        if problem == .methodNotAllowed {
            fieldLines.append(contentsOf: "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n".utf8)
        }
        HTTP1Serialiser.contentLength(UInt64(content.count), to: &fieldLines)
    }

    /// RFC 6750 §3.1. A description has neither quotes nor backslashes nor controls.
    private mutating func appendChallenge(_ detail: String?) {
        fieldLines.append(contentsOf: "WWW-Authenticate: Bearer error=\"invalid_token\"".utf8)
        if let detail {
            fieldLines.append(contentsOf: ", error_description=\"".utf8)
            for octet in detail.utf8 {
                let isPlain =
                    octet >= 0x20 && octet <= 0x7E && octet != UInt8(ascii: "\"") && octet != UInt8(ascii: "\\")
                fieldLines.append(isPlain ? octet : UInt8(ascii: " "))
            }
            fieldLines.append(UInt8(ascii: "\""))
        }
        fieldLines.append(contentsOf: WireText.lineEnd)
    }

    private mutating func appendProxyStatus(_ problem: Problem) {
        fieldLines.append(contentsOf: "Proxy-Status: oncegate;error=\(problem.proxyStatusError)\r\n".utf8)
    }

    /// `grpc-message` is percent-encoded outside of printable ASCII.
    private mutating func appendEscaped(_ text: String) {
        for octet in text.utf8 {
            if octet >= 0x20 && octet <= 0x7E && octet != UInt8(ascii: "%") {
                fieldLines.append(octet)
            } else {
                fieldLines.append(contentsOf: "%".utf8)
                let digits = Array("0123456789ABCDEF".utf8)
                fieldLines.append(digits[Int(octet >> 4)])
                fieldLines.append(digits[Int(octet & 15)])
            }
        }
    }
}

extension Problem {
    /// The error type of RFC 9209 §2.3 that says it best.
    var proxyStatusError: StaticString {
        switch self {
        case .keyMissing, .keyMalformed, .scopeMissing, .accessTokenInvalid, .repeatabilityMalformed,
            .firstSentOutOfRange, .keyReused, .badRequest, .contentTooLarge, .targetTooLong,
            .fieldsTooLarge, .methodNotAllowed, .notImplemented, .versionNotSupported, .expectationFailed,
            .requestTimedOut, .misdirected:
            "http_request_error"
        case .inProgress, .outcomeUnknown, .answerNotKept: "http_request_denied"
        case .storeUnavailable, .storeFull, .recordCorrupt, .spoolUnavailable: "proxy_internal_error"
        case .notSent: "connection_refused"
        case .upstreamTimedOut: "http_response_timeout"
        case .upstreamBroken: "http_response_incomplete"
        case .noUpstream: "destination_unavailable"
        case .noRoute: "destination_not_found"
        case .overloaded: "connection_limit_reached"
        case .draining: "proxy_internal_response"
        case .loopDetected: "proxy_loop_detected"
        }
    }

    /// The status that a gRPC client acts on as it would on the HTTP status: UNAVAILABLE (14) only where a repeat is
    /// right, ABORTED (10) for conflicts, UNKNOWN (2) where nobody knows.
    var grpcStatus: Int {
        switch self {
        case .keyMissing, .keyMalformed, .scopeMissing, .repeatabilityMalformed, .keyReused, .badRequest,
            .targetTooLong, .fieldsTooLarge, .versionNotSupported, .expectationFailed, .misdirected:
            3
        case .requestTimedOut, .upstreamTimedOut: 4
        case .contentTooLarge: 8
        case .firstSentOutOfRange: 9
        case .inProgress, .outcomeUnknown, .answerNotKept: 10
        case .methodNotAllowed, .notImplemented, .noRoute: 12
        case .recordCorrupt, .loopDetected: 13
        case .storeUnavailable, .storeFull, .spoolUnavailable, .notSent, .noUpstream, .overloaded, .draining: 14
        case .upstreamBroken: 2
        case .accessTokenInvalid: 16
        }
    }

    /// When a repeat may find another answer; nil = no promise.
    var retryAfterSeconds: Int? {
        switch self {
        case .inProgress, .overloaded, .noUpstream: 1
        case .storeUnavailable, .spoolUnavailable, .draining: 5
        case .storeFull: 30
        default: nil
        }
    }

    /// The proxy's answer to a message that breaks the protocol.
    init(_ error: HTTPError) {
        switch error.status {
        case 405: self = .methodNotAllowed
        case 408: self = .requestTimedOut
        case 413: self = .contentTooLarge
        case 414: self = .targetTooLong
        case 417: self = .expectationFailed
        case 421: self = .misdirected
        case 431: self = .fieldsTooLarge
        case 501: self = .notImplemented
        case 505: self = .versionNotSupported
        default: self = .badRequest
        }
    }
}
