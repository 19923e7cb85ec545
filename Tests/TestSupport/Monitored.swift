import Foundation

/// A value shared between threads, with waiting: a thread waits until the value satisfies a condition, never for a
/// time to pass.
package final class Monitored<Value>: @unchecked Sendable {
    private let condition = NSCondition()
    private var value: Value

    package init(_ value: Value) {
        self.value = value
    }

    /// Changes or reads the value alone, then lets every waiter look again.
    @discardableResult
    package func with<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        condition.lock()
        defer {
            condition.broadcast()
            condition.unlock()
        }
        return try body(&value)
    }

    /// The first non-nil result of `condition`, which is asked again whenever the value may have changed.
    @discardableResult
    package func wait<Result>(
        _ what: @autoclosure () -> String, until deadline: Deadline = .standard,
        _ result: (inout Value) throws -> Result?
    ) throws -> Result {
        condition.lock()
        defer { condition.unlock() }
        while true {
            if let result = try result(&value) { return result }
            if deadline.hasPassed { throw DeadlinePassed(what: what()) }
            _ = condition.wait(until: Date(timeIntervalSinceNow: deadline.remainingSeconds))
        }
    }
}

/// A door that opens once.
package final class Latch: Sendable {
    private let state = Monitored(false)

    package init() {}

    package var isOpen: Bool { state.with { $0 } }

    package func open() {
        state.with { $0 = true }
    }

    package func wait(until deadline: Deadline = .standard) throws {
        try state.wait("the latch opens", until: deadline) { $0 ? true : nil }
    }
}

/// Counts what happened; threads wait until it happened often enough.
package final class Tally: Sendable {
    private let count = Monitored(0)

    package init() {}

    package var value: Int { count.with { $0 } }

    @discardableResult
    package func increment() -> Int {
        count.with { value in
            value += 1
            return value
        }
    }

    package func wait(for minimum: Int, until deadline: Deadline = .standard) throws {
        try count.wait("the tally reaches \(minimum)", until: deadline) { $0 >= minimum ? true : nil }
    }
}

/// A moment on the monotonic clock at which waiting ends with an error.
package struct Deadline: Sendable {
    /// Nanoseconds of CLOCK_MONOTONIC.
    private var nanoseconds: UInt64

    package static func after(_ seconds: Double) -> Deadline {
        Deadline(nanoseconds: monotonicNanoseconds() &+ UInt64(seconds * 1e9))
    }

    /// Generous: a test that reaches it has failed.
    package static var standard: Deadline { .after(standardSeconds) }

    private static let standardSeconds =
        ProcessInfo.processInfo.environment["ONCEGATE_TEST_DEADLINE"].flatMap { Double($0) } ?? 20

    package var remainingSeconds: Double {
        let current = monotonicNanoseconds()
        return current >= nanoseconds ? 0 : Double(nanoseconds - current) / 1e9
    }

    package var remainingMilliseconds: Int32 {
        Int32((remainingSeconds * 1000).rounded(.up))
    }

    package var hasPassed: Bool { remainingSeconds == 0 }
}

package struct DeadlinePassed: Error, CustomStringConvertible {
    package var what: String
    package var description: String { "deadline passed before: \(what)" }
}

/// CLOCK_MONOTONIC.
package func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Seconds that `body` takes.
package func elapsedSeconds(_ body: () throws -> Void) rethrows -> Double {
    let start = monotonicNanoseconds()
    try body()
    return Double(monotonicNanoseconds() - start) / 1e9
}

/// For conditions outside this process, which nobody can signal: asks again every few milliseconds.
@discardableResult
package func poll<Result>(
    _ what: String, until deadline: Deadline = .standard, _ result: () throws -> Result?
) throws -> Result {
    while true {
        if let result = try result() { return result }
        if deadline.hasPassed { throw DeadlinePassed(what: what) }
        usleep(5_000)
    }
}

/// A thread whose result is collected with `join`.
package final class Running<Result: Sendable>: Sendable {
    private let result = Monitored<Swift.Result<Result, any Error>?>(nil)

    package init(_ body: @escaping @Sendable () throws -> Result) {
        let result = self.result
        let scope = TestScope.current
        let thread = Thread {
            let outcome = Swift.Result { try TestScope.$current.withValue(scope) { try body() } }
            result.with { $0 = outcome }
        }
        thread.stackSize = 1 << 20
        thread.start()
    }

    package var isFinished: Bool { result.with { $0 != nil } }

    package func join(until deadline: Deadline = .standard) throws -> Result {
        try result.wait("the thread ends", until: deadline) { $0 }.get()
    }
}

/// Runs the same work on `count` threads at once and gives the results in order.
package func concurrently<Result: Sendable>(
    _ count: Int, until deadline: Deadline = .standard, _ body: @escaping @Sendable (Int) throws -> Result
) throws -> [Result] {
    let threads = (0..<count).map { index in Running { try body(index) } }
    return try threads.map { try $0.join(until: deadline) }
}
