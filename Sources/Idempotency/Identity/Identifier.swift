/// Tells what the requests of one route are: their record key and their fingerprint. Built once per route and
/// configuration.
///
/// Record key = SHA-256 of: version (32 bits), route name, scope (an octet for its sort, the number of values, the
/// values), kind (an octet), token or fingerprint. Every part of variable size is preceded by its size in 32 bits,
/// every integer is big-endian.
///
/// Fingerprint = SHA-256 of: version (32 bits), the names of the counted fields, method, normalised path, query,
/// counted fields, method override fields, with `body soap` the action, the body's form (an octet; before encoded
/// octets also the content codings), the body in that form, its size (64 bits).
///
/// Without a hash rule the counted field is Content-Type (same octets under another type are another payload); with a
/// rule, those that it names. Never counted: what differs between the attempts of one operation (`grpc-timeout`, `te`,
/// `user-agent`, tracing).
package final class Identifier: Sendable {
    /// Changes with every change of what is hashed, so that records of two forms never meet.
    static let formatVersion: UInt32 = 1

    /// Up to this size a body is brought into its rule's canonical form; a larger one counts octet by octet. By size
    /// alone, so that equal requests are always taken in the same form. Also the most in which a key is looked for.
    package static let canonicalBodyBytesMax = 8 << 20

    package let route: String
    package let policy: Policy
    @usableFromInline
    let wanted: WantedFields
    let keySources: [KeySource]
    let scope: Scope
    let countedSlots: [Int]
    let overrideSlots: [Int]
    let evidence: RetryEvidence
    let contentTypeSlot: Int
    let contentEncodingSlot: Int
    /// With `body soap`.
    let soapAction: SOAPAction?
    /// With `on_unknown probe`.
    package let probe: ProbePlan?
    /// With `repeatability on`.
    let repeatability: Repeatability?
    /// With `scope jwt`.
    package let verifiesTokens: Bool
    let query: QueryRule
    let body: BodyRule
    private let methods: [[UInt8]]?
    /// Nothing is refused: what has no key, or no valid one, is identified all the same.
    let isObserving: Bool
    private let keyPrefix: SHA256
    private let fingerprintPrefix: SHA256

    enum Scope: Sendable {
        case standard(slot: Int)
        case header(slot: Int)
        case cookie(slot: Int, name: [UInt8])
        case clientCertificate(Policy.CertificateName)
        case jwt(slot: Int, isAuthorization: Bool, JWTVerifier)
        case none
    }

    /// - Parameter keys: the issuer's, for `scope jwt`; without them no token is verified.
    package init(route: String, policy: Policy, keys: JWTKeyRing? = nil) throws(PolicyError) {
        self.route = route
        self.policy = policy
        var wanted = WantedFields()
        var keySources: [KeySource] = []
        for source in policy.keySources {
            keySources.append(try KeySource(source, namespaces: policy.xmlNamespaces, wanted: &wanted))
        }
        self.keySources = keySources
        switch policy.scope {
        case .standard: scope = .standard(slot: try wanted.slot(of: "authorization"))
        case .header(let name): scope = .header(slot: try wanted.slot(of: name))
        case .cookie(let name):
            guard !name.isEmpty else { throw .emptyName }
            scope = .cookie(slot: try wanted.slot(of: "cookie"), name: Array(name.utf8))
        case .clientCertificate(let name): scope = .clientCertificate(name)
        case .jwt(let token):
            scope = .jwt(
                slot: try wanted.slot(of: token.field), isAuthorization: token.field == "authorization",
                JWTVerifier(token, keys: keys ?? JWTKeyRing([])))
        case .none: scope = .none
        }
        if case .jwt = scope { verifiesTokens = true } else { verifiesTokens = false }
        var countedSlots: [Int] = []
        for name in policy.countedFields {
            let slot = try wanted.slot(of: name)
            if !countedSlots.contains(slot) { countedSlots.append(slot) }
        }
        self.countedSlots = countedSlots
        var overrideSlots: [Int] = []
        for name in Self.methodOverrideFields {
            overrideSlots.append(try wanted.slot(of: name))
        }
        self.overrideSlots = overrideSlots
        evidence = try RetryEvidence(wanted: &wanted)
        contentTypeSlot = try wanted.slot(of: "content-type")
        contentEncodingSlot = try wanted.slot(of: "content-encoding")
        query = QueryRule(policy.hash)
        body = try BodyRule(policy.hash, namespaces: policy.xmlNamespaces)
        soapAction = body.isSOAP ? try SOAPAction(wanted: &wanted) : nil
        if case .probe(let rule) = policy.onUnknown {
            probe = try ProbePlan(rule, namespaces: policy.xmlNamespaces)
        } else {
            probe = nil
        }
        repeatability = policy.speaksRepeatability ? try Repeatability(wanted: &wanted) : nil
        methods = policy.methods.map { names in names.map { Array($0.utf8) } }

        isObserving = policy.mode == .observe
        keyPrefix = Self.keyPrefix(route: route)
        var fingerprintPrefix = SHA256()
        fingerprintPrefix.update(integer: Self.formatVersion)
        fingerprintPrefix.update(integer: UInt32(countedSlots.count))
        for slot in countedSlots { fingerprintPrefix.update(prefixed: wanted.names[slot]) }
        self.fingerprintPrefix = fingerprintPrefix
        self.wanted = wanted
    }

    static let methodOverrideFields = ["x-http-method-override", "x-http-method", "x-method-override"]

    /// Whether the policy covers this method. Methods are case-sensitive (RFC 9110 §9.1).
    package func covers(method: Span<UInt8>) -> Bool {
        if let methods {
            for index in methods.indices where method.equals(methods[index]) { return true }
            return false
        }
        for index in Self.uncoveredMethods.indices where method.equals(Self.uncoveredMethods[index]) { return false }
        return true
    }

    private static let uncoveredMethods = ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"].map { Array($0.utf8) }

    /// Identifies a request as far as its head tells. `path` is normalised; `query` is raw, without its `?`, and empty
    /// where `hasQuery` is false. `certificate` is the client's, verified; nil where it has shown none.
    /// `nowMilliseconds` is the wall clock's, since the UNIX epoch.
    @inlinable
    package func begin<Fields: FieldSource>(
        method: Span<UInt8>, path: Span<UInt8>, query: Span<UInt8>, hasQuery: Bool, fields: borrowing Fields,
        certificate: CallerCertificate? = nil, nowMilliseconds: UInt64 = 0, scratch: inout IdentityScratch
    ) -> EarlyIdentification {
        scratch.forgetToken()
        guard covers(method: method) else { return .notCovered }
        wanted.gather(fields, into: &scratch.gathered)
        return begin(
            method: method, path: path, query: query, hasQuery: hasQuery, fieldOctets: fields.fieldOctets,
            certificate: certificate, nowMilliseconds: nowMilliseconds, scratch: &scratch)
    }

    @usableFromInline
    func begin(
        method: Span<UInt8>, path: Span<UInt8>, query: Span<UInt8>, hasQuery: Bool, fieldOctets: Span<UInt8>,
        certificate: CallerCertificate?, nowMilliseconds: UInt64, scratch: inout IdentityScratch
    ) -> EarlyIdentification {
        var keyHash = keyPrefix
        var hasMalformedRepeatability = false
        var repeated: Repeatability.Request?
        do throws(RepeatabilityError) {
            repeated = try repeatability?.read(fieldOctets, nowMilliseconds: nowMilliseconds, scratch: &scratch)
        } catch {
            guard isObserving else {
                scratch.repeatabilityFault = error
                return .refusedRepeatability
            }
            hasMalformedRepeatability = true
        }
        if verifiesTokens {
            // Nobody pays for a signature whose request passes without a key.
            if repeated == nil, !isObserving,
                let refusal = keyRefusal(keyHash: keyHash, query: query, octets: fieldOctets, scratch: &scratch)
            {
                return refusal
            }
        }
        let caller = absorbCaller(
            octets: fieldOctets, certificate: certificate, nowMilliseconds: nowMilliseconds, scratch: &scratch,
            into: &keyHash)
        let key: PendingIdentity.Key
        if let repeated {
            key = .token(tokenKey(keyHash: keyHash, repeated, scratch: scratch))
        } else if hasMalformedRepeatability {
            key = .malformed
        } else {
            switch earlyKey(keyHash: keyHash, query: query, octets: fieldOctets, scratch: &scratch) {
            case .absent where policy.onMissingKey == .hash: key = .fingerprint
            case .absent where isObserving: key = .absent
            case .malformed where isObserving: key = .malformed
            case .absent: return .missingKey
            case .malformed: return .malformedKey
            case .found(let found): key = found
            }
        }
        if let fault = caller.fault, !isObserving {
            // A token in the body may still be absent, and the request then not covered: its scope does not matter.
            guard case .inBody = key, policy.onMissingKey != .hash else {
                scratch.callerFault = fault
                return .refusedCaller
            }
        }
        var hash = fingerprintPrefix
        hash.update(prefixed: method)
        hash.update(prefixed: path)
        self.query.absorb(query, hasQuery: hasQuery, scratch: &scratch.decoded, into: &hash)
        absorbFields(
            octets: fieldOctets, gathered: scratch.gathered, firstSent: repeated?.firstSent, into: &hash)
        var takesPieces = body.takesPieces
        if case .inBody = key { takesPieces = false }
        soapAction?.absorb(octets: fieldOctets, gathered: scratch.gathered, into: &hash)
        let type = bodyType(octets: fieldOctets, gathered: scratch.gathered, readsMedia: !takesPieces)
        if takesPieces { body.absorbStart(type, into: &hash) }
        return .pending(
            PendingIdentity(
                key: key, keyHash: keyHash, fingerprintHash: hash,
                hasRetryEvidence: evidence.isPresent(octets: fieldOctets, gathered: scratch.gathered),
                isAnonymous: caller == .anonymous, callerFault: caller.fault,
                firstSentMilliseconds: repeated?.firstSentMilliseconds, bodyType: type, takesPieces: takesPieces,
                countsBody: body.counts))
    }

    /// What is to be said of the key, whoever is calling; nil when nothing is wrong with it.
    private func keyRefusal(
        keyHash: borrowing SHA256, query: Span<UInt8>, octets: Span<UInt8>, scratch: inout IdentityScratch
    ) -> EarlyIdentification? {
        switch earlyKey(keyHash: copy keyHash, query: query, octets: octets, scratch: &scratch) {
        case .absent where policy.onMissingKey != .hash: .missingKey
        case .malformed: .malformedKey
        case .absent, .found: nil
        }
    }

    /// Identifies a request whose whole body is at hand (none of it was given by `append`).
    package func finish(
        _ pending: consuming PendingIdentity, body octets: Span<UInt8>, scratch: inout IdentityScratch
    ) -> Identification {
        var pending = pending
        if pending.takesPieces {
            pending.append(octets)
            return finish(pending)
        }
        defer { scratch.trim(after: octets.count) }
        if case .inBody(let sources, let fallback) = pending.key {
            let lookup = keyInBody(
                sources, fallback: fallback, keyHash: pending.keyHash, body: octets, type: pending.bodyType,
                scratch: &scratch)
            switch lookup {
            case .absent where policy.onMissingKey == .hash: pending.key = .fingerprint
            case .absent: return .missingKey
            case .malformed: return .malformedKey
            case .found(let key): pending.key = key
            }
        }
        if let fault = pending.callerFault { return .refusedCaller(fault) }
        let isCanonical = body.absorb(
            octets, type: pending.bodyType, scratch: &scratch, into: &pending.fingerprintHash)
        return .identified(identity(of: pending, fellBackToOctets: !isCanonical))
    }

    /// Identifies a request whose body was given by `append`. Precondition: `takesPieces`.
    package func finish(_ pending: consuming PendingIdentity) -> Identification {
        precondition(pending.takesPieces, "the body's form needs the whole body")
        pending.fingerprintHash.update(integer: pending.bodyCount)
        return .identified(identity(of: pending, fellBackToOctets: false))
    }

    /// The request with its body taken octet by octet, in pieces, whatever the rule's form: for a body that is larger
    /// than `canonicalBodyBytesMax`. Of a key in the body nothing is known then.
    package func asOctets(_ pending: PendingIdentity) -> PendingIdentity {
        guard !pending.takesPieces else { return pending }
        var pending = pending
        body.absorbStart(pending.bodyType, into: &pending.fingerprintHash)
        pending.takesPieces = true
        return pending
    }

    /// The claim of a request of this route, by its policy.
    package func claim(for identity: RequestIdentity) -> Claim {
        let lifetime =
            identity.kind == .hash
            ? policy.hash?.windowMilliseconds ?? policy.retentionMilliseconds : policy.retentionMilliseconds
        var claim = Claim(
            key: identity.key, fingerprint: identity.fingerprint, kind: identity.kind, route: route,
            retentionMilliseconds: lifetime)
        claim.durability = policy.durability
        claim.joins = policy.inFlight != .reject
        claim.waitersMax = policy.waitersMax
        claim.resendsUnknown = policy.onUnknown == .resend
        if let firstSent = identity.firstSentMilliseconds {
            let (end, overflows) = firstSent.addingReportingOverflow(policy.retentionMilliseconds)
            claim.runsBeforeMilliseconds = overflows ? .max : end
        }
        claim.runsAfterDelivery =
            identity.kind == .hash && policy.hash?.replay == .undelivered && !identity.hasRetryEvidence
        return claim
    }

    private func identity(of pending: borrowing PendingIdentity, fellBackToOctets: Bool) -> RequestIdentity {
        let fingerprint = pending.fingerprintHash.finish()
        let kind: Claim.Kind
        let key: RecordKey
        switch pending.key {
        case .token(let recordKey):
            kind = .token
            key = recordKey
        case .fingerprint:
            kind = .hash
            key = hashKey(pending.keyHash, fingerprint: fingerprint)
        case .inBody, .absent, .malformed:
            preconditionFailure("a key in the body is resolved before the identity is made")
        }
        return RequestIdentity(
            kind: kind, key: key, fingerprint: fingerprint, hasRetryEvidence: pending.hasRetryEvidence,
            isAnonymous: pending.isAnonymous, fellBackToOctets: fellBackToOctets,
            firstSentMilliseconds: pending.firstSentMilliseconds,
            similarity: pending.keyHash.mixed ^ fingerprint.words.0)
    }

    /// The record key of a request that is identified by its fingerprint.
    func hashKey(_ keyHash: borrowing SHA256, fingerprint: Fingerprint) -> RecordKey {
        var hash = copy keyHash
        hash.update(Claim.Kind.hash.rawValue)
        hash.update(integer: UInt32(32))
        hash.update(fingerprint)
        return hash.finish()
    }

    private static func keyPrefix(route: String) -> SHA256 {
        var hash = SHA256()
        hash.update(integer: formatVersion)
        hash.update(prefixed: Array(route.utf8))
        return hash
    }
}
