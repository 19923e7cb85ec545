internal import Dispatch
package import Idempotency
internal import Synchronization

/// Records in this process's memory only: they end with it. Durable answers mean nothing here, so a commit is nothing.
package final class InMemoryStore: RecordStore {
    package typealias Deliver = @Sendable (_ worker: Int, _ replies: [StoreReply]) -> Void

    private let queue = DispatchQueue(label: "oncegate.memory-store")
    private let core: QueueBound<InMemoryCore>
    private let figures = Mutex(StoreStatistics())
    private let isClosed = Mutex(false)

    /// `bytesMax` counts answers and a fixed price per record.
    package init(bytesMax: UInt64, clock: StoreClock? = nil, deliver: @escaping Deliver) {
        core = QueueBound(InMemoryCore(bytesMax: bytesMax, clock: clock ?? .anchored(), deliver: deliver), queue)
        figures.withLock { $0.bytesMax = bytesMax }
        scheduleUpkeep()
    }

    package func submit(_ requests: consuming [StoreRequest]) {
        let requests = requests
        queue.async {
            let core = self.core.value
            core.handle(requests)
            self.figures.withLock { $0 = core.figures }
            core.deliver()
        }
    }

    package func markSent(_ claim: ClaimReference) {}

    /// As of the last batch.
    package var statistics: StoreStatistics {
        figures.withLock { $0 }
    }

    package func close() {
        isClosed.withLock { $0 = true }
        queue.sync { core.value.close() }
    }

    /// Does at once what the store does every second (tests with a clock of their own).
    package func runUpkeep() {
        queue.sync {
            core.value.expire()
            figures.withLock { $0 = core.value.figures }
        }
    }

    private func scheduleUpkeep() {
        queue.asyncAfter(deadline: .now() + .seconds(1)) { [weak self] in
            guard let self, !self.isClosed.withLock({ $0 }) else { return }
            self.core.value.expire()
            self.figures.withLock { $0 = self.core.value.figures }
            self.scheduleUpkeep()
        }
    }
}
