import Testing
import Transport

struct SocketAddressTests {
    @Test(arguments: [
        ("1.2.3.4:80", "1.2.3.4:80"), ("0.0.0.0:0", "0.0.0.0:0"), ("255.255.255.255:65535", "255.255.255.255:65535"),
        ("[::1]:8080", "[::1]:8080"), ("[::]:1", "[::]:1"), ("[2001:DB8:0:0::1]:443", "[2001:db8::1]:443"),
        ("[::ffff:10.0.0.1]:5", "10.0.0.1:5"), ("unix:/run/a b.sock", "unix:/run/a b.sock"),
        ("unix:@name", "unix:@name"),
        ("unix:relative", "unix:relative"),
    ])
    func parsesAndPrints(text: String, canonical: String) throws {
        let address = try #require(SocketAddress.parse(text))
        #expect(address.description == canonical)
        #expect(SocketAddress.parse(canonical) == address)
        let again = address.withSocketAddress { SocketAddress($0, length: $1) }
        #expect(again == address)
    }

    @Test(arguments: [
        "", ":", ":80", "80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:+1", "1.2.3.4: 1", "1.2.3:80", "::1:80",
        "[::1]", "[::1]80",
        "[1.2.3.4]:80", "[::1:80", "localhost:80", "unix:", "1.2.3.4:٣", "1.2.3.4\u{0}:80", "[::1%x]:80",
    ])
    func refuses(text: String) {
        #expect(SocketAddress.parse(text) == nil)
    }

    @Test func textOfTheAddressAlone() {
        var text: [UInt8] = []
        SocketAddress.parse("10.200.3.0:1")?.appendIPText(to: &text)
        text.append(32)
        SocketAddress.parse("[fe80::1]:1")?.appendIPText(to: &text)
        SocketAddress.unix([]).appendIPText(to: &text)
        #expect(text == Array("10.200.3.0 fe80::1".utf8))
    }

    @Test func aPathThatIsTooLongHasNoSocketAddress() {
        #expect(SocketAddress.unix(Array(repeating: 97, count: 108)).withSocketAddress { $1 } == 0)
        #expect(SocketAddress.unix(Array(repeating: 97, count: 107)).withSocketAddress { $1 } > 0)
        #expect(SocketAddress.parse("unix:" + String(repeating: "a", count: 108)) == nil)
    }
}
