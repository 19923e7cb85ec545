import Glibc
import Idempotency
import Stores
import Testing

/// What stands after the process ended, however it ended.
@Suite("Embedded store: restart")
struct EmbeddedRestartTests {
    @Test("Everything recorded stands after a close", arguments: [true, false])
    func recordsStand(isClosed: Bool) throws {
        let directory = TemporaryDirectory()
        var first: EmbeddedHarness? = try EmbeddedHarness(directory)
        var epochs: [UInt64] = []
        for number in UInt64(0)..<50 { epochs.append(try #require(first).record(number, "answer \(number)").epoch) }
        let unknown = try #require(first).claimed(claim(100))
        _ = first?.complete(unknown, .unknown(.timedOut))
        let tombstone = Tombstone(status: 200, bodyBytes: 5, bodyDigest: fingerprint(5))
        _ = try #require(first).complete(first!.claimed(claim(101)), .notKept(tombstone))
        _ = try #require(first).complete(first!.claimed(claim(102)), .released)
        first?.store.submit([.delivered(ClaimReference(key: key(3), epoch: epochs[3]))])
        first?.settle()
        if isClosed { first?.store.close() }
        crash(&first)
        let second = try EmbeddedHarness(directory)
        for number in UInt64(0)..<50 {
            #expect(second.claim(claim(number)) == .recorded(answer("answer \(number)"), epoch: epochs[Int(number)]))
        }
        #expect(second.claim(claim(1, print: 2)) == .mismatch)
        #expect(second.claim(claim(100)).unknownCause == .timedOut)
        #expect(second.claim(claim(101)) == .notKept(tombstone))
        _ = try second.claimed(claim(102))
        var filter = RecordFilter()
        filter.key = key(3)
        #expect(second.list(filter).first?.isDelivered == true)
        #expect(second.store.statistics.unknowns == 1)
        // The late answer of an earlier process's claim is taken too.
        #expect(second.complete(unknown, .answered(answer("late"))) == .stored(.durable))
        #expect(second.claim(claim(100)) == .recorded(answer("late"), epoch: unknown.epoch))
    }

    @Test("Open claims: free where nothing was sent, else unknown", arguments: [true, false])
    func openClaims(isClosed: Bool) throws {
        let directory = TemporaryDirectory()
        var first: EmbeddedHarness? = try EmbeddedHarness(directory)
        let sent = try #require(first).claimed(claim(1))
        let unsent = try #require(first).claimed(claim(2))
        first?.store.markSent(sent)
        // A claim of the same slot that is long gone.
        first?.store.markSent(ClaimReference(key: key(9), epoch: unsent.epoch &+ 1, markSlot: unsent.markSlot))
        if isClosed { first?.store.close() }
        crash(&first)
        let second = try EmbeddedHarness(directory)
        #expect(second.claim(claim(1)).unknownCause == .ownerDied)
        let again = try second.claimed(claim(2))
        #expect(again.epoch != unsent.epoch)
        #expect(second.complete(unsent, .answered(answer("zombie"))) == .stored(.stale))
        #expect(second.store.statistics.records == 2)
        #expect(second.store.statistics.unknowns == 1)
    }

    @Test("After a boot no mark proves anything")
    func otherBoot() throws {
        let directory = TemporaryDirectory()
        var first: EmbeddedHarness? = try EmbeddedHarness(directory)
        _ = try #require(first).claimed(claim(1))
        crash(&first)
        let second = try EmbeddedHarness(directory) { $0.bootID = [UInt8](repeating: 7, count: 16) }
        #expect(second.claim(claim(1)).unknownCause == .ownerDied)
    }

    @Test("Marks that are missing, damaged or another process's prove nothing", arguments: 0..<4)
    func badMarks(damage: Int) throws {
        let directory = TemporaryDirectory()
        var first: EmbeddedHarness? = try EmbeddedHarness(directory)
        _ = try #require(first).claimed(claim(1))
        crash(&first)
        let path = directory.path + "/store/sendmarks"
        switch damage {
        case 0: unlink(path)
        case 1: truncate(path, 5000)
        case 2: overwrite(path, at: 32, with: [1, 2, 3, 4, 5, 6, 7, 8])
        default: overwrite(path, at: 4096, with: [UInt8](repeating: 0, count: 8 * 65_536))
        }
        let second = try EmbeddedHarness(directory)
        #expect(second.claim(claim(1)).unknownCause == .ownerDied)
    }

    @Test("More open claims than slots")
    func outOfSlots() throws {
        let directory = TemporaryDirectory()
        var first: EmbeddedHarness? = try EmbeddedHarness(directory) { $0.markSlots = 2 }
        let claims = try (UInt64(1)...4).map { try #require(first).claimed(claim($0)) }
        #expect(claims.map { $0.markSlot == .max } == [false, false, true, true])
        _ = first?.complete(claims[3], .answered(answer("done")))
        crash(&first)
        let second = try EmbeddedHarness(directory)
        for number in UInt64(1)...2 { _ = try second.claimed(claim(number)) }
        #expect(second.claim(claim(3)).unknownCause == .ownerDied)
        #expect(second.claim(claim(4)) == .recorded(answer("done"), epoch: claims[3].epoch))
    }

    @Test("Ids of an earlier process are not given again")
    func idsAreUnique() throws {
        let directory = TemporaryDirectory()
        var epochs: Set<UInt64> = []
        var number: UInt64 = 0
        // The clock stands still, so that every start meets the second of the one before.
        for _ in 0..<5 {
            let harness = try EmbeddedHarness(directory)
            for _ in 0..<20 {
                number += 1
                #expect(epochs.insert(try harness.record(number).epoch).inserted)
            }
            // A shorter retention stands at ids below the highest.
            for _ in 0..<20 {
                number += 1
                let reference = try harness.claimed(claim(number, retentionMilliseconds: 1000))
                #expect(epochs.insert(reference.epoch).inserted)
                _ = harness.complete(reference, .answered(answer("x")))
            }
            harness.store.close()
        }
        let harness = try EmbeddedHarness(directory)
        #expect(harness.store.statistics.records == 200)
    }

    @Test("Equal 64-bit hashes of different keys")
    func equalHashes() throws {
        let directory = TemporaryDirectory()
        var harness: EmbeddedHarness? = try EmbeddedHarness(directory) { $0.cacheBytesMax = 0 }
        func twin(_ number: UInt64) -> Claim {
            Claim(
                key: RecordKey(words: (0xABCD, number, 0, 0)), fingerprint: fingerprint(1), route: "",
                retentionMilliseconds: 60_000)
        }
        var epochs: [UInt64] = []
        for number in UInt64(0)..<10 {
            let reference = try #require(harness).claimed(twin(number))
            _ = harness?.complete(reference, .answered(answer("\(number)")))
            epochs.append(reference.epoch)
        }
        crash(&harness)
        harness = try EmbeddedHarness(directory) { $0.cacheBytesMax = 0 }
        for number in [5, 0, 9] {
            #expect(harness?.claim(twin(UInt64(number))) == .recorded(answer("\(number)"), epoch: epochs[number]))
        }
        #expect(harness?.resolve(twin(5).key, .forget).isDone == true)
        #expect(harness?.claim(twin(6)) == .recorded(answer("6"), epoch: epochs[6]))
        _ = try #require(harness).claimed(twin(5))
        _ = try #require(harness).claimed(twin(77))
    }

    @Test("The space of expired records is used again")
    func spaceIsReused() throws {
        let directory = TemporaryDirectory()
        let harness = try EmbeddedHarness(directory)
        var used: UInt64 = 0
        for round in UInt64(0)..<4 {
            for number in 0..<UInt64(300) {
                try harness.record(round * 1000 + number, String(repeating: "b", count: 1000))
            }
            harness.clock.advance(milliseconds: 3_601_000)
            harness.store.runUpkeep()
            #expect(harness.store.statistics.records == 0)
            if round == 0 { used = harness.store.statistics.bytesUsed }
        }
        #expect(harness.store.statistics.bytesUsed <= used + 8 * 4096)
        #expect(fileSize(directory.path + "/store/records.db") < 2 << 20)
    }

    @Test("Files are private")
    func modes() throws {
        let directory = TemporaryDirectory()
        let harness = try EmbeddedHarness(directory)
        try harness.record(1)
        let path = directory.path + "/store"
        #expect(mode(path) == 0o700)
        for name in ["records.db", "records.db-wal", "sendmarks", "lock"] { #expect(mode(path + "/" + name) == 0o600) }
    }
}
