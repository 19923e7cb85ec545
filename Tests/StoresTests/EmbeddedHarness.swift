import CSQLite
import Glibc
import Idempotency
import Stores
import Testing

/// An embedded store on a directory that outlives it. Dropped without `close`, it leaves the files as kill -9 does.
final class EmbeddedHarness: Sendable {
    let store: EmbeddedStore
    let replies = Replies()
    let clock = TestClock()
    let lockPath: String
    private let calls: StoreCalls

    init(_ directory: TemporaryDirectory, _ adjust: (inout EmbeddedStoreOptions) -> Void = { _ in }) throws {
        var options = EmbeddedStoreOptions(directory: directory.path + "/store")
        options.clock = clock.storeClock
        adjust(&options)
        lockPath = options.directory + "/lock"
        let replies = replies
        store = try EmbeddedStore(options: options) { replies.take(worker: $0, $1) }
        calls = StoreCalls(store: store, replies: replies)
    }

    func claim(_ claim: Claim) -> StoreResult { calls.claim(claim) }
    func submit(_ claim: Claim) -> ReplyAddress { calls.submit(claim) }
    func claimed(_ claim: Claim, sourceLocation: SourceLocation = #_sourceLocation) throws -> ClaimReference {
        try calls.claimed(claim, sourceLocation: sourceLocation)
    }
    func join(_ claim: Claim) -> ReplyAddress { calls.join(claim) }
    func complete(_ reference: ClaimReference, _ outcome: Outcome) -> StoreResult { calls.complete(reference, outcome) }
    func append(_ reference: ClaimReference, _ octets: [UInt8]) -> StoreResult { calls.append(reference, octets) }
    func read(_ reference: ClaimReference, _ offset: UInt64, _ countMax: Int) -> StoreResult {
        calls.read(reference, offset, countMax)
    }
    func body(_ reference: ClaimReference, _ count: Int) -> [UInt8]? { calls.body(reference, count) }
    func list(_ filter: RecordFilter = RecordFilter()) -> [RecordSummary] { calls.list(filter) }
    func resolve(_ key: RecordKey, _ resolution: Resolution) -> StoreResult { calls.resolve(key, resolution) }
    @discardableResult
    func record(_ number: UInt64, _ text: String = "done") throws -> ClaimReference { try calls.record(number, text) }
    func settle() { calls.settle() }
}

/// Drops the store as it is; returns when its files are given up, as they are after kill -9.
func crash(_ harness: inout EmbeddedHarness?) {
    guard let lock = harness?.lockPath else { return }
    harness = nil
    // The storage queue may still hold the store for the rest of a batch.
    let descriptor = open(lock, O_RDWR)
    defer { close(descriptor) }
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 { sched_yield() }
}

// MARK: Files

func mode(_ path: String) -> mode_t {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
}

func fileSize(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : -1
}

func readFile(_ path: String) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_NONBLOCK)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var octets = [UInt8](repeating: 0, count: fileSize(path))
    let count = octets.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    return Array(octets.prefix(max(0, count)))
}

func writeFile(_ path: String, _ octets: some Sequence<UInt8>) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    precondition(descriptor >= 0)
    defer { close(descriptor) }
    let octets = Array(octets)
    let count = octets.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    precondition(count == octets.count)
}

func overwrite(_ path: String, at offset: Int, with octets: [UInt8]) {
    let descriptor = open(path, O_WRONLY)
    precondition(descriptor >= 0)
    defer { close(descriptor) }
    let count = octets.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
    precondition(count == octets.count)
}

/// Runs statements on the database of a store that is closed.
func runSQL(_ directory: TemporaryDirectory, _ sql: String) throws {
    var handle: OpaquePointer?
    defer { sqlite3_close(handle) }
    try #require(sqlite3_open(directory.path + "/store/records.db", &handle) == SQLITE_OK)
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    try #require(code == SQLITE_OK, "\(String(cString: sqlite3_errmsg(handle)))")
}

/// Copies the files of a store's directory.
func copyStore(_ source: String, to target: String) {
    mkdir(target, 0o700)
    for name in ["records.db", "records.db-wal", "sendmarks"] where fileSize(source + "/" + name) >= 0 {
        writeFile(target + "/" + name, readFile(source + "/" + name))
    }
}
