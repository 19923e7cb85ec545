import Glibc
import Idempotency
import TestSupport
import Testing

@testable import Stores

/// What is observed reaches the disk, comes back as it was, stays within its bound, and never fails anybody.
@Suite("Observations")
struct ObservationTests {
    private let directory = TemporaryDirectory()
    private var segments: String { directory.path + "/observations" }

    private static let route = ObservedRoute(
        name: "/orders", retentionMilliseconds: 3_600_000, windowMilliseconds: 120_000, requestBodyBytesMax: 1 << 20,
        directives: ["key header X;", "scope none;"], hashDirectives: ["body json;", "exclude json \"/a b\";"])

    private static func observation(_ number: UInt64, route: UInt32 = 0) -> Observation {
        var observation = Observation(route: route)
        observation.key = number % 2 == 0 ? .token : .none
        observation.ending = .answered
        observation.rule = .release
        observation.flags = [.isLarge, .hasRetryEvidence]
        observation.milliseconds = 1_700_000_000_000 + number
        observation.durationMicroseconds = number * 3
        observation.requestBytes = number * 5
        observation.answerBytes = .max
        observation.status = 503
        observation.token = ObservedHash(high: number, low: .max)
        observation.payload = ObservedHash(high: number ^ 1, low: 7)
        observation.digest = ObservedHash(high: 1, low: number)
        return observation
    }

    private func recorder(bytesMax: UInt64 = 1 << 20, failed: @escaping @Sendable () -> Void = {}) throws
        -> ObservationRecorder
    {
        try ObservationRecorder(store: directory.path, bytesMax: bytesMax, failed: failed)
    }

    private func read() throws -> ObservationSegments.Content? {
        try ObservationSegments.read(store: directory.path)
    }

    @Test("they come back as they were, with their routes, over restarts")
    func roundTrip() throws {
        #expect(try read() == nil)
        let first = try self.recorder()
        #expect(first.register(Self.route) == 0)
        #expect(first.register(ObservedRoute(name: "/b")) == 1)
        #expect(first.register(Self.route) == 0)
        #expect(!exists(segments), "nothing is made before something is observed")
        let observations = (0..<5).map { Self.observation($0, route: UInt32($0 % 2)) }
        first.submit(observations)
        first.close()
        #expect(mode(segments) == 0o700 && mode(segments + "/00000001.log") == 0o600)
        // Another process, which knows the routes by other numbers.
        let second = try self.recorder()
        #expect(second.register(ObservedRoute(name: "/b", retentionMilliseconds: 5)) == 0)
        second.submit([Self.observation(9)])
        second.close()
        let content = try #require(try read())
        #expect(content.damagedSegments == 0)
        #expect(content.routes == [Self.route, ObservedRoute(name: "/b", retentionMilliseconds: 5)])
        #expect(content.observations == observations + [Self.observation(9, route: 1)])
    }

    @Test("pending ones are counted and not kept; ended ones are kept and not counted")
    func counts() throws {
        let recorder = try self.recorder()
        _ = recorder.register(Self.route)
        var pending = Self.observation(2)
        pending.ending = .pending
        recorder.submit([pending, Self.observation(2)])
        recorder.submit([pending])
        recorder.close()
        let counts = recorder.statistics.counts.map { "\($0.route) \($0.key) \($0.finding) \($0.requests)" }
        #expect(counts.sorted() == ["/orders token duplicate 1", "/orders token first 1"])
        #expect(try read()?.observations.count == 1)
    }

    @Test("repeats of what was observed before a restart are repeats")
    func warmUp() throws {
        let first = try self.recorder()
        _ = first.register(Self.route)
        first.submit([Self.observation(2)])
        first.close()
        let second = try self.recorder()
        _ = second.register(Self.route)
        var pending = Self.observation(2)
        pending.ending = .pending
        second.submit([pending])
        second.close()
        #expect(second.statistics.counts.map(\.finding) == [.duplicate])
    }

    @Test("without a store requests are counted all the same")
    func memory() throws {
        let recorder = try ObservationRecorder(store: nil, bytesMax: 0)
        _ = recorder.register(Self.route)
        var pending = Self.observation(1)
        pending.ending = .pending
        recorder.submit([pending, Self.observation(1)])
        recorder.close()
        #expect(recorder.statistics.counts.map(\.requests) == [1] && recorder.statistics.unwritten == 0)
    }

    @Test("the oldest makes room")
    func bound() throws {
        let bytesMax: UInt64 = 2 << 20
        let recorder = try self.recorder(bytesMax: bytesMax)
        _ = recorder.register(Self.route)
        for batch in UInt64(0)..<60 {
            recorder.submit((0..<1000).map { Self.observation(batch * 1000 + $0) })
            // Else more than the queue takes would wait.
            if batch % 10 == 9 {
                try poll("a batch is written") {
                    try read()?.observations.last == Self.observation(batch * 1000 + 999) ? true : nil
                }
            }
        }
        recorder.close()
        #expect(recorder.statistics.segmentsDropped > 0)
        #expect(files().reduce(0) { $0 + size(segments + "/" + $1) } <= Int(bytesMax))
        let kept = try #require(try read()?.observations)
        #expect(kept.count > 10_000 && kept.count < 25_000)
        #expect(kept == (UInt64(60_000 - kept.count)..<60_000).map { Self.observation($0) })
    }

    @Test("more than the queue takes is dropped and counted")
    func queue() throws {
        let recorder = try self.recorder(bytesMax: 64 << 20)
        _ = recorder.register(Self.route)
        recorder.submit((0..<70_000).map { Self.observation($0) })
        recorder.close()
        #expect(recorder.statistics.overflowed == 70_000 - 65_536)
        #expect(try read()?.observations.count == 65_536)
    }

    @Test("what cannot be written is counted, and told once")
    func unwritable() throws {
        writeFile(segments, [])
        let failures = Tally()
        #expect(throws: StoreOpenError.self) { try self.recorder { failures.increment() } }
        unlink(segments)
        let recorder = try self.recorder { failures.increment() }
        writeFile(segments, [])
        _ = recorder.register(Self.route)
        for _ in 0..<3 {
            recorder.submit([Self.observation(1)])
            try poll("the batch is over") { recorder.statistics.unwritten > 0 ? true : nil }
        }
        unlink(segments)
        recorder.submit([Self.observation(2)])
        recorder.close()
        #expect(failures.value == 1)
        #expect(recorder.statistics.unwritten >= 1)
        #expect(try read()?.observations.last == Self.observation(2), "it goes on when it can")
    }

    @Test("every torn end gives what is whole before it, and whatever octets are turned over are not believed")
    func torn() throws {
        let recorder = try self.recorder()
        _ = recorder.register(Self.route)
        recorder.submit((0..<3).map { Self.observation($0) })
        recorder.close()
        let path = segments + "/00000001.log"
        let whole = readFile(path)
        for count in stride(from: 0, through: whole.count, by: 7) {
            writeFile(path, Array(whole[..<count]))
            let content = try read()
            let kept = content?.observations ?? []
            #expect(kept == (0..<UInt64(kept.count)).map { Self.observation($0) })
        }
        for offset in whole.indices {
            var octets = whole
            octets[offset] ^= 0x41
            writeFile(path, octets)
            let kept = try read()?.observations ?? []
            #expect(kept == (0..<UInt64(kept.count)).map { Self.observation($0) } && kept.count < 3, "octet \(offset)")
        }
    }

    private func files() -> [String] {
        ((try? ObservationSegments.numbers(in: segments)) ?? nil ?? []).map {
            String(ObservationSegments.path($0, in: "").dropFirst())
        }
    }

    private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private func size(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }
}
