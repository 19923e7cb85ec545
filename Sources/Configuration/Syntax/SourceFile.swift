/// One file of the configuration: its octets, where its lines start, and who included it.
struct SourceFile: Sendable {
    let name: String
    let octets: [UInt8]
    /// The `include` that brought this file in; nil for the first file.
    let includedFrom: SourceRange?
    private let lineStarts: [Int]

    init(name: String, octets: [UInt8], includedFrom: SourceRange? = nil) {
        self.name = name
        self.octets = octets
        self.includedFrom = includedFrom
        var starts = [0]
        for (index, octet) in octets.enumerated() where octet == UInt8(ascii: "\n") {
            starts.append(index + 1)
        }
        lineStarts = starts
    }

    /// The line, from 1, that holds the octet at `offset`.
    func line(at offset: Int) -> Int {
        var low = 0
        var high = lineStarts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= offset { low = middle } else { high = middle }
        }
        return low + 1
    }

    /// The octets of a line, without its end.
    func octets(ofLine line: Int) -> ArraySlice<UInt8> {
        let start = lineStarts[line - 1]
        var end = line < lineStarts.count ? lineStarts[line] - 1 : octets.count
        if end > start, octets[end - 1] == UInt8(ascii: "\r") { end -= 1 }
        return octets[start..<end]
    }

    func start(ofLine line: Int) -> Int {
        lineStarts[line - 1]
    }

    func text(_ range: SourceRange) -> String {
        String(decoding: octets[range.start..<range.end], as: UTF8.self)
    }
}

/// Octets of one of the files, by its index in the order of loading.
struct SourceRange: Sendable, Equatable {
    var file: Int
    var start: Int
    var end: Int

    /// The place right after, where something is missing.
    var after: SourceRange {
        SourceRange(file: file, start: end, end: end)
    }

    func through(_ other: SourceRange) -> SourceRange {
        SourceRange(file: file, start: start, end: max(end, other.end))
    }
}
