internal import Glibc
internal import Idempotency

/// Appends to the segments. On the observation queue only.
struct ObservationWriter: ~Copyable {
    private let directory: String
    private let bytesMax: UInt64
    private let segmentBytes: UInt64
    private var descriptor: Int32 = -1
    /// Of the segment that is open.
    private var segmentSize: UInt64 = 0
    /// Those before it, oldest first.
    private var closed: [(number: UInt64, bytes: UInt64)] = []
    private var closedBytes: UInt64 = 0
    private var number: UInt64 = 0
    /// Routes that the open segment has named, as it has named them.
    private var named: [UInt32: ObservedRoute] = [:]
    private var buffer: [UInt8] = []
    /// Segments that made room.
    private(set) var segmentsDropped: UInt64 = 0

    /// Nothing is created before something is written.
    init(store: String, bytesMax: UInt64) throws(StoreOpenError) {
        directory = ObservationSegments.directory(inStore: store)
        self.bytesMax = bytesMax
        segmentBytes = min(
            max(bytesMax / ObservationLimits.segmentCount, ObservationLimits.segmentBytesMin),
            ObservationLimits.writtenSegmentBytesMax)
        for number in try ObservationSegments.numbers(in: directory) ?? [] {
            var status = stat()
            let isThere = stat(ObservationSegments.path(number, in: directory), &status) == 0
            let bytes = isThere ? UInt64(max(0, status.st_size)) : 0
            closed.append((number, bytes))
            closedBytes += bytes
            self.number = number
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Appends a batch, whole or not at all. False when it could not be written.
    mutating func write(_ observations: [Observation], routes: [ObservedRoute]) -> Bool {
        guard descriptor >= 0 || openSegment() else { return false }
        buffer.removeAll(keepingCapacity: true)
        for observation in observations {
            if let route = routes[checked: observation.route], named[observation.route] != route {
                named[observation.route] = route
                ObservationCoding.append(route, number: observation.route, to: &buffer)
            }
            ObservationCoding.append(observation, to: &buffer)
        }
        guard writeAll(buffer) else {
            // Half a batch is taken back; if even that fails, the next one begins another segment.
            if ftruncate(descriptor, off_t(segmentSize)) != 0 || lseek(descriptor, 0, SEEK_END) < 0 { closeSegment() }
            named.removeAll()
            return false
        }
        segmentSize += UInt64(buffer.count)
        if segmentSize >= segmentBytes { closeSegment() }
        makeRoom()
        return true
    }

    private func writeAll(_ octets: [UInt8]) -> Bool {
        var offset = 0
        while offset < octets.count {
            let count = octets.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + offset, $0.count - offset) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            offset += count
        }
        return true
    }

    private mutating func openSegment() -> Bool {
        if mkdir(directory, 0o700) != 0, errno != EEXIST { return false }
        let (next, overflows) = number.addingReportingOverflow(1)
        guard !overflows else { return false }
        let path = ObservationSegments.path(next, in: directory)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return false }
        self.descriptor = descriptor
        number = next
        named.removeAll()
        segmentSize = 0
        guard writeAll(ObservationCoding.header()) else {
            close(descriptor)
            self.descriptor = -1
            unlink(path)
            return false
        }
        segmentSize = UInt64(ObservationCoding.headerBytes)
        return true
    }

    private mutating func closeSegment() {
        close(descriptor)
        descriptor = -1
        closed.append((number, segmentSize))
        closedBytes += segmentSize
        segmentSize = 0
    }

    /// The oldest go until there is room.
    private mutating func makeRoom() {
        var count = 0
        while count < closed.count, closedBytes + segmentSize > bytesMax {
            unlink(ObservationSegments.path(closed[count].number, in: directory))
            closedBytes -= min(closedBytes, closed[count].bytes)
            segmentsDropped += 1
            count += 1
        }
        if count > 0 { closed.removeFirst(count) }
    }
}

extension [ObservedRoute] {
    fileprivate subscript(checked index: UInt32) -> ObservedRoute? {
        Int(index) < count ? self[Int(index)] : nil
    }
}
