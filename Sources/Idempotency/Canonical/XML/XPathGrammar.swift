/// What an XPath 1.0 expression may hold here, found without a document: libxml2 finds an unknown prefix, function or
/// variable only when a document makes it evaluate that part.
///
/// The rest is about time. libxml2 compares the nodes that two steps find one by one where both may find the same, and
/// counts no operations for that, so paths go down and start at the root or at one node: no `..`, no other axis
/// upwards or sideways, `//` only at the beginning of a path, no `|`, in a predicate no path from the root. Two sets of
/// nodes are not compared with each other.
struct XPathGrammar {
    struct Failure: Error {
        var reason: String

        init(_ reason: String) {
            self.reason = reason
        }
    }

    /// The prefixes that the expression uses.
    private(set) var prefixes: [[UInt8]] = []

    private enum Token: Equatable {
        case start
        /// A string or a number.
        case constant
        /// A name test, `*`, `.`, `text()`: the end of a step.
        case step
        /// `@`, `axis::`: a step's test follows.
        case axis
        /// `/` between two steps or at the beginning.
        case slash
        case comparison
        /// `and`, `+`, `,` and the like.
        case separator
        /// `(`, `[`, and a function with its `(`.
        case open
        /// `)` of a function.
        case value
        /// `)` of a group.
        case group
        /// `]`.
        case predicate
    }

    private enum Bracket {
        case function
        /// `text()` and the like.
        case nodeTest
        case group
        case predicate
    }

    private var text: [UInt8]
    private var position = 0
    private var last = Token.start
    /// `.` is the last token, and begins a path.
    private var isSelf = false
    /// The next step starts at one node: it may go down by more than one level.
    private var mayGoDeep = true
    private var brackets: [Bracket] = []
    /// A comparison whose left side is no constant: its right side must be.
    private var needsConstant = false

    init(_ text: [UInt8]) throws(Failure) {
        self.text = text
        while position < text.count { try readToken() }
        guard brackets.isEmpty else { throw Failure("a bracket is not closed") }
        if needsConstant { throw Self.setsCompared }
        self.text = []
    }

    private static let setsCompared = Failure("a comparison needs a string, a number or a function on one side")

    private mutating func readToken() throws(Failure) {
        let octet = text[position]
        switch octet {
        case 0x20, 0x09, 0x0A, 0x0D: position += 1
        case 0x22, 0x27:
            guard let end = text[(position + 1)...].firstIndex(of: octet) else {
                throw Failure("a string is not closed")
            }
            position = end + 1
            try put(.constant)
        case 0x30...0x39: try readNumber()
        case 0x2E: try readDot()
        case 0x2F: try readSlash()
        case 0x28: try open(.group)
        case 0x5B: try open(.predicate)
        case 0x29, 0x5D: try close(octet)
        case 0x40:
            position += 1
            try put(.axis)
        case 0x2A:
            position += 1
            try put(endsOperand ? .separator : .step)
        case 0x3D, 0x21, 0x3C, 0x3E: try readComparison()
        case 0x2B, 0x2D, 0x2C:
            position += 1
            // A minus before a number does not change what it is.
            if octet != 0x2D || endsOperand { try put(.separator) }
        case 0x24: throw Failure("there are no variables")
        case 0x7C: throw Failure("'|' is not supported; give two paths")
        case _ where Self.isNameStart(octet): try readName()
        default: throw Failure("'\(Character(Unicode.Scalar(octet)))' has no meaning in it")
        }
    }

    /// Whether an operand can end with the last token, so that an operator follows (XPath 1.0 §3.7).
    private var endsOperand: Bool {
        switch last {
        case .constant, .step, .value, .group, .predicate: true
        case .start, .axis, .slash, .comparison, .separator, .open: false
        }
    }

    private mutating func put(_ token: Token) throws(Failure) {
        if needsConstant {
            // A function's value is no set of nodes; it is seen by `readName`.
            guard token == .constant else { throw Self.setsCompared }
            needsConstant = false
        }
        isSelf = false
        last = token
        mayGoDeep = !endsOperand
    }

    private mutating func readNumber() throws(Failure) {
        while position < text.count, text[position] &- 0x30 < 10 || text[position] == 0x2E { position += 1 }
        try put(.constant)
    }

    private mutating func readDot() throws(Failure) {
        if octet(1) == 0x2E { throw Failure("'..' is not supported: paths go down") }
        if octet(1) &- 0x30 < 10 { return try readNumber() }
        let begins = last != .slash
        position += 1
        try put(.step)
        isSelf = begins
    }

    private mutating func readSlash() throws(Failure) {
        let begins = !endsOperand
        if begins, brackets.contains(.predicate) {
            throw Failure("a path in a predicate begins at the node: './/x', 'x'")
        }
        let isDouble = octet(1) == 0x2F
        if isDouble, !begins, !isSelf { throw Failure("'//' is only supported at the beginning of a path") }
        position += isDouble ? 2 : 1
        let startsAtOneNode = (begins || isSelf) && !isDouble
        try put(.slash)
        mayGoDeep = startsAtOneNode
    }

    private mutating func readComparison() throws(Failure) {
        let octet = text[position]
        position += 1
        if position < text.count, text[position] == 0x3D, octet != 0x3D {
            position += 1
        } else if octet == 0x21 {
            throw Failure("'!' has no meaning in it")
        }
        let isConstant = last == .constant || last == .value
        try put(.comparison)
        needsConstant = !isConstant
    }

    private mutating func open(_ bracket: Bracket) throws(Failure) {
        position += 1
        try put(.open)
        brackets.append(bracket)
    }

    private mutating func close(_ octet: UInt8) throws(Failure) {
        guard let bracket = brackets.popLast(), (octet == 0x5D) == (bracket == .predicate) else {
            throw Failure("brackets do not match")
        }
        position += 1
        switch bracket {
        case .function: try put(.value)
        case .nodeTest: try put(.step)
        case .group: try put(.group)
        case .predicate: try put(.predicate)
        }
    }

    // MARK: Names

    /// XPath 1.0 §4, without `id`, for which there is no document type.
    private static let functions: Set<String> = [
        "last", "position", "count", "local-name", "namespace-uri", "name", "string", "concat", "starts-with",
        "contains", "substring-before", "substring-after", "substring", "string-length", "normalize-space", "translate",
        "boolean", "not", "true", "false", "lang", "number", "sum", "floor", "ceiling", "round",
    ]
    private static let nodeTests: Set<String> = ["text", "node", "processing-instruction", "comment"]
    private static let axes: Set<String> = ["child", "attribute", "self"]
    private static let deepAxes: Set<String> = ["descendant", "descendant-or-self"]
    private static let operators: Set<String> = ["and", "or", "div", "mod"]

    private mutating func readName() throws(Failure) {
        let start = position
        skipName()
        let name = Array(text[start..<position])
        let word = String(decoding: name, as: UTF8.self)
        if endsOperand, Self.operators.contains(word) { return try put(.separator) }
        if octet(0) == 0x3A, octet(1) != 0x3A {
            if !prefixes.contains(name) { prefixes.append(name) }
            position += 1
            if octet(0) == 0x2A { position += 1 } else { skipName() }
            if next == 0x28 { throw Failure("there are no functions with a prefix") }
            return try put(.step)
        }
        switch next {
        case 0x3A:
            skipSpace()
            guard octet(1) == 0x3A else { throw Failure("':' has no meaning in it") }
            if Self.deepAxes.contains(word) {
                guard mayGoDeep else { throw Failure("'\(word)::' is only supported at the beginning of a path") }
            } else if !Self.axes.contains(word) {
                throw Failure("the axis '\(word)' is not supported: paths go down")
            }
            position += 2
            try put(.axis)
        case 0x28:
            skipSpace()
            if Self.nodeTests.contains(word) { return try open(.nodeTest) }
            guard Self.functions.contains(word) else { throw Failure("there is no function '\(word)'") }
            needsConstant = false
            try open(.function)
        default: try put(.step)
        }
    }

    /// Whether a text is a name without colon.
    static func isName(_ text: [UInt8]) -> Bool {
        guard let first = text.first, isNameStart(first) else { return false }
        return text.allSatisfy { isNameStart($0) || isNameRest($0) }
    }

    private mutating func skipName() {
        while position < text.count, Self.isNameStart(text[position]) || Self.isNameRest(text[position]) {
            position += 1
        }
    }

    private mutating func skipSpace() {
        while position < text.count, text[position] <= 0x20 { position += 1 }
    }

    /// The next octet that is no space.
    private var next: UInt8 {
        text[position...].first { $0 > 0x20 } ?? 0
    }

    private func octet(_ offset: Int) -> UInt8 {
        position + offset < text.count ? text[position + offset] : 0
    }

    private static func isNameStart(_ octet: UInt8) -> Bool {
        octet | 0x20 &- 0x61 < 26 || octet == 0x5F || octet >= 0x80
    }

    private static func isNameRest(_ octet: UInt8) -> Bool {
        octet &- 0x30 < 10 || octet == 0x2D || octet == 0x2E
    }
}
