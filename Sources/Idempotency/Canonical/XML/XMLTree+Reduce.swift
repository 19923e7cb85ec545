import CLibXML2

extension XMLTree {
    /// What an element says of those in it.
    private struct Level {
        var isCounted: Bool
        var place: SOAPPlace?
    }

    /// Takes out of the tree what does not count: what paths then find is the same in all documents whose tokens are.
    static func reduce(_ document: xmlDocPtr, to selection: borrowing XMLSelection) throws(XMLError) {
        try unsafe mark(document, by: selection)
        let root = unsafe UnsafeMutableRawPointer(document).assumingMemoryBound(to: xmlNode.self)
        let isNothing = unsafe marks(root) & Mark.excluded != 0
        let isAll = selection.include.isEmpty || (unsafe marks(root) & Mark.included != 0)
        var levels = [Level(isCounted: isAll)]
        // Of the nodes no one stands in another one; they are freed when the walk is over.
        var left: [xmlNodePtr] = unsafe []
        var next = unsafe document.pointee.children
        while let node = unsafe next {
            let level = levels[levels.count - 1]
            let marks = unsafe marks(node)
            let isElement = unsafe node.pointee.type == XML_ELEMENT_NODE
            let place = selection.isSOAP && isElement ? unsafe place(of: node, in: level.place) : nil
            let isCounted = level.isCounted || marks & Mark.included != 0
            let stays = isCounted || isElement && marks & Mark.onTheWay != 0
            if isNothing || !stays || marks & Mark.excluded != 0 || place?.isExcluded == true {
                unsafe left.append(node)
            } else if isElement {
                unsafe leaveAttributes(of: node, isCounted: isCounted, &left)
                if let child = unsafe node.pointee.children {
                    levels.append(Level(isCounted: isCounted, place: place))
                    unsafe next = child
                    continue
                }
            }
            unsafe next = unsafe following(node, root, &levels)
        }
        while let node = unsafe left.popLast() {
            // Each stands in the tree still, and is used no more.
            unsafe xmlUnlinkNode(node)
            unsafe xmlFreeNode(node)
        }
    }

    private static func leaveAttributes(of node: xmlNodePtr, isCounted: Bool, _ left: inout [xmlNodePtr]) {
        var next = unsafe node.pointee.properties
        while let attribute = unsafe next {
            unsafe next = attribute.pointee.next
            let marks = unsafe Int(bitPattern: attribute.pointee._private)
            if isCounted || marks & Mark.included != 0, marks & Mark.excluded == 0 { continue }
            // libxml2 takes an attribute for a node where its type says which it is.
            unsafe left.append(UnsafeMutableRawPointer(attribute).assumingMemoryBound(to: xmlNode.self))
        }
    }

    /// The node behind a node and what is in it; nil at the document's end.
    private static func following(_ node: xmlNodePtr, _ root: xmlNodePtr, _ levels: inout [Level]) -> xmlNodePtr? {
        var last = unsafe node
        while true {
            if let next = unsafe last.pointee.next { return unsafe next }
            guard let parent = unsafe last.pointee.parent, unsafe parent != root else { return nil }
            levels.removeLast()
            unsafe last = parent
        }
    }

    private static func place(of node: xmlNodePtr, in parent: SOAPPlace?) -> SOAPPlace {
        let name = unsafe XMLParser.octets(node.pointee.ns?.pointee.href)
        // Of others it only matters that they are none of these.
        let namespace = XMLNamespaces.known.firstIndex { name.equals(Array($0.utf8)) } ?? XMLNamespaces.known.count
        return unsafe SOAPPlace(namespace: namespace, local: XMLParser.octets(node.pointee.name), in: parent)
    }
}
