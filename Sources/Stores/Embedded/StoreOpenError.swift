/// Why a store directory was not opened. Nothing in it was changed.
package enum StoreOpenError: Error, Sendable, Equatable, CustomStringConvertible {
    case notADirectory(path: String)
    case notWritable(path: String, cause: String)
    /// `holder` as the lock file names it.
    case locked(path: String, holder: String)
    case networkFileSystem(path: String)
    /// A symbolic link, FIFO, device or directory stands where a file of the store belongs.
    case notARegularFile(path: String)
    /// The file is no record database of this program.
    case foreign(path: String)
    case newerFormat(path: String, version: UInt32, supported: UInt32)
    case truncated(path: String)
    case corrupt(path: String, cause: String)
    case logWithoutDatabase(path: String)
    case corruptRows(path: String, count: Int)
    case inputOutput(path: String, cause: String)
    /// OpenSSL offers no AES-256-GCM, no memory or no randomness.
    case cipherUnavailable

    /// One line.
    package var description: String {
        switch self {
        case .notADirectory(let path): "store: \(path) is not a directory"
        case .notWritable(let path, let cause): "store: \(path) is not writable: \(cause)"
        case .locked(let path, let holder): "store: \(path) is in use by \(holder)"
        case .networkFileSystem(let path):
            "store: \(path) is on a network file system, which cannot hold an embedded store"
        case .notARegularFile(let path): "store: \(path) is not a regular file"
        case .foreign(let path): "store: \(path) is not a record database of oncegate"
        case .newerFormat(let path, let version, let supported):
            "store: \(path) has format \(version), written by a newer oncegate (this one reads up to \(supported))"
        case .truncated(let path): "store: \(path) is truncated"
        case .corrupt(let path, let cause): "store: \(path) is corrupt: \(cause)"
        case .logWithoutDatabase(let path): "store: \(path) stands without its database"
        case .corruptRows(let path, let count): "store: \(path) has \(count) corrupt record\(count == 1 ? "" : "s")"
        case .inputOutput(let path, let cause): "store: \(path): \(cause)"
        case .cipherUnavailable: "store: OpenSSL offers no AES-256-GCM"
        }
    }
}
