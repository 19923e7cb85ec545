/// What an HTTP/2 session has learnt, in order.
///
/// A stream that the caller knows ends with exactly one of `closed` and `reset`, except that nothing is said any more
/// of a stream after the caller's own `reset` and, for a client, after `malformed`.
package enum HTTP2Event: Sendable, Equatable {
    /// A request's head, to be taken by `takeRequestHead`. `ends`: no body follows.
    case request(HTTP2StreamID, head: Int, ends: Bool)
    /// A response's head, 1xx included, to be taken by `takeResponseHead`. `ends`: no body follows.
    case response(HTTP2StreamID, head: Int, ends: Bool)
    /// A piece of the body, at this range of the octets given to `receive`. To be given back by `consumed`.
    case data(HTTP2StreamID, Range<Int>)
    /// The peer's message is complete; its trailers, if any may be passed on, to be taken by `takeTrailers`.
    case ended(HTTP2StreamID, trailers: Int?)
    /// A message is refused. Server: answer with the error's status; what follows of the request is discarded, as after
    /// `discardBody`. Client: the stream has been reset.
    case malformed(HTTP2StreamID, HTTPError)
    /// The stream is gone before both messages were complete.
    case reset(HTTP2StreamID, HTTP2ErrorCode, by: HTTP2ResetOrigin)
    /// Both messages are complete, and ours is in frames.
    case closed(HTTP2StreamID)
    /// What is queued for the stream has fallen to `HTTP2Limits.drainedBytes` after it was above.
    case drained(HTTP2StreamID)
    /// The peer takes no more streams and has processed none above `lastStream`: for those of ours a `reset` with
    /// `refusedStream` follows. More than one may come, with falling ids (RFC 9113 §6.8).
    case goAway(lastStream: HTTP2StreamID, HTTP2ErrorCode)
}

/// Who ended a stream early.
package enum HTTP2ResetOrigin: Sendable, Equatable {
    case peer
    /// The session: a stream error of the peer, or a request that can no longer be sent.
    case session
}
