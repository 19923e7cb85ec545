/// A place where a token may stand, compiled from `Policy.KeySource`.
enum KeySource: Sendable {
    case header(slot: Int)
    case query(name: [UInt8])
    case cookie(slot: Int, name: [UInt8])
    case json(JSONSelection)
    case form(name: [UInt8])
    case xpath(XPath)
    case soapMessageID

    init(
        _ source: Policy.KeySource, namespaces: [XMLNamespace], wanted: inout WantedFields
    ) throws(PolicyError) {
        switch source {
        case .header(let name):
            self = .header(slot: try wanted.slot(of: name))
        case .query(let name):
            guard !name.isEmpty else { throw .emptyName }
            self = .query(name: Array(name.utf8))
        case .cookie(let name):
            guard !name.isEmpty else { throw .emptyName }
            self = .cookie(slot: try wanted.slot(of: "cookie"), name: Array(name.utf8))
        case .jsonPointer(let text):
            let pointer = try JSONPointer(text)
            guard !pointer.hasWildcard else { throw .wildcardInKeyPointer(text) }
            self = .json(try JSONSelection(include: [pointer]))
        case .form(let name):
            guard !name.isEmpty else { throw .emptyName }
            self = .form(name: Array(name.utf8))
        case .xpath(let text):
            self = .xpath(try XPath(text, namespaces: namespaces, use: .token))
        case .soapMessageID:
            self = .soapMessageID
        }
    }

    var isInBody: Bool {
        switch self {
        case .json, .form, .xpath, .soapMessageID: true
        case .header, .query, .cookie: false
        }
    }
}

/// Whether one source holds a token; a token found is in `IdentityScratch.token`.
enum TokenLookup {
    case absent
    case found
    /// Malformed, or several values that are not the same token.
    case malformed
}

/// Whether a request has a key.
enum KeyLookup {
    case absent
    case malformed
    case found(PendingIdentity.Key)
}

extension IdentityScratch {
    /// Takes one more value of a source: the first must be a token, each further one the same.
    mutating func take(_ value: Span<UInt8>, after lookup: TokenLookup) -> TokenLookup {
        switch lookup {
        case .absent: Token.parse(value, into: &token) ? .found : .malformed
        case .found: Token.parse(value, into: &secondToken) && token == secondToken ? .found : .malformed
        case .malformed: .malformed
        }
    }

    /// Takes the percent-decoded values of the parameters with this name.
    mutating func takeParameters(named name: [UInt8], in octets: Span<UInt8>) -> TokenLookup {
        var lookup = TokenLookup.absent
        var cursor = ParameterCursor()
        while cursor.next(in: octets) {
            decoded.removeAll(keepingCapacity: true)
            guard PercentCoding.decode(octets.extracting(cursor.name), plusIsSpace: true, into: &decoded),
                decoded == name
            else { continue }
            decoded.removeAll(keepingCapacity: true)
            let value = octets.extracting(cursor.value ?? 0..<0)
            guard PercentCoding.decode(value, plusIsSpace: true, into: &decoded) else { return .malformed }
            let taken = exchange(&decoded, with: [])
            lookup = take(taken.span, after: lookup)
            decoded = consume taken
        }
        return lookup
    }
}

extension Identifier {
    /// The key as far as the head tells.
    func earlyKey(
        keyHash: borrowing SHA256, query: Span<UInt8>, octets: Span<UInt8>, scratch: inout IdentityScratch
    ) -> KeyLookup {
        var bodySources: Range<Int>?
        for index in keySources.indices {
            if keySources[index].isInBody {
                bodySources = (bodySources?.lowerBound ?? index)..<(index + 1)
                continue
            }
            let lookup = lookUp(keySources[index], query: query, octets: octets, scratch: &scratch)
            guard lookup != .absent else { continue }
            let token = lookup == .found ? tokenKey(keyHash: keyHash, token: scratch.token) : nil
            guard let bodySources else { return token.map { .found(.token($0)) } ?? .malformed }
            return .found(.inBody(bodySources, fallback: token.map { .token($0) } ?? .malformed))
        }
        guard let bodySources else { return .absent }
        return .found(.inBody(bodySources, fallback: .absent))
    }

    /// The key by the sources that look into the body; those between them that do not were absent.
    func keyInBody(
        _ sources: Range<Int>, fallback: PendingIdentity.Fallback, keyHash: borrowing SHA256, body: Span<UInt8>,
        type: BodyType, scratch: inout IdentityScratch
    ) -> KeyLookup {
        for index in sources {
            switch lookUp(keySources[index], body: body, type: type, scratch: &scratch) {
            case .absent: continue
            case .malformed: return .malformed
            case .found: return .found(.token(tokenKey(keyHash: keyHash, token: scratch.token)))
            }
        }
        switch fallback {
        case .absent: return .absent
        case .malformed: return .malformed
        case .token(let key): return .found(.token(key))
        }
    }

    /// In the body; absent for a source that does not look there.
    func lookUp(
        _ source: KeySource, body: Span<UInt8>, type: BodyType, scratch: inout IdentityScratch
    ) -> TokenLookup {
        switch source {
        case .json(let selection): scratch.takeJSON(at: selection, in: body)
        case .form(let name): type.mayBeForm ? scratch.takeParameters(named: name, in: body) : .absent
        case .xpath(let path): scratch.takeXPath(path, in: body, type: type)
        case .soapMessageID: scratch.takeMessageID(in: body, type: type)
        case .header, .query, .cookie: .absent
        }
    }

    /// In the head.
    func lookUp(
        _ source: KeySource, query: Span<UInt8>, octets: Span<UInt8>, scratch: inout IdentityScratch
    ) -> TokenLookup {
        var lookup = TokenLookup.absent
        switch source {
        case .header(let slot):
            var position = 0
            while let line = scratch.gathered.next(of: slot, from: position) {
                lookup = scratch.take(octets.extracting(line.value), after: lookup)
                position = line.next
            }
        case .query(let name):
            lookup = scratch.takeParameters(named: name, in: query)
        case .cookie(let slot, let name):
            var cursor = CookieCursor(slot: slot)
            while let value = cursor.next(named: name, octets: octets, gathered: scratch.gathered) {
                lookup = scratch.take(octets.extracting(value), after: lookup)
            }
        case .json, .form, .xpath, .soapMessageID:
            break
        }
        return lookup
    }

    private func tokenKey(keyHash: borrowing SHA256, token: [UInt8]) -> RecordKey {
        var hash = copy keyHash
        hash.update(Claim.Kind.token.rawValue)
        hash.update(prefixed: token)
        return hash.finish()
    }

    /// Of a repeatable request: its id is a token like others, unless the client's id narrows it.
    func tokenKey(
        keyHash: borrowing SHA256, _ request: Repeatability.Request, scratch: borrowing IdentityScratch
    ) -> RecordKey {
        var hash = copy keyHash
        hash.update(Claim.Kind.token.rawValue)
        hash.update(prefixed: scratch.token)
        if request.hasClientID { hash.update(prefixed: scratch.secondToken) }
        return hash.finish()
    }
}

/// Walks the values of one cookie over all Cookie lines (RFC 6265 §4.2.1; HTTP/2 may split them into lines).
struct CookieCursor {
    private let slot: Int
    private var linePosition = 0
    private var rest = 0..<0

    init(slot: Int) {
        self.slot = slot
    }

    /// The next value of the cookie with this name, which is case-sensitive; nil at the end.
    mutating func next(named name: [UInt8], octets: Span<UInt8>, gathered: GatheredFields) -> Range<Int>? {
        while true {
            if rest.isEmpty {
                guard let line = gathered.next(of: slot, from: linePosition) else { return nil }
                linePosition = line.next
                rest = line.value
                continue
            }
            var end = rest.lowerBound
            while end < rest.upperBound, octets[end] != 0x3B { end += 1 }
            let pair = octets.trimmed(rest.lowerBound..<end)
            rest = min(end + 1, rest.upperBound)..<rest.upperBound
            let valueStart = pair.lowerBound + name.count + 1
            guard pair.upperBound >= valueStart, octets[valueStart - 1] == 0x3D,
                octets.equals(name, at: pair.lowerBound..<(valueStart - 1))
            else { continue }
            return valueStart..<pair.upperBound
        }
    }
}
