@testable import Idempotency

/// SplitMix64: the same numbers for the same seed on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}

/// A request as tests write it.
struct TestRequest: FieldSource {
    var method = "POST"
    var path = "/v1/charges"
    var query: String?
    var fields: [(String, String)] = []
    var body: [UInt8] = []

    private var octets: [UInt8] = []
    private var lines: [(name: Range<Int>, value: Range<Int>)] = []

    init(
        _ method: String = "POST", _ path: String = "/v1/charges", query: String? = nil,
        fields: [(String, String)] = [],
        body: String = ""
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields
        self.body = Array(body.utf8)
        for (name, value) in fields {
            let nameStart = octets.count
            octets += Array(name.utf8)
            let nameEnd = octets.count
            octets += Array(": ".utf8)
            let valueStart = octets.count
            octets += Array(value.utf8)
            lines.append((nameStart..<nameEnd, valueStart..<octets.count))
            octets += Array("\r\n".utf8)
        }
    }

    var fieldOctets: Span<UInt8> {
        @_lifetime(borrow self) get { octets.span }
    }
    var fieldLineCount: Int { lines.count }
    func fieldName(at line: Int) -> Range<Int> { lines[line].name }
    func fieldValue(at line: Int) -> Range<Int> { lines[line].value }
}

extension Identifier {
    func begin(_ request: TestRequest, scratch: inout IdentityScratch) -> EarlyIdentification {
        let query = Array((request.query ?? "").utf8)
        return begin(
            method: Array(request.method.utf8).span, path: Array(request.path.utf8).span, query: query.span,
            hasQuery: request.query != nil, fields: request, scratch: &scratch)
    }

    /// Head and body at once; nil where the method is not covered.
    func identify(_ request: TestRequest) -> Identification? {
        var scratch = IdentityScratch()
        switch begin(request, scratch: &scratch) {
        case .notCovered: return nil
        case .missingKey: return .missingKey
        case .malformedKey: return .malformedKey
        case .refusedCaller(let fault): return .refusedCaller(fault)
        case .refusedRepeatability: return nil
        case .pending(let pending): return finish(pending, body: request.body.span, scratch: &scratch)
        }
    }

    /// The same from a body of which only pieces are at hand.
    func identityInPieces(_ request: TestRequest, of size: Int) throws -> RequestIdentity {
        var scratch = IdentityScratch()
        guard case .pending(let pending) = begin(request, scratch: &scratch) else { throw NotIdentified() }
        var hashed = asOctets(pending)
        for start in stride(from: 0, to: request.body.count, by: size) {
            hashed.append(request.body[start..<min(start + size, request.body.count)].span)
        }
        guard case .identified(let identity) = finish(hashed) else { throw NotIdentified() }
        return identity
    }

    /// The identity of a request that has one.
    func identity(_ request: TestRequest) throws -> RequestIdentity {
        guard case .identified(let identity)? = identify(request) else { throw NotIdentified() }
        return identity
    }
}

struct NotIdentified: Error {}
