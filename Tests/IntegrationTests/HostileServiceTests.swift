import Foundation
import TestSupport
import Testing

/// Services that attack the proxy over HTTP/2 (checks B3, B5, B6, B8, B12 from the other side), while two more requests
/// wait for their answers on the same connection.
@Suite(.blackBox) struct HostileServiceTests {
    /// What the service sends once three requests are with it.
    struct Attack: Sendable, CustomTestStringConvertible {
        var name: String
        /// An error of the connection takes all three with it; an error of the stream leaves the others alone.
        var endsConnection = true
        /// The library's head comes before the frames.
        var head: [Field]?
        var frames: @Sendable () -> [UInt8]

        var testDescription: String { name }

        func reply() -> HTTP2Reply {
            HTTP2Reply(.read).then(HTTP2Reply(head.map { [.head(200, $0)] } ?? []))
                .then(HTTP2Reply(.raw(frames()), .never))
        }
    }

    /// Frames of the stream that they are sent on: `HTTP2Reply.Step.raw` puts its number in.
    private static let own: UInt32 = 0x7FFF_FFFF

    private static func frame(_ type: UInt8, _ flags: UInt8 = 0, on stream: UInt32 = 0, _ payload: [UInt8] = [])
        -> [UInt8]
    {
        let length = Array(bigEndian(UInt32(payload.count)).dropFirst())
        return length + [type, flags] + bigEndian(stream) + payload
    }

    private static func bigEndian(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    /// Literals without indexing, so that the table of Python's encoder stays right (RFC 7541 §6.2.2).
    private static func block(_ fields: [(String, String)]) -> [UInt8] {
        func string(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + Array(text.utf8) }
        return fields.flatMap { [0] + string($0.0) + string($0.1) }
    }

    private static func headers(_ fields: [(String, String)], flags: UInt8 = endHeaders) -> [UInt8] {
        frame(1, flags, on: own, block(fields))
    }

    private static let endHeaders: UInt8 = 4
    private static let endStream: UInt8 = 1

    /// A head in so many CONTINUATION frames after its first one.
    private static func continued(_ count: Int) -> [UInt8] {
        let pieces = (1...count).map { frame(9, $0 == count ? endHeaders : 0, on: own, block([("x-\($0)", "y")])) }
        return headers([(":status", "200")], flags: endStream) + pieces.joined()
    }

    /// One field of 4000 octets goes into the table, and each further octet stands for it: some 49 MB in one frame.
    /// The head after it clears the table, as Python's encoder knows nothing of the field.
    private static func bomb() -> [UInt8] {
        let first = block([(":status", "200")])
        let field: [UInt8] = [0x40, 1, 0x61, 0x7F, 0xA1, 0x1E] + [UInt8](repeating: 0x62, count: 4000)
        let references = [UInt8](repeating: 0xBE, count: 16384 - first.count - field.count)
        return frame(1, endHeaders, on: own, first + field + references)
            + frame(1, endHeaders | endStream, on: own, [0x20, 0x3F, 0xE1, 0x1F])
    }

    private static func trailers(_ fields: [(String, String)], flags: UInt8 = endHeaders | endStream) -> Attack {
        Attack(
            name: "trailers \(fields) with flags \(flags)", endsConnection: false, head: [],
            frames: { headers(fields, flags: flags) })
    }

    private static func repeated(_ count: Int, _ frame: (Int) -> [UInt8]) -> [UInt8] { (0..<count).flatMap(frame) }

    static let attacks: [Attack] = [
        Attack(name: "PUSH_PROMISE") {
            frame(5, endHeaders, on: own, bigEndian(2) + block([(":method", "GET"), (":scheme", "http")]))
        },
        Attack(name: "nine CONTINUATION frames") { continued(9) },
        Attack(name: "DATA before the head") { frame(0, 0, on: own, [1, 2, 3]) },
        Attack(name: "a flood of PING") {
            repeated(50_000) { frame(6, 0, on: 0, [UInt8](repeating: UInt8($0 & 0xFF), count: 8)) }
        },
        Attack(name: "a flood of SETTINGS") { repeated(50_000) { _ in frame(4) } },
        Attack(name: "SETTINGS with too many entries") {
            frame(4, 0, on: 0, repeated(33) { _ in [0, 3, 0, 0, 0, 100] })
        },
        Attack(name: "a flood of interim answers") { repeated(10_000) { _ in headers([(":status", "102")]) } },
        Attack(name: "forty interim answers", endsConnection: false) {
            repeated(40) { _ in headers([(":status", "102")]) }
        },
        Attack(name: "an HPACK bomb", endsConnection: false) { bomb() },
        Attack(name: "201 fields", endsConnection: false) {
            headers([(":status", "200")] + (1...201).map { ("x-\($0)", "y") }, flags: endHeaders | endStream)
        },
        trailers([(":status", "200")]), trailers([("X-Upper", "y")]), trailers([("connection", "close")]),
        trailers([("x", "a\nb")]), trailers([("x", "y")], flags: endHeaders),
    ]

    private struct Bench {
        let upstream: HTTP2Upstream
        let proxy: ProxyProcess
        let latch = Latch()

        init(_ attack: HTTP2Reply) throws {
            let latch = self.latch
            let pair = try HTTP2Pair(configure: { $0.workers = 1 }) { request in
                switch request.path {
                case "/attack": attack
                case "/next": .answer()
                default: .held(latch)
                }
            }
            upstream = pair.upstream
            proxy = pair.proxy
        }

        static let neighbours = ["/a", "/b"]

        /// Two requests that are with the service, on the connection that the next one will share.
        func startNeighbours(_ client: HTTP2Client) throws -> [Int] {
            let streams = try Self.neighbours.map { try client.start(.post($0, key: $0)) }
            try upstream.waitForExecutions(streams.count)
            return streams
        }

        /// What was sent is never sent again, and the next request is served.
        func expectUnknown(_ paths: [String], connections: Int) throws {
            for path in paths {
                expectProblem(try proxy.post(path, key: path), "outcome-unknown", status: 409)
            }
            #expect(upstream.attempts == 3)
            expectAnswer(try proxy.post("/next", key: "N"))
            #expect(upstream.attempts == 4)
            #expect(upstream.connectionCount == connections)
        }
    }

    @Test(
        "an attack by a service costs its connection or its stream, in bounded memory, and nothing else",
        arguments: attacks)
    func attack(_ attack: Attack) throws {
        let bench = try Bench(attack.reply())
        let client = try bench.proxy.http2()
        let neighbours = try bench.startNeighbours(client)
        let before = try bench.proxy.memoryKiB("VmRSS")
        let ending = try client.ending(of: client.start(.post("/attack", key: "/attack")))
        if attack.head == nil {
            expectProblem(try #require(ending.response), "upstream-broken", status: 502)
        } else {
            // The head has gone on; the answer then never becomes whole.
            #expect(ending.resetCode == .internalError && !ending.isComplete, "\(ending)")
        }
        #expect(bench.upstream.connectionCount == 1)
        if attack.endsConnection {
            for stream in neighbours {
                expectProblem(try client.response(on: stream), "upstream-broken", status: 502)
            }
            try bench.upstream.waitForLostConnections(1)
        } else {
            bench.latch.open()
            for stream in neighbours { expectAnswer(try client.response(on: stream)) }
        }
        let growth = try bench.proxy.memoryKiB("VmHWM") - before
        #expect(growth < 16_000, "\(growth) KiB")
        let unknown = attack.endsConnection ? Bench.neighbours + ["/attack"] : ["/attack"]
        try bench.expectUnknown(unknown, connections: attack.endsConnection ? 2 : 1)
    }

    @Test("DATA beyond the window of its stream ends the stream, and little of it is kept (RFC 9113 §6.9.1)")
    func beyondWindow() throws {
        let octets = [UInt8](repeating: 7, count: 16384)
        let flood = Self.repeated(256) { _ in Self.frame(0, 0, on: Self.own, octets) }
        let bench = try Bench(HTTP2Reply(.read, .head(200), .raw(flood), .never))
        let client = try bench.proxy.http2()
        let neighbours = try bench.startNeighbours(client)
        let before = try bench.proxy.memoryKiB("VmRSS")
        // This client takes nothing, so that the proxy soon gives nothing back.
        let stalled = try bench.proxy.http2(settings: ["initial_window_size": 0])
        let attacked = try stalled.start(.post("/attack", key: "/attack"))
        try bench.upstream.waitForResets(1)
        #expect(bench.upstream.resetCodes == [HTTP2Code.flowControlError.rawValue])
        #expect(try !stalled.ending(of: attacked).isComplete)
        bench.latch.open()
        for stream in neighbours { expectAnswer(try client.response(on: stream)) }
        let growth = try bench.proxy.memoryKiB("VmHWM") - before
        #expect(growth < 3000, "\(growth) KiB of 4 MiB")
        try bench.expectUnknown(["/attack"], connections: 1)
    }

    @Test("eight CONTINUATION frames of a service are borne")
    func continued() throws {
        let bench = try Bench(HTTP2Reply(.read, .raw(Self.continued(8)), .never))
        let client = try bench.proxy.http2()
        #expect(try client.post("/attack", key: "/attack")["x-8"] == "y")
        bench.latch.open()
    }
}
