package import Idempotency

/// What an operator should know of an embedded store's keys, each told once for each key id and ring.
package enum EmbeddedStoreNotice: Sendable, Equatable {
    /// At the opening: records that cannot be read, and are therefore refused, never run again.
    case keyMissing(KeyRing.KeyID, records: Int)
    /// A request met a record that is sealed under a key that is not in the ring.
    case recordUnreadable(RecordKey, KeyRing.KeyID)
    /// A new ring was not taken: OpenSSL offers no AES-256-GCM, no memory or no randomness.
    case cipherUnavailable
}

extension EmbeddedStoreNotice: CustomStringConvertible {
    /// One line.
    package var description: String {
        switch self {
        case .keyMissing(let id, let records):
            "store: \(records) record\(records == 1 ? "" : "s") need\(records == 1 ? "s" : "") key \(id), "
                + "which is not in the key ring"
        case .recordUnreadable(let key, let id):
            "store: record \(key.hexadecimal) needs key \(id), which is not in the key ring"
        case .cipherUnavailable: "store: OpenSSL offers no AES-256-GCM"
        }
    }
}
