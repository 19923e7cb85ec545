internal import Idempotency
internal import Transport

extension StorageCore {
    // MARK: Expiry

    /// Removes at most one step of expired records. True while there may be more.
    func expire() -> Bool {
        guard let engine, changes.isEmpty else { return false }
        now = clock.milliseconds()
        // Ids rise with the second of expiry, so everything below the current second has expired.
        let end = (now / 1000) << 24
        var ids: [UInt64] = []
        var expired: [RecordRow] = []
        do throws(StorageError) {
            let rows = try engine.rows(from: expiryCursor, to: end, countMax: EmbeddedLimits.expiryStepMax)
            for row in rows {
                guard let id = row.id else { continue }
                expiryCursor = id + 1
                // A corrupt row stays: its key is unknown, and must not look absent.
                guard let row = row.clearRow else { continue }
                // A claim never expires while its owner runs.
                if open[row.key]?.row.id == id { continue }
                ids.append(id)
                expired.append(held[row.key].flatMap { $0.row.id == id ? $0.row : nil } ?? row)
            }
            if rows.count < EmbeddedLimits.expiryStepMax { expiryCursor = 0 }
            guard let first = ids.first, let last = ids.last else { return rows.count == EmbeddedLimits.expiryStepMax }
            CrashPoint.reach(.duringExpiry)
            let operations =
                ids.count == rows.count ? [.removeRange(first...last)] : ids.map { StorageOperation.remove(id: $0) }
            try engine.commit(operations, isSynced: false)
            for row in expired {
                forget(row)
                dropOpenBody(row.id)
            }
            figures.expired &+= UInt64(ids.count)
            commitsSinceMeasurement += 1
            return rows.count == EmbeddedLimits.expiryStepMax
        } catch {
            fail(error)
            return false
        }
    }

    func tidy() {
        do throws(StorageError) {
            try engine?.tidy()
        } catch {
            fail(error)
        }
    }

    // MARK: Failure and return

    /// After an error that leaves doubt about what is on disk, nothing is believed until it has been read again.
    func fail(_ error: StorageError) {
        // A full device leaves no doubt.
        guard error != .full, let engine else { return }
        if case .failed(_, isSync: true) = error { figures.syncFailures &+= 1 }
        engine.close(isIntact: false)
        self.engine = nil
        cache.removeAll()
        // Pieces are not synced: whether they still stand is not known.
        for id in bodies.keys { bodies[id]?.isBroken = true }
        onFailure(error)
    }

    /// Opens the database again and verifies every row. False: not yet.
    func reopen() -> Bool {
        guard engine == nil, !isClosing else { return true }
        do {
            let (engine, scan) = try OpenedStore.openEngine(database, connections: options.scanConnections)
            do throws(StorageError) {
                engine.sealer = sealer
                try engine.takeOver()
                // Syncs what was readable before: a sync that failed once may have lied since.
                try engine.checkpointAll()
                try reconcile(scan, engine)
            } catch {
                engine.close(isIntact: false)
                return false
            }
            self.engine = engine
            measure()
            publish()
            return true
        } catch {
            return false
        }
    }

    /// Brings rows and memory together. Memory is right about claims of this process: each was told to its owner, or
    /// refused.
    private func reconcile(_ scan: RecordScan, _ engine: any StorageEngine) throws(StorageError) {
        var index = scan.index
        var unknowns = scan.unknowns
        var operations: [StorageOperation] = []
        var openOnDisk: Set<RecordKey> = []
        for row in scan.open {
            if open[row.key]?.row.id == row.id || held[row.key]?.row.id == row.id {
                openOnDisk.insert(row.key)
            } else {
                // Its commit was reported as failed and took effect nevertheless: the claim was refused, so nothing was
                // sent.
                operations.append(.remove(id: row.id))
                index.remove(hash: row.key.indexHash, id: row.id)
            }
        }
        for (key, running) in open where !openOnDisk.contains(key) {
            operations.append(.remove(id: running.row.id))
            operations.append(.insert(running.row))
            if !index.contains(hash: key.indexHash, id: running.row.id) {
                index.insert(hash: key.indexHash, id: running.row.id)
            }
        }
        var settled: [RecordKey] = []
        for (key, record) in held {
            if openOnDisk.contains(key) {
                if !record.isFree { unknowns += 1 }
                continue
            }
            // The outcome is on disk after all, or the release is.
            settled.append(key)
            if !record.isFree, !index.contains(hash: key.indexHash, id: record.row.id) {
                operations.append(.insert(record.row))
                index.insert(hash: key.indexHash, id: record.row.id)
                unknowns += 1
            }
        }
        if !operations.isEmpty { try engine.commit(operations, isSynced: true) }
        for key in settled {
            guard let record = held.removeValue(forKey: key) else { continue }
            marks.giveBack(record.row.markSlot)
            bodies[record.row.id] = nil
        }
        self.index = index
        figures.unknowns = unknowns
    }

    // MARK: End

    /// Refuses what waits and gives the files up. Rows of open claims stay as they are: the next start reads in the
    /// marks, which their owners may still set, what has to become of each.
    func close() {
        isClosing = true
        commitChanges()
        while !listings.isEmpty { refuse(listings.removeFirst().address, .closing) }
        for running in open.values {
            for waiter in running.machine.waiters { refuse(waiter, .closing) }
        }
        open.removeAll()
        writeHeld()
        deliver()
        engine?.close(isIntact: true)
        engine = nil
        giveUpDirectory()
    }
}
