import Idempotency
import Testing

@testable import Configuration

@Suite struct TLSTests {
    private func model(_ text: String, name: String = "/etc/oncegate/p.conf") throws -> Configuration {
        try Configuration.parse(text: text, name: name, files: .fake())
    }

    private let rest = "upstream a { server http://a; } route / { upstream a; }\n"

    @Test func listener() throws {
        let text = """
            tls_handshake_timeout 3s;
            listen 0.0.0.0:8443 {
                tls {
                    certificate /tls/a.pem; certificate /tls/b.pem;
                    key /tls/a.key; key /tls/b.key;
                    min_version 1.3; alpn http/1.1 h2; client_certificate required /tls/ca.pem;
                    unknown_name reject; session_tickets off;
                }
                proxy_protocol 10.0.0.0/8 fd00::/8;
            }
            listen unix:/run/x.sock { proxy_protocol on; http2 off; }
            listen 127.0.0.1:8444 { tls { certificate a; key b; client_certificate optional c; } http2 off; }
            listen 127.0.0.1:8445 { tls { certificate a; key b; alpn http/1.1; } }
            """
        let model = try model(text + rest)
        #expect(model.timeouts.tlsHandshakeMilliseconds == 3000)
        var tls = Configuration.Listener.TLS(certificates: [
            .init(chainPath: "/tls/a.pem", keyPath: "/tls/a.key"),
            .init(chainPath: "/tls/b.pem", keyPath: "/tls/b.key"),
        ])
        tls.minimumVersion = .tls13
        tls.alpn = [.http11, .http2]
        tls.clientCertificates = .required(authoritiesPath: "/tls/ca.pem")
        tls.rejectsUnknownName = true
        tls.tickets = .off
        #expect(model.listeners[0].tls == tls && model.listeners[0].allowsHTTP2)
        #expect(model.listeners[0].trustedProxyPeers.map(\.description) == ["10.0.0.0/8", "fd00::/8"])
        #expect(model.listeners[1].tls == nil && !model.listeners[1].allowsHTTP2)
        #expect(model.listeners[1].trustedProxyPeers.map(\.description) == ["0.0.0.0/0", "::/0"])
        // Without h2 there is no HTTP/2, by either directive.
        #expect(model.listeners[2].tls?.alpn == [.http11] && !model.listeners[2].allowsHTTP2)
        #expect(model.listeners[2].tls?.clientCertificates == .optional(authoritiesPath: "/etc/oncegate/c"))
        #expect(model.listeners[3].tls?.alpn == [.http11] && !model.listeners[3].allowsHTTP2)
        #expect(model.summary.hasPrefix("4 listeners (3 with TLS), "))
    }

    @Test func defaultsAreThoseOfTheTable() throws {
        let model = try model(
            "listen 127.0.0.1:1 { tls { certificate /c; key /k; } } upstream a { server https://a; tls { } }\n"
                + "route / { upstream a; }")
        #expect(model.listeners[0].tls == .init(certificates: [.init(chainPath: "/c", keyPath: "/k")]))
        #expect(model.listeners[0].allowsHTTP2)
        #expect(model.upstreams[0].tls == Configuration.Upstream.TLS())
    }

    @Test func upstream() throws {
        let text = """
            listen 127.0.0.1:1;
            upstream a {
                server https://A.example; server https://[::1]:8443; server h2c://b; server h2c://b:443;
                server h2c+unix:/run/h.sock; server http://c:443; server https://c:80;
                max_streams 7;
                tls { ca ca.pem; name Backend.internal; certificate tls/c.pem; key ./tls/k.pem; alpn h2; }
            }
            upstream plain { server http://a; }
            upstream address { server https://a; tls { name 2001:DB8::1; verify off; } }
            upstream bare { server https://a; }
            route / { upstream a; }
            """
        let model = try model(text)
        let upstream = model.upstreams[0]
        #expect(upstream.servers.map(\.scheme) == [.https, .https, .h2c, .h2c, .h2c, .http, .https])
        #expect(
            upstream.servers.map(\.endpoint.description)
                == ["a.example:443", "[::1]:8443", "b:80", "b:443", "unix:/run/h.sock", "c:443", "c:80"])
        #expect(
            upstream.servers.map(\.authority)
                == ["a.example", "[::1]:8443", "b", "b:443", "localhost", "c:443", "c:80"])
        #expect(upstream.streamsMax == 7)
        var tls = Configuration.Upstream.TLS()
        tls.authoritiesPath = "/etc/oncegate/ca.pem"
        tls.name = "backend.internal"
        tls.certificate = .init(chainPath: "/etc/oncegate/tls/c.pem", keyPath: "/etc/oncegate/./tls/k.pem")
        tls.alpn = [.http2]
        #expect(upstream.tls == tls)
        #expect(model.upstreams[1].tls == nil && model.upstreams[1].streamsMax == 100)
        #expect(model.upstreams[2].tls?.name == "2001:db8::1" && model.upstreams[2].tls?.verifies == false)
        #expect(model.upstreams[3].tls == Configuration.Upstream.TLS())
    }

    @Test func pathsStartAtTheFileThatNamesThem() throws {
        let files = ConfigurationFiles.fake(
            [
                "/etc/p.conf": "include tls/*.conf; route / { upstream a; } upstream a { server http://a; }",
                "/etc/tls/a.conf": "listen 127.0.0.1:1 { tls { certificate a.pem; key env(\"KEY\"); } }",
            ], environment: ["KEY": "a.key"])
        let model = try Configuration.load(path: "/etc/p.conf", files: files).configuration
        let certificate = Configuration.Certificate(chainPath: "/etc/tls/a.pem", keyPath: "/etc/tls/a.key")
        #expect(model.listeners[0].tls?.certificates == [certificate])
        // A name without directory is one of the working directory.
        let relative = try self.model("listen 127.0.0.1:1 { tls { certificate a; key b; } }" + rest, name: "p.conf")
        #expect(relative.listeners[0].tls?.certificates[0].chainPath.hasPrefix("/") == true)
    }

    @Test func clientCertificateAsScope() throws {
        let listen = "listen 127.0.0.1:1 { tls { certificate /c; key /k; client_certificate optional /ca; } }\n"
        for (part, scope) in [
            ("subject", Policy.Scope.clientCertificate(.subject)), ("san", .clientCertificate(.alternativeNames)),
        ] {
            let text =
                listen
                + "upstream a { server http://a; } route / { upstream a; idempotency { scope client_cert \(part); } }"
            let checked = Configuration.check(Array(text.utf8), name: "p")
            #expect(checked.diagnostics.isEmpty)
            #expect(checked.configuration?.routes[0].policy?.scope == scope)
        }
    }

    @Test func runWithoutFile() throws {
        let files = ConfigurationFiles.fake()
        func run(_ url: String, _ certificate: Configuration.Certificate? = nil) throws -> Configuration {
            try Configuration.forUpstream(url: url, store: "/data", certificate: certificate, files: files)
        }
        let encrypted = try run("https://api.example", .init(chainPath: "/c.pem", keyPath: "k.pem"))
        #expect(encrypted.upstreams[0].tls == Configuration.Upstream.TLS())
        #expect(
            encrypted.upstreams[0].servers == [
                .init(scheme: .https, endpoint: .network(host: "api.example", port: 443))
            ])
        let certificate = try #require(encrypted.listeners[0].tls?.certificates.first)
        #expect(certificate.chainPath == "/c.pem")
        #expect(certificate.keyPath.hasPrefix("/") && certificate.keyPath.hasSuffix("/k.pem"))
        let clear = try run("h2c://127.0.0.1:9000")
        #expect(clear.upstreams[0].servers[0].scheme == .h2c && clear.upstreams[0].tls == nil)
        #expect(clear.listeners[0].tls == nil)
    }

    @Test func dumpShowsWhatHolds() throws {
        let text =
            "listen 127.0.0.1:1 { tls { certificate /c; key /k; } http2 off; } listen 127.0.0.1:2;\n"
            + "listen 127.0.0.1:3 { tls { certificate /c; key /k; alpn http/1.1; } }\n"
            + "upstream a { server https://a; server h2c+unix:/s; } route / { upstream a; }"
        let json = Configuration.check(Array(text.utf8), name: "p").json
        #expect(json.contains("\"certificate\": [\"/c\"]"))
        #expect(json.ranges(of: "\"alpn\": [\"http/1.1\"]").count == 2)
        #expect(json.ranges(of: "\"http2\": \"off\"").count == 2)
        #expect(json.contains("\"server\": [\"https://a:443\", \"h2c+unix:/s\"]"))
    }
}

/// What opening the files finds stands where they are named.
@Suite struct FileInspectionTests {
    private let text = """
        listen 127.0.0.1:1 {
            tls { certificate /c1; certificate /c2; key /k1; key /k2; client_certificate required /ca; }
        }
        upstream a { server https://a; tls { ca /bad; certificate /c1; key /k1; } }
        route / { upstream a; }

        """

    @Test func findingsStandWhereTheFileIsNamed() {
        let inspection = FileInspection(
            certificate: { pair in
                switch pair.chainPath {
                case "/c1":
                    [.init(.key, "can be read by others", hint: "chmod 0600 it", isWarning: true)]
                default: [.init(.chain, "has expired"), .init(.key, "is the key of another certificate")]
                }
            },
            authorities: { path in
                path == "/bad" ? [.init(.chain, "holds no certificate", hint: "PEM is expected")] : []
            }
        )
        let checked = Configuration.check(Array(text.utf8), name: "p", files: .fake(), inspection: inspection)
        #expect(checked.configuration == nil)
        #expect(
            checked.diagnostics.report == """
                p:2:40: error: '/c2': has expired
                    2 |     tls { certificate /c1; certificate /c2; key /k1; key /k2; client_certificate required /ca; }
                      |                                        ^~~
                p:2:49: warning: '/k1': can be read by others
                    2 |     tls { certificate /c1; certificate /c2; key /k1; key /k2; client_certificate required /ca; }
                      |                                                 ^~~ chmod 0600 it
                p:2:58: error: '/k2': is the key of another certificate
                    2 |     tls { certificate /c1; certificate /c2; key /k1; key /k2; client_certificate required /ca; }
                      |                                                          ^~~
                p:4:41: error: '/bad': holds no certificate
                    4 | upstream a { server https://a; tls { ca /bad; certificate /c1; key /k1; } }
                      |                                         ^~~~ PEM is expected
                p:4:68: warning: '/k1': can be read by others
                    4 | upstream a { server https://a; tls { ca /bad; certificate /c1; key /k1; } }
                      |                                                                    ^~~ chmod 0600 it
                3 errors, 2 warnings
                """)
    }

    @Test func warningsFailNothing() throws {
        let inspection = FileInspection(
            certificate: { _ in [.init(.key, "can be read by others", isWarning: true)] }, authorities: { _ in [] })
        let checked = Configuration.check(Array(text.utf8), name: "p", files: .fake(), inspection: inspection)
        #expect(checked.configuration != nil && checked.diagnostics.count == 3)
    }

    @Test func nothingIsOpenedUnasked() throws {
        #expect(Configuration.check(Array(text.utf8), name: "p", files: .fake()).diagnostics.isEmpty)
    }
}
