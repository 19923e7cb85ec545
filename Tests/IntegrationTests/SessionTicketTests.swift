import Foundation
import TestSupport
import Testing

/// Keys of session tickets that replicas share (C11).
@Suite(.blackBox) struct SessionTicketTests {
    private struct KeyFile {
        let directory: String
        var path: String { "\(directory)/tickets" }

        init() throws {
            directory = try TestScope.current!.newDirectory()
        }

        /// As an administrator's tool does it.
        func put(_ text: String, mode: Int = 0o600) throws {
            try text.write(toFile: path + ".new", atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path + ".new")
            rename(path + ".new", path)
        }

        func configuration() throws -> ProxyConfiguration {
            var configuration = ProxyConfiguration(try ScriptedUpstream())
            configuration.listen = try ProxyConfiguration.tlsListener(tls: "session_tickets shared \(path);")
            return configuration
        }

        func proxy() throws -> ProxyProcess { try ProxyProcess(configuration()) }
    }

    private func key(_ seed: UInt8) -> String {
        Data((0..<32).map { UInt8($0) &* 7 &+ seed }).base64EncodedString()
    }

    private enum Use { case makes, takes }

    /// Whether the session in the file is resumed there; without one, a session is put into it.
    private func resumes(_ proxy: ProxyProcess, _ version: String, _ session: String, _ use: Use) throws -> Bool {
        let options = [
            version, "-ign_eof", "-alpn", "http/1.1", use == .makes ? "-sess_out" : "-sess_in", session,
        ]
        let request = "GET / HTTP/1.1\\r\\nHost: service.test\\r\\nConnection: close\\r\\n\\r\\n"
        let output = try TLSTests.handshake(proxy.address, options, input: request)
        #expect(output.contains("New, TLSv1") || output.contains("Reused, TLSv1"), "\(output)")
        return output.contains("Reused, TLSv1")
    }

    private func reloads(_ proxy: ProxyProcess, _ result: String) throws -> Double {
        try proxy.metric("oncegate_tls_ticket_key_reloads_total", ["result": result]) ?? 0
    }

    @Test(
        "C11 replicas with one key file resume each other's sessions, through a rotation too",
        arguments: ["-tls1_2", "-tls1_3"])
    func replicas(version: String) throws {
        let file = try KeyFile()
        try file.put("# made today\n\(key(1))\n")
        let proxies = try [file.proxy(), file.proxy()]
        let (first, second) = ("\(file.directory)/first", "\(file.directory)/second")
        #expect(try !resumes(proxies[0], version, first, .makes))
        #expect(try resumes(proxies[1], version, first, .takes))
        // A key put before the others encrypts from then on; what it made before is resumed all the same. One is told
        // by a signal, the other sees that the file has changed.
        try file.put("\(key(2))\n\(key(1))\n")
        proxies[0].kill(SIGHUP)
        for proxy in proxies {
            try poll("the keys are read") { try reloads(proxy, "success") >= 1 ? true : nil }
            #expect(try resumes(proxy, version, first, .takes))
        }
        #expect(try !resumes(proxies[1], version, second, .makes))
        // The old key is taken away: its sessions end, those of the new one do not.
        try file.put("\(key(2))\n")
        for proxy in proxies {
            let before = try reloads(proxy, "success")
            try poll("the keys are read") {
                try reloads(proxy, "success") > before || !resumes(proxy, version, first, .takes) ? true : nil
            }
            #expect(try !resumes(proxy, version, first, .takes))
            #expect(try resumes(proxy, version, second, .takes))
        }
        // Keys of its own are another's secret.
        var own = try file.configuration()
        own.listen = try ProxyConfiguration.tlsListener()
        #expect(try !resumes(ProxyProcess(own), version, second, .takes))
    }

    @Test(
        "C11 a file that cannot be used: the keys before stay, with a log line and a metric",
        arguments: ["", "too short\n", "AAAA\n", nil])
    func badFile(text: String?) throws {
        let file = try KeyFile()
        try file.put(key(1))
        let proxy = try file.proxy()
        let session = "\(file.directory)/session"
        #expect(try !resumes(proxy, "-tls1_3", session, .makes))
        if let text { try file.put(text) } else { unlink(file.path) }
        try poll("a reload that failed") { try reloads(proxy, "failure") >= 1 ? true : nil }
        try proxy.process.waitForError("the log says so") {
            $0.contains("session ticket keys refused") && $0.contains(file.path) ? true : nil
        }
        #expect(try resumes(proxy, "-tls1_3", session, .takes))
        #expect(try proxy.metric("oncegate_tls_certificate_reloads_total", ["result": "failure"]) ?? 0 == 0)
        try file.put("\(key(2))\n\(key(1))")
        try poll("a good one") { try reloads(proxy, "success") >= 1 ? true : nil }
        #expect(try resumes(proxy, "-tls1_3", session, .takes))
    }

    @Test(
        "C11 check and the start say what is wrong with a key file, at its place; a file that others read is warned of")
    func check() throws {
        let file = try KeyFile()
        let directory = try TestScope.current!.newDirectory()
        try ProxyProcess.write(file.configuration(), in: directory)
        func check(_ command: String = "check") throws -> (ending: Subprocess.Ending, text: String) {
            let result = try Subprocess.run([ProxyProcess.binary, command, "-c", "\(directory)/proxy.conf"])
            return (result.ending, result.output + result.error)
        }
        let cases: [(String?, String)] = [
            (nil, "No such file"), ("", "there is no key"), ("# none\n", "there is no key"),
            (key(1) + "\nAAAA\n", "key 2 has 3 octets"), ("%%%", "key 1 is neither"),
            (key(1) + "\n" + key(1), "key 2 is key 1 again"),
            (String(repeating: "00", count: 32), "it is not random"),
            (String(repeating: "#\n", count: 40_000), "larger than 65536 octets"),
        ]
        for (text, message) in cases {
            if let text { try file.put(text) }
            for command in ["check", "run"] {
                let result = try check(command)
                #expect(result.ending == .exit(1), "\(result.text)")
                #expect(result.text.contains("proxy.conf:") && result.text.contains(message), "\(result.text)")
                #expect(result.text.contains("openssl rand -base64 32"), "\(result.text)")
                #expect(!result.text.contains(key(1).prefix(10)))
            }
        }
        try file.put(key(1), mode: 0o644)
        let open = try check()
        #expect(open.ending == .exit(0) && open.text.contains("every user can read the key"), "\(open.text)")
        try file.put(key(1))
        let good = try check()
        #expect(good.ending == .exit(0) && !good.text.contains("can read"), "\(good.text)")
    }
}
