internal import Glibc

/// State under a mutex of the C library.
///
/// Not `Synchronization.Mutex`: on Linux that is a bare futex, which ThreadSanitizer does not see, so that it would
/// report every value that passes between threads under it.
///
/// Unchecked: the state is reached only through `withLock`, under the mutex.
package final class Locked<State>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    @exclusivity(unchecked) private var state: State

    package init(_ state: sending State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Not to be entered again from within.
    @inline(__always)
    package func withLock<Result>(_ body: (inout State) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&state)
    }

    /// What was there before is freed outside the lock.
    package func replace(with next: State) {
        var before = next
        withLock { swap(&$0, &before) }
    }
}
