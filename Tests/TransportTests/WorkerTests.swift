import Dispatch
import Testing
import Transport

@Suite(.timeLimit(.minutes(5)))
struct WorkerTests {
    /// What the worker saw; used on its queue.
    final class Seen {
        var last = [Int](repeating: -1, count: 8)
        var count = 0
    }

    @Test func postsFromManyThreadsAreAllRunInTheOrderOfEachThread() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let seen = WorkerBound(Seen(), worker: harness.worker)
        let done = Semaphore()
        let (threads, posts) = (8, 20_000)
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            for i in 0..<posts {
                harness.worker.post {
                    let seen = seen.value
                    #expect(seen.last[thread] == i - 1)
                    seen.last[thread] = i
                    seen.count += 1
                    if seen.count == threads * posts { done.post() }
                }
            }
        }
        done.wait()
        #expect(harness.worker.performAndWait { seen.value.count } == threads * posts)
    }

    @Test func aPostWakesAnIdleWorkerEachTime() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let done = Semaphore()
        for _ in 0..<300 {
            harness.worker.post { done.post() }
            done.wait()
        }
    }

    @Test func workPostedBeforeTheStartRuns() throws {
        let worker = try Worker(index: 3)
        let done = Semaphore()
        worker.post { done.post() }
        worker.start()
        done.wait()
        worker.stop()
    }

    @Test func scheduledClosuresRunInTimeAndNotEarly() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let order = Recorder<Int>()
        let worker = harness.worker
        worker.performAndWait {
            let start = worker.now
            for (name, delay) in [(3, 60), (1, 15), (2, 30)] as [(Int, UInt64)] {
                worker.schedule(at: start.adding(milliseconds: delay)) {
                    #expect(worker.now >= start.adding(milliseconds: delay))
                    order.append(name)
                }
            }
            let cancelled = worker.schedule(at: start.adding(milliseconds: 20)) { order.append(-1) }
            worker.cancel(cancelled)
            worker.cancel(cancelled)
        }
        #expect([order.next(), order.next(), order.next()] == [1, 2, 3])
    }

    @Test func aTimerMovedEarlierWakesAnIdleWorker() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let worker = harness.worker
        let fired = Recorder<Int>()
        worker.performAndWait {
            _ = worker.schedule(at: worker.now.adding(milliseconds: 3_600_000)) { fired.append(2) }
        }
        worker.performAndWait { _ = worker.schedule(at: worker.now.adding(milliseconds: 5)) { fired.append(1) } }
        #expect(fired.next() == 1)
    }

    @Test func aWorkerThatWaitsGivesItsQueueAndItsTimersTheirDue() throws {
        var limits = TransportLimits()
        limits.idlePollMilliseconds = 60_000
        limits.queueHoldMilliseconds = 60_000
        let harness = try Harness(limits: limits)
        defer { harness.stop() }
        let worker = harness.worker
        let fired = Recorder<Int>()
        let start = Instant.current()
        for number in 0..<20 {
            // Each begins when the worker waits again.
            worker.post { fired.append(number) }
            #expect(fired.next() == number)
            worker.performAndWait {
                _ = worker.schedule(at: Instant.current().adding(milliseconds: 5)) { fired.append(-1) }
            }
            #expect(fired.next() == -1)
        }
        #expect(Instant.current().nanoseconds(since: start) < 30_000_000_000)
    }

    @Test func hooksRunBeforeTheFlushAndAgainAfterWorkDoneInIt() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let worker = harness.worker
        let log = Recorder<String>()
        final class Noisy: StreamChannel {
            let log: Recorder<String>
            init(worker: Worker, log: Recorder<String>) {
                self.log = log
                super.init(worker: worker)
            }
            override func received(_ octets: Span<UInt8>) -> Int {
                log.append("received")
                write(octets)
                requestDrainNotice()
                return octets.count
            }
            override func outputDrained() { log.append("drained") }
        }
        let address = try harness.listen { Noisy(worker: $0, log: log) }
        let client = try BlockingSocket(connectedTo: address)
        worker.performAndWait { worker.onBatchEnd { log.append("hook") } }
        try client.send([1])
        #expect(try client.receive(count: 1) == [1])
        worker.performAndWait {}
        let events = log.all
        let received = try #require(events.firstIndex(of: "received"))
        #expect(Array(events[received...].prefix(4)) == ["received", "hook", "drained", "hook"])
    }

    @Test func timeIsReadOncePerBatch() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let worker = harness.worker
        let times = Recorder<Instant>()
        let before = Instant.current()
        worker.post {
            let first = worker.now
            while Instant.current() <= first {}
            times.append(first)
            times.append(worker.now)
        }
        let (first, second) = (times.next(), times.next())
        #expect(first == second && first >= before)
        #expect(worker.performAndWait { worker.wallMilliseconds } > 1_600_000_000_000)
    }

    @Test func stopClosesEveryChannelOnce() throws {
        let harness = try Harness()
        let closed = Recorder<Int>()
        let address = try harness.listen { ProbeChannel(worker: $0) { if case .closed = $0 { closed.append(1) } } }
        let clients = try (0..<5).map { _ in
            let client = try BlockingSocket(connectedTo: address)
            try client.send([1])
            return client
        }
        while harness.worker.performAndWait({ harness.worker.channelCount }) < 6 {}
        harness.stop()
        #expect(closed.all.count == 5)
        for client in clients { _ = try? client.receiveAll() }
        #expect(harness.worker.channelCount == 0)
    }
}
