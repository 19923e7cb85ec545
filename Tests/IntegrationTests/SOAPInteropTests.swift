import Foundation
import TestSupport
import Testing

/// A SOAP service made with spyne and clients made with zeep, curl and requests; none of them knows of the proxy.
@Suite(.blackBox) struct SOAPInteropTests {
    /// spyne behind a proxy.
    private struct Shop {
        let service: Subprocess
        let proxy: ProxyProcess

        init(_ idempotency: String, secondsPerOrder: Double = 0) throws {
            try SOAPInteropTests.requireModules("spyne", "zeep")
            let service = try Subprocess([Peer.python, "\(Peer.clients)/soap_service.py", "\(secondsPerOrder)"])
            self.service = service
            TestScope.current?.atEnd {
                service.kill(SIGKILL)
                _ = try? service.waitForExit(until: .after(5))
            }
            TestScope.current?.describeOnFailure { "--- soap_service.py\n\(service.standardError.suffix(4000))" }
            let port = try service.waitForOutput("spyne listens") { output in
                output.split(separator: "\n").first.flatMap { Int($0.dropFirst("port ".count)) }
            }
            var configuration = ProxyConfiguration()
            configuration.serverURLs = ["http://127.0.0.1:\(port)"]
            configuration.route = "idempotency { \(idempotency) }"
            proxy = try ProxyProcess(configuration)
        }

        /// What the service has done.
        var orders: [String] {
            service.standardOutput.split(separator: "\n").dropFirst().map(String.init)
        }

        func order(
            _ calls: (item: String, quantity: Int)..., security: String = "none", timeout: Double = 30
        ) throws -> [Call] {
            let arguments = calls.flatMap { [$0.item, "\($0.quantity)"] }
            let result = try Subprocess.run(
                [Peer.python, "\(Peer.clients)/soap_client.py", "http://\(proxy.address)", security, "\(timeout)"]
                    + arguments)
            try #require(result.ending == .exit(0), "\(result.output)\(result.error)")
            return try JSONDecoder().decode([Call].self, from: Data(result.output.utf8))
        }
    }

    private struct Call: Decodable, Equatable {
        var result: String?
        var fault: String?
        var replayed: String?

        static func first(_ result: String) -> Call { Call(result: result) }
        static func replay(_ result: String) -> Call { Call(result: result, replayed: "true") }
    }

    private static func requireModules(_ modules: String...) throws {
        let check = try Subprocess.run([Peer.python, "-c", "import \(modules.joined(separator: ", "))"])
        try #require(
            check.ending == .exit(0), "\(Peer.python) lacks a module: Scripts/test installs it\n\(check.error)")
    }

    private static let byHash = "on_missing_key hash; hash { body soap; window 1h; replay always; }"

    @Test(
        "B21 zeep calls again with the same order: a new message, the same request; spyne sees one",
        arguments: ["none", "timestamp"])
    func sameOrder(security: String) throws {
        let shop = try Shop(Self.byHash)
        let calls = try shop.order(("book", 1), ("book", 1), ("book", 2), ("pen", 1), ("pen", 1), security: security)
        #expect(
            calls == [.first("order-1"), .replay("order-1"), .first("order-2"), .first("order-3"), .replay("order-3")])
        #expect(shop.orders == ["order-1 1 book", "order-2 2 book", "order-3 1 pen"])
        // And from another process, later.
        #expect(try shop.order(("book", 1), security: security) == [.replay("order-1")])
        #expect(shop.orders.count == 3)
    }

    @Test("a password digest is made anew for each call and counts, unless the route excludes it")
    func digest() throws {
        let counting = try Shop(Self.byHash)
        #expect(
            try counting.order(("book", 1), ("book", 1), security: "digest")
                == [.first("order-1"), .first("order-2")])
        let excluding = try Shop(
            """
            on_missing_key hash;
            hash { body soap; window 1h; replay always; exclude xpath "//wsse:Security"; }
            """)
        #expect(
            try excluding.order(("book", 1), ("book", 1), ("book", 2), security: "digest")
                == [.first("order-1"), .replay("order-1"), .first("order-2")])
    }

    @Test("a SOAP fault (500) is an answer: the repeat gets it again and spyne is not asked twice")
    func fault() throws {
        let shop = try Shop(Self.byHash)
        let calls = try shop.order(("unicorn", 1), ("unicorn", 1))
        #expect(calls.map(\.fault) == ["order-1: none left", "order-1: none left"])
        #expect(calls.map(\.replayed) == [nil, "true"])
        #expect(shop.orders.count == 1)
    }

    @Test("wsa:MessageID as token: what the transport repeats after a time-out is one order, a new call is another")
    func messageID() throws {
        let shop = try Shop("key soap message-id; on_missing_key reject; hash { body soap; }", secondsPerOrder: 1.5)
        let calls = try shop.order(("book", 1), ("book", 1), timeout: 0.5)
        #expect(calls == [.replay("order-1"), .replay("order-2")])
        #expect(shop.orders == ["order-1 1 book", "order-2 1 book"])
    }

    // MARK: Multipart

    private static let byParts = "on_missing_key hash; hash { body multipart; window 1h; replay always; }"

    /// Two files that differ in their last octet.
    private func files() throws -> (one: String, other: String) {
        let directory = try TestScope.current!.newDirectory()
        var content = Data((0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        try content.write(to: URL(filePath: "\(directory)/one"))
        content[content.count - 1] ^= 1
        try content.write(to: URL(filePath: "\(directory)/other"))
        return ("\(directory)/one", "\(directory)/other")
    }

    @Test("B23 curl -F makes a boundary for each call: the same file is one request, another octet is another")
    func curlMultipart() throws {
        let pair = try Pair(Self.byParts)
        let files = try files()
        func upload(_ file: String, name: String = "scan.bin") throws -> String {
            let result = try Subprocess.run([
                "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %header{idempotent-replayed}", "-F", "order=7",
                "-F", "file=@\(file);filename=\(name)", "http://\(pair.proxy.address)/scans",
            ])
            return result.output + result.error
        }
        #expect(try upload(files.one) == "201 ")
        #expect(try upload(files.one) == "201 true")
        #expect(try upload(files.other) == "201 ")
        #expect(try upload(files.one, name: "b.bin") == "201 ")
        #expect(try upload(files.other) == "201 true")
        #expect(pair.upstream.executions == 3)
        #expect(try pair.proxy.metric("oncegate_limit_reached_total", ["limit": "canonical_form"]) ?? 0 == 0)
    }

    @Test("B23 requests makes a boundary for each call")
    func requestsMultipart() throws {
        try Self.requireModules("requests")
        let pair = try Pair(Self.byParts)
        let files = try files()
        let result = try Subprocess.run(
            [Peer.python, "\(Peer.clients)/multipart_post.py", "http://\(pair.proxy.address)/scans"]
                + [files.one, files.one, files.other, files.one])
        try #require(result.ending == .exit(0), "\(result.output)\(result.error)")
        struct Answer: Decodable {
            var status: Int
            var replayed: String?
            var boundary: String
        }
        let answers = try JSONDecoder().decode([Answer].self, from: Data(result.output.utf8))
        #expect(answers.map(\.status) == [201, 201, 201, 201])
        #expect(answers.map { $0.replayed == "true" } == [false, true, false, true])
        #expect(Set(answers.map(\.boundary)).count == 4)
        #expect(pair.upstream.executions == 2)
    }
}
