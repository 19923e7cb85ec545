import Foundation
import TestSupport
import Testing

/// Claims that are asked for before the request's body is here: `Expect: 100-continue`, a token in the head, and a body
/// that does not count.
@Suite(.blackBox) struct EarlyClaimTests {
    private static let rule = "hash { body none; window 1h; replay always; } request_body_limit 1MiB;"

    private func head(_ key: String, _ fields: [Field]) -> [UInt8] {
        Request("POST", "/pay", [Field("Idempotency-Key", key), Field("Expect", "100-continue")] + fields).octets
    }

    private static let chunked = Field("Transfer-Encoding", "chunked")

    private func chunk(_ count: Int) -> [UInt8] {
        octets(String(count, radix: 16) + "\r\n") + [UInt8](repeating: 0x61, count: count) + octets("\r\n")
    }

    @Test("a body over the limit, its end in the same packet: nothing of it reaches the service")
    func overLimit() throws {
        let pair = try Pair("\(Self.rule) request_body_limit 1KiB;".replacing("request_body_limit 1MiB;", with: ""))
        let client = try pair.proxy.client()
        try client.send(head("K", [Self.chunked]))
        #expect(try client.head().status == 100)
        try client.send(chunk(600) + chunk(600) + chunk(300) + octets("0\r\n\r\n"))
        #expect(try client.response().status == 413)
        #expect(pair.upstream.attempts == 0)
        expectAnswer(try pair.proxy.post("/pay", key: "K"))
        #expect(pair.upstream.executions == 1)
    }

    @Test("a client that leaves before its claim is given: the key is free")
    func leaves() throws {
        let latch = Latch()
        let pair = try Pair(
            "\(Self.rule) in_flight wait 10s;",
            configure: { $0.store = "store embedded { path $STORE; commit_delay 1000ms; }" }
        ) { request in
            request.path == "/held" ? .held(latch) : .answer()
        }
        // The delay takes effect from four open claims on.
        let held = (0..<5).map { index in Running { try pair.proxy.post("/held", key: "H\(index)") } }
        try pair.upstream.waitForExecutions(5)
        let client = try pair.proxy.client()
        try client.send(head("K", [Field("Content-Length", "5")]))
        client.close()
        expectAnswer(try pair.proxy.post("/pay", key: "K", body: "12345"))
        latch.open()
        for each in held { expectAnswer(try each.join()) }
        #expect(pair.upstream.requests.count { $0.path == "/pay" } == 1)
    }

    @Test("on_store_error pass: the service gets the body, too")
    func unprotected() throws {
        let disk = try SmallDisk(megabytes: 2)
        let pair = try Pair(
            "\(Self.rule) on_store_error pass;", configure: { $0.store = "store embedded { path \(disk.path)/store; }" }
        )
        disk.fill()
        try poll("a store error") { () -> Bool? in
            _ = try pair.proxy.post(key: newKey())
            return try pair.proxy.outcomes("unprotected") > 0 ? true : nil
        }
        let client = try pair.proxy.client()
        try client.send(head("L", [Self.chunked]))
        #expect(try client.head().status == 100)
        try client.send(chunk(500) + octets("0\r\n\r\n"))
        expectAnswer(try client.response())
        let last = try #require(pair.upstream.requests.last)
        #expect(last.body == [UInt8](repeating: 0x61, count: 500))
    }

    @Test("a repeat that waits: the end of its body does not end its patience")
    func waits() throws {
        let latch = Latch()
        let pair = try Pair("\(Self.rule) in_flight wait 300ms;") { _ in .held(latch) }
        let first = Running { try pair.proxy.post("/pay", key: "K", body: "12345") }
        try pair.upstream.waitForExecutions(1)
        let client = try pair.proxy.client()
        try client.send(head("K", [Field("Content-Length", "5")]))
        try poll("it waits") { try pair.proxy.records().contains { $0["waiters"] as? Int == 1 } ? true : nil }
        try client.send(octets("12345"))
        expectProblem(try client.response(), "in-progress", status: 409, retryAfter: true)
        latch.open()
        expectAnswer(try first.join())
    }

    @Test("a body whose last piece is on its way to the spool when the claim is given is sent once, whole")
    func lastPiece() throws {
        let pair = try Pair(Self.rule, configure: { $0.top = "spool_threshold 64KiB;" })
        let body = [UInt8](repeating: 0x62, count: 300_001)
        for number in 0..<20 {
            let client = try pair.proxy.client()
            try client.send(head("K\(number)", [Field("Content-Length", "\(body.count)")]) + body)
            var answer = try client.head()
            while answer.status == 100 { answer = try client.head() }
            #expect(answer.status == 201)
            client.close()
        }
        #expect(pair.upstream.attempts == 20)
        for index in 0..<20 { #expect(try pair.upstream.request(index).body == body) }
    }
}
