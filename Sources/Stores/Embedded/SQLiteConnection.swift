internal import CSQLite
internal import Glibc

/// One connection, used by one thread at a time.
struct SQLiteConnection: ~Copyable {
    enum Mode {
        case create
        case readWrite
        case readOnly
    }

    let handle: OpaquePointer

    init(path: String, mode: Mode) throws(StorageError) {
        _ = Self.prepareLibrary
        var handle: OpaquePointer?
        let access =
            switch mode {
            case .create: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
            case .readWrite: SQLITE_OPEN_READWRITE
            case .readOnly: SQLITE_OPEN_READONLY
            }
        let flags = access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW
        let code = sqlite3_open_v2(path, &handle, flags, nil)
        guard code == SQLITE_OK, let handle else {
            sqlite3_close_v2(handle)
            throw .failed(code: code, isSync: false)
        }
        self.handle = handle
    }

    deinit {
        sqlite3_close_v2(handle)
    }

    func execute(_ sql: String) throws(StorageError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw error(code) }
    }

    /// The first column of the first row.
    func integer(_ sql: String) throws(StorageError) -> Int64 {
        let statement = try prepare(sql)
        guard try statement.step(self) else { return 0 }
        return sqlite3_column_int64(statement.pointer, 0)
    }

    func prepare(_ sql: String) throws(StorageError) -> SQLiteStatement {
        var pointer: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &pointer, nil)
        guard code == SQLITE_OK, let pointer else { throw error(code) }
        return SQLiteStatement(pointer: pointer)
    }

    var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    func error(_ code: Int32) -> StorageError {
        if code & 0xFF == SQLITE_FULL { return .full }
        // SQLite knows only ENOSPC as "full"; a quota or a size limit fails the write in the same harmless way.
        let system = sqlite3_system_errno(handle)
        if code & 0xFF == SQLITE_IOERR, !Self.isSync(code),
            system == EDQUOT || system == EFBIG || system == ENOSPC
        {
            return .full
        }
        return .failed(code: code, isSync: Self.isSync(code))
    }

    /// SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC, expressions that Swift does not import.
    private static func isSync(_ code: Int32) -> Bool {
        code == SQLITE_IOERR | 4 << 8 || code == SQLITE_IOERR | 5 << 8
    }

    private static let prepareLibrary: Void = {
        // Refused, harmlessly, if another user of the library was first.
        _ = oncegate_sqlite3_disable_memory_statistics()
        sqlite3_initialize()
    }()
}

struct SQLiteStatement: ~Copyable {
    let pointer: OpaquePointer

    deinit {
        sqlite3_finalize(pointer)
    }

    /// True when a row stands ready. At the end, and on an error, the statement is reset.
    func step(_ connection: borrowing SQLiteConnection) throws(StorageError) -> Bool {
        let code = sqlite3_step(pointer)
        if code == SQLITE_ROW { return true }
        sqlite3_reset(pointer)
        guard code == SQLITE_DONE else { throw connection.error(code) }
        return false
    }

    func run(_ connection: borrowing SQLiteConnection) throws(StorageError) {
        if try step(connection) { sqlite3_reset(pointer) }
    }

    /// Runs with these octets as one more parameter.
    func run(_ connection: borrowing SQLiteConnection, _ index: Int32, _ octets: [UInt8]) throws(StorageError) {
        let pointer = pointer
        let code = octets.withUnsafeBytes { octets in
            // A null pointer would bind NULL, not an empty blob.
            let start = octets.baseAddress ?? UnsafeRawPointer(pointer)
            _ = oncegate_sqlite3_bind_blob_static(pointer, index, start, Int32(octets.count))
            let code = sqlite3_step(pointer)
            sqlite3_reset(pointer)
            return code
        }
        guard code == SQLITE_DONE || code == SQLITE_ROW else { throw connection.error(code) }
    }

    func reset() {
        sqlite3_reset(pointer)
    }

    func bind(_ index: Int32, _ value: UInt64) {
        sqlite3_bind_int64(pointer, index, Int64(bitPattern: value))
    }

    /// The octets must stay until the statement is reset.
    func bind(_ index: Int32, octets: UnsafeRawBufferPointer) {
        // A null pointer would bind NULL, not an empty blob.
        let start = octets.baseAddress ?? UnsafeRawPointer(pointer)
        _ = oncegate_sqlite3_bind_blob_static(pointer, index, start, Int32(octets.count))
    }

    func integer(_ column: Int32) -> UInt64 {
        UInt64(bitPattern: sqlite3_column_int64(pointer, column))
    }

    /// Valid until the next step or reset.
    func octets(_ column: Int32) -> UnsafeRawBufferPointer {
        let start = sqlite3_column_blob(pointer, column)
        return UnsafeRawBufferPointer(
            start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(pointer, column)))
    }
}

extension StorageError {
    var text: String {
        switch self {
        case .full: "no space left"
        case .idTaken(let id): "row \(id) exists already"
        case .failed(let code, _): String(cString: sqlite3_errstr(code)) + " (SQLite \(code))"
        case .corruptRows(let count): "\(count) corrupt records"
        case .sealing: "the cipher failed"
        }
    }
}
