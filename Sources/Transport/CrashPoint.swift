internal import Glibc
internal import Synchronization

/// A place at which a test can end the process as kill -9 does: `ONCEGATE_CRASH_AT=point` or `point:n` (the n-th time,
/// from 1) in the environment. Unset, reaching a point is one comparison.
package enum CrashPoint: String, Sendable, CaseIterable {
    // The request's way in.
    case accepted
    case headRead
    case bodyHalf
    case bodyRead
    case beforeClaim

    // The claim in the store.
    /// Before the claim's transaction begins.
    case claimSubmitted
    /// In the transaction, before it is committed.
    case claimWritten
    /// Committed, not yet told to anyone.
    case claimDurable

    // The way to the service.
    case connecting
    /// Before the send mark.
    case firstByte
    /// After the send mark, before the first octet is written.
    case markedSent
    case requestHalf
    case requestSent
    case responseHead
    case responseBodyHalf
    case responseComplete

    // The outcome in the store.
    case outcomeWritten
    case outcomeDurable
    case duringExpiry
    case duringCheckpoint

    // The way back to the client.
    case replyHalf
    case replySent

    /// Ends the process if a test asked for it here.
    @inline(__always)
    package static func reach(_ point: CrashPoint) {
        if let armed, armed.point == point { armed.count() }
    }

    /// Whether a test asked for this point: then what comes before it must really have happened, sends above all.
    @inline(__always)
    package static func isArmed(_ point: CrashPoint) -> Bool { armed?.point == point }

    private final class Armed: Sendable {
        let point: CrashPoint
        let remaining: Atomic<Int>

        init(point: CrashPoint, times: Int) {
            self.point = point
            remaining = Atomic(times)
        }

        func count() {
            guard remaining.subtract(1, ordering: .relaxed).newValue == 0 else { return }
            kill(getpid(), SIGKILL)
            while true { pause() }
        }
    }

    private static let armed: Armed? = {
        guard let value = getenv("ONCEGATE_CRASH_AT") else { return nil }
        let parts = String(cString: value).split(separator: ":", maxSplits: 1)
        guard let name = parts.first, let point = CrashPoint(rawValue: String(name)) else { return nil }
        return Armed(point: point, times: parts.count > 1 ? max(1, Int(parts[1]) ?? 1) : 1)
    }()
}
