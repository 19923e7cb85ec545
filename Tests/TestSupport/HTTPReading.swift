import Foundation

/// One field line, as it came.
package struct Field: Sendable, Equatable, CustomStringConvertible {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    package var description: String { "\(name): \(value)" }
}

extension [Field] {
    /// The values of all lines with this name, in order.
    package subscript(all name: String) -> [String] {
        filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }

    /// The value of the only line with this name; nil when there is none or more than one.
    package subscript(_ name: String) -> String? {
        let values = self[all: name]
        return values.count == 1 ? values[0] : nil
    }
}

package struct MalformedMessage: Error, CustomStringConvertible {
    package var reason: String
    package var octets: [UInt8]

    package init(_ reason: String, _ octets: [UInt8] = []) {
        self.reason = reason
        self.octets = octets
    }

    package var description: String { "\(reason): \(text(octets))" }
}

/// The stream ended before the message did.
package struct StreamEnded: Error, CustomStringConvertible {
    /// What had come since the last whole part.
    package var octets: [UInt8]
    package var description: String { "the stream ended after: \(text(octets))" }
}

/// Every octet as one character (ISO 8859-1), so that nothing is lost or refused.
package func text(_ octets: some Sequence<UInt8>) -> String {
    String(String.UnicodeScalarView(octets.map { Unicode.Scalar($0) }))
}

/// The reverse of `text`: one octet per character; characters above 255 as UTF-8.
package func octets(_ text: String) -> [UInt8] {
    text.unicodeScalars.allSatisfy { $0.value < 256 } ? text.unicodeScalars.map { UInt8($0.value) } : Array(text.utf8)
}

/// Takes a stream apart: strict, since what it reads is what a test judges.
package final class OctetReader {
    package let socket: TestSocket
    private var buffer: [UInt8] = []
    private var start = 0

    package init(_ socket: TestSocket) {
        self.socket = socket
    }

    package var buffered: [UInt8] { Array(buffer[start...]) }

    /// False at the end of the stream.
    @discardableResult
    package func fill(until deadline: Deadline) throws -> Bool {
        let received = try socket.receive(until: deadline)
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer.append(contentsOf: received)
        return !received.isEmpty
    }

    /// A line without its CRLF. A bare LF or CR is an error.
    package func line(until deadline: Deadline) throws -> [UInt8] {
        while true {
            if let end = buffer[start...].firstIndex(of: 10) {
                let line = Array(buffer[start..<end])
                guard line.last == 13, !line.dropLast().contains(13) else {
                    throw MalformedMessage("bare LF or CR", line)
                }
                start = end + 1
                return line.dropLast()
            }
            guard try fill(until: deadline) else { throw StreamEnded(octets: buffered) }
        }
    }

    package func exactly(_ count: Int, until deadline: Deadline) throws -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(min(count, 1 << 27))
        while true {
            let piece = min(buffer.count - start, count - result.count)
            result.append(contentsOf: buffer[start..<start + piece])
            start += piece
            if result.count == count { return result }
            guard try fill(until: deadline) else { throw StreamEnded(octets: result) }
        }
    }

    /// Some octets, at most `count`; none at the end of the stream.
    package func some(atMost count: Int, until deadline: Deadline) throws -> [UInt8] {
        if start == buffer.count, try !fill(until: deadline) { return [] }
        let piece = min(buffer.count - start, count)
        defer { start += piece }
        return Array(buffer[start..<start + piece])
    }

    /// Everything up to the end of the stream.
    package func rest(until deadline: Deadline) throws -> [UInt8] {
        while try fill(until: deadline) {}
        defer { start = buffer.count }
        return buffered
    }

    /// The field lines up to the empty line, and their octets with it.
    package func fields(until deadline: Deadline) throws -> (fields: [Field], octets: [UInt8]) {
        var fields: [Field] = []
        var octets: [UInt8] = []
        while true {
            let line = try line(until: deadline)
            octets += line + [13, 10]
            if line.isEmpty { return (fields, octets) }
            guard let colon = line.firstIndex(of: 58), colon > 0, line[0] != 32, line[0] != 9 else {
                throw MalformedMessage("not a field line", line)
            }
            let name = text(line[..<colon])
            guard name.unicodeScalars.allSatisfy(isTokenCharacter) else { throw MalformedMessage("field name", line) }
            let value = text(line[(colon + 1)...]).trimmingCharacters(in: CharacterSet(charactersIn: " \t"))
            fields.append(Field(name, value))
        }
    }

    /// A chunked body from its first chunk line to the end of its trailers.
    package func chunkedBody(until deadline: Deadline) throws -> (body: [UInt8], trailers: [Field], raw: [UInt8]) {
        var body: [UInt8] = []
        var raw: [UInt8] = []
        while true {
            let line = try line(until: deadline)
            raw += line + [13, 10]
            let digits = text(line.prefix { $0 != 59 })
            guard !digits.isEmpty, digits.count < 16, let size = Int(digits, radix: 16), !digits.hasPrefix("+") else {
                throw MalformedMessage("chunk size", line)
            }
            if size == 0 {
                let trailers = try fields(until: deadline)
                return (body, trailers.fields, raw + trailers.octets)
            }
            let data = try exactly(size + 2, until: deadline)
            guard data.suffix(2) == [13, 10] else { throw MalformedMessage("chunk end", Array(data.suffix(2))) }
            body += data.dropLast(2)
            raw += data
        }
    }
}

func isTokenCharacter(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", "!", "#", "$", "%", "&", "'", "*", "+", "-", ".", "^", "_", "`", "|", "~":
        true
    default: false
    }
}
