import CSQLite
import Glibc
import Idempotency
import Stores
import Testing

/// Errors of the device at each call, and full devices.
@Suite("Embedded store: faults")
struct EmbeddedFaultTests {
    enum Fault: CaseIterable {
        case full
        case tornWrite
        case failedSync

        var plan: FaultyFiles.Plan {
            switch self {
            case .full: FaultyFiles.Plan(call: .write, remaining: 0, code: SQLITE_FULL)
            case .tornWrite: FaultyFiles.Plan(call: .write, remaining: 0, code: SQLITE_IOERR | 3 << 8, isTorn: true)
            case .failedSync: FaultyFiles.Plan(call: .sync, remaining: 0, code: SQLITE_IOERR | 4 << 8)
            }
        }
    }

    /// What a key's client was told.
    private enum Told {
        case refused
        case durable(UInt64)
        case notStored
    }

    init() {
        FaultyFiles.install
    }

    @Test("The n-th write or sync fails, once or from then on, for every n", arguments: Fault.allCases, [false, true])
    func everyCall(fault: Fault, isLasting: Bool) throws {
        var call = 0
        while true {
            let directory = TemporaryDirectory(in: "/dev/shm")
            var harness: EmbeddedHarness? = try EmbeddedHarness(directory) { $0.markSlots = 64 }
            var plan = fault.plan
            plan.remaining = call
            plan.isLasting = isLasting
            FaultyFiles.set(plan, below: directory.path)
            let told = try run(#require(harness))
            let hits = FaultyFiles.hits(below: directory.path)
            try check(#require(harness), told, isDown: true, "call \(call)")
            FaultyFiles.set(nil, below: directory.path)
            harness?.store.runUpkeep()
            #expect(harness?.store.statistics.isUp == true, "call \(call)")
            try check(#require(harness), told, isDown: false, "call \(call), up again")
            crash(&harness)
            try check(EmbeddedHarness(directory) { $0.markSlots = 64 }, told, isDown: false, "call \(call), restarted")
            guard hits > 0 else { break }
            call += 1
            try #require(call < 500)
        }
        #expect(call > 4)
    }

    /// Eight keys claimed and answered, one after the other and in one batch.
    private func run(_ harness: EmbeddedHarness) -> [UInt64: Told] {
        var told: [UInt64: Told] = [:]
        for number in UInt64(0)..<4 {
            let result = harness.claim(claim(number))
            guard case .claimed(let reference) = result else {
                told[number] = .refused
                continue
            }
            harness.store.markSent(reference)
            told[number] = reading(harness.complete(reference, .answered(answer("answer \(number)"))), reference)
        }
        var claims: [ReplyAddress] = []
        for number in UInt64(4)..<8 { claims.append(harness.submit(claim(number))) }
        for number in UInt64(4)..<8 {
            guard case .claimed(let reference) = harness.replies.next(claims[Int(number) - 4]) else {
                told[number] = .refused
                continue
            }
            harness.store.markSent(reference)
            told[number] = reading(harness.complete(reference, .answered(answer("answer \(number)"))), reference)
        }
        return told
    }

    private func reading(_ result: StoreResult, _ reference: ClaimReference) -> Told {
        if result == .stored(.durable) { return .durable(reference.epoch) }
        guard case .stored(.failed) = result else {
            Issue.record("\(result)")
            return .notStored
        }
        return .notStored
    }

    private func check(_ harness: EmbeddedHarness, _ told: [UInt64: Told], isDown: Bool, _ comment: Comment) throws {
        for (number, told) in told.sorted(by: { $0.key < $1.key }) {
            let result = harness.claim(claim(number))
            if isDown, case .refused = result { continue }
            switch (told, result) {
            case (.durable(let epoch), .recorded(let recorded, let recordedEpoch)):
                #expect(recorded == answer("answer \(number)") && recordedEpoch == epoch, comment)
            case (.notStored, .recorded(let recorded, _)):
                #expect(recorded == answer("answer \(number)"), comment)
            case (.notStored, .unknown): break
            case (.refused, .claimed(let reference)):
                // Given back, so that the next check finds it free again.
                let released = harness.complete(reference, .released)
                if !isDown { #expect(released == .stored(.durable), comment) }
            default: Issue.record("\(told) then \(result), key \(number), \(comment)")
            }
        }
    }

    @Test("A failed sync stops the store until its files are verified, and open claims go on")
    func failedSync() throws {
        let directory = TemporaryDirectory()
        let harness = try EmbeddedHarness(directory)
        try harness.record(1)
        let open = try harness.claimed(claim(2))
        let waiter = harness.join(claim(2))
        FaultyFiles.set(Fault.failedSync.plan, below: directory.path)
        #expect(harness.claim(claim(3)) == .refused(.failed))
        #expect(harness.store.statistics.isUp == false)
        #expect(harness.store.statistics.syncFailures == 1)
        // Nothing is served meanwhile: not even what is known to stand.
        #expect(harness.claim(claim(1)) == .refused(.failed))
        harness.store.runUpkeep()
        #expect(harness.store.statistics.isUp)
        _ = try harness.claimed(claim(3))
        #expect(harness.claim(claim(2, print: 2)) == .mismatch)
        #expect(harness.complete(open, .answered(answer("slow"))) == .stored(.durable))
        #expect(harness.replies.next(waiter) == .recorded(answer("slow"), epoch: open.epoch))
        FaultyFiles.set(nil, below: directory.path)
    }

    @Test("The store comes back by itself")
    func returns() throws {
        let directory = TemporaryDirectory()
        let harness = try EmbeddedHarness(directory)
        FaultyFiles.set(Fault.failedSync.plan, below: directory.path)
        #expect(harness.claim(claim(1)) == .refused(.failed))
        while !harness.store.statistics.isUp { sched_yield() }
        _ = try harness.claimed(claim(1))
        FaultyFiles.set(nil, below: directory.path)
    }

    @Test("An outcome while the store is down is unknown, and a late one completes it")
    func outcomeWhileDown() throws {
        let directory = TemporaryDirectory()
        let harness = try EmbeddedHarness(directory)
        let first = try harness.claimed(claim(1))
        let second = try harness.claimed(claim(2))
        let waiter = harness.join(claim(1))
        harness.store.markSent(first)
        var plan = Fault.failedSync.plan
        plan.isLasting = true
        FaultyFiles.set(plan, below: directory.path)
        #expect(harness.claim(claim(3)) == .refused(.failed))
        #expect(harness.complete(first, .answered(answer("lost"))) == .stored(.failed(.failed)))
        #expect(harness.replies.next(waiter).unknownCause == .notStored)
        #expect(harness.complete(second, .released) == .stored(.failed(.failed)))
        FaultyFiles.set(nil, below: directory.path)
        harness.store.runUpkeep()
        #expect(harness.claim(claim(1)).unknownCause == .notStored)
        _ = try harness.claimed(claim(2))
        #expect(harness.store.statistics.unknowns == 1)
        #expect(harness.complete(first, .answered(answer("late"))) == .stored(.durable))
        #expect(harness.claim(claim(1)) == .recorded(answer("late"), epoch: first.epoch))
        #expect(harness.store.statistics.unknowns == 0)
    }

    @Test("A full device refuses claims, replays, and recovers", .enabled(if: getuid() == 0))
    func fullDevice() throws {
        let directory = TemporaryDirectory()
        guard mount("tmpfs", directory.path, "tmpfs", 0, "size=3m") == 0 else { return }
        defer { umount2(directory.path, 2) }
        writeFile(directory.path + "/filler", [UInt8](repeating: 0, count: 1 << 20))
        var harness: EmbeddedHarness? = try EmbeddedHarness(directory) { $0.markSlots = 64 }
        let (epochs, lost) = try fill(#require(harness))
        unlink(directory.path + "/filler")
        _ = try #require(harness).claimed(claim(50_000))
        harness?.store.runUpkeep()
        crash(&harness)
        let second = try EmbeddedHarness(directory) { $0.markSlots = 64 }
        for number in lost { #expect(second.claim(claim(number)).unknownCause == .notStored) }
        expectRecorded(epochs, second)
        second.store.close()
    }

    /// The epochs of what is recorded, by number, and the numbers whose answers were not stored.
    private func fill(_ harness: EmbeddedHarness) throws -> ([UInt64], [UInt64]) {
        let open = try (UInt64(100_000)..<100_010).map { ($0, try harness.claimed(claim($0))) }
        var epochs: [UInt64] = []
        var lost: [UInt64] = []
        while epochs.count < 10_000 {
            let number = UInt64(epochs.count)
            let result = harness.claim(claim(number))
            guard case .claimed(let reference) = result else {
                #expect(result == .refused(.diskFull))
                break
            }
            let stored = harness.complete(reference, .answered(answer(String(repeating: "d", count: 3000))))
            guard stored == .stored(.durable) else {
                #expect(stored == .stored(.failed(.diskFull)))
                lost.append(number)
                break
            }
            epochs.append(reference.epoch)
        }
        #expect((10..<10_000).contains(epochs.count))
        #expect(harness.store.statistics.isUp)
        expectRecorded(epochs, harness)
        for (number, reference) in open {
            harness.store.markSent(reference)
            let stored = harness.complete(reference, .answered(answer(String(repeating: "e", count: 100_000))))
            if stored == .stored(.failed(.diskFull)) {
                lost.append(number)
            } else {
                #expect(stored == .stored(.durable))
            }
        }
        #expect(!lost.isEmpty)
        for number in lost { #expect(harness.claim(claim(number)).unknownCause == .notStored) }
        return (epochs, lost)
    }

    private func expectRecorded(_ epochs: [UInt64], _ harness: EmbeddedHarness) {
        for (number, epoch) in epochs.enumerated() {
            guard case .recorded(_, let recordedEpoch) = harness.claim(claim(UInt64(number))), recordedEpoch == epoch
            else {
                Issue.record("\(number) is gone")
                return
            }
        }
    }
}
