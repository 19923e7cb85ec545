import TestSupport
import Testing

@testable import HTTP

@Suite("Hostile octets")
struct MutationTests {
    /// Octets that matter to the grammar.
    private static let telling = Array("\r\n \t:,;\"\\0123456789aFx%/.?#*()\u{0}\u{b}\u{7f}".utf8) + [0x80, 0xa0, 0xff]

    @Test("Mutated messages never crash, and mean the same however they are split")
    func mutations() {
        var messages: [[UInt8]] = [
            [0x03, 0x04] + Array("5\r\nhello\r\n3;a=\"b\"\r\nabc\r\n0\r\nX: y\r\n\r\n".utf8),
            [0x04, 0x00] + Array("/a/../%2e/b//c".utf8),
        ]
        for text in MessageCorpus.requests { messages.append([0x00, 0x07] + MessageCorpus.octets(text)) }
        for text in MessageCorpus.responses {
            messages.append([0x01, 0x13] + MessageCorpus.octets(text))
            messages.append([0x02, 0x02] + MessageCorpus.octets(text))
        }
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<8000 {
            guard var octets = messages.randomElement(using: &generator) else { continue }
            for _ in 0..<Int.random(in: 1...4, using: &generator) { mutate(&octets, using: &generator) }
            octets[0] = octets[0] % 5 + (Bool.random(using: &generator) ? 0 : 130)
            octets[1] = UInt8.random(in: 0...255, using: &generator)
            checkAnyOctets(octets)
        }
    }

    @Test("Random octets never crash")
    func random() {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<8000 {
            var octets: [UInt8] = []
            for _ in 0..<Int.random(in: 2...60, using: &generator) {
                octets.append(
                    Bool.random(using: &generator)
                        ? UInt8.random(in: 0...255, using: &generator)
                        : Self.telling.randomElement(using: &generator) ?? 0)
            }
            checkAnyOctets(octets)
        }
    }

    @Test("The fuzzer's corpus", arguments: FuzzCorpus.inputs.indices)
    func corpus(_ index: Int) {
        checkAnyOctets(FuzzCorpus.octets(FuzzCorpus.inputs[index]))
    }

    private func mutate(_ octets: inout [UInt8], using generator: inout SeededGenerator) {
        guard octets.count > 3 else { return }
        let index = Int.random(in: 2..<octets.count, using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: octets[index] = Self.telling.randomElement(using: &generator) ?? 0
        case 1: octets.insert(Self.telling.randomElement(using: &generator) ?? 0, at: index)
        case 2: octets.remove(at: index)
        case 3: octets[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        default:
            let end = min(octets.count, index + Int.random(in: 1...12, using: &generator))
            octets.insert(contentsOf: octets[index..<end], at: Int.random(in: 2...octets.count, using: &generator))
        }
    }
}
