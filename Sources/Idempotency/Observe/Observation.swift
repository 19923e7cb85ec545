/// The first 128 bits of a SHA-256 value: enough to tell any number of requests apart, and half the room.
package struct ObservedHash: Sendable, Hashable {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package init(_ digest: Digest256) {
        self.init(high: digest.words.0, low: digest.words.1)
    }

    /// Stands where there is none.
    package static let none = ObservedHash(high: 0, low: 0)

    /// Octets of a digest need no mixing, only the table's seed.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(high)
    }
}

/// One request of a route with `mode observe` and what became of it: times, sizes and hashes, nothing that was said.
package struct Observation: Sendable, Equatable {
    /// What the request names its operation by.
    package enum Key: UInt8, Sendable, CaseIterable {
        case token = 1
        /// There is no token.
        case none = 2
        /// `enforce` would answer 400.
        case malformed = 3
        /// The route's scope is missing, or its access token does not verify: `enforce` would answer 400 or 401.
        case unscoped = 4
        /// The token would stand in a body that was too large to look into.
        case unread = 5
    }

    /// How the exchange ended.
    package enum Ending: UInt8, Sendable, CaseIterable {
        /// The request is whole, and its answer is awaited. Never written, only counted.
        case pending = 0
        /// The service answered completely.
        case answered = 1
        /// The client left before the answer was complete.
        case clientLeft = 2
        /// The service broke off, or was too late: it may have executed the request.
        case broken = 3
        /// No octet reached the service.
        case notSent = 4
    }

    package struct Flags: OptionSet, Sendable, Hashable {
        package let rawValue: UInt16

        package init(rawValue: UInt16) {
            self.rawValue = rawValue
        }

        /// Larger than `request_body_limit`: `enforce` would answer 413.
        package static let isLarge = Flags(rawValue: 1)
        /// The body was hashed by its octets, not in the form that the route names.
        package static let fellBackToOctets = Flags(rawValue: 2)
        /// The request says itself that it is a retry.
        package static let hasRetryEvidence = Flags(rawValue: 4)
        /// The client's TCP has acknowledged every octet of the answer.
        package static let isDelivered = Flags(rawValue: 8)
        /// It never did. Neither flag: nobody knows.
        package static let isLost = Flags(rawValue: 16)
    }

    /// From `ObservationLog.register`.
    package var route: UInt32
    package var key = Key.none
    package var ending = Ending.pending
    package var flags: Flags = []
    /// When the request was whole, since the UNIX epoch.
    package var milliseconds: UInt64 = 0
    /// From there to the end of the exchange.
    package var durationMicroseconds: UInt64 = 0
    package var requestBytes: UInt64 = 0
    package var answerBytes: UInt64 = 0
    /// Of the service's answer; 0 where no head came.
    package var status: UInt16 = 0
    /// What the route's lists say of that status.
    package var rule = StatusRules.Rule.record
    /// The record key of the token; `.none` unless `key` is `.token`.
    package var token = ObservedHash.none
    /// The record key that the request would have by its hash: of route, scope and fingerprint. `.none` where the
    /// scope is missing.
    package var payload = ObservedHash.none
    /// `AnswerDigest`; `.none` unless the answer was complete.
    package var digest = ObservedHash.none

    package init(route: UInt32) {
        self.route = route
    }

    /// When the exchange ended.
    package var endMilliseconds: UInt64 {
        let (end, overflows) = milliseconds.addingReportingOverflow(durationMicroseconds / 1000)
        return overflows ? .max : end
    }
}

/// What of an answer tells whether a service said the same again: its status, the fields below, its body, and of a
/// gRPC answer its status.
///
/// Fields that differ from answer to answer whatever was done (`Date`, `Set-Cookie`, request ids, `Server-Timing`,
/// caching) do not count. A new `Location` does: it names another resource.
package struct AnswerDigest: Sendable {
    /// Lower case, in the order in which they are absorbed.
    package static let fieldNames: [[UInt8]] = [
        "content-type", "content-encoding", "content-language", "content-location", "location", "link", "etag",
        "grpc-status",
    ].map { Array($0.utf8) }

    private var hash = SHA256()
    private var bodyBytes: UInt64 = 0

    package init(status: UInt16) {
        hash.update(integer: status)
    }

    /// Absorbs one value of a field of the list.
    package mutating func absorb(field index: Int, value: Span<UInt8>) {
        hash.update(UInt8(truncatingIfNeeded: index))
        hash.update(prefixed: value)
    }

    package mutating func absorbBody(_ octets: Span<UInt8>) {
        hash.update(octets)
        bodyBytes &+= UInt64(octets.count)
    }

    package mutating func absorbTrailerStatus(_ value: Span<UInt8>) {
        hash.update(prefixed: value)
    }

    package consuming func finish() -> ObservedHash {
        hash.update(integer: bodyBytes)
        return ObservedHash(hash.finish())
    }
}
