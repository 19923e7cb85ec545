import Testing

@testable import Idempotency

/// Random documents: equal meaning is equal tokens, and any changed leaf is not.
@Suite struct XMLPropertyTests {
    struct Name: Equatable {
        var namespace: Int
        var local: String
    }

    indirect enum Node {
        case element(Name, attributes: [(Name, String)], children: [Node])
        case text(String)
        case instruction(String)
    }

    static let namespaces = ["", "urn:a", "urn:b", "http://example.org/c?d&e"]

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func writingDoesNotMatter(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<250 {
            let root = Self.element(depth: 4, &random)
            let first = Writer.text(root, &random)
            let second = Writer.text(root, &random)
            #expect(try XMLForm.tokens(first) == XMLForm.tokens(second), "seed \(seed)\n\(first)\n\(second)")
            #expect(
                try XMLForm.tokens(first) == XMLForm.tokens(second, exclude: ["/none"]), "seed \(seed)\n\(second)")
        }
    }

    @Test(arguments: [5, 6, 7, 8] as [UInt64])
    func everyLeafMatters(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<250 {
            let root = Self.element(depth: 4, &random)
            var target = Int.random(in: 0..<Self.leaves(root), using: &random)
            let changed = Self.change(root, &target)
            let first = Writer.text(root, &random)
            let second = Writer.text(changed, &random)
            #expect(try XMLForm.tokens(first) != XMLForm.tokens(second), "seed \(seed)\n\(first)\n\(second)")
        }
    }

    /// Whatever of a document changes that its tokens leave out, a path finds the same in what is left of it.
    @Test(arguments: [11, 12, 13, 14] as [UInt64])
    func whatDoesNotCountIsNotFound(seed: UInt64) throws {
        let selections = [
            "//*[local-name()='a']", "//@*", "//*[local-name()='b']/*", "/*/*[1]", "//text()",
            "//@*[local-name()='type']",
            "//*[@*]", "//processing-instruction()", "/*",
        ]
        let paths = [
            "string(/)", "//*", "//@*", "//*[2]", "/*/*/*", "//*[local-name()='a']/@*", "//*[last()]", "local-name(/*)",
            "concat(local-name(//*[3]), count(//@*) > 3)",
        ]
        var random = SeededGenerator(seed: seed)
        var same = 0
        for _ in 0..<250 {
            let root = Self.element(depth: 4, &random)
            var target = Int.random(in: 0..<Self.leaves(root), using: &random)
            let first = Writer.text(root, &random)
            let second = Writer.text(Self.change(root, &target), &random)
            let include = Bool.random(using: &random) ? [] : [selections.randomElement(using: &random) ?? ""]
            let exclude = [selections.randomElement(using: &random) ?? ""]
            let tokens = { try XMLForm.tokens($0, include: include, exclude: exclude) }
            guard try tokens(first) == tokens(second) else { continue }
            same += 1
            var selection = XMLSelection()
            selection.include = try include.map { try XPath($0, use: .selection) }
            selection.exclude = try exclude.map { try XPath($0, use: .selection) }
            for text in paths {
                let path = try XPath(text, use: .token)
                let found = try [first, second].map { document in
                    // White space between elements does not count, nor does the order of attributes.
                    try path.values(in: Array(document.utf8).span, charset: .absent, of: selection).map { value in
                        value.filter { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
                    }.sorted { $0.lexicographicallyPrecedes($1) }
                }
                #expect(found[0] == found[1], "seed \(seed) \(text) \(include) \(exclude)\n\(first)\n\(second)")
            }
        }
        #expect(same > 25, "seed \(seed)")
    }

    @Test(arguments: [9, 10] as [UInt64])
    func encodingDoesNotMatter(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            let text = Writer.text(Self.element(depth: 3, &random), &random)
            let plain = try XMLForm.tokens(text)
            #expect(try XMLForm.tokens(XMLForm.utf16(text, isBigEndian: true)) == plain)
            #expect(try XMLForm.tokens(XMLForm.utf16(text, isBigEndian: false)) == plain)
            guard text.unicodeScalars.allSatisfy({ $0.value < 0x100 }) else { continue }
            let latin1 = text.unicodeScalars.map { UInt8($0.value) }
            #expect(try XMLForm.tokens(latin1, charset: .known(.latin1)) == plain)
        }
    }

    // MARK: Documents

    private static func element(depth: Int, _ random: inout SeededGenerator) -> Node {
        var attributes: [(Name, String)] = []
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            let name = Self.name(&random)
            if !attributes.contains(where: { $0.0 == name }) { attributes.append((name, Self.string(&random))) }
        }
        var children: [Node] = []
        // Mixed content, elements only, or one text.
        let kind = Int.random(in: 0..<3, using: &random)
        let count = depth == 0 ? 0 : Int.random(in: 0...4, using: &random)
        for _ in 0..<count {
            if kind == 0 { children.append(.text("t" + Self.string(&random))) }
            if kind < 2 { children.append(element(depth: depth - 1, &random)) }
            if kind == 0, Bool.random(using: &random) {
                children.append(.instruction(Self.string(&random).filter { $0 != "?" }))
            }
        }
        if kind == 2, Bool.random(using: &random) { children = [.text(Self.string(&random) + "x")] }
        return .element(name(&random), attributes: attributes, children: children)
    }

    private static func name(_ random: inout SeededGenerator) -> Name {
        Name(
            namespace: Int.random(in: 0..<namespaces.count, using: &random),
            local: ["a", "b", "ab", "é", "type", "x-1"].randomElement(using: &random) ?? "a")
    }

    /// Without colons, so that no prefix stands in it by chance, and inside non-blank.
    private static func string(_ random: inout SeededGenerator) -> String {
        let pool = ["a", "b", "<", ">", "&", "'", "\"", " ", "\n", "\t", "\r", "]", "]]>", "é", "€", "😀", "\u{85}"]
        return (0..<Int.random(in: 0...6, using: &random)).map { _ in pool.randomElement(using: &random) ?? "" }
            .joined()
    }

    // MARK: Changes

    private static func leaves(_ node: Node) -> Int {
        switch node {
        case .text, .instruction: 1
        case .element(_, let attributes, let children): 1 + attributes.count + children.reduce(0) { $0 + leaves($1) }
        }
    }

    private static func change(_ node: Node, _ target: inout Int) -> Node {
        switch node {
        case .text(let text):
            target -= 1
            return target == -1 ? .text(text + "y") : node
        case .instruction(let text):
            target -= 1
            return target == -1 ? .instruction(text + "y") : node
        case .element(var name, var attributes, var children):
            target -= 1
            if target == -1 { name.namespace = (name.namespace + 1) % namespaces.count }
            for index in attributes.indices {
                target -= 1
                if target == -1 { attributes[index].1 += "z" }
            }
            for index in children.indices { children[index] = change(children[index], &target) }
            return .element(name, attributes: attributes, children: children)
        }
    }

    // MARK: Writing

    /// One of the many ways to write a document.
    struct Writer {
        private var scope: [(prefix: String, namespace: Int)] = []
        /// Prefixes that the tag at hand uses: they cannot be bound anew in it.
        private var used: Set<String> = []

        static func text(_ root: Node, _ random: inout SeededGenerator) -> String {
            var writer = Writer()
            let declaration = ["", "<?xml version='1.0'?>", "<?xml version=\"1.0\" standalone=\"yes\" ?>\n"]
            return (declaration.randomElement(using: &random) ?? "") + filler(&random) + writer.write(root, &random)
                + filler(&random)
        }

        private mutating func write(_ node: Node, _ random: inout SeededGenerator) -> String {
            switch node {
            case .text(let text): return Self.content(text, &random)
            case .instruction(let text):
                // White space at the beginning separates; line ends are all the same.
                let data = text.replacing("\r", with: "").drop { " \n\t".contains($0) }
                return "<?p \(data)?>"
            case .element(let name, let attributes, let children):
                return write(name, attributes, children, &random)
            }
        }

        private mutating func write(
            _ name: Name, _ attributes: [(Name, String)], _ children: [Node], _ random: inout SeededGenerator
        ) -> String {
            let outer = scope
            defer { scope = outer }
            var declared: [String: Int] = [:]
            used = []
            if Int.random(in: 0..<4, using: &random) == 0 {
                declare(Int.random(in: 1...3, using: &random), false, &declared, &random)
            }
            let tag = prefixed(name, isAttribute: false, &declared, &random)
            var parts = attributes.map { (prefixed($0.0, isAttribute: true, &declared, &random), $0.1) }
            parts += declared.map {
                ($0.key.isEmpty ? "xmlns" : "xmlns:\($0.key)", XMLPropertyTests.namespaces[$0.value])
            }
            let space = { (random: inout SeededGenerator) in
                [" ", "  ", "\n", "\t "].randomElement(using: &random) ?? " "
            }
            var text = "<" + tag
            for part in parts.shuffled(using: &random) {
                text += space(&random) + part.0 + "=" + Self.quoted(part.1, &random)
            }
            if children.isEmpty, Bool.random(using: &random) { return text + "/>" }
            text += Bool.random(using: &random) ? ">" : space(&random) + ">"
            let holdsOnlyElements =
                !children.isEmpty && children.allSatisfy { if case .element = $0 { true } else { false } }
            for child in children {
                if holdsOnlyElements { text += Self.filler(&random) }
                text += write(child, &random)
                if Int.random(in: 0..<5, using: &random) == 0 { text += "<!-- & <\(tag) -->" }
            }
            if holdsOnlyElements { text += Self.filler(&random) }
            return text + "</" + tag + ">"
        }

        /// A name with a prefix that is bound to its namespace here; declares one if there is none.
        private mutating func prefixed(
            _ name: Name, isAttribute: Bool, _ declared: inout [String: Int], _ random: inout SeededGenerator
        ) -> String {
            if isAttribute, name.namespace == 0 { return name.local }
            let visible = scope.reversed().reduce(into: [(prefix: String, namespace: Int)]()) { seen, entry in
                if !seen.contains(where: { $0.prefix == entry.prefix }) { seen.append(entry) }
            }
            let fitting = visible.filter { $0.namespace == name.namespace && !(isAttribute && $0.prefix.isEmpty) }
            if name.namespace == 0 {
                if let plain = visible.first(where: { $0.prefix.isEmpty }), plain.namespace != 0 {
                    scope.append(("", 0))
                    declared[""] = 0
                }
                return name.local
            }
            if let known = fitting.randomElement(using: &random) {
                used.insert(known.prefix)
                return known.prefix.isEmpty ? name.local : "\(known.prefix):\(name.local)"
            }
            let prefix = declare(name.namespace, isAttribute, &declared, &random)
            return prefix.isEmpty ? name.local : "\(prefix):\(name.local)"
        }

        @discardableResult
        private mutating func declare(
            _ namespace: Int, _ isAttribute: Bool, _ declared: inout [String: Int], _ random: inout SeededGenerator
        ) -> String {
            var prefix = ["p", "q", "soap", "a", ""].randomElement(using: &random) ?? "p"
            while declared[prefix] != nil || used.contains(prefix) || (isAttribute && prefix.isEmpty) { prefix += "x" }
            scope.append((prefix, namespace))
            declared[prefix] = namespace
            used.insert(prefix)
            return prefix
        }

        private static func content(_ text: String, _ random: inout SeededGenerator) -> String {
            var result = ""
            for scalar in text.unicodeScalars {
                switch Int.random(in: 0..<6, using: &random) {
                case 0: result += "&#\(scalar.value);"
                case 1: result += "&#x" + String(scalar.value, radix: 16) + ";"
                case 2 where scalar != "\r" && scalar != "]": result += "<![CDATA[" + String(Character(scalar)) + "]]>"
                case 3: result += Self.escaped(scalar) + "<!--x-->"
                default: result += Self.escaped(scalar)
                }
            }
            return result
        }

        private static func escaped(_ scalar: Unicode.Scalar) -> String {
            switch scalar {
            case "<": "&lt;"
            case ">": "&gt;"
            case "&": "&amp;"
            case "\r": "&#13;"
            default: String(Character(scalar))
            }
        }

        private static func quoted(_ text: String, _ random: inout SeededGenerator) -> String {
            let quote = Bool.random(using: &random) ? "'" : "\""
            var result = quote
            for scalar in text.unicodeScalars {
                switch scalar {
                case "\n", "\t", "\r": result += "&#\(scalar.value);"
                case "'", "\"": result += scalar == "'" ? "&apos;" : "&quot;"
                case _ where Int.random(in: 0..<6, using: &random) == 0:
                    result += "&#x" + String(scalar.value, radix: 16) + ";"
                default: result += escaped(scalar)
                }
            }
            return result + quote
        }

        private static func filler(_ random: inout SeededGenerator) -> String {
            ["", " ", "\n  ", "\r\n\t", "<!-- x -->", " <!----> "].randomElement(using: &random) ?? ""
        }
    }
}
