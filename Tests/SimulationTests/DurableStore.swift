import Idempotency

/// A store over the production `RecordMachine` as the embedded store is: a batch is decided at once, committed after a
/// while, and answered only then. Commits can fail, and the process can end at any moment; what was committed and the
/// send marks survive.
final class DurableStore: VirtualStore {
    private final class Row {
        var machine: RecordMachine
        let retention: UInt64
        var unknownSince: UInt64 = 0
        /// Claims of waiters that run again what has become unknown.
        var resenders: [ReplyAddress: Claim] = [:]

        init(machine: RecordMachine, retention: UInt64) {
            self.machine = machine
            self.retention = retention
        }
    }

    /// What is on the disk.
    private struct Stored {
        var machine: RecordMachine
        var retention: UInt64
    }

    private enum Change {
        case claim(RecordKey, epoch: UInt64, ReplyAddress)
        /// `before`: what stood when the outcome came, for the case that it was unknown already.
        case outcome(
            ClaimReference, Outcome, ReplyAddress, RecordMachine.CompleteAction, before: RecordMachine, byProbe: Bool)
        case delivered(RecordKey)
    }

    private enum Request {
        case asked(StoreRequest)
        /// A waiter that has been told that it joined.
        case again(Claim, ReplyAddress)
    }

    private unowned let simulation: Simulation
    private var queue: [Request] = []
    private var rows: [RecordKey: Row] = [:]
    private var disk: [RecordKey: Stored] = [:]
    /// Answers by epoch; on the disk or not, none is ever changed.
    private var answers: [UInt64: Outcome] = [:]
    private var marks: Set<UInt64> = []
    private var lastEpoch: UInt64 = 0
    /// Changes that are being committed, and the keys that must wait for it.
    private var changes: [Change] = []
    private var changingKeys: Set<RecordKey> = []
    private var isCommitting = false
    private var incarnation = 0
    /// Who was told that it joined, and nothing since.
    private var joined: Set<ReplyAddress> = []

    init(_ simulation: Simulation) {
        self.simulation = simulation
    }

    func markSent(_ claim: ClaimReference) {
        marks.insert(claim.epoch)
    }

    func openKeys() -> [RecordKey] {
        rows.filter { $0.value.machine.state == .inFlight }.map(\.key)
    }

    func handle(_ request: StoreRequest) {
        queue.append(.asked(request))
        pump()
    }

    // MARK: Deciding

    private func pump() {
        while !isCommitting {
            var taken = 0
            while taken < queue.count, !isBlocked(queue[taken]) {
                decide(queue[taken])
                taken += 1
            }
            queue.removeFirst(taken)
            checkWaiters()
            guard !changes.isEmpty else { return checkJoined() }
            commit()
        }
    }

    private func isBlocked(_ request: Request) -> Bool {
        guard !changingKeys.isEmpty else { return false }
        switch request {
        case .again(let claim, _), .asked(.claim(let claim, _)): return changingKeys.contains(claim.key)
        case .asked(.complete(let claim, _, _)), .asked(.settle(let claim, _, _)), .asked(.delivered(let claim)),
            .asked(.undelivered(let claim)):
            return changingKeys.contains(claim.key)
        case .asked(.leave(let key, _)), .asked(.resolve(let key, _, _)): return changingKeys.contains(key)
        case .asked(.list), .asked(.appendBody), .asked(.readBody): return false
        }
    }

    private func decide(_ request: Request) {
        switch request {
        case .again(let claim, let address): decide(claim, address, isWaiting: true)
        case .asked(.claim(let claim, let address)): decide(claim, address, isWaiting: false)
        case .asked(.complete(let claim, let outcome, let address)): complete(claim, outcome, address)
        case .asked(.settle(let claim, let outcome, let address)):
            guard case .unknown? = rows[claim.key]?.machine.state else { return reply(address, .stored(.stale)) }
            complete(claim, outcome, address, byProbe: true)
        case .asked(.leave(let key, let address)):
            if rows[key]?.machine.leave(address) == true { joined.remove(address) }
        case .asked(.delivered(let claim)):
            guard let row = rows[claim.key], row.machine.delivered(epoch: claim.epoch) else { return }
            changes.append(.delivered(claim.key))
            changingKeys.insert(claim.key)
        case .asked(.undelivered(let claim)):
            guard let row = rows[claim.key], row.machine.undelivered(epoch: claim.epoch) else { return }
            changes.append(.delivered(claim.key))
            changingKeys.insert(claim.key)
        case .asked(.resolve(let key, let resolution, _)): resolve(key, resolution)
        // The exchange of the simulation records no body in pieces.
        case .asked(.list), .asked(.appendBody), .asked(.readBody): break
        }
    }

    private func decide(_ claim: Claim, _ address: ReplyAddress, isWaiting: Bool) {
        let row = rows[claim.key]
        var machine = row?.machine ?? RecordMachine()
        let action = machine.claim(claim, from: address, newEpoch: lastEpoch + 1, nowMilliseconds: simulation.now)
        switch action {
        case .claim:
            lastEpoch += 1
            rows[claim.key] = Row(machine: machine, retention: claim.retentionMilliseconds)
            changes.append(.claim(claim.key, epoch: lastEpoch, address))
        case .joined:
            row?.machine = machine
            if claim.resendsUnknown { row?.resenders[address] = claim }
            if !isWaiting { reply(address, .joined) }
        case .inFlight: reply(address, .inFlight)
        case .tooManyWaiters: reply(address, .tooManyWaiters)
        case .mismatch: reply(address, .mismatch)
        case .tooLate: reply(address, .tooLate)
        case .unknown(let cause): if let row { reply(address, .unknown(unknown(row, cause))) }
        case .replay, .notKept: replay(machine.epoch, address)
        }
    }

    private func replay(_ epoch: UInt64, _ address: ReplyAddress) {
        switch answers[epoch] {
        case .answered(let answer): reply(address, .recorded(answer, epoch: epoch))
        case .notKept(let tombstone): reply(address, .notKept(tombstone))
        case .unknown, .released, nil: simulation.fail("epoch \(epoch) is completed, and has no answer")
        }
    }

    private func unknown(_ row: Row, _ cause: UnknownCause) -> UnknownOutcome {
        UnknownOutcome(
            cause: cause, epoch: row.machine.epoch, ageMilliseconds: simulation.now - row.unknownSince)
    }

    private func complete(
        _ claim: ClaimReference, _ outcome: Outcome, _ address: ReplyAddress, byProbe: Bool = false
    ) {
        guard let row = rows[claim.key] else { return reply(address, .stored(.stale)) }
        let before = row.machine
        let action = row.machine.complete(
            RecordMachine.Ending(outcome), epoch: claim.epoch, nextEpoch: lastEpoch + 1,
            nextExpiresAtMilliseconds: simulation.now + row.retention)
        switch action {
        case .stale: return reply(address, .stored(.stale))
        case .handedOver: lastEpoch += 1
        case .freed, .settled: break
        }
        if row.machine.state == .completed || row.machine.state == .tombstone { answers[claim.epoch] = outcome }
        if before.state == .inFlight { row.unknownSince = simulation.now }
        changes.append(.outcome(claim, outcome, address, action, before: before, byProbe: byProbe))
        changingKeys.insert(claim.key)
    }

    private func resolve(_ key: RecordKey, _ resolution: Resolution) {
        guard let row = rows[key] else { return }
        switch row.machine.resolve(resolution, nowMilliseconds: simulation.now) {
        case .notFound, .refused: return
        case .forgotten:
            rows[key] = nil
            disk[key] = nil
            simulation.oracle.settledByOperator(key, answer: nil)
        case .answered:
            guard case .answer(let answer) = resolution else { return }
            answers[row.machine.epoch] = .answered(answer)
            disk[key] = Stored(machine: row.machine, retention: row.retention)
            simulation.oracle.settledByOperator(key, answer: answer)
        }
    }

    private func reply(_ address: ReplyAddress, _ result: StoreResult) {
        if result == .joined { joined.insert(address) } else { joined.remove(address) }
        simulation.proxy.deliver(StoreReply(address: address, result: result))
    }

    /// Nothing is under way: whoever joined and was not answered waits in a record.
    private func checkJoined() {
        guard queue.isEmpty else { return }
        let waiting = rows.values.reduce(0) { $0 + $1.machine.waiters.count }
        if waiting != joined.count { simulation.fail("\(joined.count) have joined, and \(waiting) wait") }
    }

    private func checkWaiters() {
        for row in rows.values where row.machine.waiters.count > simulation.plan.policy.waitersMax {
            simulation.fail("\(row.machine.waiters.count) wait for one key")
        }
    }

    // MARK: Committing

    private func commit() {
        isCommitting = true
        let incarnation = incarnation
        simulation.after(0...8) { [unowned self] in
            guard incarnation == self.incarnation else { return }
            let batch = changes
            changes = []
            changingKeys = []
            isCommitting = false
            for change in batch {
                if simulation.chance(simulation.plan.commitFailure) { failed(change) } else { succeeded(change) }
            }
            pump()
        }
    }

    private func write(_ change: Change) {
        switch change {
        case .claim(let key, let epoch, _):
            guard let row = rows[key] else { return }
            row.machine.claimStored(epoch: epoch)
            disk[key] = Stored(machine: row.machine, retention: row.retention)
        case .outcome(let claim, _, _, let action, _, let byProbe):
            if byProbe, action == .freed { simulation.oracle.releasedByProbe(claim.epoch) }
            switch action {
            case .stale: break
            case .freed:
                rows[claim.key] = nil
                disk[claim.key] = nil
            case .handedOver, .settled:
                guard let row = rows[claim.key] else { return }
                disk[claim.key] = Stored(machine: row.machine, retention: row.retention)
            }
        case .delivered(let key):
            if let row = rows[key] { disk[key] = Stored(machine: row.machine, retention: row.retention) }
        }
    }

    private func succeeded(_ change: Change) {
        write(change)
        switch change {
        case .claim(let key, let epoch, let address): give(key, epoch, to: address)
        case .delivered: break
        case .outcome(let claim, let outcome, let address, let action, _, _):
            switch outcome {
            case .answered, .notKept: simulation.oracle.recorded(claim.epoch, outcome)
            case .unknown, .released: break
            }
            simulation.oracle.settled(claim.epoch)
            reply(address, .stored(.durable))
            switch action {
            case .stale, .freed: break
            case .handedOver(let next):
                guard let row = rows[claim.key] else { return }
                give(claim.key, row.machine.epoch, to: next)
            case .settled(let waiters):
                for waiter in waiters { answer(waiter, outcome, claim) }
            }
        }
    }

    private func give(_ key: RecordKey, _ epoch: UInt64, to address: ReplyAddress) {
        guard let machine = rows[key]?.machine else { return }
        simulation.note { "epoch \(epoch) is given for key \(Oracle.number(of: key))" }
        simulation.oracle.claimed(key, machine.fingerprint, epoch: epoch, expiresAt: machine.expiresAtMilliseconds)
        reply(address, .claimed(ClaimReference(key: key, epoch: epoch)))
    }

    private func answer(_ waiter: ReplyAddress, _ outcome: Outcome, _ claim: ClaimReference) {
        switch outcome {
        case .answered(let answer): reply(waiter, .recorded(answer, epoch: claim.epoch))
        case .notKept(let tombstone): reply(waiter, .notKept(tombstone))
        case .unknown(let cause):
            if let again = rows[claim.key]?.resenders[waiter] {
                queue.insert(.again(again, waiter), at: 0)
            } else {
                if let row = rows[claim.key] { reply(waiter, .unknown(unknown(row, cause))) }
            }
        case .released: simulation.fail("a release settles nobody")
        }
    }

    private func failed(_ change: Change) {
        simulation.note { "a commit fails: \(change)" }
        switch change {
        case .claim(let key, let epoch, let address): refuse(key, epoch, address)
        // The key's row on the disk keeps saying that nothing was delivered.
        case .delivered: break
        case .outcome(let claim, let outcome, let address, let action, let before, _):
            simulation.oracle.settled(claim.epoch)
            reply(address, .stored(.failed(.diskFull)))
            guard let row = rows[claim.key] else { return }
            if case .unknown = before.state {
                // A late answer: what is on the disk stands.
                row.machine = before
                return
            }
            switch action {
            case .stale: break
            case .freed: rows[claim.key] = nil
            case .handedOver(let next): refuse(claim.key, row.machine.epoch, next)
            case .settled(let waiters):
                switch outcome {
                case .answered, .notKept: _ = row.machine.outcomeNotStored(epoch: claim.epoch)
                case .unknown, .released: break
                }
                row.unknownSince = simulation.now
                for waiter in waiters { reply(waiter, .unknown(unknown(row, .notStored))) }
            }
        }
    }

    private func refuse(_ key: RecordKey, _ epoch: UInt64, _ owner: ReplyAddress) {
        guard let row = rows[key] else { return }
        for address in [owner] + row.machine.claimNotStored(epoch: epoch) { reply(address, .refused(.diskFull)) }
        if row.machine.state == .absent { rows[key] = nil }
    }

    // MARK: The end of a process

    func crash() {
        incarnation += 1
        joined = []
        // The last commit reached the disk, or did not; nobody heard of it either way.
        if simulation.chance(50) { for change in changes { write(change) } }
        changes = []
        changingKeys = []
        queue = []
        isCommitting = false
        rows = [:]
        for (key, stored) in disk {
            var machine = RecordMachine(
                restoring: stored.machine.state, kind: stored.machine.kind, fingerprint: stored.machine.fingerprint,
                epoch: stored.machine.epoch, expiresAtMilliseconds: stored.machine.expiresAtMilliseconds,
                isDelivered: stored.machine.isDelivered)
            simulation.oracle.settled(machine.epoch)
            if machine.state == .completed || machine.state == .tombstone {
                simulation.oracle.recorded(machine.epoch, answers[machine.epoch])
            }
            if machine.state == .inFlight {
                _ = machine.ownerDied(
                    wasSent: marks.contains(machine.epoch), nextEpoch: 0, nextExpiresAtMilliseconds: 0)
            }
            guard machine.state != .absent else {
                disk[key] = nil
                continue
            }
            disk[key] = Stored(machine: machine, retention: stored.retention)
            let row = Row(machine: machine, retention: stored.retention)
            row.unknownSince = simulation.now
            rows[key] = row
        }
    }
}
