import Idempotency
import Testing

@testable import Stores

/// The cipher, its nonces and the two formats, without a store.
@Suite("Sealing")
struct SealerTests {
    private static let place = RecordSealer.Place(kind: .answer, key: key(1), epoch: 7)

    @Test("AES-256-GCM gives the published octets")
    func knownAnswer() throws {
        // Test case 16 of "The Galois/Counter Mode of Operation (GCM)", McGrew and Viega.
        let cipher = try #require(
            AES256GCM(key: octets("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")))
        var text = octets(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
        let plain = text
        let bound = octets("feedfacedeadbeeffeedfacedeadbeefabaddad2")
        let nonce = octets("cafebabefacedbaddecaf888")
        var tag = [UInt8](repeating: 0, count: 16)
        for _ in 0..<2 {
            text.withUnsafeMutableBytes { text in
                bound.withUnsafeBytes { bound in
                    let plain = UnsafeRawBufferPointer(text)
                    let isSealed = cipher.seal(plain, to: text.baseAddress!, nonce: nonce, binding: bound, tag: &tag)
                    #expect(isSealed)
                }
            }
            #expect(
                text
                    == octets(
                        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                            + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"))
            #expect(tag == octets("76fc6ece0f4e1768cddf8853bb2d551b"))
            text.withUnsafeMutableBytes { text in
                bound.withUnsafeBytes { bound in
                    let sealed = UnsafeRawBufferPointer(text)
                    #expect(cipher.open(sealed, to: text.baseAddress!, nonce: nonce, binding: bound, tag: tag))
                }
            }
            #expect(text == plain)
        }
    }

    @Test("Nonces differ, also past the end of the count")
    func nonces() throws {
        var source = try #require(NonceSource())
        var seen: Set<[UInt8]> = []
        var prefixes: Set<UInt64> = []
        for round in 0..<3 {
            if round > 0 { source.count = .max - 50 }
            for _ in 0..<100 {
                var nonce = [UInt8](repeating: 0, count: 12)
                let isWritten = source.write(to: &nonce)
                #expect(isWritten)
                #expect(seen.insert(nonce).inserted)
                prefixes.insert(nonce.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
            }
        }
        #expect(prefixes.count == 3)
        #expect(NonceSource()?.prefix != NonceSource()?.prefix)
    }

    @Test("What was sealed opens at its place only, and under its key")
    func places() throws {
        let sealer = try #require(RecordSealer(keyRing(1)))
        let successor = try #require(RecordSealer(keyRing(2, 1)))
        let stranger = try #require(RecordSealer(keyRing(2)))
        for size in [0, 1, 15, 16, 17, 200, 100_000] {
            let plain = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
            let stored = try plain.withUnsafeBytes { plain in
                try sealer.sealed(plain, Self.place)
            }
            #expect(stored.count == size + 44)
            #expect(try open(stored, Self.place, sealer) == plain)
            #expect(try open(stored, Self.place, successor) == plain)
            var others = [Self.place, Self.place, Self.place, Self.place]
            others[0].key = key(2)
            others[1].epoch = 8
            others[2].kind = .row
            others[3].offset = 1
            for other in others { #expect(throws: SealError.forged) { try open(stored, other, sealer) } }
            let missing = SealError.missingKey(keyRing(1).keys[0].id)
            #expect(throws: missing) { try open(stored, Self.place, stranger) }
            #expect(throws: missing) { try open(stored, Self.place, nil) }
        }
    }

    @Test("Every changed bit and every cut is noticed")
    func damage() throws {
        let sealer = try #require(RecordSealer(keyRing(1)))
        let plain = [UInt8]("what the service said".utf8)
        let stored = try plain.withUnsafeBytes { plain in try sealer.sealed(plain, Self.place) }
        for bit in 0..<stored.count * 8 {
            var changed = stored
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: SealError.self) { try open(changed, Self.place, sealer) }
        }
        for count in 0..<stored.count {
            #expect(throws: SealError.forged) { try open(Array(stored[..<count]), Self.place, sealer) }
        }
        #expect(throws: SealError.forged) { try open(stored + [0], Self.place, sealer) }
        #expect(throws: SealError.forged) { try open(plain, Self.place, sealer) }
    }

    // MARK: Rows

    private static let row = RecordRow(
        id: 1 << 24 | 5, key: key(1), fingerprint: fingerprint(0xABCD_EF01), state: .completed, kind: .hash, cause: nil,
        isDelivered: true, durability: .process, status: 201, owner: 77, claimedAtMilliseconds: 1000,
        expiresAtMilliseconds: 2000, bodyBytes: 1 << 33, isAnswerSealed: true, markSlot: 9, route: "orders")

    @Test("A row comes back whole, plain and sealed, and a sealed one hides what is private")
    func rows() throws {
        let sealer = try #require(RecordSealer(keyRing(1)))
        let plain = try encode(Self.row, nil)
        let sealed = try encode(Self.row, sealer)
        #expect(plain.count == 112 + 6 + 8 && sealed.count == plain.count + 36)
        for stored in [plain, sealed] { #expect(read(stored, sealer) == .row(Self.row)) }
        #expect(read(plain, nil) == .row(Self.row))
        let missing = SealError.missingKey(keyRing(1).keys[0].id)
        for other in [nil, RecordSealer(keyRing(2))] { #expect(read(sealed, other) == .unreadable(clear, missing)) }
        #expect(try encode(Self.row, sealer) != sealed)
        for part in [6..<8, 40..<72, 96..<104] { #expect(plain[part] != sealed[part]) }
        for size in 0..<sealed.count {
            #expect(read(Array(sealed[..<size]), sealer) == .corrupt(id: Self.row.id))
        }
    }

    private var clear: RecordRow {
        var clear = Self.row
        clear.fingerprint = Digest256(words: (0, 0, 0, 0))
        clear.status = 0
        clear.bodyBytes = 0
        clear.isAnswerSealed = false
        return clear
    }

    @Test("A row moved to another record or attempt, its checksum mended, is refused; so is a changed private part")
    func movedRows() throws {
        let sealer = try #require(RecordSealer(keyRing(1)))
        let sealed = try encode(Self.row, sealer)
        var other = Self.row
        other.id += 1
        #expect(read(mended(sealed, id: other.id), sealer, id: other.id).isForged)
        for offset in [8, 39] + [6, 7, 40, 71, 96, 103, 108] + Array(126..<154) {
            var changed = sealed
            changed[offset] ^= 1
            #expect(read(changed, sealer) == .corrupt(id: Self.row.id))
            #expect(read(mended(changed, id: Self.row.id), sealer).isForged, "offset \(offset)")
        }
    }

    @Test("A claim whose owner died becomes unknown without being opened")
    func orphans() throws {
        var running = Self.row
        running.state = .inFlight
        running.isDelivered = false
        var expected = running
        expected.state = .unknown
        expected.cause = .ownerDied
        expected.history = RecordRow.History(unknownAtMilliseconds: 1_700_000_000_123, cause: .ownerDied)
        expected.isUndelivered = true
        let sealer = try #require(RecordSealer(keyRing(1)))
        for sealer in [nil, sealer] {
            let stored = try encode(running, sealer)
            let orphan = [UInt8](unsafeUninitializedCapacity: RecordRow.bytesMax) { buffer, count in
                count = stored.withUnsafeBytes {
                    RecordRow.orphan(
                        id: running.id, octets: $0, cause: .ownerDied, nowMilliseconds: 1_700_000_000_123,
                        to: buffer.baseAddress!)
                }
            }
            #expect(read(orphan, sealer) == .row(expected))
        }
    }

    // MARK: Helpers

    private func open(_ stored: [UInt8], _ place: RecordSealer.Place, _ sealer: RecordSealer?) throws -> [UInt8] {
        try stored.withUnsafeBytes { stored in try RecordSealer.opened(stored, place, sealer) }
    }

    private func encode(_ row: RecordRow, _ sealer: RecordSealer?) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: RecordRow.bytesMax) { buffer, count in
            count = try row.encode(to: buffer.baseAddress!, sealer: sealer)
        }
    }

    private func read(_ stored: [UInt8], _ sealer: RecordSealer?, id: UInt64 = Self.row.id) -> StoredRow {
        stored.withUnsafeBytes { RecordRow.stored(id: id, octets: $0, sealer: sealer) }
    }

    private func mended(_ stored: [UInt8], id: UInt64) -> [UInt8] {
        let body = stored.dropLast(8)
        let checksum = Array(body).withUnsafeBytes { RowChecksum.of($0, id: id) }
        return body + withUnsafeBytes(of: checksum.littleEndian) { Array($0) }
    }

    private func octets(_ hexadecimal: String) -> [UInt8] {
        var digits = hexadecimal.makeIterator()
        var octets: [UInt8] = []
        while let high = digits.next(), let low = digits.next() {
            octets.append(UInt8(String([high, low]), radix: 16)!)
        }
        return octets
    }
}

extension StoredRow {
    fileprivate var isForged: Bool {
        if case .unreadable(_, .forged) = self { true } else { false }
    }
}
