import CLinux
import Glibc
import Testing
import Transport

@Suite(.timeLimit(.minutes(5)))
struct ListenerTests {
    let loopback = SocketAddress.v4(0x7F00_0001, port: 0)

    func path(_ name: String) -> String { "/tmp/oncegate-test-\(getpid())-\(name)" }

    func cause(_ address: SocketAddress) -> ListenError.Cause? {
        do throws(ListenError) {
            try ListeningSocket.bind(address).close()
            return nil
        } catch {
            #expect(error.description.contains("\(address)"))
            return error.cause
        }
    }

    @Test func aPortInUseIsToldWithItsAddress() throws {
        let socket = try ListeningSocket.bind(loopback)
        defer { socket.close() }
        #expect(socket.address.port != 0)
        #expect(cause(socket.address) == .system(.addressInUse))
        let error = #expect(throws: ListenError.self) { try ListeningSocket.bind(socket.address) }
        #expect(error?.description == "cannot listen on \(socket.address): Address already in use")
    }

    @Test func anAddressThatIsNotOursIsRefused() {
        // TEST-NET-3, RFC 5737.
        #expect(cause(.v4(0xCB00_7101, port: 0)) == .system(.addressNotAvailable))
    }

    @Test func severalSocketsShareAPort() throws {
        var options = ListeningSocket.Options()
        options.reusesPort = true
        let first = try ListeningSocket.bind(loopback, options: options)
        defer { first.close() }
        let second = try ListeningSocket.bind(first.address, options: options)
        second.close()
    }

    @Test func aStaleUNIXSocketIsReplacedAndALiveOneIsNot() throws {
        let path = path("stale")
        let address = SocketAddress.unix(Array(path.utf8))
        let stale = try ListeningSocket.bind(address)
        stale.close(unlinks: false)
        #expect(access(path, F_OK) == 0)
        var options = ListeningSocket.Options()
        options.mode = 0o640
        let live = try ListeningSocket.bind(address, options: options)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o640)
        #expect(cause(address) == .socketInUse)
        live.close()
        #expect(access(path, F_OK) != 0)
    }

    @Test func onlyItsOwnFileIsRemoved() throws {
        let path = path("own")
        let address = SocketAddress.unix(Array(path.utf8))
        let first = try ListeningSocket.bind(address)
        unlink(path)
        let second = try ListeningSocket.bind(address)
        first.close()
        #expect(access(path, F_OK) == 0)
        second.close()
        #expect(access(path, F_OK) != 0)
    }

    @Test func aFileThatIsNoSocketIsLeftAlone() throws {
        let path = path("file")
        Glibc.close(open(path, O_CREAT | O_WRONLY, 0o600))
        defer { unlink(path) }
        #expect(cause(.unix(Array(path.utf8))) == .pathIsNotSocket)
        #expect(access(path, F_OK) == 0)
    }

    @Test func unusablePaths() {
        #expect(cause(.unix(Array(repeating: UInt8(ascii: "x"), count: 108))) == .pathTooLong)
        #expect(cause(.unix(Array("/nonexistent/oncegate".utf8))) == .system(.notFound))
    }

    @Test func aHandedOverSocketIsServedAndAnythingElseIsRefused() throws {
        let socket = try ListeningSocket.bind(loopback)
        let adopted = try ListeningSocket.adopt(socket.descriptor)
        #expect(adopted.address == socket.address)
        let harness = try Harness()
        defer { harness.stop() }
        try harness.worker.performAndWait {
            _ = try Listener(worker: harness.worker, socket: adopted) { descriptor, peer in
                try? EchoChannel(worker: harness.worker).adopt(descriptor: descriptor, peer: peer)
            }
        }
        let client = try BlockingSocket(connectedTo: adopted.address)
        try client.send([4])
        #expect(try client.receive(count: 1) == [4])
        #expect(throws: ListenError.self) { try ListeningSocket.adopt(client.descriptor) }
        #expect(throws: ListenError.self) { try ListeningSocket.adopt(-1) }
    }

    @Test func aPausedListenerLeavesConnectionsWaitingAndBurstsAreBounded() throws {
        var limits = TransportLimits()
        limits.acceptsPerBatch = 2
        let harness = try Harness(limits: limits)
        defer { harness.stop() }
        let worker = harness.worker
        let batches = Recorder<UInt64>()
        let listener = try worker.performAndWait {
            let listener = try Listener(worker: worker, address: loopback) { descriptor, peer in
                batches.append(worker.batches)
                try? EchoChannel(worker: worker).adopt(descriptor: descriptor, peer: peer)
            }
            listener.pause()
            return WorkerBound(listener, worker: worker)
        }
        let address = worker.performAndWait { listener.value.address }
        let clients = try (0..<7).map { _ in try BlockingSocket(connectedTo: address) }
        #expect(batches.all.isEmpty)
        worker.performAndWait { listener.value.resume() }
        for _ in clients { _ = batches.next() }
        #expect(Dictionary(grouping: batches.all) { $0 }.values.allSatisfy { $0.count <= 2 })
        #expect(worker.performAndWait { listener.value.acceptedCount } == 7)
    }

    @Test func whoWaitsInTheBacklogIsTakenInBeforeTheEnd() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let worker = harness.worker
        // Nobody else gets this address.
        let address = SocketAddress.unix(Array(path("ending").utf8))
        let listener = try worker.performAndWait {
            let listener = try Listener(worker: worker, address: address) { descriptor, peer in
                try? EchoChannel(worker: worker).adopt(descriptor: descriptor, peer: peer)
            }
            // As one that waits for handshakes, or rests.
            listener.pause()
            return WorkerBound(listener, worker: worker)
        }
        let clients = try (0..<50).map { _ in try BlockingSocket(connectedTo: address) }
        for client in clients { try client.send([5]) }
        worker.performAndWait { listener.value.acceptWaitingAndClose() }
        for client in clients { #expect(try client.receive(count: 1) == [5]) }
        #expect(throws: TestFailure.self) { try BlockingSocket(connectedTo: address) }
    }

    @Test func whoWaitsAtAHandedOverSocketIsLeftToTheNextOne() throws {
        let socket = try ListeningSocket.bind(.unix(Array(path("handed-over").utf8)))
        let harness = try Harness()
        defer { harness.stop() }
        let worker = harness.worker
        let serve: (Int32, SocketAddress) -> Void = { descriptor, peer in
            try? EchoChannel(worker: worker).adopt(descriptor: descriptor, peer: peer)
        }
        let adopted = try ListeningSocket.adopt(dup(socket.descriptor))
        let first = try worker.performAndWait {
            let listener = try Listener(worker: worker, socket: adopted, onAccept: serve)
            listener.pause()
            return WorkerBound(listener, worker: worker)
        }
        let client = try BlockingSocket(connectedTo: socket.address)
        try client.send([6])
        worker.performAndWait { first.value.acceptWaitingAndClose() }
        #expect(worker.performAndWait { first.value.acceptedCount } == 0)
        _ = try worker.performAndWait {
            WorkerBound(try Listener(worker: worker, socket: socket, onAccept: serve), worker: worker)
        }
        #expect(try client.receive(count: 1) == [6])
    }

    @Test func twoWorkersShareOneSocket() throws {
        let harnesses = [try Harness(), try Harness()]
        defer { for harness in harnesses { harness.stop() } }
        let socket = try ListeningSocket.bind(.unix(Array(path("shared").utf8)))
        for harness in harnesses {
            let copy = try socket.duplicate()
            try harness.worker.performAndWait {
                _ = try Listener(worker: harness.worker, socket: copy) { descriptor, peer in
                    try? EchoChannel(worker: harness.worker).adopt(descriptor: descriptor, peer: peer)
                }
            }
        }
        for i in 0..<100 {
            let client = try BlockingSocket(connectedTo: socket.address)
            try client.send([UInt8(i)])
            #expect(try client.receive(count: 1) == [UInt8(i)])
        }
        socket.close()
    }

    @Test func outOfDescriptorsAWaitingConnectionIsClosedAndServiceGoesOn() async {
        // In a process of its own, since the limit holds for all of it.
        await #expect(processExitsWith: .success) {
            var limits = TransportLimits()
            limits.acceptRestMilliseconds = 20
            let harness = try Harness(limits: limits)
            let worker = harness.worker
            let listener = try worker.performAndWait {
                WorkerBound(
                    try Listener(worker: worker, address: .v4(0x7F00_0001, port: 0)) { descriptor, peer in
                        try? EchoChannel(worker: worker).adopt(descriptor: descriptor, peer: peer)
                    }, worker: worker)
            }
            let address = worker.performAndWait { listener.value.address }
            let early = try BlockingSocket(connectedTo: address)
            try early.send([1])
            guard try early.receive(count: 1) == [1] else { exit(10) }
            let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            // The next descriptor is one too many.
            let free = dup(0)
            Glibc.close(free)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let whole = limit
            limit.rlim_cur = rlim_t(free)
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            _ = address.withSocketAddress { cl_connect(client, $0, $1) }
            let refused = BlockingSocket(descriptor: client)
            guard ((try? refused.receive(count: 1)) ?? []).isEmpty else { exit(11) }
            // Those who are in go on.
            try early.send([2])
            guard try early.receive(count: 1) == [2] else { exit(12) }
            guard worker.performAndWait({ listener.value.refusedCount }) >= 1 else { exit(13) }
            var restored = whole
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &restored)
            let late = try BlockingSocket(connectedTo: address)
            try late.send([3])
            guard try late.receive(count: 1) == [3] else { exit(14) }
            exit(0)
        }
    }
}
