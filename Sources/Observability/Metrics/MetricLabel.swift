/// The value of one label, packed: an index into the closed set the label is declared with.
package struct MetricLabel: Sendable, Equatable {
    @usableFromInline
    let value: UInt16

    /// Above every index.
    @usableFromInline
    static let limit: UInt16 = 0x3FFF

    @inlinable
    init(value: UInt16) {
        self.value = value
    }

    /// No such thing here: the request matched no route, for one. Published as an empty value.
    @inlinable
    package static var none: Self { Self(value: limit) }

    /// A listener, route or upstream, by its place in the configuration; a negative one is `.none`.
    @inlinable
    package static func index(_ index: Int) -> Self {
        // An index beyond the packed range falls to `.none` rather than onto another label's bits.
        Self(value: index >= 0 && index < Int(limit) ? UInt16(truncatingIfNeeded: index) : limit)
    }

    @inlinable
    package static func method(_ method: MethodLabel) -> Self {
        Self(value: UInt16(method.rawValue))
    }

    /// A status code; 0 = no answer.
    @inlinable
    package static func code(_ status: UInt16) -> Self {
        Self(value: status < 1000 ? status : 0)
    }

    @inlinable
    package static func outcome(_ outcome: IdempotencyOutcome) -> Self {
        Self(value: UInt16(outcome.rawValue))
    }
}

/// A request's method; raw values are those of HTTP's `RequestHead.Method`.
package enum MethodLabel: UInt8, Sendable, CaseIterable {
    case get, head, options, trace, connect, post, put, delete, patch, other

    package var text: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .connect: "CONNECT"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .patch: "PATCH"
        case .other: "OTHER"
        }
    }
}

/// What idempotency made of a request.
package enum IdempotencyOutcome: UInt8, Sendable, CaseIterable {
    case first, replayed, waited, inProgress, mismatch, missingKey, invalidKey, bypassed, unknownOutcome, notKept,
        storeError
    /// Forwarded without protection because the store failed and the route says `on_store_error pass`.
    case unprotected
    /// Replayed after the service was asked what became of the first attempt.
    case probed

    package var text: StaticString {
        switch self {
        case .first: "first"
        case .replayed: "replayed"
        case .waited: "waited"
        case .inProgress: "in_progress"
        case .mismatch: "mismatch"
        case .missingKey: "missing_key"
        case .invalidKey: "invalid_key"
        case .bypassed: "bypassed"
        case .unknownOutcome: "unknown_outcome"
        case .notKept: "not_kept"
        case .storeError: "store_error"
        case .unprotected: "unprotected"
        case .probed: "probed"
        }
    }
}

/// The configuration's names, in its order; metrics and logs refer to them by index.
package struct ConfiguredNames: Sendable, Equatable {
    package var listeners: [String]
    package var routes: [String]
    package var upstreams: [String]

    package init(listeners: [String] = [], routes: [String] = [], upstreams: [String] = []) {
        self.listeners = listeners
        self.routes = routes
        self.upstreams = upstreams
    }
}
