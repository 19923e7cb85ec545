/// The names that an XPath 1.0 expression uses, found without a document: libxml2 finds an unknown prefix, function or
/// variable only when a document makes it evaluate that part.
struct XPathNames {
    struct Failure: Error {
        var reason: String
    }

    private(set) var prefixes: [[UInt8]] = []

    /// XPath 1.0 §4 and the node types of §3.7.
    private static let functions: Set<String> = [
        "last", "position", "count", "id", "local-name", "namespace-uri", "name", "string", "concat", "starts-with",
        "contains", "substring-before", "substring-after", "substring", "string-length", "normalize-space", "translate",
        "boolean", "not", "true", "false", "lang", "number", "sum", "floor", "ceiling", "round", "comment", "text",
        "processing-instruction", "node",
    ]

    init(_ text: [UInt8]) throws(Failure) {
        var position = 0
        while position < text.count {
            let octet = text[position]
            switch octet {
            case 0x00: throw Failure(reason: "it holds a NUL")
            case 0x22, 0x27:
                guard let end = text[(position + 1)...].firstIndex(of: octet) else {
                    throw Failure(reason: "a string is not closed")
                }
                position = end + 1
            case 0x24: throw Failure(reason: "there are no variables")
            case _ where Self.isNameStart(octet): try readName(text, &position)
            case 0x30...0x39:
                while position < text.count, text[position] &- 0x30 < 10 || text[position] == 0x2E { position += 1 }
            default: position += 1
            }
        }
    }

    private mutating func readName(_ text: [UInt8], _ position: inout Int) throws(Failure) {
        let start = position
        while position < text.count, Self.isName(text[position]) { position += 1 }
        let name = Array(text[start..<position])
        func octet(_ offset: Int) -> UInt8 { position + offset < text.count ? text[position + offset] : 0 }
        if octet(0) == 0x3A, octet(1) != 0x3A {
            if !prefixes.contains(name) { prefixes.append(name) }
            position += 1
            while position < text.count, Self.isName(text[position]) { position += 1 }
            if Self.isCall(text, position) { throw Failure(reason: "there are no functions with a prefix") }
            return
        }
        let word = String(decoding: name, as: UTF8.self)
        guard Self.isCall(text, position), !Self.functions.contains(word) else { return }
        // An operator may stand before a bracket.
        guard !["and", "or", "div", "mod"].contains(word) else { return }
        throw Failure(reason: "there is no function '\(word)'")
    }

    private static func isCall(_ text: [UInt8], _ position: Int) -> Bool {
        text[position...].first { $0 > 0x20 } == 0x28
    }

    private static func isNameStart(_ octet: UInt8) -> Bool {
        octet | 0x20 &- 0x61 < 26 || octet == 0x5F || octet >= 0x80
    }

    private static func isName(_ octet: UInt8) -> Bool {
        isNameStart(octet) || octet &- 0x30 < 10 || octet == 0x2D || octet == 0x2E
    }
}
