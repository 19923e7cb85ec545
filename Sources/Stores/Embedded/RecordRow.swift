package import Idempotency

/// A record's row without its answer. On disk, little endian, digests as their octets stand:
///
/// ```
/// offset  size
///      0     1  layout version, 1
///      1     1  state
///      2     1  kind
///      3     1  unknown cause, 0 = none
///      4     1  flags: 1 = delivered, 2 = durability .process, 4 = octets of the body stand in pieces, 8 = a history,
///               16 = known not to be delivered
///      5     1  octets of the route's name
///      6     2  status of the answer, 0 = none
///      8    32  key
///     40    32  fingerprint
///     72     8  owner: random number of the process that claimed
///     80     8  claimed at, milliseconds since the UNIX epoch
///     88     8  expires at, the same
///     96     8  octets of the answer's body
///    104     4  send mark slot
///    108     1  what stands sealed beside the row: 1 = the answer, 2 = all pieces of the body
///    109     3  0
///    112     n  the route's name
///  112+n     h  24 or 0: history of an outcome that was unknown
/// 112+n+h    8  checksum over the row's id and everything before
///
/// history   0  8  unknown at, milliseconds since the UNIX epoch, 0 = not kept
///           8  8  settled at, the same, 0 = still unknown
///          16  1  why it was unknown
///          17  1  Settlement, 0 = none
///          18  6  0
/// ```
/// Layout version 2 has its private octets sealed (RecordRow+Sealing).
package struct RecordRow: Sendable, Equatable {
    /// Seconds of the expiry « 24 | sequence. Also the claim's epoch.
    package var id: UInt64
    package var key: RecordKey
    package var fingerprint: Fingerprint
    package var state: RecordState
    package var kind: Claim.Kind
    package var cause: UnknownCause?
    package var isDelivered = false
    package var isUndelivered = false
    package var durability: Durability
    package var status: UInt16 = 0
    package var owner: UInt64
    package var claimedAtMilliseconds: UInt64
    package var expiresAtMilliseconds: UInt64
    package var bodyBytes: UInt64 = 0
    /// The answer is stored sealed; a plain one in its place was put there by somebody else.
    package var isAnswerSealed = false
    package var isBodySealed = false
    /// Octets of the body stand in pieces.
    package var hasStoredBody = false
    package var markSlot: UInt32
    package var route: String
    /// Of an outcome that is unknown, or was.
    package var history: History?

    package struct History: Sendable, Equatable {
        var unknownAtMilliseconds: UInt64
        var settledAtMilliseconds: UInt64 = 0
        var cause: UnknownCause
        var settlement: Settlement?
    }

    static let fixedBytes = 112
    static let historyBytes = 24
    static let bytesMax = fixedBytes + 255 + historyBytes + sealBytes + 8

    var claim: ClaimReference {
        ClaimReference(key: key, epoch: id, markSlot: markSlot)
    }

    var summary: RecordSummary {
        var summary = RecordSummary(
            key: key, route: route, kind: kind, state: state, epoch: id, claimedAtMilliseconds: claimedAtMilliseconds,
            expiresAtMilliseconds: expiresAtMilliseconds, status: status, bodyBytes: bodyBytes,
            unknownCause: history?.cause ?? cause, isDelivered: isDelivered)
        if let history {
            summary.unknownAtMilliseconds = history.unknownAtMilliseconds
            summary.settledAtMilliseconds = history.settledAtMilliseconds
            summary.settlement = history.settlement
        }
        summary.isUndelivered = isUndelivered
        return summary
    }
}

extension RecordRow {
    /// Writes the row at `target`, which has room for `bytesMax`, sealed if there is a sealer; returns its size.
    func encode(to target: UnsafeMutableRawPointer, sealer: RecordSealer?) throws(StorageError) -> Int {
        var end = encodeFields(to: target)
        if let sealer { end = try seal(target, end: end, with: sealer) }
        Self.storeChecksum(target, end: end, id: id)
        return end + 8
    }

    private func encodeFields(to target: UnsafeMutableRawPointer) -> Int {
        var route = route
        let routeBytes = route.withUTF8 { octets in
            let count = min(octets.count, 255)
            if count > 0 { (target + Self.fixedBytes).copyMemory(from: octets.baseAddress!, byteCount: count) }
            return count
        }
        let flags: UInt8 =
            (isDelivered ? 1 : 0) | (durability == .process ? 2 : 0) | (hasStoredBody ? 4 : 0)
            | (history == nil ? 0 : Self.historyFlag) | (isUndelivered ? Self.undeliveredFlag : 0)
        let sealed: UInt32 = (isAnswerSealed ? 1 : 0) | (isBodySealed ? 2 : 0)
        target.storeBytes(of: 1, toByteOffset: 0, as: UInt8.self)
        target.storeBytes(of: state.rawValue, toByteOffset: 1, as: UInt8.self)
        target.storeBytes(of: kind.rawValue, toByteOffset: 2, as: UInt8.self)
        target.storeBytes(of: cause?.rawValue ?? 0, toByteOffset: 3, as: UInt8.self)
        target.storeBytes(of: flags, toByteOffset: 4, as: UInt8.self)
        target.storeBytes(of: UInt8(routeBytes), toByteOffset: 5, as: UInt8.self)
        target.storeBytes(of: status.littleEndian, toByteOffset: 6, as: UInt16.self)
        Self.store(key, at: target + 8)
        Self.store(fingerprint, at: target + 40)
        target.storeBytes(of: owner.littleEndian, toByteOffset: 72, as: UInt64.self)
        target.storeBytes(of: claimedAtMilliseconds.littleEndian, toByteOffset: 80, as: UInt64.self)
        target.storeBytes(of: expiresAtMilliseconds.littleEndian, toByteOffset: 88, as: UInt64.self)
        target.storeBytes(of: bodyBytes.littleEndian, toByteOffset: 96, as: UInt64.self)
        target.storeBytes(of: markSlot.littleEndian, toByteOffset: 104, as: UInt32.self)
        target.storeBytes(of: sealed.littleEndian, toByteOffset: 108, as: UInt32.self)
        let end = Self.fixedBytes + routeBytes
        guard let history else { return end }
        Self.store(history, at: target + end)
        return end + Self.historyBytes
    }

    private static let historyFlag: UInt8 = 8
    private static let undeliveredFlag: UInt8 = 16

    private static func store(_ history: History, at target: UnsafeMutableRawPointer) {
        target.storeBytes(of: history.unknownAtMilliseconds.littleEndian, as: UInt64.self)
        target.storeBytes(of: history.settledAtMilliseconds.littleEndian, toByteOffset: 8, as: UInt64.self)
        let octets = UInt64(history.cause.rawValue) | UInt64(history.settlement?.rawValue ?? 0) << 8
        target.storeBytes(of: octets.littleEndian, toByteOffset: 16, as: UInt64.self)
    }

    /// Nil also where what stands there is none: only rows of this program come here.
    private static func history(_ octets: UnsafeRawBufferPointer) -> History? {
        let start = fixedBytes + Int(octets[5])
        guard historySize(octets) > 0, let cause = UnknownCause(rawValue: octets[start + 16]) else { return nil }
        return History(
            unknownAtMilliseconds: word(octets, at: start), settledAtMilliseconds: word(octets, at: start + 8),
            cause: cause, settlement: Settlement(rawValue: octets[start + 17]))
    }

    private static func historySize(_ octets: UnsafeRawBufferPointer) -> Int {
        octets[4] & historyFlag != 0 ? historyBytes : 0
    }

    private static func storeChecksum(_ target: UnsafeMutableRawPointer, end: Int, id: UInt64) {
        let checksum = RowChecksum.of(UnsafeRawBufferPointer(start: target, count: end), id: id)
        target.storeBytes(of: checksum.littleEndian, toByteOffset: end, as: UInt64.self)
    }

    /// What a stored row is worth.
    static func stored(id: UInt64, octets: UnsafeRawBufferPointer, sealer: RecordSealer?) -> StoredRow {
        guard isWhole(id: id, octets: octets) else { return .corrupt(id: id) }
        guard octets[0] == 2 else {
            return RecordRow(id: id, fields: octets).map { .row($0) } ?? .corrupt(id: id)
        }
        return withUnsafeTemporaryAllocation(byteCount: octets.count, alignment: 8) { copy in
            copy.copyMemory(from: octets)
            var failure: SealError?
            do throws(SealError) {
                try open(copy, id: id, key: digest(octets, at: 8), with: sealer)
            } catch {
                erasePrivateParts(copy.baseAddress!)
                failure = error
            }
            guard let row = RecordRow(id: id, fields: UnsafeRawBufferPointer(copy)) else { return .corrupt(id: id) }
            return failure.map { .unreadable(row, $0) } ?? .row(row)
        }
    }

    /// Of a whole row of version 1, or one that was opened.
    private init?(id: UInt64, fields octets: UnsafeRawBufferPointer) {
        guard let state = RecordState(rawValue: octets[1]), let kind = Claim.Kind(rawValue: octets[2]) else {
            return nil
        }
        let cause = UnknownCause(rawValue: octets[3])
        guard (cause != nil) == (state == .unknown) else { return nil }
        self.init(
            id: id, key: Self.digest(octets, at: 8), fingerprint: Self.digest(octets, at: 40), state: state, kind: kind,
            cause: cause, isDelivered: octets[4] & 1 != 0, isUndelivered: octets[4] & Self.undeliveredFlag != 0,
            durability: octets[4] & 2 != 0 ? .process : .power,
            status: UInt16(littleEndian: octets.loadUnaligned(fromByteOffset: 6, as: UInt16.self)),
            owner: Self.word(octets, at: 72), claimedAtMilliseconds: Self.word(octets, at: 80),
            expiresAtMilliseconds: Self.word(octets, at: 88), bodyBytes: Self.word(octets, at: 96),
            isAnswerSealed: octets[108] & 1 != 0, isBodySealed: octets[108] & 2 != 0,
            hasStoredBody: octets[4] & 4 != 0,
            markSlot: UInt32(littleEndian: octets.loadUnaligned(fromByteOffset: 104, as: UInt32.self)),
            route: String(decoding: octets[Self.fixedBytes..<Self.fixedBytes + Int(octets[5])], as: UTF8.self),
            history: Self.history(octets))
    }

    /// What the index needs of a row, without building or opening it.
    struct Head {
        var keyHash: UInt64
        var state: RecordState
        /// Nil = not sealed.
        var keyID: KeyRing.KeyID?
    }

    /// Nil when the octets are not a whole row of this id.
    static func head(id: UInt64, octets: UnsafeRawBufferPointer) -> Head? {
        guard isWhole(id: id, octets: octets), let state = RecordState(rawValue: octets[1]) else { return nil }
        return Head(
            keyHash: UInt64(bigEndian: octets.loadUnaligned(fromByteOffset: 8, as: UInt64.self)), state: state,
            keyID: octets[0] == 2 ? keyID(octets) : nil)
    }

    /// What a start asks of a row that says in flight; all of it stands clear.
    struct OpenClaim {
        var id: UInt64
        var key: RecordKey
        var owner: UInt64
        var markSlot: UInt32
    }

    /// Of a whole row.
    static func openClaim(id: UInt64, octets: UnsafeRawBufferPointer) -> OpenClaim {
        OpenClaim(
            id: id, key: digest(octets, at: 8), owner: word(octets, at: 72),
            markSlot: UInt32(littleEndian: octets.loadUnaligned(fromByteOffset: 104, as: UInt32.self)))
    }

    /// Writes a whole row at `target` as that of a claim without owner; what is sealed in it stays sealed. Returns its
    /// size.
    static func orphan(
        id: UInt64, octets: UnsafeRawBufferPointer, cause: UnknownCause, nowMilliseconds now: UInt64,
        to target: UnsafeMutableRawPointer
    ) -> Int {
        let start = fixedBytes + Int(octets[5])
        let rest = start + historySize(octets)
        target.copyMemory(from: octets.baseAddress!, byteCount: start)
        target.storeBytes(of: RecordState.unknown.rawValue, toByteOffset: 1, as: UInt8.self)
        target.storeBytes(of: cause.rawValue, toByteOffset: 3, as: UInt8.self)
        // Who was to get the answer had its connection with the process that is gone.
        let flags = octets[4] | historyFlag | (cause == .ownerDied ? undeliveredFlag : 0)
        target.storeBytes(of: flags, toByteOffset: 4, as: UInt8.self)
        store(History(unknownAtMilliseconds: now, cause: cause), at: target + start)
        let seal = octets.count - 8 - rest
        let end = start + historyBytes
        if seal > 0 { (target + end).copyMemory(from: octets.baseAddress! + rest, byteCount: seal) }
        storeChecksum(target, end: end + seal, id: id)
        return end + seal + 8
    }

    private static func isWhole(id: UInt64, octets: UnsafeRawBufferPointer) -> Bool {
        guard octets.count >= fixedBytes + 8, octets[0] == 1 || octets[0] == 2,
            octets.count
                == fixedBytes + Int(octets[5]) + historySize(octets) + (octets[0] == 2 ? sealBytes : 0) + 8
        else { return false }
        let end = octets.count - 8
        return word(octets, at: end) == RowChecksum.of(UnsafeRawBufferPointer(rebasing: octets[..<end]), id: id)
    }

    private static func word(_ octets: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(littleEndian: octets.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    private static func digest(_ octets: UnsafeRawBufferPointer, at offset: Int) -> Digest256 {
        func bigEndian(_ index: Int) -> UInt64 {
            UInt64(bigEndian: octets.loadUnaligned(fromByteOffset: offset + index * 8, as: UInt64.self))
        }
        return Digest256(words: (bigEndian(0), bigEndian(1), bigEndian(2), bigEndian(3)))
    }

    private static func store(_ digest: Digest256, at target: UnsafeMutableRawPointer) {
        target.storeBytes(of: digest.words.0.bigEndian, toByteOffset: 0, as: UInt64.self)
        target.storeBytes(of: digest.words.1.bigEndian, toByteOffset: 8, as: UInt64.self)
        target.storeBytes(of: digest.words.2.bigEndian, toByteOffset: 16, as: UInt64.self)
        target.storeBytes(of: digest.words.3.bigEndian, toByteOffset: 24, as: UInt64.self)
    }
}

/// 64 bits against rot, not against an adversary. Each step is a bijection of both the sum so far and the word, so a
/// change within one word always shows.
enum RowChecksum {
    static func of(_ octets: UnsafeRawBufferPointer, id: UInt64) -> UInt64 {
        var sum = mix(0x9E37_79B9_7F4A_7C15, id)
        var offset = 0
        while offset + 8 <= octets.count {
            sum = mix(sum, UInt64(littleEndian: octets.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            offset += 8
        }
        var rest = UInt64(octets.count - offset) << 56
        var shift: UInt64 = 0
        while offset < octets.count {
            rest |= UInt64(octets[offset]) << shift
            shift += 8
            offset += 1
        }
        return mix(sum, rest)
    }

    @inline(__always)
    private static func mix(_ sum: UInt64, _ word: UInt64) -> UInt64 {
        let product = (sum ^ word) &* 0xFF51_AFD7_ED55_8CCD
        return (product ^ product >> 32) &* 0xC4CE_B9FE_1A85_EC53 ^ product >> 29
    }
}

extension Digest256 {
    /// The hash under which the index holds a key. A SHA-256 value needs no further mixing.
    var indexHash: UInt64 { words.0 }
}
