/// What the kernel reports about a descriptor (the EPOLL* bits).
public struct ReadyEvents: OptionSet, Sendable {
    public let rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    package static let readable = ReadyEvents(rawValue: 0x001)
    package static let writable = ReadyEvents(rawValue: 0x004)
    package static let error = ReadyEvents(rawValue: 0x008)
    /// Both directions are shut down.
    package static let hangUp = ReadyEvents(rawValue: 0x010)
    /// The peer will send nothing more.
    package static let peerClosed = ReadyEvents(rawValue: 0x2000)
    /// Of several pollers that watch the same socket, wake one.
    static let exclusive = ReadyEvents(rawValue: 1 << 28)
    static let edge = ReadyEvents(rawValue: 1 << 31)

    /// One registration for life: no EPOLL_CTL_MOD is made later.
    static let streamInterest: ReadyEvents = [.readable, .writable, .peerClosed, .edge]
    static let listenerInterest: ReadyEvents = [.readable, .edge, .exclusive]
}
