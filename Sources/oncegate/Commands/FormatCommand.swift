import ArgumentParser
import Configuration
import Glibc

struct FormatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fmt",
        abstract: "Print a configuration in its canonical layout.",
        discussion: "Changes blanks and ends of line only. Without a file, or for '-', it reads standard input."
    )

    @Argument(help: "The file.", completion: .file(extensions: ["conf"]))
    var file = "-"

    @Flag(name: .shortAndLong, help: "Write the result back to the file.")
    var write = false

    @Flag(help: "Print nothing; exit 1 when the layout is not canonical.")
    var check = false

    func validate() throws {
        if write && check { throw ValidationError("--write and --check exclude each other") }
        if write && file == "-" { throw ValidationError("--write needs a file") }
    }

    func run() throws {
        let isInput = file == "-"
        let name = isInput ? "standard input" : file
        let octets: [UInt8]
        switch ConfigurationFiles.system.read(isInput ? "/dev/stdin" : file) {
        case .success(let read): octets = read
        case .failure(let failure):
            Terminal.error("oncegate: cannot read \(name): \(failure.message)")
            throw ExitCode.failure
        }
        let formatted: String
        switch Formatter.format(octets, name: name) {
        case .success(let text): formatted = text
        case .failure(let error):
            Terminal.error(error.diagnostics.report)
            throw ExitCode.failure
        }
        let isCanonical = Array(formatted.utf8) == octets
        if check {
            guard isCanonical else {
                Terminal.error("oncegate: \(name) is not in canonical layout; 'oncegate fmt --write' makes it so")
                throw ExitCode.failure
            }
        } else if !write {
            print(formatted, terminator: "")
        } else if !isCanonical {
            try replace(file, by: Array(formatted.utf8))
        }
    }

    /// Writes beside the file and renames, so that the file is whole at any time; its permissions stay.
    private func replace(_ path: String, by octets: [UInt8]) throws {
        guard let resolved = realpath(path, nil) else { throw failure(path) }
        defer { free(resolved) }
        let target = String(cString: resolved)
        var status = stat()
        guard stat(target, &status) == 0 else { throw failure(path) }
        let temporary = target + ".oncegate-fmt"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure(temporary) }
        var isWritten = fchmod(descriptor, status.st_mode & 0o7777) == 0
        var rest = octets[...]
        while isWritten, !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            isWritten = count > 0
            rest = rest.dropFirst(max(count, 0))
        }
        isWritten = isWritten && fsync(descriptor) == 0
        isWritten = close(descriptor) == 0 && isWritten
        guard isWritten, rename(temporary, target) == 0 else {
            let failure = failure(path)
            unlink(temporary)
            throw failure
        }
    }

    private func failure(_ path: String) -> ExitCode {
        Terminal.error("oncegate: cannot write \(path): \(String(cString: strerror(errno)))")
        return .failure
    }
}
