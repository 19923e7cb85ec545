/// Why octets have no canonical JSON form.
package enum JSONError: Error, Equatable {
    /// Not RFC 8259 JSON; trailing data and a byte order mark included.
    case syntax
    case invalidUTF8
    case loneSurrogate
    /// Parsers disagree on which value a repeated member has.
    case duplicateName
    /// A number that counts is not what its IEEE 754 double says (9007199254740993).
    case inexactNumber
    case tooDeep
    case tooLarge
}

/// Makes equal octets of JSON documents that mean the same: RFC 8785, JCS, in one pass without a tree and without
/// recursion.
///
/// Values are written in the order in which they are read; when an object ends, its members are put in order. Memory:
/// the output, once more the largest object, and 40 octets per member of the open objects. Time: O(n log n) for the
/// order of members, and each octet is moved once per object around it, of which there are at most `depthMax`.
///
/// Two deviations from RFC 8785, both towards "different": a number is refused if a double cannot tell it from its
/// neighbours, and of a selection (`JSONSelection`) array elements that do not count leave the octet `-` in their
/// place, because the position of the others counts. An element excluded by `*` leaves nothing: all elements are.
package struct JSONCanonicaliser: Sendable {
    /// Levels of arrays and objects.
    package static let depthMax = 64
    /// Octets of a document.
    package static let inputCountMax = 1 << 28
    /// Members of the objects that are open at one time.
    package static let membersMax = 1 << 18

    /// The canonical form. After an error undefined.
    package private(set) var output: [UInt8] = []
    /// Where the value that the first included pointer reaches stands in the input: its first octet, and behind its
    /// last if it is not an array or object.
    private(set) var target: (start: Int, end: Int?)?

    private var frames: [Frame] = []
    private var members: [Member] = []
    /// The decoded names of the members.
    private var names: [UInt8] = []
    private var ordered: [Member] = []
    private var spare: [UInt8] = []
    private var hasInclude = false
    private var checksNumbers = true
    /// Whether the value that ended last counts.
    private var isKept = false

    /// How a selection reaches a value: the pointers that go further down from here, and what those that ended here
    /// say.
    private struct Reach {
        var include: UInt64 = 0
        var exclude: UInt64 = 0
        var isIncluded = false
        var isExcluded = false
        var isExcludedByWildcard = false
        var isTarget = false
    }

    private struct Frame {
        var isObject: Bool
        var reach: Reach
        /// Behind the opening bracket.
        var contentStart: Int
        /// Before the separator of the member or element at hand.
        var separatorStart = 0
        var elements = 0
        var firstMember: Int
        var namesStart: Int
        var hasWritten = false
        var hasKept = false
    }

    private struct Member {
        var name: Range<UInt32>
        /// The first eight octets of the name, in the order of UTF-16.
        var prefix: UInt64
        var outputStart: UInt32
        var outputEnd: UInt32
        var isKept = false
    }

    package init() {}

    /// Puts the canonical form of a document into `output`. Without `checksNumbers`, numbers may lose digits.
    package mutating func canonicalise(
        _ input: Span<UInt8>, selection: borrowing JSONSelection, checksNumbers: Bool = true
    ) throws(JSONError) {
        guard input.count <= Self.inputCountMax else { throw .tooLarge }
        reset(hasInclude: !selection.include.isEmpty, checksNumbers: checksNumbers)
        var position = 0
        var reach = Self.root(of: selection)
        while true {
            Self.skipSpace(input, &position)
            var isComplete = true
            if reach.isTarget, position < input.count { target = (position, nil) }
            switch Self.octet(input, position) {
            case 0x7B?, 0x5B?:
                isComplete = try open(input, at: &position, reach: &reach, selection: selection)
            default:
                try readScalar(input, at: &position, reach: reach)
                if reach.isTarget { target?.end = position }
            }
            while isComplete {
                if frames.isEmpty { return try finish(input, position) }
                endValue(reach)
                Self.skipSpace(input, &position)
                let isObject = frames[frames.count - 1].isObject
                switch Self.octet(input, position) {
                case 0x2C?:
                    position += 1
                    reach = try begin(input, at: &position, selection: selection)
                    isComplete = false
                case 0x7D? where isObject, 0x5D? where !isObject:
                    position += 1
                    reach = try close()
                default:
                    throw .syntax
                }
            }
        }
    }

    private mutating func reset(hasInclude: Bool, checksNumbers: Bool) {
        output.removeAll(keepingCapacity: true)
        target = nil
        frames.removeAll(keepingCapacity: true)
        members.removeAll(keepingCapacity: true)
        names.removeAll(keepingCapacity: true)
        self.hasInclude = hasInclude
        self.checksNumbers = checksNumbers
    }

    private mutating func finish(_ input: Span<UInt8>, _ end: Int) throws(JSONError) {
        var position = end
        Self.skipSpace(input, &position)
        guard position == input.count else { throw .syntax }
        if !isKept { output.removeAll(keepingCapacity: true) }
    }

    // MARK: Values

    /// Opens an array or object; true if it is empty and closed again, else its first value is next, and `reach` is
    /// that value's.
    private mutating func open(
        _ input: Span<UInt8>, at position: inout Int, reach: inout Reach, selection: borrowing JSONSelection
    ) throws(JSONError) -> Bool {
        guard frames.count < Self.depthMax else { throw .tooDeep }
        let isObject = input[position] == 0x7B
        output.append(input[position])
        position += 1
        frames.append(
            Frame(
                isObject: isObject, reach: reach, contentStart: output.count, firstMember: members.count,
                namesStart: names.count))
        Self.skipSpace(input, &position)
        if Self.octet(input, position) == (isObject ? 0x7D : 0x5D) {
            position += 1
            reach = try close()
            return true
        }
        reach = try begin(input, at: &position, selection: selection)
        return false
    }

    /// Begins the next element, or the next member with its name and colon.
    private mutating func begin(
        _ input: Span<UInt8>, at position: inout Int, selection: borrowing JSONSelection
    ) throws(JSONError) -> Reach {
        let depth = frames.count - 1
        let parent = frames[depth].reach
        frames[depth].separatorStart = output.count
        if frames[depth].hasWritten { output.append(0x2C) }
        if !frames[depth].isObject {
            let index = frames[depth].elements
            frames[depth].elements += 1
            return Self.step(from: parent, depth: depth, selection: selection) { $0.index == index }
        }
        Self.skipSpace(input, &position)
        guard Self.octet(input, position) == 0x22 else { throw .syntax }
        position += 1
        let nameStart = names.count
        try JSONString.read(input, at: &position, as: .decoded, to: &names)
        Self.skipSpace(input, &position)
        guard Self.octet(input, position) == 0x3A else { throw .syntax }
        position += 1
        guard members.count < Self.membersMax else { throw .tooLarge }
        members.append(
            Member(
                name: UInt32(nameStart)..<UInt32(names.count),
                prefix: JSONName.prefix(names.span.extracting(nameStart..<names.count)),
                outputStart: UInt32(output.count), outputEnd: UInt32(output.count)))
        output.append(0x22)
        JSONString.escape(names, nameStart..<names.count, to: &output)
        output.append(0x22)
        output.append(0x3A)
        if parent.include | parent.exclude == 0 {
            return Reach(isIncluded: parent.isIncluded, isExcluded: parent.isExcluded)
        }
        let name = Array(names[nameStart...])
        return Self.step(from: parent, depth: depth, selection: selection) { $0.name == name }
    }

    private mutating func readScalar(_ input: Span<UInt8>, at position: inout Int, reach: Reach) throws(JSONError) {
        isKept = counts(reach)
        switch Self.octet(input, position) {
        case 0x22?:
            position += 1
            output.append(0x22)
            try JSONString.read(input, at: &position, as: .escaped, to: &output)
            output.append(0x22)
        case .some(0x2D), .some(0x30...0x39):
            let number = try JSONNumber(input, at: &position)
            guard isKept, checksNumbers else { return output.append(0x30) }
            guard number.isExact else { throw .inexactNumber }
            number.write(to: &output)
        case 0x74?: try readLiteral(input, at: &position, "true")
        case 0x66?: try readLiteral(input, at: &position, "false")
        case 0x6E?: try readLiteral(input, at: &position, "null")
        default: throw .syntax
        }
    }

    private mutating func readLiteral(_ input: Span<UInt8>, at position: inout Int, _ text: StaticString)
        throws(JSONError)
    {
        let count = text.utf8CodeUnitCount
        guard position + count <= input.count else { throw .syntax }
        for index in 0..<count {
            // The index is below the literal's count.
            guard unsafe text.utf8Start[index] == input[position + index] else { throw .syntax }
        }
        output.append(input.extracting(position..<(position + count)))
        position += count
    }

    /// Files the value that ended in the array or object around it, or takes it back.
    private mutating func endValue(_ reach: Reach) {
        let depth = frames.count - 1
        if frames[depth].isObject {
            let member = members.count - 1
            members[member].isKept = isKept
            members[member].outputEnd = UInt32(output.count)
        }
        if isKept {
            frames[depth].hasWritten = true
            frames[depth].hasKept = true
            return
        }
        output.removeLast(output.count - frames[depth].separatorStart)
        if !frames[depth].isObject, !reach.isExcludedByWildcard {
            if frames[depth].hasWritten { output.append(0x2C) }
            output.append(0x2D)
            frames[depth].hasWritten = true
        }
    }

    /// Closes the innermost array or object and gives back how the selection reaches it.
    private mutating func close() throws(JSONError) -> Reach {
        let frame = frames.removeLast()
        if frame.isObject {
            try order(frame)
            members.removeLast(members.count - frame.firstMember)
            names.removeLast(names.count - frame.namesStart)
        }
        output.append(frame.isObject ? 0x7D : 0x5D)
        isKept = counts(frame.reach) || (frame.hasKept && !frame.reach.isExcluded)
        return frame.reach
    }

    // MARK: Order of members

    /// Puts the members of an object in the order of their names' UTF-16 code units (RFC 8785 §3.2.3).
    private mutating func order(_ frame: Frame) throws(JSONError) {
        var isOrdered = true
        for index in frame.firstMember..<members.count where index > frame.firstMember {
            let order = Self.compare(members[index - 1], members[index], names)
            if order == 0 { throw .duplicateName }
            if order > 0 { isOrdered = false }
        }
        if isOrdered { return }
        ordered.removeAll(keepingCapacity: true)
        ordered.append(contentsOf: members[frame.firstMember...])
        // The names are taken out for the time of the sort: a second reference to them would make the next write copy
        // all.
        let names = exchange(&self.names, with: [])
        ordered.sort { Self.compare($0, $1, names) < 0 }
        var hasDuplicate = false
        for index in ordered.indices.dropFirst() where Self.compare(ordered[index - 1], ordered[index], names) == 0 {
            hasDuplicate = true
        }
        self.names = consume names
        if hasDuplicate { throw .duplicateName }
        spare.removeAll(keepingCapacity: true)
        for member in ordered where member.isKept {
            if !spare.isEmpty { spare.append(0x2C) }
            spare.append(output, Int(member.outputStart)..<Int(member.outputEnd))
        }
        output.removeLast(output.count - frame.contentStart)
        output.append(contentsOf: spare)
    }

    private static func compare(_ left: Member, _ right: Member, _ names: [UInt8]) -> Int {
        if left.prefix != right.prefix { return left.prefix < right.prefix ? -1 : 1 }
        let span = names.span
        return JSONName.compare(
            span.extracting(Int(left.name.lowerBound)..<Int(left.name.upperBound)),
            span.extracting(Int(right.name.lowerBound)..<Int(right.name.upperBound)))
    }

    // MARK: Selection

    private func counts(_ reach: Reach) -> Bool {
        !reach.isExcluded && (reach.isIncluded || !hasInclude)
    }

    private static func root(of selection: borrowing JSONSelection) -> Reach {
        var reach = Reach()
        for index in selection.include.indices {
            if selection.include[index].segments.isEmpty {
                reach.isIncluded = true
                if index == 0 { reach.isTarget = true }
            } else {
                reach.include |= 1 << UInt64(index)
            }
        }
        for index in selection.exclude.indices {
            if selection.exclude[index].segments.isEmpty {
                reach.isExcluded = true
            } else {
                reach.exclude |= 1 << UInt64(index)
            }
        }
        return reach
    }

    /// Follows the pointers one segment down.
    private static func step(
        from parent: Reach, depth: Int, selection: borrowing JSONSelection, matches: (JSONPointer.Segment) -> Bool
    ) -> Reach {
        var reach = Reach(isIncluded: parent.isIncluded, isExcluded: parent.isExcluded)
        var rest = parent.include
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest - 1
            let segment = selection.include[index].segments[depth]
            guard segment.isWildcard || matches(segment) else { continue }
            if selection.include[index].segments.count == depth + 1 {
                reach.isIncluded = true
                if index == 0 { reach.isTarget = true }
            } else {
                reach.include |= 1 << UInt64(index)
            }
        }
        rest = parent.exclude
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest - 1
            let segment = selection.exclude[index].segments[depth]
            guard segment.isWildcard || matches(segment) else { continue }
            if selection.exclude[index].segments.count == depth + 1 {
                reach.isExcluded = true
                if segment.isWildcard { reach.isExcludedByWildcard = true }
            } else {
                reach.exclude |= 1 << UInt64(index)
            }
        }
        return reach
    }

    // MARK: Input

    @inline(__always)
    private static func octet(_ input: Span<UInt8>, _ position: Int) -> UInt8? {
        position < input.count ? input[position] : nil
    }

    @inline(__always)
    private static func skipSpace(_ input: Span<UInt8>, _ position: inout Int) {
        while position < input.count {
            switch input[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }
}

extension IdentityScratch {
    /// Takes the string or integer that a pointer reaches; null is no value. A body that is not JSON holds no token.
    mutating func takeJSON(at selection: JSONSelection, in body: Span<UInt8>) -> TokenLookup {
        do throws(JSONError) {
            try json.canonicalise(body, selection: selection, checksNumbers: false)
        } catch .duplicateName {
            // Which of the values the service takes is not known.
            return .malformed
        } catch {
            return .absent
        }
        guard let target = json.target else { return .absent }
        guard let end = target.end else { return .malformed }
        switch body[target.start] {
        case 0x6E:
            return .absent
        case 0x22:
            decoded.removeAll(keepingCapacity: true)
            var position = target.start + 1
            guard (try? JSONString.read(body, at: &position, as: .decoded, to: &decoded)) != nil else {
                return .malformed
            }
            let value = exchange(&decoded, with: [])
            defer { decoded = value }
            return Token.parse(value.span, into: &token) ? .found : .malformed
        default:
            let value = body.extracting(target.start..<end)
            for index in value.indices where value[index] &- 0x30 > 9 && !(index == 0 && value[index] == 0x2D) {
                return .malformed
            }
            return Token.parse(value, into: &token) ? .found : .malformed
        }
    }
}
