/// A JSON value as the admin API gives it.
indirect enum JSONValue: Equatable {
    case null
    case bool(Bool)
    /// As written.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    var string: String? {
        if case .string(let text) = self { text } else { nil }
    }

    var integer: UInt64? {
        if case .number(let text) = self { UInt64(text) } else { nil }
    }
}

/// Reads JSON (RFC 8259); nesting is bounded.
struct JSONReader {
    private struct Malformed: Error {}

    private static let depthMax = 8

    private let octets: [UInt8]
    private var index = 0

    /// Nil when the text is not JSON or nested too deeply.
    static func value(of octets: [UInt8]) -> JSONValue? {
        var reader = JSONReader(octets: octets)
        do throws(Malformed) {
            let value = try reader.value(depth: 0)
            reader.skipBlanks()
            return reader.index == octets.count ? value : nil
        } catch {
            return nil
        }
    }

    private init(octets: [UInt8]) {
        self.octets = octets
    }

    private var current: UInt8? { index < octets.count ? octets[index] : nil }

    private mutating func skipBlanks() {
        while let octet = current, octet == 0x20 || octet == 0x0A || octet == 0x0D || octet == 0x09 { index += 1 }
    }

    private mutating func take(_ octet: Character) -> Bool {
        skipBlanks()
        guard current == octet.asciiValue else { return false }
        index += 1
        return true
    }

    private mutating func value(depth: Int) throws(Malformed) -> JSONValue {
        skipBlanks()
        guard depth < JSONReader.depthMax, let first = current else { throw Malformed() }
        switch first {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "["): return .array(try array(depth))
        case UInt8(ascii: "{"): return .object(try object(depth))
        default: return try word()
        }
    }

    private mutating func array(_ depth: Int) throws(Malformed) -> [JSONValue] {
        index += 1
        var values: [JSONValue] = []
        if take("]") { return values }
        repeat { values.append(try value(depth: depth + 1)) } while take(",")
        guard take("]") else { throw Malformed() }
        return values
    }

    private mutating func object(_ depth: Int) throws(Malformed) -> [String: JSONValue] {
        index += 1
        var members: [String: JSONValue] = [:]
        if take("}") { return members }
        repeat {
            skipBlanks()
            guard current == UInt8(ascii: "\"") else { throw Malformed() }
            let name = try string()
            guard take(":") else { throw Malformed() }
            members[name] = try value(depth: depth + 1)
        } while take(",")
        guard take("}") else { throw Malformed() }
        return members
    }

    private mutating func word() throws(Malformed) -> JSONValue {
        let start = index
        while let octet = current, Character(Unicode.Scalar(octet)).isLetter || (0x2B...0x39).contains(octet),
            octet != 0x2C
        {
            index += 1
        }
        let text = String(decoding: octets[start..<index], as: UTF8.self)
        switch text {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        default:
            guard Double(text) != nil else { throw Malformed() }
            return .number(text)
        }
    }

    private mutating func string() throws(Malformed) -> String {
        index += 1
        var text: [UInt8] = []
        while let octet = current, octet != UInt8(ascii: "\"") {
            index += 1
            guard octet >= 0x20 else { throw Malformed() }
            if octet == UInt8(ascii: "\\") { try escape(to: &text) } else { text.append(octet) }
        }
        guard current != nil else { throw Malformed() }
        index += 1
        return String(decoding: text, as: UTF8.self)
    }

    /// The admin API escapes quotes, backslashes and controls; surrogate pairs do not occur.
    private mutating func escape(to text: inout [UInt8]) throws(Malformed) {
        guard let octet = current else { throw Malformed() }
        index += 1
        switch octet {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(octet)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            guard index + 4 <= octets.count,
                let number = UInt32(String(decoding: octets[index..<index + 4], as: UTF8.self), radix: 16),
                let scalar = Unicode.Scalar(number)
            else { throw Malformed() }
            index += 4
            text += Array(String(scalar).utf8)
        default: throw Malformed()
        }
    }
}
