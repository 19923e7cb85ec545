import CLinux
import Glibc
import Testing
import Transport

typealias Event = ProbeChannel.Event

/// A server of one probe per connection, and what the probes told.
struct ProbeServer {
    let harness: Harness
    let events = Recorder<Event>()
    let address: SocketAddress

    init(limits: TransportLimits = .init(), _ configure: @escaping @Sendable (ProbeChannel) -> Void = { _ in }) throws {
        harness = try Harness(limits: limits)
        address = try harness.listen { [events] worker in
            let probe = ProbeChannel(worker: worker) { events.append($0) }
            configure(probe)
            return probe
        }
    }

    func stop() { harness.stop() }
}

@Suite(.timeLimit(.minutes(5)))
struct StreamChannelTests {
    static func pattern(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    }

    @Test func echo() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let address = try harness.listen { EchoChannel(worker: $0) }
        let client = try BlockingSocket(connectedTo: address)
        for size in [1, 100, 16 * 1024, 16 * 1024 + 1, 70_000] {
            let octets = Self.pattern(size)
            try client.send(octets)
            #expect(try client.receive(count: size) == octets)
        }
        client.shutdownWrite()
        #expect(try client.receiveAll() == [])
    }

    @Test func outputLargerThanTheKernelTakesWaitsAndIsWholeForASlowReader() throws {
        let big = Self.pattern(3_000_000)
        let server = try ProbeServer { probe in
            probe.act = { probe, event in
                guard case .received = event else { return }
                _ = cl_send_buffer(probe.descriptor, 4096)
                // Copies and shared parts in turn, the parts at odd offsets.
                probe.write(contentsOf: Array(big[..<1000]))
                probe.write(shared: big, 1000..<1_500_001)
                probe.write(big.span.extracting(1_500_001..<1_500_100))
                probe.write(shared: big, 1_500_100..<1_500_200)
                probe.write(shared: big, 1_500_200..<big.count)
                probe.flush()
                #expect(probe.queuedOutputBytes > 0)
                #expect(probe.queuedOutputBytes + Int(probe.octetsWritten) == big.count)
            }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address, receiveBuffer: 4096)
        try client.send([1])
        #expect(server.events.next() == .received([1]))
        var got: [UInt8] = []
        while got.count < big.count { got += try client.receive(count: min(10_007, big.count - got.count)) }
        #expect(got == big)
        #expect(server.events.next() == .drained)
        server.harness.worker.performAndWait {
            #expect(server.harness.worker.blocks.inUse == 0)
        }
        #expect(server.events.all.count == 2)
    }

    @Test func halfClose() throws {
        let server = try ProbeServer { probe in
            probe.act = { probe, event in
                guard event == .end else { return }
                probe.write(contentsOf: Array("bye".utf8))
                probe.closeAfterFlush()
                // Nothing is added after that.
                probe.write(contentsOf: [0])
            }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        try client.send(Array("hello".utf8))
        client.shutdownWrite()
        #expect(try client.receiveAll() == Array("bye".utf8))
        #expect(server.events.next() == .received(Array("hello".utf8)))
        #expect(server.events.next() == .end)
        #expect(server.events.next() == .closed)
    }

    @Test func shutdownWriteGoesOnReading() throws {
        let server = try ProbeServer { probe in
            probe.act = { probe, event in
                guard event == .received([1]) else { return }
                probe.write(contentsOf: [9])
                probe.shutdownWrite()
            }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        try client.send([1])
        #expect(try client.receiveAll() == [9])
        try client.send([2])
        #expect(server.events.next() == .received([1]))
        #expect(server.events.next() == .received([2]))
    }

    @Test func resetByThePeerFailsAndCloses() throws {
        let server = try ProbeServer()
        defer { server.stop() }
        do {
            let client = try BlockingSocket(connectedTo: server.address)
            try client.send([1])
            #expect(server.events.next() == .received([1]))
            client.reset()
        }
        #expect(server.events.next() == .failed(.connectionReset))
        #expect(server.events.next() == .closed)
    }

    @Test func resetReachesThePeer() throws {
        let server = try ProbeServer { probe in
            probe.act = { probe, event in
                if case .received = event { probe.reset() }
            }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        try client.send([1])
        #expect(throws: TestFailure.self) { try client.receive(count: 1) }
        #expect(server.events.next() == .received([1]))
        #expect(server.events.next() == .closed)
    }

    @Test func aResetIsFoundWhileReadingIsPausedAndWhatCameBeforeIsStillRead() throws {
        let channel = Recorder<WorkerBound<ProbeChannel>>()
        let server = try ProbeServer { probe in
            channel.append(WorkerBound(probe, worker: probe.worker))
            probe.act = { probe, event in
                if event == .received([1]) { probe.pauseReading() }
            }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        try client.send([1])
        #expect(server.events.next() == .received([1]))
        try client.send([2, 3])
        client.shutdownWrite()
        #expect(server.events.next() == .peerClosed)
        let probe = channel.next()
        server.harness.worker.post { probe.value.resumeReading() }
        #expect(server.events.next() == .received([2, 3]))
        #expect(server.events.next() == .end)
    }

    @Test func unconsumedOctetsComeAgainWithWhatFollows() throws {
        let server = try ProbeServer { probe in
            // Frames of ten octets.
            probe.consume = { $1.count / 10 * 10 }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        var expected: [[UInt8]] = []
        var kept: [UInt8] = []
        let octets = Self.pattern(1000)
        for size in [1, 3, 5, 1, 25, 10, 9, 1, 300] {
            let part = Array(octets[..<size])
            try client.send(part)
            kept += part
            expected.append(kept)
            #expect(server.events.next() == .received(kept))
            kept = Array(kept.suffix(kept.count % 10))
        }
        #expect(server.events.all == expected.map { .received($0) })
    }

    @Test func aChannelThatKeepsTooMuchStopsReadingUntilItResumes() throws {
        let channel = Recorder<WorkerBound<ProbeChannel>>()
        let seen = Recorder<Int>()
        let server = try ProbeServer { probe in
            channel.append(WorkerBound(probe, worker: probe.worker))
            probe.consume = { probe, octets in
                seen.append(octets.count)
                return 0
            }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        let probe = channel.next()
        try client.send(Self.pattern(200_000))
        while seen.next() <= 65536 {}
        let worker = server.harness.worker
        let kept = worker.performAndWait { probe.value.unconsumedBytes }
        #expect(kept > 65536 && kept <= 131_072)
        let rest = Recorder<Int>()
        worker.performAndWait {
            probe.value.consume = { _, octets in
                rest.append(octets.count)
                return octets.count
            }
            probe.value.resumeReading()
        }
        var total = 0
        while total < 200_000 { total += rest.next() }
        #expect(total == 200_000)
        #expect(worker.performAndWait { probe.value.unconsumedBytes } == 0)
    }

    @Test func pausedInsideReceivedNothingMoreIsOfferedUntilResumedAndNeverWithinTheCall() throws {
        let channel = Recorder<WorkerBound<ProbeChannel>>()
        let server = try ProbeServer { probe in
            channel.append(WorkerBound(probe, worker: probe.worker))
            probe.consume = { probe, octets in
                guard octets.count > 1 else { return 1 }
                probe.pauseReading()
                return 1
            }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        try client.send([1, 2, 3])
        #expect(server.events.next() == .received([1, 2, 3]))
        let probe = channel.next()
        let worker = server.harness.worker
        for expected in [[2, 3], [3]] as [[UInt8]] {
            let before = server.events.all.count
            worker.performAndWait {
                #expect(probe.value.isReadingPaused)
                probe.value.resumeReading()
                #expect(server.events.all.count == before)
            }
            #expect(server.events.next() == .received(expected))
        }
        try client.send([4])
        #expect(server.events.next() == .received([4]))
    }

    @Test func oneBusyChannelHasItsShareOfABatchOnly() throws {
        var limits = TransportLimits()
        limits.readBytes = 1024
        limits.readsPerBatch = 3
        let batches = Recorder<UInt64>()
        let server = try ProbeServer(limits: limits) { probe in
            probe.consume = { probe, octets in
                batches.append(probe.worker.batches)
                return octets.count
            }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        let octets = Self.pattern(64 * 1024)
        // Sent from the worker, so that all of it is there when the first batch begins.
        server.harness.worker.performAndWait { try? client.send(octets) }
        var received = 0
        while received < octets.count {
            guard case .received(let part) = server.events.next() else { break }
            received += part.count
        }
        let counts = Dictionary(grouping: batches.all) { $0 }.mapValues(\.count)
        #expect(counts.values.max() == 3)
        #expect(counts.count >= 64 / 3)
    }

    @Test func deadlineOfAChannel() throws {
        let server = try ProbeServer { probe in
            probe.deadline = probe.worker.now.adding(milliseconds: 10)
            probe.act = { probe, event in
                guard event == .deadline else { return }
                #expect(probe.deadline == .never)
                probe.closeNow()
            }
        }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        #expect(server.events.next() == .deadline)
        #expect(server.events.next() == .closed)
        #expect(try client.receiveAll() == [])
    }

    @Test func peekTellsALiveConnectionFromOneThatHasEnded() throws {
        let channel = Recorder<WorkerBound<ProbeChannel>>()
        let server = try ProbeServer { channel.append(WorkerBound($0, worker: $0.worker)) }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        let probe = channel.next()
        server.harness.worker.performAndWait {
            #expect(probe.value.peekIsAlive())
            client.shutdownWrite()
            // The loop has had no chance to see the end: only the peek can.
            #expect(!probe.value.peekIsAlive())
        }
        #expect(server.events.next() == .end)
        #expect(server.harness.worker.performAndWait { !probe.value.peekIsAlive() })
    }

    @Test func aConnectionInUseIsWholeUntilAnEndStandsBehindWhatIsNotRead() throws {
        let channel = Recorder<WorkerBound<ProbeChannel>>()
        let server = try ProbeServer { channel.append(WorkerBound($0, worker: $0.worker)) }
        defer { server.stop() }
        let client = try BlockingSocket(connectedTo: server.address)
        let probe = channel.next()
        try server.harness.worker.performAndWait {
            #expect(probe.value.peekIsWhole())
            try client.send(Array("an answer of another".utf8))
            #expect(probe.value.peekIsWhole() && !probe.value.peekIsAlive())
            client.shutdownWrite()
            #expect(!probe.value.peekIsWhole())
        }
        #expect(server.events.next() == .received(Array("an answer of another".utf8)))
        #expect(server.events.next() == .end)
        #expect(server.harness.worker.performAndWait { !probe.value.peekIsWhole() })
    }

    @Test func whatThePeerSentBeforeItBrokeTheConnectionIsHeardBeforeTheFailedWrite() throws {
        let channel = Recorder<WorkerBound<ProbeChannel>>()
        let server = try ProbeServer { channel.append(WorkerBound($0, worker: $0.worker)) }
        defer { server.stop() }
        var client: BlockingSocket? = try BlockingSocket(connectedTo: server.address)
        let probe = channel.next()
        let request = Self.pattern(100_000)
        try server.harness.worker.performAndWait {
            // The request breaks on the wire, and the early answer waits in the kernel: no event was taken yet.
            probe.value.write(contentsOf: request)
            probe.value.flush()
            try client?.send(Array("413".utf8))
            client = nil
            probe.value.write(contentsOf: request)
            probe.value.flush()
            probe.value.flush()
        }
        #expect(server.events.next() == .received(Array("413".utf8)))
        let last = server.events.next()
        #expect(last == .end || last == .failed(.connectionReset) || last == .failed(.brokenPipe))
    }
}
