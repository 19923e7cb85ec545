import Foundation
import Testing

@testable import Observability

@Suite struct AccessLogTests {
    private let names = ConfiguredNames(listeners: ["127.0.0.1:80"], routes: ["/v1", "/\"x"])

    private func makeLog(_ format: AccessLog.Format) throws -> AccessLog {
        AccessLog(format, sink: try LogSink(.file("/dev/null")), names: names)
    }

    private func fullLine(_ log: AccessLog) -> String {
        let ip = Array("203.0.113.9".utf8)
        let proxy = Array("10.0.0.1".utf8)
        let head = Array("POST /v1/orders?a=1&b=secret host.example".utf8)
        let upstream = Array("127.0.0.1:3000".utf8)
        let id = Array("req-1".utf8)
        var entry = AccessEntry()
        entry.milliseconds = 1_767_322_845_678
        entry.listener = 0
        entry.route = 0
        entry.clientIP = ip.span
        entry.remoteIP = proxy.span
        entry.method = head.span.extracting(0..<4)
        entry.path = head.span.extracting(5..<15)
        entry.query = head.span.extracting(16..<28)
        entry.host = head.span.extracting(29..<41)
        entry.status = 201
        entry.bytesIn = 12
        entry.bytesOut = 345
        entry.durationNanoseconds = 12_345_678
        entry.timeToFirstByteNanoseconds = 11_000_000
        entry.upstreamAddress = upstream.span
        entry.upstreamStatus = 201
        entry.upstreamDurationNanoseconds = 10_000_000
        entry.upstreamConnectNanoseconds = 90_000
        entry.upstreamAttempts = 1
        entry.overheadNanoseconds = 250_000
        entry.outcome = .first
        entry.keyHashPrefix = 0xABCD
        entry.recordAgeMilliseconds = 1500
        entry.requestID = id.span
        entry.trace = TraceContext(
            traceparent: Array("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".utf8).span)
        entry.termination = .init(.client, .data)
        log.append(entry)
        return String(decoding: log.unflushed, as: UTF8.self)
    }

    @Test func goldenJSONLine() throws {
        #expect(
            fullLine(try makeLog(.json)) == """
                {"ts":"2026-01-02T03:00:45.678Z","level":"info","msg":"request","listener":"127.0.0.1:80",\
                "client_ip":"203.0.113.9","remote_ip":"10.0.0.1","proto":"HTTP/1.1","method":"POST",\
                "host":"host.example",\
                "path":"/v1/orders","query_redacted":"a=***&b=***","route":"/v1","status":201,"bytes_in":12,\
                "bytes_out":345,\
                "duration":0.012345,"ttfb":0.011000,"upstream":{"addr":"127.0.0.1:3000","status":201,\
                "duration":0.010000,"connect":0.000090,"reused":false,"attempts":1},"overhead":0.000250,\
                "idem":{"outcome":"first","key_hash":"000000000000abcd","age":1.500000},"request_id":"req-1",\
                "trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","term":"CD"}

                """)
    }

    @Test func goldenTextLine() throws {
        #expect(
            fullLine(try makeLog(.text)) == """
                2026-01-02T03:00:45.678Z 203.0.113.9 "POST host.example/v1/orders?a=***&b=***" 201 0.012345s 345 CD \
                route="/v1" \
                upstream="127.0.0.1:3000" upstream_duration=0.010000 idem=first key_hash=000000000000abcd \
                request_id="req-1"

                """)
    }

    @Test func missingFieldsAreLeftOut() throws {
        let log = try makeLog(.json)
        log.append(AccessEntry())
        #expect(
            String(decoding: log.unflushed, as: UTF8.self) == """
                {"ts":"1970-01-01T00:00:00.000Z","level":"info","msg":"request","proto":"HTTP/1.1","status":0,\
                "bytes_in":0,\
                "bytes_out":0,"duration":0.000000,"term":"--"}

                """)
    }

    /// J9: whatever the octets of a text, one entry is one line of valid JSON without control characters.
    @Test func noOctetBreaksALine() throws {
        for format in [AccessLog.Format.json, .text] {
            for octet in UInt8.min ... .max {
                let hostile: [UInt8] = [0x61, octet, 0x62, 0x0D, 0x0A, 0x1B, octet]
                let query: [UInt8] = hostile + [0x3D] + hostile
                let log = try makeLog(format)
                var entry = AccessEntry()
                entry.route = 1
                entry.clientIP = hostile.span
                entry.remoteIP = hostile.span
                entry.method = hostile.span
                entry.host = hostile.span
                entry.path = hostile.span
                entry.query = query.span
                entry.upstreamAddress = hostile.span
                entry.requestID = hostile.span
                log.append(entry)
                let line = log.unflushed
                #expect(line.dropLast().allSatisfy { $0 >= 0x20 && $0 != 0x7F } && line.last == 0x0A, "octet \(octet)")
                if format == .json {
                    let object = try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
                    #expect(object["route"] as? String == "/\"x")
                    #expect((object["path"] as? String)?.unicodeScalars.map(\.value) == hostile.map(UInt32.init))
                }
            }
        }
    }

    @Test func longTextsAreCut() throws {
        let log = try makeLog(.json)
        let long = [UInt8](repeating: 0x61, count: 100_000)
        var entry = AccessEntry()
        entry.path = long.span
        log.append(entry)
        log.flush()
        log.append(entry)
        log.flush()
        #expect(log.unflushed.isEmpty)
    }

    @Test func offWritesNothing() throws {
        let log = try makeLog(.off)
        #expect(!log.isEnabled)
        #expect(!AccessLog(.json, sink: nil, names: names).isEnabled)
        log.append(AccessEntry())
        #expect(log.unflushed.isEmpty)
    }

    @Test func linesReachTheFileInOrder() throws {
        let path = temporaryPath("access")
        defer { unlink(path) }
        let sink = try LogSink(.file(path))
        let log = AccessLog(.json, sink: sink, names: names)
        for number in 0..<1000 {
            var entry = AccessEntry()
            entry.bytesIn = UInt64(number)
            log.append(entry)
        }
        log.flush()
        #expect(sink.flush(timeoutMilliseconds: 10_000))
        let lines = readFile(path).split(separator: "\n")
        #expect(lines.count == 1000)
        #expect(lines.enumerated().allSatisfy { $1.contains("\"bytes_in\":\($0),") })
        #expect(sink.droppedCount == 0)
    }
}
