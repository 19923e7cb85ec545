extension HTTP2Session {
    // MARK: Server

    /// Sends a 1xx head but 101. Lines are `Name: value CRLF`, here and below; names are lower-cased on the way, fields
    /// of one HTTP/1 connection left out.
    package func sendInterim(_ stream: HTTP2StreamID, status: UInt16, fieldLines: [UInt8]) {
        guard state.table.slot(of: stream) != nil else { return }
        check(library.submit(.interim(stream), library.response(status: status), fieldLines, []), stream)
    }

    /// Sends a final head: the two sets of lines one behind the other.
    package func sendResponse(
        _ stream: HTTP2StreamID, status: UInt16, fieldLines: [UInt8], more: [UInt8] = [], ends: Bool
    ) {
        guard let slot = state.table.slot(of: stream), !state.table.slots[slot].hasFinalHead else {
            return
        }
        state.table.slots[slot].hasFinalHead = true
        if ends { state.table.slots[slot].ending = .submitted }
        state.meter.dataSent(0)
        check(library.submit(.response(stream, ends: ends), library.response(status: status), fieldLines, more), stream)
    }

    // MARK: Client

    /// A request can be sent now: the peer takes streams, and there are ids left.
    package var canOpenStream: Bool {
        guard role == .client, state.failure == nil else { return false }
        let streamsMax = min(limits.streamsMax, library.peerStreamsMax)
        return activeStreams < streamsMax && library.allowsRequests
    }

    /// Sends a request, of parts that are valid; nil when no stream can be opened. An empty authority is left out.
    package func sendRequest(
        method: Span<UInt8>, scheme: Span<UInt8>, authority: Span<UInt8>, path: Span<UInt8>, fieldLines: [UInt8],
        more: [UInt8] = [], ends: Bool
    ) -> HTTP2StreamID? {
        guard canOpenStream else { return nil }
        let isHead = RequestHead.Method(method) == .head
        let pseudo = library.request(method: method, scheme: scheme, authority: authority, path: path)
        let result = library.submit(.request(ends: ends), pseudo, fieldLines, more)
        guard result > 0 else { return nil }
        let id = HTTP2StreamID(result)
        let slot = state.table.insert(id)
        state.table.slots[slot].isAnnounced = true
        state.table.slots[slot].isHead = isHead
        if ends { state.table.slots[slot].ending = .submitted }
        return id
    }

    // MARK: Both

    /// Queues a copy of the octets.
    package func sendData(_ stream: HTTP2StreamID, _ octets: Span<UInt8>) {
        guard let slot = slotForData(stream), octets.count > 0 else { return }
        state.table.slots[slot].outbound.append(octets)
        dataQueued(slot)
    }

    /// Queues a part of an array, which is held and not copied until it is put into frames.
    package func sendData(_ stream: HTTP2StreamID, shared: [UInt8], _ range: Range<Int>) {
        guard let slot = slotForData(stream), !range.isEmpty else { return }
        state.table.slots[slot].outbound.append(shared: shared, range)
        dataQueued(slot)
    }

    /// Ends our message: on the last DATA, or with trailers behind it.
    package func endStream(_ stream: HTTP2StreamID, trailerLines: [UInt8] = []) {
        guard let slot = slotForData(stream) else { return }
        if trailerLines.isEmpty {
            state.table.slots[slot].ending = .last
            library.resume(stream)
            return
        }
        let isQueueEmpty = state.table.slots[slot].outbound.count == 0
        let isHeadAhead = role == .server || state.table.slots[slot].isHeadSent
        if isQueueEmpty, isHeadAhead {
            state.table.slots[slot].ending = .submitted
            check(library.submit(.trailers(stream), .init(), trailerLines, []), stream)
        } else {
            state.table.slots[slot].ending = .trailers(trailerLines)
            library.resume(stream)
        }
    }

    /// Ends the stream at once. No event of it follows.
    package func reset(_ stream: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        guard let slot = state.table.slot(of: stream) else { return }
        state.table.slots[slot].isResetByCaller = true
        state.table.slots[slot].isAnnounced = false
        state.table.slots[slot].isDiscarding = true
        state.table.slots[slot].ending = .submitted
        state.table.slots[slot].outbound.removeAll()
        library.reset(stream, code)
    }

    /// Octets of `sendData` that are not yet in frames.
    package func queuedOctets(_ stream: HTTP2StreamID) -> Int {
        guard let slot = state.table.slot(of: stream) else { return 0 }
        return state.table.slots[slot].outbound.count
    }

    // MARK: Helpers

    /// The slot of a stream that still takes DATA of ours.
    private func slotForData(_ stream: HTTP2StreamID) -> Int? {
        guard let slot = state.table.slot(of: stream), case .open = state.table.slots[slot].ending else {
            return nil
        }
        return slot
    }

    private func dataQueued(_ slot: Int) {
        if state.table.slots[slot].outbound.count > limits.drainedBytes {
            state.table.slots[slot].isDrainDue = true
        }
        let id = state.table.slots[slot].id
        library.resume(id)
    }

    /// A head that the library does not take, for want of memory: the stream cannot go on.
    private func check(_ result: Int32, _ stream: HTTP2StreamID) {
        if result < 0 { library.reset(stream, .internalError) }
    }
}

/// RFC 4648 §5, without padding, as HTTP2-Settings has it; nil when it is anything else.
func decodeBase64URL(_ text: Span<UInt8>) -> [UInt8]? {
    guard text.count % 4 != 1 else { return nil }
    var octets: [UInt8] = []
    var bits: UInt32 = 0
    var bitCount: UInt32 = 0
    for index in text.indices {
        let digit: UInt8
        switch text[index] {
        case 0x41...0x5a: digit = text[index] - 0x41
        case 0x61...0x7a: digit = text[index] - 0x61 + 26
        case 0x30...0x39: digit = text[index] - 0x30 + 52
        case 0x2d: digit = 62
        case 0x5f: digit = 63
        default: return nil
        }
        bits = bits << 6 | UInt32(digit)
        bitCount += 6
        if bitCount >= 8 {
            bitCount -= 8
            octets.append(UInt8(truncatingIfNeeded: bits >> bitCount))
        }
    }
    return octets
}
