import Foundation
import TestSupport
import Testing

/// How a client speaks to the proxy.
enum Wire: String, CaseIterable, Sendable {
    case http1, http1TLS, h2c, http2

    var isHTTP2: Bool { self == .h2c || self == .http2 }
    var isSecure: Bool { self == .http1TLS || self == .http2 }
}

/// What the service speaks.
enum ServiceKind: String, CaseIterable, Sendable {
    case http1, https, h2c, http2
}

extension ProxyConfiguration {
    /// The first listener is in the clear (HTTP/1.1 and h2c), the second has TLS (ALPN).
    /// - Parameter tls: further directives of the tls block.
    mutating func listenEverywhere(_ certificates: [TestCertificate] = [.service], tls: String = "") throws {
        listen = "listen 127.0.0.1:0 { http2 on; }\n" + (try Self.tlsListener(certificates, tls: tls))
    }

    static func tlsListener(
        _ certificates: [TestCertificate] = [.service], tls: String = "", more: String = ""
    ) throws -> String {
        let pairs = try certificates.map { certificate in
            let files = try certificate.files
            return "certificate \(files.certificate); key \(files.key);"
        }
        return "listen 127.0.0.1:0 { tls { \(pairs.joined(separator: " ")) \(tls) } \(more) }"
    }

    /// `upstream service` has these servers, and trusts the tests' authority.
    mutating func serve(_ urls: String..., tls: String = "") throws {
        servers = []
        serverURLs = urls
        if urls.contains(where: { $0.hasPrefix("https:") }) {
            upstream += " tls { ca \(try TestCertificate.authority()); name service.test; \(tls) }"
        }
        if route == nil { route = "" }
    }
}

extension ProxyProcess {
    var clear: Address { addresses[0] }
    var secure: Address { addresses[1] }

    func http2(
        secure isSecure: Bool = false, settings: [String: Int] = [:], acknowledges: Bool = true
    ) throws -> HTTP2Client {
        try HTTP2Client(
            isSecure ? secure : clear, tls: isSecure ? .client() : nil, settings: settings,
            acknowledges: acknowledges)
    }

    /// One request on a connection of its own.
    func send(_ request: Request, over wire: Wire, until deadline: Deadline = .standard) throws -> Response {
        switch wire {
        case .http1: return try send(request, until: deadline)
        case .http1TLS:
            let relay = try TLSRelay(to: secure, .client(alpn: ["http/1.1"]))
            let client = try RawClient(relay.address)
            defer { client.close() }
            return try client.exchange(request, until: deadline)
        case .h2c, .http2:
            let client = try http2(secure: wire == .http2)
            defer { try? client.close() }
            return try client.send(request, until: deadline)
        }
    }
}

/// What a service of any kind answers.
struct PlainAnswer: Sendable {
    var status = 201
    var fields = [Field("content-type", "application/json")]
    var body = octets(Canary.answerBody)
    var trailers: [Field] = []
    /// Answered when this opens.
    var latch: Latch?

    fileprivate var http1: Reply {
        let reply =
            trailers.isEmpty
            ? Reply.answer(status, fields, body: body)
            : Reply { [self] exchange in
                try exchange.readBody()
                let head = headOctets(status, fields + [Field("Transfer-Encoding", "chunked")])
                try exchange.send(head + chunkedOctets([body], trailers: trailers))
            }
        return latch.map { .held($0, then: reply) } ?? reply
    }

    fileprivate var http2: HTTP2Reply {
        let lower = fields.map { Field($0.name.lowercased(), $0.value) }
        let reply = HTTP2Reply.answer(status, lower, body: body, trailers: trailers)
        return latch.map { .held($0, then: reply) } ?? reply
    }
}

/// The same service, whatever it speaks.
struct AnyService: Sendable {
    let serverURL: String
    private let http1: ScriptedUpstream?
    private let http2: HTTP2Upstream?

    init(_ kind: ServiceKind, _ script: @escaping @Sendable (ReceivedRequest) -> PlainAnswer = { _ in PlainAnswer() })
        throws
    {
        switch kind {
        case .http1, .https:
            let upstream = try ScriptedUpstream { script($0).http1 }
            http1 = upstream
            http2 = nil
            serverURL =
                kind == .http1
                ? upstream.address.serverURL
                : try TLSRelay(inFrontOf: upstream.address, .server(alpn: ["http/1.1"])).serverURL
        case .h2c, .http2:
            let upstream = try HTTP2Upstream(tls: kind == .http2 ? .server() : nil) { script($0).http2 }
            http1 = nil
            http2 = upstream
            serverURL = upstream.serverURL
        }
    }

    var requests: [ReceivedRequest] { http1?.requests ?? http2!.requests }
    var executions: Int { http1?.executions ?? http2!.executions }
    var attempts: Int { http1?.attempts ?? http2!.attempts }

    func request(_ index: Int) throws -> ReceivedRequest {
        try http1?.request(index) ?? http2!.request(index)
    }

    func waitForExecutions(_ count: Int) throws {
        try http1?.waitForExecutions(count)
        try http2?.waitForExecutions(count)
    }
}

/// A service of any kind and a proxy with both listeners before it.
struct ProtocolPair {
    let service: AnyService
    let proxy: ProxyProcess

    init(
        _ kind: ServiceKind = .http1, _ idempotency: String = "",
        script: @escaping @Sendable (ReceivedRequest) -> PlainAnswer = { _ in PlainAnswer() }
    ) throws {
        try self.init(kind, idempotency, configure: { _ in }, script: script)
    }

    /// - Parameter configure: further changes to the configuration.
    init(
        _ kind: ServiceKind = .http1, _ idempotency: String = "",
        configure: (inout ProxyConfiguration) throws -> Void,
        script: @escaping @Sendable (ReceivedRequest) -> PlainAnswer = { _ in PlainAnswer() }
    ) throws {
        service = try AnyService(kind, script)
        var configuration = ProxyConfiguration()
        configuration.route = "idempotency { \(idempotency) }"
        try configuration.listenEverywhere()
        try configuration.serve(service.serverURL)
        try configure(&configuration)
        proxy = try ProxyProcess(configuration)
    }
}

/// An HTTP/2 service and a proxy before it.
struct HTTP2Pair {
    let upstream: HTTP2Upstream
    let proxy: ProxyProcess

    init(
        _ idempotency: String = "", tls: Bool = false, settings: [String: Int] = [:], acknowledges: Bool = true,
        script: @escaping HTTP2Upstream.Script = { _ in .answer() }
    ) throws {
        try self.init(
            idempotency, tls: tls, settings: settings, acknowledges: acknowledges, configure: { _ in }, script: script)
    }

    /// - Parameter configure: further changes to the configuration.
    init(
        _ idempotency: String = "", tls: Bool = false, settings: [String: Int] = [:], acknowledges: Bool = true,
        configure: (inout ProxyConfiguration) throws -> Void,
        script: @escaping HTTP2Upstream.Script = { _ in .answer() }
    ) throws {
        upstream = try HTTP2Upstream(
            tls: tls ? .server() : nil, settings: settings, acknowledges: acknowledges, script)
        var configuration = ProxyConfiguration()
        configuration.route = "idempotency { \(idempotency) }"
        try configuration.listenEverywhere()
        try configuration.serve(upstream.serverURL)
        try configure(&configuration)
        proxy = try ProxyProcess(configuration)
    }
}

/// The same answer over whatever protocol: names of fields are compared without their case.
func expectReplayAcross(_ repeated: Response, of first: Response, sourceLocation: SourceLocation = #_sourceLocation) {
    let lower = { (response: Response) in
        response.comparableFields.map { Field($0.name.lowercased(), $0.value) }
    }
    #expect(
        repeated.isReplay, "status \(repeated.status): \(repeated.text.prefix(300))", sourceLocation: sourceLocation)
    #expect(repeated.status == first.status, sourceLocation: sourceLocation)
    expectOctets(repeated.body, first.body, sourceLocation: sourceLocation)
    #expect(lower(repeated) == lower(first), sourceLocation: sourceLocation)
    expectFieldsOfVersion(repeated, sourceLocation: sourceLocation)
}

/// No field of the connection in HTTP/2, and names in lower case (RFC 9113 §8.2).
func expectFieldsOfVersion(_ response: Response, sourceLocation: SourceLocation = #_sourceLocation) {
    guard response.version == "HTTP/2" else { return }
    let own = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
    let names = response.fields.map(\.name) + response.trailers.map(\.name)
    #expect(names.allSatisfy { !own.contains($0) && $0 == $0.lowercased() }, "\(names)", sourceLocation: sourceLocation)
    if let length = response["content-length"], response.body.isEmpty == false {
        #expect(Int(length) == response.body.count, sourceLocation: sourceLocation)
    }
}
