import HTTP
import Idempotency
import Observability
import Transport

/// Large answers: while they are recorded, their octets go to the store piece by piece, and a replay reads them slice
/// by slice, as fast as its client takes them. No exchange holds more of one than a few pieces.
extension Exchange {
    // MARK: Recording

    /// The body grows past one piece. What is full goes to the store; at least one octet stays.
    func recordPieces(_ octets: Span<UInt8>) {
        var offset = 0
        while offset < octets.count {
            let room = StoredBody.pieceBytes - recording.body.count
            let count = min(room, octets.count - offset)
            recording.body.append(octets.extracting(offset..<offset + count))
            offset += count
            if offset < octets.count { appendPiece() }
        }
    }

    private func appendPiece() {
        guard let claim else { preconditionFailure("an answer is recorded without a claim") }
        let piece = recording.body
        recording.body = []
        recording.body.reserveCapacity(StoredBody.pieceBytes)
        var digest = recording.digest ?? SHA256()
        digest.update(piece)
        recording.digest = digest
        recording.storedBytes += UInt64(piece.count)
        recording.appendsInFlight += 1
        context.submit(.appendBody(claim, piece, replyAddress))
        if recording.appendsInFlight >= Recording.appendsInFlightMax {
            recording.waitsForStore = true
            upstream?.pauseReading()
        }
    }

    /// The store answered a piece.
    func pieceAnswered(_ result: StoredBody.Result) {
        recording.appendsInFlight -= 1
        unreserve(StoredBody.pieceBytes)
        switch result {
        case .appended: break
        case .stale, .refused:
            if recording.isKept { context.telemetry.outcomeNotStored() }
            recordDigestOnly()
        case .octets: preconditionFailure("a piece was answered with octets")
        }
        if recording.appendsInFlight == 0 { storeUnstoredAnswer() }
        if recording.waitsForStore, recording.appendsInFlight <= Recording.appendsInFlightMax / 2 {
            recording.waitsForStore = false
            resumeAnswer()
        }
    }

    /// The answer's record will be its tombstone.
    func recordDigestOnly() {
        guard recording.isKept else { return }
        recording.isKept = false
        var digest = recording.digest ?? SHA256()
        digest.update(recording.body)
        recording.digest = digest
        unreserve(recording.body.count)
        recording.body = []
    }

    /// Stores an answer that waited for its pieces. Those that are not answered come before it in the store.
    func storeUnstoredAnswer() {
        guard let claim = recording.unstored else { return }
        recording.unstored = nil
        context.submit(.complete(claim, takeOutcome(), replyAddress))
    }

    /// The service goes on, if neither the store nor a slow client holds it up.
    func resumeAnswer() {
        guard !recording.waitsForStore else { return }
        if !isClientDone, let downstream, downstream.queuedOctets > context.limits.outputHighWater {
            downstream.requestDrainNotice()
            return
        }
        upstream?.resumeReading()
    }

    // MARK: Replaying

    /// Asks for the next slice when the client has taken enough of those before; after the last one comes the end.
    func continueReplay() {
        guard let replay = slicedReplay, !replay.isReading, let downstream, let replayed else { return }
        guard downstream.queuedOctets < StoredBody.pieceBytes else {
            downstream.requestDrainNotice()
            return
        }
        guard replay.sentBytes < replay.answer.storedBodyBytes else {
            slicedReplay = nil
            endReplay(replay.answer, to: downstream)
            return
        }
        slicedReplay?.isReading = true
        context.submit(
            .readBody(replayed, from: replay.sentBytes, countMax: StoredBody.pieceBytes, replyAddress))
    }

    /// The store answered with a slice. Without it the client must see a broken message, never a shorter one.
    func sliceRead(_ result: StoredBody.Result) {
        guard let replay = slicedReplay, let downstream else { return }
        guard case .octets(let octets) = result, !octets.isEmpty,
            UInt64(octets.count) <= replay.answer.storedBodyBytes - replay.sentBytes
        else {
            timeline.outcome = .storeError
            abortClient()
            return
        }
        slicedReplay?.isReading = false
        slicedReplay?.sentBytes += UInt64(octets.count)
        timeline.bytesToClient += UInt64(octets.count)
        downstream.sendBody(shared: octets)
        continueReplay()
    }
}
