import HTTP
import Idempotency
import Observability
import Transport

/// One request and its response, from the request's head to the last octet, on one worker. It outlives its client's
/// connection: once an octet of a covered request may have gone to the service, the exchange goes on until its outcome
/// is stored.
///
/// Topics: `+Request` (what the client sends), `+Forward` (towards the service), `+Answer` (from the service),
/// `+Attempt` (the idempotency machine's actions), `+Probe` (unknown outcomes), `+Reply` (answers of the proxy's own
/// and replays), `+Spool` (large request bodies), `+Pieces` (large answers), `+Tunnel`. Here: state and lifetime.
final class Exchange {
    /// How far the request has gone towards the service.
    enum Sending {
        case notStarted
        case connecting
        /// The head is queued; the body follows as it arrives.
        case streaming
        /// The whole request is queued.
        case complete
    }

    /// Lives as long as the process, as its worker does.
    let context: WorkerContext
    /// Slot and generation: what the store and timers know this exchange by.
    private(set) var id: UInt64 = 0

    // The client's side.
    var downstream: Downstream?
    /// Outlives the connection: a request may be sent after its client has left.
    var client = ForwardedRequest.Client(text: [])
    var listener = 0
    @exclusivity(unchecked) var head = RequestHead()
    /// Normalised; what routes and keys see.
    @exclusivity(unchecked) var path: [UInt8] = []
    /// A covered request's body, whole. Empty on routes that pass through.
    @exclusivity(unchecked) var body = RequestBody()
    /// The most that is collected of it.
    var bodyBytesMax = 0
    var trailerLines: [UInt8] = []
    var hasRequestEnded = false
    var bodyBytesReceived: UInt64 = 0

    // The route.
    var route: Route?
    /// The record, not the way through, decides: the body is collected, and the store asked.
    var isCovered = false
    /// The route speaks of repeatability, and the request as well.
    var isRepeatable = false
    var pending: PendingIdentity?
    var identity: RequestIdentity?
    /// Nil where the exchange passes through.
    @exclusivity(unchecked) var attempt: Attempt?
    var claim: ClaimReference?
    /// The record that is replayed here.
    var replayed: ClaimReference?
    /// What is replayed is known to have been lost on its way to a client before.
    var rescuesAnswer = false
    /// Set while a record is sent whose body stands in the store.
    @exclusivity(unchecked) var slicedReplay: SlicedReplay?
    var waitDeadline = Instant.never

    /// Set on a route that is only observed.
    var observed: ObservedExchange?

    // The service's side.
    var upstream: Upstream?
    var sending = Sending.notStarted
    var triedServers: Set<Int> = []
    var hasRetriedFresh = false
    var routeDeadline = Instant.never
    @exclusivity(unchecked) var answerHead = ResponseHead()
    /// End-to-end field lines of the answer, serialised once for the client and for the record.
    @exclusivity(unchecked) var fieldLines: [UInt8] = []
    /// What is not sent yet of a covered answer: its last octets leave after the record is durable.
    @exclusivity(unchecked) var held: [UInt8] = []
    /// The head of a covered answer is not sent yet.
    var holdsAnswerHead = false
    /// The machine has not been told of the answer: its status is not known yet.
    var owesAnswerStart = false
    var hasAnswerHead = false
    var hasAnswerEnded = false
    /// An octet of the answer's head has gone to the client.
    var isAnswerStarted = false
    /// The client has its whole answer, or was told of an error: it waits for nothing more.
    var isClientDone = false
    var interimAnswers = 0
    @exclusivity(unchecked) var recording = Recording()
    /// The body budget that this exchange holds, in octets.
    var reservedBytes = 0
    var isTunnel = false

    // Unknown outcomes.
    /// The outcome that is on its way to the store.
    @exclusivity(unchecked) var storedKind: Attempt.OutcomeKind?
    /// The registry of probes knows that this attempt may still be answered.
    var isLate = false
    /// Whoever wants to know heard that this attempt's outcome is unknown.
    var hasToldUnknown = false
    /// Set where the exchange is no client's, but asks the service about another.
    var probe: ProbeRun?

    @exclusivity(unchecked) var timeline = Timeline()

    init(context: WorkerContext) {
        self.context = context
    }

    /// False while the service's connection, or the disk, is not ready to take more of the body.
    var canTakeBody: Bool {
        if isClientDone { return true }
        if isCovered { return !body.isWriting || slicedReplay != nil }
        guard let upstream else { return false }
        return sending == .streaming && body.spooled == nil && upstream.queuedOctets < context.limits.outputHighWater
    }

    /// The route's rules of idempotency are what is spoken about.
    var isIdempotent: Bool { isCovered || timeline.outcome != nil || isRepeatable }

    var connectTimeoutMilliseconds: UInt64 {
        let limit = route?.timeouts.connect ?? 3_000
        return probe.map { min(limit, $0.plan.timeoutMilliseconds) } ?? limit
    }

    /// Errors of the proxy's own must be such that a gRPC client reads them.
    var isGRPC: Bool {
        guard case .stream = downstream else { return false }
        return head.fields.isGRPC
    }

    // MARK: Lifetime

    /// Takes an unused exchange into service.
    func open(id: UInt64, downstream: Downstream) {
        begin(id: id)
        self.downstream = downstream
        let connection = downstream.channel
        client.text = connection.peerText
        client.isTrusted = connection.peerIsTrusted
        client.agreement = connection.tlsAgreement
        listener = connection.listener
    }

    func begin(id: UInt64) {
        self.id = id
        timeline.start(at: context.worker.now, wallMilliseconds: context.worker.wallMilliseconds)
    }

    /// Nobody waits for anything any more: one access-log line, and the slot is free.
    func finish() {
        if let upstream {
            self.upstream = nil
            upstream.end()
        }
        if let observed {
            self.observed = nil
            observed.finish(clientLeft: timeline.clientLeft)
        }
        context.releaseBodyMemory(reservedBytes)
        if let probe {
            reset()
            context.closeExchange(self)
            probe.ended(probe)
            return
        }
        if isLate, let claim { context.shared.probes.lateEnded(claim.key) }
        route?.leave()
        context.telemetry.exchangeEnded(self)
        let client = downstream
        downstream = nil
        reset()
        context.closeExchange(self)
        client?.answerEnded()
    }

    /// The client has all it gets, but the exchange goes on for a late answer.
    func releaseClient() {
        let client = downstream
        downstream = nil
        isClientDone = true
        client?.answerEnded()
    }

    /// The client's connection is gone.
    func clientLeft() {
        downstream = nil
        timeline.clientLeft = true
        if isTunnel {
            tunnelEnded(byUpstream: false)
        } else if slicedReplay != nil {
            if let replayed { context.submit(.undelivered(replayed)) }
            finish()
        } else if attempt != nil {
            if let claim { context.submit(.undelivered(claim)) }
            // The service may be paused for a client that did not read; nobody else would let it go on.
            if hasAnswerHead { resumeAnswer() }
            if holdsUnsentClaim {
                run { $0.attemptFailed(.notSent(.badRequest), clientWaits: false, partSent: false) }
            } else {
                run { $0.clientLeft() }
            }
        } else if isCovered, hasRequestEnded, body.spooled != nil, sending == .notStarted, upstream == nil {
            // The request is whole, if not all of it on the disk: it is executed all the same.
            return
        } else {
            // A request that passes through, or one that was never complete: nobody needs its answer.
            finish()
        }
    }

    private func reset() {
        head.reset()
        answerHead.reset()
        path.removeAll(keepingCapacity: true)
        Exchange.empty(&body.memory)
        if body.spooled != nil { closeSpooledBody() }
        trailerLines.removeAll(keepingCapacity: true)
        Exchange.empty(&fieldLines)
        Exchange.empty(&held)
        hasRequestEnded = false
        bodyBytesReceived = 0
        route = nil
        isCovered = false
        isRepeatable = false
        pending = nil
        identity = nil
        attempt = nil
        claim = nil
        replayed = nil
        rescuesAnswer = false
        slicedReplay = nil
        observed = nil
        waitDeadline = .never
        sending = .notStarted
        if !triedServers.isEmpty { triedServers.removeAll() }
        hasRetriedFresh = false
        routeDeadline = .never
        holdsAnswerHead = false
        owesAnswerStart = false
        hasAnswerHead = false
        hasAnswerEnded = false
        isAnswerStarted = false
        isClientDone = false
        interimAnswers = 0
        recording = Recording()
        reservedBytes = 0
        isTunnel = false
        storedKind = nil
        isLate = false
        hasToldUnknown = false
        probe = nil
        timeline = Timeline()
    }

    /// For one that will not be used again soon.
    func giveUpBuffers() {
        head = RequestHead()
        answerHead = ResponseHead()
        path = []
        body.memory = []
        trailerLines = []
        fieldLines = []
        held = []
    }

    /// Keeps a small buffer for the next exchange and gives a large one back.
    private static func empty(_ buffer: inout [UInt8]) {
        if buffer.capacity <= 4096 {
            buffer.removeAll(keepingCapacity: true)
        } else {
            buffer = []
        }
    }
}

/// When the steps of an exchange happened, for its log line and metrics.
struct Timeline {
    var began = Instant(nanoseconds: 0)
    var beganWallMilliseconds: UInt64 = 0
    var requestEnded: Instant?
    var forwarded: Instant?
    var answerHead: Instant?
    var answerEnded: Instant?
    var bytesToClient: UInt64 = 0
    var status: UInt16 = 0
    var upstreamStatus: UInt16 = 0
    /// Index into the servers of the route's pool.
    var upstreamServer: Int?
    var isUpstreamReused = false
    /// Nil where the exchange passes through.
    var outcome: IdempotencyOutcome?
    var clientLeft = false

    mutating func start(at instant: Instant, wallMilliseconds: UInt64) {
        began = instant
        beganWallMilliseconds = wallMilliseconds
    }
}
