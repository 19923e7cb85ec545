import Observability

/// A record as the admin API tells it: metadata only.
struct RecordLine: Equatable {
    var key: String
    var state: String
    var route: String
    var kind: String
    var ageMilliseconds: UInt64
    /// 0 when its time has passed.
    var expiresInMilliseconds: UInt64
    var claimedAtMilliseconds: UInt64
    var status: UInt64?
    var bodyBytes: UInt64?
    var cause: String?
    /// Whether the answer reached its client; nil = not tracked, or not known yet.
    var isDelivered: Bool?
    var waiters: UInt64 = 0
    /// What happened to an outcome that is unknown or was, in order; times since the UNIX epoch.
    var timeline: [(atMilliseconds: UInt64, text: String)] = []

    /// Nil when members are missing.
    init?(_ value: JSONValue) {
        guard case .object(let members) = value, let key = members["key"]?.string, let state = members["state"]?.string,
            let route = members["route"]?.string, let kind = members["kind"]?.string,
            let age = members["age_ms"]?.integer,
            let claimedAt = members["claimed_at_ms"]?.integer, let expiresAt = members["expires_at_ms"]?.integer
        else { return nil }
        self.key = key
        self.state = state
        self.route = route
        self.kind = kind
        ageMilliseconds = age
        claimedAtMilliseconds = claimedAt
        let (now, overflows) = claimedAt.addingReportingOverflow(age)
        expiresInMilliseconds = overflows ? 0 : expiresAt - min(expiresAt, now)
        status = members["status"]?.integer
        bodyBytes = members["body_bytes"]?.integer
        cause = members["cause"]?.string
        if case .bool(let value)? = members["delivered"] { isDelivered = value }
        waiters = members["waiters"]?.integer ?? 0
        timeline = RecordLine.timeline(members)
    }

    private static func timeline(_ members: [String: JSONValue]) -> [(atMilliseconds: UInt64, text: String)] {
        guard let unknownAt = members["unknown_at_ms"]?.integer else { return [] }
        var timeline: [(atMilliseconds: UInt64, text: String)] = []
        if let claimedAt = members["claimed_at_ms"]?.integer { timeline.append((claimedAt, "claimed")) }
        timeline.append((unknownAt, "outcome unknown: \(members["cause"]?.string ?? "-")"))
        if let count = members["probes"]?.integer, let at = members["last_probe_at_ms"]?.integer,
            let result = members["last_probe"]?.string
        {
            timeline.append((at, count == 1 ? "probed: \(result)" : "probed \(count) times, the last time: \(result)"))
        }
        if let at = members["settled_at_ms"]?.integer, let by = members["settled_by"]?.string {
            timeline.append((at, "settled by \(by.replacing("_", with: " "))"))
        }
        return timeline
    }

    static func == (left: RecordLine, right: RecordLine) -> Bool { left.description == right.description }
}

extension RecordLine {
    private static let header = [
        "KEY", "STATE", "ROUTE", "KIND", "AGE", "EXPIRES IN", "STATUS", "BYTES", "DELIVERED", "CAUSE",
    ]

    private var cells: [String] {
        [
            key, state, route.isEmpty ? "-" : route, kind, DurationText.text(milliseconds: ageMilliseconds), expiryText,
            status.map { String($0) } ?? "-", bodyBytes.map { String($0) } ?? "-",
            isDelivered.map { $0 ? "yes" : "no" } ?? "-", cause ?? "-",
        ].map(RecordLine.printable)
    }

    /// A claim in flight is not forgotten, whatever its time.
    private var expiryText: String {
        state == "in_flight" ? "-" : DurationText.text(milliseconds: expiresInMilliseconds)
    }

    /// Aligned columns with a header; lines end in newlines.
    static func table(_ lines: [RecordLine]) -> String {
        let rows = [header] + lines.map(\.cells)
        let widths = header.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var text = ""
        for row in rows {
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
            }
            text += line + "\n"
        }
        return text
    }

    /// One member a line.
    var description: String {
        var members = [("key", key), ("state", state), ("route", route), ("kind", kind)]
        members.append(("age", DurationText.text(milliseconds: ageMilliseconds)))
        members.append(("expires in", expiryText))
        if let status { members.append(("status", String(status))) }
        if let bodyBytes { members.append(("bytes", String(bodyBytes))) }
        if let cause { members.append(("cause", cause)) }
        if state != "in_flight" {
            members.append(("delivered", isDelivered.map { $0 ? "yes" : "no" } ?? "not tracked"))
        }
        if waiters > 0 { members.append(("waiters", String(waiters))) }
        for (index, event) in timeline.enumerated() {
            members.append(
                (index == 0 ? "timeline" : "", "\(RecordLine.time(event.atMilliseconds))  \(event.text)"))
        }
        let width = members.map(\.0.count).max() ?? 0
        return members.map { name, value in
            name + String(repeating: " ", count: width - name.count + 2) + RecordLine.printable(value) + "\n"
        }.joined()
    }

    /// RFC 3339 in UTC.
    private static func time(_ milliseconds: UInt64) -> String {
        var buffer = TextBuffer(capacity: 32)
        var formatter = TimestampFormatter()
        formatter.append(milliseconds: milliseconds, to: &buffer)
        return String(decoding: buffer.span.indices.map { buffer.span[$0] }, as: UTF8.self)
    }

    /// Nothing that a record holds may steer the operator's terminal.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) ? "?" : $0 }))
    }
}

/// Durations as people read them: the two largest units.
enum DurationText {
    static func text(milliseconds: UInt64) -> String {
        let seconds = milliseconds / 1000
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400)
        if days > 0 { return "\(days)d\(hours % 24)h" }
        if hours > 0 { return "\(hours)h\(minutes % 60)m" }
        if minutes > 0 { return "\(minutes)m\(seconds % 60)s" }
        return seconds > 0 || milliseconds == 0 ? "\(seconds)s" : "\(milliseconds)ms"
    }
}
