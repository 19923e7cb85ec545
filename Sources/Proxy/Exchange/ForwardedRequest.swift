import HTTP
import Transport

/// The request's head as the service gets it: rebuilt from parsed values, with exactly one framing field, `Host`, `Via`
/// and `X-Forwarded-*` of the proxy's own.
enum ForwardedRequest {
    /// What of the client's connection the head tells.
    struct Client {
        var text: [UInt8]
        var isTrusted = false
        /// What TLS agreed on; nil = no TLS.
        var agreement: TLSAgreement?

        var isSecure: Bool { agreement != nil }
    }

    /// Marks what is not forwarded as it came.
    static func dropManaged(_ fields: inout FieldSection, isTrusted: Bool) {
        fields.drop(.host)
        fields.drop(.contentLength)
        fields.drop(.expect)
        fields.drop(.xForwardedFor)
        if !isTrusted {
            fields.drop(.xForwardedProto)
            fields.drop(.xForwardedHost)
            fields.drop(.xForwardedPort)
            fields.drop(.forwarded)
        }
    }

    /// Appends the head as an HTTP/1 message.
    static func write(
        _ head: borrowing RequestHead, route: Route, client: Client, serverText: String, via: [UInt8]?,
        framing: BodyFraming,
        isCovered: Bool, upgrades: Bool, to output: inout [UInt8]
    ) {
        output.append(head[head.methodRange])
        output.append(UInt8(ascii: " "))
        writeTarget(head, to: &output)
        output.append(contentsOf: versionEnd)
        output.append(contentsOf: hostPrefix)
        writeAuthority(head, route: route, serverText: serverText, to: &output)
        output.append(contentsOf: WireText.lineEnd)
        writeFields(head, route: route, client: client, via: via, isCovered: isCovered, to: &output)
        if upgrades { writeUpgrade(head.fields, to: &output) }
        switch framing {
        case .none, .untilClose: break
        case .length(let length): HTTP1Serialiser.contentLength(length, to: &output)
        case .chunked: output.append(contentsOf: WireText.chunkedLine)
        }
        HTTP1Serialiser.endOfHead(to: &output)
    }

    /// Appends `host[:port]` as the service is to see it.
    static func writeAuthority(
        _ head: borrowing RequestHead, route: Route, serverText: String, to output: inout [UInt8]
    ) {
        switch route.settings.hostField {
        case .preserve where !head.authority.isEmpty: output.append(head[head.authority])
        case .preserve: output.append(contentsOf: serverText.utf8)
        case .upstream: output.append(contentsOf: serverText.utf8)
        case .fixed(let text): output.append(contentsOf: text.utf8)
        }
    }

    /// Appends the lines of every protocol: what the client sent end to end, and what the proxy says.
    static func writeFields(
        _ head: borrowing RequestHead, route: Route, client: Client, via: [UInt8]?, isCovered: Bool,
        to output: inout [UInt8]
    ) {
        HTTP1Serialiser.fieldLines(of: head.fields, to: &output)
        if isCovered && route.renamesKey { route.writeRenamedKey(head.fields, to: &output) }
        writeForwarded(head, client, to: &output)
        if let via { output.append(contentsOf: via) }
    }

    /// Appends the raw target in origin form; an absolute-form target loses its scheme and authority (RFC 9112 §3.2.1).
    static func writeTarget(_ head: borrowing RequestHead, to output: inout [UInt8]) {
        switch head.form {
        case .origin, .asterisk:
            output.append(head[head.targetRange])
        case .absolute:
            if head.method == .options && head.isAuthorityOnly {
                // RFC 9112 §3.2.4: without path and query it asks about the server as a whole.
                output.append(UInt8(ascii: "*"))
            } else if head.path.isEmpty {
                output.append(UInt8(ascii: "/"))
            } else {
                output.append(head[head.path])
            }
            if head.hasQuery {
                output.append(UInt8(ascii: "?"))
                output.append(head[head.query])
            }
        }
    }

    /// RFC 9110 has no standard for these; the convention is Caddy's strict one: believed and appended to only from
    /// trusted peers.
    private static func writeForwarded(_ head: borrowing RequestHead, _ client: Client, to output: inout [UInt8]) {
        // A probe is sent for no client.
        if client.text.isEmpty { return }
        output.append(contentsOf: forwardedForPrefix)
        if client.isTrusted && head.fields.contains(.xForwardedFor) {
            for line in head.fields.lines where line.known == .xForwardedFor {
                output.append(head.fields.value(line))
                output.append(contentsOf: listSeparator)
            }
        }
        output.append(contentsOf: client.text)
        output.append(contentsOf: WireText.lineEnd)
        if !client.isTrusted || !head.fields.contains(.xForwardedProto) {
            output.append(contentsOf: client.isSecure ? forwardedSecureLine : forwardedProtoLine)
        }
        if !head.authority.isEmpty && (!client.isTrusted || !head.fields.contains(.xForwardedHost)) {
            output.append(contentsOf: forwardedHostPrefix)
            output.append(head[head.authority])
            output.append(contentsOf: WireText.lineEnd)
        }
    }

    static func writeUpgrade(_ fields: borrowing FieldSection, to output: inout [UInt8]) {
        guard let line = fields.first(.upgrade) else { return }
        output.append(contentsOf: upgradePrefix)
        output.append(fields.value(line))
        output.append(contentsOf: WireText.lineEnd)
        output.append(contentsOf: WireText.upgradeLine)
    }

    private static let versionEnd = Array(" HTTP/1.1\r\n".utf8)
    private static let hostPrefix = Array("Host: ".utf8)
    private static let upgradePrefix = Array("Upgrade: ".utf8)
    private static let forwardedForPrefix = Array("X-Forwarded-For: ".utf8)
    private static let forwardedProtoLine = Array("X-Forwarded-Proto: http\r\n".utf8)
    private static let forwardedSecureLine = Array("X-Forwarded-Proto: https\r\n".utf8)
    private static let forwardedHostPrefix = Array("X-Forwarded-Host: ".utf8)
    private static let listSeparator = Array(", ".utf8)
}
