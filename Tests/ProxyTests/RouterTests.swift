import Testing

@testable import Proxy

@Suite struct RouterTests {
    private func settings(_ host: String?, _ pattern: RouteSettings.Pattern) -> RouteSettings {
        RouteSettings(name: "\(host ?? "")\(pattern)", host: host, pattern: pattern, upstream: 0)
    }

    private func route(_ routes: [RouteSettings], _ host: String, _ path: String) -> Int? {
        let router = Router(routes)
        return router.route(host: Array(host.utf8).span, path: Array(path.utf8).span)
    }

    @Test(arguments: [
        ("/v1", true), ("/v1/", true), ("/v1/charges", true), ("/v1;x", true), ("/v1;x/y", true), ("/v10", false),
        ("/v1x", false),
        ("/v", false), ("/", false), ("/V1", false), ("/v1.0", false), ("/x/v1", false),
    ])
    func aPrefixMatchesWholeSegments(path: String, matches: Bool) {
        #expect((route([settings(nil, .prefix("/v1"))], "h", path) != nil) == matches)
    }

    @Test(arguments: [("/v1/", true), ("/v1/x", true), ("/v1", false), ("/v1;x", false)])
    func aPrefixWithASlashMatchesBelow(path: String, matches: Bool) {
        #expect((route([settings(nil, .prefix("/v1/"))], "h", path) != nil) == matches)
    }

    @Test(arguments: ["/", "/x", "/x/y;z", "/;"])
    func theRootPrefixMatchesEveryPath(path: String) {
        #expect(route([settings(nil, .prefix("/"))], "h", path) == 0)
    }

    @Test func exactBeforeLongestPrefixBeforeExpressions() {
        let routes = [
            settings(nil, .expression("^/v1")), settings(nil, .prefix("/")), settings(nil, .prefix("/v1")),
            settings(nil, .prefix("/v1/charges")), settings(nil, .exact("/v1/charges")),
        ]
        #expect(route(routes, "h", "/v1/charges") == 4)
        #expect(route(routes, "h", "/v1/charges/7") == 3)
        #expect(route(routes, "h", "/v1/refunds") == 2)
        #expect(route(routes, "h", "/v10") == 1)
    }

    @Test func expressionsInTheOrderWritten() {
        let routes = [
            settings(nil, .expression("^/[a-z]+/[0-9]+$")), settings(nil, .expression("^/users/")),
            settings(nil, .expression("\\.json$")),
        ]
        #expect(route(routes, "h", "/users/7") == 0)
        #expect(route(routes, "h", "/users/x") == 1)
        #expect(route(routes, "h", "/x.json") == 2)
        #expect(route(routes, "h", "/x.jsonp") == nil)
    }

    @Test func anExactPathMatchesNothingElse() {
        let routes = [settings(nil, .exact("/v1"))]
        #expect(route(routes, "h", "/v1") == 0)
        for path in ["/v1/", "/v1;x", "/v1x", "/v"] { #expect(route(routes, "h", path) == nil) }
    }

    @Test func routesOfTheHostBeforeRoutesOfEveryHost() {
        let routes = [
            settings(nil, .exact("/v1")), settings(nil, .prefix("/v1/charges")),
            settings("api.example.com", .prefix("/")),
            settings("api.example.com", .expression("^/v1")), settings("other.example.com", .prefix("/v1")),
        ]
        // Even an exact route of every host comes after the host's own.
        #expect(route(routes, "api.example.com", "/v1") == 2)
        #expect(route(routes, "api.example.com", "/v1/charges") == 2)
        #expect(route(routes, "other.example.com", "/v1/charges") == 4)
        #expect(route(routes, "other.example.com", "/v2") == nil)
        #expect(route(routes, "third.example.com", "/v1") == 0)
    }

    @Test func aHostExpressionComesBeforePrefixesOfEveryHost() {
        let routes = [settings(nil, .prefix("/v1")), settings("a.example", .expression("^/v1"))]
        #expect(route(routes, "a.example", "/v1") == 1)
        #expect(route(routes, "b.example", "/v1") == 0)
    }

    @Test(arguments: [
        "api.example.com", "API.Example.COM", "api.example.com:80", "api.example.com:", "API.EXAMPLE.COM:65535",
    ])
    func portAndCaseOfTheHostDoNotMatter(host: String) {
        #expect(route([settings("api.example.com", .prefix("/"))], host, "/") == 0)
    }

    @Test(arguments: ["", "api.example.co", "xapi.example.com", "api.example.com.evil", "api.example.com:80x"])
    func anotherHostIsAnother(host: String) {
        #expect(route([settings("api.example.com", .prefix("/"))], host, "/") == nil)
    }

    @Test func anAddressIsAHost() {
        let routes = [settings("[::1]", .prefix("/")), settings("127.0.0.1", .prefix("/"))]
        #expect(route(routes, "[::1]", "/") == 0)
        #expect(route(routes, "[::1]:8080", "/") == 0)
        #expect(route(routes, "127.0.0.1:8080", "/") == 1)
        #expect(route(routes, "127.0.0.1", "/") == 1)
    }

    @Test func withoutAHostOnlyRoutesOfEveryHost() {
        let routes = [settings("a.example", .prefix("/")), settings(nil, .prefix("/v1"))]
        #expect(route(routes, "", "/v1") == 1)
        #expect(route(routes, "", "/") == nil)
    }

    @Test func octetsThatAreNotTextAreCompared() {
        let router = Router([settings(nil, .expression("^/caf.+$")), settings(nil, .prefix("/"))])
        #expect(router.route(host: [UInt8]().span, path: ([0x2F, 0xFF, 0xFE] as [UInt8]).span) == 1)
    }
}

@Suite struct AddressBlockTests {
    @Test(
        arguments: [
            ([10, 0, 0, 0], 8, [10, 255, 1, 2], true), ([10, 0, 0, 0], 8, [11, 0, 0, 0], false),
            ([192, 168, 4, 0], 22, [192, 168, 7, 255], true), ([192, 168, 4, 0], 22, [192, 168, 8, 0], false),
            ([192, 0, 2, 7], 32, [192, 0, 2, 7], true), ([192, 0, 2, 7], 32, [192, 0, 2, 6], false),
            ([0, 0, 0, 0], 0, [203, 0, 113, 9], true), ([172, 16, 0, 0], 12, [172, 31, 255, 255], true),
            ([172, 16, 0, 0], 12, [172, 32, 0, 0], false), ([128, 0, 0, 0], 1, [255, 0, 0, 0], true),
            ([128, 0, 0, 0], 1, [127, 0, 0, 0], false),
        ] as [([UInt8], Int, [UInt8], Bool)])
    func v4(block: [UInt8], length: Int, address: [UInt8], isInside: Bool) {
        #expect(AddressBlock(octets: block, prefixLength: length).contains(address) == isInside)
    }

    @Test func v6() {
        let block = AddressBlock(octets: [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 12), prefixLength: 33)
        var address: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0x7F] + [UInt8](repeating: 0xFF, count: 11)
        #expect(block.contains(address))
        address[4] = 0x80
        #expect(!block.contains(address))
    }

    @Test func familiesDoNotMix() {
        #expect(!AddressBlock(octets: [0, 0, 0, 0], prefixLength: 0).contains([UInt8](repeating: 0, count: 16)))
        #expect(!AddressBlock(octets: [UInt8](repeating: 0, count: 16), prefixLength: 0).contains([10, 0, 0, 1]))
    }
}
