/// Did-you-mean.
enum Suggestion {
    /// The candidate nearest to `text`: equal but for case, `-` and `_`, or at most two edits away (one for names of
    /// up to three characters); the first of the best ones.
    static func nearest<Names: Sequence>(to text: String, among candidates: Names) -> String?
    where Names.Element == String {
        // Nothing that is longer can be near, and the distance costs the product of the lengths.
        guard text.utf8.count <= 64 else { return nil }
        let plain = plain(text)
        var best: (name: String, distance: Int)?
        for candidate in candidates where candidate != text {
            let length = min(text.utf8.count, candidate.utf8.count)
            let limit = length <= 1 ? 0 : length <= 3 ? 1 : 2
            let distance = Self.plain(candidate) == plain ? 0 : distance(text, candidate)
            if distance <= limit, distance < best?.distance ?? .max {
                best = (candidate, distance)
            }
        }
        return best?.name
    }

    /// Damerau–Levenshtein in its optimal-string-alignment form: insertions, deletions, substitutions and swaps of
    /// neighbours.
    static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.utf8)
        let right = Array(right.utf8)
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for row in 0..<left.count {
            var current = [row + 1]
            for column in 0..<right.count {
                let substitution = previous[column] + (left[row] == right[column] ? 0 : 1)
                var best = min(substitution, previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    best = min(best, beforePrevious[column - 1] + 1)
                }
                current.append(best)
            }
            beforePrevious = previous
            previous = current
        }
        return previous[right.count]
    }

    private static func plain(_ text: String) -> String {
        text.filter { $0 != "-" && $0 != "_" }.lowercased()
    }
}
