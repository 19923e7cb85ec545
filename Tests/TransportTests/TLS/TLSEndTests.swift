import CLinux
import Glibc
import TestSupport
import Testing
import Transport

/// How connections end, and what happens while nobody reads.
@Suite(.timeLimit(.minutes(5)))
struct TLSEndTests {
    @Test("a client that ends with close_notify, and one that only ends TCP")
    func truncation() throws {
        let server = try TLSServer(.test())
        defer { server.stop() }
        for isWhole in [true, false] {
            let client = try RawTLSClient(server.address)
            try client.write([1, 2, 3])
            if isWhole { #expect(client.shutdown()) }
            client.socket.shutdownWrite()
            #expect(server.events.next() == .secured)
            #expect(server.events.next() == .received([1, 2, 3]))
            #expect(server.events.next() == .end(isTruncated: !isWhole))
            let channel = server.channels.next()
            server.harness.worker.performAndWait { channel.value.closeNow() }
            #expect(server.events.next() == .closed)
        }
    }

    @Test("closeAfterFlush and shutdownWrite send close_notify after the last octet; closeNow does not")
    func ours() throws {
        for way in ["closeAfterFlush", "shutdownWrite", "closeNow"] {
            let server = try TLSServer(.test()) { channel in
                channel.act = { channel, event in
                    guard event == .received([1]) else { return }
                    channel.write(contentsOf: StreamChannelTests.pattern(40_000))
                    switch way {
                    case "closeAfterFlush": channel.closeAfterFlush()
                    case "shutdownWrite": channel.shutdownWrite()
                    default:
                        channel.flush()
                        channel.closeNow()
                    }
                    // Nothing is added after that.
                    channel.write(contentsOf: [0])
                }
            }
            defer { server.stop() }
            let client = try RawTLSClient(server.address)
            try client.write([1])
            #expect(try client.read(count: 40_000) == StreamChannelTests.pattern(40_000), "\(way)")
            #expect(client.shutdown(isWhole: true) == (way != "closeNow"), "\(way)")
        }
    }

    @Test("after close_notify from the peer the other direction goes on")
    func halfClosed() throws {
        let server = try TLSServer(.test()) { channel in
            channel.act = { channel, event in
                guard event == .end(isTruncated: false) else { return }
                channel.write(contentsOf: [7, 8, 9])
                channel.closeAfterFlush()
            }
        }
        defer { server.stop() }
        for alsoTCP in [false, true] {
            let client = try RawTLSClient(server.address)
            #expect(client.shutdown())
            // What follows close_notify is nothing, whatever it is.
            if alsoTCP { client.socket.shutdownWrite() } else { try client.socket.send([1, 2, 3]) }
            #expect(try client.read(count: 3) == [7, 8, 9])
            #expect(server.events.next() == .secured)
            #expect(server.events.next() == .end(isTruncated: false))
            #expect(server.events.next() == .closed)
        }
    }

    @Test("the end of TCP during the handshake is a failure, at every octet")
    func cutOff() throws {
        let server = try TLSServer(.test())
        defer { server.stop() }
        let hello = ClientHello(serverName: nil).record
        for count in 0...hello.count {
            let socket = try BlockingSocket(connectedTo: server.address)
            try socket.send(Array(hello[..<count]))
            socket.shutdownWrite()
            #expect(server.events.next() == .failed(.protocolError, .handshakeCutOff))
            #expect(server.events.next() == .closed)
        }
    }

    @Test("a handshake goes on while reading is paused, and what came is offered afterwards")
    func paused() throws {
        let server = try TLSServer(.test()) { $0.pauseReading() }
        defer { server.stop() }
        let client = try RawTLSClient(server.address)
        try client.write([1, 2, 3])
        #expect(server.events.next() == .secured)
        let channel = server.channels.next()
        let worker = server.harness.worker
        worker.performAndWait {}
        #expect(server.events.all == [.secured])
        worker.performAndWait { channel.value.resumeReading() }
        #expect(server.events.next() == .received([1, 2, 3]))
    }

    @Test("paused when the handshake ends: not an octet is offered, nor lost")
    func pausedInSecured() throws {
        let server = try TLSServer(.test()) { channel in
            channel.act = { channel, event in
                if event == .secured { channel.pauseReading() }
            }
        }
        defer { server.stop() }
        // The first octets come with the end of the handshake, in one segment, now and then.
        for _ in 0..<5 {
            let client = try server.connect(.test(), sending: StreamChannelTests.pattern(50_000))
            #expect(server.events.next() == .secured)
            let channel = server.channels.next()
            let worker = server.harness.worker
            worker.performAndWait { channel.value.resumeReading() }
            var got: [UInt8] = []
            while got.count < 50_000, case .received(let part) = server.events.next() { got += part }
            #expect(got == StreamChannelTests.pattern(50_000))
            client.perform { $0.reset() }
            guard case .failed = server.events.next() else {
                Issue.record("no failure")
                return
            }
            #expect(server.events.next() == .closed)
        }
    }

    @Test("closeAfterFlush before the handshake is complete closes")
    func closedDuringHandshake() throws {
        let server = try TLSServer(.test()) { channel in
            channel.worker.schedule(at: channel.worker.now.adding(milliseconds: 10)) {
                channel.write(contentsOf: [1])
                channel.closeAfterFlush()
            }
        }
        defer { server.stop() }
        let socket = try BlockingSocket(connectedTo: server.address)
        try socket.send([0x16, 3])
        #expect(server.events.next() == .closed)
        #expect((try? socket.receiveAll()) ?? [] == [])
    }

    @Test("a peer that makes us answer, and does not read, is cut off")
    func flood() throws {
        let server = try TLSServer(.test()) { channel in
            channel.act = { channel, event in
                if event == .secured { _ = cl_send_buffer(channel.descriptor, 4096) }
            }
        }
        defer { server.stop() }
        let client = try RawTLSClient(server.address, receiveBuffer: 4096)
        var count = 0
        while count < 200_000, client.askForKeyUpdate() { count += 1 }
        #expect(count < 200_000)
        #expect(server.events.next() == .secured)
        #expect(server.events.next() == .failed(.protocolError, .flood))
        #expect(server.events.next() == .closed)
    }

    @Test("a peer that reads may ask for as much as it likes")
    func manyKeyUpdates() throws {
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        let client = try RawTLSClient(server.address)
        for round in 0..<5000 {
            #expect(client.askForKeyUpdate())
            guard round % 50 == 0 else { continue }
            try client.write([1, 2])
            #expect(try client.read(count: 2) == [1, 2])
        }
    }
}
