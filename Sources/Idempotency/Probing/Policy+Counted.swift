/// What of a request is the same in every request that a record is for: its key, its caller, and what its fingerprint
/// counts. A repeat's probe asks with values of the repeat, so they must be among these; else it asks about another
/// operation, and what it says of that one frees or completes this one.
extension Policy {
    /// Why a value may differ between two requests of one record.
    package enum Uncounted: Sendable, Equatable {
        /// `hash headers` does not name the field.
        case field
        /// `exclude` leaves it out.
        case excluded
        /// `include` names others.
        case notIncluded
        /// With `body none`.
        case body
        /// With `body soap`: of the header, what a client makes anew for each attempt.
        case soapHeader
        /// A place of the key, but another one may have given it.
        case otherKey
    }

    /// Nil where the value is the same, or was spelt in another way (`1.5` and `1.50` of `body json`).
    ///
    /// What an XPath reads is told by its text, which is not exact. Nothing depends on it: it finds only what counts.
    package func uncounted(_ source: Template.Source) -> Uncounted? {
        switch source {
        case .key, .probeHeader, .probeJSON, .probeXPath, .probeBody: nil
        case .header(let name): uncountedField(name.lowercased())
        case .query(let name):
            uncounted(by: .query(name)) { names in
                names.contains { if case .query(name) = $0 { true } else { false } }
            }
        case .bodyJSON(let text): uncounted(by: .jsonPointer(text)) { Self.reaches($0, text) }
        case .bodyForm(let name):
            uncounted(by: .form(name)) { names in
                names.contains { if case .form(name) = $0 { true } else { false } }
            }
        case .bodyXPath(let text): uncountedPath(text)
        }
    }

    /// The name of a field, in lower case.
    package func uncountedField(_ name: String) -> Uncounted? {
        if isKey(.header(name)) { return nil }
        switch scope {
        case .standard where name == "authorization": return nil
        case .header(name): return nil
        case .standard, .header, .cookie, .clientCertificate, .jwt, .none: break
        }
        if countedFields.contains(name) || Identifier.methodOverrideFields.contains(name) { return nil }
        if speaksRepeatability, Repeatability.fields.contains(name) { return nil }
        if hash?.body == .soap, name == "soapaction" { return nil }
        return keySources.contains(.header(name)) ? .otherKey : .field
    }

    /// The fields that the fingerprint counts, in lower case.
    package var countedFields: [String] { hash?.headers ?? ["content-type"] }

    /// A token that is there stands in the first place; in a later one only if the others are empty.
    private func isKey(_ source: KeySource) -> Bool {
        !speaksRepeatability && keySources.first == source
    }

    private func uncounted(by source: KeySource, _ isAmong: ([HashRule.Selector]) -> Bool) -> Uncounted? {
        if isKey(source) { return nil }
        guard let hash, let reason = Self.uncounted(by: source, hash, isAmong) else { return nil }
        return keySources.contains(source) ? .otherKey : reason
    }

    private static func uncounted(
        by source: KeySource, _ hash: HashRule, _ isAmong: ([HashRule.Selector]) -> Bool
    ) -> Uncounted? {
        let isSelected: (HashRule.Selector) -> Bool
        switch (source, hash.body) {
        case (.query, _): isSelected = { if case .query = $0 { true } else { false } }
        case (_, .none): return .body
        case (.jsonPointer, .json): isSelected = { if case .jsonPointer = $0 { true } else { false } }
        case (.form, .form): isSelected = { if case .form = $0 { true } else { false } }
        case (.xpath, .xml), (.xpath, .soap): isSelected = { if case .xpath = $0 { true } else { false } }
        // A body that has such values is not in the rule's form, and counts octet by octet.
        default: return nil
        }
        if isAmong(hash.exclude.filter(isSelected)) { return .excluded }
        let include = hash.include.filter(isSelected)
        return include.isEmpty || isAmong(include) ? nil : .notIncluded
    }

    /// Whether one of these pointers selects the value that a pointer reaches, or what it stands in.
    private static func reaches(_ selectors: [HashRule.Selector], _ text: String) -> Bool {
        guard let value = try? JSONPointer(text) else { return true }
        return selectors.contains { selector in
            guard case .jsonPointer(let text) = selector, let pointer = try? JSONPointer(text) else { return false }
            return pointer.segments.count <= value.segments.count
                && zip(pointer.segments, value.segments).allSatisfy { $0.isWildcard || $0.name == $1.name }
        }
    }

    // MARK: XPaths

    private func uncountedPath(_ text: String) -> Uncounted? {
        let path = XPathNames(text)
        let paths = { (selectors: [HashRule.Selector]) in
            selectors.compactMap { if case .xpath(let path) = $0 { path } else { nil } }
        }
        let found = uncounted(by: .xpath(text)) { selectors in
            paths(selectors).contains { text == $0 || text.hasPrefix($0 + "/") || path.reads(XPathNames($0)) }
        }
        if found != nil || isKey(.xpath(text)) { return found }
        return hash?.body == .soap && readsVolatileHeader(path) ? .soapHeader : nil
    }

    /// Of SOAP's header, what `SOAPPlace` leaves out.
    private func readsVolatileHeader(_ path: XPathNames) -> Bool {
        guard !path.elements.contains("Body") else { return false }
        return path.qualified.contains { name in
            let namespace = (xmlNamespaces + XMLNamespace.predefined).first { $0.prefix == name.prefix }
            return switch namespace.flatMap({ XMLNamespaces.known.firstIndex(of: $0.name) }) {
            case XMLNamespaceID.addressing?, XMLNamespaceID.addressing2004?: name.local == "MessageID"
            case XMLNamespaceID.security?: name.local == "Nonce"
            case XMLNamespaceID.securityUtility?: name.local == "Timestamp"
            default: false
            }
        }
    }
}
