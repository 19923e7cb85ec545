internal import COpenSSL

/// AES-256-GCM under one key, its schedule expanded once for each direction. One thread at a time.
final class AES256GCM {
    static let nonceBytes = 12
    static let tagBytes = 16
    /// What one message can hold: OpenSSL counts in `int`.
    static let messageBytesMax = Int(Int32.max) - 64

    private let sealing: OpaquePointer
    private let opening: OpaquePointer

    /// Nil when OpenSSL has no AES-256-GCM, or no memory. Precondition: 32 octets.
    init?(key: [UInt8]) {
        precondition(key.count == 32)
        guard let sealing = oncegate_gcm_create(key, 1) else { return nil }
        guard let opening = oncegate_gcm_create(key, 0) else {
            EVP_CIPHER_CTX_free(sealing)
            return nil
        }
        self.sealing = sealing
        self.opening = opening
    }

    deinit {
        // Wipes the key schedules.
        EVP_CIPHER_CTX_free(sealing)
        EVP_CIPHER_CTX_free(opening)
    }

    /// Seals `count` octets in place or elsewhere and writes the tag. False: the library failed, nothing may be used.
    func seal(
        _ plain: UnsafeRawBufferPointer, to sealed: UnsafeMutableRawPointer, nonce: UnsafeRawPointer,
        binding bound: UnsafeRawBufferPointer, tag: UnsafeMutableRawPointer
    ) -> Bool {
        guard plain.count <= Self.messageBytesMax else { return false }
        return oncegate_gcm_seal(
            sealing, Self.octets(nonce), Self.octets(bound), Int32(bound.count), Self.octets(plain),
            Int32(plain.count), sealed.assumingMemoryBound(to: UInt8.self), tag.assumingMemoryBound(to: UInt8.self))
            == 1
    }

    /// False: not what was sealed under this key, nonce and binding; nothing at `plain` may be used.
    func open(
        _ sealed: UnsafeRawBufferPointer, to plain: UnsafeMutableRawPointer, nonce: UnsafeRawPointer,
        binding bound: UnsafeRawBufferPointer, tag: UnsafeRawPointer
    ) -> Bool {
        guard sealed.count <= Self.messageBytesMax else { return false }
        return oncegate_gcm_open(
            opening, Self.octets(nonce), Self.octets(bound), Int32(bound.count), Self.octets(sealed),
            Int32(sealed.count), Self.octets(tag), plain.assumingMemoryBound(to: UInt8.self)) == 1
    }

    private static func octets(_ buffer: UnsafeRawBufferPointer) -> UnsafePointer<UInt8>? {
        buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }

    private static func octets(_ pointer: UnsafeRawPointer) -> UnsafePointer<UInt8> {
        pointer.assumingMemoryBound(to: UInt8.self)
    }
}

/// Nonces that never repeat: 64 random bits of this source, then a count of 32 bits. When the count is used up, other
/// random bits are drawn.
///
/// Why not 96 random bits a record: NIST SP 800-38D §8.3 allows 2³² of those under one key, which a store of 5000
/// records a second (3 seals each) reaches in three days. Here only the sources count, one per start of the process,
/// change of the ring, and 2³² seals: among a million of them (a thousand replicas that share the key, a thousand
/// starts each) two draw the same bits with probability 2⁻²⁵, and among those of one replica in ten years of daily
/// starts, with 2⁻⁴¹. The other limit, blocks under one key, stays far: 2⁴⁰ records of 2 KiB keep an adversary's
/// advantage below 2⁻³³. A machine resumed twice from one snapshot of its memory repeats nonces, as it would with any
/// state kept in memory; such a machine needs a new key.
struct NonceSource {
    private(set) var prefix: UInt64
    var count: UInt32 = 0

    /// Nil when OpenSSL has no randomness.
    init?() {
        guard let prefix = Self.random() else { return nil }
        self.prefix = prefix
    }

    /// Writes the next nonce, 12 octets. False when OpenSSL has no randomness.
    mutating func write(to target: UnsafeMutableRawPointer) -> Bool {
        target.storeBytes(of: prefix, as: UInt64.self)
        target.storeBytes(of: count.bigEndian, toByteOffset: 8, as: UInt32.self)
        count &+= 1
        guard count == 0 else { return true }
        guard let next = Self.random() else {
            // The nonce above is good; the one after it would not be.
            count = .max
            return false
        }
        prefix = next
        return true
    }

    private static func random() -> UInt64? {
        var octets: (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0, 0, 0, 0, 0)
        return withUnsafeMutableBytes(of: &octets) { buffer in
            let start = buffer.baseAddress!.assumingMemoryBound(to: UInt8.self)
            return oncegate_random_octets(start, 8) == 1 ? buffer.loadUnaligned(as: UInt64.self) : nil
        }
    }
}
