import Foundation

/// The Python process that speaks HTTP/2 and TLS for a test (Clients/peer.py): one per test, started on first use.
package final class Peer: Sendable {
    /// Where a handle's events go. Called on the thread that reads the control connection.
    package typealias Listener = @Sendable (Message) -> Void

    /// What comes from the process: an answer to a command (`id`) or an event (`event`). See peer.py.
    package struct Message: Decodable, Sendable {
        package struct Agreement: Decodable, Sendable {
            package var alpn, version, cipher, name, subject: String?
            package var resumed: Bool?
        }

        package var id: Int?
        package var event, error, body, head, failure: String?
        package var handle, port, exchange, connection, stream, status, reset, code, last, window, octets, latch: Int?
        package var fields, trailers: [[String]]?
        package var interim: [[[String]]]?
        package var goaway: [Int]?
        package var open, ended: Bool?
        package var settings: [String: Int]?
        package var agreement: Agreement?
    }

    /// What goes there. Only the parts that are set.
    package struct Command: Encodable, Sendable {
        package var id = 0
        package var op: String
        package var handle, port, stream, code, count, last: Int?
        package var path, body, greeting, authority: String?
        package var fields, upgrade: [[String]]?
        package var end, acknowledges, truncates, silent: Bool?
        package var settings: [String: Int]?
        package var tls, listen, connect: TLSSettings?
        package var steps: [HTTP2Reply.Step]?

        package init(_ op: String, handle: Int? = nil) {
            self.op = op
            self.handle = handle
        }
    }

    private struct State {
        var answers: [Int: Message] = [:]
        var listeners: [Int: Listener] = [:]
        /// Events of handles whose listener is not there yet.
        var early: [Message] = []
        var latches: [ObjectIdentifier: Int] = [:]
        var latchesByNumber: [Int: Latch] = [:]
        var count = 0
        var isOver = false
    }

    private let socket: TestSocket
    private let process: Subprocess
    private let state = Monitored(State())

    package static let python = ProcessInfo.processInfo.environment["ONCEGATE_PYTHON"] ?? "python3"
    package static let clients = ProxyProcess.packageRoot + "/Tests/IntegrationTests/Clients"

    /// The one of this test.
    package static func current() throws -> Peer {
        try TestScope.current!.shared { try Peer() }
    }

    private init() throws {
        let path = try TestScope.current!.newDirectory() + "/control"
        let listener = try TestListener(at: .unix(path))
        try listener.listen()
        let process = try Subprocess([Self.python, "\(Self.clients)/peer.py", path])
        self.process = process
        let connecting = Running { listener.accept() }
        defer { listener.close() }
        socket = try poll("peer.py connects") {
            if connecting.isFinished { return try connecting.join() }
            if process.isRunning { return nil }
            throw MalformedMessage("peer.py ended: Scripts/test installs its modules", octets(process.standardError))
        }
        TestScope.current?.atEnd { [socket] in
            process.kill(SIGKILL)
            socket.interrupt()
            _ = try? process.waitForExit(until: .after(5))
        }
        TestScope.current?.describeOnFailure { "--- peer.py\n\(process.standardError.suffix(4000))" }
        let thread = Thread { [self] in readMessages() }
        thread.stackSize = 1 << 20
        thread.start()
    }

    private func readMessages() {
        let reader = PeerLines(socket)
        while let line = reader.next() {
            guard let message = try? JSONDecoder().decode(Message.self, from: line) else {
                FileHandle.standardError.write(Data("peer.py says: ".utf8) + line + Data("\n".utf8))
                continue
            }
            let listener = state.with { state -> Listener? in
                if let id = message.id {
                    state.answers[id] = message
                    return nil
                }
                let found = state.listeners[message.handle ?? 0]
                if found == nil { state.early.append(message) }
                return found
            }
            listener?(message)
        }
        state.with { $0.isOver = true }
    }

    /// Sends a command and waits for its answer; an error in it is thrown.
    @discardableResult
    package func run(_ command: Command, until deadline: Deadline = .standard) throws -> Message {
        var command = command
        command.id = state.with { state in
            state.count += 1
            return state.count
        }
        try send(command)
        let answer = try state.wait("peer.py answers \(command.op)", until: deadline) { [id = command.id] state in
            if state.isOver { throw StreamEnded(octets: octets(process.standardError)) }
            return state.answers.removeValue(forKey: id)
        }
        if let error = answer.error { throw PeerError(what: command.op, description: error) }
        return answer
    }

    private func send(_ command: Command) throws {
        let line = try JSONEncoder().encode(command)
        // One line at a time.
        try state.with { _ in try socket.send(Array(line) + [10], until: .after(60)) }
    }

    /// From here on the events of this handle go there, with those that came before.
    package func listen(to handle: Int, _ listener: @escaping Listener) {
        let early = state.with { state in
            state.listeners[handle] = listener
            let mine = state.early.filter { $0.handle == handle }
            state.early.removeAll { $0.handle == handle }
            return mine
        }
        early.forEach(listener)
    }

    /// The latch that has this number over there.
    func latch(_ number: Int) -> Latch? {
        state.with { $0.latchesByNumber[number] }
    }

    /// The number of a latch over there, which opens when this one does.
    func number(of latch: Latch) -> Int {
        let (number, isNew) = state.with { state in
            if let known = state.latches[ObjectIdentifier(latch)] { return (known, false) }
            let number = state.latches.count + 1
            state.latches[ObjectIdentifier(latch)] = number
            state.latchesByNumber[number] = latch
            return (number, true)
        }
        if isNew {
            let thread = Thread { [self] in
                guard (try? latch.wait(until: .after(120))) != nil else { return }
                _ = try? run(Command("latch.open", handle: number))
            }
            thread.stackSize = 256 << 10
            thread.start()
        }
        return number
    }
}

package struct PeerError: Error, CustomStringConvertible {
    package var what: String
    package var description: String
}

/// TLS as peer.py wants it, for either side.
package struct TLSSettings: Encodable, Sendable {
    package var certificate, key, ca, name, min, max: String?
    package var alpn: [String] = []

    /// - Parameter asksClients: whether clients need a certificate of the authority.
    package static func server(
        _ certificate: TestCertificate = .service, alpn: [String] = ["h2", "http/1.1"], asksClients: Bool = false
    ) throws -> TLSSettings {
        let files = try certificate.files
        var settings = TLSSettings()
        settings.certificate = files.certificate
        settings.key = files.key
        settings.alpn = alpn
        if asksClients { settings.ca = try TestCertificate.authority() }
        return settings
    }

    /// Verifies the proxy's certificate by this name.
    package static func client(
        _ name: String = "service.test", alpn: [String] = ["h2"], certificate: TestCertificate? = nil
    ) throws -> TLSSettings {
        var settings = TLSSettings()
        settings.ca = try TestCertificate.authority()
        settings.name = name
        settings.alpn = alpn
        settings.certificate = try certificate?.files.certificate
        settings.key = try certificate?.files.key
        return settings
    }
}

/// Lines of any length.
private final class PeerLines {
    private let socket: TestSocket
    private var buffer = Data()

    init(_ socket: TestSocket) {
        self.socket = socket
    }

    func next() -> Data? {
        var searched = buffer.startIndex
        while true {
            if let end = buffer[searched...].firstIndex(of: 10) {
                let line = Data(buffer[buffer.startIndex..<end])
                buffer = buffer[(end + 1)...]
                return line
            }
            searched = buffer.endIndex
            guard let octets = try? socket.receive(atMost: 1 << 18, until: .after(600)), !octets.isEmpty else {
                return nil
            }
            buffer.append(contentsOf: octets)
        }
    }
}
