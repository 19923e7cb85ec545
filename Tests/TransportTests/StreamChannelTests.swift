import Testing
import Transport

@Suite(.timeLimit(.minutes(1)))
struct StreamChannelTests {
    @Test func echo() async throws {
        let harness = try Harness()
        defer { harness.stop() }
        let address = try harness.listen { EchoChannel(worker: $0) }
        let client = try BlockingSocket(connectedTo: address)
        for size in [1, 100, 70_000] {
            let octets = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try client.send(octets)
            #expect(try client.receive(count: size) == octets)
        }
    }
}
