import Dispatch
import Glibc
import Synchronization

/// Where a log's lines go. Writers never wait for it: lines are queued up to a limit and written on a queue of their
/// own; what does not fit, or fails to be written, is dropped and counted.
///
/// Unchecked: `writing`, `descriptor` and `isMidLine` are touched on `queue` only (or before the sink is shared); the
/// rest is atomic or in the mutex, which is held for a copy into memory and never over a system call.
package final class LogSink: @unchecked Sendable {
    package enum Destination: Sendable, Equatable {
        /// Stays open when the sink closes: standard output or error.
        case descriptor(Int32)
        /// Appended to; made with mode 0640.
        case file(String)
    }

    private let destination: Destination
    private let queue = DispatchQueue(label: "oncegate.log")
    private let bytesMax: Int
    private let state = Lock(State())
    private let dropped = Atomic<UInt64>(0)
    private let failure = Atomic<Int32>(0)

    private var descriptor: Int32
    private var writing = TextBuffer(capacity: LogSink.promptBytes)
    /// A line was cut by a failed write: the next one starts on a line of its own.
    private var isMidLine = false

    private struct State: ~Copyable {
        var pending = TextBuffer(capacity: LogSink.promptBytes)
        var phase = Phase.idle
    }

    private enum Phase {
        case idle
        /// The queue will write in `delayMilliseconds`.
        case delayed
        /// The queue writes, or will at once.
        case active
    }

    /// Few lines wait for more of them: waking the queue costs more than writing.
    private static let delayMilliseconds = 10
    /// This much does not wait.
    private static let promptBytes = 64 << 10

    /// - Parameter bytesMax: lines held in memory at most; half of it may be on its way to the kernel.
    /// - Throws: the error with which the file did not open.
    package init(_ destination: Destination, bytesMax: Int = 4 << 20) throws(LogSinkError) {
        self.destination = destination
        self.bytesMax = bytesMax / 2
        descriptor = try Self.open(destination)
        // A reader that went away is an error of write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
    }

    deinit {
        if case .file = destination {
            Glibc.close(descriptor)
        }
    }

    /// Lines lost since the start.
    package var droppedCount: UInt64 { dropped.load(ordering: .relaxed) }

    /// `errno` of the last write or reopening when it failed, 0 when it did not.
    package var lastError: Int32 { failure.load(ordering: .relaxed) }

    /// Whether lines go to a terminal.
    package var isTerminal: Bool { isatty(descriptor) == 1 }

    /// Queues whole lines. Any thread; never waits for the sink.
    package func submit(_ lines: Span<UInt8>, lineCount: Int) {
        guard lineCount > 0 else { return }
        let wake: Phase? = state.withLock { state in
            guard state.pending.count + lines.count <= bytesMax else { return nil }
            state.pending.append(lines)
            switch state.phase {
            case .active: return .active
            case .delayed where state.pending.count < Self.promptBytes: return .active
            case .idle where state.pending.count < Self.promptBytes:
                state.phase = .delayed
                return .delayed
            case .idle, .delayed:
                state.phase = .active
                return .idle
            }
        }
        switch wake {
        case nil: dropped.wrappingAdd(UInt64(lineCount), ordering: .relaxed)
        case .active: break
        case .delayed: queue.asyncAfter(deadline: .now() + .milliseconds(Self.delayMilliseconds)) { self.drain() }
        case .idle: queue.async { self.drain() }
        }
    }

    /// Writes in the caller's thread, after what is queued. For the start and the end of the process.
    package func submitAndWait(_ lines: Span<UInt8>, lineCount: Int) {
        submit(lines, lineCount: lineCount)
        _ = flush(timeoutMilliseconds: 1000)
    }

    /// Waits until what was queued is written.
    /// - Returns: false when the sink did not take it in time.
    package func flush(timeoutMilliseconds: Int) -> Bool {
        let done = DispatchSemaphore(value: 0)
        queue.async {
            self.drain()
            done.signal()
        }
        return done.wait(timeout: .now() + .milliseconds(timeoutMilliseconds)) == .success
    }

    /// Opens the file again, after what was queued is written: its name may have been given to another. Does nothing to
    /// a descriptor. When it does not open, the old file stays in use.
    /// - Parameter completion: called on the sink's queue with 0 or `errno`.
    package func reopen(_ completion: @escaping @Sendable (Int32) -> Void = { _ in }) {
        queue.async {
            self.drain()
            completion(self.openAgain())
        }
    }

    private func openAgain() -> Int32 {
        guard case .file = destination else { return 0 }
        do throws(LogSinkError) {
            let opened = try Self.open(destination)
            Glibc.close(descriptor)
            descriptor = opened
            isMidLine = false
            return 0
        } catch {
            failure.store(error.code, ordering: .relaxed)
            return error.code
        }
    }

    private static func open(_ destination: Destination) throws(LogSinkError) -> Int32 {
        switch destination {
        case .descriptor(let descriptor): return descriptor
        case .file(let path):
            let descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0o640)
            guard descriptor >= 0 else { throw LogSinkError(path: path, code: errno) }
            return descriptor
        }
    }

    private func drain() {
        while true {
            state.withLock { state in
                writing.removeAll()
                swap(&state.pending, &writing)
                state.phase = writing.count == 0 ? .idle : .active
            }
            guard writing.count > 0 else { return }
            writeOut()
        }
    }

    private func writeOut() {
        if isMidLine {
            var newline: UInt8 = 0x0A
            isMidLine = Glibc.write(descriptor, &newline, 1) != 1
        }
        var written = 0
        while written < writing.count {
            let result = writing.write(to: descriptor, from: written)
            if result > 0 {
                written += result
                continue
            }
            let code = result == 0 ? EIO : errno
            switch code {
            case EINTR: continue
            case EAGAIN:
                // Someone else made this descriptor non-blocking; this queue is the one that may wait.
                var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&poller, 1, -1)
            default:
                failure.store(code, ordering: .relaxed)
                dropRest(after: written)
                return
            }
        }
        failure.store(0, ordering: .relaxed)
    }

    private func dropRest(after written: Int) {
        isMidLine = isMidLine || writing.isInsideLine(written)
        dropped.wrappingAdd(writing.lineCount(from: written), ordering: .relaxed)
    }
}

extension TextBuffer {
    fileprivate func write(to descriptor: Int32, from start: Int) -> Int {
        let rest = span.extracting(start..<count)
        return rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    }

    fileprivate func isInsideLine(_ at: Int) -> Bool {
        at > 0 && span[at - 1] != 0x0A
    }

    fileprivate func lineCount(from start: Int) -> UInt64 {
        let octets = span
        var lines: UInt64 = 0
        for index in start..<octets.count where octets[index] == 0x0A {
            lines += 1
        }
        return lines
    }
}

/// A log's file did not open.
package struct LogSinkError: Error, Equatable, CustomStringConvertible {
    package var path: String
    /// `errno`.
    package var code: Int32

    package var description: String { "\(path): \(String(cString: strerror(code)))" }
}
