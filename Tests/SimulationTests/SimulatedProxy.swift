import Idempotency

/// The proxy around the exchanges: workers that talk to the store in order, restarts, and the operator.
final class SimulatedProxy {
    private static let workers = 3
    /// No exchange has this address.
    private static let operatorAddress = ReplyAddress(worker: 0, exchange: .max)

    private unowned let simulation: Simulation
    private var exchanges: [UInt64: SimulatedExchange] = [:]
    private var lastID: UInt64 = 0
    /// Of the process; what an earlier one had under way is gone.
    private(set) var incarnation = 0
    /// As `ProbeRegistry`: who waits for the probe of each key, and which attempts may still be answered.
    private var probing: [RecordKey: [SimulatedExchange]] = [:]
    private var late: [RecordKey: Int] = [:]
    private var verdicts: [UInt64: (Storing) -> Void] = [:]
    private var isRunning = true
    private var toStore = [OrderedDelay](repeating: OrderedDelay(), count: workers)
    private var fromStore = [OrderedDelay](repeating: OrderedDelay(), count: workers)

    init(_ simulation: Simulation) {
        self.simulation = simulation
    }

    var exchangesInUse: Int { exchanges.count }

    /// Gives what the client calls when it hangs up; nil when nobody listens.
    func accept(_ request: ClientRequest) -> (() -> Void)? {
        guard isRunning else { return nil }
        lastID += 1
        let worker = Int(simulation.pick(0...UInt64(Self.workers - 1)))
        let exchange = SimulatedExchange(self, simulation, id: lastID, worker: worker, request: request)
        exchanges[lastID] = exchange
        exchange.start()
        let id = lastID
        return { [unowned self] in exchanges[id]?.clientLeft() }
    }

    func closed(_ exchange: SimulatedExchange) {
        exchanges[exchange.id] = nil
    }

    // MARK: The store

    func submit(_ request: StoreRequest, _ worker: Int) {
        let incarnation = incarnation
        simulation.at(toStore[worker].time(simulation, 0...3)) { [unowned self] in
            guard incarnation == self.incarnation else { return }
            simulation.store.handle(request)
        }
    }

    func markSent(_ claim: ClaimReference) {
        simulation.store.markSent(claim)
    }

    /// As `WorkerContext.deliver`.
    func deliver(_ reply: StoreReply) {
        let incarnation = incarnation
        let worker = Int(reply.address.worker)
        simulation.at(fromStore[worker].time(simulation, 0...3)) { [unowned self] in
            guard incarnation == self.incarnation, reply.address != Self.operatorAddress else { return }
            if case .stored(let storing) = reply.result,
                let verdict = verdicts.removeValue(forKey: reply.address.exchange)
            {
                verdict(storing)
            } else if let exchange = exchanges[reply.address.exchange] {
                exchange.storeAnswered(reply.result)
            } else if case .claimed(let claim) = reply.result {
                simulation.note { "the owner of epoch \(claim.epoch) is gone: released" }
                submit(.complete(claim, .released, reply.address), worker)
            }
        }
    }

    // MARK: Probes

    enum Place {
        case first
        case waits
    }

    func becameLate(_ key: RecordKey) { late[key, default: 0] += 1 }

    func lateEnded(_ key: RecordKey) {
        let count = late[key] ?? 0
        late[key] = count > 1 ? count - 1 : nil
    }

    /// As `Prober`.
    func probe(_ request: ClientRequest, _ outcome: UnknownOutcome, for exchange: SimulatedExchange) -> Place {
        if probing[request.key] != nil {
            probing[request.key]?.append(exchange)
            return .waits
        }
        probing[request.key] = [exchange]
        let incarnation = incarnation
        var provesAbsence = false
        if case .probe(let probe) = simulation.plan.policy.onUnknown {
            provesAbsence = late[request.key] == nil && outcome.ageMilliseconds >= probe.absentAfterMilliseconds
        }
        simulation.service.probed(request) { [unowned self] found in
            guard incarnation == self.incarnation else { return }
            if let verdict = found, verdict != .released || provesAbsence {
                settle(request.key, outcome.epoch, verdict, exchange.worker)
            } else {
                probeEnded(request.key, decided: false)
            }
        }
        return .first
    }

    private func settle(_ key: RecordKey, _ epoch: UInt64, _ outcome: Outcome, _ worker: Int) {
        simulation.note { "a probe of key \(Oracle.number(of: key)) says \(outcome)" }
        lastID += 1
        verdicts[lastID] = { [unowned self] in probeEnded(key, decided: $0 == .durable || $0 == .stale) }
        let address = ReplyAddress(worker: UInt32(worker), exchange: lastID)
        submit(.settle(ClaimReference(key: key, epoch: epoch), outcome, address), worker)
    }

    private func probeEnded(_ key: RecordKey, decided: Bool) {
        for exchange in probing.removeValue(forKey: key) ?? [] where exchanges[exchange.id] === exchange {
            exchange.probeEnded(decided: decided)
        }
    }

    // MARK: Restart

    /// Stops by a crash, or by a drain whose time is over, and starts again.
    func restart() {
        guard isRunning else { return }
        isRunning = false
        if simulation.chance(30) {
            simulation.note { "the drain is over" }
            for id in exchanges.keys.sorted() { exchanges[id]?.abandon() }
            simulation.after(0...20) { [unowned self] in crash() }
        } else {
            crash()
        }
    }

    private func crash() {
        simulation.note { "the proxy crashes" }
        incarnation += 1
        let gone = exchanges.keys.sorted().compactMap { exchanges[$0] }
        exchanges = [:]
        probing = [:]
        late = [:]
        verdicts = [:]
        simulation.store.crash()
        for exchange in gone { exchange.crash() }
        simulation.after(5...200) { [unowned self] in
            simulation.note { "the proxy runs again" }
            isRunning = true
        }
    }

    // MARK: The operator

    func operatorActs() {
        guard isRunning else { return }
        let key = Oracle.key(Int(simulation.pick(0...UInt64(simulation.plan.keys - 1))))
        let answer = RecordedAnswer(status: 200, framing: .none, fieldLines: [], body: [])
        let resolution = simulation.pick([Resolution.release, .forget, .answer(answer)]) ?? .release
        simulation.note { "the operator decides about key \(Oracle.number(of: key)): \(resolution)" }
        simulation.store.handle(.resolve(key, resolution, Self.operatorAddress))
    }
}
