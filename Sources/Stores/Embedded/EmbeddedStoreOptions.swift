package import Idempotency

/// How an embedded store is set up.
package struct EmbeddedStoreOptions: Sendable {
    /// The store's directory, created with mode 0700 if its parent exists.
    package var directory: String
    /// Octets in use by the database; new claims are refused near it, and what was claimed before still gets its
    /// outcome stored.
    package var bytesMax: UInt64 = 16 << 30
    /// How long a commit waits for company while several claims are open; 0 = not at all.
    package var commitDelayMicroseconds: UInt32 = 0
    /// Octets of recently completed records kept in memory.
    package var cacheBytesMax = 32 << 20
    package var openClaimsMax = 262_144
    /// Slots of 8 octets for send marks. A claim that gets none counts as sent after a crash.
    package var markSlots = 65_536
    /// Connections that read the records at the start.
    package var scanConnections = 2
    package var clock: StoreClock?
    /// Seals records at rest; nil: they are written plain. What stands plain stays readable with keys too.
    package var keyRing: KeyRing?
    /// Called on the storage queue, which it must not hold up.
    package var report: (@Sendable (EmbeddedStoreNotice) -> Void)?
    /// Replaces the kernel's boot id, 16 octets (tests).
    package var bootID: [UInt8]?

    package init(directory: String) {
        self.directory = directory
    }

    /// Where new claims are refused: room is left for the outcomes of those that are open.
    var claimBytesMax: UInt64 {
        bytesMax - min(bytesMax / 8, 64 << 20)
    }
}

/// Limits of the embedded store's loops.
enum EmbeddedLimits {
    /// Changes in one transaction.
    static let transactionChangesMax = 1024
    /// Octets of answers in one transaction.
    static let transactionBytesMax = 16 << 20
    /// Records that one step of expiry removes, so that claims never wait long for it.
    static let expiryStepMax = 256
    /// Pieces of bodies that one step removes.
    static let pieceStepMax = 64
    /// Rows that one step of a listing reads.
    static let listStepMax = 2048
    /// Commits between two measurements of the size.
    static let commitsPerMeasurement = 16
    /// How long the store stays closed after an error before it looks again, doubling up to the maximum.
    static let reopenDelayMilliseconds = 100
    static let reopenDelayMillisecondsMax = 5000
    /// Time between two looks for what has expired.
    static let upkeepIntervalMilliseconds = 1000
    /// Batches before other work of the storage queue gets its turn.
    static let batchesPerTurn = 16
    /// Concurrency from which `commitDelay` applies.
    static let commitDelayOpenClaimsMin = 4
}
