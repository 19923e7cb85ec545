import Testing

@testable import Idempotency

/// Random documents: equal meaning is equal octets, and any changed leaf is not.
@Suite struct JSONPropertyTests {
    indirect enum Value {
        case null
        case bool(Bool)
        case integer(Int)
        case string([UInt32])
        case array([Value])
        case object([([UInt32], Value)])
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func writingDoesNotMatter(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            let value = Self.value(depth: 4, &random)
            let first = try JSONCanonicaliserTests.canonical(Self.text(value, &random))
            let second = try JSONCanonicaliserTests.canonical(Self.text(value, &random))
            #expect(first == second, "seed \(seed)")
            #expect(try JSONCanonicaliserTests.canonical(first) == first, "seed \(seed)")
        }
    }

    @Test(arguments: [4, 5, 6] as [UInt64])
    func everyLeafMatters(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            let value = Self.value(depth: 4, &random)
            let count = Self.leaves(value)
            guard count > 0 else { continue }
            var target = Int.random(in: 0..<count, using: &random)
            let changed = Self.change(value, &target)
            let first = try JSONCanonicaliserTests.canonical(Self.text(value, &random))
            let second = try JSONCanonicaliserTests.canonical(Self.text(changed, &random))
            #expect(first != second, "seed \(seed)")
        }
    }

    private static func value(depth: Int, _ random: inout SeededGenerator) -> Value {
        switch Int.random(in: 0..<(depth > 0 ? 6 : 4), using: &random) {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &random))
        case 2: return .integer(Int.random(in: -1_000_000...1_000_000, using: &random))
        case 3: return .string(string(&random))
        case 4: return .array((0..<Int.random(in: 0...4, using: &random)).map { _ in value(depth: depth - 1, &random) })
        default:
            var names: Set<[UInt32]> = []
            for _ in 0..<Int.random(in: 0...6, using: &random) { names.insert(string(&random)) }
            return .object(
                names.sorted { $0.lexicographicallyPrecedes($1) }.map { ($0, value(depth: depth - 1, &random)) })
        }
    }

    private static func string(_ random: inout SeededGenerator) -> [UInt32] {
        let pool: [UInt32] = [
            0, 0x0A, 0x1F, 0x22, 0x2F, 0x5C, 0x61, 0x62, 0x7F, 0x80, 0xE9, 0x7FF, 0x20AC, 0xD7FF, 0xE000, 0xFFFD,
            0x10000, 0x1F600,
        ]
        return (0..<Int.random(in: 0...10, using: &random)).map { _ in pool.randomElement(using: &random) ?? 0 }
    }

    /// One of the many ways to write a value.
    private static func text(_ value: Value, _ random: inout SeededGenerator) -> String {
        let space = ["", " ", "\n", "\t\r\n"].randomElement(using: &random) ?? ""
        switch value {
        case .null: return space + "null"
        case .bool(let bool): return "\(bool)" + space
        case .integer(let integer):
            return ["\(integer)", "\(integer).0", "\(integer)e0", "\(integer)0E-1", "\(integer).00e+00"].randomElement(
                using: &random) ?? ""
        case .string(let scalars): return quote(scalars, &random) + space
        case .array(let values):
            return "[" + values.map { text($0, &random) }.joined(separator: space + ",") + space + "]"
        case .object(let members):
            let texts = members.shuffled(using: &random).map {
                quote($0.0, &random) + space + ":" + text($0.1, &random)
            }
            return "{" + space + texts.joined(separator: "," + space) + "}" + space
        }
    }

    private static func quote(_ scalars: [UInt32], _ random: inout SeededGenerator) -> String {
        var text = "\""
        for scalar in scalars {
            let mustEscape = scalar < 0x20 || scalar == 0x22 || scalar == 0x5C
            if mustEscape || Bool.random(using: &random) {
                for unit in String(Character(Unicode.Scalar(scalar) ?? "?")).utf16 {
                    let digits = String(unit, radix: 16, uppercase: Bool.random(using: &random))
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            } else {
                text.unicodeScalars.append(Unicode.Scalar(scalar) ?? "?")
            }
        }
        return text + "\""
    }

    private static func leaves(_ value: Value) -> Int {
        switch value {
        case .null, .bool, .integer, .string: 1
        case .array(let values): values.reduce(0) { $0 + leaves($1) }
        case .object(let members): members.reduce(0) { $0 + leaves($1.1) }
        }
    }

    private static func change(_ value: Value, _ target: inout Int) -> Value {
        switch value {
        case .array(let values): return .array(values.map { change($0, &target) })
        case .object(let members): return .object(members.map { ($0.0, change($0.1, &target)) })
        default: break
        }
        target -= 1
        guard target == -1 else { return value }
        switch value {
        case .bool(let bool): return .bool(!bool)
        case .integer(let integer): return .integer(integer + 1)
        case .string(let scalars): return .string(scalars + [0x61])
        default: return .bool(true)
        }
    }
}
