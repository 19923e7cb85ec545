/// One finding in the configuration, with everything needed to print it.
package struct Diagnostic: Sendable, Equatable {
    package enum Severity: String, Sendable, Equatable {
        case error
        case warning
        /// Something to know; fails nothing, not even under `--strict`.
        case note
    }

    package var severity: Severity
    package var message: String
    /// Stands after the underline.
    package var hint: String?
    package var file: String
    /// From 1.
    package var line: Int
    /// In characters, from 1.
    package var column: Int
    package var sourceLine: String
    /// In characters, at least 1.
    package var underlineWidth: Int
    /// The includes that led to the file, innermost first, each as `file:line:column`.
    package var includeChain: [String]
    /// For a finding that has no place in a file, such as the file that cannot be read.
    package var isPlaceless = false

    /// The lines of the report, without a newline at the end.
    package var text: String {
        guard !isPlaceless else { return "\(file): \(severity.rawValue): \(message)" }
        let shown = Excerpt(line: sourceLine, column: column, width: underlineWidth)
        let number = String(line)
        let gutter = String(repeating: " ", count: max(5 - number.count, 0)) + number
        let blank = String(repeating: " ", count: gutter.count)
        var lines = ["\(file):\(line):\(column): \(severity.rawValue): \(message)"]
        lines.append("\(gutter) | \(shown.line)")
        let underline = "^" + String(repeating: "~", count: shown.width - 1)
        lines.append("\(blank) | \(shown.padding)\(underline)" + (hint.map { " \($0)" } ?? ""))
        lines += includeChain.map { "\(blank)   included from \($0)" }
        return lines.joined(separator: "\n")
    }

    /// What is shown of a source line: control characters made visible, long lines cut around the place.
    private struct Excerpt {
        private static let charactersMax = 160
        private static let charactersBefore = 60

        var line: String
        var padding: String
        var width: Int

        init(line source: String, column: Int, width: Int) {
            var characters = source.map { character -> Character in
                // A configuration must not steer the terminal that prints its errors.
                character.unicodeScalars.contains {
                    ($0.value < 0x20 && $0 != "\t") || (0x7F..<0xA0).contains($0.value)
                }
                    ? "\u{FFFD}" : character
            }
            var offset = min(column - 1, characters.count)
            var prefix = ""
            if characters.count > Self.charactersMax {
                let start = max(offset - Self.charactersBefore, 0)
                let end = min(start + Self.charactersMax, characters.count)
                prefix = start > 0 ? "…" : ""
                let suffix = end < characters.count ? "…" : ""
                characters = Array(prefix) + characters[start..<end] + Array(suffix)
                offset += prefix.count - start
            }
            self.line = String(characters)
            padding = String(characters[..<offset].map { $0 == "\t" ? "\t" : " " })
            self.width = max(1, min(width, characters.count - offset))
        }
    }
}

/// Collects findings while files are read and checked; bounded.
struct DiagnosticLog {
    static let countMax = 500

    private(set) var files: [SourceFile] = []
    private var found: [(range: SourceRange, order: Int, diagnostic: Diagnostic)] = []
    private var placeless: [Diagnostic] = []
    private(set) var errorCount = 0

    mutating func add(_ file: SourceFile) -> Int {
        files.append(file)
        return files.count - 1
    }

    mutating func error(_ range: SourceRange, _ message: String, hint: String? = nil) {
        errorCount += 1
        add(.error, range, message, hint)
    }

    mutating func warning(_ range: SourceRange, _ message: String, hint: String? = nil) {
        add(.warning, range, message, hint)
    }

    mutating func note(_ range: SourceRange, _ message: String, hint: String? = nil) {
        add(.note, range, message, hint)
    }

    mutating func error(file: String, _ message: String) {
        errorCount += 1
        var diagnostic = Diagnostic(
            severity: .error, message: message, hint: nil, file: file, line: 1, column: 1, sourceLine: "",
            underlineWidth: 1, includeChain: [])
        diagnostic.isPlaceless = true
        placeless.append(diagnostic)
    }

    /// In the order of the files, then of the places.
    var diagnostics: [Diagnostic] {
        let sorted = found.sorted {
            ($0.range.file, $0.range.start, $0.order) < ($1.range.file, $1.range.start, $1.order)
        }
        return placeless + sorted.map(\.diagnostic)
    }

    /// `file:line:column` of a place.
    func place(_ range: SourceRange) -> String {
        let (line, column, _) = position(range)
        return "\(files[range.file].name):\(line):\(column)"
    }

    func line(_ range: SourceRange) -> Int {
        files[range.file].line(at: range.start)
    }

    private mutating func add(
        _ severity: Diagnostic.Severity, _ range: SourceRange, _ message: String, _ hint: String?
    ) {
        // The errors come through whatever else there is to say.
        guard found.count < (severity == .error ? Self.countMax : Self.countMax / 2) else { return }
        let (line, column, source) = position(range)
        let file = files[range.file]
        // The underline ends with the line.
        let end = min(range.end, file.start(ofLine: line) + file.octets(ofLine: line).count)
        let width = end > range.start ? String(decoding: file.octets[range.start..<end], as: UTF8.self).count : 1
        var chain: [String] = []
        var parent = file.includedFrom
        while let range = parent {
            chain.append(place(range))
            parent = files[range.file].includedFrom
        }
        let diagnostic = Diagnostic(
            severity: severity, message: message, hint: hint, file: file.name, line: line, column: column,
            sourceLine: source, underlineWidth: width, includeChain: chain)
        found.append((range, found.count, diagnostic))
    }

    private func position(_ range: SourceRange) -> (line: Int, column: Int, source: String) {
        let file = files[range.file]
        let line = file.line(at: range.start)
        let octets = file.octets(ofLine: line)
        let before = octets[octets.startIndex..<min(max(range.start, octets.startIndex), octets.endIndex)]
        let column = String(decoding: before, as: UTF8.self).count + 1
        return (line, column, String(decoding: octets, as: UTF8.self))
    }
}

extension [Diagnostic] {
    /// All findings, then `2 errors, 1 warning`; empty when there are none. No newline at the end.
    package var report: String {
        guard !isEmpty else { return "" }
        let counts: [String] = [Diagnostic.Severity.error, .warning].compactMap { severity in
            let number = count { $0.severity == severity }
            return number == 0 ? nil : "\(number) \(severity.rawValue)\(number == 1 ? "" : "s")"
        }
        return (map(\.text) + (counts.isEmpty ? [] : [counts.joined(separator: ", ")])).joined(separator: "\n")
    }

    package var hasErrors: Bool {
        contains { $0.severity == .error }
    }

    package var hasWarnings: Bool {
        contains { $0.severity == .warning }
    }
}
