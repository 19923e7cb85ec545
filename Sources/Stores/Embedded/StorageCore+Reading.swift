internal import Idempotency

/// The record under a key, and what stands in it.
extension StorageCore {
    enum Found {
        case row(RecordRow)
        /// It stands, and only the clear part of it can be told.
        case unreadable(RecordRow, SealError)
        case absent
        case corrupt
        case failed
    }

    /// The record under a key that is not open: held in memory, cached, or read.
    func standing(_ key: RecordKey) -> Found {
        if let record = held[key] { return record.isFree ? .absent : .row(record.row) }
        if let row = cache.row(of: key) { return .row(row) }
        return findRow(key)
    }

    func standingRow(_ key: RecordKey) -> RecordRow? {
        if case .row(let row) = standing(key) { row } else { nil }
    }

    func findRow(_ key: RecordKey) -> Found {
        var found = Found.absent
        index.forEach(hash: key.indexHash) { id in
            switch readRow(id) {
            // Equal hashes of different keys stand side by side.
            case .row(let row) where row.key != key: return false
            case .unreadable(let row, _) where row.key != key: return false
            case .absent: found = .corrupt
            case let other: found = other
            }
            return true
        }
        return found
    }

    private func readRow(_ id: UInt64) -> Found {
        guard let engine else { return .failed }
        do throws(StorageError) {
            switch try engine.read(id) {
            case .row(let row): return .row(row)
            case .unreadable(let row, let error): return .unreadable(row, error)
            case .corrupt: return .corrupt
            case .absent: return .absent
            }
        } catch {
            fail(error)
            return .failed
        }
    }

    func replay(_ row: RecordRow, _ address: ReplyAddress) {
        if let answer = cache.answer(of: row.key, epoch: row.id) {
            figures.replays &+= 1
            return outbox.add(address, .recorded(answer.handedOut(of: row), epoch: row.id))
        }
        switch readAnswer(of: row) {
        case .octets(let octets): replay(row, octets, address)
        case .unreadable(let error): refuseUnreadable(row.key, error, address)
        case .absent: refuse(address, engine == nil ? .failed : .corrupt)
        }
    }

    private func replay(_ row: RecordRow, _ octets: [UInt8], _ address: ReplyAddress) {
        do throws(RecordCodingError) {
            switch (row.state, try RecordCoding.decode(octets.span, key: row.key, epoch: row.id)) {
            case (.completed, .answered(let answer)):
                figures.replays &+= 1
                cache.insert(RecordCache.Entry(row: row, answer: answer))
                outbox.add(address, .recorded(answer.handedOut(of: row), epoch: row.id))
            case (.tombstone, .notKept(let tombstone)):
                outbox.add(address, .notKept(tombstone))
            default:
                refuse(address, .corrupt)
            }
        } catch {
            refuse(address, .corrupt)
        }
    }

    private func readAnswer(of row: RecordRow) -> StoredAnswer {
        guard let engine else { return .absent }
        do throws(StorageError) {
            return try engine.readAnswer(of: row)
        } catch {
            // A damaged page holds back its own answers only; any other error stops the store.
            if !error.isCorruption { fail(error) }
            return .absent
        }
    }

    // MARK: Keys

    /// What is sealed and cannot be opened is answered as what is damaged: it is a record, and never run again.
    func refuseUnreadable(_ key: RecordKey, _ error: SealError, _ address: ReplyAddress) {
        noteUnreadable(key, error)
        outbox.add(address, .refused(.corrupt))
    }

    func noteUnreadable(_ key: RecordKey, _ error: SealError) {
        switch error {
        case .forged: figures.corruptRecords &+= 1
        case .missingKey(let keyID):
            figures.unreadableRecords &+= 1
            if missingKeys.insert(keyID).inserted { options.report?(.recordUnreadable(key, keyID)) }
        }
    }

    /// Nil: what is written from here on is plain, and what was sealed cannot be read.
    func setKeyRing(_ ring: KeyRing?) {
        guard let ring else { return use(nil) }
        guard let sealer = RecordSealer(ring) else {
            options.report?(.cipherUnavailable)
            return
        }
        use(sealer)
    }

    private func use(_ sealer: RecordSealer?) {
        self.sealer = sealer
        engine?.sealer = sealer
        missingKeys = []
        // What a key that is gone had sealed is not read from memory either.
        cache.removeAll()
    }
}

extension RecordedAnswer {
    /// With what the row knows of its delivery.
    func handedOut(of row: RecordRow) -> RecordedAnswer {
        guard row.isUndelivered else { return self }
        var answer = self
        answer.isKnownLost = true
        return answer
    }
}
