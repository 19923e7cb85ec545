import Testing

@testable import Idempotency

/// Behaviours 3–16 and 25 and checks E1–E16, as far as they are about what a request is.
@Suite struct IdentifierTests {
    static let key = ("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324")

    static func identifier(_ route: String = "r", _ change: (inout Policy) -> Void = { _ in }) throws -> Identifier {
        var policy = Policy()
        change(&policy)
        return try Identifier(route: route, policy: policy)
    }

    // MARK: Coverage and keys

    @Test func safeMethodsAreNotCovered() throws {
        let identifier = try Self.identifier()
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"] {
            #expect(identifier.identify(TestRequest(method, fields: [Self.key])) == nil)
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE", "post", "get"] {
            #expect(identifier.identify(TestRequest(method, fields: [Self.key])) != nil)
        }
    }

    @Test func listedMethodsAreCovered() throws {
        let identifier = try Self.identifier { $0.methods = ["PUT", "GET"] }
        #expect(identifier.identify(TestRequest("PUT", fields: [Self.key])) != nil)
        #expect(identifier.identify(TestRequest("GET", fields: [Self.key])) != nil)
        #expect(identifier.identify(TestRequest("POST", fields: [Self.key])) == nil)
        #expect(identifier.identify(TestRequest("put", fields: [Self.key])) == nil)
    }

    @Test func bareAndQuotedAreOneKey() throws {
        let identifier = try Self.identifier()
        let bare = try identifier.identity(TestRequest(fields: [("Idempotency-Key", "K")]))
        let quoted = try identifier.identity(TestRequest(fields: [("idempotency-key", "\"K\"")]))
        #expect(bare == quoted)
        #expect(bare.kind == .token)
    }

    @Test(arguments: ["", "\"abc", "a b", String(repeating: "k", count: 256)])
    func malformedKeys(value: String) throws {
        #expect(try Self.identifier().identify(TestRequest(fields: [("Idempotency-Key", value)])) == .malformedKey)
    }

    @Test func severalLines() throws {
        let identifier = try Self.identifier()
        let once = identifier.identify(TestRequest(fields: [("Idempotency-Key", "K")]))
        #expect(
            identifier.identify(TestRequest(fields: [("Idempotency-Key", "K"), ("Idempotency-Key", "\"K\"")])) == once)
        for second in ["L", "", "a b"] {
            let request = TestRequest(fields: [("Idempotency-Key", "K"), ("Idempotency-Key", second)])
            #expect(identifier.identify(request) == .malformedKey)
        }
    }

    @Test func missingKeys() throws {
        #expect(try Self.identifier().identify(TestRequest()) == .missingKey)
        #expect(try Self.identifier { $0.onMissingKey = .reject }.identify(TestRequest()) == .missingKey)
        let identity = try Self.identifier { $0.onMissingKey = .hash }.identity(TestRequest(body: "a"))
        #expect(identity.kind == .hash)
    }

    @Test(arguments: [
        (Policy.KeySource.query("key"), TestRequest(query: "a=1&key=T%2D1&b")),
        (.query("a key"), TestRequest(query: "a+key=T-1")), (.query("key"), TestRequest(query: "key=T-1&key=T%2d1")),
        (.cookie("op"), TestRequest(fields: [("Cookie", "a=b; op=T-1; c=d")])),
        (.cookie("op"), TestRequest(fields: [("Cookie", "a=b"), ("cookie", "op=\"T-1\";x")])),
        (.jsonPointer("/op/id"), TestRequest(body: #"{"op": {"x": 1.0e5, "id": "T\u002d1"}}"#)),
        (.jsonPointer("/ops/1"), TestRequest(body: #"{"n": 9007199254740993, "ops": [0, "T-1"]}"#)),
        (.form("id"), TestRequest(body: "a=1&id=T%2D1")),
        (
            .form("id"),
            TestRequest(fields: [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")], body: "id=T-1")
        ),
    ])
    func everySourceYieldsTheToken(source: Policy.KeySource, request: TestRequest) throws {
        let expected = try Self.identifier().identity(TestRequest(fields: [("Idempotency-Key", "T-1")]))
        #expect(try Self.identifier { $0.keySources = [source] }.identity(request).key == expected.key)
    }

    @Test(arguments: [
        (Policy.KeySource.query("key"), TestRequest(query: "keys=1&akey=2&%6=3")), (.query("key"), TestRequest()),
        (.query("key"), TestRequest(query: "")),
        (.cookie("op"), TestRequest(fields: [("Cookie", "OP=1; xop=2; op"), ("X", "op=1")])),
        (.jsonPointer("/id"), TestRequest(body: #"{"ID":"x","a":{"id":"y"}}"#)),
        (.jsonPointer("/id"), TestRequest(body: #"{"id":null}"#)),
        (.jsonPointer("/id"), TestRequest(body: "not json")), (.jsonPointer("/id"), TestRequest(body: "")),
        (.jsonPointer("/id"), TestRequest(body: #"["id"]"#)), (.form("id"), TestRequest(body: "ids=1")),
        (.form("id"), TestRequest(fields: [("Content-Type", "application/json")], body: "id=1")),
    ])
    func everySourceCanBeAbsent(source: Policy.KeySource, request: TestRequest) throws {
        #expect(try Self.identifier { $0.keySources = [source] }.identify(request) == .missingKey)
    }

    @Test(arguments: [
        (Policy.KeySource.query("key"), TestRequest(query: "key=a&key=b")), (.query("key"), TestRequest(query: "key")),
        (.query("key"), TestRequest(query: "key=%zz")), (.query("key"), TestRequest(query: "key=a+b")),
        (.cookie("op"), TestRequest(fields: [("Cookie", "op=1; op=2")])),
        (.cookie("op"), TestRequest(fields: [("Cookie", "op=")])),
        (.jsonPointer("/id"), TestRequest(body: #"{"id":"a","id":"a"}"#)),
        (.jsonPointer("/id"), TestRequest(body: #"{"id":true}"#)),
        (.jsonPointer("/id"), TestRequest(body: #"{"id":1.0}"#)),
        (.jsonPointer("/id"), TestRequest(body: #"{"id":{}}"#)),
        (.jsonPointer("/id"), TestRequest(body: #"{"id":"é"}"#)),
        (.jsonPointer("/id"), TestRequest(body: #"{"id":""}"#)),
        (.form("id"), TestRequest(body: "id=1&id=2")),
    ])
    func everySourceCanBeMalformed(source: Policy.KeySource, request: TestRequest) throws {
        #expect(try Self.identifier { $0.keySources = [source] }.identify(request) == .malformedKey)
    }

    @Test func integersAreTokens() throws {
        let identifier = try Self.identifier { $0.keySources = [.jsonPointer("/id")] }
        let number = try identifier.identity(TestRequest(body: #"{"id":-9007199254740993}"#))
        #expect(number.key == (try identifier.identity(TestRequest(body: #"{"id":"-9007199254740993"}"#))).key)
    }

    @Test func theFirstPresentSourceWins() throws {
        let sources: [Policy.KeySource] = [.jsonPointer("/id"), .header("x-key"), .form("id"), .query("q")]
        let identifier = try Self.identifier { $0.keySources = sources }
        func key(_ token: String) throws -> RecordKey {
            try Self.identifier().identity(TestRequest(fields: [("Idempotency-Key", token)])).key
        }
        #expect(
            try identifier.identity(TestRequest(query: "q=d", fields: [("X-Key", "b")], body: #"{"id":"a"}"#)).key
                == key("a"))
        #expect(
            try identifier.identity(TestRequest(query: "q=d", fields: [("X-Key", "b")], body: "id=c")).key == key("b"))
        #expect(try identifier.identity(TestRequest(query: "q=d", body: "id=c")).key == key("c"))
        #expect(try identifier.identity(TestRequest(query: "q=d", body: "x=c")).key == key("d"))
        #expect(identifier.identify(TestRequest(fields: [("X-Key", "a b")], body: "id=c")) == .malformedKey)
        #expect(identifier.identify(TestRequest(body: "x=c")) == .missingKey)
    }

    @Test func theHeadAloneTellsTheKeyWhereItCan() throws {
        var scratch = IdentityScratch()
        let identifier = try Self.identifier()
        let request = TestRequest(fields: [Self.key], body: "body")
        guard case .pending(var pending) = identifier.begin(request, scratch: &scratch) else { throw NotIdentified() }
        #expect(pending.takesPieces)
        let key = try #require(pending.recordKey)
        let whole = try identifier.identity(request)
        #expect(key == whole.key)
        pending.append(Array("bo".utf8).span)
        pending.append(Array("dy".utf8).span)
        #expect(identifier.finish(pending) == .identified(whole))
    }

    // MARK: Scope

    @Test func callersAreSeparate() throws {
        let identifier = try Self.identifier()
        var keys: Set<RecordKey> = []
        let callers: [[(String, String)]] = [
            [], [("Authorization", "Bearer 1")], [("Authorization", "Bearer 2")],
            [("Authorization", "Bearer 1"), ("Authorization", "x")],
            [("Authorization", "Bearer 1, x")],
        ]
        for caller in callers {
            let identity = try identifier.identity(TestRequest(fields: caller + [Self.key]))
            keys.insert(identity.key)
            #expect(identity.isAnonymous == caller.isEmpty)
        }
        #expect(keys.count == callers.count)
        #expect(try identifier.identity(TestRequest(fields: [("Authorization", ""), Self.key])).isAnonymous)
    }

    @Test func routesAreSeparate() throws {
        let request = TestRequest(fields: [Self.key])
        #expect(try Self.identifier("a").identity(request).key != Self.identifier("b").identity(request).key)
    }

    @Test(arguments: [
        (Policy.Scope.header("X-Tenant"), [[], [("X-Tenant", "")], [("X-Tenant", "a"), ("x-tenant", "a")]]),
        (
            .cookie("sid"),
            [
                [], [("Cookie", "sid=")], [("Cookie", "SID=a")], [("Cookie", "sid=a; sid=b")],
                [("Cookie", "sid=a"), ("Cookie", "sid=a")],
            ]
        ),
    ])
    func anExplicitScopeIsRequired(scope: Policy.Scope, missing: [[(String, String)]]) throws {
        for fields in missing {
            #expect(
                try Self.identifier { $0.scope = scope }.identify(TestRequest(fields: fields + [Self.key]))
                    == .refusedCaller(.missing))
        }
        // Without a key the request is not covered, and needs no scope, unless its hash is its key.
        #expect(try Self.identifier { $0.scope = scope }.identify(TestRequest()) == .missingKey)
        let hashing = try Self.identifier {
            $0.scope = scope
            $0.onMissingKey = .hash
        }
        #expect(hashing.identify(TestRequest()) == .refusedCaller(.missing))
        let inBody = try Self.identifier {
            $0.scope = scope
            $0.keySources = [.form("id")]
        }
        #expect(inBody.identify(TestRequest(body: "id=1")) == .refusedCaller(.missing))
        #expect(inBody.identify(TestRequest(body: "x=1")) == .missingKey)
    }

    @Test func explicitScopes() throws {
        let header = try Self.identifier { $0.scope = .header("X-Tenant") }
        let a = try header.identity(TestRequest(fields: [("x-tenant", "a"), ("Authorization", "1"), Self.key]))
        #expect(!a.isAnonymous)
        #expect(a == (try header.identity(TestRequest(fields: [("X-Tenant", "a"), ("Authorization", "2"), Self.key]))))
        #expect(a.key != (try header.identity(TestRequest(fields: [("X-Tenant", "b"), Self.key])).key))
        let cookie = try Self.identifier { $0.scope = .cookie("sid") }
        let c = try cookie.identity(TestRequest(fields: [("Cookie", "x=1; sid=a"), Self.key]))
        #expect(c == (try cookie.identity(TestRequest(fields: [("Cookie", "sid=a; x=2"), Self.key]))))
        #expect(c.key != a.key)
        let none = try Self.identifier { $0.scope = .none }
        let n = try none.identity(TestRequest(fields: [("Authorization", "1"), Self.key]))
        #expect(n.isAnonymous)
        #expect(n == (try none.identity(TestRequest(fields: [("Authorization", "2"), Self.key]))))
    }

    // MARK: Fingerprint

    @Test func everyPartOfARequestCounts() throws {
        let identifier = try Self.identifier()
        let requests = [
            TestRequest(), TestRequest("PUT"), TestRequest("POST", "/a"), TestRequest(query: ""),
            TestRequest(query: "x=1"),
            TestRequest(query: "x=2"), TestRequest(body: "a"), TestRequest(body: "b"), TestRequest(body: "a\0"),
            TestRequest(fields: [("Content-Type", "text/plain")]), TestRequest(fields: [("Content-Type", "")]),
            TestRequest(fields: [("X-HTTP-Method-Override", "PUT")]), TestRequest(fields: [("X-HTTP-Method", "PUT")]),
            TestRequest(fields: [("X-Method-Override", "PUT")]),
            TestRequest(fields: [("x-http-method-override", "DELETE")]),
            TestRequest(fields: [("X-HTTP-Method-Override", "PUT"), ("X-HTTP-Method-Override", "PUT")]),
        ]
        var fingerprints: Set<Fingerprint> = []
        for var request in requests {
            request = TestRequest(
                request.method, request.path, query: request.query, fields: request.fields + [Self.key],
                body: String(decoding: request.body, as: UTF8.self))
            fingerprints.insert(try identifier.identity(request).fingerprint)
        }
        #expect(fingerprints.count == requests.count)
    }

    @Test func whatDiffersBetweenAttemptsDoesNotCount() throws {
        let identifier = try Self.identifier()
        let plain = try identifier.identity(TestRequest(fields: [Self.key])).fingerprint
        for name in [
            "grpc-timeout", "TE", "User-Agent", "traceparent", "Date", "X-Request-ID", "Host", "amz-sdk-request",
            "Accept-Encoding",
        ] {
            #expect(try identifier.identity(TestRequest(fields: [(name, "x"), Self.key])).fingerprint == plain)
        }
    }

    @Test func chosenHeadersCount() throws {
        let identifier = try Self.identifier {
            $0.hash = HashRule()
            $0.hash?.headers = ["SOAPAction", "x-a"]
        }
        func fingerprint(_ fields: [(String, String)]) throws -> Fingerprint {
            try identifier.identity(TestRequest(fields: fields + [Self.key])).fingerprint
        }
        let one = try fingerprint([("soapaction", "1")])
        #expect(try fingerprint([("SOAPACTION", "1"), ("Content-Type", "x")]) == one)
        #expect(try fingerprint([("soapaction", "2")]) != one)
        #expect(try fingerprint([("x-a", "1")]) != one)
        #expect(try fingerprint([("soapaction", "1"), ("soapaction", "1")]) != one)
        #expect(try fingerprint([("soapaction", "1"), ("x-a", "1")]) != one)
    }

    @Test func canonicalBodies() throws {
        let identifier = try Self.identifier {
            $0.onMissingKey = .hash
            $0.hash = HashRule()
            $0.hash?.body = .json
            $0.hash?.exclude = [.jsonPointer("/timestamp")]
        }
        let one = try identifier.identity(TestRequest(body: #"{"a":1,"b":[1,2],"timestamp":1}"#))
        #expect(one == (try identifier.identity(TestRequest(body: #" {"timestamp":2, "b":[1.0,2e0],"a":1}"#))))
        #expect(one.key != (try identifier.identity(TestRequest(body: #"{"a":1,"b":[2,1]}"#))).key)
        #expect(!one.fellBackToOctets)
        let duplicate = try identifier.identity(TestRequest(body: #"{"a":1,"a":1}"#))
        #expect(duplicate.fellBackToOctets)
        #expect(duplicate.key != (try identifier.identity(TestRequest(body: #"{"a":1, "a":1}"#))).key)
        let big = ["9007199254740993", "9007199254740992"].map { TestRequest(body: $0) }
        #expect(try identifier.identity(big[0]).key != identifier.identity(big[1]).key)
    }

    /// The octets of a body that has no canonical form are never the canonical form of another.
    @Test func formsAreDomainSeparated() throws {
        func identity(_ form: HashRule.BodyForm, _ body: String) throws -> RequestIdentity {
            try Self.identifier {
                $0.onMissingKey = .hash
                $0.hash = HashRule()
                $0.hash?.body = form
            }.identity(TestRequest(body: body))
        }
        let keys = try [HashRule.BodyForm.raw, .json, .form(orderFree: false), .form(orderFree: true), .none].map {
            try identity($0, "1").key
        }
        #expect(Set(keys).count == keys.count)
        #expect(try identity(.none, "1") == identity(.none, "2"))
        #expect(try identity(.json, "{").key == identity(.raw, "{").key)
    }

    @Test func formBodiesNeedTheirType() throws {
        let identifier = try Self.identifier {
            $0.onMissingKey = .hash
            $0.hash = HashRule()
            $0.hash?.body = .form(orderFree: true)
        }
        let json = [("Content-Type", "application/json")]
        #expect(try identifier.identity(TestRequest(fields: json, body: "a=1&b=2")).fellBackToOctets)
        let form = [("Content-Type", "Application/X-WWW-Form-Urlencoded;charset=UTF-8")]
        let one = try identifier.identity(TestRequest(fields: form, body: "a=1&b=2"))
        #expect(!one.fellBackToOctets)
        #expect(one == (try identifier.identity(TestRequest(body: "b=2&a=%31"))))
        #expect(try identifier.identity(TestRequest(body: "a=%3")).fellBackToOctets)
    }

    @Test func queryParametersCanBeLeftOut() throws {
        func fingerprint(_ query: String?, include: [String] = [], exclude: [String] = []) throws -> Fingerprint {
            try Self.identifier {
                $0.hash = HashRule()
                $0.hash?.include = include.map { .query($0) }
                $0.hash?.exclude = exclude.map { .query($0) }
            }.identity(TestRequest(query: query, fields: [Self.key])).fingerprint
        }
        #expect(try fingerprint("a=1&t=5", exclude: ["t"]) == fingerprint("%74=6&a=1", exclude: ["t"]))
        #expect(try fingerprint("t=5", exclude: ["t"]) == fingerprint(nil, exclude: ["t"]))
        #expect(try fingerprint("a=1&b=2", exclude: ["t"]) != fingerprint("b=2&a=1", exclude: ["t"]))
        #expect(try fingerprint("a=1", exclude: ["t"]) != fingerprint("a=2", exclude: ["t"]))
        #expect(try fingerprint("a=1&b=2", include: ["a"]) == fingerprint("b=3&a=1&c", include: ["a"]))
        #expect(try fingerprint("a=1", include: ["a"]) != fingerprint("a=2", include: ["a"]))
    }

    @Test(arguments: [
        ("amz-sdk-request", "attempt=2; max=3", true), ("amz-sdk-request", "attempt=1; max=3", false),
        ("amz-sdk-request", "ttl=20260101T000000Z; attempt=3; max=3", true),
        ("amz-sdk-request", "max=3;attempt=2", true),
        ("amz-sdk-request", "xattempt=2", false), ("amz-sdk-request", "attempt=", false),
        ("amz-sdk-request", "attempt=99999999999", false),
        ("x-stainless-retry-count", "0", false), ("X-Stainless-Retry-Count", "1", true),
        ("x-stainless-retry-count", "-1", false),
        ("grpc-previous-rpc-attempts", "0", false), ("grpc-previous-rpc-attempts", "1", true),
        ("x-envoy-attempt-count", "1", false),
        ("x-envoy-attempt-count", "2", true), ("x-envoy-attempt-count", "two", false),
        ("x-envoy-attempt-count", "", false),
    ])
    func retryEvidence(name: String, value: String, isRetry: Bool) throws {
        #expect(
            try Self.identifier().identity(TestRequest(fields: [(name, value), Self.key])).hasRetryEvidence == isRetry)
    }

    @Test func anyLineIsEvidence() throws {
        for lines in [
            [("x-envoy-attempt-count", "1"), ("x-envoy-attempt-count", "2")],
            [("amz-sdk-request", "max=3"), ("amz-sdk-request", "attempt=2")],
            [("x-stainless-retry-count", "nonsense"), ("x-stainless-retry-count", "1")],
        ] {
            #expect(try Self.identifier().identity(TestRequest(fields: lines + [Self.key])).hasRetryEvidence)
        }
    }

    @Test(arguments: [HashRule.BodyForm.raw, .json, .form(orderFree: true), .xml, .soap, .multipart, .none])
    func aBodyInPiecesCountsAsItsOctets(form: HashRule.BodyForm) throws {
        let identifier = try Self.identifier {
            $0.hash = HashRule()
            $0.hash?.body = form
        }
        // In no rule's form, so that the whole falls back to octets too.
        let request = TestRequest(
            fields: [Self.key, ("Content-Type", "application/octet-stream")], body: "not <json> nor {xml}, nor & a form"
        )
        let whole = try identifier.identity(request)
        for size in 1...5 {
            #expect(try identifier.identityInPieces(request, of: size).fingerprint == whole.fingerprint)
        }
        #expect(whole.fellBackToOctets == ![.raw, .none].contains(form))
    }

    // MARK: Claims and policies

    @Test func claimsFollowThePolicy() throws {
        let identifier = try Self.identifier("orders") {
            $0.onMissingKey = .hash
            $0.hash = HashRule()
            $0.hash?.windowMilliseconds = 5000
            $0.hash?.replay = .undelivered
            $0.inFlight = .reject
            $0.onUnknown = .resend
        }
        let hash = identifier.claim(for: try identifier.identity(TestRequest()))
        #expect(
            hash.retentionMilliseconds == 5000 && hash.runsAfterDelivery && hash.kind == .hash && hash.route == "orders"
        )
        #expect(!hash.joins && hash.resendsUnknown)
        let retry = identifier.claim(
            for: try identifier.identity(TestRequest(fields: [("x-stainless-retry-count", "1")])))
        #expect(!retry.runsAfterDelivery && retry.key == hash.key)
        let token = identifier.claim(for: try identifier.identity(TestRequest(fields: [Self.key])))
        #expect(token.retentionMilliseconds == 24 * 3_600_000 && !token.runsAfterDelivery && token.kind == .token)
    }

    @Test func policiesThatCannotBeFollowed() {
        #expect(throws: PolicyError.invalidPointer("id")) {
            try Self.identifier { $0.keySources = [.jsonPointer("id")] }
        }
        #expect(throws: PolicyError.wildcardInKeyPointer("/*/id")) {
            try Self.identifier { $0.keySources = [.jsonPointer("/*/id")] }
        }
        for source in [Policy.KeySource.header(""), .query(""), .cookie(""), .form("")] {
            #expect(throws: PolicyError.emptyName) { try Self.identifier { $0.keySources = [source] } }
        }
        #expect(throws: PolicyError.selectorDoesNotFitBody("/a")) {
            try Self.identifier {
                $0.hash = HashRule()
                $0.hash?.exclude = [.jsonPointer("/a")]
            }
        }
        #expect(throws: PolicyError.tooManyPointers) {
            try Self.identifier {
                $0.hash = HashRule()
                $0.hash?.body = .json
                $0.hash?.include = (0...64).map { .jsonPointer("/\($0)") }
            }
        }
    }

    /// Golden values: a change of them loses every record that stands in a store.
    @Test func goldenKeys() throws {
        let fields = [("Authorization", "Bearer t"), ("Content-Type", "application/json"), ("Idempotency-Key", "K")]
        let identity = try Self.identifier("charges").identity(TestRequest(query: "a=1", fields: fields, body: "{}"))
        var key: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 7] + Array("charges".utf8)
        key += [1, 0, 0, 0, 1, 0, 0, 0, 8] + Array("Bearer t".utf8) + [1, 0, 0, 0, 1] + Array("K".utf8)
        #expect(identity.key == SHA256.digest(of: key.span))
        var print: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 12] + Array("content-type".utf8)
        print +=
            [0, 0, 0, 4] + Array("POST".utf8) + [0, 0, 0, 11] + Array("/v1/charges".utf8) + [1, 0, 0, 0, 3]
            + Array("a=1".utf8)
        print += [0, 0, 0, 1, 0, 0, 0, 16] + Array("application/json".utf8) + [0]
        print += [0] + Array("{}".utf8) + [0, 0, 0, 0, 0, 0, 0, 2]
        #expect(identity.fingerprint == SHA256.digest(of: print.span))
    }
}
