internal import Idempotency
internal import Transport

extension StorageCore {
    /// Commits all pending changes and answers them. Afterwards only claims of waiters can be pending.
    func commitChanges() {
        guard !changes.isEmpty else { return }
        let batch = changes
        changes.removeAll(keepingCapacity: true)
        amendedKeys.removeAll(keepingCapacity: true)
        changeBytes = 0
        let hasClaims = batch.contains { if case .claim = $0 { true } else { false } }
        if hasClaims { CrashPoint.reach(.claimSubmitted) }
        guard let error = write(batch) else {
            if hasClaims { CrashPoint.reach(.claimDurable) }
            if batch.contains(where: { if case .outcome = $0 { true } else { false } }) {
                CrashPoint.reach(.outcomeDurable)
            }
            for change in batch { succeed(change) }
            return
        }
        guard error == .full else {
            fail(error)
            for change in batch { failed(change, .failed) }
            return
        }
        // A claim can be refused at no cost; an outcome cannot. Without the claims it may fit into space the log
        // already has.
        let outcomes = batch.filter { if case .claim = $0 { false } else { true } }
        for case .claim(let running, let replaced) in batch { failed(.claim(running, replaced: replaced), .diskFull) }
        guard !outcomes.isEmpty else { return }
        let second = hasClaims ? write(outcomes) : error
        guard let second else {
            for change in outcomes { succeed(change) }
            return
        }
        if second != .full { fail(second) }
        for change in outcomes { failed(change, second == .full ? .diskFull : .failed) }
    }

    /// Nil = durable.
    private func write(_ batch: [Change]) -> StorageError? {
        guard let engine else { return .failed(code: 0, isSync: false) }
        let start = monotonicMicroseconds()
        defer { figures.commitMicroseconds &+= monotonicMicroseconds() &- start }
        var isSynced = false
        var operations: [StorageOperation] = []
        operations.reserveCapacity(batch.count * 2)
        for change in batch { append(change, to: &operations, &isSynced) }
        do throws(StorageError) {
            try engine.commit(operations, isSynced: isSynced)
        } catch {
            figures.commitFailures &+= 1
            return error
        }
        figures.commits &+= 1
        noteSize(of: operations)
        return nil
    }

    private func append(_ change: Change, to operations: inout [StorageOperation], _ isSynced: inout Bool) {
        switch change {
        case .claim(let running, let replaced):
            if let replaced { remove(replaced, &operations) }
            operations.append(.insert(running.row))
            if running.row.durability == .power { isSynced = true }
        case .outcome(let running, let pending):
            if let row = pending.row {
                operations.append(.update(row))
                if row.hasStoredBody { operations.append(.fasten(id: row.id)) }
                if let octets = pending.octets {
                    operations.append(.insertAnswer(id: row.id, key: row.key, octets: octets))
                }
            } else {
                operations.append(.remove(id: running.row.id))
            }
            if let successor = pending.successor { operations.append(.insert(successor.row)) }
            if running.row.durability == .power { isSynced = true }
        case .append(let reference, let offset, let octets, _):
            pieces(reference, at: offset, octets, to: &operations)
        case .amend(let from, let to, _, let octets, let reply):
            if let to {
                operations.append(.update(to))
                if to.hasStoredBody, !from.hasStoredBody { operations.append(.fasten(id: to.id)) }
                if let octets { operations.append(.insertAnswer(id: to.id, key: to.key, octets: octets)) }
            } else {
                remove(from, &operations)
            }
            if case .none = reply {
                // That an answer was delivered may be forgotten in a power cut: the record is then replayed once too
                // often.
            } else {
                isSynced = true
            }
        }
    }

    /// The body of a record that goes is removed later, in steps.
    private func remove(_ row: RecordRow, _ operations: inout [StorageOperation]) {
        operations.append(.remove(id: row.id))
        if row.hasStoredBody { operations.append(.loosen(id: row.id)) }
    }

    // MARK: Success

    private func succeed(_ change: Change) {
        switch change {
        case .claim(let running, let replaced):
            if let replaced {
                forget(replaced)
                forgetBody(
                    replaced,
                    dueMilliseconds: min(now, replaced.expiresAtMilliseconds) &+ StoredBody.graceMilliseconds)
            }
            begin(running)
        case .outcome(let running, let pending):
            succeed(running, pending)
        case .append(_, let offset, let octets, let address):
            outbox.add(address, .body(.appended(bodyBytes: offset + UInt64(octets.count))))
        case .amend(let from, let to, let answer, _, let reply):
            var wasUnknown = from.state == .unknown
            if case .held(let record) = reply, record.isFree { wasUnknown = false }
            if wasUnknown, to?.state != .unknown { figures.unknowns -= 1 }
            if let to {
                settleBody(to.id, to)
                cache.update(to)
                if let answer { cache.insert(RecordCache.Entry(row: to, answer: answer)) }
            } else {
                forget(from, isUnknownCounted: false)
                forgetBody(from, dueMilliseconds: 0)
            }
            if held[from.key]?.row.id == from.id {
                held[from.key] = nil
                marks.giveBack(from.markSlot)
            }
            switch reply {
            case .none, .held: break
            case .stored(let address):
                figures.completions &+= 1
                outbox.add(address, .stored(.durable))
            case .resolved(let address): outbox.add(address, .resolved(.done(from.summary)))
            }
        }
    }

    private func begin(_ running: OpenClaim) {
        index.insert(hash: running.row.key.indexHash, id: running.row.id)
        running.phase = .running
        running.machine.claimStored(epoch: running.row.id)
        outbox.add(running.address, .claimed(running.row.claim))
    }

    private func succeed(_ running: OpenClaim, _ pending: PendingOutcome) {
        let key = running.row.key
        marks.giveBack(running.row.markSlot)
        settleBody(running.row.id, pending.row)
        figures.completions &+= 1
        outbox.add(pending.address, .stored(.durable))
        open[key] = pending.successor
        guard let row = pending.row else {
            index.remove(hash: key.indexHash, id: running.row.id)
            if let successor = pending.successor { begin(successor) }
            return
        }
        if row.state == .unknown { figures.unknowns += 1 }
        if case .answered(let answer) = pending.outcome {
            cache.insert(RecordCache.Entry(row: row, answer: answer))
        }
        for waiter in pending.waiters { answer(waiter, pending.outcome, row, running.resenders) }
    }

    private func answer(_ waiter: ReplyAddress, _ outcome: Outcome, _ row: RecordRow, _ resenders: Resenders) {
        switch outcome {
        case .answered(let answer):
            figures.replays &+= 1
            outbox.add(waiter, .recorded(answer.handedOut(of: row), epoch: row.id))
        case .notKept(let tombstone):
            outbox.add(waiter, .notKept(tombstone))
        case .unknown(let cause):
            if let claim = resenders.claim(of: waiter), !isClosing {
                decide(claim, waiter, isWaiting: true)
            } else {
                outbox.add(waiter, .unknown(unknown(row, cause)))
            }
        case .released:
            preconditionFailure("a release leaves no row")
        }
    }

    func forget(_ row: RecordRow, isUnknownCounted: Bool = true) {
        index.remove(hash: row.key.indexHash, id: row.id)
        cache.remove(row.key)
        var wasUnknown = row.state == .unknown
        if let record = held[row.key], record.row.id == row.id {
            if record.isFree { wasUnknown = false }
            held[row.key] = nil
            marks.giveBack(row.markSlot)
        }
        if isUnknownCounted && wasUnknown { figures.unknowns -= 1 }
    }

    // MARK: Failure

    func failed(_ change: Change, _ refusal: StoreRefusal) {
        switch change {
        case .claim(let running, _):
            open[running.row.key] = nil
            abandon(running, refusal)
        case .outcome(let running, let pending):
            hold(running, pending, refusal)
        case .append(let reference, _, _, let address):
            appendFailed(reference, refusal, address)
        case .amend(_, _, _, _, let reply):
            switch reply {
            case .none, .held: break
            case .stored(let address): outbox.add(address, .stored(.failed(refusal)))
            case .resolved(let address): outbox.add(address, .resolved(.failed(refusal)))
            }
        }
    }

    private func abandon(_ running: OpenClaim, _ refusal: StoreRefusal) {
        marks.giveBack(running.row.markSlot)
        refuse(running.address, refusal)
        for waiter in running.machine.claimNotStored(epoch: running.row.id) { refuse(waiter, refusal) }
    }

    /// The outcome is not stored: the key is unknown from here on, and after a restart, which the mark's slot tells. A
    /// released key provably was not executed and stays free; a claim then replaces the row.
    func hold(_ running: OpenClaim, _ pending: PendingOutcome, _ refusal: StoreRefusal) {
        let key = running.row.key
        open[key] = nil
        outbox.add(pending.address, .stored(.failed(refusal)))
        var row = running.row
        row.becomeUnknown(.notStored, nowMilliseconds: now)
        if case .released = pending.outcome {
            held[key] = HeldRecord(row: row, isFree: true)
            if let successor = pending.successor { abandon(successor, refusal) }
            return
        }
        marks.markNotStored(slot: row.markSlot, epoch: row.id)
        held[key] = HeldRecord(row: row, isFree: false)
        figures.unknowns += 1
        for waiter in pending.waiters { outbox.add(waiter, .unknown(unknown(row, .notStored))) }
    }

    /// Writes down what is only held in memory. Called from time to time; an error leaves it for the next.
    func writeHeld() {
        guard engine != nil, changes.isEmpty, !held.isEmpty else { return }
        for record in held.values.prefix(EmbeddedLimits.expiryStepMax) where open[record.row.key] == nil {
            amend(from: record.row, to: record.isFree ? nil : record.row, reply: .held(record))
        }
        commitChanges()
    }

    // MARK: Size

    func isOver(_ limit: UInt64) -> Bool {
        guard figures.bytesUsed >= limit else { return false }
        if commitsSinceMeasurement > 0 { measure() }
        return figures.bytesUsed >= limit
    }

    func measure() {
        commitsSinceMeasurement = 0
        do throws(StorageError) {
            if let bytes = try engine?.bytesUsed() { figures.bytesUsed = bytes }
        } catch {
            fail(error)
        }
    }

    private func noteSize(of operations: [StorageOperation]) {
        commitsSinceMeasurement += 1
        guard commitsSinceMeasurement < EmbeddedLimits.commitsPerMeasurement else { return measure() }
        for operation in operations {
            switch operation {
            case .insert: figures.bytesUsed += 160
            case .insertAnswer(_, _, let octets), .insertPiece(_, let octets): figures.bytesUsed += UInt64(octets.count)
            default: break
            }
        }
    }
}
