/// A set of ASCII octets, one bit each; octets from 0x80 are never in it.
struct OctetSet: Sendable {
    /// Octets 0…63, then 64…127.
    let low, high: UInt64

    @inline(__always)
    func contains(_ octet: UInt8) -> Bool {
        let half = octet & 0x40 == 0 ? low : high
        return octet < 0x80 && (half >> UInt64(octet & 0x3f)) & 1 != 0
    }

    /// RFC 9110 §5.6.2: tchar.
    static let token = OctetSet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe)
    /// Visible ASCII but `#`: what a request target may hold. Wider than RFC 3986, whose rest real clients do send raw.
    static let target = OctetSet(low: 0xffff_fff6_0000_0000, high: 0x7fff_ffff_ffff_ffff)
    /// `target` without `?` and without the backslash, which some servers take for a slash.
    static let path = OctetSet(low: 0x7fff_fff6_0000_0000, high: 0x7fff_ffff_efff_ffff)
    /// RFC 3986 §2.3: unreserved. Also what a registered name may hold here: no list, no userinfo, no escapes.
    static let unreserved = OctetSet(low: 0x03ff_6000_0000_0000, high: 0x47ff_fffe_87ff_fffe)
    /// Between the brackets of an IPv6 literal.
    static let addressLiteral = OctetSet(low: 0x07ff_4000_0000_0000, high: 0x0000_007e_0000_007e)
    /// RFC 9112 §7.1.1 outside quoted strings: tchar, `;`, `=`, SP and HTAB.
    static let chunkExtension = OctetSet(low: 0x2bff_6cfb_0000_0200, high: 0x57ff_ffff_c7ff_fffe)
}

/// Octets that the grammar names.
enum Octet {
    static let tab: UInt8 = 0x09
    static let lineFeed: UInt8 = 0x0a
    static let carriageReturn: UInt8 = 0x0d
    static let space: UInt8 = 0x20
    static let quote: UInt8 = 0x22
    static let percent: UInt8 = 0x25
    static let asterisk: UInt8 = 0x2a
    static let comma: UInt8 = 0x2c
    static let dot: UInt8 = 0x2e
    static let slash: UInt8 = 0x2f
    static let zero: UInt8 = 0x30
    static let colon: UInt8 = 0x3a
    static let semicolon: UInt8 = 0x3b
    static let question: UInt8 = 0x3f
    static let openBracket: UInt8 = 0x5b
    static let backslash: UInt8 = 0x5c
    static let closeBracket: UInt8 = 0x5d

    /// The value of a hexadecimal digit.
    @inline(__always)
    static func hexValue(_ octet: UInt8) -> UInt8? {
        switch octet {
        case 0x30...0x39: octet - 0x30
        case 0x41...0x46: octet - 0x41 + 10
        case 0x61...0x66: octet - 0x61 + 10
        default: nil
        }
    }

    /// ASCII lower case.
    @inline(__always)
    static func lowercased(_ octet: UInt8) -> UInt8 {
        octet &- 0x41 < 26 ? octet | 0x20 : octet
    }
}

/// Eight copies of an octet, for tests of eight octets at once.
@inline(__always)
private func eight(_ octet: UInt64) -> UInt64 { octet &* 0x0101_0101_0101_0101 }

extension Span<UInt8> {
    /// The eight octets from `offset`, the first one lowest. Traps when they do not all exist.
    @inline(__always)
    func word(at offset: Int) -> UInt64 {
        // Safe: RawSpan checks the bounds, and every bit pattern is a UInt64.
        unsafe UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The index of the first octet from `start` on that is a control (0x00…0x1f, HTAB included, or 0x7f), else
    /// `count`.
    @inline(__always)
    func firstControl(from start: Int) -> Int {
        var index = start
        while index &+ 8 <= count {
            let word = word(at: index)
            // Borrows run upwards only, so the lowest flag is exact; 0x80… are masked out by ~word.
            let below = (word &- eight(0x20)) & ~word
            let delete = word ^ eight(0x7f)
            let flags = (below | ((delete &- eight(1)) & ~delete)) & eight(0x80)
            if flags != 0 { return index &+ (flags.trailingZeroBitCount >> 3) }
            index &+= 8
        }
        while index < count, self[index] >= 0x20, self[index] != 0x7f { index &+= 1 }
        return index
    }

    /// The index of the first octet from `start` on that is no tchar, else `count`.
    @inline(__always)
    func firstNonToken(from start: Int) -> Int {
        var index = start
        // Most names are letters and hyphens, which can be told eight at a time.
        while index &+ 8 <= count {
            let word = word(at: index)
            let folded = (word | eight(0x20)) & eight(0x7f)
            // No sum carries into the next octet, as every octet here is below 0x80.
            let fromA = folded &+ eight(0x80 - 0x61)
            let aboveZ = folded &+ eight(0x7f - 0x7a)
            let hyphen = ~(((word ^ eight(0x2d)) & eight(0x7f)) &+ eight(0x7f))
            let others = ~((fromA & ~aboveZ) | hyphen) | word
            let flags = others & eight(0x80)
            guard flags != 0 else {
                index &+= 8
                continue
            }
            index &+= flags.trailingZeroBitCount >> 3
            guard OctetSet.token.contains(self[index]) else { return index }
            index &+= 1
        }
        while index < count, OctetSet.token.contains(self[index]) { index &+= 1 }
        return index
    }

    /// The octets equal `lowercase`, in which upper-case letters of ours are folded.
    @inline(__always)
    package func equalsIgnoringCase(_ lowercase: StaticString) -> Bool {
        guard count == lowercase.utf8CodeUnitCount else { return false }
        // Safe: a StaticString's octets live as long as the program, and `index` stays below their count.
        let other = unsafe UnsafeBufferPointer(start: lowercase.utf8Start, count: lowercase.utf8CodeUnitCount)
        for index in indices where unsafe Octet.lowercased(self[index]) != other[index] { return false }
        return true
    }

    /// Equal but for the case of ASCII letters.
    package func equalsIgnoringCase(_ other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in indices where Octet.lowercased(self[index]) != Octet.lowercased(other[index]) { return false }
        return true
    }

    /// `bounds` without SP and HTAB at both ends (OWS; nothing else is trimmed, RFC 9110 §5.5).
    @inline(__always)
    func trimmed(_ bounds: Range<Int>) -> Range<Int> {
        var start = bounds.lowerBound
        var end = bounds.upperBound
        while start < end, self[start] == Octet.space || self[start] == Octet.tab { start &+= 1 }
        while start < end, self[end &- 1] == Octet.space || self[end &- 1] == Octet.tab { end &-= 1 }
        return start..<end
    }
}

/// The elements of a comma-separated list without quoted strings (RFC 9110 §5.6.1): trimmed, empty ones skipped.
struct ListElements {
    private var position: Int
    private let end: Int

    init(_ bounds: Range<Int>) {
        position = bounds.lowerBound
        end = bounds.upperBound
    }

    /// The next element's range in `octets`; nil at the list's end.
    mutating func next(in octets: Span<UInt8>) -> Range<Int>? {
        while position < end {
            let start = position
            while position < end, octets[position] != Octet.comma { position += 1 }
            let element = octets.trimmed(start..<position)
            position += 1
            if !element.isEmpty { return element }
        }
        return nil
    }
}
