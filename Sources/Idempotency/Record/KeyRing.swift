/// The keys under which a store's records are sealed at rest: the first seals, all of them open.
///
/// Its text, from a file or the environment: one key a line or separated by commas, each of 32 octets as 64
/// hexadecimal digits or in base64 (`openssl rand -base64 32`), with an id before it if the derived one is not wanted.
/// Empty lines and those that begin with `#` do not count.
///
/// ```
/// # sealed with since November
/// 3f1c0dd2a1b2c3d4:6Lq0…=
/// # opens what was sealed before
/// 9a77…e1
/// ```
/// A key never appears in a description, an error or a reflection of these types.
package struct KeyRing: Sendable, Equatable {
    package static let countMax = 64

    /// What records name their key by: the first 64 bits of the key's SHA-256, unless an id is given.
    package struct KeyID: Sendable, Hashable {
        package var value: UInt64

        package init(value: UInt64) {
            self.value = value
        }
    }

    package struct Key: Sendable, Equatable {
        package static let octetCount = 32

        package let id: KeyID
        package let octets: [UInt8]

        /// Precondition: 32 octets.
        package init(octets: [UInt8], id: KeyID? = nil) {
            precondition(octets.count == Self.octetCount)
            self.octets = octets
            self.id = id ?? KeyID(value: SHA256.digest(of: octets.span).words.0)
        }
    }

    /// At least one; ids are unique.
    package let keys: [Key]

    package init(_ keys: [Key]) throws(KeyRingError) {
        guard !keys.isEmpty else { throw .empty }
        guard keys.count <= Self.countMax else { throw .tooMany }
        for (index, key) in keys.enumerated() {
            // What a forgotten placeholder or a mistaken file looks like.
            guard key.octets.contains(where: { $0 != key.octets[0] }) else { throw .notRandom(entry: index + 1) }
            for (earlier, other) in keys[..<index].enumerated() {
                guard other.octets != key.octets else { throw .repeatedKey(entry: index + 1, earlier: earlier + 1) }
                guard other.id != key.id else {
                    throw .repeatedID(entry: index + 1, earlier: earlier + 1, id: key.id)
                }
            }
        }
        self.keys = keys
    }

    package init(parsing text: some Sequence<UInt8>) throws(KeyRingError) {
        var keys: [Key] = []
        for line in KeyRingText.lines(Array(text)) {
            for entry in line.split(separator: 0x2C) {
                let entry = KeyRingText.trimmed(entry)
                guard !entry.isEmpty else { continue }
                guard keys.count < Self.countMax else { throw .tooMany }
                keys.append(try KeyRingText.key(entry, number: keys.count + 1))
            }
        }
        try self.init(keys)
    }
}

/// Why a text is no key ring. Entries are numbered from 1, comments not counted.
package enum KeyRingError: Error, Sendable, Equatable {
    case empty
    case tooMany
    case malformedID(entry: Int)
    case malformedKey(entry: Int)
    case wrongLength(entry: Int, octets: Int)
    case notRandom(entry: Int)
    case repeatedKey(entry: Int, earlier: Int)
    case repeatedID(entry: Int, earlier: Int, id: KeyRing.KeyID)
}

private enum KeyRingText {
    /// Without comments.
    static func lines(_ text: [UInt8]) -> [ArraySlice<UInt8>] {
        text.split { $0 == 0x0A || $0 == 0x0D }.map(trimmed).filter { $0.first != 0x23 }
    }

    static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var text = text.drop { $0 == 0x20 || $0 == 0x09 }
        while let last = text.last, last == 0x20 || last == 0x09 { text.removeLast() }
        return text
    }

    static func key(_ entry: ArraySlice<UInt8>, number: Int) throws(KeyRingError) -> KeyRing.Key {
        var text = entry
        var id: KeyRing.KeyID?
        if let colon = entry.firstIndex(of: 0x3A) {
            var value: UInt64 = 0
            let digits = trimmed(entry[..<colon])
            guard (1...16).contains(digits.count) else { throw .malformedID(entry: number) }
            for octet in digits {
                guard let digit = hexadecimalValue(octet) else { throw .malformedID(entry: number) }
                value = value << 4 | UInt64(digit)
            }
            id = KeyRing.KeyID(value: value)
            text = trimmed(entry[(colon + 1)...])
        }
        guard let octets = hexadecimal(text) ?? base64(text) else { throw .malformedKey(entry: number) }
        guard octets.count == KeyRing.Key.octetCount else { throw .wrongLength(entry: number, octets: octets.count) }
        return KeyRing.Key(octets: octets, id: id)
    }

    /// Nil unless it is 64 digits: any other number of them is also base64.
    private static func hexadecimal(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count == 64 else { return nil }
        var octets: [UInt8] = []
        var high: UInt8?
        for octet in text {
            guard let digit = hexadecimalValue(octet) else { return nil }
            if let first = high {
                octets.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return octets
    }

    /// RFC 4648 §4 or §5, with or without padding.
    private static func base64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var text = text
        while text.last == 0x3D { text.removeLast() }
        guard text.count % 4 != 1 else { return nil }
        var octets: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for octet in text {
            guard let value = base64Value(octet) else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            octets.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
        // Bits that belong to no octet are zero, or the text is cut.
        return bits & (1 << UInt32(count) - 1) == 0 ? octets : nil
    }

    private static func base64Value(_ octet: UInt8) -> UInt8? {
        switch octet {
        case 0x41...0x5A: octet - 0x41
        case 0x61...0x7A: octet - 0x47
        case 0x30...0x39: octet + 4
        case 0x2B, 0x2D: 62
        case 0x2F, 0x5F: 63
        default: nil
        }
    }
}

// MARK: Descriptions

extension KeyRing.KeyID: CustomStringConvertible {
    /// 16 hexadecimal digits.
    package var description: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

extension KeyRing.Key: CustomStringConvertible, CustomReflectable {
    package var description: String { "key \(id)" }
    package var customMirror: Mirror { Mirror(self, children: ["id": id]) }
}

extension KeyRing: CustomStringConvertible, CustomReflectable {
    package var description: String { "keys \(keys.map(\.id.description).joined(separator: ", "))" }
    package var customMirror: Mirror { Mirror(self, children: ["ids": keys.map(\.id)]) }
}

extension KeyRingError: CustomStringConvertible {
    /// One line, without any part of a key.
    package var description: String {
        switch self {
        case .empty: "there is no key (make one with: openssl rand -base64 32)"
        case .tooMany: "there are more than \(KeyRing.countMax) keys"
        case .malformedID(let entry): "key \(entry): the id before the colon is not 1 to 16 hexadecimal digits"
        case .malformedKey(let entry): "key \(entry) is neither 64 hexadecimal digits nor base64"
        case .wrongLength(let entry, let octets):
            "key \(entry) has \(octets) octets; AES-256 needs 32 (make one with: openssl rand -base64 32)"
        case .notRandom(let entry): "key \(entry) repeats one octet; it is not random"
        case .repeatedKey(let entry, let earlier): "key \(entry) is key \(earlier) again"
        case .repeatedID(let entry, let earlier, let id): "key \(entry) has the id of key \(earlier), \(id)"
        }
    }
}
