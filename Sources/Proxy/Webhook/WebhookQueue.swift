import Transport

/// Events on their way to the webhook, from every worker to the one that sends them.
final class WebhookQueue: Sendable {
    enum Added: Equatable {
        case off
        case added
        case full
    }

    private struct State {
        var isOn = false
        var waiting: [UnknownEvent] = []
        /// Waiting, being sent, or to be sent again.
        var count = 0
        var wake: (@Sendable () -> Void)?
    }

    private let state = Locked(State())

    /// `wake` is called when there is something to take. Any thread.
    func connect(_ wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake = wake } }

    /// Whether anybody listens.
    func turn(on isOn: Bool) { state.withLock { $0.isOn = isOn } }

    func add(_ event: UnknownEvent, countMax: Int) -> Added {
        let (added, wake) = state.withLock { state -> (Added, (@Sendable () -> Void)?) in
            guard state.isOn else { return (.off, nil) }
            guard state.count < countMax else { return (.full, nil) }
            state.count += 1
            state.waiting.append(event)
            return (.added, state.wake)
        }
        wake?()
        return added
    }

    /// What was taken is counted until `done`.
    func take() -> UnknownEvent? { state.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() } }

    func done() { state.withLock { $0.count -= 1 } }
}
