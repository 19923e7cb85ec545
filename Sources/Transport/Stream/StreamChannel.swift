internal import CLinux

/// A connected, or connecting, stream socket, for subclassing. Used on the worker's queue only.
///
/// Input is read into a buffer that all channels of the worker share, and only what the subclass does not consume is
/// kept; output waits in pooled blocks. So an idle connection holds no buffer. The overrides are called by the
/// worker, never from within a call that the subclass makes (except `closed`, see there). An object serves one
/// connection: it can't be opened again.
open class StreamChannel: Channel {
    struct State: OptionSet {
        let rawValue: UInt16

        static let connecting = State(rawValue: 1 << 0)
        static let readPaused = State(rawValue: 1 << 1)
        /// The kernel may hold octets, an end or an error that no edge will report again.
        static let readReady = State(rawValue: 1 << 2)
        /// An end or an error was reported: a short read does not mean that nothing more will come.
        static let peerClosed = State(rawValue: 1 << 3)
        static let endRead = State(rawValue: 1 << 4)
        static let endDelivered = State(rawValue: 1 << 5)
        /// Kept octets are to be offered again.
        static let offersKept = State(rawValue: 1 << 6)
        static let inQueue = State(rawValue: 1 << 7)
        static let dirty = State(rawValue: 1 << 8)
        /// The kernel took no more; an edge will follow.
        static let writeBlocked = State(rawValue: 1 << 9)
        static let owesDrainNotice = State(rawValue: 1 << 10)
        static let closesAfterFlush = State(rawValue: 1 << 11)
        static let shutsDownAfterFlush = State(rawValue: 1 << 12)
        static let connectNoticeDue = State(rawValue: 1 << 13)
        static let writeShutDown = State(rawValue: 1 << 14)
        static let inHandshakeQueue = State(rawValue: 1 << 15)
    }

    /// The other side: for a connection that was made, the address it was made to.
    package final private(set) var peerAddress = SocketAddress.unknown
    /// Octets that the kernel has accepted.
    @exclusivity(unchecked) package final internal(set) var octetsWritten: UInt64 = 0
    /// Octets that the kernel has given.
    @exclusivity(unchecked) package final internal(set) var octetsRead: UInt64 = 0
    @exclusivity(unchecked) final var state: State = []
    /// Octets offered and not consumed.
    @exclusivity(unchecked) final var kept: [UInt8] = []
    @exclusivity(unchecked) final var output = OutputQueue()
    final var writeError: Errno?
    @exclusivity(unchecked) final var tls: TLSSession?
    @exclusivity(unchecked) final var payloadOctetsEncrypted: UInt64 = 0

    package override init(worker: Worker) {
        super.init(worker: worker)
    }

    // MARK: overrides

    /// Input, beginning with what was not consumed before. Gives the number of octets consumed; the rest is offered
    /// again with what follows, or after `resumeReading`. At least 64 KiB may stay unconsumed; a channel that keeps
    /// more reads nothing until `resumeReading`. The span is valid during the call only.
    open func received(_ octets: Span<UInt8>) -> Int { octets.count }

    /// The peer will send nothing more; everything it sent was offered (see `unconsumedBytes`). Called once.
    open func receivedEnd() {}

    /// The connection, or the attempt to connect, has failed; the channel is closed right after this call.
    open func failed(_ error: Errno) {}

    /// The kernel has taken all output, after it could not at first or after `requestDrainNotice`.
    open func outputDrained() {}

    /// The connection that `connect(to:)` began is made; with TLS, its handshake is complete.
    open func connected() {}

    /// The handshake that `startTLS` began is complete; nothing was offered to `received` before.
    open func secured() {}

    /// The channel was marked dirty, and its output goes to the kernel after this call: the last chance to write some.
    /// Not called while the kernel takes nothing (see `outputDrained`), nor during a handshake.
    open func willFlush() {}

    /// The peer closed or reset the connection while reading is paused. What it sent before is still there to be read.
    open func peerClosedWhilePaused() {}

    // MARK: opening

    /// Serves an accepted socket, which must be non-blocking; it is owned by the channel from here on, and closed on
    /// an error.
    package final func adopt(descriptor: Int32, peer: SocketAddress) throws(Errno) {
        if peer.isIP { _ = cl_nodelay(descriptor) }
        peerAddress = peer
        do throws(Errno) {
            try register(descriptor, interest: .streamInterest)
        } catch {
            _ = cl_close(descriptor)
            throw error
        }
    }

    /// Begins to connect; `connected` or `failed` follows. Throws what the kernel says at once (for UNIX sockets that
    /// is everything). What is written meanwhile is sent after the connection is made.
    /// - Parameter serverName: with TLS, the DNS name or the address that the server's certificate must have, and for
    ///   a name what the server is asked for (SNI). Without one `Errno.invalidArgument` is thrown, unless verification
    ///   is off.
    package final func connect(
        to address: SocketAddress, tls context: TLSClientContext? = nil, serverName: String = ""
    ) throws(Errno) {
        if let context {
            tls = TLSSession(
                client: context.generation, serverName: serverName, worker: worker.index, workspace: worker.tls)
            guard tls != nil else { throw .invalidArgument }
        }
        let descriptor = Int32(try check(cl_socket(address.family)))
        do throws(Errno) {
            if address.isIP { _ = cl_nodelay(descriptor) }
            let result = address.withSocketAddress { cl_connect(descriptor, $0, $1) }
            // An interrupted connect goes on in the kernel like one in progress.
            guard result >= 0 || -result == EINPROGRESS || -result == EINTR else { throw Errno(result: result) }
            peerAddress = address
            // Registered after connect(): before it the kernel reports a hang-up.
            try register(descriptor, interest: .streamInterest)
            state.insert(.connecting)
            if result >= 0 { state.insert(.connectNoticeDue) }
        } catch {
            _ = cl_close(descriptor)
            throw error
        }
        if state.contains(.connectNoticeDue) { enqueue() }
    }

    /// `connected` is still to come.
    package final var isConnecting: Bool { state.contains(.connecting) || isHandshaking && tls?.isClient == true }

    // MARK: reading

    package final var isReadingPaused: Bool { state.contains(.readPaused) }

    /// Octets that were offered and not consumed.
    package final var unconsumedBytes: Int { kept.count }

    /// Whether the kernel has reported that the peer sends nothing more, or an error; there may be input before that.
    package final var isPeerClosed: Bool { state.contains(.peerClosed) }

    /// No `received` or `receivedEnd` from here on. Inside `received`: what it does not consume is kept.
    package final func pauseReading() {
        state.insert(.readPaused)
    }

    /// Offers what was kept, if any, then reads on: at the end of the batch, never inside this call.
    package final func resumeReading() {
        state.remove(.readPaused)
        guard isOpen, !state.contains(.closesAfterFlush) else { return }
        if !kept.isEmpty { state.insert(.offersKept) }
        if !state.isDisjoint(with: [.offersKept, .readReady, .endRead]) || tls?.unread.isEmpty == false { enqueue() }
    }

    /// Whether the connection is idle and whole: nothing to read, no end, no error. For a pooled connection before use.
    package final func peekIsAlive() -> Bool {
        guard isOpen, kept.isEmpty, state.isDisjoint(with: [.endRead, .peerClosed]), writeError == nil else {
            return false
        }
        if let tls { return peekIsAlive(tls) }
        return -cl_peek(descriptor) == EAGAIN
    }

    /// Whether octets of the peer wait, in the kernel or here.
    package final var hasUnreadInput: Bool { isOpen && (!kept.isEmpty || cl_peek(descriptor) > 0) }

    /// Whether a connection in use is whole as far as the kernel knows: no end, no error, also behind what is not read
    /// yet. For one that is shared, before it is given what must not be lost.
    package final func peekIsWhole() -> Bool {
        guard isOpen, state.isDisjoint(with: [.endRead, .peerClosed]), writeError == nil else { return false }
        if let tls, tls.isEndReceived || tls.failure != nil { return false }
        return cl_poll_end(descriptor) == 0
    }

    // MARK: writing

    /// Octets that wait for the kernel; with TLS, those still to be encrypted and those that are.
    package final var queuedOutputBytes: Int { output.count + (tls?.backlog.count ?? 0) }

    /// Octets of what was written to the channel that the kernel has accepted; with TLS, that are encrypted, and so
    /// are with the kernel or next in line.
    package final var payloadOctetsWritten: UInt64 { tls == nil ? octetsWritten : payloadOctetsEncrypted }

    /// The same with what still waits to be encrypted or sent. It never falls while the channel is open.
    package final var payloadOctetsGiven: UInt64 { payloadOctetsWritten &+ UInt64(output.count) }

    package final var hasWrittenPayload: Bool { payloadOctetsWritten > 0 }

    /// Octets that the kernel has, and the peer has not acknowledged; 0 when it can't say.
    package final var unacknowledgedBytes: Int { isOpen ? max(0, cl_unacknowledged(descriptor)) : 0 }

    /// Queues a copy; sent at the end of the batch. Ignored on a closed channel, and after `closeAfterFlush` or
    /// `shutdownWrite`.
    package final func write(_ octets: Span<UInt8>) {
        octets.withUnsafeBytes { write(raw: $0) }
    }

    /// Queues a copy; as `write(_:)`.
    package final func write(contentsOf array: [UInt8]) {
        array.withUnsafeBytes { write(raw: $0) }
    }

    /// Queues a part of the array by reference, without a copy, until it is sent; a small part is copied.
    package final func write(shared array: [UInt8], _ range: Range<Int>) {
        guard range.count >= 4096 else { return array.withUnsafeBytes { write(raw: .init(rebasing: $0[range])) } }
        guard acceptsOutput else { return }
        output.append(shared: array, range: range)
        markDirty()
    }

    /// Sees that the channel is flushed at the end of the batch.
    package final func markDirty() {
        guard state.isDisjoint(with: [.dirty, .writeBlocked, .connecting]), isOpen else { return }
        state.insert(.dirty)
        worker.markDirty(datum)
    }

    /// Hands output to the kernel at once. What follows from it (`outputDrained`, `failed`) comes later in the batch.
    package final func flush() {
        guard isOpen, state.isDisjoint(with: [.connecting, .writeBlocked]) else { return }
        send()
        if hasSentAll || writeError != nil { markDirtyForNotice() }
    }

    /// Asks for `outputDrained` when all output, even if there is none, is with the kernel.
    package final func requestDrainNotice() {
        state.insert(.owesDrainNotice)
        markDirty()
    }

    // MARK: closing

    /// Reads nothing more, sends what is queued, and closes. `deadline` stays in force: a peer that does not read is
    /// the subclass's.
    package final func closeAfterFlush() {
        guard isOpen else { return }
        state.formUnion([.closesAfterFlush, .readPaused])
        markDirty()
    }

    /// Sends what is queued, then FIN, with TLS close_notify before it; goes on reading.
    package final func shutdownWrite() {
        guard isOpen else { return }
        state.insert(.shutsDownAfterFlush)
        markDirty()
    }

    /// Closes at once; output not yet with the kernel is lost. With TLS nothing tells the peer that the end is meant.
    package final func closeNow() {
        close()
    }

    /// Closes at once with RST; what the peer has not received is lost.
    package final func reset() {
        guard isOpen else { return }
        _ = cl_linger_reset(descriptor)
        close()
    }

    // MARK: events

    public final override func ready(_ events: ReadyEvents) {
        if state.contains(.connecting) { return connectProgressed(events) }
        if !events.isDisjoint(with: [.readable, .peerClosed, .hangUp, .error]) {
            state.insert(.readReady)
            // Before output: a peer that answered and then reset the connection is heard first.
            if !events.isDisjoint(with: [.peerClosed, .hangUp, .error]) { peerCloses(events) }
            readWhileReady()
        }
        if events.contains(.writable), state.contains(.writeBlocked), isOpen {
            state.remove(.writeBlocked)
            send()
            settleOutput()
        }
    }

    override final func requeuedTurn() {
        state.remove(.inQueue)
        if state.contains(.connectNoticeDue) {
            state.remove(.connectNoticeDue)
            return connectionMade()
        }
        readWhileReady()
        if isOpen, let writeError { fail(writeError) }
    }

    override final func handshakeTurn() {
        state.remove(.inHandshakeQueue)
        readWhileReady(isHandshakeTurn: true)
    }

    override final func flushTurn() {
        if !isHandshaking { willFlush() }
        guard isOpen else { return }
        state.remove(.dirty)
        if !output.isEmpty { worker.notePayload() }
        if !state.contains(.writeBlocked) { send() }
        settleOutput()
    }

    override final func discard() {
        output.removeAll(pool: worker.blocks)
        kept = []
        guard let tls else { return }
        if isServerHandshaking { worker.handshakeEnded(isComplete: false) }
        tls.backlog.removeAll(pool: worker.blocks)
        tls.close()
    }

    final func fail(_ error: Errno) {
        guard isOpen else { return }
        failed(error)
        close()
    }

    final func enqueue(isUnfinished: Bool = false) {
        guard !state.contains(.inQueue), isOpen else { return }
        state.insert(.inQueue)
        worker.requeue(datum, isUnfinished: isUnfinished)
    }

    private func connectProgressed(_ events: ReadyEvents) {
        guard !events.isDisjoint(with: [.writable, .error, .hangUp]), !state.contains(.connectNoticeDue) else {
            // The edge is seen here only: what it told is looked at when `connected` was called.
            noteInput(events)
            return
        }
        let result = cl_socket_error(descriptor)
        guard result == 0 else { return fail(Errno(Int32(truncatingIfNeeded: abs(result)))) }
        noteInput(events)
        connectionMade()
    }

    private func noteInput(_ events: ReadyEvents) {
        if !events.isDisjoint(with: [.readable, .peerClosed, .hangUp, .error]) { state.insert(.readReady) }
        if !events.isDisjoint(with: [.peerClosed, .hangUp, .error]) { state.insert(.peerClosed) }
    }

    private func connectionMade() {
        state.remove(.connecting)
        if let tls {
            tls.begin()
            transmit(tls)
            if tls.failure != nil { return fail(.protocolError) }
        } else {
            connected()
            guard isOpen else { return }
        }
        if owesOutput { markDirty() }
        readWhileReady()
    }
}
