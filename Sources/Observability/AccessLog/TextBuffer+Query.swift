/// Queries in logs: what parameters there were, never what they said.
extension TextBuffer {
    /// `a=1&b=2` as `a=***&b=***`. A piece without `=` may itself be a secret, so it becomes `***`, as does a name
    /// beyond 64 octets; at most 32 parameters are written.
    package mutating func append(redactedQuery query: Span<UInt8>) {
        var at = 0
        var written = 0
        while at < query.count {
            if written > 0 {
                append(UInt8(ascii: "&"))
            }
            if written == 32 {
                append("...")
                return
            }
            var end = at
            var equals = -1
            while end < query.count, query[end] != UInt8(ascii: "&") {
                if equals < 0, query[end] == UInt8(ascii: "=") {
                    equals = end
                }
                end += 1
            }
            if equals > at, equals - at <= 64 {
                append(escaped: query.extracting(at..<equals))
                append(UInt8(ascii: "="))
            }
            if end > at {
                append("***")
            }
            written += 1
            at = end + 1
        }
    }
}
