import Foundation
import TestSupport
import Testing

private let bytesMetric = "oncegate_spool_bytes"
private let filesMetric = "oncegate_spool_files"

private func seeded(_ count: Int, seed: UInt64 = 27) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    return generator.octets(count)
}

extension ProxyProcess {
    fileprivate func expectSpoolEmpties() throws {
        try poll("the spool is empty") {
            try metric(bytesMetric) == 0 && metric(filesMetric) == 0 ? true : nil
        }
    }

    /// Spool files that are open, by the kernel's word; each has lost its name.
    fileprivate var openSpoolFiles: [String] {
        let directory = "/proc/\(process.processIdentifier)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\($0)") }
            .filter { $0.hasSuffix("(deleted)") && $0.contains("/spool/") }
    }
}

/// Large bodies of covered requests: in unlinked files while they are needed, hashed whole.
@Suite(.blackBox) struct SpoolTests {
    private static let small = "spool_threshold 64KiB;"
    private static let limit = "request_body_limit 256MiB;"

    private func pair(
        _ idempotency: String = "", top: String = small,
        script: @escaping ScriptedUpstream.Script = { _ in .answer() }
    ) throws -> Pair {
        try Pair("\(Self.limit) \(idempotency)", configure: { $0.top = top }, script: script)
    }

    @Test(
        "B27 every wire in, every wire out: the service gets every octet once, the last octet counts",
        arguments: [Wire.http1, .http1TLS, .h2c, .http2], [ServiceKind.http1, .https, .h2c])
    func everyWire(wire: Wire, kind: ServiceKind) throws {
        let pair = try ProtocolPair(kind, Self.limit, configure: { $0.top = Self.small })
        var body = seeded(1_500_001)
        let first = try pair.proxy.send(.post(key: "K").withBody(body), over: wire)
        expectAnswer(first)
        expectReplayAcross(try pair.proxy.send(.post(key: "K").withBody(body), over: wire), of: first)
        expectOctets(try pair.service.request(0).body, body)
        #expect(try pair.service.request(0)["content-length"] == "\(body.count)")
        body[body.count - 1] ^= 1
        expectKeyReused(try pair.proxy.send(.post(key: "K").withBody(body), over: wire))
        #expect(pair.service.attempts == 1)
        try pair.proxy.expectSpoolEmpties()
    }

    private func expectKeyReused(_ response: Response, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(response.status == 422, sourceLocation: sourceLocation)
        #expect(response.text.contains("key-reused"), sourceLocation: sourceLocation)
    }

    @Test("a length, chunks of every size around the threshold, and trailers are the same to hash and service")
    func everySplit() throws {
        let pair = try pair(top: "spool_threshold 4KiB;")
        let body = seeded(12_000)
        let first = try pair.proxy.send(.post(key: "K").withBody(body))
        expectAnswer(first)
        let client = try pair.proxy.client()
        for split in Array(4090...4102) + Array(8185...8200) + [1, 5, 6, 11_999] {
            var request = Request.post(key: "K")
            request.body = .chunked([Array(body[..<split]), Array(body[split...])], trailers: [])
            expectReplay(try client.exchange(request), of: first)
        }
        #expect(pair.upstream.executions == 1)
        for size in [1, 4095, 4096, 4097, 8192, 8193, 12_000] {
            var request = Request.post("/\(size)", key: "S\(size)")
            let part = Array(body[..<size])
            request.body = .chunked([part], trailers: size % 2 == 1 ? [Field("X-Checksum", "1")] : [])
            expectAnswer(try client.exchange(request))
            let sent = try #require(pair.upstream.requests.last)
            expectOctets(sent.body, part)
            #expect(sent.trailers.count == (size % 2 == 1 ? 1 : 0))
        }
        // Octet by octet across the threshold.
        let slow = try pair.proxy.client()
        let request = Request.post(key: "K").withBody(body)
        try slow.send(request.headOctets + body[..<4090])
        try slow.sendOctetByOctet(Array(body[4090..<4110]))
        try slow.send(Array(body[4110...]))
        expectReplay(try slow.response(), of: first)
        try pair.proxy.expectSpoolEmpties()
    }

    @Test(
        "B27 100 MiB that differ in the last octet, in bounded memory",
        arguments: ["", "on_missing_key hash; hash { body raw; window 1h; replay always; }"])
    func hundredMebibytes(rule: String) throws {
        let size = 100 << 20
        let pair = try pair(rule, top: "") { _ in Reply { try $0.discardBody() } }
        expectAnswer(try pair.proxy.post("/warm", key: newKey()), status: 200)
        let before = try pair.proxy.memoryKiB("VmRSS")
        var piece = seeded(1 << 20)
        func send(_ last: UInt8) throws -> Response {
            let client = try pair.proxy.client()
            defer { client.close() }
            var request = Request.post(key: rule.isEmpty ? "K" : nil)
            request.body = .none
            request.fields.append(Field("Content-Length", "\(size)"))
            try client.send(request.headOctets)
            for number in 0..<100 {
                piece[piece.count - 1] = number == 99 ? last : 7
                try client.send(piece)
            }
            return try client.response(until: .after(60))
        }
        let first = try send(1)
        expectAnswer(first, status: 200)
        expectReplay(try send(1), of: first)
        let other = try send(2)
        if rule.isEmpty { expectKeyReused(other) } else { expectAnswer(other, status: 200) }
        #expect(try pair.proxy.memoryKiB("VmHWM") - before < 24 << 10)
        #expect(first.text == "\(size)")
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("many large uploads at once, in bounded memory, each whole")
    func parallel() throws {
        let pair = try pair(top: "spool_limit 1GiB;") { _ in Reply { try $0.discardBody() } }
        let before = try pair.proxy.memoryKiB("VmHWM")
        let piece = seeded(1 << 20)
        let answers = try concurrently(24, until: .after(60)) { index in
            let client = try pair.proxy.client()
            var request = Request.post(key: "K\(index)")
            request.body = .none
            request.fields.append(Field("Content-Length", "\(10 << 20)"))
            try client.send(request.headOctets)
            for _ in 0..<10 { try client.send(piece) }
            return try client.response(until: .after(60))
        }
        for answer in answers { #expect(answer.status == 200 && answer.text == "\(10 << 20)", "\(answer)") }
        #expect(try pair.proxy.memoryKiB("VmHWM") - before < 64 << 10)
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("a spool file has no name while it is written, and kill -9 leaves none")
    func killed() throws {
        let pair = try pair()
        let body = seeded(3_000_000)
        let request = Request.post(key: "K").withBody(body)
        let client = try pair.proxy.client()
        try client.send(request.headOctets + body[..<2_000_000])
        try poll("the file is there") { pair.proxy.openSpoolFiles.count == 1 ? true : nil }
        #expect(try pair.proxy.metric(filesMetric) == 1)
        #expect(try pair.proxy.metric(bytesMetric) == 3_000_000)
        let directory = "\(pair.proxy.directory)/store/spool"
        #expect(try files(in: directory).isEmpty)
        let proxy = try pair.proxy.crashAndRestart()
        #expect(try files(in: directory).isEmpty)
        #expect(pair.upstream.attempts == 0)
        // B45: the key is free.
        let first = try proxy.send(request)
        expectAnswer(first)
        expectReplay(try proxy.send(request), of: first)
    }

    @Test("what stands on the disk while a request runs is not what was sent")
    func sealed() throws {
        let release = Latch()
        let pair = try pair { _ in .held(release) }
        let marker = octets("a-secret-in-a-large-body;")
        let body = (0..<40_000).flatMap { _ in marker }
        let running = Running { try pair.proxy.send(.post(key: "K").withBody(body)) }
        try pair.upstream.waitForExecutions(1)
        let directory = "/proc/\(pair.proxy.process.processIdentifier)/fd"
        var found = 0
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
            let path = "\(directory)/\(name)"
            guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path),
                target.contains("/spool/")
            else { continue }
            let content = try Data(contentsOf: URL(filePath: path))
            #expect(content.count == body.count)
            #expect(content.range(of: Data(marker)) == nil)
            found += 1
        }
        #expect(found == 1)
        release.open()
        expectAnswer(try running.join())
    }

    @Test("spool_limit: the excess gets 503 before its claim, and room comes back")
    func limit() throws {
        let pair = try pair(top: "\(Self.small) spool_limit 4MiB;")
        let body = seeded(3_000_000)
        let held = try pair.proxy.client()
        let request = Request.post(key: "A").withBody(body)
        try held.send(request.headOctets + body[..<200_000])
        try poll("the first has its room") { try pair.proxy.metric(bytesMetric) == 3_000_000 ? true : nil }
        let other = try pair.proxy.client()
        try? other.send(Request.post(key: "B").withBody(body).headOctets + body[..<200_000])
        expectProblem(try other.response(), "overloaded", status: 503, retryAfter: true)
        // Without a length it is found out as it comes.
        let third = try pair.proxy.client()
        var chunked = Request.post(key: "C")
        chunked.body = .chunked(
            stride(from: 0, to: 2_000_000, by: 50_000).map { Array(body[$0..<$0 + 50_000]) }, trailers: [])
        try? third.send(chunked)
        expectProblem(try third.response(), "overloaded", status: 503, retryAfter: true)
        #expect(try pair.proxy.metric("oncegate_limit_reached_total", ["limit": "spool"]) ?? 0 >= 2)
        #expect(pair.upstream.attempts == 0)
        #expect(try pair.proxy.records().isEmpty)
        try held.send(Array(body[200_000...]))
        expectAnswer(try held.response())
        expectAnswer(try pair.proxy.send(chunked))
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("a full disk: 503 spool-unavailable, no claim, nothing sent; afterwards it goes on")
    func fullDisk() throws {
        let disk = try SmallDisk(megabytes: 2)
        let pair = try pair(top: "\(Self.small) spool_path \(disk.path);")
        disk.fill()
        let request = Request.post(key: "K").withBody(seeded(1_000_000))
        for wire in [Wire.http1] {
            let client = try pair.proxy.client()
            try? client.send(request)
            expectProblem(try client.response(), "spool-unavailable", status: 503, retryAfter: true)
            _ = wire
        }
        #expect(try pair.proxy.metric("oncegate_spool_failures_total", ["reason": "full"]) == 1)
        #expect(try pair.proxy.records().isEmpty)
        #expect(pair.upstream.attempts == 0)
        // Small bodies need no disk.
        expectAnswer(try pair.proxy.post(key: "S"))
        disk.free()
        expectAnswer(try pair.proxy.send(request))
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("a limit on file sizes is a full disk (RLIMIT_FSIZE), whichever piece hits it")
    func fileSizeLimit() throws {
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream, idempotency: Self.limit)
        configuration.store = "store memory;"
        configuration.accessLog = "access_log off;"
        configuration.top = "\(Self.small) spool_path $DIR/spool;"
        let proxy = try ProxyProcess(configuration, wrapper: ["prlimit", "--fsize=1000000:1000000"])
        expectAnswer(try proxy.send(.post(key: "A").withBody(seeded(1_000_000))))
        for size in [1_000_001, 1_100_000, 2_000_000] {
            let client = try proxy.client()
            try? client.send(Request.post(key: "B").withBody(seeded(size)))
            expectProblem(try client.response(), "spool-unavailable", status: 503, retryAfter: true)
        }
        #expect(upstream.attempts == 1)
        try proxy.expectSpoolEmpties()
    }

    @Test("B44 B45 the client leaves within the body: nothing; behind it: once, and the retry is replayed")
    func clientLeaves() throws {
        let pair = try pair()
        let body = seeded(2_000_000)
        let request = Request.post(key: "K").withBody(body)
        for cut in [100_000, 1_999_999] {
            let client = try pair.proxy.client()
            try client.send(request.headOctets + body[..<cut])
            try poll("it is spooled") { try pair.proxy.metric(filesMetric) == 1 ? true : nil }
            client.reset()
            try pair.proxy.expectSpoolEmpties()
        }
        #expect(pair.upstream.attempts == 0)
        #expect(try pair.proxy.records().isEmpty)
        let client = try pair.proxy.client()
        try client.send(request)
        client.shutdownWrite()
        try pair.upstream.waitForExecutions(1)
        client.reset()
        try pair.proxy.waitForState("completed")
        #expect(try pair.proxy.send(request).isReplay)
        #expect(pair.upstream.executions == 1)
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("the service takes its time: the file is read as fast as it takes it, not into memory")
    func slowService() throws {
        let go = Latch()
        let size = 64 << 20
        let pair = try pair(top: "") { request in
            request.path == "/warm"
                ? .answer()
                : Reply { exchange in
                    try go.wait(until: .after(60))
                    try exchange.discardBody()
                }
        }
        expectAnswer(try pair.proxy.post("/warm", key: "W"))
        let before = try pair.proxy.memoryKiB("VmRSS")
        let piece = seeded(1 << 20)
        let running = Running {
            let client = try pair.proxy.client()
            var request = Request.post(key: "K")
            request.body = .none
            request.fields.append(Field("Content-Length", "\(size)"))
            try client.send(request.headOctets)
            for _ in 0..<64 { try client.send(piece) }
            return try client.response(until: .after(60))
        }
        try pair.upstream.waitForAttempts(2, until: .after(60))
        #expect(try pair.proxy.memoryKiB("VmRSS") - before < 24 << 10)
        go.open()
        let answer = try running.join(until: .after(60))
        #expect(answer.status == 200 && answer.text == "\(size)", "\(answer)")
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("REFUSED_STREAM within a large body: the whole of it goes out again")
    func replayable() throws {
        let pair = try HTTP2Pair(Self.limit, configure: { $0.top = Self.small }) {
            $0.ordinal == 1 ? .refused() : .answer()
        }
        let body = seeded(2_000_000)
        let first = try pair.proxy.send(.post(key: "K").withBody(body))
        #expect(first.status == 201 || first.status == 502)
        if first.status == 502 { expectAnswer(try pair.proxy.send(.post(key: "K").withBody(body))) }
        #expect(pair.upstream.executions == 1)
        expectOctets(try #require(pair.upstream.requests.last).body, body)
        #expect(try pair.proxy.send(.post(key: "K").withBody(body)).isReplay)
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("the first server refuses the connection: the second gets every octet")
    func nextServer() throws {
        let dead = try TestListener(at: .ipv4(port: 0))
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream, idempotency: Self.limit)
        configuration.servers = [dead.address, upstream.address]
        configuration.upstream = "balance first;"
        configuration.top = Self.small
        let proxy = try ProxyProcess(configuration)
        let body = seeded(700_000)
        expectAnswer(try proxy.send(.post(key: "K").withBody(body)))
        expectOctets(try upstream.request(0).body, body)
        try proxy.expectSpoolEmpties()
    }

    @Test("the service answers, or breaks off, before it has the whole request")
    func earlyAnswer() throws {
        let early = octets("HTTP/1.1 413 Early\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        let pair = try pair { request in
            request.path == "/reset"
                ? .resetInRequest(after: 70_000)
                : Reply { exchange in
                    try exchange.readBody(atMost: 1000)
                    try exchange.send(early)
                    _ = try exchange.reader.rest(until: .after(10))
                    exchange.close()
                }
        }
        let request = Request.post(key: "K").withBody(seeded(4_000_000))
        let first = try pair.proxy.send(request)
        #expect(first.status == 413 && first.text == "no")
        expectReplay(try pair.proxy.send(request), of: first)
        var broken = request
        broken.target = "/reset"
        broken.fields = [Field("Idempotency-Key", "R"), Field("Content-Type", "application/json")]
        #expect(try pair.proxy.send(broken).status == 502)
        expectProblem(try pair.proxy.send(broken), "outcome-unknown", status: 409)
        #expect(pair.upstream.attempts == 2)
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("B40 a late answer to a large request; the file goes with the exchange")
    func lateAnswer() throws {
        let release = Latch()
        let pair = try pair(top: "\(Self.small) response_header_timeout 300ms;") { _ in .held(release) }
        let request = Request.post(key: "K").withBody(seeded(1_000_000))
        expectProblem(try pair.proxy.send(request), "upstream-timed-out", status: 504)
        expectProblem(try pair.proxy.send(request), "outcome-unknown", status: 409)
        release.open()
        try pair.proxy.waitForState("completed")
        #expect(try pair.proxy.send(request).isReplay)
        #expect(pair.upstream.executions == 1)
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("B55 Expect: 100-continue with a large body")
    func expectContinue() throws {
        let pair = try pair()
        let body = seeded(1_000_000)
        let request = Request.post(key: "K", [Field("Expect", "100-continue")]).withBody(body)
        let client = try pair.proxy.client()
        try client.send(request.headOctets)
        #expect(try client.head().status == 100)
        try client.send(body)
        expectAnswer(try client.response())
        expectOctets(try pair.upstream.request(0).body, body)
        // The connection goes on.
        #expect(try client.exchange(request.withBody(body)).isReplay)
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("the claim comes before a large body: it is given back if the body cannot be kept, and used if it can")
    func claimBeforeBody() throws {
        let disk = try SmallDisk(megabytes: 2)
        let pair = try pair(
            "hash { body none; window 1h; replay always; }", top: "\(Self.small) spool_path \(disk.path);")
        let body = seeded(1_000_000)
        let request = Request.post(key: "K", [Field("Expect", "100-continue")]).withBody(body)
        disk.fill()
        for isFull in [true, false] {
            if !isFull { disk.free() }
            let client = try pair.proxy.client()
            try client.send(request.headOctets)
            #expect(try client.head().status == 100)
            try? client.send(body)
            let answer = try client.response()
            if isFull {
                expectProblem(answer, "spool-unavailable", status: 503, retryAfter: true)
                #expect(pair.upstream.attempts == 0)
            } else {
                expectAnswer(answer)
            }
        }
        expectOctets(try pair.upstream.request(0).body, body)
        #expect(pair.upstream.executions == 1)
        try pair.proxy.expectSpoolEmpties()
    }

    @Test("pipelined: a large body between small ones, answered in order")
    func pipelined() throws {
        let pair = try pair { .answer(200, [], body: "\($0.path) \($0.ordinal)") }
        let large = Request.post("/2", key: "2").withBody(seeded(500_000))
        let client = try pair.proxy.client()
        try client.send(Request.post("/1", key: "1").octets + large.octets + Request.post("/3", key: "3").octets)
        for path in ["/1", "/2", "/3"] { #expect(try client.response().text == "\(path) 1") }
    }

    @Test("JSON in its canonical form from the file: order does not count, a leaf does")
    func canonical() throws {
        let pair = try pair("on_missing_key hash; hash { body json; window 1h; replay always; }")
        let text = String(repeating: "x", count: 500_000)
        func order(_ first: Bool, _ amount: Int) -> Request {
            .post(body: first ? #"{"a":"\#(text)","b":\#(amount)}"# : #"{ "b": \#(amount), "a": "\#(text)" }"#)
        }
        #expect(try areSame(pair, order(true, 1), order(false, 1)))
        #expect(try !areSame(pair, order(true, 2), order(true, 3)))
        #expect(try pair.proxy.metric("oncegate_limit_reached_total", ["limit": "canonical_form"]) == nil)
    }

    @Test("past 8 MiB octets count instead, by the size alone, and it is counted; a key is not looked for there")
    func pastCanonicalForm() throws {
        let pair = try pair(
            "key json /id; key header Idempotency-Key; hash { body json; window 1h; replay always; }", top: "")
        let text = String(repeating: "x", count: 9 << 20)
        let client = try pair.proxy.client()
        try? client.send(.post(key: "K", body: #"{"id":"k","a":"\#(text)"}"#))
        expectProblem(try client.response(), "content-too-large", status: 413)
        let other = try self.pair("hash { body json; window 1h; replay always; }", top: "")
        let request = Request.post(key: "K", body: #"{"a":"\#(text)","b":1}"#)
        expectAnswer(try other.proxy.send(request))
        #expect(try other.proxy.send(request).isReplay)
        expectKeyReused(try other.proxy.post(key: "K", body: #"{"b":1,"a":"\#(text)"}"#))
        #expect(try other.proxy.metric("oncegate_limit_reached_total", ["limit": "canonical_form"]) == 3)
    }

    @Test("spool_path off: bodies stay in memory")
    func off() throws {
        let pair = try pair(top: "\(Self.small) spool_path off;")
        let body = seeded(1_000_000)
        let first = try pair.proxy.send(.post(key: "K").withBody(body))
        expectReplay(try pair.proxy.send(.post(key: "K").withBody(body)), of: first)
        expectOctets(try pair.upstream.request(0).body, body)
        #expect(pair.proxy.openSpoolFiles.isEmpty)
        #expect(!FileManager.default.fileExists(atPath: "\(pair.proxy.directory)/store/spool"))
    }

    @Test("a spool_path that cannot be used stops the start with one line")
    func unusable() throws {
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream)
        configuration.top = "spool_path /proc/nowhere;"
        let directory = try TestScope.current!.newDirectory()
        try ProxyProcess.write(configuration, in: directory)
        let result = try Subprocess.run([ProxyProcess.binary, "run", "-c", "\(directory)/proxy.conf"])
        #expect(result.ending == .exit(1))
        #expect(result.error.contains("oncegate: cannot spool request bodies: /proc/nowhere"), "\(result.error)")
    }
}

extension UpstreamExchange {
    /// Reads the body without keeping it, and answers how much it was.
    fileprivate func discardBody() throws {
        let count = Int(request["Content-Length"] ?? "0") ?? 0
        var left = count
        while left > 0 { left -= try reader.some(atMost: min(left, 1 << 20), until: .after(60)).count }
        try send(
            headOctets(200, [Field("Content-Length", "\("\(count)".utf8.count)"), Field("Connection", "close")])
                + octets("\(count)"))
        close()
    }
}
