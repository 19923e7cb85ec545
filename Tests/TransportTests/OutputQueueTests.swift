import CLinux
import Testing

@testable import Transport

struct OutputQueueTests {
    @Test(arguments: 0..<30 as Range<UInt64>)
    func whatGoesInComesOutInOrder(seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        let pool = BlockPool(blockBytes: 64, keptMax: 4)
        var queue = OutputQueue()
        var model: [UInt8] = []
        var fresh: UInt8 = 0
        func octets(_ count: Int) -> [UInt8] {
            (0..<count).map { _ in
                fresh &+= 1
                return fresh
            }
        }
        let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: 8)
        defer { pieces.deallocate() }
        for _ in 0..<3000 {
            switch Int.random(in: 0..<4, using: &generator) {
            case 0:
                let added = octets(.random(in: 0...200, using: &generator))
                added.withUnsafeBytes { queue.append($0, pool: pool) }
                model += added
            case 1:
                let array = octets(.random(in: 0...300, using: &generator))
                let start = Int.random(in: 0...array.count, using: &generator)
                let end = Int.random(in: start...array.count, using: &generator)
                queue.append(shared: array, range: start..<end)
                model += array[start..<end]
            default:
                let count = queue.gather(into: pieces, max: 8)
                let flat = (0..<count).flatMap {
                    Array(UnsafeRawBufferPointer(start: pieces[$0].iov_base, count: pieces[$0].iov_len))
                }
                #expect(flat == Array(model.prefix(flat.count)))
                #expect(flat.isEmpty == model.isEmpty)
                let sent = Int.random(in: 0...flat.count, using: &generator)
                queue.removeFirst(sent, pool: pool)
                model.removeFirst(sent)
            }
            #expect(queue.count == model.count)
        }
        queue.removeAll(pool: pool)
        #expect(queue.isEmpty && pool.inUse == 0)
    }
}
