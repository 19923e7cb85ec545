import HTTP
import Transport

/// One health check: a connection of its own, one request, the status of its answer.
final class HealthProbe: StreamChannel {
    private let check: UpstreamSettings.HealthCheck
    private let host: String
    private var done: ((Bool) -> Void)?
    private var scheme = UpstreamSettings.Scheme.http
    private var parser = ResponseParser()
    private var head = ResponseHead()
    /// Nil with HTTP/1.
    private var session: HTTP2Session?

    init(worker: Worker, check: UpstreamSettings.HealthCheck, host: String, done: @escaping (Bool) -> Void) {
        self.check = check
        self.host = host
        self.done = done
        super.init(worker: worker)
    }

    func start(_ address: SocketAddress, scheme: UpstreamSettings.Scheme, tls: UpstreamPool.TLSTarget?) {
        self.scheme = scheme
        do {
            try connect(to: address, tls: tls?.context, serverName: tls?.serverName ?? "")
        } catch {
            finish(false)
            return
        }
        deadline = worker.now.adding(milliseconds: check.timeoutMilliseconds)
    }

    override func connected() {
        if scheme == .h2c || tlsAgreement?.alpn == .http2 {
            guard let session = try? HTTP2Session(role: .client) else { return finish(false) }
            self.session = session
            let (method, authority, path) = (Array("GET".utf8), Array(host.utf8), Array(check.path.utf8))
            let scheme = scheme == .https ? WireText.https : WireText.http
            _ = session.sendRequest(
                method: method.span, scheme: scheme.span, authority: authority.span, path: path.span,
                fieldLines: Array("User-Agent: oncegate-health\r\n".utf8), ends: true)
            sendFrames(session)
        } else {
            let start = "GET \(check.path) HTTP/1.1\r\nHost: \(host)\r\n"
            write(contentsOf: Array((start + "User-Agent: oncegate-health\r\nConnection: close\r\n\r\n").utf8))
        }
    }

    override func received(_ octets: Span<UInt8>) -> Int {
        do {
            if let session {
                try session.receive(octets, now: worker.now.nanoseconds)
                readEvents(session)
                return octets.count
            }
            guard let consumed = try parser.parse(octets, requestMethod: .get, into: &head) else { return 0 }
            answered()
            return head.isInformational ? consumed : octets.count
        } catch {
            finish(false)
        }
        return octets.count
    }

    private func readEvents(_ session: HTTP2Session) {
        for event in session.events {
            switch event {
            case .response(_, let slot, _):
                session.takeResponseHead(slot, into: &head)
                answered()
            case .reset, .malformed, .goAway: finish(false)
            case .request, .data, .ended, .closed, .drained: break
            }
        }
        session.clearEvents()
        if isOpen { sendFrames(session) }
    }

    private func sendFrames(_ session: HTTP2Session) {
        var frames: [UInt8] = []
        do {
            _ = try session.takeOutput(into: &frames, limit: 64 << 10)
            write(contentsOf: frames)
        } catch {
            finish(false)
        }
    }

    private func answered() {
        guard !head.isInformational else { return }
        let status = Int(head.status)
        finish(
            check.expectedStatuses.isEmpty ? (200..<400).contains(status) : check.expectedStatuses.contains(status))
    }

    override func receivedEnd() { finish(false) }

    override func failed(_ error: Errno) { finish(false) }

    override func deadlinePassed() { finish(false) }

    private func finish(_ isHealthy: Bool) {
        guard let done else { return }
        self.done = nil
        close()
        done(isHealthy)
    }
}
