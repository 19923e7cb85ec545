import Idempotency
import TestSupport

/// What one seed simulates: the route's policy, who asks, and what goes wrong how often. Percentages are chances.
struct Plan {
    var policy = Policy()
    /// Requests are identified by hash, and run again once their answer was delivered.
    var isHashed = false
    /// A store whose commits can fail and whose owner can crash; else the production store in memory.
    var isDurable = false
    var keys = 1
    var clients = 2
    var triesMax = 4
    var restarts = 0
    var commitFailure = 0
    var operatorActs = false
    var clientLeaves = 0

    // The service.
    var refusal = 0
    var resetBeforeExecution = 0
    var slowExecution = 0
    var resetBeforeAnswer = 0
    var resetInAnswer = 0
    var slowAnswer = 0
    var noAnswer = 0
    var largeAnswer = 0
    var statuses = [201]

    /// The service executes what it is sent within this time, or never.
    static let executionMax: UInt64 = 600
    private static let probe = {
        var probe = Probe(target: Template([.literal("/")]))
        probe.absentAfterMilliseconds = executionMax + 10
        return probe
    }()

    static let responseTimeout: UInt64 = 300
    static let lateAnswerLimit: UInt64 = 2_000

    init(_ random: inout SeededGenerator) {
        isDurable = Int.random(in: 0..<4, using: &random) > 0
        keys = .random(in: 1...3, using: &random)
        clients = .random(in: 2...8, using: &random)
        triesMax = .random(in: 2...5, using: &random)
        clientLeaves = [0, 10, 30].randomElement(using: &random)!
        planPolicy(&random)
        planFaults(&random)
    }

    private mutating func planPolicy(_ random: inout SeededGenerator) {
        let waits: [UInt64] = [20, 100, 400, 2_000]
        policy.inFlight =
            Int.random(in: 0..<5, using: &random) == 0
            ? .reject : .wait(milliseconds: waits.randomElement(using: &random)!)
        policy.waitersMax = .random(in: 1...4, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: policy.onUnknown = .resend
        case 1, 2: policy.onUnknown = .probe(Self.probe)
        default: break
        }
        policy.onStoreError = Int.random(in: 0..<5, using: &random) == 0 ? .pass : .reject
        policy.retentionMilliseconds =
            Int.random(in: 0..<4, using: &random) == 0 ? .random(in: 50...2_000, using: &random) : 3_600_000
        isHashed = Int.random(in: 0..<6, using: &random) == 0
        operatorActs = Int.random(in: 0..<6, using: &random) == 0
    }

    private mutating func planFaults(_ random: inout SeededGenerator) {
        func some(_ most: Int, _ random: inout SeededGenerator) -> Int {
            Bool.random(using: &random) ? 0 : .random(in: 1...most, using: &random)
        }
        if isDurable {
            restarts = [0, 0, 1, 2, 3].randomElement(using: &random)!
            commitFailure = some(15, &random)
        }
        refusal = some(30, &random)
        resetBeforeExecution = some(15, &random)
        slowExecution = some(40, &random)
        resetBeforeAnswer = some(15, &random)
        resetInAnswer = some(15, &random)
        slowAnswer = some(30, &random)
        noAnswer = some(10, &random)
        largeAnswer = some(20, &random)
        // A recorded one always; of the released and unknown ones, some.
        for status in [500, 503, 429, 502] where Int.random(in: 0..<3, using: &random) == 0 { statuses.append(status) }
    }

    /// Nothing in the policy lets a key run twice, except a status on the release list.
    var isStrict: Bool {
        policy.onUnknown != .resend && policy.onStoreError == .reject && policy.retentionMilliseconds > 1_000_000
            && !isHashed
            && !operatorActs
    }
}
