internal import Idempotency

/// Layout version 2 of a row: version 1 whose private octets are sealed where they stand, and what opens them behind
/// the route's name, before the checksum.
///
/// ```
/// offset  size
///      6     2  sealed: status of the answer
///     40    32  sealed: fingerprint
///     96     8  sealed: octets of the answer's body
///    108     1  sealed: what stands sealed beside the row, 1 = the answer, 2 = all pieces of the body
///  112+n     8  key id, big endian
///  120+n    12  nonce
///  132+n    16  tag
///  148+n     8  checksum over the row's id and everything before
/// ```
/// Sealed as one message in that order. State and times stay clear and are not bound: a restart resolves claims without
/// a key.
extension RecordRow {
    static let sealBytes = 8 + AES256GCM.nonceBytes + AES256GCM.tagBytes
    private static let privateParts: [(offset: Int, count: Int)] = [(6, 2), (40, 32), (96, 8), (108, 1)]
    private static let privateBytes = 43

    /// Seals a whole row of version 1, its checksum aside, at `target`; returns where the checksum belongs.
    func seal(_ target: UnsafeMutableRawPointer, end: Int, with sealer: RecordSealer) throws(StorageError) -> Int {
        target.storeBytes(of: 2, as: UInt8.self)
        target.storeBytes(of: sealer.keyID.value.bigEndian, toByteOffset: end, as: UInt64.self)
        let place = RecordSealer.Place(kind: .row, key: key, epoch: id)
        let result = Self.withPrivateParts(of: target) { octets -> Result<Void, StorageError> in
            Result { () throws(StorageError) in
                try sealer.seal(inPlace: octets, place, nonce: target + end + 8, tag: target + end + 20)
            }
        }
        try result.get()
        return end + Self.sealBytes
    }

    /// Opens a whole row of version 2 in place.
    static func open(
        _ target: UnsafeMutableRawBufferPointer, id: UInt64, key: RecordKey, with sealer: RecordSealer?
    ) throws(SealError) {
        let start = target.baseAddress!
        let seal = start + target.count - 8 - sealBytes
        let keyID = keyID(UnsafeRawBufferPointer(target))
        guard let sealer else { throw .missingKey(keyID) }
        let place = RecordSealer.Place(kind: .row, key: key, epoch: id)
        let result = withPrivateParts(of: start) { octets -> Result<Void, SealError> in
            Result { () throws(SealError) in
                try sealer.open(inPlace: octets, place, keyID: keyID, nonce: seal + 8, tag: seal + 20)
            }
        }
        try result.get()
    }

    /// Of a whole row of version 2.
    static func keyID(_ octets: UnsafeRawBufferPointer) -> KeyRing.KeyID {
        KeyRing.KeyID(
            value: UInt64(
                bigEndian: octets.loadUnaligned(fromByteOffset: octets.count - 8 - sealBytes, as: UInt64.self)))
    }

    static func erasePrivateParts(_ target: UnsafeMutableRawPointer) {
        for part in privateParts { memset(target + part.offset, part.count) }
    }

    private static func memset(_ target: UnsafeMutableRawPointer, _ count: Int) {
        UnsafeMutableRawBufferPointer(start: target, count: count).initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// The private octets in a row, and back in their places.
    private static func withPrivateParts<Result>(
        of row: UnsafeMutableRawPointer, _ body: (UnsafeMutableRawBufferPointer) -> Result
    ) -> Result {
        withUnsafeTemporaryAllocation(byteCount: privateBytes, alignment: 8) { octets in
            var filled = 0
            for part in privateParts {
                (octets.baseAddress! + filled).copyMemory(from: row + part.offset, byteCount: part.count)
                filled += part.count
            }
            let result = body(octets)
            filled = 0
            for part in privateParts {
                (row + part.offset).copyMemory(from: octets.baseAddress! + filled, byteCount: part.count)
                filled += part.count
            }
            return result
        }
    }
}
