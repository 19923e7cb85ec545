/// All measurements of the process: makes shards, keeps callbacks, and gives the text that a scraper reads.
package final class MetricRegistry: Sendable {
    private let state: Lock<State>
    private let cellsMax: Int
    private let seriesMax: Int

    private struct State {
        var shards: [MetricShard] = []
        var collectors: [@Sendable (inout MetricSamples) -> Void] = []
        var literals: [String] = []
        var names: ConfiguredNames

        init(names: ConfiguredNames) {
            self.names = names
        }
    }

    /// - Parameter cellsMax: values a shard can hold (a histogram takes one per bound, and two); 8 octets each, used
    ///   only as needed.
    package init(names: ConfiguredNames = ConfiguredNames(), cellsMax: Int = 131_072, seriesMax: Int = 32_768) {
        state = Lock(State(names: names))
        self.cellsMax = max(cellsMax, 2)
        self.seriesMax = seriesMax
    }

    /// A shard for one writer. It is kept, and counts, for the life of the registry.
    package func makeShard() -> MetricShard {
        let shard = MetricShard(registry: self, cellsMax: cellsMax, seriesMax: seriesMax)
        state.withLock { $0.shards.append(shard) }
        return shard
    }

    /// Publishes a value that is read at each scrape, on the scraper's thread.
    /// - Parameter labels: one value for each label of the family.
    package func gauge(_ family: MetricFamily, _ labels: [String] = [], _ read: @escaping @Sendable () -> Double) {
        collect { $0.set(family, labels, read()) }
    }

    /// Publishes a counter that something else keeps.
    package func counter(_ family: MetricFamily, _ labels: [String] = [], _ read: @escaping @Sendable () -> UInt64) {
        collect { $0.set(family, labels, Double(read())) }
    }

    /// Publishes several values that are read together at each scrape.
    package func collect(_ collector: @escaping @Sendable (inout MetricSamples) -> Void) {
        state.withLock { $0.collectors.append(collector) }
    }

    /// The configuration's names so far. They only grow, so that an index means the same for the life of the process.
    package var names: ConfiguredNames { state.withLock { $0.names } }

    /// Takes in the names of a configuration that was read again, and gives the index of each.
    package func extend(routes: [String], upstreams: [String]) -> (routes: [Int], upstreams: [Int]) {
        state.withLock { state in
            (
                routes.map { Self.index(of: $0, in: &state.names.routes) },
                upstreams.map { Self.index(of: $0, in: &state.names.upstreams) }
            )
        }
    }

    private static func index(of name: String, in names: inout [String]) -> Int {
        if let known = names.firstIndex(of: name) { return known }
        names.append(name)
        return names.count - 1
    }

    /// The label of a literal of the program, the same for the same text.
    package func literal(_ text: StaticString) -> MetricLabel {
        let text = text.description
        return state.withLock { state in
            if let known = state.literals.firstIndex(of: text) {
                return .index(known)
            }
            state.literals.append(text)
            return .index(state.literals.count - 1)
        }
    }

    /// The Prometheus text exposition format 0.0.4 of everything. Any thread; reads files of /proc, so not a worker's.
    package func exposition() -> [UInt8] {
        let (shards, collectors, literals, names) = state.withLock {
            ($0.shards, $0.collectors, $0.literals, $0.names)
        }
        var samples = MetricSamples()
        for collector in collectors {
            collector(&samples)
        }
        samples.set(.metricsDropped, [], Double(shards.reduce(0) { $0 &+ $1.droppedCount }))
        var exposition = Exposition(names: names, literals: literals)
        exposition.write(merge(shards), samples)
        return exposition.octets
    }

    /// Sums over the shards, by packed key.
    private func merge(_ shards: [MetricShard]) -> [(key: UInt64, values: [UInt64])] {
        var merged: [UInt64: [UInt64]] = [:]
        for shard in shards {
            shard.scan { key, cell in
                let boundsCount = MetricFamilies.all[Int(key >> 56)].bounds.count
                let size = boundsCount == 0 ? 1 : boundsCount + 2
                for index in 0..<size {
                    merged[key, default: [UInt64](repeating: 0, count: size)][index] &+= shard.read(cell + index)
                }
            }
        }
        return merged.sorted { $0.key < $1.key }.map { (key: $0.key, values: $0.value) }
    }
}

/// Values read at a scrape.
package struct MetricSamples {
    struct Sample {
        var labels: [String]
        var value: Double
    }

    private(set) var byFamily: [[Sample]] = .init(repeating: [], count: MetricFamily.allCases.count)

    package init() {}

    /// - Parameter labels: one value for each label of the family.
    package mutating func set(_ family: MetricFamily, _ labels: [String] = [], _ value: Double) {
        precondition(labels.count == MetricFamilies.declaration(of: family).labels.count, "labels of \(family)")
        byFamily[Int(family.rawValue)].append(Sample(labels: labels, value: value))
    }
}
