import Foundation

/// What one test started: ended in reverse order when the test is over, and described when it failed.
package final class TestScope: Sendable {
    @TaskLocal package static var current: TestScope?

    private struct State {
        var endings: [@Sendable () -> Void] = []
        var descriptions: [@Sendable () -> String] = []
        var directory: String?
        var subdirectories = 0
        var leaks: Set<String> = []
        /// By their types.
        var shared: [ObjectIdentifier: any Sendable] = [:]
    }

    private let state = Monitored(State())
    /// Held while something shared is made, which may use the rest of this.
    private let making = Monitored(())

    package init() {}

    package func atEnd(_ ending: @escaping @Sendable () -> Void) {
        state.with { $0.endings.append(ending) }
    }

    package func describeOnFailure(_ description: @escaping @Sendable () -> String) {
        state.with { $0.descriptions.append(description) }
    }

    /// What must not have been written was.
    func note(leaks: [String]) {
        state.with { $0.leaks.formUnion(leaks) }
    }

    /// After `end`: secrets that showed, and where.
    package var leaks: [String] { state.with { $0.leaks }.sorted() }

    /// The one thing of this type in this test, made on first use.
    package func shared<Thing: Sendable>(_ make: () throws -> Thing) rethrows -> Thing {
        try making.with { _ in
            let key = ObjectIdentifier(Thing.self)
            if let known = state.with({ $0.shared[key] }) as? Thing { return known }
            let thing = try make()
            state.with { $0.shared[key] = thing }
            return thing
        }
    }

    /// The test's own directory; its path is short enough for a UNIX socket.
    package var directory: String {
        state.with { state in
            if let directory = state.directory { return directory }
            var template = Array("/tmp/oncegate-XXXXXX".utf8CString)
            let directory = String(cString: mkdtemp(&template)!)
            state.directory = directory
            return directory
        }
    }

    /// A new directory in the test's own.
    package func newDirectory() throws -> String {
        let number = state.with { state in
            state.subdirectories += 1
            return state.subdirectories
        }
        let path = "\(directory)/\(number)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    package func end() {
        let endings = state.with { state in
            defer { state.endings = [] }
            return state.endings
        }
        for ending in endings.reversed() { ending() }
        if let directory = state.with({ $0.directory }) { try? FileManager.default.removeItem(atPath: directory) }
    }

    package var failureDescription: String {
        state.with { $0.descriptions }.map { $0() }.joined(separator: "\n")
    }
}

/// Gives every job a thread of its own, so that a test may block.
package final class ThreadExecutor: TaskExecutor, Sendable {
    package init() {}

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedTaskExecutor()
        let thread = Thread { job.runSynchronously(on: executor) }
        thread.stackSize = 4 << 20
        thread.start()
    }
}

/// Lets at most `count` tasks through at once.
package actor Admission {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    package init(_ count: Int) {
        free = count
    }

    package func enter() async {
        if free > 0 {
            free -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    package func leave() {
        if waiting.isEmpty {
            free += 1
        } else {
            waiting.removeFirst().resume()
        }
    }
}
