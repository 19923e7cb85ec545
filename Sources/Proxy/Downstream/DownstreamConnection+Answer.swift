import HTTP
import Transport

/// Answers as HTTP/1 messages.
extension DownstreamConnection {
    /// How the body of an answer is delimited towards the client.
    enum AnswerFraming {
        /// No body, or one whose length its head tells.
        case length
        case chunked
        case untilClose
    }

    func sendInterim(_ status: UInt16, fieldLines: [UInt8]) {
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.statusLine(status, to: &context.scratch)
        context.scratch.append(contentsOf: fieldLines)
        HTTP1Serialiser.endOfHead(to: &context.scratch)
        write(contentsOf: context.scratch)
    }

    func sendHead(_ head: AnswerHead, fieldLines: [UInt8], more: [UInt8]) -> Int {
        switch head.framing {
        case .none, .length: answerFraming = .length
        case .chunked, .untilClose: answerFraming = head.version == .http11 ? .chunked : .untilClose
        }
        if answerFraming == .untilClose { closeAfterAnswer() }
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.statusLine(head.status, to: &context.scratch)
        context.scratch.append(contentsOf: fieldLines)
        if !more.isEmpty { context.scratch.append(contentsOf: more) }
        if head.framing == .length(0), !fieldLines.holdContentLength {
            // HTTP/2 ends a message without telling its length.
            context.scratch.append(contentsOf: WireText.contentLengthZeroLine)
        }
        if answerFraming == .chunked { context.scratch.append(contentsOf: WireText.chunkedLine) }
        if closesAfterAnswer {
            context.scratch.append(contentsOf: WireText.closeLine)
        } else if head.version == .http10 {
            context.scratch.append(contentsOf: WireText.keepAliveLine)
        }
        HTTP1Serialiser.endOfHead(to: &context.scratch)
        write(contentsOf: context.scratch)
        return context.scratch.count
    }

    func sendBody(_ octets: Span<UInt8>) {
        guard octets.count > 0 else { return }
        beginChunk(octets.count)
        write(octets)
        endChunk()
    }

    func sendBody(shared octets: [UInt8]) {
        guard !octets.isEmpty else { return }
        beginChunk(octets.count)
        write(shared: octets, 0..<octets.count)
        endChunk()
    }

    private func beginChunk(_ size: Int) {
        guard answerFraming == .chunked else { return }
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.chunkHeader(size, to: &context.scratch)
        write(contentsOf: context.scratch)
    }

    private func endChunk() {
        if answerFraming == .chunked { write(contentsOf: WireText.lineEnd) }
    }

    func sendEnd(trailerLines: [UInt8]) {
        guard answerFraming == .chunked else { return }
        context.scratch.removeAll(keepingCapacity: true)
        HTTP1Serialiser.lastChunk(trailers: trailerLines, to: &context.scratch)
        write(contentsOf: context.scratch)
    }
}

extension [UInt8] {
    /// Whether lines of the form `name: value CRLF` have Content-Length among them.
    fileprivate var holdContentLength: Bool {
        let name = WireText.contentLengthName
        var start = 0
        while start + name.count < count {
            var index = 0
            while index < name.count, self[start + index] | 0x20 == name[index] { index += 1 }
            if index == name.count { return true }
            guard let end = self[start...].firstIndex(of: UInt8(ascii: "\n")) else { return false }
            start = end + 1
        }
        return false
    }
}
