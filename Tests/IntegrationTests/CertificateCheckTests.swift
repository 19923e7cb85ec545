import Foundation
import TestSupport
import Testing

/// What `check` says about certificates and keys, at the directive that names them.
@Suite(.blackBox) struct CertificateCheckTests {
    private struct Files {
        let directory: String

        init() throws {
            directory = try TestScope.current!.newDirectory()
            try make("a", days: 90)
            try make("b", days: 90)
            try make("soon", days: 5)
            try "no certificate\n".write(toFile: "\(directory)/text.pem", atomically: true, encoding: .utf8)
            try setMode(0o600, "text.pem")
        }

        private func make(_ name: String, days: Int) throws {
            let made = try Subprocess.run([
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                "\(days)", "-subj", "/CN=\(name).test", "-keyout", "\(directory)/\(name).key", "-out",
                "\(directory)/\(name).pem",
            ])
            #expect(made.ending == .exit(0), "\(made.error)")
            try setMode(0o600, "\(name).key")
        }

        func setMode(_ mode: Int, _ name: String) throws {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: "\(directory)/\(name)")
        }

        /// Line 1 holds the TLS block, line 2 the upstream's.
        func check(
            _ tls: String, upstream: String = "", arguments: [String] = []
        ) throws -> (ending: Subprocess.Ending, text: String) {
            let path = "\(directory)/proxy.conf"
            let text =
                "listen 127.0.0.1:0 { tls { \(tls) } }\n"
                + "upstream service { server https://127.0.0.1:9; tls { \(upstream) } }\n"
                + "store memory;\nroute / { upstream service; }\n"
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            let result = try Subprocess.run([ProxyProcess.binary, "check", "-c", path] + arguments)
            return (result.ending, result.output + result.error)
        }
    }

    @Test("C14 a good pair passes, with paths relative to the file; a key that others can read is a warning")
    func keyModes() throws {
        let files = try Files()
        let good = try files.check(
            "certificate a.pem; key a.key; certificate b.pem; key b.key;", arguments: ["--strict"])
        #expect(good.ending == .exit(0), "\(good.text)")
        for mode in [0o644, 0o640, 0o604] {
            try files.setMode(mode, "a.key")
            let open = try files.check("certificate a.pem; key a.key;")
            #expect(open.ending == .exit(0))
            #expect(open.text.contains("proxy.conf:1:51: warning: '\(files.directory)/a.key':"), "\(open.text)")
            #expect(open.text.contains("0\(String(mode, radix: 8))"))
            #expect(try files.check("certificate a.pem; key a.key;", arguments: ["--strict"]).ending == .exit(1))
        }
    }

    @Test("C9 what cannot be used is an error where it is named, all in one run")
    func unusable() throws {
        let files = try Files()
        let missing = try files.check("certificate none.pem; key a.key;")
        #expect(missing.ending == .exit(1))
        #expect(missing.text.contains("proxy.conf:1:40: error: '\(files.directory)/none.pem':"), "\(missing.text)")
        let mismatch = try files.check("certificate a.pem; key b.key;")
        #expect(mismatch.text.contains("proxy.conf:1:51: error: '\(files.directory)/b.key':"), "\(mismatch.text)")
        let all = try files.check(
            "certificate text.pem; key a.key; client_certificate required text.pem;",
            upstream: "ca text.pem; certificate a.pem; key text.pem;")
        #expect(all.ending == .exit(1))
        for place in ["1:40", "1:89", "2:57", "2:90"] {
            #expect(all.text.contains("proxy.conf:\(place): error:"), "\(place) in \(all.text)")
        }
        let run = try Subprocess.run([ProxyProcess.binary, "run", "-c", "\(files.directory)/proxy.conf"])
        #expect(run.ending == .exit(1) && run.error.contains("proxy.conf:1:40: error:"), "\(run.error)")
    }

    @Test("a certificate that ends soon is a warning")
    func expiry() throws {
        let files = try Files()
        let soon = try files.check("certificate soon.pem; key soon.key;")
        #expect(soon.ending == .exit(0))
        #expect(soon.text.contains("proxy.conf:1:40: warning:") && soon.text.contains("expires in"), "\(soon.text)")
    }

    @Test("run --upstream: the certificate and its key come together")
    func runOptions() throws {
        let base = [ProxyProcess.binary, "run", "--upstream", "https://127.0.0.1:9"]
        #expect(try Subprocess.run(base + ["--tls-certificate", "a.pem"]).ending == .exit(64))
        #expect(try Subprocess.run([ProxyProcess.binary, "run", "--tls-key", "a.key"]).ending == .exit(64))
    }
}
