import Idempotency
import Transport

/// What all workers know of probes: which keys are being asked about, and by whom; which first attempts still listen
/// for their answer; which probes wait for their time. Only routes with a probe come here, and only when an outcome is
/// unknown.
final class ProbeRegistry: Sendable {
    enum Place: Equatable {
        /// Nobody asks yet: the caller does.
        case first
        /// Somebody asks: `notify` tells when it has ended.
        case waits
        case full
    }

    /// What is told of a key's probes; lost with the process.
    struct History: Equatable {
        var count: UInt64 = 0
        var lastAtMilliseconds: UInt64 = 0
        var lastResult: ProbeResult?
    }

    private struct State {
        /// Who waits for the probe of each key.
        var running: [RecordKey: [ReplyAddress]] = [:]
        /// How many attempts of each key have been given up on and may still be answered.
        var late: [RecordKey: Int] = [:]
        /// The epochs whose outcome is asked for in the background.
        var pending: [RecordKey: UInt64] = [:]
        var histories: [RecordKey: History] = [:]
        /// The keys of `histories`, the oldest first.
        var order: [RecordKey] = []
        var notify: (@Sendable (ReplyAddress, Bool) -> Void)?

        mutating func note(_ key: RecordKey, _ result: ProbeResult, _ now: UInt64) {
            if histories[key] == nil {
                if order.count >= ProbeRegistry.historiesMax { histories[order.removeFirst()] = nil }
                order.append(key)
            }
            histories[key, default: History()].count += 1
            histories[key]?.lastAtMilliseconds = now
            histories[key]?.lastResult = result
        }
    }

    private static let historiesMax = 4096

    private let state = Locked(State())

    /// `notify` takes whom a probe's end is told, and whether it decided.
    func connect(_ notify: @escaping @Sendable (ReplyAddress, Bool) -> Void) {
        state.withLock { $0.notify = notify }
    }

    // MARK: Running

    /// One probe per key at a time. Every `first` is followed by one `end`.
    func begin(_ key: RecordKey, _ waiter: ReplyAddress?, waitersMax: Int, runningMax: Int) -> Place {
        state.withLock { state in
            if let waiters = state.running[key] {
                guard let waiter else { return .waits }
                guard waiters.count <= waitersMax else { return .full }
                state.running[key]?.append(waiter)
                return .waits
            }
            guard state.running.count < runningMax else { return .full }
            state.running[key] = waiter.map { [$0] } ?? []
            return .first
        }
    }

    func end(_ key: RecordKey, _ result: ProbeResult, atMilliseconds now: UInt64) {
        let (waiters, notify) = state.withLock { state in
            state.note(key, result, now)
            return (state.running.removeValue(forKey: key) ?? [], state.notify)
        }
        for waiter in waiters { notify?(waiter, result.isDecision) }
    }

    func history(of key: RecordKey) -> History? { state.withLock { $0.histories[key] } }

    var runningCount: Int { state.withLock { $0.running.count } }

    // MARK: Late attempts

    /// The attempt may still be executed or answered, though its outcome is given as unknown. Before the store hears of
    /// that.
    func becameLate(_ key: RecordKey) { state.withLock { $0.late[key, default: 0] += 1 } }

    /// Each `becameLate` is followed by one.
    func lateEnded(_ key: RecordKey) {
        state.withLock { state in
            guard let count = state.late[key] else { return }
            state.late[key] = count > 1 ? count - 1 : nil
        }
    }

    func isLate(_ key: RecordKey) -> Bool { state.withLock { $0.late[key] != nil } }

    // MARK: Background

    /// False when too many wait already.
    func addPending(_ key: RecordKey, epoch: UInt64, countMax: Int) -> Bool {
        state.withLock { state in
            guard state.pending.count < countMax || state.pending[key] != nil else { return false }
            state.pending[key] = epoch
            return true
        }
    }

    func isPending(_ key: RecordKey, epoch: UInt64) -> Bool { state.withLock { $0.pending[key] == epoch } }

    /// What became of the key's outcome is known.
    func removePending(_ key: RecordKey) { state.withLock { $0.pending[key] = nil } }

    func removePending(_ key: RecordKey, epoch: UInt64) {
        state.withLock { state in
            if state.pending[key] == epoch { state.pending[key] = nil }
        }
    }

    var pendingCount: Int { state.withLock { $0.pending.count } }
}

/// How a probe ended.
enum ProbeResult: Sendable, CaseIterable {
    case found
    case absent
    /// It says absent, and the first attempt may still be executing.
    case tooEarly
    /// Neither found nor absent.
    case unclear
    /// Found, and the configured answer cannot be made of what came.
    case incomplete
    /// The answer is larger than the route's `record_body_limit`.
    case tooLarge
    /// The service could not be asked, or its answer broke off.
    case failed
    case timedOut
    /// Somebody else was quicker: a late answer, or an operator.
    case superseded
    case notStored
    /// The request lacks a value that the probe needs.
    case notRendered
    /// As many probes run as may.
    case busy

    /// The store was told, or knew already, what became of the outcome.
    var isDecision: Bool {
        switch self {
        case .found, .absent, .superseded: true
        case .tooEarly, .unclear, .incomplete, .tooLarge, .failed, .timedOut, .notStored, .notRendered, .busy: false
        }
    }

    /// A metric's label.
    var label: StaticString {
        switch self {
        case .found: "found"
        case .absent: "absent"
        case .tooEarly: "too_early"
        case .unclear: "unclear"
        case .incomplete: "incomplete"
        case .tooLarge: "too_large"
        case .failed: "failed"
        case .timedOut: "timed_out"
        case .superseded: "superseded"
        case .notStored: "not_stored"
        case .notRendered: "not_rendered"
        case .busy: "busy"
        }
    }
}
