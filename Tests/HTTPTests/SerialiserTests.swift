import TestSupport
import Testing

@testable import HTTP

@Suite("HTTP/1 serialiser")
struct SerialiserTests {
    private func written(_ body: (inout [UInt8]) -> Void) -> String {
        var output: [UInt8] = []
        body(&output)
        return String(decoding: output, as: UTF8.self)
    }

    @Test("A27: fields are written in canonical form, in order; dropped lines are not")
    func fieldLines() throws {
        var head = try parseRequest(
            "GET / HTTP/1.1\r\nHost: a\r\nx:1\r\nX-Y:  2 \r\nTE: trailers\r\n"
                + "Connection: p, keep-alive\r\nA: b\r\nP: q\r\nx: 3\r\n\r\n"
        )
        try head.fields.markHopByHop()
        let lines = written { HTTP1Serialiser.fieldLines(of: head.fields, to: &$0) }
        #expect(lines == "Host: a\r\nx: 1\r\nX-Y: 2\r\nA: b\r\nx: 3\r\n")
    }

    @Test("Any choice of dropped lines and spacing gives the lines one by one")
    func runs() throws {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<500 {
            var text = "GET / HTTP/1.1\r\nHost: a\r\n"
            for index in 0..<8 {
                let before = ["", " ", "  ", "\t"].randomElement(using: &generator) ?? ""
                let after = ["", " "].randomElement(using: &generator) ?? ""
                text += "N\(index):\(before)v\(index)\(after)\r\n"
            }
            var head = try parseRequest(text + "\r\n")
            var expected = ""
            for index in head.fields.lines.indices {
                head.fields.lines[index].isDropped = Bool.random(using: &generator)
                let line = head.fields.lines[index]
                if !line.isDropped { expected += "\(head.text(line.name)): \(head.text(line.value))\r\n" }
            }
            #expect(written { HTTP1Serialiser.fieldLines(of: head.fields, to: &$0) } == expected)
        }
    }

    @Test("Start lines")
    func startLines() {
        #expect(written { HTTP1Serialiser.statusLine(200, to: &$0) } == "HTTP/1.1 200 OK\r\n")
        #expect(written { HTTP1Serialiser.statusLine(599, to: &$0) } == "HTTP/1.1 599 \r\n")
        for status in UInt16(100)...599 {
            #expect(written { HTTP1Serialiser.statusLine(status, to: &$0) }.hasPrefix("HTTP/1.1 \(status) "))
        }
        let line = written {
            HTTP1Serialiser.requestLine(method: Array("PUT".utf8).span, target: Array("/a".utf8).span, to: &$0)
        }
        #expect(line == "PUT /a HTTP/1.1\r\n")
    }

    @Test("Framing")
    func framing() {
        #expect(written { HTTP1Serialiser.contentLength(.max, to: &$0) } == "Content-Length: 18446744073709551615\r\n")
        #expect(written { HTTP1Serialiser.chunkHeader(0x1a0f, to: &$0) } == "1a0f\r\n")
        #expect(written { HTTP1Serialiser.lastChunk(to: &$0) } == "0\r\n\r\n")
        #expect(written { HTTP1Serialiser.lastChunk(trailers: Array("A: b\r\n".utf8), to: &$0) } == "0\r\nA: b\r\n\r\n")
        for number in [0, 1, 9, 10, 11, 99, 100, 4096, UInt64(UInt32.max), 999_999_999_999, .max - 1] as [UInt64] {
            #expect(written { HTTP1Serialiser.decimal(number, to: &$0) } == String(number))
            #expect(written { HTTP1Serialiser.hexadecimal(number, to: &$0) } == String(number, radix: 16))
        }
    }

    @Test("A38: no value can split a message")
    func splitting() {
        for bad in ["a\r\nb", "a\nb", "a\rb", "a\u{0}b", "a\u{7f}", " a", "a ", "\ta"] {
            let value = Array(bad.utf8)
            var output: [UInt8] = [1]
            var section = FieldSection()
            let accepted = [
                HTTP1Serialiser.field("X", value.span, to: &output),
                HTTP1Serialiser.field(name: [0x58].span, value: value.span, to: &output),
                HTTP1Serialiser.storedLines(Array("A: b\r\nX: \(bad)\r\n\r\n".utf8).span, to: &output),
                section.append(name: [0x58].span, value: value.span),
            ]
            #expect(!accepted.contains(true) && output == [1] && section.octets.isEmpty)
        }
        for bad in ["", "a b", "a:", "a\r\n", "\u{e9}"] {
            var output: [UInt8] = []
            let isAccepted = HTTP1Serialiser.field(name: Array(bad.utf8).span, value: [0x58].span, to: &output)
            #expect(!isAccepted)
        }
        #expect(written { HTTP1Serialiser.field("X", Array("a\tb \u{e9}".utf8).span, to: &$0) } == "X: a\tb \u{e9}\r\n")
    }

    @Test("Stored lines are accepted in one form only")
    func storedLines() {
        for good in ["", "A: b\r\n", "A: \r\n", "A: b\tc\r\nB: \u{e9}\r\n"] {
            #expect(HTTP1Serialiser.areFieldLines(good), "\(good)")
        }
        for bad in [
            "A: b", "A: b\r", "A: b\n", "A:b\r\n", "A : b\r\n", ": b\r\n", "A: b\r\n\r\n", "\r\n", "A:  b\r\n",
            "A: b \r\n", "A", "A:", "A: ", "A: b\r\n C: d\r\n",
        ] {
            #expect(!HTTP1Serialiser.areFieldLines(bad), "\(bad)")
        }
    }
}
