import CLinux
import TestSupport
import Testing
import Transport

@Suite(.timeLimit(.minutes(1)))
struct TLSChannelTests {
    @Test func ourClientAndOurServerAgreeAndExchangeOctets() throws {
        let server = try TLSServer.echo(.test())
        defer { server.stop() }
        let client = try server.connect(.test(), sending: Array("hello".utf8))
        #expect(client.events.next() == .connected)
        #expect(client.events.next() == .received(Array("hello".utf8)))
        #expect(server.events.next() == .secured)
        #expect(server.events.next() == .received(Array("hello".utf8)))
        let agreement = try #require(client.perform { $0.tlsAgreement })
        #expect(agreement.version == .tls13)
        #expect(agreement.cipher == "TLS_AES_256_GCM_SHA384")
        #expect(agreement.alpn == .http2)
        #expect(!agreement.isResumed)
        #expect(agreement.peerCertificate?.subject == Array("CN=a.test".utf8))
        #expect(
            agreement.peerCertificate?.subjectAlternativeNames
                == ["DNS:a.test", "DNS:localhost"].map { Array($0.utf8) })
        let served = server.channels.next()
        let seen = server.harness.worker.performAndWait { served.value.tlsAgreement }
        #expect(seen?.serverName == Array("a.test".utf8))
        #expect(seen?.alpn == .http2)
        #expect(seen?.peerCertificate == nil)
        client.perform { channel in
            #expect(channel.payloadOctetsWritten == 5)
            #expect(channel.octetsWritten > 200)
            channel.closeAfterFlush()
        }
        #expect(client.events.next() == .closed)
        #expect(server.events.next() == .end(isTruncated: false))
        #expect(server.events.next() == .closed)
    }
}
