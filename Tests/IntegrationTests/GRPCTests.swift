import Foundation
import TestSupport
import Testing

/// grpcio's server, counting what executes.
private final class GRPCServer: Sendable {
    struct Execution: Decodable, Sendable {
        var method: String
        var message: String
        var metadata: [[String]]
    }

    private struct Ready: Decodable {
        var port: Int
    }

    let serverURL: String
    /// Where it is without the proxy.
    let authority: String
    private let process: Subprocess

    init(tls: Bool = false) throws {
        let files = try TestCertificate.service.files
        let process = try Subprocess(
            [Peer.python, "\(Peer.clients)/grpc_peer.py", "serve", "0"] + (tls ? [files.certificate, files.key] : []))
        self.process = process
        TestScope.current?.atEnd {
            process.kill(SIGKILL)
            _ = try? process.waitForExit(until: .after(5))
        }
        TestScope.current?.describeOnFailure { "--- grpc_peer.py\n\(process.standardError.suffix(3000))" }
        let port = try process.waitForOutput("the gRPC server's port") { output -> Int? in
            output.split(separator: "\n").first.flatMap {
                try? JSONDecoder().decode(Ready.self, from: Data($0.utf8)).port
            }
        }
        authority = "127.0.0.1:\(port)"
        serverURL = tls ? "https://127.0.0.1:\(port)" : "h2c://127.0.0.1:\(port)"
    }

    var executions: [Execution] {
        process.standardOutput.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(Execution.self, from: Data($0.utf8))
        }
    }

    func waitForExecutions(_ count: Int) throws {
        try poll("\(count) executions") { executions.count >= count ? true : nil }
    }

    /// Lets `held:NAME` go on.
    func mark(_ name: String) throws {
        let list = String(decoding: try JSONEncoder().encode([GRPCCall(method: "Mark", message: name)]), as: UTF8.self)
        let result = try Subprocess.run([Peer.python, "\(Peer.clients)/grpc_peer.py", "call", authority, list])
        try #require(result.output.contains("\"OK\""), "\(result)")
    }
}

private struct GRPCCall: Encodable {
    var method = "Unary"
    var message: String?
    var messages: [String]?
    var metadata: [[String]] = []
    var timeout: Double?
    /// See grpc_peer.py: no message goes before so many of the earlier ones have come to the other side.
    var marks: String?
    var server: String?
    var ahead: Int?

    /// - Parameter ahead: how many messages the client sends before it waits for what the first of them did.
    static func stream(
        _ method: String, _ messages: [String], key: String? = nil, marks server: GRPCServer, ahead: Int = 1
    ) -> GRPCCall {
        var call = GRPCCall(method: method, metadata: key.map { [["idempotency-key", $0]] } ?? [])
        if method == "ServerStream" { call.message = messages[0] } else { call.messages = messages }
        call.marks = newKey()
        call.server = server.authority
        call.ahead = ahead
        return call
    }

    static func unary(_ message: String, key: String? = nil, _ metadata: [[String]] = [], timeout: Double? = nil)
        -> GRPCCall
    {
        var call = GRPCCall(message: message, timeout: timeout)
        call.metadata = (key.map { [["idempotency-key", $0]] } ?? []) + metadata
        return call
    }
}

private struct GRPCResult: Decodable, Equatable {
    var messages: [String]
    var code: String
    var details: String
    var initial: [[String]]
    var trailing: [[String]]

    var isReplay: Bool {
        initial.contains(["idempotent-replayed", "true"]) || trailing.contains(["idempotent-replayed", "true"])
    }
    /// Without what the proxy adds.
    var comparable: GRPCResult {
        var copy = self
        let own = ["idempotent-replayed", "via", "x-request-id", "proxy-status", "date", "server"]
        copy.initial.removeAll { own.contains($0[0]) }
        copy.trailing.removeAll { own.contains($0[0]) }
        return copy
    }
}

/// Real gRPC through covered routes (B76, E26).
@Suite(.blackBox) struct GRPCTests {
    private struct Line {
        let server: GRPCServer
        let proxy: ProxyProcess

        init(_ idempotency: String = "", tls: Bool = false, top: String = "") throws {
            server = try GRPCServer(tls: tls)
            var configuration = ProxyConfiguration()
            try configuration.listenEverywhere()
            try configuration.serve(server.serverURL)
            configuration.top = top
            configuration.route = "idempotency { \(idempotency) }"
            proxy = try ProxyProcess(configuration)
        }

        /// - Parameter other: a proxy in place of the first one.
        func call(_ calls: GRPCCall..., secure: Bool = false, through other: ProxyProcess? = nil) throws
            -> [GRPCResult]
        {
            try GRPCTests.call(calls, secure: secure, through: other ?? proxy)
        }
    }

    /// grpcio's client makes the calls, in turn.
    private static func call(_ calls: [GRPCCall], secure: Bool = false, through proxy: ProxyProcess) throws
        -> [GRPCResult]
    {
        let list = String(decoding: try JSONEncoder().encode(calls), as: UTF8.self)
        let address = secure ? proxy.secure : proxy.clear
        let result = try Subprocess.run(
            [Peer.python, "\(Peer.clients)/grpc_peer.py", "call", "\(address)", list]
                + (secure ? [try TestCertificate.authority()] : []))
        let results = result.output.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(GRPCResult.self, from: Data($0.utf8))
        }
        try #require(results.count == calls.count, "\(result.output)\(result.error)")
        return results
    }

    @Test(
        "B76 unary with the token in the metadata: once; message, status and trailers replayed",
        arguments: [false, true])
    func unary(tls: Bool) throws {
        let line = try Line(tls: tls)
        let results = try line.call(.unary("a", key: "K"), .unary("a", key: "K"), .unary("a", key: "L"), secure: tls)
        #expect(results[0].code == "OK")
        #expect(results[0].messages == ["echo a"])
        #expect(results[0].trailing.contains(["x-trailing", "last"]))
        #expect(results[0].trailing.contains(["x-trailing-bin", "\u{1}\u{fe}"]))
        #expect(results[0].initial.contains(["x-binary-bin", "\0\u{ff}"]))
        #expect(!results[0].isReplay)
        #expect(results[1].comparable == results[0].comparable)
        #expect(results[1].isReplay)
        #expect(!results[2].isReplay)
        #expect(line.server.executions.count == 2)
        // And from another connection, before and after kill -9.
        for restarts in [false, true] {
            let proxy = restarts ? try line.proxy.crashAndRestart() : line.proxy
            let again = try line.call(.unary("a", key: "K"), secure: tls, through: proxy)
            #expect(again[0].comparable == results[0].comparable)
            #expect(again[0].isReplay)
        }
        #expect(line.server.executions.count == 2)
    }

    @Test("B76 a failure of the service is recorded with its status and message")
    func failure() throws {
        let line = try Line()
        let call = GRPCCall.unary("fail:FAILED_PRECONDITION:no funds: 100 %", key: "K")
        let results = try line.call(call, call)
        #expect(results[0].code == "FAILED_PRECONDITION")
        #expect(results[0].details == "no funds: 100 %")
        #expect(results[1].comparable == results[0].comparable)
        #expect(line.server.executions.count == 1)
    }

    @Test("B37 UNAVAILABLE is not kept: the next attempt runs")
    func unavailable() throws {
        let line = try Line()
        let call = GRPCCall.unary("fail:UNAVAILABLE:later", key: "K")
        let results = try line.call(call, call)
        #expect(results.map(\.code) == ["UNAVAILABLE", "UNAVAILABLE"])
        #expect(line.server.executions.count == 2)
    }

    @Test("B37 a status in the head whose end comes in a frame of its own: as in a head alone")
    func statusBeforeTheEnd() throws {
        let pair = try HTTP2Pair { request in
            let head = [
                Field("content-type", "application/grpc"), Field("grpc-status", request.ordinal == 1 ? "14" : "0"),
            ]
            return HTTP2Reply(.read, .head(200, head), .ping, .data([], end: true))
        }
        let client = try pair.proxy.http2()
        let call = Request(
            "POST", "/p.S/M", [Field("content-type", "application/grpc"), Field("idempotency-key", "K")],
            body: .length([0, 0, 0, 0, 1, 7]))
        #expect(try client.send(call)["grpc-status"] == "14")
        // UNAVAILABLE is not kept, and the success is.
        let second = try client.send(call)
        #expect(second["grpc-status"] == "0" && !second.isReplay)
        #expect(try client.send(call).isReplay)
        #expect(pair.upstream.executions == 2)
    }

    @Test("B37 a status in the trailers is the last word, whatever the head has said")
    func statusInTrailers() throws {
        let pair = try HTTP2Pair { _ in
            let head = [Field("content-type", "application/grpc"), Field("grpc-status", "14")]
            return HTTP2Reply(.read, .head(200, head), .ping, .trailers([Field("grpc-status", "0")]))
        }
        let client = try pair.proxy.http2()
        let call = Request(
            "POST", "/p.S/M", [Field("content-type", "application/grpc"), Field("idempotency-key", "K")],
            body: .length([0, 0, 0, 0, 1, 7]))
        #expect(try client.send(call).trailers["grpc-status"] == "0")
        #expect(try client.send(call).isReplay)
        #expect(pair.upstream.executions == 1)
    }

    @Test("E26 grpc-timeout, te and user-agent differ on a retry: the same request")
    func deadlines() throws {
        let line = try Line()
        let results = try line.call(
            .unary("a", key: "K", timeout: 5), .unary("a", key: "K", timeout: 9),
            .unary("a", key: "K", [["x-trace", "1"]]))
        #expect(results.map(\.isReplay) == [false, true, true])
        #expect(line.server.executions.count == 1)
    }

    @Test("B76 a hash of the message is the key where the route says so")
    func hash() throws {
        let line = try Line("on_missing_key hash; hash { body raw; window 1h; replay always; }")
        let results = try line.call(.unary("a"), .unary("a", timeout: 7), .unary("b"))
        #expect(results.map(\.isReplay) == [false, true, false])
        #expect(line.server.executions.map(\.message) == ["a", "b"])
    }

    @Test("our own errors are gRPC statuses")
    func ownErrors() throws {
        let line = try Line("on_missing_key reject;")
        let results = try line.call(
            .unary("a"), .unary("a", key: "K"), .unary("b", key: "K"),
            .unary("c", key: String(repeating: "k", count: 300)))
        #expect(results[0].code == "INVALID_ARGUMENT", "\(results[0])")
        #expect(results[1].code == "OK")
        #expect(results[2].code == "INVALID_ARGUMENT", "\(results[2])")
        #expect(results[3].code == "INVALID_ARGUMENT", "\(results[3])")
        #expect(results.allSatisfy { $0.code == "OK" || !$0.details.isEmpty })
        #expect(line.server.executions.count == 1)
    }

    @Test("B39 no answer in time: DEADLINE_EXCEEDED, and the retry is ABORTED: nobody knows, and it does not execute")
    func noAnswer() throws {
        let line = try Line(top: "response_header_timeout 300ms;")
        let first = try line.call(.unary("slow:2", key: "K"))[0]
        #expect(first.code == "DEADLINE_EXCEEDED", "\(first)")
        let second = try line.call(.unary("slow:2", key: "K"))[0]
        #expect(second.code == "ABORTED", "\(second)")
        #expect(second.details.contains("unknown"), "\(second)")
        #expect(line.server.executions.count == 1)
    }

    @Test(
        "B28 B29 two calls at once with one token: one execution; ABORTED where nobody waits", arguments: [true, false])
    func atOnce(waits: Bool) throws {
        let line = try Line(waits ? "" : "in_flight reject;")
        let call = GRPCCall.unary("held:M", key: "K")
        let first = Running { try line.call(call)[0] }
        try line.server.waitForExecutions(1)
        if waits {
            let second = Running { try line.call(call)[0] }
            try poll("it joins") { try line.proxy.records().contains { $0["waiters"] as? Int == 1 } ? true : nil }
            try line.server.mark("M")
            let results = [try first.join(), try second.join()]
            #expect(results.map(\.code) == ["OK", "OK"])
            #expect(results.map(\.isReplay) == [false, true])
            #expect(results[1].comparable == results[0].comparable)
        } else {
            let second = try line.call(call)[0]
            #expect(second.code == "ABORTED", "\(second)")
            try line.server.mark("M")
            #expect(try first.join().code == "OK")
        }
        #expect(line.server.executions.count == 1)
    }

    @Test("B44 a client's deadline passes while the service works: the retry gets what became of it")
    func clientDeadline() throws {
        let latch = Latch()
        let pair = try HTTP2Pair { _ in
            let message: [UInt8] = [0, 0, 0, 0, 2] + octets("ok")
            return .held(
                latch,
                then: .answer(
                    200, [Field("content-type", "application/grpc")], body: message,
                    trailers: [Field("grpc-status", "0")]))
        }
        let first = try Self.call([.unary("a", key: "K", timeout: 0.3)], through: pair.proxy)[0]
        #expect(first.code == "DEADLINE_EXCEEDED", "\(first)")
        latch.open()
        let second = try Self.call([.unary("a", key: "K")], through: pair.proxy)[0]
        #expect(second.code == "OK" && second.isReplay, "\(second)")
        #expect(second.messages == ["ok"])
        #expect(pair.upstream.executions == 1)
    }

    @Test("B44 a service that keeps its client's deadline gives no answer: the retry is ABORTED and does not execute")
    func keptDeadline() throws {
        let line = try Line()
        let first = try line.call(.unary("held:M", key: "K", timeout: 0.3))[0]
        #expect(first.code == "DEADLINE_EXCEEDED", "\(first)")
        let second = try line.call(.unary("held:M", key: "K"))[0]
        #expect(second.code == "ABORTED", "\(second)")
        #expect(line.server.executions.count == 1)
    }

    @Test("B41 the service is down: UNAVAILABLE, and the key is free")
    func down() throws {
        let reserved = try TestListener(at: .ipv4(port: 0))
        var configuration = ProxyConfiguration()
        try configuration.serve("h2c://\(reserved.address)")
        try configuration.listenEverywhere()
        configuration.route = "idempotency { }"
        let proxy = try ProxyProcess(configuration)
        let list = String(decoding: try JSONEncoder().encode([GRPCCall.unary("a", key: "K")]), as: UTF8.self)
        for _ in 0..<2 {
            let result = try Subprocess.run([
                Peer.python, "\(Peer.clients)/grpc_peer.py", "call", "\(proxy.clear)", list,
            ])
            #expect(result.output.contains("\"UNAVAILABLE\""), "\(result)")
        }
    }

    @Test("B76 streaming calls without a token pass untouched, message by message, and are never recorded")
    func streaming() throws {
        let line = try Line()
        for round in 1...2 {
            let results = try line.call(
                .stream("ServerStream", ["3"], marks: line.server),
                .stream("ClientStream", ["a", "b", "c"], marks: line.server),
                .stream("Both", ["a", "b", "c"], marks: line.server))
            #expect(results.map(\.code) == ["OK", "OK", "OK"], "\(results)")
            #expect(results[0].messages == ["part 0", "part 1", "part 2"])
            #expect(results[1].messages == ["a,b,c"])
            #expect(results[2].messages == ["echo a", "echo b", "echo c"])
            #expect(results.allSatisfy { !$0.isReplay })
            #expect(line.server.executions.count == round * 5)
        }
        #expect(try line.proxy.records().isEmpty)
    }

    /// Both ways, the first answer comes when the second message is there, and not before: one message alone may be a
    /// unary call.
    @Test(
        "B76 calls of several messages pass untouched with a token too, and where the message would be the token",
        arguments: ["K", nil])
    func streamingWithToken(key: String?) throws {
        let line = try Line(key == nil ? "on_missing_key hash; hash { body raw; window 1h; replay always; }" : "")
        for round in 1...2 {
            let results = try line.call(
                .stream("ClientStream", ["a", "b", "c", "d"], key: key, marks: line.server, ahead: 2),
                .stream("Both", ["a", "b", "c", "d"], key: key, marks: line.server, ahead: 2))
            #expect(results.map(\.code) == ["OK", "OK"], "\(results)")
            #expect(results[0].messages == ["a,b,c,d"])
            #expect(results[1].messages == ["echo a", "echo b", "echo c", "echo d"])
            #expect(results.allSatisfy { !$0.isReplay })
            #expect(line.server.executions.map(\.method).count { $0 == "ClientStream" } == round)
            #expect(line.server.executions.map(\.method).count { $0 == "Both" } == round * 4)
        }
        #expect(try line.proxy.records().isEmpty)
    }

    @Test("B76 one message with a token and a stream of answers: as unary; they come one by one, and are replayed")
    func streamedAnswers() throws {
        let line = try Line()
        let call = GRPCCall.stream("ServerStream", ["3"], key: "K", marks: line.server)
        let results = try line.call(call, call)
        #expect(results.map(\.code) == ["OK", "OK"], "\(results)")
        #expect(results[0].messages == ["part 0", "part 1", "part 2"])
        #expect(results.map(\.isReplay) == [false, true])
        #expect(results[1].comparable == results[0].comparable)
        #expect(line.server.executions.count == 1)
    }

    @Test("B76 large messages go through spool files: a unary one is covered, a stream passes whole and in order")
    func spooled() throws {
        let line = try Line(top: "spool_threshold 4KiB;")
        let text = String(repeating: "m", count: 25_000)
        let unary = GRPCCall.unary(text, key: "K")
        let results = try line.call(unary, unary)
        #expect(results.map(\.code) == ["OK", "OK"])
        #expect(results.map(\.isReplay) == [false, true])
        #expect(results[0].messages == ["echo \(text)"])
        let streams = try line.call(
            GRPCCall(method: "ClientStream", messages: [text, "b", "c"]),
            .stream("Both", [text, text, "c"], marks: line.server))
        #expect(streams.map(\.code) == ["OK", "OK"])
        #expect(streams[0].messages == ["\(text),b,c"])
        #expect(streams[1].messages == ["echo \(text)", "echo \(text)", "echo c"])
        #expect(line.server.executions.count == 5)
        #expect(try line.proxy.metric("oncegate_spool_files") == 0)
    }

    @Test("B76 a large message is replayed whole")
    func large() throws {
        let line = try Line()
        let results = try line.call(.unary("large:1000000", key: "K"), .unary("large:1000000", key: "K"))
        #expect(results[0].messages[0].count == 1_000_000)
        #expect(results[1].comparable == results[0].comparable)
        #expect(line.server.executions.count == 1)
    }
}
