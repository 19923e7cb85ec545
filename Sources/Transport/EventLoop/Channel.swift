internal import CLinux

/// A descriptor registered with a worker, for subclassing. Used on the worker's queue only.
///
/// The worker holds a channel while it is registered. Overrides are called by the worker, and may close this channel
/// or any other: events that were meant for a closed one are dropped, and the object lives until the end of the batch
/// at least.
open class Channel {
    package final let worker: Worker
    /// -1 when not open.
    @exclusivity(unchecked) package final private(set) var descriptor: Int32 = -1
    /// Slab index, and generation in the upper half.
    @exclusivity(unchecked) final private(set) var datum: UInt64 = 0
    @exclusivity(unchecked) private final var timer: Int32 = -1
    @exclusivity(unchecked) private final var storedDeadline = Instant.never
    /// Whether other open descriptors may share the socket, so that closing this one does not end its registration.
    private final var isShared = false

    package init(worker: Worker) {
        self.worker = worker
    }

    // MARK: overrides

    /// The kernel reports a change of state (edge-triggered).
    open func ready(_ events: ReadyEvents) {}

    /// The deadline has passed; it is `.never` from then on.
    open func deadlinePassed() {}

    /// The descriptor was closed, by whatever cause. Called once, from within the call that closed it.
    open func closed() {}

    /// The channel asked for a turn at the end of the batch.
    func requeuedTurn() {}

    /// The listener may accept.
    func acceptTurn() {}

    /// The channel may go on with its handshake.
    func handshakeTurn() {}

    /// The channel is on the list of those with output.
    func flushTurn() {}

    // MARK: calls

    package final var isOpen: Bool { descriptor >= 0 }

    /// When `deadlinePassed` is called, or up to a tick (8.4 ms) later. Moving it later, or to `.never`, costs a store.
    package final var deadline: Instant {
        get { storedDeadline }
        set {
            storedDeadline = newValue
            if timer >= 0 {
                worker.timers.set(timer, deadline: newValue)
            } else if newValue != .never, isOpen {
                startTimer()
            }
        }
    }

    /// Gives the descriptor to the worker, which owns it from here on; on an error the caller still does.
    package final func register(
        _ descriptor: Int32, interest: ReadyEvents, isShared: Bool = false
    ) throws(Errno) {
        worker.assertOnQueue()
        precondition(!isOpen, "a channel has one descriptor")
        let datum = try worker.insert(self)
        do throws(Errno) {
            try worker.add(descriptor, interest, datum: datum)
        } catch {
            worker.remove(datum: datum)
            throw error
        }
        self.descriptor = descriptor
        self.datum = datum
        self.isShared = isShared
        if storedDeadline != .never { startTimer() }
    }

    /// Takes the descriptor back from the worker without closing it.
    package final func deregister() -> Int32 {
        precondition(isOpen, "not registered")
        let descriptor = self.descriptor
        worker.removeFromPoller(descriptor)
        leave()
        return descriptor
    }

    /// Closes the descriptor. Nothing happens when it is closed already.
    package final func close() {
        guard isOpen else { return }
        let descriptor = self.descriptor
        if isShared { worker.removeFromPoller(descriptor) }
        leave()
        _ = cl_close(descriptor)
        discard()
        closed()
    }

    /// Gives up what belongs to the descriptor.
    func discard() {}

    final func expire() {
        storedDeadline = .never
        deadlinePassed()
    }

    private func leave() {
        if timer >= 0 {
            worker.timers.remove(timer)
            timer = -1
        }
        storedDeadline = .never
        descriptor = -1
        worker.remove(datum: datum)
    }

    private func startTimer() {
        timer = worker.timers.insert(datum)
        worker.timers.set(timer, deadline: storedDeadline)
    }
}
