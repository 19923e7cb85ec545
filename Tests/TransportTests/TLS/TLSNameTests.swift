import TestSupport
import Testing
import Transport

/// Which certificate a client gets by the name that it asks for.
@Suite(.timeLimit(.minutes(5)))
struct TLSNameTests {
    static func certificates() throws -> [TLSCertificateFiles] {
        [
            try Certificates.server("default.test"),
            try Certificates.server("a.test", "*.b.test"),
            try Certificates.server("x.b.test"),
            try Certificates.shared.files(.init(subject: "/CN=common.test")),
        ]
    }

    func options(_ change: (inout TLSServerContext.Options) -> Void = { _ in }) throws -> TLSServerContext.Options {
        var options = TLSServerContext.Options(certificates: try Self.certificates())
        change(&options)
        return options
    }

    /// The subject of the certificate that a client gets; nil when it is refused.
    func subject(_ server: TLSServer, _ name: String?) throws -> String? {
        let arguments = name.map { ["-servername", $0] } ?? ["-noservername"]
        let fixed = ["-connect", "127.0.0.1:\(server.address.port)"]
        let client = try SClient.run(fixed + arguments, input: "")
        guard let line = client.output.split(separator: "\n").first(where: { $0.hasPrefix("subject=") }) else {
            #expect(client.has("unrecognized name"), "\(client.error)")
            return nil
        }
        return String(line.dropFirst("subject=CN = ".count))
    }

    static let names: [(asked: String?, gets: String, isKnown: Bool)] = [
        ("a.test", "a.test", true), ("A.TeSt", "a.test", true), ("a.test.", "a.test", true),
        ("y.b.test", "a.test", true), ("Y.B.Test.", "a.test", true),
        // Exact before wildcard.
        ("x.b.test", "x.b.test", true),
        // The wildcard is one label, and not none.
        ("z.y.b.test", "default.test", false), ("b.test", "default.test", false), (".b.test", "default.test", false),
        ("*.b.test", "default.test", false),
        ("common.test", "common.test", true), ("default.test", "default.test", true),
        ("unknown.test", "default.test", false), ("127.0.0.1", "default.test", false), ("::1", "default.test", false),
        ("a..test", "default.test", false), (".", "default.test", false), ("a b", "default.test", false),
        ("ä.test", "default.test", false), (String(repeating: "a", count: 254), "default.test", false),
    ]

    @Test("exact, wildcard, default")
    func choice() throws {
        let server = try TLSServer.closing(options())
        defer { server.stop() }
        for (asked, gets, _) in Self.names { #expect(try subject(server, asked) == gets, "\(asked ?? "none")") }
        #expect(try subject(server, nil) == "default.test")
        let agreements = Self.names.indices.compactMap { server.agreement($0)?.serverName }
        #expect(agreements.count == Self.names.count)
        #expect(agreements[1] == Array("a.test".utf8))
        #expect(agreements[2] == Array("a.test".utf8))
        #expect(agreements[15] == [])
        // The wildcard's own text is no name that a client can ask for.
        #expect(agreements[9] == [])
    }

    @Test("unknown names refused; a client without a name is served")
    func rejection() throws {
        let server = try TLSServer.closing(options { $0.rejectsUnknownName = true })
        defer { server.stop() }
        for (asked, gets, isKnown) in Self.names {
            #expect(try subject(server, asked) == (isKnown ? gets : nil), "\(asked ?? "none")")
        }
        #expect(try subject(server, nil) == "default.test")
        let failures = server.events.all.filter {
            if case .failed = $0 { true } else { false }
        }
        #expect(Set(failures.map { "\($0)" }).count == 1)
        #expect(failures.first == .failed(.protocolError, .unknownName))
    }

    @Test("names no tool sends: with NUL, oversized, empty, malformed lists, twice")
    func hostile() throws {
        let server = try TLSServer.closing(options())
        defer { server.stop() }
        func list(_ name: [UInt8]) -> [UInt8] {
            let entry: [UInt8] = [0, UInt8(name.count >> 8), UInt8(name.count & 255)] + name
            return [UInt8(entry.count >> 8), UInt8(entry.count & 255)] + entry
        }
        let name = Array("a.test".utf8)
        let bodies: [[UInt8]] = [
            list(Array("a.test\0.evil".utf8)), list([UInt8](repeating: 97, count: 60_000)), [], [0], [0, 0],
            [0, 9] + list(name), Array(list(name).dropLast()), list(name) + [0], [0, 10, 1, 0, 6] + name,
            [0, 18] + list(name).dropFirst(2) + list(name).dropFirst(2),
        ]
        for body in bodies {
            let socket = try BlockingSocket(connectedTo: server.address)
            try socket.send(ClientHello(serverName: body).record)
            // An alert, and the end.
            let answer = try socket.receiveAll()
            #expect(answer.first == 0x15, "\(body.prefix(20))")
        }
        // The same with a name that is well formed, or an empty one, gets a ServerHello.
        for name in [name, []] {
            let socket = try BlockingSocket(connectedTo: server.address)
            try socket.send(ClientHello(serverName: list(name)).record)
            #expect(try socket.receive(count: 1) == [0x16])
        }
        #expect(!server.events.all.contains(.secured))
    }
}

/// A ClientHello of TLS 1.2, made by hand.
///
///     type, version, length of the record | type 1, u24 length | version | random | session id | cipher suites |
///     compression methods | extensions
struct ClientHello {
    var serverName: [UInt8]?
    var more: [UInt8] = []

    private func prefixed(_ octets: [UInt8], _ width: Int) -> [UInt8] {
        (0..<width).reversed().map { UInt8(truncatingIfNeeded: octets.count >> (8 * $0)) } + octets
    }

    var record: [UInt8] {
        var extensions: [UInt8] = []
        if let serverName { extensions += [0, 0] + prefixed(serverName, 2) }
        // supported_groups: P-256, X25519; signature_algorithms: ECDSA and RSA-PSS with SHA-256.
        extensions += [0, 10, 0, 6, 0, 4, 0, 23, 0, 29, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4] + more
        var body: [UInt8] = [3, 3] + [UInt8](repeating: 7, count: 32) + [0]
        body += prefixed([0xC0, 0x2B, 0xC0, 0x2F], 2) + [1, 0] + prefixed(extensions, 2)
        let message = [1] + prefixed(body, 3)
        // In records of 16 KiB at most.
        return stride(from: 0, to: message.count, by: 16384).flatMap { start -> [UInt8] in
            [0x16, 3, 1] + prefixed(Array(message[start..<min(start + 16384, message.count)]), 2)
        }
    }
}
