internal import Glibc
package import Idempotency

/// Observations on disk: segments that are appended to, the oldest of which goes when there is no more room. They lie
/// in the directory `observations` of the store's directory, `NUMBER.log`; each names the routes that it speaks of, so
/// that it can be read alone. Nothing is synced: what a power cut takes is statistics.
package enum ObservationSegments {
    /// What a report begins with.
    package struct Content: Sendable {
        /// As their latest segment describes them.
        package var routes: [ObservedRoute] = []
        /// In the order in which they were written; `route` is an index into `routes`.
        package var observations: [Observation] = []
        /// Segments of which a part could not be read, beyond what the end of a process leaves behind.
        package var damagedSegments = 0

        package init() {}
    }

    package static func directory(inStore path: String) -> String { path + "/observations" }

    /// Reads everything there is; another process may be writing. Nil where nothing was ever observed.
    package static func read(store: String) throws(StoreOpenError) -> Content? {
        let directory = directory(inStore: store)
        guard let numbers = try numbers(in: directory) else { return nil }
        var content = Content()
        var indices: [String: Int] = [:]
        for number in numbers { try read(path(number, in: directory), into: &content, &indices) }
        return content.routes.isEmpty ? nil : content
    }

    static func path(_ number: UInt64, in directory: String) -> String {
        let digits = String(number)
        return directory + "/" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits + ".log"
    }

    /// Ascending; nil where there is no such directory.
    static func numbers(in directory: String) throws(StoreOpenError) -> [UInt64]? {
        guard let stream = opendir(directory) else {
            if errno == ENOENT { return nil }
            throw .inputOutput(path: directory, cause: lastErrorText())
        }
        defer { closedir(stream) }
        var numbers: [UInt64] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { octets in
                String(decoding: octets.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name.hasSuffix(".log"), let number = UInt64(name.dropLast(4)) else { continue }
            numbers.append(number)
        }
        return numbers.sorted()
    }

    /// Adds one segment. One that was dropped meanwhile is none.
    static func read(
        _ path: String, into content: inout Content, _ indices: inout [String: Int]
    ) throws(StoreOpenError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            if errno == ENOENT { return }
            throw .inputOutput(path: path, cause: lastErrorText())
        }
        defer { close(descriptor) }
        guard let octets = readAll(descriptor, bytesMax: ObservationLimits.segmentBytesMax) else {
            throw .inputOutput(path: path, cause: lastErrorText())
        }
        // What stands in this segment's observations, by its own numbers.
        var known: [UInt32: Int] = [:]
        octets.withUnsafeBytes { octets in
            guard ObservationCoding.isHeader(octets) else {
                // An empty one was just begun.
                if octets.count >= ObservationCoding.headerBytes { content.damagedSegments += 1 }
                return
            }
            let isWhole = ObservationCoding.read(octets) { frame in
                switch frame {
                case .observation(var observation):
                    guard let index = known[observation.route] else { return }
                    observation.route = UInt32(index)
                    content.observations.append(observation)
                case .route(let number, let route):
                    if let index = indices[route.name] {
                        content.routes[index] = route
                        known[number] = index
                    } else {
                        indices[route.name] = content.routes.count
                        known[number] = content.routes.count
                        content.routes.append(route)
                    }
                case .other: break
                }
            }
            if !isWhole { content.damagedSegments += 1 }
        }
    }
}

/// Limits of what is kept of observations.
package enum ObservationLimits {
    /// Segments that the room is divided into, at least: so much of it, at most, goes at once.
    static let segmentCount: UInt64 = 16
    static let segmentBytesMin: UInt64 = 64 << 10
    /// A start reads the latest segments whole.
    static let writtenSegmentBytesMax: UInt64 = 32 << 20
    /// What a reader takes for a segment.
    static let segmentBytesMax = 4 << 30
    /// Observations that wait for the queue.
    static let inboxMax = 65_536
    /// How long a batch waits for company: what kill -9 can take.
    static let batchMilliseconds = 20
    /// Tokens, and payloads, whose repeats are counted.
    package static let indexMax = 262_144
}
