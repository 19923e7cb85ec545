internal import Idempotency

/// A store directory locked, verified, and brought to a state in which no claim of a dead process is open.
struct OpenedStore: ~Copyable {
    let directory: StoreDirectory
    let clock: StoreClock
    let owner: UInt64
    let marks: SendMarks
    let engine: SQLiteEngine
    let sealer: RecordSealer?
    let index: RecordIndex
    let unknowns: Int
    /// Bodies of attempts that nobody completes.
    let looseBodies: [UInt64]
    /// The highest id in use; 0 = none.
    let lastID: UInt64

    init(options: EmbeddedStoreOptions) throws(StoreOpenError) {
        var sealer: RecordSealer?
        if let ring = options.keyRing {
            guard let cipher = RecordSealer(ring) else { throw .cipherUnavailable }
            sealer = cipher
        }
        let clock = options.clock ?? .anchored()
        let directory = try StoreDirectory(path: options.directory)
        try directory.prepareDatabase()
        let database = directory.database
        var (engine, scan) = try Self.openEngine(database, connections: options.scanConnections)
        // Without a boot id nothing can be proven about marks, which a random one brings about.
        let bootID = options.bootID ?? readBootID() ?? (0..<16).map { _ in UInt8.random(in: 0...255) }
        let looseBodies: [UInt64]
        do throws(StorageError) {
            try engine.takeOver()
            let remains = SendMarks.Remains(path: directory.marks, bootID: bootID)
            try Self.resolve(&scan, remains, engine, nowMilliseconds: clock.milliseconds())
            looseBodies = try engine.looseBodies()
            try engine.checkpointAll()
        } catch {
            engine.close(isIntact: false)
            throw error == .full
                ? .notWritable(path: database, cause: "no space left") : .inputOutput(path: database, cause: error.text)
        }
        let owner = UInt64.random(in: 1...UInt64.max)
        // Only now: the old marks are needed until what follows from them is durable.
        let marks = try SendMarks(path: directory.marks, slotCount: options.markSlots, bootID: bootID, owner: owner)
        self.directory = directory
        self.clock = clock
        self.owner = owner
        self.marks = marks
        engine.sealer = sealer
        self.engine = engine
        self.sealer = sealer
        for (keyID, rows) in scan.sealedRows where sealer?.holds(keyID) != true {
            options.report?(.keyMissing(keyID, records: rows))
        }
        index = scan.index
        unknowns = scan.unknowns
        self.looseBodies = looseBodies
        lastID = scan.lastID
    }

    /// Opens the database and reads every row; changes nothing.
    static func openEngine(_ database: String, connections: Int) throws(StoreOpenError) -> (SQLiteEngine, RecordScan) {
        do throws(StorageError) {
            let engine = try SQLiteEngine(path: database)
            let scan = try RecordScan.run(
                database: database, bounds: engine.idBounds(), connections: max(1, connections))
            guard scan.corruptRows == 0 else { throw StorageError.corruptRows(scan.corruptRows) }
            return (engine, scan)
        } catch {
            if case .corruptRows(let count) = error { throw .corruptRows(path: database, count: count) }
            throw error.isCorruption
                ? .corrupt(path: database, cause: error.text) : .inputOutput(path: database, cause: error.text)
        }
    }

    /// Claims whose owner is dead: those that provably were not sent are free, the others unknown.
    private static func resolve(
        _ scan: inout RecordScan, _ remains: SendMarks.Remains?, _ engine: SQLiteEngine, nowMilliseconds now: UInt64
    ) throws(StorageError) {
        var operations: [StorageOperation] = []
        for row in scan.open {
            var mark = SendMarks.Mark.other
            if let remains, remains.owner == row.owner { mark = remains.mark(slot: row.markSlot, epoch: row.id) }
            switch mark {
            case .unsent:
                operations.append(.remove(id: row.id))
                scan.index.remove(hash: row.key.indexHash, id: row.id)
            case .sent, .other, .notStored:
                let cause = mark == .notStored ? UnknownCause.notStored : .ownerDied
                operations.append(.orphan(id: row.id, cause: cause, nowMilliseconds: now))
                scan.unknowns += 1
            }
        }
        scan.open = []
        if !operations.isEmpty { try engine.commit(operations, isSynced: true) }
    }
}
