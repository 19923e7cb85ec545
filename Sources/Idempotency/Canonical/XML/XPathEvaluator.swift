import CLibXML2

/// Evaluates XPaths in one tree. Safe as long as the document lives, which who makes it says by `unsafe`.
@safe
struct XPathEvaluator: ~Copyable {
    enum Kind {
        case nodes
        case string
        case other
    }

    private let context: xmlXPathContextPtr

    /// The document must outlive the evaluator.
    init(_ document: xmlDocPtr) throws(XMLError) {
        guard let context = unsafe xmlXPathNewContext(document) else { throw .tooCostly }
        unsafe self.context = context
        // Errors are told by the result; without this they would be printed.
        unsafe context.pointee.error = { _, _ in }
        // With their order at hand, libxml2 compares two elements at once instead of walking from one to the other.
        _ = unsafe xmlXPathOrderDocElems(document)
    }

    deinit {
        unsafe xmlXPathFreeContext(context)
    }

    func kind(of path: XPath) throws(XMLError) -> Kind {
        let object = try unsafe evaluate(path)
        defer { unsafe xmlXPathFreeObject(object) }
        return switch unsafe object.pointee.type {
        case XPATH_NODESET: .nodes
        case XPATH_STRING: .string
        default: .other
        }
    }

    /// Calls `body` with each node that a path selects.
    func forEachNode(of path: XPath, _ body: (xmlNodePtr) -> Void) throws(XMLError) {
        let object = try unsafe evaluate(path)
        defer { unsafe xmlXPathFreeObject(object) }
        guard unsafe object.pointee.type == XPATH_NODESET else { throw .tooCostly }
        guard let set = unsafe object.pointee.nodesetval, let nodes = unsafe set.pointee.nodeTab else { return }
        for index in 0..<Int(unsafe set.pointee.nodeNr) {
            // libxml2 fills the first nodeNr places. A namespace node is another structure, and belongs to the set.
            guard let node = unsafe nodes[index], unsafe node.pointee.type != XML_NAMESPACE_DECL else { continue }
            unsafe body(node)
        }
    }

    /// Calls `body` with the string value of each node, or with the string if it is not empty, until it gives false.
    func forEachString(of path: XPath, _ body: (Span<UInt8>) -> Bool) throws(XMLError) {
        let object = try unsafe evaluate(path)
        defer { unsafe xmlXPathFreeObject(object) }
        if unsafe object.pointee.type == XPATH_STRING {
            let string = unsafe XMLParser.octets(object.pointee.stringval)
            if string.count > 0 { _ = body(string) }
            return
        }
        guard let set = unsafe object.pointee.nodesetval, let nodes = unsafe set.pointee.nodeTab else { return }
        for index in 0..<Int(unsafe set.pointee.nodeNr) {
            // A string of its own, which is freed here.
            let string = unsafe xmlXPathCastNodeToString(nodes[index])
            defer { unsafe oncegate_xml_free(string) }
            guard unsafe body(XMLParser.octets(string)) else { return }
        }
    }

    /// Whether the value counts as true or, with values, its text is one of them.
    func holds(_ path: XPath, values: [[UInt8]]) throws(XMLError) -> Bool {
        let object = try unsafe evaluate(path)
        defer { unsafe xmlXPathFreeObject(object) }
        if values.isEmpty { return unsafe xmlXPathCastToBoolean(object) == 1 }
        // A string of its own, which is freed here.
        let string = unsafe xmlXPathCastToString(object)
        defer { unsafe oncegate_xml_free(string) }
        let text = unsafe XMLParser.octets(string)
        for value in values where text.equals(value) { return true }
        return false
    }

    /// The value of a path; to be freed.
    private func evaluate(_ path: XPath) throws(XMLError) -> xmlXPathObjectPtr {
        for namespace in path.namespaces {
            guard unsafe xmlXPathRegisterNs(context, namespace.prefix, namespace.name) == 0 else { throw .tooCostly }
        }
        unsafe context.pointee.opCount = 0
        unsafe context.pointee.opLimit = XMLLimits.operationsMax
        unsafe context.pointee.node = unsafe UnsafeMutableRawPointer(context.pointee.doc)?
            .assumingMemoryBound(to: xmlNode.self)
        // Compiled for each document: a compiled expression caches what it looked up, and so cannot be shared.
        guard let object = unsafe xmlXPathEval(path.text, context) else { throw .tooCostly }
        return unsafe object
    }
}
