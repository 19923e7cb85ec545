/// A stream of one HTTP/2 connection: 1…2³¹ − 1, odd for those that the client opens (RFC 9113 §5.1.1).
package struct HTTP2StreamID: Sendable, Hashable, Comparable {
    package let rawValue: UInt32

    package init(_ rawValue: UInt32) {
        self.rawValue = rawValue
    }

    init(_ rawValue: Int32) {
        self.rawValue = UInt32(bitPattern: rawValue) & 0x7fff_ffff
    }

    /// As the C library counts them.
    var signed: Int32 { Int32(bitPattern: rawValue & 0x7fff_ffff) }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The highest there is: in a GOAWAY, that nothing has been refused yet.
    package static let last = HTTP2StreamID(UInt32(0x7fff_ffff))
    /// The request that came with `Upgrade: h2c`.
    package static let upgraded = HTTP2StreamID(UInt32(1))
}
