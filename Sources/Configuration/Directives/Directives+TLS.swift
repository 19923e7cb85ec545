/// TLS, HTTP/2 and the PROXY header.
extension Directives {
    static let tls: [Directive] = listenerTLS + upstreamTLS

    private static let listenerTLS: [Directive] = [
        timeout(
            "tls_handshake_timeout", default: "10s", help: "From the accepted connection to the end of its handshake.",
            example: "5s"),
        Directive(
            name: "tls", blocks: [.listen], forms: [Form(parameters: [], block: .required(.listenTLS))],
            defaultNote: "in the clear", isReloadable: false,
            help: "Clients connect with TLS. Files are read again when they change.", example: "", isInExample: true),
        Directive(
            name: "certificate", blocks: [.listenTLS], forms: [.of(.value(.inputFile))], isRepeatable: true,
            isRequired: true,
            isReloadable: false,
            help:
                "A certificate and its chain, PEM. Of several the client's server name chooses, exact names before "
                + "wildcards; the first is the default. A relative path starts at this file.",
            example: "/etc/oncegate/tls/fullchain.pem", isInExample: true),
        Directive(
            name: "key", blocks: [.listenTLS], forms: [.of(.value(.inputFile))], isRepeatable: true, isRequired: true,
            isReloadable: false,
            help: "Its private key, PEM; the first key belongs to the first certificate, and so on.",
            example: "/etc/oncegate/tls/key.pem", isInExample: true),
        Directive(
            name: "min_version", blocks: [.listenTLS], forms: ["1.2", "1.3"].map { .of(.keyword($0)) },
            defaultText: "1.2", isReloadable: false, help: "The oldest version of TLS that is spoken.", example: "1.3"),
        alpn(.listenTLS, help: "What clients may choose from, the most wanted first."),
        Directive(
            name: "client_certificate", blocks: [.listenTLS],
            forms: [
                .of(.keyword("off")), .of(.keyword("optional"), .value(.inputFile)),
                .of(.keyword("required"), .value(.inputFile)),
            ],
            defaultText: "off",
            isReloadable: false,
            help:
                "Whether clients are asked for a certificate, and the PEM file of the authorities that vouch for it. "
                + "One that is shown must be valid.",
            example: "required /etc/oncegate/tls/clients.pem"),
        Directive(
            name: "unknown_name", blocks: [.listenTLS], forms: ["default", "reject"].map { .of(.keyword($0)) },
            defaultText: "default",
            isReloadable: false,
            help: "A server name that no certificate has: the first certificate, or no handshake.", example: "reject"),
        Directive(
            name: "session_tickets", blocks: [.listenTLS],
            forms: [.of(.keyword("on")), .of(.keyword("off")), .of(.keyword("shared"), .value(.inputFile))],
            defaultText: "on",
            isReloadable: false,
            help:
                "Whether a client may resume its session, for half a day: on, under keys in memory that change hourly; "
                + "shared, also at every other proxy with the same FILE and certificates. FILE has one key a line, 32 "
                + "octets in base64 (openssl rand -base64 32) or hexadecimal: the first encrypts, all decrypt. It is "
                + "read again when it changes.",
            example: "shared /run/secrets/oncegate-tickets"),
        Directive(
            name: "http2", blocks: [.listen], forms: ["on", "off"].map { .of(.keyword($0)) }, defaultText: "on",
            isReloadable: false,
            help:
                "HTTP/2: in the clear by prior knowledge and Upgrade: h2c, with TLS by ALPN, from whose default off "
                + "takes h2.",
            example: "off"),
        Directive(
            name: "proxy_protocol", blocks: [.listen], forms: [.of(.keyword("on")), .of(.many(.addressBlock))],
            defaultNote: "nobody",
            isReloadable: false,
            help:
                "Peers whose connections begin with a PROXY header (v1 or v2), always; those of others never do. on is "
                + "for UNIX sockets, whose peers have no address.",
            example: "10.0.0.0/8"),
    ]

    private static let upstreamTLS: [Directive] = [
        Directive(
            name: "tls", blocks: [.upstream], forms: [Form(parameters: [], block: .required(.upstreamTLS))],
            defaultNote: "verified by the system's authorities",
            help: "How servers with https:// are met. Files are read again when they change.", example: ""),
        Directive(
            name: "ca", blocks: [.upstreamTLS], forms: [.of(.value(.inputFile))], defaultNote: "the system's",
            help: "The authorities that vouch for the servers, PEM. A relative path starts at this file.",
            example: "/etc/oncegate/tls/ca.pem"),
        Directive(
            name: "name", blocks: [.upstreamTLS], forms: [.of(.value(.serverName))], defaultNote: "the URL's host",
            help: "The name that is asked for (SNI) and that the certificate must have.", example: "backend.internal"),
        Directive(
            name: "certificate", blocks: [.upstreamTLS], forms: [.of(.value(.inputFile))], defaultNote: "none",
            help: "The proxy's own certificate and its chain, PEM.", example: "/etc/oncegate/tls/client.pem"),
        Directive(
            name: "key", blocks: [.upstreamTLS], forms: [.of(.value(.inputFile))], defaultNote: "none",
            help: "Its private key, PEM.", example: "/etc/oncegate/tls/client-key.pem"),
        Directive(
            name: "verify", blocks: [.upstreamTLS], forms: ["on", "off"].map { .of(.keyword($0)) }, defaultText: "on",
            help: "Whether the server's certificate must be valid; off trusts whoever answers.", example: "off"),
        alpn(.upstreamTLS, help: "What the server may choose from, the most wanted first."),
    ]

    private static func alpn(_ block: BlockKind, help: String) -> Directive {
        Directive(
            name: "alpn", blocks: [block], forms: [.of(.many(.choice(["h2", "http/1.1"])))], defaultText: "h2 http/1.1",
            isReloadable: block != .listenTLS, help: help, example: "http/1.1")
    }
}
