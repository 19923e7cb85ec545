import TestSupport
import Testing

@testable import HTTP

@Suite("HTTP/2: hostile octets, check B20")
struct HTTP2MutationTests {
    /// What chooses role, cuts and actions, then frames.
    private static let inputs: [[UInt8]] = {
        let request = Frames.request()
        let post = Frames.request([(":method", "POST")], [("content-length", "5"), ("cookie", "a"), ("cookie", "b")])
        let fromClient: [[UInt8]] = [
            Frames.headers(1, request) + Frames.headers(3, request) + Frames.reset(1),
            Frames.headers(1, post, ends: false) + Frames.data(1, Array("hel".utf8))
                + Frames.paddedData(1, Array("lo".utf8), padding: 3, ends: true),
            Frames.headers(1, Frames.request(), ends: false) + Frames.data(1, [1]) + Frames.headers(1, [("t", "u")]),
            Frames.frame(0x1, 1, 1, Array(Frames.block(request).prefix(9)))
                + Frames.continuation(1, Array(Frames.block(request).dropFirst(9)), ends: true),
            Frames.settings([(4, 10), (1, 0)]) + Frames.ping() + Frames.windowUpdate(0, 99) + Frames.goAway(0),
        ]
        let fromServer: [[UInt8]] = [
            Frames.headers(1, [(":status", "103"), ("a", "b")], ends: false)
                + Frames.headers(1, [(":status", "200")], ends: false) + Frames.data(1, [1, 2])
                + Frames.headers(1, [("t", "u")]),
            Frames.headers(3, [(":status", "200"), ("content-length", "9")]) + Frames.reset(5, 7) + Frames.goAway(1),
        ]
        let proxyHeaders = [
            Array("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".utf8),
            ProxyHeaderTests.signature + [0x21, 0x11, 0, 14] + [UInt8](repeating: 1, count: 14),
        ]
        return fromClient.map { [0, 5, 1] + $0 } + fromServer.map { [1, 5, 1] + $0 }
            + proxyHeaders.map { [7, 0, 0] + $0 }
    }()

    @Test("Mutated frames never crash, and mean the same however they are split")
    func mutations() {
        var generator = SeededGenerator(seed: 20)
        for _ in 0..<3000 {
            guard var octets = Self.inputs.randomElement(using: &generator) else { continue }
            if octets[0] < 2, Bool.random(using: &generator) { octets[0] |= 0x80 }
            octets[1] = UInt8.random(in: 0...255, using: &generator)
            octets[2] = UInt8.random(in: 0...255, using: &generator)
            for _ in 0..<Int.random(in: 0...4, using: &generator) {
                let index = Int.random(in: 3..<octets.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: octets[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: octets[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 2: octets.insert(UInt8.random(in: 0...9, using: &generator), at: index)
                default: if octets.count > 4 { octets.remove(at: index) }
                }
            }
            checkAnyHTTP2Octets(octets)
        }
    }

    @Test("The buckets: burst, rate, giving back")
    func buckets() {
        var bucket = TokenBucket(burst: 10, perSecond: 2)
        let start: UInt64 = 5_000_000_000
        func take(at now: UInt64) -> Bool { bucket.take(1, now: now) }
        for _ in 0..<10 { #expect(take(at: start)) }
        #expect(!take(at: start))
        bucket.give(1)
        #expect(!take(at: start + 400_000_000))
        #expect(take(at: start + 1_000_000_000))
        bucket.give(1000)
        var count = 0
        while bucket.take(1, now: start + 2_000_000_000) { count += 1 }
        #expect(count == 10)
    }

    @Test("The stream table finds, forgets and reuses, whatever the order")
    func table() {
        var generator = SeededGenerator(seed: 21)
        var table = HTTP2StreamTable()
        var open: [HTTP2StreamID] = []
        var next: UInt32 = 1
        for _ in 0..<5000 {
            if open.count < 200, Bool.random(using: &generator) {
                // Ids that would share a place.
                next += 2 * UInt32.random(in: 1...3, using: &generator) * (Bool.random(using: &generator) ? 1 : 512)
                let id = HTTP2StreamID(next)
                _ = table.insert(id)
                open.append(id)
            } else if let index = open.indices.randomElement(using: &generator) {
                let id = open.remove(at: index)
                guard let slot = table.slot(of: id) else {
                    Issue.record("\(id) is missing")
                    return
                }
                table.remove(slot)
                #expect(table.slot(of: id) == nil)
            }
            #expect(table.count == open.count)
        }
        for id in open { #expect(table.slot(of: id).map { table.slots[$0].id } == id) }
        #expect(table.slots.count <= 200)
    }
}
