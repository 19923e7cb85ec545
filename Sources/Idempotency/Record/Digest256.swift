/// A SHA-256 value, 32 octets as four words, so that it is stored inline, compared without a loop and hashed from one
/// word.
package struct Digest256: Sendable, Hashable {
    /// The octets 0–7, 8–15, 16–23 and 24–31, each read big-endian.
    package var words: (UInt64, UInt64, UInt64, UInt64)

    @inlinable
    package init(words: (UInt64, UInt64, UInt64, UInt64)) {
        self.words = words
    }

    /// Compares every word, whatever the first difference, so that the time tells nothing.
    @inlinable
    package static func == (left: Digest256, right: Digest256) -> Bool {
        let difference =
            (left.words.0 ^ right.words.0) | (left.words.1 ^ right.words.1)
            | (left.words.2 ^ right.words.2) | (left.words.3 ^ right.words.3)
        return difference == 0
    }

    /// What dictionaries ask. Octets of a digest need no mixing, only the table's own seed, so that nobody who can
    /// choose tokens can choose their places.
    @inlinable
    package func _rawHashValue(seed: Int) -> Int {
        let mixed = (words.0 ^ UInt64(bitPattern: Int64(seed))) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: Int64(bitPattern: mixed ^ words.1))
    }

    @inlinable
    package func hash(into hasher: inout Hasher) {
        // A digest's octets are spread evenly already: one word tells as much as four.
        hasher.combine(words.0)
    }

    /// 64 lower-case hexadecimal digits.
    package var hexadecimal: String {
        var text = ""
        text.reserveCapacity(64)
        for word in [words.0, words.1, words.2, words.3] {
            for shift in stride(from: 60, through: 0, by: -4) {
                let digit = UInt8(truncatingIfNeeded: (word >> UInt64(shift)) & 0xF)
                text.unicodeScalars.append(Unicode.Scalar(digit < 10 ? 0x30 + digit : 0x57 + digit))
            }
        }
        return text
    }

    /// Nil unless the text is exactly 64 hexadecimal digits.
    package init?(hexadecimal text: String) {
        var words: [UInt64] = [0, 0, 0, 0]
        var count = 0
        for octet in text.utf8 {
            let digit: UInt8
            switch octet {
            case 0x30...0x39: digit = octet - 0x30
            case 0x41...0x46: digit = octet - 0x37
            case 0x61...0x66: digit = octet - 0x57
            default: return nil
            }
            guard count < 64 else { return nil }
            words[count / 16] = words[count / 16] << 4 | UInt64(digit)
            count += 1
        }
        guard count == 64 else { return nil }
        self.init(words: (words[0], words[1], words[2], words[3]))
    }
}

/// SHA-256 over the length-prefixed (format version, route name, scope, kind, token or fingerprint). The only form of a
/// key that reaches a store, a log or a metric.
package typealias RecordKey = Digest256

/// SHA-256 of the canonical request: what a repeat must equal to be the same request.
package typealias Fingerprint = Digest256
