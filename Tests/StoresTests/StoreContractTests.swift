import Idempotency
import Stores
import Testing

@Suite("Store contract")
struct StoreContractTests {
    @Test("A claim, its answer, and the replay", arguments: StoreKind.allCases)
    func claimCompleteReplay(_ kind: StoreKind) throws {
        let harness = try StoreHarness(kind)
        let reference = try harness.claimed(claim(1))
        harness.store.markSent(reference)
        #expect(harness.complete(reference, .answered(answer("done"))) == .stored(.durable))
        #expect(harness.claim(claim(1)) == .recorded(answer("done"), epoch: reference.epoch))
        #expect(harness.claim(claim(1, print: 2)) == .mismatch)
        harness.store.close()
    }
}
