/// Entries that are looked at in rounds, a bounded number at a time, until they are done.
struct WatchList<Entry> {
    private var entries: [Entry] = []
    /// Where the next look begins.
    private var cursor = 0

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }

    mutating func append(_ entry: Entry) {
        entries.append(entry)
    }

    /// Looks at so many entries at most, each once, from where the last look ended. True if that ended a round.
    mutating func look(atMost countMax: Int, isDone: (Entry) -> Bool) -> Bool {
        var looks = 0
        while cursor < entries.count {
            guard looks < countMax else { return false }
            looks += 1
            if isDone(entries[cursor]) {
                // The last one, which this round has not seen, takes its place.
                entries.swapAt(cursor, entries.count - 1)
                entries.removeLast()
            } else {
                cursor += 1
            }
        }
        cursor = 0
        return true
    }

    mutating func removeAll(where shouldBeRemoved: (Entry) -> Bool) {
        let before = entries.count
        entries.removeAll(where: shouldBeRemoved)
        // Whoever moved up must not be left out by this round.
        cursor -= min(cursor, before - entries.count)
    }
}
