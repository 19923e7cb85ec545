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
        serverURL = tls ? "https://127.0.0.1:\(port)" : "h2c://127.0.0.1:\(port)"
    }

    var executions: [Execution] {
        process.standardOutput.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(Execution.self, from: Data($0.utf8))
        }
    }

    func waitForExecutions(_ count: Int) throws {
        try process.waitForOutput("\(count) executions") { _ in executions.count >= count ? true : nil }
    }
}

private struct GRPCCall: Encodable {
    var method = "Unary"
    var message: String?
    var messages: [String]?
    var metadata: [[String]] = []
    var timeout: Double?
    var gap: Double?

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

        func call(_ calls: GRPCCall..., secure: Bool = false) throws -> [GRPCResult] {
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
        // And from another connection, after a restart.
        let again = try line.call(.unary("a", key: "K"))
        #expect(again[0].comparable == results[0].comparable)
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
        #expect(
            ["ALREADY_EXISTS", "FAILED_PRECONDITION", "INVALID_ARGUMENT"].contains(results[2].code), "\(results[2])")
        #expect(results[3].code == "INVALID_ARGUMENT", "\(results[3])")
        #expect(results.allSatisfy { $0.code == "OK" || !$0.details.isEmpty })
        #expect(line.server.executions.count == 1)
    }

    @Test("B39 no answer in time: DEADLINE_EXCEEDED or UNAVAILABLE, and the retry does not execute")
    func noAnswer() throws {
        let line = try Line(top: "response_header_timeout 300ms;")
        let first = try line.call(.unary("slow:2", key: "K"))[0]
        #expect(["DEADLINE_EXCEEDED", "UNAVAILABLE", "UNKNOWN"].contains(first.code), "\(first)")
        let second = try line.call(.unary("slow:2", key: "K"))[0]
        #expect(second.code != "OK" || second.isReplay, "\(second)")
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

    @Test("B76 streaming calls pass untouched, message by message, and are never recorded")
    func streaming() throws {
        let line = try Line()
        let server = GRPCCall(method: "ServerStream", message: "3")
        let client = GRPCCall(method: "ClientStream", messages: ["a", "b", "c"])
        let both = GRPCCall(method: "Both", messages: ["a", "b", "c"], gap: 0.2)
        for _ in 0..<2 {
            let results = try line.call(server, client, both)
            #expect(results.map(\.code) == ["OK", "OK", "OK"], "\(results)")
            #expect(results[0].messages == ["part 0", "part 1", "part 2"])
            #expect(results[1].messages == ["a,b,c"])
            #expect(results[2].messages == ["echo a", "echo b", "echo c"])
            #expect(results.allSatisfy { !$0.isReplay })
        }
        #expect(line.server.executions.count == 10)
        #expect(try line.proxy.records().isEmpty)
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
            GRPCCall(method: "Both", messages: [text, text, "c"], gap: 0.1))
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
