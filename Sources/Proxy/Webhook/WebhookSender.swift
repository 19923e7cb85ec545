import Transport

/// Posts events to the configured URL, a few at once, each a few times. On the first worker; never in the way of a
/// request.
final class WebhookSender {
    private static let callsMax = 4
    private static let attemptsMax = 5
    private static let firstPauseMilliseconds: UInt64 = 500
    private static let timeoutMilliseconds: UInt64 = 10_000

    private unowned let context: WorkerContext
    private let resolver: Resolver
    private var calls = 0
    /// Events whose pause is over, and how often each was tried.
    private var due: [(event: UnknownEvent, attempts: Int)] = []

    init(context: WorkerContext, resolver: Resolver) {
        self.context = context
        self.resolver = resolver
    }

    private var queue: WebhookQueue { context.shared.webhooks }

    func wake() {
        while calls < WebhookSender.callsMax {
            if let next = due.popLast() {
                send(next.event, attempts: next.attempts)
            } else if let event = queue.take() {
                send(event, attempts: 0)
            } else {
                return
            }
        }
    }

    private func send(_ event: UnknownEvent, attempts: Int) {
        // A reload may have switched it off.
        guard let webhook = context.rules.unknownWebhook else { return queue.done() }
        calls += 1
        let ended: (String?) -> Void = { [unowned self] failure in self.ended(event, attempts + 1, failure) }
        switch webhook.server.host {
        case .address(let address): call(event, webhook, address, ended)
        case .name(let host, let port):
            let sender = WorkerBound(self, worker: context.worker)
            let ended = WorkerBound(Ended(ended), worker: context.worker)
            resolver.resolve(host: host, port: port, on: context.worker) { answer in
                switch answer {
                case .success(let addresses) where !addresses.isEmpty:
                    sender.value.call(event, webhook, addresses[0], ended.value.run)
                case .success: ended.value.run("the name has no addresses")
                case .failure(let error): ended.value.run(error.description)
                }
            }
        }
    }

    /// A closure that passes through the resolver's thread.
    private final class Ended {
        let run: (String?) -> Void

        init(_ run: @escaping (String?) -> Void) {
            self.run = run
        }
    }

    private func call(
        _ event: UnknownEvent, _ webhook: WebhookSettings, _ address: SocketAddress,
        _ ended: @escaping (String?) -> Void
    ) {
        let call = WebhookCall(worker: context.worker, event, webhook, ended)
        call.start(address, timeoutMilliseconds: WebhookSender.timeoutMilliseconds)
    }

    private func ended(_ event: UnknownEvent, _ attempts: Int, _ failure: String?) {
        calls -= 1
        if let failure {
            if attempts < WebhookSender.attemptsMax {
                context.telemetry.webhookEnded("retried")
                pause(event, attempts)
            } else {
                context.telemetry.webhookDropped(event, failure)
                queue.done()
            }
        } else {
            context.telemetry.webhookEnded("delivered")
            queue.done()
        }
        // Not at once: a connection may fail inside the call that begins it, and so one event after the other.
        context.afterThisEvent { [unowned self] in wake() }
    }

    private func pause(_ event: UnknownEvent, _ attempts: Int) {
        let pause = WebhookSender.firstPauseMilliseconds << UInt64(min(attempts - 1, 16))
        let delay = pause / 2 + UInt64.random(in: 0...pause)
        context.worker.schedule(at: context.worker.now.adding(milliseconds: delay)) { [unowned self] in
            due.append((event, attempts))
            wake()
        }
    }
}
