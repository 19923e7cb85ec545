import HTTP
import Idempotency
import Testing

@testable import Proxy

/// The head that the service gets, octet for octet.
@Suite struct ForwardedRequestTests {
    private struct Forwarding {
        var route = RouteSettings(name: "/", pattern: .prefix("/"), upstream: 0)
        var isTrusted = false
        var isCovered = false
        var upgrades = false
        var via: String? = "oncegate"
        /// As the exchange decides it: what a covered body is sent with. Nil = as the client framed it.
        var framing: BodyFraming?

        init() {}

        init(_ change: (inout Forwarding) -> Void) {
            change(&self)
        }

        /// As `Exchange` does it, from the client's head to the service's.
        func head(_ lines: String...) throws -> String {
            let raw = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
            let bench = try Bench(route: route, via: via)
            return try bench.onWorker { context in
                var parser = RequestParser()
                var head = RequestHead()
                let end = try parser.parse(raw.span, into: &head)
                #expect(end == raw.count)
                let route = context.rules.routes[0]
                try head.fields.markHopByHop(protecting: route.protectedNames)
                ForwardedRequest.dropManaged(&head.fields, isTrusted: isTrusted)
                route.dropManaged(&head.fields, isCovered: isCovered)
                var output: [UInt8] = []
                ForwardedRequest.write(
                    head, route: route, client: .init(text: Array("192.0.2.7".utf8), isTrusted: isTrusted),
                    serverText: "service:8080", via: context.rules.viaLine(head.version),
                    framing: framing ?? head.framing,
                    isCovered: isCovered, upgrades: upgrades, to: &output)
                return String(decoding: output, as: UTF8.self)
            }
        }
    }

    private func text(_ lines: String...) -> String {
        lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    @Test func anOrdinaryRequest() throws {
        #expect(
            try Forwarding().head(
                "POST /v1/charges?a=%20b HTTP/1.1", "Host: api.example.com", "Accept: */*",
                "Content-Type: application/json",
                "Content-Length: 17", "X-B: 2", "x-b: 3")
                == text(
                    "POST /v1/charges?a=%20b HTTP/1.1", "Host: api.example.com", "Accept: */*",
                    "Content-Type: application/json",
                    "X-B: 2", "x-b: 3", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http",
                    "X-Forwarded-Host: api.example.com", "Via: 1.1 oncegate", "Content-Length: 17"))
    }

    @Test func theRawTargetIsSent() throws {
        let head = try Forwarding().head("GET /a/../b//c/%7e?x=%zz HTTP/1.1", "Host: h")
        #expect(head.hasPrefix("GET /a/../b//c/%7e?x=%zz HTTP/1.1\r\n"))
    }

    // MARK: Via and X-Forwarded-*

    @Test func viaIsAddedToWhatStandsThere() throws {
        let head = try Forwarding().head("GET / HTTP/1.1", "Host: h", "Via: 1.1 edge")
        #expect(head.contains("Via: 1.1 edge\r\n") && head.contains("Via: 1.1 oncegate\r\n"))
    }

    @Test func viaCanBeOff() throws {
        #expect(!(try Forwarding { $0.via = nil }.head("GET / HTTP/1.1", "Host: h").contains("Via")))
    }

    @Test func aStrangerIsNotBelieved() throws {
        #expect(
            try Forwarding().head(
                "GET / HTTP/1.1", "Host: h", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https",
                "X-Forwarded-Host: evil",
                "X-Forwarded-Port: 443", "Forwarded: for=10.0.0.1")
                == text(
                    "GET / HTTP/1.1", "Host: h", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http",
                    "X-Forwarded-Host: h",
                    "Via: 1.1 oncegate"))
    }

    @Test func aTrustedPeerIsBelievedAndAddedTo() throws {
        #expect(
            try Forwarding { $0.isTrusted = true }.head(
                "GET / HTTP/1.1", "Host: h", "X-Forwarded-For: 10.0.0.1, 10.0.0.2", "x-forwarded-for: 10.0.0.3",
                "X-Forwarded-Proto: https", "X-Forwarded-Host: public", "X-Forwarded-Port: 443",
                "Forwarded: for=10.0.0.1")
                == text(
                    "GET / HTTP/1.1", "Host: h", "X-Forwarded-Proto: https", "X-Forwarded-Host: public",
                    "X-Forwarded-Port: 443",
                    "Forwarded: for=10.0.0.1", "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.7",
                    "Via: 1.1 oncegate"))
    }

    @Test func whatATrustedPeerDoesNotSayIsSaid() throws {
        #expect(
            try Forwarding { $0.isTrusted = true }.head("GET / HTTP/1.1", "Host: h:81")
                == text(
                    "GET / HTTP/1.1", "Host: h:81", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http",
                    "X-Forwarded-Host: h:81", "Via: 1.1 oncegate"))
    }

    // MARK: Target and Host

    @Test func anAbsoluteTargetLosesItsAuthorityAndWinsOverHost() throws {
        #expect(
            try Forwarding().head("GET http://api.example.com:81/x?y=1 HTTP/1.1", "Host: other")
                == text(
                    "GET /x?y=1 HTTP/1.1", "Host: api.example.com:81", "X-Forwarded-For: 192.0.2.7",
                    "X-Forwarded-Proto: http",
                    "X-Forwarded-Host: api.example.com:81", "Via: 1.1 oncegate"))
    }

    @Test func anAbsoluteTargetWithoutPath() throws {
        #expect(try Forwarding().head("GET http://h HTTP/1.1", "Host: h").hasPrefix("GET / HTTP/1.1\r\nHost: h\r\n"))
        #expect(
            try Forwarding().head("GET http://h?q HTTP/1.1", "Host: h").hasPrefix("GET /?q HTTP/1.1\r\nHost: h\r\n"))
        #expect(try Forwarding().head("GET http://h/? HTTP/1.1", "Host: h").hasPrefix("GET /? HTTP/1.1\r\nHost: h\r\n"))
    }

    @Test func theAsteriskStays() throws {
        #expect(try Forwarding().head("OPTIONS * HTTP/1.1", "Host: h").hasPrefix("OPTIONS * HTTP/1.1\r\nHost: h\r\n"))
    }

    /// RFC 9112 §3.2.4: the last proxy sends `*` for an absolute target with neither path nor query.
    @Test func optionsForTheWholeServerInAbsoluteForm() throws {
        let head = try Forwarding().head("OPTIONS http://h HTTP/1.1", "Host: h")
        #expect(head.hasPrefix("OPTIONS * HTTP/1.1\r\n"))
    }

    @Test func http10WithoutHost() throws {
        #expect(
            try Forwarding().head("GET /x HTTP/1.0")
                == text(
                    "GET /x HTTP/1.1", "Host: service:8080", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http",
                    "Via: 1.0 oncegate"))
    }

    @Test func theHostFieldIsTheRoutes() throws {
        let upstream = try Forwarding { $0.route.hostField = .upstream }.head("GET / HTTP/1.1", "Host: public")
        #expect(
            upstream.contains("\r\nHost: service:8080\r\n") && upstream.contains("\r\nX-Forwarded-Host: public\r\n"))
        let fixed = try Forwarding { $0.route.hostField = .fixed("internal") }.head("GET / HTTP/1.1", "Host: public")
        #expect(fixed.contains("\r\nHost: internal\r\n"))
        #expect(fixed.components(of: "\r\nHost:") == 1)
    }

    // MARK: Hop by hop

    @Test func hopByHopFieldsAreRemoved() throws {
        #expect(
            try Forwarding().head(
                "GET / HTTP/1.1", "Host: h", "Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5",
                "Proxy-Connection: keep-alive", "TE: trailers", "Proxy-Authorization: Basic eDp5", "Upgrade: h2c",
                "X-End: 1")
                == text(
                    "GET / HTTP/1.1", "Host: h", "X-End: 1", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http",
                    "X-Forwarded-Host: h", "Via: 1.1 oncegate"))
    }

    @Test(arguments: ["Host", "Content-Length", "Authorization", "Cookie", "Idempotency-Key", "X-Tenant"])
    func connectionCannotRemoveWhatSaysWhoAsksForWhat(name: String) throws {
        var policy = Policy()
        policy.scope = .header("X-Tenant")
        #expect(throws: HTTPError.protectedFieldInConnection) {
            try Forwarding { $0.route.policy = policy }.head("GET / HTTP/1.1", "Host: h", "Connection: \(name)")
        }
    }

    @Test func expectIsNotForwarded() throws {
        let head = try Forwarding().head("POST / HTTP/1.1", "Host: h", "Content-Length: 1", "Expect: 100-continue")
        #expect(!head.contains("Expect"))
    }

    @Test func anUpgradeIsAskedForAgain() throws {
        #expect(
            try Forwarding { $0.upgrades = true }.head(
                "GET /chat HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: websocket",
                "Sec-WebSocket-Version: 13")
                == text(
                    "GET /chat HTTP/1.1", "Host: h", "Sec-WebSocket-Version: 13", "X-Forwarded-For: 192.0.2.7",
                    "X-Forwarded-Proto: http", "X-Forwarded-Host: h", "Via: 1.1 oncegate", "Upgrade: websocket",
                    "Connection: upgrade"))
    }

    // MARK: Framing

    @Test func exactlyOneFramingField() throws {
        let chunked = try Forwarding().head("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked")
        #expect(
            chunked.hasSuffix("Transfer-Encoding: chunked\r\n\r\n") && chunked.components(of: "Transfer-Encoding") == 1)
        #expect(!chunked.contains("Content-Length"))
        let collected = try Forwarding {
            $0.isCovered = true
            $0.framing = .length(5)
        }.head("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked")
        #expect(collected.hasSuffix("Content-Length: 5\r\n\r\n") && !collected.contains("Transfer-Encoding"))
    }

    @Test func aLengthOfZeroIsSaid() throws {
        let head = try Forwarding().head("POST / HTTP/1.1", "Host: h", "Content-Length: 0")
        #expect(head.hasSuffix("Content-Length: 0\r\n\r\n"))
    }

    // MARK: The key

    private func keyed(_ forwardKey: Policy.ForwardKey, _ sources: [Policy.KeySource] = [.header("idempotency-key")])
        -> Forwarding
    {
        Forwarding {
            $0.isCovered = true
            var policy = Policy()
            policy.forwardKey = forwardKey
            policy.keySources = sources
            $0.route.policy = policy
        }
    }

    @Test func theKeyIsKept() throws {
        let head = try keyed(.keep).head("POST / HTTP/1.1", "Host: h", "idempotency-KEY: k-1")
        #expect(head.contains("\r\nidempotency-KEY: k-1\r\n"))
    }

    @Test func theKeyIsStripped() throws {
        let head = try keyed(.strip, [.header("idempotency-key"), .header("x-request-token")])
            .head("POST / HTTP/1.1", "Host: h", "Idempotency-Key: k-1", "X-Request-Token: k-2", "X-Else: 1")
        #expect(!head.contains("k-1") && !head.contains("k-2") && head.contains("X-Else: 1\r\n"))
    }

    @Test func theKeyIsRenamed() throws {
        let head = try keyed(.rename("X-Operation")).head("POST / HTTP/1.1", "Host: h", "Idempotency-Key: k-1")
        #expect(head.contains("\r\nX-Operation: k-1\r\n") && !head.contains("Idempotency-Key"))
    }

    @Test func aRequestThatIsNotCoveredKeepsItsKey() throws {
        var forwarding = keyed(.strip)
        forwarding.isCovered = false
        #expect(
            try forwarding.head("GET / HTTP/1.1", "Host: h", "Idempotency-Key: k-1").contains("Idempotency-Key: k-1"))
    }

    @Test func nobodyButTheProxyMarksReplays() throws {
        var policy = Policy()
        policy.replayMarker = "X-Replayed"
        let head = try Forwarding { $0.route.policy = policy }
            .head("GET / HTTP/1.1", "Host: h", "Idempotent-Replayed: true", "x-replayed: true")
        #expect(!head.lowercased().contains("replayed"))
    }

    @Test(arguments: ["X_Forwarded_For", "Idempotency_Key", "X-Forwarded_For", "Content_Length", "X_Tenant"])
    func aNameWithUnderscoresThatStandsForAManagedOneIsFound(name: String) throws {
        var route = RouteSettings(name: "/", pattern: .prefix("/"), upstream: 0)
        var policy = Policy()
        policy.scope = .header("x-tenant")
        route.policy = policy
        let bench = try Bench(route: route)
        try bench.onWorker { context in
            var parser = RequestParser()
            var head = RequestHead()
            let raw = Array("GET / HTTP/1.1\r\nHost: h\r\nX_Else: 1\r\n\(name): 1\r\n\r\n".utf8)
            let end = try parser.parse(raw.span, into: &head)
            #expect(end == raw.count)
            let isFound = context.rules.routes[0].guardedFieldCollision(head.fields) != nil
            #expect(isFound)
            head.fields.lines.removeLast()
            #expect(context.rules.routes[0].guardedFieldCollision(head.fields) == nil)
        }
    }
}

extension String {
    /// How often a text occurs.
    fileprivate func components(of text: String) -> Int {
        ranges(of: text).count
    }
}
