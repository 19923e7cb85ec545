import Foundation

/// A real HTTP/2 server (Python's h2) whose behaviour is scripted per request and which counts executions: what
/// `ScriptedUpstream` is for HTTP/1.1. By prior knowledge, or with TLS and ALPN.
package final class HTTP2Upstream: Sendable {
    package typealias Script = @Sendable (ReceivedRequest) throws -> HTTP2Reply

    private struct State {
        var requests: [ReceivedRequest] = []
        /// Index in `requests` by peer.py's number.
        var indices: [Int: Int] = [:]
        var ordinals: [String: Int] = [:]
        var resets: [(path: String, code: Int)] = []
        var agreements: [Peer.Message.Agreement] = []
        var lostConnections = 0
        var failures: [String] = []
        var refusedStreams = 0
    }

    package let port: Int
    /// As proxy.conf writes it.
    package let serverURL: String
    private let peer: Peer
    private let handle: Int
    private let state = Monitored(State())

    /// - Parameters:
    ///   - tls: nil = h2c with prior knowledge.
    ///   - settings: names of peer.py's SETTINGS.
    ///   - acknowledges: whether the flow-control window of request bodies is given back.
    ///   - path: a UNIX socket instead of a port.
    package init(
        tls: TLSSettings? = nil, settings: [String: Int] = [:], acknowledges: Bool = true, path: String? = nil,
        _ script: @escaping Script = { _ in .answer() }
    ) throws {
        peer = try Peer.current()
        var command = Peer.Command("upstream.make")
        command.tls = tls
        command.settings = settings
        command.acknowledges = acknowledges
        command.path = path
        let answer = try peer.run(command)
        handle = answer.handle ?? 0
        port = answer.port ?? 0
        serverURL =
            path.map { "h2c+unix:\($0)" } ?? (tls == nil ? "h2c://127.0.0.1:\(port)" : "https://127.0.0.1:\(port)")
        let (peer, state) = (self.peer, self.state)
        peer.listen(to: handle) { message in Self.received(message, state, peer, script) }
    }

    private static func received(
        _ message: Peer.Message, _ state: Monitored<State>, _ peer: Peer, _ script: @escaping Script
    ) {
        let fields = Canary.unmarked((message.fields ?? []).map { Field($0[0], $0[1]) })
        switch message.event {
        case "request":
            let request = add(message, fields, state)
            start { reply(to: request, message.exchange ?? 0, state, peer, script) }
        case "executed":
            state.with { state in
                guard let index = state.indices[message.exchange ?? 0] else { return }
                state.requests[index].body = message.body.flatMap { Data(base64Encoded: $0) }.map { Array($0) } ?? []
                state.requests[index].trailers = (message.trailers ?? []).map { Field($0[0], $0[1]) }
                state.requests[index].isComplete = true
            }
        case "reset":
            state.with { state in
                let path = state.indices[message.exchange ?? 0].map { state.requests[$0].path } ?? ""
                state.resets.append((path, message.code ?? -1))
            }
        case "connection": state.with { $0.agreements.append(message.agreement ?? Peer.Message.Agreement()) }
        case "refused": state.with { $0.refusedStreams += 1 }
        case "lost": state.with { $0.lostConnections += 1 }
        case "reached": peer.latch(message.latch ?? 0)?.open()
        case "failed": state.with { $0.failures.append(message.error ?? "") }
        default: break
        }
    }

    private static func add(_ message: Peer.Message, _ fields: [Field], _ state: Monitored<State>) -> ReceivedRequest {
        state.with { state in
            var request = ReceivedRequest(
                connection: message.connection ?? 0, ordinal: 0, method: fields[":method"] ?? "",
                target: fields[":path"] ?? "", version: "HTTP/2", fields: fields, headOctets: [])
            state.ordinals[request.path, default: 0] += 1
            request.ordinal = state.ordinals[request.path]!
            state.indices[message.exchange ?? 0] = state.requests.count
            state.requests.append(request)
            return request
        }
    }

    private static func reply(
        to request: ReceivedRequest, _ exchange: Int, _ state: Monitored<State>, _ peer: Peer, _ script: Script
    ) {
        var command = Peer.Command("exchange.reply", handle: exchange)
        do {
            command.steps = try script(request).steps.map { step in
                var step = step
                step.latch = step.awaited.map { peer.number(of: $0) }
                return step
            }
            try peer.run(command)
        } catch {
            state.with { $0.failures.append("\(error)") }
        }
    }

    /// A script may wait, so it has a thread of its own.
    private static func start(_ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.stackSize = 512 << 10
        thread.start()
    }

    // MARK: What arrived

    /// What is known once everything that the process has said so far was taken in: an answer may have come to a client
    /// before the news that its request was executed came here.
    private func current<Result>(_ read: (State) -> Result) -> Result {
        _ = try? peer.run(Peer.Command("sync"))
        return state.with { read($0) }
    }

    package var requests: [ReceivedRequest] { current { $0.requests } }

    package func request(_ index: Int) throws -> ReceivedRequest {
        let all = requests
        guard all.indices.contains(index) else { throw MalformedMessage("no request \(index) arrived") }
        return all[index]
    }

    package var executions: Int { current { $0.requests.count(where: \.isComplete) } }
    package var attempts: Int { current { $0.requests.count } }

    package func executions(of path: String) -> Int {
        current { $0.requests.count { $0.isComplete && $0.path == path } }
    }

    /// RST_STREAM from the proxy.
    package var resetCodes: [Int] { current { $0.resets.map(\.code) } }
    package var connectionCount: Int { current { $0.agreements.count } }
    package var openConnectionCount: Int { current { $0.agreements.count - $0.lostConnections } }
    package var agreements: [Peer.Message.Agreement] { current { $0.agreements } }
    /// Frames that Python's h2 refused to take or to send.
    package var failures: [String] { current { $0.failures } }
    /// Streams above the limit.
    package var refusedStreamCount: Int { current { $0.refusedStreams } }

    package func waitForExecutions(_ count: Int, until deadline: Deadline = .standard) throws {
        try state.wait("\(count) executions", until: deadline) {
            $0.requests.count(where: \.isComplete) >= count ? true : nil
        }
    }

    package func waitForAttempts(_ count: Int, until deadline: Deadline = .standard) throws {
        try state.wait("\(count) attempts", until: deadline) { $0.requests.count >= count ? true : nil }
    }

    package func waitForResets(_ count: Int, until deadline: Deadline = .standard) throws {
        try state.wait("\(count) resets", until: deadline) { $0.resets.count >= count ? true : nil }
    }

    package func waitForLostConnections(_ count: Int, until deadline: Deadline = .standard) throws {
        try state.wait("\(count) lost connections", until: deadline) { $0.lostConnections >= count ? true : nil }
    }

    // MARK: Life

    /// New connections are refused; open ones go on.
    package func refuse() throws {
        try peer.run(Peer.Command("upstream.refuse", handle: handle))
    }

    package func dropConnections() throws {
        try peer.run(Peer.Command("upstream.drop", handle: handle))
    }

    /// Gives the window back that was held with `acknowledges: false`, and from here on.
    package func grantWindow() throws {
        try peer.run(Peer.Command("upstream.grant", handle: handle))
    }

    /// Reads nothing from any connection until `resumeReading`.
    package func pauseReading() throws {
        try peer.run(Peer.Command("upstream.pause", handle: handle))
    }

    package func resumeReading() throws {
        try peer.run(Peer.Command("upstream.resume", handle: handle))
    }

    /// Waits until so many answers of one connection are held up by a window that is shut.
    package func waitForStalledStreams(_ count: Int) throws {
        var command = Peer.Command("upstream.stalled", handle: handle)
        command.count = count
        try peer.run(command)
    }

    package func goAway(last: Int, _ code: HTTP2Code = .noError) throws {
        var command = Peer.Command("upstream.goaway", handle: handle)
        command.last = last
        command.code = code.rawValue
        try peer.run(command)
    }
}
