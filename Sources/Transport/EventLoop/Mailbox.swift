/// Work that other threads hand to a worker, in the order of their posts.
///
/// A post costs a system call only when the worker may be asleep: the flag for that is set, under the same lock,
/// after the worker has seen the mailbox empty, and cleared by the first post or by the worker.
struct Mailbox: ~Copyable {
    typealias Work = @Sendable () -> Void

    struct State {
        var work: [Work] = []
        var mayBeAsleep = true
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

    /// Swaps the work into `out`, which must be empty; the worker counts as awake.
    borrowing func take(into out: inout [Work]) {
        state.withLock { state in
            state.mayBeAsleep = false
            if !state.work.isEmpty { swap(&state.work, &out) }
        }
    }
}
