internal import Dispatch
package import Idempotency
internal import Transport

/// Counts what workers observe, and keeps it for `oncegate report`: on a queue of its own, which nothing waits for.
package final class ObservationRecorder: ObservationLog {
    /// What became of observations, for the metrics.
    package struct Statistics: Sendable {
        package struct Count: Sendable, Equatable {
            package var route: String
            package var key: Observation.Key
            package var finding: ObservedFinding
            package var requests: UInt64
        }

        /// Those that are not 0.
        package var counts: [Count] = []
        /// More than the queue takes.
        package var overflowed: UInt64 = 0
        /// The disk was full or failed.
        package var unwritten: UInt64 = 0
        /// Segments that made room for later ones.
        package var segmentsDropped: UInt64 = 0
        /// Tokens and payloads that the index forgot before their time.
        package var forgotten: UInt64 = 0
    }

    private struct Inbox {
        var observations: [Observation] = []
        var isScheduled = false
        var isClosed = false
        var overflowed: UInt64 = 0
    }

    private struct Figures {
        /// By route, key and finding.
        var counts: [Slot: UInt64] = [:]
        var unwritten: UInt64 = 0
        var segmentsDropped: UInt64 = 0
        var forgotten: UInt64 = 0
    }

    private struct Slot: Hashable {
        var route: UInt32
        var key: Observation.Key
        var finding: ObservedFinding
    }

    /// Everything here runs on the queue.
    private final class Core {
        var tally: ObservationTally
        var writer: ObservationWriter?
        var hasWarmedUp = false
        var unwritten: UInt64 = 0

        init(indexMax: Int, writer: consuming ObservationWriter?) {
            tally = ObservationTally(indexMax: indexMax)
            self.writer = consume writer
        }
    }

    private let queue = DispatchQueue(label: "oncegate.observations", qos: .utility)
    private let store: String?
    private let indexMax: Int
    private let core: QueueBound<Core>
    private let inbox = Locked(Inbox())
    private let routes = Locked<[ObservedRoute]>([])
    private let figures = Locked(Figures())
    private let failed: @Sendable () -> Void

    /// - Parameters:
    ///   - store: the store's directory; nil: requests are counted, and nothing is kept.
    ///   - failed: told, on the queue, when something could not be written for the first time.
    package init(
        store: String?, bytesMax: UInt64, indexMax: Int = ObservationLimits.indexMax,
        failed: @escaping @Sendable () -> Void = {}
    ) throws(StoreOpenError) {
        self.store = store
        self.indexMax = indexMax
        self.failed = failed
        let writer: ObservationWriter? =
            if let store { try ObservationWriter(store: store, bytesMax: bytesMax) } else { nil }
        core = QueueBound(Core(indexMax: indexMax, writer: writer), queue)
    }

    package func register(_ route: ObservedRoute) -> UInt32 {
        let (index, isFirst) = routes.withLock { routes -> (UInt32, Bool) in
            if let index = routes.firstIndex(where: { $0.name == route.name }) {
                routes[index] = route
                return (UInt32(index), false)
            }
            routes.append(route)
            return (UInt32(routes.count - 1), routes.count == 1)
        }
        // What was observed before the restart has its repeats after it.
        if isFirst { queue.async { self.warmUp() } }
        return index
    }

    package func submit(_ observations: [Observation]) {
        let mustSchedule = inbox.withLock { inbox in
            guard !inbox.isClosed else { return false }
            let room = ObservationLimits.inboxMax - inbox.observations.count
            if inbox.observations.isEmpty, observations.count <= room {
                inbox.observations = observations
            } else {
                inbox.observations += observations.prefix(room)
            }
            inbox.overflowed &+= UInt64(max(0, observations.count - room))
            defer { inbox.isScheduled = true }
            return !inbox.isScheduled
        }
        guard mustSchedule else { return }
        queue.asyncAfter(deadline: .now() + .milliseconds(ObservationLimits.batchMilliseconds)) { self.drain() }
    }

    /// What was submitted is written when this returns (tests).
    package func flush() {
        queue.sync { drain() }
    }

    package func close() {
        queue.sync {
            drain()
            inbox.withLock { $0.isClosed = true }
            core.value.writer = nil
        }
    }

    package var statistics: Statistics {
        var statistics = Statistics()
        let figures = figures.withLock { $0 }
        let names = routes.withLock { $0.map(\.name) }
        for (slot, requests) in figures.counts where Int(slot.route) < names.count {
            statistics.counts.append(
                Statistics.Count(
                    route: names[Int(slot.route)], key: slot.key, finding: slot.finding, requests: requests))
        }
        statistics.overflowed = inbox.withLock { $0.overflowed }
        statistics.unwritten = figures.unwritten
        statistics.segmentsDropped = figures.segmentsDropped
        statistics.forgotten = figures.forgotten
        return statistics
    }

    // MARK: On the queue

    private func drain() {
        let observations = inbox.withLock { inbox in
            inbox.isScheduled = false
            return exchange(&inbox.observations, with: [])
        }
        guard !observations.isEmpty else { return }
        let routes = self.routes.withLock { $0 }
        let core = core.value
        var slots: [Slot] = []
        var ended: [Observation] = []
        for observation in observations {
            if observation.ending != .pending {
                ended.append(observation)
            } else if Int(observation.route) < routes.count {
                let finding = core.tally.take(observation, of: routes[Int(observation.route)])
                slots.append(Slot(route: observation.route, key: observation.key, finding: finding))
            }
        }
        if !ended.isEmpty, core.writer != nil, core.writer!.write(ended, routes: routes) == false {
            if core.unwritten == 0 { failed() }
            core.unwritten &+= UInt64(ended.count)
        }
        figures.withLock { figures in
            for slot in slots { figures.counts[slot, default: 0] &+= 1 }
            figures.unwritten = core.unwritten
            figures.segmentsDropped = core.writer?.segmentsDropped ?? figures.segmentsDropped
            figures.forgotten = core.tally.forgotten
        }
    }

    /// Fills the index with what was observed last, without counting it.
    private func warmUp() {
        let core = core.value
        guard let store, !core.hasWarmedUp else { return }
        core.hasWarmedUp = true
        let directory = ObservationSegments.directory(inStore: store)
        guard let numbers = try? ObservationSegments.numbers(in: directory) else { return }
        // The latest segments, until they fill the index.
        var contents: [ObservationSegments.Content] = []
        var count = 0
        for number in numbers.reversed() where count < indexMax {
            var content = ObservationSegments.Content()
            var indices: [String: Int] = [:]
            // What cannot be read counts as never seen.
            try? ObservationSegments.read(ObservationSegments.path(number, in: directory), into: &content, &indices)
            count += content.observations.count
            contents.append(content)
        }
        for content in contents.reversed() {
            for observation in content.observations {
                _ = core.tally.take(observation, of: content.routes[Int(observation.route)])
            }
        }
    }
}
