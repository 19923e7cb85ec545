/// Who was calling by tokens that were verified: a client sends the same one again and again. One per worker, of fixed
/// size; two places for each token, of which the one that is out of use or older is given away.
struct VerifiedTokens: Sendable {
    /// Two tokens each.
    static let setsMax = 1024
    /// Longer ones are verified each time.
    static let callerOctetsMax = 512

    private struct Entry: Sendable {
        var token: Digest256
        var untilMilliseconds: UInt64
        var caller: [UInt8]
    }

    /// Empty until the first token.
    private var entries: [Entry?] = []
    func caller(of token: Digest256, nowMilliseconds now: UInt64) -> [UInt8]? {
        guard !entries.isEmpty else { return nil }
        let place = Self.place(of: token)
        for offset in 0..<2 {
            if let entry = entries[place + offset], entry.token == token {
                return now < entry.untilMilliseconds ? entry.caller : nil
            }
        }
        return nil
    }

    /// True if a token that was still good had to leave.
    mutating func keep(
        _ caller: [UInt8], of token: Digest256, untilMilliseconds end: UInt64, nowMilliseconds now: UInt64
    ) -> Bool {
        guard caller.count <= Self.callerOctetsMax else { return false }
        if entries.isEmpty { entries = [Entry?](repeating: nil, count: Self.setsMax * 2) }
        let place = Self.place(of: token)
        // The one that was kept last comes first.
        let older = entries[place + 1]
        entries[place + 1] = entries[place]
        entries[place] = Entry(token: token, untilMilliseconds: end, caller: caller)
        guard let older else { return false }
        return older.untilMilliseconds > now && older.token != token
    }

    private static func place(of token: Digest256) -> Int {
        Int(truncatingIfNeeded: token.words.0 & UInt64(setsMax - 1)) * 2
    }
}
