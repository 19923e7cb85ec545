import CLinux
import Glibc
import Testing
import Transport

@Suite(.timeLimit(.minutes(5)))
struct ConnectTests {
    /// Connects a probe; gives what `connect` threw.
    func connect(
        _ harness: Harness, to address: SocketAddress, _ events: Recorder<Event>,
        _ configure: @Sendable (ProbeChannel) -> Void = { _ in }
    ) -> Errno? {
        harness.worker.performAndWait {
            let probe = ProbeChannel(worker: harness.worker) { events.append($0) }
            configure(probe)
            do throws(Errno) {
                try probe.connect(to: address)
                #expect(probe.isConnecting)
                // Sent when the connection is made.
                probe.write(contentsOf: [1, 2, 3])
            } catch {
                return error
            }
            return nil
        }
    }

    static func unixPath(_ name: String) -> SocketAddress {
        .unix(Array("/tmp/oncegate-test-\(getpid())-\(name)".utf8))
    }

    @Test(arguments: [SocketAddress.v4(0x7F00_0001, port: 0), .v6(high: 0, low: 1, port: 0), unixPath("connect")])
    func connectsWritesAndReads(address: SocketAddress) throws {
        let harness = try Harness()
        defer { harness.stop() }
        let socket = try ListeningSocket.bind(address)
        defer { socket.close() }
        let peers = Recorder<SocketAddress>()
        let listener = WorkerBound(
            try harness.worker.performAndWait {
                try Listener(worker: harness.worker, socket: try socket.duplicate()) { descriptor, peer in
                    peers.append(peer)
                    try? EchoChannel(worker: harness.worker).adopt(descriptor: descriptor, peer: peer)
                }
            }, worker: harness.worker)
        let events = Recorder<Event>()
        #expect(connect(harness, to: socket.address, events) == nil)
        #expect(events.next() == .connected)
        #expect(events.next() == .received([1, 2, 3]))
        #expect(peers.next().kind == address.kind)
        harness.worker.performAndWait { listener.value.closeAndUnlink() }
    }

    @Test func refusedIsThrownOrTold() throws {
        let harness = try Harness()
        defer { harness.stop() }
        // A port that was free a moment ago.
        let socket = try ListeningSocket.bind(.v4(0x7F00_0001, port: 0))
        socket.close()
        let events = Recorder<Event>()
        if let error = connect(harness, to: socket.address, events) {
            #expect(error == .connectionRefused)
            #expect(events.all.isEmpty)
        } else {
            #expect(events.next() == .failed(.connectionRefused))
            #expect(events.next() == .closed)
        }
        #expect(connect(harness, to: Self.unixPath("nobody"), events) == .notFound)
        #expect(harness.worker.performAndWait { harness.worker.channelCount } == 0)
    }

    @Test func aConnectThatIsNotAnsweredEndsAtItsDeadline() throws {
        let harness = try Harness()
        defer { harness.stop() }
        // A listener that accepts nothing, its backlog full: the kernel drops further connection requests.
        let raw = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(raw) }
        #expect(SocketAddress.v4(0x7F00_0001, port: 0).withSocketAddress { cl_bind(raw, $0, $1) } == 0)
        listen(raw, 0)
        var storage = sockaddr_storage()
        var length: socklen_t = 0
        _ = cl_getsockname(raw, &storage, &length)
        let address = SocketAddress(&storage, length: length)
        var events: [Recorder<Event>] = []
        // The first ones fill the backlog.
        for _ in 0..<4 {
            let recorder = Recorder<Event>()
            events.append(recorder)
            _ = connect(harness, to: address, recorder) { probe in
                probe.act = { probe, event in if event == .deadline { probe.closeNow() } }
                probe.deadline = probe.worker.now.adding(milliseconds: 100)
            }
        }
        #expect(events[3].next() == .deadline)
        #expect(events[3].next() == .closed)
        #expect(events[0].next() == .connected)
    }
}
