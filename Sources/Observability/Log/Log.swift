import Glibc
import Synchronization

/// The operator's log: one line per event, a constant message and typed fields. Info is for what an operator does and
/// for the process's life, debug for single requests, error for a guarantee that was lost.
package final class Log: Sendable {
    package enum Level: UInt8, Sendable, Comparable, CaseIterable {
        case debug, info, warning, error

        package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

        var text: StaticString {
            switch self {
            case .debug: "debug"
            case .info: "info"
            case .warning: "warning"
            case .error: "error"
            }
        }
    }

    package enum Format: UInt8, Sendable {
        case json
        /// For people.
        case text
    }

    /// For its drop counter, reopening and flushing.
    package let sink: LogSink

    private let threshold: Atomic<UInt8>
    private let format: Format
    private let isAsynchronous = Atomic<Bool>(false)

    /// Lines are written before the call returns, until `becomeAsynchronous`.
    package init(_ sink: LogSink, level: Level = .info, format: Format = .text) {
        self.sink = sink
        self.format = format
        threshold = Atomic(level.rawValue)
    }

    /// The lowest level that is written. May be changed at any time.
    package var level: Level {
        get { Level(rawValue: threshold.load(ordering: .relaxed)) ?? .info }
        set { threshold.store(newValue.rawValue, ordering: .relaxed) }
    }

    /// The start is over: from here on a slow sink costs lines, not time.
    package func becomeAsynchronous() {
        isAsynchronous.store(true, ordering: .relaxed)
    }

    /// The end has come: the last words are written before the call returns (or after a second, not at all).
    package func becomeSynchronous() {
        isAsynchronous.store(false, ordering: .relaxed)
    }

    /// Ask before a debug message on the path of a request: its fields cost an allocation.
    package func isEnabled(_ level: Level) -> Bool {
        level.rawValue >= threshold.load(ordering: .relaxed)
    }

    package func debug(_ message: StaticString, _ fields: LogField...) {
        write(.debug, message, fields)
    }

    package func info(_ message: StaticString, _ fields: LogField...) {
        write(.info, message, fields)
    }

    package func warning(_ message: StaticString, _ fields: LogField...) {
        write(.warning, message, fields)
    }

    package func error(_ message: StaticString, _ fields: LogField...) {
        write(.error, message, fields)
    }

    private func write(_ level: Level, _ message: StaticString, _ fields: [LogField]) {
        guard isEnabled(level) else { return }
        submit(level, message, fields)
    }

    /// What must be on record whatever the level: who decided what.
    package func audit(_ message: StaticString, _ fields: [LogField]) {
        submit(.info, message, fields)
    }

    private func submit(_ level: Level, _ message: StaticString, _ fields: [LogField]) {
        var line = TextBuffer(capacity: 512)
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let milliseconds = UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
        Self.format(format, milliseconds, level, message, fields, to: &line)
        if isAsynchronous.load(ordering: .relaxed) {
            sink.submit(line.span, lineCount: 1)
        } else {
            sink.submitAndWait(line.span, lineCount: 1)
        }
    }
}

extension Log {
    /// Appends one line, its end included.
    static func format(
        _ format: Format, _ milliseconds: UInt64, _ level: Level, _ message: StaticString, _ fields: [LogField],
        to line: inout TextBuffer
    ) {
        var timestamps = TimestampFormatter()
        switch format {
        case .json:
            line.append("{\"ts\":\"")
            timestamps.append(milliseconds: milliseconds, to: &line)
            line.append("\",\"level\":\"")
            line.append(level.text)
            line.append("\",\"msg\":\"")
            appendMessage(message, fields, to: &line)
            line.append(UInt8(ascii: "\""))
            for field in fields {
                line.append(",\"")
                line.append(field.name)
                line.append("\":")
                append(field.value, quotesAlways: true, to: &line)
            }
            line.append("}\n")
        case .text:
            timestamps.append(milliseconds: milliseconds, to: &line)
            line.append(UInt8(ascii: " "))
            line.append(level.text)
            line.append(UInt8(ascii: " "))
            appendMessage(message, fields, to: &line)
            for field in fields where !field.isSubject {
                line.append(UInt8(ascii: " "))
                line.append(field.name)
                line.append(UInt8(ascii: "="))
                append(field.value, quotesAlways: false, to: &line)
            }
            line.append(UInt8(ascii: "\n"))
        }
    }

    private static func appendMessage(_ message: StaticString, _ fields: [LogField], to line: inout TextBuffer) {
        message.withUTF8Buffer { line.append(escaped: $0.span) }
        for field in fields where field.isSubject {
            line.append(UInt8(ascii: " "))
            if case .string(let text) = field.value {
                line.append(escaped: text)
            }
        }
    }

    private static func append(_ value: LogField.Value, quotesAlways: Bool, to line: inout TextBuffer) {
        switch value {
        case .string(let text): append(Array(text.utf8), quotesAlways, to: &line)
        case .octets(let octets): append(octets, quotesAlways, to: &line)
        case .signed(let number): line.append(decimal: number)
        case .unsigned(let number): line.append(decimal: number)
        case .bool(let bool): line.append(bool ? "true" : "false")
        case .double(let number):
            // JSON has no infinity.
            if number.isFinite { line.append(text: number.description) } else { line.append("null") }
        case .nanoseconds(let duration): line.append(secondsOf: duration)
        case .hex(let number):
            line.append(quotesAlways ? "\"" : "")
            line.append(hex: number)
            line.append(quotesAlways ? "\"" : "")
        }
    }

    private static func append(_ octets: [UInt8], _ quotesAlways: Bool, to line: inout TextBuffer) {
        let isWord =
            !octets.isEmpty
            && octets.allSatisfy {
                $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "\"") && $0 < 0x80 && $0 != UInt8(ascii: "=")
            }
        if isWord && !quotesAlways {
            line.append(escaped: octets.span)
        } else {
            line.append(UInt8(ascii: "\""))
            line.append(escaped: octets.span)
            line.append(UInt8(ascii: "\""))
        }
    }
}
