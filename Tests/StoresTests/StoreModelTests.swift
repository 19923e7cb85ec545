import Glibc
import Idempotency
import Stores
import Testing

/// The in-memory store is the oracle: whatever is asked, in whatever order, the embedded one answers the same.
@Suite("Store contract: both stores agree")
struct StoreModelTests {
    /// 60 seeds with ONCEGATE_FULL=1.
    static let seeds: Range<UInt64> = 0..<(getenv("ONCEGATE_FULL") == nil ? 6 : 60)

    @Test("Random requests, plain and sealed", arguments: [StoreKind.embedded, .sealed], Self.seeds)
    func agree(_ kind: StoreKind, seed: UInt64) throws {
        var walk = try Walk(kind, seed: seed)
        var names: [String] = []
        for step in 0..<400 {
            let (name, results) = walk.step()
            names.append(name)
            try #require(results.memory == results.embedded, "seed \(seed), step \(step): \(names.suffix(40))")
        }
    }
}

/// An answer with epochs replaced by the number of the claim.
private enum Seen: Equatable {
    case claimed(Int)
    case recorded(RecordedAnswer, Int?)
    case other(StoreResult)
    case listed([String])
    case unasked
}

private struct Walk {
    private let memory: StoreHarness
    private let embedded: StoreHarness
    private var random: Random
    /// Claims as each store gave them.
    private var claims: [(memory: ClaimReference, embedded: ClaimReference, key: UInt64, bytes: Int)] = []

    init(_ kind: StoreKind, seed: UInt64) throws {
        memory = try StoreHarness(.memory)
        embedded = try StoreHarness(kind)
        random = Random(seed: seed &* 7919 + 13)
    }

    private mutating func below(_ count: UInt64) -> UInt64 { random.next() % count }

    mutating func step() -> (String, (memory: Seen, embedded: Seen)) {
        switch below(20) {
        case 0..<6: return ("claim", claim())
        case 6..<9: return ("complete", complete())
        case 9..<13: return ("append", append())
        case 13..<16: return ("read", read())
        case 16: return ("deliver", deliver())
        case 17: return ("resolve", resolve())
        case 18: return ("time", passTime())
        default: return ("list", list())
        }
    }

    private mutating func claim() -> (memory: Seen, embedded: Seen) {
        let number = below(5)
        var claim = StoresTests.claim(number, print: below(10) == 0 ? 2 : 1)
        claim.joins = false
        claim.resendsUnknown = below(4) == 0
        claim.runsAfterDelivery = below(2) == 0
        let results = (memory.claim(claim), embedded.claim(claim))
        if case (.claimed(let first), .claimed(let second)) = results { claims.append((first, second, number, 0)) }
        return seen(results)
    }

    private mutating func complete() -> (memory: Seen, embedded: Seen) {
        guard let index = index() else { return (.unasked, .unasked) }
        let outcome: Outcome
        switch below(8) {
        case 0: outcome = .released
        case 1, 2: outcome = .unknown(.broken)
        case 3: outcome = .notKept(Tombstone(status: 200, bodyBytes: 3, bodyDigest: fingerprint(index.magnitude64)))
        case 4: outcome = .answered(answer("\(index)"))
        default:
            let bytes = claims[index].bytes + (below(12) == 0 ? 1 : 0)
            outcome = .answered(StoreBodyTests.answer(stored: bytes, [UInt8]("rest \(index)".utf8)))
        }
        if below(4) == 0 {
            return seen(
                (memory.settled(claims[index].memory, outcome), embedded.settled(claims[index].embedded, outcome)))
        }
        return seen(
            (memory.complete(claims[index].memory, outcome), embedded.complete(claims[index].embedded, outcome)))
    }

    private mutating func append() -> (memory: Seen, embedded: Seen) {
        guard let index = index() else { return (.unasked, .unasked) }
        let sizes = [0, 1, 1000, 65_536, 70_000, 140_000]
        let octets = StoreBodyTests.octets(sizes[Int(below(6))], seed: random.next())
        let results = (memory.append(claims[index].memory, octets), embedded.append(claims[index].embedded, octets))
        if case .body(.appended(let bytes)) = results.0 { claims[index].bytes = Int(bytes) }
        return seen(results)
    }

    /// Upkeep first, of the next second: what has expired or is given up may stand until then.
    private mutating func read() -> (memory: Seen, embedded: Seen) {
        guard let index = index() else { return (.unasked, .unasked) }
        for harness in [memory, embedded] {
            harness.clock.advance(milliseconds: 1001)
            harness.store.runUpkeep()
        }
        let offset = below(UInt64(claims[index].bytes) + 2)
        let results = (
            memory.read(claims[index].memory, offset, 40), embedded.read(claims[index].embedded, offset, 40)
        )
        // A slice may end with its piece.
        if case (.body(.octets(let first)), .body(.octets(let second))) = results, !second.isEmpty {
            return seen((results.0, second == Array(first.prefix(second.count)) ? results.0 : results.1))
        }
        return seen(results)
    }

    private mutating func deliver() -> (memory: Seen, embedded: Seen) {
        guard let index = index() else { return (.unasked, .unasked) }
        memory.store.submit([.delivered(claims[index].memory)])
        embedded.store.submit([.delivered(claims[index].embedded)])
        return (.unasked, .unasked)
    }

    private mutating func resolve() -> (memory: Seen, embedded: Seen) {
        let resolutions: [Resolution] = [.forget, .release, .answer(answer("by hand"))]
        let resolution = resolutions[Int(below(3))]
        let key = key(below(5))
        return seen((memory.resolve(key, resolution), embedded.resolve(key, resolution)))
    }

    private mutating func passTime() -> (memory: Seen, embedded: Seen) {
        let milliseconds = [1001, 400_000, 400_000, 4_000_000][Int(below(4))] as UInt64
        for harness in [memory, embedded] {
            harness.clock.advance(milliseconds: milliseconds)
            harness.store.runUpkeep()
        }
        return list()
    }

    private func list() -> (memory: Seen, embedded: Seen) {
        func lines(_ harness: StoreHarness) -> Seen {
            .listed(
                harness.list().map {
                    "\($0.key) \($0.state) \($0.status) \($0.bodyBytes) \($0.isDelivered) \($0.expiresAtMilliseconds) "
                        + "\($0.unknownAtMilliseconds) \(String(describing: $0.unknownCause)) "
                        + "\($0.settledAtMilliseconds) \(String(describing: $0.settlement))"
                }.sorted())
        }
        return (lines(memory), lines(embedded))
    }

    /// One of the claims, mostly a late one.
    private mutating func index() -> Int? {
        guard !claims.isEmpty else { return nil }
        let back = Int(below(below(3) == 0 ? UInt64(claims.count) : min(4, UInt64(claims.count))))
        return claims.count - 1 - back
    }

    private func seen(_ results: (StoreResult, StoreResult)) -> (memory: Seen, embedded: Seen) {
        (
            seen(results.0) { epoch in claims.firstIndex { $0.memory.epoch == epoch } },
            seen(results.1) { epoch in claims.firstIndex { $0.embedded.epoch == epoch } }
        )
    }

    private func seen(_ result: StoreResult, _ number: (UInt64) -> Int?) -> Seen {
        switch result {
        case .claimed(let reference): return .claimed(number(reference.epoch) ?? -1)
        case .recorded(let answer, let epoch): return .recorded(answer, number(epoch))
        case .unknown(var outcome):
            outcome.epoch = UInt64(number(outcome.epoch) ?? 0)
            return .other(.unknown(outcome))
        case .resolved(.done(var record)):
            record.epoch = UInt64(number(record.epoch) ?? 0)
            return .other(.resolved(.done(record)))
        default: return .other(result)
        }
    }
}

extension Int {
    fileprivate var magnitude64: UInt64 { UInt64(magnitude) }
}
