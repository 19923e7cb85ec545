import Idempotency

/// One request that a client waits for.
final class ClientRequest {
    enum Result {
        case answer(status: UInt16, isReplay: Bool)
        case problem(Problem)
        /// The connection broke, by the proxy or its crash.
        case broken
    }

    let key: RecordKey
    let fingerprint: Fingerprint
    let isRetry: Bool
    private let resolved: (Result) -> Void
    private(set) var isResolved = false
    private(set) var hasLeft = false

    init(key: RecordKey, payload: UInt64, isRetry: Bool, resolved: @escaping (Result) -> Void) {
        self.key = key
        fingerprint = Fingerprint(words: (payload, 1, 2, 3))
        self.isRetry = isRetry
        self.resolved = resolved
    }

    /// False when the client has its answer already.
    func resolve(_ result: Result) -> Bool {
        guard !isResolved else { return false }
        isResolved = true
        resolved(result)
        return true
    }

    /// The client hangs up.
    func leave() {
        isResolved = true
        hasLeft = true
    }
}

/// Sends one operation until it has its answer, as a client with retries does; sometimes again after that.
final class SimulatedClient {
    let index: Int
    private let simulation: Simulation
    private let key: RecordKey
    private let payload: UInt64
    private var tries = 0
    private var current: ClientRequest?

    init(_ simulation: Simulation, index: Int, key: Int) {
        self.simulation = simulation
        self.index = index
        self.key = Oracle.key(key)
        payload = simulation.chance(8) ? 2 : 1
    }

    var isWaiting: Bool { current.map { !$0.isResolved } ?? false }

    func send() {
        guard tries < simulation.plan.triesMax else { return }
        tries += 1
        let request = ClientRequest(key: key, payload: payload, isRetry: tries > 1) { [unowned self] in received($0) }
        current = request
        simulation.note { "client \(index) sends key \(Oracle.number(of: key)) payload \(payload)" }
        let leaves = simulation.chance(simulation.plan.clientLeaves)
        guard let leave = simulation.proxy.accept(request) else {
            _ = request.resolve(.broken)
            return
        }
        guard leaves else { return }
        simulation.after(0...600) { [unowned self] in
            guard !request.isResolved else { return }
            simulation.note { "client \(index) leaves" }
            request.leave()
            leave()
            retry()
        }
    }

    private func received(_ result: ClientRequest.Result) {
        simulation.note { "client \(index) gets \(result)" }
        switch result {
        case .answer(let status, _):
            // A client whose own memory is bad asks again.
            if [429, 502, 503].contains(status) || simulation.chance(30) { retry() }
        case .problem(.keyReused):
            if simulation.plan.keys > 0, payload == 1 { simulation.note { "another payload was first" } }
        case .problem, .broken:
            retry()
        }
    }

    private func retry() {
        simulation.after(1...300) { [unowned self] in send() }
    }
}
