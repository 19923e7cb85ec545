/// The one form of a path that routes and keys are made from, so that spellings of one resource cannot differ.
///
/// Escapes of unreserved characters are decoded, the hexadecimal digits of others made upper case, `//` becomes `/`,
/// `.` and `..` segments are resolved (RFC 3986 §6.2.2). `%2F` stays: it is no separator.
package enum PathNormaliser {
    /// Puts the normalised path into `output` and returns true; returns false when `path` is in normal form already or
    /// is `*`, and then `output` holds nothing of use.
    ///
    /// `path` is the path of a parsed target. Throws for a malformed escape, for NUL, and for `..` above the root.
    package static func normalise(_ path: Span<UInt8>, into output: inout [UInt8]) throws(HTTPError) -> Bool {
        guard path.count > 0, path[0] == Octet.slash else {
            guard path.count == 1, path[0] == Octet.asterisk else { throw .invalidTarget }
            return false
        }
        guard !isNormal(path) else { return false }
        output.removeAll(keepingCapacity: true)
        output.append(Octet.slash)
        var index = 1
        while index < path.count {
            switch path[index] {
            case Octet.slash:
                try endSegment(of: &output)
                index += 1
            case Octet.percent:
                try appendEscape(path, at: index, to: &output)
                index += 3
            case 0: throw .nulInPath
            case let octet:
                output.append(octet)
                index += 1
            }
        }
        // A last segment that is resolved leaves the slash before it; one that is not gets none.
        try resolveDots(in: &output)
        // The rewrite may still give the same octets, as for an upper-case escape.
        return !isEqual(output.span, path)
    }

    /// No escape, no empty segment but the last, no segment that begins with a dot and could be `.` or `..`.
    private static func isNormal(_ path: Span<UInt8>) -> Bool {
        var isSegmentStart = true
        for index in 1..<path.count {
            let octet = path[index]
            if octet == Octet.percent || octet == 0 { return false }
            if isSegmentStart, octet == Octet.slash || octet == Octet.dot { return false }
            isSegmentStart = octet == Octet.slash
        }
        return true
    }

    /// Ends the segment being written with a slash, unless it was empty or resolved.
    private static func endSegment(of output: inout [UInt8]) throws(HTTPError) {
        try resolveDots(in: &output)
        if output.last != Octet.slash { output.append(Octet.slash) }
    }

    /// Removes a `.` at the end of `output`, or a `..` together with the segment before it.
    private static func resolveDots(in output: inout [UInt8]) throws(HTTPError) {
        let count = output.count
        guard count >= 2, output[count - 1] == Octet.dot else { return }
        if output[count - 2] == Octet.slash {
            output.removeLast()
            return
        }
        guard count >= 3, output[count - 2] == Octet.dot, output[count - 3] == Octet.slash else { return }
        guard count > 3 else { throw .pathAboveRoot }
        output.removeLast(3)
        while output.last != Octet.slash { output.removeLast() }
    }

    private static func appendEscape(_ path: Span<UInt8>, at index: Int, to output: inout [UInt8]) throws(HTTPError) {
        guard index + 2 < path.count, let high = Octet.hexValue(path[index + 1]),
            let low = Octet.hexValue(path[index + 2])
        else { throw .malformedEscape }
        let octet = high << 4 | low
        guard octet != 0 else { throw .nulInPath }
        if OctetSet.unreserved.contains(octet) {
            output.append(octet)
            return
        }
        output.append(Octet.percent)
        output.append(upperCaseDigit(high))
        output.append(upperCaseDigit(low))
    }

    private static func upperCaseDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? Octet.zero + value : 0x41 + value - 10
    }

    private static func isEqual(_ first: Span<UInt8>, _ second: Span<UInt8>) -> Bool {
        guard first.count == second.count else { return false }
        for index in first.indices where first[index] != second[index] { return false }
        return true
    }
}
