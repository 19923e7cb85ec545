import Testing

@testable import HTTP

@Suite("HTTP/2: streams and connections come and go")
struct HTTP2ConnectionTests {
    let client = HTTP2Peer(.client)
    let server = HTTP2Peer(.server)

    /// A client that talks to frames made by hand.
    private func start(_ settings: [(UInt16, UInt32)] = []) {
        client.receive(Frames.settings(settings) + Frames.settingsAcknowledgement)
        _ = client.output()
    }

    private func response(_ id: UInt32, _ fields: [(String, String)] = [(":status", "200")], ends: Bool = true)
        -> [UInt8]
    {
        Frames.headers(id, fields, ends: ends)
    }

    @Test("Streams that the peer resets before it has processed them can be told")
    func refused() {
        start()
        for _ in 0..<3 { _ = client.request(ends: false) }
        _ = client.output()
        client.receive(Frames.reset(1, 7) + Frames.reset(3, 0x1234))
        #expect(client.told == [.reset(1, .refusedStream, by: .peer), .reset(3, HTTP2ErrorCode(0x1234), by: .peer)])
        // NO_ERROR after a whole response, too, ends a request that has not ended (RFC 9113 §8.1).
        client.told = []
        client.receive(response(5) + Frames.reset(5, 0))
        #expect(
            client.told == [
                .response(5, status: 200, lines: "", .length(0)), .reset(5, .noError, by: .peer),
            ])
        #expect(client.session.activeStreams == 0)
    }

    @Test("A service may send its answer an octet at a time, for as long as it likes")
    func smallFramesOfAService() throws {
        let id = try #require(client.request())
        exchange(client, server)
        server.respond(id, ends: false)
        for _ in 0..<5000 {
            server.send(id, ".")
            exchange(client, server)
        }
        #expect(client.error == nil && client.told.contains(.data(id, String(repeating: ".", count: 5000))))
    }

    @Test("As many requests as a service takes may wait to be sent at once")
    func manyRequestsWait() {
        let limits = HTTP2Limits.towardsService(streamsMax: 2000)
        let client = HTTP2Peer(.client, limits)
        client.receive(Frames.settings([(3, 2000)]))
        _ = client.output()
        for _ in 0..<2000 { #expect(client.request() != nil) }
        // The service's acknowledgement comes before they are written.
        client.receive(Frames.settingsAcknowledgement)
        #expect(client.error == nil && client.session.activeStreams == 2000)
    }

    @Test("Of many streams at a time nothing is kept when none is left")
    func nothingIsKept() {
        for _ in 0..<100 { _ = client.request(lines: "x-a: \(String(repeating: "b", count: 3000))\r\n") }
        exchange(client, server)
        #expect(server.session.box.state.table.slots.count == 100)
        let ids = server.told.compactMap { told -> HTTP2StreamID? in
            if case .request(let id, _, _, _, _, _) = told { id } else { nil }
        }
        for id in ids { server.respond(id) }
        exchange(client, server)
        for end in [client, server] {
            let state = end.session.box.state
            #expect(end.session.activeStreams == 0 && state.table.slots.capacity < 8)
            #expect(state.requestHeads.count <= 1 && state.responseHeads.count <= 1)
        }
        #expect(server.session.box.state.requestHeads.allSatisfy { $0.fields.octets.capacity <= 4096 })
    }

    @Test("GOAWAY: what lies above its last stream was not processed; what lies below goes on")
    func goAway() {
        start()
        for _ in 0..<3 { _ = client.request() }
        _ = client.output()
        let unsent = client.request()
        #expect(unsent?.rawValue == 7)
        client.receive(Frames.goAway(0x7fff_ffff))
        #expect(client.told == [.goAway(.last, .noError)])
        #expect(!client.session.canOpenStream && client.request() == nil)
        client.told = []
        client.receive(Frames.goAway(3))
        _ = client.output()
        #expect(client.told.first == .goAway(3, .noError))
        let reset = client.told.dropFirst()
        #expect(reset.contains(.reset(5, .refusedStream, by: .peer)))
        #expect(
            reset.contains(.reset(7, .refusedStream, by: .session))
                || reset.contains(.reset(7, .refusedStream, by: .peer)), "\(reset)")
        #expect(reset.count == 2 && client.session.activeStreams == 2 && !client.session.isFinished)
        client.told = []
        client.receive(response(1) + response(3))
        #expect(client.told.count == 4)
        _ = client.output()
        #expect(client.session.activeStreams == 0 && client.session.isFinished)
    }

    @Test("The peer's limit of streams: 100 before its SETTINGS, then what it says, ours at most")
    func concurrency() {
        var limits = HTTP2Limits()
        limits.streamsMax = 1000
        let client = HTTP2Peer(.client, limits)
        for _ in 0..<100 { #expect(client.request() != nil) }
        #expect(client.request() == nil && !client.session.canOpenStream)
        client.receive(Frames.settings([(3, 102)]))
        for _ in 0..<2 { #expect(client.request() != nil) }
        #expect(client.request() == nil)
        client.receive(Frames.settings([(3, 0xffff_ffff)]))
        while client.request() != nil {}
        #expect(client.session.activeStreams == 1000)
        let none = HTTP2Peer(.client)
        none.receive(Frames.settings([(3, 0)]))
        #expect(!none.session.canOpenStream)
    }

    @Test("Ids come to an end near 2³¹")
    func exhaustion() {
        start()
        let isSet = client.session.library.setNextStreamID(0x7fff_fffd)
        #expect(isSet)
        #expect(client.request()?.rawValue == 0x7fff_fffd)
        #expect(client.session.canOpenStream)
        #expect(client.request()?.rawValue == 0x7fff_ffff)
        #expect(!client.session.canOpenStream && client.request() == nil)
        _ = client.output()
        client.receive(response(0x7fff_fffd) + response(0x7fff_ffff))
        #expect(client.told.count == 4 && client.session.activeStreams == 0)
        // At the server: the last id is taken like any other, and nothing can follow.
        server.receive(Frames.clientStart + Frames.headers(0x7fff_ffff, Frames.request()))
        #expect(server.told.count == 1)
        server.receive(Frames.headers(1, Frames.request()))
        #expect(server.told.count == 1 && server.error == .protocolViolation(.protocolError))
    }

    @Test("Nothing may be pushed")
    func push() {
        start()
        _ = client.request()
        _ = client.output()
        client.receive(Frames.frame(0x5, 4, 1, [0, 0, 0, 2] + Frames.block(Frames.request())))
        #expect(Frames.read(client.output()).last?.code == .protocolError && client.session.isFinished)
    }

    @Test("Malformed responses: reset, and told once")
    func malformedResponses() {
        start()
        let examples: [[(String, String)]] = [
            [], [("x", "y")], [(":status", "99")], [(":status", "600")], [(":status", "2OO")], [(":status", "0200")],
            [(":status", "101")], [(":status", "200"), (":status", "200")], [(":status", "200"), (":path", "/")],
            [("x", "y"), (":status", "200")], [(":status", "200"), ("X", "y")],
            [(":status", "200"), ("connection", "close")], [(":status", "200"), ("transfer-encoding", "chunked")],
            [(":status", "200"), ("content-length", "1"), ("content-length", "1")],
            [(":status", "200"), ("content-length", "a")], [(":status", "200"), ("content-length", "5")],
            [(":status", "200"), ("x", "a\r\nb")], [(":status", "100")], [(":status", "204"), ("content-length", "5")],
        ]
        for (index, fields) in examples.enumerated() {
            let id = HTTP2StreamID(UInt32(2 * index + 1))
            #expect(client.request() == id)
            _ = client.output()
            client.told = []
            client.receive(response(id.rawValue, fields))
            let resets = Frames.read(client.output()).filter { $0.type == 0x3 }
            if client.told.first == .response(id, status: 204, lines: "", .none) { continue }
            #expect(client.told == [.reset(id, .protocolError, by: .session)], "\(fields)")
            #expect(resets.map(\.code) == [.protocolError])
        }
        #expect(client.session.activeStreams == 0 && client.error == nil)
        for (fields, error) in [
            ((0..<201).map { ("x-\($0)", "") }, HTTPError.tooManyFields),
            ((0..<5).map { ("x-\($0)", String(repeating: "v", count: 14_000)) }, .headTooLarge),
        ] {
            let id = client.request()!
            _ = client.output()
            client.told = []
            let block = Frames.block([(":status", "200")] + fields)
            var rest = block[...]
            client.receive(Frames.frame(0x1, 1, id.rawValue, Array(rest.prefix(16_000))))
            rest = rest.dropFirst(16_000)
            while !rest.isEmpty {
                let piece = Array(rest.prefix(16_000))
                rest = rest.dropFirst(16_000)
                client.receive(Frames.continuation(id.rawValue, piece, ends: rest.isEmpty))
            }
            if block.count <= 16_000 { client.receive(Frames.continuation(id.rawValue, [], ends: true)) }
            if client.error == .headerBlockTooLarge {
                #expect(error == .headTooLarge)
            } else {
                #expect(client.told == [.malformed(id, error)])
                #expect(Frames.read(client.output()).contains { $0.type == 0x3 })
            }
        }
    }

    @Test("A body that is shorter or longer than its content-length is never complete")
    func responseLength() {
        for (data, ends) in [([1, 2], true), ([1, 2, 3, 4, 5, 6], false), ([1, 2, 3, 4, 5], true)] as [([UInt8], Bool)]
        {
            let client = HTTP2Peer(.client)
            client.receive(Frames.settings())
            _ = client.request()
            _ = client.output()
            client.receive(response(1, [(":status", "200"), ("content-length", "5")], ends: false))
            client.receive(Frames.data(1, data, ends: ends))
            _ = client.output()
            let isComplete = client.told.contains(.ended(1, trailers: ""))
            #expect(isComplete == (data.count == 5))
            #expect(isComplete || client.told.last == .reset(1, .protocolError, by: .session))
        }
    }

    @Test("The caller's own reset: nothing of the stream follows, whatever stood in between")
    func ownReset() throws {
        let id = try #require(client.request("POST", ends: false))
        client.session.reset(id, .cancel)
        exchange(client, server)
        #expect(client.told == [] && server.told == [] && client.session.activeStreams == 0)
        let second = try #require(client.request("POST", ends: false))
        client.send(second, "x")
        exchange(client, server)
        server.respond(second, ends: false)
        server.send(second, "late")
        client.session.reset(second, .cancel)
        exchange(client, server)
        #expect(client.told == [])
        #expect(server.told.last == .reset(second, .cancel, by: .peer))
        for action in 0..<5 {
            switch action {
            case 0: client.session.reset(second, .cancel)
            case 1: client.send(second, "y")
            case 2: client.session.endStream(second)
            case 3: client.session.consumed(second, 100)
            default: server.respond(second)
            }
        }
        exchange(client, server)
        #expect(client.session.queuedOctets(second) == 0 && client.error == nil && server.error == nil)
    }

    @Test("An answer without the body: the rest is discarded, then the client told to stop", arguments: [true, false])
    func discardedBody(_ isAnsweredFirst: Bool) throws {
        server.consumes = false
        let id = try #require(client.request("POST", ends: false))
        client.send(id, String(repeating: "x", count: 10_000))
        exchange(client, server)
        if !isAnsweredFirst { server.session.discardBody(id) }
        client.send(id, "more")
        exchange(client, server)
        let count = server.told.count
        server.respond(id, 413, ends: false)
        server.send(id, "no")
        server.session.endStream(id)
        if isAnsweredFirst {
            exchange(client, server)
            #expect(client.session.activeStreams == 1)
            server.session.discardBody(id)
        }
        exchange(client, server)
        #expect(server.told.dropFirst(count) == [.closed(id)])
        #expect(client.told.suffix(2) == [.ended(id, trailers: ""), .reset(id, .noError, by: .peer)])
        #expect(client.session.activeStreams == 0 && server.session.activeStreams == 0)
    }

    @Test("B18: the two steps of a graceful end")
    func shutdown() throws {
        let first = try #require(client.request("POST", ends: false))
        exchange(client, server)
        server.session.announceShutdown()
        let notice = server.output()
        // One that was on its way is still taken.
        let second = try #require(client.request())
        server.receive(client.output())
        client.receive(notice)
        #expect(client.told == [.goAway(.last, .noError)] && !client.session.canOpenStream)
        exchange(client, server)
        server.session.finishShutdown()
        let goAway = server.output()
        #expect(Frames.read(goAway).last?.number(0) == 3)
        client.receive(goAway)
        server.told = []
        server.receive(Frames.headers(5, Frames.request()))
        #expect(server.told == [] && !server.session.isFinished)
        server.respond(second)
        client.session.endStream(first)
        exchange(client, server)
        server.respond(first)
        exchange(client, server)
        #expect(server.session.isFinished && client.session.isFinished)
        #expect(client.told.contains(.closed(first)) && client.told.contains(.closed(second)))
    }

    @Test("Upgrade: h2c: the request is stream 1")
    func upgrade() throws {
        // SETTINGS_INITIAL_WINDOW_SIZE 0.
        let session = try HTTP2Session(upgradedWith: Array("AAQAAAAA".utf8).span, isHead: false)
        let server = HTTP2Peer(session)
        server.respond(.upgraded, lines: "X: y\r\n", ends: false)
        server.send(.upgraded, "hello")
        server.session.endStream(.upgraded)
        let frames = Frames.read(server.output())
        #expect(frames.contains { $0.type == 0x1 && $0.stream == 1 })
        #expect(!frames.contains { $0.type == 0x0 } && server.session.queuedOctets(.upgraded) == 5)
        server.receive(Frames.clientStart + Frames.windowUpdate(1, 10) + Frames.headers(3, Frames.request()))
        #expect(Frames.read(server.output()).contains { $0.type == 0x0 && $0.flags == Frames.endStream })
        #expect(server.told.contains(.closed(.upgraded)) && server.told.count == 2)
        // Nothing more can come on it.
        server.receive(Frames.data(1, [1]))
        #expect(server.error == .protocolViolation(.streamClosed))
        for bad in ["A", "AAQAAAA", "AAQA=AAA", "AAQAAAA!", "AAQAAAAAA", "////////"] {
            #expect(throws: HTTP2Error.invalidUpgradeSettings, "\(bad)") {
                try HTTP2Session(upgradedWith: Array(bad.utf8).span, isHead: false)
            }
        }
    }

    @Test("Terminating says why, and is the end")
    func terminate() {
        exchange(client, server)
        server.session.terminate(.enhanceYourCalm)
        client.receive(server.output())
        #expect(client.told == [.goAway(0, .enhanceYourCalm)])
        #expect(server.session.isFinished && server.session.goAwaySent == .enhanceYourCalm)
        server.receive(Frames.headers(1, Frames.request()))
        #expect(server.told == [])
    }

    @Test("A head that is too large for the library resets its stream and nothing else")
    func hugeHead() throws {
        let id = try #require(client.request())
        exchange(client, server)
        server.told = []
        let line = "X: " + String(repeating: "v", count: 60_000) + "\r\n"
        server.respond(id, lines: String(repeating: line, count: 5))
        exchange(client, server)
        #expect(server.told == [.reset(id, .internalError, by: .session)])
        #expect(client.told == [.reset(id, .internalError, by: .peer)])
        #expect(client.request() != nil)
    }
}
