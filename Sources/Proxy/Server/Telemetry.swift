import HTTP
import Idempotency
import Observability
import Transport

/// What one worker measures and logs. On its worker only.
final class Telemetry {
    private let shard: MetricShard
    private let log: AccessLog
    private let operatorLog: Log
    /// One line a second is enough.
    private var nextTLSWarning = Instant(nanoseconds: 0)
    private var nextSpoolWarning = Instant(nanoseconds: 0)
    private let worker: Worker
    private let http1Label: MetricLabel
    private let http2Label: MetricLabel
    private let registry: MetricRegistry
    /// By the labels of routes and upstreams.
    private var durations: [[HistogramID]] = []
    private var overheads: [[HistogramID]] = []
    private var inFlight: [SeriesID] = []
    private var upstreamDurations: [HistogramID] = []
    private let requestSize: HistogramID
    private let responseSize: HistogramID
    private let recordSize: HistogramID
    private let connectionsTotal: SeriesID
    private let waiters: SeriesID
    private let churnDisplaced: SeriesID

    init(worker: Worker, registry: MetricRegistry, log: AccessLog, operatorLog: Log) {
        self.operatorLog = operatorLog
        self.worker = worker
        self.registry = registry
        self.log = log
        let shard = registry.makeShard()
        self.shard = shard
        http1Label = shard.literal("http/1.1")
        http2Label = shard.literal("h2")
        requestSize = shard.histogram(.requestSize)
        responseSize = shard.histogram(.responseSize)
        recordSize = shard.histogram(.idempotencyRecordSize)
        connectionsTotal = shard.series(.connectionsTotal)
        waiters = shard.series(.idempotencyWaiters)
        churnDisplaced = shard.series(.limitReached, shard.literal("key_churn_table"))
    }

    /// Registers what the rules need, once per route and upstream.
    func prepare(_ plan: RulesPlan) {
        let routes = (plan.routeLabels.max() ?? -1) + 1
        for route in durations.count..<max(durations.count, routes) {
            durations.append(
                MethodLabel.allCases.map { shard.histogram(.requestDuration, .index(route), .method($0)) })
            overheads.append(
                IdempotencyOutcome.allCases.map { shard.histogram(.overhead, .index(route), .outcome($0)) })
            inFlight.append(shard.series(.requestsInFlight, .index(route)))
        }
        let upstreams = (plan.upstreamLabels.max() ?? -1) + 1
        for upstream in upstreamDurations.count..<max(upstreamDurations.count, upstreams) {
            upstreamDurations.append(shard.histogram(.upstreamRequestDuration, .index(upstream)))
        }
        log.extend(registry.names)
    }

    func batchEnded() {
        log.flush()
    }

    // MARK: Connections

    func connectionOpened(_ listener: Int) {
        shard.add(connectionsTotal)
        shard.move(.connections, .index(listener), http1Label, by: 1)
    }

    func connectionClosed(_ listener: Int, isHTTP2: Bool) {
        shard.move(.connections, .index(listener), isHTTP2 ? http2Label : http1Label, by: -1)
    }

    func connectionBecameHTTP2(_ listener: Int) {
        shard.move(.connections, .index(listener), http1Label, by: -1)
        shard.move(.connections, .index(listener), http2Label, by: 1)
    }

    func goAwaySent(_ reason: StaticString) {
        shard.add(.http2GoAwaySent, shard.literal(reason))
    }

    func handshakeEnded(_ listener: Int, _ agreement: TLSAgreement) {
        shard.add(
            .tlsHandshakes, .index(listener), shard.literal(agreement.version.text),
            shard.literal(agreement.isResumed ? "true" : "false"))
    }

    func handshakeFailed(_ listener: Int, _ reason: StaticString) {
        shard.add(.tlsHandshakeFailures, .index(listener), shard.literal(reason))
    }

    func connectionRejected(_ reason: StaticString) {
        shard.add(.connectionsRejected, shard.literal(reason))
    }

    // MARK: Requests

    func malformed(_ error: HTTPError) {
        shard.add(.malformedRequests, shard.literal(error.reason))
    }

    /// A request that never became an exchange: its form was refused, or it took too long.
    func refusedBeforeExchange(_ listener: Int, _ problem: Problem) {
        shard.add(.requests, .index(listener), .none, .method(.other), .code(problem.status))
        guard log.isEnabled else { return }
        var entry = AccessEntry()
        entry.milliseconds = worker.wallMilliseconds
        entry.listener = listener
        entry.status = problem.status
        entry.termination = problem == .requestTimedOut ? .init(.clientTimeout, .request) : .init(.proxy, .request)
        log.append(entry)
    }

    func requestStarted(_ route: Route) {
        shard.move(inFlight[route.label], by: 1)
    }

    func shed(_ reason: StaticString) {
        shard.add(.requestsShed, shard.literal(reason))
    }

    func limitHit(_ limit: StaticString) {
        shard.add(.limitReached, shard.literal(limit))
    }

    func waiting(_ change: Int64) {
        shard.move(waiters, by: change)
    }

    func outcomeNotStored() {
        shard.add(.idempotencyNotRecorded, shard.literal("store_error"))
    }

    func keyChurned(_ route: Route) {
        shard.add(.idempotencyKeyChurn, .index(route.label))
    }

    func keyChurnDisplaced() {
        shard.add(churnDisplaced)
    }

    func tokenChecked(_ route: Route, _ check: TokenCheck) {
        let result: StaticString
        switch check {
        case .none: return
        case .known: result = "known"
        case .verified(let evicts):
            result = "verified"
            if evicts { limitHit("verified_tokens") }
        case .refused(let error): result = error.text
        }
        shard.add(.accessTokens, .index(route.label), shard.literal(result))
    }

    func notRecorded(_ reason: StaticString) {
        shard.add(.idempotencyNotRecorded, shard.literal(reason))
    }

    /// A repeat got an answer whole that was lost on its way to a client before.
    func answerRescued(_ route: Int) {
        shard.add(.idempotencyRescued, .index(route))
    }

    func recorded(bytes: Int) {
        shard.observe(recordSize, UInt64(bytes))
    }

    /// Requests are refused, or broken off, until somebody makes room or mends the disk.
    func spoolFailed(_ error: SpoolError) {
        shard.add(.spoolFailures, shard.literal(error.isFull ? "full" : "error"))
        let now = worker.now
        guard now >= nextSpoolWarning else { return }
        nextSpoolWarning = now.adding(milliseconds: 1_000)
        operatorLog.error("a large request body could not be spooled", .string("error", error.description))
    }

    // MARK: Unknown outcomes

    func probeEnded(_ route: Route, _ result: ProbeResult) {
        shard.add(.idempotencyProbes, .index(route.label), shard.literal(result.label))
    }

    /// What a service said has decided about a record.
    func settledByProbe(_ key: RecordKey, _ route: Route, _ result: ProbeResult) {
        operatorLog.info(
            "unknown outcome settled by probe", .string("key", key.hexadecimal), .string("route", route.settings.name),
            .string("result", result.label))
    }

    func webhookEnded(_ result: StaticString) {
        shard.add(.webhookDeliveries, shard.literal(result))
    }

    /// Who should have heard did not.
    func webhookDropped(_ event: UnknownEvent, _ reason: String) {
        webhookEnded("dropped")
        operatorLog.warning(
            "a webhook's event was dropped", .string("key", event.key.hexadecimal), .string("route", event.route),
            .string("error", reason))
    }

    // MARK: Upstreams

    func upstreamFailed(_ pool: UpstreamPool, _ failure: UpstreamFailure) {
        shard.add(.upstreamErrors, .index(pool.label), shard.literal(failure.kind))
    }

    /// An operator must learn why: with certificates nothing works until somebody acts.
    func notSecured(_ pool: UpstreamPool, _ server: Int, _ failure: TLSFailure) {
        let now = worker.now
        guard now >= nextTLSWarning else { return }
        nextTLSWarning = now.adding(milliseconds: 1_000)
        operatorLog.warning(
            "TLS with a server failed", .string("upstream", pool.settings.name),
            .string("server", pool.serverText(server)), .string("error", failure.description))
    }

    func upstreamRetried(_ pool: UpstreamPool) {
        shard.add(.upstreamRetries, .index(pool.label))
    }

    // MARK: The end of an exchange

    func exchangeEnded(_ exchange: Exchange) {
        let timeline = exchange.timeline
        // nginx's 499: the client left before it was answered.
        let status: UInt16 = timeline.status == 0 ? 499 : timeline.status
        let duration = worker.now.nanoseconds(since: timeline.began)
        let method = MethodLabel(rawValue: exchange.head.method.rawValue) ?? .other
        var upstreamDuration: UInt64?
        if let forwarded = timeline.forwarded {
            upstreamDuration = (timeline.answerEnded ?? worker.now).nanoseconds(since: forwarded)
        }
        if let route = exchange.route {
            shard.add(.requests, .index(exchange.listener), .index(route.label), .method(method), .code(status))
            shard.observe(durations[route.label][Int(method.rawValue)], duration)
            shard.move(inFlight[route.label], by: -1)
            if let outcome = timeline.outcome {
                shard.add(.idempotencyRequests, .index(route.label), .outcome(outcome))
                shard.observe(
                    overheads[route.label][Int(outcome.rawValue)], duration - min(duration, upstreamDuration ?? 0))
            }
        } else {
            shard.add(.requests, .index(exchange.listener), .none, .method(method), .code(status))
        }
        if exchange.bodyBytesReceived > 0 { shard.observe(requestSize, exchange.bodyBytesReceived) }
        if timeline.bytesToClient > 0 { shard.observe(responseSize, timeline.bytesToClient) }
        if let pool = exchange.route?.pool, let upstreamDuration {
            shard.add(.upstreamRequests, .index(pool.label), .code(timeline.upstreamStatus))
            shard.observe(upstreamDurations[pool.label], upstreamDuration)
        }
        if log.isEnabled { write(exchange, status, duration, upstreamDuration) }
    }

    private func write(_ exchange: Exchange, _ status: UInt16, _ duration: UInt64, _ upstreamDuration: UInt64?) {
        let timeline = exchange.timeline
        let client = exchange.client.text
        let path = exchange.path
        let octets = exchange.head.fields.octets
        var server: [UInt8] = []
        if let pool = exchange.route?.pool, let index = timeline.upstreamServer {
            server = Array(pool.serverText(index).utf8)
        }
        var entry = AccessEntry()
        entry.milliseconds = worker.wallMilliseconds
        entry.listener = exchange.listener
        entry.route = exchange.route?.label ?? -1
        entry.clientIP = client.span
        entry.version = AccessEntry.Version(exchange.head.version)
        let agreement = exchange.client.agreement
        let serverName = agreement?.serverName ?? []
        entry.tlsVersion = agreement?.version.text
        entry.isTLSResumed = agreement?.isResumed ?? false
        entry.serverName = serverName.span
        entry.method = octets.span.extracting(exchange.head.methodRange.bounds)
        entry.host = octets.span.extracting(exchange.head.authority.bounds)
        entry.path = path.span
        entry.query = octets.span.extracting(exchange.head.query.bounds)
        entry.status = status
        entry.bytesIn = exchange.bodyBytesReceived
        entry.bytesOut = timeline.bytesToClient
        entry.durationNanoseconds = duration
        entry.timeToFirstByteNanoseconds = timeline.answerHead.map { $0.nanoseconds(since: timeline.began) }
        entry.upstreamAddress = server.span
        entry.upstreamStatus = timeline.upstreamStatus
        entry.upstreamDurationNanoseconds = upstreamDuration
        entry.isUpstreamReused = timeline.isUpstreamReused
        entry.outcome = timeline.outcome
        entry.keyHashPrefix = exchange.identity?.key.words.0
        entry.overheadNanoseconds = duration - min(duration, upstreamDuration ?? 0)
        entry.termination = timeline.clientLeft ? .init(.client, .data) : .normal
        log.append(entry)
    }
}

extension AccessEntry.Version {
    init(_ version: HTTPVersion) {
        switch version {
        case .http10: self = .http10
        case .http11: self = .http11
        case .http2: self = .http2
        }
    }
}

extension TLSVersion {
    /// A metric's label.
    var text: StaticString {
        switch self {
        case .tls12: "TLSv1.2"
        case .tls13: "TLSv1.3"
        }
    }
}

extension TLSFailure.Kind {
    /// A metric's label.
    var label: StaticString {
        switch self {
        case .handshakeCutOff: "handshake_cut_off"
        case .alert: "alert"
        case .certificate: "certificate"
        case .noCertificate: "no_certificate"
        case .noCommonParameters: "no_common_parameters"
        case .noCommonProtocol: "no_common_protocol"
        case .unknownName: "unknown_name"
        case .notTLS: "not_tls"
        case .flood: "flood"
        case .malformed: "malformed"
        case .internal: "internal"
        }
    }
}
