import Idempotency

/// Watches claims, sends, executions and answers from the outside, and says which promise is broken. Knows the plan's
/// policy, and nothing of the machines.
final class Oracle {
    private struct Attempt {
        var key: RecordKey
        var fingerprint: Fingerprint
        var expiresAt: UInt64
        var isSent = false
        /// The whole answer reached the proxy, and its status is on the release list.
        var isReleased = false
        /// The claim is not open any more.
        var isSettled = false
        /// The store has the answer, or its tombstone, for good.
        var isRecorded = false
        var isDelivered = false
        /// The operator has decided about it.
        var isSettledByOperator = false
        /// A probe has found that it was not executed.
        var isReleasedByProbe = false
        /// What was, or is to be, recorded.
        var answer: RecordedAnswer?
        /// What the store says that it has.
        var recordedAnswer: RecordedAnswer?
    }

    private struct Execution {
        var number: Int
        var status: Int
    }

    private let plan: Plan
    private var attempts: [UInt64: Attempt] = [:]
    /// Epochs by key, in the order of their claims.
    private var epochs: [RecordKey: [UInt64]] = [:]
    private var executions: [RecordKey: [Execution]] = [:]
    private var executionCount = 0
    var onViolation: (String) -> Void = { _ in }
    private(set) var replays = 0

    init(_ plan: Plan) {
        self.plan = plan
    }

    static func key(_ number: Int) -> RecordKey {
        Digest256(words: (UInt64(number) &* 0x9E37_79B9_7F4A_7C15, UInt64(number), 5, 7))
    }

    static func number(of key: RecordKey) -> UInt64 { key.words.1 }

    // MARK: What happens

    func claimed(_ key: RecordKey, _ fingerprint: Fingerprint, epoch: UInt64, expiresAt: UInt64) {
        if attempts[epoch] != nil { onViolation("epoch \(epoch) is used twice") }
        attempts[epoch] = Attempt(key: key, fingerprint: fingerprint, expiresAt: expiresAt)
        epochs[key, default: []].append(epoch)
    }

    /// The first octet of a request goes to the service: everything that was sent before under this key must allow it.
    func sent(_ claim: ClaimReference, now: UInt64) {
        guard let current = attempts[claim.epoch] else {
            return onViolation("sent under epoch \(claim.epoch), which was not given")
        }
        if current.isSent { onViolation("epoch \(claim.epoch) is sent twice") }
        attempts[claim.epoch]?.isSent = true
        for epoch in epochs[claim.key] ?? [] where epoch != claim.epoch {
            guard let other = attempts[epoch], other.isSent else { continue }
            let mayRunAgain =
                epoch < claim.epoch
                && (other.isReleased || other.isReleasedByProbe || (other.isSettled && now >= other.expiresAt)
                    || other.isSettledByOperator
                    || (plan.policy.onUnknown == .resend && !other.isRecorded) || (plan.isHashed && other.isDelivered))
            if !mayRunAgain {
                onViolation(
                    "key \(Oracle.number(of: claim.key)) is sent under epoch \(claim.epoch), after \(epoch): \(other)")
            }
        }
    }

    /// The service executes. Gives the execution's number.
    func executed(_ key: RecordKey, status: Int) -> Int {
        executionCount += 1
        executions[key, default: []].append(Execution(number: executionCount, status: status))
        return executionCount
    }

    /// The whole answer reached the proxy under this claim.
    func answered(_ claim: ClaimReference, _ answer: RecordedAnswer) {
        if plan.policy.statuses[Int(answer.status)] == .release { attempts[claim.epoch]?.isReleased = true }
        // What the operator has decided stands; a late answer changes nothing of it.
        if attempts[claim.epoch]?.isSettledByOperator == false { attempts[claim.epoch]?.answer = answer }
    }

    /// What the proxy wants to be stored. A request that provably was not sent leaves its key free.
    func concluded(_ claim: ClaimReference, _ outcome: Outcome) {
        guard let attempt = attempts[claim.epoch] else { return }
        if !attempt.isSent && outcome != .released {
            onViolation("epoch \(claim.epoch) was not sent, and ends as \(outcome)")
        }
    }

    /// The store has ended the claim, whatever it can keep of the outcome.
    func settled(_ epoch: UInt64) {
        attempts[epoch]?.isSettled = true
    }

    /// A late answer and a probe may both want to: the first that the store takes stands.
    func recorded(_ epoch: UInt64, _ outcome: Outcome?) {
        attempts[epoch]?.isRecorded = true
        if case .answered(let answer)? = outcome { attempts[epoch]?.recordedAnswer = answer }
    }

    func releasedByProbe(_ epoch: UInt64) {
        attempts[epoch]?.isReleasedByProbe = true
    }

    func executionStatuses(of key: RecordKey) -> [Int] { (executions[key] ?? []).map(\.status) }

    func delivered(_ claim: ClaimReference) {
        attempts[claim.epoch]?.isDelivered = true
    }

    /// The operator has released or forgotten whatever stands under the key, or answered it.
    func settledByOperator(_ key: RecordKey, answer: RecordedAnswer?) {
        for epoch in epochs[key] ?? [] { attempts[epoch]?.isSettledByOperator = true }
        guard let answer, let last = epochs[key]?.last else { return }
        attempts[last]?.answer = answer
        attempts[last]?.recordedAnswer = answer
    }

    /// A client gets a record.
    func replayed(_ answer: RecordedAnswer, epoch: UInt64, to request: ClientRequest) {
        replays += 1
        guard let attempt = attempts[epoch] else {
            return onViolation("a replay of epoch \(epoch), which was not given")
        }
        if attempt.key != request.key { onViolation("a replay of another key") }
        if attempt.fingerprint != request.fingerprint { onViolation("a replay of another payload") }
        if (attempt.recordedAnswer ?? attempt.answer) != answer {
            onViolation("a replay that is not the recorded answer of epoch \(epoch)")
        }
    }

    /// A client gets the service's own answer.
    func passedOn(_ answer: RecordedAnswer, to request: ClientRequest) {
        if answer.fieldLines != SimulatedService.mark(request) { onViolation("the answer to another request") }
    }

    // MARK: The end

    /// Seen from the service alone: a key executes again only after an answer on the release list.
    func checkEnd() {
        guard plan.isStrict else { return }
        for (key, list) in executions {
            for execution in list.dropLast() where plan.policy.statuses[execution.status] != .release {
                onViolation(
                    "key \(Oracle.number(of: key)) executes \(list.count) times, one with status \(execution.status)"
                )
            }
        }
    }
}
