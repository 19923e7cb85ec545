import Idempotency
import Observability

/// The report for a terminal: at most 100 columns.
struct ReportText {
    private static let columnsMax = 100
    private static let routeColumnsMax = 26
    private static let barMax: UInt64 = 40

    private let report: Report
    private var text = ""

    static func text(of report: Report) -> String {
        var writer = ReportText(report: report)
        writer.write()
        return writer.text
    }

    private init(report: Report) {
        self.report = report
    }

    private mutating func write() {
        guard !report.isEmpty, let first = report.firstMilliseconds, let last = report.lastMilliseconds else {
            text = report.emptyText + "\n"
            return
        }
        line("Observed \(Clock.text(first)) to \(Clock.text(last)) UTC: \(report.requests) requests.")
        line("")
        writeOverview()
        for route in report.routes where route.figures.requests > 0 { write(route) }
        if report.damagedSegments > 0 {
            line("")
            wrap(
                "\(report.damagedSegments) segments of observations end inside of a batch (the proxy was killed, or "
                    + "the disk was full); what stood behind is missing here.")
        }
    }

    // MARK: Overview

    private mutating func writeOverview() {
        var rows = [
            ["ROUTE", "REQUESTS", "NO TOKEN", "REPEATS", "RAN AGAIN", "MISMATCH", "NEW TOKEN", "SUGGESTED"]
        ]
        for route in report.routes {
            let figures = route.figures
            rows.append(
                [
                    Printable.text(figures.route.name, max: Self.routeColumnsMax), "\(figures.requests)",
                    "\(figures.withoutToken)", "\(figures.allDuplicates)", "\(figures.ranAgain)",
                    "\(figures.mismatches)", "\(figures.otherKeys)", route.suggestion.map(Self.summary) ?? "-",
                ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        for row in rows {
            var cells: [String] = []
            for (column, cell) in row.enumerated() {
                let blanks = String(repeating: " ", count: widths[column] - cell.count)
                cells.append(column == 0 || column == row.count - 1 ? cell + blanks : blanks + cell)
            }
            line(cells.joined(separator: "  "))
        }
        line("")
        for (name, meaning) in Self.legend { wrap(meaning, first: name, indent: 11) }
    }

    private static let legend = [
        ("REPEATS", "the same request again: its token and payload; without a token, its payload within the window"),
        (
            "RAN AGAIN",
            "repeats that 'mode enforce' would have answered from the record, and that the service answered anew: "
                + "otherwise than the first time, or after a first answer that its client never got"
        ),
        ("MISMATCH", "a token that was used before with another payload ('mode enforce' answers 422)"),
        ("NEW TOKEN", "the payload of an earlier request under another token: no token protects that client"),
    ]

    /// `token`, `hash 2m`, `token+hash 2m`.
    private static func summary(_ suggestion: RouteSuggestion) -> String {
        let hashes = suggestion.lines.contains("    on_missing_key hash;")
        let subjects = suggestion.reasons.map(\.subject)
        let window = subjects.first { $0.hasPrefix("window ") }.map { " " + $0.dropFirst(7) } ?? ""
        return hashes ? "hash\(window)" : "token"
    }

    // MARK: One route

    private mutating func write(_ route: Report.Route) {
        let figures = route.figures
        line("")
        let title = "== \(Printable.text(figures.route.name, max: Self.columnsMax - 6)) "
        line(title + String(repeating: "=", count: max(0, Self.columnsMax - title.count)))
        var parts = ["\(figures.withToken) with a token", "\(figures.withoutToken) without"]
        if figures.malformed > 0 { parts.append("\(figures.malformed) with a malformed one") }
        if figures.unscoped > 0 { parts.append("\(figures.unscoped) without the scope") }
        if figures.unread > 0 { parts.append("\(figures.unread) too large to look for one") }
        wrap("\(figures.requests) requests: " + parts.joined(separator: ", ") + ".")
        writeVerdicts(figures)
        writeHours(figures)
        write(figures.gaps, "From one request with a token to its repeat:")
        write(figures.gapsWithoutToken, "From one request without token to the next equal one:")
        write(figures.gapsOfOtherKeys, "From one request to the same payload under another token:")
        if let suggestion = route.suggestion { write(suggestion) }
    }

    private mutating func writeVerdicts(_ figures: RouteFigures) {
        guard figures.allDuplicates > 0 else {
            wrap("No repeat was seen.")
            return
        }
        let all = figures.verdicts + figures.verdictsWithoutToken
        wrap(
            "\(figures.allDuplicates) repeats, \(figures.duplicatesWithoutToken) of them without a token. "
                + "'mode enforce' would have replayed \(all.replayed):")
        let rows = VerdictRows(all).rows
        let width = rows.map { "\($0.count)".count }.max() ?? 0
        for row in rows {
            let count = "\(row.count)"
            line("  " + String(repeating: " ", count: width - count.count + 2) + count + "  " + row.text)
        }
        if all.joined > 0 { wrap("  \(all.joined) of these came while the first attempt was still running.") }
        if all.runs > 0 {
            wrap("\(all.runs) would have run: the first did not reach the service, or said that it was not executed.")
        }
        if all.held > 0 { wrap("\(all.held) would have got 409: what became of the first attempt is not known.") }
    }

    private mutating func writeHours(_ figures: RouteFigures) {
        let steps = TimeSteps(figures, max: 24)
        guard figures.allDuplicates > 0 else { return }
        line("")
        line("Repeats per \(steps.unit):")
        let highest = steps.steps.map(\.duplicates).max() ?? 0
        for step in steps.steps {
            bar("  " + Clock.text(step.milliseconds), step.duplicates, of: highest, width: 18)
        }
    }

    private mutating func write(_ gaps: GapHistogram, _ title: String) {
        let counts = gaps.counts
        guard let first = counts.firstIndex(where: { $0 > 0 }), let last = counts.lastIndex(where: { $0 > 0 }) else {
            return
        }
        line("")
        line(title)
        let highest = counts.max() ?? 0
        for step in first...last {
            bar("  " + GapLabel.text(step), counts[step], of: highest, width: 18)
        }
    }

    private mutating func bar(_ label: String, _ count: UInt64, of highest: UInt64, width: Int) {
        let (scaled, overflows) = count.multipliedReportingOverflow(by: Self.barMax)
        let length = highest == 0 ? 0 : overflows ? Self.barMax : (scaled + highest - 1) / highest
        let number = "\(count)"
        let blanks = String(repeating: " ", count: max(1, width + 9 - label.count - number.count))
        line(label + blanks + number + (length > 0 ? "  " + String(repeating: "#", count: Int(length)) : ""))
    }

    private mutating func write(_ suggestion: RouteSuggestion) {
        line("")
        line("Suggested:")
        for text in suggestion.lines { line("    " + Printable.text(text, max: .max)) }
        line("")
        let width = suggestion.reasons.map(\.subject.count).max() ?? 0
        for reason in suggestion.reasons { wrap(reason.text, first: reason.subject, indent: width + 2) }
        for caution in suggestion.cautions { wrap(caution + ".", first: "!", indent: 2) }
    }

    // MARK: Lines

    private mutating func line(_ content: String) {
        text +=
            (content.last == " "
                ? String(content[...(content.lastIndex { $0 != " " } ?? content.startIndex)]) : content)
        text += "\n"
    }

    /// Breaks between words; lines after the first begin at `indent`.
    private mutating func wrap(_ content: String, first: String = "", indent: Int = 0) {
        var current = first + String(repeating: " ", count: max(0, indent - first.count))
        var isStart = true
        if indent == 0 { current += String(content.prefix { $0 == " " }) }
        for word in content.split(separator: " ") {
            if !isStart, current.count + 1 + word.count > Self.columnsMax {
                line(current)
                current = String(repeating: " ", count: indent)
                isStart = true
            }
            current += (isStart ? "" : " ") + word
            isStart = false
        }
        line(current)
    }
}

/// Labels of the steps of a `GapHistogram`.
enum GapLabel {
    static func text(_ step: Int) -> String {
        let bounds = GapHistogram.boundsMilliseconds
        return step < bounds.count
            ? "up to \(TimeText.text(bounds[step]))" : "more than \(TimeText.text(bounds.last ?? 0))"
    }
}

/// Points in time, in UTC.
enum Clock {
    /// `2026-11-24 08:00`.
    static func text(_ milliseconds: UInt64) -> String {
        let date = civilDate(daysSinceEpoch: milliseconds / 86_400_000)
        let minutes = milliseconds / 60_000 % 1440
        return
            "\(digits(date.year, 4))-\(digits(date.month))-\(digits(date.day)) "
            + "\(digits(minutes / 60)):\(digits(minutes % 60))"
    }

    private static func digits(_ number: UInt64, _ count: Int = 2) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, count - text.count)) + text
    }
}

/// Text of the configuration on a terminal.
enum Printable {
    /// Without controls, and cut where it is longer than `max`.
    static func text(_ text: String, max: Int) -> String {
        let clean = String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) ? "?" : $0 }))
        return clean.count > max ? clean.prefix(Swift.max(0, max - 1)) + "…" : clean
    }
}
