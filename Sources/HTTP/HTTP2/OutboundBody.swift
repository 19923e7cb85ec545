/// What of a message's body waits to be put into frames: octets of its own, and parts of arrays that others hold, too.
struct OutboundBody {
    private struct Piece {
        /// Nil: the next octets of `own`.
        var shared: [UInt8]?
        var range: Range<Int>
    }

    private var own: [UInt8] = []
    private var pieces: [Piece] = []
    /// The first piece that is not yet sent.
    private var first = 0
    private(set) var count = 0

    /// What one of these keeps while its stream is open, and for the next stream, at most.
    private static let capacityKept = 64 << 10
    private static let capacityHandedOn = 2 << 10

    mutating func append(_ octets: Span<UInt8>) {
        guard octets.count > 0 else { return }
        let start = own.count
        own.append(span: octets)
        count += octets.count
        if let last = pieces.indices.last, first < pieces.count, pieces[last].shared == nil {
            pieces[last].range = pieces[last].range.lowerBound..<own.count
        } else {
            pieces.append(Piece(shared: nil, range: start..<own.count))
        }
    }

    mutating func append(shared: [UInt8], _ range: Range<Int>) {
        guard !range.isEmpty else { return }
        count += range.count
        pieces.append(Piece(shared: shared, range: range))
    }

    /// Moves octets from the front to the end of `output`; at most `count`.
    mutating func take(_ wanted: Int, into output: inout [UInt8]) {
        var left = min(wanted, count)
        count -= left
        while left > 0, first < pieces.count {
            let range = pieces[first].range
            let taken = min(left, range.count)
            let part = range.lowerBound..<range.lowerBound + taken
            if let shared = pieces[first].shared {
                output.append(span: shared.span.extracting(part))
            } else {
                output.append(span: own.span.extracting(part))
            }
            left -= taken
            if taken == range.count {
                pieces[first].shared = nil
                first += 1
            } else {
                pieces[first].range = part.upperBound..<range.upperBound
            }
        }
        if count == 0 { removeAll() } else { compact() }
    }

    mutating func removeAll() {
        count = 0
        first = 0
        pieces.removeAll(keepingCapacity: true)
        if own.capacity <= Self.capacityKept { own.removeAll(keepingCapacity: true) } else { own = [] }
    }

    /// Empties it for another stream. Connections have many streams and are idle for long: what was large is given up.
    mutating func handOn() {
        removeAll()
        if own.capacity > Self.capacityHandedOn { own = [] }
        if pieces.capacity > 16 { pieces = [] }
    }

    /// Gives up what is sent, when that is most of what is held.
    private mutating func compact() {
        guard first > 64 || own.count > Self.capacityKept else { return }
        pieces.removeFirst(first)
        first = 0
        guard let next = pieces.first(where: { $0.shared == nil }) else {
            own.removeAll(keepingCapacity: true)
            return
        }
        let sent = next.range.lowerBound
        guard sent > own.count / 2 else { return }
        own.removeFirst(sent)
        for index in pieces.indices where pieces[index].shared == nil {
            let range = pieces[index].range
            pieces[index].range = range.lowerBound - sent..<range.upperBound - sent
        }
    }
}
