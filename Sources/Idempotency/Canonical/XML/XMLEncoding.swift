/// The encodings that are decoded: those that libxml2 has built in, so that no converter of the system is loaded.
enum XMLEncoding: Equatable {
    case utf8
    case ascii
    case latin1
    /// By its byte order mark.
    case utf16(isBigEndian: Bool)

    /// The encoding with this name (IANA; in any case).
    init?(name: Span<UInt8>) {
        if name.equals(ignoringCase: "utf-8") || name.equals(ignoringCase: "utf8") {
            self = .utf8
        } else if name.equals(ignoringCase: "us-ascii") || name.equals(ignoringCase: "ascii") {
            self = .ascii
        } else if name.equals(ignoringCase: "iso-8859-1") || name.equals(ignoringCase: "latin1") {
            self = .latin1
        } else {
            return nil
        }
    }

    /// The encoding of a document. RFC 7303 §3: a byte order mark, then the charset of the Content-Type, then the
    /// declaration; services differ in whom they believe, so two that contradict each other are an error.
    static func detect(_ input: Span<UInt8>, charset: Charset) throws(XMLError) -> XMLEncoding {
        if input.starts(with: [0xFE, 0xFF]) || input.starts(with: [0xFF, 0xFE]) {
            let encoding = XMLEncoding.utf16(isBigEndian: input[0] == 0xFE)
            guard charset == .absent || charset == .utf16, input.count.isMultiple(of: 2) else { throw .encoding }
            let head = Array(input.extracting(2..<min(input.count, 2 + 2 * declarationMax)))
            let offset = input[0] == 0xFE ? 1 : 0
            let ascii = stride(from: 0, to: head.count, by: 2).map {
                head[$0 + 1 - offset] == 0 ? head[$0 + offset] : 0xFF
            }
            if let name = try declaredName(ascii.span), !name.span.equals(ignoringCase: "utf-16") { throw .encoding }
            return encoding
        }
        let hasMark = input.starts(with: [0xEF, 0xBB, 0xBF])
        var encoding: XMLEncoding? = hasMark ? .utf8 : nil
        let start = hasMark ? 3 : 0
        // libxml2 would also know UTF-16 without mark, UCS-4 and EBCDIC by their first octets.
        guard input.count > start + 3, input[start] == 0x3C || input[start] <= 0x20 else { throw .malformed }
        for index in 0..<4 where input[start + index] == 0 { throw .encoding }
        if let name = try declaredName(input.extracting(start..<min(input.count, start + declarationMax))) {
            guard let declared = XMLEncoding(name: name.span), encoding ?? declared == declared else { throw .encoding }
            encoding = declared
        }
        switch charset {
        case .absent: return encoding ?? .utf8
        case .known(let stated):
            guard encoding ?? stated == stated else { throw .encoding }
            return stated
        case .utf16, .other: throw .encoding
        }
    }

    /// The charset parameter of a Content-Type.
    enum Charset: Equatable {
        case absent
        case known(XMLEncoding)
        case utf16
        case other

        init(_ value: Span<UInt8>) {
            if let encoding = XMLEncoding(name: value) {
                self = .known(encoding)
            } else {
                self = value.equals(ignoringCase: "utf-16") ? .utf16 : .other
            }
        }
    }

    /// Octets in which an XML declaration must end.
    private static let declarationMax = 256

    /// The value of `encoding` in an XML declaration at the start; nil without one.
    private static func declaredName(_ input: Span<UInt8>) throws(XMLError) -> [UInt8]? {
        guard input.starts(with: Array("<?xml".utf8)), input.count > 5, input[5] <= 0x20 else { return nil }
        let end = input.firstIndex(of: 0x3E, from: 0)
        guard end < input.count else { throw .encoding }
        let word = Array("encoding".utf8)
        var index = 5
        while index + word.count < end {
            if input.equals(word, at: index..<(index + word.count)) {
                var quote = index + word.count
                while quote < end, input[quote] != 0x22, input[quote] != 0x27 { quote += 1 }
                let close = quote < end ? input.firstIndex(of: input[quote], from: quote + 1) : end
                guard close < end else { throw .malformed }
                return Array(input.extracting((quote + 1)..<close))
            }
            index += 1
        }
        return nil
    }
}
