/// The names that stand in an XPath: enough to tell an operator that two of them speak of the same place, not to prove
/// that they do not.
struct XPathNames {
    /// Local names of steps, and strings, with which `local-name()` is compared.
    private(set) var elements: Set<String> = []
    private(set) var attributes: Set<String> = []
    private(set) var qualified: [(prefix: String, local: String)] = []
    /// Those of the last step: what is selected.
    private var target: Set<String> = []
    private var selectsAttributes = false
    private var rest: Substring

    private enum Word {
        case name(String)
        case axis(String)
        /// A function, `text()` and the like.
        case function
    }

    init(_ text: String) {
        rest = text[...]
        var depth = 0
        var isAttribute = false
        var strings: Set<String> = []
        while let character = rest.popFirst() {
            switch character {
            case "(", "[": depth += 1
            case ")", "]": depth -= 1
            case "@": isAttribute = true
            case "/" where depth == 0: (target, strings, selectsAttributes, isAttribute) = ([], [], false, false)
            case "/": isAttribute = false
            case "*":
                if depth == 0 { selectsAttributes = isAttribute }
                isAttribute = false
            case "\"", "'":
                let string = String(rest.prefix { $0 != character })
                rest = rest.dropFirst(string.count + 1)
                elements.insert(string)
                attributes.insert(string)
                strings.insert(string)
            case _ where character.isLetter || character == "_":
                switch word(character) {
                case .function: continue
                case .axis(let axis): isAttribute = axis == "attribute"
                case .name(let name):
                    if isAttribute { attributes.insert(name) } else { elements.insert(name) }
                    if depth == 0 { (target, selectsAttributes) = ([name], isAttribute) }
                    isAttribute = false
                }
            default: continue
            }
        }
        if target.isEmpty { target = strings }
        if target.isEmpty { target = selectsAttributes ? attributes : elements }
    }

    /// Whether this one goes through or ends at what the other selects.
    func reads(_ other: XPathNames) -> Bool {
        let names = other.selectsAttributes ? attributes : elements
        // Without any name the other selects all there is.
        if other.target.isEmpty { return !(other.selectsAttributes && names.isEmpty) }
        return !names.isDisjoint(with: other.target)
    }

    private mutating func word(_ first: Character) -> Word {
        var name = String(first) + takeName()
        if rest.hasPrefix("::") {
            rest = rest.dropFirst(2)
            return .axis(name)
        }
        if rest.first == ":" {
            rest.removeFirst()
            let local = takeName()
            qualified.append((name, local))
            name = local
        }
        return rest.drop { $0 == " " }.first == "(" ? .function : .name(name)
    }

    private mutating func takeName() -> String {
        let name = rest.prefix(while: Self.isInName)
        rest = rest.dropFirst(name.count)
        return String(name)
    }

    private static func isInName(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || ["_", "-", "."].contains(character)
    }
}
