import HTTP
import Idempotency
import Transport

/// What is seen of one exchange of a route with `mode observe`, beside the octets as they pass. Nothing here holds up
/// the exchange or can fail it.
final class ObservedExchange {
    private let route: Route
    private let context: WorkerContext
    private var pending: PendingIdentity?
    /// What of the body is kept, where its form needs the whole of it.
    private var body: [UInt8] = []
    private var requestBytes: UInt64 = 0
    private var flags: Observation.Flags = []
    /// Set when the request is whole.
    private var observation: Observation?
    private var began = Instant(nanoseconds: 0)
    private var digest: AnswerDigest?
    private var answerBytes: UInt64 = 0
    private var status: UInt16 = 0
    private var isAnswered = false
    private var failure: Attempt.Failure?
    private var delivery: ObservedDelivery?

    init(_ pending: PendingIdentity, route: Route, context: WorkerContext) {
        self.pending = pending
        self.route = route
        self.context = context
    }

    // MARK: The request

    func requestBodyReceived(_ octets: Span<UInt8>) {
        requestBytes &+= UInt64(octets.count)
        if requestBytes > UInt64(route.requestBodyBytesMax) { flags.insert(.isLarge) }
        guard let takesPieces = pending?.takesPieces else { return }
        if takesPieces {
            pending?.append(octets)
        } else if requestBytes <= UInt64(keptBytesMax), context.reserveObservedMemory(octets.count) {
            body.append(octets)
        } else {
            continueInPieces(octets)
        }
    }

    /// A larger body counts by its octets, as it does where the route is enforced.
    private var keptBytesMax: Int { min(route.requestBodyBytesMax, Identifier.canonicalBodyBytesMax) }

    /// The whole of the body is more than is kept: its octets count from here on.
    private func continueInPieces(_ octets: Span<UInt8>) {
        if requestBytes <= UInt64(keptBytesMax) { context.telemetry.limitHit("observed_body_memory") }
        flags.insert(.fellBackToOctets)
        pending?.continueInPieces(after: body.span, by: route.identifier)
        pending?.append(octets)
        giveBodyBack()
    }

    func requestEnded() {
        guard let pending, observation == nil else { return }
        self.pending = nil
        let identity =
            pending.takesPieces
            ? route.identifier.observe(pending, isCanonical: !flags.contains(.fellBackToOctets))
            : route.identifier.observe(pending, body: body.span, scratch: &context.identityScratch)
        giveBodyBack()
        if identity.fellBackToOctets { flags.insert(.fellBackToOctets) }
        if identity.hasRetryEvidence { flags.insert(.hasRetryEvidence) }
        var observation = Observation(route: route.observedNumber)
        observation.key = identity.key
        observation.token = identity.token
        observation.payload = identity.payload
        observation.flags = flags
        observation.requestBytes = requestBytes
        began = context.worker.now
        observation.milliseconds = began.wallMilliseconds
        self.observation = observation
        context.observe(observation)
    }

    private func giveBodyBack() {
        context.releaseBodyMemory(body.count)
        body = []
    }

    // MARK: The answer

    func answerHeadReceived(_ head: borrowing ResponseHead) {
        status = head.status
        var digest = AnswerDigest(status: head.status)
        for (index, name) in AnswerDigest.fieldNames.enumerated() {
            var start = 0
            while let line = head.fields.firstIndex(named: name, from: start) {
                digest.absorb(field: index, value: head.fields.value(head.fields.lines[line]))
                start = line + 1
            }
        }
        self.digest = digest
    }

    func answerBodyReceived(_ octets: Span<UInt8>) {
        answerBytes &+= UInt64(octets.count)
        digest?.absorbBody(octets)
    }

    func answerEnded(trailers: FieldSection?) {
        isAnswered = true
        guard let trailers, let line = trailers.firstIndex(named: "grpc-status") else { return }
        digest?.absorbTrailerStatus(trailers.value(trailers.lines[line]))
    }

    /// The answer is queued for the client.
    func watchDelivery(_ downstream: Downstream) {
        guard observation != nil else { return }
        let delivery = ObservedDelivery(context: context)
        self.delivery = delivery
        let deliveries: ObservedDeliveries = context.observedDeliveries
        downstream.watchDelivery(of: nil) { deliveries.watch($0, delivery) }
    }

    func attemptFailed(_ failure: Attempt.Failure) {
        self.failure = failure
    }

    // MARK: The end

    /// The exchange is over. Requests that were never whole are not observed.
    func finish(clientLeft: Bool) {
        giveBodyBack()
        guard var observation else { return }
        observation.durationMicroseconds = context.worker.now.nanoseconds(since: began) / 1000
        observation.answerBytes = answerBytes
        observation.status = status
        observation.rule = route.statusRule(status)
        if isAnswered {
            observation.ending = .answered
            observation.digest = digest?.finish() ?? .none
        } else if case .notSent = failure {
            observation.ending = .notSent
        } else {
            observation.ending = clientLeft ? .clientLeft : .broken
        }
        if let delivery, isAnswered {
            delivery.observation = observation
        } else {
            context.observe(observation)
        }
    }
}

extension Exchange {
    /// Begins to watch, on a route that is observed. The client notices nothing.
    func beginObserving(_ route: Route) {
        let early = beginIdentifying(route)
        if route.identifier.verifiesTokens { context.telemetry.tokenChecked(route, context.identityScratch.tokenCheck) }
        guard case .pending(let pending) = early else { return }
        observed = ObservedExchange(pending, route: route, context: context)
        // What has no body is whole already; its end is told all the same.
    }
}
