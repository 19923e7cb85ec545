/// Why octets have no canonical XML form.
package enum XMLError: Error, Equatable {
    /// Not well-formed XML 1.0, or a prefix that is not declared.
    case malformed
    /// Not UTF-8, UTF-16 with its mark, ISO-8859-1 or US-ASCII, or two statements that contradict each other.
    case encoding
    /// A DOCTYPE: its entities and default attributes would make parsers disagree, and cost more than their octets.
    case documentType
    case tooDeep
    case tooManyAttributes
    case tooManyNamespaces
    case tooManyNames
    case tooManyNodes
    case tooLarge
    /// An XPath needs more operations than `XMLLimits.operationsMax`, or does not fit the document.
    case tooCostly
    /// The root is not the envelope of SOAP 1.1 or 1.2.
    case notSOAP

    /// Whether a parser without these limits may find values where none are looked for here.
    var isRefusal: Bool { self != .malformed && self != .notSOAP }
}

/// What a document may cost. One that costs more counts by its octets.
package enum XMLLimits {
    package static let octetsMax = 1 << 26
    package static let depthMax = 64
    /// libxml2 compares each attribute of an element with all before it.
    package static let attributesMax = 128
    /// Declarations in scope at one time: libxml2 looks for a prefix in all of them.
    package static let declarationsMax = 64
    package static let namespacesMax = 1024
    /// Different names, prefixes and namespaces that libxml2 keeps.
    package static let namesMax = 8192
    /// Prefixes that are looked for in text and attribute values.
    package static let contentPrefixesMax = 65_536
    /// Elements, attributes, texts and instructions of a document in which an XPath selects.
    package static let treeNodesMax = 32_768
    /// Operations of each XPath in one document, as libxml2 counts them.
    package static let operationsMax: UInt = 1_000_000
    /// XPaths of one list.
    package static let pathsMax = 16
}
