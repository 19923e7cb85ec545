import Testing

@testable import Idempotency

@Suite struct RecordCodingTests {
    static let key = Digest256(words: (1, 2, 3, 4))
    static let epoch: UInt64 = 7

    static let answer = RecordedAnswer(
        status: 201, framing: .length, fieldLines: Array("Content-Type: a/b\r\nX: \r\nSet-Cookie: é; a\r\n".utf8),
        body: [0, 1, 0xFF],
        trailerLines: Array("T: 1\r\n".utf8))
    static let tombstone = Tombstone(status: 200, bodyBytes: 1 << 40, bodyDigest: Digest256(words: (5, 6, 7, 8)))

    static func encode(_ answer: RecordedAnswer) throws -> [UInt8] {
        var octets: [UInt8] = []
        try RecordCoding.encode(answer, key: key, epoch: epoch, into: &octets)
        return octets
    }

    static func encode(_ tombstone: Tombstone) throws -> [UInt8] {
        var octets: [UInt8] = []
        try RecordCoding.encode(tombstone, key: key, epoch: epoch, into: &octets)
        return octets
    }

    static func decode(_ octets: [UInt8]) throws -> RecordedOutcome {
        try RecordCoding.decode(octets.span, key: key, epoch: epoch)
    }

    /// Octets as an attacker or a later bug could write them: with a checksum that fits.
    static func sealed(_ octets: [UInt8]) -> [UInt8] {
        var hash = SHA256()
        hash.update(key)
        hash.update(integer: epoch)
        hash.update(octets)
        var result = octets
        result.append(hash.finish())
        return result
    }

    @Test func goldenAnswer() throws {
        let fields = Self.answer.fieldLines
        let total = UInt8(32 + fields.count + 6 + 3 + 32)
        var expected: [UInt8] = Array("OGRC".utf8) + [1, 2, 0, 201, 1, 0, 0, 0, 0, 0, 0, 0]
        expected += [0, 0, 0, UInt8(fields.count), 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, total]
        expected += fields + Array("T: 1\r\n".utf8) + [0, 1, 0xFF]
        #expect(try Self.encode(Self.answer) == Self.sealed(expected))
        #expect(RecordCoding.encodedCount(of: Self.answer) == Int(total))
        let checksum = try Self.encode(Self.answer).suffix(32)
        #expect(
            checksum.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() == Self.goldenChecksum)
    }

    /// Computed by another program (Python's hashlib) from the layout.
    static let goldenChecksum = "6c818001c4dff1ca86c7b858c2878c416a6b048237b1210ff255506c540ebb35"

    /// The body's beginning stands apart.
    static var apart: RecordedAnswer {
        var apart = answer
        apart.storedBodyBytes = 0x1234_5678_9A
        return apart
    }

    @Test func goldenAnswerWhoseBodyStandsApart() throws {
        let fields = Self.answer.fieldLines
        var expected: [UInt8] = Array("OGRC".utf8) + [2, 2, 0, 201, 1, 0, 0, 0, 0, 0, 0, 0]
        expected += [
            0, 0, 0, UInt8(fields.count), 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, UInt8(40 + fields.count + 6 + 3 + 32),
        ]
        expected += [0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x9A] + fields + Array("T: 1\r\n".utf8) + [0, 1, 0xFF]
        #expect(try Self.encode(Self.apart) == Self.sealed(expected))
        #expect(RecordCoding.encodedCount(of: Self.apart) == expected.count + 32)
        // Nothing stands apart, in a version that says something does; and more than a body can be.
        for stored in [[UInt8](repeating: 0, count: 8), [0x80, 0, 0, 0, 0, 0, 0, 0]] {
            expected.replaceSubrange(32..<40, with: stored)
            #expect(throws: RecordCodingError.corrupt) { try Self.decode(Self.sealed(expected)) }
        }
        var bodiless = Self.apart
        bodiless.framing = .none
        bodiless.body = []
        #expect(throws: RecordCodingError.malformed) { try Self.encode(bodiless) }
    }

    @Test func goldenTombstone() throws {
        var expected: [UInt8] = Array("OGRC".utf8) + [1, 3, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0]
        expected += [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 104, 0, 0, 1, 0, 0, 0, 0, 0]
        for word in 5...8 { expected += [0, 0, 0, 0, 0, 0, 0, UInt8(word)] }
        #expect(try Self.encode(Self.tombstone) == Self.sealed(expected))
    }

    @Test func roundTrips() throws {
        #expect(try Self.decode(Self.encode(Self.answer)) == .answered(Self.answer))
        #expect(try Self.decode(Self.encode(Self.tombstone)) == .notKept(Self.tombstone))
        for framing in [RecordedAnswer.Framing.none, .length, .stream] {
            let empty = RecordedAnswer(status: 204, framing: framing, fieldLines: [], body: [])
            #expect(try Self.decode(Self.encode(empty)) == .answered(empty))
        }
        #expect(try Self.decode(Self.encode(Self.apart)) == .answered(Self.apart))
        var octets: [UInt8] = [9, 9]
        try RecordCoding.encode(Self.answer, key: Self.key, epoch: Self.epoch, into: &octets)
        #expect(try Array(octets[2...]) == Self.encode(Self.answer))
    }

    @Test func everyTruncationAndExtensionIsRefused() throws {
        for octets in try [Self.encode(Self.answer), Self.encode(Self.apart), Self.encode(Self.tombstone)] {
            for count in 0..<octets.count {
                #expect(throws: RecordCodingError.corrupt) { try Self.decode(Array(octets[..<count])) }
            }
            #expect(throws: RecordCodingError.corrupt) { try Self.decode(octets + [0]) }
        }
    }

    @Test func everyBitFlipIsRefused() throws {
        for octets in try [Self.encode(Self.answer), Self.encode(Self.apart), Self.encode(Self.tombstone)] {
            for bit in 0..<(octets.count * 8) {
                var flipped = octets
                flipped[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(throws: RecordCodingError.self) { try Self.decode(flipped) }
            }
        }
    }

    /// F7: a record that lies under another key.
    @Test func recordsOfOthersAreRefused() throws {
        let octets = try Self.encode(Self.answer)
        #expect(throws: RecordCodingError.corrupt) {
            try RecordCoding.decode(octets.span, key: Digest256(words: (1, 2, 3, 5)), epoch: Self.epoch)
        }
        #expect(throws: RecordCodingError.corrupt) { try RecordCoding.decode(octets.span, key: Self.key, epoch: 8) }
    }

    @Test func foreignAndNewerOctetsAreTold() throws {
        var octets = try Self.encode(Self.answer)
        octets[4] = 3
        #expect(throws: RecordCodingError.newerVersion(3)) { try Self.decode(octets) }
        octets[4] = 0
        #expect(throws: RecordCodingError.corrupt) { try Self.decode(octets) }
        octets[0] = 0
        #expect(throws: RecordCodingError.foreign) { try Self.decode(octets) }
        #expect(throws: RecordCodingError.foreign) { try Self.decode([UInt8](repeating: 0, count: 4096)) }
    }

    /// E20: fields are checked even where the checksum fits.
    @Test(arguments: [
        "A: b\r\n\r\n", "A: b\n", "A: b\r", "A: b", "A:b\r\n", "A b\r\n", ": b\r\n", "A : b\r\n", "A: b\rc\r\n",
        "A: \0\r\n", "A: b\r\n c\r\n",
        "é: b\r\n", "A: b\r\nB", "A: a\nB: c\r\n", "A(: b\r\n", ":", "A: ", "A:", "A",
    ])
    func malformedFieldLinesAreRefused(lines: String) throws {
        var answer = Self.answer
        answer.fieldLines = Array(lines.utf8)
        #expect(throws: RecordCodingError.malformed) { try Self.encode(answer) }
        var octets: [UInt8] = Array("OGRC".utf8) + [1, 2, 0, 200, 2, 0, 0, 0, 0, 0, 0, 0]
        let count = UInt8(lines.utf8.count)
        octets += [0, 0, 0, count, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64 + count] + Array(lines.utf8)
        #expect(throws: RecordCodingError.corrupt) { try Self.decode(Self.sealed(octets)) }
        octets.replaceSubrange(16..<24, with: [0, 0, 0, 0, 0, 0, 0, count])
        #expect(throws: RecordCodingError.corrupt) { try Self.decode(Self.sealed(octets)) }
    }

    @Test func malformedHeadsAreRefused() throws {
        let head: [UInt8] =
            Array("OGRC".utf8) + [
                1, 2, 0, 200, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 66, 1, 2,
            ]
        #expect(throws: Never.self) { try Self.decode(Self.sealed(head)) }
        let changes: [(Int, UInt8)] = [
            (5, 1), (5, 3), (5, 4), (5, 0), (6, 3), (7, 199), (8, 0), (8, 3), (9, 1), (15, 1), (16, 255), (19, 3),
            (20, 255), (23, 3), (24, 1),
            (31, 65), (31, 67),
        ]
        for (offset, value) in changes {
            var changed = head
            changed[offset] = value
            #expect(throws: RecordCodingError.corrupt, "offset \(offset)") { try Self.decode(Self.sealed(changed)) }
        }
    }

    @Test func whatCannotBeDecodedIsNotEncoded() {
        for status in [0, 100, 199, 600, 65535] as [UInt16] {
            var answer = Self.answer
            answer.status = status
            #expect(throws: RecordCodingError.malformed) { try Self.encode(answer) }
            #expect(throws: RecordCodingError.malformed) {
                try Self.encode(Tombstone(status: status, bodyBytes: 0, bodyDigest: Self.key))
            }
        }
        #expect(throws: RecordCodingError.malformed) {
            try Self.encode(RecordedAnswer(status: 204, framing: .none, fieldLines: [], body: [1]))
        }
    }
}
