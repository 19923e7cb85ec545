/// One worker's access log: formats a line per exchange into a buffer of its own, and hands whole lines to the sink. On
/// its worker only. No allocation once the buffer has its size.
package final class AccessLog {
    package enum Format: Sendable {
        case json
        /// For people.
        case text
        case off
    }

    private let format: Format
    private let sink: LogSink?
    private var formatter: AccessLineFormatter

    /// Lines are handed over at this size, or by `flush`.
    private static let bufferBytesMax = 16 << 10

    /// - Parameter sink: shared by all workers; nil is for `.off`.
    package init(_ format: Format, sink: LogSink?, names: ConfiguredNames) {
        self.format = sink == nil ? .off : format
        self.sink = sink
        formatter = AccessLineFormatter(names: names)
    }

    /// Takes in the names of a configuration that was read again.
    package func extend(_ names: ConfiguredNames) {
        formatter.setNames(names)
    }

    /// Ask before filling an entry.
    package var isEnabled: Bool { format != .off }

    /// Adds a line.
    package func append(_ entry: borrowing AccessEntry) {
        switch format {
        case .off: return
        case .json: formatter.appendJSON(entry)
        case .text: formatter.appendText(entry)
        }
        if formatter.buffer.count >= Self.bufferBytesMax {
            flush()
        }
    }

    /// Hands over what there is; at the end of each batch. Never waits.
    package func flush() {
        guard formatter.lineCount > 0, let sink else { return }
        sink.submit(formatter.buffer.span, lineCount: formatter.lineCount)
        formatter.removeAll()
    }

    /// Lines not yet handed over, for tests.
    var unflushed: [UInt8] { formatter.buffer.octets }
}
