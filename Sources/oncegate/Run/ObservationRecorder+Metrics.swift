import Idempotency
import Observability
import Stores

extension ObservationRecorder {
    /// Publishes the counts.
    func register(in registry: MetricRegistry) {
        registry.collect { [self] samples in
            let statistics = self.statistics
            for count in statistics.counts {
                samples.set(
                    .observedRequests, [count.route, count.key.name, count.finding.name], Double(count.requests))
            }
            samples.set(.observationsDropped, ["queue"], Double(statistics.overflowed))
            samples.set(.observationsDropped, ["write"], Double(statistics.unwritten))
            samples.set(.observationsDropped, ["size"], Double(statistics.segmentsDropped))
            samples.set(.observedForgotten, [], Double(statistics.forgotten))
        }
    }
}

extension Observation.Key {
    /// In metrics and reports.
    var name: String {
        switch self {
        case .token: "token"
        case .none: "none"
        case .malformed: "malformed"
        case .unscoped: "unscoped"
        case .unread: "unread"
        }
    }
}

extension ObservedFinding {
    /// In metrics and reports.
    var name: String {
        switch self {
        case .first: "first"
        case .duplicate: "duplicate"
        case .mismatch: "mismatch"
        case .otherKey: "other_key"
        }
    }
}
