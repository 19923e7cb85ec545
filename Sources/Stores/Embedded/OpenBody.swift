internal import Idempotency

/// A body that an attempt of this process is storing in pieces.
struct OpenBody {
    var bytes: UInt64 = 0
    /// A piece was not stored: the claim cannot complete with this body.
    var isBroken = false
    /// Every piece is sealed.
    var isSealed = true
}

/// A body that no answer stands for any more.
struct DoomedBody {
    var id: UInt64
    /// Not removed before, so that a replay under way can end.
    var dueMilliseconds: UInt64
}
