/// A prefix that XPaths may use.
package struct XMLNamespace: Sendable, Equatable {
    package var prefix: String
    package var name: String

    package init(prefix: String, name: String) {
        self.prefix = prefix
        self.name = name
    }

    /// Reads `prefix=name`, as a directive writes it.
    package init(declaration text: String) throws(PolicyError) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[1].isEmpty, XPathGrammar.isName(Array(parts[0].utf8)) else {
            throw .invalidNamespace(text)
        }
        self.init(prefix: String(parts[0]), name: String(parts[1]))
    }

    /// Those that need no declaration. Declared ones come before them.
    package static let predefined: [XMLNamespace] = [
        XMLNamespace(prefix: "soap", name: XMLNamespaces.known[XMLNamespaceID.soap11]),
        XMLNamespace(prefix: "soap12", name: XMLNamespaces.known[XMLNamespaceID.soap12]),
        XMLNamespace(prefix: "wsa", name: XMLNamespaces.known[XMLNamespaceID.addressing]),
        XMLNamespace(prefix: "wsa2004", name: XMLNamespaces.known[XMLNamespaceID.addressing2004]),
        XMLNamespace(prefix: "wsse", name: XMLNamespaces.security),
        XMLNamespace(prefix: "wsu", name: XMLNamespaces.securityUtility),
        XMLNamespace(prefix: "ds", name: "http://www.w3.org/2000/09/xmldsig#"),
        XMLNamespace(prefix: "xsi", name: XMLNamespaces.known[XMLNamespaceID.schemaInstance]),
        XMLNamespace(prefix: "xml", name: XMLNamespaces.known[XMLNamespaceID.xml]),
    ]
}

/// An XPath 1.0 expression that was found to be valid.
package struct XPath: Sendable, Equatable {
    package enum Use: Sendable {
        /// Selects what of a body counts: its value is a set of nodes.
        case selection
        /// Gives a token: its value is a set of nodes or a string.
        case token
        /// Is true or not of a document: any value.
        case test
    }

    let text: String
    /// Those that the expression uses.
    let namespaces: [XMLNamespace]

    /// Checks an expression as far as it can be checked without a document: its syntax, its functions, its prefixes,
    /// and what sort of value it has. For `check` and for `Identifier`.
    package init(_ text: String, namespaces declared: [XMLNamespace] = [], use: Use) throws(PolicyError) {
        guard text.utf8.count <= Self.octetsMax else { throw .invalidXPath(text, "it is too long") }
        let grammar: XPathGrammar
        do throws(XPathGrammar.Failure) {
            grammar = try XPathGrammar(Array(text.utf8))
        } catch {
            throw .invalidXPath(text, error.reason)
        }
        var used: [XMLNamespace] = []
        for prefix in grammar.prefixes {
            let namespace = (declared + XMLNamespace.predefined).first { Array($0.prefix.utf8) == prefix }
            guard let namespace else {
                throw .invalidXPath(text, "the prefix '\(String(decoding: prefix, as: UTF8.self))' is not declared")
            }
            used.append(namespace)
        }
        self.text = text
        namespaces = used
        let kind: XPathEvaluator.Kind?
        do throws(XMLError) {
            // Every XPath 1.0 expression has the same sort of value in every document.
            kind = try unsafe XMLParser.withTree(Array("<a/>".utf8).span, charset: .absent) {
                document throws(XMLError) in
                let evaluator = try unsafe XPathEvaluator(document)
                return try evaluator.kind(of: self)
            }
        } catch {
            throw .invalidXPath(text, "it is not an XPath 1.0 expression")
        }
        switch (kind, use) {
        case (.nodes, _), (.string, .token), (_, .test): break
        case (_, .selection): throw .invalidXPath(text, "it does not select nodes")
        case (_, .token): throw .invalidXPath(text, "its value is neither a set of nodes nor a string")
        }
    }

    /// The values of an expression for `.token` in a body: the string value of each node it selects, or its string if
    /// that is not empty. `contentType` may be empty.
    package func values(in body: Span<UInt8>, contentType: Span<UInt8>) throws(XMLError) -> [[UInt8]] {
        try values(
            in: body, charset: contentType.count > 0 ? BodyType(contentType: contentType).charset : .absent)
    }

    /// - Parameter selection: with it, only what counts by it is there to be found.
    func values(
        in body: Span<UInt8>, charset: XMLEncoding.Charset, of selection: XMLSelection? = nil
    ) throws(XMLError) -> [[UInt8]] {
        // The tree and its strings are used within the calls.
        return try unsafe XMLParser.withTree(body, charset: charset) { document throws(XMLError) in
            if let selection { try unsafe XMLTree.reduce(document, to: selection) }
            let evaluator = try unsafe XPathEvaluator(document)
            var values: [[UInt8]] = []
            try evaluator.forEachString(of: self) { value in
                values.append(Array(value))
                return values.count < Self.valuesMax
            }
            return values
        }
    }

    /// Whether an expression for `.test` holds of a body: it is true, selects something, is a number but zero or a
    /// string but the empty one; with values, its string value is one of these.
    package func holds(of body: Span<UInt8>, contentType: Span<UInt8>, values: [[UInt8]]) throws(XMLError) -> Bool {
        let charset = contentType.count > 0 ? BodyType(contentType: contentType).charset : .absent
        // As above.
        return try unsafe XMLParser.withTree(body, charset: charset) { document throws(XMLError) in
            let evaluator = try unsafe XPathEvaluator(document)
            return try evaluator.holds(self, values: values)
        }
    }

    static let octetsMax = 4096
    private static let valuesMax = 1024
}
