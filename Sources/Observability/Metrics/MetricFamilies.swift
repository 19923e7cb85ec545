/// The table of all metrics. Labels never carry a key, scope, path or user agent: their values come from closed sets.
package enum MetricFamilies {
    package static func declaration(of family: MetricFamily) -> MetricDeclaration {
        all[Int(family.rawValue)]
    }

    /// By the family's raw value.
    package static let all: [MetricDeclaration] = MetricFamily.allCases.map(declare)

    private typealias Declaration = MetricDeclaration

    private static func declare(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .connections, .connectionsTotal, .connectionsRejected: connection(family)
        case .tlsHandshakes, .tlsHandshakeFailures, .tlsCertificateReloads, .tlsTicketKeyReloads,
            .tlsCertificateNotAfter:
            tls(family)
        case .requests, .requestsInFlight, .requestDuration, .overhead, .requestSize, .responseSize, .malformedRequests,
            .http2GoAwaySent:
            request(family)
        case .upstreamRequests, .upstreamRequestDuration, .upstreamConnectDuration, .upstreamConnections,
            .upstreamHealthy,
            .upstreamErrors, .upstreamRetries:
            upstream(family)
        case .idempotencyRequests, .idempotencyRecords, .idempotencyWaiters, .idempotencyRecordSize,
            .idempotencyExpired,
            .idempotencyNotRecorded, .idempotencyProbes, .idempotencyBackgroundProbes, .webhookDeliveries,
            .idempotencyKeyChurn, .accessTokens, .accessTokenKeyReloads, .idempotencyRescued:
            idempotency(family)
        case .observedRequests, .observationsDropped, .observedForgotten: observation(family)
        case .storeUp, .storeOperations, .storeOperationDuration, .storeUsedBytes, .storeLimitBytes, .storeFreeBytes,
            .storeCommits, .storeCommitFailures, .storeCorruptRecords, .storeUnreadableRecords, .storeSyncFailures:
            store(family)
        case .overloadState, .requestsShed, .limitReached, .bodyMemoryBytes, .spoolBytes, .spoolFiles, .spoolFailures,
            .accessLogDropped, .logDropped, .metricsDropped,
            .draining:
            limit(family)
        case .configReloads, .configLastReloadSuccessful, .configLastReloadSuccess: configuration(family)
        case .buildInfo, .processCPUSeconds, .processResidentMemory, .heapAllocated, .processVirtualMemory,
            .processOpenDescriptors, .processMaxDescriptors, .processStartTime, .processThreads:
            process(family)
        }
    }

    private static func connection(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .connections:
            gauge("oncegate_connections", [.listener, .literal("protocol")], "Open client connections.")
        case .connectionsTotal: counter("oncegate_connections_total", [], "Client connections accepted.")
        default:
            counter("oncegate_connections_rejected_total", [.literal("reason")], "Client connections closed unserved.")
        }
    }

    private static func tls(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .tlsHandshakes:
            counter(
                "oncegate_tls_handshakes_total", [.listener, .literal("version"), .literal("resumed")],
                "TLS handshakes with clients that were completed.")
        case .tlsHandshakeFailures:
            counter(
                "oncegate_tls_handshake_failures_total", [.listener, .literal("reason")],
                "TLS handshakes with clients that failed.")
        case .tlsCertificateReloads:
            counter(
                "oncegate_tls_certificate_reloads_total", [.literal("result")],
                "Times certificates were read again; after a failure the ones before stay.", .callback)
        case .tlsTicketKeyReloads:
            counter(
                "oncegate_tls_ticket_key_reloads_total", [.literal("result")],
                "Times shared keys of session tickets were read again; after a failure the ones before stay.", .callback
            )
        default:
            gauge(
                "oncegate_tls_certificate_not_after_timestamp_seconds", [.free("name")],
                "When a certificate in use expires, since the UNIX epoch.", .callback)
        }
    }

    private static func request(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .http2GoAwaySent:
            counter(
                "oncegate_http2_goaway_sent_total", [.literal("reason")], "HTTP/2 connections that the proxy ended.")
        case .requests:
            counter("oncegate_http_requests_total", [.listener, .route, .method, .code], "Requests answered.")
        case .requestsInFlight: gauge("oncegate_http_requests_in_flight", [.route], "Requests not yet answered.")
        case .requestDuration:
            histogram(
                "oncegate_http_request_duration_seconds", requestSeconds, [.route, .method],
                "From the request's first octet to the answer's last.")
        case .overhead:
            histogram(
                "oncegate_http_overhead_seconds", overheadSeconds, [.route, .outcome],
                "Time of a request that was not spent waiting for the upstream or the client.")
        case .requestSize:
            histogram("oncegate_http_request_size_bytes", sizes, [], "Octets of request bodies.")
        case .responseSize:
            histogram("oncegate_http_response_size_bytes", sizes, [], "Octets of answers' bodies.")
        default:
            counter(
                "oncegate_http_malformed_requests_total", [.literal("reason")],
                "Requests refused because of their form.")
        }
    }

    private static func upstream(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .upstreamRequests:
            counter(
                "oncegate_upstream_requests_total", [.upstream, .code],
                "Requests sent upstream, by their answer's status.")
        case .upstreamRequestDuration:
            histogram(
                "oncegate_upstream_request_duration_seconds", requestSeconds, [.upstream],
                "From the first octet sent upstream to the last of its answer.")
        case .upstreamConnectDuration:
            histogram("oncegate_upstream_connect_duration_seconds", connectSeconds, [], "Time to connect upstream.")
        case .upstreamConnections:
            gauge("oncegate_upstream_connections", [.upstream, .literal("state")], "Open upstream connections.")
        case .upstreamHealthy:
            gauge("oncegate_upstream_healthy", [.upstream], "Whether a server of the upstream may be used.", .callback)
        case .upstreamErrors:
            counter(
                "oncegate_upstream_errors_total", [.upstream, .literal("kind")], "Attempts without a whole answer.")
        default:
            counter("oncegate_upstream_retries_total", [.upstream], "Attempts repeated because nothing had been sent.")
        }
    }

    private static func idempotency(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .idempotencyRequests:
            counter("oncegate_idempotency_requests_total", [.route, .outcome], "Requests on idempotent routes.")
        case .idempotencyRecords: gauge("oncegate_idempotency_records", [.literal("state")], "Records kept.", .callback)
        case .idempotencyWaiters: gauge("oncegate_idempotency_waiters", [], "Requests that wait for a first attempt.")
        case .idempotencyRecordSize:
            histogram("oncegate_idempotency_record_size_bytes", sizes, [], "Octets of recorded answers.")
        case .idempotencyExpired:
            counter("oncegate_idempotency_expired_total", [], "Records whose retention has passed.", .callback)
        case .idempotencyProbes:
            counter(
                "oncegate_idempotency_probes_total", [.route, .literal("result")],
                "Questions to services about unknown outcomes.")
        case .idempotencyBackgroundProbes:
            gauge(
                "oncegate_idempotency_background_probes", [],
                "Unknown outcomes that are asked for without a repeat.", .callback)
        case .webhookDeliveries:
            counter(
                "oncegate_webhook_deliveries_total", [.literal("result")],
                "Attempts to tell the webhook of an unknown outcome: delivered, retried, dropped.")
        case .idempotencyKeyChurn:
            counter(
                "oncegate_idempotency_key_churn_total", [.route],
                "Requests executed within a second of an equal one of the same caller under another key.")
        case .accessTokens:
            counter(
                "oncegate_access_tokens_total", [.route, .literal("result")],
                "Access tokens that said who is calling, or why they did not.")
        case .accessTokenKeyReloads:
            counter(
                "oncegate_access_token_key_reloads_total", [.literal("result")],
                "Times the keys of token issuers were read again; after a failure the ones before stay.", .callback)
        case .idempotencyRescued:
            counter(
                "oncegate_idempotency_rescued_total", [.route],
                "Answers that were lost on their way to a client, and that a repeat then got whole.")
        default:
            counter("oncegate_idempotency_not_recorded_total", [.literal("reason")], "Answers that were not recorded.")
        }
    }

    private static func observation(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .observedRequests:
            counter(
                "oncegate_observed_requests_total", [.route, .literal("key"), .literal("finding")],
                "Requests on routes with 'mode observe', by their token and by what they are to earlier ones.",
                .callback)
        case .observationsDropped:
            counter(
                "oncegate_observations_dropped_total", [.literal("reason")],
                "Observations that the report will lack; with reason 'size', segments that made room.", .callback)
        default:
            counter(
                "oncegate_observed_forgotten_total", [],
                "Tokens and payloads forgotten before their time: repeats of theirs count as first.", .callback)
        }
    }

    private static func store(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .storeUp: gauge("oncegate_store_up", [], "Whether the store serves.", .callback)
        case .storeOperations:
            counter(
                "oncegate_store_operations_total", [.literal("op"), .literal("result")], "Operations of the store.")
        case .storeOperationDuration:
            histogram(
                "oncegate_store_operation_duration_seconds", overheadSeconds, [.literal("op")],
                "From the submission to the answer.")
        case .storeUsedBytes: gauge("oncegate_store_used_bytes", [], "Octets the store uses.", .callback)
        case .storeLimitBytes: gauge("oncegate_store_limit_bytes", [], "Octets the store may use.", .callback)
        case .storeFreeBytes: gauge("oncegate_store_free_bytes", [], "Octets free on the store's device.", .callback)
        case .storeCommits: counter("oncegate_store_commits_total", [], "Commits.", .callback)
        case .storeCommitFailures:
            counter("oncegate_store_commit_failures_total", [], "Commits that failed.", .callback)
        case .storeCorruptRecords:
            counter("oncegate_store_corrupt_records_total", [], "Records that do not pass their checksum.", .callback)
        case .storeUnreadableRecords:
            counter(
                "oncegate_store_unreadable_records_total", [],
                "Requests refused because no key opens their record.", .callback)
        default: counter("oncegate_store_fsync_failures_total", [], "Flushes to the device that failed.", .callback)
        }
    }

    private static func limit(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .overloadState: gauge("oncegate_overload_state", [], "0 = normal, 1 = refuses requests.", .callback)
        case .requestsShed:
            counter("oncegate_requests_shed_total", [.literal("reason")], "Requests refused by a limit.")
        case .limitReached: counter("oncegate_limit_reached_total", [.literal("limit")], "Times a limit was reached.")
        case .bodyMemoryBytes: gauge("oncegate_body_memory_bytes", [], "Octets of bodies held in memory.", .callback)
        case .spoolBytes: gauge("oncegate_spool_bytes", [], "Octets of request bodies in spool files.", .callback)
        case .spoolFiles: gauge("oncegate_spool_files", [], "Request bodies in spool files.", .callback)
        case .spoolFailures:
            counter(
                "oncegate_spool_failures_total", [.literal("reason")],
                "Spool files that could not be written or read: full or error.")
        case .accessLogDropped:
            counter(
                "oncegate_access_log_dropped_total", [], "Lines of the access log lost: the sink was slow or failed.",
                .callback)
        case .logDropped:
            counter(
                "oncegate_log_dropped_total", [], "Lines of the operator's log lost: the sink was slow or failed.",
                .callback)
        case .metricsDropped:
            counter("oncegate_metrics_dropped_total", [], "Measurements lost: too many series.", .callback)
        default: gauge("oncegate_draining", [], "Whether the proxy is stopping.", .callback)
        }
    }

    private static func configuration(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .configReloads:
            counter(
                "oncegate_config_reloads_total", [.literal("result")], "Times the configuration was read again.",
                .callback)
        case .configLastReloadSuccessful:
            gauge(
                "oncegate_config_last_reload_successful", [],
                "Whether the last reload was taken: 0 = the old one stays.",
                .callback)
        default:
            gauge(
                "oncegate_config_last_reload_success_timestamp_seconds", [],
                "When the configuration in use was read, since the UNIX epoch.", .callback)
        }
    }

    private static func process(_ family: MetricFamily) -> MetricDeclaration {
        switch family {
        case .buildInfo:
            gauge(
                "oncegate_build_info", [.free("version"), .free("revision"), .free("swift")], "The build; always 1.",
                .callback)
        case .processCPUSeconds:
            counter("process_cpu_seconds_total", [], "Processor time used, user and system.", .callback)
        case .processResidentMemory: gauge("process_resident_memory_bytes", [], "Resident memory.", .callback)
        case .heapAllocated:
            gauge(
                "oncegate_heap_allocated_bytes", [],
                "Memory in use as the allocator counts it: with its threads' caches, without what else it keeps.",
                .callback)
        case .processVirtualMemory: gauge("process_virtual_memory_bytes", [], "Virtual memory.", .callback)
        case .processOpenDescriptors: gauge("process_open_fds", [], "Open file descriptors.", .callback)
        case .processMaxDescriptors: gauge("process_max_fds", [], "Limit of open file descriptors.", .callback)
        case .processStartTime:
            gauge("process_start_time_seconds", [], "Start of the process, since the UNIX epoch.", .callback)
        default: gauge("process_threads", [], "Threads.", .callback)
        }
    }

    private static func counter(
        _ name: StaticString, _ labels: [Declaration.Label], _ help: StaticString,
        _ source: Declaration.Source = .shards
    ) -> MetricDeclaration {
        MetricDeclaration(name: name, kind: .counter, source: source, labels: labels, help: help)
    }

    private static func gauge(
        _ name: StaticString, _ labels: [Declaration.Label], _ help: StaticString,
        _ source: Declaration.Source = .shards
    ) -> MetricDeclaration {
        MetricDeclaration(name: name, kind: .gauge, source: source, labels: labels, help: help)
    }

    private static func histogram(
        _ name: StaticString, _ buckets: Declaration.Buckets, _ labels: [Declaration.Label], _ help: StaticString
    ) -> MetricDeclaration {
        MetricDeclaration(name: name, kind: .histogram(buckets), source: .shards, labels: labels, help: help)
    }

    private static let millisecond: UInt64 = 1_000_000

    /// The buckets of OpenTelemetry's `http.server.request.duration`.
    private static let requestSeconds = MetricDeclaration.Buckets.seconds(
        boundsNanoseconds: [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000].map {
            $0 * millisecond
        })

    private static let overheadSeconds = MetricDeclaration.Buckets.seconds(
        boundsNanoseconds: [50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000].map { $0 * 1000 })

    private static let connectSeconds = MetricDeclaration.Buckets.seconds(
        boundsNanoseconds: [100, 250, 500, 1000, 2500, 5000, 10_000, 50_000, 250_000, 1_000_000, 3_000_000].map {
            $0 * 1000
        })

    private static let sizes = MetricDeclaration.Buckets.bytes(
        bounds: [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216])
}
