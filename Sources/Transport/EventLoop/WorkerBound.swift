/// A value of one worker that other threads may carry, and only that worker may open.
///
/// Sendable holds because `value` traps off the worker's queue.
package struct WorkerBound<Value>: @unchecked Sendable {
    package let worker: Worker
    private let held: Value

    package init(_ value: Value, worker: Worker) {
        self.worker = worker
        self.held = value
    }

    package var value: Value {
        worker.assertOnQueue()
        return held
    }
}
