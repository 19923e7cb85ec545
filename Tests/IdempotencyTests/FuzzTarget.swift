// Compiled twice: into the tests, which replay the corpus, and into the fuzzer (Scripts/fuzz Idempotency), with the
// sources in one module.
#if canImport(Idempotency)
    @testable import Idempotency
#endif

/// What the fuzzer calls: the first octet chooses the parser, the rest is its input. Traps where a property does not
/// hold.
enum FuzzTarget {
    static func run(_ input: [UInt8]) {
        guard let choice = input.first else { return }
        let octets = Array(input.dropFirst())
        switch choice & 31 {
        case 0: json(octets, selection: plain)
        case 1: json(octets, selection: including)
        case 2: json(octets, selection: excluding)
        case 3: form(octets)
        case 4: token(octets)
        case 5: record(octets, isSealed: false)
        case 6: record(octets, isSealed: true)
        case 8: xml(octets, isSOAP: false)
        case 9: xml(octets, isSOAP: true)
        case 10: xpath(octets)
        case 11: multipart(octets)
        case 12: selected(octets)
        case 13: accessToken(octets)
        case 14: keySet(octets)
        case 15: date(octets)
        case 16: question(octets)
        default: request(octets)
        }
    }

    private static let plain = selection()
    private static let including = selection(include: ["/a", "/b/*/c", "/0", "/*/d"])
    private static let excluding = selection(exclude: ["/a", "/b/*/c", "/0", "/*/d", "/e/*"])

    private static func selection(include: [String] = [], exclude: [String] = []) -> JSONSelection {
        do {
            return try JSONSelection(
                include: include.map { try JSONPointer($0) }, exclude: exclude.map { try JSONPointer($0) })
        } catch {
            preconditionFailure("the pointers above are pointers: \(error)")
        }
    }

    private static func json(_ octets: [UInt8], selection: JSONSelection) {
        var canonicaliser = JSONCanonicaliser()
        guard (try? canonicaliser.canonicalise(octets.span, selection: selection)) != nil else { return }
        guard selection == plain else { return }
        let canonical = canonicaliser.output
        guard (try? canonicaliser.canonicalise(canonical.span, selection: plain)) != nil else {
            preconditionFailure("a canonical form is not JSON")
        }
        precondition(canonicaliser.output == canonical, "a canonical form is not its own")
    }

    private static func form(_ octets: [UInt8]) {
        var canonicaliser = FormCanonicaliser()
        let isForm = canonicaliser.canonicalise(octets.span, selection: FormSelection())
        let plain = canonicaliser.output
        let selection = FormSelection(include: [], exclude: [[0x74]], isOrderFree: true)
        precondition(
            canonicaliser.canonicalise(octets.span, selection: selection) == isForm, "selections change what a form is")
        if isForm, canonicaliser.output.count > plain.count { preconditionFailure("leaving out adds") }
    }

    private static func token(_ octets: [UInt8]) {
        var token: [UInt8] = []
        guard Token.parse(octets.span, into: &token) else { return }
        precondition((1...Token.countMax).contains(token.count), "a token of \(token.count) characters")
        precondition(token.allSatisfy { (0x21...0x7E).contains($0) }, "a token with other octets")
        var quoted: [UInt8] = [0x22]
        for octet in token {
            if octet == 0x22 || octet == 0x5C { quoted.append(0x5C) }
            quoted.append(octet)
        }
        quoted.append(0x22)
        var again: [UInt8] = []
        precondition(Token.parse(quoted.span, into: &again) && again == token, "quoting changes the token")
    }

    private static func tokens(_ octets: [UInt8], _ selection: XMLSelection) -> [UInt8]? {
        var canonicaliser = XMLCanonicaliser()
        guard (try? canonicaliser.canonicalise(octets.span, selection: selection)) != nil else { return nil }
        return canonicaliser.output
    }

    private static func path(_ text: String) -> XPath {
        do {
            return try XPath(text, use: .selection)
        } catch {
            preconditionFailure("the paths here are paths: \(error)")
        }
    }

    private static let nothing = path("/none")
    private static let selections = [
        XMLSelection(include: [path("//b"), path("//@c")], exclude: [path("//d")]),
        XMLSelection(isSOAP: true, exclude: [path("//wsse:Security"), path("//text()")]),
        XMLSelection(exclude: [path("//*[b = 'x']"), path("/a/b[2]"), path("//@*[. = 'y']")]),
    ]

    private static func xml(_ octets: [UInt8], isSOAP: Bool) {
        let stream = tokens(octets, XMLSelection(isSOAP: isSOAP))
        let tree = tokens(octets, XMLSelection(isSOAP: isSOAP, exclude: [nothing]))
        precondition(stream == tree, "the stream and the tree differ")
        guard let stream, let again = XMLTokenReader.document(of: stream) else { return }
        precondition(tokens(again, XMLSelection(isSOAP: isSOAP)) == stream, "tokens lose what counts")
    }

    private static func selected(_ octets: [UInt8]) {
        for selection in selections {
            guard let tokens = tokens(octets, selection) else { continue }
            _ = XMLTokenReader.document(of: tokens)
        }
    }

    /// An expression, a line end, a document.
    private static func xpath(_ octets: [UInt8]) {
        let end = octets.firstIndex(of: 0x0A) ?? octets.endIndex
        let text = String(decoding: octets[..<end], as: UTF8.self)
        let document = Array(octets[end...].dropFirst())
        if let path = try? XPath(text, use: .selection) { _ = tokens(document, XMLSelection(exclude: [path])) }
        guard let path = try? XPath(text, use: .token) else { return }
        var scratch = IdentityScratch()
        _ = scratch.takeXPath(path, in: document.span, type: BodyType())
    }

    /// A Content-Type, a line end, a body.
    private static func multipart(_ octets: [UInt8]) {
        let end = octets.firstIndex(of: 0x0A) ?? octets.endIndex
        let type = BodyType(contentType: Array(octets[..<end]).span)
        let body = Array(octets[end...].dropFirst())
        var canonicaliser = MultipartCanonicaliser()
        var hash = SHA256()
        let isMultipart = canonicaliser.absorb(
            body.span, boundary: type.boundary, subtype: type.subtype, selection: FormSelection(), into: &hash)
        var other = SHA256()
        let selection = FormSelection(exclude: [[0x74]])
        let isOther = canonicaliser.absorb(
            body.span, boundary: type.boundary, subtype: type.subtype, selection: selection, into: &other)
        precondition(isMultipart == isOther, "selections change what multipart is")
    }

    private static let accessTokens: JWTVerifier = {
        let keys = try? JWTVectors.keys(JWTVectors.rs256Key, JWTVectors.es256Key, JWTVectors.edDSAKey)
        var scope = JWTScope(claim: "sub")
        scope.leewayMilliseconds = 0
        return JWTVerifier(scope, keys: JWTKeyRing((keys ?? []) + [TestTokens().key]))
    }()

    /// As it is; and as a header, a line end and claims, with a signature that fits.
    private static func accessToken(_ octets: [UInt8]) {
        var scratch = IdentityScratch()
        _ = try? accessTokens.caller(of: octets.span, nowMilliseconds: 1_800_000_000_000, scratch: &scratch)
        let end = octets.firstIndex(of: 0x0A) ?? octets.endIndex
        let token = TestTokens().token(Array(octets[end...].dropFirst()), header: Array(octets[..<end]))
        let first = try? accessTokens.caller(
            of: Array(token.utf8).span, nowMilliseconds: 1_800_000_000_000, scratch: &scratch)
        let again = try? accessTokens.caller(
            of: Array(token.utf8).span, nowMilliseconds: 1_800_000_000_000, scratch: &scratch)
        precondition(first == again, "what was verified is someone else")
        guard let caller = first ?? nil else { return }
        precondition(caller.count >= 10, "a caller without a name")
        let cut = Array(token.utf8.dropLast())
        precondition(
            (try? accessTokens.caller(of: cut.span, nowMilliseconds: 1_800_000_000_000, scratch: &scratch)) == nil,
            "a token that was cut verifies")
    }

    private static func keySet(_ octets: [UInt8]) {
        guard let keys = try? JWTKeyRing.keys(ofSet: octets, for: JWTScope.Algorithm.allCases) else { return }
        precondition((1...JWTKeyRing.keysMax).contains(keys.count), "\(keys.count) keys")
        for key in keys { _ = key.verifies([UInt8](repeating: 1, count: 64), over: octets) }
    }

    private static func date(_ octets: [UInt8]) {
        guard let seconds = HTTPDate.seconds(octets.span), seconds > 0 else { return }
        var text: [UInt8] = []
        HTTPDate.append(seconds: seconds, to: &text)
        let isLeapSecond = octets[23] == 0x36
        precondition(text == octets || isLeapSecond, "a date has two texts")
    }

    /// Sealed: with a checksum that fits, so that what is behind it is reached.
    private static func record(_ octets: [UInt8], isSealed: Bool) {
        let key = Digest256(words: (1, 2, 3, 4))
        var stored = octets
        if isSealed {
            if stored.count >= 32 {
                // The size is mended as well.
                stored.replaceSubrange(24..<32, with: [])
                var size: [UInt8] = []
                size.append(bigEndian: UInt64(stored.count + 8 + 32))
                stored.insert(contentsOf: size, at: 24)
            }
            var hash = SHA256()
            hash.update(key)
            hash.update(integer: UInt64(7))
            hash.update(stored)
            stored.append(hash.finish())
        }
        guard let outcome = try? RecordCoding.decode(stored.span, key: key, epoch: 7) else { return }
        var encoded: [UInt8] = []
        do {
            switch outcome {
            case .answered(let answer): try RecordCoding.encode(answer, key: key, epoch: 7, into: &encoded)
            case .notKept(let tombstone): try RecordCoding.encode(tombstone, key: key, epoch: 7, into: &encoded)
            }
        } catch {
            preconditionFailure("what was decoded cannot be encoded: \(error)")
        }
        precondition(encoded == stored, "a record has two codings")
    }

    /// A whole request: lines `name:value`, an empty line, the body.
    private static func request(_ octets: [UInt8]) {
        let lines = octets.split(separator: 0x0A, omittingEmptySubsequences: false)
        var source = LineSource()
        var bodyStart = 0
        for line in lines {
            bodyStart += line.count + 1
            if line.isEmpty { break }
            source.add(line)
        }
        let body = Array(octets.dropFirst(bodyStart))
        let target = source.lines.first.map { Array(octets[$0.value]) } ?? []
        var scratch = IdentityScratch()
        for identifier in identifiers {
            let early = identifier.begin(
                method: [0x50].span, path: target.span, query: target.span, hasQuery: true, fields: source,
                scratch: &scratch)
            guard case .pending(let pending) = early else { continue }
            let identity = identifier.finish(pending, body: body.span, scratch: &scratch)
            if case .identified(let identity) = identity, let key = pending.recordKey {
                precondition(identity.key == key && identity.kind == .token, "the head's key is not the request's")
            }
        }
    }

    /// A request, as above; its body is the answer to the probe, too. What is asked and what is made of the answer
    /// stays in its place, whatever the values hold.
    private static func question(_ octets: [UInt8]) {
        let lines = octets.split(separator: 0x0A, omittingEmptySubsequences: false)
        var source = LineSource()
        var bodyStart = 0
        for line in lines {
            bodyStart += line.count + 1
            if line.isEmpty { break }
            source.add(line)
        }
        let body = Array(octets.dropFirst(bodyStart))
        let query = source.lines.first.map { Array(octets[$0.value]) } ?? []
        var scratch = IdentityScratch()
        for (identifier, isXML) in probing {
            guard let probe = identifier.probe,
                let question = identifier.question(
                    about: anybody, query: query.span, fields: source, body: body.span, scratch: &scratch)
            else { continue }
            let target = question.target
            precondition(target.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x23 }, "a target with other octets")
            precondition(target.count { $0 == 0x3F } == 1 && target.count { $0 == 0x2F } == 3, "another target")
            precondition(FieldLines.areValid(question.fieldLines.span), "no field")
            precondition(question.fieldLines.count { $0 == 0x0A } == 1, "more than one field")
            let type = isXML ? "Content-Type: text/xml\r\n" : "Content-Type: application/json\r\n"
            let reply = ProbeReply(status: 200, framing: .length, fieldLines: Array(type.utf8), body: body)
            let verdict = probe.verdict(on: reply, to: question, bodyBytesMax: 1 << 20, scratch: &scratch)
            guard case .found(let answer) = verdict else { continue }
            precondition(FieldLines.areValid(answer.fieldLines.span), "no fields")
            precondition(answer.fieldLines.count { $0 == 0x0A } == 3, "other fields")
            if isXML {
                precondition(tokens(answer.body, XMLSelection()) != nil, "no XML")
            } else {
                var canonicaliser = JSONCanonicaliser()
                let members = selection(exclude: ["/a", "/b"])
                precondition((try? canonicaliser.canonicalise(answer.body.span, selection: members)) != nil, "no JSON")
                precondition(canonicaliser.output == Array("{}".utf8), "another member")
            }
        }
    }

    private static let anybody = RequestIdentity(
        kind: .token, key: Digest256(words: (1, 2, 3, 4)), fingerprint: Digest256(words: (1, 2, 3, 4)),
        hasRetryEvidence: false, isAnonymous: true, fellBackToOctets: false)

    private static let probing: [(Identifier, isXML: Bool)] = {
        let sources: [(Template.Source, Template.Source)] = [
            (.key, .probeJSON("/p")), (.header("a"), .probeXPath("//p")), (.query("a"), .probeJSON("/p")),
            (.bodyJSON("/a"), .probeJSON("/p")), (.bodyForm("a"), .probeHeader("content-type")),
            (.bodyXPath("//a"), .probeXPath("//p")),
        ]
        return sources.flatMap { asked, answered in
            [false, true].compactMap { isXML in
                var probe = Probe(
                    target: Template([.literal("/p/"), .value(asked), .literal("/q?r="), .value(asked)]))
                probe.fields = [.init(name: "X-A", value: Template([.value(asked)]))]
                probe.found = [.init(statuses: [200...200])]
                let type = isXML ? "text/xml" : "application/json"
                let body: [Template.Part] =
                    isXML
                    ? [.literal("<a b=\""), .value(asked), .literal("\">"), .value(answered), .literal("</a>")]
                    : [
                        .literal("{\"a\":\""), .value(asked), .literal("\",\"b\":\""), .value(answered),
                        .literal("\"}"),
                    ]
                probe.answer = .made(
                    status: 201,
                    fields: [
                        .init(name: "Content-Type", value: Template([.literal(type)])),
                        .init(name: "X-B", value: Template([.value(answered)])),
                    ], body: Template(body))
                var policy = Policy()
                policy.keySources = [.header("k"), .jsonPointer("/k")]
                policy.onUnknown = .probe(probe)
                return (try? Identifier(route: "r", policy: policy)).map { ($0, isXML) }
            }
        }
    }()

    private static let identifiers: [Identifier] = {
        var policy = Policy()
        policy.keySources = [.header("k"), .query("k"), .cookie("k"), .jsonPointer("/k"), .form("k")]
        policy.scope = .cookie("s")
        var hashing = policy
        hashing.onMissingKey = .hash
        hashing.scope = .standard
        var json = HashRule()
        json.body = .json
        json.exclude = [.jsonPointer("/t"), .query("t")]
        hashing.hash = json
        var ordered = hashing
        var form = HashRule()
        form.body = .form(orderFree: true)
        form.include = [.form("a"), .query("a")]
        ordered.hash = form
        var soap = hashing
        soap.keySources = [.soapMessageID, .xpath("string(//k)")]
        var envelope = HashRule()
        envelope.body = .soap
        soap.hash = envelope
        var multipart = hashing
        multipart.keySources = []
        var parts = HashRule()
        parts.body = .multipart
        parts.exclude = [.part("t")]
        multipart.hash = parts
        return [policy, hashing, ordered, soap, multipart].compactMap { try? Identifier(route: "r", policy: $0) }
    }()

    private struct LineSource: FieldSource {
        var octets: [UInt8] = []
        var lines: [(name: Range<Int>, value: Range<Int>)] = []

        mutating func add(_ line: ArraySlice<UInt8>) {
            let colon = line.firstIndex(of: 0x3A) ?? line.endIndex
            let start = octets.count
            octets += line
            let nameEnd = start + (colon - line.startIndex)
            lines.append((start..<nameEnd, min(nameEnd + 1, octets.count)..<octets.count))
            octets.append(0x0A)
        }

        var fieldOctets: Span<UInt8> {
            @_lifetime(borrow self) get { octets.span }
        }
        var fieldLineCount: Int { lines.count }
        func fieldName(at line: Int) -> Range<Int> { lines[line].name }
        func fieldValue(at line: Int) -> Range<Int> { lines[line].value }
    }
}
