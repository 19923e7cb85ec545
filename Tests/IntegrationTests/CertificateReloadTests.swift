import Foundation
import TestSupport
import Testing

/// Certificates that change while the proxy runs (C9, C10).
@Suite(.blackBox) struct CertificateReloadTests {
    /// Certificate files of its own, which a test replaces.
    private struct Rotating {
        let directory: String
        var certificate: String { "\(directory)/current.pem" }
        var key: String { "\(directory)/current.key" }

        init() throws {
            directory = try TestScope.current!.newDirectory()
        }

        /// As an administrator's tool does it: new files, moved over the old ones.
        func put(_ new: TestCertificate) throws {
            let files = try new.files
            try put(files.certificate, files.key)
        }

        /// In place of the certificate.
        func put(_ text: String) throws {
            try text.write(toFile: certificate, atomically: true, encoding: .utf8)
        }

        func put(_ newCertificate: String, _ newKey: String) throws {
            for (source, target) in [(newKey, key), (newCertificate, certificate)] {
                try FileManager.default.copyItem(atPath: source, toPath: target + ".new")
                rename(target + ".new", target)
            }
        }

        func proxy(_ upstream: ScriptedUpstream) throws -> ProxyProcess {
            var configuration = ProxyConfiguration(upstream)
            configuration.listen = "listen 127.0.0.1:0 { tls { certificate \(certificate); key \(key); } }"
            return try ProxyProcess(configuration)
        }
    }

    private func serial(_ proxy: ProxyProcess) throws -> String {
        let output = try TLSTests.handshake(proxy.address)
        return output.split(separator: "\n").first { $0.hasPrefix("subject=") }.map(String.init) ?? ""
    }

    @Test(
        "C10 a new certificate is served after SIGHUP, and after a change of the files alone", arguments: [true, false])
    func rotates(bySignal: Bool) throws {
        let files = try Rotating()
        try files.put(.server("first.test"))
        let proxy = try files.proxy(ScriptedUpstream())
        #expect(try serial(proxy) == "subject=CN = first.test")
        try files.put(.server("second.test"))
        if bySignal { proxy.kill(SIGHUP) }
        let elapsed = try elapsedSeconds {
            _ = try poll("the new certificate") { try serial(proxy) == "subject=CN = second.test" ? true : nil }
        }
        #expect(bySignal ? elapsed < 2 : elapsed < 15, "\(elapsed) s")
    }

    @Test(
        "C9 garbage, a key that does not fit, an expired one: the old one stays, with a log line and a metric",
        arguments: ["garbage", "mismatch", "expired", "missing"])
    func keepsOld(what: String) throws {
        let files = try Rotating()
        try files.put(.server("first.test"))
        let proxy = try files.proxy(ScriptedUpstream())
        switch what {
        case "garbage":
            try "-----BEGIN CERTIFICATE-----\nx\n".write(toFile: files.certificate, atomically: true, encoding: .utf8)
        case "mismatch":
            try files.put(TestCertificate.server("second.test").files.certificate, TestCertificate.service.files.key)
        case "expired": try files.put(TestCertificate.server("second.test").with { $0.days = -1 })
        default: unlink(files.certificate)
        }
        proxy.kill(SIGHUP)
        try poll("a reload that failed") {
            try proxy.metric("oncegate_tls_certificate_reloads_total", ["result": "failure"]) ?? 0 >= 1 ? true : nil
        }
        try proxy.process.waitForError("the log names the file") { $0.contains(files.directory) ? true : nil }
        #expect(try serial(proxy) == "subject=CN = first.test")
        // And a good one after that.
        try files.put(.server("third.test"))
        proxy.kill(SIGHUP)
        try poll("the new certificate") { try serial(proxy) == "subject=CN = third.test" ? true : nil }
    }

    @Test("C9 one that is not valid yet is refused, and taken when it is: nothing more has to be done")
    func earlyCertificate() throws {
        let files = try Rotating()
        try files.put(.server("first.test"))
        let proxy = try files.proxy(ScriptedUpstream())
        try files.put(.server("second.test").with { $0.startsInSeconds = 10 })
        try poll("it is refused") {
            try proxy.metric("oncegate_tls_certificate_reloads_total", ["result": "failure"]) ?? 0 > 0 ? true : nil
        }
        try proxy.process.waitForError("the log says why") { $0.contains("not valid yet") ? true : nil }
        #expect(try serial(proxy) == "subject=CN = first.test")
        try poll("it is valid") { try serial(proxy) == "subject=CN = second.test" ? true : nil }
    }

    @Test("C10 rotation under load: no handshake and no request fails")
    func rotatesUnderLoad() throws {
        let files = try Rotating()
        try files.put(.server("first.test", "service.test"))
        let proxy = try files.proxy(ScriptedUpstream { _ in .answer(200) })
        let load = Running {
            try Subprocess.run([
                "h2load", "-n", "600", "-c", "300", "-r", "60", "-m", "1", "https://\(proxy.address)/",
            ])
        }
        for serial in 1...5 {
            try files.put(.server("number-\(serial).test", "service.test"))
            proxy.kill(SIGHUP)
            try poll("the new certificate") {
                try self.serial(proxy) == "subject=CN = number-\(serial).test" ? true : nil
            }
            #expect(!load.isFinished, "connections were made all the time")
        }
        let result = try load.join(until: .after(60))
        #expect(result.output.contains("0 failed, 0 errored, 0 timeout"), "\(result.output)")
        #expect(result.output.contains("600 2xx"), "\(result.output)")
    }

    @Test("the days that certificates have left are a metric")
    func expiryMetric() throws {
        let files = try Rotating()
        try files.put(.server("first.test"))
        let proxy = try files.proxy(ScriptedUpstream())
        let found = try proxy.metrics().filter { $0.key.contains("certificate") }
        #expect(!found.isEmpty)
    }

    @Test("R18 files that only a superseded configuration named are not read, told or warned of any more")
    func superseded() throws {
        let (listener, authority) = (try Rotating(), try Rotating())
        try listener.put(.server("first.test"))
        try authority.put(.server("service.test"))
        let upstream = try ScriptedUpstream()
        let server = try TLSRelay(inFrontOf: upstream.address, .server())
        func configuration(authorities: String) -> ProxyConfiguration {
            var configuration = ProxyConfiguration()
            configuration.listen =
                "listen 127.0.0.1:0 { tls { certificate \(listener.certificate); key \(listener.key); } }"
            configuration.serverURLs = ["https://\(server.address)"]
            configuration.upstream = "tls { ca \(authorities); name service.test; }"
            return configuration
        }
        let proxy = try ProxyProcess(configuration(authorities: authority.certificate))
        func reloads(_ result: String) throws -> Double {
            try proxy.metric("oncegate_tls_certificate_reloads_total", ["result": result]) ?? 0
        }
        // The authority in use is told of.
        try authority.put("no certificate")
        try poll("it is in use") { try reloads("failure") == 1 ? true : nil }
        try ProxyProcess.write(configuration(authorities: TestCertificate.authority()), in: proxy.directory)
        proxy.kill(SIGHUP)
        try poll("the reload") {
            try proxy.metric("oncegate_config_reloads_total", ["result": "success"]) == 1 ? true : nil
        }
        let refused = try reloads("failure")
        // Nobody uses it: neither the change nor the next reloads speak of it. Those of the listener's files tell that
        // the proxy has looked.
        try authority.put("nothing either")
        for round in 1...2 {
            let before = try reloads("success")
            try listener.put(.server("first.test", serial: round))
            try poll("the listener's files are read") { try reloads("success") > before ? true : nil }
            proxy.kill(SIGHUP)
            try poll("the reload") {
                try proxy.metric("oncegate_config_reloads_total", ["result": "success"]) == Double(1 + round)
                    ? true : nil
            }
        }
        #expect(try reloads("failure") == refused)
    }

    @Test("R18 certificates of listeners that wait for the next start, or of a refused configuration, are not told of")
    func refusedConfiguration() throws {
        let (files, others) = (try Rotating(), try Rotating())
        try files.put(.server("first.test"))
        try others.put(.server("second.test"))
        let proxy = try files.proxy(ScriptedUpstream())
        func names() throws -> [String] {
            try proxy.metrics().keys.filter { $0.hasPrefix("oncegate_tls_certificate_not_after") }
        }
        #expect(try names().count == 1)
        let path = "\(proxy.directory)/proxy.conf"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let more = "\nlisten 127.0.0.1:0 { tls { certificate \(others.certificate); key \(others.key); } }\n"
        try (text + more).write(toFile: path, atomically: true, encoding: .utf8)
        proxy.kill(SIGHUP)
        try poll("the reload") {
            try proxy.metric("oncegate_config_reloads_total", ["result": "success"]) == 1 ? true : nil
        }
        #expect(try names().count == 1 && names()[0].contains("first.test"))
        unlink(others.key)
        try files.put(.server("first.test", serial: 1))
        try poll("the files in use are read") {
            try proxy.metric("oncegate_tls_certificate_reloads_total", ["result": "success"]) ?? 0 >= 1 ? true : nil
        }
        #expect(try proxy.metric("oncegate_tls_certificate_reloads_total", ["result": "failure"]) ?? 0 == 0)
    }
}
