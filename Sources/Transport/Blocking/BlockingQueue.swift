internal import Dispatch

/// Threads for work that blocks (getaddrinfo, file reads), bounded in number and in what waits for them. Any thread.
package final class BlockingQueue: Sendable {
    package typealias Work = @Sendable () -> Void

    struct State {
        var waiting: [Work] = []
        var freeLanes: [Int]
    }

    /// Serial queues, since Dispatch gives each its own thread: a concurrent one gets no more threads than there are
    /// cores.
    private let lanes: [DispatchQueue]
    private let waitingMax: Int
    private let state: Locked<State>

    package init(label: String = "blocking", threadsMax: Int = 4, waitingMax: Int = 1024) {
        precondition(threadsMax > 0, "no thread to work on")
        lanes = (0..<threadsMax).map { DispatchQueue(label: "\(label)-\($0)") }
        self.waitingMax = waitingMax
        state = Locked(State(freeLanes: Array(0..<threadsMax)))
    }

    /// Runs work as soon as a thread is free, in the order of submission. False when too much waits already; the work
    /// is then dropped.
    package func submit(_ work: @escaping Work) -> Bool {
        enum Decision {
            case starts(lane: Int)
            case waits
            case refused
        }
        let decision = state.withLock { state -> Decision in
            if let lane = state.freeLanes.popLast() { return .starts(lane: lane) }
            guard state.waiting.count < waitingMax else { return .refused }
            state.waiting.append(work)
            return .waits
        }
        switch decision {
        case .starts(let lane):
            lanes[lane].async { [self] in run(work, lane: lane) }
            return true
        case .waits: return true
        case .refused: return false
        }
    }

    private func run(_ first: @escaping Work, lane: Int) {
        first()
        while let work = next(lane: lane) { work() }
    }

    /// The next work, or nil after the lane was given back.
    private func next(lane: Int) -> Work? {
        state.withLock { state in
            if !state.waiting.isEmpty { return state.waiting.removeFirst() }
            state.freeLanes.append(lane)
            return nil
        }
    }
}
