import Foundation

/// What the upstream received on one connection between two request lines.
package struct ReceivedRequest: Sendable {
    package var connection: Int
    /// 1 for the first request on its path.
    package var ordinal: Int
    package var method: String
    package var target: String
    package var version: String
    package var fields: [Field]
    /// The head as it came, with its empty line.
    package var headOctets: [UInt8]
    /// The decoded body, as far as it was read.
    package var body: [UInt8] = []
    /// The body as it came, chunk lines and trailers included.
    package var rawBody: [UInt8] = []
    package var trailers: [Field] = []
    /// The whole body arrived: the service has executed the request.
    package var isComplete = false

    package var path: String { String(target.prefix { $0 != "?" }) }

    package subscript(_ name: String) -> String? { fields[name] }
}

/// A real HTTP/1.1 server with a thread per connection, whose behaviour is scripted per request and which counts
/// executions.
package final class ScriptedUpstream: Sendable {
    /// What to do with a request whose head has arrived.
    package typealias Script = @Sendable (ReceivedRequest) throws -> Reply

    package enum Reception: Sendable {
        case serve
        /// RST before anything is read.
        case reset
        /// FIN before anything is read.
        case close
        /// Accepted, and left alone until the upstream stops.
        case ignore
        /// Octets sent before any request, then served.
        case greet([UInt8])
    }

    /// What to do with the n-th connection, counted from 1.
    package struct Receptions: Sendable {
        let reception: @Sendable (Int) -> Reception

        package init(_ reception: @escaping @Sendable (Int) -> Reception) {
            self.reception = reception
        }
    }

    private struct State {
        var requests: [ReceivedRequest] = []
        /// How many on each path.
        var ordinals: [String: Int] = [:]
        var connections: [TestSocket] = []
        var openConnections = 0
        var isStopped = false
    }

    package let address: Address
    private let listener: TestListener
    private let state = Monitored(State())
    private let script: Script
    private let reception: Receptions

    package init(
        at address: Address = .ipv4(port: 0), accepting: Bool = true,
        reception: Receptions = Receptions { _ in .serve },
        _ script: @escaping Script = { _ in .answer() }
    ) throws {
        listener = try TestListener(at: address)
        self.address = listener.address
        self.script = script
        self.reception = reception
        TestScope.current?.atEnd { [weak self] in self?.stop() }
        if accepting { try open() }
    }

    // MARK: What arrived

    package var requests: [ReceivedRequest] { state.with { $0.requests } }

    /// The n-th request, counted from 0.
    package func request(_ index: Int) throws -> ReceivedRequest {
        guard requests.indices.contains(index) else { throw MalformedMessage("no request \(index) arrived") }
        return requests[index]
    }

    /// How many requests arrived with their whole body.
    package var executions: Int { state.with { $0.requests.count(where: \.isComplete) } }

    /// How many request heads arrived.
    package var attempts: Int { state.with { $0.requests.count } }

    package var connectionCount: Int { state.with { $0.connections.count } }
    package var openConnectionCount: Int { state.with { $0.openConnections } }

    package func executions(of path: String) -> Int {
        state.with { $0.requests.count { $0.isComplete && $0.path == path } }
    }

    package func waitForExecutions(_ count: Int, until deadline: Deadline = .standard) throws {
        try state.wait("\(count) executions", until: deadline) {
            $0.requests.count(where: \.isComplete) >= count ? true : nil
        }
    }

    package func waitForAttempts(_ count: Int, until deadline: Deadline = .standard) throws {
        try state.wait("\(count) attempts", until: deadline) { $0.requests.count >= count ? true : nil }
    }

    package func waitForConnections(_ count: Int, until deadline: Deadline = .standard) throws {
        try state.wait("\(count) connections", until: deadline) { $0.connections.count >= count ? true : nil }
    }

    package func waitForOpenConnections(
        until deadline: Deadline = .standard, _ condition: @escaping (Int) -> Bool
    ) throws {
        try state.wait("open connections", until: deadline) { condition($0.openConnections) ? true : nil }
    }

    // MARK: Life

    /// Accepts from here on (again, after `refuse`).
    package func open(backlog: Int32 = 1024) throws {
        try listener.listen(backlog: backlog)
        let thread = Thread { [self] in
            while let connection = listener.accept() { received(connection) }
        }
        thread.stackSize = 256 << 10
        thread.start()
    }

    /// New connections are refused; open ones go on.
    package func refuse() throws {
        try listener.refuse()
    }

    /// Closes every open connection.
    package func dropConnections() {
        state.with { $0.connections.forEach { $0.interrupt() } }
    }

    package func stop() {
        state.with { $0.isStopped = true }
        listener.close()
        dropConnections()
    }

    private func received(_ socket: TestSocket) {
        let number = state.with { state in
            state.connections.append(socket)
            state.openConnections += 1
            if state.isStopped { socket.interrupt() }
            return state.connections.count
        }
        let thread = Thread { [self] in
            serve(socket, number: number)
            state.with { $0.openConnections -= 1 }
        }
        thread.stackSize = 512 << 10
        thread.start()
    }

    private func serve(_ socket: TestSocket, number: Int) {
        defer { socket.close() }
        switch reception.reception(number) {
        case .serve: break
        case .reset: return socket.reset()
        case .close: return
        case .ignore:
            _ = try? state.wait("the end", until: .after(120)) { $0.isStopped ? true : nil }
            return
        case .greet(let octets): try? socket.send(octets)
        }
        let reader = OctetReader(socket)
        while let exchange = try? nextExchange(reader, connection: number) {
            do {
                try script(exchange.request).run(exchange)
                guard try exchange.finish() else { return }
            } catch {
                return
            }
        }
    }

    /// Long deadlines: the proxy decides how long a connection stays; `stop` ends the rest.
    private func nextExchange(_ reader: OctetReader, connection: Int) throws -> UpstreamExchange {
        let deadline = Deadline.after(300)
        let line = try reader.line(until: deadline)
        let parts = text(line).split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3 else { throw MalformedMessage("request line", line) }
        let head = try reader.fields(until: deadline)
        var request = ReceivedRequest(
            connection: connection, ordinal: 0, method: parts[0], target: parts[1], version: parts[2],
            fields: Canary.unmarked(head.fields),
            headOctets: line + [13, 10] + head.octets)
        let index = state.with { state in
            state.ordinals[request.path, default: 0] += 1
            request.ordinal = state.ordinals[request.path]!
            state.requests.append(request)
            return state.requests.count - 1
        }
        return UpstreamExchange(request, reader) { [state] change in
            state.with { change(&$0.requests[index]) }
        }
    }
}

/// One request at the upstream and the answer to it, in the hands of a script. Used by one thread.
package final class UpstreamExchange {
    package private(set) var request: ReceivedRequest
    package let reader: OctetReader
    private let record: ((inout ReceivedRequest) -> Void) -> Void
    private var isClosed = false

    init(_ request: ReceivedRequest, _ reader: OctetReader, record: @escaping ((inout ReceivedRequest) -> Void) -> Void)
    {
        self.request = request
        self.reader = reader
        self.record = record
    }

    package var socket: TestSocket { reader.socket }

    /// Reads what is left of the body; the request then counts as executed. Does nothing the second time.
    package func readBody(until deadline: Deadline = .after(120)) throws {
        guard !request.isComplete else { return }
        if request.fields[all: "Transfer-Encoding"] == ["chunked"], request.fields[all: "Content-Length"].isEmpty {
            let read = try reader.chunkedBody(until: deadline)
            change { request in
                request.body = read.body
                request.rawBody = read.raw
                request.trailers = read.trailers
                request.isComplete = true
            }
        } else {
            guard request.fields[all: "Transfer-Encoding"].isEmpty, request.fields[all: "Content-Length"].count <= 1
            else {
                throw MalformedMessage("framing", request.headOctets)
            }
            guard let count = Int(request["Content-Length"] ?? "0"), count >= 0 else {
                throw MalformedMessage("length", request.headOctets)
            }
            try readBody(atMost: count - request.body.count, until: deadline)
            change { $0.isComplete = true }
        }
    }

    /// Reads exactly this many more octets of a body with Content-Length.
    package func readBody(atMost count: Int, until deadline: Deadline = .after(120)) throws {
        let piece = try reader.exactly(count, until: deadline)
        change { request in
            request.body += piece
            request.rawBody += piece
        }
    }

    private func change(_ body: (inout ReceivedRequest) -> Void) {
        body(&request)
        record(body)
    }

    package func send(_ octets: [UInt8]) throws {
        try socket.send(octets, until: .after(120))
    }

    package func send(_ text: String) throws {
        try send(octets(text))
    }

    package func close() {
        isClosed = true
        socket.close()
    }

    package func reset() {
        isClosed = true
        socket.reset()
    }

    /// False when the connection is over.
    fileprivate func finish() throws -> Bool {
        if isClosed { return false }
        try readBody()
        return request.fields[all: "Connection"].allSatisfy { $0.lowercased() != "close" }
    }
}
