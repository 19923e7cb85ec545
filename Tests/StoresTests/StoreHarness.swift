import Dispatch
import Glibc
import Idempotency
import Stores
import Synchronization
import Testing

/// Collects a store's replies and lets a test wait for those of one address.
final class Replies: Sendable {
    private struct State {
        var results: [ReplyAddress: [StoreResult]] = [:]
        var waiting: [ReplyAddress: DispatchSemaphore] = [:]
    }

    private let state = Mutex(State())

    func take(worker: Int, _ replies: [StoreReply]) {
        state.withLock { state in
            for reply in replies {
                precondition(Int(reply.address.worker) == worker)
                state.results[reply.address, default: []].append(reply.result)
                state.waiting[reply.address]?.signal()
            }
        }
    }

    /// The next result for the address, in the order of arrival.
    func next(_ address: ReplyAddress) -> StoreResult {
        let arrival = DispatchSemaphore(value: 0)
        while true {
            let result = state.withLock { state -> StoreResult? in
                state.waiting[address] = nil
                guard var results = state.results[address], !results.isEmpty else {
                    state.waiting[address] = arrival
                    return nil
                }
                let first = results.removeFirst()
                state.results[address] = results
                return first
            }
            if let result { return result }
            guard arrival.wait(timeout: .now() + .seconds(20)) == .success else {
                fatalError("no reply for \(address) within 20 s")
            }
        }
    }

    /// Whether anything has arrived for the address and was not taken.
    func isEmpty(_ address: ReplyAddress) -> Bool {
        state.withLock { $0.results[address]?.isEmpty ?? true }
    }
}

extension StoreResult {
    /// Of a claim that met an unknown outcome.
    var unknownCause: UnknownCause? {
        if case .unknown(let outcome) = self { outcome.cause } else { nil }
    }

    /// The operator's decision was taken.
    var isDone: Bool {
        if case .resolved(.done) = self { true } else { false }
    }
}

/// A clock that a test sets.
final class TestClock: Sendable {
    private let time = Atomic<UInt64>(1_700_000_000_000)

    var now: UInt64 {
        get { time.load(ordering: .sequentiallyConsistent) }
        set { time.store(newValue, ordering: .sequentiallyConsistent) }
    }

    func advance(milliseconds: UInt64) {
        time.add(milliseconds, ordering: .sequentiallyConsistent)
    }

    var storeClock: StoreClock {
        StoreClock { self.now }
    }
}

/// What both stores offer beyond the protocol.
protocol TestableStore: RecordStore {
    var statistics: StoreStatistics { get }
    func runUpkeep()
}

extension EmbeddedStore: TestableStore {}
extension InMemoryStore: TestableStore {}

enum StoreKind: String, CaseIterable, Sendable {
    case memory
    case embedded
    /// The embedded store with keys.
    case sealed
}

/// A store under test, on a directory of its own.
final class StoreHarness: Sendable {
    let store: any TestableStore
    let replies = Replies()
    let clock = TestClock()
    private let directory = TemporaryDirectory()
    private let calls: StoreCalls

    init(_ kind: StoreKind, bytesMax: UInt64 = 1 << 30) throws {
        let replies = replies
        switch kind {
        case .memory:
            store = InMemoryStore(bytesMax: bytesMax, clock: clock.storeClock) { replies.take(worker: $0, $1) }
        case .embedded, .sealed:
            var options = EmbeddedStoreOptions(directory: directory.path + "/store")
            options.bytesMax = bytesMax
            options.clock = clock.storeClock
            options.keyRing = kind == .sealed ? keyRing(1) : nil
            store = try EmbeddedStore(options: options) { replies.take(worker: $0, $1) }
        }
        calls = StoreCalls(store: store, replies: replies)
    }

    func address() -> ReplyAddress { calls.address() }
    func claim(_ claim: Claim) -> StoreResult { calls.claim(claim) }
    func submit(_ claim: Claim) -> ReplyAddress { calls.submit(claim) }
    func claimed(_ claim: Claim, sourceLocation: SourceLocation = #_sourceLocation) throws -> ClaimReference {
        try calls.claimed(claim, sourceLocation: sourceLocation)
    }
    func join(_ claim: Claim, sourceLocation: SourceLocation = #_sourceLocation) -> ReplyAddress {
        calls.join(claim, sourceLocation: sourceLocation)
    }
    func complete(_ reference: ClaimReference, _ outcome: Outcome) -> StoreResult { calls.complete(reference, outcome) }
    func settled(_ reference: ClaimReference, _ outcome: Outcome) -> StoreResult { calls.settled(reference, outcome) }
    func append(_ reference: ClaimReference, _ octets: [UInt8]) -> StoreResult { calls.append(reference, octets) }
    func read(_ reference: ClaimReference, _ offset: UInt64, _ countMax: Int) -> StoreResult {
        calls.read(reference, offset, countMax)
    }
    func body(_ reference: ClaimReference, _ count: Int, countMax: Int = 65_536) -> [UInt8]? {
        calls.body(reference, count, countMax: countMax)
    }
    func list(_ filter: RecordFilter = RecordFilter()) -> [RecordSummary] { calls.list(filter) }
    func resolve(_ key: RecordKey, _ resolution: Resolution) -> StoreResult { calls.resolve(key, resolution) }
    @discardableResult
    func record(_ number: UInt64, _ text: String = "done") throws -> ClaimReference { try calls.record(number, text) }
    func settle() { calls.settle() }
}

/// A store's requests as calls that wait for their answer.
struct StoreCalls: Sendable {
    let store: any RecordStore
    let replies: Replies
    private static let exchange = Atomic<UInt64>(1)

    func address() -> ReplyAddress {
        ReplyAddress(worker: 0, exchange: Self.exchange.add(1, ordering: .relaxed).newValue)
    }

    func claim(_ claim: Claim) -> StoreResult {
        replies.next(submit(claim))
    }

    /// Where the answer will come.
    func submit(_ claim: Claim) -> ReplyAddress {
        let address = address()
        store.submit([.claim(claim, address)])
        return address
    }

    /// A claim that must join.
    func join(_ claim: Claim, sourceLocation: SourceLocation = #_sourceLocation) -> ReplyAddress {
        let address = submit(claim)
        #expect(replies.next(address) == .joined, sourceLocation: sourceLocation)
        return address
    }

    /// The reference of a claim that must be given.
    func claimed(_ claim: Claim, sourceLocation: SourceLocation = #_sourceLocation) throws -> ClaimReference {
        let result = self.claim(claim)
        guard case .claimed(let reference) = result else {
            Issue.record("\(result) instead of a claim", sourceLocation: sourceLocation)
            throw NotClaimed()
        }
        return reference
    }

    /// A claim that was given is answered, and everything submitted so far has taken effect.
    func record(_ number: UInt64, _ text: String) throws -> ClaimReference {
        let reference = try claimed(StoresTests.claim(number))
        store.markSent(reference)
        #expect(complete(reference, .answered(answer(text))) == .stored(.durable))
        return reference
    }

    func complete(_ reference: ClaimReference, _ outcome: Outcome) -> StoreResult {
        let address = address()
        store.submit([.complete(reference, outcome, address)])
        return replies.next(address)
    }

    func settled(_ reference: ClaimReference, _ outcome: Outcome) -> StoreResult {
        let address = address()
        store.submit([.settle(reference, outcome, address)])
        return replies.next(address)
    }

    func append(_ reference: ClaimReference, _ octets: [UInt8]) -> StoreResult {
        let address = address()
        store.submit([.appendBody(reference, octets, address)])
        return replies.next(address)
    }

    func read(_ reference: ClaimReference, _ offset: UInt64, _ countMax: Int) -> StoreResult {
        let address = address()
        store.submit([.readBody(reference, from: offset, countMax: countMax, address)])
        return replies.next(address)
    }

    /// Exactly so many octets, read in slices; nil when they do not stand.
    func body(_ reference: ClaimReference, _ count: Int, countMax: Int = 65_536) -> [UInt8]? {
        var octets: [UInt8] = []
        while octets.count < count {
            guard case .body(.octets(let slice)) = read(reference, UInt64(octets.count), countMax), !slice.isEmpty,
                slice.count <= min(countMax, StoredBody.pieceBytes)
            else { return nil }
            octets += slice
        }
        return octets.count == count ? octets : nil
    }

    func list(_ filter: RecordFilter) -> [RecordSummary] {
        let address = address()
        store.submit([.list(filter, address)])
        guard case .listed(let summaries) = replies.next(address) else { return [] }
        return summaries
    }

    /// Waits until everything submitted so far has taken effect.
    func settle() {
        _ = list(RecordFilter())
    }

    func resolve(_ key: RecordKey, _ resolution: Resolution) -> StoreResult {
        let address = address()
        store.submit([.resolve(key, resolution, address)])
        return replies.next(address)
    }

    struct NotClaimed: Error {}
}

/// A directory that goes with its owner.
final class TemporaryDirectory: Sendable {
    let path: String

    init(in parent: String = "/tmp") {
        var template = [CChar]((parent + "/oncegate-stores-XXXXXX").utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }

    deinit {
        removeTree(path)
    }
}

func removeTree(_ path: String) {
    guard let stream = opendir(path) else {
        unlink(path)
        return
    }
    while let entry = readdir(stream) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) {
            String(cString: $0.bindMemory(to: CChar.self).baseAddress!)
        }
        if name != "." && name != ".." { removeTree(path + "/" + name) }
    }
    closedir(stream)
    rmdir(path)
}

// MARK: Values

func key(_ number: UInt64) -> RecordKey {
    Digest256(words: (number &* 0x9E37_79B9_7F4A_7C15, number, ~number, 7))
}

func fingerprint(_ number: UInt64) -> Fingerprint {
    Digest256(words: (number, 1, 2, 3))
}

func claim(_ number: UInt64, print: UInt64 = 1, retentionMilliseconds: UInt64 = 3_600_000) -> Claim {
    Claim(
        key: key(number), fingerprint: fingerprint(print), route: "route", retentionMilliseconds: retentionMilliseconds)
}

func answer(_ text: String, status: UInt16 = 201) -> RecordedAnswer {
    let body = [UInt8](text.utf8)
    return RecordedAnswer(
        status: status, framing: .length, fieldLines: [UInt8]("Content-Length: \(body.count)\r\nX-Test: a\r\n".utf8),
        body: body)
}

/// A ring of keys that each number always makes the same.
func keyRing(_ numbers: UInt8...) -> KeyRing {
    // Distinct and no repetitions of one octet, so the ring is one.
    try! KeyRing(numbers.map { number in KeyRing.Key(octets: (0..<32).map { UInt8($0) &* 7 &+ number }) })
}
