import Foundation
import TestSupport
import Testing
import Transport

/// `openssl s_server` for one connection or more; it sends back the lines of its clients reversed.
final class SServer: Sendable {
    let process: Subprocess
    let address: SocketAddress

    init(_ files: TLSCertificateFiles, _ arguments: String...) throws {
        // Port 0: it tells which one the kernel chose.
        process = try Subprocess(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", files.chainPath, "-cert_chain", files.chainPath]
                + ["-key", files.keyPath] + arguments)
        let port = try process.waitForOutput("its port") { output -> UInt16? in
            guard let line = output.split(separator: "\n").first(where: { $0.hasPrefix("ACCEPT ") }) else { return nil }
            return line.split(separator: ":").last.flatMap { UInt16($0) }
        }
        address = .v4(0x7F00_0001, port: port)
    }

    deinit { process.kill(SIGKILL) }
}

/// Our client against `openssl s_server`.
@Suite(.timeLimit(.minutes(5)))
struct TLSClientPeerTests {
    let harness: Harness

    init() throws { harness = try Harness() }

    @Test("TLS 1.2 and 1.3, with ALPN and SNI", arguments: ["-tls1_2", "-tls1_3"])
    func versions(version: String) throws {
        defer { harness.stop() }
        let server = try SServer(
            Certificates.server("a.test"), "-rev", "-alpn", "http/1.1,h2", version)
        let client = try harness.connect(to: server.address, .test(), sending: Array("olleh\n".utf8))
        #expect(client.events.next() == .connected)
        #expect(client.events.next() == .received(Array("hello\n".utf8)))
        let agreement = try #require(client.perform { $0.tlsAgreement })
        #expect(agreement.version == (version == "-tls1_2" ? .tls12 : .tls13))
        #expect(agreement.alpn == .http11)
        #expect(client.perform { $0.peekIsAlive() })
        client.perform { $0.closeAfterFlush() }
        #expect(client.events.next() == .closed)
    }

    @Test("the certificate must be for the name, by a trusted authority, and valid")
    func verification() throws {
        defer { harness.stop() }
        let leaf = Certificates.Leaf(subject: "/CN=a.test", names: ["DNS:a.test", "DNS:*.b.test", "IP:127.0.0.1"])
        func outcome(
            _ files: TLSCertificateFiles, as name: String, _ change: (inout TLSClientContext.Options) -> Void = { _ in }
        ) throws -> TLSEvent {
            let server = try SServer(files, "-rev")
            let client = try harness.connect(to: server.address, .test(change), as: name)
            return client.events.next()
        }
        let good = try Certificates.shared.files(leaf)
        let refused = TLSEvent.failed(.protocolError, .certificate)
        for name in ["a.test", "A.TEST", "a.test.", "x.b.test", "127.0.0.1"] {
            #expect(try outcome(good, as: name) == .connected, "\(name)")
        }
        for name in ["b.test", "x.y.b.test", "127.0.0.2", "::1", "a.test.evil.test"] {
            #expect(try outcome(good, as: name) == refused, "\(name)")
        }
        func changed(_ change: (inout Certificates.Leaf) -> Void) throws -> TLSCertificateFiles {
            var copy = leaf
            change(&copy)
            return try Certificates.shared.files(copy)
        }
        #expect(try outcome(changed { $0.days = -1 }, as: "a.test") == refused)
        #expect(try outcome(changed { $0.authority = nil }, as: "a.test") == refused)
        #expect(try outcome(changed { $0.authority = .init(name: "other") }, as: "a.test") == refused)
        #expect(try outcome(changed { $0.usage = "clientAuth" }, as: "a.test") == refused)
        #expect(try outcome(changed { $0.names = [] }, as: "a.test") == refused)
        // The system's authorities do not know ours.
        #expect(try outcome(good, as: "a.test") { $0.caPath = nil } == refused)
        #expect(try outcome(changed { $0.days = -1 }, as: "b.test") { $0.verifies = false } == .connected)
        #expect(
            try outcome(changed { $0.authority = .init(name: "sub", parents: ["root"]) }, as: "a.test") == .connected)
    }

    @Test("a name that can't be verified is not connected to")
    func unusableNames() throws {
        defer { harness.stop() }
        for name in ["", "a b", "a\0.test", "..", String(repeating: "a", count: 300), "a/b"] {
            #expect(throws: Errno.invalidArgument, "\(name)") {
                try harness.connect(to: .v4(0x7F00_0001, port: 1), .test(), as: name)
            }
        }
    }

    @Test("a server that wants a certificate gets it, and refuses without one", arguments: ["-tls1_2", "-tls1_3"])
    func clientCertificate(version: String) throws {
        defer { harness.stop() }
        let server = try SServer(
            Certificates.server("a.test"), "-rev", version, "-Verify", "2", "-verify_return_error", "-CAfile",
            Certificates.root())
        let with = try harness.connect(
            to: server.address, .test { $0.certificate = try? Certificates.client() }, sending: Array("ab\n".utf8))
        #expect(with.events.next() == .connected)
        #expect(with.events.next() == .received(Array("ba\n".utf8)))
        with.perform { $0.closeAfterFlush() }
        #expect(with.events.next() == .closed)
        let without = try harness.connect(to: server.address, .test(), sending: Array("ab\n".utf8))
        var event = without.events.next()
        // In TLS 1.3 the client is done before the server has looked.
        if version == "-tls1_3", event == .connected { event = without.events.next() }
        #expect(event == .failed(.protocolError, .alert))
    }

    @Test("no version in common")
    func alerts() throws {
        defer { harness.stop() }
        let old = try SServer(Certificates.server("a.test"), "-rev", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        let client = try harness.connect(to: old.address, .test())
        #expect(client.events.next() == .failed(.protocolError, .alert))
        #expect(client.perform { $0.tlsFailure?.reason } == "tlsv1 alert protocol version")
    }

    @Test("plain octets before the handshake are no answer (CVE-2026-1642)")
    func plaintextBeforeTheHandshake() throws {
        defer { harness.stop() }
        let listener = try PlainListener()
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "\u{16}\u{3}\u{3}", "x",
            "\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{28}",
        ] {
            let client = try harness.connect(
                to: listener.address, .test(), sending: Array("GET / HTTP/1.1\r\n\r\n".utf8))
            let peer = try listener.accept()
            try peer.send(Array(answer.utf8))
            peer.shutdownWrite()
            let event = client.events.next()
            guard case .failed(.protocolError, _) = event else {
                Issue.record("\(event)")
                continue
            }
            #expect(client.events.next() == .closed)
            #expect(client.perform { $0.payloadOctetsWritten } == 0)
            // A ClientHello, and no octet of the request.
            let sent = try peer.receiveAll()
            #expect(sent.first == 0x16)
            #expect(!String(decoding: sent, as: UTF8.self).contains("GET"))
        }
    }

    @Test("the end of TCP without close_notify is a truncation")
    func truncation() throws {
        defer { harness.stop() }
        let server = try SServer(Certificates.server("a.test"), "-rev")
        let client = try harness.connect(to: server.address, .test())
        #expect(client.events.next() == .connected)
        server.process.kill(SIGKILL)
        let event = client.events.next()
        #expect(event == .end(isTruncated: true) || event == .failed(.connectionReset, nil), "\(event)")
    }

    @Test("a session is resumed", arguments: ["-tls1_2", "-tls1_3"])
    func resumption(version: String) throws {
        defer { harness.stop() }
        let server = try SServer(Certificates.server("a.test"), "-rev", version)
        let context = try TLSClientContext.test()
        for isResumed in [false, true, true] {
            let client = try harness.connect(to: server.address, context, sending: Array("ab\n".utf8))
            #expect(client.events.next() == .connected)
            #expect(client.events.next() == .received(Array("ba\n".utf8)))
            #expect(client.perform { $0.tlsAgreement?.isResumed } == isResumed)
            #expect(client.perform { $0.tlsAgreement?.peerCertificate?.subject } == Array("CN=a.test".utf8))
            client.perform { $0.closeAfterFlush() }
            #expect(client.events.next() == .closed)
        }
    }
}

/// A listening socket without TLS, accepted from by hand.
final class PlainListener: Sendable {
    private let socket: ListeningSocket
    var address: SocketAddress { socket.address }

    init() throws { socket = try ListeningSocket.bind(.v4(0x7F00_0001, port: 0)) }

    deinit { socket.close() }

    func accept() throws -> BlockingSocket {
        var waits = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&waits, 1, 20_000) == 1 else { throw TestFailure(text: "nobody connects") }
        let descriptor = Foundation.accept(socket.descriptor, nil, nil)
        guard descriptor >= 0 else { throw TestFailure(text: "accept: \(errno)") }
        return BlockingSocket(descriptor: descriptor)
    }
}
