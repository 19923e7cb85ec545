/// Reads one argument as a type. Pure: what needs other directives is checked where the model is built.
struct ValueReader {
    /// The argument's text.
    let text: String
    /// A value that the directive might have, for the unit to suggest.
    let sample: String?

    init(_ text: String, sample: String? = nil) {
        self.text = text
        self.sample = sample
    }

    func read(as type: ValueType) throws(ValueProblem) -> Value {
        switch type {
        case .integer(let range): return .integer(try integer(range))
        case .duration(let range): return .duration(try amount(range, Unit.durations, what: "duration"))
        case .size(let range): return .size(try amount(range, Unit.sizes, what: "size"))
        case .listenAddress: return .endpoint(try listenAddress())
        case .serverURL: return .server(try serverURL())
        case .filePath: return .text(try filePath(what: "path"))
        case .logDestination: return .text(try logDestination())
        case .pattern, .parameterName, .word, .secret, .xpath: return .text(try nonEmpty())
        case .namespacePrefix: return .text(try namespacePrefix())
        case .requestTemplate: return .template(try requestTemplate(), text: text)
        case .fieldTemplate: return .template(try fieldTemplate(), text: text)
        case .answerTemplate: return .template(try TemplateReader.read(text, mayAskProbe: true), text: text)
        case .webhookURL: return .webhook(try webhook())
        case .permissions: return .permissions(try permissions())
        case .upstreamName: return .text(try upstreamName())
        case .prefixPath, .exactPath: return .text(try routePath())
        case .regex: return .text(try regex())
        case .requestPath: return .text(try requestPath())
        case .host: return .text(try host())
        case .method: return .text(try method())
        case .fieldName: return .text(try token(what: "field name"))
        case .cookieName: return .text(try token(what: "cookie name"))
        case .jsonPointer: return .text(try jsonPointer())
        case .statuses: return .statuses(try statuses())
        case .addressBlock: return .addressBlock(try addressBlock())
        case .inputFile: return .file(try inputFile())
        // The matcher knows the words, and says which directive has them.
        case .choice: return .keyword(text)
        case .serverName: return .text(try serverName())
        }
    }

    // MARK: Numbers

    private func integer(_ range: ClosedRange<UInt64>) throws(ValueProblem) -> UInt64 {
        guard !text.isEmpty, text.utf8.allSatisfy(\.isDigit) else {
            throw ValueProblem(
                "'\(text)' is not a whole number", hint: "from \(range.lowerBound) to \(range.upperBound)")
        }
        guard let number = UInt64(text), range.contains(number) else {
            throw ValueProblem("'\(text)' is out of range", hint: "from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    private func amount(_ range: ClosedRange<UInt64>, _ units: [Unit], what: String) throws(ValueProblem) -> UInt64 {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let suffix = text.dropFirst(digits.count)
        let names = units.reversed().map(\.name)
        let list = names.dropLast().joined(separator: ", ") + " and " + names[names.count - 1]
        guard !digits.isEmpty else {
            throw ValueProblem(
                "'\(text)' is not a \(what)", hint: "a whole number and a unit: \(list), such as '\(example(units))'")
        }
        if suffix.isEmpty {
            if UInt64(digits) == 0, range.contains(0) { return 0 }
            throw ValueProblem("'\(text)' has no unit", hint: "write '\(text)\(likelyUnit(units))'?")
        }
        guard let unit = units.first(where: { $0.name == suffix }) else {
            throw unknownUnit(String(suffix), digits: String(digits), units, what: what, list: list)
        }
        let product = UInt64(digits)?.multipliedReportingOverflow(by: unit.factor)
        guard let product, !product.overflow, range.contains(product.partialValue) else {
            let bounds = [range.lowerBound, range.upperBound].map { Unit.text($0, in: units) }
            throw ValueProblem("'\(text)' is out of range", hint: "from \(bounds[0]) to \(bounds[1])")
        }
        return product.partialValue
    }

    private func unknownUnit(
        _ suffix: String, digits: String, _ units: [Unit], what: String, list: String
    ) -> ValueProblem {
        let isFraction = suffix.hasPrefix(".") || suffix.hasPrefix(",")
        guard !isFraction, suffix.utf8.allSatisfy(\.isLetter) else {
            return ValueProblem(
                "'\(text)' is not a \(what)", hint: "a whole number and one unit: \(list), such as '\(example(units))'")
        }
        let guess = Self.unit(meantBy: suffix.lowercased(), among: units)
        return ValueProblem(
            "unknown unit '\(suffix)' in '\(text)'",
            hint: guess.map { "write '\(digits)\($0.name)'?" } ?? "the units are \(list)")
    }

    /// The unit for a usual other spelling: another case, `min`, `hours`, `K`, `MB`.
    private static func unit(meantBy spelling: String, among units: [Unit]) -> Unit? {
        let others = [
            "sec": "s", "second": "s", "min": "m", "minute": "m", "hr": "h", "hour": "h", "day": "d", "msec": "ms",
            "k": "KiB", "kb": "KiB", "mb": "MiB", "g": "GiB", "gb": "GiB", "t": "TiB", "tb": "TiB", "byte": "B",
        ]
        let singular = spelling.hasSuffix("s") && spelling.count > 2 ? String(spelling.dropLast()) : spelling
        return units.first { unit in
            unit.name.lowercased() == spelling || unit.name == others[singular]
                || unit.name == "MiB" && spelling == "m"
        }
    }

    private func example(_ units: [Unit]) -> String {
        units[0].name == "d" ? "250ms" : "64KiB"
    }

    private func likelyUnit(_ units: [Unit]) -> String {
        let letters = (sample ?? "").drop { $0.isNumber }
        return units.first { $0.name == letters }?.name ?? (units[0].name == "d" ? "s" : "MiB")
    }

    private func permissions() throws(ValueProblem) -> UInt32 {
        guard (3...4).contains(text.utf8.count), let bits = UInt32(text, radix: 8), bits <= 0o777,
            text.utf8.allSatisfy(\.isDigit)
        else {
            throw ValueProblem("'\(text)' is not a mode", hint: "permissions in octal, such as 0660")
        }
        return bits
    }

    private func statuses() throws(ValueProblem) -> ClosedRange<UInt16> {
        let hint = "a status such as 404, a class such as 2xx or a range such as 500-599"
        let octets = Array(text.utf8)
        if octets.count == 3, octets[0].isDigit, octets[1] | 0x20 == UInt8(ascii: "x"),
            octets[2] | 0x20 == UInt8(ascii: "x")
        {
            let hundreds = UInt16(octets[0] - 48) * 100
            guard (200...500).contains(hundreds) else { throw ValueProblem(notFinal, hint: "statuses are 200 to 599") }
            return hundreds...hundreds + 99
        }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy({ $0.utf8.count == 3 && $0.utf8.allSatisfy(\.isDigit) }),
            let low = UInt16(parts[0]), let high = UInt16(parts[parts.count - 1])
        else {
            throw ValueProblem("'\(text)' is not a status", hint: hint)
        }
        guard (200...599).contains(low), (200...599).contains(high) else {
            throw ValueProblem(notFinal, hint: "statuses are 200 to 599")
        }
        guard low <= high else {
            throw ValueProblem("'\(text)' is an empty range", hint: "write '\(high)-\(low)'?")
        }
        return low...high
    }

    private var notFinal: String { "'\(text)' is not a final status" }

    // MARK: Words

    private func nonEmpty() throws(ValueProblem) -> String {
        guard !text.isEmpty else { throw ValueProblem("the value is empty") }
        return text
    }

    private func namespacePrefix() throws(ValueProblem) -> String {
        let isName =
            text.utf8.first?.isLetter == true && text.utf8.count <= 64
            && text.utf8.allSatisfy { $0.isLetter || $0.isDigit || "-_.".utf8.contains($0) }
        guard isName else { throw ValueProblem("'\(text)' is not a prefix", hint: "letters, digits, '-', '_' and '.'") }
        return text
    }

    private func upstreamName() throws(ValueProblem) -> String {
        let isName =
            !text.isEmpty && text.utf8.count <= 64
            && text.utf8.allSatisfy { $0.isLetter || $0.isDigit || "-_.".utf8.contains($0) }
        guard isName else {
            throw ValueProblem("'\(text)' is not a name", hint: "up to 64 letters, digits, '-', '_' and '.'")
        }
        return text
    }

    func fieldName() throws(ValueProblem) -> String {
        try token(what: "field name")
    }

    private func token(what: String) throws(ValueProblem) -> String {
        guard !text.isEmpty, text.utf8.count <= 256, text.utf8.allSatisfy(\.isTokenOctet) else {
            throw ValueProblem(
                "'\(text)' is not a \(what)", hint: "letters, digits and !#$%&'*+-.^_`|~ (RFC 9110 §5.6.2)")
        }
        return text
    }

    private func method() throws(ValueProblem) -> String {
        let method = try token(what: "method")
        let upper = method.uppercased()
        if ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"].contains(upper) {
            throw ValueProblem("\(upper) is never covered", hint: "it passes through; remove it")
        }
        if upper != method {
            throw ValueProblem("methods are case-sensitive", hint: "write '\(upper)'?", value: .text(method))
        }
        return method
    }

    func jsonPointer() throws(ValueProblem) -> String {
        guard text.hasPrefix("/") else {
            throw ValueProblem("'\(text)' is not a JSON pointer", hint: "write '/\(text)'?")
        }
        var rest = text.utf8[...]
        while let tilde = rest.firstIndex(of: UInt8(ascii: "~")) {
            rest = rest[rest.index(after: tilde)...]
            guard let next = rest.first, next == UInt8(ascii: "0") || next == UInt8(ascii: "1") else {
                throw ValueProblem(
                    "'\(text)' is not a JSON pointer", hint: "write '~0' for '~' and '~1' for '/' (RFC 6901)")
            }
        }
        return text
    }

    private func regex() throws(ValueProblem) -> String {
        if let cause = PosixRegex.problem(in: text) {
            throw ValueProblem(
                "bad regular expression: \(cause)", hint: "POSIX extended syntax; quote what holds ; { }")
        }
        return text
    }
}

extension UInt8 {
    var isDigit: Bool { (48...57).contains(self) }
    var isLetter: Bool { (65...90).contains(self) || (97...122).contains(self) }
    /// tchar, RFC 9110 §5.6.2.
    var isTokenOctet: Bool { isDigit || isLetter || "!#$%&'*+-.^_`|~".utf8.contains(self) }
}
