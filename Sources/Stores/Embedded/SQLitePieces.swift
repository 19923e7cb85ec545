internal import Idempotency

/// The tables of bodies that stand in pieces.
///
/// ```
/// piece(id, at, octets BLOB, PRIMARY KEY(id, at)) WITHOUT ROWID   BodyPiece: octets at that offset of a body
/// loose(id INTEGER PRIMARY KEY)                                   bodies for which no answer stands: being received,
///                                                                 or to be removed
/// ```
/// Ids are those of `rec`, so pieces lie in the order of expiry too. `loose` finds after a crash what nobody completes.
final class SQLitePieces {
    private let insertPiece: SQLiteStatement
    private let selectPiece: SQLiteStatement
    private let selectOffsets: SQLiteStatement
    private let selectFirst: SQLiteStatement
    private let removePieces: SQLiteStatement
    private let insertLoose: SQLiteStatement
    private let removeLoose: SQLiteStatement

    static let schema = """
        CREATE TABLE IF NOT EXISTS piece(
            id INTEGER NOT NULL, at INTEGER NOT NULL, octets BLOB NOT NULL, PRIMARY KEY(id, at)) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS loose(id INTEGER PRIMARY KEY);
        """

    init(_ connection: borrowing SQLiteConnection) throws(StorageError) {
        insertPiece = try connection.prepare("INSERT INTO piece(id, at, octets) VALUES(?1, ?2, ?3)")
        selectPiece = try connection.prepare(
            "SELECT at, octets FROM piece WHERE id = ?1 AND at <= ?2 ORDER BY at DESC LIMIT 1")
        selectOffsets = try connection.prepare("SELECT at FROM piece WHERE id = ?1 ORDER BY at LIMIT ?2")
        selectFirst = try connection.prepare("SELECT id FROM piece WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1")
        removePieces = try connection.prepare("DELETE FROM piece WHERE id = ?1 AND at <= ?2")
        insertLoose = try connection.prepare("INSERT OR IGNORE INTO loose(id) VALUES(?1)")
        removeLoose = try connection.prepare("DELETE FROM loose WHERE id = ?1")
    }

    func insert(_ stored: [UInt8], id: UInt64, at offset: UInt64, _ connection: borrowing SQLiteConnection)
        throws(StorageError)
    {
        insertPiece.bind(1, id)
        insertPiece.bind(2, offset)
        try insertPiece.run(connection, 3, stored)
    }

    /// Calls `body` with the piece that has the octet at `offset`, or the last before it.
    func read<Result>(
        id: UInt64, at offset: UInt64, _ connection: borrowing SQLiteConnection,
        _ body: (_ offset: UInt64, _ stored: UnsafeRawBufferPointer) -> Result
    ) throws(StorageError) -> Result? {
        selectPiece.bind(1, id)
        selectPiece.bind(2, offset)
        guard try selectPiece.step(connection) else { return nil }
        defer { selectPiece.reset() }
        return body(selectPiece.integer(0), selectPiece.octets(1))
    }

    func offsets(of id: UInt64, countMax: Int, _ connection: borrowing SQLiteConnection) throws(StorageError)
        -> [UInt64]
    {
        var offsets: [UInt64] = []
        selectOffsets.bind(1, id)
        selectOffsets.bind(2, UInt64(countMax))
        while try selectOffsets.step(connection) { offsets.append(selectOffsets.integer(0)) }
        return offsets
    }

    func firstID(from start: UInt64, below end: UInt64, _ connection: borrowing SQLiteConnection)
        throws(StorageError) -> UInt64?
    {
        selectFirst.bind(1, start)
        selectFirst.bind(2, end)
        guard try selectFirst.step(connection) else { return nil }
        defer { selectFirst.reset() }
        return selectFirst.integer(0)
    }

    func remove(id: UInt64, through offset: UInt64, _ connection: borrowing SQLiteConnection) throws(StorageError) {
        removePieces.bind(1, id)
        removePieces.bind(2, offset)
        try removePieces.run(connection)
    }

    func setLoose(_ isLoose: Bool, id: UInt64, _ connection: borrowing SQLiteConnection) throws(StorageError) {
        if isLoose {
            insertLoose.bind(1, id)
            try insertLoose.run(connection)
        } else {
            removeLoose.bind(1, id)
            try removeLoose.run(connection)
        }
    }
}
