import Synchronization

/// Finds clients that make a new key for each attempt: two requests of one caller that are the same but for their keys,
/// both executed, within a second. A table of fixed size that all workers share; of two requests that fall on one place
/// the later stays, so at high rates it is a sample.
///
/// Unchecked: the cells are atomics, and the memory is given back when nobody holds the table. Two workers that meet in
/// one place may lose a count.
final class KeyChurn: @unchecked Sendable {
    enum Finding {
        case new
        case churn
        /// Another request that was still watched had to go.
        case displaced
    }

    /// Two words each.
    static let placesMax = 8192
    private static let windowMilliseconds: UInt32 = 1000

    /// Per place: what requests are the same by, then 32 bits each of key and time.
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>

    init() {
        cells = .allocate(capacity: KeyChurn.placesMax * 2)
        for index in 0..<KeyChurn.placesMax * 2 { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        cells.deinitialize(count: KeyChurn.placesMax * 2)
        cells.deallocate()
    }

    /// A request is executed. Any thread.
    func note(similarity: UInt64, key: UInt64, milliseconds: UInt64) -> Finding {
        let place = cells + Int(truncatingIfNeeded: similarity >> 20 & UInt64(KeyChurn.placesMax - 1)) * 2
        let time = UInt32(truncatingIfNeeded: milliseconds)
        let key = key >> 32
        let earlier = place[0].load(ordering: .relaxed)
        let last = place[1].load(ordering: .relaxed)
        place[0].store(similarity, ordering: .relaxed)
        place[1].store(key << 32 | UInt64(time), ordering: .relaxed)
        guard last != 0, time &- UInt32(truncatingIfNeeded: last) <= KeyChurn.windowMilliseconds else { return .new }
        guard earlier == similarity else { return .displaced }
        return last >> 32 == key ? .new : .churn
    }
}
