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

    /// A burst's blocks are kept for the next one; those that a whole turn found no use for are given back.
    @Test func blocksOfABurstAreGivenBackOnceNobodyNeedsThem() {
        let pool = BlockPool(blockBytes: 16_384, keptMax: 4)
        func burst(_ count: Int) {
            let blocks = (0..<count).map { _ in pool.take() }
            for block in blocks {
                // All of it can be written to.
                block.initializeMemory(as: UInt8.self, repeating: 1, count: 16_384)
            }
            #expect(Set(blocks).count == count && pool.inUse == count)
            for block in blocks { pool.give(block) }
        }
        burst(40)
        pool.trim()
        #expect(pool.freeCount == 40)
        burst(30)
        pool.trim()
        #expect(pool.freeCount == 30)
        burst(2)
        pool.trim()
        #expect(pool.freeCount == 4)
        pool.trim()
        burst(8)
        #expect(pool.freeCount == 8 && pool.inUse == 0)
    }
}
