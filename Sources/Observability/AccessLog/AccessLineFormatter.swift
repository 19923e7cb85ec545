/// The lines of the access log, one after the other. A value, so that the log checks for overlapping accesses once per
/// line and not once per field.
struct AccessLineFormatter: ~Copyable {
    private(set) var buffer = TextBuffer(capacity: 20 << 10)
    private(set) var lineCount = 0

    private var timestamps = TimestampFormatter()
    /// Escaped beforehand.
    private let listeners: [[UInt8]]
    private var routes: [[UInt8]]

    /// Longer texts are cut.
    private static let textBytesMax = 8 << 10

    init(names: ConfiguredNames) {
        listeners = names.listeners.map(Self.escaped)
        routes = names.routes.map(Self.escaped)
    }

    /// Of a configuration that was read again; the listeners stay.
    mutating func setNames(_ names: ConfiguredNames) {
        routes = names.routes.map(Self.escaped)
    }

    mutating func removeAll() {
        buffer.removeAll()
        lineCount = 0
    }

    private static func escaped(_ name: String) -> [UInt8] {
        var text = TextBuffer(capacity: 64)
        text.append(escaped: name)
        return text.octets
    }

    // MARK: JSON

    private mutating func appendTLS(_ entry: borrowing AccessEntry) {
        guard let version = entry.tlsVersion else { return }
        buffer.append(",\"tls\":{\"version\":\"")
        buffer.append(version)
        buffer.append(UInt8(ascii: "\""))
        appendText(",\"sni\":\"", entry.serverName)
        buffer.append(entry.isTLSResumed ? ",\"resumed\":true}" : ",\"resumed\":false}")
    }

    mutating func appendJSON(_ entry: borrowing AccessEntry) {
        buffer.append("{\"ts\":\"")
        timestamps.append(milliseconds: entry.milliseconds, to: &buffer)
        buffer.append("\",\"level\":\"info\",\"msg\":\"request\"")
        appendName(",\"listener\":\"", listeners, entry.listener)
        appendText(",\"client_ip\":\"", entry.clientIP)
        appendText(",\"remote_ip\":\"", entry.remoteIP)
        switch entry.version {
        case .http10: buffer.append(",\"proto\":\"HTTP/1.0\"")
        case .http11: buffer.append(",\"proto\":\"HTTP/1.1\"")
        case .http2: buffer.append(",\"proto\":\"HTTP/2.0\"")
        }
        appendTLS(entry)
        appendText(",\"method\":\"", entry.method)
        appendText(",\"host\":\"", entry.host)
        appendText(",\"path\":\"", entry.path)
        if !entry.query.isEmpty {
            buffer.append(",\"query_redacted\":\"")
            buffer.append(redactedQuery: entry.query)
            buffer.append(UInt8(ascii: "\""))
        }
        appendName(",\"route\":\"", routes, entry.route)
        buffer.append(",\"status\":")
        buffer.append(decimal: UInt64(entry.status))
        buffer.append(",\"bytes_in\":")
        buffer.append(decimal: entry.bytesIn)
        buffer.append(",\"bytes_out\":")
        buffer.append(decimal: entry.bytesOut)
        buffer.append(",\"duration\":")
        buffer.append(secondsOf: entry.durationNanoseconds)
        appendSeconds(",\"ttfb\":", entry.timeToFirstByteNanoseconds)
        appendUpstream(entry)
        appendSeconds(",\"overhead\":", entry.overheadNanoseconds)
        appendIdempotency(entry)
        appendText(",\"request_id\":\"", entry.requestID)
        if let trace = entry.trace {
            buffer.append(",\"trace_id\":\"")
            buffer.append(hex: trace.traceIDHigh)
            buffer.append(hex: trace.traceIDLow)
            buffer.append("\",\"span_id\":\"")
            buffer.append(hex: trace.parentID)
            buffer.append(UInt8(ascii: "\""))
        }
        buffer.append(",\"term\":\"")
        buffer.append(entry.termination.cause.rawValue)
        buffer.append(entry.termination.phase.rawValue)
        buffer.append("\"}\n")
        lineCount += 1
    }

    private mutating func appendUpstream(_ entry: borrowing AccessEntry) {
        guard !entry.upstreamAddress.isEmpty else { return }
        appendText(",\"upstream\":{\"addr\":\"", entry.upstreamAddress)
        if entry.upstreamStatus != 0 {
            buffer.append(",\"status\":")
            buffer.append(decimal: UInt64(entry.upstreamStatus))
        }
        appendSeconds(",\"duration\":", entry.upstreamDurationNanoseconds)
        appendSeconds(",\"connect\":", entry.upstreamConnectNanoseconds)
        buffer.append(entry.isUpstreamReused ? ",\"reused\":true" : ",\"reused\":false")
        if entry.upstreamAttempts > 0 {
            buffer.append(",\"attempts\":")
            buffer.append(decimal: UInt64(entry.upstreamAttempts))
        }
        buffer.append(UInt8(ascii: "}"))
    }

    private mutating func appendIdempotency(_ entry: borrowing AccessEntry) {
        guard let outcome = entry.outcome else { return }
        buffer.append(",\"idem\":{\"outcome\":\"")
        buffer.append(outcome.text)
        buffer.append(UInt8(ascii: "\""))
        if let prefix = entry.keyHashPrefix {
            buffer.append(",\"key_hash\":\"")
            buffer.append(hex: prefix)
            buffer.append(UInt8(ascii: "\""))
        }
        if let age = entry.recordAgeMilliseconds {
            buffer.append(",\"age\":")
            buffer.append(secondsOf: age &* 1_000_000)
        }
        buffer.append(UInt8(ascii: "}"))
    }

    @inline(__always)
    private mutating func appendText(_ label: StaticString, _ text: Span<UInt8>) {
        guard !text.isEmpty else { return }
        buffer.append(label)
        appendCut(text)
        buffer.append(UInt8(ascii: "\""))
    }

    @inline(__always)
    private mutating func appendName(_ label: StaticString, _ names: [[UInt8]], _ index: Int) {
        guard names.indices.contains(index) else { return }
        buffer.append(label)
        buffer.append(names[index])
        buffer.append(UInt8(ascii: "\""))
    }

    @inline(__always)
    private mutating func appendSeconds(_ label: StaticString, _ nanoseconds: UInt64?) {
        guard let nanoseconds else { return }
        buffer.append(label)
        buffer.append(secondsOf: nanoseconds)
    }

    private mutating func appendCut(_ text: Span<UInt8>) {
        buffer.append(escaped: text.extracting(first: Self.textBytesMax))
    }

    // MARK: Text

    /// `TIME CLIENT "METHOD HOST/PATH?QUERY" STATUS SECONDSs BYTES TERM name=value…`
    mutating func appendText(_ entry: borrowing AccessEntry) {
        timestamps.append(milliseconds: entry.milliseconds, to: &buffer)
        buffer.append(UInt8(ascii: " "))
        if entry.clientIP.isEmpty { buffer.append("-") } else { appendCut(entry.clientIP) }
        buffer.append(" \"")
        appendCut(entry.method)
        buffer.append(UInt8(ascii: " "))
        appendCut(entry.host)
        appendCut(entry.path)
        if !entry.query.isEmpty {
            buffer.append(UInt8(ascii: "?"))
            buffer.append(redactedQuery: entry.query)
        }
        buffer.append("\" ")
        buffer.append(decimal: UInt64(entry.status))
        buffer.append(UInt8(ascii: " "))
        buffer.append(secondsOf: entry.durationNanoseconds)
        buffer.append("s ")
        buffer.append(decimal: entry.bytesOut)
        buffer.append(UInt8(ascii: " "))
        buffer.append(entry.termination.cause.rawValue)
        buffer.append(entry.termination.phase.rawValue)
        appendName(" route=\"", routes, entry.route)
        appendText(" upstream=\"", entry.upstreamAddress)
        appendSeconds(" upstream_duration=", entry.upstreamDurationNanoseconds)
        if let outcome = entry.outcome {
            buffer.append(" idem=")
            buffer.append(outcome.text)
        }
        if let prefix = entry.keyHashPrefix {
            buffer.append(" key_hash=")
            buffer.append(hex: prefix)
        }
        appendText(" request_id=\"", entry.requestID)
        buffer.append(UInt8(ascii: "\n"))
        lineCount += 1
    }
}
