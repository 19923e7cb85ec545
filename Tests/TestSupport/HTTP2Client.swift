import Foundation

/// A real HTTP/2 client (Python's h2), by prior knowledge, `Upgrade: h2c` or TLS and ALPN: one connection.
package final class HTTP2Client: Sendable {
    package let agreement: Peer.Message.Agreement
    /// The head of the answer to an upgrade.
    package let upgradeHead: String
    private let peer: Peer
    private let handle: Int

    /// - Parameters:
    ///   - tls: nil = prior knowledge, or `upgrade` with these fields.
    ///   - acknowledges: whether windows are given back as octets come.
    package init(
        _ address: Address, tls: TLSSettings? = nil, settings: [String: Int] = [:], acknowledges: Bool = true,
        upgrade: [Field]? = nil
    ) throws {
        peer = try Peer.current()
        var command = Peer.Command("client.make")
        switch address {
        case .unix(let path): command.path = path
        case .ipv4(let port), .ipv6(let port): command.port = port
        }
        command.tls = tls
        command.settings = settings
        command.acknowledges = acknowledges
        command.upgrade = upgrade?.map { [$0.name, $0.value] }
        let answer = try peer.run(command)
        handle = answer.handle ?? 0
        agreement = answer.agreement ?? Peer.Message.Agreement()
        upgradeHead = answer.head ?? ""
    }

    private func run(
        _ op: String, stream: Int? = nil, until deadline: Deadline = .standard,
        _ fill: (inout Peer.Command) -> Void = { _ in }
    ) throws -> Peer.Message {
        var command = Peer.Command("client.\(op)", handle: handle)
        command.stream = stream
        fill(&command)
        return try peer.run(command, until: deadline)
    }

    /// Opens a stream with these fields, pseudo-header fields among them.
    package func open(_ fields: [Field], end: Bool) throws -> Int {
        let answer = try run("open") { command in
            command.fields = fields.map { [$0.name, $0.value] }
            command.end = end
        }
        return answer.stream ?? 0
    }

    /// HEADERS and RST_STREAM in one segment.
    package func openAndReset(_ fields: [Field], _ code: HTTP2Code = .cancel) throws {
        _ = try run("open") { command in
            command.fields = fields.map { [$0.name, $0.value] }
            command.end = false
            command.code = code.rawValue
        }
    }

    /// Sends the request as far as windows let it, and gives its stream.
    package func start(_ request: Request, until deadline: Deadline = .standard) throws -> Int {
        var trailers: [Field] = []
        if case .chunked(_, let fields) = request.body { trailers = fields }
        let (fields, body) = (request.http2Fields, request.http2Body)
        let stream = try open(fields, end: body.isEmpty && trailers.isEmpty)
        if !body.isEmpty { try send(body, on: stream, end: trailers.isEmpty, until: deadline) }
        if !trailers.isEmpty { try sendTrailers(trailers, on: stream) }
        return stream
    }

    package func send(_ octets: [UInt8], on stream: Int, end: Bool, until deadline: Deadline = .standard) throws {
        _ = try run("data", stream: stream, until: deadline) { command in
            command.body = Data(octets).base64EncodedString()
            command.end = end
        }
    }

    package func sendTrailers(_ fields: [Field], on stream: Int) throws {
        _ = try run("trailers", stream: stream) { $0.fields = fields.map { [$0.name, $0.value] } }
    }

    package func sendRaw(_ octets: [UInt8]) throws {
        _ = try run("raw") { $0.body = Data(octets).base64EncodedString() }
    }

    package func reset(_ stream: Int, _ code: HTTP2Code = .cancel) throws {
        _ = try run("rst", stream: stream) { $0.code = code.rawValue }
    }

    /// Waits for the end of the stream: throws unless a whole answer came.
    package func response(on stream: Int, until deadline: Deadline = .standard) throws -> Response {
        let answer = try ending(of: stream, until: deadline)
        guard answer.isComplete, let response = answer.response else { throw HTTP2StreamFailure(ending: answer) }
        return response
    }

    /// However the stream ended.
    package func ending(of stream: Int, until deadline: Deadline = .standard) throws -> HTTP2Ending {
        HTTP2Ending(try run("ended", stream: stream, until: deadline))
    }

    package func head(on stream: Int, until deadline: Deadline = .standard) throws -> HTTP2Ending {
        HTTP2Ending(try run("head_received", stream: stream, until: deadline))
    }

    /// Waits for an interim answer, or the end.
    package func interim(on stream: Int, until deadline: Deadline = .standard) throws -> HTTP2Ending {
        HTTP2Ending(try run("interim_received", stream: stream, until: deadline))
    }

    package func body(on stream: Int, atLeast count: Int, until deadline: Deadline = .standard) throws -> HTTP2Ending {
        HTTP2Ending(try run("body_received", stream: stream, until: deadline) { $0.count = count })
    }

    /// Gives back the window of what has come, and of everything from here on.
    package func grantWindow() throws {
        _ = try run("grant")
    }

    /// WINDOW_UPDATE for one stream, or for the connection.
    package func openWindow(of stream: Int? = nil, by count: Int) throws {
        _ = try run("open_window", stream: stream) { $0.count = count }
    }

    /// Waits until the proxy has handled everything that was sent.
    package func ping() throws {
        _ = try run("ping")
    }

    package func send(_ request: Request, until deadline: Deadline = .standard) throws -> Response {
        try response(on: start(request, until: deadline), until: deadline)
    }

    package func post(
        _ target: String = "/", key: String? = nil, _ fields: [Field] = [], body: String = Canary.requestBody
    ) throws -> Response {
        try send(.post(target, key: key, fields, body: body))
    }

    /// Waits until the proxy has closed the connection.
    package func waitForClose(until deadline: Deadline = .standard) throws -> HTTP2Ending {
        HTTP2Ending(try run("closed", until: deadline))
    }

    /// Waits for a GOAWAY, if `last` is given for one that names no higher stream, or the end.
    package func waitForGoAway(last: Int? = nil, until deadline: Deadline = .standard) throws -> HTTP2Ending {
        HTTP2Ending(try run("goaway_received", until: deadline) { $0.last = last })
    }

    /// SETTINGS of the proxy by their numbers, and the window it gives the connection.
    package func state() throws -> (settings: [Int: Int], window: Int, octets: Int) {
        let answer = try run("state")
        let settings = (answer.settings ?? [:]).map { (Int($0.key) ?? 0, $0.value) }
        return (Dictionary(uniqueKeysWithValues: settings), answer.window ?? 0, answer.octets ?? 0)
    }

    package func close() throws {
        _ = try run("close")
    }

    /// TCP RST.
    package func abort() throws {
        _ = try run("abort")
    }
}

/// How a stream, and perhaps its connection, ended.
package struct HTTP2Ending: Sendable, CustomStringConvertible {
    package var response: Response?
    package var isComplete: Bool
    package var resetCode: HTTP2Code?
    package var goAway: (last: Int, code: Int)?
    package var isConnectionOpen: Bool
    package var failure: String?

    init(_ message: Peer.Message) {
        isComplete = message.ended ?? false
        resetCode = message.reset.flatMap { HTTP2Code(rawValue: $0) }
        goAway = message.goaway.map { ($0[0], $0[1]) }
        isConnectionOpen = message.open ?? false
        failure = message.failure
        response = message.status.map { status in
            Response(
                version: "HTTP/2", status: status, reason: "", fields: Self.fields(message.fields),
                body: message.body.flatMap { Data(base64Encoded: $0) }.map { Array($0) } ?? [],
                trailers: Self.fields(message.trailers), framing: .none, headOctets: [],
                interim: (message.interim ?? []).map(Self.interim))
        }
    }

    private static func fields(_ pairs: [[String]]?) -> [Field] {
        (pairs ?? []).map { Field($0[0], $0[1]) }
    }

    private static func interim(_ pairs: [[String]]) -> Response {
        let all = fields(pairs)
        return Response(
            version: "HTTP/2", status: all[":status"].flatMap { Int($0) } ?? 0, reason: "",
            fields: all.filter { !$0.name.hasPrefix(":") }, body: [], trailers: [], framing: .none, headOctets: [],
            interim: [])
    }

    package var description: String {
        "\(response.map { "\($0)" } ?? "no head") complete \(isComplete) reset \(resetCode.map { "\($0)" } ?? "no") "
            + "GOAWAY \(goAway.map { "\($0)" } ?? "no") open \(isConnectionOpen) \(failure ?? "")"
    }
}

package struct HTTP2StreamFailure: Error, CustomStringConvertible {
    package var ending: HTTP2Ending
    package var description: String { "no whole answer: \(ending)" }
}

extension Request {
    /// As HTTP/2 carries it: pseudo-header fields, names in lower case, without those of the connection.
    package var http2Fields: [Field] {
        let own = ["connection", "keep-alive", "transfer-encoding", "upgrade", "host"]
        var result = [Field(":method", method), Field(":scheme", "http")]
        if let host = fields["Host"] ?? host { result.append(Field(":authority", host)) }
        result.append(Field(":path", target))
        for field in Canary.marked(fields) where !own.contains(field.name.lowercased()) {
            result.append(Field(field.name.lowercased(), field.value))
        }
        if case .length(let octets) = body { result.append(Field("content-length", "\(octets.count)")) }
        return result
    }

    fileprivate var http2Body: [UInt8] {
        switch body {
        case .none: []
        case .length(let octets), .raw(let octets): octets
        case .chunked(let chunks, _): chunks.flatMap { $0 }
        }
    }
}
