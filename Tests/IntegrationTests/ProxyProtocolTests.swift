import Foundation
import TestSupport
import Testing

/// The PROXY header, versions 1 and 2: from listed peers always, from others never.
@Suite(.blackBox) struct ProxyProtocolTests {
    private struct Gate {
        let upstream: ScriptedUpstream
        let proxy: ProxyProcess

        init(_ peers: String = "127.0.0.0/8", tls: Bool = false) throws {
            upstream = try ScriptedUpstream()
            var configuration = ProxyConfiguration(upstream)
            let directive = peers.isEmpty ? "" : "proxy_protocol \(peers);"
            configuration.listen =
                tls
                ? try ProxyConfiguration.tlsListener(more: directive)
                : "listen 127.0.0.1:0 { http2 on; \(directive) }"
            proxy = try ProxyProcess(configuration)
        }

        /// What the service hears about where the request came from.
        func forwarded(_ header: [UInt8], _ request: Request = .get("/a")) throws -> String? {
            let client = try proxy.client()
            try client.send(header + request.octets)
            guard try client.response(to: request.method).status == 201 else { return nil }
            let fields = try upstream.request(upstream.attempts - 1).fields
            return fields[all: "X-Forwarded-For"].joined() + fields[all: "Forwarded"].joined()
        }
    }

    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

    /// Version 2: command and family as they stand in the header.
    private static func version2(_ payload: [UInt8], _ command: UInt8 = 0x21, _ family: UInt8 = 0x11) -> [UInt8] {
        signature + [command, family, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)] + payload
    }

    private static let ipv4: [UInt8] = [203, 0, 113, 7, 192, 0, 2, 1, 0x30, 0x39, 1, 0xBB]
    private static let ipv6: [UInt8] =
        [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [7] + [0x20, 1, 0x0D, 0xB8]
        + [UInt8](repeating: 0, count: 11) + [1] + [0x30, 0x39, 1, 0xBB]

    @Test("version 1 and 2, IPv4 and IPv6: the address in it is the client's")
    func addresses() throws {
        let gate = try Gate()
        let v1 = octets("PROXY TCP4 203.0.113.7 192.0.2.1 12345 443\r\n")
        #expect(try gate.forwarded(v1)?.contains("203.0.113.7") == true)
        let v1v6 = octets("PROXY TCP6 2001:db8::7 2001:db8::1 12345 443\r\n")
        #expect(try gate.forwarded(v1v6)?.contains("2001:db8::7") == true)
        #expect(try gate.forwarded(Self.version2(Self.ipv4))?.contains("203.0.113.7") == true)
        #expect(try gate.forwarded(Self.version2(Self.ipv6, 0x21, 0x21))?.contains("2001:db8::7") == true)
        let log = try poll("the access log") {
            let lines = try gate.proxy.accessLog()
            return lines.count == 4 ? lines : nil
        }
        #expect("\(log[0])".contains("203.0.113.7"))
    }

    @Test("LOCAL, UNKNOWN and UNSPEC keep the connection's own address; TLVs are skipped")
    func local() throws {
        let gate = try Gate()
        for header in [
            octets("PROXY UNKNOWN\r\n"), octets("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), Self.version2([], 0x20, 0),
            Self.version2([], 0x21, 0), Self.version2(Self.ipv4, 0x20),
        ] {
            let forwarded = try gate.forwarded(header)
            #expect(forwarded?.contains("203.0.113") == false, "\(text(header))")
            #expect(forwarded?.contains("127.0.0.1") == true, "\(text(header))")
        }
        let tlvs: [UInt8] = [4, 0, 3, 0, 0, 0] + [1, 0, 2, 0x68, 0x32]
        #expect(try gate.forwarded(Self.version2(Self.ipv4 + tlvs))?.contains("203.0.113.7") == true)
        // One that says it is longer than the header takes nothing of what follows (CVE-2026-47692).
        for tlv: [UInt8] in [[4, 0, 200, 0], [4, 0], [4]] {
            #expect(try gate.forwarded(Self.version2(Self.ipv4 + tlv))?.contains("203.0.113.7") == true)
        }
    }

    @Test("a listed peer without the header, or with a broken one, is not served")
    func broken() throws {
        let gate = try Gate()
        let request = Request.get("/smuggled").octets
        let long = "PROXY TCP4 " + String(repeating: "1", count: 200) + "\r\n"
        let headers: [[UInt8]] = [
            [], octets("PROXY TCP4 203.0.113.7 192.0.2.1 12345\r\n"),
            octets("PROXY TCP4 203.0.113.7 192.0.2.1 99999 443\r\n"),
            octets("PROXY TCP4 2001:db8::7 192.0.2.1 1 443\r\n"), octets("PROXY TCP4  203.0.113.7 192.0.2.1 1 443\r\n"),
            octets("PROXY TCP4 203.0.113.7 192.0.2.1 1 443\n"), octets("proxy TCP4 203.0.113.7 192.0.2.1 1 443\r\n"),
            octets("PROXY TCP4 203.0.113.07 192.0.2.1 1 443\r\n"), octets("PROXY TCP4 256.0.113.7 192.0.2.1 1 443\r\n"),
            octets("PROXY TCP4 203.0.113.7 192.0.2.1 01 443\r\n"), octets("PROXY UDP4 203.0.113.7 192.0.2.1 1 443\r\n"),
            octets(long), octets("PROXY\r\n"), Self.version2(Array(Self.ipv4.prefix(11))),
            Self.version2(Self.ipv4, 0x31),
            Self.version2(Self.ipv4, 0x22), Self.version2([]),
        ]
        for header in headers {
            let client = try gate.proxy.client()
            try client.send(header + request)
            client.shutdownWrite()
            let answer = text(try client.rest())
            #expect(!answer.contains("HTTP/1.1 2"), "\(text(header)): \(answer)")
        }
        #expect(gate.upstream.attempts == 0)
        #expect(try gate.forwarded(Self.version2(Self.ipv4)) != nil)
    }

    @Test("octet by octet, the header is the same; what follows it in the same packet is the request")
    func split() throws {
        let gate = try Gate()
        for header in [octets("PROXY TCP4 203.0.113.7 192.0.2.1 12345 443\r\n"), Self.version2(Self.ipv4)] {
            let client = try gate.proxy.client()
            try client.sendOctetByOctet(header + Request.get("/").octets)
            #expect(try client.response(to: "GET").status == 201)
            // A second one on the same connection is no header.
            try client.send(header + Request.get("/").octets)
            #expect(try !text(client.rest()).contains("HTTP/1.1 2"))
        }
        #expect(gate.upstream.requests.allSatisfy { $0.fields.contains { $0.value.contains("203.0.113.7") } })
    }

    @Test("an unlisted peer's header is no header: 400", arguments: ["", "10.0.0.0/8"])
    func unlisted(peers: String) throws {
        let gate = try Gate(peers)
        for header in [octets("PROXY TCP4 203.0.113.7 192.0.2.1 12345 443\r\n"), Self.version2(Self.ipv4)] {
            let client = try gate.proxy.client()
            try client.send(header + Request.get("/").octets)
            #expect(try !text(client.rest()).contains("HTTP/1.1 2"))
        }
        #expect(gate.upstream.attempts == 0)
        #expect(try gate.proxy.send(.get("/")).status == 201)
    }

    @Test("silence instead of a header is ended like a head that does not come")
    func silence() throws {
        let upstream = try ScriptedUpstream()
        var configuration = ProxyConfiguration(upstream)
        configuration.listen = "listen 127.0.0.1:0 { proxy_protocol 127.0.0.0/8; }"
        configuration.top = "request_header_timeout 500ms;"
        let client = try ProxyProcess(configuration).client()
        try client.send("PROXY TCP4 ")
        #expect(client.isClosed() || !client.isSilent(for: 0.1))
    }

    @Test("before TLS, and before HTTP/2")
    func beforeOthers() throws {
        let secure = try Gate(tls: true)
        let v1 = "PROXY TCP4 203.0.113.7 192.0.2.1 12345 443\r\n"
        // curl says it itself.
        let result = try Subprocess.run([
            "curl", "-sS", "-k", "--haproxy-protocol", "-o", "/dev/null", "-w", "%{http_code} %{http_version}",
            "https://\(secure.proxy.address)/",
        ])
        #expect(result.output == "201 2", "\(result)")
        let plain = try Gate()
        let raw = try RawClient(plain.proxy.address)
        let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
        try raw.send(octets(v1) + octets("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + settings)
        // SETTINGS come back.
        let frame = try raw.exactly(9)
        #expect(frame[3] == 4)
    }
}
