import HTTP
import Idempotency

/// A route as one worker uses it: its settings, prepared.
package final class Route {
    let index: Int
    let settings: RouteSettings
    let pool: UpstreamPool
    let policy: Policy?
    let attemptPolicy: AttemptPolicy
    let identifier: RequestIdentifier
    /// `Name: true CRLF`; nil when the marker is off.
    let replayMarkerLine: [UInt8]?
    private let methods: [[UInt8]]?
    /// Lower-case names that the proxy manages on this route, with `_` for `-`: a field that differs only so is refused.
    private let guardedNames: [[UInt8]]
    /// On this worker.
    var inFlight = 0

    init(index: Int, settings: RouteSettings, pool: UpstreamPool) {
        self.index = index
        self.settings = settings
        self.pool = pool
        policy = settings.policy
        attemptPolicy = AttemptPolicy(settings.policy ?? Policy())
        identifier = RequestIdentifier(route: settings.name, policy: settings.policy ?? Policy())
        replayMarkerLine = settings.policy?.replayMarker.map { Array("\($0): true\r\n".utf8) }
        methods = settings.policy?.methods.map { $0.map { Array($0.utf8) } }
        guardedNames = Route.guardedNames(settings.policy)
    }

    private static func guardedNames(_ policy: Policy?) -> [[UInt8]] {
        var names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "content-length", "transfer-encoding"]
        for case .header(let name) in policy?.keySources ?? [] { names.append(name) }
        if case .header(let name)? = policy?.scope { names.append(name.lowercased()) }
        return names.map { $0.utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 } }
    }

    var isAtCapacity: Bool { settings.requestsInFlightMax.map { inFlight > $0 } ?? false }

    /// Whether `replay undelivered` needs to know about deliveries here.
    var tracksDelivery: Bool { policy?.hash?.replay == .undelivered }

    /// Methods are case-sensitive (RFC 9110 §9.1), so `post` is a method of its own, and covered by the default.
    func covers(_ head: RequestHead) -> Bool {
        guard let methods else { return !head.method.isSafe && head.method != .connect }
        let method = head.fields.octets(head.methodRange)
        return methods.contains { $0.count == method.count && method.elementsEqual($0) }
    }

    /// Services that map field names to variables take `X_Forwarded_For` for `X-Forwarded-For`; the proxy would not have checked it.
    func guardedFieldCollision(_ fields: FieldSection) -> StaticString? {
        for line in fields.lines where line.known == .other {
            let name = fields.octets(line.name)
            guard name.contains(UInt8(ascii: "_")) else { continue }
            for guarded in guardedNames where guarded.count == name.count {
                if name.elementsEqualFolded(guarded) {
                    return "A field name with underscores stands for one that the proxy manages."
                }
            }
        }
        return nil
    }

    func claim(for identity: Identity, _ policy: Policy) -> Claim {
        var claim = Claim(
            key: identity.key, fingerprint: identity.fingerprint, kind: identity.kind, route: settings.name,
            retentionMilliseconds: policy.retentionMilliseconds)
        claim.durability = policy.durability
        claim.joins = policy.inFlight != .reject
        claim.waitersMax = policy.waitersMax
        claim.resendsUnknown = policy.onUnknown == .resend
        if identity.kind == .hash, let hash = policy.hash {
            claim.retentionMilliseconds = hash.windowMilliseconds ?? policy.retentionMilliseconds
            claim.runsAfterDelivery = hash.replay == .undelivered && !identity.hasRetryEvidence
        }
        return claim
    }
}

extension Span<UInt8> {
    func contains(_ octet: UInt8) -> Bool {
        for index in indices where self[index] == octet { return true }
        return false
    }

    func elementsEqual(_ octets: [UInt8]) -> Bool {
        guard count == octets.count else { return false }
        for index in indices where self[index] != octets[index] { return false }
        return true
    }

    /// ASCII letters compare without case; `lowercase` is in lower case.
    func elementsEqualFolded(_ lowercase: [UInt8]) -> Bool {
        guard count == lowercase.count else { return false }
        for index in indices {
            let octet = self[index]
            let folded = octet >= 0x41 && octet <= 0x5A ? octet | 0x20 : octet
            if folded != lowercase[index] { return false }
        }
        return true
    }
}

extension Array where Element == UInt8 {
    /// Appends the octets of a span.
    mutating func append(_ octets: Span<UInt8>) {
        octets.withUnsafeBufferPointer { append(contentsOf: $0) }
    }
}
