import Glibc
import Idempotency

/// Plots as inline SVG, each in a figure with its data as a table.
enum ReportPlot {
    private static let width = 760.0
    private static let height = 220.0
    private static let left = 60.0
    private static let right = 16.0
    private static let top = 14.0
    private static let bottom = 34.0
    private static var plotWidth: Double { width - left - right }
    private static var plotHeight: Double { height - top - bottom }

    private struct Bar {
        var x: Double
        var width: Double
        var count: UInt64
        var title: String
    }

    private struct Tick {
        var x: Double
        var label: String
    }

    // MARK: Repeats over time

    static func hours(_ figures: RouteFigures, id: String) -> String {
        let steps = TimeSteps(figures, max: 168)
        let count = Double(max(1, steps.steps.count))
        let bars = steps.steps.enumerated().map { index, step in
            Bar(
                x: left + plotWidth * Double(index) / count, width: plotWidth / count, count: step.duplicates,
                title: "\(Clock.text(step.milliseconds)): \(step.duplicates) repeats of \(step.requests) requests")
        }
        // As many labels as fit.
        let stride = max(1, Int((count / 5).rounded(.up)))
        let ticks = steps.steps.enumerated().filter { $0.offset % stride == 0 }.map { index, step in
            Tick(
                x: left + plotWidth * (Double(index) + 0.5) / count,
                label: Clock.text(step.milliseconds))
        }
        let rows = steps.steps.filter { $0.duplicates > 0 }.map {
            "<tr><th scope=\"row\">\(Clock.text($0.milliseconds))</th><td>\($0.duplicates)</td>"
                + "<td>\($0.requests)</td></tr>"
        }
        let title = "Repeats per \(steps.unit)"
        let highest = steps.steps.map(\.duplicates).max() ?? 0
        return figure(
            title: title, id: id,
            description: "Bars over time, UTC; the highest has \(highest) repeats.", bars: bars, ticks: ticks,
            table: "<thead><tr><th scope=\"col\">From (UTC)</th><th scope=\"col\">Repeats</th>"
                + "<th scope=\"col\">Requests</th></tr></thead><tbody>\(rows.joined())</tbody>")
    }

    // MARK: Gaps

    /// The axis ends half a step above the last bound.
    private static let shortest = 50.0
    private static let longest = 172_800_000.0

    private static func logarithmic(_ milliseconds: Double) -> Double {
        left + plotWidth * (log(milliseconds / shortest) / log(longest / shortest))
    }

    /// Empty where there is nothing to show.
    static func gaps(_ gaps: GapHistogram, _ title: String, id: String) -> String {
        guard gaps.total > 0 else { return "" }
        let bounds = [shortest] + GapHistogram.boundsMilliseconds.map { Double($0) } + [longest]
        let bars = gaps.counts.enumerated().map { index, count in
            let start = logarithmic(bounds[index])
            return Bar(
                x: start, width: logarithmic(bounds[index + 1]) - start, count: count,
                title: "\(GapLabel.text(index)): \(count)")
        }
        let ticks = [
            (100, "0.1 s"), (1_000, "1 s"), (10_000, "10 s"), (60_000, "1 min"), (600_000, "10 min"),
            (3_600_000, "1 h"), (21_600_000, "6 h"), (86_400_000, "24 h"),
        ].map { Tick(x: logarithmic($0.0), label: $0.1) }
        let rows = gaps.counts.enumerated().filter { $0.element > 0 }.map {
            "<tr><th scope=\"row\">\(GapLabel.text($0.offset))</th><td>\($0.element)</td></tr>"
        }
        return figure(
            title: title, id: id,
            description: "Histogram over a logarithmic time axis of \(gaps.total) gaps, the longest "
                + "\(TimeText.text(gaps.maxMilliseconds)).",
            bars: bars, ticks: ticks,
            table: "<thead><tr><th scope=\"col\">Gap</th><th scope=\"col\">Requests</th></tr></thead>"
                + "<tbody>\(rows.joined())</tbody>")
    }

    // MARK: Drawing

    private static func figure(
        title: String, id: String, description: String, bars: [Bar], ticks: [Tick], table: String
    ) -> String {
        let highest = Double(max(1, bars.map(\.count).max() ?? 1))
        let base = top + plotHeight
        var marks: [String] = []
        for value in [highest, (highest / 2).rounded(.down)] where value > 0 {
            let y = base - plotHeight * value / highest
            marks.append(
                "<line class=\"axis\" x1=\"\(left)\" x2=\"\(width - right)\" y1=\"\(number(y))\" y2=\"\(number(y))\"/>")
            marks.append("<text x=\"\(left - 8)\" y=\"\(number(y + 4))\" text-anchor=\"end\">\(UInt64(value))</text>")
            if highest == 1 { break }
        }
        for bar in bars where bar.count > 0 {
            let size = max(2, plotHeight * Double(bar.count) / highest)
            let gap = bar.width > 4 ? 1.0 : 0
            marks.append(
                "<rect class=\"bar\" x=\"\(number(bar.x + gap / 2))\" y=\"\(number(base - size))\" "
                    + "width=\"\(number(bar.width - gap))\" height=\"\(number(size))\">"
                    + "<title>\(bar.title)</title></rect>")
        }
        marks.append("<line class=\"axis\" x1=\"\(left)\" x2=\"\(width - right)\" y1=\"\(base)\" y2=\"\(base)\"/>")
        marks += labels(ticks, base: base)
        return """
            <figure><figcaption id="\(id)">\(title)</figcaption>
            <svg viewBox="0 0 \(Int(width)) \(Int(height))" role="img" aria-labelledby="\(id) \(id)-text">
            <desc id="\(id)-text">\(description)</desc>
            \(marks.joined(separator: "\n"))
            </svg>
            <details><summary>The same as a table</summary><table><caption>\(title)</caption>\(table)</table></details>
            </figure>
            """
    }

    /// Ticks with their labels; one that would run into the label before it stays without.
    private static func labels(_ ticks: [Tick], base: Double) -> [String] {
        var marks: [String] = []
        var freeFrom = 0.0
        for tick in ticks {
            let size = Double(tick.label.count) * 7.5
            let start = min(max(left, tick.x - size / 2), width - right - size)
            marks.append(
                "<line class=\"axis\" x1=\"\(number(tick.x))\" x2=\"\(number(tick.x))\" y1=\"\(number(base))\" "
                    + "y2=\"\(number(base + 5))\"/>")
            guard start >= freeFrom else { continue }
            freeFrom = start + size + 10
            marks.append("<text x=\"\(number(start))\" y=\"\(number(base + 20))\">\(tick.label)</text>")
        }
        return marks
    }

    /// One decimal is finer than a pixel.
    private static func number(_ value: Double) -> String {
        let tenths = (value * 10).rounded()
        return "\(tenths / 10)"
    }
}
