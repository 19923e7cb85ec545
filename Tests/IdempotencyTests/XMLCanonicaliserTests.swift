import Testing

@testable import Idempotency

@Suite struct XMLCanonicaliserTests {
    @Test(arguments: [
        // Prefixes, declarations, the default namespace.
        (#"<a xmlns="u"><b/></a>"#, #"<p:a xmlns:p="u"><p:b/></p:a>"#),
        (#"<p:a xmlns:p="u" xmlns:q="v"/>"#, #"<x:a xmlns:x="u"/>"#),
        (#"<p:a xmlns:p="u"><p:b/></p:a>"#, #"<p:a xmlns:p="u"><q:b xmlns:q="u"/></p:a>"#),
        (#"<a xmlns="u"><b xmlns=""/></a>"#, #"<p:a xmlns:p="u"><b/></p:a>"#),
        (#"<a xmlns:p="u" p:x="1" y="2"/>"#, #"<a y="2" q:x="1" xmlns:q="u"/>"#),
        (#"<a xmlns:p="u" xmlns:q="w" p:x="1" q:x="2"/>"#, #"<a xmlns:q="u" xmlns:p="w" p:x="2" q:x="1"/>"#),
        // Attributes, tags.
        (#"<a b="1" c="2"/>"#, #"<a c='2' b='1'></a>"#), ("<a />", "<a\n></a\t>"), (#"<a b = "1"/>"#, #"<a b="1"/>"#),
        // Characters.
        ("<a>&lt;&gt;&amp;&apos;&quot;</a>", "<a><![CDATA[<>&'\"]]></a>"), ("<a>&#65;&#x42;</a>", "<a>AB</a>"),
        (#"<a b="&#65;&amp;&lt;"/>"#, #"<a b="A&#38;&#60;"/>"#), (#"<a b="&quot;"/>"#, #"<a b='"'/>"#),
        ("<a>x\r\ny\rz</a>", "<a>x\ny\nz</a>"), ("<a b=\"x\r\ny\tz\"/>", "<a b=\"x y z\"/>"),
        ("<a>x<![CDATA[y]]>z</a>", "<a>xyz</a>"), ("<a>é</a>", "<a>&#233;</a>"),
        // Comments.
        ("<a>x<!-- y -->z</a>", "<a>xz</a>"), ("<!--x--><a/><!--y-->", "<a/>"),
        // White space between elements.
        ("<a><b/><c/></a>", "<a>\n  <b/>\n  <c/>\n</a>"), ("<a><b>x</b></a>", "<a> <b>x</b> <!-- y --> </a>"),
        ("<a><b> </b></a>", "\n<a>\n<b> </b>\n</a>\n"),
        // The declaration.
        ("<a/>", #"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><a/>"#), ("<a/>", "\u{FEFF}<a/>"),
        // Schema types: their prefixes are resolved.
        (
            #"<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:p="u" i:type="p:T"/>"#,
            #"<a xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:q="u" xsi:type=" q:T "/>"#
        ),
        (
            #"<e:a xmlns:e="u" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="e:T"/>"#,
            #"<a xmlns="u" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="T"/>"#
        ),
    ])
    func sameMeaning(left: String, right: String) throws {
        #expect(try XMLForm.tokens(left) == XMLForm.tokens(right))
    }

    @Test(arguments: [
        ("<a/>", "<b/>"), (#"<a xmlns="u"/>"#, "<a/>"), (#"<a xmlns="u"/>"#, #"<a xmlns="v"/>"#),
        (#"<p:a xmlns:p="u" x="1"/>"#, #"<p:a xmlns:p="u" p:x="1"/>"#),
        ("<a><b/><c/></a>", "<a><c/><b/></a>"), ("<a><b/></a>", "<a/>"), ("<a><b/><c/></a>", "<a><b><c/></b></a>"),
        ("<a>x</a>", "<a>y</a>"), ("<a>x</a>", "<a> x</a>"), ("<a> </a>", "<a/>"), ("<a>x</a>", #"<a b="x"/>"#),
        (#"<a b="1"/>"#, #"<a b="2"/>"#), (#"<a b="1"/>"#, #"<a c="1"/>"#), (#"<a b=""/>"#, "<a/>"),
        (#"<a b="1 2"/>"#, #"<a b="1  2"/>"#), (#"<a b="&#10;"/>"#, #"<a b=" "/>"#),
        (#"<a b="x&#13;"/>"#, #"<a b="x&#10;"/>"#), ("<a>x&#13;</a>", "<a>x&#10;</a>"),
        ("<a><b/></a>", "<a>x<b/></a>"), ("<a>x<b/></a>", "<a><b/>x</a>"),
        // White space in mixed content, and where it is asked to be kept.
        ("<a>x<b/> <c/></a>", "<a>x<b/><c/></a>"),
        (#"<a xml:space="preserve"> <b/></a>"#, #"<a xml:space="preserve"><b/></a>"#),
        ("<a><b> </b></a>", "<a><b/></a>"),
        // Instructions count.
        ("<a><?p x?></a>", "<a/>"), ("<a><?p x?></a>", "<a><?p y?></a>"), ("<?p x?><a/>", "<a/>"),
        ("<?p x?><a/>", "<a/><?p x?>"),
        // No element's text runs into another's.
        ("<r><a>b</a><a>c</a></r>", "<r><a>bc</a><a/></r>"), (#"<a b="1" c="2"/>"#, #"<a b="1 c=2"/>"#),
        ("<ab/>", "<a>b</a>"), ("<a>&lt;b/></a>", "<a><b/></a>"),
        // Prefixes in content: bound to other namespaces, they are other names.
        (
            #"<a xmlns:p="u"><b>p:x</b></a>"#, #"<a xmlns:p="v"><b>p:x</b></a>"#
        ),
        (#"<a xmlns:p="u" b="/p:x/p:y"/>"#, #"<a xmlns:p="v" b="/p:x/p:y"/>"#),
        (#"<a xmlns:p="u"><b>p:x</b></a>"#, "<a><b>p:x</b></a>"),
        (
            #"<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:p="u" i:type="p:T"/>"#,
            #"<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:p="v" i:type="p:T"/>"#
        ),
        (
            #"<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="T"/>"#,
            #"<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:p="v" i:type="p:T"/>"#
        ),
    ])
    func otherMeaning(left: String, right: String) throws {
        #expect(try XMLForm.tokens(left) != XMLForm.tokens(right))
    }

    @Test func encodingsAreDecoded() throws {
        let text = "<a b=\"é\">ü</a>"
        let plain = try XMLForm.tokens(text)
        let latin1 = { (text: String) in text.unicodeScalars.map { UInt8($0.value) } }
        #expect(try XMLForm.tokens(latin1(#"<?xml version="1.0" encoding="ISO-8859-1"?>"# + text)) == plain)
        #expect(try XMLForm.tokens(latin1(text), charset: .known(.latin1)) == plain)
        #expect(try XMLForm.tokens(Array(text.utf8), charset: .known(.latin1)) != plain)
        for isBigEndian in [true, false] {
            #expect(try XMLForm.tokens(XMLForm.utf16(text, isBigEndian: isBigEndian)) == plain)
            let declared = XMLForm.utf16(#"<?xml version="1.0" encoding="utf-16"?>"# + text, isBigEndian: isBigEndian)
            #expect(try XMLForm.tokens(declared, charset: .utf16) == plain)
            let others = XMLForm.utf16("<a>\u{1F600}\u{3D3D}</a>", isBigEndian: isBigEndian)
            #expect(try XMLForm.tokens(others) == XMLForm.tokens("<a>\u{1F600}\u{3D3D}</a>"))
        }
        #expect(try XMLForm.tokens(#"<?xml version="1.0" encoding="us-ascii"?><a>x</a>"#) == XMLForm.tokens("<a>x</a>"))
    }

    @Test func contradictingAndOtherEncodingsAreRefused() {
        let declared = { (name: String) in Array(#"<?xml version="1.0" encoding="\#(name)"?><a/>"#.utf8) }
        for name in ["UTF-7", "ISO-8859-15", "windows-1252", "EBCDIC-CP-US", "UTF-32", "utf-16", ""] {
            #expect(XMLForm.error(declared(name)) == .encoding, "\(name)")
        }
        #expect(XMLForm.error(declared("ISO-8859-1"), charset: .known(.utf8)) == .encoding)
        #expect(XMLForm.error([0xEF, 0xBB, 0xBF] + declared("ISO-8859-1")) == .encoding)
        #expect(XMLForm.error(declared("UTF-8"), charset: .other) == .encoding)
        #expect(XMLForm.error(declared("UTF-8"), charset: .utf16) == .encoding)
        let marked = { (name: String) in
            XMLForm.utf16(#"<?xml version="1.0" encoding="\#(name)"?><a/>"#, isBigEndian: true)
        }
        #expect(XMLForm.error(marked("UTF-16")) == nil)
        #expect(XMLForm.error(marked("UTF-8")) == .encoding)
        #expect(XMLForm.error(marked("UTF-16"), charset: .known(.utf8)) == .encoding)
        #expect(XMLForm.error(XMLForm.utf16("<a/>", isBigEndian: true, mark: false)) != nil)
        #expect(XMLForm.error(XMLForm.utf16("<a/>", isBigEndian: false, mark: false)) != nil)
        #expect(XMLForm.error([0xFF, 0xFE, 0, 0] + Array("<\0\0\0a\0\0\0/\0\0\0>\0\0\0".utf8)) != nil)
        #expect(XMLForm.error([0x4C, 0x6F, 0xA7, 0x94, 0x93]) != nil)
        #expect(XMLForm.error(XMLForm.utf16("<a/>", isBigEndian: true) + [0]) == .encoding)
        for units in [[0xD8, 0x00], [0xDC, 0x00], [0xD8, 0x00, 0x00, 0x20], [0x00, 0x00]] as [[UInt8]] {
            #expect(XMLForm.error(XMLForm.utf16("<a/>", isBigEndian: true) + units) == .malformed)
        }
        let space = String(repeating: " ", count: 300)
        #expect(XMLForm.error(Array(#"<?xml version="1.0"\#(space)encoding="UTF-7"?><a/>"#.utf8)) == .encoding)
        #expect(XMLForm.error([0x3C, 0x61, 0x3E, 0xE9, 0x3C, 0x2F, 0x61, 0x3E]) == .malformed)
        #expect(XMLForm.error(Array("<?xml version=\"1.0\" encoding=\"ascii\"?><a>é</a>".utf8)) != nil)
    }

    @Test(arguments: [
        "", " ", "x", "<a>", "</a>", "<a></b>", "<a/><b/>", "<a/>x", "x<a/>", "<a", "<a b>", "<a b=1/>",
        "<a b='1' b='2'/>",
        "<a b=\"<\"/>", "<a>&</a>", "<a>&b;</a>", "<a>&#0;</a>", "<a>&#xD800;</a>", "<a>\u{1}</a>", "<a>]]></a>",
        "<p:a/>",
        "<a p:b='1'/>", "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", "<a xmlns:p=''/>", "<a xmlns:xml='u'/>",
        "<a><![CDATA[</a>", "<a><!-- -- --></a>", "<a><?xml x?></a>", "<a>\u{FFFE}</a>", "<1/>", "<a:b:c xmlns:a='u'/>",
        "<?xml version=\"1.1\"?><a/>", "<?xml version=\"2.0\"?><a/>", "<?xml version=\"1.0\"?>", "{}", "<a/>\0",
        "<a/>\0<b/>",
        "<a b='&b;'/>", "<a b='&#0;'/>", "<a><b></a></b>", "<html><br></html>",
    ])
    func malformedIsRefused(text: String) {
        #expect(XMLForm.error(text) == .malformed)
    }

    /// Behaviour 22.
    @Test(arguments: [
        "<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<!DOCTYPE a PUBLIC '-//x' 'http://127.0.0.1:1/x'><a/>", "<!DOCTYPE a [<!ATTLIST a b CDATA 'c'>]><a/>",
        "<!DOCTYPE a [<!ENTITY % b SYSTEM 'file:///dev/zero'> %b;]><a/>",
        "<?xml version='1.0'?>\n<!-- x --><!DOCTYPE a><a/>",
        "<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol1 '&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;'>"
            + "<!ENTITY lol2 '&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;'>]><lolz>&lol2;</lolz>",
    ])
    func documentTypesAreRefused(text: String) throws {
        #expect(XMLForm.error(text) == .documentType)
        #expect(throws: XMLError.documentType) { try XMLForm.tokens(text, exclude: ["//x"]) }
    }

    @Test func limitsHold() throws {
        let nested = { (depth: Int) in
            String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)
        }
        #expect(XMLForm.error(nested(64)) == nil)
        #expect(XMLForm.error(nested(65)) == .tooDeep)
        #expect(XMLForm.error(String(repeating: "<a>", count: 100_000)) == .tooDeep)
        #expect(throws: XMLError.tooDeep) { try XMLForm.tokens(nested(65), exclude: ["//x"]) }
        let attributes = { (count: Int) in "<a " + (0..<count).map { "a\($0)='='" }.joined(separator: " ") + "/>" }
        #expect(XMLForm.error(attributes(128)) == nil)
        #expect(XMLForm.error(attributes(129)) == .tooManyAttributes)
        #expect(XMLForm.error(XMLForm.utf16(attributes(128), isBigEndian: true)) == nil)
        #expect(XMLForm.error(XMLForm.utf16(attributes(129), isBigEndian: false)) == .tooManyAttributes)
        let declarations = { (count: Int) in
            "<a " + (0..<count).map { "xmlns:a\($0)='u'" }.joined(separator: " ") + "/>"
        }
        #expect(XMLForm.error(declarations(64)) == nil)
        #expect(XMLForm.error(declarations(65)) == .tooManyNamespaces)
        #expect(throws: XMLError.tooManyNamespaces) { try XMLForm.tokens(declarations(65), exclude: ["//x"]) }
        let namespaces = { (count: Int) in "<a>" + (0..<count).map { "<b xmlns='u\($0)'/>" }.joined() + "</a>" }
        #expect(XMLForm.error(namespaces(1000)) == nil)
        #expect(XMLForm.error(namespaces(1100)) == .tooManyNamespaces)
        let elements = { (count: Int) in "<a>" + String(repeating: "<b/>", count: count) + "</a>" }
        #expect(throws: Never.self) { try XMLForm.tokens(elements(32_767), exclude: ["//x"]) }
        #expect(throws: XMLError.tooManyNodes) { try XMLForm.tokens(elements(32_768), exclude: ["//x"]) }
        #expect(XMLForm.error(elements(200_000)) == nil)
        let names = { (count: Int) in "<a>" + (0..<count).map { "<b\($0)/>" }.joined() + "</a>" }
        #expect(XMLForm.error(names(8000)) == nil)
        #expect(XMLForm.error(names(8200)) == .tooManyNames)
        #expect(throws: XMLError.tooManyNames) { try XMLForm.tokens(names(8200), exclude: ["//x"]) }
        let prefixed = { (count: Int) in "<p:a xmlns:p='u'>" + String(repeating: "p:", count: count) + "</p:a>" }
        #expect(XMLForm.error(prefixed(65_536)) == nil)
        #expect(XMLForm.error(prefixed(65_537)) == .tooCostly)
    }
}
