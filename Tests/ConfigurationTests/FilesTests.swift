import Foundation
import Testing

@testable import Configuration

@Suite struct FilesTests {
    @Test func includesAreReadInPlaceAndInOrder() throws {
        let files = ConfigurationFiles.fake([
            "/etc/p.conf": "listen 127.0.0.1:1; include \"conf.d/*.conf\"; route / { upstream b; include limits.inc; }",
            "/etc/conf.d/b.conf": "upstream b { server http://b; }",
            "/etc/conf.d/a.conf": "upstream a { server http://a; }",
            "/etc/limits.inc": "max_in_flight 3;",
        ])
        let model = try Configuration.load(path: "/etc/p.conf", files: files).configuration
        #expect(model.upstreams.map(\.name) == ["a", "b"])
        #expect(model.routes[0].upstream == 1 && model.routes[0].requestsInFlightMax == 3)
    }

    @Test func mutualIncludesEnd() {
        let files = ConfigurationFiles.fake(["a": "include b;", "b": "include a;"])
        let report = Configuration.check(path: "a", files: files).diagnostics.report
        #expect(report.contains("b:1:9: error: 'a' includes itself"))
        #expect(report.contains("a → b → a"))
    }

    @Test func endlessIncludesEnd() {
        let files = ConfigurationFiles(
            read: { path in .success(Array("include \(path)x;".utf8)) }, matches: { _ in [] }, environment: { _ in nil }
        )
        let report = Configuration.check(path: "a", files: files).diagnostics.report
        #expect(report.contains("includes are nested deeper than 16"))
    }

    @Test func patternWithoutMatchIsNoError() throws {
        _ = try Configuration.parse(text: minimal + "include none/*.conf;", files: .fake())
    }

    @Test func valuesFromEnvironmentAndFiles() throws {
        let files = ConfigurationFiles.fake(
            ["/run/secret": "http://b:81\n"], environment: ["URL": "http://a:82", "N": "7"])
        let text =
            "listen 127.0.0.1:1; workers env(\"N\"); route / { upstream x; }\n"
            + "upstream x { server env(\"URL\"); server file(\"/run/secret\"); }"
        let checked = Configuration.check(Array(text.utf8), name: "p", files: files)
        let model = try #require(checked.configuration)
        #expect(model.workers == 7)
        #expect(model.upstreams[0].servers.map(\.endpoint.description) == ["b:81", "a:82"].reversed())
        // Shown nowhere.
        #expect(!checked.json.contains("82") && !checked.json.contains("b:81"))
        #expect(checked.json.contains("\"workers\": \"********\""))
        #expect(checked.json.contains("\"server\": [\"********\", \"********\"]"))
    }

    @Test(arguments: [("v\n", "v"), ("v", "v"), ("v\r\n", "v"), ("v\n\n", nil)] as [(String, String?)])
    func oneTrailingNewlineIsTrimmed(contents: String, via: String?) {
        let files = ConfigurationFiles.fake(["/v": contents])
        let model = try? Configuration.parse(text: minimal + "via file(\"/v\");", files: files)
        #expect(model?.via == via)
    }

    @Test func secretsStayOutOfTheReport() {
        let files = ConfigurationFiles.fake(
            ["/v": "hunter2 hunter2"], environment: ["E": "hunter2", "H": "hunter2.x/"])
        let uses = [
            "via file(\"/v\");", "workers env(\"E\");", "drain_delay env(\"E\");", "log_level env(\"E\");",
            "trusted_proxies env(\"E\");", "access_log json env(\"E\");", "admin env(\"E\");", "via x env(\"E\");",
            "store env(\"E\");", "body_memory env(\"E\");", "route env(\"E\") { upstream a; }",
            "route /q { upstream a; idempotency { key header env(\"E\"); key header env(\"E\"); } }",
            "upstream env(\"E\") { server http://a; } upstream env(\"E\") { server http://a; }",
            "route env(\"H\") { upstream a; } route env(\"H\") { upstream a; }",
            "route ~ file(\"/v\") { upstream zz; }", "route /q { upstream env(\"E\"); }",
        ]
        for use in uses {
            let report = Configuration.check(Array((minimal + use).utf8), name: "p", files: files).diagnostics.report
            #expect(!report.contains("hunter2"), "\(report)")
        }
    }

    @Test func realFiles() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "oncegate-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        for name in ["b", "a"] {
            try Data("upstream \(name) { server http://\(name); }".utf8)
                .write(to: directory.appending(path: "\(name).conf"))
        }
        let path = directory.appending(path: "main").path()
        try Data("listen 127.0.0.1:1; include *.conf; route / { upstream a; }".utf8).write(to: URL(filePath: path))
        #expect(try Configuration.load(path: path).configuration.upstreams.map(\.name) == ["a", "b"])
        #expect(throws: ConfigurationError.self) { try Configuration.load(path: directory.path()) }
        #expect(ConfigurationFiles.system.environment("PATH") != nil)
        #expect(ConfigurationFiles.system.environment("ONCEGATE_NO_SUCH_VARIABLE") == nil)
    }
}
