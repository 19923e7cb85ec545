import HTTP
import Idempotency
import Observability
import Transport

/// Answers of the proxy's own, and replays.
extension Exchange {
    /// Answers with a problem and ends the exchange. What is left of the request is skipped or the connection closed.
    func refuse(_ problem: Problem, text detail: String?) {
        if let downstream {
            writeProblem(problem, detail: detail, to: downstream)
        }
        isClientDone = true
        finish()
    }

    func refuse(_ tombstone: Tombstone) {
        if let downstream {
            context.scratch.removeAll(keepingCapacity: true)
            ProblemWriter.write(
                tombstone, closes: closesConnection(downstream), withContent: head.method != .head, to: &context.scratch
            )
            send(scratchTo: downstream, status: Problem.answerNotKept.status)
        }
        isClientDone = true
        finish()
    }

    func writeProblem(_ problem: Problem, detail: String?, to downstream: DownstreamConnection) {
        context.scratch.removeAll(keepingCapacity: true)
        ProblemWriter.write(
            problem, detail: detail, closes: closesConnection(downstream), withContent: head.method != .head,
            to: &context.scratch)
        send(scratchTo: downstream, status: problem.status)
    }

    /// An answer before the end of a long or endless body closes the connection; a short rest is skipped.
    private func closesConnection(_ downstream: DownstreamConnection) -> Bool {
        if !hasRequestEnded {
            if case .length(let length) = head.framing,
                length - min(length, bodyBytesReceived) <= UInt64(context.limits.drainBodyBytesMax),
                !head.expectsContinue
            {
                return downstream.closesAfterAnswer
            }
            if head.framing != .none { downstream.closeAfterAnswer() }
        }
        if head.version == .http10 && !head.keepsAlive { downstream.closeAfterAnswer() }
        return downstream.closesAfterAnswer
    }

    private func send(scratchTo downstream: DownstreamConnection, status: UInt16) {
        isAnswerStarted = true
        timeline.status = status
        timeline.bytesToClient += UInt64(context.scratch.count)
        downstream.watchWriting()
        downstream.write(contentsOf: context.scratch)
    }

    /// The recorded answer, octet for octet, and the marker.
    func replay(_ answer: RecordedAnswer) {
        guard let downstream else {
            finish()
            return
        }
        let clientHasChunks = head.version == .http11
        clientFraming =
            switch answer.framing {
            case .none: .none
            case .length: .length
            case .stream: clientHasChunks ? .chunked : .untilClose
            }
        if clientFraming == .untilClose { downstream.closeAfterAnswer() }
        let closes = closesConnection(downstream)
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.statusLine(answer.status, to: &context.scratch)
        context.scratch.append(contentsOf: answer.fieldLines)
        if let marker = route?.replayMarkerLine { context.scratch.append(contentsOf: marker) }
        if clientFraming == .chunked { context.scratch.append(contentsOf: WireText.chunkedLine) }
        writeConnectionField(closes: closes, to: &context.scratch)
        context.scratch.append(contentsOf: WireText.lineEnd)
        if clientFraming == .chunked && !answer.body.isEmpty {
            HTTP1Serialiser.chunkHeader(answer.body.count, to: &context.scratch)
        }
        let headBytes = context.scratch.count
        send(scratchTo: downstream, status: answer.status)
        if answer.framing != .none { downstream.write(shared: answer.body, 0..<answer.body.count) }
        if clientFraming == .chunked {
            context.scratch.removeAll(keepingCapacity: true)
            if !answer.body.isEmpty { context.scratch.append(contentsOf: WireText.lineEnd) }
            HTTP1Serialiser.lastChunk(trailers: head.acceptsTrailers ? answer.trailerLines : [], to: &context.scratch)
            downstream.write(contentsOf: context.scratch)
        }
        timeline.bytesToClient = UInt64(headBytes + answer.body.count)
        noteDelivery(downstream)
        finish()
    }
}
