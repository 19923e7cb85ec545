import HTTP
import Idempotency
import Observability
import Transport

/// Answers of the proxy's own, and replays.
extension Exchange {
    /// Answers with a problem and ends the exchange. What is left of the request is skipped or the connection closed.
    func refuse(_ problem: Problem, text detail: String?) {
        if let downstream { sendProblem(problem, detail: detail, to: downstream) }
        isClientDone = true
        finish()
    }

    func refuse(_ tombstone: Tombstone) {
        if let downstream {
            send(
                isGRPC ? .grpc(.answerNotKept, detail: nil) : ProblemAnswer(tombstone), about: .answerNotKept,
                to: downstream)
        }
        isClientDone = true
        finish()
    }

    func sendProblem(_ problem: Problem, detail: String?, to downstream: Downstream) {
        send(
            isGRPC ? .grpc(problem, detail: detail) : ProblemAnswer(problem, detail: detail), about: problem,
            to: downstream)
    }

    private func send(_ answer: ProblemAnswer, about problem: Problem, to downstream: Downstream) {
        decidePersistence(downstream)
        startAnswer(downstream, status: answer.status)
        let hasContent = head.method != .head && !answer.content.isEmpty
        let length = UInt64(answer.content.count)
        let start = AnswerHead(
            status: answer.status, framing: answer.content.isEmpty ? .none : .length(length), version: head.version,
            ends: !hasContent)
        timeline.bytesToClient += UInt64(
            downstream.sendHead(start, fieldLines: answer.fieldLines, more: lines(besides: problem)))
        if hasContent {
            timeline.bytesToClient += length
            downstream.sendBody(answer.content.span)
        }
        downstream.sendEnd(trailerLines: [])
    }

    /// An answer before the end of a long or endless body closes the connection; a short rest is skipped.
    private func decidePersistence(_ downstream: Downstream) {
        guard !hasRequestEnded, head.framing != .none else { return }
        if case .length(let length) = head.framing,
            length - min(length, bodyBytesReceived) <= UInt64(context.limits.drainBodyBytesMax),
            !head.expectsContinue
        {
            return
        }
        downstream.closeAfterAnswer()
    }

    private func startAnswer(_ downstream: Downstream, status: UInt16) {
        isAnswerStarted = true
        timeline.status = status
        downstream.watchWriting()
    }

    /// The recorded answer, octet for octet, and the marker.
    func replay(_ answer: RecordedAnswer) {
        guard let downstream else {
            finish()
            return
        }
        decidePersistence(downstream)
        startAnswer(downstream, status: answer.status)
        let framing: BodyFraming =
            switch answer.framing {
            case .none: .none
            case .length: .length(answer.bodyBytes)
            case .stream: .chunked
            }
        let trailerLines = recordedTrailers(of: answer)
        let hasBody = answer.framing != .none && answer.bodyBytes > 0
        let start = AnswerHead(
            status: answer.status, framing: framing, version: head.version, ends: !hasBody && trailerLines.isEmpty)
        let headBytes = downstream.sendHead(
            start, fieldLines: recordedLines(of: answer), more: replayLines(of: answer))
        timeline.bytesToClient = UInt64(headBytes)
        if hasBody, answer.storedBodyBytes > 0 {
            slicedReplay = SlicedReplay(answer)
            continueReplay()
        } else {
            endReplay(answer, to: downstream)
        }
    }

    /// Sends what of the body is not in the store, and the end.
    func endReplay(_ answer: RecordedAnswer, to downstream: Downstream) {
        if answer.framing != .none, !answer.body.isEmpty {
            downstream.sendBody(shared: answer.body)
            timeline.bytesToClient += UInt64(answer.body.count)
        }
        downstream.sendEnd(trailerLines: recordedTrailers(of: answer))
        noteDelivery(downstream)
        finish()
    }
}
