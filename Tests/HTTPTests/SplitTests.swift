import TestSupport
import Testing

@testable import HTTP

@Suite("A40: the meaning of octets does not depend on how they arrive")
struct SplitTests {
    @Test("Every valid request, split in two at every offset and octet by octet", arguments: MessageCorpus.requests)
    func requests(_ text: String) {
        checkEverySplit(.requests, MessageCorpus.octets(text))
    }

    @Test("Every valid response, split in two at every offset and octet by octet", arguments: MessageCorpus.responses)
    func responses(_ text: String) {
        checkEverySplit(.responses(to: .get), MessageCorpus.octets(text))
        checkEverySplit(.responses(to: .head), MessageCorpus.octets(text), mayFail: true)
    }

    @Test("Every malformed request gives the same error, split at every offset", arguments: MalformedRequests.all)
    func malformed(_ example: MalformedRequests.Example) {
        guard example.octets.count <= 2000 else { return }
        checkEverySplit(.requests, example.octets, mayFail: true)
    }

    @Test("Random segmentation of pipelined requests")
    func randomSegments() {
        // A request in HTTP/1.0 or a last one that waits for its end stays out of the chain.
        let chain = MessageCorpus.requests.flatMap { MessageCorpus.octets($0) }
        let whole = transcript(.requests, chain)
        #expect(whole.filter { if case .requestHead = $0 { true } else { false } }.count == 15)
        var generator = SeededGenerator(seed: 40)
        for _ in 0..<300 {
            var cuts: [Int] = []
            var cut = 0
            while cut < chain.count {
                cut += Int.random(in: 1...60, using: &generator)
                cuts.append(cut)
            }
            #expect(transcript(.requests, chain, cuts: cuts) == whole)
        }
    }

    private func checkEverySplit(_ direction: Direction, _ octets: [UInt8], mayFail: Bool = false) {
        let whole = transcript(direction, octets)
        if !mayFail {
            let fails = whole.contains { if case .error = $0 { true } else { false } }
            #expect(!fails, "\(whole)")
        }
        for cut in 1..<max(2, octets.count) where transcript(direction, octets, cuts: [cut]) != whole {
            Issue.record("split at \(cut): \(transcript(direction, octets, cuts: [cut])), whole: \(whole)")
        }
        #expect(transcript(direction, octets, cuts: Array(1..<max(2, octets.count))) == whole)
    }
}
