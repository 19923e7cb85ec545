import Testing
import Transport

@testable import Proxy

/// Which server an exchange goes to.
@Suite struct UpstreamPoolTests {
    /// Gets a connection; nil when no server can be tried.
    private func acquire(_ context: WorkerContext, tried: Set<Int> = []) -> UpstreamConnection? {
        let exchange = Exchange(context: context)
        switch context.rules.pools[0].acquire(for: exchange, tried: tried, validates: false, fresh: false) {
        case .ready(let upstream), .connecting(let upstream): return upstream.channel
        case .unavailable: return nil
        }
    }

    private func servers(_ context: WorkerContext, _ count: Int, tried: Set<Int> = []) -> [Int?] {
        (0..<count).map { _ in acquire(context, tried: tried)?.server }
    }

    @Test func roundRobinTakesTurns() throws {
        let bench = try Bench(servers: 3)
        #expect(bench.onWorker { servers($0, 7) } == [0, 1, 2, 0, 1, 2, 0])
    }

    @Test func roundRobinPassesOverWhatWasTried() throws {
        let bench = try Bench(servers: 3)
        bench.onWorker { context in
            #expect(!servers(context, 6, tried: [1]).contains(1))
            #expect(servers(context, 2, tried: [0, 1]) == [2, 2])
            #expect(servers(context, 1, tried: [0, 1, 2]) == [nil])
        }
    }

    @Test func firstTakesTheFirstThatCanBeUsed() throws {
        let bench = try Bench(servers: 3) { $0.balance = .first }
        bench.onWorker { context in
            #expect(servers(context, 3) == [0, 0, 0])
            #expect(servers(context, 2, tried: [0]) == [1, 1])
            bench.pool.health.set(0, isHealthy: false)
            #expect(servers(context, 2) == [1, 1])
            bench.pool.health.set(0, isHealthy: true)
            #expect(servers(context, 1) == [0])
        }
    }

    @Test func leastRequestsCountsWhatIsInUse() throws {
        let bench = try Bench(servers: 3) { $0.balance = .leastRequests }
        bench.onWorker { context in
            let connections = (0..<6).compactMap { _ in acquire(context) }
            #expect(connections.map(\.server).sorted() == [0, 0, 1, 1, 2, 2])
            for connection in connections where connection.server == 1 { connection.end() }
            #expect(servers(context, 2) == [1, 1])
        }
    }

    /// With one request at a time every server is as good as the others, and all should get some.
    @Test func leastRequestsSharesOutWhatIsEqual() throws {
        let bench = try Bench(servers: 3) { $0.balance = .leastRequests }
        bench.onWorker { context in
            var seen: Set<Int> = []
            for _ in 0..<6 {
                guard let connection = acquire(context) else { continue }
                seen.insert(connection.server)
                connection.end()
            }
            #expect(seen.count == 3)
        }
    }

    @Test func aBackupServesWhenNoOtherCan() throws {
        let bench = try Bench(servers: 3) { $0.servers[0].isBackup = true }
        bench.onWorker { context in
            #expect(!servers(context, 6).contains(0))
            #expect(servers(context, 2, tried: [1, 2]) == [0, 0])
            bench.pool.health.set(1, isHealthy: false)
            bench.pool.health.set(2, isHealthy: false)
            #expect(servers(context, 3) == [0, 0, 0])
        }
    }

    @Test func anUnhealthyServerIsBetterThanNone() throws {
        let bench = try Bench(servers: 2)
        bench.onWorker { context in
            for server in 0..<2 { bench.pool.health.set(server, isHealthy: false) }
            #expect(acquire(context) != nil)
            #expect(acquire(context, tried: [0])?.server == 1)
            #expect(acquire(context, tried: [0, 1]) == nil)
        }
    }

    @Test func theOnlyServerIsTriedWhateverItsHealth() throws {
        let bench = try Bench(servers: 1) { $0.failuresMax = 1 }
        bench.onWorker { context in
            bench.pool.health.set(0, isHealthy: false)
            context.rules.pools[0].serverFailed(0)
            #expect(servers(context, 2) == [0, 0])
            #expect(acquire(context, tried: [0]) == nil)
        }
    }

    @Test func aServerWithoutAddressIsPassedOver() throws {
        let bench = try Bench(servers: 2) { $0.servers[0].host = .name("not.resolved.invalid", port: 80) }
        #expect(bench.onWorker { servers($0, 3) } == [1, 1, 1])
        let none = try Bench(servers: 1) { $0.servers[0].host = .name("not.resolved.invalid", port: 80) }
        #expect(none.onWorker { acquire($0) == nil })
    }

    // MARK: Rest after failures

    @Test func aServerRestsAfterFailuresInARow() throws {
        let bench = try Bench(servers: 2) {
            $0.failuresMax = 2
            $0.failTimeoutMilliseconds = 60_000
        }
        bench.onWorker { context in
            context.rules.pools[0].serverFailed(0)
            #expect(Set(servers(context, 4)) == [0, 1])
            context.rules.pools[0].serverFailed(0)
            #expect(servers(context, 4) == [1, 1, 1, 1])
            // Both rest: any is better than none.
            context.rules.pools[0].serverFailed(1)
            context.rules.pools[0].serverFailed(1)
            #expect(acquire(context) != nil)
        }
    }

    @Test func theRestEnds() throws {
        let bench = try Bench(servers: 2) {
            $0.failuresMax = 1
            $0.failTimeoutMilliseconds = 30
        }
        bench.onWorker { context in
            context.rules.pools[0].serverFailed(0)
            #expect(servers(context, 3) == [1, 1, 1])
        }
        bench.pass(milliseconds: 40)
        #expect(bench.onWorker { Set(servers($0, 4)) } == [0, 1])
    }

    @Test func withoutALimitNoServerRests() throws {
        let bench = try Bench(servers: 2)
        bench.onWorker { context in
            for _ in 0..<100 { context.rules.pools[0].serverFailed(0) }
            #expect(Set(servers(context, 4)) == [0, 1])
        }
    }

    /// Failures in a row: an answer in between ends the row, whether or not its connection can be used again.
    @Test(arguments: [true, false])
    func anAnswerEndsTheRow(keepsAlive: Bool) throws {
        let bench = try Bench(servers: 2) {
            $0.failuresMax = 2
            $0.failTimeoutMilliseconds = 60_000
            $0.balance = .first
        }
        bench.onWorker { context in
            let pool = context.rules.pools[0]
            pool.serverFailed(0)
            guard let connection = acquire(context) else { return #expect(Bool(false)) }
            if keepsAlive {
                pool.serverAnswered(0)
                pool.checkIn(connection)
                pool.serverFailed(0)
                #expect(acquire(context, tried: [])?.server == 0)
            } else {
                // As after an answer with `Connection: close`.
                connection.detach(requestIsComplete: true, hasLeftover: false)
                pool.serverFailed(0)
                #expect(acquire(context)?.server == 0)
            }
        }
    }

    // MARK: Idle connections

    @Test func anIdleConnectionServesAgainTheWarmestFirst() throws {
        let bench = try Bench(servers: 1) { $0.idleConnectionsMax = 2 }
        try bench.onWorker { context in
            let pool = context.rules.pools[0]
            let connections = (0..<3).compactMap { _ in acquire(context) }
            try #require(connections.count == 3)
            #expect(pool.activeCount == 3 && pool.idleCount == 0)
            pool.checkIn(connections[0])
            pool.checkIn(connections[1])
            #expect(pool.activeCount == 1 && pool.idleCount == 2)
            // A third has no place.
            pool.checkIn(connections[2])
            #expect(pool.activeCount == 0 && pool.idleCount == 2)
            #expect(acquire(context) === connections[1])
            #expect(pool.activeCount == 1 && pool.idleCount == 1)
        }
    }

    @Test func aFreshConnectionIsNotAnIdleOne() throws {
        let bench = try Bench(servers: 1)
        bench.onWorker { context in
            let pool = context.rules.pools[0]
            guard let idle = acquire(context) else { return #expect(Bool(false)) }
            pool.checkIn(idle)
            guard
                case .connecting(let other) = pool.acquire(
                    for: Exchange(context: context), tried: [], validates: false, fresh: true)
            else { return #expect(Bool(false)) }
            #expect(other.channel !== idle && pool.idleCount == 1)
            pool.closeIdle()
            #expect(pool.idleCount == 0 && pool.activeCount == 1)
        }
    }
}
