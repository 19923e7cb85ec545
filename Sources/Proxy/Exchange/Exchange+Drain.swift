import Idempotency

/// What becomes of exchanges when the proxy must stop.
extension Exchange {
    var isInUse: Bool { downstream != nil || upstream != nil || attempt != nil }

    /// The proxy stops now: an attempt whose request may have been sent ends as unknown, everything else just ends.
    func abandon() {
        var failure = Attempt.Failure.notSent(.draining)
        if let upstream {
            if upstream.hasSentAnyOctet { failure = .broken }
            self.upstream = nil
            upstream.end()
        }
        guard let attempt, attempt.ownsClaim else {
            abortClient()
            return
        }
        storeUnstoredAnswer()
        let clientWaits = !isClientDone
        let partSent = isAnswerStarted
        run { $0.attemptFailed(failure, clientWaits: clientWaits, partSent: partSent) }
    }
}
