/// A response's head: ranges into one copy of its octets. Reused: `reset()` keeps what capacity usual heads need.
package struct ResponseHead: Sendable {
    /// The field lines; its octets hold the whole head, status line included.
    package var fields = FieldSection()
    /// 100…599.
    package var status: UInt16 = 0
    /// The reason phrase as received; may be empty.
    package var reason: OctetRange = .empty
    package var version: HTTPVersion = .http11
    package var framing: BodyFraming = .none
    /// The connection may be used again once the body has been read to its end.
    package var keepsAlive = true

    package init() {}

    /// Empties the head and keeps its buffers.
    package mutating func reset() {
        fields.reset()
        status = 0
        reason = .empty
        version = .http11
        framing = .none
        keepsAlive = true
    }

    /// 1xx: another head follows (except after 101).
    @inlinable
    package var isInformational: Bool { status < 200 }

    /// The octets of a range of this head.
    @inlinable
    package subscript(range: OctetRange) -> Span<UInt8> {
        @_lifetime(borrow self)
        get { fields.octets.span.extracting(range.bounds) }
    }
}
