import Foundation
import TestSupport
import Testing

@Suite(.blackBox) struct LimitsTests {
    private func pair(_ top: String, _ script: @escaping ScriptedUpstream.Script = { _ in .answer() }) throws -> Pair {
        try Pair(configure: { $0.top = top }, script: script)
    }

    @Test("D1 a slow head is cut by request_header_timeout", arguments: [true, false])
    func slowHead(trickles: Bool) throws {
        let pair = try pair("request_header_timeout 400ms;")
        let client = try pair.proxy.client()
        try client.send("GET / HTTP/1.1\r\nHo")
        let seconds = try elapsedSeconds {
            if trickles {
                // One octet every 50 ms keeps the connection busy, not alive.
                try poll("the proxy gives up") { () -> Bool? in
                    if (try? client.send("x")) == nil { return true }
                    return client.isSilent(for: 0.05) ? nil : true
                }
            }
            let rest = text(try client.rest())
            #expect(rest.isEmpty || rest.hasPrefix("HTTP/1.1 408"), "\(rest)")
        }
        #expect(seconds < 5)
        #expect(pair.upstream.attempts == 0)
        expectAnswer(try pair.proxy.send(.get()))
    }

    @Test(
        "D1 a slow body is cut by request_body_idle and by request_body_timeout",
        arguments: ["request_body_idle", "request_body_timeout"])
    func slowBody(directive: String) throws {
        let pair = try pair("\(directive) 400ms;")
        let client = try pair.proxy.client()
        let request = Request.post(key: "K", body: String(repeating: "x", count: 10_000))
        try client.send(request.headOctets)
        if directive == "request_body_timeout" {
            try poll("the proxy gives up") { () -> Bool? in
                if (try? client.send("x")) == nil { return true }
                return client.isSilent(for: 0.05) ? nil : true
            }
        }
        let rest = text(try client.rest())
        #expect(rest.isEmpty || rest.hasPrefix("HTTP/1.1 408"), "\(rest)")
        #expect(pair.upstream.attempts == 0)
        expectAnswer(try pair.proxy.send(request))
    }

    @Test("D1 an idle connection is closed after keepalive_timeout, without an octet")
    func idleConnection() throws {
        let pair = try pair("keepalive_timeout 300ms;")
        let client = try pair.proxy.client()
        expectAnswer(try client.exchange(.get()))
        let seconds = elapsedSeconds { #expect(client.isClosed(within: 10)) }
        #expect(seconds > 0.2)
        #expect(try pair.proxy.client().isClosed(within: 20))
    }

    @Test("D1 a client that does not read is cut by response_write_idle; the record stays whole")
    func slowReader() throws {
        let body = [UInt8](repeating: 1, count: 8_000_000)
        let pair = try pair("response_write_idle 400ms;") { _ in .answer(200, [], body: body) }
        let client = try pair.proxy.client(receiveBuffer: 16384)
        try client.send(.post(key: "K"))
        #expect(try client.head().status == 200)
        try poll("the connection is cut") { try pair.proxy.metric("oncegate_connections") == 0 ? true : nil }
        let repeated = try pair.proxy.post(key: "K")
        #expect(repeated.isReplay)
        expectOctets(repeated.body, body)
        #expect(pair.upstream.executions == 1)
    }

    @Test("H4 the service stops within its answer: upstream_idle_timeout, and the outcome is unknown")
    func slowAnswer() throws {
        let pair = try pair("upstream_idle_timeout 400ms;") { _ in
            Reply { exchange in
                try exchange.readBody()
                try exchange.send(headOctets(200, [Field("Content-Length", "10")]) + octets("01234"))
                _ = try exchange.reader.some(atMost: 1, until: .after(60))
                exchange.close()
            }
        }
        let client = try pair.proxy.client()
        try client.send(.post(key: "K"))
        let rest = text(try client.rest())
        #expect(rest.hasSuffix("01234") || rest.hasPrefix("HTTP/1.1 504"))
        expectProblem(try pair.proxy.post(key: "K"), "outcome-unknown", status: 409)
    }

    @Test("D1 many slow clients do not slow the others")
    func manySlowClients() throws {
        let pair = try pair("request_header_timeout 30s;")
        let slow = try (0..<200).map { _ in try pair.proxy.client() }
        for client in slow { try client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ") }
        let seconds = try elapsedSeconds { for _ in 0..<20 { expectAnswer(try pair.proxy.send(.get())) } }
        #expect(seconds < 5)
        for client in slow { try client.send("y\r\n\r\n") }
        for client in slow { expectAnswer(try client.response(to: "GET")) }
    }

    @Test("D2 out of descriptors: it goes on, and recovers")
    func descriptorsExhausted() throws {
        let upstream = try ScriptedUpstream()
        let proxy = try ProxyProcess(ProxyConfiguration(upstream), wrapper: ["prlimit", "--nofile=64:64"])
        expectAnswer(try proxy.post(key: "K"))
        var clients: [RawClient] = []
        for _ in 0..<100 {
            guard let client = try? proxy.client() else { break }
            clients.append(client)
        }
        try poll("the table is full") { proxy.openDescriptorCount >= 55 ? true : nil }
        #expect(proxy.process.isRunning)
        for client in clients { client.reset() }
        try poll("it recovers") { (try? proxy.post(key: "L"))?.status == 201 ? true : nil }
        #expect(try proxy.post(key: "K").isReplay)
    }

    @Test("D2 max_connections: the excess is refused, the others are served")
    func connectionLimit() throws {
        let pair = try pair("max_connections 8;")
        let first = try pair.proxy.client()
        expectAnswer(try first.exchange(.get()))
        let others = try (0..<20).map { _ in try pair.proxy.client() }
        let refused = others.count { client in
            try? client.send(.get())
            guard let response = try? client.response(to: "GET", until: .after(5)) else { return true }
            return response.status == 503
        }
        #expect(refused >= 12)
        expectAnswer(try first.exchange(.get()))
        others.forEach { $0.close() }
        try poll("places are free again") { (try? pair.proxy.send(.get()))?.status == 201 ? true : nil }
        #expect(try pair.proxy.metric("oncegate_connections_rejected_total") ?? 0 >= 1)
    }

    @Test("D8 max_in_flight of a route: its excess gets 503, other routes are served")
    func bulkhead() throws {
        let release = Latch()
        let upstream = try ScriptedUpstream { $0.path == "/slow" ? .held(release) : .answer() }
        let pair = try Pair(upstream: upstream) {
            $0.route = ""
            $0.more = "route /slow { upstream service; max_in_flight 2; idempotency { } }"
        }
        let held = (0..<2).map { index in Running { try pair.proxy.post("/slow", key: "K\(index)") } }
        try upstream.waitForExecutions(2)
        let refused = try pair.proxy.post("/slow", key: "K3")
        expectProblem(refused, "overloaded", status: 503, retryAfter: true)
        expectAnswer(try pair.proxy.post("/fast"))
        release.open()
        for thread in held { expectAnswer(try thread.join()) }
        expectAnswer(try pair.proxy.post("/slow", key: "K3"))
        #expect(upstream.executions == 4)
    }

    @Test("D8 max_requests_in_flight of the whole proxy")
    func requestsInFlight() throws {
        let release = Latch()
        let pair = try pair("max_requests_in_flight 4;") { _ in .held(release) }
        let held = (0..<4).map { index in Running { try pair.proxy.post(key: "K\(index)") } }
        try pair.upstream.waitForExecutions(4)
        expectProblem(try pair.proxy.post(key: "K5"), "overloaded", status: 503, retryAfter: true)
        release.open()
        for thread in held { expectAnswer(try thread.join()) }
        expectAnswer(try pair.proxy.post(key: "K5"))
    }

    @Test("D4 request_body_limit by Content-Length and by chunks: 413 before the claim")
    func bodyLimit() throws {
        let pair = try Pair("request_body_limit 64KiB;")
        let body = [UInt8](repeating: 1, count: 65_537)
        let client = try pair.proxy.client()
        try? client.send(Request.post(key: "K").withBody(body))
        expectProblem(try client.response(), "content-too-large", status: 413)
        var chunked = Request.post(key: "K")
        chunked.body = .chunked([Array(body[..<40_000]), Array(body[40_000...])], trailers: [])
        let other = try pair.proxy.client()
        try? other.send(chunked)
        expectProblem(try other.response(), "content-too-large", status: 413)
        #expect(try pair.proxy.records().isEmpty)
        expectAnswer(try pair.proxy.send(.post(key: "K").withBody(Array(body[1...]))))
    }

    @Test("P6 body_memory bounds the bodies that wait: the excess gets 503, nothing leaks")
    func bodyMemory() throws {
        let pair = try pair("body_memory 1MiB; spool_path off;")
        let body = [UInt8](repeating: 1, count: 700_000)
        let requests = (0..<6).map { Request.post(key: "K\($0)").withBody(body) }
        let clients = try requests.map { request in
            let client = try pair.proxy.client()
            try? client.send(request.headOctets + request.bodyOctets.dropLast())
            return client
        }
        let refused = clients.filter { !$0.isSilent(for: 0.2) }
        #expect(refused.count >= 1)
        for client in refused { expectProblem(try client.response(), "overloaded", status: 503, retryAfter: true) }
        clients.forEach { $0.reset() }
        for request in requests {
            try poll("memory is free again") { try pair.proxy.send(request).status == 201 ? true : nil }
        }
    }

    @Test("D9 nobody reads the access log: requests go on, lines are dropped and counted")
    func blockedLog() throws {
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream)
        configuration.top = "access_log json stdout;"
        configuration.accessLog = ""
        let proxy = try ProxyProcess(configuration, output: .unread)
        let client = try proxy.client()
        let target = "/" + String(repeating: "p", count: 2000)
        for _ in 0..<3000 { try client.send(.get(target)); _ = try client.response(to: "GET", until: .after(5)) }
        #expect(try proxy.metric("oncegate_access_log_dropped_total") ?? 0 > 0)
    }

    @Test("D10 deep and hostile JSON is bounded")
    func hostileJSON() throws {
        let pair = try Pair("on_missing_key hash; hash { body json; window 1h; replay always; }")
        let bodies = [
            String(repeating: "[", count: 500_000),
            "{" + (0..<50_000).map { "\"k\($0)\":1" }.joined(separator: ",") + "}",
            "\"" + String(repeating: "\\u0041", count: 100_000) + "\"",
            "[" + String(repeating: "1e308,", count: 100_000) + "1]",
        ]
        for body in bodies {
            let seconds = try elapsedSeconds {
                let response = try pair.proxy.post(body: body)
                #expect([201, 400].contains(response.status))
                if response.status == 201 { expectReplay(try pair.proxy.post(body: body), of: response) }
            }
            #expect(seconds < 5)
        }
    }
}
