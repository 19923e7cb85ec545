import HTTP
import Idempotency

/// The proxy's own errors on the wire: `application/problem+json` (RFC 9457) with `Proxy-Status` (RFC 9209), so that a
/// client can tell them from the service's.
enum ProblemWriter {
    /// Appends a whole response. `withContent` is false for HEAD.
    static func write(_ problem: Problem, detail: String?, closes: Bool, withContent: Bool, to output: inout [UInt8]) {
        var content = start(problem)
        if let detail { append(member: "detail", detail, to: &content) }
        content.append(UInt8(ascii: "}"))
        finish(problem, content, closes: closes, withContent: withContent, to: &output)
    }

    /// The problem of an answer that was not kept: its status, size and digest.
    static func write(_ tombstone: Tombstone, closes: Bool, withContent: Bool, to output: inout [UInt8]) {
        var content = start(.answerNotKept)
        content.append(contentsOf: ",\"answer\":{\"status\":\(tombstone.status),\"bytes\":\(tombstone.bodyBytes)".utf8)
        content.append(contentsOf: ",\"sha256\":\"\(tombstone.bodyDigest.hexadecimal)\"}}".utf8)
        finish(.answerNotKept, content, closes: closes, withContent: withContent, to: &output)
    }

    private static func start(_ problem: Problem) -> [UInt8] {
        var content: [UInt8] = []
        content.reserveCapacity(256)
        content.append(contentsOf: "{\"type\":\"urn:oncegate:problem:\(problem.rawValue)\"".utf8)
        append(member: "title", problem.title, to: &content)
        content.append(contentsOf: ",\"status\":\(problem.status)".utf8)
        return content
    }

    /// The texts are the program's own; quotes and backslashes are escaped all the same.
    private static func append(member name: StaticString, _ text: String, to content: inout [UInt8]) {
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

    private static func finish(
        _ problem: Problem, _ content: [UInt8], closes: Bool, withContent: Bool, to output: inout [UInt8]
    ) {
        HTTP1Serialiser.statusLine(problem.status, to: &output)
        output.append(contentsOf: "Content-Type: application/problem+json\r\nCache-Control: no-store\r\n".utf8)
        output.append(contentsOf: "Proxy-Status: oncegate;error=\(problem.proxyStatusError)\r\n".utf8)
        if let seconds = problem.retryAfterSeconds { output.append(contentsOf: "Retry-After: \(seconds)\r\n".utf8) }
        if problem == .methodNotAllowed {
            output.append(contentsOf: "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n".utf8)
        }
        HTTP1Serialiser.contentLength(UInt64(content.count), to: &output)
        if closes { output.append(contentsOf: WireText.closeLine) }
        output.append(contentsOf: WireText.lineEnd)
        if withContent { output.append(contentsOf: content) }
    }
}

extension Problem {
    /// The error type of RFC 9209 §2.3 that says it best.
    var proxyStatusError: StaticString {
        switch self {
        case .keyMissing, .keyMalformed, .scopeMissing, .keyReused, .badRequest, .contentTooLarge, .targetTooLong,
            .fieldsTooLarge, .methodNotAllowed, .notImplemented, .versionNotSupported, .expectationFailed,
            .requestTimedOut:
            "http_request_error"
        case .inProgress, .outcomeUnknown, .answerNotKept: "http_request_denied"
        case .storeUnavailable, .storeFull, .recordCorrupt: "proxy_internal_error"
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

    /// When a repeat may find another answer; nil = no promise.
    var retryAfterSeconds: Int? {
        switch self {
        case .inProgress, .overloaded, .noUpstream: 1
        case .storeUnavailable, .draining: 5
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
        case 431: self = .fieldsTooLarge
        case 501: self = .notImplemented
        case 505: self = .versionNotSupported
        default: self = .badRequest
        }
    }
}
