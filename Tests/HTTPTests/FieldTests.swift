import Testing

@testable import HTTP

@Suite("Fields")
struct FieldTests {
    @Test("Known fields are recognised in any case, and nothing else is", arguments: KnownField.allCases)
    func known(_ field: KnownField) throws {
        let name = "\(field.name)"
        guard field != .other else { return }
        #expect(KnownField(Array(name.utf8)) == field)
        #expect(KnownField(Array(name.uppercased().utf8)) == field)
        #expect(KnownField(Array((name + "x").utf8)) == .other)
        #expect(KnownField(Array(name.utf8.dropLast())) == .other || name.count == 1)
        for index in name.utf8.indices {
            var octets = Array(name.utf8)
            let offset = name.utf8.distance(from: name.utf8.startIndex, to: index)
            for octet in UInt8(0x21)...0x7e
            where OctetSet.token.contains(octet) && Octet.lowercased(octet) != octets[offset] {
                let before = octets[offset]
                octets[offset] = octet
                #expect(KnownField(octets) != field)
                octets[offset] = before
            }
        }
        // Where a name stands at the input's very end, too.
        var fields = FieldSection()
        let nameOctets = Array(name.utf8)
        let value: [UInt8] = []
        let isAdded = fields.append(name: nameOctets.span, value: value.span)
        #expect(isAdded)
        #expect(fields.contains(field) && fields.first(field)?.known == field && !fields.isRepeated(field))
    }

    @Test("The octet sets are what the grammar says")
    func octetSets() {
        for octet in UInt8.min...UInt8.max {
            let isAlphanumeric =
                octet < 0x80 && (Character(UnicodeScalar(octet)).isLetter || Character(UnicodeScalar(octet)).isNumber)
            #expect(OctetSet.token.contains(octet) == (isAlphanumeric || "!#$%&'*+-.^_`|~".utf8.contains(octet)))
            #expect(OctetSet.target.contains(octet) == ((0x21...0x7e).contains(octet) && octet != 0x23))
            #expect(OctetSet.path.contains(octet) == ((0x21...0x7e).contains(octet) && !"#?\\".utf8.contains(octet)))
            #expect(OctetSet.unreserved.contains(octet) == (isAlphanumeric || "-._~".utf8.contains(octet)))
            #expect(OctetSet.addressLiteral.contains(octet) == "0123456789abcdefABCDEF:.".utf8.contains(octet))
            #expect(
                OctetSet.chunkExtension.contains(octet)
                    == (OctetSet.token.contains(octet) || ";= \t".utf8.contains(octet)))
        }
    }

    @Test("The first control is found at every offset and among every octet")
    func firstControl() {
        for octet in UInt8.min...UInt8.max {
            for offset in 0..<20 {
                for filler in [UInt8(0x20), 0x7e, 0x80, 0xff] {
                    var octets = [UInt8](repeating: filler, count: 20)
                    octets[offset] = octet
                    #expect(octets.firstControl() == (octet < 0x20 || octet == 0x7f ? offset : 20))
                }
            }
        }
    }

    @Test("Lookups by name and by field")
    func lookups() throws {
        let head = try parseRequest("GET / HTTP/1.1\r\nHost: a\r\nCookie: b\r\nX: 1\r\ncookie: c\r\nx: 2\r\n\r\n")
        #expect(
            head.fields.count(of: .cookie) == 2 && head.fields.count(of: .host) == 1 && head.fields.count(of: .via) == 0
        )
        #expect(head.fields.isRepeated(.cookie))
        #expect(head.fields.lines(named: "x").map { head.text($0.value) } == ["1", "2"])
        #expect(head.fields.firstIndex(named: "X") == 2 && head.fields.firstIndex(named: "X", from: 3) == 4)
        #expect(head.fields.firstIndex(named: Array("y".utf8)) == nil)
    }

    @Test(
        "A35: Connection cannot take away what the proxy rests on",
        arguments: [
            "Idempotency-Key", "Authorization", "Content-Length", "TRANSFER-ENCODING", "host", "cookie", "x-tenant",
            "close, Content-Type",
        ])
    func protected(_ options: String) throws {
        var head = try parseRequest("POST / HTTP/1.1\r\nHost: a\r\nConnection: \(options)\r\n\r\n")
        #expect(throws: HTTPError.protectedFieldInConnection) {
            try head.fields.markHopByHop(protecting: [Array("X-Tenant".utf8)])
        }
    }

    @Test("RFC 9110 §7.6.1: hop-by-hop fields and those that Connection names are dropped")
    func hopByHop() throws {
        let text =
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-a, trailer, Server\r\nKeep-Alive: b\r\n"
            + "Proxy-Connection: c\r\nTE: d\r\nUpgrade: e\r\n"
            + "x-A: f\r\nTrailer: g\r\nX-A: h\r\nServer: i\r\nProxy-Authorization: j\r\n"
            + "Proxy-Authenticate: k\r\nHTTP2-Settings: l\r\nkeep: m\r\n"
            + "Transfer-Encoding: chunked\r\n\r\n"
        var head = try parseRequest(text)
        try head.fields.markHopByHop(keepsTrailer: true)
        #expect(head.fields.lines.filter { !$0.isDropped }.map { head.text($0.name) } == ["Host", "Trailer", "keep"])
        try head.fields.markHopByHop()
        #expect(head.fields.lines.filter { !$0.isDropped }.map { head.text($0.name) } == ["Host", "keep"])
    }
}
