/// The members of a JSON object, found in the octets of the document. Strict: what is not RFC 8259, names a member
/// twice at any depth, is not UTF-8 or nests too deeply has none.
struct JSONMembers {
    enum Value: Equatable {
        /// Decoded.
        case string([UInt8])
        /// As written.
        case number([UInt8])
        /// Where it stands, brackets included.
        case array(Range<Int>)
        case object(Range<Int>)
        case literal
    }

    let octets: [UInt8]
    private var members: [(name: [UInt8], value: Range<Int>)] = []

    /// Nil where the octets are not one object. `canonicaliser` is worked with.
    init?(_ octets: [UInt8], checking canonicaliser: inout JSONCanonicaliser) {
        self.octets = octets
        guard let selection = try? JSONSelection(),
            (try? canonicaliser.canonicalise(octets.span, selection: selection, checksNumbers: false)) != nil
        else { return nil }
        var walk = Walk(position: 0)
        walk.skipBlanks(octets.span)
        guard let members = walk.members(octets.span) else { return nil }
        self.members = members
    }

    /// Of an object that stands in a document which is JSON.
    private init?(_ octets: [UInt8], at range: Range<Int>) {
        self.octets = octets
        var walk = Walk(position: range.lowerBound)
        guard let members = walk.members(octets.span) else { return nil }
        self.members = members
    }

    func contains(_ name: StaticString) -> Bool { range(of: name) != nil }

    subscript(name: StaticString) -> Value? { range(of: name).flatMap { value(at: $0) } }

    subscript(name: [UInt8]) -> Value? {
        for member in members where member.name == name { return value(at: member.value) }
        return nil
    }

    func string(_ name: StaticString) -> [UInt8]? {
        if case .string(let text)? = self[name] { text } else { nil }
    }

    /// The values of an array of this object.
    func elements(of array: Range<Int>) -> [Value] {
        var walk = Walk(position: array.lowerBound + 1)
        var elements: [Value] = []
        let span = octets.span
        walk.skipBlanks(span)
        while walk.position < array.upperBound - 1, let range = walk.value(span) {
            if let value = value(at: range) { elements.append(value) }
            walk.skipSeparator(span)
        }
        return elements
    }

    func object(at range: Range<Int>) -> JSONMembers? { JSONMembers(octets, at: range) }

    private func range(of name: StaticString) -> Range<Int>? {
        for member in members where member.name.span.equals(name) { return member.value }
        return nil
    }

    private func value(at range: Range<Int>) -> Value? {
        switch octets[range.lowerBound] {
        case 0x22:
            var text: [UInt8] = []
            var position = range.lowerBound + 1
            guard (try? JSONString.read(octets.span, at: &position, as: .decoded, to: &text)) != nil else { return nil }
            return .string(text)
        case 0x5B: return .array(range)
        case 0x7B: return .object(range)
        case 0x2D, 0x30...0x39: return .number(Array(octets[range]))
        default: return .literal
        }
    }

    /// Goes through a document that is known to be JSON; ends where it is not.
    private struct Walk {
        var position: Int

        mutating func skipBlanks(_ octets: Span<UInt8>) {
            while position < octets.count, Walk.isBlank(octets[position]) { position += 1 }
        }

        mutating func skipSeparator(_ octets: Span<UInt8>) {
            skipBlanks(octets)
            if position < octets.count, octets[position] == 0x2C { position += 1 }
            skipBlanks(octets)
        }

        mutating func members(_ octets: Span<UInt8>) -> [(name: [UInt8], value: Range<Int>)]? {
            guard position < octets.count, octets[position] == 0x7B else { return nil }
            position += 1
            skipBlanks(octets)
            var members: [(name: [UInt8], value: Range<Int>)] = []
            while position < octets.count, octets[position] == 0x22 {
                var name: [UInt8] = []
                position += 1
                guard (try? JSONString.read(octets, at: &position, as: .decoded, to: &name)) != nil else { return nil }
                skipBlanks(octets)
                position += 1
                skipBlanks(octets)
                guard let value = value(octets) else { return nil }
                members.append((name, value))
                skipSeparator(octets)
            }
            return members
        }

        /// Behind the value that begins here.
        mutating func value(_ octets: Span<UInt8>) -> Range<Int>? {
            let start = position
            var depth = 0
            while position < octets.count {
                switch octets[position] {
                case 0x22: skipString(octets)
                case 0x7B, 0x5B:
                    depth += 1
                    position += 1
                case 0x7D, 0x5D:
                    if depth == 0 { return start < position ? start..<position : nil }
                    depth -= 1
                    position += 1
                default:
                    if depth == 0, octets[position] == 0x2C || Walk.isBlank(octets[position]) {
                        return start < position ? start..<position : nil
                    }
                    position += 1
                    continue
                }
                if depth == 0 { return start..<min(position, octets.count) }
            }
            return nil
        }

        private mutating func skipString(_ octets: Span<UInt8>) {
            position += 1
            while position < octets.count, octets[position] != 0x22 {
                position += octets[position] == 0x5C ? 2 : 1
            }
            position += 1
        }

        private static func isBlank(_ octet: UInt8) -> Bool {
            octet == 0x20 || octet == 0x0A || octet == 0x0D || octet == 0x09
        }
    }
}
