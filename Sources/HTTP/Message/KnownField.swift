/// The fields that the proxy itself must know. Recognised once, while a message is parsed, without regard to case.
package enum KnownField: UInt8, Sendable, CaseIterable {
    case other
    // Framing, routing and the connection.
    case host, contentLength, transferEncoding, connection, keepAlive, proxyConnection, expect, upgrade, te, trailer
    case http2Settings, maxForwards
    // Who forwarded it, for whom.
    case via, forwarded, xForwardedFor, xForwardedProto, xForwardedHost, xForwardedPort, xRealIP
    // Who is calling.
    case authorization, cookie, setCookie, wwwAuthenticate, authenticationInfo
    case proxyAuthorization, proxyAuthenticate
    // The idempotency contract.
    case idempotencyKey, idempotentReplayed, amzSDKRequest, stainlessRetryCount, envoyAttemptCount
    // About the content and the answer.
    case contentType, contentEncoding, contentRange, range, cacheControl, vary, date, server, retryAfter
    case proxyStatus, xRequestID, traceparent, tracestate, userAgent, accept, acceptEncoding

    /// The field's name in lower case; empty for `other`.
    package var name: StaticString {
        switch self {
        case .other: ""
        case .host: "host"
        case .contentLength: "content-length"
        case .transferEncoding: "transfer-encoding"
        case .connection: "connection"
        case .keepAlive: "keep-alive"
        case .proxyConnection: "proxy-connection"
        case .expect: "expect"
        case .upgrade: "upgrade"
        case .te: "te"
        case .trailer: "trailer"
        case .http2Settings: "http2-settings"
        case .maxForwards: "max-forwards"
        case .via: "via"
        case .forwarded: "forwarded"
        case .xForwardedFor: "x-forwarded-for"
        case .xForwardedProto: "x-forwarded-proto"
        case .xForwardedHost: "x-forwarded-host"
        case .xForwardedPort: "x-forwarded-port"
        case .xRealIP: "x-real-ip"
        case .authorization: "authorization"
        case .cookie: "cookie"
        case .setCookie: "set-cookie"
        case .wwwAuthenticate: "www-authenticate"
        case .authenticationInfo: "authentication-info"
        case .proxyAuthorization: "proxy-authorization"
        case .proxyAuthenticate: "proxy-authenticate"
        case .idempotencyKey: "idempotency-key"
        case .idempotentReplayed: "idempotent-replayed"
        case .amzSDKRequest: "amz-sdk-request"
        case .stainlessRetryCount: "x-stainless-retry-count"
        case .envoyAttemptCount: "x-envoy-attempt-count"
        case .contentType: "content-type"
        case .contentEncoding: "content-encoding"
        case .contentRange: "content-range"
        case .range: "range"
        case .cacheControl: "cache-control"
        case .vary: "vary"
        case .date: "date"
        case .server: "server"
        case .retryAfter: "retry-after"
        case .proxyStatus: "proxy-status"
        case .xRequestID: "x-request-id"
        case .traceparent: "traceparent"
        case .tracestate: "tracestate"
        case .userAgent: "user-agent"
        case .accept: "accept"
        case .acceptEncoding: "accept-encoding"
        }
    }

    /// This field's bit in the sets that a section keeps of what it holds.
    @inlinable
    package var bit: UInt64 { 1 << UInt64(rawValue) }

    /// The field named by a token, in any case; `other` when the proxy does not know it.
    package init(named name: Span<UInt8>) {
        self = isFieldName(name) ? KnownFieldTable.field(at: 0, count: name.count, in: name) : .other
    }

    /// Never taken from a trailer section: framing, routing, authentication, request and response control (RFC 9110
    /// §6.5.1).
    var isForbiddenInTrailers: Bool {
        switch self {
        case .host, .contentLength, .transferEncoding, .connection, .keepAlive, .proxyConnection, .expect, .upgrade,
            .te,
            .trailer, .http2Settings, .maxForwards, .via, .forwarded, .xForwardedFor, .xForwardedProto, .xForwardedHost,
            .xForwardedPort, .xRealIP, .authorization, .cookie, .setCookie, .wwwAuthenticate, .authenticationInfo,
            .proxyAuthorization, .proxyAuthenticate, .idempotencyKey, .idempotentReplayed,
            .amzSDKRequest, .stainlessRetryCount, .envoyAttemptCount, .contentType, .contentEncoding, .contentRange,
            .range,
            .cacheControl, .vary, .date, .retryAfter:
            true
        default: false
        }
    }

    /// A Connection option of this name would take away what framing, routing, authentication or idempotency rest on.
    var isProtectedFromConnection: Bool {
        switch self {
        case .host, .contentLength, .transferEncoding, .expect, .authorization, .cookie, .setCookie, .idempotencyKey,
            .idempotentReplayed, .contentType, .contentEncoding, .contentRange, .range, .date, .via, .forwarded,
            .xForwardedFor, .xForwardedProto, .xForwardedHost, .xForwardedPort, .xRealIP, .wwwAuthenticate,
            .authenticationInfo, .retryAfter, .cacheControl, .vary:
            true
        default: false
        }
    }
}

/// Names to fields: open addressing over the first and last eight octets and the length, which tell all known names
/// apart.
enum KnownFieldTable {
    private struct Slot {
        /// The lower-case name's first eight octets (fewer: zero above), its octets 8…15 from 17 octets on, its last
        /// eight.
        var first: UInt64 = 0
        var middle: UInt64 = 0
        var last: UInt64 = 0
        /// Zero in an unused slot.
        var count: UInt8 = 0
        var field: KnownField = .other
    }

    private static let lengthMax = 24
    private static let slots = makeSlots()

    private static func makeSlots() -> [Slot] {
        var slots = [Slot](repeating: Slot(), count: 256)
        for field in KnownField.allCases where field != .other {
            let name = field.name
            // Safe: a StaticString's octets live as long as the program.
            let octets = unsafe UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
            let span = unsafe octets.span
            precondition(span.count <= lengthMax, "a known name is longer than its key covers")
            let key = key(at: 0, count: span.count, in: span)
            var index = index(of: key, count: span.count)
            while slots[index].count != 0 { index = (index + 1) & 255 }
            slots[index] = Slot(
                first: key.first, middle: key.middle, last: key.last, count: UInt8(span.count), field: field)
        }
        return slots
    }

    /// The field named by `count` octets from `start`, all of them tchar.
    @inline(__always)
    static func field(at start: Int, count: Int, in octets: Span<UInt8>) -> KnownField {
        guard count <= lengthMax, count > 0 else { return .other }
        let key = key(at: start, count: count, in: octets)
        var index = index(of: key, count: count)
        // Ends: fewer names than slots.
        while slots[index].count != 0 {
            let slot = slots[index]
            if slot.last == key.last, slot.first == key.first, slot.middle == key.middle, Int(slot.count) == count {
                return slot.field
            }
            index = (index + 1) & 255
        }
        return .other
    }

    /// Setting bit 5 folds letters. It also joins `^` with `~` and `_` with DEL, which no known name holds, and moves
    /// controls, which no token holds, so that equal keys mean equal names. 24 octets are covered by words at 0, 8 and
    /// the end.
    @inline(__always)
    private static func key(
        at start: Int, count: Int, in octets: Span<UInt8>
    ) -> (first: UInt64, middle: UInt64, last: UInt64) {
        let fold: UInt64 = 0x2020_2020_2020_2020
        if count >= 8 {
            let first = octets.word(at: start) | fold
            let last = octets.word(at: start &+ count &- 8) | fold
            let middle = count > 16 ? octets.word(at: start &+ 8) | fold : 0
            return (first, middle, last)
        }
        var word: UInt64 = 0
        if start &+ 8 <= octets.count {
            word = (octets.word(at: start) | fold) & (1 << UInt64(count &* 8) &- 1)
        } else {
            for index in 0..<count { word |= UInt64(octets[start &+ index] | 0x20) << UInt64(index &* 8) }
        }
        return (word, 0, 0)
    }

    @inline(__always)
    private static func index(of key: (first: UInt64, middle: UInt64, last: UInt64), count: Int) -> Int {
        let mixed = (key.first ^ (key.last &<< 1) ^ UInt64(truncatingIfNeeded: count)) &* 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: mixed >> 56)
    }
}
