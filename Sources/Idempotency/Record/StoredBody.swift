/// Bodies that are larger than a record should hold in one piece: stored while they are received, read in slices.
package enum StoredBody {
    /// The largest piece in which a store keeps octets; an answer up to this size needs none.
    package static let pieceBytes = 64 << 10
    /// How long a body can still be read after its record expired or was replaced by another attempt.
    package static let graceMilliseconds: UInt64 = 600_000

    package enum Result: Sendable, Equatable {
        /// So many octets of the body are stored; they are durable with the outcome.
        case appended(bodyBytes: UInt64)
        /// The slice that was asked for, or the beginning of it.
        case octets([UInt8])
        /// To append: the claim is not the one that is open or unknown. To read: no such octets are recorded, or not
        /// any more.
        case stale
        /// To append: what was appended before is lost too, and the claim can complete only without it. To read: they
        /// stand and are damaged or cannot be opened (`.corrupt`), or the store is down.
        case refused(StoreRefusal)
    }
}
