/// Cuts a file into tokens. Every mistake is reported and stepped over; the last token is `.end`.
///
///     word    = octets other than blanks, ; { } "          (not starting with #)
///     string  = " ( character | \" | \\ | \n | \r | \t | \u{HEX} )* "      on one line
///     call    = ( env | file ) ( string )
///     comment = # to the end of the line, where a token could start
struct Lexer {
    private let octets: [UInt8]
    private let file: Int
    private var position = 0
    private var newlines = 0
    private var tokens: [Token] = []
    /// Whether a mistake has been reported in the token that is being read.
    private var isBroken = false

    /// The tokens of `log.files[file]`.
    static func tokens(file: Int, log: inout DiagnosticLog) -> [Token] {
        var lexer = Lexer(octets: log.files[file].octets, file: file)
        lexer.run(&log)
        return lexer.tokens
    }

    private init(octets: [UInt8], file: Int) {
        self.octets = octets
        self.file = file
    }

    private mutating func run(_ log: inout DiagnosticLog) {
        reportInvalidText(&log)
        // A byte order mark.
        if octets.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
        while let octet = peek() {
            switch octet {
            case UInt8(ascii: "\n"):
                newlines += 1
                position += 1
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"):
                position += 1
            case UInt8(ascii: ";"):
                punctuation(.semicolon)
            case UInt8(ascii: "{"):
                punctuation(.open)
            case UInt8(ascii: "}"):
                punctuation(.close)
            case UInt8(ascii: "#"):
                comment()
            case UInt8(ascii: "\""):
                let start = position
                let value = string(&log)
                requireBlank(after: start, &log)
                append(.string(value), from: start)
            default:
                word(&log)
            }
        }
        append(.end, from: position)
    }

    private mutating func punctuation(_ kind: Token.Kind) {
        position += 1
        append(kind, from: position - 1)
    }

    private mutating func comment() {
        let start = position
        while let octet = peek(), octet != UInt8(ascii: "\n") { position += 1 }
        var end = position
        while end > start, Self.isBlank(octets[end - 1]) { end -= 1 }
        append(.comment(text(start..<end)), from: start, end: end)
    }

    private mutating func word(_ log: inout DiagnosticLog) {
        let start = position
        while let octet = peek(), !Self.endsWord(octet) { position += 1 }
        let word = text(start..<position)
        guard peek() == UInt8(ascii: "\"") else {
            append(.word(word), from: start)
            return
        }
        if word.hasSuffix("("), let source = ValueSource(rawValue: String(word.dropLast())) {
            call(source, from: start, &log)
            return
        }
        let quote = position
        let value = string(&log)
        // What follows the string belongs to the same mistake.
        while let octet = peek(), !Self.endsWord(octet) { position += 1 }
        if word.hasSuffix("(") {
            log.error(
                range(start, quote), "unknown function '\(word.dropLast())'",
                hint: "the functions are env(\"NAME\") and file(\"/path\")")
        } else {
            log.error(range(quote, quote + 1), "quote inside a word", hint: "quote the whole value")
        }
        isBroken = true
        append(.string(word + value), from: start)
    }

    private mutating func call(_ source: ValueSource, from start: Int, _ log: inout DiagnosticLog) {
        let argument = string(&log)
        if peek() == UInt8(ascii: ")") {
            position += 1
            requireBlank(after: start, &log)
        } else if !isBroken {
            log.error(range(position, position), "missing ')' after \(source.rawValue)(\"…\"")
            isBroken = true
        }
        append(.call(source, argument: argument), from: start)
    }

    /// The value of the string that starts here; steps over it.
    private mutating func string(_ log: inout DiagnosticLog) -> String {
        let start = position
        position += 1
        var value: [UInt8] = []
        while let octet = peek(), octet != UInt8(ascii: "\n") {
            if octet == UInt8(ascii: "\"") {
                position += 1
                return String(decoding: value, as: UTF8.self)
            }
            if octet == UInt8(ascii: "\\") {
                escape(into: &value, &log)
            } else {
                value.append(octet)
                position += 1
            }
        }
        log.error(range(start, start + 1), "string is not closed", hint: "a string ends on its line with '\"'")
        isBroken = true
        // A ';' at the line's end was hardly meant as text.
        var end = position
        while end > start + 1, Self.isBlank(octets[end - 1]) { end -= 1 }
        if octets[end - 1] == UInt8(ascii: ";") { position = end - 1 }
        return String(decoding: value, as: UTF8.self)
    }

    private mutating func escape(into value: inout [UInt8], _ log: inout DiagnosticLog) {
        let start = position
        position += 1
        guard let octet = peek(), octet != UInt8(ascii: "\n") else { return }
        position += 1
        switch octet {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            value.append(octet)
        case UInt8(ascii: "n"):
            value.append(UInt8(ascii: "\n"))
        case UInt8(ascii: "r"):
            value.append(UInt8(ascii: "\r"))
        case UInt8(ascii: "t"):
            value.append(UInt8(ascii: "\t"))
        case UInt8(ascii: "u"):
            if let scalar = braced() {
                value += Array(String(Character(scalar)).utf8)
            } else {
                isBroken = true
                log.error(
                    range(start, position), "'\\u' without a character's number",
                    hint: "write '\\u{' hexadecimal digits '}'")
            }
        default:
            // The rest of a character of several octets belongs to the escape.
            while let next = peek(), next & 0xC0 == 0x80 { position += 1 }
            isBroken = true
            log.error(
                range(start, position), "unknown escape '\(text(start..<position))'",
                hint: "the escapes are \\\" \\\\ \\n \\r \\t \\u{…}; write '\\\\' for a backslash")
        }
    }

    /// `{HEX}`, one to six digits.
    private mutating func braced() -> Unicode.Scalar? {
        guard peek() == UInt8(ascii: "{") else { return nil }
        position += 1
        let start = position
        while let octet = peek(), octet.isHexadecimalDigit, position - start < 6 { position += 1 }
        guard let number = UInt32(text(start..<position), radix: 16), peek() == UInt8(ascii: "}") else { return nil }
        position += 1
        return Unicode.Scalar(number)
    }

    /// What follows without a blank is read as part of the same mistake.
    private mutating func requireBlank(after start: Int, _ log: inout DiagnosticLog) {
        guard !isBroken, let octet = peek(), !Self.endsWord(octet) || octet == UInt8(ascii: "\"") else { return }
        log.error(range(position, position), "missing blank after '\(text(start..<position))'")
        isBroken = true
        while let octet = peek(), !Self.endsWord(octet) { position += 1 }
    }

    /// The first octet that is no UTF-8 text, and the first control character.
    private func reportInvalidText(_ log: inout DiagnosticLog) {
        if let control = octets.firstIndex(where: { ($0 < 0x20 && !Self.isBlank($0)) || $0 == 0x7F }) {
            log.error(range(control, control + 1), "control character in the text")
        }
        var index = 0
        while index < octets.count {
            let length = Self.lengthOfCharacter(octets, at: index)
            if length == 0 {
                log.error(range(index, index + 1), "the text is not UTF-8")
                return
            }
            index += length
        }
    }

    /// Octets of the UTF-8 character at `index`; 0 when there is none.
    private static func lengthOfCharacter(_ octets: [UInt8], at index: Int) -> Int {
        let length =
            switch octets[index] {
            case 0..<0x80: 1
            case 0xC2..<0xE0: 2
            case 0xE0..<0xF0: 3
            case 0xF0..<0xF5: 4
            default: 0
            }
        guard length > 1 else { return length }
        guard index + length <= octets.count else { return 0 }
        let slice = octets[index..<index + length]
        return String(validating: slice, as: UTF8.self) == nil ? 0 : length
    }

    private mutating func append(_ kind: Token.Kind, from start: Int, end: Int? = nil) {
        let range = range(start, end ?? position)
        tokens.append(Token(kind: kind, range: range, newlinesBefore: newlines, isBroken: isBroken))
        newlines = 0
        isBroken = false
    }

    private func peek() -> UInt8? {
        position < octets.count ? octets[position] : nil
    }

    private func range(_ start: Int, _ end: Int) -> SourceRange {
        SourceRange(file: file, start: start, end: end)
    }

    private func text(_ range: Range<Int>) -> String {
        String(decoding: octets[range], as: UTF8.self)
    }

    private static func isBlank(_ octet: UInt8) -> Bool {
        octet == 0x20 || (0x09...0x0A).contains(octet) || octet == 0x0D
    }

    private static func endsWord(_ octet: UInt8) -> Bool {
        switch octet {
        case UInt8(ascii: ";"), UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "\""): true
        default: isBlank(octet)
        }
    }
}
