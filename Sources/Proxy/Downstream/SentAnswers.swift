import Idempotency

/// The answers of records that a connection was given last, and where each ends in its output: at the connection's end
/// it is asked whether they arrived. Costs the others a comparison, and nothing once their octets have left.
struct SentAnswers {
    struct Sent {
        let claim: ClaimReference
        /// A count of `payloadOctetsGiven`.
        let end: UInt64
    }

    private var last: Sent?
    /// Those before whose octets had not left when the next one came: of pipelined requests, and of HTTP/2 streams.
    private var earlier: [Sent] = []

    /// Of more nothing is known. Two KiB, on connections that have needed it.
    private static let earlierMax = 32

    /// - Parameter written: how much of the output has left.
    mutating func note(_ claim: ClaimReference, endsAt end: UInt64, written: UInt64) {
        if let last, last.end > written {
            // In the order of their ends.
            if earlier.count == SentAnswers.earlierMax, earlier[0].end <= written {
                earlier.removeAll { $0.end <= written }
            }
            if earlier.count < SentAnswers.earlierMax { earlier.append(last) }
        } else if !earlier.isEmpty {
            earlier.removeAll(keepingCapacity: true)
        }
        last = Sent(claim: claim, end: end)
    }

    /// Those that are lost, by what is asked of each end.
    mutating func takeLost(_ isLost: (UInt64) -> Bool) -> [ClaimReference] {
        guard let last else { return [] }
        var lost = earlier.filter { isLost($0.end) }.map(\.claim)
        if isLost(last.end) { lost.append(last.claim) }
        self = SentAnswers()
        return lost
    }
}
