// Tokens in XML bodies.

extension IdentityScratch {
    /// Takes what a path selects: each node's value must be the same token. A body that is not XML holds no token; one
    /// that a service may read and this does not, for its document type or its size, is malformed.
    mutating func takeXPath(_ path: XPath, in body: Span<UInt8>, type: BodyType) -> TokenLookup {
        guard type.mayBeXML(body) else { return .absent }
        do throws(XMLError) {
            // The strings are the tree's, or freed after each call; both are used within it.
            return try unsafe XMLParser.withTree(body, charset: type.charset) { document throws(XMLError) in
                let evaluator = try unsafe XPathEvaluator(document)
                var lookup = TokenLookup.absent
                try evaluator.forEachString(of: path) { value in
                    lookup = takeXML(value, after: lookup)
                    return lookup != .malformed
                }
                return lookup
            }
        } catch {
            return error.isRefusal ? .malformed : .absent
        }
    }

    /// Takes the wsa:MessageID of a SOAP envelope's header.
    mutating func takeMessageID(in body: Span<UInt8>, type: BodyType) -> TokenLookup {
        guard type.mayBeXML(body) else { return .absent }
        do throws(XMLError) {
            var selection = XMLSelection()
            selection.isSOAP = true
            try xml.canonicalise(body, charset: type.charset, selection: selection)
        } catch {
            return error.isRefusal ? .malformed : .absent
        }
        var lookup = TokenLookup.absent
        let texts = xml.messageIDs.texts
        for text in texts { lookup = takeXML(text.span, after: lookup) }
        return lookup
    }

    /// Takes one more value, without the white space around it, which schemas collapse.
    private mutating func takeXML(_ value: Span<UInt8>, after lookup: TokenLookup) -> TokenLookup {
        var start = 0
        var end = value.count
        while start < end, Self.isXMLSpace(value[start]) { start += 1 }
        while start < end, Self.isXMLSpace(value[end - 1]) { end -= 1 }
        return take(value.extracting(start..<end), after: lookup)
    }

    private static func isXMLSpace(_ octet: UInt8) -> Bool {
        octet == 0x20 || octet == 0x0A || octet == 0x09 || octet == 0x0D
    }
}

extension BodyType {
    /// Services read XML under types that do not name it, so that what looks like XML is read then.
    fileprivate func mayBeXML(_ body: Span<UInt8>) -> Bool {
        switch media {
        case .xml: return true
        case .form, .json, .multipart: return false
        case .absent, .other, .ambiguous: break
        }
        for index in 0..<min(body.count, Self.spaceMax) {
            switch body[index] {
            case 0x3C: return true
            // White space, the marks of UTF-8 and UTF-16, the other half of a character.
            case 0x20, 0x09, 0x0A, 0x0D, 0xEF, 0xBB, 0xBF, 0xFE, 0xFF, 0x00: continue
            default: return false
            }
        }
        return false
    }

    private static let spaceMax = 1024
}
