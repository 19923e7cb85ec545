/// Where workers leave what they observe. Nothing here ever holds up or fails a request: what does not fit is dropped
/// and counted.
package protocol ObservationLog: AnyObject, Sendable {
    /// The number by which observations name this route. The same name gets the same number, and its latest
    /// description counts. Any thread.
    func register(_ route: ObservedRoute) -> UInt32

    /// Takes what one worker saw in one batch. Those that are pending are counted, those that have ended are kept. Any
    /// thread.
    func submit(_ observations: [Observation])

    /// Writes what was submitted, and stops. Blocks; not on a worker.
    func close()
}

/// A route with `mode observe`, as far as its report needs to know it.
package struct ObservedRoute: Sendable, Equatable {
    package var name: String
    package var retentionMilliseconds: UInt64
    /// Nil: the route names none.
    package var windowMilliseconds: UInt64?
    package var requestBodyBytesMax: UInt64
    /// The directives of the block `idempotency`, one each, as the configuration wrote them, without `mode` and `hash`.
    package var directives: [String]
    /// Those of the block `hash`.
    package var hashDirectives: [String]

    /// Stands in a directive for a value that is not kept.
    package static let leftOut = "…"

    /// How long equal requests without token count as repeats where the route names no window.
    package static let windowMillisecondsDefault: UInt64 = 3_600_000

    package init(
        name: String, retentionMilliseconds: UInt64 = 24 * 3_600_000, windowMilliseconds: UInt64? = nil,
        requestBodyBytesMax: UInt64 = 8 << 20, directives: [String] = [], hashDirectives: [String] = []
    ) {
        self.name = name
        self.retentionMilliseconds = retentionMilliseconds
        self.windowMilliseconds = windowMilliseconds
        self.requestBodyBytesMax = requestBodyBytesMax
        self.directives = directives
        self.hashDirectives = hashDirectives
    }

    /// How long a request without token is looked for again.
    package var repeatMilliseconds: UInt64 { windowMilliseconds ?? ObservedRoute.windowMillisecondsDefault }
}

/// What a request is to those before it, by its token and its payload.
package enum ObservedFinding: UInt8, Sendable, CaseIterable {
    case first
    /// The same request again: its token with the same payload; without token, the payload.
    case duplicate
    /// The token of an earlier request with another payload.
    case mismatch
    /// A token of its own, and the payload of an earlier request.
    case otherKey
}
