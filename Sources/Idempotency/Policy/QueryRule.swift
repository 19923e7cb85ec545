/// Which query parameters count: all, or all but some, or some. Those that count do so as they stand, in their order.
struct QueryRule: Sendable {
    private let include: [[UInt8]]
    private let exclude: [[UInt8]]

    init(_ rule: HashRule?) {
        include = Self.names(rule?.include ?? [])
        exclude = Self.names(rule?.exclude ?? [])
    }

    func absorb(_ query: Span<UInt8>, hasQuery: Bool, scratch: inout [UInt8], into hash: inout SHA256) {
        if include.isEmpty, exclude.isEmpty {
            hash.update(hasQuery ? 1 : 0)
            hash.update(prefixed: query)
            return
        }
        hash.update(2)
        var cursor = ParameterCursor()
        while cursor.next(in: query) {
            scratch.removeAll(keepingCapacity: true)
            if !PercentCoding.decode(query.extracting(cursor.name), plusIsSpace: true, into: &scratch) {
                // A name that cannot be decoded is what its octets say: it is counted unless only chosen names are.
                scratch.removeAll(keepingCapacity: true)
                scratch.append(query.extracting(cursor.name))
            }
            if exclude.contains(scratch) || (!include.isEmpty && !include.contains(scratch)) { continue }
            hash.update(1)
            hash.update(prefixed: query.extracting(cursor.range))
        }
        hash.update(0)
    }

    private static func names(_ selectors: [HashRule.Selector]) -> [[UInt8]] {
        selectors.compactMap { if case .query(let name) = $0 { Array(name.utf8) } else { nil } }
    }
}
