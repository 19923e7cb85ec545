// Compiled into the tests, and into a release build when figures are wanted.
#if canImport(Idempotency)
    @testable import Idempotency
#endif

/// Bodies made to cost as much as they can for their size.
enum HostileBodies {
    struct Case {
        var name: String
        var body: [UInt8]
        var run: ([UInt8]) -> Void
    }

    static func all(size: Int) -> [Case] {
        xml(size) + brokenXML(size) + xpath(size) + json(size) + jsonNumbers(size) + others(size)
    }

    private static func fill(_ size: Int, _ head: String, _ tail: String, _ unit: (Int) -> String) -> [UInt8] {
        var octets = Array(head.utf8)
        var index = 0
        while octets.count < size {
            octets += Array(unit(index).utf8)
            index += 1
        }
        return octets + Array(tail.utf8)
    }

    private static func list(_ range: Range<Int>, _ item: (Int) -> String) -> String {
        range.map(item).joined(separator: " ")
    }

    // MARK: XML

    private static func canonical(_ body: [UInt8], exclude: String? = nil) {
        var selection = XMLSelection()
        if let exclude {
            guard let path = try? XPath(exclude, use: .selection) else { preconditionFailure("no path: \(exclude)") }
            selection.exclude = [path]
        }
        var canonicaliser = XMLCanonicaliser()
        guard (try? canonicaliser.canonicalise(body.span, selection: selection)) != nil else { return }
        _ = SHA256.digest(of: canonicaliser.output.span)
    }

    private static func xml(_ size: Int) -> [Case] {
        let scope = list(0..<60) { "xmlns:aaaaaaaa\($0)='u\($0)'" }
        let prefixes = list(0..<60) { "xmlns:p\($0)='u\($0)'" }
        let instance = "xmlns:i='http://www.w3.org/2001/XMLSchema-instance'"
        let attributes = list(0..<128) { "a\($0)=''" }
        let reversed = list(0..<128) { "a\(127 - $0)=''" }
        let prefixed = list(0..<60) { "p\($0):a=''" }
        let bodies: [(String, [UInt8])] = [
            ("empty elements", fill(size, "<a>", "</a>") { _ in "<b/>" }),
            ("mixed content", fill(size, "<a>", "</a>") { _ in "x<b/>" }),
            ("blanks", fill(size, "<a>", "</a>") { _ in " <b/>" }),
            ("declarations in scope", fill(size, "<a xmlns:p='u' \(scope)>", "</a>") { _ in "<p:b/>" }),
            ("no default in scope", fill(size, "<a \(scope)>", "</a>") { _ in "<b/>" }),
            ("prefixes in content", fill(size, "<a xmlns:p='u' \(scope)>", "</a>") { _ in "aaaaaaaaaaaa:" }),
            ("declarations anew", fill(size, "<a>", "</a>") { "<b xmlns='u\($0 & 1)'/>" }),
            ("namespaces", fill(size, "<a>", "</a>") { "<b xmlns='u\($0 % 900)'/>" }),
            ("attributes", fill(size, "<a>", "</a>") { _ in "<b \(attributes)/>" }),
            ("attributes to sort", fill(size, "<a>", "</a>") { _ in "<b \(reversed)/>" }),
            ("attributes with prefixes", fill(size, "<a \(prefixes)>", "</a>") { _ in "<b \(prefixed)/>" }),
            ("declarations", fill(size, "<a>", "</a>") { _ in "<b \(prefixes)/>" }),
            ("types", fill(size, "<a \(instance) xmlns:p='u' \(scope)>", "</a>") { _ in "<b i:type='p:c'/>" }),
            ("names", fill(size, "<a>", "</a>") { "<b\($0)/>" }),
            ("references", fill(size, "<a>", "</a>") { _ in "&#65;" }),
            ("entities in a value", fill(size, "<a b='", "'/>") { _ in "&lt;" }),
            ("cdata", fill(size, "<a>", "</a>") { _ in "<![CDATA[x]]>" }),
            ("instructions", fill(size, "<a>", "</a>") { _ in "<?a?>" }),
            (
                "depth",
                fill(size, "<r>", "</r>") { _ in
                    String(repeating: "<a>", count: 63) + String(repeating: "</a>", count: 63)
                }
            ),
            (
                "utf-16",
                XMLForm.utf16(
                    String(decoding: fill(size / 2, "<a>", "</a>") { _ in "<b/>" }, as: UTF8.self), isBigEndian: false)
            ),
        ]
        return bodies.map { body in Case(name: "xml " + body.0, body: body.1) { canonical($0) } }
    }

    private static func brokenXML(_ size: Int) -> [Case] {
        let bodies: [(String, [UInt8])] = [
            ("&;", fill(size, "<a>", "</a>") { _ in "&;" }), ("<1>", fill(size, "<a>", "</a>") { _ in "<1>" }),
            ("cdata", fill(size, "<a>", "</a>") { _ in "<![CDATA[\u{FFFE}" }),
            ("opens", fill(size, "<a>", "</a>") { _ in "<b" }),
            ("values", fill(size, "<a>", "</a>") { _ in "<b c='<" }),
            ("comment", fill(size, "<a>", "</a>") { _ in "<!--\u{1}" }),
            ("unbound", fill(size, "<a>", "</a>") { _ in "<p:b/>" }),
            ("octets", Array("<a>".utf8) + [UInt8](repeating: 0xFF, count: size)),
            ("entities", fill(size, "<!DOCTYPE a [", "]><a/>") { "<!ENTITY a\($0 + 1) '&a\($0);&a\($0);'>" }),
            ("notations", fill(size, "<!DOCTYPE a [<!ATTLIST a b NOTATION (", ")>]><a/>") { "a\($0)|" }),
            ("attributes", fill(size, "<a ", "/>") { "a\($0)='' " }),
            ("attributes in a comment", fill(size, "<a><!-- <a ", "--></a>") { "a\($0)='' " }),
        ]
        return bodies.map { body in Case(name: "broken xml " + body.0, body: body.1) { canonical($0) } }
    }

    private static func xpath(_ size: Int) -> [Case] {
        let deep = String(repeating: "<c>", count: 60)
        let bodies: [(String, [UInt8])] = [
            ("elements", fill(size, "<a>", "</a>") { _ in "<b>\(String(repeating: "x", count: size / 20_000))</b>" }),
            ("empty elements", fill(size, "<a>", "</a>") { _ in "<b/>" }),
            ("mixed content", fill(size, "<a>", "</a>") { _ in "<b/>xxxxxxxxxxxxxxxxxxxxxxxxxxxx" }),
            (
                "attributes",
                fill(size, "<a>", "</a>") { _ in "<b cccccccccccccccccccccccccc='x' dddddddddddddddddddddddddd='y'/>" }
            ),
            ("deep", Array((deep + String(repeating: "x", count: size) + deep.replacing("<", with: "</")).utf8)),
        ]
        let paths = [
            "//*[local-name()='Timestamp']", "//*[normalize-space(.)='q']", "//*[.//*]", "//b[last()]", "//@*",
            "//*/*/@*", "//*[*[*]]",
        ]
        return paths.flatMap { path in
            bodies.map { body in Case(name: "xpath \(path) \(body.0)", body: body.1) { canonical($0, exclude: path) } }
        }
    }

    // MARK: JSON and the rest

    private static func canonicalJSON(_ body: [UInt8]) {
        guard let selection = try? JSONSelection() else { return }
        var canonicaliser = JSONCanonicaliser()
        guard (try? canonicaliser.canonicalise(body.span, selection: selection)) != nil else { return }
        _ = SHA256.digest(of: canonicaliser.output.span)
    }

    private static func json(_ size: Int) -> [Case] {
        let open = String(repeating: "{\"b\":0,\"a\":", count: 60)
        let inner = fill(size, "{\"z\":0", "}") { ",\"k\(size - $0)\":0" }
        let bodies: [(String, [UInt8])] = [
            ("members to sort", inner),
            ("members to sort, deep", Array(open.utf8) + inner + Array(String(repeating: "}", count: 60).utf8)),
            ("members with one beginning", fill(size, "{\"z\":0", "}") { ",\"aaaaaaaaaaaaaaaa\(size - $0)\":0" }),
            ("short members", fill(size, "{\"\":0", "}") { ",\"\(String(size - $0, radix: 36))\":0" }),
            ("objects", fill(size, "[0", "]") { _ in ",{}" }),
            ("objects to sort", fill(size, "[0", "]") { _ in ",{\"b\":0,\"a\":0}" }),
            ("escapes", fill(size, "[\"", "\"]") { _ in "\\u0061" }),
            ("controls", fill(size, "[\"", "\"]") { _ in "\\n" }),
            ("strings", fill(size, "[0", "]") { _ in ",\"\"" }), ("brackets", fill(size, "", "") { _ in "[" }),
            ("duplicates", fill(size, "{\"a\":0", "}") { _ in ",\"a\":0" }),
        ]
        return bodies.map { body in Case(name: "json " + body.0, body: body.1, run: canonicalJSON) }
    }

    private static func jsonNumbers(_ size: Int) -> [Case] {
        let bodies: [(String, [UInt8])] = [
            ("digits", fill(size, "[0", "]") { _ in ",0" }),
            ("17 digits", fill(size, "[0", "]") { _ in ",0.30000000000000004" }),
            ("large", fill(size, "[0", "]") { _ in ",1e300" }), ("small", fill(size, "[0", "]") { _ in ",3e-300" }),
            ("16 digits", fill(size, "[0", "]") { _ in ",9007199254740991" }),
            ("one long number", fill(size, "[1", "]") { _ in "0" }),
            ("a long exponent", fill(size, "[1e", "]") { _ in "9" }), ("zeros", fill(size, "[0", "]") { _ in ",0e9" }),
        ]
        return bodies.map { body in Case(name: "json numbers " + body.0, body: body.1, run: canonicalJSON) }
    }

    private static func others(_ size: Int) -> [Case] {
        let multipart = { (body: [UInt8]) in
            var canonicaliser = MultipartCanonicaliser()
            var hash = SHA256()
            _ = canonicaliser.absorb(
                body.span, boundary: [UInt8](repeating: 0x61, count: 70), subtype: [0x62], selection: FormSelection(),
                into: &hash)
        }
        let form = { (body: [UInt8]) in
            var canonicaliser = FormCanonicaliser()
            _ = canonicaliser.canonicalise(body.span, selection: FormSelection(isOrderFree: true))
        }
        let boundary = "--" + String(repeating: "a", count: 70)
        let fields = (0..<60).map { "x\(60 - $0): y\r\n" }.joined()
        return [
            Case(
                name: "multipart almost a boundary",
                body: fill(size, "\(boundary)\r\n\r\n", "\r\n\(boundary)--") { _ in "\r\n" + boundary.dropLast() },
                run: multipart),
            Case(
                name: "multipart line ends",
                body: fill(size, "\(boundary)\r\n\r\n", "\r\n\(boundary)--") { _ in "\r\n" }, run: multipart),
            Case(
                name: "multipart fields",
                body: fill(size, "", "\(boundary)--") { _ in "\(boundary)\r\n\(fields)\r\n\r\n" }, run: multipart),
            Case(name: "multipart preamble", body: fill(size, "", "\r\n\(boundary)--") { _ in "-" }, run: multipart),
            Case(name: "form fields", body: fill(size, "a", "") { _ in "&" }, run: form),
            Case(name: "form to sort", body: fill(size, "a", "") { "&\(size - $0)=aaaaaaaaaa" }, run: form),
            Case(name: "form escapes", body: fill(size, "a=", "") { _ in "%41" }, run: form),
        ]
    }
}
