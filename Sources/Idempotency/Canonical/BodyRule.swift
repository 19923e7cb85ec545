/// How a body counts, compiled from `HashRule`.
struct BodyRule: Sendable {
    enum Form: Sendable {
        case octets
        case json(JSONSelection)
        case form(FormSelection)
        case xml(XMLSelection)
        case multipart(FormSelection)
        case none
    }

    /// Names the form in the hash input, so that the octets of one form never equal those of another.
    private enum Tag {
        static let octets: UInt8 = 0
        static let json: UInt8 = 1
        static let form: UInt8 = 2
        static let formOrderFree: UInt8 = 3
        static let none: UInt8 = 4
        /// Followed by the content codings.
        static let codedOctets: UInt8 = 5
        static let xml: UInt8 = 6
        static let soap: UInt8 = 7
        static let multipart: UInt8 = 8
    }

    let form: Form

    init(_ rule: HashRule?, namespaces: [XMLNamespace] = []) throws(PolicyError) {
        guard let rule else {
            form = .octets
            return
        }
        switch rule.body {
        case .raw: form = .octets
        case .none: form = .none
        case .json:
            form = .json(
                try JSONSelection(include: try Self.pointers(rule.include), exclude: try Self.pointers(rule.exclude)))
        case .form(let orderFree):
            form = .form(
                FormSelection(
                    include: Self.names(rule.include), exclude: Self.names(rule.exclude), isOrderFree: orderFree))
        case .xml, .soap:
            form = .xml(
                XMLSelection(
                    isSOAP: rule.body == .soap, include: try Self.paths(rule.include, namespaces),
                    exclude: try Self.paths(rule.exclude, namespaces)))
        case .multipart:
            form = .multipart(FormSelection(include: Self.parts(rule.include), exclude: Self.parts(rule.exclude)))
        }
        for selector in rule.include + rule.exclude {
            switch (selector, rule.body) {
            case (.query, _), (.jsonPointer, .json), (.form, .form), (.xpath, .xml), (.xpath, .soap),
                (.part, .multipart):
                continue
            case (.jsonPointer(let text), _), (.form(let text), _), (.xpath(let text), _), (.part(let text), _):
                throw .selectorDoesNotFitBody(text)
            }
        }
    }

    /// Whether the body counts octet by octet, or not at all.
    var takesPieces: Bool {
        switch form {
        case .octets, .none: true
        case .json, .form, .xml, .multipart: false
        }
    }

    var isSOAP: Bool {
        if case .xml(let selection) = form { selection.isSOAP } else { false }
    }

    var counts: Bool {
        if case .none = form { false } else { true }
    }

    /// Absorbs what precedes the octets of a body that is given in pieces.
    func absorbStart(_ type: BodyType, into hash: inout SHA256) {
        guard counts else { return hash.update(Tag.none) }
        absorbOctetsTag(type, into: &hash)
    }

    /// Absorbs a whole body: tag, canonical octets, their count. False if it is not in the rule's form and its octets
    /// were taken instead: because of its media type, because it is encoded (nothing is decompressed here), or because
    /// it is not what its type says.
    func absorb(
        _ body: Span<UInt8>, type: BodyType, scratch: inout IdentityScratch, into hash: inout SHA256
    ) -> Bool {
        switch form {
        case .octets: break
        case .none:
            hash.update(Tag.none)
            absorb(body.extracting(0..<0), into: &hash)
            return true
        case _ where !fits(type): break
        case .json(let selection):
            guard (try? scratch.json.canonicalise(body, selection: selection)) != nil else { break }
            hash.update(Tag.json)
            absorb(scratch.json.output.span, into: &hash)
            return true
        case .form(let selection):
            guard scratch.form.canonicalise(body, selection: selection) else { break }
            hash.update(selection.isOrderFree ? Tag.formOrderFree : Tag.form)
            absorb(scratch.form.output.span, into: &hash)
            return true
        case .xml(let selection):
            guard (try? scratch.xml.canonicalise(body, charset: type.charset, selection: selection)) != nil else {
                break
            }
            hash.update(selection.isSOAP ? Tag.soap : Tag.xml)
            absorb(scratch.xml.output.span, into: &hash)
            return true
        case .multipart(let selection):
            var trial = hash
            trial.update(Tag.multipart)
            guard
                scratch.multipart.absorb(
                    body, boundary: type.boundary, subtype: type.subtype, selection: selection, into: &trial)
            else { break }
            hash = trial
            return true
        }
        absorbOctetsTag(type, into: &hash)
        absorb(body, into: &hash)
        if case .octets = form { return true } else { return false }
    }

    /// Whether a body of this type may be in the rule's form. A body without a type may.
    private func fits(_ type: BodyType) -> Bool {
        guard type.coding.isEmpty else { return false }
        return switch (form, type.media) {
        case (.octets, _), (.none, _), (.json, .json), (.form, .form), (.xml, .xml), (.multipart, .multipart): true
        case (.json, .absent), (.form, .absent), (.xml, .absent): true
        default: false
        }
    }

    private func absorbOctetsTag(_ type: BodyType, into hash: inout SHA256) {
        guard !type.coding.isEmpty else { return hash.update(Tag.octets) }
        hash.update(Tag.codedOctets)
        hash.update(prefixed: type.coding)
    }

    private func absorb(_ octets: Span<UInt8>, into hash: inout SHA256) {
        hash.update(octets)
        hash.update(integer: UInt64(octets.count))
    }

    private static func pointers(_ selectors: [HashRule.Selector]) throws(PolicyError) -> [JSONPointer] {
        var pointers: [JSONPointer] = []
        for case .jsonPointer(let text) in selectors { pointers.append(try JSONPointer(text)) }
        return pointers
    }

    private static func paths(
        _ selectors: [HashRule.Selector], _ namespaces: [XMLNamespace]
    ) throws(PolicyError) -> [XPath] {
        var paths: [XPath] = []
        for case .xpath(let text) in selectors {
            paths.append(try XPath(text, namespaces: namespaces, use: .selection))
        }
        guard paths.count <= XMLLimits.pathsMax else { throw .tooManyXPaths }
        return paths
    }

    private static func parts(_ selectors: [HashRule.Selector]) -> [[UInt8]] {
        selectors.compactMap { if case .part(let name) = $0 { Array(name.utf8) } else { nil } }
    }

    private static func names(_ selectors: [HashRule.Selector]) -> [[UInt8]] {
        selectors.compactMap { if case .form(let name) = $0 { Array(name.utf8) } else { nil } }
    }
}
