import Idempotency

/// The answer as it is being recorded.
struct Recording {
    /// The body so far, without what was given to the store; empty where it is not kept.
    var body: [UInt8] = []
    var trailerLines: [UInt8] = []
    /// Of the whole body.
    var bodyBytes: UInt64 = 0
    /// False where no record or only its tombstone is made: then only size and digest are kept.
    var isKept = false
    /// What becomes of the answer by its status.
    var rule = StatusRules.Rule.record
    /// Of the body before `body`: begun with the first piece, or when the body passed the record limit or the memory
    /// budget.
    var digest: SHA256?
    /// Octets that were given to the store, in pieces.
    var storedBytes: UInt64 = 0
    /// Pieces that the store has not answered.
    var appendsInFlight = 0
    /// The service is paused until the store has taken some of them.
    var waitsForStore = false
    /// The answer is whole, and its last pieces are not answered.
    var unstored: ClaimReference?

    /// Pieces on their way to the store at once: they bound what an exchange holds of an answer.
    static let appendsInFlightMax = 8
}

/// A record that is being sent, whose body stands in the store.
struct SlicedReplay {
    let answer: RecordedAnswer
    /// Of the stored octets.
    var sentBytes: UInt64 = 0
    /// A slice was asked for.
    var isReading = false

    init(_ answer: RecordedAnswer) {
        self.answer = answer
    }
}
