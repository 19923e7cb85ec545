import Foundation
import TestSupport
import Testing

/// What every suite here carries: a thread of its own for each test (they block), at most `width` at once, everything
/// that the test started ended with it, the proxies' output printed when it failed, and a time limit.
struct BlackBox: SuiteTrait, TestTrait, TestScoping {
    /// Tests mostly wait; the machine has two cores.
    private static let width = Int(ProcessInfo.processInfo.environment["ONCEGATE_TEST_WIDTH"] ?? "") ?? 6
    private static let admission = Admission(width)

    var isRecursive: Bool { true }

    func scopeProvider(for test: Test, testCase: Test.Case?) -> BlackBox? {
        testCase == nil ? nil : self
    }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        await Self.admission.enter()
        let scope = TestScope()
        let failures = Tally()
        let watchdog = Watchdog(test.displayName ?? test.name)
        defer { watchdog.stop() }
        do {
            try await IssueHandlingTrait.compactMapIssues { issue in
                failures.increment()
                return issue
            }
            .provideScope(for: test, testCase: testCase) {
                try await TestScope.$current.withValue(scope) {
                    try await withTaskExecutorPreference(ThreadExecutor()) { try await function() }
                }
            }
        } catch {
            report(scope, test)
            await leave(scope)
            throw error
        }
        if failures.value > 0 { report(scope, test) }
        await leave(scope)
        for leak in scope.leaks { Issue.record("a secret shows: \(leak)") }
    }

    private func report(_ scope: TestScope, _ test: Test) {
        FileHandle.standardError.write(
            Data("=== \(test.displayName ?? test.name) failed\n\(scope.failureDescription)\n".utf8))
    }

    private func leave(_ scope: TestScope) async {
        scope.end()
        await Self.admission.leave()
    }
}

extension Trait where Self == BlackBox {
    static var blackBox: BlackBox { BlackBox() }
}

/// Every wait in these tests has a deadline; a test that runs on all the same would block the run for ever, so it
/// ends the run.
private final class Watchdog: Sendable {
    private static let limitSeconds = 120.0
    private let end = Latch()

    init(_ name: String) {
        let end = self.end
        let thread = Thread {
            if (try? end.wait(until: .after(Self.limitSeconds))) == nil {
                FileHandle.standardError.write(Data("time limit of \(Int(Self.limitSeconds)) s passed: \(name)\n".utf8))
                abort()
            }
        }
        thread.stackSize = 128 << 10
        thread.start()
    }

    func stop() {
        end.open()
    }
}
