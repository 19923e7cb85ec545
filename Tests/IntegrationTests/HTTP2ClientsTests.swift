import Foundation
import TestSupport
import Testing

/// Real clients over HTTP/2 and TLS.
@Suite(.blackBox) struct HTTP2ClientsTests {
    private func curl(_ arguments: [String]) throws -> (code: String, version: String, output: String) {
        let result = try Subprocess.run(
            ["curl", "-sS", "-w", "\n%{http_code} %{http_version}", "--cacert", try TestCertificate.authority()]
                + arguments)
        try #require(result.ending == .exit(0), "\(result.error)")
        let last = result.output.split(separator: "\n").last?.split(separator: " ").map(String.init) ?? []
        return (last.first ?? "", last.last ?? "", result.output)
    }

    @Test("curl: h2 and HTTP/1.1 over TLS 1.2 and 1.3, h2c with prior knowledge and by upgrade: one record for all")
    func curlVersions() throws {
        let pair = try ProtocolPair()
        let (secure, clear) = (pair.proxy.secure.port, pair.proxy.clear.port)
        let resolve = ["--resolve", "service.test:\(secure):127.0.0.1", "--resolve", "service.test:\(clear):127.0.0.1"]
        let post = ["-H", "Idempotency-Key: K", "-d", "amount=1"]
        let calls: [(arguments: [String], version: String)] = [
            (["--http2", "https://service.test:\(secure)/"], "2"),
            (["--http2", "--tls-max", "1.2", "https://service.test:\(secure)/"], "2"),
            (["--http1.1", "--tlsv1.3", "https://service.test:\(secure)/"], "1.1"),
            (["--http1.1", "--tls-max", "1.2", "https://service.test:\(secure)/"], "1.1"),
            (["--http2-prior-knowledge", "http://service.test:\(clear)/"], "2"),
            (["--http1.1", "http://service.test:\(clear)/"], "1.1"),
        ]
        for (index, call) in calls.enumerated() {
            // The authority differs by its port, and is no part of what makes two requests the same.
            let result = try curl(resolve + post + ["-i"] + call.arguments)
            #expect(result.code == "201", "\(result.output)")
            #expect(result.version == call.version)
            #expect(result.output.lowercased().contains("idempotent-replayed: true") == (index > 0), "\(result.output)")
        }
        #expect(pair.service.executions == 1)
        let upgraded = try curl(resolve + ["--http2", "http://service.test:\(clear)/upgraded"])
        #expect(upgraded.version == "2")
        #expect(upgraded.code == "201")
    }

    @Test("curl: three megabytes up and down over h2")
    func curlLarge() throws {
        let pair = try ProtocolPair { PlainAnswer(status: 200, fields: [], body: $0.body) }
        let path = try TestScope.current!.newDirectory() + "/body"
        try Data([UInt8](repeating: 65, count: 3_000_000)).write(to: URL(filePath: path))
        for _ in 0..<2 {
            let result = try Subprocess.run([
                "curl", "-sS", "-k", "--http2", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "-H",
                "Idempotency-Key: K", "--data-binary", "@\(path)", "https://\(pair.proxy.secure)/",
            ])
            #expect(result.output == "200 3000000", "\(result)")
        }
        #expect(pair.service.executions == 1)
        #expect(try pair.service.request(0).body.count == 3_000_000)
    }

    @Test("nghttp: with priorities, a body, and several requests on one connection", arguments: [false, true])
    func nghttp(isSecure: Bool) throws {
        let pair = try ProtocolPair()
        let url = isSecure ? "https://\(pair.proxy.secure)" : "http://\(pair.proxy.clear)"
        let result = try Subprocess.run([
            "nghttp", "-v", "-n", "-w", "16", "\(url)/a", "\(url)/b", "\(url)/c",
        ])
        #expect(result.ending == .exit(0), "\(result.error)")
        #expect(result.output.components(separatedBy: ":status: 201").count - 1 == 3, "\(result.output.suffix(3000))")
        #expect(pair.service.executions == 3)
        if !isSecure {
            let upgraded = try Subprocess.run(["nghttp", "-v", "-n", "-u", "\(url)/upgraded"])
            #expect(upgraded.output.contains(":status: 201"), "\(upgraded.output.suffix(2000))")
        }
    }

    @Test(
        "h2load: thousands of requests on a few connections, all of them answered",
        arguments: [["-p", "h2c"], ["--h1"], []], ServiceKind.allCases)
    func h2load(options: [String], kind: ServiceKind) throws {
        let pair = try ProtocolPair(kind) { _ in PlainAnswer(status: 200) }
        let url = options == ["-p", "h2c"] ? "http://\(pair.proxy.clear)" : "https://\(pair.proxy.secure)"
        let streams = options == ["--h1"] ? "1" : "100"
        let requests = kind == .http1 ? 5000 : 1000
        let result = try Subprocess.run(
            ["h2load", "-n", "\(requests)", "-c", "4", "-m", streams] + options + ["\(url)/"], until: .after(90))
        #expect(result.output.contains("\(requests) 2xx, 0 3xx, 0 4xx, 0 5xx"), "\(result.output)")
        #expect(result.output.contains("0 failed, 0 errored, 0 timeout"), "\(result.output)")
        #expect(pair.service.executions == requests)
    }
}
