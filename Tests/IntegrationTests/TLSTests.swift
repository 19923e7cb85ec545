import Foundation
import TestSupport
import Testing

/// TLS towards clients: checks C1 to C11, C14. Towards services: `UpstreamTLSTests`.
@Suite(.blackBox) struct TLSTests {
    /// What `openssl s_client` says.
    static func handshake(
        _ address: Address, _ options: [String] = [], name: String? = "service.test", input: String = "",
        seconds: Int = 8
    ) throws -> String {
        let names = name.map { ["-servername", $0] } ?? ["-noservername"]
        let arguments = (["-connect", "\(address)"] + names + options).map { "'\($0)'" }.joined(separator: " ")
        let result = try Subprocess.run([
            "sh", "-c", "printf '\(input)' | timeout \(seconds) openssl s_client \(arguments) 2>&1",
        ])
        return result.output
    }

    private static func isEstablished(_ output: String) -> Bool {
        output.range(of: #"(New|Reused), TLSv1\.[23], Cipher is [A-Z]"#, options: .regularExpression) != nil
    }

    private func proxy(_ listen: String, idempotency: String = "", top: String = "") throws -> ProxyProcess {
        var configuration = ProxyConfiguration(try ScriptedUpstream(), idempotency: idempotency)
        configuration.listen = listen
        configuration.top = top
        return try ProxyProcess(configuration)
    }

    private func subject(_ output: String) -> String? {
        output.split(separator: "\n").first { $0.hasPrefix("subject=") }.map(String.init)
    }

    // MARK: C1, C4: what is spoken

    @Test("C1 TLS 1.2 and 1.3 are spoken; min_version 1.3 refuses 1.2")
    func versions() throws {
        let both = try proxy(ProxyConfiguration.tlsListener())
        #expect(try Self.handshake(both.address, ["-tls1_2"]).contains("New, TLSv1.2"))
        #expect(try Self.handshake(both.address, ["-tls1_3"]).contains("New, TLSv1.3"))
        let newest = try proxy(ProxyConfiguration.tlsListener(tls: "min_version 1.3;"))
        #expect(try !Self.isEstablished(Self.handshake(newest.address, ["-tls1_2"])))
        #expect(try Self.isEstablished(Self.handshake(newest.address, ["-tls1_3"])))
    }

    @Test(
        "C1 old versions and weak ciphers are refused",
        arguments: [
            ["-tls1"], ["-tls1_1"], ["-tls1_2", "-cipher", "NULL:@SECLEVEL=0"],
            ["-tls1_2", "-cipher", "RSA+AES128-SHA:@SECLEVEL=0"], ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"],
            ["-tls1_2", "-cipher", "3DES:RC4:EXPORT:AES128-SHA256:@SECLEVEL=0"],
        ])
    func refused(options: [String]) throws {
        let proxy = try proxy(ProxyConfiguration.tlsListener([.server("service.test", algorithm: .rsa)]))
        let old = options[0] == "-tls1_2" ? options : options + ["-cipher", "ALL:@SECLEVEL=0"]
        let output = try Self.handshake(proxy.address, old)
        #expect(!Self.isEstablished(output), "\(output)")
        // And the listener goes on.
        #expect(try Self.isEstablished(Self.handshake(proxy.address)))
    }

    @Test("C1 no compression, no renegotiation")
    func renegotiation() throws {
        let proxy = try proxy(ProxyConfiguration.tlsListener())
        let output = try Self.handshake(proxy.address, ["-tls1_2", "-comp"], input: "R\\n")
        #expect(output.contains("Compression: NONE"), "\(output)")
        #expect(output.contains("RENEGOTIATING"), "\(output)")
        #expect(output.contains("no renegotiation") || output.contains("handshake failure"), "\(output)")
    }

    @Test("C4 ALPN: the first that both know; none in common is an alert; without ALPN HTTP/1.1 is spoken")
    func alpn() throws {
        let pair = try ProtocolPair()
        let address = pair.proxy.secure
        #expect(try Self.handshake(address, ["-alpn", "h2,http/1.1"]).contains("ALPN protocol: h2"))
        #expect(try Self.handshake(address, ["-alpn", "http/1.1,h2"]).contains("ALPN protocol: "))
        #expect(try Self.handshake(address, ["-alpn", "http/1.1"]).contains("ALPN protocol: http/1.1"))
        #expect(try Self.handshake(address, ["-alpn", "http/1.0,foo"]).contains("no application protocol"))
        #expect(try Self.handshake(address, []).contains("No ALPN negotiated"))
        let plain = try RawClient(TLSRelay(to: address, .client(alpn: [])).address)
        #expect(try plain.exchange(.post(key: "K")).status == 201)
    }

    @Test("C4 `alpn` narrows what is offered")
    func alpnDirective() throws {
        let only1 = try proxy(ProxyConfiguration.tlsListener(tls: "alpn http/1.1;"))
        #expect(try Self.handshake(only1.address, ["-alpn", "h2,http/1.1"]).contains("ALPN protocol: http/1.1"))
        #expect(try Self.handshake(only1.address, ["-alpn", "h2"]).contains("no application protocol"))
        let only2 = try proxy(ProxyConfiguration.tlsListener(tls: "alpn h2;"))
        #expect(try Self.handshake(only2.address, ["-alpn", "h2,http/1.1"]).contains("ALPN protocol: h2"))
        #expect(try Self.handshake(only2.address, ["-alpn", "http/1.1"]).contains("no application protocol"))
    }

    // MARK: C5: names

    @Test("C5 certificates by SNI: exact before wildcard, in any case, the first as default")
    func names() throws {
        let proxy = try proxy(
            ProxyConfiguration.tlsListener([
                .server("default.test"), .server("*.shop.test"), .server("till.shop.test"),
                .server("a.test", "b.test", algorithm: .rsa),
            ]))
        let expected = [
            ("default.test", "default.test"), ("till.shop.test", "till.shop.test"), ("other.shop.test", "*.shop.test"),
            ("TILL.Shop.Test", "till.shop.test"), ("b.test", "a.test"), ("unknown.test", "default.test"),
            ("deep.other.shop.test", "default.test"), ("shop.test", "default.test"),
        ]
        for (name, common) in expected {
            let output = try Self.handshake(proxy.address, name: name)
            #expect(subject(output) == "subject=CN = \(common)", "\(name): \(subject(output) ?? output)")
        }
        #expect(try subject(Self.handshake(proxy.address, name: nil)) == "subject=CN = default.test")
        // Odd names are at most refused.
        for name in ["till.shop.test.", "127.0.0.1", String(repeating: "a", count: 250), "-", "*.shop.test"] {
            let output = try Self.handshake(proxy.address, name: name)
            #expect(!Self.isEstablished(output) || subject(output) != nil, "\(name)")
        }
        #expect(try Self.isEstablished(Self.handshake(proxy.address)))
    }

    @Test(
        "C5 a name with NUL, control or 8-bit octets in it: the default certificate or an alert, and the listener goes on"
    )
    func oddNames() throws {
        let proxy = try proxy(ProxyConfiguration.tlsListener())
        // A ClientHello of Python's with another name of the same length in it; what comes back is a record's type.
        let script = """
            import socket, ssl, sys
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); context.check_hostname = False; context.verify_mode = 0
            out = ssl.MemoryBIO(); hello = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname='service.test')
            try: hello.do_handshake()
            except ssl.SSLWantReadError: pass
            name = bytes.fromhex(sys.argv[2]); octets = out.read().replace(b'service.test', name)
            with socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5) as connection:
                connection.sendall(octets)
                print((connection.recv(1) or b'-')[0])
            """
        for name in [
            "7365727669006500746573740a", "0000000000000000000000000", "ffffffffffffffffffffffff",
            "2a2e746573742e2e2e2e2e2e",
        ] {
            let hex = String((name + String(repeating: "0", count: 24)).prefix(24))
            let result = try Subprocess.run([Peer.python, "-c", script, "\(proxy.address.port)", hex])
            // A handshake record, an alert, or the end.
            #expect(["22\n", "21\n", "45\n"].contains(result.output), "\(hex): \(result)")
        }
        #expect(try Self.isEstablished(Self.handshake(proxy.address)))
    }

    @Test("C5 unknown_name reject: an alert for a name that no certificate has; none at all gets the default")
    func unknownName() throws {
        let proxy = try proxy(ProxyConfiguration.tlsListener(tls: "unknown_name reject;"))
        #expect(try Self.handshake(proxy.address, name: "unknown.test").contains("unrecognized name"))
        #expect(try Self.isEstablished(Self.handshake(proxy.address)))
    }

    @Test("C5 where client certificates are asked for, a request to another name than the handshake's: 421")
    func misdirected() throws {
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream)
        configuration.listen = try ProxyConfiguration.tlsListener(
            [.service, .server("other.test")],
            tls: "client_certificate optional \(try TestCertificate.authority());")
        let proxy = try ProxyProcess(configuration)
        let client = try HTTP2Client(proxy.address, tls: .client())
        expectAnswer(try client.post(key: "K"))
        var request = Request.post(key: "L")
        request.host = "other.test"
        expectProblem(try client.send(request), "misdirected", status: 421)
        func http1(_ request: Request) throws -> Response {
            try RawClient(TLSRelay(to: proxy.address, .client(alpn: ["http/1.1"])).address).exchange(request)
        }
        expectProblem(try http1(request), "misdirected", status: 421)
        // The same name in other letters.
        request.host = "SERVICE.test:\(proxy.address.port)"
        expectAnswer(try http1(request))
        #expect(upstream.attempts == 2)
        // A session of the one name says nothing of the other.
        let session = try TestScope.current!.newDirectory() + "/session"
        func exchange(_ host: String, _ option: String) throws -> String {
            try Self.handshake(
                proxy.address, ["-ign_eof", "-alpn", "http/1.1", option, session],
                input: "GET / HTTP/1.1\\r\\nHost: \(host)\\r\\nConnection: close\\r\\n\\r\\n")
        }
        #expect(try exchange("service.test", "-sess_out").contains("HTTP/1.1 201"))
        let resumed = try exchange("other.test", "-sess_in")
        #expect(resumed.contains("Reused, TLSv1") && resumed.contains("HTTP/1.1 421"), "\(resumed)")
        #expect(upstream.attempts == 3)
        #expect(try proxy.records().count == 2)
    }

    // MARK: C6, C8, C11: resumption

    @Test("C6 a session is resumed at its own listener, and nowhere else")
    func resumption() throws {
        let authority = try TestCertificate.authority()
        let (other, directory) = (try TestCertificate.authority("other"), try TestScope.current!.newDirectory())
        let proxy = try proxy(
            [
                ProxyConfiguration.tlsListener(), ProxyConfiguration.tlsListener(tls: "session_tickets off;"),
                ProxyConfiguration.tlsListener(tls: "client_certificate optional \(authority);"),
                ProxyConfiguration.tlsListener(tls: "client_certificate optional \(other);"),
            ].joined(separator: "\n"))
        for version in ["-tls1_2", "-tls1_3"] {
            let session = "\(directory)/session\(version)"
            // Over TLS 1.3 the ticket comes after the handshake: one answer is awaited.
            let request = "GET / HTTP/1.1\\r\\nHost: service.test\\r\\nConnection: close\\r\\n\\r\\n"
            let options = [version, "-ign_eof", "-alpn", "http/1.1"]
            for (index, address) in proxy.addresses.enumerated() {
                let first = try Self.handshake(address, options + ["-sess_out", session], input: request)
                #expect(first.contains("New, TLSv1"), "\(first)")
                guard FileManager.default.fileExists(atPath: session) else {
                    #expect(index == 1)
                    continue
                }
                for (target, elsewhere) in proxy.addresses.enumerated() {
                    let again = try Self.handshake(elsewhere, options + ["-sess_in", session], input: request)
                    let isResumed = again.contains("Reused, TLSv1")
                    if target == 1 || (index >= 2) != (target >= 2) || (index >= 2 && index != target) {
                        #expect(!isResumed, "\(version) from \(index) at \(target)")
                    } else if index == target {
                        #expect(isResumed, "\(version) at \(index)")
                    }
                }
                try? FileManager.default.removeItem(atPath: session)
            }
        }
    }

    @Test("C8 early data is not accepted")
    func earlyData() throws {
        let directory = try TestScope.current!.newDirectory()
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream)
        configuration.listen = try ProxyConfiguration.tlsListener()
        let proxy = try ProxyProcess(configuration)
        let request = "GET / HTTP/1.1\\r\\nHost: service.test\\r\\nConnection: close\\r\\n\\r\\n"
        let first = try Self.handshake(
            proxy.address, ["-tls1_3", "-ign_eof", "-sess_out", "\(directory)/s"], input: request)
        #expect(first.contains("Max Early Data: 0"), "\(first)")
        let early = "POST /early HTTP/1.1\r\nHost: service.test\r\nContent-Length: 0\r\n\r\n"
        try early.write(toFile: "\(directory)/early", atomically: true, encoding: .utf8)
        let second = try Self.handshake(
            proxy.address, ["-tls1_3", "-ign_eof", "-sess_in", "\(directory)/s", "-early_data", "\(directory)/early"],
            input: request)
        #expect(second.contains("Early data was not sent") || second.contains("Early data was rejected"), "\(second)")
        #expect(upstream.executions(of: "/early") == 0)
    }

    // MARK: C2: who does not finish a handshake

    @Test("C2 silence, and a ClientHello octet by octet, are ended at tls_handshake_timeout")
    func slowHandshake() throws {
        let proxy = try proxy(ProxyConfiguration.tlsListener(), top: "tls_handshake_timeout 700ms;")
        let silent = try RawClient(proxy.address)
        let elapsed = elapsedSeconds { #expect(silent.isClosed()) }
        #expect((0.4...5).contains(elapsed), "\(elapsed)")
        let slow = try TestSocket.connect(to: proxy.address)
        let start = monotonicNanoseconds()
        // A record of 512 octets that takes its time.
        let hello: [UInt8] = [22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]
        var sent = 0
        while monotonicNanoseconds() - start < 5_000_000_000 {
            guard (try? slow.send([sent < hello.count ? hello[sent] : 0])) != nil else { break }
            sent += 1
            if let received = try? slow.receive(until: .after(0.05)), received.isEmpty { break }
        }
        #expect(monotonicNanoseconds() - start < 4_000_000_000)
        #expect(try Self.isEstablished(Self.handshake(proxy.address)))
    }

    @Test("C2 five hundred silent connections cost little memory each")
    func silentMemory() throws {
        let proxy = try proxy(ProxyConfiguration.tlsListener())
        #expect(try Self.isEstablished(Self.handshake(proxy.address)))
        let before = try proxy.memoryKiB("VmRSS")
        let silent = try (0..<500).map { _ in
            let socket = try TestSocket.connect(to: proxy.address)
            try socket.send([22, 3, 1, 2, 0])
            return socket
        }
        try poll("they are accepted") { try proxy.metric("oncegate_connections") ?? 0 >= 500 ? true : nil }
        let each = (try proxy.memoryKiB("VmRSS") - before) * 1024 / silent.count
        #expect(each < 8 * 1024, "\(each) octets each")
        silent.forEach { $0.close() }
    }

    @Test("C13 nothing received before the handshake's end is parsed", arguments: [0, 1, 2])
    func plaintextFirst(variant: Int) throws {
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream)
        configuration.listen = try ProxyConfiguration.tlsListener()
        let proxy = try ProxyProcess(configuration)
        let client = try RawClient(proxy.address)
        let request = octets("GET /plain HTTP/1.1\r\nHost: service.test\r\n\r\n")
        switch variant {
        case 0: try client.send(request)
        // An application-data record, and an alert, before any handshake.
        case 1: try client.send([23, 3, 3, 0, UInt8(request.count)] + request)
        default: try client.send([21, 3, 3, 0, 2, 1, 0] + request)
        }
        #expect(try !text(client.rest()).contains("HTTP/1.1 2"))
        #expect(upstream.attempts == 0)
    }

    @Test("C14 check warns of a key that others may read, and start refuses a pair that does not fit (C9)")
    func checkFiles() throws {
        let directory = try TestScope.current!.newDirectory()
        let files = try TestCertificate.service.files
        let copy = "\(directory)/open.key"
        try FileManager.default.copyItem(atPath: files.key, toPath: copy)
        chmod(copy, 0o644)
        func check(_ certificate: String, _ key: String) throws -> (ending: Subprocess.Ending, text: String) {
            var configuration = ProxyConfiguration(try ScriptedUpstream())
            configuration.listen = "listen 127.0.0.1:0 { tls { certificate \(certificate); key \(key); } }"
            try ProxyProcess.write(configuration, in: directory)
            let result = try Subprocess.run([ProxyProcess.binary, "check", "-c", "\(directory)/proxy.conf"])
            return (result.ending, result.output + result.error)
        }
        let open = try check(files.certificate, copy)
        #expect(open.ending == .exit(0), "\(open.text)")
        #expect(open.text.contains("warning") && open.text.contains("open.key"), "\(open.text)")
        let strict = try check(files.certificate, files.key)
        #expect(strict.ending == .exit(0) && !strict.text.contains("read by"), "\(strict.text)")
        let garbage = "\(directory)/garbage.pem"
        try "no certificate".write(toFile: garbage, atomically: true, encoding: .utf8)
        let expired = try TestCertificate.service.with { $0.days = -1 }.files
        let cases: [(String, String)] = [
            (files.certificate, try TestCertificate.server("other.test").files.key), (garbage, files.key),
            (files.certificate, garbage), ("\(directory)/missing.pem", files.key),
            (files.certificate, "\(directory)/missing.key"),
        ]
        for (certificate, key) in cases {
            let result = try check(certificate, key)
            #expect(result.ending == .exit(1), "\(certificate) \(key): \(result.text)")
            #expect(result.text.contains("proxy.conf:"), "\(result.text)")
        }
        // Expired: at least said.
        #expect(try check(expired.certificate, expired.key).text.contains("expired"))
    }
}
