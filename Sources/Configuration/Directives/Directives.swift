/// The table. To add a directive: one entry here, one field in the model, one line where the model is built.
enum Directives {
    static let all: [Directive] =
        general + spool + downstream + tls + upstreams + routes + idempotency + hash + jwt + probe

    static func named(_ name: String, in block: BlockKind) -> Directive? {
        byBlock[block]?[name]
    }

    /// In the order in which they are shown.
    static func `in`(_ block: BlockKind) -> [Directive] {
        let entries = all.filter { $0.blocks.contains(block) }
        // A route's own come before those that it may take over from the top level.
        return block == .top ? entries : entries.filter { !$0.isShared } + entries.filter(\.isShared)
    }

    /// Whether some block knows the name.
    static func isName(_ name: String) -> Bool {
        names.contains(name)
    }

    static func standsOnlyAtTop(_ name: String) -> Bool {
        topNames.contains(name)
    }

    /// Directives of later versions: known, refused.
    static let planned: Set<String> = [
        "redis", "postgres", "trace", "grpc",
    ]

    private static let names = Set(all.map(\.name))

    private static let topNames = names.filter { name in
        all.allSatisfy { $0.name != name || $0.blocks == [.top] }
    }

    private static let byBlock: [BlockKind: [String: Directive]] = Dictionary(
        uniqueKeysWithValues: BlockKind.allCases.map { kind in
            (kind, Dictionary(uniqueKeysWithValues: `in`(kind).map { ($0.name, $0) }))
        })
}

/// Ranges that several directives share.
enum Bounds {
    static let duration: ClosedRange<UInt64> = 1...365 * 86_400_000
    static let durationFromZero: ClosedRange<UInt64> = 0...365 * 86_400_000
    static let bodySize: ClosedRange<UInt64> = 0...1 << 30
    static let count: ClosedRange<UInt64> = 1...1_000_000
    static let storeSize: ClosedRange<UInt64> = 1 << 20...1 << 50
}

extension Directives {
    /// A time that may be off.
    static func timeout(
        _ name: String, in blocks: [BlockKind] = [.top], default defaultText: String, note: String? = nil, help: String,
        example: String
    ) -> Directive {
        Directive(
            name: name, blocks: blocks, forms: [.of(.keyword("off")), .of(.value(.duration(Bounds.duration)))],
            defaultText: defaultText, defaultNote: note, help: help, example: example)
    }

    private static let general: [Directive] = [
        Directive(
            name: "include",
            blocks: BlockKind.allCases.filter { ![.hash, .probeCondition, .probeAnswer, .encryption].contains($0) },
            forms: [.of(.value(.pattern))],
            isRepeatable: true,
            help: "Reads other files in this place, in the order of their names; relative paths start at this file.",
            example: "\"conf.d/*.conf\""),
        Directive(
            name: "workers", blocks: [.top], forms: [.of(.keyword("auto")), .of(.value(.integer(1...1024)))],
            defaultText: "auto", isReloadable: false, help: "Worker queues; auto is one per core.", example: "4"),
        Directive(
            name: "listen", blocks: [.top], forms: [.of(.value(.listenAddress), block: .optional(.listen))],
            isRepeatable: true, isRequired: true, isReloadable: false,
            help: "Where clients connect: HOST:PORT with an address literal, [V6]:PORT or unix:/PATH.",
            example: "0.0.0.0:8080", isInExample: true),
        Directive(
            name: "mode", blocks: [.listen, .admin], forms: [.of(.value(.permissions))],
            defaultNote: "by the umask; 0600 for admin",
            help: "Permissions of the UNIX socket.", example: "0660"),
        Directive(
            name: "admin", blocks: [.top],
            forms: [.of(.keyword("off")), .of(.value(.listenAddress), block: .optional(.admin))],
            defaultNote: "unix:DIRECTORY/admin.sock with the embedded store, else off",
            help: "Where operators connect: health, metrics, records. Keep it from clients.", example: "127.0.0.1:7070",
            isInExample: true),
        Directive(
            name: "store", blocks: [.top],
            forms: [
                .of(.keyword("embedded"), block: .optional(.storeEmbedded)),
                .of(.keyword("memory"), block: .optional(.storeMemory)),
            ],
            defaultText: "embedded", isReloadable: false,
            help: "Where records are kept: embedded survives everything a disk survives, memory dies with the process.",
            example: "embedded", isInExample: true, planned: ["redis", "postgres"]),
        Directive(
            name: "path", blocks: [.storeEmbedded], forms: [.of(.value(.filePath))], defaultText: "/var/lib/oncegate",
            isReloadable: false, help: "The store's directory; one process at a time.", example: "/var/lib/oncegate",
            isInExample: true),
        Directive(
            name: "max_size", blocks: [.storeEmbedded], forms: [.of(.value(.size(Bounds.storeSize)))],
            defaultText: "16GiB", isReloadable: false,
            help: "Room for records; when it is used up claims are refused (503), nothing live is dropped.",
            example: "4GiB"),
        Directive(
            name: "observations", blocks: [.storeEmbedded], forms: [.of(.value(.size(1 << 20...64 << 30)))],
            defaultText: "256MiB", isReloadable: false,
            help:
                "Room for what routes with 'mode observe' leave for `oncegate report`, some 100 octets a request; the "
                + "oldest makes room.",
            example: "1GiB"),
        Directive(
            name: "commit_delay", blocks: [.storeEmbedded], forms: [.of(.value(.duration(0...1000)))],
            defaultText: "0ms",
            isReloadable: false,
            help:
                "How long a commit waits for more to write; longer saves disk writes and adds to every first attempt.",
            example: "1ms"),
        Directive(
            name: "encryption", blocks: [.storeEmbedded], forms: [Form(parameters: [], block: .required(.encryption))],
            defaultNote: "recorded answers are stored as they are",
            help:
                "Recorded answers are encrypted (AES-256-GCM). Its keys, unlike the rest of the store, can be "
                + "exchanged by a reload.",
            example: ""),
        Directive(
            name: "key", blocks: [.encryption], forms: [.of(.value(.secret))], isRepeatable: true, isRequired: true,
            help:
                "Keys of 32 octets, one a line, in base64 or hexadecimal, such as `openssl rand -base64 32` makes: the "
                + "first encrypts, all decrypt. To rotate, put a new one first.",
            example: "file(\"/run/secrets/oncegate-keys\")", isInExample: true),
        Directive(
            name: "max_size", blocks: [.storeMemory], forms: [.of(.value(.size(Bounds.storeSize)))],
            defaultText: "256MiB", isReloadable: false,
            help: "Room for records; when it is used up claims are refused (503), nothing live is dropped.",
            example: "1GiB"),
        Directive(
            name: "access_log", blocks: [.top],
            forms: [
                .of(.keyword("off")), .of(.keyword("auto"), .optional(.logDestination)),
                .of(.keyword("json"), .optional(.logDestination)), .of(.keyword("text"), .optional(.logDestination)),
            ],
            defaultText: "auto stdout",
            help:
                "One line per exchange; auto is text on a terminal and JSON elsewhere. Keys and bodies are "
                + "never logged.",
            example: "json /var/log/oncegate/access.log"),
        Directive(
            name: "log_level", blocks: [.top],
            forms: ["debug", "info", "warning", "error"].map { .of(.keyword($0)) }, defaultText: "info",
            help: "The least severe messages on stderr.", example: "debug"),
        Directive(
            name: "trusted_proxies", blocks: [.top], forms: [.of(.many(.addressBlock))],
            defaultNote: "nobody",
            help: "Peers whose X-Forwarded-* and X-Request-ID are believed.", example: "10.0.0.0/8 fd00::/8"),
        Directive(
            name: "via", blocks: [.top], forms: [.of(.keyword("off")), .of(.value(.fieldName))],
            defaultText: "oncegate", help: "The proxy's name in Via.", example: "edge"),
        Directive(
            name: "unknown_webhook", blocks: [.top], forms: [.of(.keyword("off")), .of(.value(.webhookURL))],
            defaultText: "off",
            help:
                "Gets a POST when an outcome becomes unknown: route, hash of the key, cause and times as JSON, nothing "
                + "of the request.",
            example: "https://hooks.example/oncegate"),
        Directive(
            name: "drain_delay", blocks: [.top], forms: [.of(.value(.duration(Bounds.durationFromZero)))],
            defaultText: "5s", help: "After SIGTERM: how long readiness says no while connections are still accepted.",
            example: "0s"),
        Directive(
            name: "drain_timeout", blocks: [.top], forms: [.of(.value(.duration(Bounds.durationFromZero)))],
            defaultText: "25s",
            help: "After that: how long exchanges may take to finish before they are cut.", example: "60s"),
        Directive(
            name: "max_connections", blocks: [.top], forms: [.of(.value(.integer(Bounds.count)))], defaultText: "65536",
            help: "Clients' connections at once; more wait in the kernel.", example: "10000"),
        Directive(
            name: "max_requests_in_flight", blocks: [.top], forms: [.of(.value(.integer(Bounds.count)))],
            defaultText: "16384", help: "Requests at once; more are answered 503.", example: "4096"),
        Directive(
            name: "body_memory", blocks: [.top], forms: [.of(.value(.size(1 << 20...1 << 42)))], defaultText: "256MiB",
            help: "Memory for all bodies that are held at once.", example: "1GiB"),
    ]

    private static let downstream: [Directive] = [
        timeout(
            "request_header_timeout", default: "10s", help: "From a request's first octet to the end of its head.",
            example: "5s"),
        timeout("request_body_idle", default: "15s", help: "The longest gap inside a request's body.", example: "30s"),
        timeout(
            "request_body_timeout", default: "60s", help: "The whole body of a covered request.", example: "5m"),
        timeout(
            "keepalive_timeout", default: "60s", help: "How long a client's connection may idle between requests.",
            example: "75s"),
        timeout(
            "response_write_idle", default: "30s", help: "How long a client may read nothing of its answer.",
            example: "60s"),
        timeout(
            "connect_timeout", in: [.top, .route], default: "3s", note: inherited,
            help: "Connecting to a server.", example: "1s"),
        timeout(
            "response_header_timeout", in: [.top, .route], default: "60s", note: inherited,
            help: "From the request's last octet to the answer's head.", example: "30s"),
        timeout(
            "upstream_idle_timeout", in: [.top, .route], default: "60s", note: inherited,
            help: "The longest gap inside an answer.", example: "2m"),
        timeout(
            "route_timeout", in: [.top, .route], default: "off", note: "120s on a route with idempotency; " + inherited,
            help:
                "The whole exchange with the server. A covered attempt that exceeds it is answered 504, outcome "
                + "unknown.",
            example: "30s"),
        timeout(
            "tunnel_timeout", in: [.top, .route], default: "1h", note: inherited,
            help: "How long an upgraded connection may idle.", example: "12h"),
    ]

    private static let inherited = "in a route, the top level's"

    private static let upstreams: [Directive] = [
        Directive(
            name: "upstream", blocks: [.top], forms: [.of(.value(.upstreamName), block: .required(.upstream))],
            isRepeatable: true, help: "A named group of servers that do the same work.", example: "billing",
            isInExample: true),
        Directive(
            name: "server", blocks: [.upstream], forms: [.of(.value(.serverURL))], isRepeatable: true, isRequired: true,
            help:
                "http://HOST:PORT, https://HOST:PORT (TLS; HTTP/2 if the server agrees), h2c://HOST:PORT (HTTP/2 in "
                + "the clear), unix:/PATH or h2c+unix:/PATH. Without port it is 80, for https 443.",
            example: "http://127.0.0.1:9000", isInExample: true),
        Directive(
            name: "balance", blocks: [.upstream],
            forms: ["round_robin", "least_requests", "first"].map { .of(.keyword($0)) }, defaultText: "round_robin",
            help: "Which server takes a request; first is the first healthy one.", example: "least_requests"),
        Directive(
            name: "keepalive", blocks: [.upstream], forms: [.of(.value(.integer(0...65_536)))], defaultText: "32",
            help: "Idle connections kept per server and worker.", example: "64"),
        timeout(
            "keepalive_timeout", in: [.upstream], default: "15s",
            help: "How long one is kept; less than the server keeps it.", example: "4s"),
        Directive(
            name: "max_streams", blocks: [.upstream], forms: [.of(.value(.integer(1...65_536)))], defaultText: "100",
            help: "Requests at once on one HTTP/2 connection to a server, which may allow fewer.", example: "32"),
        Directive(
            name: "resolve_interval", blocks: [.upstream], forms: [.of(.value(.duration(1000...86_400_000)))],
            defaultText: "30s", help: "How often names are resolved again; the last good answer stays in use.",
            example: "5s"),
        Directive(
            name: "health_check", blocks: [.upstream], forms: [Form(parameters: [], block: .required(.healthCheck))],
            defaultNote: "every server counts as healthy", help: "Asks every server regularly with a GET.", example: "",
            isInExample: true),
        Directive(
            name: "path", blocks: [.healthCheck], forms: [.of(.value(.requestPath))], isRequired: true,
            help: "What is asked for.", example: "/healthz", isInExample: true),
        Directive(
            name: "interval", blocks: [.healthCheck], forms: [.of(.value(.duration(100...86_400_000)))],
            defaultText: "5s", help: "From one check to the next.", example: "10s"),
        Directive(
            name: "timeout", blocks: [.healthCheck], forms: [.of(.value(.duration(1...3_600_000)))], defaultText: "2s",
            help: "How long one check may take.", example: "1s"),
        Directive(
            name: "healthy", blocks: [.healthCheck], forms: [.of(.value(.integer(1...100)))], defaultText: "2",
            help: "Successes in a row that bring a server back.", example: "1"),
        Directive(
            name: "unhealthy", blocks: [.healthCheck], forms: [.of(.value(.integer(1...100)))], defaultText: "3",
            help: "Failures in a row that take it out.", example: "2"),
        Directive(
            name: "expect", blocks: [.healthCheck], forms: [.of(.many(.statuses))], defaultText: "200-399",
            help: "Statuses that are a success.", example: "200 204"),
        Directive(
            name: "max_fails", blocks: [.upstream], forms: [.of(.value(.integer(0...1_000_000)))], defaultText: "0",
            help: "Failed connections in a row that take a server out for fail_timeout; 0 = never.", example: "5"),
        Directive(
            name: "fail_timeout", blocks: [.upstream], forms: [.of(.value(.duration(Bounds.duration)))],
            defaultText: "10s", help: "How long such a server is left alone.", example: "30s"),
    ]

    private static let routes: [Directive] = [
        Directive(
            name: "route", blocks: [.top],
            forms: [
                .of(.keyword("="), .value(.exactPath), block: .required(.route)),
                .of(.keyword("~"), .value(.regex), block: .required(.route)),
                .of(.value(.prefixPath), block: .required(.route)),
            ],
            isRepeatable: true, isRequired: true,
            help:
                "Which requests these are. Exact paths (=) come first, then the longest prefix, then regexes (~) in "
                + "the order of the file; a route with a host comes before one without. A prefix "
                + "matches whole segments.",
            example: "/v1/charges", isInExample: true),
        Directive(
            name: "upstream", blocks: [.route], forms: [.of(.value(.upstreamName))], isRequired: true,
            help: "Where they go.", example: "billing", isInExample: true),
        Directive(
            name: "host_header", blocks: [.route],
            forms: [.of(.keyword("preserve")), .of(.keyword("upstream")), .of(.value(.host))], defaultText: "preserve",
            help: "The Host that the server sees: the client's, the server's own or a fixed one.",
            example: "\"billing.internal\""),
        Directive(
            name: "max_in_flight", blocks: [.route], forms: [.of(.value(.integer(Bounds.count)))],
            defaultNote: "no limit but max_requests_in_flight", help: "Requests at once; more are answered 503.",
            example: "200"),
        Directive(
            name: "upgrade", blocks: [.route], forms: [.of(.keyword("on")), .of(.keyword("off"))], defaultText: "on",
            defaultNote: "off on a route with idempotency",
            help: "Whether Upgrade (WebSocket, not h2c) may open a tunnel; never with idempotency.", example: "off"),
        Directive(
            name: "idempotency", blocks: [.route],
            forms: [.of(.keyword("off")), Form(parameters: [], block: .optional(.idempotency))], defaultText: "off",
            help: "Protects the route: the first attempt is forwarded, every repeat gets its answer.", example: "",
            isInExample: true),
    ]

    private static let idempotency: [Directive] = [
        Directive(
            name: "mode", blocks: [.idempotency], forms: ["enforce", "observe"].map { .of(.keyword($0)) },
            defaultText: "enforce",
            help:
                "observe forwards everything and records fingerprints only, for `oncegate report`; it protects "
                + "nothing.",
            example: "observe"),
        Directive(
            name: "methods", blocks: [.idempotency], forms: [.of(.many(.method))],
            defaultNote: "every method but GET HEAD OPTIONS TRACE CONNECT", help: "The methods that are covered.",
            example: "POST PATCH"),
        Directive(
            name: "key", blocks: [.idempotency],
            forms: [
                .of(.keyword("header"), .value(.fieldName)), .of(.keyword("query"), .value(.parameterName)),
                .of(.keyword("cookie"), .value(.cookieName)), .of(.keyword("json"), .value(.jsonPointer)),
                .of(.keyword("form"), .value(.parameterName)), .of(.keyword("xpath"), .value(.xpath)),
                .of(.keyword("soap"), .value(.choice(["message-id"]))),
            ],
            defaultText: "header Idempotency-Key", isRepeatable: true,
            help:
                "Where the client's token stands; of several lines the first that is present wins. soap message-id is "
                + "wsa:MessageID, of use only where a retry keeps it.",
            example: "header Idempotency-Key", isInExample: true),
        Directive(
            name: "namespace", blocks: [.idempotency], forms: [.of(.value(.namespacePrefix), .value(.word))],
            isRepeatable: true,
            help:
                "A prefix that XPaths may use; soap, soap12, wsa, wsa2004, wsse, wsu, ds, xsi and xml are known.",
            example: "o urn:example:orders"),
        Directive(
            name: "on_missing_key", blocks: [.idempotency],
            forms: ["pass", "reject", "hash"].map { .of(.keyword($0)) },
            defaultText: "pass",
            help:
                "A request without token: pass forwards it unprotected, reject answers 400, hash identifies it by its "
                + "arguments (see the block hash).",
            example: "reject", isInExample: true),
        Directive(
            name: "hash", blocks: [.idempotency], forms: [Form(parameters: [], block: .required(.hash))],
            defaultNote: "method, path, query and the body's octets",
            help: "What makes two requests the same: method, path and query always, and what this block says.",
            example: ""),
        Directive(
            name: "scope", blocks: [.idempotency],
            forms: [
                .of(.keyword("standard")), .of(.keyword("none")), .of(.keyword("header"), .value(.fieldName)),
                .of(.keyword("cookie"), .value(.cookieName)),
                .of(.keyword("client_cert"), .value(.choice(["subject", "san"]))),
                .of(.keyword("jwt"), .value(.word), block: .required(.jwt)),
            ],
            defaultText: "standard",
            help:
                "Who is calling; equal tokens of two callers are two records. standard is Authorization if sent, else "
                + "the client's certificate, else anonymous; client_cert is the subject or the alternative names of "
                + "the certificate that the client has shown; jwt is a claim of a verified token, with its issuer.",
            example: "header Authorization", blockExample: "jwt sub", isInExample: true),
        Directive(
            name: "retention", blocks: [.idempotency], forms: [.of(.value(.duration(1000...365 * 86_400_000)))],
            defaultText: "24h", help: "How long an answer is replayed.", example: "24h", isInExample: true),
        Directive(
            name: "in_flight", blocks: [.idempotency],
            forms: [.of(.keyword("reject")), .of(.keyword("wait"), .value(.duration(Bounds.durationFromZero)))],
            defaultText: "wait 10s",
            help: "A repeat while the first attempt runs: wait for its answer, then 409; or 409.",
            example: "wait 30s"),
        Directive(
            name: "max_waiters", blocks: [.idempotency], forms: [.of(.value(.integer(0...65_536)))], defaultText: "64",
            help: "Repeats that wait for one first attempt; more get 409.", example: "16"),
        Directive(
            name: "record", blocks: [.idempotency], forms: [.of(.many(.statuses))],
            defaultNote: "every final status on no other list, 500 included",
            help: "Answers that are kept and replayed. The three lists move statuses away from their default place.",
            example: "500"),
        Directive(
            name: "release", blocks: [.idempotency], forms: [.of(.many(.statuses))],
            defaultText: "401 403 407 408 421 425 429 503",
            help: "Answers that are forgotten: the next attempt runs.", example: "400 404"),
        Directive(
            name: "unknown", blocks: [.idempotency], forms: [.of(.many(.statuses))], defaultText: "502 504",
            help: "Answers that do not say whether the request was executed.", example: "500"),
        Directive(
            name: "on_unknown", blocks: [.idempotency],
            forms: [
                .of(.keyword("hold")), .of(.keyword("resend")), .of(.keyword("probe"), block: .required(.probe)),
            ],
            defaultText: "hold",
            help:
                "A repeat of an attempt whose outcome is not known: hold answers 409 until it is resolved, resend runs "
                + "it again (at least once), probe asks the service what happened.",
            example: "resend", blockExample: "probe"),
        Directive(
            name: "on_store_error", blocks: [.idempotency], forms: ["reject", "pass"].map { .of(.keyword($0)) },
            defaultText: "reject",
            help: "When the store cannot claim: reject answers 503, pass forwards without protection.",
            example: "pass"),
        Directive(
            name: "request_body_limit", blocks: [.idempotency], forms: [.of(.value(.size(Bounds.bodySize)))],
            defaultText: "8MiB", help: "The largest covered request, read whole before its claim; 413 above.",
            example: "1MiB"),
        Directive(
            name: "record_body_limit", blocks: [.idempotency], forms: [.of(.value(.size(Bounds.bodySize)))],
            defaultText: "8MiB", help: "The largest answer that is kept; of a larger one only status, size and digest.",
            example: "1MiB"),
        Directive(
            name: "durability", blocks: [.idempotency], forms: ["power", "process"].map { .of(.keyword($0)) },
            defaultText: "power",
            help: "What a record survives: a power cut, or only the end of the process.", example: "process"),
        Directive(
            name: "forward_key", blocks: [.idempotency],
            forms: [.of(.keyword("keep")), .of(.keyword("strip")), .of(.keyword("rename"), .value(.fieldName))],
            defaultText: "keep", help: "The token's header field towards the server.", example: "rename X-Request-Token"
        ),
        Directive(
            name: "late_answer_limit", blocks: [.idempotency], forms: [.of(.value(.duration(Bounds.durationFromZero)))],
            defaultText: "10m", help: "How long after a 504 the server's answer is still awaited.", example: "1h"),
        Directive(
            name: "replay_marker", blocks: [.idempotency], forms: [.of(.keyword("off")), .of(.value(.fieldName))],
            defaultText: "Idempotent-Replayed", help: "The header field that marks a replay.", example: "X-Replayed"),
        Directive(
            name: "repeatability", blocks: [.idempotency], forms: ["on", "off"].map { .of(.keyword($0)) },
            defaultText: "off",
            help:
                "OASIS Repeatable Requests 1.0: Repeatability-Request-ID is one more token, before all others; a "
                + "Repeatability-First-Sent from before the retention is refused (412) where no record stands; "
                + "answers carry Repeatability-Result.",
            example: "on"),
        Directive(
            name: "idempotency_expires", blocks: [.idempotency], forms: ["on", "off"].map { .of(.keyword($0)) },
            defaultText: "off", help: "Answers say in Idempotency-Expires (an HTTP-date) until when they are replayed.",
            example: "on"),
        Directive(
            name: "expose_headers", blocks: [.idempotency], forms: ["on", "off"].map { .of(.keyword($0)) },
            defaultText: "off",
            help:
                "Scripts in browsers may read the proxy's own fields of cross-origin answers "
                + "(Access-Control-Expose-Headers).",
            example: "on"),
    ]

    private static let hash: [Directive] = [
        Directive(
            name: "body", blocks: [.hash],
            forms: [
                .of(.keyword("raw")), .of(.keyword("json")), .of(.keyword("none")),
                .of(.keyword("form"), .optionalKeyword("order_free")), .of(.keyword("xml")), .of(.keyword("soap")),
                .of(.keyword("multipart")),
            ],
            defaultText: "raw",
            help:
                "How the body counts: its octets, its JSON value (RFC 8785), its form fields, what its XML means, the "
                + "same without what SOAP libraries make anew for each attempt, its parts, or not at all.",
            example: "json", isInExample: true),
        Directive(
            name: "headers", blocks: [.hash], forms: [.of(.many(.fieldName))], defaultNote: "none",
            help: "Header fields that count.", example: "Content-Type"),
        selector("include", help: "When given, only these parts of the body or query count.", example: "json /order"),
        selector("exclude", help: "Parts that do not count.", example: "json /timestamp"),
        Directive(
            name: "window", blocks: [.hash], forms: [.of(.value(.duration(1...365 * 86_400_000)))],
            defaultNote: "none: to be chosen with on_missing_key hash",
            help: "How long equal requests without token are one request; at most retention.", example: "2m",
            isInExample: true),
        Directive(
            name: "replay", blocks: [.hash], forms: ["always", "undelivered"].map { .of(.keyword($0)) },
            defaultNote: "none: to be chosen with on_missing_key hash",
            help:
                "Of equal requests without token: always replays them all within the window; undelivered replays only "
                + "while the first answer was not completely delivered, which holds where clients connect directly.",
            example: "always", isInExample: true),
    ]

    private static func selector(_ name: String, help: String, example: String) -> Directive {
        Directive(
            name: name, blocks: [.hash],
            forms: [
                .of(.keyword("json"), .many(.jsonPointer)), .of(.keyword("form"), .many(.parameterName)),
                .of(.keyword("query"), .many(.parameterName)), .of(.keyword("xpath"), .many(.xpath)),
                .of(.keyword("part"), .many(.parameterName)),
            ],
            isRepeatable: true, help: help, example: example)
    }
}
