import Dispatch
import Glibc
import Idempotency
import Stores
import Synchronization
import Testing

/// Figures for the notes: `ONCEGATE_BENCH=1 swift test -c release --filter StoreBenchmarks`. The directory is
/// ONCEGATE_BENCH_DIR or /tmp.
@Suite("Store benchmarks", .serialized, .enabled(if: getenv("ONCEGATE_BENCH") != nil))
struct StoreBenchmarks {
    @Test("Durable operations, replays and start-up with a million records")
    func million() throws {
        let count = getenv("ONCEGATE_BENCH_RECORDS").flatMap { UInt64(String(cString: $0)) } ?? 1_000_000
        let directory = TemporaryDirectory()
        var options = EmbeddedStoreOptions(directory: directory.path + "/store")
        var bench = try Bench(options)
        let start = wallMicroseconds()
        bench.run(operationsOf: 0..<count, batch: 1024)
        print("load: \(count) records in \((wallMicroseconds() - start) / 1000) ms")
        bench.store.close()

        let residentBefore = residentBytes()
        let opening = wallMicroseconds()
        let cpu = cpuMicroseconds()
        options.cacheBytesMax = 32 << 20
        bench = try Bench(options)
        print("start-up: \((wallMicroseconds() - opening) / 1000) ms wall, \((cpuMicroseconds() - cpu) / 1000) ms CPU")
        let resident = residentBytes()
        print(
            "resident: \(resident >> 20) MiB, was \(residentBefore >> 20); \(Double(resident - residentBefore) / Double(count)) B/record more"
        )

        var next = count
        for (batch, operations) in [(1, 4_000), (16, 40_000), (64, 100_000), (256, 200_000)] as [(Int, UInt64)] {
            bench.latencies = []
            let before = bench.store.statistics
            let (wall, cpu) = measure { bench.run(operationsOf: next..<next + operations / 2, batch: batch) }
            next += operations / 2
            let commits = bench.store.statistics.commits - before.commits
            bench.latencies.sort()
            func percentile(_ part: Double) -> UInt64 { bench.latencies[Int(Double(bench.latencies.count - 1) * part)] }
            print(
                "B=\(batch): \(Double(cpu) / Double(operations)) µs CPU/op, \(operations * 1_000_000 / wall) op/s,",
                "\(operations / commits) op/commit, p50 \(percentile(0.5)) p99 \(percentile(0.99)) p99.9 \(percentile(0.999)) µs"
            )
        }
        for (name, keys) in [("hot", 1000), ("cold", count)] as [(String, UInt64)] {
            let (wall, cpu) = measure { bench.replay(200_000, of: keys, from: name == "hot" ? next - 1000 : 0) }
            print("replay \(name): \(Double(cpu) / 200_000) µs CPU/op, \(200_000 * 1_000_000 / wall) op/s")
        }
        print(
            "resident at the end: \(residentBytes() >> 20) MiB for \(bench.store.statistics.records) records,",
            "database \(bench.store.statistics.bytesUsed >> 20) MiB")
        bench.store.close()
    }

    @Test("What keys cost", arguments: [200, 16_384])
    func keys(bodyBytes: Int) throws {
        for (name, ring) in [("plain", nil), ("sealed", keyRing(1)), ("plain", nil), ("sealed", keyRing(1))] {
            let directory = TemporaryDirectory()
            var options = EmbeddedStoreOptions(directory: directory.path + "/store")
            options.keyRing = ring
            options.cacheBytesMax = 0
            var bench = try Bench(options, bodyBytes: bodyBytes)
            let count: UInt64 = bodyBytes > 1000 ? 10_000 : 50_000
            bench.run(operationsOf: 0..<1000, batch: 64)
            let attempts = measure { bench.run(operationsOf: 1000..<count, batch: 64) }
            let replays = measure { bench.replay(100_000, of: count, from: 0) }
            print(
                "\(name), \(bodyBytes) octets: \(Double(attempts.cpu) / Double(count - 1000)) µs CPU per first attempt,",
                "\(Double(replays.cpu) / 100_000) µs CPU per replay that is not cached,",
                "\(bench.store.statistics.bytesUsed / count) B/record")
            bench.store.close()
        }
    }

    @Test("Bodies of 8 MiB, in pieces and whole")
    func bodies() throws {
        for (name, ring) in [("plain", nil), ("sealed", keyRing(1))] {
            let directory = TemporaryDirectory()
            let harness = try EmbeddedHarness(directory) {
                $0.keyRing = ring
                $0.cacheBytesMax = 0
            }
            let piece = StoreBodyTests.octets(StoredBody.pieceBytes)
            let count = 128
            let rounds = 12
            var references: [ClaimReference] = []
            let residentBefore = residentBytes()
            let writing = measure {
                for round in 0..<UInt64(rounds) {
                    guard case .claimed(let reference) = harness.claim(claim(round)) else { return }
                    for _ in 0..<count { _ = harness.append(reference, piece) }
                    let answer = StoreBodyTests.answer(stored: count * piece.count)
                    guard harness.complete(reference, .answered(answer)) == .stored(.durable) else { return }
                    references.append(reference)
                }
            }
            let reading = measure {
                for reference in references {
                    for number in 0..<UInt64(count) {
                        _ = harness.read(reference, number * UInt64(piece.count), piece.count)
                    }
                }
            }
            let resident = residentBytes() - residentBefore
            let inline = StoreBodyTests.answer(stored: 0, StoreBodyTests.octets(count * piece.count))
            let whole = measure {
                for round in 100..<UInt64(100 + rounds) {
                    guard case .claimed(let reference) = harness.claim(claim(round)) else { return }
                    _ = harness.complete(reference, .answered(inline))
                }
            }
            let pieces = Double(rounds * count)
            print(
                "\(name): \(Double(writing.cpu) / pieces) µs CPU, \(Double(writing.wall) / pieces) µs per piece stored;",
                "\(Double(reading.cpu) / pieces) and \(Double(reading.wall) / pieces) per piece read;",
                "\(Double(whole.cpu) / pieces) and \(Double(whole.wall) / pieces) per 64 KiB of a whole body;",
                "\(resident >> 20) MiB more resident after the pieces, \((residentBytes() - residentBefore) >> 20) after all"
            )
            harness.store.close()
        }
    }

    private struct Bench {
        let store: EmbeddedStore
        let inbox = BenchInbox()
        var latencies: [UInt64] = []
        let recorded: RecordedAnswer

        init(_ options: EmbeddedStoreOptions, bodyBytes: Int = 200) throws {
            let inbox = inbox
            recorded = RecordedAnswer(
                status: 201, framing: .length,
                fieldLines: [UInt8]("Content-Length: 200\r\nContent-Type: application/json\r\n".utf8),
                body: [UInt8](repeating: 0x62, count: bodyBytes))
            store = try EmbeddedStore(options: options) { inbox.take($1) }
        }

        /// Two operations for each number: the claim and its outcome, half of each in every batch.
        mutating func run(operationsOf numbers: Range<UInt64>, batch: Int) {
            var next = numbers.lowerBound
            var references: [ClaimReference] = []
            while next < numbers.upperBound || !references.isEmpty {
                var requests: [StoreRequest] = []
                for reference in references {
                    store.markSent(reference)
                    requests.append(.complete(reference, .answered(recorded), ReplyAddress(worker: 0, exchange: 0)))
                }
                while requests.count < max(1, references.isEmpty ? batch / 2 : batch), next < numbers.upperBound {
                    requests.append(
                        .claim(claim(next, retentionMilliseconds: 86_400_000), ReplyAddress(worker: 0, exchange: 0)))
                    next += 1
                }
                let count = requests.count
                let start = wallMicroseconds()
                store.submit(requests)
                let replies = inbox.wait(count)
                latencies.append(wallMicroseconds() - start)
                references.removeAll(keepingCapacity: true)
                for reply in replies {
                    if case .claimed(let reference) = reply.result { references.append(reference) }
                }
            }
        }

        func replay(_ count: Int, of keys: UInt64, from first: UInt64) {
            var random: UInt64 = 88_172_645_463_325_252
            for _ in 0..<count / 50 {
                var requests: [StoreRequest] = []
                for _ in 0..<50 {
                    random ^= random << 13
                    random ^= random >> 7
                    random ^= random << 17
                    requests.append(
                        .claim(
                            claim(first + random % keys, retentionMilliseconds: 86_400_000),
                            ReplyAddress(worker: 0, exchange: 0)))
                }
                store.submit(requests)
                for reply in inbox.wait(50) {
                    guard case .recorded = reply.result else { fatalError("\(reply.result)") }
                }
            }
        }
    }
}

/// Counts replies in.
private final class BenchInbox: Sendable {
    private let replies = Mutex<[StoreReply]>([])
    private let arrival = DispatchSemaphore(value: 0)

    func take(_ new: [StoreReply]) {
        replies.withLock { $0 += new }
        arrival.signal()
    }

    func wait(_ count: Int) -> [StoreReply] {
        while true {
            let taken = replies.withLock { replies -> [StoreReply]? in
                guard replies.count >= count else { return nil }
                defer { replies = [] }
                return replies
            }
            if let taken { return taken }
            arrival.wait()
        }
    }
}

private func measure(_ body: () -> Void) -> (wall: UInt64, cpu: UInt64) {
    let wall = wallMicroseconds()
    let cpu = cpuMicroseconds()
    body()
    return (wallMicroseconds() - wall, cpuMicroseconds() - cpu)
}

private func wallMicroseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
}

private func cpuMicroseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
}

private func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, 256, file) != nil else { return 0 }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (Int(text.split(separator: " ").dropFirst().first ?? "0") ?? 0) * 4096
}
