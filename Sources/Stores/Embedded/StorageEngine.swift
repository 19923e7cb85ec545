internal import Idempotency

/// What makes records durable. Every call is on the storage queue. Row ids rise with the time of expiry.
protocol StorageEngine: AnyObject {
    /// Nil: what is written is written plain.
    var sealer: RecordSealer? { get set }
    /// Applies all operations as one, or none. `isSynced`: survives a power cut when this returns.
    func commit(_ operations: [StorageOperation], isSynced: Bool) throws(StorageError)
    func read(_ id: UInt64) throws(StorageError) -> StoredRow
    /// The octets of the answer or tombstone that stands beside a row.
    func readAnswer(of row: RecordRow) throws(StorageError) -> StoredAnswer
    /// The octets at a place and those after it in the same piece. `mustBeSealed`: a plain piece there is not ours.
    func readPiece(_ place: BodyPiece.Place, mustBeSealed: Bool) throws(StorageError) -> StoredAnswer
    /// Where the first pieces of a body begin.
    func pieceOffsets(of id: UInt64, countMax: Int) throws(StorageError) -> [UInt64]
    /// The lowest id with `first ≤ id < end` of which there is a piece.
    func firstPiece(from first: UInt64, below end: UInt64) throws(StorageError) -> UInt64?
    /// The rows with `first ≤ id < end`, in the order of their ids, at most `countMax`.
    func rows(from first: UInt64, to end: UInt64, countMax: Int) throws(StorageError) -> [StoredRow]
    /// Work that may wait until the replies of a commit are out.
    func tidy() throws(StorageError)
    func bytesUsed() throws(StorageError) -> UInt64
    /// `isIntact` false: leaves the files as they are, for the next opening to verify.
    func close(isIntact: Bool)
}

enum StorageOperation {
    /// The id may be taken; the commit then fails with `.idTaken`.
    case insert(RecordRow)
    case update(RecordRow)
    /// The claim in this row has lost its owner; nothing else of the row changes, whether it can be read or not.
    case orphan(id: UInt64, cause: UnknownCause, nowMilliseconds: UInt64)
    case insertAnswer(id: UInt64, key: RecordKey, octets: [UInt8])
    case insertPiece(BodyPiece.Place, [UInt8])
    case removePieces(id: UInt64, through: UInt64)
    /// No answer stands for the body of this id.
    case loosen(id: UInt64)
    case fasten(id: UInt64)
    case remove(id: UInt64)
    case removeRange(ClosedRange<UInt64>)
}

enum StoredRow: Equatable {
    case row(RecordRow)
    /// Sealed, and not opened: the fingerprint, status and size are zero.
    case unreadable(RecordRow, SealError)
    case corrupt(id: UInt64)
    case absent
}

enum StoredAnswer {
    case octets([UInt8])
    case unreadable(SealError)
    case absent
}

enum StorageError: Error, Equatable {
    /// The device, a quota or a size limit is full; what is stored is intact.
    case full
    case idTaken(id: UInt64)
    /// Anything after which only a fresh look at the files can be trusted.
    case failed(code: Int32, isSync: Bool)
    /// The scan found rows that do not pass their checksum.
    case corruptRows(Int)
    /// The cipher failed, which it does for want of memory or randomness only.
    case sealing
}

extension StorageError {
    /// A page or the file contradicts itself (SQLITE_CORRUPT, SQLITE_NOTADB).
    var isCorruption: Bool {
        if case .failed(let code, _) = self { return code & 0xFF == 11 || code & 0xFF == 26 }
        return false
    }
}
