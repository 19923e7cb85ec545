import CLinux
import Glibc
import TestSupport
import Testing
import Transport

/// Many handshakes at once, and ClientHellos that are too long.
@Suite(.timeLimit(.minutes(5)))
struct TLSFloodTests {
    /// Whether something has come.
    private func isAnswered(_ socket: BlockingSocket) -> Bool {
        var octet: UInt8 = 0
        return recv(socket.descriptor, &octet, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) > 0
    }

    @Test("C3: who is connected is served before handshakes that came earlier, and those are served all the same")
    func connectedFirst() throws {
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        let hello = try TLSHostileTests.realHello(server.harness)
        let client = try RawTLSClient(server.address)
        try client.write([1])
        #expect(try client.read(count: 1) == [1])
        // The worker finds all of it in one look at its sockets.
        let (held, go) = (Semaphore(), Semaphore())
        server.harness.worker.post {
            held.post()
            go.wait()
        }
        held.wait()
        let flood = try (0..<120).map { _ in
            let socket = try BlockingSocket(connectedTo: server.address)
            try socket.send(hello)
            return socket
        }
        try client.write([2])
        go.post()
        #expect(try client.read(count: 1) == [2])
        #expect(flood.filter(isAnswered).count < 60)
        for socket in flood { #expect(try socket.receive(count: 1) == [22]) }
    }

    @Test("C3: for a client that has left before its turn no handshake is made")
    func left() throws {
        let server = try TLSServer(.test())
        defer { server.stop() }
        let hello = try TLSHostileTests.realHello(server.harness)
        let (held, go) = (Semaphore(), Semaphore())
        server.harness.worker.post {
            held.post()
            go.wait()
        }
        held.wait()
        let socket = try BlockingSocket(connectedTo: server.address)
        try socket.send(hello)
        socket.shutdownWrite()
        go.post()
        #expect(server.events.next() == .failed(.protocolError, .handshakeCutOff))
        #expect(try socket.receiveAll() == [])
    }

    @Test("C3: while many handshakes wait, a listener for TLS accepts nobody, says so once, and goes on afterwards")
    func accepting() throws {
        var limits = TransportLimits()
        limits.handshakesQueuedMax = 8
        limits.acceptsPerBatch = 4
        limits.handshakeMicrosecondsPerBatch = 1
        let harness = try Harness(limits: limits)
        defer { harness.stop() }
        let hello = try TLSHostileTests.realHello(harness)
        let context = try TLSServerContext(.test())
        let (full, held, go) = (Recorder<Int>(), Semaphore(), Semaphore())
        let address = try harness.worker.performAndWait {
            let worker = harness.worker
            let listener = try Listener(worker: worker, address: .v4(0x7F00_0001, port: 0)) { descriptor, peer in
                let channel = TLSChannel(worker: worker) { _ in }
                try? channel.adopt(descriptor: descriptor, peer: peer)
                channel.startTLS(context)
            }
            listener.onManyHandshakes = { full.append(worker.channelCount) }
            return listener.address
        }
        harness.worker.post {
            held.post()
            go.wait()
        }
        held.wait()
        let flood = try (0..<60).map { _ in
            let socket = try BlockingSocket(connectedTo: address)
            try socket.send(hello)
            return socket
        }
        go.post()
        for socket in flood { #expect(try socket.receive(count: 1) == [22]) }
        // Four came in with each batch, and one had its turn: not all were let in before it was said.
        #expect((1..<60).contains(full.all.count))
        #expect((8..<40).contains(full.all.first ?? 0), "\(full.all)")
    }

    /// A record of the handshake: head and payload.
    private func record(_ payload: [UInt8]) -> [UInt8] {
        [22, 3, 1, UInt8(payload.count >> 8), UInt8(payload.count & 255)] + payload
    }

    /// A ClientHello of TLS 1.2 with a name of so many octets; well-formed but for its size.
    private func hello(nameOctets: Int) -> [UInt8] {
        func two(_ number: Int) -> [UInt8] { [UInt8(number >> 8 & 255), UInt8(number & 255)] }
        let name = [UInt8](repeating: UInt8(ascii: "a"), count: nameOctets)
        let list = [0] + two(name.count) + name
        let serverName = [0, 0] + two(list.count + 2) + two(list.count) + list
        let groups: [UInt8] = [0, 10, 0, 4, 0, 2, 0, 23]
        let signatures: [UInt8] = [0, 13, 0, 6, 0, 4, 4, 3, 8, 4]
        let extensions = serverName + groups + signatures
        let ciphers: [UInt8] = [0, 4, 0xC0, 0x2B, 0xC0, 0x2F]
        let body =
            [3, 3] + [UInt8](repeating: 7, count: 32) + [0] + ciphers + [1, 0] + two(extensions.count) + extensions
        return [1, UInt8(body.count >> 16)] + two(body.count) + body
    }

    @Test("C5: names of 255 octets and more, up to what an extension can hold: the default certificate or an alert")
    func longNames() throws {
        let server = try TLSServer(.test())
        defer { server.stop() }
        for octets in [1, 253, 254, 255, 256, 300, 4096, 16_000, 16_384, 40_000, 65_000] {
            let message = hello(nameOctets: octets)
            // In as many records as it takes.
            let records = stride(from: 0, to: message.count, by: 16_384).flatMap {
                record(Array(message[$0..<min($0 + 16_384, message.count)]))
            }
            let socket = try BlockingSocket(connectedTo: server.address)
            // It may be refused before all is sent.
            try? socket.send(records)
            let first = try socket.receive(count: 1)
            #expect(octets < 256 ? first == [22] : first == [21], "\(octets): \(first)")
            socket.shutdownWrite()
        }
        let client = try server.connect(.test())
        #expect(client.events.next() == .connected)
    }

    @Test("C2: a ClientHello that says it is longer than a record is refused before memory is taken for it")
    func longHello() throws {
        let server = try TLSServer(.test())
        defer { server.stop() }
        let cases: [[UInt8]] = [
            record([1, 1, 0, 0]), record([1, 0, 0x40, 0]), record([1, 0xFF, 0xFF, 0xFF]), record([1, 0, 0x3F]),
            record([1]), [22, 3, 1, 0x40, 0, 1, 2, 1, 0x44],
        ]
        for octets in cases {
            let socket = try BlockingSocket(connectedTo: server.address)
            try socket.send(octets)
            #expect(try socket.receiveAll() == [21, 3, 3, 0, 2, 2, 50], "\(octets)")
            #expect(server.events.next() == .failed(.protocolError, .malformed))
            #expect(server.events.next() == .closed)
        }
    }
}
