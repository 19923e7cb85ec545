import HTTP
import Idempotency
import Transport

/// The request's head as the service gets it: rebuilt from parsed values, with exactly one framing field, `Host`, `Via` and
/// `X-Forwarded-*` of the proxy's own.
enum ForwardedRequest {
    static func write(
        _ exchange: Exchange, route: Route, serverText: String, framing: BodyFraming, to output: inout [UInt8]
    ) {
        let isTrusted = exchange.downstream?.peerIsTrusted ?? false
        var fields = exchange.head.fields
        exchange.head.fields = FieldSection()
        defer { exchange.head.fields = fields }
        HTTP1Serialiser.requestLine(
            method: fields.octets(exchange.head.methodRange), target: exchange.head, in: fields, to: &output)
        writeHost(exchange, route, fields, serverText, to: &output)
        dropManaged(&fields, route: route, isTrusted: isTrusted)
        HTTP1Serialiser.fieldLines(of: fields, to: &output)
        if case .rename(let name)? = route.policy?.forwardKey, exchange.identity.isCovered {
            route.identifier.writeRenamedKey(name, fields, to: &output)
        }
        writeForwarded(exchange, fields, isTrusted: isTrusted, to: &output)
        if let via = exchange.context.viaLine(exchange.head.version) { output.append(contentsOf: via) }
        if exchange.mayUpgrade {
            writeUpgrade(fields, to: &output)
        }
        switch framing {
        case .none, .untilClose: break
        case .length(let length): HTTP1Serialiser.contentLength(length, to: &output)
        case .chunked: output.append(contentsOf: WireText.chunkedLine)
        }
        output.append(contentsOf: WireText.lineEnd)
    }

    private static func dropManaged(_ fields: inout FieldSection, route: Route, isTrusted: Bool) {
        for known in [KnownField.host, .contentLength, .expect, .idempotentReplayed, .xForwardedFor] { fields.drop(known) }
        if !isTrusted {
            for known in [KnownField.xForwardedProto, .xForwardedHost, .xForwardedPort, .forwarded] { fields.drop(known) }
        }
        if let policy = route.policy, policy.forwardKey != .keep { route.identifier.dropKey(&fields) }
    }

    private static func writeHost(
        _ exchange: Exchange, _ route: Route, _ fields: FieldSection, _ serverText: String, to output: inout [UInt8]
    ) {
        output.append(contentsOf: hostPrefix)
        switch route.settings.hostField {
        case .preserve: output.append(fields.octets(exchange.head.authority))
        case .upstream: output.append(contentsOf: serverText.utf8)
        case .fixed(let text): output.append(contentsOf: text.utf8)
        }
        output.append(contentsOf: WireText.lineEnd)
    }

    /// RFC 9110 has no standard for these; the convention is Caddy's strict one: believed and appended to only from trusted peers.
    private static func writeForwarded(
        _ exchange: Exchange, _ fields: FieldSection, isTrusted: Bool, to output: inout [UInt8]
    ) {
        guard let downstream = exchange.downstream else { return }
        output.append(contentsOf: forwardedForPrefix)
        if isTrusted {
            for line in fields.lines where line.known == .xForwardedFor {
                output.append(fields.octets(line.value))
                output.append(contentsOf: listSeparator)
            }
        }
        output.append(contentsOf: downstream.peerText)
        output.append(contentsOf: WireText.lineEnd)
        if !isTrusted || fields.first(.xForwardedProto) == nil { output.append(contentsOf: forwardedProtoLine) }
        if !isTrusted || fields.first(.xForwardedHost) == nil {
            output.append(contentsOf: forwardedHostPrefix)
            output.append(fields.octets(exchange.head.authority))
            output.append(contentsOf: WireText.lineEnd)
        }
    }

    private static func writeUpgrade(_ fields: FieldSection, to output: inout [UInt8]) {
        guard let line = fields.first(.upgrade) else { return }
        output.append(contentsOf: "Upgrade: ".utf8)
        output.append(fields.octets(line.value))
        output.append(contentsOf: WireText.lineEnd)
        output.append(contentsOf: WireText.upgradeLine)
    }

    private static let hostPrefix = Array("Host: ".utf8)
    private static let forwardedForPrefix = Array("X-Forwarded-For: ".utf8)
    private static let forwardedProtoLine = Array("X-Forwarded-Proto: http\r\n".utf8)
    private static let forwardedHostPrefix = Array("X-Forwarded-Host: ".utf8)
    private static let listSeparator = Array(", ".utf8)
}
