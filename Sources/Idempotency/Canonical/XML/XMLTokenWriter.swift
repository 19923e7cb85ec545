/// Writes what of an XML document counts as tokens: documents that mean the same give the same octets.
///
/// ```
/// element   1 name attributes(count) { name value }…       in the order of namespace name and local name
/// end       2
/// text      3 size(32 bits) octets [bindings]              one for all text between two other tokens
/// pi        4 size target size data
/// bindings  5 count namespace…
/// name      namespace size local
/// namespace number, 0 for none; the first use of the next higher number is followed by size name
/// value     0 size octets [bindings] | 1 name              1: the QName of xsi:type
/// ```
/// Sizes, counts and numbers are `append(variable:)` unless said. Prefixes, declarations, comments, and the ways to
/// write a character leave no trace. White space between elements counts only beside other text or under
/// `xml:space="preserve"`. What looks like a QName in text and values counts with its prefix and, `bindings`, with the
/// namespace that the prefix is bound to: such a document differs from one with other prefixes, but never equals one
/// with other namespaces.
struct XMLTokenWriter: Sendable {
    private enum Tag {
        static let element: UInt8 = 1
        static let end: UInt8 = 2
        static let text: UInt8 = 3
        static let instruction: UInt8 = 4
        static let bindings: UInt8 = 5
        static let literal: UInt8 = 0
        static let qualifiedName: UInt8 = 1
    }

    private struct Frame {
        /// Declarations in scope outside.
        var declarations: Int
        var hasElement = false
        var hasText = false
        var preservesSpace: Bool
        /// The last of its texts that are white space.
        var lastBlank = -1
        var soap: SOAPPlace
    }

    /// A text of white space: it is taken out again if it stands between elements.
    private struct Blank {
        var range: Range<UInt32>
        /// The one before it in its element, or −1.
        var previous: Int32
        var isDropped = false
    }

    private struct Attribute {
        var namespace: Int
        var local: Range<Int>
        var value: Range<Int>
    }

    /// The tokens; complete after `finish`.
    private(set) var output: [UInt8] = []
    /// What made the document have no canonical form.
    private(set) var failure: XMLError?
    private(set) var messageIDs = SOAPMessageIDs()

    private var isSOAP = false
    private var frames: [Frame] = []
    private var blanks: [Blank] = []
    private var namespaces = XMLNamespaces()
    /// By namespace: the number under which it was written, from 1; 0 if it was not.
    private var numbers: [Int] = []
    private var numbersUsed = 0
    /// Where the text at hand begins, and whether it is white space so far.
    private var textStart: Int?
    private var isBlank = true
    private var contentPrefixes = 0
    /// Levels of the element at hand that does not count; 0 where everything counts.
    private var skipped = 0
    // Of the element that is about to begin.
    private var pending: [UInt8] = []
    private var attributes: [Attribute] = []
    private var declared = 0
    private var bound: [Int] = []
    private var spare: [UInt8] = []

    mutating func reset(isSOAP: Bool) {
        self.isSOAP = isSOAP
        output.removeAll(keepingCapacity: true)
        failure = nil
        messageIDs.reset()
        frames.removeAll(keepingCapacity: true)
        blanks.removeAll(keepingCapacity: true)
        namespaces.reset()
        numbers.removeAll(keepingCapacity: true)
        numbersUsed = 0
        textStart = nil
        isBlank = true
        contentPrefixes = 0
        skipped = 0
        pending.removeAll(keepingCapacity: true)
        attributes.removeAll(keepingCapacity: true)
        declared = 0
    }

    // MARK: Events

    /// A declaration of the element that begins next.
    mutating func declare(prefix: Span<UInt8>, name: Span<UInt8>) {
        guard skipped == 0, failure == nil else { return }
        guard namespaces.declare(prefix: prefix, name: name) else { return fail(.tooManyNamespaces) }
        declared += 1
    }

    /// An attribute of the element that begins next, after its declarations.
    mutating func attribute(prefix: Span<UInt8>, local: Span<UInt8>, value: Span<UInt8>) {
        guard skipped == 0, failure == nil else { return }
        // An attribute without prefix is in no namespace, whatever the default one is.
        guard let namespace = prefix.count == 0 ? XMLNamespaceID.none : namespaces.lookUp(prefix) else {
            return fail(.malformed)
        }
        let start = pending.count
        pending.append(local)
        let middle = pending.count
        pending.append(value)
        attributes.append(
            Attribute(namespace: namespace, local: start..<middle, value: middle..<pending.count))
    }

    mutating func begin(prefix: Span<UInt8>, local: Span<UInt8>) {
        guard failure == nil else { return }
        guard skipped == 0 else { return skipped += 1 }
        guard frames.count < XMLLimits.depthMax else { return fail(.tooDeep) }
        guard let namespace = namespaces.lookUp(prefix) else { return fail(.malformed) }
        if let last = frames.indices.last { frames[last].hasElement = true }
        var place = SOAPPlace.elsewhere
        if isSOAP {
            place = SOAPPlace(namespace: namespace, local: local, in: frames.last?.soap)
            if place == .notSOAP { return fail(.notSOAP) }
            if place.isExcluded {
                if place == .messageID { messageIDs.begin() }
                dropPending()
                skipped = 1
                return
            }
        }
        endText()
        let preservesSpace = preservesSpace(frames.last?.preservesSpace ?? false)
        output.append(Tag.element)
        write(namespace: namespace)
        write(local)
        writeAttributes()
        frames.append(
            Frame(declarations: namespaces.depth - declared, preservesSpace: preservesSpace, soap: place))
        pending.removeAll(keepingCapacity: true)
        attributes.removeAll(keepingCapacity: true)
        declared = 0
    }

    mutating func end() {
        guard failure == nil else { return }
        if skipped > 0 {
            skipped -= 1
            if skipped == 0 { messageIDs.end() }
            return
        }
        endText()
        let frame = frames.removeLast()
        namespaces.drop(to: frame.declarations)
        output.append(Tag.end)
        guard frame.hasElement, !frame.hasText, !frame.preservesSpace else { return }
        var index = frame.lastBlank
        while index >= 0 {
            blanks[index].isDropped = true
            index = Int(blanks[index].previous)
        }
    }

    /// An element that a selection leaves out: as if it were not there.
    mutating func skipElement() {
        if skipped == 0, let last = frames.indices.last { frames[last].hasElement = true }
    }

    mutating func text(_ octets: Span<UInt8>) {
        guard failure == nil, octets.count > 0 else { return }
        guard skipped == 0 else { return messageIDs.text(octets) }
        guard !frames.isEmpty else { return }
        if textStart == nil {
            textStart = output.count
            isBlank = true
            output.append(Tag.text)
            output.append(bigEndian: UInt32(0))
        }
        if isBlank {
            for index in octets.indices {
                switch octets[index] {
                case 0x20, 0x09, 0x0A, 0x0D: continue
                default: isBlank = false
                }
                break
            }
        }
        output.append(octets)
    }

    mutating func instruction(target: Span<UInt8>, data: Span<UInt8>) {
        guard failure == nil, skipped == 0 else { return }
        endText()
        output.append(Tag.instruction)
        write(target)
        write(data)
    }

    /// After the root's end: `output` is complete.
    mutating func finish() {
        guard failure == nil, blanks.contains(where: \.isDropped) else { return }
        spare.removeAll(keepingCapacity: true)
        var position = 0
        for blank in blanks where blank.isDropped {
            spare.append(output, position..<Int(blank.range.lowerBound))
            position = Int(blank.range.upperBound)
        }
        spare.append(output, position..<output.count)
        swap(&spare, &output)
    }

    // MARK: Tokens

    private mutating func fail(_ error: XMLError) {
        if failure == nil { failure = error }
    }

    /// Forgets declarations and attributes of an element that does not count.
    private mutating func dropPending() {
        namespaces.drop(to: namespaces.depth - declared)
        declared = 0
        pending.removeAll(keepingCapacity: true)
        attributes.removeAll(keepingCapacity: true)
    }

    private mutating func endText() {
        guard let start = textStart else { return }
        textStart = nil
        let contentStart = start + 5
        let size = UInt32(output.count - contentStart)
        for index in 0..<4 { output[start + 1 + index] = UInt8(truncatingIfNeeded: size >> UInt32(24 - 8 * index)) }
        guard let last = frames.indices.last else { return }
        if isBlank {
            // The tokens of `XMLLimits.octetsMax` are less than 4 GiB.
            let range = UInt32(start)..<UInt32(output.count)
            blanks.append(Blank(range: range, previous: Int32(frames[last].lastBlank)))
            frames[last].lastBlank = blanks.count - 1
        } else {
            frames[last].hasText = true
            writeBindings(of: contentStart..<output.count)
        }
    }

    private mutating func write(_ octets: Span<UInt8>) {
        output.append(variable: octets.count)
        output.append(octets)
    }

    private mutating func write(namespace: Int) {
        guard namespace != XMLNamespaceID.none else { return output.append(0) }
        while numbers.count <= namespace { numbers.append(0) }
        if numbers[namespace] != 0 { return output.append(variable: numbers[namespace]) }
        numbersUsed += 1
        numbers[namespace] = numbersUsed
        output.append(variable: numbersUsed)
        let name = namespaces.name(namespace)
        write(name.span)
    }

    private mutating func writeAttributes() {
        if attributes.count > 1 { sortAttributes() }
        output.append(variable: attributes.count)
        for index in attributes.indices {
            let attribute = attributes[index]
            write(namespace: attribute.namespace)
            output.append(variable: attribute.local.count)
            output.append(pending, attribute.local)
            if isQualifiedName(attribute), writeQualifiedName(attribute.value) { continue }
            output.append(Tag.literal)
            output.append(variable: attribute.value.count)
            let start = output.count
            output.append(pending, attribute.value)
            writeBindings(of: start..<output.count)
        }
    }

    private mutating func sortAttributes() {
        // Taken out for the time of the sort, so that the closure captures no part of self.
        let pending = exchange(&self.pending, with: [])
        let namespaces = self.namespaces
        attributes.sort { left, right in
            if left.namespace != right.namespace {
                return namespaces.name(left.namespace).lexicographicallyPrecedes(namespaces.name(right.namespace))
            }
            return pending[left.local].lexicographicallyPrecedes(pending[right.local])
        }
        self.pending = pending
    }

    private func preservesSpace(_ outside: Bool) -> Bool {
        for index in attributes.indices where attributes[index].namespace == XMLNamespaceID.xml {
            guard pending.span.extracting(attributes[index].local).equals("space") else { continue }
            return pending.span.extracting(attributes[index].value).equals("preserve")
        }
        return outside
    }

    // MARK: Qualified names in content

    /// Values that are QNames by their schema, and whose prefix a client's library chooses.
    private func isQualifiedName(_ attribute: Attribute) -> Bool {
        let local = pending.span.extracting(attribute.local)
        return switch attribute.namespace {
        case XMLNamespaceID.schemaInstance: local.equals("type")
        case XMLNamespaceID.soapEncoding: local.equals("arrayType")
        default: false
        }
    }

    /// Writes namespace and rest of `prefix:rest` or `rest`; false if it is neither, or the prefix is not declared.
    private mutating func writeQualifiedName(_ range: Range<Int>) -> Bool {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, Self.isSpace(pending[start]) { start += 1 }
        while start < end, Self.isSpace(pending[end - 1]) { end -= 1 }
        let colon = pending.span.extracting(0..<end).firstIndex(of: 0x3A, from: start)
        let prefix = colon < end ? start..<colon : start..<start
        let rest = colon < end ? (colon + 1)..<end : start..<end
        // `:x` and `p:` are no QNames.
        guard colon > start, !rest.isEmpty, let namespace = namespaces.lookUp(pending.span.extracting(prefix)) else {
            return false
        }
        output.append(Tag.qualifiedName)
        write(namespace: namespace)
        output.append(variable: rest.count)
        output.append(pending, rest)
        return true
    }

    /// Writes the namespaces of all prefixes in a text that are declared.
    private mutating func writeBindings(of range: Range<Int>) {
        guard namespaces.hasPrefixes else { return }
        bound.removeAll(keepingCapacity: true)
        var start = range.lowerBound
        for index in range {
            let octet = output[index]
            if Self.isNameOctet(octet) { continue }
            if octet == 0x3A, index > start, Self.isNameStart(output[start]) {
                contentPrefixes += 1
                guard contentPrefixes <= XMLLimits.contentPrefixesMax else { return fail(.tooCostly) }
                let namespace = namespaces.lookUp(output.span.extracting(start..<index))
                if let namespace, namespace != XMLNamespaceID.xml { bound.append(namespace) }
            }
            start = index + 1
        }
        if bound.isEmpty { return }
        output.append(Tag.bindings)
        output.append(variable: bound.count)
        for index in bound.indices { write(namespace: bound[index]) }
    }

    @inline(__always)
    private static func isSpace(_ octet: UInt8) -> Bool {
        octet == 0x20 || octet == 0x0A || octet == 0x09 || octet == 0x0D
    }

    @inline(__always)
    private static func isNameStart(_ octet: UInt8) -> Bool {
        octet | 0x20 &- 0x61 < 26 || octet == 0x5F || octet >= 0x80
    }

    @inline(__always)
    private static func isNameOctet(_ octet: UInt8) -> Bool {
        isNameStart(octet) || octet &- 0x30 < 10 || octet == 0x2D || octet == 0x2E
    }
}
