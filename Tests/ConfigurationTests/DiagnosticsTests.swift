import Testing

@testable import Configuration

@Suite struct DiagnosticsTests {
    @Test(arguments: Golden.all)
    func reportIsAsExpected(golden: Golden) {
        let files = ConfigurationFiles.fake(
            [
                "proxy.conf": golden.text, "one.conf": "# first\ninclude sub/two.conf;\n",
                "sub/two.conf": "route /two {\n    upstrem a;\n}\n", "/key": sealingKey,
            ], environment: ["SECRET": "hunter2", "KEY": sealingKey])
        let checked = Configuration.check(path: "proxy.conf", files: files)
        #expect(checked.diagnostics.report == golden.report)
        #expect((checked.configuration == nil) == checked.diagnostics.hasErrors)
        #expect(!golden.report.isEmpty)
    }

    @Test func validTextHasNoReport() {
        let checked = Configuration.check(Array(minimal.utf8), name: "proxy.conf")
        #expect(checked.diagnostics.isEmpty)
        #expect(checked.diagnostics.report == "")
    }

    @Test func unreadableFile() {
        let checked = Configuration.check(path: "/nonexistent/proxy.conf")
        #expect(
            checked.diagnostics.report
                == "/nonexistent/proxy.conf: error: cannot read it: No such file or directory\n1 error")
    }

    @Test func longLineIsCutAroundThePlace() {
        let text = minimal + "trusted_proxies " + String(repeating: "10.0.0.0/8 ", count: 40) + "x;"
        let lines = Configuration.check(Array(text.utf8), name: "p").diagnostics.report.split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines[1].count < 180 && lines[1].contains("…"))
        // The caret stands under the place.
        let caret = lines[2].firstIndex(of: "^")
        let column = caret.map { lines[2].distance(from: lines[2].startIndex, to: $0) }
        #expect(column.map { lines[1][lines[1].index(lines[1].startIndex, offsetBy: $0)] } == "x")
    }

    @Test func invalidUTF8HasAPlace() {
        let octets = Array(minimal.utf8) + Array("via \"".utf8) + [0xFF] + Array("\";\n".utf8)
        let report = Configuration.check(octets, name: "p").diagnostics.report
        #expect(report.contains("p:4:6: error: the text is not UTF-8\n"))
    }

    @Test func manyErrorsAreBounded() {
        let text = String(repeating: "nonsense;\n", count: 5000)
        let checked = Configuration.check(Array(text.utf8), name: "p")
        #expect(checked.configuration == nil)
        #expect(checked.diagnostics.count <= DiagnosticLog.countMax + 2)
    }

    @Test func deepBlocksAreRefused() {
        let text = minimal + String(repeating: "x {", count: 100_000) + String(repeating: "}", count: 100_000)
        let checked = Configuration.check(Array(text.utf8), name: "p")
        #expect(checked.diagnostics.contains { $0.message.contains("nested deeper than 32") })
    }
}

@Suite struct SuggestionTests {
    @Test(arguments: [
        ("idempotancy", "idempotency", 1), ("lsiten", "listen", 1), ("", "abc", 3), ("abc", "abc", 0), ("ca", "abc", 3),
        ("kitten", "sitting", 3),
    ])
    func distances(left: String, right: String, distance: Int) {
        #expect(Suggestion.distance(left, right) == distance)
        #expect(Suggestion.distance(right, left) == distance)
    }

    @Test func nearestIsNear() {
        let names = ["listen", "via", "on_missing_key", "route"]
        #expect(Suggestion.nearest(to: "lisen", among: names) == "listen")
        #expect(Suggestion.nearest(to: "onMissingKey", among: names) == "on_missing_key")
        #expect(Suggestion.nearest(to: "on-missing-key", among: names) == "on_missing_key")
        #expect(Suggestion.nearest(to: "vai", among: names) == "via")
        #expect(Suggestion.nearest(to: "x", among: names) == nil)
        #expect(Suggestion.nearest(to: "colour", among: names) == nil)
    }
}
