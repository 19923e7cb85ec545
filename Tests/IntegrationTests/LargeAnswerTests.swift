import Foundation
import TestSupport
import Testing

/// Answers larger than one piece of the store: recorded while they come, replayed as fast as they are read.
@Suite(.blackBox) struct LargeAnswerTests {
    private static let embedded = "store embedded { path $STORE; }"
    private static let memory = "store memory;"

    private static func octets(_ count: Int, seed: UInt64 = 5) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return generator.octets(count)
    }

    @Test(
        "five megabytes, first and replayed over every wire, and after kill -9, octet for octet",
        arguments: [ServiceKind.http1, .h2c], [embedded, memory])
    func everyWire(kind: ServiceKind, store: String) throws {
        let body = Self.octets(5 << 20)
        let pair = try ProtocolPair(kind, configure: { $0.store = store }) { _ in PlainAnswer(body: body) }
        var firsts: [Wire: Response] = [:]
        for wire in [Wire.http1, .http2] {
            let first = try pair.proxy.send(.post(key: "\(wire)"), over: wire)
            expectAnswer(first)
            expectOctets(first.body, body)
            firsts[wire] = first
        }
        let check = { (proxy: ProxyProcess) in
            for first in firsts.keys {
                for wire in Wire.allCases {
                    expectReplayAcross(
                        try proxy.send(.post(key: "\(first)"), over: wire), of: try #require(firsts[first]))
                }
            }
        }
        try check(pair.proxy)
        let records = try pair.proxy.records()
        #expect(records.count == 2)
        #expect(records.allSatisfy { $0["body_bytes"] as? Int == body.count }, "\(records)")
        if store == Self.embedded { try check(try pair.proxy.crashAndRestart()) }
        #expect(pair.service.executions == 2)
    }

    @Test("sizes around a piece, with a length and in chunks", arguments: [-1, 0, 1])
    func aroundOnePiece(difference: Int) throws {
        let pair = try Pair { request in
            let pieces = request.path.hasPrefix("/2") ? 2 : 1
            let body = Self.octets(pieces * 65536 + difference)
            return request.path.hasSuffix("chunked")
                ? .chunked(200, [], [Array(body[..<1000]), Array(body[1000...])]) : .answer(200, [], body: body)
        }
        for path in ["/1length", "/1chunked", "/2length", "/2chunked"] {
            let first = try pair.proxy.post(path, key: path)
            #expect(first.body.count == (path.hasPrefix("/2") ? 2 : 1) * 65536 + difference)
            for _ in 0..<2 { expectReplay(try pair.proxy.post(path, key: path), of: first) }
        }
        #expect(pair.upstream.executions == 4)
    }

    @Test("those who wait for the first attempt get all of it")
    func waiters() throws {
        let latch = Latch()
        let body = Self.octets(3 << 20)
        let pair = try ProtocolPair { _ in PlainAnswer(body: body, latch: latch) }
        let client = try pair.proxy.http2()
        let streams = try (0..<10).map { _ in try client.start(.post(key: "K")) }
        try poll("9 waiters") { try pair.proxy.records().contains { $0["waiters"] as? Int == 9 } ? true : nil }
        latch.open()
        let answers = try streams.map { try client.response(on: $0, until: .after(30)) }
        #expect(answers.count(where: \.isReplay) == 9)
        for answer in answers { expectOctets(answer.body, body) }
        #expect(pair.service.executions == 1)
    }

    @Test("a slow reader gets the whole replay, one that leaves in it harms nobody")
    func slowReader() throws {
        let body = Self.octets(8 << 20)
        let pair = try Pair { _ in .answer(200, [], body: body) }
        let first = try pair.proxy.post(key: "K", until: .after(60))
        let slow = try pair.proxy.client(receiveBuffer: 16384)
        try slow.send(.post(key: "K"))
        #expect(try slow.head().status == 200)
        for _ in 0..<3 {
            let leaving = try pair.proxy.client(receiveBuffer: 16384)
            try leaving.send(.post(key: "K"))
            _ = try leaving.exactly(200_000)
            leaving.reset()
        }
        var read: [UInt8] = []
        while read.count < body.count {
            read += try slow.some(atMost: 100_000)
            usleep(1000)
        }
        expectOctets(read, body)
        // The connection serves on.
        expectReplay(try slow.exchange(.post(key: "K"), until: .after(60)), of: first)
        #expect(try pair.proxy.metric("oncegate_http_requests_in_flight") ?? 0 == 0)
        #expect(pair.upstream.executions == 1)
    }

    @Test("a replay that comes before the request's body: the body may follow or not", arguments: [false, true])
    func replayBeforeBody(follows: Bool) throws {
        let body = Self.octets(2 << 20)
        let pair = try Pair("hash { body none; window 1h; replay always; }", configure: { _ in }) { _ in
            .answer(200, [], body: body)
        }
        let first = try pair.proxy.post(key: "K")
        let client = try pair.proxy.client(receiveBuffer: 16384)
        let fields = [
            Field("Idempotency-Key", "K"), Field("Content-Type", "application/json"),
            Field("Expect", "100-continue"), Field("Content-Length", "14"),
        ]
        try client.send(Request("POST", "/", fields).octets)
        #expect(try client.head().status == 200)
        let start = try client.exactly(100_000)
        if follows { try client.send(Canary.requestBody) }
        expectOctets(start + (try client.exactly(body.count - 100_000)), first.body)
        #expect(pair.upstream.executions == 1)
    }

    @Test("the client leaves in the first answer: it is recorded whole", arguments: [false, true])
    func clientLeaves(held: Bool) throws {
        let latch = Latch()
        let body = Self.octets(6 << 20)
        let pair = try Pair { _ in
            Reply { exchange in
                try exchange.readBody()
                try exchange.send(headOctets(200, [Field("Content-Length", "\(body.count)")]) + body[..<300_000])
                if held { try latch.wait(until: .after(60)) }
                try exchange.send(Array(body[300_000...]))
            }
        }
        let client = try pair.proxy.client(receiveBuffer: 16384)
        try client.send(.post(key: "K"))
        #expect(try client.head().status == 200)
        client.reset()
        latch.open()
        try pair.proxy.waitForState("completed")
        let replay = try pair.proxy.post(key: "K")
        #expect(replay.isReplay)
        expectOctets(replay.body, body)
        #expect(pair.upstream.executions == 1)
    }

    @Test("a late answer is recorded whole")
    func lateAnswer() throws {
        let latch = Latch()
        let body = Self.octets(4 << 20)
        let pair = try Pair(configure: { $0.top = "response_header_timeout 300ms;" }) { _ in
            .held(latch, then: .answer(200, [], body: body))
        }
        expectProblem(try pair.proxy.post(key: "K"), "upstream-timed-out", status: 504)
        latch.open()
        try pair.proxy.waitForState("completed")
        let replay = try pair.proxy.post(key: "K")
        #expect(replay.isReplay)
        expectOctets(replay.body, body)
    }

    @Test(
        "killed between two pieces, or the service breaks off there: unknown, never a part of it",
        arguments: [false, true])
    func brokenOff(killed: Bool) throws {
        let latch = Latch()
        let pair = try Pair { _ in
            killed
                ? Reply { exchange in
                    try exchange.readBody()
                    try exchange.send(headOctets(200, [Field("Content-Length", "1000000")]))
                    try exchange.send([UInt8](repeating: 1, count: 400_000))
                    try latch.wait(until: .after(60))
                } : .truncated(declared: 1_000_000, body: [UInt8](repeating: 1, count: 400_000), reset: false)
        }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        #expect(try client.head().status == 200)
        _ = try client.exactly(200_000)
        if !killed { try pair.proxy.waitForState("unknown") }
        let proxy = try pair.proxy.crashAndRestart()
        for _ in 0..<2 { expectProblem(try proxy.post(key: "K"), "outcome-unknown", status: 409) }
        latch.open()
        #expect(pair.upstream.executions == 1)
    }

    @Test("past the record limit after some pieces: a tombstone with size and digest of the whole")
    func pastLimit() throws {
        let body = Self.octets(1_500_000)
        let pair = try Pair("record_body_limit 1MiB;") { request in
            request.path == "/length"
                ? .answer(200, [], body: body)
                : .chunked(200, [], stride(from: 0, to: body.count, by: 50_000).map { Array(body[$0..<$0 + 50_000]) })
        }
        let digest = try sha256(of: body)
        for path in ["/chunked", "/length"] {
            expectOctets(try pair.proxy.post(path, key: path).body, body)
            let second = try pair.proxy.post(path, key: path)
            expectProblem(second, "answer-not-kept", status: 409)
            #expect(second.text.contains(digest) && second.text.contains("1500000"))
        }
        #expect(pair.upstream.executions == 2)
    }

    @Test("a store that is full takes no more pieces: the client has its answer, the repeat the tombstone")
    func fullStore() throws {
        let body = Self.octets(3 << 20)
        let pair = try Pair(configure: { $0.store = "store memory { max_size 1MiB; }" }) { _ in
            .chunked(200, [], stride(from: 0, to: body.count, by: 65536).map { Array(body[$0..<$0 + 65536]) })
        }
        expectOctets(try pair.proxy.post(key: "K").body, body)
        let second = try pair.proxy.post(key: "K")
        expectProblem(second, "answer-not-kept", status: 409)
        #expect(second.text.contains(try sha256(of: body)))
        #expect(pair.upstream.executions == 1)
    }

    @Test("a piece that is missing breaks the replay off, visibly", arguments: [Wire.http1, .h2c])
    func missingPiece(wire: Wire) throws {
        let body = Self.octets(1_000_000)
        let pair = try ProtocolPair { _ in PlainAnswer(body: body) }
        expectOctets(try pair.proxy.send(.post(key: "K"), over: .http1).body, body)
        try pair.proxy.crash()
        let file = try #require(
            try FileManager.default.contentsOfDirectory(atPath: "\(pair.proxy.directory)/store")
                .first { $0.hasSuffix("-wal") }?.dropLast(4))
        let script = """
            import sqlite3
            store = sqlite3.connect("\(pair.proxy.directory)/store/\(file)")
            assert store.execute("DELETE FROM piece WHERE at = 458752").rowcount == 1
            store.commit()
            """
        let result = try Subprocess.run([Peer.python, "-c", script])
        #expect(result.error.isEmpty, "\(result.error)")
        let proxy = try pair.proxy.restarted()
        if wire == .http1 {
            let client = try proxy.client()
            try client.send(.post(key: "K"))
            #expect(try client.head()["Content-Length"] == "1000000")
            #expect(try client.rest().count <= 458_752)
        } else {
            let client = try proxy.http2()
            let ending = try client.ending(of: try client.start(.post(key: "K")))
            #expect(!ending.isComplete && ending.resetCode == .internalError, "\(ending)")
        }
        try poll("the outcome is counted") { try proxy.outcomes("store_error") == 1 ? true : nil }
        #expect(pair.service.executions == 1)
    }
}
