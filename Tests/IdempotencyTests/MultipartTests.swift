import Testing

@testable import Idempotency

/// Behaviour 23.
@Suite struct MultipartTests {
    static let crlf = "\r\n"

    static func part(_ fields: [String], _ body: String) -> String {
        (fields + ["", body]).joined(separator: crlf)
    }

    static func field(_ name: String, _ value: String) -> String {
        part(["Content-Disposition: form-data; name=\"\(name)\""], value)
    }

    static let file = part(
        [
            "Content-Disposition: form-data; name=\"file\"; filename=\"a.bin\"",
            "Content-Type: application/octet-stream",
        ],
        "\u{0}\u{1}\r\n--\r\n\u{7F}")

    static func body(_ parts: [String], boundary: String = "b", preamble: String = "", epilogue: String = crlf)
        -> String
    {
        let delimited = parts.map { "--\(boundary)\(crlf)\($0)\(crlf)" }.joined()
        return preamble + delimited + "--\(boundary)--" + epilogue
    }

    /// Nil where it is not multipart.
    static func form(
        _ text: String, boundary: String = "b", subtype: String = "form-data", include: [String] = [],
        exclude: [String] = []
    ) -> Digest256? {
        var canonicaliser = MultipartCanonicaliser()
        var hash = SHA256()
        let selection = FormSelection(include: include.map { Array($0.utf8) }, exclude: exclude.map { Array($0.utf8) })
        let isForm = canonicaliser.absorb(
            Array(text.utf8).span, boundary: Array(boundary.utf8), subtype: Array(subtype.utf8), selection: selection,
            into: &hash)
        if !isForm { #expect(hash.finish() == SHA256().finish()) }
        return isForm ? hash.finish() : nil
    }

    static let parts = [field("a", "1"), file]

    @Test func theBoundaryDoesNotCount() {
        let first = Self.form(Self.body(Self.parts))
        #expect(first != nil)
        for boundary in ["x", "----WebKitFormBoundaryABC", "a b", String(repeating: "q", count: 70), "0'()+_,-./:=?"] {
            #expect(Self.form(Self.body(Self.parts, boundary: boundary), boundary: boundary) == first, "\(boundary)")
        }
        #expect(Self.form(Self.body(Self.parts, preamble: "for old readers\r\n")) == first)
        #expect(Self.form(Self.body(Self.parts, epilogue: "\r\nmore")) == first)
        #expect(Self.form(Self.body(Self.parts, epilogue: "")) == first)
        #expect(Self.form("\r\n" + Self.body(Self.parts)) == first)
        #expect(Self.form(Self.body(Self.parts).replacing("--b\r\n", with: "--b \t\r\n")) == first)
    }

    @Test(arguments: [
        ("Content-Disposition: form-data; name=\"a\"", "content-disposition:form-data;name=a"),
        ("Content-Disposition: form-data; name=\"a\"", "Content-Disposition: Form-Data;  NAME=\"a\" ;"),
        (
            "Content-Disposition: form-data; name=\"a\"",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Length: 1"
        ),
        (
            "Content-Disposition: form-data; name=\"a\"",
            "Content-Transfer-Encoding: 8bit\r\nContent-Disposition: form-data; name=\"a\""
        ),
        ("filename=\"a.bin\"", "filename=a.bin"),
        ("; name=\"file\"; filename=\"a.bin\"", "; filename=\"a.bin\"; name=\"file\""),
        ("Content-Type: application/octet-stream", "content-type: Application/Octet-Stream"),
        (
            "filename=\"a.bin\"\r\nContent-Type: application/octet-stream",
            "filename=\"a.bin\"\r\nContent-Transfer-Encoding: Binary\r\nContent-Type: application/octet-stream"
        ),
    ])
    func sameMeaning(from: String, to: String) {
        let body = Self.body(Self.parts)
        #expect(body.contains(from))
        #expect(Self.form(body.replacing(from, with: to)) == Self.form(body))
    }

    @Test(arguments: [
        ("\r\n1\r\n", "\r\n2\r\n"), ("\r\n1\r\n", "\r\n1 \r\n"), ("\u{7F}", "\u{7E}"), ("\u{7F}", "\u{7F}\r\n"),
        ("name=\"a\"", "name=\"b\""),
        ("name=\"a\"", "name=\"A\""), ("a.bin", "b.bin"), ("application/octet-stream", "image/png"),
        ("application/octet-stream", "application/octet-stream; charset=x"), ("; filename=\"a.bin\"", ""),
        ("form-data; name=\"a\"", "attachment; name=\"a\""),
        ("\r\nContent-Type: application/octet-stream", ""), ("\r\nContent-Type", "\r\nX-Part: 1\r\nContent-Type"),
        ("\r\nContent-Type", "\r\nContent-Transfer-Encoding: base64\r\nContent-Type"),
        ("filename=\"a.bin\"", "filename=\"a\\.bin\""),
    ])
    func otherMeaning(from: String, to: String) {
        let body = Self.body(Self.parts)
        #expect(body.contains(from))
        let changed = Self.form(body.replacing(from, with: to))
        #expect(changed != nil)
        #expect(changed != Self.form(body))
    }

    @Test func orderAndNumberOfPartsCount() {
        let a = Self.field("a", "1")
        let b = Self.field("b", "2")
        let forms = [[a, b], [b, a], [a], [a, a], [], [a, b, b]].map { Self.form(Self.body($0)) }
        #expect(!forms.contains(nil))
        #expect(Set(forms.compactMap { $0 }).count == forms.count)
        #expect(Self.form(Self.body([a]), subtype: "mixed") != Self.form(Self.body([a])))
        // Ends of parts do not move.
        #expect(
            Self.form(Self.body([Self.field("a", "xy"), Self.field("b", "z")]))
                != Self.form(Self.body([Self.field("a", "x"), Self.field("b", "yz")])))
    }

    @Test func partsCanBeChosen() {
        let stamp = { (text: String) in Self.body([Self.field("t", text), Self.field("a", "1")]) }
        #expect(Self.form(stamp("1"), exclude: ["t"]) == Self.form(stamp("2"), exclude: ["t"]))
        #expect(Self.form(stamp("1"), exclude: ["t"]) == Self.form(Self.body([Self.field("a", "1")]), exclude: ["t"]))
        #expect(Self.form(stamp("1"), exclude: ["a"]) != Self.form(stamp("2"), exclude: ["a"]))
        #expect(Self.form(stamp("1"), include: ["a"]) == Self.form(stamp("2"), include: ["a"]))
        #expect(
            Self.form(Self.body([Self.part(["X: 1"], "q")]), include: ["a"]) == Self.form(Self.body([]), include: ["a"])
        )
        #expect(
            Self.form(Self.body([Self.part(["X: 1"], "q")]), exclude: ["a"]) != Self.form(Self.body([]), exclude: ["a"])
        )
    }

    @Test func whatParsersDisagreeOnIsNotMultipart() {
        let a = Self.field("a", "1")
        let good = Self.body([a])
        for (text, why) in [
            ("", "empty"), ("--b", "no end"), (good.replacing("--b--\r\n", with: ""), "no last boundary"),
            (good.replacing("\r\n", with: "\n"), "line ends"),
            (good.replacing("--b\r\n", with: "--bx\r\n"), "another boundary"),
            (good.replacing("--b--", with: "--b--x"), "text behind the end"),
            (good.replacing("--b--", with: "--b-"), "half an end"),
            (good.replacing("name=\"a\"", with: "name=\"a"), "quote"),
            (good.replacing("name=\"a\"", with: "name=\"a\"; name=\"b\""), "twice"),
            (good.replacing("name=\"a\"", with: "name"), "no value"),
            (good.replacing("; name", with: "\r\n ; name"), "folded"),
            (good.replacing("Content-Disposition:", with: "Content-Disposition :"), "space"),
            (good.replacing("Content-Disposition:", with: ":"), "no name"),
            (good.replacing("\r\n\r\n", with: "\r\n"), "no empty line"),
            (good.replacing("\"a\"\r\n", with: "\"a\"\r\nContent-Disposition: form-data\r\n"), "two dispositions"),
            (good.replacing("\"a\"\r\n", with: "\"a\"\nX: y\r\n"), "bare line feed"),
            (good.replacing("\"a\"", with: "\"\u{0}\""), "control"),
            (Self.body([a], preamble: "\n--b\nx\r\n"), "a part for others before"),
            (Self.body([a], epilogue: "\n--b\r\n"), "a part for others behind"),
            (Self.body([Self.part([], "")]).replacing("\r\n\r\n\r\n", with: "\r\n\r\n"), "no content"),
        ] {
            #expect(Self.form(text) == nil, "\(why)")
        }
        #expect(Self.form(Self.body([Self.part([], "")])) != nil)
        for boundary in ["", "b ", String(repeating: "q", count: 71), "b\t", "é"] {
            #expect(Self.form(Self.body([a], boundary: boundary), boundary: boundary) == nil)
        }
        #expect(Self.form(Self.body(.init(repeating: a, count: MultipartCanonicaliser.partsMax))) != nil)
        #expect(Self.form(Self.body(.init(repeating: a, count: MultipartCanonicaliser.partsMax + 1))) == nil)
        #expect(Self.form(Self.body([Self.part(.init(repeating: "X: y", count: 65), "")])) == nil)
        #expect(Self.form(Self.body([Self.part(["X: " + String(repeating: "y", count: 17_000)], "")])) == nil)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func randomForms(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let values = (0..<Int.random(in: 1...6, using: &random)).map { index in
                (
                    name: "n\(index)",
                    value: String(
                        (0..<Int.random(in: 0...30, using: &random)).map { _ in
                            "-b\r\nx\u{0}é".randomElement(using: &random)!
                        })
                )
            }
            let write = { (values: [(name: String, value: String)], boundary: String, random: inout SeededGenerator) in
                Self.body(
                    values.map { value in
                        Bool.random(using: &random)
                            ? Self.field(value.name, value.value)
                            : Self.part(["content-disposition: form-data;name=\(value.name)"], value.value)
                    }, boundary: boundary)
            }
            let first = Self.form(write(values, "boundary1", &random), boundary: "boundary1")
            #expect(first != nil)
            #expect(Self.form(write(values, "boundary2", &random), boundary: "boundary2") == first, "seed \(seed)")
            var changed = values
            let index = Int.random(in: 0..<changed.count, using: &random)
            if Bool.random(using: &random) { changed[index].value += "y" } else { changed[index].name += "y" }
            #expect(Self.form(write(changed, "boundary1", &random), boundary: "boundary1") != first, "seed \(seed)")
        }
    }

    // MARK: Requests

    @Test func requests() throws {
        var policy = Policy()
        policy.onMissingKey = .hash
        var rule = HashRule()
        rule.body = .multipart
        rule.exclude = [.part("t")]
        policy.hash = rule
        let identifier = try Identifier(route: "r", policy: policy)
        let identity = { (body: String, type: String) in
            try identifier.identity(TestRequest(fields: [("Content-Type", type)], body: body))
        }
        let body = Self.body(Self.parts, boundary: "x")
        let first = try identity(body, "multipart/form-data; boundary=x")
        #expect(!first.fellBackToOctets)
        #expect(
            try identity(Self.body(Self.parts, boundary: "y"), "Multipart/Form-Data; Boundary=\"y\"").key == first.key)
        #expect(
            try identity(
                Self.body(Self.parts + [Self.field("t", "1")], boundary: "y"), "multipart/form-data; boundary=y"
            ).key == first.key)
        #expect(
            try identity(body.replacing("\u{7F}", with: "\u{7E}"), "multipart/form-data; boundary=x").key != first.key)
        for type in [
            "multipart/form-data", "multipart/form-data; boundary=y", "text/plain; boundary=x",
            "multipart/form-data; boundary=x; boundary=x",
        ] {
            let other = try identity(body, type)
            #expect(other.fellBackToOctets, "\(type)")
            #expect(other.key != first.key)
        }
    }
}
