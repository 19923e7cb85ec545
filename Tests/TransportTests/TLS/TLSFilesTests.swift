import Foundation
import TestSupport
import Testing
import Transport

/// Certificates and keys as they stand in files, at start and when they are read again.
@Suite(.timeLimit(.minutes(5)))
struct TLSFilesTests {
    /// A copy of the files that a test may change.
    struct Copy {
        let files: TLSCertificateFiles

        init(_ original: TLSCertificateFiles) throws {
            files = TLSCertificateFiles(chainPath: Certificates.path(), keyPath: Certificates.path(".key"))
            try replace(original)
        }

        func replace(_ original: TLSCertificateFiles) throws {
            try TLSFilesTests.copy(original.chainPath, to: files.chainPath)
            try TLSFilesTests.copy(original.keyPath, to: files.keyPath)
        }
    }

    static func copy(_ source: String, to target: String) throws {
        try write(String(contentsOfFile: source, encoding: .utf8), to: target)
    }

    static func write(_ text: String, to path: String) throws {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        chmod(path, 0o600)
    }

    /// What is wrong with the files.
    func problem(_ files: TLSCertificateFiles) -> TLSError? {
        do throws(TLSError) {
            _ = try TLSServerContext(.init(certificates: [files]))
            return nil
        } catch {
            return error
        }
    }

    @Test("each problem is told with the file and what to do")
    func problems() throws {
        let good = try Certificates.server("a.test")
        let other = try Certificates.server("b.test")
        #expect(problem(good) == nil)

        let mismatch = problem(.init(chainPath: good.chainPath, keyPath: other.keyPath))
        #expect(mismatch?.kind == .mismatch)
        #expect(mismatch?.path == other.keyPath)
        #expect(mismatch?.description.contains(good.chainPath) == true)

        let missing = problem(.init(chainPath: "/nowhere/chain.pem", keyPath: good.keyPath))
        #expect(
            missing?.description
                == "/nowhere/chain.pem: cannot be read: No such file or directory; check the path and the file")
        #expect(problem(.init(chainPath: good.chainPath, keyPath: "/tmp"))?.kind == .unreadable)

        let garbage = Certificates.path()
        try Self.write("garbage\n", to: garbage)
        #expect(problem(.init(chainPath: garbage, keyPath: good.keyPath))?.problem == "holds no certificate")
        #expect(problem(.init(chainPath: good.chainPath, keyPath: garbage))?.kind == .malformed)
        #expect(problem(.init(chainPath: good.keyPath, keyPath: good.keyPath))?.kind == .malformed)
        #expect(problem(.init(chainPath: good.chainPath, keyPath: good.chainPath))?.path == good.chainPath)

        // The second certificate of the chain is cut off.
        let cut = Certificates.path()
        let text = try String(contentsOfFile: good.chainPath, encoding: .utf8)
        try Self.write(text + text.prefix(200) + "\n-----END CERTIFICATE-----\n", to: cut)
        let damaged = problem(.init(chainPath: cut, keyPath: good.keyPath))
        #expect(damaged?.problem.hasPrefix("certificate 2 of the file is damaged") == true)

        let endless = problem(.init(chainPath: "/dev/zero", keyPath: good.keyPath))
        #expect(endless?.kind == .malformed)
    }

    @Test("an encrypted key is refused clearly")
    func encryptedKey() throws {
        let good = try Certificates.server("a.test")
        let path = Certificates.path(".key")
        try Certificates.shared.openssl(["pkey", "-in", good.keyPath, "-aes256", "-passout", "pass:x", "-out", path])
        let error = problem(.init(chainPath: good.chainPath, keyPath: path))
        #expect(error?.kind == .encryptedKey)
        #expect(error?.path == path)
        #expect(error?.advice.contains("passphrase") == true)
    }

    @Test("a weak key is refused clearly")
    func weakKey() throws {
        let error = problem(try Certificates.server("a.test", key: .rsa(1024)))
        #expect(error?.kind == .weak)
        #expect(error?.advice.contains("2048") == true)
    }

    @Test("an unreadable or empty bundle of authorities")
    func bundles() throws {
        for path in ["/nowhere/ca.pem", try Certificates.server("a.test").keyPath] {
            do throws(TLSError) {
                var options = TLSServerContext.Options(certificates: [try! Certificates.server("a.test")])
                options.clientCertificates = .required(caPath: path)
                _ = try TLSServerContext(options)
                Issue.record("\(path) was taken")
            } catch {
                #expect(error.path == path)
            }
            do throws(TLSError) {
                var options = TLSClientContext.Options()
                options.caPath = path
                _ = try TLSClientContext(options)
                Issue.record("\(path) was taken")
            } catch {
                #expect(error.path == path)
            }
        }
    }

    @Test("an expired certificate is a warning at start, and one that is replaced by it stays")
    func expiry() throws {
        let good = try Certificates.server("a.test")
        let expired = try Certificates.shared.files(
            .init(subject: "/CN=a.test", names: ["DNS:a.test"], days: -1))
        let copy = try Copy(expired)
        let context = try TLSServerContext(.init(certificates: [copy.files]))
        #expect(context.warnings.map(\.kind) == [.expired])
        #expect(context.warnings.first?.path == copy.files.chainPath)
        try copy.replace(good)
        try context.reload()
        #expect(context.warnings == [])
        let names = context.expiries
        #expect(names.map(\.names) == [["a.test", "localhost"]] || names.map(\.names) == [["a.test"]])
        let before = context.expiries
        try copy.replace(expired)
        let error = #expect(throws: TLSError.self) { try context.reload() }
        #expect(error?.kind == .expired)
        #expect(context.expiries == before)
        #expect(context.warnings == [])
        // The same certificate, years later.
        let late = try TLSServerContext(.init(certificates: [good]), clock: { 4_000_000_000 })
        #expect(late.warnings.map(\.kind) == [.expired])
        let early = try TLSServerContext(.init(certificates: [good]), clock: { 1_000_000_000 })
        #expect(early.warnings.first?.problem == "the certificate is not valid yet")
    }

    @Test("an expired certificate that is in use already keeps nobody else's renewal from being taken")
    func renewalBesideExpired() throws {
        let expired = try Certificates.shared.files(
            .init(subject: "/CN=a.test", names: ["DNS:a.test"], days: -1))
        let copy = try Copy(Certificates.server("b.test"))
        let context = try TLSServerContext(.init(certificates: [expired, copy.files]))
        let before = context.expiries
        try copy.replace(Certificates.shared.files(.init(subject: "/CN=b.test", names: ["DNS:b.test"], days: 60)))
        try context.reload()
        #expect(context.expiries != before)
        #expect(context.warnings.map(\.path) == [expired.chainPath])
        let renewed = context.expiries
        try copy.replace(Certificates.shared.files(.init(subject: "/CN=b.test", names: ["DNS:b.test"], days: -1)))
        let error = #expect(throws: TLSError.self) { try context.reload() }
        #expect(error?.path == copy.files.chainPath)
        #expect(context.expiries == renewed)
    }

    @Test("a key that every user can read is a warning")
    func exposedKey() throws {
        let copy = try Copy(Certificates.server("a.test"))
        #expect(try TLSServerContext(.init(certificates: [copy.files])).warnings == [])
        chmod(copy.files.keyPath, 0o644)
        let warning = try TLSServerContext(.init(certificates: [copy.files])).warnings.first
        #expect(warning?.kind == .exposedKey)
        #expect(warning?.path == copy.files.keyPath)
        #expect(warning?.problem.contains("644") == true)
        chmod(copy.files.keyPath, 0o640)
        #expect(try TLSServerContext(.init(certificates: [copy.files])).warnings == [])
    }

    @Test("a good certificate takes over for new connections; a bad one changes nothing")
    func reload() throws {
        let copy = try Copy(Certificates.server("a.test"))
        let server = try TLSServer.echo(.init(certificates: [copy.files]))
        defer { server.stop() }
        let context = try TLSClientContext.test()
        func fingerprint() throws -> [UInt8]? {
            // A context of its own, which has no session to resume.
            let client = try server.connect(TLSClientContext.test())
            #expect(client.events.next() == .connected)
            defer { client.perform { $0.closeNow() } }
            #expect(client.perform { $0.tlsAgreement?.isResumed } == false)
            return client.perform { $0.tlsAgreement?.peerCertificate?.fingerprintSHA256 }
        }
        let first = try fingerprint()
        // In use from before the change, and after it.
        let old = try server.connect(context)
        #expect(old.events.next() == .connected)
        try Self.write("garbage", to: copy.files.keyPath)
        #expect(throws: TLSError.self) { try server.context.reload() }
        #expect(try fingerprint() == first)
        try copy.replace(Certificates.server("a.test", serial: 1))
        try server.context.reload()
        #expect(try fingerprint() != first)
        old.perform { $0.write(contentsOf: [1, 2, 3]) }
        #expect(old.events.next() == .received([1, 2, 3]))
    }

    @Test("a client context reads its files again, too")
    func clientReload() throws {
        let copy = try Copy(Certificates.client())
        var options = TLSClientContext.Options()
        options.caPath = try Certificates.root()
        options.certificate = copy.files
        let context = try TLSClientContext(options)
        let first = context.expiry
        #expect(context.warnings == [])
        try Self.write("garbage", to: copy.files.chainPath)
        #expect(throws: TLSError.self) { try context.reload() }
        #expect(context.expiry == first)
        try copy.replace(Certificates.client { $0.days = 60 })
        try context.reload()
        #expect(context.expiry != first)
    }
}
