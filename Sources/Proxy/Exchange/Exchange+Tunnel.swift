import HTTP
import Transport

/// An upgraded connection (RFC 9110 §7.8): opaque octets both ways, only after the service's 101, only on routes that
/// pass through.
extension Exchange {
    /// Whether the request may carry an upgrade to the service.
    var mayUpgrade: Bool {
        guard let route, !isCovered else { return false }
        return head.wantsUpgrade && route.allowsUpgrade && head.version == .http11 && head.framing == .none
    }

    /// The service answered 101. False if nobody asked for it.
    func upgradeAccepted() -> Bool {
        guard mayUpgrade, let downstream = tunnelClient, let upstream, let route else { return false }
        do {
            try answerHead.fields.markHopByHop()
        } catch {
            return false
        }
        hasAnswerHead = true
        isTunnel = true
        observed = nil
        isAnswerStarted = true
        timeline.status = 101
        timeline.upstreamStatus = 101
        timeline.answerHead = context.worker.now
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.statusLine(101, to: &context.scratch)
        HTTP1Serialiser.fieldLines(of: answerHead.fields, to: &context.scratch)
        ForwardedRequest.writeUpgrade(answerHead.fields, to: &context.scratch)
        context.scratch.append(contentsOf: WireText.lineEnd)
        downstream.write(contentsOf: context.scratch)
        downstream.becomeTunnel(idleMilliseconds: route.timeouts.tunnel)
        upstream.deadline = .never
        return true
    }

    func tunnelFromUpstream(_ octets: Span<UInt8>) {
        guard let client = tunnelClient else { return }
        timeline.bytesToClient += UInt64(octets.count)
        client.write(octets)
        extendTunnel()
        if let downstream { pauseUpstreamIfFull(downstream) }
    }

    func tunnelFromDownstream(_ octets: Span<UInt8>) {
        guard case .connection(let upstream) = upstream else { return }
        bodyBytesReceived += UInt64(octets.count)
        upstream.write(octets)
        extendTunnel()
        if upstream.queuedOutputBytes > context.limits.outputHighWater {
            downstream?.pauseReading()
            upstream.requestDrainNotice()
        }
    }

    /// Tunnels stand between HTTP/1 connections only: the client's.
    private var tunnelClient: DownstreamConnection? {
        guard case .connection(let connection) = downstream else { return nil }
        return connection
    }

    private func extendTunnel() {
        guard let route else { return }
        downstream?.deadline = context.worker.now.adding(milliseconds: route.timeouts.tunnel)
    }

    /// No octet either way for the tunnel timeout.
    func tunnelIdle() {
        tunnelEnded(byUpstream: true)
    }

    /// One side is gone: what is queued towards the other is still sent.
    func tunnelEnded(byUpstream: Bool) {
        let client = tunnelClient
        downstream = nil
        if case .connection(let connection) = upstream, !byUpstream {
            self.upstream = nil
            connection.endAfterFlush()
        }
        client?.endTunnel()
        finish()
    }
}
