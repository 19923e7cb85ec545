// What an identifier takes from the field lines of a request.

/// Who is calling.
enum Caller: Equatable {
    case known
    case anonymous
    case refused(CallerFault)

    static let missing = Caller.refused(.missing)

    var fault: CallerFault? {
        if case .refused(let fault) = self { fault } else { nil }
    }
}

/// Why a request does not say who is calling, where its policy names a scope.
package enum CallerFault: Equatable, Sendable {
    /// It does not hold exactly one value that is not empty.
    case missing
    /// The token is good, and has no such claim.
    case missingClaim
    case token(JWTError)
}

extension Identifier {
    /// Absorbs who is calling, verified where the scope is a token's claim.
    func absorbCaller(
        octets: Span<UInt8>, certificate: CallerCertificate?, nowMilliseconds: UInt64,
        scratch: inout IdentityScratch, into hash: inout SHA256
    ) -> Caller {
        guard verifiesTokens else {
            return absorbScope(octets: octets, gathered: scratch.gathered, certificate: certificate, into: &hash)
        }
        guard case .jwt(let slot, let isAuthorization, let verifier) = scope,
            let token = bearerToken(slot, isAuthorization, octets: octets, gathered: scratch.gathered)
        else { return .missing }
        do throws(JWTError) {
            let caller = try verifier.caller(
                of: octets.extracting(token), nowMilliseconds: nowMilliseconds, scratch: &scratch)
            guard let caller else { return .refused(.missingClaim) }
            hash.update(8)
            hash.update(integer: UInt32(3))
            hash.update(caller)
            return .known
        } catch {
            scratch.tokenCheck = .refused(error)
            return .refused(.token(error))
        }
    }

    /// Where the token stands: after `Bearer` (RFC 6750 §2.1), or the whole of another field.
    private func bearerToken(
        _ slot: Int, _ isAuthorization: Bool, octets: Span<UInt8>, gathered: borrowing GatheredFields
    ) -> Range<Int>? {
        guard gathered.count(of: slot) == 1, let value = gathered.next(of: slot)?.value, !value.isEmpty else {
            return nil
        }
        guard isAuthorization else { return value }
        let space = value.lowerBound + 6
        guard value.upperBound > space + 1, octets[space] == 0x20,
            octets.extracting(value.lowerBound..<space).equals(ignoringCase: "bearer")
        else { return nil }
        let token = octets.trimmed(space..<value.upperBound)
        return token.isEmpty ? nil : token
    }

    /// Absorbs the scope: its sort and its values.
    func absorbScope(
        octets: Span<UInt8>, gathered: borrowing GatheredFields, certificate: CallerCertificate?,
        into hash: inout SHA256
    ) -> Caller {
        switch scope {
        case .standard(let slot):
            let count = gathered.count(of: slot)
            var isEmpty = true
            var position = 0
            while let line = gathered.next(of: slot, from: position) {
                if !line.value.isEmpty { isEmpty = false }
                position = line.next
            }
            if isEmpty {
                if let certificate, certificate.hasName {
                    hash.update(5)
                    hash.update(integer: UInt32(1 + certificate.alternativeNames.count))
                    hash.update(prefixed: certificate.subject)
                    for name in certificate.alternativeNames { hash.update(prefixed: name) }
                    return .known
                }
                hash.update(0)
                hash.update(integer: UInt32(0))
                return .anonymous
            }
            hash.update(1)
            absorbLines(of: slot, count: count, octets: octets, gathered: gathered, into: &hash)
            return .known
        case .header(let slot):
            guard gathered.count(of: slot) == 1, let line = gathered.next(of: slot), !line.value.isEmpty else {
                return .missing
            }
            hash.update(2)
            absorbLines(of: slot, count: 1, octets: octets, gathered: gathered, into: &hash)
            return .known
        case .cookie(let slot, let name):
            var cursor = CookieCursor(slot: slot)
            guard let value = cursor.next(named: name, octets: octets, gathered: gathered), !value.isEmpty,
                cursor.next(named: name, octets: octets, gathered: gathered) == nil
            else { return .missing }
            hash.update(3)
            hash.update(integer: UInt32(1))
            hash.update(prefixed: octets.extracting(value))
            return .known
        case .clientCertificate(let name):
            guard let certificate else { return .missing }
            let values = name == .subject ? certificate.subjects : certificate.alternativeNames
            guard !values.isEmpty else { return .missing }
            hash.update(name == .subject ? 6 : 7)
            hash.update(integer: UInt32(values.count))
            for value in values { hash.update(prefixed: value) }
            return .known
        case .jwt:
            // `absorbCaller` takes it.
            return .missing
        case .none:
            hash.update(4)
            hash.update(integer: UInt32(0))
            return .anonymous
        }
    }

    /// Absorbs the counted fields, then the method override fields, which always count when they are present: a service
    /// that follows one executes another method.
    /// The date of a repeatable request counts as well: its repeats carry the same.
    func absorbFields(
        octets: Span<UInt8>, gathered: borrowing GatheredFields, firstSent: Range<Int>?, into hash: inout SHA256
    ) {
        for slot in countedSlots {
            absorbLines(of: slot, count: gathered.count(of: slot), octets: octets, gathered: gathered, into: &hash)
        }
        for (index, slot) in overrideSlots.enumerated() {
            let count = gathered.count(of: slot)
            guard count > 0 else { continue }
            hash.update(UInt8(index + 1))
            absorbLines(of: slot, count: count, octets: octets, gathered: gathered, into: &hash)
        }
        if let firstSent {
            hash.update(UInt8(overrideSlots.count + 1))
            hash.update(prefixed: octets.extracting(firstSent))
        }
        hash.update(0)
    }

    private func absorbLines(
        of slot: Int, count: Int, octets: Span<UInt8>, gathered: borrowing GatheredFields, into hash: inout SHA256
    ) {
        hash.update(integer: UInt32(count))
        var position = 0
        while let line = gathered.next(of: slot, from: position) {
            hash.update(prefixed: octets.extracting(line.value))
            position = line.next
        }
    }
}

/// What in a request says that it is not the first attempt.
struct RetryEvidence: Sendable {
    /// `attempt=2; max=3`, with parameters in any order.
    private let amzSDKRequest: Int
    private let stainlessRetryCount: Int
    private let grpcPreviousAttempts: Int
    private let envoyAttemptCount: Int

    init(wanted: inout WantedFields) throws(PolicyError) {
        amzSDKRequest = try wanted.slot(of: "amz-sdk-request")
        stainlessRetryCount = try wanted.slot(of: "x-stainless-retry-count")
        grpcPreviousAttempts = try wanted.slot(of: "grpc-previous-rpc-attempts")
        envoyAttemptCount = try wanted.slot(of: "x-envoy-attempt-count")
    }

    func isPresent(octets: Span<UInt8>, gathered: borrowing GatheredFields) -> Bool {
        exceeds(0, slot: stainlessRetryCount, octets: octets, gathered: gathered)
            || exceeds(0, slot: grpcPreviousAttempts, octets: octets, gathered: gathered)
            || exceeds(1, slot: envoyAttemptCount, octets: octets, gathered: gathered)
            || amzAttempt(octets: octets, gathered: gathered) > 1
    }

    /// Whether any line states more than this. What is no number states nothing.
    private func exceeds(_ limit: Int, slot: Int, octets: Span<UInt8>, gathered: borrowing GatheredFields) -> Bool {
        var position = 0
        while let line = gathered.next(of: slot, from: position) {
            if octets.decimal(in: line.value) ?? 0 > limit { return true }
            position = line.next
        }
        return false
    }

    /// The highest attempt that `amz-sdk-request` states, e.g. `ttl=20260101T000000Z; attempt=2; max=3`; 0 if it states
    /// none.
    private func amzAttempt(octets: Span<UInt8>, gathered: borrowing GatheredFields) -> Int {
        var attempt = 0
        var position = 0
        while let line = gathered.next(of: amzSDKRequest, from: position) {
            attempt = max(attempt, amzAttempt(octets: octets, in: line.value))
            position = line.next
        }
        return attempt
    }

    private func amzAttempt(octets: Span<UInt8>, in value: Range<Int>) -> Int {
        var start = value.lowerBound
        while start < value.upperBound {
            var end = start
            while end < value.upperBound, octets[end] != 0x3B { end += 1 }
            let parameter = octets.trimmed(start..<end)
            let valueStart = parameter.lowerBound + Self.attempt.count
            if parameter.upperBound > valueStart, octets.equals(Self.attempt, at: parameter.lowerBound..<valueStart) {
                return octets.decimal(in: valueStart..<parameter.upperBound) ?? 0
            }
            start = end + 1
        }
        return 0
    }

    private static let attempt = Array("attempt=".utf8)
}
