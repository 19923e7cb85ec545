import CLibXML2

/// The one place that calls libxml2's parser: octets in, events of `XMLTokenWriter` or a tree out.
///
/// Nothing outside the octets is read: a document type ends the parse before its content, and without one there is
/// neither an entity to load nor an attribute to add. At the first error the parser is told that it is at the end.
enum XMLParser {
    /// What the callbacks work with: reached through the parser context's `_private`.
    private struct State {
        var writer = XMLTokenWriter()
        var failure: XMLError?
        // Of a tree, before it grows.
        var nodes = 0
        var declarations: [Int] = []
        var declared = 0

        /// Whether one more instruction may be added to the tree.
        mutating func grow() -> Bool {
            nodes += 1
            if nodes > XMLLimits.treeNodesMax { failure = .tooManyNodes }
            return failure == nil
        }

        /// Whether one more element may be added to the tree.
        mutating func grow(declarations count: Int, attributes: Int, hasTooManyNames: Bool) -> Bool {
            nodes += 1 + attributes
            declared += count
            declarations.append(count)
            if hasTooManyNames { failure = .tooManyNames }
            if declarations.count > XMLLimits.depthMax { failure = .tooDeep }
            if declared > XMLLimits.declarationsMax { failure = .tooManyNamespaces }
            if nodes > XMLLimits.treeNodesMax { failure = .tooManyNodes }
            return failure == nil
        }

        mutating func shrink() {
            declared -= declarations.popLast() ?? 0
        }
    }

    /// Whether libxml2 is ready: it sets up its tables once.
    private static let isReady: Bool = {
        xmlInitParser()
        return true
    }()

    /// Writes the tokens of a document.
    static func write(
        _ input: Span<UInt8>, charset: XMLEncoding.Charset, isSOAP: Bool, to writer: inout XMLTokenWriter
    ) throws(XMLError) {
        var state = State()
        // Moved, not copied, so that the writer's buffers are used again.
        swap(&state.writer, &writer)
        defer { swap(&state.writer, &writer) }
        state.writer.reset(isSOAP: isSOAP)
        let encoding = try XMLEncoding.detect(input, charset: charset)
        try XMLOutline.check(input, encoding: encoding)
        guard let context = unsafe makeContext(input, encoding) else { throw .encoding }
        // The context is used in this function only, and freed on every way out of it. There is no tree.
        defer { unsafe xmlFreeParserCtxt(context) }
        unsafe prepareEvents(context)
        unsafe run(context, &state)
        if let error = state.writer.failure ?? state.failure { throw error }
        guard unsafe isWellFormed(context) else { throw .malformed }
        state.writer.finish()
    }

    /// Builds the tree of a document for the time of `body`.
    static func withTree<Result>(
        _ input: Span<UInt8>, charset: XMLEncoding.Charset,
        _ body: (xmlDocPtr) throws(XMLError) -> Result
    ) throws(XMLError) -> Result {
        var state = State()
        let encoding = try XMLEncoding.detect(input, charset: charset)
        try XMLOutline.check(input, encoding: encoding)
        guard let context = unsafe makeContext(input, encoding) else { throw .encoding }
        // Context and tree are used until this function returns, and freed on every way out of it.
        defer {
            unsafe xmlFreeDoc(context.pointee.myDoc)
            unsafe xmlFreeParserCtxt(context)
        }
        unsafe prepareTree(context)
        unsafe run(context, &state)
        if let failure = state.failure { throw failure }
        guard unsafe isWellFormed(context), let document = unsafe context.pointee.myDoc else { throw .malformed }
        return try unsafe body(document)
    }

    // MARK: The context

    private static func makeContext(_ input: Span<UInt8>, _ encoding: XMLEncoding) -> xmlParserCtxtPtr? {
        precondition(isReady)
        // libxml2 copies the octets before the call returns.
        let context = unsafe input.withUnsafeBytes { buffer in
            unsafe xmlCreateMemoryParserCtxt(
                buffer.baseAddress?.assumingMemoryBound(to: CChar.self), CInt(buffer.count))
        }
        guard let context = unsafe context else { return nil }
        // NOENT: entities in attribute values, of which only the five predefined ones are left, are resolved.
        let options =
            XML_PARSE_NONET.rawValue | XML_PARSE_NOENT.rawValue | XML_PARSE_NOCDATA.rawValue
            | XML_PARSE_NOERROR.rawValue | XML_PARSE_NOWARNING.rawValue | XML_PARSE_IGNORE_ENC.rawValue
        unsafe xmlCtxtUseOptions(context, CInt(options))
        let name: String? =
            switch encoding {
            // Of UTF-16 the mark is found by libxml2.
            case .utf8, .utf16: nil
            case .ascii: "US-ASCII"
            case .latin1: "ISO-8859-1"
            }
        if let name {
            guard let converter = unsafe xmlFindCharEncodingHandler(name),
                unsafe xmlSwitchToEncoding(context, converter) == 0
            else {
                unsafe xmlFreeParserCtxt(context)
                return nil
            }
        }
        return unsafe context
    }

    private static func run(_ context: xmlParserCtxtPtr, _ state: inout State) {
        unsafe withUnsafeMutablePointer(to: &state) { pointer in
            // The callbacks reach the state, which nothing else touches, only while this call lasts.
            unsafe context.pointee._private = UnsafeMutableRawPointer(pointer)
            _ = unsafe xmlParseDocument(context)
            unsafe context.pointee._private = nil
        }
    }

    private static func isWellFormed(_ context: xmlParserCtxtPtr) -> Bool {
        guard unsafe context.pointee.wellFormed == 1, unsafe context.pointee.nsWellFormed == 1 else { return false }
        // XML 1.1 has other characters and line ends, which libxml2 does not know.
        guard let version = unsafe context.pointee.version else { return true }
        return unsafe octets(version).equals("1.0")
    }

    private static func prepareEvents(_ context: xmlParserCtxtPtr) {
        guard let handler = unsafe context.pointee.sax else { return }
        unsafe prepareCommon(handler)
        // None of the tree's.
        unsafe handler.pointee.startDocument = nil
        unsafe handler.pointee.endDocument = nil
        unsafe handler.pointee.setDocumentLocator = nil
        unsafe handler.pointee.getEntity = nil
        unsafe handler.pointee.getParameterEntity = nil
        unsafe handler.pointee.reference = nil
        unsafe handler.pointee.comment = nil
        unsafe handler.pointee.startElementNs = {
            context, local, prefix, _, count, names, attributeCount, _, attributes in
            unsafe XMLParser.began(context, local, prefix, Int(count), names, Int(attributeCount), attributes)
        }
        unsafe handler.pointee.endElementNs = { context, _, _, _ in
            unsafe XMLParser.withState(context) { $0.writer.end() }
        }
        unsafe handler.pointee.characters = { context, start, count in
            unsafe XMLParser.withState(context) { state in
                unsafe state.writer.text(XMLParser.octets(start, count))
            }
        }
        unsafe handler.pointee.ignorableWhitespace = unsafe handler.pointee.characters
        unsafe handler.pointee.cdataBlock = unsafe handler.pointee.characters
        unsafe handler.pointee.processingInstruction = { context, target, data in
            unsafe XMLParser.withState(context) { state in
                unsafe state.writer.instruction(target: XMLParser.octets(target), data: XMLParser.octets(data))
            }
        }
    }

    private static func prepareTree(_ context: xmlParserCtxtPtr) {
        guard let handler = unsafe context.pointee.sax else { return }
        unsafe prepareCommon(handler)
        unsafe handler.pointee.comment = nil
        unsafe handler.pointee.startElementNs = {
            context, local, prefix, name, count, names, attributeCount, defaulted, attributes in
            let grows = unsafe XMLParser.withState(context) { state in
                unsafe state.grow(
                    declarations: Int(count), attributes: Int(attributeCount),
                    hasTooManyNames: XMLParser.hasTooManyNames(context))
            }
            guard grows else { return }
            unsafe xmlSAX2StartElementNs(
                context, local, prefix, name, count, names, attributeCount, defaulted, attributes)
        }
        unsafe handler.pointee.processingInstruction = { context, target, data in
            guard unsafe XMLParser.withState(context, { $0.grow() }) else { return }
            unsafe xmlSAX2ProcessingInstruction(context, target, data)
        }
        unsafe handler.pointee.endElementNs = { context, local, prefix, name in
            unsafe XMLParser.withState(context) { $0.shrink() }
            unsafe xmlSAX2EndElementNs(context, local, prefix, name)
        }
    }

    private static func prepareCommon(_ handler: UnsafeMutablePointer<xmlSAXHandler>) {
        unsafe handler.pointee.internalSubset = { context, _, _, _ in
            unsafe XMLParser.withState(context) { $0.failure = $0.failure ?? .documentType }
        }
        unsafe handler.pointee.serror = { context, error in
            guard let error = unsafe error, unsafe error.pointee.level.rawValue >= XML_ERR_ERROR.rawValue else {
                return
            }
            unsafe XMLParser.withState(context) { $0.failure = $0.failure ?? .malformed }
        }
    }

    // MARK: Callbacks

    /// libxml2's table of names grows to a size and no further.
    private static func hasTooManyNames(_ context: UnsafeMutableRawPointer?) -> Bool {
        // As in `withState`.
        guard let parser = unsafe context?.assumingMemoryBound(to: xmlParserCtxt.self) else { return true }
        return unsafe xmlDictSize(parser.pointee.dict) > XMLLimits.namesMax
    }

    /// Runs an event, and ends the parse if it failed. libxml2's own way to end (xmlStopParser) frees the input, of
    /// which its callers still hold pointers when they report an error; this leaves it in place.
    @discardableResult
    private static func withState<Result>(_ context: UnsafeMutableRawPointer?, _ body: (inout State) -> Result)
        -> Result
    {
        guard let context = unsafe context else { preconditionFailure("libxml2 gives its context to each callback") }
        // The user data is the parser's context, as xmlCreateMemoryParserCtxt sets it, and `run` filled in the state.
        let parser = unsafe context.assumingMemoryBound(to: xmlParserCtxt.self)
        guard let pointer = unsafe parser.pointee._private else { preconditionFailure("a callback outside of run") }
        let state = unsafe pointer.assumingMemoryBound(to: State.self)
        let result = unsafe body(&state.pointee)
        if unsafe state.pointee.failure != nil || state.pointee.writer.failure != nil {
            unsafe parser.pointee.disableSAX = 1
            unsafe parser.pointee.instate = XML_PARSER_EOF
        }
        return result
    }

    private static func began(
        _ context: UnsafeMutableRawPointer?, _ local: UnsafePointer<xmlChar>?, _ prefix: UnsafePointer<xmlChar>?,
        _ count: Int, _ names: UnsafeMutablePointer<UnsafePointer<xmlChar>?>?,
        _ attributeCount: Int, _ attributes: UnsafeMutablePointer<UnsafePointer<xmlChar>?>?
    ) {
        unsafe withState(context) { state in
            // libxml2's arrays: prefix and name of each declaration; local name, prefix, namespace, and the ends of the
            // value of each attribute.
            for index in 0..<count {
                guard let names = unsafe names else { break }
                unsafe state.writer.declare(prefix: octets(names[2 * index]), name: octets(names[2 * index + 1]))
            }
            for index in 0..<attributeCount {
                guard let attribute = unsafe attributes.map({ unsafe $0 + 5 * index }),
                    let start = unsafe attribute[3], let end = unsafe attribute[4]
                else { break }
                unsafe state.writer.attribute(
                    prefix: octets(attribute[1]), local: octets(attribute[0]), value: octets(start, CInt(end - start)))
            }
            unsafe state.writer.begin(prefix: octets(prefix), local: octets(local))
            if unsafe hasTooManyNames(context) { state.failure = state.failure ?? .tooManyNames }
        }
    }
}

extension XMLParser {
    /// A string of libxml2, which ends with a zero; no octets for none.
    @_lifetime(immortal)
    static func octets(_ start: UnsafePointer<xmlChar>?) -> Span<UInt8> {
        guard let start = unsafe start else { return Span() }
        var count = 0
        while unsafe start[count] != 0 { count += 1 }
        // The caller uses the span only while libxml2 keeps the string: within one callback, or while the tree lives.
        return unsafe _overrideLifetime(Span(_unsafeStart: start, count: count), copying: ())
    }

    @_lifetime(immortal)
    static func octets(_ start: UnsafePointer<xmlChar>?, _ count: CInt) -> Span<UInt8> {
        guard let start = unsafe start, count > 0 else { return Span() }
        // As above.
        return unsafe _overrideLifetime(Span(_unsafeStart: start, count: Int(count)), copying: ())
    }
}
