import Testing

@testable import Proxy

@Suite struct WatchListTests {
    @Test("ten thousand entries: a bounded number of looks at a time, each entry in its turn")
    func bounded() {
        var list = WatchList<Int>()
        for number in 0..<10_000 { list.append(number) }
        var looks = [Int](repeating: 0, count: 10_000)
        for call in 1...40 {
            var count = 0
            let isRoundOver = list.look(atMost: 512) { number in
                looks[number] += 1
                count += 1
                return false
            }
            #expect(count == (call % 20 == 0 ? 10_000 - 19 * 512 : 512))
            #expect(isRoundOver == (call % 20 == 0))
        }
        #expect(looks.allSatisfy { $0 == 2 })
    }

    @Test("none is lost: whichever are done, appended or removed in between, each is seen to its end")
    func noneIsLost() {
        var generator = SystemRandomNumberGenerator()
        var list = WatchList<Int>()
        var open: Set<Int> = []
        var next = 0
        for _ in 0..<2_000 {
            for _ in 0..<Int.random(in: 0...20, using: &generator) {
                list.append(next)
                open.insert(next)
                next += 1
            }
            var seen: Set<Int> = []
            _ = list.look(atMost: 16) { number in
                #expect(open.contains(number) && seen.insert(number).inserted)
                guard Bool.random(using: &generator) else { return false }
                open.remove(number)
                return true
            }
            if next % 7 == 0 {
                list.removeAll { $0 % 31 == 0 }
                open = open.filter { $0 % 31 != 0 }
            }
            #expect(list.count == open.count)
        }
        var calls = 0
        let left = list.count
        while !list.isEmpty {
            _ = list.look(atMost: 16) { open.remove($0) != nil }
            calls += 1
        }
        #expect(open.isEmpty)
        #expect(calls <= left / 16 + 2)
    }
}
