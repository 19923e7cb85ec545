/// Splits a head or a trailer section into lines, from where it stopped, and refuses at once what can stand in no line.
///
/// Offsets count from the first unconsumed octet, which the caller offers again with more behind it until the section
/// is complete. Errors come in the order of the octets, so they do not depend on how the octets were split.
struct LineScanner: Sendable {
    /// Where the section begins: 2 after a CRLF that is ignored before a request line.
    var sectionStart: UInt32 = 0
    private(set) var lineStart: UInt32 = 0
    /// Nothing from `lineStart` to here ends the line.
    private var scanned: UInt32 = 0
    /// Complete lines so far, the start line included.
    private(set) var lineCount: UInt32 = 0

    struct Limits {
        var startLineBytesMax: UInt32
        var startLineError: HTTPError
        var sectionBytesMax: UInt32
        var sectionError: HTTPError
        /// Complete lines, the start line included.
        var linesMax: UInt32
        var linesError: HTTPError
        var fieldBytesMax: UInt32
        /// The first line is a start line, not a field line.
        var hasStartLine: Bool
    }

    enum Line {
        case needsMore
        /// Without its CRLF; never empty.
        case line(Range<Int>)
        /// The empty line that ends the section; the offset is one past its CRLF.
        case end(Int)
    }

    var hasBegun: Bool { scanned > 0 || lineStart > 0 }

    mutating func begin(at offset: Int) {
        sectionStart = UInt32(offset)
        lineStart = UInt32(offset)
        scanned = UInt32(offset)
    }

    /// The next line of `input`.
    @inline(__always)
    mutating func next(_ input: Span<UInt8>, limits: borrowing Limits) throws(HTTPError) -> Line {
        let start = Int(lineStart)
        var position = Int(scanned)
        if position == start, start < input.count { try checkFirst(input[start], limits: limits) }
        while true {
            let stop = input.firstControl(from: position)
            guard stop < input.count else {
                try checkLimits(lineEnd: stop, present: stop, limits: limits)
                scanned = UInt32(stop)
                return .needsMore
            }
            let octet = input[stop]
            if octet == Octet.tab {
                position = stop &+ 1
                continue
            }
            try checkLimits(lineEnd: stop, present: stop &+ 1, limits: limits)
            guard octet == Octet.carriageReturn else {
                throw octet == Octet.lineFeed ? .bareLineFeed : .controlOctet
            }
            guard stop &+ 1 < input.count else {
                scanned = UInt32(stop)
                return .needsMore
            }
            guard input[stop &+ 1] == Octet.lineFeed else { throw .bareCarriageReturn }
            try checkLimits(lineEnd: stop, present: stop &+ 2, limits: limits)
            lineStart = UInt32(stop &+ 2)
            scanned = lineStart
            if stop == start { return .end(stop &+ 2) }
            lineCount &+= 1
            guard lineCount <= limits.linesMax else { throw limits.linesError }
            return .line(start..<stop)
        }
    }

    /// RFC 9112 §2.2, §5.2: whitespace may stand neither before the first field nor, as obs-fold, before a later one.
    @inline(__always)
    private func checkFirst(_ octet: UInt8, limits: borrowing Limits) throws(HTTPError) {
        guard octet == Octet.space || octet == Octet.tab else { return }
        let fieldsBefore = limits.hasStartLine ? Int(lineCount) - 1 : Int(lineCount)
        throw fieldsBefore > 0 ? .obsoleteFold : fieldsBefore == 0 ? .whitespaceBeforeFirstField : .invalidFirstOctet
    }

    /// `present` octets of the section have arrived, and the line reaches at least to `lineEnd`. Of two limits passed,
    /// the one that lies further to the front is reported.
    @inline(__always)
    private func checkLimits(lineEnd: Int, present: Int, limits: borrowing Limits) throws(HTTPError) {
        let isStartLine = limits.hasStartLine && lineCount == 0
        let lineLast = Int(lineStart) + Int(isStartLine ? limits.startLineBytesMax : limits.fieldBytesMax)
        let sectionLast = Int(sectionStart) + Int(limits.sectionBytesMax)
        guard lineEnd > lineLast || present > sectionLast else { return }
        if lineEnd > lineLast, lineLast <= sectionLast || present <= sectionLast {
            throw isStartLine ? limits.startLineError : .fieldTooLong
        }
        throw limits.sectionError
    }
}

extension FieldSection {
    /// Reads one field line of `input` (RFC 9112 §5); its ranges count from `base`.
    @inline(__always)
    mutating func appendLine(_ line: Range<Int>, of input: Span<UInt8>, base: Int) throws(HTTPError) {
        // Stops at the line's CR at the latest, which is no tchar.
        let index = input.firstNonToken(from: line.lowerBound)
        guard index < line.upperBound, input[index] == Octet.colon, index > line.lowerBound else {
            throw Self.fault(inNameOf: line, at: index, of: input)
        }
        let value = input.trimmed(index &+ 1..<line.upperBound)
        let known = KnownFieldTable.field(at: line.lowerBound, count: index &- line.lowerBound, in: input)
        append(
            FieldLine(
                name: OctetRange(line.lowerBound..<index, from: base), value: OctetRange(value, from: base),
                known: known))
    }

    /// Why the octets of `line` up to `index` are not a name followed by a colon.
    private static func fault(inNameOf line: Range<Int>, at index: Int, of input: Span<UInt8>) -> HTTPError {
        guard index < line.upperBound else { return .missingColon }
        let octet = input[index]
        if octet == Octet.colon { return .emptyFieldName }
        guard octet == Octet.space || octet == Octet.tab else { return .invalidFieldName }
        let next = input.trimmed(index..<line.upperBound)
        return !next.isEmpty && input[next.lowerBound] == Octet.colon ? .whitespaceBeforeColon : .invalidFieldName
    }
}
