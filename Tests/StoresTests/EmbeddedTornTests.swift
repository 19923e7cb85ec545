import Glibc
import Idempotency
import Stores
import Testing

/// A log that ends anywhere.
@Suite("Embedded store: torn log")
struct EmbeddedTornTests {
    /// Cut at every octet with ONCEGATE_FULL=1, else around each frame and at steps between.
    @Test("The log cut anywhere in its last three commits")
    func cut() throws {
        let source = TemporaryDirectory()
        let harness = try EmbeddedHarness(source)
        let log = source.path + "/store/records.db-wal"
        // Claimed, completed, claimed: each end of a commit, with what stands from there on.
        try harness.record(1, "first")
        let open = try harness.claimed(claim(2))
        harness.store.markSent(open)
        var ends = [fileSize(log)]
        _ = harness.complete(open, .answered(answer("second")))
        ends.append(fileSize(log))
        let third = try harness.claimed(claim(3))
        harness.store.markSent(third)
        ends.append(fileSize(log))
        let fourth = try harness.claimed(claim(4))
        _ = fourth
        ends.append(fileSize(log))

        let target = TemporaryDirectory(in: "/dev/shm")
        copyStore(source.path + "/store", to: target.path + "/copy")
        let whole = readFile(target.path + "/copy/records.db-wal")
        try #require(ends == ends.sorted() && ends[0] < ends[3] && ends[3] == whole.count)
        let isFull = getenv("ONCEGATE_FULL") != nil
        for size in ends[0]...ends[3] {
            let inFrame = (size - 32) % 4120
            guard isFull || inFrame < 30 || inFrame > 4117 || size % 211 == 0 else { continue }
            mkdir(target.path + "/store", 0o700)
            for name in ["records.db", "sendmarks"] {
                writeFile(target.path + "/store/" + name, readFile(target.path + "/copy/" + name))
            }
            writeFile(target.path + "/store/records.db-wal", whole[..<size])
            let torn = try EmbeddedHarness(target) { $0.markSlots = 16 }
            #expect(
                torn.claim(claim(1)) == .recorded(answer("first"), epoch: 0).epoch(of: torn.claim(claim(1))), "\(size)")
            switch torn.claim(claim(2)) {
            case .recorded(answer("second"), _): #expect(size >= ends[1])
            case .unknown(let outcome) where outcome.cause == .ownerDied: #expect(size < ends[1])
            case let other: Issue.record("\(other) at \(size)")
            }
            switch torn.claim(claim(3)) {
            case .unknown(let outcome) where outcome.cause == .ownerDied: #expect(size >= ends[2])
            case .claimed: #expect(size < ends[2])
            case let other: Issue.record("\(other) at \(size)")
            }
            // Its claim stands or not; nothing of it was sent.
            guard case .claimed = torn.claim(claim(4)) else {
                Issue.record("no claim at \(size)")
                return
            }
            torn.store.close()
            removeTree(target.path + "/store")
        }
    }
}

extension StoreResult {
    /// This recorded answer with the epoch of another.
    func epoch(of other: StoreResult) -> StoreResult {
        if case .recorded(let answer, _) = self, case .recorded(_, let epoch) = other {
            .recorded(answer, epoch: epoch)
        } else {
            self
        }
    }
}
