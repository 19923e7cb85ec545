internal import Idempotency

/// Bodies that are stored in pieces while their answer is received.
///
/// ```
///   appendBody ─▶ open (bodies, loose on disk) ── complete(answered) ─▶ recorded ── expires, replaced, forgotten ─┐
///                   │ any other end, restart                                                                     │
///                   └──────────────────────────────▶ doomed (loose on disk) ◀────────────────────────────────────┘
///                                                       └─ upkeep removes some pieces at a time
/// ```
/// Pieces are committed as they come and synced with the outcome only: the log keeps order, so where the outcome stands
/// they stand. Expired bodies are found by their ids, without being noted.
extension StorageCore {
    // MARK: Appending

    func handleAppend(_ reference: ClaimReference, _ octets: [UInt8], _ address: ReplyAddress) {
        if isChanging(reference.key) { commitChanges() }
        guard let engine else { return outbox.add(address, .body(.refused(isClosing ? .closing : .failed))) }
        guard takesBody(reference, engine) else {
            return outbox.add(address, .body(self.engine == nil ? .refused(.failed) : .stale))
        }
        var body = bodies[reference.epoch] ?? OpenBody()
        guard !body.isBroken else { return outbox.add(address, .body(.refused(.failed))) }
        guard !octets.isEmpty else { return outbox.add(address, .body(.appended(bodyBytes: body.bytes))) }
        guard !isOver(options.bytesMax) else {
            body.isBroken = true
            bodies[reference.epoch] = body
            figures.refusedFull &+= 1
            return outbox.add(address, .body(.refused(.full)))
        }
        let first = body.bytes
        body.bytes += UInt64(octets.count)
        if sealer == nil { body.isSealed = false }
        bodies[reference.epoch] = body
        changes.append(.append(reference, at: first, octets, address))
        changeBytes += octets.count
    }

    /// Whether the claim of this epoch is open, or its outcome unknown.
    private func takesBody(_ reference: ClaimReference, _ engine: any StorageEngine) -> Bool {
        if let running = open[reference.key] { return running.row.id == reference.epoch && running.phase == .running }
        guard case .row(let row) = standing(reference.key), row.id == reference.epoch, row.state == .unknown else {
            return false
        }
        guard bodies[row.id] == nil else { return true }
        // Not another body under the same epoch: what is left of an earlier one is about to be removed.
        do throws(StorageError) {
            return try engine.firstPiece(from: row.id, below: row.id + 1) == nil
        } catch {
            fail(error)
            return false
        }
    }

    /// The operations that store octets, each piece no larger than what one slice reads.
    func pieces(
        _ reference: ClaimReference, at first: UInt64, _ octets: [UInt8], to operations: inout [StorageOperation]
    ) {
        if first == 0 { operations.append(.loosen(id: reference.epoch)) }
        var place = BodyPiece.Place(key: reference.key, epoch: reference.epoch, offset: first)
        guard octets.count > StoredBody.pieceBytes else { return operations.append(.insertPiece(place, octets)) }
        for start in stride(from: 0, to: octets.count, by: StoredBody.pieceBytes) {
            let end = min(start + StoredBody.pieceBytes, octets.count)
            place.offset = first + UInt64(start)
            operations.append(.insertPiece(place, Array(octets[start..<end])))
        }
    }

    func appendFailed(_ reference: ClaimReference, _ refusal: StoreRefusal, _ address: ReplyAddress) {
        bodies[reference.epoch]?.isBroken = true
        outbox.add(address, .body(.refused(refusal)))
    }

    /// Notes in the row what stands in pieces. False: the outcome speaks of a body that was not stored so.
    func attachBody(_ outcome: Outcome, to row: inout RecordRow) -> Bool {
        row.hasStoredBody = false
        row.isBodySealed = false
        guard case .answered(let answer) = outcome, answer.storedBodyBytes > 0 else { return true }
        guard let body = bodies[row.id], !body.isBroken, body.bytes == answer.storedBodyBytes else { return false }
        row.hasStoredBody = true
        row.isBodySealed = body.isSealed
        return true
    }

    /// The outcome of an attempt stands: its body is recorded, goes on (a late answer may follow what is unknown), or
    /// is doomed.
    func settleBody(_ id: UInt64, _ row: RecordRow?) {
        guard !bodies.isEmpty, bodies[id] != nil else { return }
        if let row, row.id == id, row.state == .unknown { return }
        bodies[id] = nil
        if row?.hasStoredBody != true || row?.id != id { doom(id, dueMilliseconds: 0) }
    }

    /// The record of this row does not stand any more.
    func forgetBody(_ row: RecordRow, dueMilliseconds: UInt64) {
        if !dropOpenBody(row.id), row.hasStoredBody { doom(row.id, dueMilliseconds: dueMilliseconds) }
    }

    /// Gives up a body that was never recorded, if the attempt has one. One that was recorded is found by its id when
    /// it is due.
    @discardableResult
    func dropOpenBody(_ id: UInt64) -> Bool {
        guard !bodies.isEmpty, bodies.removeValue(forKey: id) != nil else { return false }
        doom(id, dueMilliseconds: 0)
        return true
    }

    private func doom(_ id: UInt64, dueMilliseconds: UInt64) {
        doomed.append(DoomedBody(id: id, dueMilliseconds: dueMilliseconds))
    }

    // MARK: Reading

    func handleRead(_ reference: ClaimReference, from offset: UInt64, countMax: Int, _ address: ReplyAddress) {
        if isChanging(reference.key) { commitChanges() }
        guard let engine else { return outbox.add(address, .body(.refused(isClosing ? .closing : .failed))) }
        // Of an attempt that has not completed nothing is seen.
        guard bodies[reference.epoch] == nil, offset <= UInt64(Int64.max) else {
            return outbox.add(address, .body(.stale))
        }
        // A record that has expired may be gone, though not its body.
        var mustBeSealed = false
        if case .row(let row) = standing(reference.key), row.id == reference.epoch { mustBeSealed = row.isBodySealed }
        let place = BodyPiece.Place(key: reference.key, epoch: reference.epoch, offset: offset)
        do throws(StorageError) {
            switch try engine.readPiece(place, mustBeSealed: mustBeSealed) {
            case .octets(let octets):
                let count = max(1, countMax)
                outbox.add(address, .body(.octets(octets.count <= count ? octets : Array(octets[..<count]))))
            case .absent: outbox.add(address, .body(.stale))
            case .unreadable(let error): refuseBody(reference.key, error, address)
            }
        } catch {
            guard !error.isCorruption else { return refuseBody(reference.key, .forged, address) }
            fail(error)
            outbox.add(address, .body(.refused(.failed)))
        }
    }

    private func refuseBody(_ key: RecordKey, _ error: SealError, _ address: ReplyAddress) {
        noteUnreadable(key, error)
        outbox.add(address, .body(.refused(.corrupt)))
    }

    // MARK: Removal

    /// Removes at most one step of pieces that nobody can read any more. True while there may be more.
    func removeBodies() -> Bool {
        guard let engine, changes.isEmpty else { return false }
        now = clock.milliseconds()
        var operations: [StorageOperation] = []
        var budget = EmbeddedLimits.pieceStepMax
        do throws(StorageError) {
            while budget > 0, let index = doomed.firstIndex(where: { $0.dueMilliseconds <= now }) {
                guard try remove(doomed[index].id, engine, &operations, &budget) else { continue }
                doomed.swapAt(index, doomed.count - 1)
                doomed.removeLast()
            }
            // Ids begin with the second of expiry.
            let grace = StoredBody.graceMilliseconds
            let end = now > grace ? ((now - grace) / 1000) << 24 : 0
            while budget > 0, let id = try engine.firstPiece(from: pieceCursor, below: end) {
                // A claim does not expire while its owner runs.
                var isDone = true
                if bodies[id] == nil { isDone = try remove(id, engine, &operations, &budget) }
                pieceCursor = isDone ? id + 1 : id
            }
            if budget > 0 { pieceCursor = 0 }
            guard !operations.isEmpty else { return false }
            try engine.commit(operations, isSynced: false)
            // Much at once, and nothing else tells the figures.
            measure()
            return budget <= 0
        } catch {
            fail(error)
            return false
        }
    }

    /// The operations that remove the first pieces of a body. True when those are all.
    private func remove(
        _ id: UInt64, _ engine: any StorageEngine, _ operations: inout [StorageOperation], _ budget: inout Int
    ) throws(StorageError) -> Bool {
        let offsets = try engine.pieceOffsets(of: id, countMax: budget)
        if let last = offsets.last { operations.append(.removePieces(id: id, through: last)) }
        let isDone = offsets.count < budget
        if isDone { operations.append(.fasten(id: id)) }
        budget -= max(1, offsets.count)
        return isDone
    }
}
