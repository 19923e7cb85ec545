import Idempotency

/// The report as one HTML page: no script, nothing loaded from anywhere, legible in light and dark, every plot with
/// its figures as a table beside it.
enum ReportPage {
    static func text(of report: Report) -> String {
        var body: [String] = []
        body.append("<h1>What clients send again</h1>")
        if report.isEmpty {
            body.append("<pre>\(HTML.escaped(report.emptyText))</pre>")
        } else {
            body.append(introduction(report))
            body.append(overview(report))
            for (index, route) in report.routes.enumerated() where route.figures.requests > 0 {
                body.append(section(route, number: index + 1))
            }
        }
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <title>oncegate report</title>
            <style>\(style)</style>
            </head>
            <body>
            <main>
            \(body.joined(separator: "\n"))
            <footer>Made by <code>oncegate report</code> on \(Clock.text(report.generatedMilliseconds)) UTC from \
            <code>\(HTML.escaped(report.store))</code>. Times, sizes and hashes only: no token and no payload \
            is kept.</footer>
            </main>
            </body>
            </html>

            """
    }

    private static func introduction(_ report: Report) -> String {
        let first = report.firstMilliseconds.map(Clock.text) ?? ""
        let last = report.lastMilliseconds.map(Clock.text) ?? ""
        var text =
            "<p>\(report.requests) requests of routes with <code>mode observe</code>, \(first) to \(last) UTC. "
            + "Nothing was held back: this is what <code>mode enforce</code> would have done.</p>"
        if report.damagedSegments > 0 {
            text +=
                "<p>\(report.damagedSegments) segments of observations are not whole; what is missing is not "
                + "counted.</p>"
        }
        return text
    }

    private static func overview(_ report: Report) -> String {
        let head = [
            ("Route", "The route's name"), ("Requests", "All that were observed"),
            ("No token", "Requests without a token"),
            ("Repeats", "The same token and payload again; without a token, the same payload within the window"),
            ("Ran again", "Repeats that would have been replayed, and that the service answered anew"),
            ("Mismatch", "A token that was used before with another payload"),
            ("New token", "The payload of an earlier request under another token"),
        ]
        let titles = head.map { "<th scope=\"col\"><abbr title=\"\($0.1)\">\($0.0)</abbr></th>" }.joined()
        let rows = report.routes.enumerated().map { index, route -> String in
            let figures = route.figures
            let name = HTML.escaped(route.name)
            let link = figures.requests > 0 ? "<a href=\"#route-\(index + 1)\">\(name)</a>" : name
            let cells = [
                figures.requests, figures.withoutToken, figures.allDuplicates, figures.ranAgain, figures.mismatches,
                figures.otherKeys,
            ].map { "<td>\($0)</td>" }.joined()
            return "<tr><th scope=\"row\">\(link)</th>\(cells)</tr>"
        }
        return """
            <div class="scroll"><table><caption>Routes; what matters most comes first</caption>
            <thead><tr>\(titles)</tr></thead>
            <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
            """
    }

    private static func section(_ route: Report.Route, number: Int) -> String {
        let figures = route.figures
        var parts = ["<section id=\"route-\(number)\"><h2>\(HTML.escaped(route.name))</h2>"]
        var counts = ["\(figures.withToken) with a token", "\(figures.withoutToken) without"]
        if figures.malformed > 0 { counts.append("\(figures.malformed) with a malformed one") }
        if figures.unscoped > 0 { counts.append("\(figures.unscoped) without the scope") }
        if figures.unread > 0 { counts.append("\(figures.unread) too large to look for one") }
        parts.append("<p>\(figures.requests) requests: \(counts.joined(separator: ", ")).</p>")
        parts.append(verdicts(figures))
        if figures.allDuplicates > 0 {
            parts.append(ReportPlot.hours(figures, id: "hours-\(number)"))
        }
        parts.append(
            ReportPlot.gaps(figures.gaps, "Time from a request with a token to its repeat", id: "gaps-\(number)"))
        parts.append(
            ReportPlot.gaps(
                figures.gapsWithoutToken, "Time from a request without token to the next equal one",
                id: "without-\(number)"))
        parts.append(
            ReportPlot.gaps(
                figures.gapsOfOtherKeys, "Time from a request to the same payload under another token",
                id: "other-\(number)"))
        if let suggestion = route.suggestion { parts.append(self.suggestion(suggestion)) }
        parts.append("</section>")
        return parts.filter { !$0.isEmpty }.joined(separator: "\n")
    }

    private static func verdicts(_ figures: RouteFigures) -> String {
        guard figures.allDuplicates > 0 else { return "<p>No repeat was seen.</p>" }
        let all = figures.verdicts + figures.verdictsWithoutToken
        var rows = VerdictRows(all).rows.map { ($0.count, $0.text) }
        if all.runs > 0 { rows.append((all.runs, "would have run all the same: the first was not executed")) }
        if all.held > 0 { rows.append((all.held, "would have got 409: what became of the first is not known")) }
        let cells = rows.map { "<tr><td>\($0.0)</td><th scope=\"row\">\($0.1)</th></tr>" }.joined(separator: "\n")
        let joined = all.joined > 0 ? " \(all.joined) of them came while the first attempt was still running." : ""
        return """
            <p>\(figures.allDuplicates) repeats, \(figures.duplicatesWithoutToken) of them without a token. <strong>\
            <code>mode enforce</code> would have replayed \(all.replayed).</strong>\(joined)</p>
            <table class="verdicts"><caption>What became of the repeats</caption><tbody>\(cells)</tbody></table>
            """
    }

    private static func suggestion(_ suggestion: RouteSuggestion) -> String {
        let reasons = suggestion.reasons.map {
            "<dt><code>\(HTML.escaped($0.subject))</code></dt><dd>\(HTML.escaped($0.text))</dd>"
        }
        let cautions = suggestion.cautions.map { "<li>\(HTML.escaped($0)).</li>" }
        let list = cautions.isEmpty ? "" : "<ul>\(cautions.joined(separator: "\n"))</ul>"
        return """
            <h3>Suggested configuration</h3>
            <pre><code>\(HTML.escaped(suggestion.lines.joined(separator: "\n")))</code></pre>
            <dl>\(reasons.joined(separator: "\n"))</dl>
            \(list)
            """
    }

    private static let style = """

        :root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --faint: #59636e; --line: #d1d9e0;
          --bar: #0a5ea8; --quiet: #f3f5f7; }
        @media (prefers-color-scheme: dark) { :root { --back: #0f1419; --text: #e6edf3; --faint: #9da7b1;
          --line: #364049; --bar: #6cb2f2; --quiet: #1a2129; } }
        body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
        main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
        h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; overflow-wrap: anywhere; }
        h3 { font-size: 1rem; }
        section { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: .5rem; }
        table { border-collapse: collapse; } caption { text-align: left; color: var(--faint); padding: .25rem 0; }
        td, th { padding: .25rem .9rem .25rem 0; text-align: right; font-variant-numeric: tabular-nums;
          border-bottom: 1px solid var(--line); }
        th[scope=row], thead th:first-child { text-align: left; font-weight: normal; overflow-wrap: anywhere; }
        .scroll, figure { overflow-x: auto; } .scroll th:first-child { min-width: 9rem; }
        abbr { text-decoration: none; }
        a { color: var(--bar); }
        pre { background: var(--quiet); padding: .75rem 1rem; overflow-x: auto; border-radius: 4px; }
        code { font-family: ui-monospace, monospace; font-size: .92em; }
        dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0; }
        dd { margin: 0; }
        figure { margin: 1.5rem 0; } figcaption { font-weight: 600; }
        svg { width: 100%; min-width: 38rem; height: auto; display: block; }
        svg text { fill: var(--text); font-size: 13px; }
        svg .bar { fill: var(--bar); } svg .axis { stroke: var(--line); }
        summary { color: var(--faint); cursor: pointer; }
        footer { color: var(--faint); margin-top: 3rem; font-size: .9rem; overflow-wrap: anywhere; }
        @media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
        @media print { details > * { display: block; } }

        """
}

enum HTML {
    /// Text as content and as a quoted attribute.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case _ where scalar.value < 0x20 && scalar != "\n" && scalar != "\t": escaped += "\u{FFFD}"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
