import Glibc

/// A value behind a pthread mutex. Synchronization's `Mutex` would do, but ThreadSanitizer does not see it on Linux (it
/// is a futex in a library without instrumentation), and reports every access that it guards as a race.
///
/// Unchecked: the value is reached only through `withLock`.
struct Lock<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    // Both stay where they are for the lock's life, as pthread demands.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    init(_ initial: consuming sending Value) {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        value = .allocate(capacity: 1)
        value.initialize(to: initial)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
        value.deinitialize(count: 1)
        value.deallocate()
    }

    borrowing func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&value.pointee)
    }
}
