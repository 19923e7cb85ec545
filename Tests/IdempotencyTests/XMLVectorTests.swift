import Testing

@testable import Idempotency

/// The examples of Canonical XML 1.0 §3 and Exclusive XML Canonicalization 1.0 §2: a document and its canonical form
/// are the same here, and what their text says differs does. Where an example needs its document type it is refused.
@Suite struct XMLVectorTests {
    /// §3.1, without the document type.
    @Test func instructionsCommentsAndWhatIsOutsideOfTheRoot() throws {
        let input = """
            <?xml version="1.0"?>

            <?xml-stylesheet   href="doc.xsl"
               type="text/xsl"   ?>

            <doc>Hello, world!<!-- Comment 1 --></doc>

            <?pi-without-data     ?>

            <!-- Comment 2 -->

            <!-- Comment 3 -->
            """
        let canonical = """
            <?xml-stylesheet href="doc.xsl"
               type="text/xsl"   ?>
            <doc>Hello, world!</doc>
            <?pi-without-data?>
            """
        let commented = """
            <?xml-stylesheet href="doc.xsl"
               type="text/xsl"   ?>
            <doc>Hello, world!<!-- Comment 1 --></doc>
            <?pi-without-data?>
            <!-- Comment 2 -->
            <!-- Comment 3 -->
            """
        #expect(try XMLForm.tokens(input) == XMLForm.tokens(canonical))
        #expect(try XMLForm.tokens(input) == XMLForm.tokens(commented))
        let other = input.replacing("doc.xsl", with: "other.xsl")
        #expect(try XMLForm.tokens(input) != XMLForm.tokens(other))
        #expect(
            XMLForm.error(input.replacing("<doc>", with: #"<!DOCTYPE doc SYSTEM "doc.dtd"><doc>"#)) == .documentType)
    }

    /// §3.2: white space between elements is not kept here, that of mixed content and of leaves is.
    @Test func whiteSpaceInContent() throws {
        let input = """
            <doc>
               <clean>   </clean>
               <dirty>   A   B   </dirty>
               <mixed>
                  A
                  <clean>   </clean>
                  B
                  <dirty>   A   B   </dirty>
                  C
               </mixed>
            </doc>
            """
        let form = try XMLForm.tokens(input)
        #expect(try form == XMLForm.tokens(input.replacing("<doc>\n   <clean>", with: "<doc><clean>")))
        for (from, to) in [
            ("<clean>   </clean>", "<clean></clean>"), ("   A   B   ", " A B "), ("      A\n", "A\n"),
            ("</clean>\n      B", "</clean>B"),
        ] {
            #expect(input.contains(from))
            #expect(try form != XMLForm.tokens(input.replacing(from, with: to)), "\(from)")
        }
    }

    /// §3.3, without the default attribute of the document type.
    @Test func startAndEndTags() throws {
        let input = """
            <doc>
               <e1   />
               <e2   ></e2>
               <e3   name = "elem3"   id="elem3"   />
               <e4   name="elem4"   id="elem4"   ></e4>
               <e5 a:attr="out" b:attr="sorted" attr2="all" attr="I'm"
                  xmlns:b="http://www.ietf.org"
                  xmlns:a="http://www.w3.org"
                  xmlns="http://example.org"/>
               <e6 xmlns="" xmlns:a="http://www.w3.org">
                  <e7 xmlns="http://www.ietf.org">
                     <e8 xmlns="" xmlns:a="http://www.w3.org">
                        <e9 xmlns="" xmlns:a="http://www.ietf.org"/>
                     </e8>
                  </e7>
               </e6>
            </doc>
            """
        let canonical = """
            <doc>
               <e1></e1>
               <e2></e2>
               <e3 id="elem3" name="elem3"></e3>
               <e4 id="elem4" name="elem4"></e4>
               <e5 xmlns="http://example.org" xmlns:a="http://www.w3.org" xmlns:b="http://www.ietf.org" attr="I'm" \
            attr2="all" b:attr="sorted" a:attr="out"></e5>
               <e6 xmlns:a="http://www.w3.org">
                  <e7 xmlns="http://www.ietf.org">
                     <e8 xmlns="">
                        <e9 xmlns:a="http://www.ietf.org"></e9>
                     </e8>
                  </e7>
               </e6>
            </doc>
            """
        let form = try XMLForm.tokens(input)
        #expect(try form == XMLForm.tokens(canonical))
        for (from, to) in [
            (#"id="elem3""#, #"id="elem4""#), ("a:attr=\"out\"", "b:attr=\"out\"".replacing("b:", with: "c:")),
            ("<e1   />", "<e1>x</e1>"), (#"<e7 xmlns="http://www.ietf.org">"#, #"<e7 xmlns="http://www.w3.org">"#),
            (#"<e9 xmlns="""#, #"<e9 xmlns="u""#),
        ] {
            #expect(input.contains(from))
            let changed = input.replacing(from, with: to)
                .replacing(#"<e5 c:attr"#, with: #"<e5 xmlns:c="u" c:attr"#)
            #expect(try form != XMLForm.tokens(changed), "\(from)")
        }
    }

    /// §3.4, without the attributes that the document type declares as tokens.
    @Test func charactersAndReferences() throws {
        let input = """
            <doc>
               <text>First line&#x0d;&#10;Second line</text>
               <value>&#x32;</value>
               <compute><![CDATA[value>"0" && value<"10" ?"valid":"error"]]></compute>
               <compute expr='value>"0" &amp;&amp; value&lt;"10" ?"valid":"error"'>valid</compute>
               <norm attr=' &apos;   &#x20;&#13;&#xa;&#9;   &apos; '/>
            </doc>
            """
        let canonical = """
            <doc>
               <text>First line&#xD;
            Second line</text>
               <value>2</value>
               <compute>value&gt;"0" &amp;&amp; value&lt;"10" ?"valid":"error"</compute>
               <compute expr="value>&quot;0&quot; &amp;&amp; value&lt;&quot;10&quot; ?&quot;valid&quot;:&quot;error&quot;">\
            valid</compute>
               <norm attr=" '    &#xD;&#xA;&#x9;   ' "></norm>
            </doc>
            """
        let form = try XMLForm.tokens(input)
        #expect(try form == XMLForm.tokens(canonical))
        for (from, to) in [("&#x0d;", ""), ("&#x32;", "&#x33;"), ("&#13;&#xa;&#9;", " "), ("&lt;\"10\"", "&gt;\"10\"")]
        {
            #expect(input.contains(from))
            #expect(try form != XMLForm.tokens(input.replacing(from, with: to)), "\(from)")
        }
    }

    /// §3.5.
    @Test func entitiesAreRefused() {
        let input = """
            <!DOCTYPE doc [
            <!ATTLIST doc attrExtEnt ENTITY #IMPLIED>
            <!ENTITY ent1 "Hello">
            <!ENTITY ent2 SYSTEM "world.txt">
            <!ENTITY entExt SYSTEM "earth.gif" NDATA gif>
            <!NOTATION gif SYSTEM "viewgif.exe">
            ]>
            <doc attrExtEnt="entExt">
               &ent1;, &ent2;!
            </doc>

            <!-- Let world.txt contain "world" (excluding the quotes) -->
            """
        #expect(XMLForm.error(input) == .documentType)
    }

    /// §3.6.
    @Test func encoding() throws {
        let input = #"<?xml version="1.0" encoding="ISO-8859-1"?><doc>&#169;</doc>"#
        let canonical = Array("<doc>".utf8) + [0xC2, 0xA9] + Array("</doc>".utf8)
        #expect(try XMLForm.tokens(input) == XMLForm.tokens(canonical))
    }

    /// Exclusive XML Canonicalization §2.1 and §2.2: one element, taken out of three documents, keeps no trace of the
    /// declarations around it.
    @Test func contextLeavesNoTrace() throws {
        let plain = """
            <n1:elem2 xmlns:n1="http://example.net" xml:lang="en">
                 <n3:stuff xmlns:n3="ftp://example.org"></n3:stuff>
              </n1:elem2>
            """
        let others = [
            """
            <n1:elem2 xmlns:n0="foo:bar" xmlns:n1="http://example.net" xmlns:n3="ftp://example.org" xml:lang="en">
                 <n3:stuff></n3:stuff>
              </n1:elem2>
            """,
            """
            <n1:elem2 xmlns:n1="http://example.net" xmlns:n2="http://foo.example" xml:lang="en">
                 <n3:stuff xmlns:n3="ftp://example.org"/>
              </n1:elem2>
            """,
        ]
        for other in others { #expect(try XMLForm.tokens(plain) == XMLForm.tokens(other)) }
        for (from, to) in [
            ("http://example.net", "http://example.com"), ("ftp://example.org", "ftp://example.net"),
            ("\"en\"", "\"fr\""),
            ("xml:lang", "lang"),
        ] {
            #expect(try XMLForm.tokens(plain) != XMLForm.tokens(plain.replacing(from, with: to)))
        }
        // What C14N keeps of the context and exclusive C14N does not: xml:lang of an ancestor.
        let wrapped = "<a xml:lang='fr'>" + plain + "</a>"
        #expect(try XMLForm.tokens(wrapped) != XMLForm.tokens("<a>" + plain + "</a>"))
    }

    /// Exclusive XML Canonicalization §2.2 limits: a QName in content. Its namespace counts though no name uses it.
    @Test func prefixesInContent() throws {
        let input = { (name: String) in
            """
            <env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:t="\(name)">
              <env:Body><sel path="/t:a/t:b"/></env:Body>
            </env:Envelope>
            """
        }
        #expect(try XMLForm.tokens(input("urn:1")) != XMLForm.tokens(input("urn:2")))
    }
}
