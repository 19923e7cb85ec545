/// Absorbs multipart bodies (RFC 2046 §5.1, RFC 7578) so that the boundary does not count and all else does: the parts
/// in their order, each with its fields and its octets. What stands before the first and behind the last part is for
/// no one.
///
/// Hash input, sizes and counts as `append(variable:)`:
/// ```
/// body    size subtype part… 0
/// part    1 size fields size(64 bits) octets
/// fields  count { size name value }…     names in lower case, in their order; equal names in that of the part
/// value   Content-Disposition, Content-Type: size value count { size name size value }…    in the order of names
///         others: size value
/// ```
/// Content-Length, and a Content-Transfer-Encoding that encodes nothing (`7bit`, `8bit`, `binary`), do not count. The
/// disposition and the type are the same in any case; a parameter is the same quoted or not.
///
/// Not multipart, and so taken by its octets: line ends without CR, a folded field, a boundary followed by anything but
/// the line's end, no last boundary. Parsers disagree on them.
struct MultipartCanonicaliser: Sendable {
    static let partsMax = 1024
    static let fieldsMax = 64
    static let fieldOctetsMax = 16 << 10

    private struct Field {
        var name: Range<Int>
        var value: Range<Int>
    }

    private var delimiter: [UInt8] = []
    private var fields: [Field] = []
    private var tokens: [UInt8] = []
    private var scratch: [UInt8] = []
    private var parameters = ParameterField()
    private var name: Range<Int>?

    /// Absorbs a body. False, with nothing absorbed, if it is not multipart with this boundary.
    mutating func absorb(
        _ body: Span<UInt8>, boundary: [UInt8], subtype: [UInt8], selection: FormSelection, into hash: inout SHA256
    ) -> Bool {
        guard Self.isBoundary(boundary) else { return false }
        delimiter = [0x0D, 0x0A, 0x2D, 0x2D] + boundary
        var trial = hash
        trial.update(prefixed: subtype)
        // The first delimiter may stand at the start, without the line end before it.
        var position = 0
        if body.starts(with: Array(delimiter[2...])) {
            position = delimiter.count - 2
        } else {
            let start = find(in: body, from: 0)
            guard start < body.count, !holdsBoundary(body.extracting(0..<start)) else { return false }
            position = start + delimiter.count
        }
        var parts = 0
        while true {
            guard let end = Self.endOfDelimiter(body, position) else { return false }
            if end.isLast {
                guard !holdsBoundary(body.extracting(end.position..<body.count)) else { return false }
                trial.update(0)
                hash = trial
                return true
            }
            let contentEnd = find(in: body, from: end.position)
            guard contentEnd < body.count, parts < Self.partsMax else { return false }
            parts += 1
            guard absorbPart(body.extracting(end.position..<contentEnd), selection, &trial) else { return false }
            position = contentEnd + delimiter.count
        }
    }

    // MARK: Delimiters

    /// RFC 2046 §5.1.1.
    private static func isBoundary(_ boundary: [UInt8]) -> Bool {
        guard (1...70).contains(boundary.count), boundary.last != 0x20 else { return false }
        return boundary.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
    }

    /// The position of the next delimiter; the body's end if there is none.
    private func find(in body: Span<UInt8>, from start: Int) -> Int {
        var index = start
        let last = body.count - delimiter.count
        while index <= last {
            if body[index] == 0x0D, body.equals(delimiter, at: index..<(index + delimiter.count)) { return index }
            index += 1
        }
        return body.count
    }

    /// Whether a lenient parser could find a part in octets that do not count.
    private func holdsBoundary(_ octets: Span<UInt8>) -> Bool {
        let mark = Array(delimiter[2...])
        var index = 0
        while index + mark.count <= octets.count {
            if octets[index] == 0x2D, octets.equals(mark, at: index..<(index + mark.count)) { return true }
            index += 1
        }
        return false
    }

    /// What follows a boundary: `--`, or white space and the line's end.
    private static func endOfDelimiter(_ body: Span<UInt8>, _ start: Int) -> (position: Int, isLast: Bool)? {
        var position = start
        if position + 1 < body.count, body[position] == 0x2D, body[position + 1] == 0x2D {
            position += 2
            let isAlone = position == body.count || body[position] <= 0x20
            return isAlone ? (position, true) : nil
        }
        while position < body.count, body[position] == 0x20 || body[position] == 0x09 { position += 1 }
        guard position + 1 < body.count, body[position] == 0x0D, body[position + 1] == 0x0A else { return nil }
        return (position + 2, false)
    }

    // MARK: Parts

    private mutating func absorbPart(_ part: Span<UInt8>, _ selection: FormSelection, _ hash: inout SHA256) -> Bool {
        guard let contentStart = readFields(part), writeFields(part) else { return false }
        if let name {
            guard selection.counts(part.extracting(name)) else { return true }
        } else if !selection.include.isEmpty {
            return true
        }
        hash.update(1)
        hash.update(prefixed: tokens)
        hash.update(integer: UInt64(part.count - contentStart))
        hash.update(part.extracting(contentStart..<part.count))
        return true
    }

    /// Reads the fields of a part; where its content starts.
    private mutating func readFields(_ part: Span<UInt8>) -> Int? {
        fields.removeAll(keepingCapacity: true)
        var position = 0
        while true {
            let start = position
            while position + 1 < part.count, part[position] != 0x0D || part[position + 1] != 0x0A {
                guard Self.isFieldOctet(part[position]), position < Self.fieldOctetsMax else { return nil }
                position += 1
            }
            guard position + 1 < part.count else { return nil }
            let end = position
            position += 2
            if start == end { return position }
            let colon = part.extracting(0..<end).firstIndex(of: 0x3A, from: start)
            guard colon < end, colon > start, fields.count < Self.fieldsMax else { return nil }
            for index in start..<colon where part[index] <= 0x20 || part[index] >= 0x7F { return nil }
            fields.append(Field(name: start..<colon, value: part.trimmed((colon + 1)..<end)))
        }
    }

    private static func isFieldOctet(_ octet: UInt8) -> Bool {
        octet >= 0x20 && octet != 0x7F || octet == 0x09
    }

    /// Writes the fields that count into `tokens` and finds the part's name.
    private mutating func writeFields(_ part: Span<UInt8>) -> Bool {
        tokens.removeAll(keepingCapacity: true)
        name = nil
        var hasDisposition = false
        var hasType = false
        var counted: [Field] = []
        for field in fields {
            let fieldName = part.extracting(field.name)
            if fieldName.equals(ignoringCase: "content-length") { continue }
            if fieldName.equals(ignoringCase: "content-transfer-encoding"),
                Self.isIdentity(part.extracting(field.value))
            {
                continue
            }
            // Stable, so that fields of one name keep their order.
            let place = counted.firstIndex { fieldName.precedes(lowercasing: part.extracting($0.name)) }
            counted.insert(field, at: place ?? counted.count)
        }
        tokens.append(variable: counted.count)
        for field in counted {
            let fieldName = part.extracting(field.name)
            tokens.append(lowercasing: fieldName)
            let isDisposition = fieldName.equals(ignoringCase: "content-disposition")
            let isType = fieldName.equals(ignoringCase: "content-type")
            let value = part.extracting(field.value)
            guard isDisposition || isType else {
                tokens.append(variable: value.count)
                tokens.append(value)
                continue
            }
            guard !(isDisposition ? hasDisposition : hasType), parameters.parse(value) else { return false }
            if isDisposition {
                hasDisposition = true
                let offset = field.value.lowerBound
                name = parameters.find("name", in: value).map { ($0.lowerBound + offset)..<($0.upperBound + offset) }
            } else {
                hasType = true
            }
            tokens.append(lowercasing: value.extracting(parameters.value))
            parameters.writeParameters(value, into: &tokens)
        }
        return true
    }

    private static func isIdentity(_ value: Span<UInt8>) -> Bool {
        value.equals(ignoringCase: "7bit") || value.equals(ignoringCase: "8bit") || value.equals(ignoringCase: "binary")
    }
}
