import Foundation
import Idempotency
import Testing

@testable import Configuration

/// The table, the parser, the model and the generated texts agree.
@Suite struct TableTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private func file(_ path: String) throws -> String {
        try String(contentsOf: Self.root.appending(path: path), encoding: .utf8)
    }

    @Test func exampleFileIsTheGeneratedOne() throws {
        #expect(try file("proxy.conf.example") == Example.text)
    }

    @Test func referenceFileIsTheGeneratedOne() throws {
        #expect(try file("docs/reference.md") == Reference.text)
    }

    @Test func examplePassesStrictCheckAndIsFormatted() throws {
        let checked = Configuration.check(Array(Example.text.utf8), name: "proxy.conf.example")
        #expect(checked.diagnostics.report == "")
        #expect(try Formatter.format(Array(Example.text.utf8), name: "x").get() == Example.text)
    }

    /// Each commented directive can be used as it stands, alone and with all others.
    @Test func commentedDirectivesOfTheExampleAreValid() {
        let lines = Example.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        var all = lines
        var count = 0
        for (index, line) in lines.enumerated() {
            let body = line.drop { $0 == " " }
            guard body.hasPrefix("# "), body.hasSuffix(";") else { continue }
            let name = body.dropFirst(2).prefix { $0 != " " }
            guard Directives.isName(String(name)) else { continue }
            count += 1
            var one = lines
            one[index] = String(body.dropFirst(2))
            all[index] = one[index]
            let checked = Configuration.check(Array(one.joined(separator: "\n").utf8), name: "example")
            #expect(!checked.diagnostics.hasErrors, "\(line): \(checked.diagnostics.report)")
        }
        #expect(count > 40)
        let checked = Configuration.check(Array(all.joined(separator: "\n").utf8), name: "example")
        #expect(!checked.diagnostics.hasErrors, "\(checked.diagnostics.report)")
    }

    /// Each block that is shown as a comment can be used as it stands, and those inside of it.
    @Test func commentedBlocksOfTheExampleAreValid() {
        let lines = Example.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let heads = uncommentBlocks(of: lines, in: lines.indices)
        #expect(heads == Self.commentedBlocks)
    }

    private static let commentedBlocks = [
        "listen 0.0.0.0:8443", "encryption", "tls", "scope jwt sub", "on_unknown probe", "found 200", "answer 201",
    ]

    /// The heads of the blocks that are comments in these lines; each is tried alone.
    private func uncommentBlocks(of lines: [String], in range: Range<Int>) -> [String] {
        var heads: [String] = []
        var index = range.lowerBound
        while index < range.upperBound {
            let indent = String(lines[index].prefix { $0 == " " })
            let head = lines[index].dropFirst(indent.count)
            guard head.hasPrefix("# "), head.hasSuffix(" {"), head.dropFirst(2).first != " ",
                let end = lines[index...].firstIndex(of: indent + "# }")
            else {
                index += 1
                continue
            }
            heads.append(String(head.dropFirst(2).dropLast(2)))
            var open = lines
            for line in index...end { open[line] = indent + lines[line].dropFirst(indent.count + 2) }
            let name = head.dropFirst(2).prefix { $0 != " " }
            // What stands there already would be given twice.
            if !Directives.all.contains(where: { $0.name == name && $0.isRepeatable }) {
                for line in range where line != index && lines[line].hasPrefix("\(indent)\(name) ") { open[line] = "" }
            }
            let text = open.joined(separator: "\n").replacing("server http:", with: "server https:")
            let report = Configuration.check(Array(text.utf8), name: "example", files: Self.files).diagnostics.report
            #expect(report == "", "\(head)")
            heads += uncommentBlocks(of: open, in: index + 1..<end)
            index = end + 1
        }
        return heads
    }

    /// What the table's examples name.
    private static let files = ConfigurationFiles.fake([
        "/run/secrets/oncegate-keys": sealingKey
    ])

    @Test func everyDirectiveIsInAllTexts() {
        for directive in Directives.all {
            #expect(Reference.text.contains("### \(directive.name)\n"))
            #expect(directive.isFileInclude || Schema.text.contains("\"\(directive.name)\": {"))
            // The block of a UNIX socket is in the reference only.
            guard !directive.blocks.contains(.admin) else { continue }
            let isInExample = Example.text.split(separator: "\n").contains { line in
                let body = line.drop { $0 == " " || $0 == "#" }
                return body.hasPrefix(directive.name + " ") || body.hasPrefix(directive.name + ";")
            }
            #expect(isInExample || directive.blocks == [.storeMemory], "\(directive.name)")
        }
    }

    @Test func entriesAreComplete() {
        for directive in Directives.all {
            #expect(!directive.blocks.isEmpty && !directive.forms.isEmpty)
            #expect(directive.help.hasSuffix("."), "\(directive.name)")
            #expect(!directive.help.contains("\n") && !directive.since.isEmpty)
            // The default reads as a value; the accessor traps when it does not.
            _ = directive.defaultValues
            let hasDefault = directive.defaultText != nil || directive.defaultNote != nil
            #expect(hasDefault || directive.isRequired || directive.isRepeatable, "\(directive.name)")
            #expect(!directive.planned.contains { word in directive.forms.contains { $0.keyword == word } })
        }
        for kind in BlockKind.allCases {
            let names = Directives.in(kind).map(\.name)
            #expect(Set(names).count == names.count)
        }
    }

    @Test func examplesOfTheTableAreValid() {
        for directive in Directives.all where !directive.example.isEmpty {
            var log = DiagnosticLog()
            let file = log.add(SourceFile(name: "x", octets: Array("\(directive.name) \(directive.example);".utf8)))
            let block = Parser.parse(Lexer.tokens(file: file, log: &log), log: &log)
            let inputs = block.statements[0].arguments.map {
                let isCall = if case .call = $0.kind { true } else { false }
                return ArgumentMatcher.Input(
                    text: $0.text, isBare: $0.kind == .word, secretSource: isCall ? $0.text : nil)
            }
            #expect(ArgumentMatcher(directive).match(inputs).problems.isEmpty, "\(directive.name)")
        }
    }

    /// The defaults stand in the table and in the types; they are the same.
    @Test func defaultsOfTheModelAreThoseOfTheTable() throws {
        let parsed = try Configuration.parse(text: minimal)
        var expected = Configuration()
        expected.listeners = [.init(address: .network(host: "127.0.0.1", port: 8080))]
        expected.admin = .init(address: .unix(path: "/var/lib/oncegate/admin.sock"), mode: 0o600)
        expected.upstreams = [
            Configuration.Upstream(name: "a", servers: [.init(endpoint: .network(host: "a", port: 80))])
        ]
        expected.routes = [Configuration.Route(name: "/", match: .prefix("/"), upstream: 0)]
        #expect(parsed == expected)
    }

    @Test func defaultsOfThePolicyAreThoseOfTheTable() throws {
        let text =
            "listen [::1]:80; upstream a { server http://a; health_check { path /; } } store memory;\n"
            + "route / { upstream a; idempotency; }"
        let parsed = try Configuration.parse(text: text)
        #expect(parsed.routes[0].policy == Policy())
        #expect(parsed.routes[0].timeouts.routeMilliseconds == 120_000)
        #expect(parsed.upstreams[0].healthCheck == Configuration.Upstream.HealthCheck(path: "/"))
        #expect(parsed.store == .memory(bytesMax: 256 << 20))
        #expect(parsed.admin == nil)
    }
}
