import Testing
import Transport

/// A seeded generator (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}

/// What the wheel promises, the slow way: a deadline passes at the first tick that is not before it.
struct NaiveTimers {
    static let tick: UInt64 = 1 << 23
    var deadlines: [UInt64: Instant] = [:]

    mutating func expire(at now: Instant) -> Set<UInt64> {
        let due = deadlines.filter { $0.value != .never && Self.tickAfter($0.value) <= now.nanoseconds / Self.tick }
        for datum in due.keys { deadlines[datum] = .never }
        return Set(due.keys)
    }

    static func tickAfter(_ deadline: Instant) -> UInt64 {
        deadline.nanoseconds / tick + (deadline.nanoseconds % tick == 0 ? 0 : 1)
    }
}

@Suite(.timeLimit(.minutes(5)))
struct TimerWheelTests {
    let tick = NaiveTimers.tick

    func expire(_ wheel: TimerWheel, at now: Instant) -> Set<UInt64> {
        wheel.advance(to: now)
        var found: Set<UInt64> = []
        while let datum = wheel.popExpired(now) { #expect(found.insert(datum).inserted) }
        return found
    }

    @Test func firesAtTheFirstTickNotBeforeTheDeadline() {
        let start = Instant(nanoseconds: 1000 * tick + 5)
        // Around every boundary of the levels, from each alignment of the start.
        let distances: [UInt64] = [
            0, 1, 2, 254, 255, 256, 257, 511, 512, 65535, 65536, 65537, 65791, 1 << 24, 1 << 24 + 1, 1 << 25,
        ]
        for offset: UInt64 in [0, 1, 23, 255, 256, 65535] {
            for distance in distances {
                for extra: UInt64 in [0, 1, tick - 1] {
                    let base = start.adding(nanoseconds: offset * tick)
                    let wheel = TimerWheel(start: base)
                    let entry = wheel.insert(7)
                    let deadline = base.adding(nanoseconds: distance * tick + extra)
                    wheel.set(entry, deadline: deadline)
                    let due = NaiveTimers.tickAfter(deadline) * tick
                    #expect(expire(wheel, at: Instant(nanoseconds: due - 1)).isEmpty)
                    #expect(wheel.nextCheck() <= Instant(nanoseconds: due))
                    #expect(expire(wheel, at: Instant(nanoseconds: due)) == [7])
                    #expect(wheel.nextCheck() == .never)
                }
            }
        }
    }

    @Test func everyPairOfMovesFiresOnceAtTheLast() {
        let choices: [UInt64?] = [nil, 0, 1, 3, 255, 256, 300, 70_000]
        for first in choices {
            for pause in [0, 2, 257] as [UInt64] {
                for second in choices {
                    let start = Instant(nanoseconds: 77 * tick)
                    let wheel = TimerWheel(start: start)
                    var model = NaiveTimers()
                    let entry = wheel.insert(1)
                    func set(_ ticks: UInt64?, at now: Instant) {
                        let deadline = ticks.map { now.adding(nanoseconds: $0 * tick) } ?? .never
                        wheel.set(entry, deadline: deadline)
                        model.deadlines[1] = deadline
                    }
                    set(first, at: start)
                    var now = start.adding(nanoseconds: pause * tick)
                    #expect(expire(wheel, at: now) == model.expire(at: now))
                    set(second, at: now)
                    for step in [0, 1, 2, 252, 1, 1, 44, 69_000, 1000] as [UInt64] {
                        now = now.adding(nanoseconds: step * tick)
                        #expect(expire(wheel, at: now) == model.expire(at: now))
                    }
                }
            }
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func randomWalkAgreesWithTheNaiveModel(seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        var now = Instant(nanoseconds: .random(in: 0...(1 << 45), using: &generator))
        let wheel = TimerWheel(start: now)
        var model = NaiveTimers()
        var entries: [UInt64: Int32] = [:]
        var lastDatum: UInt64 = 0
        let reaches: [UInt64] = [tick, 300 * tick, 70_000 * tick, 40_000_000 * tick]
        for _ in 0..<5000 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0...2:
                lastDatum += 1
                entries[lastDatum] = wheel.insert(lastDatum)
                model.deadlines[lastDatum] = .never
            case 3...6:
                guard let (datum, entry) = entries.randomElement(using: &generator) else { continue }
                let reach = reaches.randomElement(using: &generator)!
                let deadline =
                    Int.random(in: 0..<8, using: &generator) == 0
                    ? .never : now.adding(nanoseconds: .random(in: 0...reach, using: &generator))
                wheel.set(entry, deadline: deadline)
                model.deadlines[datum] = deadline
                #expect(wheel.deadline(of: entry) == deadline)
            case 7:
                guard let (datum, entry) = entries.randomElement(using: &generator) else { continue }
                wheel.remove(entry)
                entries[datum] = nil
                model.deadlines[datum] = nil
            default:
                let reach = reaches.dropLast().randomElement(using: &generator)!
                now = now.adding(nanoseconds: .random(in: 0...reach, using: &generator))
                let expected = model.expire(at: now)
                #expect(expire(wheel, at: now) == expected)
                let next = model.deadlines.values.filter { $0 != .never }.map(NaiveTimers.tickAfter).min()
                if let next { #expect(wheel.nextCheck() <= Instant(nanoseconds: next * tick)) }
                #expect(wheel.nextCheck() > now)
            }
            #expect(wheel.count == entries.count)
        }
    }

    @Test func movingLaterDoesNotAdvanceTheCheck() {
        let start = Instant(nanoseconds: 0)
        let wheel = TimerWheel(start: start)
        let entry = wheel.insert(1)
        wheel.set(entry, deadline: start.adding(milliseconds: 1000))
        let check = wheel.nextCheck()
        wheel.set(entry, deadline: start.adding(milliseconds: 60_000))
        #expect(wheel.nextCheck() == check)
        #expect(expire(wheel, at: check).isEmpty)
        #expect(wheel.nextCheck() > check)
    }

    @Test func anEntryMovedWhileItWaitsInTheExpiredListIsFiledAgain() {
        let start = Instant(nanoseconds: 0)
        let wheel = TimerWheel(start: start)
        let (first, second) = (wheel.insert(1), wheel.insert(2))
        wheel.set(first, deadline: start.adding(nanoseconds: tick))
        wheel.set(second, deadline: start.adding(nanoseconds: tick))
        let now = start.adding(nanoseconds: tick)
        wheel.advance(to: now)
        let popped = wheel.popExpired(now)
        let other = popped == 1 ? second : first
        wheel.set(other, deadline: now.adding(nanoseconds: tick))
        #expect(wheel.popExpired(now) == nil)
        #expect(expire(wheel, at: now.adding(nanoseconds: tick)).count == 1)
    }

    @Test func deadlinesThatPassTogetherComeInTheOrderOfTheirTicks() {
        let wheel = TimerWheel(start: Instant(nanoseconds: 0))
        let ticks: [UInt64] = [900, 5, 256, 80_000, 255, 1, 70_000, 300]
        for ticks in ticks { wheel.set(wheel.insert(ticks), deadline: Instant(nanoseconds: ticks * tick)) }
        let now = Instant(nanoseconds: 100_000 * tick)
        wheel.advance(to: now)
        var order: [UInt64] = []
        while let datum = wheel.popExpired(now) { order.append(datum) }
        #expect(order == ticks.sorted())
    }
}
