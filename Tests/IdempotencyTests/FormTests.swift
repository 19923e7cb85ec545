import Testing

@testable import Idempotency

@Suite struct FormTests {
    static func canonical(_ text: String, orderFree: Bool = false, include: [String] = [], exclude: [String] = [])
        -> [UInt8]?
    {
        var canonicaliser = FormCanonicaliser()
        let selection = FormSelection(
            include: include.map { Array($0.utf8) }, exclude: exclude.map { Array($0.utf8) }, isOrderFree: orderFree)
        return canonicaliser.canonicalise(Array(text.utf8).span, selection: selection) ? canonicaliser.output : nil
    }

    @Test(arguments: [
        ("a=1&b=2", "%61=%31&b=2"), ("a=+", "a=%20"), ("a=%2b", "a=%2B"), ("", ""), ("a[b]=1", "a%5Bb%5D=1"),
        ("%C3%A9=1", "%c3%a9=1"),
    ])
    func sameMeaning(left: String, right: String) {
        #expect(Self.canonical(left) != nil)
        #expect(Self.canonical(left) == Self.canonical(right))
    }

    @Test(arguments: [
        ("a=1&b=2", "b=2&a=1"), ("a=1&a=2", "a=2&a=1"), ("a", "a="), ("a=1", "a=1&"), ("a=1&b=2", "a=1%26b=2"),
        ("a=+", "a=%2B"),
        ("ab=c", "a=bc"), ("a=b", "a%3Db"), ("=a", "a"), ("a=", "=a"), ("&", ""),
    ])
    func otherMeaning(left: String, right: String) {
        #expect(Self.canonical(left) != nil)
        #expect(Self.canonical(left) != Self.canonical(right))
    }

    /// Behaviour 24.
    @Test func orderCanBeFree() {
        #expect(Self.canonical("a=1&b=2", orderFree: true) == Self.canonical("b=2&a=1", orderFree: true))
        #expect(Self.canonical("a=1&a=2", orderFree: true) != Self.canonical("a=2&a=1", orderFree: true))
        #expect(
            Self.canonical("b=1&a=1&b=2&a=2", orderFree: true) == Self.canonical("a=1&a=2&b=1&b=2", orderFree: true))
        #expect(Self.canonical("=&", orderFree: true) != Self.canonical("&=", orderFree: true))
        #expect(Self.canonical("ab=1&a=2", orderFree: true) == Self.canonical("a=2&ab=1", orderFree: true))
    }

    @Test func fieldsCanBeChosen() {
        #expect(Self.canonical("a=1&t=5&b=2", exclude: ["t"]) == Self.canonical("%74=6&a=1&b=2", exclude: ["t"]))
        #expect(Self.canonical("a=1&b=2", include: ["a"]) == Self.canonical("b=3&a=1&c=4", include: ["a"]))
        #expect(Self.canonical("a=1", include: ["a"]) != Self.canonical("a=2", include: ["a"]))
        #expect(Self.canonical("a=1&a=2", include: ["a"], exclude: ["a"]) == [])
    }

    @Test(arguments: [
        "a=%", "a=%1", "a=%g1", "%zz", "{\"a\":1}", "a b", "a=\n", "a=é", "<a/>", "a=%4", "a=\"b\"", "\u{0}",
    ])
    func otherFormatsAreRefused(text: String) {
        #expect(Self.canonical(text) == nil)
    }

    @Test func tooManyFieldsAreRefused() {
        #expect(Self.canonical(String(repeating: "a&", count: FormCanonicaliser.fieldsMax - 1)) != nil)
        #expect(Self.canonical(String(repeating: "a&", count: FormCanonicaliser.fieldsMax)) == nil)
    }

    @Test func shuffledFieldsAreOneFormAndChangedOnesAreNot() {
        var random = SeededGenerator(seed: 24)
        for _ in 0..<500 {
            let fields = (0..<Int.random(in: 1...12, using: &random)).map { index in
                "n\(index)=" + String(Int.random(in: 0...9, using: &random))
            }
            let text = fields.joined(separator: "&")
            let shuffled = fields.shuffled(using: &random).joined(separator: "&")
            #expect(Self.canonical(text, orderFree: true) == Self.canonical(shuffled, orderFree: true))
            var changed = fields
            changed[Int.random(in: 0..<fields.count, using: &random)] += "x"
            #expect(
                Self.canonical(text, orderFree: true) != Self.canonical(changed.joined(separator: "&"), orderFree: true)
            )
        }
    }
}
