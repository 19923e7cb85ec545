import Idempotency
import Transport

/// A covered request's body: in memory, or, once it has grown past the threshold, in a spool file. Whoever needs it
/// whole asks `Exchange.withWholeBody`.
struct RequestBody {
    /// What is in no piece of the file: all of a small body; of a large one what came since the last piece.
    var memory: [UInt8] = []
    /// Nil while the body is small.
    var spooled: SpooledBody?

    var count: Int { memory.count + (spooled?.bytes ?? 0) }

    var isEmpty: Bool { memory.isEmpty && spooled == nil }

    /// A piece is on its way to the file; nothing more is taken until it is there.
    var isWriting: Bool { spooled?.isWriting == true }

    mutating func append(_ octets: Span<UInt8>) {
        memory.append(octets)
    }

    /// The octet at an index below five, whatever has become of the rest: gRPC's message head.
    func head(_ index: Int) -> UInt8 {
        guard let spooled else { return memory[index] }
        return spooled.head[index]
    }
}

/// The part of a body that is in its file. On its worker only.
final class SpooledBody {
    let spool: Spool
    /// Nil until the first piece is written.
    var file: SpoolFile?
    private(set) var pieces: [SpoolFile.Piece] = []
    /// Of all pieces, and of the one on its way.
    private(set) var bytes = 0
    /// What is counted against the limit of all files.
    private(set) var reservedBytes = 0
    let head: [UInt8]
    var isWriting = false
    /// The fingerprint over the body's octets so far; nil where the claim did not wait for the body.
    var hashed: PendingIdentity?

    // Towards the service.
    /// Which attempt at sending this is; 0 = none yet. What was read for an earlier one is dropped.
    private(set) var sending = 0
    var nextPiece = 0
    var isReading = false

    init(_ spool: Spool, head: [UInt8], hashed: PendingIdentity?) {
        self.spool = spool
        self.head = head
        self.hashed = hashed
        spool.fileOpened()
    }

    /// Counts octets against the limit before they are written.
    func reserve(upTo count: Int, bytesMax: Int) -> Bool {
        guard count > reservedBytes else { return true }
        guard spool.reserve(count - reservedBytes, bytesMax: bytesMax) else { return false }
        reservedBytes = count
        return true
    }

    /// A piece goes to the file. Returns its number and offset.
    func beginPiece(_ count: Int) -> (number: UInt32, offset: UInt64) {
        isWriting = true
        defer { bytes += count }
        return (UInt32(pieces.count), UInt64(bytes))
    }

    func endPiece(_ file: SpoolFile, _ piece: SpoolFile.Piece) {
        isWriting = false
        self.file = file
        pieces.append(piece)
    }

    func startSending() {
        sending += 1
        nextPiece = 0
        isReading = false
    }

    /// The exchange needs it no more. Work that is under way keeps the file until it is done.
    func close() {
        spool.release(reservedBytes)
        reservedBytes = 0
        let file = self.file
        self.file = nil
        spool.close(file)
    }
}
