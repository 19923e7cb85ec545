import Dispatch
import Glibc
import Idempotency
import Stores
import Synchronization
import Testing

/// Records at rest under a key ring.
@Suite("Embedded store: keys")
struct EmbeddedSealingTests {
    private let directory = TemporaryDirectory()
    private let notices = Notices()

    private final class Notices: Sendable {
        private let list = Mutex<[EmbeddedStoreNotice]>([])

        func take() -> [EmbeddedStoreNotice] {
            list.withLock { list in
                defer { list = [] }
                return list
            }
        }

        func add(_ notice: EmbeddedStoreNotice) { list.withLock { $0.append(notice) } }
    }

    private func open(_ ring: KeyRing?, cacheBytes: Int = 32 << 20) throws -> EmbeddedHarness {
        try EmbeddedHarness(directory) { [notices] in
            $0.keyRing = ring
            $0.cacheBytesMax = cacheBytes
            $0.markSlots = 64
            $0.report = { notices.add($0) }
        }
    }

    // MARK: Canary

    /// Long enough to be found by chance nowhere.
    private static let canaries = ["CanaryFieldName", "canary-field-value", "CANARY_BODY_text", "canary-trailer-value"]

    private static func canary(_ text: String) -> RecordedAnswer {
        RecordedAnswer(
            status: 201, framing: .stream, fieldLines: [UInt8]("CanaryFieldName: canary-field-value\r\n".utf8),
            body: [UInt8]("CANARY_BODY_text \(text) \(String(repeating: "CANARY_BODY_text", count: 3000))".utf8),
            trailerLines: [UInt8]("T: canary-trailer-value\r\n".utf8))
    }

    /// Which of these octets stand in any file of the directory.
    private func found(_ needles: [[UInt8]]) -> [[UInt8]] {
        var files: [[UInt8]] = []
        for name in ["records.db", "records.db-wal", "records.db-shm", "sendmarks", "lock"] {
            files.append(readFile(directory.path + "/store/" + name))
        }
        return needles.filter { needle in files.contains { contains(needle, in: $0) } }
    }

    private static let digest = fingerprint(0xC0FF_EE00_C0FF_EE01)

    private static func octets(of digest: Digest256) -> [UInt8] {
        [digest.words.0, digest.words.1, digest.words.2, digest.words.3].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) }
        }
    }

    private static var needles: [[UInt8]] {
        canaries.map { [UInt8]($0.utf8) } + [octets(of: digest), octets(of: fingerprint(0xFEED_FACE_0123_4567))]
    }

    /// Answers in every way in which one gets into the store.
    private func operate(_ harness: EmbeddedHarness) throws {
        for number in UInt64(0)..<120 {
            let reference = try harness.claimed(claim(number, print: 0xFEED_FACE_0123_4567))
            harness.store.markSent(reference)
            let answered = Outcome.answered(Self.canary("\(number)"))
            switch number % 6 {
            case 0, 1: #expect(harness.complete(reference, answered) == .stored(.durable))
            case 2 where number % 4 == 2:
                var answer = Self.canary("\(number)")
                answer.storedBodyBytes = UInt64(answer.body.count)
                _ = harness.append(reference, answer.body)
                if number % 8 == 2 { #expect(harness.complete(reference, .answered(answer)) == .stored(.durable)) }
            case 2:
                #expect(harness.complete(reference, .unknown(.timedOut)) == .stored(.durable))
                if number % 8 == 0 { #expect(harness.complete(reference, answered) == .stored(.durable)) }
            case 3:
                let tombstone = Tombstone(status: 200, bodyBytes: 1, bodyDigest: Self.digest)
                #expect(harness.complete(reference, .notKept(tombstone)) == .stored(.durable))
            case 4:
                let waiter = harness.join(claim(number, print: 0xFEED_FACE_0123_4567))
                #expect(harness.complete(reference, .released) == .stored(.durable))
                guard case .claimed(let second) = harness.replies.next(waiter) else { continue }
                #expect(harness.complete(second, answered) == .stored(.durable))
                harness.store.submit([.delivered(second)])
            default:
                #expect(harness.complete(reference, .unknown(.broken)) == .stored(.durable))
                #expect(harness.resolve(key(number), .answer(Self.canary("by hand"))).isDone)
            }
            if number % 10 == 0 { #expect(harness.resolve(key(number), .forget) != .resolved(.notFound)) }
        }
        harness.settle()
    }

    @Test("Nothing of an answer stands in clear, closed or killed", arguments: [true, false])
    func canary(isClosed: Bool) throws {
        var harness: EmbeddedHarness? = try open(keyRing(1), cacheBytes: 0)
        try operate(#require(harness))
        #expect(found(Self.needles) == [])
        // Twice past the point at which the log goes into the database.
        for round in UInt64(1)...3 {
            for number in UInt64(0)..<60 {
                let reference = try #require(harness).claimed(claim(round * 1000 + number))
                _ = harness?.complete(reference, .answered(Self.canary("\(number)")))
            }
            #expect(found(Self.needles) == [])
        }
        if isClosed { harness?.store.close() }
        crash(&harness)
        #expect(found(Self.needles) == [])
        #expect(fileSize(directory.path + "/store/records.db") > 4 << 20)
        let second = try open(keyRing(1))
        guard case .recorded(let answer, _) = second.claim(claim(1, print: 0xFEED_FACE_0123_4567)) else {
            Issue.record("the answer is gone")
            return
        }
        #expect(answer == Self.canary("1"))
        second.store.close()
        #expect(found(Self.needles) == [])
    }

    @Test("The search finds what stands plain")
    func canaryWithoutKeys() throws {
        let harness = try open(nil)
        try operate(harness)
        #expect(found(Self.needles) == Self.needles)
    }

    // MARK: Rotation

    private static let missing = keyRing(1).keys[0].id

    @Test("A new key seals, the old one opens, and without it a record is refused and never run again")
    func rotation() throws {
        let harness = try open(keyRing(1))
        let first = try harness.record(1, "under the first")
        harness.store.setKeyRing(keyRing(2, 1))
        let second = try harness.record(2, "under the second")
        for _ in 0..<2 {
            #expect(harness.claim(claim(1)) == .recorded(answer("under the first"), epoch: first.epoch))
        }
        harness.store.setKeyRing(keyRing(2))
        #expect(notices.take() == [])
        for _ in 0..<2 { #expect(harness.claim(claim(1)) == .refused(.corrupt)) }
        #expect(notices.take() == [.recordUnreadable(key(1), Self.missing)])
        #expect(
            EmbeddedStoreNotice.recordUnreadable(key(1), Self.missing).description
                == "store: record \(key(1).hexadecimal) needs key \(Self.missing), which is not in the key ring")
        // Whether the payload is another cannot be told either.
        #expect(harness.claim(claim(1, print: 2)) == .refused(.corrupt))
        #expect(harness.claim(claim(2)) == .recorded(answer("under the second"), epoch: second.epoch))
        #expect(harness.store.statistics.unreadableRecords == 3)
        #expect(harness.store.statistics.corruptRecords == 0)
        harness.store.setKeyRing(nil)
        #expect(harness.claim(claim(2)) == .refused(.corrupt))
        harness.store.setKeyRing(keyRing(3, 2, 1))
        #expect(harness.claim(claim(1)) == .recorded(answer("under the first"), epoch: first.epoch))
        #expect(harness.claim(claim(2)) == .recorded(answer("under the second"), epoch: second.epoch))
    }

    @Test("A record that is read or delivered after a rotation keeps its answer's key")
    func deliveredAfterRotation() throws {
        let harness = try open(keyRing(1))
        let first = try harness.record(1)
        harness.store.setKeyRing(keyRing(2, 1))
        harness.store.submit([.delivered(first)])
        #expect(harness.claim(claim(1)) == .recorded(answer("done"), epoch: first.epoch))
        // The row has gone over to the second key, the answer has not.
        harness.store.setKeyRing(keyRing(2))
        #expect(harness.claim(claim(1)) == .refused(.corrupt))
        #expect(harness.claim(claim(1, print: 2)) == .mismatch)
        #expect(notices.take() == [.recordUnreadable(key(1), Self.missing)])
    }

    @Test("A claim outlives the key it began under")
    func openOverRotation() throws {
        let harness = try open(keyRing(1))
        let reference = try harness.claimed(claim(1))
        let late = try harness.claimed(claim(2))
        _ = harness.complete(late, .unknown(.timedOut))
        harness.store.setKeyRing(keyRing(2))
        #expect(harness.complete(reference, .answered(answer("done"))) == .stored(.durable))
        #expect(harness.claim(claim(1)) == .recorded(answer("done"), epoch: reference.epoch))
        // This one's row cannot be read any more.
        #expect(harness.complete(late, .answered(answer("late"))) == .stored(.failed(.corrupt)))
        #expect(harness.resolve(key(2), .answer(answer("by hand"))) == .resolved(.failed(.corrupt)))
        harness.store.setKeyRing(keyRing(2, 1))
        #expect(harness.complete(late, .answered(answer("late"))) == .stored(.durable))
    }

    @Test("Rotation from any thread while the store works")
    func rotationUnderLoad() throws {
        let harness = try open(keyRing(1), cacheBytes: 0)
        DispatchQueue.concurrentPerform(iterations: 3) { thread in
            for round in UInt64(0)..<40 {
                if thread == 0 {
                    harness.store.setKeyRing(round % 2 == 0 ? keyRing(2, 1) : keyRing(1, 2))
                    continue
                }
                let number = UInt64(thread) * 1000 + round
                guard case .claimed(let reference) = harness.claim(claim(number)) else {
                    Issue.record("no claim")
                    return
                }
                #expect(harness.complete(reference, .answered(answer("\(number)"))) == .stored(.durable))
                #expect(harness.claim(claim(number)) == .recorded(answer("\(number)"), epoch: reference.epoch))
            }
        }
        #expect(harness.store.statistics.unreadableRecords == 0)
    }

    // MARK: A key is lost

    @Test("A start without the key tells so; operators forget, time passes, and nothing runs before")
    func lostKey() throws {
        var first: EmbeddedHarness? = try open(keyRing(1))
        try #require(first).record(1)
        let unknown = try #require(first).claimed(claim(2))
        _ = first?.complete(unknown, .unknown(.broken))
        let sent = try #require(first).claimed(claim(3))
        first?.store.markSent(sent)
        _ = try #require(first).claimed(claim(4))
        crash(&first)
        var second: EmbeddedHarness? = try open(keyRing(2))
        #expect(notices.take() == [.keyMissing(Self.missing, records: 4)])
        for number in UInt64(1)...3 { #expect(second?.claim(claim(number)) == .refused(.corrupt)) }
        // Nothing of it was sent, which needs no key to be known.
        _ = try #require(second).claimed(claim(4))
        #expect(second?.store.statistics.unknowns == 2)
        #expect(second?.list().map(\.state) == [.completed, .unknown, .unknown, .inFlight])
        #expect(second?.list().map(\.status) == [0, 0, 0, 0])
        #expect(second?.resolve(key(1), .release) == .resolved(.refused(.completed)))
        #expect(second?.resolve(key(1), .forget).isDone == true)
        #expect(second?.resolve(key(2), .release).isDone == true)
        for number in UInt64(1)...2 { _ = try #require(second).claimed(claim(number)) }
        crash(&second)
        // The key is found again.
        second = try open(keyRing(2, 1))
        #expect(second?.claim(claim(3)).unknownCause == .ownerDied)
        second?.store.setKeyRing(keyRing(2))
        #expect(second?.claim(claim(3)) == .refused(.corrupt))
        second?.clock.advance(milliseconds: 3_600_000)
        _ = try #require(second).claimed(claim(3))
        second?.store.close()
    }

    @Test("An expired record that cannot be read is removed")
    func expiry() throws {
        let harness = try open(keyRing(1), cacheBytes: 0)
        for number in UInt64(0)..<10 { try harness.record(number) }
        harness.store.setKeyRing(keyRing(2))
        harness.clock.advance(milliseconds: 3_601_000)
        harness.store.runUpkeep()
        #expect(harness.store.statistics.expired == 10)
        #expect(harness.store.statistics.records == 0)
    }

    // MARK: Plain and sealed

    @Test("What stands plain stays readable with keys, and what comes after is sealed")
    func plainThenSealed() throws {
        let plain = try open(nil)
        let first = try plain.record(1, "plain")
        let unknown = try plain.claimed(claim(2))
        _ = plain.complete(unknown, .unknown(.timedOut))
        plain.store.close()
        let harness = try open(keyRing(1), cacheBytes: 0)
        #expect(harness.claim(claim(1)) == .recorded(answer("plain"), epoch: first.epoch))
        harness.store.submit([.delivered(first)])
        #expect(harness.complete(unknown, .answered(Self.canary("late"))) == .stored(.durable))
        #expect(harness.claim(claim(1)) == .recorded(answer("plain"), epoch: first.epoch))
        #expect(found(Self.canaries.map { [UInt8]($0.utf8) }) == [])
        #expect(notices.take() == [])
    }

    @Test("An earlier format is opened and brought up")
    func earlierFormat() throws {
        let first = try open(nil)
        let reference = try first.record(1)
        first.store.close()
        try runSQL(directory, "PRAGMA user_version=1")
        for _ in 0..<2 {
            let second = try open(keyRing(1))
            #expect(second.claim(claim(1)) == .recorded(answer("done"), epoch: reference.epoch))
            second.store.close()
            #expect(Array(readFile(directory.path + "/store/records.db")[60..<64]) == [0, 0, 0, 3])
        }
    }

    @Test("An answer moved to another record, an earlier one put back, a plain one put in its place: refused")
    func movedAnswers() throws {
        let harness = try open(keyRing(1))
        let first = try harness.record(1, "first")
        let second = try harness.record(2, "second")
        harness.store.close()
        let swap = "UPDATE resp SET id = CASE id WHEN \(first.epoch) THEN -1 ELSE \(first.epoch) END; "
        let moves = [
            swap + "UPDATE resp SET id = \(second.epoch) WHERE id = -1",
            // Put back: the answer of an attempt under the epoch of another.
            "UPDATE resp SET answer = (SELECT answer FROM resp WHERE id = \(second.epoch)) WHERE id = \(first.epoch)",
            "UPDATE resp SET answer = x'\(try plainAnswer(first.epoch))' WHERE id = \(first.epoch)",
            "DELETE FROM resp WHERE id = \(first.epoch)",
        ]
        let database = directory.path + "/store/records.db"
        let octets = readFile(database)
        for (number, move) in moves.enumerated() {
            try runSQL(directory, move)
            let moved = try open(keyRing(1))
            #expect(moved.claim(claim(1)) == .refused(.corrupt), "move \(number)")
            #expect(moved.store.statistics.corruptRecords == 1)
            #expect(moved.claim(claim(1, print: 2)) == .mismatch)
            moved.store.close()
            writeFile(database, octets)
        }
    }

    private func plainAnswer(_ epoch: UInt64) throws -> String {
        var octets: [UInt8] = []
        try RecordCoding.encode(answer("planted"), key: key(1), epoch: epoch, into: &octets)
        return octets.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}

/// Whether the octets stand anywhere in others.
func contains(_ needle: [UInt8], in octets: [UInt8]) -> Bool {
    octets.withUnsafeBytes { octets in
        var offset = 0
        while offset + needle.count <= octets.count,
            let hit = memchr(octets.baseAddress! + offset, Int32(needle[0]), octets.count - needle.count - offset + 1)
        {
            if memcmp(hit, needle, needle.count) == 0 { return true }
            offset = UnsafeRawPointer(hit) - octets.baseAddress! + 1
        }
        return false
    }
}
