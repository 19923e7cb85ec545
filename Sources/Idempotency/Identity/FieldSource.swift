/// The field lines of one request head, in order, as the wire parser found them: ranges into octets that the source
/// owns.
package protocol FieldSource {
    /// The octets that all ranges point into.
    var fieldOctets: Span<UInt8> { @_lifetime(borrow self) get }
    var fieldLineCount: Int { get }
    /// The name of a line, in any case.
    func fieldName(at line: Int) -> Range<Int>
    /// The value of a line, without white space around it.
    func fieldValue(at line: Int) -> Range<Int>
}

/// The names of the fields that an identifier looks at. Each has a slot: its position in the list.
package struct WantedFields: Sendable {
    @usableFromInline
    var names: [[UInt8]] = []
    /// Bit n is set if a name has n octets; bit 63 stands for all longer ones.
    @usableFromInline
    var lengths: UInt64 = 0

    init() {}

    /// The slot of a name, which is added if it is not there.
    mutating func slot(of name: String) throws(PolicyError) -> Int {
        guard !name.isEmpty else { throw .emptyName }
        let octets = name.utf8.map(lowercased)
        if let slot = names.firstIndex(of: octets) { return slot }
        names.append(octets)
        lengths |= 1 << UInt64(Swift.min(octets.count, 63))
        return names.count - 1
    }

    /// Collects the lines with wanted names, in order.
    @inlinable
    package func gather<Source: FieldSource>(_ source: borrowing Source, into gathered: inout GatheredFields) {
        gathered.reset()
        for line in 0..<source.fieldLineCount {
            let name = source.fieldName(at: line)
            guard lengths >> UInt64(Swift.min(name.count, 63)) & 1 == 1 else { continue }
            if let slot = slot(of: source.fieldOctets.extracting(name)) {
                gathered.append(slot: slot, value: source.fieldValue(at: line))
            }
        }
    }

    @usableFromInline
    func slot(of name: Span<UInt8>) -> Int? {
        for slot in names.indices where names[slot].count == name.count {
            var index = 0
            while index < name.count, lowercased(name[index]) == names[slot][index] { index += 1 }
            if index == name.count { return slot }
        }
        return nil
    }
}

/// The lines of wanted fields of one request. Reused; keeps its capacity.
package struct GatheredFields: Sendable {
    private var lines: [(slot: Int, value: Range<Int>)] = []

    package init() {}

    package mutating func reset() {
        lines.removeAll(keepingCapacity: true)
    }

    package mutating func append(slot: Int, value: Range<Int>) {
        lines.append((slot, value))
    }

    func count(of slot: Int) -> Int {
        var count = 0
        for index in lines.indices where lines[index].slot == slot { count += 1 }
        return count
    }

    /// The first line of a slot at or after a position: its value and the position after it.
    func next(of slot: Int, from position: Int = 0) -> (value: Range<Int>, next: Int)? {
        var index = position
        while index < lines.count {
            if lines[index].slot == slot { return (lines[index].value, index + 1) }
            index += 1
        }
        return nil
    }
}
