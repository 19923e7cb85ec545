import Testing
import Transport

@Suite(.timeLimit(.minutes(5)))
struct ResolverTests {
    /// Answers lookups as told, one after the other, each when it is let go.
    final class Script: Sendable {
        let answers: Locked<[Resolver.Answer]>
        let asked = Recorder<String>()
        let gate = Semaphore()

        init(_ answers: [Resolver.Answer]) {
            self.answers = Locked(answers)
        }

        func lookup(_ host: String, _ port: UInt16) -> Resolver.Answer {
            asked.append("\(host):\(port)")
            gate.wait()
            return answers.withLock { $0.removeFirst() }
        }
    }

    let first = SocketAddress.v4(0x0A00_0001, port: 80)
    let second = SocketAddress.v4(0x0A00_0002, port: 80)

    @Test func theLastGoodAnswerIsKept() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let worker = harness.worker
        let (first, second) = (first, second)
        let script = Script([
            .failure(.temporary), .success([first, second]), .failure(.notFound), .success([second, first]),
            .success([second]),
        ])
        let resolver = Resolver(queue: BlockingQueue(threadsMax: 1), lookup: script.lookup)
        let answers = Recorder<[SocketAddress]>()
        let name = worker.performAndWait {
            WorkerBound(
                ResolvedName(host: "api.test", port: 80, resolver: resolver, worker: worker) {
                    answers.append($0.addresses)
                },
                worker: worker)
        }
        func lookUp() {
            // Not begun twice while one is under way.
            worker.performAndWait { name.value.lookUp() }
            worker.performAndWait { name.value.lookUp() }
            script.gate.post()
        }
        script.gate.post()
        #expect(answers.next() == [])
        #expect(worker.performAndWait { name.value.lastError } == .temporary)
        lookUp()
        #expect(answers.next() == [first, second])
        lookUp()
        #expect(answers.next() == [first, second])
        #expect(worker.performAndWait { name.value.lastError } == .notFound)
        // The same set in another order is no news.
        lookUp()
        while worker.performAndWait({ name.value.lastError }) != nil {}
        lookUp()
        #expect(answers.next() == [second])
        #expect(answers.all.count == 4)
        #expect(script.asked.all.count == 5)
        worker.performAndWait { name.value.stop() }
        #expect(worker.performAndWait { worker.timers.count } == 0)
    }

    @Test func oneLookupServesAllWhoWaitForTheSameName() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let first = first
        let script = Script([.success([first]), .success([first])])
        let resolver = Resolver(queue: BlockingQueue(), lookup: script.lookup)
        let answers = Recorder<Bool>()
        for _ in 0..<10 {
            resolver.resolve(host: "a.test", port: 80, on: harness.worker) {
                harness.worker.assertOnQueue()
                answers.append($0 == .success([first]))
            }
        }
        resolver.resolve(host: "a.test", port: 81, on: harness.worker) { _ in answers.append(true) }
        script.gate.post()
        script.gate.post()
        for _ in 0..<11 { #expect(answers.next()) }
        #expect(Set(script.asked.all) == ["a.test:80", "a.test:81"])
        #expect(script.asked.all.count == 2)
    }

    @Test func numericAddressesAreNotLookedUp() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let script = Script([])
        let resolver = Resolver(queue: BlockingQueue(), lookup: script.lookup)
        let answers = Recorder<Resolver.Answer>()
        resolver.resolve(host: "::1", port: 5, on: harness.worker) { answers.append($0) }
        #expect(answers.next() == .success([.v6(high: 0, low: 1, port: 5)]))
        harness.worker.performAndWait {
            let name = ResolvedName(host: "10.0.0.1", port: 80, resolver: resolver, worker: harness.worker) { _ in }
            #expect(name.addresses == [first])
            name.lookUp()
        }
        #expect(script.asked.all.isEmpty)
    }

    @Test func tooManyLookupsAreRefused() throws {
        let harness = try Harness()
        defer { harness.stop() }
        let first = first
        let script = Script([.success([first]), .success([first])])
        let resolver = Resolver(queue: BlockingQueue(threadsMax: 1, waitingMax: 1), lookup: script.lookup)
        let answers = Recorder<Resolver.Answer>()
        for host in ["a.test", "b.test", "c.test"] {
            resolver.resolve(host: host, port: 80, on: harness.worker) { answers.append($0) }
        }
        #expect(answers.next() == .failure(.busy))
        script.gate.post()
        script.gate.post()
        #expect(answers.next() == .success([first]))
        #expect(answers.next() == .success([first]))
    }

    @Test func theSystemKnowsLocalhost() {
        guard case .success(let addresses) = Resolver.systemLookup("localhost", 8080) else {
            Issue.record("no localhost")
            return
        }
        #expect(
            addresses.contains(.v4(0x7F00_0001, port: 8080)) || addresses.contains(.v6(high: 0, low: 1, port: 8080)))
        #expect(Set(addresses).count == addresses.count)
    }
}
