@testable import Idempotency

/// What a record should do, said as plainly as possible: the history of its claims, from which every answer is looked
/// up. Drives a machine beside it and reports where they differ.
struct RecordModel {
    /// One claim that was given.
    struct Attempt {
        var epoch: UInt64
        var fingerprint: Fingerprint
        var expiresAt: UInt64
        var end: RecordMachine.Ending?
        var isForgotten = false
        var isDelivered = false
    }

    enum Event: Equatable, CustomStringConvertible {
        case claim(payload: UInt64, joins: Bool, resends: Bool, afterDelivery: Bool)
        case stored
        case notStored
        case complete(RecordMachine.Ending, isStale: Bool)
        case ownerDied(wasSent: Bool)
        case outcomeNotStored
        case delivered(isStale: Bool)
        case leave(Int)
        case pass(UInt64)
        case expire
        case resolve(Resolution)

        var description: String {
            switch self {
            case .claim(let payload, let joins, let resends, let afterDelivery):
                "claim(\(payload)\(joins ? " joins" : "")\(resends ? " resends" : "")\(afterDelivery ? " afterDelivery" : ""))"
            case .stored: "stored"
            case .notStored: "notStored"
            case .complete(let ending, let isStale): "complete(\(ending)\(isStale ? " stale" : ""))"
            case .ownerDied(let wasSent): "ownerDied(\(wasSent))"
            case .outcomeNotStored: "outcomeNotStored"
            case .delivered(let isStale): "delivered(\(isStale ? "stale" : ""))"
            case .leave(let index): "leave(\(index))"
            case .pass(let time): "pass(\(time))"
            case .expire: "expire"
            case .resolve(let resolution): "resolve(\(resolution))"
            }
        }
    }

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    static let retention: UInt64 = 10
    static let waitersMax = 2

    var machine = RecordMachine()
    var attempts: [Attempt] = []
    var now: UInt64 = 100
    var lastEpoch: UInt64 = 0
    var lastAddress: UInt64 = 0
    /// Who joined and was not answered yet.
    var waiting: [ReplyAddress] = []

    /// The attempt that is open or whose outcome stands.
    private var standing: Int? {
        guard let last = attempts.indices.last(where: { !attempts[$0].isForgotten }) else { return nil }
        return attempts[last].end == nil || now < attempts[last].expiresAt ? last : nil
    }

    mutating func apply(_ event: Event) throws {
        switch event {
        case .claim(let payload, let joins, let resends, let afterDelivery):
            try claim(payload: payload, joins: joins, resends: resends, afterDelivery: afterDelivery)
        case .stored:
            machine.claimStored(epoch: lastEpoch)
            if let open { forgetAll(before: open) }
        case .notStored: try notStored()
        case .complete(let ending, let isStale): try complete(ending, isStale: isStale)
        case .ownerDied(let wasSent):
            let action = machine.ownerDied(
                wasSent: wasSent, nextEpoch: lastEpoch + 1, nextExpiresAtMilliseconds: now + Self.retention)
            guard open != nil else { return try expect(action == .stale, "an owner without a claim died") }
            try settle(wasSent ? .unknown(.ownerDied) : .released, action)
        case .outcomeNotStored:
            let accepts = kept.map { $0.end == .answered || $0.end == .notKept } ?? false
            let accepted = machine.outcomeNotStored(epoch: kept?.epoch ?? lastEpoch)
            try expect(accepted == accepts, "outcomeNotStored")
            if accepts, let index = keptIndex {
                attempts[index].end = .unknown(.notStored)
                attempts[index].isDelivered = false
            }
        case .delivered(let isStale):
            let accepts =
                !isStale && (kept.map { ($0.end == .answered || $0.end == .notKept) && !$0.isDelivered } ?? false)
            try expect(machine.delivered(epoch: isStale ? 0 : kept?.epoch ?? lastEpoch) == accepts, "delivered")
            if accepts, let index = keptIndex { attempts[index].isDelivered = true }
        case .leave(let index):
            let address = index < waiting.count ? waiting[index] : ReplyAddress(worker: 9, exchange: 0)
            try expect(machine.leave(address) == (index < waiting.count), "leave")
            if index < waiting.count { waiting.remove(at: index) }
        case .pass(let time):
            now += time
        case .expire:
            let expires = kept.map { $0.end != nil && now >= $0.expiresAt } ?? false
            try expect(machine.expire(nowMilliseconds: now) == expires, "expire")
            if expires, let index = keptIndex { attempts[index].isForgotten = true }
        case .resolve(let resolution): try resolve(resolution)
        }
        try check()
    }

    private var open: Int? {
        standing.flatMap { attempts[$0].end == nil ? $0 : nil }
    }

    /// Like `standing`, whether or not its time has passed.
    private var keptIndex: Int? {
        attempts.indices.last { !attempts[$0].isForgotten }
    }

    private var kept: Attempt? {
        keptIndex.map { attempts[$0] }
    }

    private mutating func claim(payload: UInt64, joins: Bool, resends: Bool, afterDelivery: Bool) throws {
        lastAddress += 1
        let address = ReplyAddress(worker: 1, exchange: lastAddress)
        let fingerprint = Fingerprint(words: (payload, 0, 0, 0))
        var claim = Claim(
            key: Digest256(words: (0, 0, 0, 0)), fingerprint: fingerprint, retentionMilliseconds: Self.retention)
        claim.joins = joins
        claim.waitersMax = Self.waitersMax
        claim.resendsUnknown = resends
        claim.runsAfterDelivery = afterDelivery
        let expected: RecordMachine.ClaimAction
        var isGiven = false
        if let standing {
            let attempt = attempts[standing]
            switch attempt.end {
            case _ where attempt.fingerprint != fingerprint: expected = .mismatch
            case nil where !joins: expected = .inFlight
            case nil where waiting.count == Self.waitersMax: expected = .tooManyWaiters
            case nil: expected = .joined
            case .unknown(let cause) where !resends: expected = .unknown(cause)
            case .answered where !(afterDelivery && attempt.isDelivered): expected = .replay
            case .notKept where !(afterDelivery && attempt.isDelivered): expected = .notKept
            default: (expected, isGiven) = (.claim(replacing: attempt.epoch), true)
            }
        } else {
            (expected, isGiven) = (.claim(replacing: kept?.epoch), true)
        }
        let action = machine.claim(claim, from: address, newEpoch: lastEpoch + 1, nowMilliseconds: now)
        try expect(action == expected, "claim gave \(action), not \(expected)")
        if case .joined = action { waiting.append(address) }
        if isGiven {
            if standing == nil, let keptIndex { attempts[keptIndex].isForgotten = true }
            give(fingerprint)
        }
    }

    /// From here on nothing before this attempt can stand again.
    private mutating func forgetAll(before index: Int) {
        for earlier in 0..<index { attempts[earlier].isForgotten = true }
    }

    private mutating func give(_ fingerprint: Fingerprint) {
        lastEpoch += 1
        attempts.append(Attempt(epoch: lastEpoch, fingerprint: fingerprint, expiresAt: now + Self.retention))
    }

    private mutating func notStored() throws {
        let refused = machine.claimNotStored(epoch: lastEpoch)
        guard let open else { return try expect(refused.isEmpty, "claimNotStored without a claim") }
        try expect(refused == waiting, "claimNotStored")
        waiting = []
        attempts.remove(at: open)
    }

    private mutating func complete(_ ending: RecordMachine.Ending, isStale: Bool) throws {
        let epoch = isStale ? lastEpoch + 100 : kept?.epoch ?? lastEpoch
        let action = machine.complete(
            ending, epoch: epoch, nextEpoch: lastEpoch + 1, nextExpiresAtMilliseconds: now + Self.retention)
        var accepts = false
        if !isStale, let kept {
            switch kept.end {
            case nil, .unknown: accepts = true
            default: break
            }
        }
        guard accepts else {
            return try expect(action == .stale, "an outcome was accepted that must not be: \(action)")
        }
        try settle(ending, action)
    }

    private mutating func settle(_ ending: RecordMachine.Ending, _ action: RecordMachine.CompleteAction) throws {
        guard let index = keptIndex else { throw Failure(description: "no attempt to settle") }
        forgetAll(before: index)
        if ending == .released {
            attempts[index].isForgotten = true
            guard let next = waiting.first else { return try expect(action == .freed, "freed") }
            try expect(action == .handedOver(next), "handed over")
            waiting.removeFirst()
            return give(attempts[index].fingerprint)
        }
        if case .unknown = ending, attempts[index].end != nil {
            return try expect(action == .settled([]), "unknown twice")
        }
        try expect(action == .settled(waiting), "settled")
        waiting = []
        attempts[index].end = ending
    }

    private mutating func resolve(_ resolution: Resolution) throws {
        let action = machine.resolve(resolution, nowMilliseconds: now)
        guard let standing else { return try expect(action == .notFound, "resolve without a record") }
        var isUnknown = false
        if case .unknown? = attempts[standing].end { isUnknown = true }
        let isAllowed = resolution == .forget ? attempts[standing].end != nil : isUnknown
        guard isAllowed else {
            guard case .refused = action else { throw Failure(description: "resolve gave \(action)") }
            return
        }
        if case .answer = resolution {
            try expect(action == .answered, "resolve with an answer")
            attempts[standing].end = .answered
            attempts[standing].isDelivered = false
        } else {
            try expect(action == .forgotten, "resolve by forgetting")
            for index in attempts.indices { attempts[index].isForgotten = true }
        }
    }

    /// What holds after every event.
    private func check() throws {
        try expect(machine.waiters == waiting, "the machine's waiters are \(machine.waiters), not \(waiting)")
        try expect((machine.state == .inFlight) == (open != nil), "open claims differ")
        try expect(waiting.isEmpty || machine.state == .inFlight, "somebody waits for nothing")
        if let kept {
            try expect(machine.epoch == kept.epoch, "the epoch is \(machine.epoch), not \(kept.epoch)")
            try expect(machine.isDelivered == kept.isDelivered, "delivery differs")
            try expect(machine.expiresAtMilliseconds == kept.expiresAt, "expiry differs")
        } else {
            try expect(machine.state == .absent, "the machine keeps what is forgotten")
        }
    }

    private func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        guard condition else { throw Failure(description: message()) }
    }
}
