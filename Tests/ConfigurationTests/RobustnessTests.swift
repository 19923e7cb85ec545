import Testing

@testable import Configuration

/// Whatever the octets: an answer, no trap.
@Suite struct RobustnessTests {
    private func survive(_ octets: [UInt8]) {
        let checked = Configuration.check(octets, name: "p", files: .fake(environment: ["X": "1"]))
        let report = checked.diagnostics.report
        #expect((checked.configuration == nil) == checked.diagnostics.hasErrors)
        #expect(!report.isEmpty || checked.configuration != nil)
        _ = Formatter.format(octets, name: "p")
        if checked.configuration != nil { _ = checked.json }
    }

    @Test func randomOctets() {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<500 {
            survive(
                (0..<Int.random(in: 0..<200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
    }

    @Test func randomWords() {
        let words =
            Directives.all.map(\.name) + [
                "{", "}", ";", ";", "\"", "#", "\n", "\\", "env(\"X\")", "file(", "~", "=", "off",
            ]
            + ["24h", "8MiB", "/a", "http://a", "127.0.0.1:80", "é", "header", "json", "hash", "2xx", "\u{0}"]
        var random = SeededGenerator(seed: 2)
        for _ in 0..<500 {
            let text = (0..<Int.random(in: 0..<40, using: &random)).map { _ in words.randomElement(using: &random) ?? ""
            }
            survive(Array(text.joined(separator: " ").utf8))
        }
    }

    /// The example with a few octets changed, removed or doubled.
    @Test func mutations() {
        let example = Array(Example.text.utf8)
        let samples = Golden.all.map { Array($0.text.utf8) } + [example]
        var random = SeededGenerator(seed: 3)
        for _ in 0..<500 {
            var octets = samples.randomElement(using: &random) ?? example
            for _ in 0..<Int.random(in: 1...4, using: &random) where !octets.isEmpty {
                let index = Int.random(in: 0..<octets.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: octets[index] = UInt8.random(in: 0...255, using: &random)
                case 1: octets.remove(at: index)
                case 2: octets.insert(Array("{};\"#\\ \n".utf8).randomElement(using: &random) ?? 0, at: index)
                default: octets.removeSubrange(index..<min(index + 20, octets.count))
                }
            }
            survive(octets)
        }
    }

    @Test func everyPrefixOfTheExample() {
        let example = Array(Example.text.utf8)
        for end in stride(from: 0, through: example.count, by: 211) { survive(Array(example[..<end])) }
    }
}
