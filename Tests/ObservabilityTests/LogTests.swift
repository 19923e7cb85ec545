import Dispatch
import Glibc
import Testing

@testable import Observability

@Suite struct LogTests {
    private func line(_ format: Log.Format, _ message: StaticString, _ fields: [LogField]) -> String {
        text { Log.format(format, 951_782_400_001, .warning, message, fields, to: &$0) }
    }

    @Test func goldenLines() {
        let fields: [LogField] = [
            .string("path", "/a b\n\u{1B}"), .string("word", "plain"), .int("port", 80), .int("delta", -3),
            .bool("ok", true),
            .nanoseconds("took", 1_500_000), .hex("key", 10), .octets("raw", [0x41, 0xFF]), .double("rate", 0.5),
        ]
        #expect(
            line(.json, "upstream failed", fields) == """
                {"ts":"2000-02-29T00:00:00.001Z","level":"warning","msg":"upstream failed","path":"/a b\\n\\u001b",\
                "word":"plain",\
                "port":80,"delta":-3,"ok":true,"took":0.001500,"key":"000000000000000a","raw":"A\\u00ff","rate":0.5}

                """)
        #expect(
            line(.text, "upstream failed", fields) == """
                2000-02-29T00:00:00.001Z warning upstream failed path="/a b\\n\\u001b" word=plain port=80 delta=-3 \
                ok=true \
                took=0.001500 key=000000000000000a raw="A\\u00ff" rate=0.5

                """)
    }

    @Test func subjectStandsInTheMessage() {
        let fields: [LogField] = [.subject("address", "127.0.0.1:80"), .int("workers", 2)]
        #expect(
            line(.text, "listening on", fields)
                == "2000-02-29T00:00:00.001Z warning listening on 127.0.0.1:80 workers=2\n")
        #expect(
            line(.json, "listening on", fields).contains(#""msg":"listening on 127.0.0.1:80","address":"127.0.0.1:80""#)
        )
    }

    @Test func levelFilters() throws {
        let path = temporaryPath("log")
        defer { unlink(path) }
        let log = Log(try LogSink(.file(path)), level: .warning)
        log.info("hidden")
        log.error("shown")
        // Written when the call returns: the log is synchronous at the start.
        #expect(readFile(path).contains("error shown"))
        log.level = .debug
        log.becomeAsynchronous()
        log.debug("also shown", .int("n", 1))
        #expect(log.sink.flush(timeoutMilliseconds: 10_000))
        let written = readFile(path)
        #expect(written.contains("debug also shown n=1"))
        #expect(!written.contains("hidden"))
    }

    @Test func redactedValueIsNeverPrinted() {
        struct Holder {
            var secret = Redacted("canary")
        }
        let redacted = Redacted("canary")
        #expect("\(redacted)" == "***")
        var dumped = ""
        dump(Holder(), to: &dumped)
        for text in [
            String(reflecting: redacted), "\(Holder())", String(describing: Optional(redacted)), "\([redacted])",
            dumped,
        ] {
            #expect(!text.contains("canary"), "\(text)")
        }
        #expect(redacted.exposed == "canary")
    }
}

@Suite struct LogSinkTests {
    private let line = Array(("x" + String(repeating: "y", count: 98) + "\n").utf8)

    /// D9: nobody reads the pipe; the writer goes on, and what is lost is counted exactly.
    @Test func blockedPipeCostsLinesNotTime() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let sink = try LogSink(.descriptor(ends[1]), bytesMax: 512 << 10)
        let submitted = 100_000
        let start = DispatchTime.now()
        for _ in 0..<submitted {
            sink.submit(line.span, lineCount: 1)
        }
        #expect(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds < 5_000_000_000)
        #expect(sink.droppedCount > 80_000)
        #expect(!sink.flush(timeoutMilliseconds: 1), "the deadline holds although the pipe is full")
        let received = SharedInt(0)
        let finished = DispatchSemaphore(value: 0)
        let reader = ends[0]
        DispatchQueue.global().async {
            received.value = readAll(reader).split(separator: "\n").count
            finished.signal()
        }
        #expect(sink.flush(timeoutMilliseconds: 30_000))
        close(ends[1])
        finished.wait()
        close(ends[0])
        #expect(received.value + Int(sink.droppedCount) == submitted)
    }

    @Test func nonBlockingDescriptorIsWaitedFor() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        let sink = try LogSink(.descriptor(ends[1]))
        for _ in 0..<10_000 {
            sink.submit(line.span, lineCount: 1)
        }
        let reader = ends[0]
        let received = SharedInt(0)
        let finished = DispatchSemaphore(value: 0)
        DispatchQueue.global().async {
            received.value = readAll(reader).split(separator: "\n").count
            finished.signal()
        }
        #expect(sink.flush(timeoutMilliseconds: 30_000))
        close(ends[1])
        finished.wait()
        close(ends[0])
        #expect(received.value == 10_000)
        #expect(sink.droppedCount == 0)
    }

    @Test func brokenPipeIsCounted() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let sink = try LogSink(.descriptor(ends[1]))
        close(ends[0])
        for _ in 0..<7 {
            sink.submit(line.span, lineCount: 1)
        }
        #expect(sink.flush(timeoutMilliseconds: 10_000))
        #expect(sink.droppedCount == 7)
        #expect(sink.lastError == EPIPE)
        close(ends[1])
    }

    @Test func fullDeviceIsCounted() throws {
        let sink = try LogSink(.file("/dev/full"))
        sink.submit(line.span, lineCount: 1)
        #expect(sink.flush(timeoutMilliseconds: 10_000))
        #expect(sink.droppedCount == 1)
        #expect(sink.lastError == ENOSPC)
    }

    @Test func reopenFollowsTheName() throws {
        let path = temporaryPath("reopen")
        defer {
            unlink(path)
            unlink(path + ".1")
        }
        let sink = try LogSink(.file(path))
        let (one, two, three) = (Array("one\n".utf8), Array("two\n".utf8), Array("three\n".utf8))
        sink.submit(one.span, lineCount: 1)
        #expect(sink.flush(timeoutMilliseconds: 10_000))
        rename(path, path + ".1")
        sink.submit(two.span, lineCount: 1)
        let result = SharedInt(-1)
        sink.reopen { result.value = Int($0) }
        // Until the sink has come to it, lines still go to the old file.
        #expect(sink.flush(timeoutMilliseconds: 10_000))
        sink.submit(three.span, lineCount: 1)
        #expect(sink.flush(timeoutMilliseconds: 10_000))
        #expect(result.value == 0)
        #expect(readFile(path + ".1") == "one\ntwo\n")
        #expect(readFile(path) == "three\n")
    }

    @Test func reopenThatFailsKeepsTheOldFile() throws {
        let directory = temporaryPath("directory")
        try #require(mkdir(directory, 0o700) == 0)
        let path = directory + "/log"
        let sink = try LogSink(.file(path))
        rename(directory, directory + ".old")
        defer {
            unlink(directory + ".old/log")
            rmdir(directory + ".old")
        }
        let result = SharedInt(-1)
        sink.reopen { result.value = Int($0) }
        #expect(sink.flush(timeoutMilliseconds: 10_000))
        sink.submit(line.span, lineCount: 1)
        #expect(sink.flush(timeoutMilliseconds: 10_000))
        #expect(result.value == Int(ENOENT))
        #expect(readFile(directory + ".old/log").utf8.count == line.count)
    }

    @Test func fileThatDoesNotOpenIsAnError() {
        #expect(throws: LogSinkError(path: "/nonexistent/log", code: ENOENT)) {
            _ = try LogSink(.file("/nonexistent/log"))
        }
        #expect(LogSinkError(path: "/x", code: EACCES).description == "/x: Permission denied")
    }

    @Test func manyWritersLoseNothing() async throws {
        let path = temporaryPath("many")
        defer { unlink(path) }
        let sink = try LogSink(.file(path), bytesMax: 64 << 20)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<5000 {
                        sink.submit(line.span, lineCount: 1)
                    }
                }
            }
        }
        #expect(sink.flush(timeoutMilliseconds: 30_000))
        let lines = readFile(path).split(separator: "\n")
        #expect(lines.count == 20_000)
        #expect(lines.allSatisfy { $0.utf8.count == 99 })
        #expect(sink.droppedCount == 0)
    }
}
