import TestSupport
import Testing

@testable import HTTP

@Suite("HTTP/2: flow control, checks B9 and B10")
struct HTTP2WindowTests {
    @Test(
        "The connection's window is whole again after every kind of abandoned stream",
        arguments: AbandonedStreams.Kind.allCases)
    func abandoned(_ kind: AbandonedStreams.Kind) {
        let streams = AbandonedStreams(kind)
        #expect(streams.window == 80_000)
        while streams.sent < 800_000, streams.server.error == nil, streams.window > 10_000 { streams.abandon() }
        #expect(streams.server.error == nil && !streams.isTooMuch)
        #expect(streams.sent >= 800_000, "the window has leaked to \(streams.window)")
        // At least half is open: the other half is given back with the next octets.
        #expect(streams.window >= 40_000)
    }

    @Test("A client gives back the DATA of responses it has reset, and of those that come late")
    func clientResets() {
        let client = HTTP2Peer(.client)
        let server = HTTP2Peer(.server)
        client.consumes = false
        for _ in 0..<60 {
            let id = client.request()!
            exchange(client, server)
            server.respond(id, ends: false)
            server.session.sendData(id, [UInt8](repeating: 1, count: 60_000).span)
            let octets = server.output()
            client.receive(octets)
            client.session.reset(id, .cancel)
            exchange(client, server)
            #expect(server.session.queuedOctets(id) == 0)
        }
        #expect(client.session.activeStreams == 0 && server.session.activeStreams == 0)
        #expect(server.session.library.sendWindow >= 512 << 10)
    }

    @Test("B9: without a window octets are held once, `drained` is told, nothing is lost")
    func closedWindow() {
        let server = HTTP2Peer(.server)
        server.receive(Frames.preface + Frames.settings([(4, 0)]) + Frames.headers(1, Frames.request()))
        server.told = []
        server.respond(1, ends: false)
        let record = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        server.session.sendData(1, shared: record, 0..<100_000)
        server.session.sendData(1, record[100_000..<150_000].span)
        server.session.sendData(1, shared: record, 150_000..<200_000)
        server.session.endStream(1)
        var received: [UInt8] = []
        func take() {
            for frame in Frames.read(server.output(limit: 30_000)) where frame.type == 0 { received += frame.payload }
        }
        take()
        #expect(received == [] && server.session.queuedOctets(1) == 200_000 && !server.session.wantsOutput)
        server.receive(Frames.windowUpdate(0, 1 << 20) + Frames.windowUpdate(1, 100_000))
        while server.session.wantsOutput { take() }
        #expect(received.count == 100_000 && server.told == [])
        server.receive(Frames.windowUpdate(1, 70_000))
        while server.session.wantsOutput { take() }
        #expect(server.told == [.drained(1)] && server.session.queuedOctets(1) == 30_000)
        server.receive(Frames.windowUpdate(1, 70_000))
        while server.session.wantsOutput { take() }
        #expect(received == record)
        #expect(server.told == [.drained(1), .closed(1)])
    }

    @Test("Output comes in bounded portions")
    func portions() {
        let server = HTTP2Peer(.server)
        let window: [(UInt16, UInt32)] = [(4, 1 << 30)]
        server.receive(Frames.preface + Frames.settings(window) + Frames.windowUpdate(0, 1 << 30))
        for index in 0..<20 {
            server.receive(Frames.headers(UInt32(2 * index + 1), Frames.request()))
            server.respond(HTTP2StreamID(UInt32(2 * index + 1)), ends: false)
            server.session.sendData(HTTP2StreamID(UInt32(2 * index + 1)), [UInt8](repeating: 1, count: 100_000).span)
            server.session.endStream(HTTP2StreamID(UInt32(2 * index + 1)))
        }
        var total = 0
        while server.session.wantsOutput {
            let octets = server.output(limit: 50_000)
            #expect(octets.count <= 50_000 + 16_384 + 9)
            total += Frames.read(octets).filter { $0.type == 0 }.reduce(0) { $0 + $1.payload.count }
        }
        #expect(total == 2_000_000 && server.session.activeStreams == 0)
    }

    @Test("A long response does not hold up a short one, unless the client asks for it", arguments: [nil, "u=3"])
    func fairness(_ priority: String?) {
        let server = HTTP2Peer(.server)
        server.receive(Frames.preface + Frames.settings([(4, 1 << 30)]) + Frames.windowUpdate(0, 1 << 30))
        let more = priority.map { [("priority", $0)] } ?? []
        for id: UInt32 in [1, 3] { server.receive(Frames.headers(id, Frames.request([], more))) }
        for (id, count) in [(1, 1_000_000), (3, 1000)] as [(HTTP2StreamID, Int)] {
            server.respond(id, ends: false)
            server.session.sendData(id, [UInt8](repeating: 1, count: count).span)
            server.session.endStream(id)
        }
        let first = Frames.read(server.output(limit: 100_000)).filter { $0.type == 0 }
        #expect(first.contains { $0.stream == 3 } == (priority == nil))
    }

    @Test("Nor does a long request body", arguments: [false, true])
    func fairUploads(_ ignoresPriorities: Bool) {
        let client = HTTP2Peer(.client)
        let settings: [(UInt16, UInt32)] = [(4, 1 << 30)] + (ignoresPriorities ? [(9, 1)] : [])
        client.receive(Frames.settings(settings) + Frames.windowUpdate(0, 1 << 30))
        for count in [1_000_000, 1000] {
            guard let id = client.request("POST", ends: false) else { continue }
            client.session.sendData(id, [UInt8](repeating: 1, count: count).span)
            client.session.endStream(id)
        }
        let first = Frames.read(Array(client.output(limit: 100_000).dropFirst(24))).filter { $0.type == 0 }
        #expect(first.contains { $0.stream == 3 })
    }

    @Test("A body queue gives its octets in order, whatever is put in and taken")
    func queue() {
        var generator = SeededGenerator(seed: 9)
        var queue = OutboundBody()
        var expected: [UInt8] = []
        var taken: [UInt8] = []
        var next: UInt8 = 0
        for _ in 0..<2000 {
            let count = Int.random(in: 0...9000, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0:
                let octets = (0..<count).map { _ in
                    next &+= 1; return next
                }
                expected += octets
                queue.append(octets.span)
            case 1:
                let octets = (0..<count + 10).map { _ in
                    next &+= 1; return next
                }
                expected += octets[5..<5 + count]
                queue.append(shared: octets, 5..<5 + count)
            default: queue.take(count, into: &taken)
            }
            #expect(queue.count == expected.count - taken.count)
        }
        queue.take(.max, into: &taken)
        #expect(taken == expected)
    }
}

/// A client that keeps to the windows, whose streams come to nothing.
final class AbandonedStreams {
    /// How a stream is abandoned whose DATA nobody has taken.
    enum Kind: CaseIterable {
        case resetByPeer, resetByCaller, lateData, padded, paddedAndReset, refusedStream, malformedHead, refusedHead
        case contentLengthExceeded, answeredEarly, windowExceeded, malformedTrailers
    }

    let server: HTTP2Peer
    /// What the connection's window lets the client send.
    private(set) var window = 65_535
    private(set) var sent = 0
    private(set) var isTooMuch = false
    private let kind: Kind
    private var nextID: UInt32 = 1
    private let post = Frames.request([(":method", "POST")])
    private let data = [UInt8](repeating: 7, count: 1000)

    init(_ kind: Kind) {
        self.kind = kind
        var limits = HTTP2Limits()
        limits.connectionWindowBytes = 80_000
        limits.resetBurst = 100_000
        limits.glitchBurst = 100_000
        if kind == .refusedStream { limits.streamsMax = 1 }
        server = HTTP2Peer(.server, limits)
        server.consumes = false
        server.receive(Frames.clientStart)
        drain()
        guard kind == .refusedStream else { return }
        receive(Frames.headers(nextID, post, ends: false))
        nextID += 2
    }

    private func receive(_ frames: [UInt8]) {
        let flowing = Frames.read(frames).filter { $0.type == 0 }.reduce(0) { $0 + $1.payload.count }
        if flowing > window { isTooMuch = true }
        window -= flowing
        sent += flowing
        server.receive(frames)
    }

    private func drain() {
        for frame in Frames.read(server.output()) where frame.type == 0x8 && frame.stream == 0 {
            window += Int(frame.number(0))
        }
    }

    /// Opens one more stream.
    func abandon() {
        let id = nextID
        nextID += 2
        let stream = HTTP2StreamID(id)
        switch kind {
        case .resetByPeer: receive(open(id) + Frames.data(id, data) + Frames.reset(id))
        case .resetByCaller:
            receive(open(id) + Frames.data(id, data))
            server.session.reset(stream, .cancel)
        case .lateData:
            receive(open(id))
            server.session.reset(stream, .cancel)
            receive(Frames.data(id, data))
            drain()
            receive(Frames.data(id, data) + Frames.data(id, [], ends: true))
        case .padded:
            receive(open(id) + Frames.paddedData(id, data, padding: 255))
            receive(Frames.paddedData(id, [], padding: 200, ends: true))
            server.session.consumed(stream, data.count)
            server.respond(stream)
        case .paddedAndReset:
            receive(open(id) + Frames.paddedData(id, data, padding: 99))
            receive(Frames.paddedData(id, [1], padding: 255) + Frames.reset(id))
        case .refusedStream: receive(open(id) + Frames.data(id, data, ends: true))
        case .malformedHead:
            receive(open(id, Frames.request([(":path", "x")])) + Frames.data(id, data))
            drain()
            receive(Frames.data(id, data, ends: true))
        case .refusedHead:
            receive(open(id, Frames.request([(":path", "/#")])) + Frames.data(id, data))
            server.respond(stream, 400)
            drain()
            receive(Frames.data(id, data, ends: true))
        case .contentLengthExceeded:
            let short = Frames.request([(":method", "POST")], [("content-length", "1500")])
            receive(open(id, short) + Frames.data(id, data) + Frames.data(id, data))
        case .answeredEarly:
            receive(open(id) + Frames.data(id, data))
            server.respond(stream, 413)
            server.session.reset(stream, .noError)
            drain()
            receive(Frames.data(id, data, ends: true))
        case .windowExceeded:
            receive(open(id))
            for _ in 0..<7 where window > 10_000 { receive(Frames.data(id, [UInt8](repeating: 7, count: 10_000))) }
        case .malformedTrailers:
            receive(open(id) + Frames.data(id, data))
            receive(Frames.headers(id, [("x", "a\nb")]))
        }
        drain()
    }

    private func open(_ id: UInt32, _ fields: [(String, String)]? = nil) -> [UInt8] {
        Frames.headers(id, fields ?? post, ends: false)
    }
}
