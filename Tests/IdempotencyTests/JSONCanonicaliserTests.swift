import Testing

@testable import Idempotency

@Suite struct JSONCanonicaliserTests {
    static func canonical(
        _ text: String, include: [String] = [], exclude: [String] = []
    ) throws -> String {
        try canonical(Array(text.utf8), include: include, exclude: exclude)
    }

    static func canonical(_ octets: [UInt8], include: [String] = [], exclude: [String] = []) throws -> String {
        let selection = try JSONSelection(
            include: include.map { try JSONPointer($0) }, exclude: exclude.map { try JSONPointer($0) })
        var canonicaliser = JSONCanonicaliser()
        try canonicaliser.canonicalise(octets.span, selection: selection)
        return String(decoding: canonicaliser.output, as: UTF8.self)
    }

    /// RFC 8785 §3.2.2, but for 333333333.33333329, whose double is another number: see `inexactNumbersAreRefused`.
    @Test func rfc8785Example() throws {
        let input = #"""
            {
              "numbers": [333333333.3333333, 1E30, 4.50,
                          2e-3, 0.000000000000000000000000001],
              "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
              "literals": [null, true, false]
            }
            """#
        let expected =
            #"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#
            + #""string":"€$\u000f\nA'B\"\\\\\"/"}"#
        #expect(try Self.canonical(input) == expected)
    }

    /// RFC 8785 §3.2.3: members in the order of UTF-16 code units.
    @Test func rfc8785Order() throws {
        let input = #"""
            {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
             "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}
            """#
        let expected =
            #"{"\r":"Carriage Return","1":"One","\#u{80}":"Control","ö":"Latin Small Letter O With Diaeresis","#
            + #""€":"Euro Sign","😀":"Emoji: Grinning Face","\#u{FB33}":"Hebrew Letter Dalet With Dagesh"}"#
        #expect(Array(try Self.canonical(input).utf8) == Array(expected.utf8))
    }

    @Test(arguments: [
        ("{}", "{}"), ("[]", "[]"), (" [ 1 , 2 ] ", "[1,2]"), (#"{"b":1,"a":2}"#, #"{"a":2,"b":1}"#),
        (#"{"b":{"d":1,"c":2},"a":[{"y":0,"x":0}]}"#, #"{"a":[{"x":0,"y":0}],"b":{"c":2,"d":1}}"#),
        (#""\b\t\n\f\r\u0000\u001F\u007f""#, "\"\\b\\t\\n\\f\\r\\u0000\\u001f\u{7F}\""),
        (#"{"":1,"a":2,"aa":3}"#, #"{"":1,"a":2,"aa":3}"#),
        (#"{"aa":3,"a\u0000":2,"a":1}"#, #"{"a":1,"a\u0000":2,"aa":3}"#),
        (#"{"\"":1,"!":2}"#, #"{"!":2,"\"":1}"#), (#"{"\\":1,"[":2,"]":3}"#, #"{"[":2,"\\":1,"]":3}"#),
        ("\ttrue\r\n", "true"), ("null", "null"), ("-0", "0"), ("-0.0e5", "0"), ("0e999999999999999", "0"),
        (#"{"abcdefgh2":1,"abcdefgh10":2,"abcdefgh":3}"#, #"{"abcdefgh":3,"abcdefgh10":2,"abcdefgh2":1}"#),
    ])
    func forms(input: String, expected: String) throws {
        #expect(try Self.canonical(input) == expected)
        #expect(try Self.canonical(expected) == expected)
    }

    @Test(arguments: [
        "", " ", "{", "}", "[", "]", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{a:1}",
        "{'a':1}", "[1}",
        "{\"a\":1]", "1 2", "{} {}", "[] x", "nul", "nulll", "True", "NaN", "Infinity", "-Infinity", "-", "+1", "01",
        "-01", "1.", ".1",
        "1e", "1e+", "0x1", "1_0", "\"", "\"a", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "\"\t\"",
        "\u{FEFF}{}",
        "/* */1", "[1]//", "\"\\ud800", "\"\\",
    ])
    func otherSyntaxIsRefused(text: String) {
        #expect(throws: (any Error).self) { try Self.canonical(text) }
    }

    @Test(arguments: [
        (#"{"a":1,"a":1}"#, JSONError.duplicateName), (#"{"a":1,"b":2,"a":3}"#, .duplicateName),
        (#"{"a":1,"\u0061":2}"#, .duplicateName),
        (#"[{"x":{"a":1,"b":1,"a":1}}]"#, .duplicateName), (#""\ud800""#, .loneSurrogate),
        (#""\udc00""#, .loneSurrogate),
        (#""\ud800\u0041""#, .loneSurrogate), (#""\ud800x""#, .loneSurrogate), (#"{"\udead":1}"#, .loneSurrogate),
    ])
    func whatParsersDisagreeOnIsRefused(text: String, error: JSONError) {
        #expect(throws: error) { try Self.canonical(text) }
    }

    @Test(
        arguments: [
            [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xC3], [0xE0, 0x80, 0x80], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80],
            [0xE2, 0x82],
            [0xF0, 0x80, 0x80, 0x80], [0xF0, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80],
            [0xFF], [0xE2, 0x82, 0x41],
        ] as [[UInt8]])
    func invalidUTF8IsRefused(octets: [UInt8]) {
        #expect(throws: JSONError.invalidUTF8) { try Self.canonical([0x22] + octets + [0x22]) }
        #expect(throws: JSONError.invalidUTF8) { try Self.canonical([0x7B, 0x22] + octets + Array("\":1}".utf8)) }
        #expect(throws: (any Error).self) { try Self.canonical([0x22] + octets) }
    }

    @Test func depthHasALimit() throws {
        let open = { (count: Int) in String(repeating: "[", count: count) + String(repeating: "]", count: count) }
        #expect(try Self.canonical(open(64)) == open(64))
        #expect(throws: JSONError.tooDeep) { try Self.canonical(open(65)) }
        #expect(throws: JSONError.tooDeep) { try Self.canonical(String(repeating: "{\"a\":", count: 100_000)) }
    }

    // MARK: Selection

    @Test(arguments: [
        (["/timestamp"], #"{"timestamp":1,"a":2}"#, #"{"a":2}"#), (["/timestamp"], #"{"a":2}"#, #"{"a":2}"#),
        (["/a"], #"{"a":{"b":1}}"#, "{}"), (["/a/b"], #"{"a":{"b":1,"c":2},"b":3}"#, #"{"a":{"c":2},"b":3}"#),
        (["/0"], "[1,2,3]", "[-,2,3]"), (["/2"], "[1,2,3]", "[1,2,-]"), (["/*"], "[1,2,3]", "[]"),
        (["/*"], #"{"a":1,"b":2}"#, "{}"),
        (["/items/*/at"], #"{"items":[{"at":1,"x":2},{"x":3,"at":4}]}"#, #"{"items":[{"x":2},{"x":3}]}"#),
        (["/a~1b", "/c~0d"], #"{"a/b":1,"c~d":2,"e":3}"#, #"{"e":3}"#), ([""], #"{"a":1}"#, ""),
        (["/00"], "[1]", "[1]"),
        (["/b", "/a"], #"{"c":1,"b":2,"a":3}"#, #"{"c":1}"#), (["/n"], #"{"n":9007199254740993}"#, "{}"),
        (["/z"], #"{"z":{"b":1,"a":2},"y":{"b":1,"a":2}}"#, #"{"y":{"a":2,"b":1}}"#),
    ])
    func excluded(pointers: [String], input: String, expected: String) throws {
        #expect(try Self.canonical(input, exclude: pointers) == expected)
    }

    @Test(arguments: [
        (["/a"], #"{"b":1,"a":{"c":2}}"#, #"{"a":{"c":2}}"#),
        (["/a/b"], #"{"a":{"b":1,"c":2},"d":3}"#, #"{"a":{"b":1}}"#),
        (["/a/b"], #"{"a":5}"#, ""), (["/a/b"], #"{"a":{}}"#, ""), (["/a/b"], #"{"a":{"c":1}}"#, ""),
        (["/i/*/s"], #"{"i":[{"s":1,"q":2},{"q":3},{"s":4}]}"#, #"{"i":[{"s":1},-,{"s":4}]}"#),
        (["/i/0/s", "/i/1/s"], #"{"i":[{"s":1}]}"#, #"{"i":[{"s":1}]}"#),
        (["/i/0/s", "/i/1/s"], #"{"i":[{},{"s":1}]}"#, #"{"i":[-,{"s":1}]}"#),
        (["/a"], #"{"a":1,"n":9007199254740993}"#, #"{"a":1}"#), ([""], #"{"b":1,"a":2}"#, #"{"a":2,"b":1}"#),
    ])
    func included(pointers: [String], input: String, expected: String) throws {
        #expect(try Self.canonical(input, include: pointers) == expected)
    }

    @Test func exclusionWins() throws {
        let input = #"{"a":{"b":1,"c":2},"d":3}"#
        #expect(try Self.canonical(input, include: ["/a"], exclude: ["/a/b"]) == #"{"a":{"c":2}}"#)
        #expect(try Self.canonical(input, include: ["/a/b"], exclude: ["/a"]) == "")
    }

    @Test func duplicatesInExcludedPartsAreRefused() {
        #expect(throws: JSONError.duplicateName) { try Self.canonical(#"{"t":{"a":1,"a":2}}"#, exclude: ["/t"]) }
        #expect(throws: JSONError.duplicateName) { try Self.canonical(#"{"t":1,"t":2}"#, exclude: ["/t"]) }
    }

    @Test(arguments: ["a", "/a~", "/a~2", "~0"])
    func pointersHaveASyntax(text: String) {
        #expect(throws: PolicyError.invalidPointer(text)) { try JSONPointer(text) }
    }
}
