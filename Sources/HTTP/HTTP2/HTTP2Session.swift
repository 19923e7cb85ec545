/// One end of an HTTP/2 connection (RFC 9113): octets in, events out; calls in, octets out.
///
/// After `receive` and after `takeOutput` handle `events` and call `clearEvents`. Nothing is sent until `takeOutput`.
/// Streams that are not known any more are silently ignored by every call: their end may stand among the events that
/// the caller has not yet handled.
package final class HTTP2Session {
    package enum Role: Sendable {
        case server, client
    }

    package let limits: HTTP2Limits
    package let role: Role
    let box: HTTP2StateBox
    let library: Nghttp2Session
    /// Reused by every head that is sent.
    var head = OutboundHead()

    /// The GOAWAY that goes with `box.state.failure` is queued.
    private var isEnding = false

    /// How much is processed before the queues' limits are looked at.
    private static let sliceBytes = 16 << 10

    /// Queues SETTINGS, and the preface of a client.
    package convenience init(role: Role, limits: HTTP2Limits = HTTP2Limits()) throws(HTTP2Error) {
        try self.init(opening: role, limits)
        guard library.submitSettings(role, limits) else { throw .internalFailure }
    }

    /// A server's session after `Upgrade: h2c` (RFC 7540 §3.2): the request is stream 1, and has ended.
    ///
    /// `settingsField` is the value of HTTP2-Settings. The client's preface is still to come.
    package convenience init(
        upgradedWith settingsField: Span<UInt8>, isHead: Bool, limits: HTTP2Limits = HTTP2Limits()
    ) throws(HTTP2Error) {
        guard let settings = decodeBase64URL(settingsField) else { throw .invalidUpgradeSettings }
        try self.init(opening: .server, limits)
        guard library.upgrade(settings: settings, isHead: isHead) else { throw .invalidUpgradeSettings }
        box.state.beginUpgraded()
        guard library.submitSettings(.server, limits) else { throw .internalFailure }
    }

    private init(opening role: Role, _ limits: HTTP2Limits) throws(HTTP2Error) {
        let box = HTTP2StateBox(HTTP2SessionState(role: role, limits: limits))
        guard let library = Nghttp2Session(role, limits, box) else { throw .internalFailure }
        self.role = role
        self.limits = limits
        self.box = box
        self.library = library
    }

    // MARK: Octets in

    /// Processes all of the octets that arrived next, at `now` (nanoseconds of any clock that does not go back).
    ///
    /// Throws when the connection must end: take the output once more, send it and close.
    package func receive(_ octets: Span<UInt8>, now: UInt64) throws(HTTP2Error) {
        box.state.now = now
        var offset = 0
        while offset < octets.count {
            let slice = octets.extracting(offset..<min(octets.count, offset + Self.sliceBytes))
            box.state.inputOffset = offset
            try process(slice)
            offset += slice.count
        }
    }

    private func process(_ slice: Span<UInt8>) throws(HTTP2Error) {
        if let failure = box.state.failure { throw failure }
        do throws(HTTP2Error) {
            try box.state.meter.scan(slice, now: box.state.now)
        } catch {
            throw end(error)
        }
        switch library.receive(slice, box) {
        case .all: break
        case .prefaceExpected:
            box.state.failure = .prefaceExpected
            isEnding = true
            throw .prefaceExpected
        case .failed: throw end(.internalFailure)
        }
        settle()
        if let failure = box.state.failure { throw failure }
        if library.queuedFrames > limits.queuedFramesMax { throw end(.outputQueueTooLong) }
    }

    /// Queues the GOAWAY that goes with an error.
    private func end(_ error: HTTP2Error) -> HTTP2Error {
        box.state.failure = error
        isEnding = true
        library.terminate(error.code)
        return error
    }

    /// Does what the callbacks have found to be done; whether there was anything.
    @discardableResult
    func settle() -> Bool {
        var isChanged = false
        if !box.state.pendingResets.isEmpty {
            for reset in box.state.pendingResets { library.reset(reset.stream, reset.code) }
            box.state.pendingResets.removeAll(keepingCapacity: true)
            isChanged = true
        }
        if !box.state.pendingTrailers.isEmpty {
            for id in box.state.pendingTrailers {
                if let lines = box.state.takeTrailers(id) { submitTrailers(id, lines) }
            }
            box.state.pendingTrailers.removeAll(keepingCapacity: true)
            isChanged = true
        }
        if box.state.connectionCredit > 0 {
            library.consumeConnection(box.state.connectionCredit)
            box.state.connectionCredit = 0
            isChanged = true
        }
        if let failure = box.state.failure, !isEnding {
            _ = end(failure)
            isChanged = true
        }
        return isChanged
    }

    // MARK: Events

    /// What has been learnt since the last `clearEvents`, in order.
    package var events: [HTTP2Event] { box.state.events }

    /// Forgets events, and the heads and trailers that were not taken.
    package func clearEvents() {
        box.state.clearEvents()
        if activeStreams == 0 { head.giveUpBuffers(above: HTTP2SessionState.headBytesKept) }
    }

    /// Exchanges a request's head for a used one, whose buffers serve again.
    package func takeRequestHead(_ slot: Int, into head: inout RequestHead) {
        swap(&box.state.requestHeads[slot], &head)
    }

    package func takeResponseHead(_ slot: Int, into head: inout ResponseHead) {
        swap(&box.state.responseHeads[slot], &head)
    }

    package func takeTrailers(_ slot: Int, into trailers: inout FieldSection) {
        swap(&box.state.trailerSections[slot], &trailers)
    }

    // MARK: Octets out

    /// Appends frames to `output`, at least until `limit` octets are added or nothing is left, and at most one frame
    /// more; true when more waits.
    package func takeOutput(into output: inout [UInt8], limit: Int) throws(HTTP2Error) -> Bool {
        guard box.state.failure != .prefaceExpected else { return false }
        swap(&output, &box.state.output)
        defer { swap(&output, &box.state.output) }
        box.state.outputLimit = box.state.output.count + limit
        box.state.isPaused = false
        while box.state.output.count < box.state.outputLimit {
            switch library.write(box) {
            case .some: continue
            case .failed:
                box.state.failure = .internalFailure
                isEnding = true
                throw .internalFailure
            case .nothing: break
            }
            // What has been found while writing may give more to write.
            guard !box.state.isPaused, settle() else { break }
        }
        _ = settle()
        return library.wantsOutput
    }

    /// There are frames to be taken.
    package var wantsOutput: Bool { library.wantsOutput }

    /// Nothing more will be read or written: close once what was taken is sent.
    package var isFinished: Bool {
        box.state.failure == .prefaceExpected || box.state.failure == .internalFailure
            || !library.wantsInput && !library.wantsOutput
    }

    /// Why the session has given up, if it has.
    package var failure: HTTP2Error? { box.state.failure }

    /// The code of the last GOAWAY that was sent, also of those for errors of the peer.
    package var goAwaySent: HTTP2ErrorCode? { box.state.goAwaySent }

    /// The peer's SETTINGS have arrived: what it allows is known.
    package var hasPeerSettings: Bool { box.state.hasPeerSettings }

    /// The peer has acknowledged our SETTINGS.
    package var areSettingsAcknowledged: Bool { box.state.areSettingsAcknowledged }

    // MARK: Windows

    /// Gives received DATA back to the windows of its stream and of the connection.
    package func consumed(_ stream: HTTP2StreamID, _ count: Int) {
        let returned = box.state.giveBack(stream, count)
        if returned > 0 { library.consume(stream, returned) }
    }

    // MARK: The connection

    /// A head, or the client's preface, has begun to arrive and is not complete.
    package var isInsideHead: Bool { box.state.meter.isInsideHead }

    /// Streams that are not closed.
    package var activeStreams: Int { box.state.table.count }

    /// First step of a graceful end (RFC 9113 §6.8): a GOAWAY that refuses nothing yet.
    package func announceShutdown() { library.announceShutdown() }

    /// Second step, a round trip later: no stream is taken that has not been seen. The session is finished when those
    /// open have ended.
    package func finishShutdown() { library.finishShutdown() }

    /// Ends the connection with a GOAWAY of this code.
    package func terminate(_ code: HTTP2ErrorCode) { library.terminate(code) }
}
