@testable import Idempotency

/// Observations as tests write them: small numbers stand for tokens, payloads and answers.
extension Observation {
    static func seen(
        _ milliseconds: UInt64, token: UInt64? = nil, payload: UInt64, answer: UInt64 = 0, status: UInt16 = 200,
        took: UInt64 = 0, ending: Ending = .answered, rule: StatusRules.Rule = .record, route: UInt32 = 0
    ) -> Observation {
        var observation = Observation(route: route)
        observation.milliseconds = milliseconds
        observation.key = token == nil ? .none : .token
        observation.token = token.map { ObservedHash(high: $0 &+ 1, low: 1) } ?? .none
        observation.payload = ObservedHash(high: payload &+ 1, low: 2)
        observation.digest = ending == .answered ? ObservedHash(high: answer &+ 1, low: 3) : .none
        observation.status = ending == .answered ? status : 0
        observation.durationMicroseconds = took * 1000
        observation.ending = ending
        observation.rule = rule
        if ending == .answered { observation.flags = .isDelivered }
        return observation
    }
}

/// What `ObservationTally` should say, by looking at everything before.
struct TallyOracle {
    private var seen: [(observation: Observation, finding: ObservedFinding)] = []

    init() {}

    mutating func take(_ observation: Observation, of route: ObservedRoute) -> ObservedFinding {
        let finding = judge(observation, route)
        seen.append((observation, finding))
        return finding
    }

    private func judge(_ observation: Observation, _ route: ObservedRoute) -> ObservedFinding {
        if observation.key == .unscoped || observation.key == .malformed || observation.key == .unread { return .first }
        if observation.key == .token {
            // The request that began this token's life: the latest that found none alive.
            var first: Observation?
            for earlier in seen
            where earlier.observation.key == .token && earlier.observation.token == observation.token {
                if let known = first,
                    earlier.observation.milliseconds - known.milliseconds <= route.retentionMilliseconds
                {
                    continue
                }
                first = earlier.observation
            }
            if let first, observation.milliseconds - first.milliseconds <= route.retentionMilliseconds {
                return first.payload == observation.payload ? .duplicate : .mismatch
            }
        }
        var first: UInt64?
        for earlier in seen
        where earlier.observation.key != .unscoped && earlier.observation.payload == observation.payload {
            if let known = first, earlier.observation.milliseconds - known <= route.repeatMilliseconds { continue }
            first = earlier.observation.milliseconds
        }
        let isKnown = first.map { observation.milliseconds - $0 <= route.repeatMilliseconds } ?? false
        guard isKnown else { return .first }
        return observation.key == .token ? .otherKey : .duplicate
    }
}
