internal import Dispatch
internal import Synchronization

/// Threads for work that blocks (getaddrinfo, file reads), bounded in number and in what waits for them. Any thread.
package final class BlockingQueue: Sendable {
    package typealias Work = @Sendable () -> Void

    struct State {
        var waiting: [Work] = []
        var waitingStart = 0
        var running = 0

        var waitingCount: Int { waiting.count - waitingStart }

        mutating func takeFirst() -> Work? {
            guard waitingStart < waiting.count else {
                waiting.removeAll(keepingCapacity: waiting.capacity <= 64)
                waitingStart = 0
                return nil
            }
            defer { waitingStart += 1 }
            return waiting[waitingStart]
        }
    }

    private let queue: DispatchQueue
    private let threadsMax: Int
    private let waitingMax: Int
    private let state = Mutex(State())

    package init(label: String = "blocking", threadsMax: Int = 4, waitingMax: Int = 1024) {
        queue = DispatchQueue(label: label, attributes: .concurrent)
        self.threadsMax = threadsMax
        self.waitingMax = waitingMax
    }

    /// Runs work as soon as a thread is free, in the order of submission. False when too much waits already; the work is then dropped.
    package func submit(_ work: @escaping Work) -> Bool {
        enum Decision { case start, waits, refused }
        let decision = state.withLock { state -> Decision in
            if state.running < threadsMax {
                state.running += 1
                return .start
            }
            guard state.waitingCount < waitingMax else { return .refused }
            state.waiting.append(work)
            return .waits
        }
        if decision == .start { queue.async { [self] in run(work) } }
        return decision != .refused
    }

    private func run(_ first: @escaping Work) {
        first()
        while let work = next() { work() }
    }

    private func next() -> Work? {
        state.withLock { state in
            if let work = state.takeFirst() { return work }
            state.running -= 1
            return nil
        }
    }
}
