import Foundation
import TestSupport
import Testing
import Transport

/// Seconds that a test sets.
final class TestClock: Sendable {
    private let seconds: Monitored<Int64>

    init(_ seconds: Int64 = 1_000_000) { self.seconds = Monitored(seconds) }

    func advance(_ more: Int64) { seconds.with { $0 += more } }

    var read: @Sendable () -> Int64 { { [seconds] in seconds.with { $0 } } }
}

/// Session tickets: whose they are, and for how long.
@Suite(.timeLimit(.minutes(5)))
struct TLSTicketTests {
    /// Whether the session in the file is resumed; afterwards the file holds the new one.
    func resumes(
        _ server: TLSServer, _ session: String, _ arguments: [String] = [], name: String = "a.test",
        version: String = "-tls1_3", keeps: Bool = false
    ) throws -> Bool {
        var all =
            ["-connect", "127.0.0.1:\(server.address.port)", "-servername", name, version, "-ign_eof"] + arguments
        if FileManager.default.fileExists(atPath: session) { all += ["-sess_in", session] }
        if !keeps { all += ["-sess_out", session] }
        let client = try SClient.run(all, input: "x")
        #expect(client.session.hasPrefix("New, TLS") || client.session.hasPrefix("Reused, TLS"), "\(client.error)")
        return client.session.hasPrefix("Reused")
    }

    @Test("keys rotate hourly, and twelve are kept", arguments: ["-tls1_2", "-tls1_3"])
    func rotation(version: String) throws {
        let clock = TestClock()
        let keys = TLSTicketKeys(clock: clock.read)
        let server = try TLSServer.closing(.test(), tickets: keys)
        defer { server.stop() }
        let session = Certificates.path(".session")
        #expect(try !resumes(server, session, version: version))
        #expect(keys.count == 1)
        #expect(try resumes(server, session, version: version, keeps: true))
        // The last moment of the first key's tickets.
        clock.advance(12 * 3600 - 1)
        #expect(try resumes(server, session, version: version, keeps: true))
        clock.advance(1)
        #expect(try !resumes(server, session, version: version, keeps: true))
        // A new key each hour, and no more than twelve.
        for _ in 0..<14 {
            clock.advance(3600)
            let fresh = Certificates.path(".session")
            #expect(try !resumes(server, fresh, version: version))
            #expect(try resumes(server, fresh, version: version))
        }
        #expect(keys.count == 12)
        clock.advance(12 * 3600)
        #expect(keys.count == 0)
    }

    @Test("each connection brings a ticket for the next, a resumed one too: clients use one once (RFC 8446 C.4)")
    func eachBringsOne() throws {
        let server = try TLSServer.closing(.test())
        defer { server.stop() }
        let session = Certificates.path(".session")
        var last: Data?
        for number in 0..<4 {
            #expect(try resumes(server, session) == (number > 0))
            let saved = try Data(contentsOf: URL(filePath: session))
            #expect(saved != last)
            last = saved
        }
    }

    @Test("resumption can't be kept up beyond half a day")
    func lifetime() throws {
        let clock = TestClock(1_700_000_000)
        let context = try TLSServerContext(.test(), clock: clock.read)
        let server = try TLSServer.closing(context)
        defer { server.stop() }
        let session = Certificates.path(".session")
        #expect(try !resumes(server, session))
        for _ in 0..<3 {
            clock.advance(3 * 3600)
            #expect(try resumes(server, session))
        }
        clock.advance(3 * 3600)
        #expect(try !resumes(server, session))
        #expect(try resumes(server, session))
    }

    @Test("tickets outlive a reload; not a change of the certificate")
    func reload() throws {
        let copy = try TLSFilesTests.Copy(Certificates.server("a.test"))
        let server = try TLSServer.closing(.init(certificates: [copy.files]))
        defer { server.stop() }
        let session = Certificates.path(".session")
        #expect(try !resumes(server, session))
        try server.context.reload()
        #expect(try resumes(server, session))
        try copy.replace(Certificates.server("a.test", serial: 1))
        try server.context.reload()
        #expect(try !resumes(server, session))
        #expect(try resumes(server, session))
    }

    @Test("another context with the same keys takes the tickets, one with its own does not")
    func sharedKeys() throws {
        let keys = TLSTicketKeys()
        let servers = try [keys, keys, TLSTicketKeys()].map { try TLSServer.closing(.test(), tickets: $0) }
        defer { for server in servers { server.stop() } }
        let session = Certificates.path(".session")
        #expect(try !resumes(servers[0], session))
        #expect(try resumes(servers[1], session, keeps: true))
        #expect(try !resumes(servers[2], session, keeps: true))
    }

    @Test(
        "keys made from the same secrets open each other's tickets; one put before the others encrypts from then on",
        arguments: ["-tls1_2", "-tls1_3"])
    func sharedSecrets(version: String) throws {
        let (old, new, other) = ([UInt8](0..<32), [UInt8](1..<33), [UInt8](2..<34))
        let keys = [TLSTicketKeys(secrets: [old]), TLSTicketKeys(secrets: [old]), TLSTicketKeys(secrets: [other])]
        let servers = try keys.map { try TLSServer.closing(.test(), tickets: $0) }
        defer { for server in servers { server.stop() } }
        let (session, later) = (Certificates.path(".session"), Certificates.path(".session"))
        #expect(try !resumes(servers[0], session, version: version))
        #expect(try resumes(servers[1], session, version: version, keeps: true))
        #expect(try !resumes(servers[2], session, version: version, keeps: true))
        // The replicas change one after the other: nobody makes what the other can't open.
        keys[1].replace(secrets: [old, new])
        keys[0].replace(secrets: [new, old])
        #expect(try resumes(servers[0], session, version: version, keeps: true))
        #expect(try resumes(servers[1], session, version: version, keeps: true))
        #expect(try !resumes(servers[0], later, version: version))
        #expect(try resumes(servers[1], later, version: version, keeps: true))
        keys[0].replace(secrets: [new])
        #expect(try !resumes(servers[0], session, version: version, keeps: true))
        #expect(try resumes(servers[0], later, version: version, keeps: true))
    }

    @Test("a session under shared keys ends after half a day as well")
    func sharedLifetime() throws {
        let clock = TestClock(1_700_000_000)
        var options = try TLSServerContext.Options.test()
        options.tickets = .shared(path: "")
        let keys = TLSTicketKeys(secrets: [[UInt8](0..<32)])
        let server = try TLSServer.closing(TLSServerContext(options, tickets: keys, clock: clock.read))
        defer { server.stop() }
        let session = Certificates.path(".session")
        #expect(try !resumes(server, session))
        clock.advance(12 * 3600 - 1)
        #expect(try resumes(server, session, keeps: true))
        clock.advance(1)
        #expect(try !resumes(server, session, keeps: true))
    }

    @Test("no session crosses certificates or rules for clients (CVE-2025-23419)", arguments: ["-tls1_2", "-tls1_3"])
    func crossing(version: String) throws {
        let keys = TLSTicketKeys()
        let certificates = [try Certificates.server("a.test"), try Certificates.server("b.test")]
        let server = try TLSServer.closing(.init(certificates: certificates), tickets: keys)
        defer { server.stop() }
        let session = Certificates.path(".session")
        #expect(try !resumes(server, session, name: "a.test", version: version))
        #expect(try !resumes(server, session, name: "b.test", version: version, keeps: true))
        #expect(try resumes(server, session, name: "a.test", version: version, keeps: true))

        // The same certificates on a listener that wants certificates of clients, and one that trusts others.
        var strict = TLSServerContext.Options(certificates: certificates)
        var others = strict
        strict.clientCertificates = .required(caPath: try Certificates.root())
        others.clientCertificates = .required(caPath: try Certificates.root(.init(name: "other")))
        let files = try Certificates.client()
        let show = ["-cert", files.chainPath, "-key", files.keyPath]
        let strictServer = try TLSServer.closing(strict, tickets: keys)
        let othersServer = try TLSServer.closing(others, tickets: keys)
        defer { strictServer.stop() }
        defer { othersServer.stop() }
        // A session that began without a certificate is none here.
        #expect(try !resumes(strictServer, session, show, version: version))
        #expect(try resumes(strictServer, session, show, version: version, keeps: true))
        let fixed = [
            "-connect", "127.0.0.1:\(othersServer.address.port)", "-servername", "a.test", version, "-ign_eof",
        ]
        _ = try SClient.run(fixed + show + ["-sess_in", session], input: "x")
        #expect(othersServer.events.next() == .failed(.protocolError, .certificate))
    }

    @Test("a client's certificate that has expired since is no longer good")
    func expiredSince() throws {
        let clock = TestClock(Int64(Date().timeIntervalSince1970))
        var options = try TLSServerContext.Options.test()
        options.clientCertificates = .required(caPath: try Certificates.root())
        let server = try TLSServer.closing(TLSServerContext(options, clock: clock.read))
        defer { server.stop() }
        // The clock stands six hours before the end of one certificate.
        for (days, isResumed) in [(1, false), (2, true)] {
            let files = try Certificates.client { $0.days = days }
            let show = ["-cert", files.chainPath, "-key", files.keyPath]
            let session = Certificates.path(".session")
            if days == 1 { clock.advance(18 * 3600) }
            #expect(try !resumes(server, session, show))
            clock.advance(3 * 3600)
            #expect(try resumes(server, session, show, keeps: true))
            if days == 1 { clock.advance(4 * 3600) } else { clock.advance(-4 * 3600) }
            #expect(try resumes(server, session, show, keeps: true) == isResumed)
        }
    }

    @Test("tickets off", arguments: ["-tls1_2", "-tls1_3"])
    func off(version: String) throws {
        let server = try TLSServer.closing(.test { $0.tickets = .none })
        defer { server.stop() }
        let session = Certificates.path(".session")
        #expect(try !resumes(server, session, version: version))
        #expect(try !resumes(server, session, version: version))
    }
}
