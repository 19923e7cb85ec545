/// The block of `scope jwt`.
extension Directives {
    static let jwt: [Directive] = [
        Directive(
            name: "key", blocks: [.jwt],
            forms: [
                .of(.keyword("HS256"), .value(.secret)), .of(.keyword("RS256"), .value(.inputFile)),
                .of(.keyword("ES256"), .value(.inputFile)), .of(.keyword("EdDSA"), .value(.inputFile)),
            ],
            isRepeatable: true,
            help:
                "A key of the issuer, for one algorithm: a secret of at least 32 octets, or the PEM file of a public "
                + "key. Several may hold at once.",
            example: "RS256 /etc/oncegate/issuer.pem", isInExample: true),
        Directive(
            name: "jwks", blocks: [.jwt], forms: [.of(.value(.inputFile))], defaultNote: "none",
            help: "Keys of the issuer as a JSON Web Key Set. Read again when the file changes.",
            example: "/etc/oncegate/jwks.json"),
        Directive(
            name: "algorithms", blocks: [.jwt],
            forms: [.of(.many(.choice(["RS256", "ES256", "EdDSA", "HS256"])))], defaultText: "RS256 ES256 EdDSA",
            help: "What keys of the set may be for.", example: "ES256"),
        Directive(
            name: "issuer", blocks: [.jwt], forms: [.of(.value(.word))], defaultNote: "anything",
            help: "What the token's iss must be.", example: "https://id.example"),
        Directive(
            name: "audience", blocks: [.jwt], forms: [.of(.value(.word))], defaultNote: "anything",
            help: "What the token's aud must hold.", example: "orders"),
        Directive(
            name: "header", blocks: [.jwt], forms: [.of(.value(.fieldName))], defaultText: "Authorization",
            help: "The field that carries the token: Authorization after Bearer, another one as it is.",
            example: "X-Access-Token"),
        Directive(
            name: "leeway", blocks: [.jwt], forms: [.of(.value(.duration(0...3_600_000)))], defaultText: "1m",
            help: "By how much the clocks of issuer and proxy may differ.", example: "10s"),
    ]
}
