import Testing

@testable import Observability

@Suite struct MetricsTests {
    private let names = ConfiguredNames(listeners: ["127.0.0.1:80"], routes: ["/a", "\"b\\\n"], upstreams: ["orders"])

    private func lines(_ registry: MetricRegistry, _ prefix: String) -> [String] {
        String(decoding: registry.exposition(), as: UTF8.self).split(separator: "\n").map(String.init)
            .filter { $0.hasPrefix(prefix) }
    }

    @Test func expositionOfCountersSumsShardsAndEscapesLabels() {
        let registry = MetricRegistry(names: names)
        let (one, two) = (registry.makeShard(), registry.makeShard())
        one.add(.requests, .index(0), .index(1), .method(.post), .code(201))
        two.add(.requests, .index(0), .index(1), .method(.post), .code(201), amount: 2)
        two.add(.requests, .index(0), .none, .method(.get), .code(404))
        #expect(
            lines(registry, "oncegate_http_requests_total") == [
                #"oncegate_http_requests_total{listener="127.0.0.1:80",route="\"b\\\n",method="POST",code="201"} 3"#,
                #"oncegate_http_requests_total{listener="127.0.0.1:80",route="",method="GET",code="404"} 1"#,
            ])
        #expect(
            lines(registry, "# HELP oncegate_http_requests_total") == [
                "# HELP oncegate_http_requests_total Requests answered."
            ])
        #expect(
            lines(registry, "# TYPE oncegate_http_requests_total") == ["# TYPE oncegate_http_requests_total counter"])
    }

    @Test func expositionOfHistogramIsCumulativeInSeconds() {
        let registry = MetricRegistry(names: names)
        let shard = registry.makeShard()
        let id = shard.histogram(.overhead, .index(0), .outcome(.notKept))
        shard.observe(id, 50_000)
        shard.observe(id, 50_001)
        shard.observe(.overhead, .index(0), .outcome(.notKept), value: 3_000_000_000)
        let labels = #"route="/a",outcome="not_kept""#
        let bounds = [
            ("5e-05", 1), ("0.0001", 2), ("0.00025", 2), ("0.0005", 2), ("0.001", 2), ("0.0025", 2), ("0.005", 2),
            ("0.01", 2),
            ("0.025", 2), ("0.05", 2), ("+Inf", 3),
        ]
        #expect(
            lines(registry, "oncegate_http_overhead_seconds") == bounds.map {
                "oncegate_http_overhead_seconds_bucket{\(labels),le=\"\($0)\"} \($1)"
            } + [
                "oncegate_http_overhead_seconds_sum{\(labels)} 3.000100001",
                "oncegate_http_overhead_seconds_count{\(labels)} 3",
            ])
    }

    @Test func goldenExpositionOfFewMetrics() {
        let registry = MetricRegistry(names: names)
        let shard = registry.makeShard()
        shard.move(.connections, .index(0), shard.literal("http/1.1"), by: 5)
        registry.makeShard().move(.connections, .index(0), registry.literal("http/1.1"), by: -2)
        registry.gauge(.upstreamHealthy, ["orders"]) { 1 }
        registry.counter(.storeCommits) { 12 }
        registry.collect { samples in
            samples.set(.idempotencyRecords, ["completed"], 3)
            samples.set(.storeFreeBytes, [], 0.5)
        }
        #expect(
            String(decoding: registry.exposition(), as: UTF8.self).hasPrefix(
                """
                # HELP oncegate_connections Open client connections.
                # TYPE oncegate_connections gauge
                oncegate_connections{listener="127.0.0.1:80",protocol="http/1.1"} 3
                # HELP oncegate_connections_total Client connections accepted.
                # TYPE oncegate_connections_total counter
                oncegate_connections_total 0
                # HELP oncegate_http_request_size_bytes Octets of request bodies.
                # TYPE oncegate_http_request_size_bytes histogram
                oncegate_http_request_size_bytes_bucket{le="256"} 0

                """))
        #expect(lines(registry, "oncegate_upstream_healthy") == [#"oncegate_upstream_healthy{upstream="orders"} 1"#])
        #expect(
            lines(registry, "oncegate_store_") == ["oncegate_store_free_bytes 0.5", "oncegate_store_commits_total 12"])
        #expect(
            lines(registry, "oncegate_idempotency_records{") == [#"oncegate_idempotency_records{state="completed"} 3"#])
    }

    @Test func declarationsFollowTheConventions() {
        var names: Set<String> = []
        for (family, declaration) in zip(MetricFamily.allCases, MetricFamilies.all) {
            let name = declaration.name.description
            #expect(names.insert(name).inserted, "\(name) twice")
            #expect(MetricFamilies.declaration(of: family).name.description == name)
            #expect(declaration.labels.count <= 4)
            #expect(name.hasSuffix("_total") == (declaration.kind == .counter), "\(name)")
            #expect(declaration.bounds == declaration.bounds.sorted())
            #expect(name.utf8.allSatisfy { $0 == 0x5F || ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) })
        }
    }

    @Test func outcomesAreThoseOfTheDocumentation() {
        #expect(
            IdempotencyOutcome.allCases.map(\.text.description) == [
                "first", "replayed", "waited", "in_progress", "mismatch", "missing_key", "invalid_key", "bypassed",
                "unknown_outcome", "not_kept", "store_error", "unprotected", "probed",
            ])
    }

    @Test func manySeriesAreKeptApart() {
        let registry = MetricRegistry(names: ConfiguredNames(routes: (0..<500).map { "r\($0)" }))
        let shard = registry.makeShard()
        for round in 1...3 {
            for route in 0..<500 {
                for outcome in IdempotencyOutcome.allCases {
                    shard.add(.idempotencyRequests, .index(route), .outcome(outcome), amount: UInt64(round * route))
                }
            }
        }
        let found = lines(registry, "oncegate_idempotency_requests_total{")
        #expect(found.count == 6500)
        #expect(found.contains(#"oncegate_idempotency_requests_total{route="r499",outcome="first"} 2994"#))
        #expect(found.contains(#"oncegate_idempotency_requests_total{route="r7",outcome="unprotected"} 42"#))
    }

    @Test func whatFindsNoPlaceIsCounted() {
        let registry = MetricRegistry(cellsMax: 8, seriesMax: 4)
        let shard = registry.makeShard()
        for code in 0..<10 {
            shard.add(.upstreamRequests, .index(0), .code(UInt16(200 + code)))
        }
        shard.observe(.requestDuration, .index(0), .method(.get), value: 5)
        #expect(lines(registry, "oncegate_upstream_requests_total{").count == 4)
        #expect(lines(registry, "oncegate_metrics_dropped_total") == ["oncegate_metrics_dropped_total 7"])
    }

    @Test func labelsOutsideTheirSetDoNotTouchOthers() {
        let registry = MetricRegistry(names: names)
        let shard = registry.makeShard()
        shard.add(.upstreamRequests, .index(1 << 20), .code(65_535))
        shard.add(.upstreamRequests, .index(-1), .code(0))
        #expect(
            lines(registry, "oncegate_upstream_requests_total{") == [
                #"oncegate_upstream_requests_total{upstream="",code="0"} 2"#
            ])
    }

    /// Each writer adds to its own shard while the scraper reads: totals never fall, and in the end nothing is missing.
    @Test func scraperReadsWhileWorkersWrite() async {
        let registry = MetricRegistry(names: ConfiguredNames(routes: (0..<50).map { "r\($0)" }))
        let writers = 3
        let rounds = 20_000
        let finished = SharedInt(0)
        let prefix = "oncegate_http_requests_in_flight{"
        func total() -> Int {
            lines(registry, prefix).reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? .min) }
        }
        var last = 0
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<writers {
                group.addTask {
                    let shard = registry.makeShard()
                    let id = shard.histogram(.requestDuration, .index(1), .method(.get))
                    for round in 0..<rounds {
                        shard.add(.requestsInFlight, .index(round % 50))
                        shard.observe(id, UInt64(round))
                    }
                    finished.increment()
                }
            }
            while finished.value < writers {
                let seen = total()
                #expect(seen >= last)
                last = seen
                await Task.yield()
            }
        }
        #expect(total() == writers * rounds)
        #expect(
            lines(registry, "oncegate_http_request_duration_seconds_count")
                == [#"oncegate_http_request_duration_seconds_count{route="r1",method="GET"} \#(writers * rounds)"#])
    }

    @Test func processMetricsAreRead() {
        let registry = MetricRegistry()
        registry.registerProcess(version: "1.0", revision: "abc", swift: "6.3")
        #expect(
            lines(registry, "oncegate_build_info{") == [
                #"oncegate_build_info{version="1.0",revision="abc",swift="6.3"} 1"#
            ])
        let statistics = ProcessStatistics.read()
        #expect(statistics.residentBytes > 1 << 20)
        #expect(statistics.allocatedBytes > 1 << 16 && statistics.allocatedBytes < statistics.virtualBytes)
        let large = [UInt8](repeating: 1, count: 8 << 20)
        #expect(ProcessStatistics.read().allocatedBytes > statistics.allocatedBytes + 4 << 20)
        #expect(large.last == 1)
        #expect(statistics.virtualBytes > statistics.residentBytes)
        #expect(statistics.openDescriptors >= 3)
        #expect(statistics.maxDescriptors >= UInt64(statistics.openDescriptors))
        #expect(statistics.threads >= 1)
        #expect(statistics.startSeconds > 1_600_000_000)
        #expect(statistics.cpuSeconds > 0)
    }
}
