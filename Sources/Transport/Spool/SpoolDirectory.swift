internal import CLinux
internal import Glibc

/// Where spool files are made. They have no name from the beginning, or lose it before anything is written to them: the
/// kernel frees them with the process, however it ends.
package struct SpoolDirectory: Sendable {
    package let path: String
    /// `O_TMPFILE`; not every file system has it.
    private let takesNamelessFiles: Bool

    private static let prefix = "oncegate-body-"

    /// Makes the directory (0700) if its parent exists, and tries it: a file is made, written and read.
    /// - Parameter triesNameless: false = as on a file system without `O_TMPFILE`.
    package init(path: String, triesNameless: Bool = true) throws(SpoolError) {
        self.path = path
        let made = cl_make_directory(path)
        if made < 0, made != -Int(EEXIST) { throw .notUsable(path: path, Errno(result: made)) }
        var takesNamelessFiles = triesNameless
        let nameless = triesNameless ? cl_nameless_file(path) : -Int(EOPNOTSUPP)
        if nameless >= 0 {
            cl_close(Int32(nameless))
        } else {
            switch Int32(-nameless) {
            case EOPNOTSUPP, EISDIR, ENOENT, EINVAL: takesNamelessFiles = false
            default: throw .notUsable(path: path, Errno(result: nameless))
            }
        }
        self.takesNamelessFiles = takesNamelessFiles
        removeLeftovers()
        let trial = try makeFile()
        let octets = [UInt8](repeating: 0xA5, count: 4096)
        let piece = try trial.write(octets, number: 0, at: 0)
        guard try trial.read(piece) == octets else { throw .damaged }
    }

    /// Blocks.
    package func makeFile() throws(SpoolError) -> SpoolFile {
        let result: Int
        if takesNamelessFiles {
            result = cl_nameless_file(path)
        } else {
            var pattern = Array("\(path)/\(Self.prefix)XXXXXX".utf8CString)
            result = cl_unlinked_file(&pattern)
        }
        guard result >= 0 else { throw .notUsable(path: path, Errno(result: result)) }
        return try SpoolFile(descriptor: Int32(result))
    }

    /// Where files must have a name for a moment, a kill in that moment leaves an empty one.
    private func removeLeftovers() {
        guard let directory = opendir(path) else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix(Self.prefix) { unlink("\(path)/\(name)") }
        }
    }
}

package enum SpoolError: Error, Sendable, Equatable {
    case notUsable(path: String, Errno)
    case write(Errno)
    case read(Errno)
    /// What was read is not what was written.
    case damaged
    /// The cryptographic library refused.
    case noCipher

    /// No room on the device or within a quota or a limit on file sizes.
    package var isFull: Bool {
        switch self {
        case .notUsable(_, let error), .write(let error):
            [ENOSPC, EDQUOT, EFBIG].contains(error.number)
        case .read, .damaged, .noCipher: false
        }
    }
}

extension SpoolError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .notUsable(let path, let error): "\(path): \(error)"
        case .write(let error): "writing: \(error)"
        case .read(let error): "reading: \(error)"
        case .damaged: "what was read is not what was written"
        case .noCipher: "OpenSSL offers no AES-256-GCM"
        }
    }
}
