/// A request's head: ranges into one copy of its octets. Reused: `reset()` keeps what capacity usual heads need, so
/// that they allocate nothing.
package struct RequestHead: Sendable {
    /// The methods that the proxy must tell apart; any other token is `other`. Methods are case-sensitive.
    package enum Method: UInt8, Sendable, Equatable {
        case get, head, options, trace, connect, post, put, delete, patch, other
    }

    /// RFC 9112 §3.2. Authority-form stands only with CONNECT, which is refused.
    package enum TargetForm: UInt8, Sendable, Equatable {
        case origin, absolute, asterisk
    }

    package typealias Version = HTTPVersion

    /// The field lines; its octets hold the whole head, request line included.
    package var fields = FieldSection()
    package var method: Method = .get
    package var methodRange: OctetRange = .empty
    /// The target as received.
    package var targetRange: OctetRange = .empty
    /// The path as received, never empty: `/` stands for the empty path of an absolute-form target; `*` for
    /// asterisk-form.
    package var path: OctetRange = .empty
    /// The query as received, without its `?`.
    package var query: OctetRange = .empty
    /// `host[:port]` of an absolute-form target, else of Host. Empty only in HTTP/1.0 without Host.
    package var authority: OctetRange = .empty
    /// The host in `authority`, without its port, with the brackets of an IPv6 literal.
    package var host: OctetRange = .empty
    /// A `?` stands in the target, even when nothing follows it.
    package var hasQuery = false
    package var form: TargetForm = .origin
    package var version: Version = .http11
    /// Never `untilClose`.
    package var framing: BodyFraming = .none
    /// The client lets the connection persist after this exchange (RFC 9112 §9.3).
    package var keepsAlive = true
    /// `Expect: 100-continue` on an HTTP/1.1 request with a body (RFC 9110 §10.1.1).
    package var expectsContinue = false
    /// `Connection: upgrade` together with an Upgrade field, in HTTP/1.1.
    package var wantsUpgrade = false
    /// `TE: trailers`.
    package var acceptsTrailers = false

    package init() {}

    /// Empties the head and keeps its buffers.
    package mutating func reset() {
        fields.reset()
        method = .get
        methodRange = .empty
        targetRange = .empty
        path = .empty
        query = .empty
        authority = .empty
        host = .empty
        hasQuery = false
        form = .origin
        version = .http11
        framing = .none
        keepsAlive = true
        expectsContinue = false
        wantsUpgrade = false
        acceptsTrailers = false
    }

    /// The octets of a range of this head.
    @inlinable
    package subscript(range: OctetRange) -> Span<UInt8> {
        @_lifetime(borrow self)
        get { fields.octets.span.extracting(range.bounds) }
    }
}
