internal import CSQLite
internal import Idempotency
internal import Transport

/// SQLite as a time-ordered log. Both tables are appended to at the edge of their retention, so a commit touches few
/// pages, and expiry is a range at the front; there is no index on disk.
///
/// ```
/// rec (id INTEGER PRIMARY KEY, row BLOB)       RecordRow
/// resp(id INTEGER PRIMARY KEY, answer BLOB)    RecordCoding, sealed or plain, written with the outcome
/// piece, loose                                 SQLitePieces
/// ```
/// One connection does all writes and checkpoints (SQLite 3.40.1 can lose a reset of the log otherwise).
final class SQLiteEngine: StorageEngine {
    static let applicationID: UInt32 = 0x4F47_5253
    /// 2: rows and answers can be sealed, bodies stand in pieces. 3: rows tell when an outcome became unknown, and how
    /// it came to be known.
    static let formatVersion: UInt32 = 3
    static let pageBytes = 4096
    /// Pages in the log after which it is copied into the database.
    private static let checkpointPages = 1000

    private let connection: SQLiteConnection
    private let begin: SQLiteStatement
    private let commitStatement: SQLiteStatement
    private let insertRow: SQLiteStatement
    private let updateRow: SQLiteStatement
    private let insertAnswer: SQLiteStatement
    private let removeRow: SQLiteStatement
    private let removeAnswer: SQLiteStatement
    private let removeRows: SQLiteStatement
    private let removeAnswers: SQLiteStatement
    private let selectRow: SQLiteStatement
    private let selectAnswer: SQLiteStatement
    private let selectRows: SQLiteStatement
    private let pageCount: SQLiteStatement
    private let freePageCount: SQLiteStatement

    /// Nil until `takeOver`.
    private var pieces: SQLitePieces?
    var sealer: RecordSealer?
    private let rowBuffer = UnsafeMutableRawPointer.allocate(byteCount: RecordRow.bytesMax, alignment: 8)
    /// Written by the log hook.
    private let logPages = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
    private var isSynced = true

    /// Opens an existing database, replaying its log into the view of this connection; writes nothing but shared
    /// memory.
    init(path: String) throws(StorageError) {
        logPages.initialize(to: 0)
        connection = try SQLiteConnection(path: path, mode: .readWrite)
        oncegate_sqlite3_set_checkpoint_on_close(connection.handle, 0)
        try connection.execute(
            """
            PRAGMA synchronous=FULL; PRAGMA cache_size=-32768; PRAGMA temp_store=MEMORY; PRAGMA secure_delete=OFF;
            PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864; PRAGMA busy_timeout=0;
            """)
        begin = try connection.prepare("BEGIN IMMEDIATE")
        commitStatement = try connection.prepare("COMMIT")
        insertRow = try connection.prepare("INSERT INTO rec(id, row) VALUES(?1, ?2)")
        updateRow = try connection.prepare("UPDATE rec SET row = ?2 WHERE id = ?1")
        insertAnswer = try connection.prepare("INSERT OR REPLACE INTO resp(id, answer) VALUES(?1, ?2)")
        removeRow = try connection.prepare("DELETE FROM rec WHERE id = ?1")
        removeAnswer = try connection.prepare("DELETE FROM resp WHERE id = ?1")
        removeRows = try connection.prepare("DELETE FROM rec WHERE id BETWEEN ?1 AND ?2")
        removeAnswers = try connection.prepare("DELETE FROM resp WHERE id BETWEEN ?1 AND ?2")
        selectRow = try connection.prepare("SELECT row FROM rec WHERE id = ?1")
        selectAnswer = try connection.prepare("SELECT answer FROM resp WHERE id = ?1")
        selectRows = try connection.prepare("SELECT id, row FROM rec WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")
        pageCount = try connection.prepare("PRAGMA page_count")
        freePageCount = try connection.prepare("PRAGMA freelist_count")
        sqlite3_wal_hook(
            connection.handle,
            { context, _, _, pages in
                context?.assumingMemoryBound(to: Int32.self).pointee = pages
                return SQLITE_OK
            }, logPages)
    }

    deinit {
        rowBuffer.deallocate()
        logPages.deallocate()
    }

    /// Keeps every other connection out from here on, which also saves the locks of each transaction, and brings an
    /// earlier format up to this one.
    func takeOver() throws(StorageError) {
        try connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        if try connection.integer("PRAGMA user_version") < Self.formatVersion {
            try connection.execute("BEGIN; \(SQLitePieces.schema) PRAGMA user_version=\(Self.formatVersion); COMMIT")
        }
        pieces = try SQLitePieces(connection)
    }

    /// Copies the whole log into the database and syncs both: what was readable before is durable afterwards.
    func checkpointAll() throws(StorageError) {
        let code = sqlite3_wal_checkpoint_v2(connection.handle, nil, SQLITE_CHECKPOINT_TRUNCATE, nil, nil)
        guard code == SQLITE_OK else { throw connection.error(code) }
        logPages.pointee = 0
    }

    /// The lowest and the highest id; nil when there is no record.
    func idBounds() throws(StorageError) -> ClosedRange<UInt64>? {
        guard try connection.integer("SELECT EXISTS(SELECT 1 FROM rec)") != 0 else { return nil }
        let first = UInt64(bitPattern: try connection.integer("SELECT min(id) FROM rec"))
        let last = UInt64(bitPattern: try connection.integer("SELECT max(id) FROM rec"))
        return first <= last ? first...last : nil
    }

    func commit(_ operations: [StorageOperation], isSynced: Bool) throws(StorageError) {
        if isSynced != self.isSynced {
            try connection.execute(isSynced ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL")
            self.isSynced = isSynced
        }
        do throws(StorageError) {
            try begin.run(connection)
            var hasClaim = false
            var hasOutcome = false
            for operation in operations {
                try apply(operation)
                switch operation {
                case .insert: hasClaim = true
                case .insertAnswer: hasOutcome = true
                default: break
                }
            }
            if hasClaim { CrashPoint.reach(.claimWritten) }
            if hasOutcome { CrashPoint.reach(.outcomeWritten) }
            try commitStatement.run(connection)
        } catch {
            // Rolled back already after most I/O errors; a second failure shows in the next transaction.
            if connection.isInTransaction { try? connection.execute("ROLLBACK") }
            throw error
        }
    }

    private func apply(_ operation: StorageOperation) throws(StorageError) {
        switch operation {
        case .insert(let row):
            do throws(StorageError) {
                try bindAndRun(insertRow, row)
            } catch .failed(SQLITE_CONSTRAINT | 6 << 8, _) {
                // SQLITE_CONSTRAINT_PRIMARYKEY, an expression that Swift does not import.
                throw .idTaken(id: row.id)
            }
        case .update(let row):
            try bindAndRun(updateRow, row)
        case .orphan(let id, let cause, let now):
            selectRow.bind(1, id)
            guard try selectRow.step(connection) else { return }
            let size = RecordRow.orphan(
                id: id, octets: selectRow.octets(0), cause: cause, nowMilliseconds: now, to: rowBuffer)
            selectRow.reset()
            updateRow.bind(1, id)
            updateRow.bind(2, octets: UnsafeRawBufferPointer(start: rowBuffer, count: size))
            try updateRow.run(connection)
        case .insertAnswer(let id, let key, let octets):
            let stored = try seal(octets, RecordSealer.Place(kind: .answer, key: key, epoch: id))
            insertAnswer.bind(1, id)
            try insertAnswer.run(connection, 2, stored)
        case .insertPiece(let place, let octets):
            let stored = sealer == nil ? BodyPiece.encode(octets, place) : try seal(octets, place.sealed)
            try pieces?.insert(stored, id: place.epoch, at: place.offset, connection)
        case .removePieces(let id, let offset): try pieces?.remove(id: id, through: offset, connection)
        case .loosen(let id): try pieces?.setLoose(true, id: id, connection)
        case .fasten(let id): try pieces?.setLoose(false, id: id, connection)
        case .remove(let id):
            removeRow.bind(1, id)
            try removeRow.run(connection)
            removeAnswer.bind(1, id)
            try removeAnswer.run(connection)
        case .removeRange(let ids):
            removeRows.bind(1, ids.lowerBound)
            removeRows.bind(2, ids.upperBound)
            try removeRows.run(connection)
            removeAnswers.bind(1, ids.lowerBound)
            removeAnswers.bind(2, ids.upperBound)
            try removeAnswers.run(connection)
        }
    }

    private func bindAndRun(_ statement: borrowing SQLiteStatement, _ row: RecordRow) throws(StorageError) {
        let size = try row.encode(to: rowBuffer, sealer: sealer)
        statement.bind(1, row.id)
        statement.bind(2, octets: UnsafeRawBufferPointer(start: rowBuffer, count: size))
        try statement.run(connection)
    }

    private func seal(_ octets: [UInt8], _ place: RecordSealer.Place) throws(StorageError) -> [UInt8] {
        guard let sealer else { return octets }
        let result = octets.withUnsafeBytes { (octets) -> Result<[UInt8], StorageError> in
            Result { () throws(StorageError) in try sealer.sealed(octets, place) }
        }
        return try result.get()
    }

    func read(_ id: UInt64) throws(StorageError) -> StoredRow {
        selectRow.bind(1, id)
        guard try selectRow.step(connection) else { return .absent }
        defer { selectRow.reset() }
        return RecordRow.stored(id: id, octets: selectRow.octets(0), sealer: sealer)
    }

    func readAnswer(of row: RecordRow) throws(StorageError) -> StoredAnswer {
        selectAnswer.bind(1, row.id)
        guard try selectAnswer.step(connection) else { return .absent }
        defer { selectAnswer.reset() }
        let stored = selectAnswer.octets(0)
        guard row.isAnswerSealed || RecordSealer.isSealed(stored) else { return .octets([UInt8](stored)) }
        do throws(SealError) {
            let place = RecordSealer.Place(kind: .answer, key: row.key, epoch: row.id)
            return .octets(try RecordSealer.opened(stored, place, sealer))
        } catch {
            return .unreadable(error)
        }
    }

    func readPiece(_ place: BodyPiece.Place, mustBeSealed: Bool) throws(StorageError) -> StoredAnswer {
        let sealer = sealer
        let found = try pieces?.read(id: place.epoch, at: place.offset, connection) { offset, stored in
            var whole = place
            whole.offset = offset
            return BodyPiece.read(stored, whole, from: place.offset, sealer, mustBeSealed: mustBeSealed)
        }
        return found ?? .absent
    }

    func pieceOffsets(of id: UInt64, countMax: Int) throws(StorageError) -> [UInt64] {
        try pieces?.offsets(of: id, countMax: countMax, connection) ?? []
    }

    func firstPiece(from first: UInt64, below end: UInt64) throws(StorageError) -> UInt64? {
        try pieces?.firstID(from: first, below: end, connection)
    }

    /// Bodies for which no answer stands.
    func looseBodies() throws(StorageError) -> [UInt64] {
        var ids: [UInt64] = []
        let select = try connection.prepare("SELECT id FROM loose")
        while try select.step(connection) { ids.append(select.integer(0)) }
        return ids
    }

    func rows(from first: UInt64, to end: UInt64, countMax: Int) throws(StorageError) -> [StoredRow] {
        var rows: [StoredRow] = []
        selectRows.bind(1, first)
        selectRows.bind(2, end)
        selectRows.bind(3, UInt64(countMax))
        while try selectRows.step(connection) {
            let id = selectRows.integer(0)
            rows.append(RecordRow.stored(id: id, octets: selectRows.octets(1), sealer: sealer))
        }
        return rows
    }

    func tidy() throws(StorageError) {
        guard logPages.pointee >= Self.checkpointPages else { return }
        CrashPoint.reach(.duringCheckpoint)
        let code = sqlite3_wal_checkpoint_v2(connection.handle, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
        guard code == SQLITE_OK else { throw connection.error(code) }
        logPages.pointee = 0
    }

    func bytesUsed() throws(StorageError) -> UInt64 {
        let pages = try first(pageCount)
        let free = try first(freePageCount)
        return (pages > free ? pages - free : 0) * UInt64(Self.pageBytes)
    }

    private func first(_ statement: borrowing SQLiteStatement) throws(StorageError) -> UInt64 {
        guard try statement.step(connection) else { return 0 }
        defer { statement.reset() }
        return statement.integer(0)
    }

    func close(isIntact: Bool) {
        oncegate_sqlite3_set_checkpoint_on_close(connection.handle, isIntact ? 1 : 0)
    }
}

extension SQLiteEngine {
    /// Makes an empty database at `path`, which must not exist, whole before its name appears.
    static func create(path: String) throws(StorageError) {
        let connection = try SQLiteConnection(path: path, mode: .readWrite)
        try connection.execute(
            """
            PRAGMA page_size=\(pageBytes); PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
            BEGIN;
            CREATE TABLE rec(id INTEGER PRIMARY KEY, row BLOB NOT NULL);
            CREATE TABLE resp(id INTEGER PRIMARY KEY, answer BLOB NOT NULL);
            \(SQLitePieces.schema)
            PRAGMA application_id=\(applicationID);
            PRAGMA user_version=\(formatVersion);
            COMMIT;
            """)
    }
}
