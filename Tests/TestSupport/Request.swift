/// A request as a test writes it. `octets` is exactly what goes over the wire.
package struct Request: Sendable {
    package enum Body: Sendable {
        case none
        case length([UInt8])
        /// Each piece is one chunk.
        case chunked([[UInt8]], trailers: [Field])
        /// Nothing is added to the fields, and these octets follow the head.
        case raw([UInt8])
    }

    package var method: String
    package var target: String
    package var fields: [Field]
    package var body: Body
    package var version = "HTTP/1.1"
    package var host: String? = "service.test"

    package init(_ method: String, _ target: String, _ fields: [Field] = [], body: Body = .none) {
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body
    }

    /// A POST with a JSON body (unless the fields name another content type), and a token when `key` is given.
    package static func post(
        _ target: String = "/", key: String? = nil, _ fields: [Field] = [], body: String = Canary.requestBody
    ) -> Request {
        var all: [Field] = []
        if let key { all.append(Field("Idempotency-Key", key)) }
        if fields[all: "Content-Type"].isEmpty { all.append(Field("Content-Type", "application/json")) }
        return Request("POST", target, all + fields, body: .length(TestSupport.octets(body)))
    }

    package static func get(_ target: String = "/", _ fields: [Field] = []) -> Request {
        Request("GET", target, fields)
    }

    package func with(_ name: String, _ value: String) -> Request {
        var copy = self
        copy.fields.append(Field(name, value))
        return copy
    }

    package func withBody(_ octets: [UInt8]) -> Request {
        var copy = self
        copy.body = .length(octets)
        return copy
    }

    package var headOctets: [UInt8] {
        var lines = ["\(method) \(target) \(version)"]
        if let host { lines.append("Host: \(host)") }
        lines += Canary.marked(fields).map(\.description)
        switch body {
        case .none, .raw: break
        case .length(let octets): lines.append("Content-Length: \(octets.count)")
        case .chunked: lines.append("Transfer-Encoding: chunked")
        }
        return TestSupport.octets(lines.joined(separator: "\r\n") + "\r\n\r\n")
    }

    package var bodyOctets: [UInt8] {
        switch body {
        case .none: return []
        case .length(let octets), .raw(let octets): return octets
        case .chunked(let chunks, let trailers): return chunkedOctets(chunks, trailers: trailers)
        }
    }

    package var octets: [UInt8] { headOctets + bodyOctets }
}

/// A whole chunked body.
package func chunkedOctets(_ chunks: [[UInt8]], trailers: [Field] = []) -> [UInt8] {
    var result: [UInt8] = []
    for chunk in chunks where !chunk.isEmpty {
        result += octets(String(chunk.count, radix: 16) + "\r\n") + chunk + [13, 10]
    }
    result += octets("0\r\n")
    for field in trailers { result += octets("\(field)\r\n") }
    return result + [13, 10]
}
