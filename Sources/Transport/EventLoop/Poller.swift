internal import CLinux

/// An epoll set with its two wake-ups: an eventfd for posts and a timerfd for deadlines.
///
/// All registrations are edge-triggered, so neither wake-up is ever read: each write or expiry is an edge of its own.
struct Poller: ~Copyable {
    /// Data of the two wake-ups: no slab index reaches this value.
    static let wakeDatum = UInt64(UInt32.max)
    static let timerDatum = UInt64(UInt32.max) | 1 << 32

    let set: Int32
    let wakeUp: Int32
    private let timer: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private let eventsMax: Int32
    private var armed = Instant.never

    init(eventsMax: Int) throws(Errno) {
        (set, wakeUp, timer) = try Self.open()
        self.eventsMax = Int32(eventsMax)
        events = .allocate(capacity: eventsMax)
    }

    deinit {
        events.deallocate()
        _ = cl_close(timer)
        _ = cl_close(wakeUp)
        _ = cl_close(set)
    }

    func add(_ descriptor: Int32, _ interest: ReadyEvents, datum: UInt64) throws(Errno) {
        try check(cl_epoll_add(set, descriptor, interest.rawValue, datum))
    }

    func remove(_ descriptor: Int32) {
        _ = cl_epoll_delete(set, descriptor)
    }

    /// Number of events ready; an interrupted wait counts as none.
    @inline(__always)
    func wait(milliseconds: Int32) -> Int {
        max(0, cl_epoll_wait(set, events, eventsMax, milliseconds))
    }

    @inline(__always)
    subscript(event: Int) -> (datum: UInt64, flags: ReadyEvents) {
        (cl_epoll_datum(events, event), ReadyEvents(rawValue: cl_epoll_flags(events, event)))
    }

    /// Makes the set ready at `instant`, unless it will be so earlier anyway.
    mutating func armTimer(_ instant: Instant) {
        guard instant < armed else { return }
        armed = instant
        // Zero would disarm it.
        _ = cl_timerfd_arm(timer, max(1, instant.nanoseconds))
    }

    mutating func timerFired() {
        armed = .never
    }

    private static func open() throws(Errno) -> (set: Int32, wakeUp: Int32, timer: Int32) {
        var opened: [Int32] = []
        do throws(Errno) {
            for result in [cl_epoll_create(), cl_eventfd(), cl_timerfd()] where result >= 0 {
                opened.append(Int32(result))
            }
            guard opened.count == 3 else { throw Errno.tooManyDescriptors }
            let interest: ReadyEvents = [.readable, .edge]
            try check(cl_epoll_add(opened[0], opened[1], interest.rawValue, wakeDatum))
            try check(cl_epoll_add(opened[0], opened[2], interest.rawValue, timerDatum))
            return (opened[0], opened[1], opened[2])
        } catch {
            for descriptor in opened { _ = cl_close(descriptor) }
            throw error
        }
    }
}

/// Makes an epoll set ready through its eventfd. Any thread.
func wake(eventDescriptor: Int32) {
    _ = cl_eventfd_signal(eventDescriptor)
}
