import Idempotency
import Observability

/// The report as JSON. Members are only ever added; `format` changes if one changes its meaning (docs/observe.md).
enum ReportJSON {
    static func text(of report: Report) -> String {
        let members: [(String, Value)] = [
            ("format", .number(1)), ("store", .string(report.store)),
            ("generated_at_ms", .number(report.generatedMilliseconds)),
            ("since_ms", report.sinceMilliseconds.map { .number($0) } ?? .null),
            ("from_ms", report.firstMilliseconds.map { .number($0) } ?? .null),
            ("to_ms", report.lastMilliseconds.map { .number($0) } ?? .null),
            ("requests", .number(report.requests)), ("damaged_segments", .number(UInt64(report.damagedSegments))),
            ("routes", .array(report.routes.map(route))),
        ]
        return Value.object(members).text(0) + "\n"
    }

    private static func route(_ route: Report.Route) -> Value {
        let figures = route.figures
        return .object([
            ("route", .string(figures.route.name)), ("requests", .number(figures.requests)),
            (
                "keys",
                .object([
                    ("token", .number(figures.withToken)), ("none", .number(figures.withoutToken)),
                    ("malformed", .number(figures.malformed)), ("unscoped", .number(figures.unscoped)),
                    ("unread", .number(figures.unread)),
                ])
            ),
            (
                "repeats",
                .object([
                    ("token", .number(figures.duplicates)), ("without_token", .number(figures.duplicatesWithoutToken)),
                ])
            ),
            ("mismatches", .number(figures.mismatches)), ("mismatched_tokens", .number(figures.mismatchedTokens)),
            ("other_keys", .number(figures.otherKeys)), ("ran_again", .number(figures.ranAgain)),
            (
                "enforced",
                .object([
                    ("token", verdicts(figures.verdicts)), ("without_token", verdicts(figures.verdictsWithoutToken)),
                ])
            ),
            (
                "gaps",
                .object([
                    ("token", gaps(figures.gaps)), ("without_token", gaps(figures.gapsWithoutToken)),
                    ("other_key", gaps(figures.gapsOfOtherKeys)),
                ])
            ),
            (
                "hours",
                .array(
                    figures.hours.map { hour in
                        .object([
                            ("hour_ms", .number(hour.milliseconds)), ("requests", .number(hour.requests)),
                            ("repeats", .number(hour.duplicates)),
                        ])
                    })
            ),
            ("suggestion", route.suggestion.map(suggestion) ?? .null),
        ])
    }

    private static func verdicts(_ verdicts: RouteFigures.Verdicts) -> Value {
        .object([
            ("would_replay", .number(verdicts.replayed)), ("same_answer", .number(verdicts.same)),
            ("other_answer", .number(verdicts.otherAnswer)), ("other_status", .number(verdicts.otherStatus)),
            ("first_answer_lost", .number(verdicts.lost)), ("not_compared", .number(verdicts.uncompared)),
            ("would_join", .number(verdicts.joined)), ("would_run", .number(verdicts.runs)),
            ("would_hold", .number(verdicts.held)),
        ])
    }

    private static func gaps(_ gaps: GapHistogram) -> Value {
        let bounds: [Value] = GapHistogram.boundsMilliseconds.map { .number($0) } + [.null]
        return .array(
            zip(bounds, gaps.counts).map { bound, count in
                .object([("up_to_ms", bound), ("count", .number(count))])
            })
    }

    private static func suggestion(_ suggestion: RouteSuggestion) -> Value {
        .object([
            ("configuration", .string(suggestion.lines.joined(separator: "\n") + "\n")),
            (
                "reasons",
                .array(
                    suggestion.reasons.map {
                        .object([("directive", .string($0.subject)), ("reason", .string($0.text))])
                    })
            ),
            ("cautions", .array(suggestion.cautions.map { .string($0) })),
        ])
    }

    private indirect enum Value {
        case null
        case number(UInt64)
        case string(String)
        case array([Value])
        case object([(String, Value)])

        func text(_ depth: Int) -> String {
            let inner = String(repeating: "  ", count: depth + 1)
            let outer = String(repeating: "  ", count: depth)
            switch self {
            case .null: return "null"
            case .number(let number): return String(number)
            case .string(let text): return Value.quoted(text)
            case .array(let values):
                if values.isEmpty { return "[]" }
                return "[\n" + values.map { inner + $0.text(depth + 1) }.joined(separator: ",\n") + "\n\(outer)]"
            case .object(let members):
                // Small ones on one line.
                if members.count <= 3, members.allSatisfy({ $0.1.isPlain }) {
                    return "{" + members.map { "\(Value.quoted($0.0)): \($0.1.text(0))" }.joined(separator: ", ") + "}"
                }
                return "{\n"
                    + members.map { "\(inner)\(Value.quoted($0.0)): \($0.1.text(depth + 1))" }.joined(separator: ",\n")
                    + "\n\(outer)}"
            }
        }

        private var isPlain: Bool {
            switch self {
            case .null, .number, .string: true
            case .array, .object: false
            }
        }

        private static func quoted(_ text: String) -> String {
            var buffer = TextBuffer(capacity: text.utf8.count + 2)
            buffer.append(escaped: text)
            return "\"" + String(decoding: buffer.octets, as: UTF8.self) + "\""
        }
    }
}
