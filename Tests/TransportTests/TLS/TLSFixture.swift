import Foundation
import TestSupport
import Transport

/// What channels with TLS told.
enum TLSEvent: Sendable, Equatable {
    case secured
    case connected
    case received([UInt8])
    case end(isTruncated: Bool)
    case failed(Errno, TLSFailure.Kind?)
    case drained
    case closed
}

/// Tells what it is called with; what it does is given by the test.
final class TLSChannel: StreamChannel {
    let onEvent: (TLSEvent) -> Void
    var consume: (TLSChannel, [UInt8]) -> Int = { $1.count }
    var act: (TLSChannel, TLSEvent) -> Void = { _, _ in }

    init(worker: Worker, _ onEvent: @escaping (TLSEvent) -> Void) {
        self.onEvent = onEvent
        super.init(worker: worker)
    }

    private func note(_ event: TLSEvent) {
        onEvent(event)
        act(self, event)
    }

    override func secured() { note(.secured) }
    override func connected() { note(.connected) }
    override func received(_ octets: Span<UInt8>) -> Int {
        let array = octets.withUnsafeBufferPointer { Array($0) }
        note(.received(array))
        return consume(self, array)
    }
    override func receivedEnd() { note(.end(isTruncated: isEndTruncated)) }
    override func failed(_ error: Errno) { note(.failed(error, tlsFailure?.kind)) }
    override func outputDrained() { note(.drained) }
    override func closed() { note(.closed) }
}

/// A worker with a TLS listener, and what its connections told.
struct TLSServer {
    let harness: Harness
    let context: TLSServerContext
    let events = Recorder<TLSEvent>()
    let channels = Recorder<WorkerBound<TLSChannel>>()
    let address: SocketAddress

    init(
        _ options: TLSServerContext.Options, tickets: TLSTicketKeys = TLSTicketKeys(),
        limits: TransportLimits = .init(),
        _ configure: @escaping @Sendable (TLSChannel) -> Void = { _ in }
    ) throws {
        try self.init(TLSServerContext(options, tickets: tickets), limits: limits, configure)
    }

    init(
        _ context: TLSServerContext, limits: TransportLimits = .init(),
        _ configure: @escaping @Sendable (TLSChannel) -> Void = { _ in }
    ) throws {
        self.context = context
        harness = try Harness(limits: limits)
        address = try harness.listen { [events, channels] worker in
            let channel = TLSChannel(worker: worker) { events.append($0) }
            configure(channel)
            channels.append(WorkerBound(channel, worker: worker))
            return channel
        } adopted: {
            $0.startTLS(context)
        }
    }

    /// One that answers the first octets with "bye" and ends.
    static func closing(
        _ options: TLSServerContext.Options, tickets: TLSTicketKeys = TLSTicketKeys()
    ) throws -> TLSServer {
        try closing(TLSServerContext(options, tickets: tickets))
    }

    static func closing(_ context: TLSServerContext) throws -> TLSServer {
        try TLSServer(context) { channel in
            channel.act = { channel, event in
                switch event {
                case .received:
                    channel.write(contentsOf: Array("bye".utf8))
                    channel.closeAfterFlush()
                case .end: channel.closeAfterFlush()
                default: break
                }
            }
        }
    }

    /// One that sends back what comes, and ends when the client does.
    static func echo(_ options: TLSServerContext.Options, tickets: TLSTicketKeys = TLSTicketKeys()) throws -> TLSServer
    {
        try TLSServer(options, tickets: tickets) { channel in
            channel.act = { channel, event in
                switch event {
                case .received(let octets): channel.write(contentsOf: octets)
                case .end: channel.closeAfterFlush()
                default: break
                }
            }
        }
    }

    func stop() { harness.stop() }

    /// Runs `openssl s_client` against the server, with `input` at its standard input.
    func sClient(_ arguments: String..., input: String = "") throws -> SClient {
        let fixed = ["-connect", "127.0.0.1:\(address.port)", "-CAfile", try Certificates.root()]
        return try SClient.run(fixed + arguments, input: input)
    }

    /// What the n-th connection's handshake agreed on.
    func agreement(_ number: Int = 0) -> TLSAgreement? {
        let channel = channels.all[number]
        return harness.worker.performAndWait { channel.value.tlsAgreement }
    }

    /// Connects a channel of ours from the same worker.
    func connect(
        _ context: TLSClientContext, as name: String = "a.test", sending octets: [UInt8] = [],
        _ configure: @escaping @Sendable (TLSChannel) -> Void = { _ in }
    ) throws -> TLSClient {
        try harness.connect(to: address, context, as: name, sending: octets, configure)
    }
}

extension Harness {
    /// Connects a channel that has TLS.
    func connect(
        to address: SocketAddress, _ context: TLSClientContext, as name: String = "a.test",
        sending octets: [UInt8] = [],
        _ configure: @Sendable (TLSChannel) -> Void = { _ in }
    ) throws -> TLSClient {
        let events = Recorder<TLSEvent>()
        let channel = try worker.performAndWait {
            let channel = TLSChannel(worker: worker) { events.append($0) }
            configure(channel)
            try channel.connect(to: address, tls: context, serverName: name)
            channel.write(contentsOf: octets)
            return WorkerBound(channel, worker: worker)
        }
        return TLSClient(events: events, channel: channel)
    }
}

/// What `openssl s_client` said.
struct SClient {
    let isSuccess: Bool
    let output: String
    let error: String

    static func run(_ arguments: [String], input: String) throws -> SClient {
        // It takes a command from the beginning of each read alone: so the lines come apart.
        let command = """
            printf '%b' "$INPUT" | (IFS= read -r line && echo "$line"
                while IFS= read -r line; do sleep 0.2; echo "$line"; done) |
                exec openssl s_client "$@"
            """
        let input = input.isEmpty || input.hasSuffix("\\n") ? input : input + "\\n"
        let result = try Subprocess.run(
            ["sh", "-c", command, "s_client"] + arguments, environment: ["INPUT": input])
        return SClient(isSuccess: result.ending == .exit(0), output: result.output, error: result.error)
    }

    /// The line that tells of the session, as in "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384".
    var session: String {
        output.split(separator: "\n").last { $0.hasPrefix("New, ") || $0.hasPrefix("Reused, ") }.map(String.init) ?? ""
    }

    func has(_ text: String) -> Bool { (output + error).contains(text) }
}

struct TLSClient {
    let events: Recorder<TLSEvent>
    let channel: WorkerBound<TLSChannel>

    func perform<Value>(_ body: (TLSChannel) -> Value) -> Value {
        channel.worker.performAndWait { body(channel.value) }
    }
}

extension TLSServerContext.Options {
    static func test(_ change: (inout Self) -> Void = { _ in }) throws -> Self {
        var options = Self(certificates: [try Certificates.server("a.test", "localhost")])
        change(&options)
        return options
    }
}

extension TLSClientContext {
    static func test(_ change: (inout Options) -> Void = { _ in }) throws -> TLSClientContext {
        var options = Options()
        options.caPath = try Certificates.root()
        change(&options)
        return try TLSClientContext(options)
    }
}
