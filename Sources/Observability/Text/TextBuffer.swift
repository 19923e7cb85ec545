import Glibc

/// Octets under construction: one block that grows and is kept, so that writing costs a bound check and a copy, no
/// allocation. Every unsafe access of text construction is in this file: a write is preceded by `reserve` of at least
/// as much, in the same function.
package struct TextBuffer: ~Copyable {
    /// Octets written.
    package private(set) var count = 0
    private var capacity: Int
    private var block: UnsafeMutablePointer<UInt8>

    package init(capacity: Int) {
        self.capacity = max(capacity, 64)
        block = .allocate(capacity: self.capacity)
    }

    deinit {
        block.deallocate()
    }

    /// What was written.
    package var span: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            let octets = Span(_unsafeStart: block, count: count)
            return _overrideLifetime(octets, borrowing: self)
        }
    }

    /// A copy of what was written.
    package var octets: [UInt8] {
        [UInt8](UnsafeBufferPointer(start: block, count: count))
    }

    /// Keeps the block.
    @inline(__always)
    package mutating func removeAll() {
        count = 0
    }

    /// Forgets what was written after `count` octets.
    package mutating func truncate(to count: Int) {
        precondition(count >= 0 && count <= self.count)
        self.count = count
    }

    @inline(__always)
    package mutating func reserve(_ more: Int) {
        if capacity - count < more {
            grow(more)
        }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        capacity = max(capacity * 2, count + more)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        larger.update(from: block, count: count)
        block.deallocate()
        block = larger
    }

    @inline(__always)
    package mutating func append(_ octet: UInt8) {
        reserve(1)
        block[count] = octet
        count += 1
    }

    @inline(__always)
    package mutating func append(_ text: StaticString) {
        let size = text.utf8CodeUnitCount
        reserve(size)
        memcpy(block + count, text.utf8Start, size)
        count += size
    }

    @inline(__always)
    package mutating func append(_ octets: Span<UInt8>) {
        octets.withUnsafeBufferPointer { source in
            guard let base = source.baseAddress else { return }
            reserve(source.count)
            memcpy(block + count, base, source.count)
            count += source.count
        }
    }

    package mutating func append(_ octets: [UInt8]) {
        append(octets.span)
    }

    package mutating func append(text: String) {
        for octet in text.utf8 {
            append(octet)
        }
    }

    /// In decimal.
    @inline(__always)
    package mutating func append(decimal value: UInt64) {
        reserve(20)
        var rest = value
        var digits = 1
        var limit: UInt64 = 10
        while rest >= limit {
            digits += 1
            if digits == 20 { break }
            limit &*= 10
        }
        var at = count + digits
        count = at
        while rest >= 10 {
            at -= 1
            block[at] = UInt8(truncatingIfNeeded: rest % 10) | 0x30
            rest /= 10
        }
        block[at - 1] = UInt8(truncatingIfNeeded: rest) | 0x30
    }

    package mutating func append(decimal value: Int64) {
        if value < 0 {
            append(UInt8(ascii: "-"))
        }
        append(decimal: value.magnitude)
    }

    /// In decimal with leading zeros, exactly `digits` of them (at most 20); higher digits are cut off.
    @inline(__always)
    package mutating func append(decimal value: UInt64, digits: Int) {
        reserve(digits)
        var rest = value
        var at = count + digits
        count = at
        for _ in 0..<digits {
            at -= 1
            block[at] = UInt8(truncatingIfNeeded: rest % 10) | 0x30
            rest /= 10
        }
    }

    /// 16 lower-case hexadecimal digits.
    package mutating func append(hex value: UInt64) {
        reserve(16)
        var shift: UInt64 = 64
        while shift > 0 {
            shift -= 4
            let digit = UInt8(truncatingIfNeeded: (value >> shift) & 0xF)
            block[count] = digit < 10 ? digit + 0x30 : digit + 0x57
            count += 1
        }
    }

    /// Seconds with microseconds: `0.001234`. Rounded down.
    @inline(__always)
    package mutating func append(secondsOf nanoseconds: UInt64) {
        let microseconds = nanoseconds / 1000
        if microseconds < 1_000_000 {
            append("0.")
            append(decimal: microseconds, digits: 6)
        } else {
            append(decimal: microseconds / 1_000_000)
            append(UInt8(ascii: "."))
            append(decimal: microseconds % 1_000_000, digits: 6)
        }
    }
}
