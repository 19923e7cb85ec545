import COpenSSL

/// A SHA-256 computation: a value of 112 octets, so that a prefix that many hashes share is absorbed once and copied.
/// Never allocates.
///
/// Hash inputs that consist of parts give each part its length first (`update(prefixed:)`): no two lists of parts meet
/// in the same input.
package struct SHA256: Sendable {
    private var context = oncegate_sha256()

    package init() {
        // The shim writes the whole context and keeps no pointer to it.
        unsafe oncegate_sha256_init(&context)
    }

    package mutating func update(_ octets: Span<UInt8>) {
        unsafe octets.withUnsafeBytes { buffer in
            // The shim reads exactly `count` octets of a buffer that lives through the call; with count 0 it does not
            // look at the pointer.
            unsafe oncegate_sha256_update(&context, buffer.baseAddress, buffer.count)
        }
    }

    package mutating func update(_ octets: [UInt8]) {
        update(octets.span)
    }

    /// Absorbs one octet.
    package mutating func update(_ octet: UInt8) {
        update(integer: octet)
    }

    /// Absorbs an integer, big-endian, in its full width.
    package mutating func update<Integer: FixedWidthInteger & BitwiseCopyable>(integer: Integer) {
        let value = integer.bigEndian
        unsafe withUnsafeBytes(of: value) { buffer in
            // The buffer is the local value's own storage and lives through the call.
            unsafe oncegate_sha256_update(&context, buffer.baseAddress, buffer.count)
        }
    }

    /// Absorbs the count of octets as 32 bits, then the octets. Precondition: less than 4 GiB.
    package mutating func update(prefixed octets: Span<UInt8>) {
        let count = octets.count
        guard count <= 60 else {
            update(integer: UInt32(count))
            return update(octets)
        }
        // Most parts are short: one call for both halves, over the stack, is two thirds of the price of two.
        unsafe withUnsafeTemporaryAllocation(byteCount: 64, alignment: 8) { buffer in
            unsafe buffer.storeBytes(of: UInt32(count).bigEndian, as: UInt32.self)
            // 4 + count octets are at most 64, the size of the buffer, and all of them are written before they are
            // read.
            unsafe octets.withUnsafeBytes { source in
                unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[4...]).copyMemory(from: source)
            }
            unsafe oncegate_sha256_update(&context, buffer.baseAddress, 4 + count)
        }
    }

    package mutating func update(prefixed octets: [UInt8]) {
        update(prefixed: octets.span)
    }

    package mutating func update(_ digest: Digest256) {
        update(integer: digest.words.0)
        update(integer: digest.words.1)
        update(integer: digest.words.2)
        update(integer: digest.words.3)
    }

    /// A number that is equal where the same was absorbed in the same steps, without the price of a digest. For
    /// counting only: whoever wants to, makes two inputs meet.
    var mixed: UInt64 {
        unsafe withUnsafeBytes(of: context) { octets in
            var sum: UInt64 = 0
            for pair in 0..<7 {
                // The context has 112 octets: seven pairs of words.
                let left = unsafe octets.loadUnaligned(fromByteOffset: pair * 16, as: UInt64.self)
                let right = unsafe octets.loadUnaligned(fromByteOffset: pair * 16 + 8, as: UInt64.self)
                let number = UInt64(truncatingIfNeeded: pair) &* 2 &+ 1
                sum &+= (left ^ 0x9E37_79B9_7F4A_7C15 &* number) &* (right ^ 0xBF58_476D_1CE4_E5B9 &* number)
            }
            return sum ^ sum >> 32
        }
    }

    /// The digest of all that was absorbed.
    package consuming func finish() -> Digest256 {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        unsafe withUnsafeMutableBytes(of: &words) { buffer in
            // The shim writes 32 octets, the size of the tuple; a tuple of four words has no padding.
            unsafe oncegate_sha256_final(
                &context, buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
        }
        return Digest256(
            words: (words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian))
    }

    package static func digest(of octets: Span<UInt8>) -> Digest256 {
        var hash = SHA256()
        hash.update(octets)
        return hash.finish()
    }
}
