import Foundation
import TestSupport
import Testing

/// More handshakes than the proxy can make (C3).
@Suite(.blackBox) struct HandshakeFloodTests {
    /// Connections that begin a handshake, and leave when some others have: the cheapest flood there is.
    private final class Flood: Sendable {
        private let isOver = Monitored(false)
        private let running: Running<Void>

        init(_ address: Address, hello: [UInt8]) {
            running = Running { [isOver] in
                var open: [TestSocket] = []
                while !isOver.with({ $0 }) {
                    // Refused, or the backlog is full: the flood goes on.
                    guard let socket = try? TestSocket.connect(to: address, until: .after(0.2)) else { continue }
                    try? socket.send(hello, until: .after(0.2))
                    open.append(socket)
                    if open.count > 64 { open.removeFirst().close() }
                }
                open.forEach { $0.close() }
            }
        }

        func stop() throws {
            isOver.with { $0 = true }
            try running.join(until: .after(20))
        }
    }

    /// As a client of TLS 1.3 sends it.
    static func clientHello() throws -> [UInt8] {
        let script = """
            import ssl
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); context.check_hostname = False; context.verify_mode = 0
            out = ssl.MemoryBIO(); hello = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname='service.test')
            try: hello.do_handshake()
            except ssl.SSLWantReadError: pass
            print(*out.read())
            """
        let result = try Subprocess.run([Peer.python, "-c", script])
        return result.output.split(whereSeparator: \.isWhitespace).compactMap { UInt8($0) }
    }

    /// Milliseconds of so many requests, one after the other.
    private func times(_ count: Int, _ client: RawClient) throws -> [Double] {
        var times: [Double] = []
        for _ in 0..<count {
            let start = monotonicNanoseconds()
            let reply = try client.exchange(.get("/"))
            times.append(Double(monotonicNanoseconds() - start) / 1e6)
            #expect(reply.status == 201)
        }
        return times
    }

    private func quantile(_ times: [Double], _ percent: Int) -> Double { times.sorted()[times.count * percent / 100] }

    @Test(
        "C3 a flood of handshakes: the slowest in a hundred answers to who is connected take no more than twice as long"
    )
    func connectedClients() throws {
        var configuration = ProxyConfiguration(try ScriptedUpstream())
        configuration.listen = try ProxyConfiguration.tlsListener() + "\nlisten 127.0.0.1:0;"
        configuration.workers = 1
        let proxy = try ProxyProcess(configuration)
        let hello = try Self.clientHello()
        let client = try RawClient(proxy.addresses[1])
        func begun() throws -> Double {
            let failures = try proxy.metrics().filter { $0.key.hasPrefix("oncegate_tls_handshake_failures_total") }
            return failures.values.reduce(0, +)
        }
        _ = try times(200, client)
        // Other processes share the machine, the other tests among them: by turns, so that a spell of theirs meets both
        // measures, and again when it met one of them.
        var measures: [(quiet: Double, flooded: Double, medians: [Double], handshakes: Double)] = []
        repeat {
            var (quiet, flooded, handshakes): ([Double], [Double], Double) = ([], [], 0)
            for _ in 0..<8 {
                quiet += try times(100, client)
                let before = try begun()
                let flood = Flood(proxy.addresses[0], hello: hello)
                defer { try? flood.stop() }
                try poll("the flood") { try begun() > before + 100 ? true : nil }
                let start = try begun()
                flooded += try times(100, client)
                handshakes += try begun() - start
            }
            let medians = [quantile(quiet, 50), quantile(flooded, 50)]
            measures.append((quantile(quiet, 99), quantile(flooded, 99), medians, handshakes))
        } while measures.count < 8 && measures.last!.flooded > 2 * measures.last!.quiet
        #expect(measures.contains { $0.flooded <= 2 * $0.quiet }, "milliseconds: \(measures)")
        #expect(measures.allSatisfy { $0.handshakes > 200 }, "\(measures)")
        print("C3: \(measures)")
        // What waits in the kernel's backlog is worked off, and then anybody is served.
        try poll("a handshake") {
            try TLSTests.handshake(proxy.addresses[0], seconds: 3).contains("New, TLSv1.3") ? true : nil
        }
    }
}
