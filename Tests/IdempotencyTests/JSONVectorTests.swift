import Testing

@testable import Idempotency

/// The test data published with RFC 8785 (cyberphone/json-canonicalization, testdata): input and output of each file.
@Suite struct JSONVectorTests {
    @Test(arguments: [
        // arrays
        (
            "[\n  56,\n  {\n    \"d\": true,\n    \"10\": null,\n    \"1\": [ ]\n  }\n]",
            #"[56,{"1":[],"10":null,"d":true}]"#
        ),
        // french
        (
            "{\n  \"peach\": \"This sorting order\",\n  \"péché\": \"is wrong according to French\",\n"
                + "  \"pêche\": \"but canonicalization MUST\",\n  \"sin\":   \"ingnore locale\"\n}\n",
            #"{"peach":"This sorting order","péché":"is wrong according to French","#
                + #""pêche":"but canonicalization MUST","sin":"ingnore locale"}"#
        ),
        // structures
        (
            "{\n  \"1\": {\"f\": {\"f\": \"hi\",\"F\": 5} ,\"\\n\": 56.0},\n  \"10\": { },\n  \"\": \"empty\",\n  \"a\": { },\n"
                + "  \"111\": [ { } ],\n  \"A\": { }\n}",
            #"{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{}],"A":{},"a":{}}"#
        ),
        // unicode
        ("{\n  \"Unnormalized Unicode\":\"A\\u030a\"\n}\n", "{\"Unnormalized Unicode\":\"A\u{030A}\"}"),
        // values, but for 333333333.33333329: see below
        (
            #"{"numbers": [1E30, 4.50, 2e-3, 0.000000000000000000000000001],"#
                + #" "escaping": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
            #"{"escaping":"€$\u000f\nA'B\"\\\\\"/","literals":[null,true,false],"numbers":[1e+30,4.5,0.002,1e-27]}"#
        ),
        // weird
        (
            #"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\u000a": "Newline", "1": "One","#
                + #" "\u0080": "Control\u007f", "\ud83d\ude02": "Smiley","#
                + #" "\u00f6": "Latin Small Letter O With Diaeresis","#
                + #" "\ufb33": "Hebrew Letter Dalet With Dagesh", "</script>": "Browser Challenge"}"#,
            #"{"\n":"Newline","\r":"Carriage Return","1":"One","</script>":"Browser Challenge","#
                + "\"\u{80}\":\"Control\u{7F}\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\","
                + "\"😂\":\"Smiley\",\"\u{FB33}\":\"Hebrew Letter Dalet With Dagesh\"}"
        ),
    ])
    func testdata(input: String, output: String) throws {
        #expect(Array(try JSONCanonicaliserTests.canonical(input).utf8) == Array(output.utf8))
        #expect(Array(try JSONCanonicaliserTests.canonical(output).utf8) == Array(output.utf8))
    }

    /// The last two rows of RFC 8785 appendix B: no JSON text for them.
    @Test(arguments: ["NaN", "Infinity", "-Infinity"])
    func noNumbers(text: String) {
        #expect(throws: JSONError.syntax) { try JSONCanonicaliserTests.canonical(text) }
    }

    /// RFC 8785 writes 333333333.33333329 as 333333333.3333333, the nearest double's shortest text. Here such a
    /// document counts by its octets: the two are equal for a service that reads doubles and different for one that
    /// reads decimals.
    @Test func valuesThatADoubleRounds() throws {
        #expect(throws: JSONError.inexactNumber) { try JSONCanonicaliserTests.canonical("[333333333.33333329]") }
        #expect(try JSONCanonicaliserTests.canonical("[333333333.3333333]") == "[333333333.3333333]")
    }

    /// RFC 8785 §3.1 (I-JSON, RFC 7493): refused, so that the octets count. Behaviour 19.
    @Test(arguments: [
        #"{"a":1,"a":1}"#, #"{"a":1,"\u0061":1}"#, #"["\ud800"]"#, #"["\udc00\ud800"]"#, #"{"\ud83d":1}"#, "[1,2",
        "\u{FEFF}{}", #"{"a":9007199254740993}"#,
    ])
    func whatIsNotIJSONCountsByItsOctets(text: String) throws {
        var policy = Policy()
        policy.onMissingKey = .hash
        var rule = HashRule()
        rule.body = .json
        policy.hash = rule
        let identifier = try Identifier(route: "r", policy: policy)
        let first = try identifier.identity(TestRequest(body: text))
        #expect(first.fellBackToOctets)
        #expect(try identifier.identity(TestRequest(body: text)).key == first.key)
        #expect(try identifier.identity(TestRequest(body: text + " ")).key != first.key)
    }
}
