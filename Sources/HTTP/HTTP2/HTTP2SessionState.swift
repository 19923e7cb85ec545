/// What a session knows of its streams, and what the C library has told, for the driver to act on once the library has
/// returned.
///
/// Most methods are called from within the library's callbacks. They only record: events for the caller, and what is to
/// be done afterwards.
struct HTTP2SessionState {
    let role: HTTP2Session.Role
    let limits: HTTP2Limits

    var table = HTTP2StreamTable()
    var events: [HTTP2Event] = []
    /// Heads and trailers that events point to; their buffers are reused.
    var requestHeads: [RequestHead] = []
    var responseHeads: [ResponseHead] = []
    var trailerSections: [FieldSection] = []
    private var requestHeadsUsed = 0
    private var responseHeadsUsed = 0
    private var trailerSectionsUsed = 0

    private var block = HeaderBlock()
    private var requestInProgress = RequestHead()
    private var responseInProgress = ResponseHead()
    private var trailersInProgress = FieldSection()

    var meter: FrameMeter
    /// As given with the last octets.
    var now: UInt64 = 0
    /// Where the octets being received begin, and how many before them the caller gave.
    var inputStart: UInt = 0
    var inputOffset = 0

    /// DATA of streams that are gone or discarded, to be given back to the connection's window.
    var connectionCredit = 0
    var pendingResets: [(stream: HTTP2StreamID, code: HTTP2ErrorCode)] = []
    /// Streams whose DATA is all sent and whose trailers are not.
    var pendingTrailers: [HTTP2StreamID] = []
    /// Why the connection must end, found while frames were sent.
    var failure: HTTP2Error?

    var output: [UInt8] = []
    var outputLimit = 0
    /// The library returned because enough was written, not because nothing is left.
    var isPaused = false

    private(set) var goAwaySent: HTTP2ErrorCode?
    private(set) var goAwayReceived: HTTP2StreamID?
    private(set) var hasPeerSettings = false
    private(set) var areSettingsAcknowledged = false
    /// The first SETTINGS say what the session allows (see `HTTP2Limits.streamsFence`). A client's allow no streams.
    var hasAnnouncedLimit: Bool

    init(role: HTTP2Session.Role, limits: HTTP2Limits) {
        self.role = role
        self.limits = limits
        meter = FrameMeter(role: role, limits: limits)
        hasAnnouncedLimit = role == .client
    }

    mutating func clearEvents() {
        events.removeAll(keepingCapacity: true)
        requestHeadsUsed = 0
        responseHeadsUsed = 0
        trailerSectionsUsed = 0
        if table.count == 0 { trim() }
    }

    /// Without streams: gives up what was needed for many at a time, or for large heads. Costs next to nothing when
    /// there were few and small ones.
    private mutating func trim() {
        table.trim()
        if requestHeads.count > 1 { requestHeads = [] }
        if responseHeads.count > 1 { responseHeads = [] }
        if trailerSections.count > 1 { trailerSections = [] }
        if events.capacity > Self.eventsKept { events = [] }
        for index in requestHeads.indices { requestHeads[index].fields.giveUpBuffers(above: Self.headBytesKept) }
        for index in responseHeads.indices { responseHeads[index].fields.giveUpBuffers(above: Self.headBytesKept) }
        for index in trailerSections.indices { trailerSections[index].giveUpBuffers(above: Self.headBytesKept) }
        requestInProgress.fields.giveUpBuffers(above: Self.headBytesKept)
        responseInProgress.fields.giveUpBuffers(above: Self.headBytesKept)
        trailersInProgress.giveUpBuffers(above: Self.headBytesKept)
        block.giveUpBuffers(above: Self.headBytesKept)
    }

    private static let eventsKept = 32
    static let headBytesKept = 4 << 10

    // MARK: Heads

    mutating func headersBegan(_ id: HTTP2StreamID, isRequest: Bool) {
        if isRequest {
            if table.slot(of: id) == nil {
                let isTooMany = table.count >= Int(limits.streamsMax)
                let slot = table.insert(id)
                table.slots[slot].isDiscarding = isTooMany
            }
            requestInProgress.reset()
            block.begin(.request, limits: limits)
            return
        }
        guard let slot = table.slot(of: id) else { return block.begin(.trailers, limits: limits) }
        if role == .client, !table.slots[slot].hasFinalHead {
            responseInProgress.reset()
            block.begin(.response, limits: limits)
        } else {
            trailersInProgress.reset()
            block.begin(.trailers, limits: limits)
        }
    }

    mutating func fieldReceived(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        switch block.kind {
        case .request: block.read(name, value, into: &requestInProgress)
        case .response: block.read(name, value, into: &responseInProgress)
        case .trailers: block.read(name, value, into: &trailersInProgress)
        }
    }

    mutating func headersReceived(_ id: HTTP2StreamID, ends: Bool) {
        guard let slot = table.slot(of: id) else { return }
        if ends { table.slots[slot].hasRemoteEnded = true }
        switch block.kind {
        case .request: requestReceived(slot, ends: ends)
        case .response: responseReceived(slot, ends: ends)
        case .trailers: trailersReceived(slot)
        }
    }

    private mutating func requestReceived(_ slot: Int, ends: Bool) {
        block.finish(&requestInProgress, ends: ends)
        let id = table.slots[slot].id
        // RFC 9113 §5.1.2: one stream too many. Its head had to be read for the sake of the table.
        guard !table.slots[slot].isDiscarding else { return pendingResets.append((id, .refusedStream)) }
        if let fault = block.fault { return fail(slot, fault) }
        meter.headReceived()
        table.slots[slot].isAnnounced = true
        table.slots[slot].hasPriority = block.hasPriority
        if requestHeadsUsed == requestHeads.count { requestHeads.append(RequestHead()) }
        swap(&requestHeads[requestHeadsUsed], &requestInProgress)
        events.append(.request(id, head: requestHeadsUsed, ends: ends))
        requestHeadsUsed += 1
    }

    private mutating func responseReceived(_ slot: Int, ends: Bool) {
        let isHead = table.slots[slot].isHead
        block.finish(&responseInProgress, isAnswerToHead: isHead, ends: ends)
        if !responseInProgress.isInformational {
            table.slots[slot].hasFinalHead = true
            meter.headReceived()
        }
        if let fault = block.fault { return fail(slot, fault) }
        guard table.slots[slot].isAnnounced else { return }
        if responseHeadsUsed == responseHeads.count { responseHeads.append(ResponseHead()) }
        swap(&responseHeads[responseHeadsUsed], &responseInProgress)
        events.append(.response(table.slots[slot].id, head: responseHeadsUsed, ends: ends))
        responseHeadsUsed += 1
    }

    private mutating func trailersReceived(_ slot: Int) {
        if let fault = block.fault { return fail(slot, fault) }
        guard table.slots[slot].isAnnounced, !table.slots[slot].isDiscarding else { return }
        let id = table.slots[slot].id
        guard !trailersInProgress.lines.isEmpty else { return events.append(.ended(id, trailers: nil)) }
        if trailerSectionsUsed == trailerSections.count { trailerSections.append(FieldSection()) }
        swap(&trailerSections[trailerSectionsUsed], &trailersInProgress)
        events.append(.ended(id, trailers: trailerSectionsUsed))
        trailerSectionsUsed += 1
    }

    /// Refuses a message: a server's caller may answer what is well-formed, all else resets the stream.
    private mutating func fail(_ slot: Int, _ fault: HeaderBlock.Fault) {
        let id = table.slots[slot].id
        // A stream that is discarded has its answer, or its reset, already.
        guard !table.slots[slot].isDiscarding else { return }
        table.slots[slot].isDiscarding = true
        switch fault {
        case .refused(let error):
            if role == .server {
                table.slots[slot].isAnnounced = true
                table.slots[slot].isDone = true
                events.append(.malformed(id, error))
            } else {
                if table.slots[slot].isAnnounced { events.append(.malformed(id, error)) }
                table.slots[slot].isAnnounced = false
                pendingResets.append((id, .cancel))
            }
        case .malformed:
            if table.slots[slot].isAnnounced { events.append(.reset(id, .protocolError, by: .session)) }
            table.slots[slot].isAnnounced = false
            pendingResets.append((id, .protocolError))
        }
    }

    // MARK: Bodies, ends

    mutating func dataReceived(_ id: HTTP2StreamID, _ range: Range<Int>) {
        guard let slot = table.slot(of: id), !table.slots[slot].isDiscarding else {
            // The connection's window opens again, the stream's does not: what is refused stays bounded.
            connectionCredit += range.count
            return
        }
        table.slots[slot].unreturned += range.count
        if table.slots[slot].isAnnounced { events.append(.data(id, range)) }
    }

    mutating func dataEnded(_ id: HTTP2StreamID) {
        guard let slot = table.slot(of: id) else { return }
        table.slots[slot].hasRemoteEnded = true
        if table.slots[slot].isAnnounced, !table.slots[slot].isDiscarding { events.append(.ended(id, trailers: nil)) }
    }

    mutating func resetReceived(_ id: HTTP2StreamID) {
        if let slot = table.slot(of: id) { table.slots[slot].isResetByPeer = true }
    }

    mutating func streamClosed(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        guard let slot = table.slot(of: id) else { return }
        connectionCredit += table.slots[slot].unreturned
        let isAnnounced = table.slots[slot].isAnnounced
        // A client's GOAWAY names streams of the server's, of which there are none.
        let isLeftOut = role == .client && goAwayReceived.map { id > $0 } ?? false
        let isByPeer = table.slots[slot].isResetByPeer || isLeftOut
        let isComplete = table.slots[slot].hasLocalEnded && table.slots[slot].isRemoteDone && code == .noError
        table.remove(slot)
        guard isAnnounced else { return }
        events.append(isComplete && !isByPeer ? .closed(id) : .reset(id, code, by: isByPeer ? .peer : .session))
    }

    mutating func goAwayArrived(lastStream: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        goAwayReceived = lastStream
        events.append(.goAway(lastStream: lastStream, code))
    }

    mutating func settingsReceived(isAcknowledgement: Bool) {
        if isAcknowledgement { areSettingsAcknowledged = true } else { hasPeerSettings = true }
    }

    mutating func frameWasInvalid() {
        if !meter.frameWasInvalid(now: now) { failure = failure ?? .tooManyGlitches }
    }

    // MARK: Sending

    enum NextData {
        case deferred
        case octets(Int, isLast: Bool, endsStream: Bool)
    }

    /// What the next DATA frame of a stream can hold.
    mutating func nextData(_ id: HTTP2StreamID, max: Int) -> NextData {
        guard let slot = table.slot(of: id) else { return .deferred }
        let queued = table.slots[slot].outbound.count
        guard queued <= max else { return .octets(max, isLast: false, endsStream: false) }
        switch table.slots[slot].ending {
        case .open:
            guard queued == 0 else { return .octets(queued, isLast: false, endsStream: false) }
            table.slots[slot].isDeferred = true
            return .deferred
        case .last: return .octets(queued, isLast: true, endsStream: true)
        case .trailers:
            // The library sends no empty DATA that does not end the stream, and then `writeData` is not asked.
            if queued == 0 { pendingTrailers.append(id) }
            return .octets(queued, isLast: true, endsStream: false)
        case .submitted: return .deferred
        }
    }

    /// Writes a DATA frame that `nextData` has offered; its header is in `output` already.
    mutating func writeData(_ id: HTTP2StreamID, _ count: Int) {
        guard let slot = table.slot(of: id) else { return }
        table.slots[slot].outbound.take(count, into: &output)
        meter.dataSent(count)
        let left = table.slots[slot].outbound.count
        if table.slots[slot].isDrainDue, left <= limits.drainedBytes {
            table.slots[slot].isDrainDue = false
            if table.slots[slot].isAnnounced { events.append(.drained(id)) }
        }
        if left == 0, count > 0, case .trailers = table.slots[slot].ending { pendingTrailers.append(id) }
        if output.count >= outputLimit { isPaused = true }
    }

    /// HEADERS or DATA has gone out.
    mutating func messageFrameSent(_ id: HTTP2StreamID, isHead: Bool, ends: Bool) {
        guard let slot = table.slot(of: id) else { return }
        if isHead, role == .client { table.slots[slot].isHeadSent = true }
        guard ends else { return }
        table.slots[slot].hasLocalEnded = true
        // RFC 9113 §8.1: the answer is complete, what is left of the request is not wanted.
        if table.slots[slot].isDone, !table.slots[slot].hasRemoteEnded { pendingResets.append((id, .noError)) }
    }

    mutating func resetSent(_ id: HTTP2StreamID) {
        if let slot = table.slot(of: id), table.slots[slot].isResetByCaller || table.slots[slot].isDone { return }
        if !meter.resetSent(now: now) { failure = failure ?? .tooManyResets }
    }

    mutating func goAwayWasSent(_ code: HTTP2ErrorCode) {
        goAwaySent = code
    }

    /// A head could not be sent: the request because the connection takes no more, any because it is too large.
    mutating func headNotSent(_ id: HTTP2StreamID, isRequest: Bool) {
        guard let slot = table.slot(of: id) else { return }
        let stream = table.slots[slot]
        if isRequest {
            table.remove(slot)
        } else {
            table.slots[slot].isAnnounced = false
            table.slots[slot].isDiscarding = true
            table.slots[slot].isResetByCaller = true
            pendingResets.append((id, .internalError))
        }
        if stream.isAnnounced {
            events.append(.reset(id, isRequest ? .refusedStream : .internalError, by: .session))
        }
    }
}
