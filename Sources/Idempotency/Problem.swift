/// The proxy's own errors. Each is `application/problem+json` (RFC 9457) with the stable type
/// `urn:oncegate:problem:NAME`.
package enum Problem: String, Sendable, CaseIterable {
    // Of the idempotency contract.
    case keyMissing = "key-missing"
    case keyMalformed = "key-malformed"
    case scopeMissing = "scope-missing"
    case accessTokenInvalid = "access-token-invalid"
    case repeatabilityMalformed = "repeatability-malformed"
    case firstSentOutOfRange = "first-sent-out-of-range"
    case keyReused = "key-reused"
    case inProgress = "in-progress"
    case outcomeUnknown = "outcome-unknown"
    case answerNotKept = "answer-not-kept"
    case storeUnavailable = "store-unavailable"
    case storeFull = "store-full"
    case recordCorrupt = "record-corrupt"
    case spoolUnavailable = "spool-unavailable"

    // Of the upstream.
    case notSent = "not-sent"
    case upstreamTimedOut = "upstream-timed-out"
    case upstreamBroken = "upstream-broken"
    case noUpstream = "no-upstream"

    // Of the message.
    case badRequest = "bad-request"
    case contentTooLarge = "content-too-large"
    case targetTooLong = "target-too-long"
    case fieldsTooLarge = "fields-too-large"
    case methodNotAllowed = "method-not-allowed"
    case notImplemented = "not-implemented"
    case versionNotSupported = "version-not-supported"
    case expectationFailed = "expectation-failed"
    case requestTimedOut = "request-timed-out"
    case noRoute = "no-route"
    case overloaded = "overloaded"
    case draining = "draining"
    case loopDetected = "loop-detected"
    case misdirected = "misdirected"

    package var status: UInt16 {
        switch self {
        case .keyMissing, .keyMalformed, .scopeMissing, .repeatabilityMalformed, .badRequest: 400
        case .accessTokenInvalid: 401
        case .noRoute: 404
        case .methodNotAllowed: 405
        case .requestTimedOut: 408
        case .inProgress, .outcomeUnknown, .answerNotKept: 409
        case .firstSentOutOfRange: 412
        case .contentTooLarge: 413
        case .targetTooLong: 414
        case .expectationFailed: 417
        case .misdirected: 421
        case .keyReused: 422
        case .fieldsTooLarge: 431
        case .notImplemented: 501
        case .notSent, .upstreamBroken, .loopDetected: 502
        case .storeUnavailable, .storeFull, .recordCorrupt, .spoolUnavailable, .noUpstream, .overloaded, .draining: 503
        case .upstreamTimedOut: 504
        case .versionNotSupported: 505
        }
    }

    /// One sentence that does not vary from occurrence to occurrence.
    package var title: String {
        switch self {
        case .keyMissing: "This request needs an idempotency key."
        case .keyMalformed: "The idempotency key is malformed."
        case .scopeMissing: "The request does not say who is calling."
        case .accessTokenInvalid: "The access token is invalid, has expired or cannot be verified."
        case .repeatabilityMalformed: "The Repeatability fields are malformed or incomplete."
        case .firstSentOutOfRange:
            "Repeatability-First-Sent is outside the time in which repeats are recognised; nothing was executed."
        case .keyReused: "This idempotency key was used for another request."
        case .inProgress: "The first attempt with this key is still running."
        case .outcomeUnknown: "It is not known whether the service executed this request."
        case .answerNotKept: "The service executed this request; its answer was too large to keep."
        case .storeUnavailable: "Records cannot be written at the moment."
        case .storeFull: "The record store is full."
        case .recordCorrupt: "The record of this request cannot be read."
        case .spoolUnavailable: "The request's content cannot be kept at the moment."
        case .notSent: "The service could not be reached; the request was not sent."
        case .upstreamTimedOut: "The service did not answer in time."
        case .upstreamBroken: "The service's answer was broken off or malformed."
        case .noUpstream: "No server of the service is available."
        case .badRequest: "The request is malformed."
        case .contentTooLarge: "The request's content is too large."
        case .targetTooLong: "The request target is too long."
        case .fieldsTooLarge: "The request's fields are too large."
        case .methodNotAllowed: "This method is not allowed here."
        case .notImplemented: "The request asks for something that is not implemented."
        case .versionNotSupported: "This HTTP version is not supported."
        case .expectationFailed: "The expectation in the request cannot be met."
        case .requestTimedOut: "The request did not arrive in time."
        case .noRoute: "No route is configured for this request."
        case .overloaded: "The proxy is at one of its limits."
        case .draining: "The proxy is shutting down."
        case .loopDetected: "The request goes in a circle."
        case .misdirected: "The request's host is not the one that this connection was made for."
        }
    }
}
