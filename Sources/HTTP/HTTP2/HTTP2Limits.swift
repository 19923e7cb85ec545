/// What an HTTP/2 connection may cost. Sizes are octets; every limit is inclusive.
package struct HTTP2Limits: Sendable, Equatable {
    /// Streams that the peer may have open, or that we open at most.
    package var streamsMax: UInt32 = 100
    /// How much of one stream's body the peer may send before it is given back.
    package var streamWindowBytes: UInt32 = 64 << 10
    /// The same over all streams.
    package var connectionWindowBytes: UInt32 = 1 << 20
    /// A head as HPACK expands it, each field 32 octets more than its name and value (RFC 9113 §6.5.2); 431 above.
    package var headerListBytesMax: UInt32 = 64 << 10
    /// Fields of a head; the pieces of a Cookie count as one.
    package var fieldsMax: UInt32 = 100
    package var responseFieldsMax: UInt32 = 200
    package var targetBytesMax: UInt32 = 8 << 10
    /// A trailer section, expanded.
    package var trailerBytesMax: UInt32 = 8 << 10
    package var trailersMax: UInt32 = 32
    /// A header block as it is on the wire, and the CONTINUATION frames in it; the connection ends above.
    package var headerBlockBytesMax: UInt32 = 64 << 10
    package var continuationsMax: UInt32 = 8
    /// Our HPACK tables, for both directions.
    package var headerTableBytesMax: UInt32 = 4 << 10

    /// Resets by the peer, and of ours because of its errors: at once, and per second. Not for clients.
    package var resetBurst: UInt32 = 200
    package var resetsPerSecond: UInt32 = 20
    /// Frames that achieve nothing: at once, and per second. Streams opened and data sent earn some more.
    package var glitchBurst: UInt32 = 1000
    package var glitchesPerSecond: UInt32 = 100
    /// Frames that wait to be sent, DATA aside.
    package var queuedFramesMax: UInt32 = 1000

    /// `drained` is told when a stream's queue falls to this.
    package var drainedBytes: Int = 32 << 10

    package init() {}

    /// Of a connection to a service, which many exchanges share.
    package static func towardsService(streamsMax: Int) -> HTTP2Limits {
        var limits = HTTP2Limits()
        limits.streamsMax = UInt32(clamping: streamsMax)
        // Exchanges that wait for slow clients must not take the window of the others.
        limits.connectionWindowBytes = UInt32(clamping: UInt64(limits.streamsMax) * UInt64(limits.streamWindowBytes))
        // Requests that wait to be written count too: of each stream a head, a reset and a window.
        limits.queuedFramesMax = max(limits.queuedFramesMax, UInt32(clamping: 4 * UInt64(limits.streamsMax)))
        return limits
    }

    /// What the C library takes for `streamsMax`. It ends the connection of a peer that has acknowledged the limit and
    /// opens one stream too many; the session itself refuses such streams, as many as the peer's resets allow.
    var streamsFence: UInt32 { UInt32(clamping: UInt64(streamsMax) + UInt64(resetBurst)) }
}
