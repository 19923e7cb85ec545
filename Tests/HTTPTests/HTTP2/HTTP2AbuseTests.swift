import Testing

@testable import HTTP

@Suite("HTTP/2: abuse, checks B2, B3, B5 to B8, B11")
struct HTTP2AbuseTests {
    let server = HTTP2Peer(.server)

    init() {
        server.receive(Frames.clientStart + Frames.settingsAcknowledgement)
        _ = server.output()
    }

    /// Feeds frames until the session ends; how many there were, and the GOAWAY's code.
    private func flood(_ count: Int, drains: Bool = true, _ frames: (Int) -> [UInt8]) -> (Int, HTTP2ErrorCode?) {
        for index in 0..<count {
            server.receive(frames(index))
            if drains || server.error != nil {
                if let code = Frames.read(server.output()).last(where: { $0.type == 0x7 })?.code {
                    return (index, code)
                }
            }
        }
        return (count, nil)
    }

    private func isCalm(_ result: (Int, HTTP2ErrorCode?), within range: ClosedRange<Int>) -> Bool {
        range.contains(result.0) && result.1 == .enhanceYourCalm && server.session.isFinished
    }

    @Test("B2: Rapid Reset ends within the burst; a slow trickle does not")
    func rapidReset() {
        let request = Frames.request()
        let result = flood(1000) { index in
            let id = UInt32(2 * index + 1)
            return Frames.headers(id, request) + Frames.reset(id)
        }
        #expect(isCalm(result, within: 199...201), "\(result)")
        #expect(server.error == .tooManyResets)
    }

    @Test("B2: twenty a second may be reset for ever")
    func trickle() {
        let result = flood(2000) { index in
            server.now += 50_000_000
            let id = UInt32(2 * index + 1)
            return Frames.headers(id, Frames.request()) + Frames.reset(id)
        }
        #expect(result == (2000, nil))
        #expect(server.session.activeStreams == 0)
    }

    @Test("B3: MadeYouReset: what makes us reset is counted as well", arguments: 0..<4)
    func madeYouReset(_ kind: Int) {
        let result = flood(1000) { index in
            let id = UInt32(2 * index + 1)
            let open = Frames.headers(id, Frames.request(), ends: kind != 1)
            switch kind {
            case 0: return open + Frames.windowUpdate(id, 0x7fff_ffff)
            case 1:
                let post = Frames.request([(":method", "POST")], [("content-length", "1")])
                return Frames.headers(id, post, ends: false) + Frames.data(id, [1, 2])
            case 2: return Frames.headers(id, Frames.request([(":path", "x")]))
            default: return Frames.headers(id, Frames.request([], [("X", "y")]))
            }
        }
        #expect(isCalm(result, within: 150...205), "\(result)")
    }

    @Test("B3: mistakes that are connection errors end it at once")
    func connectionErrors() {
        for (frames, code) in [
            (
                Frames.headers(1, Frames.request(), ends: false) + Frames.windowUpdate(1, 0),
                HTTP2ErrorCode.protocolError
            ),
            (Frames.headers(1, Frames.request()) + Frames.data(1, [1]), .streamClosed),
            (Frames.windowUpdate(0, 0), .protocolError), (Frames.windowUpdate(0, 0x7fff_ffff), .flowControlError),
            (Frames.windowUpdate(5, 1), .protocolError), (Frames.reset(5), .protocolError),
            (Frames.data(5, [1]), .protocolError), (Frames.data(0, [1]), .protocolError),
            (Frames.headers(0, Frames.request()), .protocolError),
            (Frames.headers(2, Frames.request()), .protocolError),
            (Frames.frame(0x5, 4, 1, [0, 0, 0, 2]), .protocolError), (Frames.frame(0x6, 0, 0, [1]), .frameSizeError),
            (Frames.frame(0x4, 1, 0, [0, 0, 0, 0, 0, 0]), .frameSizeError),
            (Frames.frame(0x0, 0, 1, [UInt8](repeating: 0, count: 16_385)), .frameSizeError),
            (Frames.continuation(1, [], ends: true), .protocolError),
            (Frames.frame(0x1, 4, 1, [0xff, 0xff, 0xff, 0xff, 0xff]), .compressionError),
            (Frames.settings([(2, 2)]), .protocolError), (Frames.settings([(4, 0x8000_0000)]), .flowControlError),
            (Frames.settings([(5, 1)]), .protocolError),
            // A stream that the client itself has ended, reset, or passed over.
            (Frames.headers(1, Frames.request()) + Frames.headers(1, Frames.request()), .streamClosed),
            (Frames.headers(1, Frames.request(), ends: false) + Frames.reset(1) + Frames.data(1, [1]), .streamClosed),
            (
                Frames.headers(1, Frames.request()) + Frames.reset(1) + Frames.headers(1, Frames.request()),
                .streamClosed
            ),
            (Frames.headers(5, Frames.request()) + Frames.headers(3, Frames.request()), .protocolError),
            (Frames.frame(0x2, 0, 0, [0, 0, 0, 1, 1]), .protocolError),
            (Frames.frame(0x3, 0, 1, [0]), .frameSizeError), (Frames.frame(0x8, 0, 0, [0]), .frameSizeError),
            (Frames.frame(0x7, 0, 1, [0, 0, 0, 0, 0, 0, 0, 0]), .protocolError),
            (Frames.frame(0x6, 0, 1, [0, 0, 0, 0, 0, 0, 0, 0]), .protocolError),
            (Frames.frame(0x4, 0, 1), .protocolError),
            (Frames.headers(1, Frames.request(), ends: false) + Frames.frame(0x0, 8, 1, [5, 1]), .protocolError),
        ] {
            let server = HTTP2Peer(.server)
            server.receive(Frames.clientStart)
            _ = server.output()
            server.receive(frames)
            let goAway = Frames.read(server.output()).last { $0.type == 0x7 }
            #expect(goAway?.code == code && server.session.goAwaySent == code, "\(frames)")
            #expect(server.session.isFinished)
        }
    }

    @Test("A stream that depends on itself is an error of that stream (RFC 7540 §5.3.1), in every form")
    func selfDependency() {
        for frames in [
            Frames.frame(0x1, 0x25, 1, [0, 0, 0, 1, 7] + Frames.block(Frames.request())),
            Frames.headers(1, Frames.request(), ends: false) + Frames.frame(0x2, 0, 1, [0, 0, 0, 1, 7]),
            Frames.frame(0x2, 0, 1, [0, 0, 0, 1]),
        ] {
            let server = HTTP2Peer(.server)
            server.receive(Frames.clientStart + frames)
            #expect(Frames.read(server.output()).contains { $0.type == 0x3 || $0.type == 0x7 }, "\(frames)")
        }
    }

    @Test("B5: CONTINUATION: too many, empty ones, too large a block")
    func continuation() {
        let block = Frames.block(Frames.request([], [("x", String(repeating: "v", count: 100))]))
        func receive(_ pieces: [[UInt8]]) -> HTTP2Peer {
            let server = HTTP2Peer(.server)
            server.receive(Frames.clientStart + Frames.frame(0x1, Frames.endStream, 1, pieces[0]))
            for (index, piece) in pieces.enumerated().dropFirst() {
                server.receive(Frames.continuation(1, piece, ends: index == pieces.count - 1))
            }
            return server
        }
        let size = block.count / 8 + 1
        let pieces = (0..<9).map { Array(block.dropFirst($0 * size).prefix(size)) }
        let accepted = receive(pieces)
        #expect(accepted.error == nil && accepted.told.count == 1)
        // The library counts each piece of a frame header: that must not matter.
        let split = HTTP2Peer(.server)
        var octets = Frames.clientStart + Frames.frame(0x1, Frames.endStream, 1, pieces[0])
        for index in 1...8 { octets += Frames.continuation(1, pieces[index], ends: index == 8) }
        for octet in octets { split.receive([octet]) }
        #expect(split.error == nil && split.told == accepted.told)

        let empty = receive([[]] + [[UInt8]](repeating: [], count: 20))
        #expect(empty.error == .headerBlockTooLarge)
        #expect(Frames.read(empty.output()).last?.code == .enhanceYourCalm)
        let large = receive([[UInt8]](repeating: [UInt8](repeating: 0x82, count: 16_000), count: 6))
        #expect(large.error == .headerBlockTooLarge)
    }

    @Test("B6: an HPACK bomb is 431, and the tables stay right")
    func bomb() throws {
        let value = String(repeating: "v", count: 4000)
        let first = Frames.block(Frames.request()) + Frames.indexedLiteral("x-bomb", value)
        // The entry stands first in the dynamic table: index 62.
        let references = [UInt8](repeating: 0x80 | 62, count: 12_000)
        server.receive(Frames.frame(0x1, 5, 1, first + references))
        #expect(server.told == [.malformed(1, .headTooLarge)])
        #expect(server.error == nil)
        server.told = []
        server.receive(Frames.frame(0x1, 5, 3, Frames.block(Frames.request()) + [0x80 | 62]))
        guard case .request(_, _, _, _, let lines, _)? = server.told.first else {
            Issue.record("\(server.told)")
            return
        }
        #expect(lines == "host: a.example\r\nx-bomb: \(value)\r\n")
    }

    @Test("B7: a huge table of the peer is not used beyond ours; churn is a glitch")
    func tableSize() {
        server.receive(Frames.settings([(1, 0xffff_ffff)]))
        server.receive(Frames.headers(1, Frames.request()))
        server.respond(1, lines: "X: y\r\n")
        let frames = Frames.read(server.output())
        // Our encoder says so: a size update to 4096 or none at all.
        let head = frames.first { $0.type == 0x1 && $0.stream == 1 }?.payload ?? []
        #expect(head.first != 0x3f || Array(head.prefix(3)) == Frames.integer(4096, prefix: 5, 0x20))
        #expect(isCalm(flood(1000) { Frames.settings([(1, UInt32($0 % 2) * 4096)]) }, within: 150...250))
    }

    @Test("B8: floods of frames that achieve nothing", arguments: 0..<9)
    func floods(_ kind: Int) {
        server.receive(Frames.headers(1, Frames.request([(":method", "POST")]), ends: false))
        let result = flood(5000) { _ in
            switch kind {
            case 0: Frames.ping()
            case 1: Frames.settings()
            case 2: Frames.frame(0x2, 0, 1, [0, 0, 0, 0, 1])
            case 3: Frames.data(1, [])
            case 4: Frames.data(1, [7])
            case 5: Frames.windowUpdate(1, 1)
            case 6: Frames.windowUpdate(0, 1)
            case 7: Frames.paddedData(1, [], padding: 50)
            default: Frames.frame(0x77, 0, 0, [1, 2, 3])
            }
        }
        #expect(isCalm(result, within: 150...1010), "\(result)")
        #expect(server.error == .tooManyGlitches)
    }

    @Test("B8: PING whose answers are not read: the queue is bounded")
    func unreadAnswers() {
        var limits = HTTP2Limits()
        limits.glitchBurst = 100_000
        let server = HTTP2Peer(.server, limits)
        server.receive(Frames.clientStart)
        var count = 0
        while server.error == nil, count < 10_000 {
            server.receive(Frames.ping())
            count += 1
        }
        #expect(server.error == .outputQueueTooLong && count <= 1002, "\(count)")
        let frames = Frames.read(server.output())
        #expect(frames.last?.code == .enhanceYourCalm)
        // In one large piece, too: the library's own limit must not come first.
        let other = HTTP2Peer(.server, limits)
        other.receive(Frames.clientStart + (0..<3000).flatMap { _ in Frames.ping() })
        #expect(other.error == .outputQueueTooLong)
        #expect(Frames.read(other.output()).last?.code == .enhanceYourCalm)
    }

    @Test("B8: more than 32 settings in a frame")
    func settingsEntries() {
        server.receive(Frames.settings((0..<33).map { (UInt16(0x100 + $0), 0) }))
        #expect(Frames.read(server.output()).last?.code == .enhanceYourCalm)
    }

    @Test("Glitches are forgiven with time, with streams and with data sent")
    func forgiven() {
        #expect(
            flood(5000) { _ in
                server.now += 10_000_000; return Frames.ping()
            }.1 == nil)
        server.receive(Frames.headers(1, Frames.request()))
        server.respond(1, ends: false)
        let result = flood(5000) { _ in
            server.session.sendData(1, [UInt8](repeating: 1, count: 4000).span)
            return Frames.windowUpdate(1, 4000) + Frames.windowUpdate(0, 4000)
        }
        #expect(result.1 == nil)
    }

    @Test("Many requests and responses, as fast as they come, are no abuse; endless 1xx are")
    func legitimate() {
        let client = HTTP2Peer(.client)
        let server = HTTP2Peer(.server)
        for index in 0..<5000 {
            guard let id = client.request(index % 2 == 0 ? "GET" : "POST", ends: index % 2 == 0) else {
                Issue.record("\(index)")
                return
            }
            if index % 2 == 1 { client.session.endStream(id, trailerLines: Array("A: b\r\n".utf8)) }
            server.receive(client.output())
            server.respond(id, ends: index % 3 == 0)
            if index % 3 != 0 { server.session.endStream(id, trailerLines: Array("C: d\r\n".utf8)) }
            client.receive(server.output())
        }
        #expect(client.error == nil && server.error == nil && client.session.activeStreams == 0)
        _ = client.request()
        _ = client.output()
        while client.error == nil, client.told.count < 100_000 {
            client.receive(Frames.headers(10_001, [(":status", "102")], ends: false))
        }
        #expect(client.error == .tooManyGlitches)
    }

    @Test("B11: streams beyond the limit are refused, and nothing of them told", arguments: [false, true])
    func concurrency(isAcknowledged: Bool) throws {
        let server = HTTP2Peer(.server)
        server.receive(Frames.clientStart)
        let settings = try #require(Frames.read(server.output()).first { $0.type == 0x4 }).payload
        let announced = stride(from: 0, to: settings.count, by: 6).filter { settings[$0 + 1] == 3 }
        #expect(announced.map { Array(settings[$0 + 2..<$0 + 6]) } == [[0, 0, 0, 100]])
        if isAcknowledged { server.receive(Frames.settingsAcknowledgement) }
        for index in 0..<109 {
            server.receive(Frames.headers(UInt32(2 * index + 1), Frames.request(), ends: false))
        }
        // The head of a stream that is refused counts for the table.
        let indexed = Frames.block(Frames.request()) + Frames.indexedLiteral("x", "y")
        server.receive(Frames.frame(0x1, Frames.endHeaders, 219, indexed))
        server.receive(Frames.data(219, [1, 2, 3], ends: true))
        #expect(server.told.count == 100)
        let resets = Frames.read(server.output()).filter { $0.type == 0x3 }
        #expect(resets.count == 10 && resets.allSatisfy { $0.code == .refusedStream && $0.stream > 200 })
        #expect(server.session.activeStreams == 100 && server.error == nil)
        // A place is free again. Gaps are no matter; an id that was passed over is closed.
        server.receive(Frames.reset(1))
        server.told = []
        server.receive(
            Frames.frame(0x1, Frames.endHeaders | Frames.endStream, 1001, Frames.block(Frames.request()) + [0xbe]))
        guard case .request(1001, _, _, _, let lines, _)? = server.told.last else {
            Issue.record("\(server.told)")
            return
        }
        #expect(lines.hasSuffix("x: y\r\n"), "\(lines)")
        #expect(server.session.activeStreams == 100)
        server.receive(Frames.headers(999, Frames.request()))
        #expect(Frames.read(server.output()).contains { $0.type == 0x7 || $0.type == 0x3 })
    }

    @Test("B11: streams are refused as long as the client may reset some; then the connection ends")
    func concurrencyFlood() {
        let server = HTTP2Peer(.server)
        server.receive(Frames.clientStart + Frames.settingsAcknowledgement)
        var refused = 0
        for index in 0..<1000 where server.error == nil {
            server.receive(Frames.headers(UInt32(2 * index + 1), Frames.request(), ends: false))
            refused += Frames.read(server.output()).count { $0.type == 0x3 }
        }
        #expect(server.error == .tooManyResets && refused <= 202, "\(refused)")
        #expect(server.told.count == 100)
        // All at once, before a reset could be sent: the library's fence.
        let other = HTTP2Peer(.server)
        other.receive(Frames.clientStart + Frames.settingsAcknowledgement)
        for index in 0..<400 {
            other.receive(Frames.headers(UInt32(2 * index + 1), Frames.request(), ends: false))
        }
        #expect(other.told.count == 100)
        #expect(Frames.read(other.output()).last?.code == .protocolError)
    }

    @Test(
        "Another protocol's octets: no GOAWAY, finished",
        arguments: ["GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}", "PRI * HTTP/2.1"])
    func otherProtocol(_ text: String) {
        let server = HTTP2Peer(.server)
        server.receive(Array(text.utf8))
        #expect(server.error == .prefaceExpected && server.session.isFinished && server.output() == [])
    }

    @Test("Frames before SETTINGS are a connection error")
    func settingsExpected() {
        let server = HTTP2Peer(.server)
        server.receive(Frames.preface + Frames.headers(1, Frames.request()))
        #expect(server.told == [])
        #expect(Frames.read(server.output()).last?.code == .protocolError && server.session.isFinished)
    }
}
