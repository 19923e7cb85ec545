/// Makes figures of observations: what clients sent again, and what the service made of it.
///
/// Repeats are those of `ObservationTally` without its bound. Enforcing is simulated with the route's retention and
/// window: the first attempt's outcome decides what its repeats would have got.
package struct ObservationAnalysis {
    /// One operation: a token, or a payload without one. Attempts are indices of observations.
    private struct Operation {
        var firstMilliseconds: UInt64
        var last: UInt32
        /// The attempt whose outcome counts.
        var attempt: UInt32
    }

    private struct Payload {
        /// When it began to be looked for.
        var firstMilliseconds: UInt64
        var lastMilliseconds: UInt64
        /// Of requests without token: where the chain began.
        var chainMilliseconds: UInt64?
        var lastWithoutToken: UInt64?
        var withoutToken: Operation?
    }

    private static let chainGapMilliseconds: UInt64 = 3_600_000
    private static let hourMilliseconds: UInt64 = 3_600_000

    /// Repeats are looked for from here on, whenever their first attempt was.
    private let since: UInt64
    private let observations: [Observation]
    private var tokens: [ObservedHash: Operation] = [:]
    private var payloads: [ObservedHash: Payload] = [:]
    private var mismatched: Set<ObservedHash> = []
    private var hours: [[UInt64: RouteFigures.Hour]]
    private var figures: [RouteFigures]

    /// The figures of each route, in the order of `routes`.
    /// - Parameters:
    ///   - observations: in any order; `route` is an index into `routes`.
    ///   - since: requests before this time are only remembered, not counted.
    package static func figures(
        routes: [ObservedRoute], observations: [Observation], since: UInt64 = 0
    ) -> [RouteFigures] {
        var analysis = ObservationAnalysis(routes: routes, since: since, observations: observations)
        // Written when they ended, judged in the order in which they came.
        var order = observations.indices.map { (observations[$0].milliseconds, UInt32(truncatingIfNeeded: $0)) }
        order.sort { $0 < $1 }
        for (_, index) in order where Int(observations[Int(index)].route) < routes.count {
            analysis.take(index)
        }
        return analysis.finish()
    }

    private init(routes: [ObservedRoute], since: UInt64, observations: [Observation]) {
        precondition(observations.count <= Int(UInt32.max), "more observations than a report takes")
        self.since = since
        self.observations = observations
        figures = routes.map { RouteFigures(route: $0) }
        hours = Array(repeating: [:], count: routes.count)
        payloads.reserveCapacity(observations.count / 2)
    }

    private mutating func finish() -> [RouteFigures] {
        for index in figures.indices {
            figures[index].hours = hours[index].values.sorted { $0.milliseconds < $1.milliseconds }
        }
        return figures
    }

    // MARK: One request

    private mutating func take(_ number: UInt32) {
        let observation = observations[Int(number)]
        let index = Int(observation.route)
        let route = figures[index].route
        let counts = observation.milliseconds >= since
        if counts { count(observation, index) }
        guard observation.key != .unscoped else { return }
        let now = observation.milliseconds
        let known = payloads[observation.payload]
        let isKnown = known.map { now.since($0.firstMilliseconds) <= route.repeatMilliseconds } ?? false
        var payload = known ?? Payload(firstMilliseconds: now, lastMilliseconds: now)
        if !isKnown { payload.firstMilliseconds = now }
        switch observation.key {
        case .malformed, .unread, .unscoped: break
        case .none: takeWithoutToken(number, &payload, isKnown: isKnown, counts: counts)
        case .token: takeToken(number, last: known?.lastMilliseconds, isKnown: isKnown, counts: counts)
        }
        payload.lastMilliseconds = now
        payloads[observation.payload] = payload
    }

    private mutating func count(_ observation: Observation, _ index: Int) {
        let hour = observation.milliseconds / Self.hourMilliseconds * Self.hourMilliseconds
        hours[index][hour, default: RouteFigures.Hour(milliseconds: hour)].requests &+= 1
        figures[index].requests &+= 1
        figures[index].firstMilliseconds = min(figures[index].firstMilliseconds, observation.milliseconds)
        figures[index].lastMilliseconds = max(figures[index].lastMilliseconds, observation.milliseconds)
        switch observation.key {
        case .token: figures[index].withToken &+= 1
        case .none: figures[index].withoutToken &+= 1
        case .malformed: figures[index].malformed &+= 1
        case .unscoped: figures[index].unscoped &+= 1
        case .unread: figures[index].unread &+= 1
        }
        if observation.flags.contains(.isLarge) { figures[index].large &+= 1 }
        if observation.flags.contains(.fellBackToOctets) { figures[index].fellBackToOctets &+= 1 }
        figures[index].requestBytesMax = max(figures[index].requestBytesMax, observation.requestBytes)
    }

    private mutating func takeToken(_ number: UInt32, last: UInt64?, isKnown: Bool, counts: Bool) {
        let observation = observations[Int(number)]
        let index = Int(observation.route)
        let now = observation.milliseconds
        let retention = figures[index].route.retentionMilliseconds
        guard var operation = tokens[observation.token], now.since(operation.firstMilliseconds) <= retention else {
            tokens[observation.token] = Operation(firstMilliseconds: now, last: number, attempt: number)
            if isKnown, counts, let last {
                figures[index].otherKeys &+= 1
                figures[index].gapsOfOtherKeys.add(now.since(last))
            }
            return
        }
        // All of one operation have the payload of its first.
        guard observations[Int(operation.last)].payload == observation.payload else {
            if counts {
                figures[index].mismatches &+= 1
                if mismatched.insert(observation.token).inserted { figures[index].mismatchedTokens &+= 1 }
            }
            return
        }
        let verdict = judge(number, &operation)
        if counts {
            figures[index].duplicates &+= 1
            figures[index].gaps.add(now.since(observations[Int(operation.last)].milliseconds))
            figures[index].ages.add(now.since(operation.firstMilliseconds))
            figures[index].verdicts.count(verdict)
            figures[index].joinedMillisecondsMax = max(figures[index].joinedMillisecondsMax, verdict.joinedMilliseconds)
            countHour(now, index)
        }
        operation.last = number
        tokens[observation.token] = operation
    }

    private mutating func takeWithoutToken(
        _ number: UInt32, _ payload: inout Payload, isKnown: Bool, counts: Bool
    ) {
        let observation = observations[Int(number)]
        let index = Int(observation.route)
        let now = observation.milliseconds
        if let last = payload.lastWithoutToken {
            if now.since(last) > Self.chainGapMilliseconds { payload.chainMilliseconds = now }
            if counts {
                figures[index].gapsWithoutToken.add(now.since(last))
                if let chain = payload.chainMilliseconds, chain != now {
                    figures[index].agesWithoutToken.add(now.since(chain))
                }
            }
        }
        if payload.chainMilliseconds == nil { payload.chainMilliseconds = now }
        payload.lastWithoutToken = now
        let window = figures[index].route.repeatMilliseconds
        if isKnown, counts {
            figures[index].duplicatesWithoutToken &+= 1
            countHour(now, index)
        }
        guard var operation = payload.withoutToken, now.since(operation.firstMilliseconds) <= window else {
            payload.withoutToken = Operation(firstMilliseconds: now, last: number, attempt: number)
            return
        }
        let verdict = judge(number, &operation)
        if counts {
            figures[index].verdictsWithoutToken.count(verdict)
            let last = observations[Int(operation.last)]
            if last.ending != .answered || last.flags.contains(.isLost) || last.endMilliseconds > now {
                figures[index].afterLost &+= 1
            } else if last.flags.contains(.isDelivered) {
                figures[index].afterDelivered &+= 1
            }
            figures[index].joinedMillisecondsMax = max(figures[index].joinedMillisecondsMax, verdict.joinedMilliseconds)
        }
        operation.last = number
        payload.withoutToken = operation
    }

    private mutating func countHour(_ now: UInt64, _ index: Int) {
        let hour = now / Self.hourMilliseconds * Self.hourMilliseconds
        hours[index][hour, default: RouteFigures.Hour(milliseconds: hour)].duplicates &+= 1
    }

    // MARK: What enforcing would have made of it

    fileprivate struct Verdict {
        enum Outcome {
            case same, otherAnswer, otherStatus, lost, uncompared, runs, held
        }

        var outcome: Outcome
        /// How long the first attempt took, where it was still running.
        var joinedMilliseconds: UInt64 = 0
    }

    /// What a repeat would have got. One that would have run becomes the attempt that counts.
    private func judge(_ number: UInt32, _ operation: inout Operation) -> Verdict {
        let observation = observations[Int(number)]
        let first = observations[Int(operation.attempt)]
        switch (first.ending, first.rule) {
        case (.notSent, _), (.answered, .release):
            operation.attempt = number
            return Verdict(outcome: .runs)
        case (.broken, _), (.pending, _), (.answered, .unknown):
            return Verdict(outcome: .held)
        case (.clientLeft, _), (.answered, .record):
            let isRunning = first.endMilliseconds > observation.milliseconds
            return Verdict(
                outcome: compare(observation, to: first),
                joinedMilliseconds: isRunning ? max(1, first.durationMicroseconds / 1000) : 0)
        }
    }

    private func compare(_ observation: Observation, to first: Observation) -> Verdict.Outcome {
        if first.ending == .clientLeft { return .lost }
        if observation.ending != .answered { return .uncompared }
        if observation.status != first.status { return .otherStatus }
        return observation.digest == first.digest ? .same : .otherAnswer
    }
}

extension RouteFigures.Verdicts {
    fileprivate mutating func count(_ verdict: ObservationAnalysis.Verdict) {
        if verdict.joinedMilliseconds > 0 { joined &+= 1 }
        switch verdict.outcome {
        case .same: same &+= 1
        case .otherAnswer: otherAnswer &+= 1
        case .otherStatus: otherStatus &+= 1
        case .lost: lost &+= 1
        case .uncompared: uncompared &+= 1
        case .runs: runs &+= 1
        case .held: held &+= 1
        }
    }
}

extension UInt64 {
    /// The time from `earlier` to this one; 0 where the clock went back.
    fileprivate func since(_ earlier: UInt64) -> UInt64 { self > earlier ? self - earlier : 0 }
}
