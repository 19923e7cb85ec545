import Configuration
import Idempotency
import Observability
import Stores

/// What an operator reads about records at rest.
extension Log {
    /// At the start and after each reload: whether recorded answers are sealed. Without a key a warning, since whoever
    /// reads the disk or a copy of it then reads the answers.
    func noteSealing(_ store: Configuration.Store) {
        guard case .embedded(let embedded) = store else { return }
        if let key = embedded.keyRing?.keys.first {
            info("recorded answers are encrypted", .string("key_id", key.id.description))
        } else {
            warning(
                "recorded answers are stored in clear; to change it: `store embedded { encryption { key …; } }`",
                .string("directory", embedded.directory))
        }
    }

    /// Each notice tells of requests that are refused until a key is put back, hence of a lost guarantee.
    func note(_ notice: EmbeddedStoreNotice) {
        switch notice {
        case .keyMissing(let id, let records):
            error(
                "records need a key that is not in the key ring: they are not replayed, and their requests not run",
                .string("key_id", id.description), .int("records", records))
        case .recordUnreadable(let key, let id):
            error(
                "a record needs a key that is not in the key ring: its request was refused",
                .string("key_id", id.description), .string("record", key.hexadecimal))
        case .cipherUnavailable:
            error("the new key ring was not taken, the old one stays: OpenSSL offers no AES-256-GCM")
        }
    }
}
