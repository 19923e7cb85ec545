/// Which fields of a urlencoded form count, and whether their order does.
struct FormSelection: Sendable {
    /// When not empty, only these count.
    var include: [[UInt8]] = []
    var exclude: [[UInt8]] = []
    /// Fields are ordered by name; those of one name keep their order.
    var isOrderFree = false

    func counts(_ name: Span<UInt8>) -> Bool {
        for index in exclude.indices where name.equals(exclude[index]) { return false }
        if include.isEmpty { return true }
        for index in include.indices where name.equals(include[index]) { return true }
        return false
    }
}

/// Makes equal octets of urlencoded forms that mean the same: `+` and `%20` are a space, every escape is what it
/// encodes.
///
/// Output, for each field that counts: name size (32 bits), name, 1 if there is a `=` and 0 if not, value size (32
/// bits), value. `a` and `a=` differ, and so do `a&b` and `a&&b`: services disagree on them.
struct FormCanonicaliser: Sendable {
    /// Fields of one form at most; a form with more counts by its octets.
    static let fieldsMax = 65_536

    private struct Field {
        var name: Range<UInt32>
        var value: Range<UInt32>
        var hasValue: Bool
        /// Its place in the form.
        var position: UInt32
    }

    private(set) var output: [UInt8] = []
    private var decoded: [UInt8] = []
    private var fields: [Field] = []

    /// Puts the canonical octets into `output`; false if the octets are not a urlencoded form (RFC 1866 §8.2.1: other
    /// octets are escaped).
    mutating func canonicalise(_ input: Span<UInt8>, selection: FormSelection) -> Bool {
        output.removeAll(keepingCapacity: true)
        decoded.removeAll(keepingCapacity: true)
        fields.removeAll(keepingCapacity: true)
        guard input.count < 1 << 30 else { return false }
        for index in input.indices where !Self.isFormOctet(input[index]) { return false }
        var cursor = ParameterCursor()
        while cursor.next(in: input) {
            let nameStart = decoded.count
            guard PercentCoding.decode(input.extracting(cursor.name), plusIsSpace: true, into: &decoded) else {
                return false
            }
            let nameEnd = decoded.count
            let value = input.extracting(cursor.value ?? 0..<0)
            guard PercentCoding.decode(value, plusIsSpace: true, into: &decoded) else { return false }
            guard selection.counts(decoded.span.extracting(nameStart..<nameEnd)) else {
                decoded.removeLast(decoded.count - nameStart)
                continue
            }
            guard fields.count < Self.fieldsMax else { return false }
            fields.append(
                Field(
                    name: UInt32(nameStart)..<UInt32(nameEnd), value: UInt32(nameEnd)..<UInt32(decoded.count),
                    hasValue: cursor.value != nil, position: UInt32(fields.count)))
        }
        if selection.isOrderFree { sortByName() }
        write()
        return true
    }

    private mutating func sortByName() {
        let decoded = self.decoded
        fields.sort { left, right in
            let leftName = Int(left.name.lowerBound)..<Int(left.name.upperBound)
            let rightName = Int(right.name.lowerBound)..<Int(right.name.upperBound)
            var index = 0
            while index < leftName.count, index < rightName.count {
                let leftOctet = decoded[leftName.lowerBound + index]
                let rightOctet = decoded[rightName.lowerBound + index]
                if leftOctet != rightOctet { return leftOctet < rightOctet }
                index += 1
            }
            if leftName.count != rightName.count { return leftName.count < rightName.count }
            return left.position < right.position
        }
    }

    private mutating func write() {
        let decoded = self.decoded
        for field in fields {
            output.append(bigEndian: UInt32(field.name.count))
            output.append(decoded.span.extracting(Int(field.name.lowerBound)..<Int(field.name.upperBound)))
            output.append(field.hasValue ? 1 : 0)
            output.append(bigEndian: UInt32(field.value.count))
            output.append(decoded.span.extracting(Int(field.value.lowerBound)..<Int(field.value.upperBound)))
        }
    }

    /// Visible ASCII but for those that every encoder escapes and that other formats start with.
    private static func isFormOctet(_ octet: UInt8) -> Bool {
        switch octet {
        case 0x22, 0x3C, 0x3E, 0x7B, 0x7D: false
        case 0x21...0x7E: true
        default: false
        }
    }
}
