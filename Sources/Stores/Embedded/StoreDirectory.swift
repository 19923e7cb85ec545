internal import Glibc

/// The directory of an embedded store, held by one process at a time.
///
/// ```
/// records.db  records.db-wal  records.db-shm   SQLite
/// sendmarks                                    SendMarks
/// lock                                         names the process that holds the directory
/// ```
struct StoreDirectory: ~Copyable {
    let path: String
    private let lock: Int32

    var database: String { path + "/records.db" }
    var marks: String { path + "/sendmarks" }

    /// Creates the directory (0700) if its parent exists, takes the lock, and checks every file without changing any.
    init(path: String) throws(StoreOpenError) {
        if mkdir(path, 0o700) != 0 && errno != EEXIST {
            throw errno == ENOTDIR ? .notADirectory(path: path) : .notWritable(path: path, cause: lastErrorText())
        }
        var status = stat()
        guard stat(path, &status) == 0 else { throw .inputOutput(path: path, cause: lastErrorText()) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .notADirectory(path: path) }
        guard access(path, R_OK | W_OK | X_OK) == 0 else { throw .notWritable(path: path, cause: lastErrorText()) }
        guard let resolved = realpath(path, nil) else { throw .inputOutput(path: path, cause: lastErrorText()) }
        // SQLite refuses symbolic links anywhere in a name; the directory itself may be reached through some.
        let directory = String(cString: resolved)
        free(resolved)

        for name in ["lock", "sendmarks", "records.db", "records.db-wal", "records.db-shm"] {
            try Self.checkRegular(directory + "/" + name)
        }
        let lock = try Self.takeLock(directory)
        self.path = directory
        self.lock = lock
    }

    deinit {
        close(lock)
    }

    private static func checkRegular(_ path: String) throws(StoreOpenError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            guard errno == ENOENT else { throw .inputOutput(path: path, cause: lastErrorText()) }
            return
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile(path: path) }
    }

    /// A lock of the open file description: gone with the process, however it ends, and not confused by a reused
    /// process id.
    private static func takeLock(_ directory: String) throws(StoreOpenError) -> Int32 {
        let path = directory + "/lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .notWritable(path: path, cause: lastErrorText()) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let cause = errno
            let holder = readAll(descriptor, bytesMax: 256).map {
                String(decoding: $0.prefix { $0 != 0x0A }, as: UTF8.self)
            }
            close(descriptor)
            guard cause == EWOULDBLOCK else { throw .inputOutput(path: path, cause: errorText(cause)) }
            throw .locked(path: directory, holder: holder.flatMap { $0.isEmpty ? nil : $0 } ?? "another process")
        }
        let text = [UInt8]("process \(getpid())\n".utf8)
        // Only a courtesy to whoever is refused: a full disk must not stop the store from serving what it holds.
        _ = ftruncate(descriptor, 0)
        _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        return descriptor
    }

    /// Makes the database if there is none; else checks its header before SQLite sees it.
    func prepareDatabase() throws(StoreOpenError) {
        var status = stat()
        if stat(database, &status) == 0 {
            try Self.checkHeader(database, logBytes: Self.size(database + "-wal"))
            return
        }
        guard Self.size(database + "-wal") == nil else { throw .logWithoutDatabase(path: database + "-wal") }
        // A crash while it is made leaves only the other name.
        let temporary = database + ".new"
        for suffix in ["", "-wal", "-shm", "-journal"] { unlink(temporary + suffix) }
        let descriptor = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .notWritable(path: temporary, cause: lastErrorText()) }
        defer { close(descriptor) }
        do throws(StorageError) {
            try SQLiteEngine.create(path: temporary)
        } catch {
            throw .inputOutput(path: temporary, cause: "\(error)")
        }
        guard fsync(descriptor) == 0, rename(temporary, database) == 0 else {
            throw .inputOutput(path: database, cause: lastErrorText())
        }
        try sync()
    }

    /// Makes names durable.
    func sync() throws(StoreOpenError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .inputOutput(path: path, cause: lastErrorText()) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .inputOutput(path: path, cause: lastErrorText()) }
    }

    private static func size(_ path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }

    /// The fields of SQLite's 100-octet header, big endian: magic 0, page size 16, change counter 24, pages 28, user
    /// version 60, application id 68, "version valid for" 92.
    private static func checkHeader(_ path: String, logBytes: Int?) throws(StoreOpenError) {
        let descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw .notWritable(path: path, cause: lastErrorText()) }
        defer { close(descriptor) }
        let fileBytes = size(path) ?? 0
        guard fileBytes > 0 else { throw .truncated(path: path) }
        var header = [UInt8](repeating: 0, count: 100)
        let count = header.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, 100, 0) }
        guard count >= 0 else { throw .inputOutput(path: path, cause: lastErrorText()) }
        let magic = [UInt8]("SQLite format 3\u{0}".utf8)
        guard header[..<min(count, 16)].elementsEqual(magic[..<min(count, 16)]) else { throw .foreign(path: path) }
        guard count == 100 else { throw .truncated(path: path) }
        func word(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 << 8 | UInt32(header[offset + $1]) }
        }
        guard word(68) == SQLiteEngine.applicationID else { throw .foreign(path: path) }
        guard word(60) <= SQLiteEngine.formatVersion else {
            throw .newerFormat(path: path, version: word(60), supported: SQLiteEngine.formatVersion)
        }
        guard word(60) != 0, Int(header[16]) << 8 | Int(header[17]) == SQLiteEngine.pageBytes else {
            throw .corrupt(path: path, cause: "header")
        }
        // While the log holds frames the file may be in the middle of a checkpoint, which the log completes.
        let isWhole = Int(word(28)) * SQLiteEngine.pageBytes <= fileBytes && fileBytes % SQLiteEngine.pageBytes == 0
        guard isWhole || (logBytes ?? 0) > 32 else { throw .truncated(path: path) }
    }
}
