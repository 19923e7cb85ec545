/// Writes HTTP/1.1 messages from parsed values, appending to the caller's reused array. Our own version is always sent.
package enum HTTP1Serialiser {
    /// Appends `METHOD SP target SP HTTP/1.1 CRLF`. Both come from a parsed head or are literals of ours.
    package static func requestLine(method: Span<UInt8>, target: Span<UInt8>, to output: inout [UInt8]) {
        output.append(span: method)
        output.append(Octet.space)
        output.append(span: target)
        output.append(literal: " HTTP/1.1\r\n")
    }

    /// Appends the status line with the registered reason phrase, or none for an unregistered status.
    package static func statusLine(_ status: UInt16, to output: inout [UInt8]) {
        if let line = registeredStatusLine(status) {
            output.append(literal: line)
            return
        }
        output.append(literal: "HTTP/1.1 ")
        decimal(UInt64(status), to: &output)
        output.append(literal: " \r\n")
    }

    /// Appends every line that is not dropped as `name ": " value CRLF`, in order; octets and case of name and value
    /// are kept.
    ///
    /// Lines that stand in that form side by side in the source are copied as one run.
    package static func fieldLines(of section: borrowing FieldSection, to output: inout [UInt8]) {
        let octets = section.octets.span
        let lines = section.lines.span
        var runStart = 0
        var runEnd = 0
        for index in lines.indices {
            let line = lines[index]
            if line.isDropped { continue }
            let name = line.name.bounds
            let value = line.value.bounds
            let end = value.upperBound &+ 2
            let isCanonical =
                value.lowerBound == name.upperBound &+ 2 && octets[name.upperBound &+ 1] == Octet.space
                && end <= octets.count
                && octets[value.upperBound] == Octet.carriageReturn && octets[end &- 1] == Octet.lineFeed
            if isCanonical, name.lowerBound == runEnd {
                runEnd = end
                continue
            }
            if runStart < runEnd { output.append(span: octets.extracting(runStart..<runEnd)) }
            if isCanonical {
                runStart = name.lowerBound
                runEnd = end
            } else {
                runStart = 0
                runEnd = 0
                fieldLine(name: octets.extracting(name), value: octets.extracting(value), to: &output)
            }
        }
        if runStart < runEnd { output.append(span: octets.extracting(runStart..<runEnd)) }
    }

    /// Appends one line that is known to be valid.
    private static func fieldLine(name: Span<UInt8>, value: Span<UInt8>, to output: inout [UInt8]) {
        output.append(span: name)
        output.append(literal: ": ")
        output.append(span: value)
        output.append(literal: "\r\n")
    }

    /// Appends `name ": " value CRLF`. False, and nothing is appended, when the value holds a control or outer
    /// whitespace: no value can split a message (RFC 9112 §11.1).
    @discardableResult
    package static func field(_ name: StaticString, _ value: Span<UInt8>, to output: inout [UInt8]) -> Bool {
        guard isFieldValue(value) else { return false }
        output.append(literal: name)
        output.append(literal: ": ")
        output.append(span: value)
        output.append(literal: "\r\n")
        return true
    }

    /// Appends a field whose name comes from the configuration. False, and nothing is appended, when either part is
    /// invalid.
    @discardableResult
    package static func field(name: Span<UInt8>, value: Span<UInt8>, to output: inout [UInt8]) -> Bool {
        guard isFieldName(name), isFieldValue(value) else { return false }
        fieldLine(name: name, value: value, to: &output)
        return true
    }

    /// Appends a field of two literals.
    package static func field(_ name: StaticString, _ value: StaticString, to output: inout [UInt8]) {
        output.append(literal: name)
        output.append(literal: ": ")
        output.append(literal: value)
        output.append(literal: "\r\n")
    }

    /// Appends a field with a decimal value.
    package static func field(_ name: StaticString, _ value: UInt64, to output: inout [UInt8]) {
        output.append(literal: name)
        output.append(literal: ": ")
        decimal(value, to: &output)
        output.append(literal: "\r\n")
    }

    /// Appends stored lines of the form `name ": " value CRLF`. False, and nothing is appended, when they are anything
    /// else.
    package static func storedLines(_ lines: Span<UInt8>, to output: inout [UInt8]) -> Bool {
        guard areFieldLines(lines) else { return false }
        output.append(span: lines)
        return true
    }

    /// The octets are zero or more lines of exactly the form `name ": " value CRLF`.
    package static func areFieldLines(_ lines: Span<UInt8>) -> Bool {
        var start = 0
        while start < lines.count {
            var index = start
            while index < lines.count, OctetSet.token.contains(lines[index]) { index &+= 1 }
            guard index > start, index &+ 1 < lines.count, lines[index] == Octet.colon, lines[index &+ 1] == Octet.space
            else {
                return false
            }
            let valueStart = index &+ 2
            index = lines.firstControl(from: valueStart)
            while index < lines.count, lines[index] == Octet.tab { index = lines.firstControl(from: index &+ 1) }
            guard index &+ 1 < lines.count, lines[index] == Octet.carriageReturn, lines[index &+ 1] == Octet.lineFeed,
                lines.trimmed(valueStart..<index).count == index - valueStart
            else { return false }
            start = index &+ 2
        }
        return true
    }

    /// Appends the empty line that ends a head.
    @inline(__always)
    package static func endOfHead(to output: inout [UInt8]) {
        output.append(literal: "\r\n")
    }

    /// Appends the one framing field of a message with a body of known size.
    package static func contentLength(_ length: UInt64, to output: inout [UInt8]) {
        output.append(literal: "Content-Length: ")
        decimal(length, to: &output)
        output.append(literal: "\r\n")
    }

    /// Appends the one framing field of a chunked message.
    package static func transferEncodingChunked(to output: inout [UInt8]) {
        output.append(literal: "Transfer-Encoding: chunked\r\n")
    }

    /// Appends the line before a chunk of `size` octets, at least one: a size of zero would end the body.
    package static func chunkHeader(_ size: Int, to output: inout [UInt8]) {
        precondition(size > 0, "a chunk holds at least one octet")
        hexadecimal(UInt64(size), to: &output)
        output.append(literal: "\r\n")
    }

    /// Appends the CRLF behind a chunk's data.
    package static func chunkEnd(to output: inout [UInt8]) {
        output.append(literal: "\r\n")
    }

    /// Appends the last chunk, the trailer lines (each `name ": " value CRLF`, as `fieldLines` writes them) and the
    /// end.
    package static func lastChunk(trailers: [UInt8] = [], to output: inout [UInt8]) {
        output.append(literal: "0\r\n")
        if !trailers.isEmpty { output.append(contentsOf: trailers) }
        output.append(literal: "\r\n")
    }

    /// Appends the number in decimal.
    package static func decimal(_ number: UInt64, to output: inout [UInt8]) {
        guard number >= 10 else {
            output.append(Octet.zero | UInt8(truncatingIfNeeded: number))
            return
        }
        var divisor: UInt64 = 10
        while number / divisor >= 10 { divisor *= 10 }
        var rest = number
        while divisor > 0 {
            output.append(Octet.zero | UInt8(truncatingIfNeeded: rest / divisor))
            rest %= divisor
            divisor /= 10
        }
    }

    /// Appends the number in hexadecimal, lower case, without leading zeros.
    package static func hexadecimal(_ number: UInt64, to output: inout [UInt8]) {
        var shift = (63 - (number | 1).leadingZeroBitCount) & ~3
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift)) & 0xf
            output.append(digit < 10 ? Octet.zero | digit : 0x61 + digit - 10)
            shift -= 4
        }
    }
}
