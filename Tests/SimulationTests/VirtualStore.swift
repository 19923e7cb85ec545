import Idempotency
import Synchronization

@testable import Stores

/// A store that lives in the simulation's time.
protocol VirtualStore: AnyObject {
    /// Takes effect now, or later in the order of the calls.
    func handle(_ request: StoreRequest)
    func markSent(_ claim: ClaimReference)
    /// The process ends at this moment, and another opens the store.
    func crash()
    /// Keys whose claim is open.
    func openKeys() -> [RecordKey]
}

/// The production store in memory, called directly instead of through its queue.
final class MemoryStore: VirtualStore {
    private static let listAddress = ReplyAddress(worker: 1, exchange: .max)

    private unowned let simulation: Simulation
    private let core: InMemoryCore
    private let replies: Replies
    private var requests = 0
    /// Who was told that it joined, and nothing since.
    private var joined: Set<ReplyAddress> = []

    private final class Replies: Sendable {
        let waiting = Mutex<[StoreReply]>([])

        func take() -> [StoreReply] {
            waiting.withLock { waiting in
                defer { waiting = [] }
                return waiting
            }
        }
    }

    init(_ simulation: Simulation) {
        self.simulation = simulation
        let replies = Replies()
        self.replies = replies
        core = InMemoryCore(bytesMax: 1 << 30, clock: simulation.clock.storeClock) { _, list in
            replies.waiting.withLock { $0 += list }
        }
    }

    func handle(_ request: StoreRequest) {
        let standing = keyToResolve(request).flatMap { key in list().first { $0.key == key } }
        core.handle([request])
        core.deliver()
        let answers = replies.take()
        observe(request, answers, standing)
        for reply in answers {
            if reply.result == .joined { joined.insert(reply.address) } else { joined.remove(reply.address) }
            simulation.proxy.deliver(reply)
        }
        if case .leave(_, let address) = request { joined.remove(address) }
        requests += 1
        if requests % 4 == 0 { checkWaiters() }
        if requests % 16 == 0 { core.expire() }
    }

    private func keyToResolve(_ request: StoreRequest) -> RecordKey? {
        if case .resolve(let key, _, _) = request { key } else { nil }
    }

    private func observe(_ request: StoreRequest, _ answers: [StoreReply], _ standing: RecordSummary?) {
        for case .claimed(let claim) in answers.lazy.map(\.result) {
            guard let record = list().first(where: { $0.epoch == claim.epoch }) else {
                return simulation.fail("a claim was given and no record stands")
            }
            let fingerprint: Fingerprint
            switch request {
            case .claim(let asked, _): fingerprint = asked.fingerprint
            default: fingerprint = fingerprints[claim.key] ?? Fingerprint(words: (0, 0, 0, 0))
            }
            fingerprints[claim.key] = fingerprint
            simulation.oracle.claimed(
                claim.key, fingerprint, epoch: claim.epoch, expiresAt: record.expiresAtMilliseconds)
        }
        switch request {
        case .complete(let claim, let outcome, let address), .settle(let claim, let outcome, let address):
            guard answers.contains(where: { $0.address == address && $0.result == .stored(.durable) }) else { return }
            simulation.oracle.settled(claim.epoch)
            switch outcome {
            case .answered, .notKept: simulation.oracle.recorded(claim.epoch, outcome)
            case .unknown: break
            case .released: if case .settle = request { simulation.oracle.releasedByProbe(claim.epoch) }
            }
        case .resolve(let key, let resolution, _) where standing != nil:
            guard answers.contains(where: { if case .resolved(.done) = $0.result { true } else { false } }) else {
                return
            }
            if case .answer(let answer) = resolution {
                simulation.oracle.settledByOperator(key, answer: answer)
            } else {
                simulation.oracle.settledByOperator(key, answer: nil)
            }
        default: break
        }
    }

    /// Of the claim that is open: a waiter that takes it over has the same.
    private var fingerprints: [RecordKey: Fingerprint] = [:]

    private func list() -> [RecordSummary] {
        core.handle([.list(RecordFilter(), Self.listAddress)])
        core.deliver()
        for case .listed(let records) in replies.take().map(\.result) { return records }
        return []
    }

    private func checkWaiters() {
        let records = list()
        let waiting = records.reduce(0) { $0 + $1.waiters }
        if waiting != joined.count { simulation.fail("\(joined.count) have joined, and \(waiting) wait") }
        for record in records where record.waiters > simulation.plan.policy.waitersMax {
            simulation.fail("\(record.waiters) wait for key \(Oracle.number(of: record.key))")
        }
    }

    func markSent(_ claim: ClaimReference) {}

    func crash() {
        simulation.fail("records in memory do not survive a crash; the plan is wrong")
    }

    func openKeys() -> [RecordKey] {
        list().filter { $0.state == .inFlight }.map(\.key)
    }
}
