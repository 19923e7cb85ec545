import HTTP
import Idempotency
import Observability
import Transport

/// From the service: the answer goes to the client as it comes, and is recorded on covered routes. Its last octets are
/// held until the record is durable.
extension Exchange {
    /// A 1xx other than 101. The proxy has answered Expect itself, so a 100 is not passed on.
    func interimAnswerReceived() {
        interimAnswers += 1
        if interimAnswers > context.limits.interimAnswersMax {
            upstreamFailed(.extraOctets)
            return
        }
        guard answerHead.status != 100, !isClientDone, let downstream else { return }
        do {
            try answerHead.fields.markHopByHop()
        } catch {
            upstreamFailed(.malformed(error))
            return
        }
        route?.dropMarker(&answerHead.fields)
        fieldLines.removeAll(keepingCapacity: true)
        HTTP1Serialiser.fieldLines(of: answerHead.fields, to: &fieldLines)
        downstream.sendInterim(answerHead.status, fieldLines: fieldLines, version: head.version)
    }

    /// - Parameter ends: neither body nor trailers follow.
    func answerHeadReceived(ends: Bool) {
        CrashPoint.reach(.responseHead)
        do {
            try answerHead.fields.markHopByHop()
        } catch {
            upstreamFailed(.malformed(error))
            return
        }
        hasAnswerHead = true
        timeline.answerHead = context.worker.now
        timeline.upstreamStatus = answerHead.status
        route?.dropMarker(&answerHead.fields)
        setResponseIdleDeadline()
        observed?.answerHeadReceived(answerHead)
        if attempt != nil {
            // What the status of a gRPC answer is may stand in its trailers, if no message comes before them.
            owesAnswerStart = !ends && answerHead.status == 200 && answerHead.fields.isGRPC
            if !owesAnswerStart { startRecording((ends ? answerHead.fields.statusOfGRPC : nil) ?? answerHead.status) }
        }
        fieldLines.removeAll(keepingCapacity: true)
        HTTP1Serialiser.fieldLines(of: answerHead.fields, to: &fieldLines)
        guard !isClientDone, let downstream else { return }
        timeline.status = answerHead.status
        if sending != .complete { noteEarlyAnswer(downstream) }
        downstream.watchWriting()
        if attempt != nil {
            holdsAnswerHead = true
        } else {
            sendAnswerHead(to: downstream, ends: ends)
        }
    }

    private func startRecording(_ status: UInt16) {
        owesAnswerStart = false
        run { $0.answerStarted(status: Int(status)) }
        let rule = attempt?.answerRule
        recording.rule = rule ?? .record
        recording.isKept = rule == .record
        // A length that was told is all of it.
        if recording.isKept, case .length(let length) = answerHead.framing, length > UInt64(recordBodyBytesMax) {
            passRecordLimit()
        }
    }

    private var recordBodyBytesMax: Int { route?.recordBodyBytesMax ?? 0 }

    /// Past the limit only size and digest are kept; the client still gets every octet.
    private func passRecordLimit() {
        recordDigestOnly()
        context.telemetry.limitHit("record_body")
    }

    /// The service answers before it has the whole request: what is left of the body is skipped, or the connection
    /// closed.
    private func noteEarlyAnswer(_ downstream: Downstream) {
        if case .length(let length) = head.framing,
            length - bodyBytesReceived <= UInt64(context.limits.drainBodyBytesMax)
        {
            return
        }
        downstream.closeAfterAnswer()
    }

    private func sendAnswerHead(to downstream: Downstream, ends: Bool) {
        isAnswerStarted = true
        holdsAnswerHead = false
        let answer = AnswerHead(
            status: answerHead.status, framing: answerHead.framing, version: head.version, ends: ends)
        var more = timeline.outcome == .unprotected ? WireText.unprotectedLine : []
        if route?.addsFields == true, attempt != nil { appendAnswerLines(to: &more) }
        timeline.bytesToClient += UInt64(downstream.sendHead(answer, fieldLines: fieldLines, more: more))
    }

    func answerBodyReceived(_ octets: Span<UInt8>) {
        CrashPoint.reach(.responseBodyHalf)
        setResponseIdleDeadline()
        // A frame may end the message and hold nothing of it.
        if owesAnswerStart, octets.count > 0 { startRecording(answerHead.status) }
        if attempt != nil { record(octets) } else { observed?.answerBodyReceived(octets) }
        guard !isClientDone, let downstream, octets.count > 0 else {
            if probe != nil { collectProbe(octets) }
            return
        }
        timeline.bytesToClient += UInt64(octets.count)
        if attempt != nil {
            held.append(octets)
        } else {
            downstream.sendBody(octets)
        }
        pauseUpstreamIfFull(downstream)
    }

    private func setResponseIdleDeadline() {
        guard let route else { return }
        upstream?.deadline = earlier(context.worker.now.adding(milliseconds: route.timeouts.responseIdle))
    }

    private func record(_ octets: Span<UInt8>) {
        recording.bodyBytes += UInt64(octets.count)
        guard recording.isKept else {
            recording.digest?.update(octets)
            return
        }
        guard recording.bodyBytes <= UInt64(recordBodyBytesMax), reserve(octets.count) else {
            passRecordLimit()
            recording.digest?.update(octets)
            return
        }
        if recording.body.count + octets.count <= StoredBody.pieceBytes {
            recording.body.append(octets)
        } else {
            recordPieces(octets)
        }
    }

    /// All that this read of the service's connection brought was handled. If the answer goes on, nothing of it is its
    /// last octet.
    func answerReadEnded() {
        guard !hasAnswerEnded, !owesAnswerStart, holdsAnswerHead || !held.isEmpty, let downstream else { return }
        // Its end may come in a frame of its own; with the length known the client would not wait for it.
        if attempt != nil, case .length(let length) = answerHead.framing, recording.bodyBytes >= length { return }
        sendHeld(to: downstream, ends: false)
        pauseUpstreamIfFull(downstream)
    }

    private func sendHeld(to downstream: Downstream, ends: Bool) {
        if holdsAnswerHead { sendAnswerHead(to: downstream, ends: ends && held.isEmpty) }
        guard !held.isEmpty else { return }
        if ends, CrashPoint.isArmed(.replyHalf) {
            downstream.sendBody(held.span.extracting(..<(held.count / 2)))
            downstream.flush()
            CrashPoint.reach(.replyHalf)
        }
        downstream.sendBody(held.span)
        held.removeAll(keepingCapacity: true)
    }

    /// The service waits for a client that reads more slowly than it writes.
    func pauseUpstreamIfFull(_ downstream: Downstream) {
        guard downstream.queuedOctets > context.limits.outputHighWater, let upstream else { return }
        upstream.pauseReading()
        downstream.requestDrainNotice()
    }

    func downstreamOutputDrained() {
        if slicedReplay != nil { continueReplay() } else { resumeAnswer() }
    }

    func answerEndReceived(trailers: FieldSection?, hasLeftover: Bool) {
        if hasLeftover && (attempt != nil || probe != nil) {
            // Octets behind the answer: the connection's messages cannot be told apart, so this one is not trusted
            // either.
            upstreamFailed(.extraOctets)
            return
        }
        if owesAnswerStart {
            // A status in the trailers is the last word.
            let told = trailers?.hasGRPCStatus == true ? trailers?.grpcStatus : answerHead.fields.statusOfGRPC
            startRecording(told ?? answerHead.status)
        }
        hasAnswerEnded = true
        timeline.answerEnded = context.worker.now
        CrashPoint.reach(.responseComplete)
        if var trailers {
            route?.dropMarker(&trailers)
            HTTP1Serialiser.fieldLines(of: trailers, to: &recording.trailerLines)
        }
        if let upstream {
            self.upstream = nil
            upstream.detach(requestIsComplete: sending == .complete, hasLeftover: hasLeftover)
        }
        if attempt != nil {
            let clientWaits = !isClientDone
            run { $0.answerEnded(clientWaits: clientWaits) }
        } else if let probe {
            probeAnswered(probe)
        } else {
            observed?.answerEnded(trailers: trailers)
            releaseAnswer()
        }
    }

    /// Sends what is held, and the end of the message.
    func releaseAnswer() {
        if let downstream {
            let trailerLines = head.acceptsTrailers ? recording.trailerLines : []
            sendHeld(to: downstream, ends: trailerLines.isEmpty)
            downstream.sendEnd(trailerLines: trailerLines)
            noteDelivery(downstream)
            observed?.watchDelivery(downstream)
            if CrashPoint.isArmed(.replySent) { downstream.flush() }
        }
        CrashPoint.reach(.replySent)
        finish()
    }

    /// The answer as it is stored. Leaves the recording empty.
    func takeOutcome() -> Outcome {
        let framing: RecordedAnswer.Framing =
            switch answerHead.framing {
            case .none: .none
            case .length: .length
            case .chunked, .untilClose: .stream
            }
        if !recording.isKept, let digest = recording.digest {
            return .notKept(
                Tombstone(status: answerHead.status, bodyBytes: recording.bodyBytes, bodyDigest: digest.finish()))
        }
        var lines = fieldLines
        if identity?.isAnonymous == true, dropPersonalFields() {
            lines = []
            HTTP1Serialiser.fieldLines(of: answerHead.fields, to: &lines)
        }
        return .answered(
            RecordedAnswer(
                status: answerHead.status, framing: framing, fieldLines: lines, body: recording.body,
                trailerLines: recording.trailerLines, storedBodyBytes: recording.storedBytes))
    }

    /// What is one caller's alone. False when the answer has none of it.
    private func dropPersonalFields() -> Bool {
        guard
            answerHead.fields.contains(.setCookie) || answerHead.fields.contains(.wwwAuthenticate)
                || answerHead.fields.contains(.authenticationInfo)
        else { return false }
        answerHead.fields.drop(.setCookie)
        answerHead.fields.drop(.wwwAuthenticate)
        answerHead.fields.drop(.authenticationInfo)
        return true
    }
}
