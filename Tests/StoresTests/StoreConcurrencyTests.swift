import Dispatch
import Glibc
import Idempotency
import Stores
import Synchronization
import Testing

/// Several workers at once, their history checked as it happens.
@Suite("Store contract: concurrency")
struct StoreConcurrencyTests {
    @Test("At most one claim is open, and every replay is the recorded answer", arguments: StoreKind.allCases)
    func history(_ kind: StoreKind) throws {
        let workers = (0..<4).map { _ in WorkerInbox() }
        let directory = TemporaryDirectory()
        let deliver: @Sendable (Int, [StoreReply]) -> Void = { workers[$0].put($1) }
        let store: any TestableStore =
            switch kind {
            case .memory: InMemoryStore(bytesMax: 1 << 30, deliver: deliver)
            case .embedded, .sealed: try embedded(directory, deliver, keyRing: kind == .sealed ? keyRing(1) : nil)
            }
        let checker = HistoryChecker()
        DispatchQueue.concurrentPerform(iterations: workers.count) { index in
            var client = HistoryClient(
                worker: UInt32(index), store: store, inbox: workers[index], checker: checker,
                random: Random(seed: UInt64(index) + 1))
            client.run(steps: 1500)
        }
        #expect(checker.violations.withLock { $0 } == [])
        let figures = store.statistics
        #expect(figures.openClaims == 0)
        #expect(figures.records == checker.answered + checker.unknown)
        #expect(figures.unknowns == checker.unknown)
        store.close()
    }

    private func embedded(
        _ directory: TemporaryDirectory, _ deliver: @escaping EmbeddedStore.Deliver, keyRing: KeyRing?
    ) throws -> EmbeddedStore {
        var options = EmbeddedStoreOptions(directory: directory.path + "/store")
        options.keyRing = keyRing
        return try EmbeddedStore(options: options, deliver: deliver)
    }
}

private final class WorkerInbox: Sendable {
    private let replies = Mutex<[StoreReply]>([])
    private let arrival = DispatchSemaphore(value: 0)

    func put(_ new: [StoreReply]) {
        replies.withLock { $0 += new }
        arrival.signal()
    }

    func take(waits: Bool) -> [StoreReply] {
        while true {
            let taken = replies.withLock { replies in
                let taken = replies
                replies = []
                return taken
            }
            if !taken.isEmpty || !waits { return taken }
            arrival.wait()
        }
    }
}

private final class HistoryChecker: Sendable {
    private struct State {
        var open: [UInt64: UInt64] = [:]
        var answers: [UInt64: RecordedAnswer] = [:]
        var durable: Set<UInt64> = []
        var unknown: Set<UInt64> = []
        var epochs: Set<UInt64> = []
    }

    let violations = Mutex<[String]>([])
    private let state = Mutex(State())

    var answered: Int { state.withLock { $0.durable.count } }
    var unknown: Int { state.withLock { $0.unknown.subtracting($0.durable).count } }

    private func violate(_ text: String) { violations.withLock { $0.append(text) } }

    func claimed(_ number: UInt64, _ reference: ClaimReference) {
        state.withLock { state in
            if let other = state.open[number] { violate("\(number) claimed while \(other) is open") }
            if state.durable.contains(number) || state.unknown.contains(number) {
                violate("\(number) claimed while a record stands")
            }
            if !state.epochs.insert(reference.epoch).inserted { violate("epoch \(reference.epoch) given twice") }
            state.open[number] = reference.epoch
        }
    }

    /// Before the outcome is submitted.
    func completing(_ number: UInt64, _ reference: ClaimReference, _ outcome: Outcome) {
        state.withLock { state in
            if state.open[number] == reference.epoch { state.open[number] = nil }
            switch outcome {
            case .answered(let answer): state.answers[reference.epoch] = answer
            case .unknown: state.unknown.insert(number)
            default: break
            }
        }
    }

    func stored(_ number: UInt64, _ outcome: Outcome) {
        if case .answered = outcome { _ = state.withLock { $0.durable.insert(number) } }
    }

    func recorded(_ answer: RecordedAnswer, _ epoch: UInt64) {
        state.withLock { if $0.answers[epoch] != answer { violate("a replay of epoch \(epoch) differs") } }
    }

    func saw(_ result: StoreResult, _ number: UInt64) { violate("\(result) for \(number)") }
}

/// One worker: claims keys at random, and completes what it is given at random.
private struct HistoryClient {
    private enum Asked {
        case claim(UInt64)
        case outcome(UInt64, ClaimReference, Outcome)
    }

    let worker: UInt32
    let store: any TestableStore
    let inbox: WorkerInbox
    let checker: HistoryChecker
    var random: Random
    private var asked: [UInt64: Asked] = [:]
    private var held: [(UInt64, ClaimReference)] = []
    private var exchange: UInt64 = 0

    init(worker: UInt32, store: any TestableStore, inbox: WorkerInbox, checker: HistoryChecker, random: Random) {
        self.worker = worker
        self.store = store
        self.inbox = inbox
        self.checker = checker
        self.random = random
    }

    mutating func run(steps: Int) {
        for step in 0..<steps {
            var requests: [StoreRequest] = []
            for _ in 0..<Int(random.next() % 6) {
                // The keys move on, so that there are always some without a record.
                let number = UInt64(step / 20) + random.next() % 12
                requests.append(.claim(claim(number), ask(.claim(number))))
            }
            while !held.isEmpty, random.next() % 3 != 0 { requests.append(complete()) }
            if !requests.isEmpty { store.submit(requests) }
            for reply in inbox.take(waits: asked.count > 40) { take(reply) }
        }
        while !asked.isEmpty || !held.isEmpty {
            var requests: [StoreRequest] = []
            while !held.isEmpty { requests.append(complete()) }
            if !requests.isEmpty { store.submit(requests) }
            for reply in inbox.take(waits: true) { take(reply) }
        }
    }

    private mutating func ask(_ question: Asked) -> ReplyAddress {
        exchange += 1
        asked[exchange] = question
        return ReplyAddress(worker: worker, exchange: exchange)
    }

    private mutating func complete() -> StoreRequest {
        let (number, reference) = held.remove(at: Int(random.next() % UInt64(held.count)))
        let outcome: Outcome =
            switch random.next() % 10 {
            case 0..<4: .released
            case 4: .unknown(.broken)
            default: .answered(answer("\(number) by \(reference.epoch)"))
            }
        checker.completing(number, reference, outcome)
        return .complete(reference, outcome, ask(.outcome(number, reference, outcome)))
    }

    private mutating func take(_ reply: StoreReply) {
        guard let question = asked[reply.address.exchange] else { return checker.saw(reply.result, 0) }
        if reply.result == .joined { return }
        asked[reply.address.exchange] = nil
        switch (question, reply.result) {
        case (.claim(let number), .claimed(let reference)):
            checker.claimed(number, reference)
            store.markSent(reference)
            held.append((number, reference))
        case (.claim, .recorded(let answer, let epoch)): checker.recorded(answer, epoch)
        case (.claim, .unknown(let outcome)) where outcome.cause == .broken: break
        case (.claim, .tooManyWaiters): break
        case (.outcome(let number, let reference, let outcome), .stored(.durable)):
            checker.stored(number, outcome)
            // The answer comes late.
            if case .unknown = outcome, random.next() % 2 == 0 {
                let late = Outcome.answered(answer("\(number) late"))
                checker.completing(number, reference, late)
                store.submit([.complete(reference, late, ask(.outcome(number, reference, late)))])
            }
        case (.claim(let number), let result), (.outcome(let number, _, _), let result): checker.saw(result, number)
        }
    }
}

/// SplitMix64.
struct Random {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
