import Testing

@testable import Idempotency

@Suite struct CallerCertificateTests {
    private func identify(
        _ scope: Policy.Scope, _ certificate: CallerCertificate?, fields: [(String, String)] = []
    ) throws -> Identification? {
        var policy = Policy()
        policy.scope = scope
        let identifier = try Identifier(route: "r", policy: policy)
        let request = TestRequest(fields: fields + [("Idempotency-Key", "k")])
        var scratch = IdentityScratch()
        let query: [UInt8] = []
        let early = identifier.begin(
            method: Array("POST".utf8).span, path: Array("/".utf8).span, query: query.span, hasQuery: false,
            fields: request, certificate: certificate, scratch: &scratch)
        switch early {
        case .pending(let pending): return identifier.finish(pending, body: request.body.span, scratch: &scratch)
        case .refusedCaller: return .refusedCaller(scratch.callerFault)
        default: return nil
        }
    }

    private func certificate(_ subject: String, _ names: [String] = []) -> CallerCertificate {
        CallerCertificate(subject: Array(subject.utf8), alternativeNames: names.map { Array($0.utf8) })
    }

    private func key(_ identification: Identification?) throws -> RecordKey {
        guard case .identified(let identity)? = identification else { throw NotIdentified() }
        #expect(!identity.isAnonymous)
        return identity.key
    }

    @Test func subjectsAreSeparate() throws {
        let scope = Policy.Scope.clientCertificate(.subject)
        let one = try key(identify(scope, certificate("CN=a", ["DNS:x"])))
        #expect(try key(identify(scope, certificate("CN=a", ["DNS:y"]), fields: [("Authorization", "z")])) == one)
        #expect(try key(identify(scope, certificate("CN=b", ["DNS:x"]))) != one)
        #expect(try identify(scope, nil, fields: [("Authorization", "z")]) == .refusedCaller(.missing))
        #expect(try identify(scope, certificate("", ["DNS:x"])) == .refusedCaller(.missing))
    }

    /// Each counts with its length: no two lists of names look like one another.
    @Test func alternativeNamesAreSeparate() throws {
        let scope = Policy.Scope.clientCertificate(.alternativeNames)
        let lists = [["DNS:a"], ["DNS:aDNS:b"], ["DNS:a", "DNS:b"], ["DNS:a\0DNS:b"], ["URI:a"]]
        let keys = try lists.map { try key(identify(scope, certificate("CN=a", $0))) }
        #expect(Set(keys).count == lists.count)
        // A renewed certificate lists them in another order.
        #expect(try key(identify(scope, certificate("CN=b", ["DNS:b", "DNS:a", "DNS:b"]))) == keys[2])
        #expect(try identify(scope, certificate("CN=a")) == .refusedCaller(.missing))
        #expect(try identify(scope, nil) == .refusedCaller(.missing))
    }

    @Test func standardScopeTakesTheCertificateWithoutAuthorization() throws {
        let authorization = ("Authorization", "Bearer 1")
        let byCertificate = try key(identify(.standard, certificate("CN=a")))
        #expect(try key(identify(.standard, certificate("CN=b"))) != byCertificate)
        #expect(try key(identify(.standard, certificate("CN=a"), fields: [("Authorization", "")])) == byCertificate)
        #expect(try key(identify(.clientCertificate(.subject), certificate("CN=a"))) != byCertificate)
        let byField = try key(identify(.standard, nil, fields: [authorization]))
        #expect(try key(identify(.standard, certificate("CN=a"), fields: [authorization])) == byField)
        guard case .identified(let nameless)? = try identify(.standard, certificate("")) else { throw NotIdentified() }
        #expect(nameless.isAnonymous)
    }
}
