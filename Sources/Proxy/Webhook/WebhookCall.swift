import HTTP
import Transport

/// One attempt to deliver one event: a connection of its own, one POST, the status of its answer.
final class WebhookCall: StreamChannel {
    private let event: UnknownEvent
    private let webhook: WebhookSettings
    private var parser = ResponseParser()
    private var head = ResponseHead()
    /// Gets what went wrong; nil: the event was taken.
    private var ended: ((String?) -> Void)?

    init(
        worker: Worker, _ event: UnknownEvent, _ webhook: WebhookSettings, _ ended: @escaping (String?) -> Void
    ) {
        self.event = event
        self.webhook = webhook
        self.ended = ended
        super.init(worker: worker)
    }

    func start(_ address: SocketAddress, timeoutMilliseconds: UInt64) {
        do {
            try connect(to: address, tls: webhook.tls?.context, serverName: serverName)
        } catch {
            finish(error.description)
            return
        }
        deadline = worker.now.adding(milliseconds: timeoutMilliseconds)
    }

    /// What the certificate must be for.
    private var serverName: String {
        switch webhook.server.host {
        case .name(let host, _): return host
        case .address(let address):
            var text: [UInt8] = []
            address.appendIPText(to: &text)
            return String(decoding: text, as: UTF8.self)
        }
    }

    override func connected() {
        let content = Array(event.json.utf8)
        var octets = Array("POST \(webhook.target) HTTP/1.1\r\nHost: \(webhook.server.text)\r\n".utf8)
        octets += "User-Agent: oncegate\r\nContent-Type: application/json\r\n".utf8
        octets += "Idempotency-Key: \"\(event.id)\"\r\nConnection: close\r\n".utf8
        HTTP1Serialiser.contentLength(UInt64(content.count), to: &octets)
        HTTP1Serialiser.endOfHead(to: &octets)
        write(contentsOf: octets + content)
    }

    override func received(_ octets: Span<UInt8>) -> Int {
        do {
            guard let consumed = try parser.parse(octets, requestMethod: .post, into: &head) else { return 0 }
            if head.isInformational { return consumed }
            finish((200..<300).contains(head.status) ? nil : "status \(head.status)")
        } catch {
            finish("\(error.reason)")
        }
        return octets.count
    }

    override func receivedEnd() { finish("closed without an answer") }

    override func failed(_ error: Errno) { finish(tlsFailure?.description ?? error.description) }

    override func deadlinePassed() { finish("no answer in time") }

    private func finish(_ failure: String?) {
        guard let ended else { return }
        self.ended = nil
        close()
        ended(failure)
    }
}
