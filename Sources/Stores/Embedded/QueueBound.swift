internal import Dispatch

/// A value that only one serial queue touches.
struct QueueBound<Value>: @unchecked Sendable {
    // @unchecked: every access asserts that it is on the queue.
    private let bound: Value
    private let queue: DispatchQueue

    init(_ value: Value, _ queue: DispatchQueue) {
        bound = value
        self.queue = queue
    }

    var value: Value {
        dispatchPrecondition(condition: .onQueue(queue))
        return bound
    }
}
