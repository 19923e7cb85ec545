import HTTP
import Testing
import Transport

@testable import Proxy

/// The ends of connections to services: each is counted once, and none stays open for a peer that does not read.
@Suite struct UpstreamConnectionTests {
    private func connect(_ context: WorkerContext) throws -> UpstreamConnection {
        let acquired = context.rules.pools[0].acquire(
            for: Exchange(context: context), tried: [], validates: false, fresh: false)
        guard case .connecting(let upstream) = acquired else { throw Errno.invalidArgument }
        return upstream.channel
    }

    /// A tunnel whose client is gone, and whose service reads nothing of what the client has sent last.
    private func endedTunnel(_ bench: Bench) throws -> UpstreamConnection {
        let connection = try bench.onWorker { try connect($0) }
        bench.onWorker { _ in
            connection.phase = .tunnel
            connection.write(contentsOf: [UInt8](repeating: 1, count: 32 << 20))
        }
        // The kernel has what it takes.
        bench.pass(milliseconds: 50)
        bench.onWorker { _ in
            #expect(connection.queuedOutputBytes > 0)
            connection.endAfterFlush()
            #expect(connection.isOpen && bench.pool.activeCount == 0)
        }
        return connection
    }

    @Test func aServiceThatTakesNothingIsGivenUp() throws {
        let bench = try Bench()
        let connection = try endedTunnel(bench)
        bench.onWorker { _ in
            connection.deadlinePassed()
            #expect(!connection.isOpen)
            #expect(bench.pool.activeCount == 0)
        }
    }

    @Test func aFailureAfterTheEndIsNotCountedAgain() throws {
        let bench = try Bench()
        let connection = try endedTunnel(bench)
        bench.onWorker { _ in
            connection.failed(.connectionReset)
            #expect(bench.pool.activeCount == 0)
            connection.closeNow()
        }
    }

    /// A UNIX socket that nobody listens at fails in the call; its exchange may be gone before that is told.
    @Test func aConnectionThatFailsAtOnceIsNotCountedTwice() throws {
        let bench = try Bench { $0.servers[0].host = .address(.unix(Array("/nonexistent/oncegate/service".utf8))) }
        try bench.onWorker { context in
            let connection = try connect(context)
            #expect(bench.pool.activeCount == 1)
            connection.end()
            #expect(bench.pool.activeCount == 0)
        }
        bench.pass(milliseconds: 1)
        bench.onWorker { _ in #expect(bench.pool.activeCount == 0) }
    }
}
