import Glibc
import Observability
import Synchronization

/// What the metrics tell of reloads.
final class ReloadFigures: Sendable {
    private let successes = Atomic<UInt64>(0)
    private let failures = Atomic<UInt64>(0)
    private let lastSucceeded = Atomic<Bool>(true)
    /// Seconds since the UNIX epoch; the start counts as a reload.
    private let lastSuccess = Atomic<Int>(time(nil))

    func note(succeeded: Bool) {
        lastSucceeded.store(succeeded, ordering: .relaxed)
        if succeeded {
            successes.add(1, ordering: .relaxed)
            lastSuccess.store(time(nil), ordering: .relaxed)
        } else {
            failures.add(1, ordering: .relaxed)
        }
    }

    func register(_ registry: MetricRegistry) {
        registry.collect { [self] samples in
            samples.set(.configReloads, ["success"], Double(successes.load(ordering: .relaxed)))
            samples.set(.configReloads, ["failure"], Double(failures.load(ordering: .relaxed)))
            samples.set(.configLastReloadSuccessful, [], lastSucceeded.load(ordering: .relaxed) ? 1 : 0)
            samples.set(.configLastReloadSuccess, [], Double(lastSuccess.load(ordering: .relaxed)))
        }
    }
}
