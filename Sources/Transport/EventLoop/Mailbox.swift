/// Work that other threads hand to a worker, in the order of their posts.
///
/// A post costs a system call only when the worker may be asleep: the flag for that is set, under the same lock,
/// after the worker has seen the mailbox empty, and cleared by the first post or by the worker.
struct Mailbox: ~Copyable {
    typealias Work = @Sendable () -> Void

    struct State {
        var work: [Work] = []
        var mayBeAsleep = true
        var waitingForQueue = 0
    }

    private let state = Locked(State())

    /// Whether the caller must wake the worker.
    borrowing func append(_ work: @escaping Work) -> Bool {
        state.withLock { state in
            state.work.append(work)
            let wakes = state.mayBeAsleep
            state.mayBeAsleep = false
            return wakes
        }
    }

    /// Whether there is nothing to do, so that the worker may wait; posts from here on wake it.
    borrowing func prepareToSleep() -> Bool {
        state.withLock { state in
            guard state.work.isEmpty else { return false }
            state.mayBeAsleep = true
            return true
        }
    }

    /// Swaps the work into `out`, which must be empty; the worker counts as awake. Whether its queue is asked for.
    borrowing func take(into out: inout [Work]) -> Bool {
        state.withLock { state in
            state.mayBeAsleep = false
            if !state.work.isEmpty { swap(&state.work, &out) }
            return state.waitingForQueue > 0
        }
    }

    /// Says that a thread waits for the worker's queue, which a batch gives back then.
    borrowing func askForQueue() {
        state.withLock { $0.waitingForQueue += 1 }
    }

    borrowing func gotQueue() {
        state.withLock { $0.waitingForQueue -= 1 }
    }
}
