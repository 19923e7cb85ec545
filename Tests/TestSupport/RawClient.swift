/// A response, read strictly.
package struct Response: Sendable, Equatable {
    package enum Framing: Sendable, Equatable {
        case none
        case length
        case chunked
        case untilClose
    }

    package var version: String
    package var status: Int
    package var reason: String
    package var fields: [Field]
    package var body: [UInt8]
    package var trailers: [Field]
    package var framing: Framing
    /// The head with its empty line, as it came.
    package var headOctets: [UInt8]
    /// Interim responses that came before.
    package var interim: [Response]

    package subscript(_ name: String) -> String? { fields[name] }

    package var text: String { TestSupport.text(body) }

    package var isReplay: Bool { fields[all: "Idempotent-Replayed"] == ["true"] }

    /// The end-to-end fields that a replay must repeat: without framing, hop-by-hop fields and the replay marker.
    package var comparableFields: [Field] {
        let own = [
            "connection", "keep-alive", "transfer-encoding", "content-length", "idempotent-replayed", "via", "trailer",
            "x-request-id",
            "proxy-status",
        ]
        return fields.filter { !own.contains($0.name.lowercased()) }
    }
}

extension Response: CustomStringConvertible {
    package var description: String {
        "\(status) \(fields.map(\.description)) \(body.count) octets: \(TestSupport.text(body.prefix(200)))"
    }
}

/// A blocking HTTP/1.1 client that says exactly what it is told to, and reads strictly.
package final class RawClient: Sendable {
    package let socket: TestSocket
    private let reader: Monitored<OctetReader>

    package init(_ address: Address, receiveBuffer: Int32? = nil) throws {
        socket = try TestSocket.connect(to: address)
        if let receiveBuffer { socket.limitBuffers(receiveBuffer) }
        reader = Monitored(OctetReader(socket))
    }

    package func send(_ octets: [UInt8]) throws {
        try socket.send(octets)
    }

    package func send(_ text: String) throws {
        try socket.send(octets(text))
    }

    package func send(_ request: Request) throws {
        try socket.send(request.octets)
    }

    /// Sends each octet in its own segment as far as the kernel lets us.
    package func sendOctetByOctet(_ octets: [UInt8]) throws {
        for octet in octets { try socket.send([octet]) }
    }

    package func exchange(_ request: Request, until deadline: Deadline = .standard) throws -> Response {
        try send(request)
        return try response(to: request.method, until: deadline)
    }

    /// The next final response; interim ones are collected in it.
    package func response(to method: String = "POST", until deadline: Deadline = .standard) throws -> Response {
        var interim: [Response] = []
        while true {
            var response = try head(until: deadline)
            if (100..<200).contains(response.status), response.status != 101 {
                interim.append(response)
                continue
            }
            response.interim = interim
            try body(of: &response, to: method, until: deadline)
            return response
        }
    }

    /// A response's head; its body is still to be read.
    package func head(until deadline: Deadline = .standard) throws -> Response {
        try reader.with { reader in
            let line = try reader.line(until: deadline)
            let parts = TestSupport.text(line).split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, parts[0] == "HTTP/1.1" || parts[0] == "HTTP/1.0", parts[1].utf8.count == 3,
                let status = Int(parts[1])
            else { throw MalformedMessage("status line", line) }
            let fields = try reader.fields(until: deadline)
            return Response(
                version: String(parts[0]), status: status, reason: String(parts[2]), fields: fields.fields, body: [],
                trailers: [], framing: .none, headOctets: line + [13, 10] + fields.octets, interim: [])
        }
    }

    private func body(of response: inout Response, to method: String, until deadline: Deadline) throws {
        let lengths = response.fields[all: "Content-Length"]
        let codings = response.fields[all: "Transfer-Encoding"]
        guard lengths.count <= 1, codings.count <= 1, lengths.isEmpty || codings.isEmpty else {
            throw MalformedMessage("conflicting framing", response.headOctets)
        }
        if method == "HEAD" || [101, 204, 304].contains(response.status) {
            if response.status != 304 && method != "HEAD", lengths.count + codings.count > 0 {
                throw MalformedMessage("framing where no body can stand", response.headOctets)
            }
            return
        }
        let read: (framing: Response.Framing, body: [UInt8], trailers: [Field]) = try reader.with { [response] reader in
            if let coding = codings.first {
                guard coding == "chunked" else { throw MalformedMessage("transfer coding", response.headOctets) }
                let read = try reader.chunkedBody(until: deadline)
                return (.chunked, read.body, read.trailers)
            } else if let length = lengths.first {
                guard let count = Int(length), count >= 0 else { throw MalformedMessage("length", response.headOctets) }
                return (.length, try reader.exactly(count, until: deadline), [])
            } else {
                return (.untilClose, try reader.rest(until: deadline), [])
            }
        }
        response.framing = read.framing
        response.body = read.body
        response.trailers = read.trailers
    }

    /// Some octets of what follows, at most `count`; none at the end of the stream.
    package func some(atMost count: Int = 65536, until deadline: Deadline = .standard) throws -> [UInt8] {
        try reader.with { try $0.some(atMost: count, until: deadline) }
    }

    package func exactly(_ count: Int, until deadline: Deadline = .standard) throws -> [UInt8] {
        try reader.with { try $0.exactly(count, until: deadline) }
    }

    package func chunk(until deadline: Deadline = .standard) throws -> [UInt8] {
        try reader.with { reader in
            let line = try reader.line(until: deadline)
            guard let size = Int(TestSupport.text(line.prefix { $0 != 59 }), radix: 16) else {
                throw MalformedMessage("chunk size", line)
            }
            return try reader.exactly(size + 2, until: deadline).dropLast(2)
        }
    }

    /// Everything up to the end of the stream; an RST counts as an end.
    package func rest(until deadline: Deadline = .standard) throws -> [UInt8] {
        try reader.with { reader in
            do {
                return try reader.rest(until: deadline)
            } catch SocketError.reset {
                return reader.buffered
            }
        }
    }

    /// Whether the proxy closes the connection (with FIN or RST) without a further octet.
    package func isClosed(within seconds: Double = 10) -> Bool {
        reader.with { reader in
            guard reader.buffered.isEmpty else { return false }
            do {
                return try !reader.fill(until: .after(seconds))
            } catch SocketError.reset {
                return true
            } catch {
                return false
            }
        }
    }

    /// Whether nothing at all came within the time and the connection stands.
    package func isSilent(for seconds: Double) -> Bool {
        reader.with { $0.buffered.isEmpty && $0.socket.isSilent(for: seconds) }
    }

    package func shutdownWrite() { socket.shutdownWrite() }
    package func reset() { socket.reset() }
    package func close() { socket.close() }
}
