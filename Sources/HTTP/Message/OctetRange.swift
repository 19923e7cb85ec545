/// A run of octets in the buffer of a message's head: an offset and a length, 8 octets in all.
package struct OctetRange: Sendable, Equatable {
    package var start: UInt32
    package var count: UInt32

    @inlinable
    package init(start: UInt32, count: UInt32) {
        self.start = start
        self.count = count
    }

    /// The range of `bounds` counted from `base`. Heads are bounded by 32-bit limits, so both ends fit.
    @inlinable
    package init(_ bounds: Range<Int>, from base: Int = 0) {
        start = UInt32(bounds.lowerBound - base)
        count = UInt32(bounds.count)
    }

    @inlinable
    package static var empty: OctetRange { OctetRange(start: 0, count: 0) }

    @inlinable
    package var isEmpty: Bool { count == 0 }

    /// One past the last octet.
    @inlinable
    package var end: UInt32 { start + count }

    /// The same range for subscripts of arrays and spans.
    @inlinable
    package var bounds: Range<Int> { Int(start)..<Int(start) + Int(count) }
}
