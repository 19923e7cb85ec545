internal import Idempotency

/// Seals what the embedded store writes with the first key of a ring, and opens it with any. Storage queue only.
///
/// What is sealed: of a recorded answer everything (status, framing, fields, body, trailers), of a tombstone everything
/// (status, size, digest), the pieces of a body, and of a record's row the request's fingerprint and the answer's
/// status and size. What stays clear, because the store finds, orders, expires and resolves records by it: the record
/// key (a SHA-256), state, kind, cause, times, owner, the route's name, send mark slot, whether it was delivered,
/// whether the body stands in pieces, and the length of what is sealed.
///
/// Every seal is bound to its place, 64 octets of associated data that are never stored:
///
/// ```
/// offset  size
///      0     1  format version, 1
///      1     1  what is sealed (Kind)
///      2     6  0
///      8     8  key id, big endian like everything below
///     16    32  record key
///     48     8  epoch
///     56     8  offset within the body; 0 unless it is part of one
/// ```
/// So nothing opens under another record, under another attempt of the same record, or as something else. What this
/// cannot find out is a record that was removed, or a whole directory put back as it was earlier.
///
/// A sealed answer or piece as it is stored:
///
/// ```
/// offset  size
///      0     4  "OGSE"
///      4     1  format version, 1
///      5     1  Kind
///      6     2  0
///      8     8  key id, big endian
///     16    12  nonce
///     28     n  sealed octets
///   28+n    16  tag
/// ```
final class RecordSealer {
    enum Kind: UInt8 {
        /// The private part of a row (RecordRow).
        case row = 1
        /// A recorded answer or a tombstone (RecordCoding).
        case answer = 2
        /// Octets of a body (BodyPiece).
        case piece = 3
    }

    /// What a seal is bound to.
    struct Place {
        var kind: Kind
        var key: RecordKey
        var epoch: UInt64
        var offset: UInt64 = 0
    }

    static let version: UInt8 = 1
    static let headBytes = 28
    /// What sealing adds.
    static let overheadBytes = headBytes + AES256GCM.tagBytes
    private static let magic: UInt32 = 0x4F47_5345

    let keyID: KeyRing.KeyID
    private let cipher: AES256GCM
    private let others: [KeyRing.KeyID: AES256GCM]
    private var nonces: NonceSource

    /// Nil when OpenSSL offers no AES-256-GCM, no memory or no randomness.
    init?(_ ring: KeyRing) {
        var ciphers: [KeyRing.KeyID: AES256GCM] = [:]
        for key in ring.keys {
            guard let cipher = AES256GCM(key: key.octets) else { return nil }
            ciphers[key.id] = cipher
        }
        keyID = ring.keys[0].id
        guard let first = ciphers.removeValue(forKey: keyID), let nonces = NonceSource() else { return nil }
        cipher = first
        others = ciphers
        self.nonces = nonces
    }

    func holds(_ id: KeyRing.KeyID) -> Bool {
        id == keyID || others[id] != nil
    }

    /// Seals in place; writes 12 octets of nonce and 16 of tag.
    func seal(
        inPlace octets: UnsafeMutableRawBufferPointer, _ place: Place, nonce: UnsafeMutableRawPointer,
        tag: UnsafeMutableRawPointer
    ) throws(StorageError) {
        try seal(UnsafeRawBufferPointer(octets), to: octets.baseAddress!, place, nonce: nonce, tag: tag)
    }

    private func seal(
        _ plain: UnsafeRawBufferPointer, to sealed: UnsafeMutableRawPointer, _ place: Place,
        nonce: UnsafeMutableRawPointer, tag: UnsafeMutableRawPointer
    ) throws(StorageError) {
        guard nonces.write(to: nonce) else { throw .sealing }
        let isSealed = Self.withBound(place, keyID) { bound in
            cipher.seal(plain, to: sealed, nonce: nonce, binding: bound, tag: tag)
        }
        guard isSealed else { throw .sealing }
    }

    /// Opens in place.
    func open(
        inPlace octets: UnsafeMutableRawBufferPointer, _ place: Place, keyID: KeyRing.KeyID, nonce: UnsafeRawPointer,
        tag: UnsafeRawPointer
    ) throws(SealError) {
        try open(
            UnsafeRawBufferPointer(octets), to: octets.baseAddress!, place, keyID: keyID, nonce: nonce, tag: tag)
    }

    private func open(
        _ sealed: UnsafeRawBufferPointer, to plain: UnsafeMutableRawPointer, _ place: Place, keyID: KeyRing.KeyID,
        nonce: UnsafeRawPointer, tag: UnsafeRawPointer
    ) throws(SealError) {
        guard let cipher = keyID == self.keyID ? cipher : others[keyID] else { throw .missingKey(keyID) }
        let isAuthentic = Self.withBound(place, keyID) { bound in
            cipher.open(sealed, to: plain, nonce: nonce, binding: bound, tag: tag)
        }
        guard isAuthentic else { throw .forged }
    }

    // MARK: With a head

    static func isSealed(_ stored: UnsafeRawBufferPointer) -> Bool {
        stored.count >= 4 && UInt32(bigEndian: stored.loadUnaligned(as: UInt32.self)) == magic
    }

    /// The octets as they are stored.
    func sealed(_ plain: UnsafeRawBufferPointer, _ place: Place) throws(StorageError) -> [UInt8] {
        var failure: StorageError?
        let stored = [UInt8](unsafeUninitializedCapacity: plain.count + Self.overheadBytes) { buffer, count in
            let start = UnsafeMutableRawPointer(buffer.baseAddress!)
            start.storeBytes(of: Self.magic.bigEndian, as: UInt32.self)
            start.storeBytes(of: Self.version, toByteOffset: 4, as: UInt8.self)
            start.storeBytes(of: place.kind.rawValue, toByteOffset: 5, as: UInt8.self)
            start.storeBytes(of: 0, toByteOffset: 6, as: UInt16.self)
            start.storeBytes(of: keyID.value.bigEndian, toByteOffset: 8, as: UInt64.self)
            do throws(StorageError) {
                let body = start + Self.headBytes
                try seal(plain, to: body, place, nonce: start + 16, tag: body + plain.count)
                count = plain.count + Self.overheadBytes
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return stored
    }

    /// What was sealed. `sealer` nil: there are no keys.
    static func opened(
        _ stored: UnsafeRawBufferPointer, _ place: Place, _ sealer: RecordSealer?
    ) throws(SealError) -> [UInt8] {
        guard isSealed(stored), stored.count >= overheadBytes, stored[4] == version,
            stored[5] == place.kind.rawValue, stored[6] == 0, stored[7] == 0
        else { throw .forged }
        let keyID = KeyRing.KeyID(
            value: UInt64(bigEndian: stored.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        guard let sealer else { throw .missingKey(keyID) }
        let size = stored.count - overheadBytes
        var failure: SealError?
        let plain = [UInt8](unsafeUninitializedCapacity: max(size, 1)) { buffer, count in
            let body = stored.baseAddress! + headBytes
            do throws(SealError) {
                try sealer.open(
                    UnsafeRawBufferPointer(start: body, count: size), to: buffer.baseAddress!, place, keyID: keyID,
                    nonce: stored.baseAddress! + 16, tag: body + size)
                count = size
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return plain
    }

    private static func withBound<Result>(
        _ place: Place, _ keyID: KeyRing.KeyID, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        let words = place.key.words
        let bound: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (
            (UInt64(version) << 56 | UInt64(place.kind.rawValue) << 48).bigEndian, keyID.value.bigEndian,
            words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian, place.epoch.bigEndian,
            place.offset.bigEndian
        )
        return withUnsafeBytes(of: bound, body)
    }
}

/// Why something sealed is not opened.
enum SealError: Error, Equatable {
    /// Sealed under a key that is not in the ring.
    case missingKey(KeyRing.KeyID)
    /// Changed, or moved from another place.
    case forged
}
