import Idempotency
import Synchronization
import Testing

@testable import Proxy

/// What all workers share about probes, and the events on their way to the webhook.
@Suite struct ProbeRegistryTests {
    private func key(_ number: UInt64) -> RecordKey { Digest256(words: (number, 0, 0, 0)) }
    private func waiter(_ number: UInt64) -> ReplyAddress { ReplyAddress(worker: 0, exchange: number) }

    private final class Told: Sendable {
        private let list = Mutex<[(ReplyAddress, Bool)]>([])

        func add(_ waiter: ReplyAddress, _ decided: Bool) { list.withLock { $0.append((waiter, decided)) } }
        var waiters: [UInt64] { list.withLock { $0.map(\.0.exchange) } }
        var decisions: Set<Bool> { list.withLock { Set($0.map(\.1)) } }
    }

    @Test func onePerKeyAndAllHearOfItsEnd() {
        let registry = ProbeRegistry()
        let told = Told()
        registry.connect { told.add($0, $1) }
        #expect(registry.begin(key(1), waiter(1), waitersMax: 2, runningMax: 2) == .first)
        for number in 2...3 as ClosedRange<UInt64> {
            #expect(registry.begin(key(1), waiter(number), waitersMax: 2, runningMax: 2) == .waits)
        }
        #expect(registry.begin(key(1), waiter(4), waitersMax: 2, runningMax: 2) == .full)
        // One that nobody waits for finds it running, and takes no place.
        #expect(registry.begin(key(1), nil, waitersMax: 2, runningMax: 2) == .waits)
        #expect(registry.begin(key(2), nil, waitersMax: 2, runningMax: 2) == .first)
        #expect(registry.begin(key(3), waiter(5), waitersMax: 2, runningMax: 2) == .full)
        registry.end(key(1), .found, atMilliseconds: 7)
        #expect(told.waiters == [1, 2, 3] && told.decisions == [true])
        registry.end(key(2), .unclear, atMilliseconds: 8)
        #expect(told.waiters.count == 3 && registry.runningCount == 0)
        #expect(registry.begin(key(1), waiter(6), waitersMax: 2, runningMax: 2) == .first)
        registry.end(key(1), .unclear, atMilliseconds: 9)
        #expect(told.decisions == [true, false])
        let history = ProbeRegistry.History(count: 2, lastAtMilliseconds: 9, lastResult: .unclear)
        #expect(registry.history(of: key(1)) == history)
    }

    @Test func onlyVerdictsDecide() {
        let decisions = ProbeResult.allCases.filter(\.isDecision)
        #expect(decisions == [.found, .absent, .superseded])
        #expect(Set(ProbeResult.allCases.map(\.label.description)).count == ProbeResult.allCases.count)
    }

    @Test func lateAttemptsAreCounted() {
        let registry = ProbeRegistry()
        registry.becameLate(key(1))
        registry.becameLate(key(1))
        registry.lateEnded(key(1))
        #expect(registry.isLate(key(1)) && !registry.isLate(key(2)))
        registry.lateEnded(key(1))
        registry.lateEnded(key(1))
        #expect(!registry.isLate(key(1)))
    }

    @Test func whatWaitsInTheBackgroundIsBounded() {
        let registry = ProbeRegistry()
        #expect(registry.addPending(key(1), epoch: 1, countMax: 1))
        #expect(!registry.addPending(key(2), epoch: 1, countMax: 1))
        // A later outcome of the same key takes the place of the earlier one, whose end does not end it.
        #expect(registry.addPending(key(1), epoch: 2, countMax: 1))
        registry.removePending(key(1), epoch: 1)
        #expect(registry.isPending(key(1), epoch: 2) && !registry.isPending(key(1), epoch: 1))
        registry.removePending(key(1))
        #expect(registry.pendingCount == 0)
    }

    @Test func historiesAreBounded() {
        let registry = ProbeRegistry()
        for number in 0..<5_000 as Range<UInt64> { registry.end(key(number), .failed, atMilliseconds: number) }
        #expect(registry.history(of: key(0)) == nil && registry.history(of: key(4_999))?.count == 1)
    }

    @Test func eventsAreBoundedUntilTheyAreDone() {
        let queue = WebhookQueue()
        let event = UnknownEvent(
            key: key(1), epoch: 3, route: "a\"b", cause: .timedOut, claimedAtMilliseconds: 1, unknownAtMilliseconds: 2)
        #expect(queue.add(event, countMax: 2) == .off)
        queue.turn(on: true)
        #expect(queue.add(event, countMax: 2) == .added && queue.add(event, countMax: 2) == .added)
        #expect(queue.add(event, countMax: 2) == .full)
        #expect(queue.take() == event)
        // Taken, and not delivered yet.
        #expect(queue.add(event, countMax: 2) == .full)
        queue.done()
        #expect(queue.add(event, countMax: 2) == .added)
        let hexadecimal = key(1).hexadecimal
        #expect(
            event.json == """
                {"event":"outcome_unknown","id":"\(hexadecimal)-3","route":"a\\"b","key":"\(hexadecimal)",\
                "cause":"timed_out","claimed_at_ms":1,"unknown_at_ms":2}
                """)
    }
}
