/// One field line of a section.
package struct FieldLine: Sendable, Equatable {
    package var name: OctetRange
    /// Without the whitespace around it.
    package var value: OctetRange
    package var known: KnownField
    /// Not forwarded: hop-by-hop, named in Connection, or replaced by the proxy.
    package var isDropped = false

    @inlinable
    package init(name: OctetRange, value: OctetRange, known: KnownField) {
        self.name = name
        self.value = value
        self.known = known
    }
}

/// Field lines over one flat buffer: order, case and duplicates kept.
package struct FieldSection: Sendable {
    /// What the ranges of `lines` point into. In a parsed head, all of the head.
    package var octets: [UInt8] = []
    /// Add lines by `append` only, so that `contains` stays true.
    package var lines: [FieldLine] = []
    /// Known fields with at least one line, and with at least two.
    @usableFromInline var present: UInt64 = 0
    @usableFromInline var repeated: UInt64 = 0

    package init() {}

    /// Empties the section and keeps its buffers, unless they are large.
    package mutating func reset() {
        octets.removeAll(keepingCapacity: true)
        removeLines()
        giveUpBuffers(above: Self.bytesKept)
    }

    /// What a section that is used again and again keeps.
    private static let bytesKept = 8 << 10

    /// Empties the section if it holds more memory than so many octets.
    mutating func giveUpBuffers(above bytesMax: Int) {
        guard octets.capacity &+ lines.capacity &* MemoryLayout<FieldLine>.stride > bytesMax else { return }
        self = FieldSection()
    }

    mutating func removeLines() {
        lines.removeAll(keepingCapacity: true)
        present = 0
        repeated = 0
    }

    /// The octets of a range of this section.
    @inlinable
    package subscript(range: OctetRange) -> Span<UInt8> {
        @_lifetime(borrow self)
        get { octets.span.extracting(range.bounds) }
    }

    @inlinable
    @_lifetime(borrow self)
    package func name(_ line: FieldLine) -> Span<UInt8> { octets.span.extracting(line.name.bounds) }

    @inlinable
    @_lifetime(borrow self)
    package func value(_ line: FieldLine) -> Span<UInt8> { octets.span.extracting(line.value.bounds) }

    /// At least one line of this field stands here, dropped or not. Constant time. Not for `other`.
    @inlinable
    package func contains(_ known: KnownField) -> Bool { present & known.bit != 0 }

    /// At least two lines of this field stand here, dropped or not. Constant time.
    @inlinable
    package func isRepeated(_ known: KnownField) -> Bool { repeated & known.bit != 0 }

    /// The first line of the field, dropped or not.
    @inlinable
    package func first(_ known: KnownField) -> FieldLine? {
        guard contains(known) else { return nil }
        for line in lines where line.known == known { return line }
        return nil
    }

    /// How many lines the field has, dropped or not.
    package func count(of known: KnownField) -> Int {
        guard contains(known) else { return 0 }
        guard isRepeated(known) else { return 1 }
        var count = 0
        for line in lines where line.known == known { count += 1 }
        return count
    }

    /// The index of the next line with this name, in any case, at or after `start`. Allocates nothing.
    package func firstIndex(named name: Span<UInt8>, from start: Int = 0) -> Int? {
        var index = start
        while index < lines.count {
            if Int(lines[index].name.count) == name.count, self[lines[index].name].equalsIgnoringCase(name) {
                return index
            }
            index += 1
        }
        return nil
    }

    package func firstIndex(named name: [UInt8], from start: Int = 0) -> Int? {
        firstIndex(named: name.span, from: start)
    }

    package func firstIndex(named name: StaticString, from start: Int = 0) -> Int? {
        // Safe: a StaticString's octets live as long as the program.
        let octets = unsafe UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        return unsafe firstIndex(named: octets.span, from: start)
    }

    /// Every line with this name, in any case. Allocates; for the hot path take `firstIndex(named:from:)`.
    package func lines(named name: [UInt8]) -> [FieldLine] {
        lines.filter { self[$0.name].equalsIgnoringCase(name.span) }
    }

    /// Every line with this name, in any case. Allocates; for the hot path take `firstIndex(named:from:)`.
    package func lines(named name: StaticString) -> [FieldLine] {
        lines.filter { self[$0.name].equalsIgnoringCase(name) }
    }

    /// Marks every line of the field as not forwarded.
    @inlinable
    package mutating func drop(_ known: KnownField) {
        guard contains(known) else { return }
        for index in lines.indices where lines[index].known == known { lines[index].isDropped = true }
    }

    /// Adds `name: value CRLF` at the end. False, and nothing is added, when either could not stand in a field line.
    @discardableResult
    package mutating func append(name: Span<UInt8>, value: Span<UInt8>) -> Bool {
        guard isFieldName(name), isFieldValue(value) else { return false }
        let start = octets.count
        octets.append(span: name)
        octets.append(Octet.colon)
        octets.append(Octet.space)
        let valueStart = octets.count
        octets.append(span: value)
        octets.append(Octet.carriageReturn)
        octets.append(Octet.lineFeed)
        append(
            FieldLine(
                name: OctetRange(start..<start + name.count), value: OctetRange(valueStart..<valueStart + value.count),
                known: KnownField(named: name)))
        return true
    }

    /// Adds a line whose ranges are already in `octets`.
    @inline(__always)
    mutating func append(_ line: FieldLine) {
        if line.known != .other {
            repeated |= present & line.known.bit
            present |= line.known.bit
        }
        lines.append(line)
    }

    /// Replaces `octets` by a part of `input`.
    mutating func copyOctets(of input: Span<UInt8>, _ bounds: Range<Int>) {
        octets.removeAll(keepingCapacity: true)
        octets.append(span: input.extracting(bounds))
    }
}

extension [UInt8] {
    /// Adds the octets of a span.
    @inline(__always)
    mutating func append(span: Span<UInt8>) {
        // Safe: the pointer is used only inside the closure, and the span cannot overlap the array being changed.
        unsafe span.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }

    /// Adds the octets of a literal.
    @inline(__always)
    mutating func append(literal: StaticString) {
        // Safe: a StaticString's octets live as long as the program.
        unsafe append(contentsOf: UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }
}

/// A field name is a token (RFC 9110 §5.1).
func isFieldName(_ name: Span<UInt8>) -> Bool {
    for index in name.indices where !OctetSet.token.contains(name[index]) { return false }
    return !name.isEmpty
}

/// A field value holds no control but HTAB and has no whitespace at its ends (RFC 9110 §5.5).
func isFieldValue(_ value: Span<UInt8>) -> Bool {
    guard value.trimmed(0..<value.count).count == value.count else { return false }
    var index = value.firstControl(from: 0)
    while index < value.count {
        guard value[index] == Octet.tab else { return false }
        index = value.firstControl(from: index + 1)
    }
    return true
}
