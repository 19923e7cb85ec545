internal import Dispatch
internal import Glibc
package import Idempotency
internal import Synchronization

/// Records in a directory of this machine, durable in groups: whatever was submitted while one commit ran is the next
/// commit.
package final class EmbeddedStore: RecordStore {
    package typealias Deliver = @Sendable (_ worker: Int, _ replies: [StoreReply]) -> Void

    /// The latest time a record can expire at; an id has 39 bits for its second.
    static let timeMax: UInt64 = (1 << 39) * 1000 - 1

    private struct NewKeys {
        var ring: KeyRing?
    }

    private struct Inbox {
        var requests: [StoreRequest] = []
        var newKeys: NewKeys?
        /// A drain is queued or running.
        var isScheduled = false
        var isClosed = false
    }

    private let queue = DispatchQueue(label: "oncegate.storage")
    private let inbox = Mutex(Inbox())
    private let figures = Mutex(StoreStatistics())
    private let marks: SendMarks
    private let commitDelayMicroseconds: UInt32
    private let core: QueueBound<StorageCore>

    /// Opens or creates the store; returns once every record is indexed. `deliver` is called on the storage queue.
    package convenience init(options: EmbeddedStoreOptions, deliver: @escaping Deliver) throws(StoreOpenError) {
        self.init(core: StorageCore(opened: try OpenedStore(options: options), options: options, deliver: deliver))
    }

    init(core: StorageCore) {
        marks = core.marks
        commitDelayMicroseconds = core.options.commitDelayMicroseconds
        figures.withLock { $0 = core.figures }
        self.core = QueueBound(core, queue)
        core.onPublish = { [weak self] figures in self?.figures.withLock { $0 = figures } }
        core.onFailure = { [weak self] _ in
            self?.scheduleReopen(afterMilliseconds: EmbeddedLimits.reopenDelayMilliseconds)
        }
        scheduleUpkeep()
    }

    package func submit(_ requests: consuming [StoreRequest]) {
        let requests = requests
        let mustSchedule = inbox.withLock { inbox in
            if inbox.requests.isEmpty { inbox.requests = requests } else { inbox.requests += requests }
            defer { inbox.isScheduled = true }
            return !inbox.isScheduled
        }
        if mustSchedule { queue.async { self.drain() } }
    }

    package func markSent(_ claim: ClaimReference) {
        marks.markSent(slot: claim.markSlot, epoch: claim.epoch)
    }

    /// The keys from here on: the first seals what is submitted next, all of them open. Nil: none. Any thread.
    package func setKeyRing(_ ring: KeyRing?) {
        let mustSchedule = inbox.withLock { inbox in
            inbox.newKeys = NewKeys(ring: ring)
            defer { inbox.isScheduled = true }
            return !inbox.isScheduled
        }
        if mustSchedule { queue.async { self.drain() } }
    }

    /// As of the last batch.
    package var statistics: StoreStatistics {
        figures.withLock { $0 }
    }

    package func close() {
        queue.sync {
            guard !inbox.withLock({ $0.isClosed }) else { return }
            while let requests = take() { handle(requests) }
            core.value.close()
            inbox.withLock { $0.isClosed = true }
        }
    }

    /// One batch, and the next behind whatever else waits for the queue.
    private func drain() {
        for _ in 0..<EmbeddedLimits.batchesPerTurn {
            guard let requests = take() else { return }
            handle(requests)
        }
        // Upkeep and operators get their turn, however much is submitted.
        queue.async { self.drain() }
    }

    private func handle(_ requests: [StoreRequest]) {
        let core = core.value
        core.handle(requests)
        if commitDelayMicroseconds > 0, !core.changes.isEmpty,
            core.open.count >= EmbeddedLimits.commitDelayOpenClaimsMin
        {
            core.deliver()
            usleep(commitDelayMicroseconds)
            core.handle(
                inbox.withLock { inbox in
                    // These may be meant for the new keys.
                    guard inbox.newKeys == nil else { return [] }
                    let more = inbox.requests
                    inbox.requests = []
                    return more
                })
        }
        core.finishBatch()
        if !core.listings.isEmpty { takeListingStep() }
    }

    /// What was submitted; nil, and no longer scheduled, when that is nothing. New keys take effect before it.
    private func take() -> [StoreRequest]? {
        let (requests, newKeys) = inbox.withLock { inbox -> ([StoreRequest]?, NewKeys?) in
            let newKeys = exchange(&inbox.newKeys, with: nil)
            guard !inbox.requests.isEmpty || newKeys != nil else {
                inbox.isScheduled = false
                return (nil, nil)
            }
            return (exchange(&inbox.requests, with: []), newKeys)
        }
        if let newKeys { core.value.setKeyRing(newKeys.ring) }
        return requests
    }

    // MARK: Upkeep

    private func scheduleUpkeep() {
        queue.asyncAfter(deadline: .now() + .milliseconds(EmbeddedLimits.upkeepIntervalMilliseconds)) { [weak self] in
            guard let self, !self.inbox.withLock({ $0.isClosed }) else { return }
            self.core.value.writeHeld()
            self.takeExpiryStep()
            self.scheduleUpkeep()
        }
    }

    /// One step, and the next behind whatever was submitted meanwhile.
    private func takeExpiryStep() {
        let core = core.value
        let isMore = core.expire() || core.removeBodies()
        finishUpkeep()
        if isMore { queue.async { self.takeExpiryStep() } }
    }

    private func takeListingStep() {
        let isMore = core.value.continueListing()
        finishUpkeep()
        if isMore { queue.async { self.takeListingStep() } }
    }

    private func finishUpkeep() {
        let core = core.value
        core.deliver()
        core.tidy()
    }

    /// Does at once what the store does every second (tests with a clock of their own).
    package func runUpkeep() {
        queue.sync {
            let core = core.value
            _ = core.reopen()
            core.writeHeld()
            while core.expire() || core.removeBodies() {}
            finishUpkeep()
        }
    }

    private func scheduleReopen(afterMilliseconds delay: Int) {
        queue.asyncAfter(deadline: .now() + .milliseconds(delay)) { [weak self] in
            guard let self, !self.inbox.withLock({ $0.isClosed }) else { return }
            guard !self.core.value.reopen() else {
                self.finishUpkeep()
                return
            }
            self.scheduleReopen(afterMilliseconds: min(delay * 2, EmbeddedLimits.reopenDelayMillisecondsMax))
        }
    }
}
