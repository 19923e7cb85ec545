internal import Idempotency

/// A piece of a body as it is stored. With keys it is sealed (RecordSealer, the offset in its place); plain it is:
///
/// ```
/// offset  size
///      0     4  "OGPC"
///      4     1  format version, 1
///      5     3  0
///      8     8  checksum over record key, epoch, offset within the body and the octets, little endian
///     16     n  octets, 1 to 64 KiB
/// ```
enum BodyPiece {
    private static let magic: UInt32 = 0x4F47_5043
    private static let headBytes = 16

    /// Which octets of which attempt's body.
    struct Place {
        var key: RecordKey
        var epoch: UInt64
        var offset: UInt64

        var sealed: RecordSealer.Place {
            RecordSealer.Place(kind: .piece, key: key, epoch: epoch, offset: offset)
        }
    }

    static func encode(_ octets: [UInt8], _ place: Place) -> [UInt8] {
        let checksum = checksum(of: octets.span.bytes, place)
        return [UInt8](unsafeUninitializedCapacity: headBytes + octets.count) { buffer, count in
            let start = UnsafeMutableRawPointer(buffer.baseAddress!)
            start.storeBytes(of: magic.bigEndian, as: UInt32.self)
            start.storeBytes(of: UInt32(1).littleEndian, toByteOffset: 4, as: UInt32.self)
            start.storeBytes(of: checksum.littleEndian, toByteOffset: 8, as: UInt64.self)
            octets.withUnsafeBytes { (start + headBytes).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
            count = headBytes + octets.count
        }
    }

    /// Nil when it is not this piece, whole.
    static func decode(_ stored: UnsafeRawBufferPointer, _ place: Place) -> [UInt8]? {
        guard stored.count > headBytes, UInt32(bigEndian: stored.loadUnaligned(as: UInt32.self)) == magic,
            UInt32(littleEndian: stored.loadUnaligned(fromByteOffset: 4, as: UInt32.self)) == 1
        else { return nil }
        let octets = UnsafeRawBufferPointer(rebasing: stored[headBytes...])
        let expected = UInt64(littleEndian: stored.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        let actual = checksum(of: octets.bytes, place)
        return actual == expected ? [UInt8](octets) : nil
    }

    /// What a stored piece has of the octets from `offset` on, which lies at or after its beginning.
    static func read(
        _ stored: UnsafeRawBufferPointer, _ place: Place, from offset: UInt64, _ sealer: RecordSealer?,
        mustBeSealed: Bool
    ) -> StoredAnswer {
        var octets: [UInt8]
        if mustBeSealed || RecordSealer.isSealed(stored) {
            do throws(SealError) {
                octets = try RecordSealer.opened(stored, place.sealed, sealer)
            } catch {
                return .unreadable(error)
            }
        } else {
            guard let plain = decode(stored, place) else { return .unreadable(.forged) }
            octets = plain
        }
        let skipped = offset - place.offset
        guard skipped < UInt64(octets.count) else { return .absent }
        if skipped > 0 { octets.removeFirst(Int(skipped)) }
        return .octets(octets)
    }

    private static func checksum(of octets: RawSpan, _ place: Place) -> UInt64 {
        let words = place.key.words
        let head = (words.0, words.1, words.2, words.3, place.offset)
        let seed = withUnsafeBytes(of: head) { RowChecksum.of($0, id: place.epoch) }
        return octets.withUnsafeBytes { RowChecksum.of($0, id: seed) }
    }
}
