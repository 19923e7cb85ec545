import Foundation
import TestSupport
import Testing

/// The production machines under a virtual clock, with seeded clients and faults. `ONCEGATE_SEEDS` sets how many seeds
/// are run, `SEED` runs one again and prints what happened in it.
@Suite struct SimulationTests {
    private static let slices: UInt64 = 8
    private static let seeds = number("ONCEGATE_SEEDS") ?? 2_000
    private static let oneSeed = number("SEED")

    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    @Test(.enabled(if: oneSeed == nil), arguments: 0..<slices)
    func promisesHold(slice: UInt64) {
        var replays = 0
        for seed in stride(from: slice, to: Self.seeds, by: UInt64.Stride(Self.slices)) {
            let simulation = Simulation(seed: seed)
            if let failure = simulation.run() {
                Issue.record("seed \(seed): \(failure)\nRun it again: SEED=\(seed) swift test --filter SimulationTests")
                return
            }
            replays += simulation.oracle.replays
        }
        // A simulation in which nothing is ever replayed shows nothing.
        #expect(replays > 0 || Self.seeds < 100)
    }

    @Test(.enabled(if: oneSeed != nil))
    func oneSeedHolds() throws {
        let simulation = Simulation(seed: try #require(Self.oneSeed), traces: true)
        let failure = simulation.run()
        print((simulation.trace ?? []).joined(separator: "\n"))
        if let failure { Issue.record("seed \(simulation.seed): \(failure)") }
    }

    @Test func aSeedIsARun() {
        for seed in 1...20 as ClosedRange<UInt64> {
            let first = Simulation(seed: seed, traces: true)
            let second = Simulation(seed: seed, traces: true)
            #expect(first.run() == second.run())
            #expect(first.trace == second.trace, "seed \(seed)")
        }
    }
}
