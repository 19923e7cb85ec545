import Foundation
import Testing

/// What the executable is linked with. Foundation would double its size and its start-up time; FoundationEssentials
/// comes with the argument parser.
@Suite struct LinkageTests {
    static var executable: String {
        ProcessInfo.processInfo.environment["ONCEGATE_BINARY"]
            ?? SourceTree.root.appending(path: ".build/debug/oncegate").path
    }

    @Test("neither Foundation nor its ICU is in the executable, as a library or linked in")
    func foundation() throws {
        let needed = try output(of: "readelf", "--dynamic", "--wide", Self.executable).filter {
            $0.contains("(NEEDED)")
        }
        #expect(needed.contains { $0.contains("libc.so") }, "readelf told no libraries")
        for library in [
            "libFoundation.so", "lib_FoundationICU.so", "libFoundationInternationalization.so",
            "libFoundationNetworking.so",
        ] {
            #expect(!needed.contains { $0.contains("[\(library)]") }, "the executable needs \(library)")
        }

        // A static build has the code itself. `$s10Foundation` begins the symbols of the module Foundation, and only
        // its own.
        let symbols = try output(of: "nm", Self.executable)
        #expect(symbols.contains { $0.hasSuffix(" main") }, "nm told no symbols")
        let foreign = symbols.filter {
            $0.contains("$s10Foundation") || $0.contains("icudt") || $0.contains(" swift_ucol_")
        }
        #expect(foreign.isEmpty, "symbols of Foundation or ICU, for instance \(foreign.prefix(5))")
    }

    @Test("the C libraries are those of the system")
    func libraries() throws {
        let needed = try output(of: "readelf", "--dynamic", "--wide", Self.executable).filter {
            $0.contains("(NEEDED)")
        }
        for library in ["libsqlite3.so", "libcrypto.so", "libssl.so", "libnghttp2.so", "libxml2.so"] {
            #expect(needed.contains { $0.contains(library) }, "\(library) gets its security fixes from the system")
        }
    }

    private func output(of tool: String, _ arguments: String...) throws -> [Substring] {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [tool] + arguments
        process.standardOutput = pipe
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(tool) failed")
        return text.split(separator: "\n")
    }
}
