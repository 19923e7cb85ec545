import CLibXML2

/// A tree, of which XPaths say what counts: as tokens, or reduced to it.
enum XMLTree {
    /// What a path says of a node, in the node's `_private`, which libxml2 leaves to its user.
    enum Mark {
        static let included = 1
        static let excluded = 2
        /// Something below is included.
        static let onTheWay = 4
    }

    /// Writes what counts. The walk has no recursion: its depth is the document's.
    static func write(
        _ document: xmlDocPtr, selection: borrowing XMLSelection, to writer: inout XMLTokenWriter
    ) throws(XMLError) {
        try unsafe mark(document, by: selection)
        writer.reset(isSOAP: selection.isSOAP)
        let root = unsafe UnsafeMutableRawPointer(document).assumingMemoryBound(to: xmlNode.self)
        // Whether the element at each level counts whole.
        var counts: [Bool] = [selection.include.isEmpty || (unsafe marks(root) & Mark.included != 0)]
        if unsafe marks(root) & Mark.excluded != 0 { return }
        var next = unsafe document.pointee.children
        while let node = unsafe next {
            if unsafe enter(node, &counts, &writer), let child = unsafe node.pointee.children {
                unsafe next = child
                continue
            }
            unsafe next = unsafe leave(node, root, &counts, &writer)
        }
        if let failure = writer.failure { throw failure }
        writer.finish()
    }

    /// Writes a node's beginning; whether what is in it follows.
    private static func enter(_ node: xmlNodePtr, _ counts: inout [Bool], _ writer: inout XMLTokenWriter) -> Bool {
        let marks = unsafe marks(node)
        let isCounted = counts[counts.count - 1] || marks & Mark.included != 0
        let isExcluded = marks & Mark.excluded != 0
        switch unsafe node.pointee.type {
        case XML_ELEMENT_NODE:
            guard !isExcluded, isCounted || marks & Mark.onTheWay != 0 else {
                writer.skipElement()
                return false
            }
            unsafe begin(node, isCounted: isCounted, &writer)
            counts.append(isCounted)
            if unsafe node.pointee.children != nil { return true }
            // An element without content ends at once; `leave` ends those with content.
            writer.end()
            counts.removeLast()
            return false
        case XML_TEXT_NODE, XML_CDATA_SECTION_NODE:
            if isCounted, !isExcluded { unsafe writer.text(XMLParser.octets(node.pointee.content)) }
        case XML_PI_NODE:
            if isCounted, !isExcluded {
                unsafe writer.instruction(
                    target: XMLParser.octets(node.pointee.name), data: XMLParser.octets(node.pointee.content))
            }
        default: break
        }
        return false
    }

    /// The node that follows, after the ends of the elements that end here; nil at the document's end.
    private static func leave(
        _ node: xmlNodePtr, _ root: xmlNodePtr, _ counts: inout [Bool], _ writer: inout XMLTokenWriter
    ) -> xmlNodePtr? {
        var last = unsafe node
        while true {
            if let next = unsafe last.pointee.next { return unsafe next }
            guard let parent = unsafe last.pointee.parent, unsafe parent != root else { return nil }
            writer.end()
            counts.removeLast()
            unsafe last = parent
        }
    }

    private static func begin(_ node: xmlNodePtr, isCounted: Bool, _ writer: inout XMLTokenWriter) {
        var declaration = unsafe node.pointee.nsDef
        while let namespace = unsafe declaration {
            unsafe writer.declare(
                prefix: XMLParser.octets(namespace.pointee.prefix), name: XMLParser.octets(namespace.pointee.href))
            unsafe declaration = namespace.pointee.next
        }
        var next = unsafe node.pointee.properties
        while let attribute = unsafe next {
            unsafe next = attribute.pointee.next
            let marks = unsafe Int(bitPattern: attribute.pointee._private)
            guard isCounted || marks & Mark.included != 0, marks & Mark.excluded == 0 else { continue }
            // Entities are resolved: a value is one text, or none.
            let value = unsafe attribute.pointee.children
            unsafe writer.attribute(
                prefix: XMLParser.octets(attribute.pointee.ns?.pointee.prefix),
                local: XMLParser.octets(attribute.pointee.name), value: XMLParser.octets(value?.pointee.content))
        }
        unsafe writer.begin(
            prefix: XMLParser.octets(node.pointee.ns?.pointee.prefix), local: XMLParser.octets(node.pointee.name))
    }

    // MARK: Marks

    static func mark(_ document: xmlDocPtr, by selection: borrowing XMLSelection) throws(XMLError) {
        let evaluator = try unsafe XPathEvaluator(document)
        for index in selection.include.indices {
            try unsafe evaluator.forEachNode(of: selection.include[index], include)
        }
        for index in selection.exclude.indices {
            try unsafe evaluator.forEachNode(of: selection.exclude[index]) { unsafe mark($0, Mark.excluded) }
        }
    }

    static func marks(_ node: xmlNodePtr) -> Int {
        unsafe Int(bitPattern: node.pointee._private)
    }

    private static func mark(_ node: xmlNodePtr, _ mark: Int) {
        unsafe node.pointee._private = UnsafeMutableRawPointer(bitPattern: marks(node) | mark)
    }

    private static func include(_ node: xmlNodePtr) {
        unsafe mark(node, Mark.included)
        var parent = unsafe node.pointee.parent
        // Where the way is marked already, it is marked up to the root.
        while let place = unsafe parent, unsafe marks(place) & Mark.onTheWay == 0 {
            unsafe mark(place, Mark.onTheWay)
            unsafe parent = place.pointee.parent
        }
    }
}
