import Idempotency
import Testing

@testable import Configuration

@Suite struct ModelTests {
    /// The example of the design, without what later versions bring.
    @Test func exampleOfTheDesign() throws {
        let text = """
            listen 0.0.0.0:8080;
            admin 127.0.0.1:7070;

            store embedded { path /var/lib/oncegate; }          # or: store redis { url "redis://10.0.0.5:6379/0"; }
                                                                # or: store postgres { url env("X"); }
            upstream billing {
                server http://10.0.1.10:8000;
                server http://10.0.1.11:8000;
                health_check { path /healthz; interval 5s; }
            }

            route /v1/charges {
                upstream billing;
                idempotency {
                    key header Idempotency-Key;
                    on_missing_key reject;
                    scope header Authorization;
                    retention 24h;
                }
            }

            route /soap/orders {
                upstream billing;
                idempotency {
                    hash { body raw; window 2m; replay undelivered; }
                    on_missing_key hash;
                    on_unknown hold;
                }
            }

            route / { upstream billing; }                       # passes through
            """
        let checked = Configuration.check(Array(text.utf8), name: "proxy.conf")
        #expect(checked.diagnostics.map(\.severity) == [.note])
        let configuration = try #require(checked.configuration)
        #expect(configuration.upstreams.map(\.servers.count) == [2])
        #expect(configuration.routes.map(\.name) == ["/v1/charges", "/soap/orders", "/"])
        #expect(configuration.routes.map { $0.policy == nil } == [false, false, true])
        #expect(configuration.routes[0].policy?.scope == .header("authorization"))
        #expect(configuration.routes[1].policy?.hash?.replay == .undelivered)
        #expect(configuration.routes[1].policy?.hash?.windowMilliseconds == 120_000)
        #expect(
            configuration.summary
                == "1 listener, 1 upstream, 3 routes (2 with idempotency), records in /var/lib/oncegate")
    }

    @Test func topLevel() throws {
        let text = """
            workers 3;
            listen 0.0.0.0:0;
            listen [0:0:0::1]:81;
            listen unix:/run/og.sock { mode 0660; }
            admin unix:/run/admin.sock;
            store embedded { path /data; max_size 2GiB; commit_delay 2ms; }
            access_log json /var/log/x.log;
            log_level debug;
            trusted_proxies 10.0.0.0/8 fd00::/8 192.0.2.1;
            via off;
            drain_delay 0; drain_timeout 1m;
            max_connections 10; max_requests_in_flight 5; body_memory 16MiB;
            spool_path /spool; spool_limit 2MiB; spool_threshold 8KiB;
            request_header_timeout 1s; request_body_idle off; request_body_timeout 2s; keepalive_timeout 3s;
            response_write_idle 4s;
            upstream a { server http://a; }
            route / { upstream a; }
            """
        let model = try Configuration.parse(text: text)
        #expect(model.workers == 3)
        #expect(
            model.listeners == [
                .init(address: .network(host: "0.0.0.0", port: 0)), .init(address: .network(host: "::1", port: 81)),
                .init(address: .unix(path: "/run/og.sock"), mode: 0o660),
            ])
        #expect(model.listeners.map(\.address.description) == ["0.0.0.0:0", "[::1]:81", "unix:/run/og.sock"])
        #expect(model.admin == .init(address: .unix(path: "/run/admin.sock"), mode: 0o600))
        var store = Configuration.EmbeddedStore()
        store.directory = "/data"
        store.bytesMax = 2 << 30
        store.commitDelayMilliseconds = 2
        #expect(model.store == .embedded(store))
        #expect(model.log.accessFormat == .json && model.log.level == .debug)
        #expect(model.log.accessDestination == .file(path: "/var/log/x.log"))
        #expect(model.trustedProxies.map(\.description) == ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"])
        #expect(model.via == nil)
        #expect(model.drain.delayMilliseconds == 0 && model.drain.timeoutMilliseconds == 60_000)
        #expect(model.limits.connectionsMax == 10 && model.limits.requestsInFlightMax == 5)
        #expect(model.limits.bodyMemoryBytesMax == 16 << 20)
        #expect(model.spool.place == .directory("/spool"))
        #expect(model.spool.bytesMax == 2 << 20)
        #expect(model.spool.thresholdBytes == 8 << 10)
        #expect(model.timeouts.requestHeaderMilliseconds == 1000)
        #expect(model.timeouts.requestBodyIdleMilliseconds == nil)
        #expect(model.timeouts.requestBodyMilliseconds == 2000)
        #expect(model.timeouts.keepaliveMilliseconds == 3000)
        #expect(model.timeouts.responseWriteIdleMilliseconds == 4000)
    }

    @Test func upstreams() throws {
        let text = """
            listen 127.0.0.1:80;
            upstream one {
                server http://Host.Example:8000; server http://host.example; server http://[::1]/;
                server unix:/run/a.sock;
                balance least_requests; keepalive 0; keepalive_timeout off; resolve_interval 1m;
                health_check { path /h?x=1; interval 10s; timeout 1s; healthy 1; unhealthy 5; expect 200 204-206; }
                max_fails 3; fail_timeout 1m;
            }
            route / { upstream one; }
            """
        let upstream = try Configuration.parse(text: text).upstreams[0]
        #expect(
            upstream.servers.map(\.endpoint) == [
                .network(host: "host.example", port: 8000), .network(host: "host.example", port: 80),
                .network(host: "::1", port: 80), .unix(path: "/run/a.sock"),
            ])
        #expect(upstream.servers.map(\.authority) == ["host.example:8000", "host.example", "[::1]", "localhost"])
        #expect(upstream.balance == .leastRequests && upstream.idleConnectionsMax == 0)
        #expect(upstream.keepaliveMilliseconds == nil && upstream.resolveIntervalMilliseconds == 60_000)
        #expect(upstream.failuresMax == 3 && upstream.failTimeoutMilliseconds == 60_000)
        let check = try #require(upstream.healthCheck)
        #expect(check.path == "/h?x=1" && check.intervalMilliseconds == 10_000 && check.timeoutMilliseconds == 1000)
        #expect(check.healthyCount == 1 && check.unhealthyCount == 5)
        #expect(check.expectedStatuses.contains(204) && !check.expectedStatuses.contains(201))
    }

    @Test func routes() throws {
        let text = """
            listen 127.0.0.1:80; connect_timeout 1s; tunnel_timeout off;
            upstream a { server http://a; } upstream b { server http://b; }
            route API.example.com/v1 { upstream b; host_header upstream; max_in_flight 7; upgrade off;
                connect_timeout 2s; }
            route = /exact { upstream a; host_header "x.internal:81"; }
            route   ~   "^/[a-z]{2}$" { upstream a; }
            route / { upstream a; idempotency off; }
            """
        let model = try Configuration.parse(text: text)
        #expect(model.routes.map(\.name) == ["api.example.com/v1", "= /exact", "~ ^/[a-z]{2}$", "/"])
        #expect(model.routes.map(\.host) == ["api.example.com", nil, nil, nil])
        #expect(model.routes.map(\.match) == [.prefix("/v1"), .exact("/exact"), .regex("^/[a-z]{2}$"), .prefix("/")])
        #expect(model.routes.map(\.upstream) == [1, 0, 0, 0])
        #expect(model.routes.map(\.hostHeader) == [.upstream, .literal("x.internal:81"), .preserve, .preserve])
        #expect(model.routes.map(\.requestsInFlightMax) == [7, nil, nil, nil])
        #expect(model.routes.map(\.allowsUpgrade) == [false, true, true, true])
        #expect(model.routes.map(\.timeouts.connectMilliseconds) == [2000, 1000, 1000, 1000])
        #expect(model.routes[0].timeouts.tunnelMilliseconds == nil && model.routes[0].timeouts.routeMilliseconds == nil)
        #expect(model.routes[3].policy == nil)
    }

    @Test func policy() throws {
        let text = """
            listen 127.0.0.1:80; upstream a { server http://a; }
            route / { upstream a; route_timeout 30s; idempotency {
                methods POST PURGE;
                key header X-Key; key query k; key cookie c; key json /a/b; key form f;
                on_missing_key hash;
                hash {
                    body form order_free; headers Content-Type X-Tenant; include form a b; exclude query utm;
                    exclude form ts;
                    window 2m; replay always;
                }
                scope cookie sid; retention 7d; in_flight reject; max_waiters 0;
                record 503; release 500-501 404; unknown 5xx;
                on_unknown resend; on_store_error pass; request_body_limit 1MiB; record_body_limit 0;
                durability process;
                forward_key rename X-Req; late_answer_limit 0; replay_marker off;
            } }
            """
        #expect(throws: ConfigurationError.self) { try Configuration.parse(text: text) }
        let fixed = text.replacing("unknown 5xx", with: "unknown 505-599")
        let policy = try #require(try Configuration.parse(text: fixed).routes[0].policy)
        var expected = Policy()
        expected.methods = ["POST", "PURGE"]
        expected.keySources = [.header("x-key"), .query("k"), .cookie("c"), .jsonPointer("/a/b"), .form("f")]
        expected.onMissingKey = .hash
        var hash = HashRule()
        hash.body = .form(orderFree: true)
        hash.headers = ["content-type", "x-tenant"]
        hash.include = [.form("a"), .form("b")]
        hash.exclude = [.query("utm"), .form("ts")]
        hash.windowMilliseconds = 120_000
        expected.hash = hash
        expected.scope = .cookie("sid")
        expected.retentionMilliseconds = 7 * 86_400_000
        expected.inFlight = .reject
        expected.waitersMax = 0
        expected.statuses[503] = .record
        for status in [500, 501, 404] { expected.statuses[status] = .release }
        for status in 505...599 { expected.statuses[status] = .unknown }
        expected.onUnknown = .resend
        expected.onStoreError = .pass
        expected.requestBodyBytesMax = 1 << 20
        expected.recordBodyBytesMax = 0
        expected.durability = .process
        expected.forwardKey = .rename("X-Req")
        expected.lateAnswerLimitMilliseconds = 0
        expected.replayMarker = nil
        #expect(policy == expected)
    }

    @Test func runWithoutFile() throws {
        let files = ConfigurationFiles.fake(environment: ["HOME": "/home/u"])
        let model = try Configuration.forUpstream(url: "http://127.0.0.1:9000", files: files, isRoot: false)
        #expect(model.listeners == [.init(address: .network(host: "127.0.0.1", port: 8080))])
        #expect(model.admin == .init(address: .unix(path: "/home/u/.local/state/oncegate/admin.sock"), mode: 0o600))
        #expect(model.routes.count == 1 && model.routes[0].policy == Policy())
        #expect(model.upstreams[0].servers[0].endpoint == .network(host: "127.0.0.1", port: 9000))
        #expect(model.drain.delayMilliseconds == 0)
        let root = try Configuration.forUpstream(
            url: "unix:/run/a.sock", listen: "[::]:0", admin: "127.0.0.1:0", store: "/data", files: files, isRoot: true)
        #expect(root.admin == .init(address: .network(host: "127.0.0.1", port: 0)))
        #expect(root.summary.hasSuffix("records in /data"))
        let error = #expect(throws: ConfigurationError.self) {
            try Configuration.forUpstream(url: "ftp://x", listen: "8080", files: files)
        }
        #expect(
            error?.description == """
                --upstream: error: 'ftp://x' is not a server's URL (http://, https:// or h2c://HOST:PORT, \
                unix:/PATH or h2c+unix:/PATH)
                --listen: error: '8080' has no address (write '127.0.0.1:8080' or '0.0.0.0:8080'?)
                2 errors
                """)
    }
}

@Suite struct AddressTests {
    @Test(arguments: [
        ("1.2.3.4", "1.2.3.4"), ("::", "::"), ("::1", "::1"), ("0:0:0:0:0:0:0:1", "::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"), ("fe80::", "fe80::"),
        ("::ffff:1.2.3.4", "::ffff:102:304"), ("1::", "1::"), ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
    ])
    func literals(text: String, canonical: String) throws {
        let octets = try #require(AddressText.octets(of: text))
        #expect(AddressText.text(of: octets) == canonical)
        #expect(AddressText.octets(of: canonical) == octets)
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.+4", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8", "::1.2.3", "1.2.3.4::", "fe80::1%eth0", ":1", "1:", "g::",
    ])
    func nonLiterals(text: String) {
        #expect(AddressText.octets(of: text) == nil)
    }

    private func holds(_ block: Configuration.AddressBlock, _ address: [UInt8]) -> Bool {
        block.contains(address.span)
    }

    @Test func blocks() {
        let block = Configuration.AddressBlock(octets: [10, 1, 2, 3], prefixBits: 12)
        #expect(block.description == "10.0.0.0/12")
        #expect(holds(block, [10, 15, 0, 1]) && !holds(block, [10, 16, 0, 1]))
        #expect(!holds(block, [UInt8](repeating: 0, count: 16)))
        #expect(holds(Configuration.AddressBlock(octets: [0, 0, 0, 0], prefixBits: 0), [255, 1, 1, 1]))
        #expect(holds(Configuration.AddressBlock(octets: [1, 1, 1, 1], prefixBits: 32), [1, 1, 1, 1]))
    }

    @Test(
        arguments: [
            ("/", "/"), ("/a/./b/../c", "/a/c"), ("//a//", "/a/"), ("/%7Ea%2f", "/~a%2F"), ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"), ("/%2e%2E", nil), ("/..", nil), ("/%zz", nil), ("/%0", nil), ("/%00", nil),
        ] as [(String, String?)])
    func paths(raw: String, normal: String?) {
        #expect(RoutePath.normalised(raw) == normal)
    }
}
