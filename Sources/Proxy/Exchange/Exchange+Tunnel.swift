import HTTP
import Transport

/// An upgraded connection (RFC 9110 §7.8): opaque octets both ways, only after the service's 101, only on routes that
/// pass through.
extension Exchange {
    /// Whether the request may carry an upgrade to the service. Not one to another form of HTTP: requests in that
    /// tunnel would reach the service past routes and records.
    var mayUpgrade: Bool {
        guard let route, !isCovered, head.wantsUpgrade, route.allowsUpgrade else { return false }
        return head.version == .http11 && head.framing == .none && !head.fields.asksForHTTP
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

extension FieldSection {
    /// A member of Upgrade names HTTP or what it would be spoken over: `h2c`, `HTTP/2.0`, `TLS/1.2` (RFC 9110 §16.7).
    fileprivate var asksForHTTP: Bool {
        for line in lines where line.known == .upgrade {
            let value = value(line)
            var isStart = true
            for index in value.indices {
                if isStart, value.namesHTTP(at: index) { return true }
                isStart = [UInt8(ascii: ","), UInt8(ascii: " "), UInt8(ascii: "\t")].contains(value[index])
            }
        }
        return false
    }
}

extension Span<UInt8> {
    fileprivate func namesHTTP(at start: Int) -> Bool {
        func begins(with name: StaticString) -> Bool {
            let end = start + name.utf8CodeUnitCount
            return end <= count && extracting(start..<end).equalsIgnoringCase(name)
        }
        return begins(with: "h2") || begins(with: "http") || begins(with: "tls")
    }
}
