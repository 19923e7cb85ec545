/// Which parts of an XML document count.
struct XMLSelection: Sendable, Equatable {
    /// The root must be a SOAP envelope, of whose header some does not count (`SOAPPlace`).
    var isSOAP = false
    /// When not empty, only what these select counts, with the names of the elements around it.
    var include: [XPath] = []
    /// What these select does not count, included or not.
    var exclude: [XPath] = []
}

/// Makes equal octets of XML documents that mean the same: as exclusive XML canonicalisation does, in tokens instead of
/// text (`XMLTokenWriter`), so that prefixes do not matter either.
struct XMLCanonicaliser: Sendable {
    /// The canonical form. After an error undefined.
    var output: [UInt8] { writer.output }
    var messageIDs: SOAPMessageIDs { writer.messageIDs }

    private var writer = XMLTokenWriter()

    /// Puts the canonical form of a document into `output`. A tree is built only if XPaths select in it.
    mutating func canonicalise(
        _ input: Span<UInt8>, charset: XMLEncoding.Charset = .absent, selection: borrowing XMLSelection
    ) throws(XMLError) {
        if selection.include.isEmpty, selection.exclude.isEmpty {
            return try XMLParser.write(input, charset: charset, isSOAP: selection.isSOAP, to: &writer)
        }
        let selection = copy selection
        // The tree is used within the call only.
        try unsafe XMLParser.withTree(input, charset: charset) { document throws(XMLError) in
            try unsafe XMLTree.write(document, selection: selection, to: &writer)
        }
    }
}
