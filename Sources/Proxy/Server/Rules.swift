import HTTP
import Idempotency
import Synchronization
import Transport

/// What a configuration says that a reload may change, made ready once for all workers.
struct RulesPlan: Sendable {
    var settings: ServerSettings
    /// Per upstream and server: what its name resolved to at the start.
    var addresses: [[[SocketAddress]]]
    /// Per upstream: the health that all workers see.
    var health: [UpstreamHealth]
    /// Per route: the requests that all workers serve; nil where the route has no limit of its own.
    var inFlight: [InFlightCounter?]
    /// What metrics and logs know the routes and upstreams by; stable over reloads.
    var routeLabels: [Int]
    var upstreamLabels: [Int]
}

/// Requests of one route in flight over all workers, for `max_in_flight`.
final class InFlightCounter: Sendable {
    private let count = Atomic<Int>(0)
    private let max: Int

    init(max: Int) {
        self.max = max
    }

    /// Counts one more; false when that is one too many.
    func enter() -> Bool { count.add(1, ordering: .relaxed).newValue <= max }

    func leave() { count.subtract(1, ordering: .relaxed) }
}

/// The rules as one worker uses them. Replaced as a whole by a reload: an exchange keeps the route it began with, and
/// with it the policy and the pool, to its end.
final class Rules {
    let timeouts: ClientTimeouts
    let limits: Limits
    let routes: [Route]
    let pools: [UpstreamPool]
    let router: Router
    let unknownWebhook: WebhookSettings?
    private let trustedPeers: [AddressBlock]
    private let pseudonym: [UInt8]?
    private let viaLine10: [UInt8]?
    private let viaLine11: [UInt8]?
    private let viaLine20: [UInt8]?

    /// - Parameter earlier: pools of upstreams whose settings are the same go on, with their connections.
    init(_ plan: RulesPlan, context: WorkerContext, resolver: Resolver, earlier: Rules?) throws(PolicyError) {
        let settings = plan.settings
        timeouts = settings.timeouts
        limits = settings.limits
        router = Router(settings.routes)
        unknownWebhook = settings.unknownWebhook
        trustedPeers = settings.trustedPeers
        pseudonym = settings.viaPseudonym.map { Array($0.utf8) }
        viaLine10 = settings.viaPseudonym.map { Array("Via: 1.0 \($0)\r\n".utf8) }
        viaLine11 = settings.viaPseudonym.map { Array("Via: 1.1 \($0)\r\n".utf8) }
        viaLine20 = settings.viaPseudonym.map { Array("Via: 2.0 \($0)\r\n".utf8) }
        var pools: [UpstreamPool] = []
        for (index, upstream) in settings.upstreams.enumerated() {
            if let pool = earlier?.pools.first(where: { $0.settings == upstream }) {
                pools.append(pool)
                continue
            }
            let pool = UpstreamPool(
                context: context, settings: upstream, label: plan.upstreamLabels[index], health: plan.health[index])
            pool.startResolving(resolver, initial: plan.addresses[index])
            pools.append(pool)
        }
        self.pools = pools
        var routes: [Route] = []
        for (index, route) in settings.routes.enumerated() {
            routes.append(
                try Route(
                    label: plan.routeLabels[index], settings: route, pool: pools[route.upstream],
                    inFlight: plan.inFlight[index], observations: context.observations))
        }
        self.routes = routes
    }

    func viaLine(_ version: HTTPVersion) -> [UInt8]? {
        switch version {
        case .http10: viaLine10
        case .http11: viaLine11
        case .http2: viaLine20
        }
    }

    /// As many proxies of this name as no deployment has: the request goes in a circle (RFC 9110 §7.6).
    static let hopsMax = 8

    /// How many proxies of this name have passed the request on.
    func hops(_ fields: borrowing FieldSection) -> Int {
        guard let pseudonym, fields.contains(.via) else { return 0 }
        var count = 0
        for line in fields.lines where line.known == .via {
            for hop in fields.octets[line.value.bounds].split(separator: UInt8(ascii: ",")) {
                let words = hop.split(separator: UInt8(ascii: " "))
                if words.count >= 2 && words[1].elementsEqual(pseudonym) { count += 1 }
            }
        }
        return count
    }

    func isTrusted(_ address: SocketAddress) -> Bool {
        guard !trustedPeers.isEmpty, let octets = address.octets else { return false }
        return trustedPeers.contains { $0.contains(octets) }
    }

    /// Lets go of the pools that `later` does not use: idle connections close, the others after their exchange.
    func retire(for later: Rules) {
        for pool in pools where !later.pools.contains(where: { $0 === pool }) { pool.retire() }
    }
}
