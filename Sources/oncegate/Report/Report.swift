import Glibc
import Idempotency
import Stores

/// What `oncegate report` shows, however it is written.
struct Report {
    struct Route {
        var figures: RouteFigures
        /// Nil where nothing was observed in the time asked for.
        var suggestion: RouteSuggestion?

        var name: String { figures.route.name }
    }

    /// The store's directory.
    var store: String
    var generatedMilliseconds: UInt64
    /// Nil = from the first observation on.
    var sinceMilliseconds: UInt64?
    /// What matters most comes first: routes whose service seems to have run requests twice, then those with repeats.
    var routes: [Route]
    /// Segments that end inside of a batch, or are damaged.
    var damagedSegments: Int

    init(
        store: String, content: ObservationSegments.Content, only route: String?, since: UInt64?, now: UInt64
    ) {
        self.store = store
        generatedMilliseconds = now
        sinceMilliseconds = since
        damagedSegments = content.damagedSegments
        let figures = ObservationAnalysis.figures(
            routes: content.routes, observations: content.observations, since: since ?? 0)
        routes = figures.filter { route == nil || $0.route.name == route }
            .map { Route(figures: $0, suggestion: RouteSuggestion($0)) }
            .sorted { Report.rank($0.figures) > Report.rank($1.figures) }
    }

    private static func rank(_ figures: RouteFigures) -> (UInt64, UInt64, UInt64) {
        (figures.ranAgain, figures.allDuplicates &+ figures.mismatches &+ figures.otherKeys, figures.requests)
    }

    var requests: UInt64 { routes.reduce(0) { $0 &+ $1.figures.requests } }
    var isEmpty: Bool { requests == 0 }

    var firstMilliseconds: UInt64? {
        routes.filter { $0.figures.requests > 0 }.map(\.figures.firstMilliseconds).min()
    }

    var lastMilliseconds: UInt64? {
        routes.filter { $0.figures.requests > 0 }.map(\.figures.lastMilliseconds).max()
    }

    /// What to do where there is nothing to report.
    var emptyText: String {
        if !routes.isEmpty || sinceMilliseconds != nil {
            return "No request was observed in this time; give a longer one with --since, or leave it away."
        }
        return """
            Nothing has been observed in \(store).

              1. Put 'mode observe;' into the block 'idempotency' of a route:
                     route /orders { upstream service; idempotency { mode observe; } }
              2. 'oncegate check', then reload the proxy: every request passes as before, and is counted.
              3. Let clients work for a day, and ask again.

            """
    }
}

/// Times of repeats, in steps of so many hours that there are not too many.
struct TimeSteps {
    struct Step {
        var milliseconds: UInt64
        var requests: UInt64 = 0
        var duplicates: UInt64 = 0
    }

    private static let hour: UInt64 = 3_600_000

    var hoursPerStep: UInt64
    /// Without gaps.
    var steps: [Step]

    init(_ figures: RouteFigures, max: Int) {
        guard let first = figures.hours.first, let last = figures.hours.last else {
            hoursPerStep = 1
            steps = []
            return
        }
        let span = (last.milliseconds - first.milliseconds) / Self.hour + 1
        var size: UInt64 = 1
        for candidate: UInt64 in [1, 2, 3, 6, 12, 24, 48, 168] {
            size = candidate
            if span / candidate < UInt64(max) { break }
        }
        // Whatever the span: as many hours as are needed.
        if span / size >= UInt64(max) { size = span / UInt64(max) + 1 }
        let width = size * Self.hour
        let start = first.milliseconds / width * width
        var steps = (0...(last.milliseconds - start) / width).map { Step(milliseconds: start + $0 * width) }
        for hour in figures.hours {
            let index = Int((hour.milliseconds - start) / width)
            steps[index].requests &+= hour.requests
            steps[index].duplicates &+= hour.duplicates
        }
        hoursPerStep = size
        self.steps = steps
    }

    /// `hour`, `day`, `6 hours`.
    var unit: String {
        switch hoursPerStep {
        case 1: "hour"
        case 24: "day"
        default: hoursPerStep % 24 == 0 ? "\(hoursPerStep / 24) days" : "\(hoursPerStep) hours"
        }
    }
}

/// What `RouteFigures.Verdicts` say, in words; the rows are the same in every format.
struct VerdictRows {
    struct Row {
        var count: UInt64
        var text: String
    }

    var rows: [Row]

    init(_ verdicts: RouteFigures.Verdicts) {
        rows = [
            Row(count: verdicts.otherAnswer, text: "the service answered something else, with the same status"),
            Row(count: verdicts.otherStatus, text: "the service answered with another status"),
            Row(count: verdicts.lost, text: "it ran again: the client had left before its first answer"),
            Row(count: verdicts.same, text: "the service answered the same"),
            Row(count: verdicts.uncompared, text: "the second answer was not read to its end"),
        ].filter { $0.count > 0 }
    }
}

extension RouteFigures.Verdicts {
    static func + (left: Self, right: Self) -> Self {
        var sum = left
        sum.same &+= right.same
        sum.otherAnswer &+= right.otherAnswer
        sum.otherStatus &+= right.otherStatus
        sum.lost &+= right.lost
        sum.uncompared &+= right.uncompared
        sum.runs &+= right.runs
        sum.held &+= right.held
        sum.joined &+= right.joined
        return sum
    }
}
