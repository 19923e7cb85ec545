/// Tells, request by request, which ones are repeats, as far back as its index reaches.
///
/// A token is looked for as long as the route's `retention`, a payload as long as its `window` (an hour where there is
/// none), each counted from the first request that had it. Exact while no more than `indexMax` tokens and as many
/// payloads are looked for at once; beyond that the oldest are forgotten, their repeats count as first, and
/// `forgotten` says how many.
package struct ObservationTally {
    private struct Entry {
        /// Of a token: its payload.
        var payload: ObservedHash
        var milliseconds: UInt64
        var expires: UInt64
        var serial: UInt64
    }

    /// Entries by hash, forgotten in the order in which they were made.
    private struct Index {
        var entries: [ObservedHash: Entry] = [:]
        /// A ring of what was made; an entry that was made again stands here twice.
        private var order: [(hash: ObservedHash, serial: UInt64)] = []
        private var oldest = 0
        private var serial: UInt64 = 0
        private let max: Int

        init(max: Int) {
            self.max = max
        }

        /// The entry, if it has not expired.
        func live(_ hash: ObservedHash, at now: UInt64) -> Entry? {
            guard let entry = entries[hash], entry.expires >= now else { return nil }
            return entry
        }

        /// True if an entry that was still looked for had to go.
        mutating func insert(_ hash: ObservedHash, payload: ObservedHash, at now: UInt64, for time: UInt64) -> Bool {
            serial &+= 1
            let (expires, overflows) = now.addingReportingOverflow(time)
            entries[hash] = Entry(
                payload: payload, milliseconds: now, expires: overflows ? .max : expires, serial: serial)
            guard order.count == max else {
                order.append((hash, serial))
                return false
            }
            let leaving = order[oldest]
            order[oldest] = (hash, serial)
            oldest = oldest + 1 == max ? 0 : oldest + 1
            guard let entry = entries[leaving.hash], entry.serial == leaving.serial else { return false }
            entries[leaving.hash] = nil
            return entry.expires >= now
        }
    }

    private var tokens: Index
    private var payloads: Index
    /// Tokens and payloads that were forgotten before their time.
    package private(set) var forgotten: UInt64 = 0

    package init(indexMax: Int = 262_144) {
        precondition(indexMax > 0, "an index of nothing")
        tokens = Index(max: indexMax)
        payloads = Index(max: indexMax)
    }

    /// Takes the next request in.
    package mutating func take(_ observation: Observation, of route: ObservedRoute) -> ObservedFinding {
        let now = observation.milliseconds
        guard observation.key != .unscoped else { return .first }
        let isKnownPayload = payloads.live(observation.payload, at: now) != nil
        if !isKnownPayload {
            let isLost = payloads.insert(observation.payload, payload: .none, at: now, for: route.repeatMilliseconds)
            if isLost { forgotten &+= 1 }
        }
        switch observation.key {
        case .malformed, .unread, .unscoped: return .first
        case .none: return isKnownPayload ? .duplicate : .first
        case .token:
            if let known = tokens.live(observation.token, at: now) {
                return known.payload == observation.payload ? .duplicate : .mismatch
            }
            let isLost = tokens.insert(
                observation.token, payload: observation.payload, at: now, for: route.retentionMilliseconds)
            if isLost { forgotten &+= 1 }
            return isKnownPayload ? .otherKey : .first
        }
    }
}
