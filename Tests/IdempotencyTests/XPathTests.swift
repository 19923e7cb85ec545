import Testing

@testable import Idempotency

@Suite struct XPathTests {
    static let order = """
        <o:order xmlns:o="urn:o" id="7" at="12:00"><o:head><o:time>1</o:time><o:from>a</o:from></o:head>\
        <o:line no="1"><o:item>x</o:item><o:note>n</o:note></o:line><o:line no="2"><o:item>y</o:item></o:line></o:order>
        """
    static let names = [XMLNamespace(prefix: "p", name: "urn:o")]

    @Test(arguments: [
        ("//*[local-name()='time']", "<o:time>1</o:time>", ""),
        ("//p:time", "<o:time>1</o:time>", "<o:time>2</o:time>"),
        ("/p:order/@at", " at=\"12:00\"", " at=\"12:01\""), ("/*/@at", " at=\"12:00\"", ""),
        ("//p:line/p:note", "<o:note>n</o:note>", ""),
        ("//p:line[@no='2']", "<o:line no=\"2\"><o:item>y</o:item></o:line>", ""),
        (
            "//p:line[p:item='y']", "<o:item>y</o:item></o:line></o:order>",
            "<o:item>y</o:item><o:x/></o:line></o:order>"
        ),
        ("//p:time/text()", "<o:time>1", "<o:time>23"), ("//p:line[2]", "no=\"2\"><o:item>y", "no=\"3\"><o:item>z"),
        ("//p:line[last()]/@no", "no=\"2\"", "no=\"3\""), ("//*[starts-with(name(), 'o:t')]", "<o:time>1", "<o:time>2"),
        ("descendant::p:time", "<o:time>1", "<o:time>2"), ("//p:head[.//p:from]", "<o:from>a", "<o:from>b"),
        ("//@*[local-name()='at']", "12:00", "13:00"), ("(//p:line)[1]", "<o:note>n", "<o:note>m"),
        ("/p:order/p:line/@no", "no=\"1\"", "no=\"5\""), ("//p:line[not(@no = 2)]", "<o:note>n", "<o:note>m"),
        ("/", "urn:o", "urn:p"), ("//node()[self::p:head]", "<o:from>a", "<o:from>b"),
        ("//p:line[position() = 1 and count(*) > 1]", "<o:note>n", "<o:note>m"),
    ])
    func excludedDoesNotMatter(path: String, from: String, to: String) throws {
        #expect(Self.order.contains(from))
        let changed = Self.order.replacing(from, with: to)
        let form = { (text: String) in try XMLForm.tokens(text, exclude: [path], namespaces: Self.names) }
        #expect(try form(Self.order) == form(changed))
        #expect(try XMLForm.tokens(Self.order) != XMLForm.tokens(changed))
        if path != "/" { #expect(try form(Self.order) != form(Self.order.replacing("id=\"7\"", with: "id=\"8\""))) }
    }

    @Test func includedAloneMatters() throws {
        let form = { (text: String) in
            try XMLForm.tokens(
                text, include: ["//p:line", "/p:order/@id"], exclude: ["//p:note"], namespaces: Self.names)
        }
        let first = try form(Self.order)
        for (from, to) in [
            ("12:00", "13:00"), ("<o:time>1</o:time>", ""), ("<o:from>a", "<o:from>b"), ("<o:note>n", "<o:note>m"),
        ] {
            #expect(try first == form(Self.order.replacing(from, with: to)), "\(from)")
        }
        for (from, to) in [
            ("id=\"7\"", "id=\"8\""), ("<o:item>x", "<o:item>z"), ("no=\"2\"", "no=\"3\""), ("urn:o", "urn:q"),
            ("<o:item>y</o:item>", ""),
        ] {
            #expect(try first != form(Self.order.replacing(from, with: to)), "\(from)")
        }
        // Where something stands counts: the elements around it leave their names.
        #expect(
            try XMLForm.tokens("<a><b>1</b></a>", include: ["//b"])
                != XMLForm.tokens("<c><b>1</b></c>", include: ["//b"]))
        #expect(
            try XMLForm.tokens("<a><b>1</b><c/></a>", include: ["//b"])
                == XMLForm.tokens("<a> <b>1</b></a>", include: ["//b"]))
        #expect(try XMLForm.tokens("<a><b>1</b></a>", include: ["//x"]) == XMLForm.tokens("<q/>", include: ["//x"]))
        #expect(
            try XMLForm.tokens("<a><b>1</b></a>", include: ["//b/text()"])
                != XMLForm.tokens("<a><b>2</b></a>", include: ["//b/text()"]))
    }

    /// A selection that selects nothing gives what no selection gives.
    @Test func treeAndStreamAreTheSame() throws {
        let documents = [
            Self.order, "<a> x <b/> <!-- c --> y<![CDATA[z]]> <?p q?></a>", "<?p q?><a/><?r s?>",
            "<a xmlns='u' xml:lang='de' b='&lt;&#10;'><b xmlns='' xmlns:c='v' c:d='e'>c:x</b></a>", "<a>\n<b/>\n</a>",
            "<a xml:space='preserve'> <b/> <c xml:space='default'> <d/> </c></a>", SOAPTests.envelope(),
            "<a xmlns:i='http://www.w3.org/2001/XMLSchema-instance' xmlns:p='u' i:type='p:T'/>", "<a><?p?></a>",
        ]
        for document in documents {
            #expect(try XMLForm.tokens(document) == XMLForm.tokens(document, exclude: ["/none"]), "\(document)")
            #expect(try XMLForm.tokens(document) == XMLForm.tokens(document, include: ["/"]), "\(document)")
        }
        #expect(
            try XMLForm.tokens(SOAPTests.envelope(), soap: true)
                == XMLForm.tokens(SOAPTests.envelope(), soap: true, exclude: ["/none"]))
    }

    @Test(arguments: [
        "", "/a[", "/a]", "/a(", "//", "a b", "//p2:a", "//a[$x]", "$x", "foo(//a)", "//a[foo(.)]", "p:f(//a)", "1",
        "'x'",
        "count(//a)", "string(//a)", "not(//a)", "//a = 'x'", "//a | //b", "//a/..", "//a[..]", "//a/parent::b",
        "//a/following::b", "//a/preceding-sibling::b", "//a/ancestor::b", "//a/namespace::b", "//a//b", "//a[//b]",
        "//a[/b]", "//a[b = c]", "//a[b = //c]", "a/descendant::b", "//a/descendant-or-self::b", "id('x')", "//a[.='x]",
        "//descendant::a", "//a!", "//a:b:c", "document('x')", "//a[@b=]", "/a/b[c/descendant::d]", "(//a)//b", "//a#",
        "//a[b != c]", "//a[count(b) = c]x", "\0", "//a\0",
    ])
    func unfitSelectorsAreFound(text: String) {
        #expect(throws: PolicyError.self) { try XPath(text, use: .selection) }
    }

    @Test(arguments: [
        "/", "//a", "/a/b", "a", "@a", "//@a", "//*", "//soap:Header", "//wsa:MessageID",
        "//wsse:Security/wsu:Timestamp",
        "//a[@b='c']", "//a['c'=@b]", "//a[b]", "//a[.//b]", "//a[1]", "//a[last()]", "//a[position() < 3]",
        "//a[b and c]",
        "//a[b or not(c)]", "//a[contains(., 'x')]", "//a[normalize-space(b) = 'x']",
        "//a[normalize-space(b) = string(c)]",
        "//a[count(b) = count(c)]", "//text()", "//a/text()", "//processing-instruction()", "//a/node()",
        "self::node()",
        "descendant::a", "./descendant::a", ".//a", "/descendant::a", "(//a)[1]", "//a[b[c]]", "//a[@x = -1]",
        "//a [ b ]",
        "/*/*[local-name() = 'x' and namespace-uri() = 'u']", "child::a/attribute::b", "//a[b mod 2 = 1]", "//div/mod",
        "//a[.='x' or .='y']", "//and", "//a[* = 3 * 2]".replacing("3 * 2", with: "6"), "//é",
    ])
    func fitSelectorsPass(text: String) throws {
        _ = try XPath(text, use: .selection)
        _ = try XPath(text, use: .token)
    }

    @Test func tokenPathsMayBeStrings() throws {
        for text in ["string(//a)", "concat(//a, '-', //b)", "substring-after(//a, ':')", "'x'"] {
            _ = try XPath(text, use: .token)
        }
        for text in ["count(//a)", "not(//a)", "1 + 1", "//a = 'x'"] {
            #expect(throws: PolicyError.self) { try XPath(text, use: .token) }
        }
    }

    @Test func declaredPrefixesComeFirst() throws {
        let own = [XMLNamespace(prefix: "wsa", name: "urn:mine")]
        let text = "<a xmlns='urn:mine'><b>1</b></a>"
        #expect(
            try XMLForm.tokens(text, exclude: ["//wsa:b"], namespaces: own) == XMLForm.tokens("<a xmlns='urn:mine'/>"))
        #expect(try XMLForm.tokens(text, exclude: ["//wsa:b"]) == XMLForm.tokens(text))
        let error = #expect(throws: PolicyError.self) { try XPath("//q:b", use: .selection) }
        #expect(error?.description == "'//q:b' cannot be used: the prefix 'q' is not declared")
    }

    @Test func namespacesAreDeclaredAsText() throws {
        #expect(try XMLNamespace(declaration: "o=urn:a=b") == XMLNamespace(prefix: "o", name: "urn:a=b"))
        for text in ["", "o", "o=", "=urn:a", "o:p=urn:a", "1=urn:a", "o p=urn:a"] {
            #expect(throws: PolicyError.invalidNamespace(text)) { try XMLNamespace(declaration: text) }
        }
    }

    @Test func valuesOfABody() throws {
        let values = { (path: String, body: String, type: String) in
            try XPath(path, use: .token).values(in: Array(body.utf8).span, contentType: Array(type.utf8).span)
                .map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(try values("//b", "<a><b>1</b><b>2<c>3</c></b></a>", "") == ["1", "23"])
        #expect(try values("string(//b)", "<a><b>1</b></a>", "text/xml; charset=utf-8") == ["1"])
        #expect(try values("string(//x)", "<a/>", "") == [])
        #expect(try values("//@c", "<a c='&lt;'/>", "application/xml") == ["<"])
        #expect(throws: XMLError.encoding) { try values("//b", "<a/>", "text/xml; charset=x") }
        #expect(throws: XMLError.documentType) { try values("//b", "<!DOCTYPE a><a/>", "") }
    }

    @Test func theOperationsOfAPathAreLimited() {
        // Each of 32 000 elements counts all below it: nothing here may take the square of its size.
        let nested =
            "<a>"
            + String(repeating: String(repeating: "<b>", count: 60) + String(repeating: "</b>", count: 60), count: 500)
            + "</a>"
        #expect(throws: XMLError.tooCostly) { try XMLForm.tokens(nested, exclude: ["//*[count(.//*) > 3]"]) }
    }
}
