// Texts with mistakes about TLS, HTTP/2 and the PROXY header, and what is said about them, to the letter.
extension Golden {
    static let protocols: [Golden] = [
        Golden(
            "tlsWithoutKey",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:5: error: listen tls without 'key'
                2 |     tls {
                  |     ^~~ add 'key /etc/oncegate/tls/key.pem;'
            1 error
            """),
        Golden(
            "tlsEmpty",
            """
            listen 127.0.0.1:8443 {
                tls {
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:5: error: listen tls without 'certificate'
                2 |     tls {
                  |     ^~~ add 'certificate /etc/oncegate/tls/fullchain.pem;'
            proxy.conf:2:5: error: listen tls without 'key'
                2 |     tls {
                  |     ^~~ add 'key /etc/oncegate/tls/key.pem;'
            2 errors
            """),
        Golden(
            "tlsWithoutBlock",
            """
            listen 127.0.0.1:8443 {
                tls;
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:8: error: 'tls' needs a block
                2 |     tls;
                  |        ^ write '{ … }'
            1 error
            """),
        Golden(
            "tlsAtTheTop",
            """
            tls { certificate /c.pem; key /k.pem; }
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:1: error: directive 'tls' is not allowed in the top level
                1 | tls { certificate /c.pem; key /k.pem; }
                  | ^~~ it belongs in block 'listen' or in block 'upstream'
            1 error
            """),
        Golden(
            "tlsMisspelt",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certifcate /c.pem;
                    key /k.pem;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:3:9: error: unknown directive 'certifcate' in block 'listen tls'
                3 |         certifcate /c.pem;
                  |         ^~~~~~~~~~ did you mean 'certificate'?
            1 error
            """),
        Golden(
            "tlsMoreCertificates",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    certificate /d.pem;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:21: error: '/d.pem' has no 'key'
                5 |         certificate /d.pem;
                  |                     ^~~~~~ certificates and keys are paired in order: 2 and 1
            1 error
            """),
        Golden(
            "tlsMoreKeys",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    key /d.pem;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:13: error: '/d.pem' has no 'certificate'
                5 |         key /d.pem;
                  |             ^~~~~~ certificates and keys are paired in order: 1 and 2
            1 error
            """),
        Golden(
            "tlsCertificateTwice",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    certificate /c.pem;
                    key /k.pem;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:21: error: '/c.pem' is given twice
                5 |         certificate /c.pem;
                  |                     ^~~~~~ first at proxy.conf:3:21
            1 error
            """),
        Golden(
            "tlsEmptyPath",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate "";
                    key /k.pem;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:3:21: error: '' is not the path of a file
                3 |         certificate "";
                  |                     ^~
            1 error
            """),
        Golden(
            "tlsOldVersion",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    min_version 1.1;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:21: error: unknown value '1.1' for 'min_version'
                5 |         min_version 1.1;
                  |                     ^~~ did you mean '1.2'?
            1 error
            """),
        Golden(
            "tlsVersionInOtherWords",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    min_version TLSv1.3;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:21: error: unknown value 'TLSv1.3' for 'min_version'
                5 |         min_version TLSv1.3;
                  |                     ^~~~~~~ expected: 1.2 or 1.3
            1 error
            """),
        Golden(
            "alpnUnknown",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    alpn h3 http/1.1;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:14: error: unknown value 'h3' for 'alpn'
                5 |         alpn h3 http/1.1;
                  |              ^~ did you mean 'h2'?
            1 error
            """),
        Golden(
            "alpnMisspelt",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    alpn h2 http/1.0;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:17: error: unknown value 'http/1.0' for 'alpn'
                5 |         alpn h2 http/1.0;
                  |                 ^~~~~~~~ did you mean 'http/1.1'?
            1 error
            """),
        Golden(
            "alpnEmpty",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    alpn;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:9: error: 'alpn' needs an argument
                5 |         alpn;
                  |         ^~~~ the syntax is: alpn (h2|http/1.1)…;
            1 error
            """),
        Golden(
            "alpnTwice",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    alpn h2 h2;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:17: error: 'h2' is given twice
                5 |         alpn h2 h2;
                  |                 ^~ remove one
            1 error
            """),
        Golden(
            "alpnAgainstHTTP2Off",
            """
            listen 127.0.0.1:8443 {
                http2 off;
                tls { certificate /c.pem; key /k.pem; alpn h2 http/1.1; }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:3:48: error: 'alpn h2' on a listener with 'http2 off'
                3 |     tls { certificate /c.pem; key /k.pem; alpn h2 http/1.1; }
                  |                                                ^~ remove one of the two
            1 error
            """),
        Golden(
            "http2WithoutALPN",
            """
            listen 127.0.0.1:8443 {
                http2 on;
                tls { certificate /c.pem; key /k.pem; alpn http/1.1; }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:11: warning: 'http2 on' has no effect: 'alpn' does not offer h2
                2 |     http2 on;
                  |           ^~ with TLS, ALPN decides
            1 warning
            """),
        Golden(
            "clientCertificateWithoutFile",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    client_certificate required;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:9: error: 'client_certificate required' needs an argument
                5 |         client_certificate required;
                  |         ^~~~~~~~~~~~~~~~~~~~~~~~~~~ the syntax is: client_certificate off;  or  \
            client_certificate optional FILE;  or  client_certificate required FILE;
            1 error
            """),
        Golden(
            "clientCertificateOn",
            """
            listen 127.0.0.1:8443 {
                tls {
                    certificate /c.pem;
                    key /k.pem;
                    client_certificate on /ca.pem;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:28: error: unknown value 'on' for 'client_certificate'
                5 |         client_certificate on /ca.pem;
                  |                            ^~ expected: off, optional or required
            1 error
            """),
        Golden(
            "proxyProtocolFromAnybody",
            """
            listen 127.0.0.1:8443 {
                proxy_protocol on;
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:20: error: 'proxy_protocol on' needs a UNIX socket
                2 |     proxy_protocol on;
                  |                    ^~ anybody could then claim any address; name the peers: 'proxy_protocol \
            10.0.0.0/8;'
            1 error
            """),
        Golden(
            "proxyProtocolOnSocket",
            """
            listen unix:/run/a.sock {
                proxy_protocol 10.0.0.0/8;
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:20: error: the peers of a UNIX socket have no address
                2 |     proxy_protocol 10.0.0.0/8;
                  |                    ^~~~~~~~~~ write 'proxy_protocol on;'
            1 error
            """),
        Golden(
            "proxyProtocolBits",
            """
            listen 127.0.0.1:8443 {
                proxy_protocol 10.0.0.1/8;
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:20: error: '10.0.0.1/8' has bits after its prefix
                2 |     proxy_protocol 10.0.0.1/8;
                  |                    ^~~~~~~~~~ write '10.0.0.0/8'?
            1 error
            """),
        Golden(
            "proxyProtocolOff",
            """
            listen 127.0.0.1:8443 {
                proxy_protocol off;
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:20: error: 'off' is not a CIDR block
                2 |     proxy_protocol off;
                  |                    ^~~ such as 10.0.0.0/8 or fd00::/8
            1 error
            """),
        Golden(
            "serverSchemeHTTP2",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server h2://a:81;
            }

            """,
            """
            proxy.conf:4:12: error: 'h2://a:81' is not a server's URL
                4 |     server h2://a:81;
                  |            ^~~~~~~~~ write 'h2c://a:81', or with TLS 'https://a:81'?
            1 error
            """),
        Golden(
            "serverSchemeCase",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server HTTPS://a;
            }

            """,
            """
            proxy.conf:4:12: error: 'HTTPS://a' is not a server's URL
                4 |     server HTTPS://a;
                  |            ^~~~~~~~~ write 'https://a'?
            1 error
            """),
        Golden(
            "serverSchemeMisspelt",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server htps://a;
            }

            """,
            """
            proxy.conf:4:12: error: 'htps://a' is not a server's URL
                4 |     server htps://a;
                  |            ^~~~~~~~ write 'https://a'?
            1 error
            """),
        Golden(
            "serverSocketTLS",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https+unix:/a.sock;
            }

            """,
            """
            proxy.conf:4:12: error: 'https+unix:/a.sock' is not a server's URL
                4 |     server https+unix:/a.sock;
                  |            ^~~~~~~~~~~~~~~~~~ TLS needs https://HOST:PORT
            1 error
            """),
        Golden(
            "serverSocketTurned",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server unix+h2c:/a.sock;
            }

            """,
            """
            proxy.conf:4:12: error: 'unix+h2c:/a.sock' is not a server's URL
                4 |     server unix+h2c:/a.sock;
                  |            ^~~~~~~~~~~~~~~~ write 'h2c+unix:/a.sock'?
            1 error
            """),
        Golden(
            "serverSocketRelative",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server h2c+unix:a.sock;
            }

            """,
            """
            proxy.conf:4:12: error: 'h2c+unix:a.sock' is not an absolute path
                4 |     server h2c+unix:a.sock;
                  |            ^~~~~~~~~~~~~~~ write 'h2c+unix:/PATH'
            1 error
            """),
        Golden(
            "serverHTTPSPath",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a/v1;
            }

            """,
            """
            proxy.conf:4:12: error: a server's URL has no path
                4 |     server https://a/v1;
                  |            ^~~~~~~~~~~~ write 'https://a'?
            1 error
            """),
        Golden(
            "serverTwiceByScheme",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a:443;
                server h2c://a:443;
            }

            """,
            """
            proxy.conf:5:12: error: the server is given twice
                5 |     server h2c://a:443;
                  |            ^~~~~~~~~~~ first at proxy.conf:4:12
            1 error
            """),
        Golden(
            "upstreamTLSWithoutHTTPS",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server h2c://a;
                tls { ca /ca.pem; }
            }

            """,
            """
            proxy.conf:5:5: error: 'tls' in an upstream without a server with https://
                5 |     tls { ca /ca.pem; }
                  |     ^~~ write 'server https://HOST;', or remove 'tls'
            1 error
            """),
        Golden(
            "upstreamKeyOnly",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a;
                tls { key /k.pem; }
            }

            """,
            """
            proxy.conf:5:15: error: '/k.pem' has no 'certificate'
                5 |     tls { key /k.pem; }
                  |               ^~~~~~ add 'certificate FILE;'
            1 error
            """),
        Golden(
            "upstreamCertificateOnly",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a;
                tls { certificate /c.pem; }
            }

            """,
            """
            proxy.conf:5:23: error: '/c.pem' has no 'key'
                5 |     tls { certificate /c.pem; }
                  |                       ^~~~~~ add 'key FILE;'
            1 error
            """),
        Golden(
            "upstreamVerifyOff",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a;
                tls { verify off; }
            }

            """,
            """
            proxy.conf:5:18: warning: 'verify off' trusts whoever answers
                5 |     tls { verify off; }
                  |                  ^~~ for an authority of your own write 'ca FILE;'
            1 warning
            """),
        Golden(
            "upstreamVerifyOffWithCA",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a;
                tls { verify off; ca /ca.pem; }
            }

            """,
            """
            proxy.conf:5:18: warning: 'verify off' trusts whoever answers
                5 |     tls { verify off; ca /ca.pem; }
                  |                  ^~~ for an authority of your own write 'ca FILE;'
            proxy.conf:5:23: warning: 'ca' has no effect with 'verify off'
                5 |     tls { verify off; ca /ca.pem; }
                  |                       ^~ remove one
            2 warnings
            """),
        Golden(
            "upstreamNameWildcard",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a;
                tls { name *.a.test; }
            }

            """,
            """
            proxy.conf:5:16: error: '*.a.test' is a wildcard
                5 |     tls { name *.a.test; }
                  |                ^~~~~~~~ the name that one server has
            1 error
            """),
        Golden(
            "upstreamNameWithPort",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a;
                tls { name a.test:443; }
            }

            """,
            """
            proxy.conf:5:16: error: 'a.test:443' has a port
                5 |     tls { name a.test:443; }
                  |                ^~~~~~~~~~ write 'a.test'?
            1 error
            """),
        Golden(
            "upstreamALPNUnknown",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a;
                tls { alpn spdy; }
            }

            """,
            """
            proxy.conf:5:16: error: unknown value 'spdy' for 'alpn'
                5 |     tls { alpn spdy; }
                  |                ^~~~ expected: h2 or http/1.1
            1 error
            """),
        Golden(
            "maxStreamsWithoutHTTP2",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server http://a;
                max_streams 10;
            }

            """,
            """
            proxy.conf:5:5: warning: 'max_streams' has no effect: no server speaks HTTP/2
                5 |     max_streams 10;
                  |     ^~~~~~~~~~~ h2c:// and, by ALPN, https:// do
            1 warning
            """),
        Golden(
            "maxStreamsWithoutALPN",
            """
            listen 127.0.0.1:80;
            route / { upstream a; }
            upstream a {
                server https://a;
                max_streams 10;
                tls { alpn http/1.1; }
            }

            """,
            """
            proxy.conf:5:5: warning: 'max_streams' has no effect: no server speaks HTTP/2
                5 |     max_streams 10;
                  |     ^~~~~~~~~~~ h2c:// and, by ALPN, https:// do
            1 warning
            """),
        Golden(
            "clientCertScopeUnasked",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope client_cert subject;
                }
            }

            """,
            """
            proxy.conf:6:15: warning: 'scope client_cert', and no listener asks clients for a certificate
                6 |         scope client_cert subject;
                  |               ^~~~~~~~~~~ every request is refused; add 'client_certificate required FILE;' \
            to a listener's 'tls'
            1 warning
            """),
        Golden(
            "clientCertScopePart",
            """
            listen 127.0.0.1:80 { tls { certificate /c; key /k; client_certificate required /ca; } }
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope client_cert subjekt;
                }
            }

            """,
            """
            proxy.conf:6:27: error: unknown value 'subjekt' for 'scope'
                6 |         scope client_cert subjekt;
                  |                           ^~~~~~~ did you mean 'subject'?
            1 error
            """),
        Golden(
            "clientCertScopeAlone",
            """
            listen 127.0.0.1:80 { tls { certificate /c; key /k; client_certificate required /ca; } }
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope client_cert;
                }
            }

            """,
            """
            proxy.conf:6:9: error: 'scope client_cert' needs an argument
                6 |         scope client_cert;
                  |         ^~~~~~~~~~~~~~~~~ the syntax is: scope standard | none;  or  scope header NAME;  or \
             scope cookie NAME;  or  scope client_cert subject|san;  or  scope jwt TEXT { … }
            1 error
            """),
    ]
}
