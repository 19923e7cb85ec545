import Idempotency
import TestSupport

/// One run: clients, a proxy that drives the production machines, a store, a service, and an oracle that watches. All
/// time is virtual and all chance comes from the seed, so that a seed is a run.
final class Simulation {
    let seed: UInt64
    let plan: Plan
    let clock = VirtualClock()
    let oracle: Oracle
    /// What happened, when it is wanted.
    private(set) var trace: [String]?
    private(set) var failure: String?
    private(set) var events = 0
    private var random: SeededGenerator
    private var agenda = Agenda()

    private(set) var store: (any VirtualStore)!
    private(set) var proxy: SimulatedProxy!
    private(set) var service: SimulatedService!
    private var clients: [SimulatedClient] = []

    init(seed: UInt64, traces: Bool = false) {
        self.seed = seed
        random = SeededGenerator(seed: seed)
        plan = Plan(&random)
        oracle = Oracle(plan)
        if traces { trace = ["\(plan)"] }
        store = plan.isDurable ? DurableStore(self) : MemoryStore(self)
        proxy = SimulatedProxy(self)
        service = SimulatedService(self)
    }

    /// The first broken promise, or nil.
    func run() -> String? {
        oracle.onViolation = { [unowned self] in fail($0) }
        for index in 0..<plan.clients {
            let client = SimulatedClient(self, index: index, key: chooseKey())
            clients.append(client)
            after(0...400) { client.send() }
        }
        for _ in 0..<plan.restarts { after(1...1_500) { [unowned self] in proxy.restart() } }
        if plan.operatorActs {
            for _ in 0..<3 { after(100...3_000) { [unowned self] in proxy.operatorActs() } }
        }
        while failure == nil, let next = agenda.next() {
            clock.now = max(clock.now, next.time)
            events += 1
            next.work()
            if events > 100_000 { fail("the simulation does not end") }
        }
        if failure == nil { checkEnd() }
        return failure
    }

    private func checkEnd() {
        for client in clients where client.isWaiting { fail("client \(client.index) waits for ever") }
        if proxy.exchangesInUse > 0 { fail("\(proxy.exchangesInUse) exchanges never end") }
        for key in store.openKeys() { fail("the claim of key \(Oracle.number(of: key)) never ends") }
        oracle.checkEnd()
    }

    func fail(_ message: String) {
        note { "VIOLATION: \(message)" }
        if failure == nil { failure = message }
    }

    func note(_ text: () -> String) {
        guard trace != nil else { return }
        trace?.append("\(clock.now - 1_700_000_000_000) \(text())")
    }

    // MARK: Time and chance

    var now: UInt64 { clock.now }

    func after(_ milliseconds: ClosedRange<UInt64>, _ work: @escaping () -> Void) {
        at(now + pick(milliseconds), work)
    }

    func at(_ time: UInt64, _ work: @escaping () -> Void) {
        agenda.add(at: max(now, time), work)
    }

    func pick(_ range: ClosedRange<UInt64>) -> UInt64 {
        .random(in: range, using: &random)
    }

    func pick<Element>(_ elements: [Element]) -> Element? {
        elements.randomElement(using: &random)
    }

    func chance(_ percent: Int) -> Bool {
        percent > 0 && Int.random(in: 0..<100, using: &random) < percent
    }

    private func chooseKey() -> Int {
        Int.random(in: 0..<plan.keys, using: &random)
    }
}

/// Hands work on in order, each piece after a delay of its own: what a queue between two threads does.
struct OrderedDelay {
    private var last: UInt64 = 0

    mutating func time(_ simulation: Simulation, _ milliseconds: ClosedRange<UInt64>) -> UInt64 {
        last = max(last, simulation.now + simulation.pick(milliseconds))
        return last
    }
}
