internal import Idempotency

/// The form of observations in a segment. Integers are little endian.
///
/// ```
/// Segment: 8 octets "OGOBSERV", version (32 bits), 0 (32 bits), then frames to its end.
/// Frame:   size of the content (32 bits), the lower half of its RowChecksum (32 bits), the content.
///
/// An observation, 96 octets:        A route, before the first observation that names it:
///    0   1  1                          0   1  2
///    1   1  key                        1   3  0
///    2   1  ending                     4   4  its number in this segment
///    3   1  rule                       8   8  retention, ms
///    4   2  status                    16   8  window, ms; 0: none
///    6   2  flags                     24   8  request body limit
///    8   4  route                     32      texts, each with its size (32 bits) before it: the name, how many
///   12   4  0                                 directives (32 bits, no text), these, how many of the hash, these
///   16   8  time, ms
///   24   8  duration, µs
///   32   8  request octets
///   40   8  answer octets
///   48  16  token
///   64  16  payload
///   80  16  digest
/// ```
enum ObservationCoding {
    static let magic = Array("OGOBSERV".utf8)
    static let version: UInt32 = 1
    static let headerBytes = 16
    static let frameHeadBytes = 8
    static let observationBytes = 96
    /// Above what any route takes.
    static let contentBytesMax = 1 << 20

    enum Content {
        case observation(Observation)
        case route(UInt32, ObservedRoute)
        /// Of a later version.
        case other
    }

    // MARK: Writing

    static func header() -> [UInt8] {
        var octets = magic
        append(version, to: &octets)
        append(UInt32(0), to: &octets)
        return octets
    }

    static func append(_ observation: Observation, to octets: inout [UInt8]) {
        let start = begin(&octets)
        octets.append(1)
        octets.append(observation.key.rawValue)
        octets.append(observation.ending.rawValue)
        octets.append(observation.rule.rawValue)
        append(observation.status, to: &octets)
        append(observation.flags.rawValue, to: &octets)
        append(observation.route, to: &octets)
        append(UInt32(0), to: &octets)
        append(observation.milliseconds, to: &octets)
        append(observation.durationMicroseconds, to: &octets)
        append(observation.requestBytes, to: &octets)
        append(observation.answerBytes, to: &octets)
        for hash in [observation.token, observation.payload, observation.digest] {
            append(hash.high, to: &octets)
            append(hash.low, to: &octets)
        }
        end(&octets, from: start)
    }

    static func append(_ route: ObservedRoute, number: UInt32, to octets: inout [UInt8]) {
        let start = begin(&octets)
        octets += [2, 0, 0, 0]
        append(number, to: &octets)
        append(route.retentionMilliseconds, to: &octets)
        append(route.windowMilliseconds ?? 0, to: &octets)
        append(route.requestBodyBytesMax, to: &octets)
        append(text: route.name, to: &octets)
        for list in [route.directives, route.hashDirectives] {
            append(UInt32(truncatingIfNeeded: list.count), to: &octets)
            for text in list { append(text: text, to: &octets) }
        }
        if octets.count - start - frameHeadBytes > contentBytesMax {
            // What the reader would not take: the route without its directives.
            octets.removeLast(octets.count - start)
            var short = route
            short.directives = []
            short.hashDirectives = []
            short.name = String(route.name.prefix(1024))
            return append(short, number: number, to: &octets)
        }
        end(&octets, from: start)
    }

    private static func begin(_ octets: inout [UInt8]) -> Int {
        let start = octets.count
        octets.append(contentsOf: repeatElement(0, count: frameHeadBytes))
        return start
    }

    private static func end(_ octets: inout [UInt8], from start: Int) {
        let content = start + frameHeadBytes
        let sum = octets.withUnsafeBytes { checksum(UnsafeRawBufferPointer(rebasing: $0[content...])) }
        var head: [UInt8] = []
        append(UInt32(truncatingIfNeeded: octets.count - content), to: &head)
        append(sum, to: &head)
        octets.replaceSubrange(start..<content, with: head)
    }

    private static func append<Integer: FixedWidthInteger>(_ value: Integer, to octets: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { octets.append(contentsOf: $0) }
    }

    private static func append(text: String, to octets: inout [UInt8]) {
        append(UInt32(truncatingIfNeeded: text.utf8.count), to: &octets)
        octets.append(contentsOf: text.utf8)
    }

    // MARK: Reading

    /// Whether the octets begin with the header of a segment of this version.
    static func isHeader(_ octets: UnsafeRawBufferPointer) -> Bool {
        octets.count >= headerBytes && octets.prefix(headerBytes).elementsEqual(header())
    }

    /// Visits the frames one after the other; true if every octet belongs to one. What is torn or does not pass its
    /// checksum ends it: a crash leaves that behind the last batch that was written.
    static func read(_ octets: UnsafeRawBufferPointer, _ visit: (Content) -> Void) -> Bool {
        var offset = headerBytes
        while offset < octets.count {
            guard octets.count - offset >= frameHeadBytes else { return false }
            let size = Int(octets.integer(offset, UInt32.self))
            let start = offset + frameHeadBytes
            guard size >= 8, size <= contentBytesMax, size <= octets.count - start else { return false }
            let content = UnsafeRawBufferPointer(rebasing: octets[start..<start + size])
            guard checksum(content) == octets.integer(offset + 4, UInt32.self) else { return false }
            guard let frame = decode(content) else { return false }
            visit(frame)
            offset = start + size
        }
        return true
    }

    private static func decode(_ content: UnsafeRawBufferPointer) -> Content? {
        switch content[0] {
        case 1: observation(content).map { .observation($0) }
        case 2: route(content)
        default: .other
        }
    }

    private static func observation(_ content: UnsafeRawBufferPointer) -> Observation? {
        guard content.count == observationBytes, let key = Observation.Key(rawValue: content[1]),
            let ending = Observation.Ending(rawValue: content[2]), let rule = StatusRules.Rule(rawValue: content[3])
        else { return nil }
        var observation = Observation(route: content.integer(8, UInt32.self))
        observation.key = key
        observation.ending = ending
        observation.rule = rule
        observation.status = content.integer(4, UInt16.self)
        observation.flags = Observation.Flags(rawValue: content.integer(6, UInt16.self))
        observation.milliseconds = content.integer(16, UInt64.self)
        observation.durationMicroseconds = content.integer(24, UInt64.self)
        observation.requestBytes = content.integer(32, UInt64.self)
        observation.answerBytes = content.integer(40, UInt64.self)
        observation.token = content.hash(48)
        observation.payload = content.hash(64)
        observation.digest = content.hash(80)
        return observation
    }

    private static func route(_ content: UnsafeRawBufferPointer) -> Content? {
        guard content.count >= 36 else { return nil }
        var reader = TextReader(content: content, offset: 32)
        guard let name = reader.text(), let directives = reader.texts(), let hashDirectives = reader.texts() else {
            return nil
        }
        let window = content.integer(16, UInt64.self)
        return .route(
            content.integer(4, UInt32.self),
            ObservedRoute(
                name: name, retentionMilliseconds: content.integer(8, UInt64.self),
                windowMilliseconds: window == 0 ? nil : window,
                requestBodyBytesMax: content.integer(24, UInt64.self), directives: directives,
                hashDirectives: hashDirectives))
    }

    private struct TextReader {
        let content: UnsafeRawBufferPointer
        var offset: Int

        mutating func count() -> Int? {
            guard content.count - offset >= 4 else { return nil }
            defer { offset += 4 }
            return Int(content.integer(offset, UInt32.self))
        }

        mutating func text() -> String? {
            guard let size = count(), size <= content.count - offset else { return nil }
            defer { offset += size }
            return String(decoding: content[offset..<offset + size], as: UTF8.self)
        }

        mutating func texts() -> [String]? {
            guard let number = count(), number <= content.count else { return nil }
            var list: [String] = []
            for _ in 0..<number {
                guard let next = text() else { return nil }
                list.append(next)
            }
            return list
        }
    }

    private static func checksum(_ content: UnsafeRawBufferPointer) -> UInt32 {
        UInt32(truncatingIfNeeded: RowChecksum.of(content, id: UInt64(content.count)))
    }
}

extension UnsafeRawBufferPointer {
    /// Little endian, at any offset inside.
    fileprivate func integer<Integer: FixedWidthInteger>(_ offset: Int, _ type: Integer.Type) -> Integer {
        Integer(littleEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }

    fileprivate func hash(_ offset: Int) -> ObservedHash {
        ObservedHash(high: integer(offset, UInt64.self), low: integer(offset + 8, UInt64.self))
    }
}
