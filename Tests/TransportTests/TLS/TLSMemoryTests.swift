import CLinux
import Glibc
import TestSupport
import Testing
import Transport

/// What connections with TLS cost in memory; each measured in a process of its own.
@Suite(.timeLimit(.minutes(5)))
struct TLSMemoryTests {
    /// Tells a figure, in the process that measures it.
    static func tell(_ what: String, _ octets: Int) {
        print("\(what): \(octets) resident octets each")
    }

    /// Repeats the figures, and compares them with what they may be.
    static func check(_ result: ExitTest.Result?, _ limits: [(what: String, below: Int)]) {
        let lines = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self).split(separator: "\n")
        for (what, limit) in limits {
            let line = lines.first { $0.hasPrefix(what) } ?? ""
            print(line)
            let octets = line.split(separator: ":").last?.split(separator: " ").first.flatMap { Int($0) }
            // A sanitizer's allocator adds its own.
            #expect(octets.map { $0 < limit || IdleMemoryTests.isSanitized } == true, "\(line)")
        }
    }

    static func raiseDescriptorLimit() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Connects and exchanges an octet; the client's channel.
    static func exchange(
        _ harness: Harness, _ address: SocketAddress, _ context: TLSClientContext
    ) throws -> TLSClient {
        let client = try harness.connect(to: address, context, sending: [1])
        guard client.events.next() == .connected, client.events.next() == .received([1]) else { exit(11) }
        return client
    }

    @Test("thousands of handshakes, whole, resumed, refused and cut off, leave nothing behind")
    func noGrowth() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            let root = try Certificates.root()
            let context = try TLSServerContext(.test { $0.clientCertificates = .optional(caPath: root) })
            let harness = try Harness()
            // Channels that nothing of the test holds on to.
            let address = try harness.listen {
                EchoChannel(worker: $0)
            } adopted: {
                $0.startTLS(context)
            }
            let files = try Certificates.client()
            let resuming = try TLSClientContext.test { $0.certificate = files }
            let hello = ClientHello(serverName: nil).record
            func round(_ number: Int) throws {
                let context = number % 2 == 0 ? resuming : try TLSClientContext.test { $0.certificate = files }
                let client = try TLSMemoryTests.exchange(harness, address, context)
                client.perform { $0.closeAfterFlush() }
                while client.events.next() != .closed {}
                let refused = try harness.connect(to: address, context, as: "other.test")
                while refused.events.next() != .closed {}
                let socket = try BlockingSocket(connectedTo: address)
                try socket.send(Array(hello[..<(number % hello.count)]))
            }
            for i in 0..<200 { try round(i) }
            let before = IdleMemoryTests.residentBytes()
            let count = 700
            for i in 0..<count { try round(i) }
            harness.worker.performAndWait {}
            let after = IdleMemoryTests.residentBytes()
            TLSMemoryTests.tell("rounds of three connections", max(0, after - before) / count)
            exit(0)
        }
        Self.check(result, [("rounds of three connections", 1500)])
    }

    @Test("idle connections")
    func idle() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            TLSMemoryTests.raiseDescriptorLimit()
            let server = try TLSServer.echo(.test())
            let worker = server.harness.worker
            let count = 250
            var clients: [RawTLSClient] = []
            var silent: [BlockingSocket] = []
            for _ in 0..<50 {
                let client = try RawTLSClient(server.address)
                try client.write([1])
                _ = try client.read(count: 1)
                clients.append(client)
            }
            // Only the first octets of a ClientHello, as from a slow attacker.
            var before = IdleMemoryTests.residentBytes()
            for _ in 0..<count {
                let socket = try BlockingSocket(connectedTo: server.address)
                try socket.send([0x16, 3, 1, 2, 0, 1, 0])
                silent.append(socket)
            }
            worker.performAndWait {}
            TLSMemoryTests.tell("handshakes not begun", (IdleMemoryTests.residentBytes() - before) / count)
            // Ours on both sides: half of it is the server's.
            let context = try TLSClientContext.test()
            before = IdleMemoryTests.residentBytes()
            var ours: [TLSClient] = []
            for _ in 0..<count { ours.append(try TLSMemoryTests.exchange(server.harness, server.address, context)) }
            worker.performAndWait {}
            TLSMemoryTests.tell("idle connections", (IdleMemoryTests.residentBytes() - before) / count / 2)
            withExtendedLifetime((clients, silent, ours)) {}
            exit(0)
        }
        // checks.md C2 and D1. What the test keeps of each connection counts, too.
        Self.check(result, [("handshakes not begun", 8192), ("idle connections", 24 * 1024)])
    }
}
