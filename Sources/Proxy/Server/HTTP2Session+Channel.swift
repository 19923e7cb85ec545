import HTTP
import Transport

/// What a session does on its channel, at either end of the proxy.
extension HTTP2Session {
    /// Octets given to the session at once: what its events need is bounded by it.
    private static let sliceBytes = 16 << 10

    /// Gives the session what the channel received, as long as `goesOn`, and its events to `handle`: before an error
    /// is thrown, too.
    func receive(
        _ octets: Span<UInt8>, on channel: StreamChannel, while goesOn: () -> Bool,
        handle: (HTTP2Event, Span<UInt8>) -> Void
    ) throws(HTTP2Error) {
        var offset = 0
        while offset < octets.count, channel.isOpen, goesOn() {
            let slice = octets.extracting(offset..<min(offset + HTTP2Session.sliceBytes, octets.count))
            offset += slice.count
            do throws(HTTP2Error) {
                try receive(slice, now: channel.worker.now.nanoseconds)
            } catch {
                takeEvents(slice, handle)
                throw error
            }
            takeEvents(slice, handle)
        }
    }

    /// Writes frames to the channel as far as its output has room; whether more wait. `handle` gets the events of
    /// each portion, `written` is called after them.
    func write(
        to channel: StreamChannel, highWater: Int, handle: (HTTP2Event, Span<UInt8>) -> Void,
        written: () -> Void = {}
    ) throws(HTTP2Error) -> Bool {
        var hasMore = true
        while hasMore, channel.isOpen, channel.queuedOutputBytes < highWater {
            channel.worker.scratch.removeAll(keepingCapacity: true)
            hasMore = try takeOutput(into: &channel.worker.scratch, limit: highWater)
            channel.write(contentsOf: channel.worker.scratch)
            let hasProgressed = !channel.worker.scratch.isEmpty
            if !events.isEmpty { takeEvents(Span(), handle) }
            written()
            // What the events set off may have frames of its own.
            if hasProgressed, wantsOutput { hasMore = true }
        }
        return hasMore
    }

    /// The trailers in a slot, as a section of their own.
    func trailers(_ slot: Int) -> FieldSection {
        var section = FieldSection()
        takeTrailers(slot, into: &section)
        return section
    }

    private func takeEvents(_ octets: Span<UInt8>, _ handle: (HTTP2Event, Span<UInt8>) -> Void) {
        // By index: what an event sets off may end the connection, but adds no events.
        var index = 0
        while index < events.count {
            handle(events[index], octets)
            index += 1
        }
        clearEvents()
    }
}
