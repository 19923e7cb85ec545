import CLinux
import Glibc
import TestSupport
import Testing
import Transport

/// Input that no honest peer sends.
@Suite(.timeLimit(.minutes(5)))
struct TLSHostileTests {
    /// Sends the octets and waits until the server has closed; it must not have taken them for a client.
    func refuse(_ octets: [UInt8], by server: TLSServer) throws -> TLSEvent {
        let socket = try BlockingSocket(connectedTo: server.address)
        // The server may close before all of it is sent.
        try? socket.send(octets)
        socket.shutdownWrite()
        let event = server.events.next()
        #expect(server.events.next() == .closed)
        return event
    }

    @Test("plain HTTP is told as what it is")
    func plainHTTP() throws {
        let server = try TLSServer(.test())
        defer { server.stop() }
        for request in [
            "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "POST /orders HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            #expect(try refuse(Array(request.utf8), by: server) == .failed(.protocolError, .notTLS), "\(request)")
        }
    }

    @Test("records that are too long, of unknown types, of old versions, empty, alerts first")
    func records() throws {
        let server = try TLSServer(.test())
        defer { server.stop() }
        let cases: [[UInt8]] = [
            [0x16, 3, 1, 0xFF, 0xFF] + [UInt8](repeating: 1, count: 70_000),
            [0x16, 3, 1, 0x40, 0x01] + [UInt8](repeating: 1, count: 0x4001),
            [0x16, 3, 1, 0, 0], [0x16, 3, 1, 0, 1, 1], [0x17, 3, 3, 0, 1, 1], [0x14, 3, 3, 0, 1, 1],
            [0x15, 3, 3, 0, 2, 2, 40], [0x15, 3, 3, 0, 2, 1, 0],
            [0x80, 0x2E, 1, 3, 1] + [UInt8](repeating: 0, count: 43),
            [0x16, 2, 0, 0, 1, 1], [0xFF], [0], [0x16, 3, 3, 0, 4, 1, 0xFF, 0xFF, 0xFF],
            [0x16, 3, 3, 0, 4, 2, 0, 0, 0], [0x18, 3, 3, 0, 3, 1, 0x40, 0],
        ]
        for octets in cases {
            let event = try refuse(octets, by: server)
            guard case .failed(let error, let kind) = event else {
                Issue.record("\(octets.prefix(8)): \(event)")
                continue
            }
            // An RST of ours meets what is still on its way.
            #expect(error == .protocolError && kind != nil && kind != .internal || error == .connectionReset)
        }
    }

    @Test("garbage and damaged ClientHellos", arguments: [UInt64(1), 2])
    func random(seed: UInt64) throws {
        var generator = TestSupport.SeededGenerator(seed: seed)
        let server = try TLSServer(.test())
        defer { server.stop() }
        let hello = try Self.realHello(server.harness)
        for round in 0..<300 {
            var octets = round % 3 == 0 ? generator.octets(Int.random(in: 1...600, using: &generator)) : hello
            for _ in 0..<Int.random(in: 0...6, using: &generator) {
                let at = Int.random(in: 0..<octets.count, using: &generator)
                switch Int.random(in: 0...3, using: &generator) {
                case 0: octets[at] = UInt8.random(in: 0...255, using: &generator)
                case 1: octets.insert(UInt8.random(in: 0...255, using: &generator), at: at)
                case 2: if octets.count > 1 { octets.remove(at: at) }
                default: octets.removeLast(min(octets.count - 1, at))
                }
            }
            if round % 5 == 0 { octets += generator.octets(2000) }
            let event = try refuse(octets, by: server)
            guard case .failed(_, let kind) = event else {
                Issue.record("seed \(generator.seed), round \(round): \(event)")
                return
            }
            #expect(kind != .internal, "seed \(generator.seed), round \(round)")
        }
        // It serves as before.
        let client = try server.connect(.test())
        #expect(client.events.next() == .connected)
        server.harness.worker.performAndWait { #expect(server.harness.worker.blocks.inUse == 0) }
    }

    /// A ClientHello of our client, in one record.
    static func realHello(_ harness: Harness) throws -> [UInt8] {
        let listener = try PlainListener()
        let client = try harness.connect(to: listener.address, .test())
        let peer = try listener.accept()
        let head = try peer.receive(count: 5)
        let hello = head + (try peer.receive(count: Int(head[3]) << 8 | Int(head[4])))
        client.perform { $0.closeNow() }
        return hello
    }

    @Test(
        "one octet altered on the way: nothing but a beginning of what was sent is ever offered",
        arguments: [false, true])
    func altered(upwards: Bool) throws {
        var generator = TestSupport.SeededGenerator(seed: upwards ? 3 : 4)
        let sent = StreamChannelTests.pattern(30_000)
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        let context = try TLSClientContext.test()
        for _ in 0..<60 {
            let at = Int.random(in: 0..<(upwards ? 30_500 : 31_500), using: &generator)
            let bit = UInt8(1) << UInt8.random(in: 0...7, using: &generator)
            let relay = try SplittingRelay(to: server.address) {
                $0
            } change: { isUpwards, position, octets in
                let index = at - position
                if isUpwards == upwards, octets.indices.contains(index) { octets[index] ^= bit }
            }
            relay.serve()
            let served = server.events.all.count
            let client = try server.harness.connect(to: relay.address, context, sending: sent) { channel in
                channel.deadline = channel.worker.now.adding(milliseconds: 20_000)
            }
            var got: [UInt8] = []
            var isWhole = false
            loop: while got.count < sent.count {
                switch client.events.next() {
                case .received(let part): got += part
                case .connected: isWhole = true
                default: break loop
                }
            }
            #expect(got.elementsEqual(sent.prefix(got.count)), "octet \(at)")
            // Only a record's own version number can be altered unseen (RFC 8446 §5.1), as the ClientHello's is.
            if got.count == sent.count { #expect(isWhole) }
            client.perform { $0.closeNow() }
            for case .received(let part) in server.events.all[served...] {
                #expect(sent.indices.contains(part.count - 1))
            }
        }
    }
}
