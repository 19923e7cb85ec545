import Foundation
import TestSupport
import Testing

/// What a proxy owes to both sides beside idempotency.
@Suite(.blackBox) struct ForwardingTests {
    @Test("the raw target and the end-to-end fields reach the service as they came; hop-by-hop ones do not")
    func requestFields() throws {
        let pair = try Pair()
        let fields = [
            Field("x-LOWER", "a"), Field("X-Dup", "1"), Field("Cookie", "a=b"), Field("X-Dup", "2"),
            Field("Accept", "*/*"),
            Field("Connection", "X-Hop, keep-alive"), Field("X-Hop", "1"), Field("Keep-Alive", "timeout=3"),
            Field("Proxy-Connection", "keep-alive"),
            Field("Proxy-Authorization", "secret"), Field("TE", "gzip"), Field("X-8bit", "\u{e9}"),
        ]
        expectAnswer(try pair.proxy.send(.post("/a%2Fb//c?q=%20&q=2", key: "K", fields)))
        let received = try #require(pair.upstream.requests.first)
        #expect(received.target == "/a%2Fb//c?q=%20&q=2")
        let names = received.fields.map { $0.name.lowercased() }
        for gone in ["x-hop", "keep-alive", "proxy-connection", "proxy-authorization"] {
            #expect(!names.contains(gone), "\(gone)")
        }
        #expect(received.fields[all: "TE"].allSatisfy { $0 == "trailers" })
        let kept = received.fields.filter {
            ["x-LOWER", "X-Dup", "Cookie", "Accept", "X-8bit", "Idempotency-Key"].contains($0.name)
        }
        #expect(
            kept.map(\.description) == [
                "Idempotency-Key: K", "x-LOWER: a", "X-Dup: 1", "Cookie: a=b", "X-Dup: 2", "Accept: */*",
                "X-8bit: \u{e9}",
            ])
        #expect(received["Content-Length"] == "\(Canary.requestBody.utf8.count)")
        #expect(received["Host"] == "service.test")
    }

    @Test("Via and X-Forwarded-*: ours, and a client's only from a trusted peer")
    func forwarded() throws {
        let sent = [
            Field("X-Forwarded-For", "9.9.9.9"), Field("X-Forwarded-Proto", "https"),
            Field("X-Forwarded-Host", "evil.test"), Field("Via", "1.1 outer"),
        ]
        let distrusting = try Pair()
        _ = try distrusting.proxy.send(.get("/", sent))
        let plain = try #require(distrusting.upstream.requests.first)
        #expect(plain["X-Forwarded-For"] == "127.0.0.1")
        #expect(plain["X-Forwarded-Proto"] == "http")
        #expect(plain["X-Forwarded-Host"] == "service.test")
        #expect(plain.fields[all: "Via"].joined(separator: ", ").hasPrefix("1.1 outer, 1.1 "))
        let trusting = try Pair(configure: { $0.top = "trusted_proxies 127.0.0.0/8;" })
        _ = try trusting.proxy.send(.get("/", sent))
        let received = try #require(trusting.upstream.requests.first)
        #expect(received.fields[all: "X-Forwarded-For"].joined(separator: ", ") == "9.9.9.9, 127.0.0.1")
        #expect(received["X-Forwarded-Proto"] == "https")
        #expect(received["X-Forwarded-Host"] == "evil.test")
        let silent = try Pair(configure: { $0.top = "via off;" })
        _ = try silent.proxy.send(.get())
        #expect(try silent.upstream.request(0).fields[all: "Via"].isEmpty)
    }

    @Test("a request that has passed proxies of this name eight times is a loop; a short chain is none")
    func loop() throws {
        let pair = try Pair(configure: { $0.top = "via gate-1;" })
        _ = try pair.proxy.send(.get())
        #expect(try pair.upstream.request(0)["Via"] == "1.1 gate-1")
        let chained = try pair.proxy.send(.get("/", [Field("Via", "1.1 gate-1, 1.1 other, 1.1 gate-1")]))
        #expect(chained.status == 201)
        let circle = [String](repeating: "1.1 gate-1", count: 8).joined(separator: ", ")
        let response = try pair.proxy.send(.get("/", [Field("Via", circle)]))
        #expect(response.status == 502)
        #expect(response["Proxy-Status"] == "oncegate;error=proxy_loop_detected")
        #expect(pair.upstream.attempts == 2)
    }

    @Test("host_header preserve, upstream or a fixed one")
    func hostHeader() throws {
        let upstream = try ScriptedUpstream()
        let pair = try Pair(upstream: upstream) {
            $0.more = """
                route /upstream { upstream service; host_header upstream; }
                route /fixed { upstream service; host_header "fixed.test"; }
                """
        }
        for path in ["/", "/upstream", "/fixed"] { _ = try pair.proxy.send(.get(path)) }
        #expect(upstream.requests.map { $0["Host"] } == ["service.test", "\(upstream.address)", "fixed.test"])
    }

    @Test("B75 forward_key keep, strip, rename")
    func forwardKey() throws {
        let upstream = try ScriptedUpstream()
        let pair = try Pair(upstream: upstream) {
            $0.more = """
                route /strip { upstream service; idempotency { forward_key strip; } }
                route /rename { upstream service; idempotency { forward_key rename X-Operation; } }
                """
        }
        for path in ["/keep", "/strip", "/rename"] {
            let first = try pair.proxy.post(path, key: "K")
            expectReplay(try pair.proxy.post(path, key: "K"), of: first)
        }
        #expect(upstream.requests.map { $0["Idempotency-Key"] } == ["K", nil, nil])
        #expect(upstream.requests.map { $0["X-Operation"] } == [nil, nil, "K"])
    }

    @Test("B77 an upgrade on an uncovered route: a tunnel after 101, both ways, never recorded")
    func upgrade() throws {
        let pair = try Pair(configure: { $0.route = "upgrade on;" }) { _ in
            .upgrade(to: "websocket", first: octets("hello"))
        }
        let client = try pair.proxy.client()
        // Octets that come with the request belong to the tunnel only after 101.
        try client.send(
            Request.get(
                "/", [Field("Connection", "Upgrade"), Field("Upgrade", "websocket"), Field("Sec-WebSocket-Key", "x")]
            ).octets + octets("early"))
        let response = try client.response(to: "GET")
        #expect(response.status == 101)
        #expect(response["Upgrade"] == "websocket")
        #expect(try text(client.exactly(10)) == "helloearly")
        var generator = SeededGenerator(seed: 77)
        let large = generator.octets(2_000_000)
        let sender = Running { try client.socket.send(large, until: .after(20)) }
        expectOctets(try client.exactly(large.count), large)
        try sender.join()
        client.shutdownWrite()
        #expect(client.isClosed())
        #expect(try pair.proxy.records().isEmpty)
    }

    @Test(
        "B77 an upgrade that the service does not take: an ordinary answer, the next octets are the next request (A34)"
    )
    func upgradeRefused() throws {
        let pair = try Pair(configure: { $0.route = "upgrade on;" })
        let client = try pair.proxy.client()
        let request = Request.get("/", [Field("Connection", "Upgrade"), Field("Upgrade", "websocket")])
        try client.send(request.octets + Request.get("/next").octets)
        expectAnswer(try client.response(to: "GET"))
        expectAnswer(try client.response(to: "GET"))
        #expect(pair.upstream.requests.map(\.target) == ["/", "/next"])
    }

    @Test("B77 upgrade off, and a covered request: no upgrade reaches the service")
    func upgradeOff() throws {
        let pair = try Pair(configure: { $0.route = "upgrade off; idempotency { }" })
        let upgrade = [Field("Connection", "Upgrade"), Field("Upgrade", "websocket")]
        let get = try pair.proxy.send(.get("/", upgrade))
        let post = try pair.proxy.send(.post("/", key: "K", upgrade))
        for response in [get, post] { #expect(response.status != 101) }
        for received in pair.upstream.requests { #expect(received.fields[all: "Upgrade"].isEmpty) }
        #expect(try pair.proxy.adminGet("/records").text.contains("101") == false)
    }

    @Test(
        "B17 B77 an upgrade to another form of HTTP does not reach the service, which would take it",
        arguments: ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.2, HTTP/1.1"])
    func upgradeToHTTP(protocols: String) throws {
        let pair = try Pair(
            configure: { configuration in
                configuration.listen = "listen 127.0.0.1:0 { http2 off; }"
                configuration.route = "upgrade on;"
            },
            script: { request in
                request.fields[all: "Upgrade"].isEmpty ? .answer(200) : .upgrade(to: "h2c", first: octets("frames"))
            })
        let client = try pair.proxy.client()
        let fields = [
            Field("Connection", "Upgrade, HTTP2-Settings"), Field("Upgrade", protocols),
            Field("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ]
        expectAnswer(try client.exchange(.get("/", fields)), status: 200)
        expectAnswer(try client.exchange(.get("/next")), status: 200)
        #expect(pair.upstream.requests.allSatisfy { $0.fields[all: "HTTP2-Settings"].isEmpty })
    }

    @Test("upstream connections are kept and used again; one that died while idle makes no false unknown (H3, A31)")
    func keepalive() throws {
        let pair = try Pair()
        let client = try pair.proxy.client()
        for index in 0..<10 { expectAnswer(try client.exchange(.post(key: "K\(index)"))) }
        #expect(pair.upstream.connectionCount <= 2)
        pair.upstream.dropConnections()
        try pair.upstream.waitForOpenConnections { $0 == 0 }
        for index in 10..<14 { expectAnswer(try client.exchange(.post(key: "K\(index)"))) }
        #expect(pair.upstream.executions == 14)
    }

    @Test("an idle upstream connection is closed after the upstream's keepalive_timeout")
    func upstreamKeepaliveTimeout() throws {
        let pair = try Pair(configure: { $0.upstream = "keepalive_timeout 200ms;" })
        expectAnswer(try pair.proxy.post(key: "K"))
        try pair.upstream.waitForOpenConnections { $0 == 0 }
        expectAnswer(try pair.proxy.post(key: "L"))
    }

    @Test("A31 octets that come unasked on an idle connection never answer another request")
    func unsolicited() throws {
        let spoken = Latch()
        let pair = try Pair {
            guard $0.ordinal == 1 else { return .answer() }
            return Reply { exchange in
                try exchange.readBody()
                try exchange.send(headOctets(200, [Field("Content-Length", "2")]) + octets("ok"))
                try exchange.send("HTTP/1.1 408 Late\r\nContent-Length: 4\r\n\r\nevil")
                spoken.open()
            }
        }
        #expect(try pair.proxy.send(.get()).text == "ok")
        try spoken.wait()
        for _ in 0..<3 {
            let response = try pair.proxy.send(.get())
            #expect(response.status == 201)
            #expect(response.text == Canary.answerBody)
        }
    }

    @Test(
        "A29 octets after an answer that has no body, or after its end, reach nobody",
        arguments: ["HEAD", "204", "304", "length"])
    func extraOctets(kind: String) throws {
        let extra = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        let pair = try Pair { request in
            guard request.ordinal == 1 else { return .answer() }
            return switch kind {
            case "HEAD": .raw("HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n" + extra)
            case "204", "304": .raw("HTTP/1.1 \(kind) X\r\n\r\n" + extra)
            default: .raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)
            }
        }
        let method = kind == "HEAD" ? "HEAD" : "GET"
        let first = try? pair.proxy.send(Request(method, "/"))
        if let first { #expect(!first.text.contains("evil")) }
        for _ in 0..<3 { #expect(try pair.proxy.send(.get()).status == 201) }
        #expect(pair.upstream.connectionCount >= 2)
    }

    @Test("uncovered bodies stream both ways while neither side is complete")
    func streaming() throws {
        let sawHalf = Latch()
        let pair = try Pair(configure: { $0.route = "" }) { _ in
            Reply { exchange in
                try exchange.readBody(atMost: 5)
                sawHalf.open()
                try exchange.send(headOctets(200, [Field("Transfer-Encoding", "chunked")]) + octets("3\r\nabc\r\n"))
                try exchange.readBody()
                try exchange.send("0\r\n\r\n")
            }
        }
        let client = try pair.proxy.client()
        let request = Request.post(body: "0123456789")
        try client.send(request.headOctets + request.bodyOctets.prefix(5))
        try sawHalf.wait()
        #expect(try client.head().status == 200)
        #expect(try text(client.chunk()) == "abc")
        try client.send(Array(request.bodyOctets.suffix(5)))
        #expect(try client.chunk().isEmpty)
        #expect(try text(pair.upstream.request(0).body) == "0123456789")
    }

    @Test("a chunked request reaches the service whole, covered or not (A27)", arguments: [true, false])
    func chunkedRequest(isCovered: Bool) throws {
        let pair = try Pair(configure: { if !isCovered { $0.route = "" } })
        var generator = SeededGenerator(seed: 27)
        let chunks = (0..<50).map { _ in generator.octets(Int(generator.next() % 3000) + 1) }
        let request = Request("POST", "/", [Field("Idempotency-Key", "K")], body: .chunked(chunks, trailers: []))
        let first = try pair.proxy.send(request)
        expectAnswer(first)
        expectOctets(try pair.upstream.request(0).body, chunks.flatMap { $0 })
        if isCovered {
            expectReplay(try pair.proxy.send(request), of: first)
            // The framing is no part of the payload.
            expectReplay(
                try pair.proxy.send(Request("POST", "/", request.fields, body: .length(chunks.flatMap { $0 }))),
                of: first)
        }
    }

    @Test("balance and failover: a server that refuses is left out, the other serves; none: 502 or 503")
    func failover() throws {
        let one = try ScriptedUpstream { _ in .answer(201, [], body: octets("one")) }
        let two = try ScriptedUpstream { _ in .answer(201, [], body: octets("two")) }
        let pair = try Pair(upstream: one) { $0.servers = [one.address, two.address] }
        let texts = try (0..<20).map { try pair.proxy.post(key: "K\($0)").text }
        #expect(Set(texts) == ["one", "two"])
        try one.refuse()
        one.dropConnections()
        for index in 0..<10 { #expect(try pair.proxy.post(key: "L\(index)").text == "two") }
        try two.refuse()
        two.dropConnections()
        let response = try pair.proxy.post(key: "M")
        #expect([502, 503].contains(response.status))
        try one.open()
        try poll("the key is free") { try pair.proxy.post(key: "M").status == 201 ? true : nil }
    }

    @Test("health checks take a server out and back in; they carry no key (H10)")
    func healthChecks() throws {
        let isHealthy = Monitored(true)
        let ailing = try ScriptedUpstream { request in
            request.path == "/healthz"
                ? .answer(isHealthy.with { $0 } ? 200 : 500) : .answer(201, [], body: octets("ailing"))
        }
        let sound = try ScriptedUpstream {
            $0.path == "/healthz" ? .answer(200) : .answer(201, [], body: octets("sound"))
        }
        let pair = try Pair(upstream: ailing) {
            $0.servers.append(sound.address)
            $0.upstream = "health_check { path /healthz; interval 100ms; timeout 100ms; healthy 1; unhealthy 2; }"
        }
        func texts() throws -> Set<String> { Set(try (0..<8).map { _ in try pair.proxy.post(key: newKey()).text }) }
        #expect(try texts() == ["ailing", "sound"])
        isHealthy.with { $0 = false }
        try poll("it is out") { try texts() == ["sound"] ? true : nil }
        let up = try pair.proxy.metric("oncegate_upstream_healthy")
        #expect(up == 1)
        isHealthy.with { $0 = true }
        try poll("it is in again") { try texts() == ["ailing", "sound"] ? true : nil }
        #expect(
            ailing.requests.filter { $0.path == "/healthz" }.allSatisfy { $0.fields[all: "Idempotency-Key"].isEmpty })
    }

    @Test("a UNIX socket and IPv6 as the service", arguments: ["unix", "ipv6"])
    func otherFamilies(kind: String) throws {
        let address = kind == "ipv6" ? Address.ipv6(port: 0) : .unix(try TestScope.current!.newDirectory() + "/up.sock")
        let pair = try Pair(upstream: try ScriptedUpstream(at: address))
        let first = try pair.proxy.post(key: "K")
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        #expect(pair.upstream.executions == 1)
    }

    @Test("a service by name: resolved without blocking")
    func named() throws {
        let upstream = try ScriptedUpstream()
        let pair = try Pair(configure: {
            $0.servers = []
            $0.more = "upstream service { server http://localhost:\(upstream.address.port); }"
        })
        expectAnswer(try pair.proxy.post(key: "K"))
        #expect(upstream.executions == 1)
    }

    @Test("a request without a route: 404 of ours")
    func noRoute() throws {
        let upstream = try ScriptedUpstream()
        let pair = try Pair(upstream: upstream) {
            $0.route = nil
            $0.more = "route /a { upstream service; }"
        }
        expectProblem(try pair.proxy.send(.get("/b")), "no-route", status: 404)
        #expect(upstream.attempts == 0)
    }

    @Test("OPTIONS * reaches the service as it is (A12)")
    func asterisk() throws {
        let pair = try Pair()
        expectAnswer(try pair.proxy.send(Request("OPTIONS", "*")))
        #expect(try pair.upstream.request(0).target == "*")
    }

    @Test("B80 one payload under different keys in a second: all run")
    func keyChurn() throws {
        let pair = try Pair()
        for index in 0..<3 { expectAnswer(try pair.proxy.post(key: "K\(index)")) }
        #expect(pair.upstream.executions == 3)
    }
}
