import Foundation

/// A child process whose output is collected and whose end is awaited with a deadline.
package final class Subprocess: Sendable {
    package enum Ending: Sendable, Equatable, CustomStringConvertible {
        case exit(Int32)
        case signal(Int32)

        package var description: String {
            switch self {
            case .exit(let code): "exit \(code)"
            case .signal(let number): "signal \(number)"
            }
        }
    }

    /// What happens to the pipe at standard output.
    package enum OutputHandling: Sendable {
        case collected
        /// Nobody reads: the pipe fills.
        case unread
        /// Nobody can read: EPIPE.
        case closed
    }

    private struct State {
        var standardOutput: [UInt8] = []
        var standardError: [UInt8] = []
        var openStreams = 2
        var ending: Ending?
    }

    package let processIdentifier: Int32
    private let state = Monitored(State())

    /// - Parameters:
    ///   - environment: added to this process's own; an empty value removes the variable.
    package init(
        _ arguments: [String], environment: [String: String] = [:], directory: String? = nil,
        output handling: OutputHandling = .collected
    ) throws {
        var variables = ProcessInfo.processInfo.environment
        for (name, value) in environment { variables[name] = value.isEmpty ? nil : value }
        let output = try Self.pipe()
        let error = try Self.pipe()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output.write, 1)
        posix_spawn_file_actions_adddup2(&actions, error.write, 2)
        // Whatever others in this process opened without O_CLOEXEC.
        _ = posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        if let directory { _ = posix_spawn_file_actions_addchdir_np(&actions, directory) }
        // The runner's own signal mask and dispositions must not reach the child.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var pid: pid_t = 0
        // It ends with the thread that started it, so that a run that is broken off leaves nothing behind.
        let command = ["setpriv", "--pdeathsig", "KILL"] + arguments
        let code = Self.withCStrings(command) { argv in
            Self.withCStrings(variables.map { "\($0)=\($1)" }) { envp in
                posix_spawnp(&pid, command[0], &actions, &attributes, argv, envp)
            }
        }
        close(output.write)
        close(error.write)
        guard code == 0 else {
            close(output.read)
            close(error.read)
            throw SocketError.system("spawn \(arguments[0])", code)
        }
        processIdentifier = pid
        collect(error.read) { $0.standardError += $1 }
        if handling == .collected {
            collect(output.read) { $0.standardOutput += $1 }
        } else {
            state.with { $0.openStreams -= 1 }
            if handling == .closed { close(output.read) } else { TestScope.current?.atEnd { close(output.read) } }
        }
        reap()
    }

    private static func pipe() throws -> (read: Int32, write: Int32) {
        var descriptors: [Int32] = [0, 0]
        guard pipe2(&descriptors, O_CLOEXEC) == 0 else { throw SocketError.system("pipe", errno) }
        return (descriptors[0], descriptors[1])
    }

    private static func withCStrings<Result>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let pointers = strings.map { strdup($0) }
        defer { pointers.forEach { free($0) } }
        return body(pointers + [nil])
    }

    private func collect(_ descriptor: Int32, _ append: @escaping @Sendable (inout State, [UInt8]) -> Void) {
        let state = self.state
        start {
            while true {
                var count = 0
                let octets = [UInt8](unsafeUninitializedCapacity: 65536) { buffer, initialized in
                    count = read(descriptor, buffer.baseAddress, 65536)
                    initialized = max(0, count)
                }
                if count == 0 || (count < 0 && errno != EINTR) { break }
                state.with { append(&$0, octets) }
            }
            close(descriptor)
            state.with { $0.openStreams -= 1 }
        }
    }

    private func reap() {
        let (state, pid) = (self.state, processIdentifier)
        start {
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
            let ending: Ending = status & 0x7F == 0 ? .exit(status >> 8 & 0xFF) : .signal(status & 0x7F)
            state.with { $0.ending = ending }
        }
    }

    private func start(_ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.stackSize = 256 << 10
        thread.start()
    }

    package var standardOutput: String { String(decoding: state.with { $0.standardOutput }, as: UTF8.self) }
    package var standardError: String { String(decoding: state.with { $0.standardError }, as: UTF8.self) }
    package var isRunning: Bool { state.with { $0.ending == nil } }

    package func kill(_ signal: Int32) {
        state.with { state in
            if state.ending == nil { _ = Foundation.kill(processIdentifier, signal) }
        }
    }

    @discardableResult
    package func waitForExit(until deadline: Deadline = .standard) throws -> Ending {
        let ending = try state.wait("process \(processIdentifier) ends", until: deadline) { $0.ending }
        // Grandchildren may hold the pipes open: what came so far is enough then.
        _ = try? state.wait("the end of the output", until: .after(2)) { $0.openStreams == 0 ? true : nil }
        return ending
    }

    /// The first non-nil result for standard error as it grows; throws when the process has ended without one.
    @discardableResult
    package func waitForError<Result>(
        _ what: String, until deadline: Deadline = .standard, _ result: (String) -> Result?
    ) throws -> Result {
        try state.wait(what, until: deadline) { state in
            if let found = result(String(decoding: state.standardError, as: UTF8.self)) { return found }
            if let ending = state.ending, state.openStreams == 0 {
                throw ProcessEnded(ending: ending, standardError: String(decoding: state.standardError, as: UTF8.self))
            }
            return nil
        }
    }

    @discardableResult
    package func waitForOutput<Result>(
        _ what: String, until deadline: Deadline = .standard, _ result: (String) -> Result?
    ) throws -> Result {
        try state.wait(what, until: deadline) { result(String(decoding: $0.standardOutput, as: UTF8.self)) }
    }

    /// Runs a command to its end.
    @discardableResult
    package static func run(
        _ arguments: [String], environment: [String: String] = [:], until deadline: Deadline = .after(60)
    ) throws -> (ending: Ending, output: String, error: String) {
        let process = try Subprocess(arguments, environment: environment)
        do {
            let ending = try process.waitForExit(until: deadline)
            return (ending, process.standardOutput, process.standardError)
        } catch {
            process.kill(SIGKILL)
            throw error
        }
    }
}

package struct ProcessEnded: Error, CustomStringConvertible {
    package var ending: Subprocess.Ending
    package var standardError: String
    package var description: String { "the process ended (\(ending)): \(standardError)" }
}
