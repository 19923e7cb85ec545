// Compiled twice, as FuzzTarget is.
#if canImport(Idempotency)
    @testable import Idempotency
#endif

/// Reads the tokens of `XMLTokenWriter` and writes a document that must give the same ones: what is lost in them cannot
/// have counted, and no two ways to read them exist. Traps where they break their grammar.
struct XMLTokenReader {
    private var tokens: [UInt8]
    private var position = 0
    private var namespaces: [[UInt8]] = []
    private var open: [[UInt8]] = []
    private var hasBindings = false
    private(set) var document: [UInt8] = []

    /// Nil where a document would need the prefixes of the original: where some stand in content, or where one is like
    /// those that are made up here.
    static func document(of tokens: [UInt8]) -> [UInt8]? {
        var reader = XMLTokenReader(tokens: tokens)
        while reader.position < tokens.count { reader.readToken() }
        precondition(reader.open.isEmpty, "an element does not end")
        let made = Array("qz".utf8)
        let isAmbiguous = tokens.indices.contains { tokens[$0...].starts(with: made) }
        return reader.hasBindings || isAmbiguous ? nil : reader.document
    }

    private init(tokens: [UInt8]) {
        self.tokens = tokens
    }

    private mutating func readToken() {
        switch octet() {
        case 1: readElement()
        case 2: write("</", open.removeLast(), ">")
        case 3:
            var count = 0
            for _ in 0..<4 { count = count << 8 | Int(octet()) }
            precondition(count > 0 && !open.isEmpty, "a text without content or place")
            let text = octets(count)
            write("", escape(text, isValue: false))
            skipBindings()
        case 4:
            let target = octets(variable())
            let data = octets(variable())
            write("<?", target, data.isEmpty ? "" : " ")
            write("", data, "?>")
        default: preconditionFailure("no token")
        }
    }

    private mutating func readElement() {
        var declared: [Int] = []
        let tag = name(&declared)
        write("<", tag)
        let count = variable()
        for _ in 0..<count {
            let attribute = name(&declared)
            let value: [UInt8]
            switch octet() {
            case 0: value = octets(variable())
            case 1: value = name(&declared)
            default: preconditionFailure("no value")
            }
            write(" ", attribute, "=\"")
            write("", escape(value, isValue: true), "\"")
            skipBindings()
        }
        for namespace in declared {
            write(" xmlns:qz\(namespace)=\"", escape(namespaces[namespace - 1], isValue: true), "\"")
        }
        write(">")
        open.append(tag)
    }

    private mutating func name(_ declared: inout [Int]) -> [UInt8] {
        let number = variable()
        if number > namespaces.count {
            precondition(number == namespaces.count + 1, "a namespace is left out")
            namespaces.append(octets(variable()))
        }
        let local = octets(variable())
        guard number > 0 else { return local }
        let prefix =
            namespaces[number - 1] == Array("http://www.w3.org/XML/1998/namespace".utf8) ? "xml" : "qz\(number)"
        if prefix != "xml", !declared.contains(number) { declared.append(number) }
        return Array("\(prefix):".utf8) + local
    }

    private mutating func skipBindings() {
        guard position < tokens.count, tokens[position] == 5 else { return }
        position += 1
        hasBindings = true
        let count = variable()
        for _ in 0..<count {
            let number = variable()
            guard number > namespaces.count else { continue }
            namespaces.append(octets(variable()))
        }
    }

    private func escape(_ octets: [UInt8], isValue: Bool) -> [UInt8] {
        octets.flatMap { octet -> [UInt8] in
            switch octet {
            case 0x26: Array("&amp;".utf8)
            case 0x3C: Array("&lt;".utf8)
            case 0x3E: Array("&gt;".utf8)
            case 0x22: Array("&quot;".utf8)
            case 0x0D: Array("&#13;".utf8)
            case 0x0A, 0x09: isValue ? Array("&#\(octet);".utf8) : [octet]
            default: [octet]
            }
        }
    }

    // MARK: Octets

    private mutating func octet() -> UInt8 {
        precondition(position < tokens.count, "a token is cut off")
        position += 1
        return tokens[position - 1]
    }

    private mutating func octets(_ count: Int) -> [UInt8] {
        precondition(position + count <= tokens.count, "a token is cut off")
        position += count
        return Array(tokens[(position - count)..<position])
    }

    private mutating func variable() -> Int {
        var value = 0
        var shift = 0
        while true {
            let next = octet()
            value |= Int(next & 0x7F) << shift
            if next < 0x80 { return value }
            shift += 7
        }
    }

    private mutating func write(_ text: String, _ octets: [UInt8] = [], _ end: String = "") {
        document += Array(text.utf8) + octets + Array(end.utf8)
    }
}
