/// Why octets are not the record that was asked for. Such a record is never served.
package enum RecordCodingError: Error, Equatable {
    /// Not a record of this program.
    case foreign
    /// Written by a later version.
    case newerVersion(UInt8)
    /// Truncated, changed, or the record of another key or epoch.
    case corrupt
    /// To be encoded, but not well formed: a status outside 200…599, field lines in another form, a body where none can
    /// stand, or a part of 4 GiB.
    case malformed
}

/// What is recorded of an answer: the answer or, of one that is too large, what stays of it.
package enum RecordedOutcome: Sendable, Equatable {
    case answered(RecordedAnswer)
    case notKept(Tombstone)
}

/// The octets of a recorded outcome in a store. Integers are big-endian.
///
/// ```
/// offset  size  content
///      0     4  "OGRC"
///      4     1  version: 2 if octets of the body are stored apart, else 1
///      5     1  state: 2 completed, 3 tombstone (RecordState)
///      6     2  status
///      8     1  framing (RecordedAnswer.Framing); 0 in a tombstone
///      9     7  0
///     16     4  F, octets of field lines; 0 in a tombstone
///     20     4  T, octets of trailer lines; 0 in a tombstone
///     24     8  octets of all this, checksum included
///     32     F  field lines
///   32+F     T  trailer lines
/// 32+F+T     B  body or the rest of it; in a tombstone 8 octets with the size of its body and 32 with its SHA-256
///    end    32  SHA-256 of: record key (32), epoch (8), everything before
/// ```
/// In version 2 there are 8 octets more at offset 32, and what follows moves: the count of octets stored apart.
///
/// Key and epoch are not in the octets, yet in the checksum: a record that lies under another key is found out.
package enum RecordCoding {
    package static let version: UInt8 = 2
    private static let magic: UInt32 = 0x4F47_5243
    private static let headCount = 32
    private static let storedCount = 8
    private static let checksumCount = 32
    private static let tombstoneCount = headCount + 40 + checksumCount

    /// The octets that an answer takes.
    package static func encodedCount(of answer: borrowing RecordedAnswer) -> Int {
        headCount + (answer.storedBodyBytes > 0 ? storedCount : 0) + answer.fieldLines.count + answer.trailerLines.count
            + answer.body.count + checksumCount
    }

    /// Appends an answer's octets.
    package static func encode(
        _ answer: borrowing RecordedAnswer, key: RecordKey, epoch: UInt64, into output: inout [UInt8]
    ) throws(RecordCodingError) {
        guard (200..<600).contains(answer.status), answer.framing != .none || answer.bodyBytes == 0,
            answer.storedBodyBytes <= UInt64(Int64.max),
            FieldLines.areValid(answer.fieldLines.span), FieldLines.areValid(answer.trailerLines.span),
            answer.fieldLines.count <= UInt32.max, answer.trailerLines.count <= UInt32.max
        else { throw .malformed }
        let start = output.count
        let total = encodedCount(of: answer)
        output.reserveCapacity(start + total)
        writeHead(
            .completed, version: answer.storedBodyBytes > 0 ? 2 : 1, status: answer.status,
            framing: answer.framing.rawValue, fields: answer.fieldLines.count,
            trailers: answer.trailerLines.count, total: total, to: &output)
        if answer.storedBodyBytes > 0 { output.append(bigEndian: answer.storedBodyBytes) }
        output.append(contentsOf: answer.fieldLines)
        output.append(contentsOf: answer.trailerLines)
        output.append(contentsOf: answer.body)
        output.append(checksum(of: output.span.extracting(start..<output.count), key: key, epoch: epoch))
    }

    /// Appends a tombstone's octets.
    package static func encode(
        _ tombstone: Tombstone, key: RecordKey, epoch: UInt64, into output: inout [UInt8]
    ) throws(RecordCodingError) {
        guard (200..<600).contains(tombstone.status) else { throw .malformed }
        let start = output.count
        output.reserveCapacity(start + tombstoneCount)
        writeHead(
            .tombstone, version: 1, status: tombstone.status, framing: 0, fields: 0, trailers: 0, total: tombstoneCount,
            to: &output
        )
        output.append(bigEndian: tombstone.bodyBytes)
        output.append(tombstone.bodyDigest)
        output.append(checksum(of: output.span.extracting(start..<output.count), key: key, epoch: epoch))
    }

    /// Reads what was stored under a key by the claim of an epoch. Everything is checked.
    package static func decode(
        _ octets: Span<UInt8>, key: RecordKey, epoch: UInt64
    ) throws(RecordCodingError) -> RecordedOutcome {
        guard octets.count >= 5 else { throw .corrupt }
        guard integer(octets, at: 0, count: 4) == UInt64(magic) else { throw .foreign }
        guard octets[4] <= version else { throw .newerVersion(octets[4]) }
        let head = headCount + (octets[4] == 2 ? storedCount : 0)
        guard octets[4] >= 1, octets.count >= head + checksumCount,
            integer(octets, at: 24, count: 8) == UInt64(octets.count)
        else { throw .corrupt }
        let end = octets.count - checksumCount
        let expected = checksum(of: octets.extracting(0..<end), key: key, epoch: epoch)
        guard digest(octets, at: end) == expected else { throw .corrupt }
        // What follows can only fail for octets that this program did not write; it is checked all the same.
        let status = UInt16(integer(octets, at: 6, count: 2))
        let fields = Int(integer(octets, at: 16, count: 4))
        let trailers = Int(integer(octets, at: 20, count: 4))
        guard (200..<600).contains(status), integer(octets, at: 9, count: 7) == 0, head + fields + trailers <= end
        else {
            throw .corrupt
        }
        switch RecordState(rawValue: octets[5]) {
        case .completed?:
            guard let framing = RecordedAnswer.Framing(rawValue: octets[8]) else { throw .corrupt }
            let fieldLines = octets.extracting(head..<(head + fields))
            let trailerLines = octets.extracting((head + fields)..<(head + fields + trailers))
            let body = octets.extracting((head + fields + trailers)..<end)
            let stored = octets[4] == 2 ? integer(octets, at: headCount, count: storedCount) : 0
            guard FieldLines.areValid(fieldLines), FieldLines.areValid(trailerLines),
                framing != .none || (body.isEmpty && stored == 0), stored <= UInt64(Int64.max),
                (stored > 0) == (octets[4] == 2)
            else {
                throw .corrupt
            }
            return .answered(
                RecordedAnswer(
                    status: status, framing: framing, fieldLines: Array(fieldLines), body: Array(body),
                    trailerLines: Array(trailerLines), storedBodyBytes: stored))
        case .tombstone?:
            guard octets.count == tombstoneCount, octets[4] == 1, octets[8] == 0, fields == 0, trailers == 0 else {
                throw .corrupt
            }
            return .notKept(
                Tombstone(
                    status: status, bodyBytes: integer(octets, at: headCount, count: 8),
                    bodyDigest: digest(octets, at: headCount + 8)))
        case .inFlight?, .unknown?, nil:
            throw .corrupt
        }
    }

    private static func writeHead(
        _ state: RecordState, version: UInt8, status: UInt16, framing: UInt8, fields: Int, trailers: Int, total: Int,
        to output: inout [UInt8]
    ) {
        output.append(bigEndian: magic)
        output.append(version)
        output.append(state.rawValue)
        output.append(bigEndian: status)
        output.append(framing)
        for _ in 0..<7 { output.append(0) }
        output.append(bigEndian: UInt32(fields))
        output.append(bigEndian: UInt32(trailers))
        output.append(bigEndian: UInt64(total))
    }

    private static func checksum(of octets: Span<UInt8>, key: RecordKey, epoch: UInt64) -> Digest256 {
        var hash = SHA256()
        hash.update(key)
        hash.update(integer: epoch)
        hash.update(octets)
        return hash.finish()
    }

    private static func integer(_ octets: Span<UInt8>, at offset: Int, count: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in offset..<(offset + count) { value = value << 8 | UInt64(octets[index]) }
        return value
    }

    private static func digest(_ octets: Span<UInt8>, at offset: Int) -> Digest256 {
        Digest256(
            words: (
                integer(octets, at: offset, count: 8), integer(octets, at: offset + 8, count: 8),
                integer(octets, at: offset + 16, count: 8), integer(octets, at: offset + 24, count: 8)
            ))
    }
}
