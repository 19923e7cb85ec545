import CLinux
import Glibc
import Testing
import Transport

/// Closing, inside every callback, the channel itself and others.
@Suite(.timeLimit(.minutes(5)))
struct ReentrancyTests {
    /// Tells the kernel's events as they are.
    final class RawChannel: Channel {
        let onReady: (ReadyEvents) -> Void

        init(worker: Worker, _ onReady: @escaping (ReadyEvents) -> Void) {
            self.onReady = onReady
            super.init(worker: worker)
        }

        override func ready(_ events: ReadyEvents) { onReady(events) }
    }

    static func pair() -> (Int32, BlockingSocket) {
        var ends: [Int32] = [-1, -1]
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK, 0, &ends)
        let flags = fcntl(ends[1], F_GETFL)
        _ = fcntl(ends[1], F_SETFL, flags & ~O_NONBLOCK)
        return (ends[0], BlockingSocket(descriptor: ends[1]))
    }

    @Test func anEventOfAClosedChannelDoesNotReachTheOneInItsSlot() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let worker = harness.worker
        let (left, leftPeer) = Self.pair()
        let (right, rightPeer) = Self.pair()
        let (fresh, freshPeer) = Self.pair()
        final class Cast {
            var channels: [RawChannel] = []
        }
        let cast = WorkerBound(Cast(), worker: worker)
        let late = Recorder<ReadyEvents>()
        let first = Recorder<Int>()
        try worker.performAndWait {
            for (i, descriptor) in [left, right].enumerated() {
                let channel = RawChannel(worker: worker) { events in
                    guard events.contains(.readable), cast.value.channels.count == 2 else { return }
                    first.append(i)
                    // Whichever comes first closes the other, whose event is in the same batch, and gives its slot
                    // away.
                    cast.value.channels[1 - i].close()
                    let heir = RawChannel(worker: worker) { late.append($0) }
                    try? heir.register(
                        fresh, interest: [.readable, .writable, .peerClosed, ReadyEvents(rawValue: 1 << 31)])
                    cast.value.channels.append(heir)
                }
                try channel.register(descriptor, interest: [.readable, ReadyEvents(rawValue: 1 << 31)])
                cast.value.channels.append(channel)
            }
            try leftPeer.send([1])
            try rightPeer.send([1])
        }
        _ = first.next()
        try freshPeer.send([5])
        while !late.next().contains(.readable) {}
        #expect(first.all.count == 1)
        // Before its own octet came, the heir was told that it can write, and nothing else.
        #expect(late.all.dropLast().allSatisfy { !$0.contains(.readable) })
        #expect(worker.performAndWait { worker.channelCount } == 2)
        worker.performAndWait { cast.value.channels = [] }
    }

    @Test(arguments: [0, 1, 2, 3, 4])
    func closingInsideACallbackEndsAllCallbacks(which: Int) throws {
        let server = try ProbeServer { probe in
            probe.deadline = which == 4 ? probe.worker.now : .never
            probe.act = { probe, event in
                switch (which, event) {
                case (0, .received): probe.closeNow()
                case (1, .end): probe.closeNow()
                case (2, .failed): probe.closeNow()
                case (3, .received): probe.requestDrainNotice()
                case (3, .drained), (4, .deadline): probe.closeNow()
                default: return
                }
                if !probe.isOpen {
                    // All calls on a closed channel do nothing.
                    probe.write(contentsOf: [1])
                    probe.flush()
                    probe.pauseReading()
                    probe.resumeReading()
                    probe.requestDrainNotice()
                    probe.shutdownWrite()
                    probe.closeAfterFlush()
                    probe.reset()
                    probe.closeNow()
                    probe.deadline = probe.worker.now
                }
            }
        }
        defer { server.stop() }
        do {
            let client = try BlockingSocket(connectedTo: server.address)
            if which < 4 {
                try client.send([1])
                #expect(server.events.next() == .received([1]))
            }
            if which == 2 { client.reset() }
        }
        while server.events.next() != .closed {}
        server.harness.worker.performAndWait {}
        #expect(server.events.all.filter { $0 == .closed }.count == 1)
        #expect(server.events.all.last == .closed)
        #expect(server.harness.worker.performAndWait { server.harness.worker.channelCount } == 1)
        #expect(server.harness.worker.performAndWait { server.harness.worker.timers.count } == 0)
    }

    @Test func aChannelMayCloseAllOthersInsideReceived() throws {
        final class Crowd {
            var probes: [ProbeChannel] = []
        }
        let harness = try Harness()
        defer { harness.stop() }
        let worker = harness.worker
        let crowd = WorkerBound(Crowd(), worker: worker)
        let closed = Recorder<Int>()
        let received = Recorder<Int>()
        let pairs = (0..<50).map { _ in Self.pair() }
        try worker.performAndWait {
            for (descriptor, _) in pairs {
                let probe = ProbeChannel(worker: worker) { event in
                    if event == .closed { closed.append(1) }
                    guard case .received = event else { return }
                    received.append(1)
                    for other in crowd.value.probes { other.closeNow() }
                    crowd.value.probes = []
                }
                try probe.adopt(descriptor: descriptor, peer: .unknown)
                crowd.value.probes.append(probe)
            }
            for (_, peer) in pairs { try peer.send([1]) }
        }
        for _ in pairs { _ = closed.next() }
        worker.performAndWait {}
        #expect(received.all.count == 1)
        #expect(worker.performAndWait { worker.channelCount } == 0)
        for (_, peer) in pairs { #expect((try? peer.receiveAll()) ?? [] == []) }
    }
}
