/// What a request is, for its record.
package struct RequestIdentity: Sendable, Equatable {
    package var kind: Claim.Kind
    package var key: RecordKey
    package var fingerprint: Fingerprint
    /// The request says itself that it is a retry (`amz-sdk-request`, `x-stainless-retry-count`,
    /// `grpc-previous-rpc-attempts`, `x-envoy-attempt-count`).
    package var hasRetryEvidence: Bool
    /// Nobody in particular is calling: Set-Cookie and the authentication fields are not replayed.
    package var isAnonymous: Bool
    /// The body is not in the form that the hash rule names, so its octets were hashed instead. For a counter.
    package var fellBackToOctets: Bool
    /// When the client says it made a repeatable request; nil for others.
    package var firstSentMilliseconds: UInt64?
    /// Equal for requests of one caller and route with equal fingerprints, whatever their tokens; for counting only.
    package var similarity: UInt64 = 0
}

/// What the head of a request tells.
package enum EarlyIdentification: Sendable {
    /// The method is not covered.
    case notCovered
    /// No token, and `on_missing_key` is `pass` or `reject`.
    case missingKey
    case malformedKey
    /// Why stands in `IdentityScratch.callerFault`: one case with a payload makes this enum cheap to pass.
    case refusedCaller
    /// Why stands in `IdentityScratch.repeatabilityFault`.
    case refusedRepeatability
    /// The body decides the rest.
    case pending(PendingIdentity)
}

/// What a whole request tells.
package enum Identification: Sendable, Equatable {
    case missingKey
    case malformedKey
    case refusedCaller(CallerFault)
    case identified(RequestIdentity)
}

/// A request whose head was identified and whose body is awaited: two hash computations and some flags; nothing
/// is allocated but where a boundary or a coding is kept.
package struct PendingIdentity: Sendable {
    /// Where the key comes from.
    enum Key: Sendable {
        case token(RecordKey)
        case fingerprint
        /// The key sources in this range look into the body; `fallback` holds if none of them finds a token.
        case inBody(Range<Int>, fallback: Fallback)
        // Of routes that are observed only.
        case absent
        case malformed
    }

    enum Fallback: Sendable {
        case token(RecordKey)
        case malformed
        case absent
    }

    var key: Key
    /// Route and scope are absorbed.
    var keyHash: SHA256
    /// Everything but the body is absorbed.
    var fingerprintHash: SHA256
    var bodyCount: UInt64 = 0
    package internal(set) var hasRetryEvidence: Bool
    package internal(set) var isAnonymous: Bool
    var callerFault: CallerFault?
    var firstSentMilliseconds: UInt64?
    var bodyType: BodyType
    /// Whether the body may be given in pieces, as it arrives. Otherwise `finish` needs it whole.
    package internal(set) var takesPieces: Bool
    /// False where the hash rule says `body none`: the head tells everything.
    package internal(set) var countsBody: Bool

    /// The key may stand in the body: who has only parts of it cannot tell.
    package var needsBodyForKey: Bool {
        if case .inBody = key { true } else { false }
    }

    /// The record's key, if the head alone determines it.
    package var recordKey: RecordKey? {
        if case .token(let key) = key { key } else { nil }
    }

    /// Absorbs the next octets of the body. Precondition: `takesPieces`.
    package mutating func append(_ piece: Span<UInt8>) {
        precondition(takesPieces, "the body's form needs the whole body")
        guard countsBody else { return }
        fingerprintHash.update(piece)
        bodyCount += UInt64(piece.count)
    }
}

/// What came of the token that says who is calling.
package enum TokenCheck: Equatable, Sendable {
    /// It was not looked at, or is not there.
    case none
    /// Verified before.
    case known
    /// With `evicts`, one that was still good had to leave the table for it.
    case verified(evicts: Bool)
    case refused(JWTError)
}

/// What identifiers work with. One per worker; keeps its capacity, so that the steady state allocates nothing.
package struct IdentityScratch: Sendable {
    package var gathered = GatheredFields()
    /// The token found last.
    var token: [UInt8] = []
    var secondToken: [UInt8] = []
    var decoded: [UInt8] = []
    var json = JSONCanonicaliser()
    var form = FormCanonicaliser()
    var xml = XMLCanonicaliser()
    var multipart = MultipartCanonicaliser()
    var verifiedTokens = VerifiedTokens()
    /// Of the last request.
    package internal(set) var tokenCheck = TokenCheck.none
    /// Of the last request that was refused for it.
    package internal(set) var callerFault = CallerFault.missing
    /// Of the last request that was refused for it.
    package internal(set) var repeatabilityFault = RepeatabilityError.malformed

    package init() {
        token.reserveCapacity(Token.countMax)
    }

    /// Another request begins.
    @usableFromInline
    mutating func forgetToken() {
        tokenCheck = .none
    }

    /// Bodies up to this size leave their buffers for the next.
    private static let bodyBytesKept = 256 << 10

    /// Gives back memory that a body of this size needed, if it is a large one.
    mutating func trim(after bodyBytes: Int) {
        if bodyBytes > Self.bodyBytesKept { trim() }
    }

    /// Gives back memory that large bodies needed.
    package mutating func trim() {
        json = JSONCanonicaliser()
        form = FormCanonicaliser()
        xml = XMLCanonicaliser()
        multipart = MultipartCanonicaliser()
        decoded = []
    }
}
