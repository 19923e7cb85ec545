// Octet work that the standard library does not offer on spans.

extension [UInt8] {
    /// Appends the octets of a span with one copy.
    package mutating func append(_ octets: Span<UInt8>) {
        unsafe octets.withUnsafeBufferPointer { buffer in
            // The array copies from a buffer that lives through the call.
            unsafe self.append(contentsOf: buffer)
        }
    }

    /// Appends a range of another array with one copy.
    mutating func append(_ source: [UInt8], _ range: Range<Int>) {
        append(source.span.extracting(range))
    }

    /// The octets of a span.
    package init(_ octets: Span<UInt8>) {
        self.init()
        append(octets)
    }

    /// Appends an integer, big-endian, in its full width.
    mutating func append<Integer: FixedWidthInteger & UnsignedInteger>(bigEndian integer: Integer) {
        var shift = Integer.bitWidth
        while shift > 0 {
            shift -= 8
            append(UInt8(truncatingIfNeeded: integer >> Integer(shift)))
        }
    }

    /// Appends an integer in groups of seven bits, the lowest first; all but the last have their high bit set (LEB128).
    mutating func append(variable integer: Int) {
        var rest = UInt(bitPattern: integer)
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }

    /// Appends the size of octets and the octets in lower case.
    mutating func append(lowercasing octets: Span<UInt8>) {
        append(variable: octets.count)
        for index in octets.indices { append(lowercased(octets[index])) }
    }

    mutating func append(_ digest: Digest256) {
        append(bigEndian: digest.words.0)
        append(bigEndian: digest.words.1)
        append(bigEndian: digest.words.2)
        append(bigEndian: digest.words.3)
    }
}

extension Span<UInt8> {
    /// Whether both hold the same octets.
    func equals(_ other: borrowing Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in indices where self[index] != other[index] { return false }
        return true
    }

    func equals(_ other: [UInt8]) -> Bool {
        equals(other.span)
    }

    /// Whether the octets in a range are these.
    func equals(_ other: [UInt8], at range: Range<Int>) -> Bool {
        extracting(range).equals(other.span)
    }

    /// Whether both are the same ASCII text but for the case of letters. Precondition: `other` is in lower case.
    func equals(ignoringCase other: StaticString) -> Bool {
        guard count == other.utf8CodeUnitCount else { return false }
        for index in indices {
            // The index is below the literal's count.
            guard unsafe lowercased(self[index]) == other.utf8Start[index] else { return false }
        }
        return true
    }

    /// Whether the span is the text of a literal.
    func equals(_ other: StaticString) -> Bool {
        guard count == other.utf8CodeUnitCount else { return false }
        for index in indices {
            // The index is below the literal's count.
            guard unsafe self[index] == other.utf8Start[index] else { return false }
        }
        return true
    }

    /// Whether both are the same but for the case of ASCII letters.
    func equals(lowercasing other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in indices where lowercased(self[index]) != lowercased(other[index]) { return false }
        return true
    }

    /// Whether this comes before another in the order of octets in lower case.
    func precedes(lowercasing other: Span<UInt8>) -> Bool {
        for index in 0..<Swift.min(count, other.count) {
            let left = lowercased(self[index])
            let right = lowercased(other[index])
            if left != right { return left < right }
        }
        return count < other.count
    }

    func starts(with other: [UInt8]) -> Bool {
        count >= other.count && extracting(0..<other.count).equals(other)
    }

    /// The position of the first such octet at or after `start`; `count` if there is none.
    func firstIndex(of octet: UInt8, from start: Int) -> Int {
        var index = start
        while index < count, self[index] != octet { index += 1 }
        return index
    }

    /// The range without spaces and tabs at its ends.
    func trimmed(_ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, self[start] == 0x20 || self[start] == 0x09 { start += 1 }
        while start < end, self[end - 1] == 0x20 || self[end - 1] == 0x09 { end -= 1 }
        return start..<end
    }

    /// An unsigned decimal of 1 to 9 digits; nil for anything else.
    func decimal(in range: Range<Int>) -> Int? {
        guard !range.isEmpty, range.count <= 9 else { return nil }
        var value = 0
        for index in range {
            let digit = self[index] &- 0x30
            guard digit < 10 else { return nil }
            value = value * 10 + Int(digit)
        }
        return value
    }
}

/// Lower case of an ASCII letter; any other octet as it is.
@inlinable
package func lowercased(_ octet: UInt8) -> UInt8 {
    octet &- 0x41 < 26 ? octet | 0x20 : octet
}

/// The value of a hexadecimal digit; nil for any other octet.
func hexadecimalValue(_ octet: UInt8) -> UInt8? {
    switch octet {
    case 0x30...0x39: octet - 0x30
    case 0x41...0x46: octet - 0x37
    case 0x61...0x66: octet - 0x57
    default: nil
    }
}
