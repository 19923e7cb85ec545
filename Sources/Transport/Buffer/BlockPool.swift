internal import CLinux

/// Output blocks of one size, with a list of free ones. On one worker only.
///
/// Their memory is mapped for them alone. Blocks of a burst that the allocator had put among small things that live on
/// kept its heaps from shrinking, and small things that settled in the gaps made them grow, a little with each burst.
package final class BlockPool {
    package let blockBytes: Int
    private let keptMax: Int
    @exclusivity(unchecked) private var free: [UnsafeMutableRawPointer] = []
    /// Fewest free ones since the last `trim`: so many were of no use.
    @exclusivity(unchecked) private var unused = 0
    private var mappedCount = 0
    /// Blocks handed out.
    @exclusivity(unchecked) package private(set) var inUse = 0

    private static let pageBytes = 4096
    /// Blocks begin at different places of their first page, so that their beginnings don't share a few lines of the
    /// cache.
    private static let shiftBytes = 128

    /// - Parameter keptMax: free blocks that `trim` leaves.
    init(blockBytes: Int, keptMax: Int) {
        self.blockBytes = blockBytes
        self.keptMax = keptMax
        free.reserveCapacity(keptMax)
    }

    deinit {
        for block in free { unmap(block) }
    }

    @inline(__always)
    func take() -> UnsafeMutableRawPointer {
        inUse += 1
        guard let block = free.popLast() else { return map() }
        if free.count < unused { unused = free.count }
        return block
    }

    @inline(__always)
    func give(_ block: UnsafeMutableRawPointer) {
        inUse -= 1
        free.append(block)
    }

    /// Gives the system back what nobody needed since the last time, down to `keptMax` free blocks.
    func trim() {
        let surplus = min(unused, free.count - keptMax)
        for _ in 0..<max(0, surplus) { unmap(free.removeLast()) }
        unused = free.count
    }

    /// Free ones, for tests.
    var freeCount: Int { free.count }

    private var mappingBytes: Int {
        // Rounded up, and a page more to shift within.
        (blockBytes + 2 * Self.pageBytes - 1) & ~(Self.pageBytes - 1)
    }

    private func map() -> UnsafeMutableRawPointer {
        unused = 0
        guard let mapping = cl_map(mappingBytes) else {
            // As `allocate` would.
            fatalError("out of memory: no \(blockBytes) octets for output")
        }
        mappedCount &+= 1
        return mapping + mappedCount % (Self.pageBytes / Self.shiftBytes) * Self.shiftBytes
    }

    private func unmap(_ block: UnsafeMutableRawPointer) {
        let shift = Int(bitPattern: block) & (Self.pageBytes - 1)
        cl_unmap(block - shift, mappingBytes)
    }
}
