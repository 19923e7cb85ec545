import CSQLite
import Glibc
import Idempotency
import Testing

@testable import Stores

/// Bodies in pieces when the process, the log or the device ends early.
@Suite("Embedded store: bodies in pieces")
struct EmbeddedBodyTests {
    private let directory = TemporaryDirectory(in: "/dev/shm")

    private func open(_ ring: KeyRing? = nil) throws -> EmbeddedHarness {
        try EmbeddedHarness(directory) {
            $0.keyRing = ring
            $0.markSlots = 16
        }
    }

    private func answer(_ octets: [UInt8]) -> RecordedAnswer { StoreBodyTests.answer(stored: octets.count, [9]) }

    /// Rows of a table of the store, which must be closed.
    private func count(_ table: String) throws -> Int {
        var handle: OpaquePointer?
        var statement: OpaquePointer?
        defer {
            sqlite3_finalize(statement)
            sqlite3_close(handle)
        }
        try #require(sqlite3_open(directory.path + "/store/records.db", &handle) == SQLITE_OK)
        try #require(sqlite3_prepare_v2(handle, "SELECT count(*) FROM \(table)", -1, &statement, nil) == SQLITE_OK)
        try #require(sqlite3_step(statement) == SQLITE_ROW)
        return Int(sqlite3_column_int64(statement, 0))
    }

    // MARK: The process ends

    @Test("A crash while a body comes in: unknown, and its pieces go", arguments: [false, true], [false, true])
    func crashBetween(isClosed: Bool, isSealed: Bool) throws {
        let ring = isSealed ? keyRing(1) : nil
        var harness: EmbeddedHarness? = try open(ring)
        let octets = StoreBodyTests.octets(5 << 20)
        let open = try #require(harness).claimed(claim(1))
        harness?.store.markSent(open)
        let recorded = try #require(harness).claimed(claim(2))
        let forgotten = try #require(harness).claimed(claim(3))
        for reference in [open, recorded, forgotten] { _ = harness?.append(reference, octets) }
        for reference in [recorded, forgotten] {
            #expect(harness?.complete(reference, .answered(answer(octets))) == .stored(.durable))
        }
        #expect(harness?.resolve(key(3), .forget).isDone == true)
        if isClosed { harness?.store.close() }
        crash(&harness)
        harness = try self.open(ring)
        #expect(harness?.claim(claim(1)).unknownCause == .ownerDied)
        #expect(harness?.claim(claim(2)) == .recorded(answer(octets), epoch: recorded.epoch))
        #expect(harness?.body(recorded, octets.count) == octets)
        // Nobody goes on with what another process began.
        #expect(harness?.append(open, [1]) == .body(.stale))
        #expect(harness?.complete(open, .answered(answer(octets))) == .stored(.failed(.failed)))
        harness?.store.runUpkeep()
        #expect(harness?.body(recorded, octets.count) == octets)
        #expect(harness?.append(open, [1]) == .body(.appended(bodyBytes: 1)))
        harness?.store.close()
        #expect(try count("piece") == 81)
        #expect(try count("loose") == 1)
    }

    @Test("Everything appended is gone when nothing stands any more")
    func nothingIsLeft() throws {
        let harness = try open()
        let octets = StoreBodyTests.octets(1 << 20)
        for number in UInt64(0)..<12 {
            let reference = try harness.claimed(claim(number, retentionMilliseconds: 10_000 + number))
            _ = harness.append(reference, octets)
            switch number % 4 {
            case 0: _ = harness.complete(reference, .answered(answer(octets)))
            case 1: _ = harness.complete(reference, .released)
            case 2: _ = harness.complete(reference, .unknown(.broken))
            default: _ = harness.complete(reference, .answered(StoreBodyTests.head))
            }
        }
        harness.clock.advance(milliseconds: 12_000 + StoredBody.graceMilliseconds)
        harness.store.runUpkeep()
        #expect(harness.store.statistics.records == 0)
        #expect(harness.store.statistics.bytesUsed < 100_000)
        harness.store.close()
        for table in ["rec", "resp", "piece", "loose"] { #expect(try count(table) == 0, "\(table)") }
    }

    @Test("A small answer touches none of it")
    func smallAnswers() throws {
        let harness = try open()
        for number in UInt64(0)..<10 { try harness.record(number, String(repeating: "x", count: 60_000)) }
        harness.store.close()
        #expect(try count("resp") == 10)
        #expect(try count("piece") + count("loose") == 0)
    }

    // MARK: The log ends

    @Test("The log cut anywhere: a body is whole or not there", arguments: [false, true])
    func torn(isSealed: Bool) throws {
        let ring = isSealed ? keyRing(1) : nil
        let source = TemporaryDirectory(in: "/dev/shm")
        let harness = try EmbeddedHarness(source) { $0.keyRing = ring }
        let log = source.path + "/store/records.db-wal"
        try harness.record(1)
        let octets = StoreBodyTests.octets(150_000)
        let reference = try harness.claimed(claim(2))
        harness.store.markSent(reference)
        let start = fileSize(log)
        for offset in stride(from: 0, to: octets.count, by: 50_000) {
            _ = harness.append(reference, Array(octets[offset..<offset + 50_000]))
        }
        let appended = fileSize(log)
        #expect(harness.complete(reference, .answered(answer(octets))) == .stored(.durable))
        let whole = readFile(log)
        try #require(start + 150_000 < appended && appended < whole.count)
        // Before and after each frame, and within each frame of the last commit.
        for size in start...whole.count {
            let inFrame = (size - 32) % 4120
            guard inFrame == 0 || inFrame == 4119 || (size > appended && inFrame % 997 == 1) else { continue }
            copyStore(source.path + "/store", to: directory.path + "/store")
            writeFile(directory.path + "/store/records.db-wal", whole[..<size])
            let torn = try open(ring)
            guard case .recorded = torn.claim(claim(1)) else {
                Issue.record("the first record is gone at \(size)")
                return
            }
            switch torn.claim(claim(2)) {
            case .recorded(let recorded, let epoch):
                #expect(size == whole.count && recorded == answer(octets) && epoch == reference.epoch)
                #expect(torn.body(reference, octets.count) == octets)
            case .unknown(let outcome) where outcome.cause == .ownerDied:
                #expect(size < whole.count)
                torn.store.runUpkeep()
            case let other: Issue.record("\(other) at \(size)")
            }
            torn.store.close()
            #expect(try count("piece") == (size == whole.count ? 3 : 0))
            removeTree(directory.path + "/store")
        }
    }

    // MARK: The device fails

    @Test("The n-th write or sync fails, for every n", arguments: EmbeddedFaultTests.Fault.allCases, [false, true])
    func faults(fault: EmbeddedFaultTests.Fault, isLasting: Bool) throws {
        FaultyFiles.install
        let octets = StoreBodyTests.octets(300_000)
        var call = 0
        while true {
            var harness: EmbeddedHarness? = try open()
            var plan = fault.plan
            plan.remaining = call
            plan.isLasting = isLasting
            FaultyFiles.set(plan, below: directory.path)
            var told: [(UInt64, ClaimReference, Bool)] = []
            for number in UInt64(0)..<2 {
                guard case .claimed(let reference)? = harness?.claim(claim(number)) else { continue }
                harness?.store.markSent(reference)
                for offset in stride(from: 0, to: octets.count, by: 100_000) {
                    _ = harness?.append(reference, Array(octets[offset..<offset + 100_000]))
                }
                let result = harness?.complete(reference, .answered(answer(octets)))
                told.append((number, reference, result == .stored(.durable)))
            }
            let hits = FaultyFiles.hits(below: directory.path)
            FaultyFiles.set(nil, below: directory.path)
            harness?.store.runUpkeep()
            try check(#require(harness), told, octets, "call \(call)")
            crash(&harness)
            harness = try open()
            try check(#require(harness), told, octets, "call \(call), restarted")
            harness?.store.runUpkeep()
            try check(#require(harness), told, octets, "call \(call), after upkeep")
            harness?.store.close()
            crash(&harness)
            removeTree(directory.path + "/store")
            guard hits > 0 else { break }
            // Most calls write one page of a piece like another.
            call += call < 12 ? 1 : 7
            try #require(call < 1500)
        }
        #expect(call > 4)
    }

    private func check(
        _ harness: EmbeddedHarness, _ told: [(UInt64, ClaimReference, Bool)], _ octets: [UInt8], _ comment: Comment
    ) throws {
        for (number, reference, isDurable) in told {
            switch harness.claim(claim(number)) {
            case .recorded(let recorded, let epoch):
                #expect(recorded == answer(octets) && epoch == reference.epoch, comment)
                #expect(harness.body(reference, octets.count) == octets, comment)
            case .unknown: #expect(!isDurable, comment)
            case let other: Issue.record("\(other), key \(number), \(comment)")
            }
        }
    }

    // MARK: Damage

    @Test("A damaged, moved or planted piece is refused", arguments: [false, true])
    func damage(isSealed: Bool) throws {
        let ring = isSealed ? keyRing(1) : nil
        let harness = try open(ring)
        let octets = StoreBodyTests.octets(200_000)
        let references = try (UInt64(1)...2).map { number in
            let reference = try harness.claimed(claim(number))
            _ = harness.append(reference, octets)
            #expect(harness.complete(reference, .answered(answer(octets))) == .stored(.durable))
            return reference
        }
        harness.store.close()
        let first = references[0]
        let database = directory.path + "/store/records.db"
        let intact = readFile(database)
        let other = "(SELECT octets FROM piece WHERE id = \(references[1].epoch) AND at = 65536)"
        let damages = [
            "UPDATE piece SET octets = \(other) WHERE id = \(first.epoch) AND at = 65536",
            "UPDATE piece SET octets = (SELECT octets FROM piece WHERE id = \(first.epoch) AND at = 0) WHERE at = 65536",
            "UPDATE piece SET octets = substr(octets, 1, 65000) WHERE at = 65536",
            "UPDATE piece SET octets = zeroblob(65552) WHERE at = 65536",
            "UPDATE piece SET octets = x'' WHERE at = 65536",
            "DELETE FROM piece WHERE at = 65536",
        ]
        for (number, damage) in damages.enumerated() {
            try runSQL(directory, damage)
            let damaged = try open(ring)
            let expected = StoreResult.body(number == 5 ? .stale : .refused(.corrupt))
            #expect(damaged.read(first, 65_536, 10) == expected, "\(damage)")
            #expect(damaged.read(first, 70_000, 10) == expected)
            #expect(damaged.read(first, 65_535, 10) == .body(.octets([octets[65_535]])))
            #expect(damaged.body(first, octets.count) == nil)
            damaged.store.close()
            writeFile(database, intact)
        }
        guard isSealed else { return }
        // A plain piece in place of a sealed one, its checksum in order.
        let place = BodyPiece.Place(key: key(1), epoch: first.epoch, offset: 0)
        let planted = BodyPiece.encode([UInt8]("planted".utf8), place).map { octet in
            String(octet >> 4, radix: 16) + String(octet & 15, radix: 16)
        }
        try runSQL(
            directory, "UPDATE piece SET octets = x'\(planted.joined())' WHERE id = \(first.epoch) AND at = 0")
        let planter = try open(ring)
        #expect(planter.read(first, 0, 10) == .body(.refused(.corrupt)))
        planter.store.close()
        writeFile(database, intact)
        let stranger = try open(keyRing(2))
        #expect(stranger.read(first, 0, 10) == .body(.refused(.corrupt)))
        #expect(stranger.store.statistics.unreadableRecords == 1)
    }

    @Test("Keys that come while a body is received")
    func keysMeanwhile() throws {
        let harness = try open()
        let octets = StoreBodyTests.octets(300_000)
        let reference = try harness.claimed(claim(1))
        _ = harness.append(reference, Array(octets[..<100_000]))
        harness.store.setKeyRing(keyRing(1))
        _ = harness.append(reference, Array(octets[100_000..<200_000]))
        harness.store.setKeyRing(keyRing(2, 1))
        _ = harness.append(reference, Array(octets[200_000...]))
        #expect(harness.complete(reference, .answered(answer(octets))) == .stored(.durable))
        #expect(harness.body(reference, octets.count) == octets)
        harness.store.setKeyRing(keyRing(2))
        #expect(harness.read(reference, 0, 1) == .body(.octets([octets[0]])))
        #expect(harness.read(reference, 100_000, 1) == .body(.refused(.corrupt)))
        #expect(harness.read(reference, 200_000, 1) == .body(.octets([octets[200_000]])))
    }
}
