import Idempotency
import Testing

@testable import Configuration

@Suite struct PayloadsTests {
    private func policy(_ text: String, files: ConfigurationFiles = .fake()) throws -> Policy {
        let text = "listen 127.0.0.1:1; upstream a { server http://a; } route / { upstream a; idempotency { \(text) } }"
        let checked = Configuration.check(Array(text.utf8), name: "/etc/p.conf", files: files)
        try #require(checked.configuration != nil, "\(checked.diagnostics.report)")
        return try #require(checked.configuration?.routes[0].policy)
    }

    @Test func payloads() throws {
        let policy = try policy(
            """
            namespace o urn:orders;
            key xpath "//o:Order/@id"; key soap message-id;
            on_missing_key hash;
            hash { body soap; include xpath /soap:Envelope/soap:Body; exclude xpath //o:Sent "//*[local-name()='Nonce']";
                window 2m; replay always; }
            """)
        #expect(policy.xmlNamespaces == [XMLNamespace(prefix: "o", name: "urn:orders")])
        #expect(policy.keySources == [.xpath("//o:Order/@id"), .soapMessageID])
        #expect(policy.hash?.body == .soap)
        #expect(policy.hash?.include == [.xpath("/soap:Envelope/soap:Body")])
        #expect(policy.hash?.exclude == [.xpath("//o:Sent"), .xpath("//*[local-name()='Nonce']")])
        let multipart = try self.policy("hash { body multipart; exclude part sent token; exclude query t; }").hash
        #expect(multipart?.body == .multipart)
        #expect(multipart?.exclude == [.part("sent"), .part("token"), .query("t")])
        #expect(try self.policy("hash { body xml; }").hash?.body == .xml)
    }

    @Test func sealing() throws {
        let other = String(repeating: "ab", count: 31) + "cd"
        let files = ConfigurationFiles.fake(["/etc/keys": "# new\n\(sealingKey)\n"], environment: ["OLD": other])
        let text = minimal + "store embedded { encryption { key file(\"keys\"); key env(\"OLD\"); } }"
        let checked = Configuration.check(Array(text.utf8), name: "/etc/p.conf", files: files)
        guard case .embedded(let store) = try #require(checked.configuration).store else { throw OtherStore() }
        #expect(store.keyRing?.keys.map(\.octets.count) == [32, 32])
        #expect(store.keyRing?.keys.first?.octets == (0..<32).map { UInt8($0) })
        #expect(!checked.json.contains(sealingKey) && !checked.json.contains(other))
        guard case .embedded(let plain) = try Configuration.parse(text: minimal).store else { throw OtherStore() }
        #expect(plain.keyRing == nil)
    }

    @Test func secretFilesAreInspected() {
        let inspection = FileInspection(
            certificate: { _ in [] }, authorities: { _ in [] }, secret: { [.init(.key, "every user can read \($0)")] })
        let text = minimal + "store embedded { encryption { key file(\"k\"); key env(\"K\"); } }"
        let other = String(repeating: "ab", count: 31) + "cd"
        let files = ConfigurationFiles.fake(["/etc/k": sealingKey], environment: ["K": other])
        let checked = Configuration.check(
            Array(text.utf8), name: "/etc/p.conf", files: files, inspection: inspection)
        #expect(checked.diagnostics.map(\.message) == ["file(\"k\"): every user can read /etc/k"])
    }

    private struct OtherStore: Error {}
}
