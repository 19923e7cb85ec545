import CLinux
import Glibc
import TestSupport
import Testing
import Transport

/// Writes its output when it is asked, as a connection of HTTP/2 does.
final class PullingChannel: StreamChannel {
    var frames: [[UInt8]] = []
    var flushes = 0
    var isSecured = false
    var onEvent: (TLSEvent) -> Void = { _ in }

    override func willFlush() {
        flushes += 1
        for frame in frames { write(contentsOf: frame) }
        frames = []
    }
    override func secured() {
        isSecured = true
        onEvent(.secured)
    }
    override func connected() { onEvent(.connected) }
    override func received(_ octets: Span<UInt8>) -> Int {
        onEvent(.received(octets.withUnsafeBufferPointer { Array($0) }))
        return octets.count
    }
}

/// What is written, when it is encrypted, and what is known of it.
@Suite(.timeLimit(.minutes(5)))
struct TLSOutputTests {
    @Test("a dirty channel is asked before its flush, and not during the handshake", arguments: [false, true])
    func willFlush(hasTLS: Bool) throws {
        let harness = try Harness()
        defer { harness.stop() }
        let context = try TLSServerContext(.test())
        let channels = Recorder<WorkerBound<PullingChannel>>()
        let address = try harness.listen { worker in
            let channel = PullingChannel(worker: worker)
            channels.append(WorkerBound(channel, worker: worker))
            return channel
        } adopted: { channel in
            if hasTLS { channel.startTLS(context) }
        }
        let silent = try BlockingSocket(connectedTo: address)
        let channel = channels.next()
        harness.worker.performAndWait {
            channel.value.frames = [[1], [2, 3]]
            channel.value.markDirty()
            channel.value.markDirty()
            #expect(channel.value.flushes == 0)
        }
        guard hasTLS else {
            #expect(try silent.receive(count: 3) == [1, 2, 3])
            return harness.worker.performAndWait { #expect(channel.value.flushes == 1) }
        }
        harness.worker.performAndWait {}
        harness.worker.performAndWait { #expect(channel.value.flushes == 0) }
        let client = try RawTLSClient(address)
        let secured = channels.next()
        harness.worker.performAndWait {
            secured.value.frames = [[1], [2, 3]]
            secured.value.markDirty()
        }
        #expect(try client.read(count: 3) == [1, 2, 3])
        withExtendedLifetime(silent) {}
    }

    @Test("small pieces share a record")
    func records() throws {
        let server = try TLSServer(.test()) { channel in
            channel.act = { channel, event in
                guard event == .received([1]) else { return }
                let before = channel.octetsWritten
                let shared = StreamChannelTests.pattern(40_000)
                channel.write(contentsOf: [UInt8](repeating: 7, count: 100))
                channel.write(shared: shared, 0..<40_000)
                channel.write(contentsOf: [UInt8](repeating: 9, count: 100))
                channel.flush()
                // 16 KiB, 16 KiB, and the rest: each with 22 octets around it.
                #expect(channel.octetsWritten - before == 40_200 + 3 * 22)
                #expect(channel.queuedOutputBytes == 0)
            }
        }
        defer { server.stop() }
        let client = try RawTLSClient(server.address)
        try client.write([1])
        let expected = [UInt8](repeating: 7, count: 100) + StreamChannelTests.pattern(40_000)
        #expect(try client.read(count: 40_200) == expected + [UInt8](repeating: 9, count: 100))
    }

    @Test("what is written before the handshake is complete waits for its end, and counts as queued")
    func early() throws {
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        let listener = try PlainListener()
        let client = try server.harness.connect(to: listener.address, .test(), sending: [1, 2, 3])
        let peer = try listener.accept()
        #expect(try peer.receive(count: 1) == [0x16])
        client.perform { channel in
            #expect(channel.isConnecting)
            #expect(channel.queuedOutputBytes == 3)
            #expect(channel.payloadOctetsWritten == 0)
            #expect(channel.octetsWritten > 0)
            channel.closeNow()
        }
        #expect(client.events.next() == .closed)
    }

    @Test("octets given to the channel count once, whether they wait, are encrypted and wait, or are sent")
    func given() throws {
        let count: UInt64 = 2_000_000
        let given = Recorder<UInt64>()
        let server = try TLSServer(.test()) { channel in
            channel.act = { channel, event in
                if event == .received([1]) {
                    _ = cl_send_buffer(channel.descriptor, 4096)
                    channel.write(shared: StreamChannelTests.pattern(Int(count)), 0..<Int(count))
                    channel.flush()
                    #expect(channel.payloadOctetsWritten > 0 && channel.queuedOutputBytes > 0)
                    given.append(channel.payloadOctetsGiven)
                    channel.write(contentsOf: [1, 2, 3])
                    given.append(channel.payloadOctetsGiven)
                } else if event == .received([2]) {
                    given.append(channel.payloadOctetsGiven)
                }
            }
        }
        defer { server.stop() }
        let client = try RawTLSClient(server.address, receiveBuffer: 4096)
        try client.write([1])
        #expect(given.next() == count)
        #expect(given.next() == count + 3)
        #expect(try client.read(count: Int(count) + 3).count == Int(count) + 3)
        try client.write([2])
        #expect(given.next() == count + 3)
    }

    @Test("delivery is known of what is still to be encrypted")
    func delivery() throws {
        let count = 2_000_000
        let result = Recorder<Delivery>()
        let server = try TLSServer(.test()) { channel in
            channel.act = { channel, event in
                guard event == .received([1]) else { return }
                _ = cl_send_buffer(channel.descriptor, 4096)
                channel.write(shared: StreamChannelTests.pattern(count), 0..<count)
                let delivery = Delivery(of: channel)
                #expect(delivery.concerns(channel))
                #expect(channel.payloadOctetsWritten == UInt64(count))
                #expect(channel.queuedOutputBytes > count)
                result.append(delivery)
            }
        }
        defer { server.stop() }
        let client = try RawTLSClient(server.address, receiveBuffer: 4096)
        try client.write([1])
        let delivery = result.next()
        #expect(!delivery.isComplete)
        _ = try client.read(count: count / 2)
        #expect(!delivery.isComplete)
        #expect(try client.read(count: count - count / 2).count == count / 2)
        // The last acknowledgement may be a moment behind.
        for _ in 0..<2000 where !delivery.isComplete { usleep(1000) }
        #expect(delivery.isComplete)
        server.harness.worker.performAndWait {
            #expect(server.harness.worker.blocks.inUse == 0)
        }
    }

    @Test("an idle connection is told alive from one with news", arguments: ["ticket", "octets", "end", "reset"])
    func peek(news: String) throws {
        let server = try TLSServer(.test()) { channel in
            channel.act = { channel, event in
                guard event == .secured else { return }
                switch news {
                case "octets": channel.write(contentsOf: [1, 2, 3])
                case "end": channel.closeAfterFlush()
                case "reset": channel.reset()
                default: break
                }
            }
        }
        defer { server.stop() }
        let harness = try Harness()
        defer { harness.stop() }
        let client = try harness.connect(to: server.address, .test()) { channel in
            channel.act = { channel, event in
                guard event == .connected else { return }
                // The other worker answers the end of the handshake meanwhile.
                var waits = pollfd(fd: channel.descriptor, events: Int16(POLLIN), revents: 0)
                #expect(poll(&waits, 1, 20_000) == 1)
                usleep(20_000)
                #expect(channel.peekIsAlive() == (news == "ticket"))
            }
        }
        #expect(client.events.next() == .connected)
        switch news {
        case "octets": #expect(client.events.next() == .received([1, 2, 3]))
        case "end": #expect(client.events.next() == .end(isTruncated: false))
        // The look has used up the error that the kernel tells once.
        case "reset": #expect(client.events.next() == .end(isTruncated: true))
        default:
            #expect(client.perform { $0.peekIsAlive() })
            #expect(client.events.all == [.connected])
        }
    }
}
