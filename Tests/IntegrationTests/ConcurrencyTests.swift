import Foundation
import TestSupport
import Testing

@Suite(.blackBox) struct ConcurrencyTests {
    @Test("B28 50 simultaneous POSTs with one key: once, and 50 equal answers (D7)")
    func fiftyAtOnce() throws {
        let release = Latch()
        let pair = try Pair { _ in .held(release) }
        let threads = (0..<50).map { _ in Running { try pair.proxy.post("/a", key: "K") } }
        try pair.upstream.waitForExecutions(1)
        // Most of them wait by then; those that come later are replayed.
        _ = try poll("waiters") {
            (try? pair.proxy.records())?.contains { ($0["waiters"] as? Int ?? 0) >= 40 } == true ? true : nil
        }
        release.open()
        let answers = try threads.map { try $0.join() }
        #expect(pair.upstream.executions == 1)
        #expect(answers.count { !$0.isReplay } == 1)
        let first = try #require(answers.first { !$0.isReplay })
        for answer in answers where answer.isReplay { expectReplay(answer, of: first) }
        #expect(try pair.proxy.outcomes("first") == 1)
        #expect(try pair.proxy.outcomes("waited") + pair.proxy.outcomes("replayed") == 49)
    }

    @Test("B29 in_flight reject: the others get 409 with Retry-After, a later retry is replayed")
    func rejectsInFlight() throws {
        let release = Latch()
        let pair = try Pair("in_flight reject;") { _ in .held(release) }
        let owner = Running { try pair.proxy.post(key: "K") }
        try pair.upstream.waitForExecutions(1)
        for _ in 0..<3 {
            expectProblem(try pair.proxy.post(key: "K"), "in-progress", status: 409, retryAfter: true)
        }
        release.open()
        let first = try owner.join()
        expectReplay(try pair.proxy.post(key: "K"), of: first)
        #expect(pair.upstream.executions == 1)
        #expect(try pair.proxy.outcomes("in_progress") == 3)
    }

    @Test("B30 the wait ends before the service answers: 409 after the limit, the owner succeeds")
    func waitEnds() throws {
        let release = Latch()
        let pair = try Pair("in_flight wait 300ms;") { _ in .held(release) }
        let owner = Running { try pair.proxy.post(key: "K") }
        try pair.upstream.waitForExecutions(1)
        let seconds = try elapsedSeconds {
            expectProblem(try pair.proxy.post(key: "K"), "in-progress", status: 409, retryAfter: true)
        }
        #expect(seconds >= 0.29 && seconds < 5)
        release.open()
        expectReplay(try pair.proxy.post(key: "K"), of: try owner.join())
        #expect(pair.upstream.executions == 1)
    }

    @Test("B31 waiter M+1 gets 409 at once, and other keys are served")
    func waiterCap() throws {
        let release = Latch()
        let pair = try Pair("max_waiters 2; in_flight wait 60s;") {
            $0["Idempotency-Key"] == "K" ? .held(release) : .answer()
        }
        let owner = Running { try pair.proxy.post(key: "K") }
        try pair.upstream.waitForExecutions(1)
        let waiters = (0..<2).map { _ in Running { try pair.proxy.post(key: "K") } }
        try pair.waitForWaiters(2)
        for _ in 0..<3 {
            let seconds = try elapsedSeconds {
                expectProblem(try pair.proxy.post(key: "K"), "in-progress", status: 409, retryAfter: true)
            }
            #expect(seconds < 5)
        }
        expectAnswer(try pair.proxy.post(key: "other"))
        release.open()
        let first = try owner.join()
        for waiter in waiters { expectReplay(try waiter.join(), of: first) }
        #expect(pair.upstream.executions == 2)
    }

    @Test("B32 an in-flight key with another body: 422 at once, no wait")
    func mismatchInFlight() throws {
        let release = Latch()
        let pair = try Pair("in_flight wait 60s;") { _ in .held(release) }
        let owner = Running { try pair.proxy.post(key: "K", body: "A") }
        try pair.upstream.waitForExecutions(1)
        let seconds = try elapsedSeconds {
            expectProblem(try pair.proxy.post(key: "K", body: "B"), "key-reused", status: 422)
        }
        #expect(seconds < 5)
        release.open()
        expectAnswer(try owner.join())
        #expect(pair.upstream.executions == 1)
    }

    @Test(
        "B33 the owner's client goes away while three wait: once, and the waiters get the answer",
        arguments: [false, true])
    func ownerLeaves(reset: Bool) throws {
        let release = Latch()
        let pair = try Pair { _ in .held(release) }
        let owner = try pair.proxy.client()
        try owner.send(.post(key: "K"))
        try pair.upstream.waitForExecutions(1)
        let waiters = (0..<3).map { _ in Running { try pair.proxy.post(key: "K") } }
        try pair.waitForWaiters(3)
        if reset { owner.reset() } else { owner.close() }
        release.open()
        for waiter in waiters {
            let answer = try waiter.join()
            #expect(answer.status == 201)
            #expect(answer.isReplay)
        }
        #expect(pair.upstream.executions == 1)
    }

    @Test("B33 a waiter that goes away changes nothing for the others")
    func waiterLeaves() throws {
        let release = Latch()
        let pair = try Pair("max_waiters 1;") { _ in .held(release) }
        let owner = Running { try pair.proxy.post(key: "K") }
        try pair.upstream.waitForExecutions(1)
        let leaving = try pair.proxy.client()
        try leaving.send(.post(key: "K"))
        try pair.waitForWaiters(1)
        leaving.reset()
        try pair.waitForWaiters(0)
        let staying = Running { try pair.proxy.post(key: "K") }
        try pair.waitForWaiters(1)
        release.open()
        let first = try owner.join()
        expectReplay(try staying.join(), of: first)
    }

    @Test("B34 a call longer than every wait and than several repeats: still once")
    func slowService() throws {
        let release = Latch()
        let pair = try Pair("in_flight wait 200ms;") { _ in .held(release) }
        let owner = Running { try pair.proxy.post(key: "K") }
        try pair.upstream.waitForExecutions(1)
        for _ in 0..<8 { expectProblem(try pair.proxy.post(key: "K"), "in-progress", status: 409) }
        release.open()
        expectReplay(try pair.proxy.post(key: "K"), of: try owner.join())
        #expect(pair.upstream.executions == 1)
    }

    @Test("B35 a connection that was refused is tried at the next server; a request that was sent is not sent again")
    func retriesOnlyUnsent() throws {
        let refusing = try ScriptedUpstream(accepting: false)
        let pair = try Pair(configure: { $0.servers.insert(refusing.address, at: 0) }) {
            $0.path == "/reset" ? .resetAfterRequest : .answer()
        }
        for index in 0..<4 { expectAnswer(try pair.proxy.post("/ok", key: "ok-\(index)")) }
        for index in 0..<4 {
            let response = try pair.proxy.post("/reset", key: "reset-\(index)")
            expectProblem(response, "upstream-broken", status: 502)
        }
        #expect(pair.upstream.executions(of: "/ok") == 4)
        #expect(pair.upstream.executions(of: "/reset") == 4)
    }

    @Test("B35 a GET that was sent and reset is not sent again either")
    func sentOnce() throws {
        let pair = try Pair { _ in .resetAfterRequest }
        let response = try pair.proxy.send(.get("/"))
        #expect(response.status == 502)
        #expect(pair.upstream.executions == 1)
    }

    @Test("B28 many keys at once from many clients: each once, each answer its own")
    func manyKeys() throws {
        let pair = try Pair { .answer(201, [], body: octets($0["Idempotency-Key"] ?? "")) }
        let results = try concurrently(8) { thread in
            let client = try pair.proxy.client()
            var generator = SeededGenerator(seed: UInt64(thread))
            return try (0..<40).map { _ in
                let key = "key-\(generator.next() % 60)"
                return (key, try client.exchange(.post(key: key)))
            }
        }
        for (key, response) in results.joined() { #expect(response.text == key) }
        let keys = Set(results.joined().map(\.0))
        #expect(pair.upstream.executions == keys.count)
        #expect(results.joined().count { !$0.1.isReplay } == keys.count)
    }

    @Test("B31 waiters of one key do not use up the upstream connections of other keys")
    func waitersHoldNoConnection() throws {
        let release = Latch()
        let pair = try Pair("in_flight wait 60s;") { $0["Idempotency-Key"] == "K" ? .held(release) : .answer() }
        let all = (0..<30).map { _ in Running { try pair.proxy.post(key: "K") } }
        try pair.upstream.waitForExecutions(1)
        try pair.waitForWaiters(29)
        #expect(pair.upstream.openConnectionCount <= 2)
        release.open()
        for thread in all { #expect(try thread.join().status == 201) }
    }
}
