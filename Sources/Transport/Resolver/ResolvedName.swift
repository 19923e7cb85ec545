/// The addresses of a name, looked up again and again. On one worker; the last good answer is kept when a lookup fails.
///
/// getaddrinfo tells no time to live, so the interval is fixed. After a failure the next lookup comes sooner.
package final class ResolvedName {
    package static let intervalMillisecondsMin: UInt64 = 5_000
    package static let intervalMillisecondsMax: UInt64 = 60_000
    private static let retryMillisecondsMin: UInt64 = 1_000

    package let host: String
    package let port: UInt16
    /// Empty until the first good answer.
    package private(set) var addresses: [SocketAddress] = []
    /// Of the last lookup; nil when it succeeded.
    package private(set) var lastError: ResolveError?
    package private(set) var failureCount: UInt64 = 0

    private let resolver: Resolver
    private let worker: Worker
    private let intervalMilliseconds: UInt64
    private let onAnswer: (ResolvedName) -> Void
    private var timer: Worker.TimerID?
    private var isLookingUp = false
    private var isStopped = false
    private let isNumeric: Bool

    /// `onAnswer` is called on the worker when the set of addresses has changed, and after each failure. A numeric
    /// host has its address at once, and is never looked up. The interval is clamped to 5…60 s.
    package init(
        host: String, port: UInt16, resolver: Resolver, worker: Worker, intervalMilliseconds: UInt64 = 30_000,
        onAnswer: @escaping (ResolvedName) -> Void
    ) {
        worker.assertOnQueue()
        self.host = host
        self.port = port
        self.resolver = resolver
        self.worker = worker
        self.intervalMilliseconds = min(
            max(intervalMilliseconds, Self.intervalMillisecondsMin), Self.intervalMillisecondsMax)
        self.onAnswer = onAnswer
        if let address = SocketAddress.ip(host, port: port) {
            isNumeric = true
            addresses = [address]
        } else {
            isNumeric = false
            lookUp()
        }
    }

    /// Looks up at once, unless that is under way.
    package func lookUp() {
        worker.assertOnQueue()
        guard !isLookingUp, !isStopped, !isNumeric else { return }
        if let timer { worker.cancel(timer) }
        timer = nil
        isLookingUp = true
        let this = WorkerBound(self, worker: worker)
        resolver.resolve(host: host, port: port, on: worker) { this.value.answered($0) }
    }

    /// Ends the lookups, and with them what holds this object.
    package func stop() {
        worker.assertOnQueue()
        isStopped = true
        if let timer { worker.cancel(timer) }
        timer = nil
    }

    private func answered(_ answer: Resolver.Answer) {
        isLookingUp = false
        guard !isStopped else { return }
        let delay: UInt64
        var isNews = true
        switch answer {
        case .success(let found):
            delay = intervalMilliseconds
            lastError = nil
            isNews = Set(found) != Set(addresses)
            if isNews { addresses = found }
        case .failure(let error):
            delay = addresses.isEmpty ? Self.retryMillisecondsMin : Self.intervalMillisecondsMin
            lastError = error
            failureCount += 1
        }
        timer = worker.schedule(at: worker.now.adding(milliseconds: delay)) { [self] in
            timer = nil
            lookUp()
        }
        if isNews { onAnswer(self) }
    }
}
