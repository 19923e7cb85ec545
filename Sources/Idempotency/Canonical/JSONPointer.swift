/// An RFC 6901 pointer. A segment `*` matches every member or element; a member that is itself named `*` has no pointer
/// of its own.
package struct JSONPointer: Sendable, Equatable {
    package struct Segment: Sendable, Equatable {
        /// The member's name, decoded.
        package var name: [UInt8]
        /// The element's position, where the segment is an array index (no leading zeros).
        package var index: Int?
        package var isWildcard: Bool
    }

    package var segments: [Segment]

    package init(_ text: String) throws(PolicyError) {
        segments = []
        if text.isEmpty { return }
        let octets = Array(text.utf8)
        guard octets[0] == 0x2F else { throw .invalidPointer(text) }
        for part in octets.dropFirst().split(separator: 0x2F, omittingEmptySubsequences: false) {
            guard let name = Self.unescape(part) else { throw .invalidPointer(text) }
            segments.append(Segment(name: name, index: Self.index(name), isWildcard: Array(part) == [0x2A]))
        }
        guard segments.count <= JSONCanonicaliser.depthMax else { throw .pointerTooDeep(text) }
    }

    package var hasWildcard: Bool {
        segments.contains { $0.isWildcard }
    }

    /// RFC 6901 §4: `~1` is `/`, `~0` is `~`.
    private static func unescape(_ part: ArraySlice<UInt8>) -> [UInt8]? {
        var name: [UInt8] = []
        var rest = part
        while let octet = rest.popFirst() {
            guard octet == 0x7E else {
                name.append(octet)
                continue
            }
            switch rest.popFirst() {
            case 0x30: name.append(0x7E)
            case 0x31: name.append(0x2F)
            default: return nil
            }
        }
        return name
    }

    private static func index(_ name: [UInt8]) -> Int? {
        guard let first = name.first, first != 0x30 || name.count == 1 else { return nil }
        return name.span.decimal(in: 0..<name.count)
    }
}

/// Which parts of a JSON document count.
package struct JSONSelection: Sendable, Equatable {
    /// Bits of the masks with which the canonicaliser follows the pointers.
    package static let pointersMax = 64

    /// When not empty, only what these pointers reach counts.
    package var include: [JSONPointer]
    /// What these pointers reach does not count, included or not.
    package var exclude: [JSONPointer]

    package init(include: [JSONPointer] = [], exclude: [JSONPointer] = []) throws(PolicyError) {
        guard include.count <= Self.pointersMax, exclude.count <= Self.pointersMax else { throw .tooManyPointers }
        self.include = include
        self.exclude = exclude
    }
}
