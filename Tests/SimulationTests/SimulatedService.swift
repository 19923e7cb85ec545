import Idempotency

/// A connection from the proxy to the service, for one request.
final class Link {
    enum Arrival {
        case head(Int)
        case part
        case end(RecordedAnswer)
        case lost
    }

    weak var exchange: SimulatedExchange?
    var hasSent = false
    /// Not read: what arrives waits.
    var isPaused = false
    private var backlog: [Arrival] = []

    init(_ exchange: SimulatedExchange) {
        self.exchange = exchange
    }

    func arrive(_ arrival: Arrival, _ simulation: Simulation) {
        guard let exchange, exchange.link === self else { return }
        if isPaused {
            // A reset is seen even by who does not read; an orderly end is not.
            if case .lost = arrival, backlog.isEmpty, simulation.chance(50) { return exchange.upstreamFailed() }
            return backlog.append(arrival)
        }
        switch arrival {
        case .head(let status): exchange.answerHeadReceived(status)
        case .part: exchange.answerPartReceived()
        case .end(let answer): exchange.answerEndReceived(answer)
        case .lost: exchange.upstreamFailed()
        }
    }

    func resume(_ simulation: Simulation) {
        isPaused = false
        let waiting = backlog
        backlog = []
        for arrival in waiting { arrive(arrival, simulation) }
    }
}

/// Executes what it is sent and answers, or does one of them, or neither.
final class SimulatedService {
    private unowned let simulation: Simulation

    init(_ simulation: Simulation) {
        self.simulation = simulation
    }

    /// The field lines by which an answer tells what it answers.
    static func mark(_ request: ClientRequest) -> [UInt8] {
        Array("X-Answers: \(Oracle.number(of: request.key))/\(request.fingerprint.words.0)\r\n".utf8)
    }

    /// The request's octets are on their way. Nothing that happens to the proxy stops them.
    func receive(_ request: ClientRequest, from link: Link) {
        let plan = simulation.plan
        let isSlow = simulation.chance(plan.slowExecution)
        // It goes on executing whatever becomes of the connection.
        if isSlow, simulation.chance(30) { send(.lost, to: link, 0...100) }
        simulation.after(isSlow ? 50...Plan.executionMax : 0...20) { [unowned self] in
            if simulation.chance(plan.resetBeforeExecution) { return send(.lost, to: link, 0...10) }
            let status = simulation.pick(plan.statuses) ?? 201
            let number = simulation.oracle.executed(request.key, status: status)
            simulation.note {
                "the service executes key \(Oracle.number(of: request.key)) as \(number), status \(status)"
            }
            let answer = RecordedAnswer(
                status: UInt16(status), framing: .length, fieldLines: Self.mark(request),
                body: Array("execution \(number)".utf8))
            if simulation.chance(plan.noAnswer) { return }
            if simulation.chance(plan.resetBeforeAnswer) { return send(.lost, to: link, 0...100) }
            reply(answer, to: link)
        }
    }

    /// A GET that asks for what the key names. Nil: the answer broke off, or says neither.
    func probed(_ request: ClientRequest, _ answered: @escaping (Outcome?) -> Void) {
        simulation.after(0...20) { [unowned self] in
            let released = simulation.plan.policy.statuses
            let isThere = simulation.oracle.executionStatuses(of: request.key).contains { released[$0] != .release }
            let verdict: Outcome =
                isThere
                ? .answered(
                    RecordedAnswer(
                        status: 200, framing: .length, fieldLines: Self.mark(request), body: Array("probed".utf8)))
                : .released
            let isUnclear = simulation.chance(20)
            simulation.after(0...50) { answered(isUnclear ? nil : verdict) }
        }
    }

    private func reply(_ answer: RecordedAnswer, to link: Link) {
        let isSlow = simulation.chance(simulation.plan.slowAnswer)
        let start = simulation.now + simulation.pick(isSlow ? 250...3_000 : 0...200)
        let middle = start + simulation.pick(0...20)
        let breaks = simulation.chance(simulation.plan.resetInAnswer)
        simulation.at(start) { [unowned self] in link.arrive(.head(Int(answer.status)), simulation) }
        simulation.at(middle) { [unowned self] in link.arrive(.part, simulation) }
        let end = middle + simulation.pick(0...20)
        simulation.at(end) { [unowned self] in link.arrive(breaks ? .lost : .end(answer), simulation) }
    }

    private func send(_ arrival: Link.Arrival, to link: Link, _ delay: ClosedRange<UInt64>) {
        simulation.after(delay) { [unowned self] in link.arrive(arrival, simulation) }
    }
}
