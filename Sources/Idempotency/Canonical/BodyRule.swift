/// How a body counts, compiled from `HashRule`.
struct BodyRule: Sendable {
    enum Form: Sendable {
        case octets
        case json(JSONSelection)
        case form(FormSelection)
        case none
    }

    /// Names the form in the hash input, so that the octets of one form never equal those of another.
    private enum Tag {
        static let octets: UInt8 = 0
        static let json: UInt8 = 1
        static let form: UInt8 = 2
        static let formOrderFree: UInt8 = 3
        static let none: UInt8 = 4
    }

    let form: Form

    init(_ rule: HashRule?) throws(PolicyError) {
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
        }
        for selector in rule.include + rule.exclude {
            switch (selector, rule.body) {
            case (.query, _), (.jsonPointer, .json), (.form, .form): continue
            case (.jsonPointer(let text), _), (.form(let text), _): throw .selectorDoesNotFitBody(text)
            }
        }
    }

    /// Whether the body counts octet by octet, or not at all.
    var takesPieces: Bool {
        switch form {
        case .octets, .none: true
        case .json, .form: false
        }
    }

    var counts: Bool {
        if case .none = form { false } else { true }
    }

    /// What precedes the octets of a body that is given in pieces.
    var octetsTag: UInt8 {
        counts ? Tag.octets : Tag.none
    }

    /// Absorbs a whole body: tag, canonical octets, their count. False if it is not in the rule's form and its octets
    /// were taken instead.
    func absorb(_ body: Span<UInt8>, mayBeForm: Bool, scratch: inout IdentityScratch, into hash: inout SHA256) -> Bool {
        switch form {
        case .octets:
            absorb(body, tag: Tag.octets, into: &hash)
            return true
        case .none:
            absorb(body.extracting(0..<0), tag: Tag.none, into: &hash)
            return true
        case .json(let selection):
            do throws(JSONError) {
                try scratch.json.canonicalise(body, selection: selection)
                absorb(scratch.json.output.span, tag: Tag.json, into: &hash)
                return true
            } catch {
                absorb(body, tag: Tag.octets, into: &hash)
                return false
            }
        case .form(let selection):
            guard mayBeForm, scratch.form.canonicalise(body, selection: selection) else {
                absorb(body, tag: Tag.octets, into: &hash)
                return false
            }
            absorb(scratch.form.output.span, tag: selection.isOrderFree ? Tag.formOrderFree : Tag.form, into: &hash)
            return true
        }
    }

    private func absorb(_ octets: Span<UInt8>, tag: UInt8, into hash: inout SHA256) {
        hash.update(tag)
        hash.update(octets)
        hash.update(integer: UInt64(octets.count))
    }

    private static func pointers(_ selectors: [HashRule.Selector]) throws(PolicyError) -> [JSONPointer] {
        var pointers: [JSONPointer] = []
        for case .jsonPointer(let text) in selectors { pointers.append(try JSONPointer(text)) }
        return pointers
    }

    private static func names(_ selectors: [HashRule.Selector]) -> [[UInt8]] {
        selectors.compactMap { if case .form(let name) = $0 { Array(name.utf8) } else { nil } }
    }
}

/// Which query parameters count: all, or all but some, or some. Those that count do so as they stand, in their order.
struct QueryRule: Sendable {
    private let include: [[UInt8]]
    private let exclude: [[UInt8]]

    init(_ rule: HashRule?) {
        include = Self.names(rule?.include ?? [])
        exclude = Self.names(rule?.exclude ?? [])
    }

    func absorb(_ query: Span<UInt8>, hasQuery: Bool, scratch: inout [UInt8], into hash: inout SHA256) {
        if include.isEmpty, exclude.isEmpty {
            hash.update(hasQuery ? 1 : 0)
            hash.update(prefixed: query)
            return
        }
        hash.update(2)
        var cursor = ParameterCursor()
        while cursor.next(in: query) {
            scratch.removeAll(keepingCapacity: true)
            if !PercentCoding.decode(query.extracting(cursor.name), plusIsSpace: true, into: &scratch) {
                // A name that cannot be decoded is what its octets say: it is counted unless only chosen names are.
                scratch.removeAll(keepingCapacity: true)
                scratch.append(query.extracting(cursor.name))
            }
            if exclude.contains(scratch) || (!include.isEmpty && !include.contains(scratch)) { continue }
            hash.update(1)
            hash.update(prefixed: query.extracting(cursor.range))
        }
        hash.update(0)
    }

    private static func names(_ selectors: [HashRule.Selector]) -> [[UInt8]] {
        selectors.compactMap { if case .query(let name) = $0 { Array(name.utf8) } else { nil } }
    }
}
