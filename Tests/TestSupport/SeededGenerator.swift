import Foundation

/// SplitMix64: the same seed gives the same run. The seed is taken from SEED where set, so that a failure can be
/// repeated.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    package let seed: UInt64
    private var state: UInt64

    package init(seed: UInt64? = nil) {
        let environment = ProcessInfo.processInfo.environment["SEED"].flatMap { UInt64($0) }
        self.seed = environment ?? seed ?? SystemRandomNumberGenerator().first()
        state = self.seed
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A token of visible ASCII that no other call gives.
    package mutating func token() -> String {
        "t-" + String(next(), radix: 36) + String(next(), radix: 36)
    }

    package mutating func octets(_ count: Int) -> [UInt8] {
        var result = [UInt8]()
        result.reserveCapacity(count + 8)
        while result.count < count {
            withUnsafeBytes(of: next()) { result.append(contentsOf: $0) }
        }
        result.removeLast(result.count - count)
        return result
    }
}

extension SystemRandomNumberGenerator {
    fileprivate func first() -> UInt64 {
        var copy = self
        return copy.next()
    }
}
