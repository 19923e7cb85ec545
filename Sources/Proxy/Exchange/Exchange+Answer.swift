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
        guard answerHead.status != 100, head.version == .http11, !isClientDone, let downstream else { return }
        do {
            try answerHead.fields.markHopByHop()
        } catch {
            upstreamFailed(.malformed(error))
            return
        }
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.statusLine(answerHead.status, to: &context.scratch)
        HTTP1Serialiser.fieldLines(of: answerHead.fields, to: &context.scratch)
        HTTP1Serialiser.endOfHead(to: &context.scratch)
        downstream.write(contentsOf: context.scratch)
    }

    func answerHeadReceived() {
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
        if attempt != nil { run { $0.answerStarted(status: Int(self.answerHead.status)) } }
        fieldLines.removeAll(keepingCapacity: true)
        HTTP1Serialiser.fieldLines(of: answerHead.fields, to: &fieldLines)
        guard !isClientDone, let downstream else { return }
        timeline.status = answerHead.status
        clientFraming = framingTowardsClient
        if clientFraming == .untilClose { downstream.closeAfterAnswer() }
        if sending != .complete { noteEarlyAnswer(downstream) }
        context.scratch.removeAll(keepingCapacity: true)
        writeAnswerHead(to: &context.scratch, closes: downstream.closesAfterAnswer)
        downstream.watchWriting()
        emit(contentsOf: context.scratch)
    }

    /// The service answers before it has the whole request: what is left of the body is skipped, or the connection
    /// closed.
    private func noteEarlyAnswer(_ downstream: DownstreamConnection) {
        if case .length(let length) = head.framing,
            length - bodyBytesReceived <= UInt64(context.limits.drainBodyBytesMax)
        {
            return
        }
        downstream.closeAfterAnswer()
    }

    private var framingTowardsClient: ClientFraming {
        switch answerHead.framing {
        case .none: .none
        case .length: .length
        case .chunked, .untilClose: head.version == .http11 ? .chunked : .untilClose
        }
    }

    private func writeAnswerHead(to output: inout [UInt8], closes: Bool) {
        HTTP1Serialiser.statusLine(answerHead.status, to: &output)
        output.append(contentsOf: fieldLines)
        if clientFraming == .chunked { output.append(contentsOf: WireText.chunkedLine) }
        if timeline.outcome == .unprotected { output.append(contentsOf: WireText.unprotectedLine) }
        writeConnectionField(closes: closes, to: &output)
        output.append(contentsOf: WireText.lineEnd)
    }

    func writeConnectionField(closes: Bool, to output: inout [UInt8]) {
        if closes {
            output.append(contentsOf: WireText.closeLine)
        } else if head.version == .http10 {
            output.append(contentsOf: WireText.keepAliveLine)
        }
    }

    func answerBodyReceived(_ octets: Span<UInt8>) {
        CrashPoint.reach(.responseBodyHalf)
        setResponseIdleDeadline()
        if attempt != nil { record(octets) }
        guard !isClientDone, let downstream, octets.count > 0 else { return }
        if clientFraming == .chunked {
            context.scratch.removeAll(keepingCapacity: true)
            HTTP1Serialiser.chunkHeader(octets.count, to: &context.scratch)
            emit(contentsOf: context.scratch)
            emit(octets)
            emit(contentsOf: WireText.lineEnd)
        } else {
            emit(octets)
        }
        pauseUpstreamIfFull(downstream)
    }

    private func setResponseIdleDeadline() {
        guard let route else { return }
        upstream?.deadline = earlier(context.worker.now.adding(milliseconds: route.timeouts.responseIdle))
    }

    /// Towards the client: at once where the exchange passes through, else first into `held`.
    private func emit(_ octets: Span<UInt8>) {
        guard let downstream else { return }
        timeline.bytesToClient += UInt64(octets.count)
        if attempt != nil {
            held.append(octets)
        } else {
            isAnswerStarted = true
            downstream.write(octets)
        }
    }

    private func emit(contentsOf octets: [UInt8]) {
        emit(octets.span)
    }

    private func record(_ octets: Span<UInt8>) {
        recording.bodyBytes += UInt64(octets.count)
        if var digest = recording.digest {
            digest.update(octets)
            recording.digest = digest
            return
        }
        let limit = route?.recordBodyBytesMax ?? 0
        if recording.body.count + octets.count <= limit && reserve(octets.count) {
            recording.body.append(octets)
            return
        }
        // Past the limit only size and digest are kept; the client still gets every octet.
        var digest = SHA256()
        digest.update(recording.body)
        digest.update(octets)
        recording.digest = digest
        recording.body = []
        context.telemetry.limitHit("record_body")
    }

    /// All that this read of the service's connection brought was handled. If the answer goes on, nothing of it is its
    /// last octet.
    func answerReadEnded() {
        guard !hasAnswerEnded, !held.isEmpty else { return }
        sendHeld()
    }

    private func sendHeld() {
        guard let downstream else { return }
        isAnswerStarted = true
        downstream.write(contentsOf: held)
        held.removeAll(keepingCapacity: true)
        pauseUpstreamIfFull(downstream)
    }

    /// The service waits for a client that reads more slowly than it writes.
    func pauseUpstreamIfFull(_ downstream: DownstreamConnection) {
        guard downstream.queuedOutputBytes > context.limits.outputHighWater, let upstream else { return }
        upstream.pauseReading()
        downstream.requestDrainNotice()
    }

    func downstreamOutputDrained() {
        upstream?.resumeReading()
    }

    func answerEndReceived(trailers: FieldSection?, hasLeftover: Bool) {
        if hasLeftover && attempt != nil {
            // Octets behind the answer: the connection's messages cannot be told apart, so this one is not trusted
            // either.
            upstreamFailed(.extraOctets)
            return
        }
        hasAnswerEnded = true
        timeline.answerEnded = context.worker.now
        CrashPoint.reach(.responseComplete)
        if let trailers { HTTP1Serialiser.fieldLines(of: trailers, to: &recording.trailerLines) }
        if let upstream {
            self.upstream = nil
            upstream.detach(requestIsComplete: sending == .complete, hasLeftover: hasLeftover)
        }
        if attempt != nil {
            let clientWaits = !isClientDone
            run { $0.answerEnded(clientWaits: clientWaits) }
        } else {
            releaseAnswer()
        }
    }

    /// Sends what is held, and the end of the message.
    func releaseAnswer() {
        if let downstream {
            if !held.isEmpty {
                isAnswerStarted = true
                if CrashPoint.isArmed(.replyHalf) {
                    downstream.write(contentsOf: Array(held[..<(held.count / 2)]))
                    downstream.flush()
                    CrashPoint.reach(.replyHalf)
                }
                downstream.write(contentsOf: held)
            }
            if clientFraming == .chunked {
                context.scratch.removeAll(keepingCapacity: true)
                HTTP1Serialiser.lastChunk(
                    trailers: head.acceptsTrailers ? recording.trailerLines : [], to: &context.scratch)
                downstream.write(contentsOf: context.scratch)
            }
            noteDelivery(downstream)
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
        if let digest = recording.digest {
            return .notKept(
                Tombstone(status: answerHead.status, bodyBytes: recording.bodyBytes, bodyDigest: digest.finish()))
        }
        var lines = fieldLines
        if identity?.isAnonymous == true {
            for known in [KnownField.setCookie, .wwwAuthenticate, .authenticationInfo] { answerHead.fields.drop(known) }
            lines.removeAll(keepingCapacity: true)
            HTTP1Serialiser.fieldLines(of: answerHead.fields, to: &lines)
        }
        return .answered(
            RecordedAnswer(
                status: answerHead.status, framing: framing, fieldLines: lines, body: recording.body,
                trailerLines: recording.trailerLines))
    }
}
