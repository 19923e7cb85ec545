internal import Idempotency

/// The most recently used completed records with their answers, bounded in octets, so that a replay of a hot record
/// reads no file.
struct RecordCache {
    struct Entry {
        var row: RecordRow
        var answer: RecordedAnswer
    }

    private struct Node {
        var entry: Entry?
        var newer: Int32
        var older: Int32
        var bytes: Int
    }

    /// What an entry takes beside its answer's octets: nodes, dictionary, array headers.
    private static let overheadBytes = 512

    private let bytesMax: Int
    private(set) var bytes = 0
    private var positions: [RecordKey: Int32] = [:]
    private var nodes: [Node] = []
    private var free: [Int32] = []
    private var newest: Int32 = -1
    private var oldest: Int32 = -1

    init(bytesMax: Int) {
        self.bytesMax = bytesMax
    }

    func row(of key: RecordKey) -> RecordRow? {
        guard let position = positions[key] else { return nil }
        return nodes[Int(position)].entry?.row
    }

    /// A use: the record becomes the youngest.
    mutating func answer(of key: RecordKey, epoch: UInt64) -> RecordedAnswer? {
        guard let position = positions[key], let entry = nodes[Int(position)].entry, entry.row.id == epoch else {
            return nil
        }
        if position != newest {
            unlink(position)
            linkAsNewest(position)
        }
        return entry.answer
    }

    mutating func update(_ row: RecordRow) {
        guard let position = positions[row.key] else { return }
        nodes[Int(position)].entry?.row = row
    }

    mutating func insert(_ entry: Entry) {
        remove(entry.row.key)
        let answer = entry.answer
        let size = answer.body.count + answer.fieldLines.count + answer.trailerLines.count + Self.overheadBytes
        guard size <= bytesMax / 8 else { return }
        while bytes + size > bytesMax, oldest >= 0, let key = nodes[Int(oldest)].entry?.row.key { remove(key) }
        let position: Int32
        if let reused = free.popLast() {
            position = reused
        } else {
            position = Int32(nodes.count)
            nodes.append(Node(entry: nil, newer: -1, older: -1, bytes: 0))
        }
        nodes[Int(position)].entry = entry
        nodes[Int(position)].bytes = size
        positions[entry.row.key] = position
        bytes += size
        linkAsNewest(position)
    }

    mutating func remove(_ key: RecordKey) {
        guard let position = positions.removeValue(forKey: key) else { return }
        unlink(position)
        bytes -= nodes[Int(position)].bytes
        nodes[Int(position)].entry = nil
        free.append(position)
    }

    mutating func removeAll() {
        self = RecordCache(bytesMax: bytesMax)
    }

    private mutating func unlink(_ position: Int32) {
        let node = nodes[Int(position)]
        if node.newer >= 0 { nodes[Int(node.newer)].older = node.older } else { newest = node.older }
        if node.older >= 0 { nodes[Int(node.older)].newer = node.newer } else { oldest = node.newer }
    }

    private mutating func linkAsNewest(_ position: Int32) {
        nodes[Int(position)].newer = -1
        nodes[Int(position)].older = newest
        if newest >= 0 { nodes[Int(newest)].newer = position } else { oldest = position }
        newest = position
    }
}
