/// Request identifiers: 128 random bits each, unique without coordination. Not a secret, and not fit to be one.
/// The generator is xoshiro256**; one per worker.
package struct RequestIDGenerator: Sendable {
    private var a: UInt64
    private var b: UInt64
    private var c: UInt64
    private var d: UInt64

    /// Octets of an identifier's text.
    package static let octetCount = 32

    /// Seeded by the kernel.
    package init() {
        var kernel = SystemRandomNumberGenerator()
        self.init(seed: (kernel.next(), kernel.next(), kernel.next(), kernel.next()))
    }

    package init(seed: (UInt64, UInt64, UInt64, UInt64)) {
        // An all-zero state would stay there.
        (a, b, c, d) = (seed.0 | 1, seed.1, seed.2, seed.3)
    }

    /// Appends 32 lower-case hexadecimal digits.
    package mutating func append(to octets: inout [UInt8]) {
        let id = next()
        appendHex(id.0, to: &octets)
        appendHex(id.1, to: &octets)
    }

    /// The next 128 bits.
    package mutating func next() -> (UInt64, UInt64) {
        (word(), word())
    }

    private mutating func word() -> UInt64 {
        let product = b &* 5
        let result = (product << 7 | product >> 57) &* 9
        let shifted = b << 17
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= shifted
        d = d << 45 | d >> 19
        return result
    }

    private func appendHex(_ word: UInt64, to octets: inout [UInt8]) {
        var shift: UInt64 = 64
        while shift > 0 {
            shift -= 4
            let digit = UInt8(truncatingIfNeeded: (word >> shift) & 0xF)
            octets.append(digit < 10 ? digit + 0x30 : digit + 0x57)
        }
    }
}
