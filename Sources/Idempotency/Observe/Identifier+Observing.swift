/// What a request of an observed route is. Nothing is refused.
package struct ObservedIdentity: Sendable, Equatable {
    package var key: Observation.Key
    package var token = ObservedHash.none
    package var payload = ObservedHash.none
    package var fellBackToOctets = false
    package var hasRetryEvidence = false
}

extension PendingIdentity {
    /// Takes the body in pieces from here on, by its octets, because the whole of it is more than is kept. `collected`
    /// is what came so far. A token in the body is not looked for any more.
    package mutating func continueInPieces(after collected: Span<UInt8>, by identifier: Identifier) {
        precondition(!takesPieces, "the body is taken in pieces already")
        identifier.body.absorbStart(bodyType, into: &fingerprintHash)
        takesPieces = true
        append(collected)
    }
}

extension Identifier {
    /// Identifies a request of an observed route whose body was given by `append`. Precondition: `takesPieces`.
    package func observe(_ pending: consuming PendingIdentity, isCanonical: Bool) -> ObservedIdentity {
        precondition(pending.takesPieces, "the body's form needs the whole body")
        pending.fingerprintHash.update(integer: pending.bodyCount)
        return observed(pending, key: pending.key, isCanonical: isCanonical)
    }

    /// Identifies a request of an observed route whose whole body is at hand.
    package func observe(
        _ pending: consuming PendingIdentity, body octets: Span<UInt8>, scratch: inout IdentityScratch
    ) -> ObservedIdentity {
        if pending.takesPieces {
            pending.append(octets)
            return observe(pending, isCanonical: true)
        }
        defer { scratch.trim(after: octets.count) }
        var key = pending.key
        if case .inBody(let sources, let fallback) = pending.key {
            let lookup = keyInBody(
                sources, fallback: fallback, keyHash: pending.keyHash, body: octets, type: pending.bodyType,
                scratch: &scratch)
            switch lookup {
            case .absent: key = .absent
            case .malformed: key = .malformed
            case .found(let found): key = found
            }
        }
        let isCanonical = body.absorb(octets, type: pending.bodyType, scratch: &scratch, into: &pending.fingerprintHash)
        return observed(pending, key: key, isCanonical: isCanonical)
    }

    private func observed(
        _ pending: borrowing PendingIdentity, key: PendingIdentity.Key, isCanonical: Bool
    ) -> ObservedIdentity {
        var identity = ObservedIdentity(key: .unscoped)
        identity.fellBackToOctets = !isCanonical
        identity.hasRetryEvidence = pending.hasRetryEvidence
        if pending.callerFault != nil { return identity }
        identity.payload = ObservedHash(
            hashKey(pending.keyHash, fingerprint: pending.fingerprintHash.finish()))
        switch key {
        case .token(let token):
            identity.key = .token
            identity.token = ObservedHash(token)
        case .fingerprint, .absent: identity.key = .none
        case .malformed: identity.key = .malformed
        case .inBody: identity.key = .unread
        }
        return identity
    }
}
