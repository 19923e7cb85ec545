internal import Idempotency

/// Stand-in until the domain's RecordCoding is merged.
enum AnswerCoding {
    static func encode(_ answer: RecordedAnswer) -> [UInt8] {
        var octets: [UInt8] = [1, answer.framing.rawValue]
        octets.reserveCapacity(answer.body.count + answer.fieldLines.count + answer.trailerLines.count + 32)
        append(UInt64(answer.status), to: &octets)
        for part in [answer.fieldLines, answer.body, answer.trailerLines] {
            append(UInt64(part.count), to: &octets)
            octets += part
        }
        append(sum(octets), to: &octets)
        return octets
    }

    static func encode(_ tombstone: Tombstone) -> [UInt8] {
        var octets: [UInt8] = [2, 0]
        append(UInt64(tombstone.status), to: &octets)
        append(tombstone.bodyBytes, to: &octets)
        let words = tombstone.bodyDigest.words
        for word in [words.0, words.1, words.2, words.3] { append(word, to: &octets) }
        append(sum(octets), to: &octets)
        return octets
    }

    enum Decoded {
        case answer(RecordedAnswer)
        case tombstone(Tombstone)
    }

    static func decode(_ octets: [UInt8]) -> Decoded? {
        guard octets.count >= 18, word(octets, octets.count - 8) == sum(Array(octets.dropLast(8))) else { return nil }
        let status = UInt16(truncatingIfNeeded: word(octets, 2))
        if octets[0] == 2 {
            guard octets.count == 58 else { return nil }
            return .tombstone(
                Tombstone(
                    status: status, bodyBytes: word(octets, 10),
                    bodyDigest: Digest256(words: (word(octets, 18), word(octets, 26), word(octets, 34), word(octets, 42)))))
        }
        guard let framing = RecordedAnswer.Framing(rawValue: octets[1]) else { return nil }
        var offset = 10
        var parts: [[UInt8]] = []
        for _ in 0..<3 {
            let count = Int(word(octets, offset))
            parts.append(Array(octets[offset + 8..<offset + 8 + count]))
            offset += 8 + count
        }
        return .answer(
            RecordedAnswer(status: status, framing: framing, fieldLines: parts[0], body: parts[1], trailerLines: parts[2]))
    }

    private static func append(_ word: UInt64, to octets: inout [UInt8]) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) { octets.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }

    private static func word(_ octets: [UInt8], _ offset: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(octets[offset + $1]) << UInt64(8 * $1) }
    }

    private static func sum(_ octets: [UInt8]) -> UInt64 {
        octets.withUnsafeBytes { RowChecksum.of($0, id: 7) }
    }
}
