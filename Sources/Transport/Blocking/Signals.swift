package import Dispatch
internal import CLinux
internal import Synchronization

/// The pipe's write end, for the handlers, which may neither allocate nor lock.
private let signalPipe = Atomic<Int32>(-1)

package enum Signal: Int32, CaseIterable, Sendable {
    case hangUp = 1
    case interrupt = 2
    case quit = 3
    case user1 = 10
    case user2 = 12
    case terminate = 15
}

/// Signals of the process as calls on a queue.
///
/// A handler writes the number into a pipe, which a Dispatch source reads: unlike a signal source it does not depend
/// on which threads block what, and programs started later inherit nothing.
package enum Signals {
    /// Ignores SIGPIPE, and calls `handler` on the queue for each of the signals. Once in the life of the process.
    package static func start(
        _ signals: [Signal], on queue: DispatchQueue, _ handler: @escaping @Sendable (Signal) -> Void
    ) throws(Errno) {
        try check(cl_signal_ignore(SIGPIPE))
        var ends: [Int32] = [-1, -1]
        try check(cl_pipe(&ends))
        let readEnd = ends[0]
        precondition(signalPipe.exchange(ends[1], ordering: .sequentiallyConsistent) < 0, "started twice")
        let reader = DispatchSource.makeReadSource(fileDescriptor: readEnd, queue: queue)
        reader.setEventHandler {
            // The handler holds the source, which is never cancelled.
            withExtendedLifetime(reader) {}
            while case let number = cl_read_octet(readEnd), number > 0 {
                if let signal = Signal(rawValue: Int32(number)) { handler(signal) }
            }
        }
        reader.activate()
        for signal in signals {
            let handler: @convention(c) (Int32) -> Void = { cl_signal_notify(signalPipe.load(ordering: .relaxed), $0) }
            try check(cl_signal_handle(signal.rawValue, handler))
        }
    }

    /// Ignores SIGPIPE alone.
    package static func ignoreBrokenPipes() {
        _ = cl_signal_ignore(SIGPIPE)
    }
}
