/// Who is not connected yet: listeners that may have somebody to accept, and clients whose TLS handshake waits for its
/// turn. Pure: time comes in as an argument.
///
/// A handshake is hundreds of times the work of a request: they are worked off one by one, each after everybody who is
/// connected. While most of them come to nothing, as in a flood, TLS newcomers get no more than half of the worker's
/// time, if others are served beside them; who doesn't get a turn waits here, and then in the kernel's backlog.
package struct Newcomers {
    private static let pauseNanosecondsMax: UInt64 = 10_000_000

    /// Data of channels, in the order of their turns.
    private var listeners = Turns()
    private var tlsListeners = Turns()
    private var handshakes = Turns()
    /// When TLS has its turn again.
    private var tlsDue = Instant(nanoseconds: 0)
    /// Of the last handshakes, older ones halved again and again.
    private var completed = 0
    private var abandoned = 0

    package init() {}

    package var handshakeCount: Int { handshakes.count }

    private var hasTLS: Bool { handshakes.count + tlsListeners.count > 0 }

    /// When somebody has a turn; `.never` when nobody waits.
    package var due: Instant {
        if listeners.count > 0 { return Instant(nanoseconds: 0) }
        return hasTLS ? tlsDue : .never
    }

    package mutating func add(listener datum: UInt64, withTLS: Bool) {
        if withTLS { tlsListeners.append(datum) } else { listeners.append(datum) }
    }

    package mutating func add(handshake datum: UInt64) {
        handshakes.append(datum)
    }

    package func isTLSDue(_ now: Instant) -> Bool { hasTLS && now >= tlsDue }

    /// TLS had a turn.
    package mutating func tlsServed(from start: Instant, to end: Instant, besideOthers: Bool) {
        // A turn in which the machine stood still was not all work.
        let pause = min(end.nanoseconds(since: start), Self.pauseNanosecondsMax)
        tlsDue = besideOthers && abandoned > completed ? end.adding(nanoseconds: pause) : end
    }

    /// A client's handshake ended, or its connection before it.
    package mutating func handshakeEnded(isComplete: Bool) {
        if isComplete { completed += 1 } else { abandoned += 1 }
        guard completed + abandoned >= 256 else { return }
        completed /= 2
        abandoned /= 2
    }

    /// Those that wait now; who asks for another turn meanwhile gets it the next time.
    package mutating func takeListeners(withTLS: Bool) -> [UInt64] {
        withTLS ? tlsListeners.takeAll() : listeners.takeAll()
    }

    package mutating func takeHandshake() -> UInt64? { handshakes.takeFirst() }
}

/// A queue without a price for a long one.
private struct Turns {
    private var data: [UInt64] = []
    private var start = 0

    var count: Int { data.count - start }

    mutating func append(_ datum: UInt64) { data.append(datum) }

    mutating func takeFirst() -> UInt64? {
        guard start < data.count else { return nil }
        let first = data[start]
        start += 1
        if start == data.count {
            data.removeAll(keepingCapacity: data.capacity <= 4096)
            start = 0
        } else if start >= 1024 {
            data.removeFirst(start)
            start = 0
        }
        return first
    }

    mutating func takeAll() -> [UInt64] {
        defer { self = Turns() }
        return Array(data[start...])
    }
}
