package import Dispatch
internal import CLinux

/// One event loop: a serial queue, an epoll set, and one permanent Dispatch source on that set.
///
/// The source's handler takes batches of ready sockets, and waits for more itself until nothing has come for a while,
/// before it gives the queue back; so nothing passes through libdispatch unless the worker is idle. A batch is: posted
/// work, events, deadlines, resumed and unfinished readers, batch-end hooks, one flush of each channel that has output,
/// release of closed channels; then a share for newcomers, and hooks and flushes for what came of that.
///
/// Sendable holds because everything except `post`, `performAndWait`, `start` and `stop` is used on `queue` only.
package final class Worker: @unchecked Sendable {
    package let index: Int
    package let limits: TransportLimits
    package let queue: DispatchQueue
    /// Time of the batch, read once when its events were taken.
    @exclusivity(unchecked) package private(set) var now = Instant.current()
    /// Milliseconds since the UNIX epoch, read with `now`. Precise to a few milliseconds.
    @exclusivity(unchecked) package private(set) var wallMilliseconds = cl_wall_milliseconds()
    package let timers: TimerWheel
    package let blocks: BlockPool
    /// For serialisers: empty it, fill it, write it, within one callback.
    @exclusivity(unchecked) package var scratch: [UInt8] = []

    /// Input lands here: room for what a channel kept, then for one read, and for the record that a read completes.
    let inputScratch: UnsafeMutablePointer<UInt8>
    let inputScratchBytes: Int
    let pieces: UnsafeMutablePointer<iovec>
    /// Made with the first connection that has TLS.
    private(set) lazy var tls = TLSWorkspace(readBytes: limits.readBytes, pool: blocks)
    @exclusivity(unchecked) private var poller: Poller
    private let wakeDescriptor: Int32
    private let mailbox = Mailbox()
    @exclusivity(unchecked) private var mail: [Mailbox.Work] = []
    @exclusivity(unchecked) private var slab: ChannelSlab
    @exclusivity(unchecked) private var requeued: [UInt64] = []
    @exclusivity(unchecked) private var requeuedNow: [UInt64] = []
    @exclusivity(unchecked) private var unfinished: [UInt64] = []
    @exclusivity(unchecked) private var dirty: [UInt64] = []
    @exclusivity(unchecked) private var dirtyNow: [UInt64] = []
    @exclusivity(unchecked) private var newcomers = Newcomers()
    /// Of the last batch that had something to send to somebody who is connected.
    @exclusivity(unchecked) private var lastPayload = Instant(nanoseconds: 0)
    private var hooks: [() -> Void] = []
    private var actions: [Int32: ScheduledAction] = [:]
    private var lastActionSerial: UInt64 = 0
    private var source: (any DispatchSourceRead)?
    private var isStopped = false
    /// Somebody waits for the queue (`performAndWait`).
    private var isQueueWanted = false
    /// The flushes of the last batch may have left work for the hooks.
    private var owesBatch = false
    /// Batches run since the start.
    @exclusivity(unchecked) package private(set) var batches: UInt64 = 0

    /// A closure waiting for its time; cancelled by this value.
    package struct TimerID: Sendable, Hashable {
        fileprivate let entry: Int32
        fileprivate let serial: UInt64
    }

    private struct ScheduledAction {
        let serial: UInt64
        let run: () -> Void
    }

    package init(index: Int, limits: TransportLimits = TransportLimits()) throws(Errno) {
        self.index = index
        self.limits = limits
        let poller = try Poller(eventsMax: limits.eventsPerBatch)
        wakeDescriptor = poller.wakeUp
        self.poller = poller
        queue = DispatchQueue(label: "worker-\(index)")
        timers = TimerWheel(start: .current())
        blocks = BlockPool(blockBytes: limits.blockBytes, keptMax: limits.blocksKeptMax)
        slab = ChannelSlab(countMax: limits.channelsMax)
        inputScratchBytes = 2 * limits.readBytes + TLSWorkspace.recordMax
        inputScratch = .allocate(capacity: inputScratchBytes)
        pieces = .allocate(capacity: limits.piecesPerSend)
    }

    deinit {
        inputScratch.deallocate()
        pieces.deallocate()
    }

    /// Begins to serve. What was posted before runs then. Once.
    package func start() {
        queue.sync {
            precondition(source == nil, "started twice")
            let source = DispatchSource.makeReadSource(fileDescriptor: poller.set, queue: queue)
            source.setEventHandler { [self] in run() }
            self.source = source
            source.activate()
        }
    }

    /// Closes every channel and ends the loop. Work posted later never runs. Blocks; not on a worker.
    package func stop() {
        let done = DispatchSemaphore(value: 0)
        mailbox.askForQueue()
        wake()
        queue.sync {
            mailbox.gotQueue()
            guard let source, !isStopped else {
                done.signal()
                return
            }
            isStopped = true
            for channel in slab.all() { channel.close() }
            slab.releaseRemoved()
            hooks = []
            actions = [:]
            // The source holds the worker, and with it the epoll descriptor, until it is cancelled.
            source.setCancelHandler { done.signal() }
            source.cancel()
            self.source = nil
        }
        done.wait()
    }

    /// Runs work on the worker's queue, in the order of the posts of each thread. Any thread; never blocks. Work
    /// posted from the worker itself runs in its next batch.
    package nonisolated func post(_ work: @escaping @Sendable () -> Void) {
        if mailbox.append(work) { wake() }
    }

    /// Runs work on the worker's queue and waits for it: for start-up and shut-down, never from a worker.
    package func performAndWait<Value>(_ work: () throws -> Value) rethrows -> Value {
        mailbox.askForQueue()
        wake()
        defer { wake() }
        return try queue.sync {
            mailbox.gotQueue()
            refreshTime()
            return try work()
        }
    }

    /// Adds a closure that runs at the end of every batch, before output is flushed. For the life of the worker.
    package func onBatchEnd(_ hook: @escaping () -> Void) {
        assertOnQueue()
        hooks.append(hook)
    }

    /// Runs a closure once, at `instant` or up to a tick (8.4 ms) later.
    @discardableResult
    package func schedule(at instant: Instant, _ action: @escaping () -> Void) -> TimerID {
        assertOnQueue()
        lastActionSerial += 1
        let entry = timers.insert { Self.actionDatum | UInt64(UInt32(bitPattern: $0)) }
        actions[entry] = ScheduledAction(serial: lastActionSerial, run: action)
        timers.set(entry, deadline: instant)
        return TimerID(entry: entry, serial: lastActionSerial)
    }

    /// A timer that ran or was cancelled already is ignored.
    package func cancel(_ timer: TimerID) {
        assertOnQueue()
        guard actions[timer.entry]?.serial == timer.serial else { return }
        actions[timer.entry] = nil
        timers.remove(timer.entry)
    }

    /// Channels registered: connections and listeners.
    package var channelCount: Int { slab.count }

    package func assertOnQueue() {
        dispatchPrecondition(condition: .onQueue(queue))
    }

    /// For paths that run many times in a batch.
    @inline(__always)
    func debugAssertOnQueue() {
        #if DEBUG
            assertOnQueue()
        #endif
    }

    // MARK: the loop

    private func run() {
        refreshTime()
        let turn = now.adding(milliseconds: limits.queueHoldMilliseconds)
        while !isStopped {
            let patience = !hasWork && mailbox.prepareToSleep() ? patienceMilliseconds : 0
            let count = poller.wait(milliseconds: patience)
            batch(count)
            let isIdle = count == 0 && patience == limits.idlePollMilliseconds && !hasWork
            guard isIdle || isQueueWanted || now >= turn || isStopped else { continue }
            if isIdle || now >= turn { blocks.trim() }
            poller.armTimer(timers.nextCheck())
            if hasWork || newcomers.due != .never || isStopped { return wake() }
            // From here on posts wake the set, and with it the source.
            if mailbox.prepareToSleep() { return }
        }
    }

    /// How long nothing needs to be looked at, within bounds. The timer is not armed for it: that costs a call.
    private var patienceMilliseconds: Int32 {
        let check = Swift.min(timers.nextCheck(), newcomers.due)
        guard check != .never else { return limits.idlePollMilliseconds }
        let milliseconds = (check.nanoseconds(since: now) + 999_999) / 1_000_000
        return min(limits.idlePollMilliseconds, Int32(clamping: milliseconds))
    }

    private func wake() {
        Transport.wake(eventDescriptor: wakeDescriptor)
    }

    private var hasWork: Bool {
        !requeued.isEmpty || !unfinished.isEmpty || !dirty.isEmpty || owesBatch
    }

    private func refreshTime() {
        now = .current()
        wallMilliseconds = cl_wall_milliseconds()
    }

    private func batch(_ count: Int) {
        batches &+= 1
        refreshTime()
        isQueueWanted = mailbox.take(into: &mail)
        if !mail.isEmpty {
            for work in mail { work() }
            mail.removeAll(keepingCapacity: mail.capacity <= 4096)
        }
        for i in 0..<count { deliver(poller[i]) }
        expireTimers()
        runRequeued()
        finish()
        if serveNewcomers() { finish() }
    }

    /// Hooks, output, and the release of what was closed.
    private func finish() {
        for hook in hooks { hook() }
        // A flush may call back (drained, failed), and that may make output and work for the hooks again.
        owesBatch = false
        for _ in 0..<4 {
            guard flushDirty() else { return slab.releaseRemoved() }
            for hook in hooks { hook() }
        }
        owesBatch = true
        slab.releaseRemoved()
    }

    @inline(__always)
    private func deliver(_ event: (datum: UInt64, flags: ReadyEvents)) {
        if let channel = slab.channel(event.datum) {
            channel._withUnsafeGuaranteedRef { $0.ready(event.flags) }
        } else if event.datum == Poller.timerDatum {
            poller.timerFired()
        }
    }

    private func expireTimers() {
        timers.advance(to: now)
        while let datum = timers.popExpired(now) {
            if datum & Self.actionDatum != 0 {
                let entry = Int32(bitPattern: UInt32(truncatingIfNeeded: datum))
                guard let action = actions.removeValue(forKey: entry) else { continue }
                timers.remove(entry)
                action.run()
            } else if let channel = slab.channel(datum) {
                channel._withUnsafeGuaranteedRef { $0.expire() }
            }
        }
    }

    private func runRequeued() {
        if !requeued.isEmpty {
            swap(&requeued, &requeuedNow)
            for datum in requeuedNow {
                if let channel = slab.channel(datum) { channel._withUnsafeGuaranteedRef { $0.requeuedTurn() } }
            }
            requeuedNow.removeAll(keepingCapacity: true)
        }
        if !unfinished.isEmpty {
            requeued.append(contentsOf: unfinished)
            unfinished.removeAll(keepingCapacity: true)
        }
    }

    /// Whether anybody had a turn.
    private func serveNewcomers() -> Bool {
        guard newcomers.due <= now else { return false }
        accept(withTLS: false)
        guard newcomers.isTLSDue(now) else { return true }
        let start = Instant.current()
        let end = start.adding(nanoseconds: limits.handshakeMicrosecondsPerBatch * 1000)
        var time = start
        while time < end, let datum = newcomers.takeHandshake() {
            if let channel = slab.channel(datum) { channel._withUnsafeGuaranteedRef { $0.handshakeTurn() } }
            time = .current()
        }
        accept(withTLS: true)
        newcomers.tlsServed(
            from: start, to: .current(),
            besideOthers: now < lastPayload.adding(milliseconds: limits.trafficMilliseconds))
        return true
    }

    private func accept(withTLS: Bool) {
        for datum in newcomers.takeListeners(withTLS: withTLS) {
            if let channel = slab.channel(datum) { channel._withUnsafeGuaranteedRef { $0.acceptTurn() } }
        }
    }

    /// Whether any channel was flushed.
    private func flushDirty() -> Bool {
        guard !dirty.isEmpty else { return false }
        swap(&dirty, &dirtyNow)
        for datum in dirtyNow {
            if let channel = slab.channel(datum) { channel._withUnsafeGuaranteedRef { $0.flushTurn() } }
        }
        dirtyNow.removeAll(keepingCapacity: true)
        return true
    }

    // MARK: for channels

    /// Marks data of `schedule` in the wheel; a generation in a channel's datum never has this bit (see
    /// `Channel.datum`).
    private static let actionDatum = UInt64(1) << 63

    func insert(_ channel: Channel) throws(Errno) -> UInt64 {
        guard let (index, generation) = slab.insert(channel) else { throw Errno.tooManyDescriptors }
        return UInt64(index) | UInt64(generation) << 32
    }

    func add(_ descriptor: Int32, _ interest: ReadyEvents, datum: UInt64) throws(Errno) {
        try poller.add(descriptor, interest, datum: datum)
    }

    func removeFromPoller(_ descriptor: Int32) {
        poller.remove(descriptor)
    }

    func remove(datum: UInt64) {
        slab.remove(index: UInt32(truncatingIfNeeded: datum))
    }

    /// Gives a channel a turn at the end of this batch; at that of the next one when it had its share of this.
    func requeue(_ datum: UInt64, isUnfinished: Bool = false) {
        debugAssertOnQueue()
        if isUnfinished { unfinished.append(datum) } else { requeued.append(datum) }
    }

    /// Gives a listener a turn after everybody who is connected.
    func queueAccept(_ datum: UInt64, withTLS: Bool) {
        debugAssertOnQueue()
        newcomers.add(listener: datum, withTLS: withTLS)
    }

    /// Gives a channel a turn for its handshake when those before it have had theirs.
    func queueHandshake(_ datum: UInt64) {
        debugAssertOnQueue()
        newcomers.add(handshake: datum)
    }

    func handshakeEnded(isComplete: Bool) {
        newcomers.handshakeEnded(isComplete: isComplete)
    }

    var hasManyHandshakes: Bool { newcomers.handshakeCount >= limits.handshakesQueuedMax }

    /// What is flushed now is not a handshake: there are others than newcomers to be served.
    @inline(__always)
    func notePayload() { lastPayload = now }

    func markDirty(_ datum: UInt64) {
        debugAssertOnQueue()
        dirty.append(datum)
    }
}
