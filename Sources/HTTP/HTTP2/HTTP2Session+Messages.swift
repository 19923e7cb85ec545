extension HTTP2Session {
    // MARK: Server

    /// Sends a 1xx head but 101. Lines are `Name: value CRLF`, here and below; names are lower-cased on the way, fields
    /// of one HTTP/1 connection left out.
    package func sendInterim(_ stream: HTTP2StreamID, status: UInt16, fieldLines: [UInt8]) {
        guard box.state.table.slot(of: stream) != nil else { return }
        head.setResponse(status: status)
        check(library.submit(.interim(stream), &head, fieldLines, []), stream)
    }

    /// Sends a final head: the two sets of lines one behind the other.
    package func sendResponse(
        _ stream: HTTP2StreamID, status: UInt16, fieldLines: [UInt8], more: [UInt8] = [], ends: Bool
    ) {
        switch box.state.beginResponse(stream, ends: ends) {
        case .nothing: return
        case .submit: break
        case .submitInTurns: library.takeTurns(stream)
        }
        head.setResponse(status: status)
        check(library.submit(.response(stream, ends: ends), &head, fieldLines, more), stream)
    }

    /// Wants no more of a request's body: what comes is given back to the connection and not told, and once the answer
    /// is complete the client is told to stop (RST_STREAM with NO_ERROR, RFC 9113 §8.1). The stream ends with `closed`.
    package func discardBody(_ stream: HTTP2StreamID) {
        if box.state.discard(stream) { library.reset(stream, .noError) }
        settle()
    }

    // MARK: Client

    /// A request can be sent now: the peer takes streams, and there are ids left.
    package var canOpenStream: Bool {
        guard role == .client, failure == nil else { return false }
        return activeStreams < min(limits.streamsMax, library.peerStreamsMax) && library.allowsRequests
    }

    /// Sends a request, of parts that are valid; nil when no stream can be opened. An empty authority is left out.
    package func sendRequest(
        method: Span<UInt8>, scheme: Span<UInt8>, authority: Span<UInt8>, path: Span<UInt8>, fieldLines: [UInt8],
        more: [UInt8] = [], ends: Bool
    ) -> HTTP2StreamID? {
        guard canOpenStream else { return nil }
        head.setRequest(method: method, scheme: scheme, authority: authority, path: path)
        let result = library.submit(.request(ends: ends), &head, fieldLines, more)
        guard result > 0 else { return nil }
        let id = HTTP2StreamID(result)
        box.state.beginRequest(id, isHead: RequestHead.Method(method) == .head, ends: ends)
        return id
    }

    // MARK: Both

    /// Queues a copy of the octets.
    package func sendData(_ stream: HTTP2StreamID, _ octets: Span<UInt8>) {
        if box.state.queue(stream, octets) { library.resume(stream) }
    }

    /// Queues a part of an array, which is held and not copied until it is put into frames.
    package func sendData(_ stream: HTTP2StreamID, shared: [UInt8], _ range: Range<Int>) {
        if box.state.queue(stream, shared: shared, range) { library.resume(stream) }
    }

    /// Ends our message: on the last DATA, or with trailers behind it.
    package func endStream(_ stream: HTTP2StreamID, trailerLines: [UInt8] = []) {
        switch box.state.end(stream, trailerLines: trailerLines) {
        case .nothing: break
        case .resume: library.resume(stream)
        case .submitTrailers: submitTrailers(stream, trailerLines)
        }
    }

    /// Ends the stream at once. No event of it follows.
    package func reset(_ stream: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        if box.state.abandon(stream) { library.reset(stream, code) }
    }

    /// Octets of `sendData` that are not yet in frames.
    package func queuedOctets(_ stream: HTTP2StreamID) -> Int { box.state.queuedOctets(stream) }

    /// Our message's last frame has been written, or the stream is gone.
    package func isOwnMessageSent(_ stream: HTTP2StreamID) -> Bool { box.state.isOwnMessageSent(stream) }

    func submitTrailers(_ stream: HTTP2StreamID, _ lines: [UInt8]) {
        head.setTrailers()
        check(library.submit(.trailers(stream), &head, lines, []), stream)
    }

    /// A head that the library does not take, for want of memory: the stream cannot go on.
    private func check(_ result: Int32, _ stream: HTTP2StreamID) {
        if result < 0 { library.reset(stream, .internalError) }
    }
}
