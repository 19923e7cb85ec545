internal import Dispatch
internal import Idempotency
internal import Synchronization

/// What a look at every row yields.
struct RecordScan {
    var index = RecordIndex()
    var unknowns = 0
    /// Rows that say in flight.
    var open: [RecordRow.OpenClaim] = []
    var corruptRows = 0
    var lastID: UInt64 = 0
    /// Rows sealed under each key.
    var sealedRows: [KeyRing.KeyID: Int] = [:]

    /// Id ranges per connection: records cluster by retention, so many small ranges share the work evenly.
    private static let rangesPerConnection: UInt64 = 64
    private static let blockRows = 4096

    /// Reads all rows with several connections at once, each verified by its checksum.
    static func run(database: String, bounds: ClosedRange<UInt64>?, connections: Int) throws(StorageError) -> RecordScan
    {
        guard let bounds else { return RecordScan() }
        let shared = Shared()
        let ranges = rangesPerConnection * UInt64(connections)
        let width = (bounds.upperBound - bounds.lowerBound) / ranges + 1
        let next = Atomic<UInt64>(0)
        DispatchQueue.concurrentPerform(iterations: connections) { _ in
            do throws(StorageError) {
                let reader = try Reader(database: database)
                while true {
                    let range = next.add(1, ordering: .relaxed).oldValue
                    guard range < ranges, bounds.lowerBound + range * width <= bounds.upperBound else { return }
                    let first = bounds.lowerBound + range * width
                    let last = min(first + (width - 1), bounds.upperBound)
                    try reader.read(first...last, into: shared)
                }
            } catch {
                shared.state.withLock { $0.error = $0.error ?? error }
            }
        }
        return try shared.take()
    }

    private final class Shared: Sendable {
        struct State {
            var scan = RecordScan()
            var error: StorageError?
        }

        let state = Mutex(State())

        func take() throws(StorageError) -> RecordScan {
            let (scan, error) = state.withLock { state in
                let result = (state.scan, state.error)
                state.scan = RecordScan()
                return result
            }
            if let error { throw error }
            return scan
        }
    }

    /// Rows read by one connection before they are merged.
    private struct Block {
        var entries: [(hash: UInt64, id: UInt64)] = []
        var open: [RecordRow.OpenClaim] = []
        var unknowns = 0
        var corruptRows = 0
        var sealedRows: [KeyRing.KeyID: Int] = [:]
    }

    private struct Reader: ~Copyable {
        let connection: SQLiteConnection
        let select: SQLiteStatement

        init(database: String) throws(StorageError) {
            let connection = try SQLiteConnection(path: database, mode: .readOnly)
            try connection.execute("PRAGMA cache_size=-4096")
            let select = try connection.prepare("SELECT id, row FROM rec WHERE id BETWEEN ?1 AND ?2")
            self.connection = connection
            self.select = select
        }

        func read(_ ids: ClosedRange<UInt64>, into shared: Shared) throws(StorageError) {
            var block = Block()
            block.entries.reserveCapacity(RecordScan.blockRows)
            select.bind(1, ids.lowerBound)
            select.bind(2, ids.upperBound)
            while try select.step(connection) {
                let id = select.integer(0)
                let octets = select.octets(1)
                guard let head = RecordRow.head(id: id, octets: octets) else {
                    block.corruptRows += 1
                    continue
                }
                block.entries.append((head.keyHash, id))
                if head.state == .unknown { block.unknowns += 1 }
                if let keyID = head.keyID { block.sealedRows[keyID, default: 0] += 1 }
                if head.state == .inFlight { block.open.append(RecordRow.openClaim(id: id, octets: octets)) }
                if block.entries.count == RecordScan.blockRows { merge(&block, into: shared) }
            }
            merge(&block, into: shared)
        }

        private func merge(_ block: inout Block, into shared: Shared) {
            shared.state.withLock { state in
                for entry in block.entries {
                    state.scan.index.insert(hash: entry.hash, id: entry.id)
                    state.scan.lastID = max(state.scan.lastID, entry.id)
                }
                state.scan.open += block.open
                state.scan.unknowns += block.unknowns
                state.scan.corruptRows += block.corruptRows
                for (keyID, rows) in block.sealedRows { state.scan.sealedRows[keyID, default: 0] += rows }
            }
            block.entries.removeAll(keepingCapacity: true)
            block.open.removeAll()
            block.unknowns = 0
            block.corruptRows = 0
            block.sealedRows.removeAll(keepingCapacity: true)
        }
    }
}
