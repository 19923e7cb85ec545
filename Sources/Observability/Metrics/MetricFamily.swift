/// Every metric of the proxy. Its declaration stands in `MetricFamilies`.
package enum MetricFamily: UInt8, Sendable, CaseIterable {
    case connections
    case connectionsTotal
    case connectionsRejected
    case tlsHandshakes
    case tlsHandshakeFailures
    case tlsCertificateReloads
    case tlsTicketKeyReloads
    case tlsCertificateNotAfter
    case requests
    case requestsInFlight
    case requestDuration
    case overhead
    case requestSize
    case responseSize
    case malformedRequests
    case http2GoAwaySent
    case upstreamRequests
    case upstreamRequestDuration
    case upstreamConnectDuration
    case upstreamConnections
    case upstreamHealthy
    case upstreamErrors
    case upstreamRetries
    case idempotencyRequests
    case idempotencyRecords
    case idempotencyWaiters
    case idempotencyRecordSize
    case idempotencyExpired
    case idempotencyNotRecorded
    case observedRequests
    case observationsDropped
    case observedForgotten
    case idempotencyProbes
    case idempotencyBackgroundProbes
    case webhookDeliveries
    case idempotencyKeyChurn
    case accessTokens
    case accessTokenKeyReloads
    case idempotencyRescued
    case storeUp
    case storeOperations
    case storeOperationDuration
    case storeUsedBytes
    case storeLimitBytes
    case storeFreeBytes
    case storeCommits
    case storeCommitFailures
    case storeCorruptRecords
    case storeUnreadableRecords
    case storeSyncFailures
    case overloadState
    case requestsShed
    case limitReached
    case bodyMemoryBytes
    case spoolBytes
    case spoolFiles
    case spoolFailures
    case accessLogDropped
    case logDropped
    case metricsDropped
    case draining
    case configReloads
    case configLastReloadSuccessful
    case configLastReloadSuccess
    case buildInfo
    case processCPUSeconds
    case processResidentMemory
    case heapAllocated
    case processVirtualMemory
    case processOpenDescriptors
    case processMaxDescriptors
    case processStartTime
    case processThreads
}

/// How a metric is published.
package struct MetricDeclaration: Sendable {
    package enum Kind: Sendable, Equatable {
        case counter
        case gauge
        case histogram(Buckets)
    }

    package enum Buckets: Sendable, Equatable {
        /// Observed in nanoseconds, published in seconds.
        case seconds(boundsNanoseconds: [UInt64])
        case bytes(bounds: [UInt64])
    }

    /// Where a label's values come from: always a closed set.
    package enum Label: Sendable, Equatable {
        /// Names of the configuration, by index.
        case listener
        case route
        case upstream
        case method
        /// A status code; 0 = there was none.
        case code
        case outcome
        /// Literals of the program, by their index in the registry.
        case literal(StaticString)
        /// Set once at start (build information).
        case free(StaticString)

        package static func == (left: Self, right: Self) -> Bool {
            left.name.description == right.name.description
        }

        package var name: StaticString {
            switch self {
            case .listener: "listener"
            case .route: "route"
            case .upstream: "upstream"
            case .method: "method"
            case .code: "code"
            case .outcome: "outcome"
            case .literal(let name), .free(let name): name
            }
        }
    }

    package enum Source: Sendable, Equatable {
        /// Written by the workers.
        case shards
        /// Read when scraped.
        case callback
    }

    package var name: StaticString
    package var kind: Kind
    package var source: Source
    package var labels: [Label]
    package var help: StaticString

    /// Bounds of a histogram in the unit in which it is observed; empty for the other kinds.
    package var bounds: [UInt64] {
        switch kind {
        case .counter, .gauge: []
        case .histogram(.seconds(let bounds)), .histogram(.bytes(let bounds)): bounds
        }
    }
}
