/// What the head of a request says of its body, as far as the body's form depends on it.
struct BodyType: Sendable {
    enum Media: Sendable {
        /// No Content-Type: the body may be anything.
        case absent
        case form
        case json
        case xml
        case multipart
        case other
        /// Several Content-Types: the body is in no form, but a token is looked for.
        case ambiguous
    }

    var media = Media.absent
    var charset = XMLEncoding.Charset.absent
    /// Of a multipart body, in lower case.
    var subtype: [UInt8] = []
    var boundary: [UInt8] = []
    /// The content codings, in lower case and without white space; empty where nothing is encoded.
    var coding: [UInt8] = []

    init() {}

    /// Reads a Content-Type.
    init(contentType: Span<UInt8>) {
        let end = contentType.trimmed(0..<contentType.firstIndex(of: 0x3B, from: 0))
        let type = contentType.extracting(end)
        let slash = type.firstIndex(of: 0x2F, from: 0)
        guard slash < type.count else {
            media = .other
            return
        }
        let subtype = type.extracting((slash + 1)..<type.count)
        if type.equals(ignoringCase: "application/x-www-form-urlencoded") {
            media = .form
        } else if type.extracting(0..<slash).equals(ignoringCase: "multipart") {
            media = .multipart
            var parameters = ParameterField()
            guard parameters.parse(contentType), let boundary = parameters.find("boundary", in: contentType) else {
                return
            }
            for index in subtype.indices { self.subtype.append(lowercased(subtype[index])) }
            self.boundary = Array(contentType.extracting(boundary))
        } else if subtype.holds("json") {
            // application/json, application/problem+json, application/x-amz-json-1.1.
            media = .json
        } else if subtype.holds("xml") {
            // text/xml, application/soap+xml.
            media = .xml
            var parameters = ParameterField()
            if !parameters.parse(contentType) {
                charset = .other
            } else if let value = parameters.find("charset", in: contentType) {
                charset = XMLEncoding.Charset(contentType.extracting(value))
            }
        } else {
            media = .other
        }
    }

    /// Whether a token may stand in a field of a form.
    var mayBeForm: Bool {
        media == .form || media == .absent || media == .ambiguous
    }

    /// Adds a line of Content-Encoding.
    mutating func add(contentEncoding: Span<UInt8>) {
        var start = 0
        while start <= contentEncoding.count {
            let end = contentEncoding.firstIndex(of: 0x2C, from: start)
            let coding = contentEncoding.extracting(contentEncoding.trimmed(start..<end))
            if coding.count > 0, !coding.equals(ignoringCase: "identity") {
                if !self.coding.isEmpty { self.coding.append(0x2C) }
                for index in coding.indices { self.coding.append(lowercased(coding[index])) }
            }
            start = end + 1
        }
    }
}

extension Span<UInt8> {
    /// Whether an ASCII word stands in it, in any case. Precondition: `word` is in lower case.
    fileprivate func holds(_ word: StaticString) -> Bool {
        var start = 0
        while start + word.utf8CodeUnitCount <= count {
            if extracting(start..<(start + word.utf8CodeUnitCount)).equals(ignoringCase: word) { return true }
            start += 1
        }
        return false
    }
}

extension Identifier {
    /// What the head says of the body. Its media type is looked at only where something depends on it.
    func bodyType(octets: Span<UInt8>, gathered: borrowing GatheredFields, readsMedia: Bool) -> BodyType {
        var type = BodyType()
        if readsMedia, let line = gathered.next(of: contentTypeSlot) {
            type = BodyType(contentType: octets.extracting(line.value))
            if gathered.next(of: contentTypeSlot, from: line.next) != nil { type.media = .ambiguous }
        }
        var position = 0
        while let line = gathered.next(of: contentEncodingSlot, from: position) {
            type.add(contentEncoding: octets.extracting(line.value))
            position = line.next
        }
        return type
    }

}
