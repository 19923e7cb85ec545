import Dispatch

/// Opens once; waits without a limit would hide a failure.
final class Gate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func open() {
        semaphore.signal()
    }

    func wait() {
        precondition(semaphore.wait(timeout: .now() + .seconds(20)) == .success, "nobody opened the gate")
    }
}
