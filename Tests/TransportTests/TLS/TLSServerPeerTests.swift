import Foundation
import TestSupport
import Testing
import Transport

/// Our server against `openssl s_client`.
@Suite(.timeLimit(.minutes(5)))
struct TLSServerPeerTests {
    @Test("TLS 1.2 and 1.3 with both kinds of keys", arguments: ["-tls1_2", "-tls1_3"], ["ec", "rsa"])
    func versions(version: String, key: String) throws {
        let files = try Certificates.server("a.test", key: key == "ec" ? .ec : .rsa(2048))
        let server = try TLSServer.closing(.init(certificates: [files]))
        defer { server.stop() }
        let client = try server.sClient(
            version, "-servername", "a.test", "-verify_return_error", "-ign_eof", "-alpn", "http/1.1", input: "x")
        #expect(client.isSuccess)
        #expect(client.has("Verify return code: 0 (ok)"))
        #expect(client.has("ALPN protocol: http/1.1"))
        #expect(client.has("bye"))
        let agreement = try #require(server.agreement())
        #expect(agreement.version == (version == "-tls1_2" ? .tls12 : .tls13))
        #expect(client.session == "New, \(agreement.version), Cipher is \(agreement.cipher)")
        #expect(agreement.alpn == .http11)
    }

    @Test("a certificate for each kind of key under one name")
    func twoKeys() throws {
        let server = try TLSServer.closing(
            .init(certificates: [
                try Certificates.server("a.test"), try Certificates.server("a.test", key: .rsa(2048)),
            ]))
        defer { server.stop() }
        for (ciphers, key) in [("ECDHE-RSA-AES128-GCM-SHA256", "RSA"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "EC")] {
            let client = try server.sClient("-tls1_2", "-cipher", ciphers, "-servername", "a.test")
            #expect(client.has("Cipher is \(ciphers)"), "\(key)")
        }
    }

    @Test(
        "what is weak is refused",
        arguments: [
            ["-tls1_1"], ["-tls1"], ["-tls1_2", "-cipher", "AES128-SHA"], ["-tls1_2", "-cipher", "NULL"],
            ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], ["-tls1_2", "-cipher", "aNULL"],
            ["-tls1_2", "-groups", "ffdhe2048"],
        ])
    func weak(arguments: [String]) throws {
        var arguments = arguments
        if let i = arguments.firstIndex(of: "-cipher") {
            arguments[i + 1] += ":@SECLEVEL=0"
        } else {
            arguments += ["-cipher", "ALL:@SECLEVEL=0"]
        }
        let server = try TLSServer.closing(.test())
        defer { server.stop() }
        let fixed = ["-connect", "127.0.0.1:\(server.address.port)"]
        let client = try SClient.run(fixed + arguments, input: "")
        #expect(!client.isSuccess)
        #expect(client.has("alert protocol version") || client.has("alert handshake failure"), "\(client.error)")
        #expect(server.events.next() == .failed(.protocolError, .noCommonParameters))
        #expect(server.events.next() == .closed)
    }

    @Test("a minimum of TLS 1.3")
    func minimum() throws {
        let server = try TLSServer.closing(.test { $0.minimumVersion = .tls13 })
        defer { server.stop() }
        #expect(try server.sClient("-tls1_2").has("alert protocol version"))
        #expect(try server.sClient("-tls1_3").isSuccess)
    }

    @Test("renegotiation is refused, and the connection goes on")
    func renegotiation() throws {
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        let client = try server.sClient("-tls1_2", "-servername", "a.test", input: "R\\n")
        #expect(client.has("RENEGOTIATING"))
        #expect(client.has("no renegotiation"), "\(client.error)")
        // The client of OpenSSL gives up by itself; nothing failed on our side before.
        #expect(server.events.next() == .secured)
        let next = server.events.next()
        #expect(
            next == .end(isTruncated: false) || next == .failed(.protocolError, .alert)
                || next == .end(isTruncated: true))
    }

    @Test("no compression, even where the client offers it")
    func compression() throws {
        let server = try TLSServer.closing(.test())
        defer { server.stop() }
        #expect(try server.sClient("-tls1_2", "-comp").has("Compression: NONE"))
    }

    @Test("ALPN")
    func alpn() throws {
        let server = try TLSServer.closing(.test())
        defer { server.stop() }
        #expect(try server.sClient("-alpn", "spdy/1,h2,http/1.1").has("ALPN protocol: h2"))
        #expect(try server.sClient("-alpn", "http/1.1,h2").has("ALPN protocol: h2"))
        #expect(try server.sClient().has("No ALPN negotiated"))
        #expect(server.agreement(2)?.alpn == nil)
        let none = try server.sClient("-alpn", "h3,http/1.0")
        #expect(!none.isSuccess)
        #expect(none.has("alert no application protocol"), "\(none.error)")
        #expect(server.events.all.contains(.failed(.protocolError, .noCommonProtocol)))
        let one = try TLSServer.closing(.test { $0.alpn = [.http11] })
        defer { one.stop() }
        #expect(try one.sClient("-alpn", "h2").has("alert no application protocol"))
        #expect(try one.sClient("-alpn", "h2,http/1.1").has("ALPN protocol: http/1.1"))
    }

    @Test("early data is not accepted", arguments: ["a.test"])
    func earlyData(name: String) throws {
        let server = try TLSServer.closing(.test())
        defer { server.stop() }
        let session = Certificates.path(".session")
        let first = try server.sClient(
            "-tls1_3", "-servername", name, "-ign_eof", "-sess_out", session, input: "x")
        #expect(first.has("Max Early Data: 0"), "\(first.output)")
        let early = Certificates.path(".early")
        try "GET / HTTP/1.1\r\n\r\n".write(toFile: early, atomically: false, encoding: .utf8)
        let second = try server.sClient(
            "-tls1_3", "-servername", name, "-ign_eof", "-sess_in", session, "-early_data", early, input: "x")
        #expect(second.has("Early data was not sent") || second.has("Early data was rejected"), "\(second.output)")
        #expect(!server.events.all.contains(.received(Array("GET / HTTP/1.1\r\n\r\n".utf8))))
    }

    @Test("KeyUpdate in both directions")
    func keyUpdate() throws {
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        // K asks for one of ours too.
        let client = try server.sClient("-tls1_3", "-servername", "a.test", input: "one\\nK\\nk\\ntwo\\n")
        #expect(client.has("KEYUPDATE"))
        #expect(client.isSuccess)
        #expect(server.events.next() == .secured)
        var received: [UInt8] = []
        loop: while true {
            switch server.events.next() {
            case .received(let octets): received += octets
            case .end(let isTruncated):
                #expect(!isTruncated)
                break loop
            case let other:
                Issue.record("\(other)")
                break loop
            }
        }
        #expect(String(decoding: received, as: UTF8.self) == "one\ntwo\n")
    }
}
