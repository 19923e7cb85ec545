internal import Synchronization

/// The process's spool: a directory, the threads that write and read there, and how much all files may hold together.
/// Any thread.
package final class Spool: Sendable {
    package let directory: SpoolDirectory
    private let queue: BlockingQueue
    private let bytes = Atomic<Int>(0)
    private let files = Atomic<Int>(0)

    package init(directory: SpoolDirectory, threadsMax: Int = 4, waitingMax: Int = 16_384) {
        self.directory = directory
        queue = BlockingQueue(label: "spool", threadsMax: threadsMax, waitingMax: waitingMax)
    }

    /// Octets that all files hold, or will hold.
    package var reservedBytes: Int { bytes.load(ordering: .relaxed) }
    package var fileCount: Int { files.load(ordering: .relaxed) }

    /// Counts octets before they are written; false when they are too many.
    package func reserve(_ count: Int, bytesMax: Int) -> Bool {
        if bytes.add(count, ordering: .relaxed).newValue <= bytesMax { return true }
        bytes.subtract(count, ordering: .relaxed)
        return false
    }

    package func release(_ count: Int) {
        bytes.subtract(count, ordering: .relaxed)
    }

    package func fileOpened() {
        files.add(1, ordering: .relaxed)
    }

    /// Gives a file up. Closing may free much of the disk, which takes its time.
    package func close(_ file: SpoolFile?) {
        files.subtract(1, ordering: .relaxed)
        if let file { _ = queue.submit { withExtendedLifetime(file) {} } }
    }

    /// Runs work that blocks, then `then` on the worker. False when too much waits; nothing is run then.
    package func perform<Result: Sendable>(
        on worker: Worker, _ work: @escaping @Sendable () -> Result, then: @escaping (Result) -> Void
    ) -> Bool {
        let then = WorkerBound(then, worker: worker)
        return queue.submit {
            let result = work()
            worker.post { then.value(result) }
        }
    }
}
