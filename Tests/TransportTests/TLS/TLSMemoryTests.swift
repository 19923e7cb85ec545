import CLinux
import Glibc
import TestSupport
import Testing
import Transport

/// What connections with TLS cost in memory; each measured in a process of its own.
@Suite(.timeLimit(.minutes(5)))
struct TLSMemoryTests {
    /// Ends the process when a figure is not what it should be.
    static func check(_ what: String, _ octets: Int, below limit: Int) {
        print("\(what): \(octets) resident octets each")
        let text = Array("\(what): \(octets) resident octets each\n".utf8)
        if octets >= limit { _ = write(2, text, text.count) }
        // A sanitizer's allocator adds its own.
        if octets >= limit, !IdleMemoryTests.isSanitized { exit(20) }
    }

    static func report(_ result: ExitTest.Result?) {
        let lines = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self).split(separator: "\n")
        for line in lines where line.contains("resident octets") { print(line) }
    }

    static func raiseDescriptorLimit() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Connects and exchanges an octet; the client's channel.
    static func exchange(_ server: TLSServer, _ context: TLSClientContext) throws -> TLSClient {
        let client = try server.connect(context, sending: [1])
        guard client.events.next() == .connected, client.events.next() == .received([1]) else { exit(11) }
        return client
    }

    @Test("thousands of handshakes, whole, resumed, refused and cut off, leave nothing behind")
    func noGrowth() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            let root = try Certificates.root()
            let server = try TLSServer(.test { $0.clientCertificates = .optional(caPath: root) }) { channel in
                channel.act = { channel, event in
                    if case .received(let octets) = event { channel.write(contentsOf: octets) }
                    if case .end = event { channel.closeAfterFlush() }
                }
            }
            let files = try Certificates.client()
            let resuming = try TLSClientContext.test { $0.certificate = files }
            let hello = ClientHello(serverName: nil).record
            func round(_ number: Int) throws {
                let context = number % 2 == 0 ? resuming : try TLSClientContext.test { $0.certificate = files }
                let client = try TLSMemoryTests.exchange(server, context)
                client.perform { $0.closeAfterFlush() }
                while client.events.next() != .closed {}
                let refused = try server.connect(context, as: "other.test")
                while refused.events.next() != .closed {}
                let socket = try BlockingSocket(connectedTo: server.address)
                try socket.send(Array(hello[..<(number % hello.count)]))
            }
            for i in 0..<300 { try round(i) }
            let before = IdleMemoryTests.residentBytes()
            let count = 1500
            for i in 0..<count { try round(i) }
            server.harness.worker.performAndWait {}
            let after = IdleMemoryTests.residentBytes()
            // The recorders of the test itself keep a few hundred octets of each.
            TLSMemoryTests.check("rounds of three connections", max(0, after - before) / count, below: 1500)
            exit(0)
        }
        Self.report(result)
    }

    @Test("idle connections")
    func idle() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            TLSMemoryTests.raiseDescriptorLimit()
            let server = try TLSServer.echo(.test())
            let worker = server.harness.worker
            let count = 400
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
            TLSMemoryTests.check(
                "handshakes not begun", (IdleMemoryTests.residentBytes() - before) / count, below: 8192)
            // Ours on both sides: half of it is the server's.
            let context = try TLSClientContext.test()
            before = IdleMemoryTests.residentBytes()
            var ours: [TLSClient] = []
            for _ in 0..<count { ours.append(try TLSMemoryTests.exchange(server, context)) }
            worker.performAndWait {}
            TLSMemoryTests.check(
                "idle connections", (IdleMemoryTests.residentBytes() - before) / count / 2, below: 20 * 1024)
            withExtendedLifetime((clients, silent, ours)) {}
            exit(0)
        }
        Self.report(result)
    }
}
