import Foundation
import Testing

/// The rules of CONTRIBUTING.md that a program can check.
@Suite struct StyleTests {
    /// Tables: one entry a line, however many there are.
    static let longFiles: Set<String> = []

    /// Each states the proof beside its declaration.
    static let uncheckedSendable: Set<String> = [
        "Sources/Observability/Lock.swift",
        "Sources/Observability/Log/LogSink.swift",
        "Sources/Observability/Metrics/MetricShard.swift",
        "Sources/Proxy/Server/Server.swift",
        "Sources/Stores/Embedded/QueueBound.swift",
        "Sources/Stores/Embedded/SendMarks.swift",
        "Sources/Transport/Blocking/Locked.swift",
        "Sources/Transport/EventLoop/Worker.swift",
        "Sources/Transport/EventLoop/WorkerBound.swift",
        "Sources/Idempotency/Identity/JWT/PublicKey.swift", "Sources/Proxy/Server/KeyChurn.swift",
        "Sources/Transport/TLS/TLSContextHandle.swift",
        "Sources/oncegate/Run/Lifecycle.swift",
    ]

    /// Classes that another target subclasses must be `open`, and what their signatures name must be public then.
    static let publicTypes: Set<String> = [
        "Sources/Transport/EventLoop/ReadyEvents.swift",
        "Sources/Transport/Socket/Errno.swift",
        "Sources/Transport/Stream/StreamChannel.swift",
    ]

    @Test("the checker finds functions and their ends")
    func functionLengths() {
        let text = """
            struct A {
                func one() { 1 }
                private static func two<T>(
                    _ x: T
                ) -> Int where T: B {
                    if x {
                    }
                }
                init() {
                }
                deinit { }
                let initial = 3
            }
            protocol P {
                func three()
                func four() throws(E) -> Int
            }
            """
        let found = FunctionLengths.functions(in: text.split(separator: "\n", omittingEmptySubsequences: false))
        #expect(
            found == [
                .init(name: "one", line: 2, length: 1), .init(name: "two", line: 3, length: 6),
                .init(name: "init", line: 9, length: 2), .init(name: "deinit", line: 11, length: 1),
            ])
    }

    @Test("the checks see the repository")
    func tree() {
        #expect(SourceTree.files(in: "Sources").count > 20)
        #expect(SourceTree.filesAtTop().contains { $0.path == "Package.swift" })
    }

    @Test("files have at most 500 lines")
    func fileLength() {
        expectNone(
            (SourceTree.files(in: "Sources") + SourceTree.files(in: "Fuzz")).compactMap { file in
                guard file.lines.count > 501, !Self.longFiles.contains(file.path) else { return nil }
                return Finding(path: file.path, line: 501, message: "the file has \(file.lines.count - 1) lines")
            })
    }

    @Test("functions have at most 70 lines")
    func functionLength() {
        let files = SourceTree.files(in: "Sources") + SourceTree.files(in: "Tests")
        expectNone(
            files.flatMap { file in
                FunctionLengths.functions(in: file.lines).filter { $0.length > 70 }.map {
                    Finding(path: file.path, line: $0.line, message: "\($0.name) has \($0.length) lines")
                }
            })
    }

    @Test("lines have at most 120 columns")
    func columns() {
        let sources = SourceTree.files(in: "Sources") + SourceTree.files(in: "Fuzz")
        expectNone(findings(in: sources) { $0.count > 120 ? "the line has \($0.count) columns" : nil })
        // The texts that a test compares are not worth breaking.
        expectNone(
            findings(in: SourceTree.files(in: "Tests")) {
                $0.count > 120 && !$0.contains("\"") ? "the line has \($0.count) columns" : nil
            })
    }

    @Test("no source imports Foundation")
    func foundation() {
        expectNone(
            findings(in: SourceTree.files(in: "Sources")) { line in
                let words = line.split(separator: " ").map { $0.prefix { $0 != "." } }
                guard let word = words.firstIndex(of: "import") else { return nil }
                let isDeclaration = words[..<word].allSatisfy {
                    $0.hasPrefix("@") || ["package", "private", "internal"].contains($0)
                }
                let modules = [
                    "Foundation", "FoundationEssentials", "FoundationNetworking", "FoundationInternationalization",
                ]
                return isDeclaration && words.dropFirst(word + 1).contains { modules.contains(String($0)) }
                    ? "no target of ours imports Foundation" : nil
            })
    }

    @Test("nothing is public that need not be, and @unchecked Sendable stands where it is proved")
    func access() {
        expectNone(
            SourceTree.files(in: "Sources").flatMap { file in
                findings(in: [file]) { line in
                    if line.contains("@unchecked Sendable"), !Self.uncheckedSendable.contains(file.path) {
                        return "@unchecked Sendable is not allowed here (StyleTests has the list)"
                    }
                    let isPublic = line.drop { $0 == " " }.hasPrefix("public ") && !Self.publicTypes.contains(file.path)
                    return isPublic ? "nothing is public" : nil
                }
            })
        let present = Set(SourceTree.files(in: "Sources").map(\.path))
        let listed = Self.uncheckedSendable.union(Self.publicTypes)
        #expect(listed.subtracting(present).isEmpty, "the list names files that are gone")
    }

    @Test("a TODO has the number of its issue")
    func todo() {
        let pattern = /\b(?:TODO|FIXME|XXX)\b(?!\(#\d+\))/
        let files =
            SourceTree.files(in: "Sources")
            + SourceTree.files(in: "Tests").filter { !$0.path.hasPrefix("Tests/StyleTests/") }
            + SourceTree.files(in: "Fuzz") + SourceTree.files(in: "Scripts", extensions: [])
        expectNone(findings(in: files) { $0.contains(pattern) ? "write TODO(#issue)" : nil })
    }

    @Test("no file names a path of one machine or the host of a package registry")
    func machineNames() {
        // Put together here, so that this file does not name them.
        let names = [
            ["/wo", "rk/"], ["/opt/", "swift"], ["/ro", "ot/"], ["deb.", "debian.org"],
            ["py", "pi.org"],
            ["files.python", "hosted"], ["bash_", "jobs"],
        ].map { $0.joined() }
        let folders = [".ci", "Scripts", "Sources", "Tests", "Fuzz", "deploy", "docs", "examples"]
        let files = folders.flatMap { SourceTree.files(in: $0, extensions: []) } + SourceTree.filesAtTop()
        expectNone(
            findings(in: files) { line in
                names.first { line.contains($0) }.map { "names \($0)" }
            })
    }

    private func findings(in files: [SourceFile], _ rule: (Substring) -> String?) -> [Finding] {
        files.flatMap { file in
            file.lines.enumerated().compactMap { index, line in
                rule(line).map { Finding(path: file.path, line: index + 1, message: $0) }
            }
        }
    }

    private func expectNone(_ findings: [Finding], sourceLocation: SourceLocation = #_sourceLocation) {
        let list = findings.map(\.description).joined(separator: "\n")
        #expect(findings.isEmpty, "\(findings.count) places:\n\(list)", sourceLocation: sourceLocation)
    }
}
