/// Output blocks of one size, with a bounded list of free ones. On one worker only.
package final class BlockPool {
    package let blockBytes: Int
    private let keptMax: Int
    private var free: [UnsafeMutableRawPointer] = []
    /// Blocks handed out.
    package private(set) var inUse = 0

    init(blockBytes: Int, keptMax: Int) {
        self.blockBytes = blockBytes
        self.keptMax = keptMax
        free.reserveCapacity(keptMax)
    }

    deinit {
        for block in free { block.deallocate() }
    }

    func take() -> UnsafeMutableRawPointer {
        inUse += 1
        return free.popLast() ?? .allocate(byteCount: blockBytes, alignment: 64)
    }

    func give(_ block: UnsafeMutableRawPointer) {
        inUse -= 1
        if free.count < keptMax { free.append(block) } else { block.deallocate() }
    }
}
