/// What the caller's wishes do to the streams; the library is told by the driver.
extension HTTP2SessionState {
    /// Puts the streams that are allowed into the SETTINGS that begin there in `output`.
    mutating func announceLimit(in start: Int) {
        hasAnnouncedLimit = true
        let (settings, concurrentStreams): (UInt8, UInt8) = (0x4, 0x3)
        guard output.count >= start + 9, output[start + 3] == settings else { return }
        for entry in stride(from: start + 9, to: output.count - 5, by: 6) where output[entry] == 0 {
            guard output[entry + 1] == concurrentStreams else { continue }
            for octet in 0..<4 {
                output[entry + 2 + octet] = UInt8(truncatingIfNeeded: limits.streamsMax >> UInt32(8 * (3 - octet)))
            }
        }
    }

    enum ResponseStep {
        /// The stream is gone, or has a head.
        case nothing
        case submit
        /// And let it take turns with the others.
        case submitInTurns
    }

    /// A final head is sent; what the library must be told.
    mutating func beginResponse(_ id: HTTP2StreamID, ends: Bool) -> ResponseStep {
        guard let slot = table.slot(of: id), !table.slots[slot].hasFinalHead else { return .nothing }
        table.slots[slot].hasFinalHead = true
        if ends { table.slots[slot].ending = .submitted }
        meter.dataSent(0)
        return ends || table.slots[slot].hasPriority ? .submit : .submitInTurns
    }

    mutating func beginRequest(_ id: HTTP2StreamID, isHead: Bool, ends: Bool) {
        let slot = table.insert(id)
        table.slots[slot].isAnnounced = true
        table.slots[slot].isHead = isHead
        if ends { table.slots[slot].ending = .submitted }
    }

    /// The request of an upgrade: known, and complete.
    mutating func beginUpgraded() {
        let slot = table.insert(.upgraded)
        table.slots[slot].isAnnounced = true
        table.slots[slot].hasRemoteEnded = true
        meter.upgraded()
    }

    /// Queues DATA; whether the library waits for it.
    mutating func queue(_ id: HTTP2StreamID, _ octets: Span<UInt8>) -> Bool {
        guard let slot = slotForData(id), octets.count > 0 else { return false }
        table.slots[slot].outbound.append(octets)
        return dataQueued(slot)
    }

    mutating func queue(_ id: HTTP2StreamID, shared: [UInt8], _ range: Range<Int>) -> Bool {
        guard let slot = slotForData(id), !range.isEmpty else { return false }
        table.slots[slot].outbound.append(shared: shared, range)
        return dataQueued(slot)
    }

    enum EndStep {
        case nothing, resume, submitTrailers
    }

    /// Our message is complete; what the library must be told.
    mutating func end(_ id: HTTP2StreamID, trailerLines: [UInt8]) -> EndStep {
        guard let slot = slotForData(id) else { return .nothing }
        guard !trailerLines.isEmpty else {
            table.slots[slot].ending = .last
            return resume(slot) ? .resume : .nothing
        }
        // The trailers would overtake DATA, and a request's head that is not yet sent.
        let isHeadAhead = role == .server || table.slots[slot].isHeadSent
        if table.slots[slot].outbound.count == 0, isHeadAhead {
            table.slots[slot].ending = .submitted
            return .submitTrailers
        }
        table.slots[slot].ending = .trailers(trailerLines)
        return resume(slot) ? .resume : .nothing
    }

    /// The trailers of a stream whose DATA is all in frames; nil when there are none to be sent.
    mutating func takeTrailers(_ id: HTTP2StreamID) -> [UInt8]? {
        guard let slot = table.slot(of: id), case .trailers(let lines) = table.slots[slot].ending else { return nil }
        table.slots[slot].ending = .submitted
        return lines
    }

    /// The caller resets the stream; false when it is gone.
    mutating func abandon(_ id: HTTP2StreamID) -> Bool {
        guard let slot = table.slot(of: id) else { return false }
        table.slots[slot].isResetByCaller = true
        table.slots[slot].isAnnounced = false
        table.slots[slot].isDiscarding = true
        table.slots[slot].ending = .submitted
        table.slots[slot].outbound.removeAll()
        return true
    }

    /// The rest of a request's body is not wanted; whether the stream can be reset at once.
    mutating func discard(_ id: HTTP2StreamID) -> Bool {
        guard let slot = table.slot(of: id), role == .server else { return false }
        connectionCredit += table.slots[slot].unreturned
        table.slots[slot].unreturned = 0
        table.slots[slot].isDiscarding = true
        table.slots[slot].isDone = true
        return table.slots[slot].hasLocalEnded && !table.slots[slot].hasRemoteEnded
    }

    /// How much of `count` octets, which the caller has taken, goes back to the windows.
    mutating func giveBack(_ id: HTTP2StreamID, _ count: Int) -> Int {
        guard let slot = table.slot(of: id) else { return 0 }
        let returned = max(0, min(count, table.slots[slot].unreturned))
        table.slots[slot].unreturned -= returned
        return returned
    }

    /// Inlined, or the whole state is copied for it.
    @inline(__always)
    func queuedOctets(_ id: HTTP2StreamID) -> Int {
        guard let slot = table.slot(of: id) else { return 0 }
        return table.slots[slot].outbound.count
    }

    @inline(__always)
    func isOwnMessageSent(_ id: HTTP2StreamID) -> Bool {
        guard let slot = table.slot(of: id) else { return true }
        return table.slots[slot].hasLocalEnded
    }

    /// The slot of a stream that still takes DATA of ours.
    private func slotForData(_ id: HTTP2StreamID) -> Int? {
        guard let slot = table.slot(of: id), case .open = table.slots[slot].ending else { return nil }
        return slot
    }

    private mutating func dataQueued(_ slot: Int) -> Bool {
        if table.slots[slot].outbound.count > limits.drainedBytes { table.slots[slot].isDrainDue = true }
        return resume(slot)
    }

    private mutating func resume(_ slot: Int) -> Bool {
        let isDeferred = table.slots[slot].isDeferred
        table.slots[slot].isDeferred = false
        return isDeferred
    }
}
