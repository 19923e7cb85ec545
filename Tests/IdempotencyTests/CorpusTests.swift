import Foundation
import Testing

/// Replays what the fuzzer started from and what it once found (Scripts/fuzz Idempotency).
@Suite struct CorpusTests {
    @Test func everyInputHolds() throws {
        let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let seeds = package.appending(path: "Fuzz/Idempotency/seeds")
        let files = try FileManager.default.contentsOfDirectory(at: seeds, includingPropertiesForKeys: nil)
        #expect(files.count >= 30)
        for file in files {
            let octets = [UInt8](try Data(contentsOf: file))
            FuzzTarget.run(octets)
            // Cut and changed inputs are other paths of the same parsers.
            for count in 0..<min(octets.count, 300) {
                FuzzTarget.run(Array(octets[..<count]))
                var changed = octets
                changed[count] ^= count.isMultiple(of: 2) ? 0x20 : 0x03
                FuzzTarget.run(changed)
            }
        }
    }
}
