import CLinux
import Glibc
import TestSupport
import Testing
import Transport

@Suite(.timeLimit(.minutes(5)))
struct TLSChannelTests {
    static let hello = Array("hello".utf8)

    @Test func ourClientAndOurServerAgreeAndExchangeOctets() throws {
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        let client = try server.connect(.test(), sending: Self.hello)
        #expect(client.events.next() == .connected)
        #expect(client.events.next() == .received(Self.hello))
        #expect(server.events.next() == .secured)
        #expect(server.events.next() == .received(Self.hello))
        let agreement = try #require(client.perform { $0.tlsAgreement })
        #expect(agreement.version == .tls13)
        #expect(agreement.cipher == "TLS_AES_256_GCM_SHA384")
        #expect(agreement.alpn == .http2)
        #expect(!agreement.isResumed)
        #expect(agreement.peerCertificate?.subject == Array("CN=a.test".utf8))
        #expect(
            agreement.peerCertificate?.subjectAlternativeNames
                == ["DNS:a.test", "DNS:localhost"].map { Array($0.utf8) })
        let seen = server.agreement()
        #expect(seen?.serverName == Array("a.test".utf8))
        #expect(seen?.alpn == .http2)
        #expect(seen?.peerCertificate == nil)
        client.perform { channel in
            #expect(channel.payloadOctetsWritten == 5)
            #expect(channel.octetsWritten > 200)
            channel.closeAfterFlush()
        }
        #expect(client.events.next() == .closed)
        #expect(server.events.next() == .end(isTruncated: false))
        #expect(server.events.next() == .closed)
        // What was agreed on outlives the connection, for its log line.
        #expect(server.agreement()?.cipher == "TLS_AES_256_GCM_SHA384")
    }

    @Test func aChannelWithoutTLSHasNoAgreementAndCountsWhatItWrites() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let address = try harness.listen { EchoChannel(worker: $0) }
        let events = Recorder<TLSEvent>()
        let channel = try harness.worker.performAndWait {
            let channel = TLSChannel(worker: harness.worker) { events.append($0) }
            try channel.connect(to: address, tls: nil, serverName: "a.test")
            channel.write(contentsOf: Self.hello)
            return WorkerBound(channel, worker: harness.worker)
        }
        #expect(events.next() == .connected)
        #expect(events.next() == .received(Self.hello))
        harness.worker.performAndWait {
            #expect(channel.value.tlsAgreement == nil)
            #expect(channel.value.payloadOctetsWritten == 5)
            #expect(!channel.value.isEndTruncated)
            channel.value.shutdownWrite()
        }
        #expect(events.next() == .end(isTruncated: false))
    }

    @Test("every octet of the handshake alone, and at random, in both directions", arguments: ["1", "random"])
    func splitHandshake(_ kind: String) throws {
        let generator = Monitored(TestSupport.SeededGenerator(seed: 7))
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        let relay = try SplittingRelay(to: server.address) { count in
            kind == "1" ? 1 : generator.with { Int.random(in: 1...min(count, 700), using: &$0) }
        }
        for _ in 0..<(kind == "1" ? 1 : 20) {
            relay.serve()
            let client = try server.harness.connect(to: relay.address, .test(), sending: Self.hello)
            #expect(client.events.next() == .connected)
            #expect(client.events.next() == .received(Self.hello))
            client.perform { $0.shutdownWrite() }
            #expect(client.events.next() == .end(isTruncated: false))
        }
    }

    @Test("a ClientHello in two parts, split at every offset")
    func splitClientHello() throws {
        let listener = try PlainListener()
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        // Ours, taken off the wire.
        let client = try server.harness.connect(to: listener.address, .test())
        let peer = try listener.accept()
        let head = try peer.receive(count: 5)
        let hello = head + (try peer.receive(count: Int(head[3]) << 8 | Int(head[4])))
        client.perform { $0.closeNow() }
        for offset in 1..<hello.count {
            let socket = try BlockingSocket(connectedTo: server.address)
            _ = cl_nodelay(socket.descriptor)
            try socket.send(Array(hello[..<offset]))
            // The server has seen the first part when this is through.
            server.harness.worker.performAndWait {}
            try socket.send(Array(hello[offset...]))
            // A record of the type handshake with a ServerHello.
            let answer = try socket.receive(count: 6)
            #expect(answer.first == 0x16 && answer.last == 2, "split at \(offset)")
            if answer.first != 0x16 { break }
        }
    }

    @Test("large transfers both ways at once, each held up by a slow reader", arguments: [1, 2])
    func backpressure(seed: UInt64) throws {
        var generator = TestSupport.SeededGenerator(seed: seed)
        let octets = generator.octets(3_000_017)
        let total = octets.count
        let server = try TLSServer(.test()) { channel in
            var got = 0
            channel.act = { channel, event in
                switch event {
                case .secured:
                    _ = cl_send_buffer(channel.descriptor, 4096)
                    channel.write(contentsOf: Array(octets[..<1_000_001]))
                    channel.write(shared: octets, 1_000_001..<1_500_000)
                    channel.write(shared: octets, 1_500_000..<1_500_007)
                    channel.write(shared: octets, 1_500_007..<total)
                    channel.flush()
                    #expect(channel.queuedOutputBytes > 0)
                case .received(let part):
                    #expect(part.elementsEqual(octets[got..<(got + part.count)]))
                    got += part.count
                    // Stops now and then.
                    channel.pauseReading()
                    channel.worker.schedule(at: channel.worker.now) { channel.resumeReading() }
                    if got == total { channel.shutdownWrite() }
                default: break
                }
            }
        }
        defer { server.stop() }
        let got = Recorder<[UInt8]>()
        let client = try server.connect(.test()) { channel in
            channel.consume = { channel, part in
                // Takes whole blocks of a thousand, so that much is kept.
                let count = part.count < 1000 ? 0 : part.count / 1000 * 1000
                got.append(Array(part[..<count]))
                if count > 0 {
                    channel.pauseReading()
                    channel.worker.schedule(at: channel.worker.now) { channel.resumeReading() }
                }
                return count
            }
            channel.act = { channel, event in
                guard event == .connected else { return }
                _ = cl_receive_buffer(channel.descriptor, 4096)
                channel.write(shared: octets, 0..<total)
            }
        }
        while got.all.reduce(0, { $0 + $1.count }) < total / 1000 * 1000 { _ = got.next() }
        #expect(Array(got.all.joined()) == Array(octets[..<(total / 1000 * 1000)]))
        while client.events.next() != .end(isTruncated: false) {}
        #expect(client.perform { $0.unconsumedBytes } == total % 1000)
        server.harness.worker.performAndWait {
            #expect(server.harness.worker.blocks.inUse == 0)
            #expect(server.channels.all[0].value.payloadOctetsWritten == UInt64(total))
        }
    }

    @Test("TLS after a header that the channel reads first", arguments: [0, 1, 107, 200])
    func startedInsideReceived(kept: Int) throws {
        let header = Array("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".utf8)
        let context = try TLSServerContext(.test())
        let harness = try Harness()
        defer { harness.stop() }
        let events = Recorder<TLSEvent>()
        let address = try harness.listen { worker in
            let channel = TLSChannel(worker: worker) { events.append($0) }
            channel.consume = { channel, octets in
                guard channel.tlsAgreement == nil else {
                    channel.write(contentsOf: octets)
                    return octets.count
                }
                // Waits until some of the ciphertext is there, too, and then takes the header only.
                guard octets.count >= header.count + kept else { return 0 }
                channel.startTLS(context)
                return header.count
            }
            return channel
        }
        // The header is put before what a client sends.
        let listener = try PlainListener()
        let client = try harness.connect(to: listener.address, .test(), sending: Self.hello)
        let inner = try listener.accept()
        let outer = try BlockingSocket(connectedTo: address)
        try outer.send(header)
        startThread {
            while case let part = try? inner.receiveSome(), let part, !part.isEmpty { try? outer.send(part) }
        }
        startThread {
            while case let part = try? outer.receiveSome(), let part, !part.isEmpty { try? inner.send(part) }
        }
        #expect(client.events.next() == .connected)
        #expect(client.events.next() == .received(Self.hello))
        #expect(events.all.contains(.secured))
        #expect(events.all.contains(.received(Self.hello)))
    }
}

extension BlockingSocket {
    /// What is there, at least one octet unless the peer has ended.
    func receiveSome() throws -> [UInt8] {
        var octets = [UInt8](repeating: 0, count: 65536)
        let count = recv(descriptor, &octets, octets.count, 0)
        guard count >= 0 else { throw TestFailure(text: "recv: \(errno)") }
        return Array(octets[..<count])
    }
}
