// Texts with mistakes and what is said about them, to the letter.
extension Golden {
    static let part2: [Golden] = [
        Golden(
            "informationalStatus",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    release 100;
                }
            }

            """,
            """
            proxy.conf:6:17: error: '100' is not a final status
                6 |         release 100;
                  |                 ^~~ statuses are 200 to 599
            1 error
            """),
        Golden(
            "emptyStatusRange",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    release 599-500;
                }
            }

            """,
            """
            proxy.conf:6:17: error: '599-500' is an empty range
                6 |         release 599-500;
                  |                 ^~~~~~~ write '500-599'?
            1 error
            """),
        Golden(
            "badPointer",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    key json id;
                }
            }

            """,
            """
            proxy.conf:6:18: error: 'id' is not a JSON pointer
                6 |         key json id;
                  |                  ^~ write '/id'?
            1 error
            """),
        Golden(
            "badPointerEscape",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    key json /a~2;
                }
            }

            """,
            """
            proxy.conf:6:18: error: '/a~2' is not a JSON pointer
                6 |         key json /a~2;
                  |                  ^~~~ write '~0' for '~' and '~1' for '/' (RFC 6901)
            1 error
            """),
        Golden(
            "keyPointerWildcard",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    key json /items/*/id;
                }
            }

            """,
            """
            proxy.conf:6:18: error: '/items/*/id' can match several values; a key pointer names one
                6 |         key json /items/*/id;
                  |                  ^~~~~~~~~~~
            1 error
            """),
        Golden(
            "coveredGET",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    methods GET POST;
                }
            }

            """,
            """
            proxy.conf:6:17: error: GET is never covered
                6 |         methods GET POST;
                  |                 ^~~ it passes through; remove it
            1 error
            """),
        Golden(
            "lowerCaseMethod",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    methods post;
                }
            }

            """,
            """
            proxy.conf:6:17: warning: methods are case-sensitive
                6 |         methods post;
                  |                 ^~~~ write 'POST'?
            1 warning
            """),
        Golden(
            "badFieldName",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    key header "Idempotency Key";
                }
            }

            """,
            """
            proxy.conf:6:20: error: 'Idempotency Key' is not a field name
                6 |         key header "Idempotency Key";
                  |                    ^~~~~~~~~~~~~~~~~ letters, digits and !#$%&'*+-.^_`|~ (RFC 9110 §5.6.2)
            1 error
            """),
        Golden(
            "unfitField",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    key header Authorization;
                }
            }

            """,
            """
            proxy.conf:6:20: error: 'Authorization' cannot carry a token
                6 |         key header Authorization;
                  |                    ^~~~~~~~~~~~~
            1 error
            """),
        Golden(
            "routeWithoutSlash",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route v1 { upstream a; }

            """,
            """
            proxy.conf:3:7: error: 'v1' has no path
                3 | route v1 { upstream a; }
                  |       ^~ write '/v1'?
            1 error
            """),
        Golden(
            "routeHostSuspect",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route v1/charges { upstream a; }

            """,
            """
            proxy.conf:3:7: warning: 'v1' is taken as a host
                3 | route v1/charges { upstream a; }
                  |       ^~~~~~~~~~ write '/v1/charges'?
            1 warning
            """),
        Golden(
            "routeNotNormal",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /a//b/../%63 { upstream a; }

            """,
            """
            proxy.conf:3:7: error: '/a//b/../%63' is not a normalised path: it would match nothing
                3 | route /a//b/../%63 { upstream a; }
                  |       ^~~~~~~~~~~~ write '/a/c'?
            1 error
            """),
        Golden(
            "relativeStorePath",
            """
            listen 127.0.0.1:8080;
            store embedded { path data; }
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:23: error: 'data' is not an absolute path
                2 | store embedded { path data; }
                  |                       ^~~~ it starts with '/'
            1 error
            """),
        Golden(
            "badLogDestination",
            """
            listen 127.0.0.1:8080;
            access_log json stdou;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:17: error: 'stdou' is no destination of a log
                2 | access_log json stdou;
                  |                 ^~~~~ did you mean 'stdout'?
            1 error
            """),
        Golden(
            "plannedStore",
            """
            listen 127.0.0.1:8080;
            store redis { url "redis://x"; }
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:7: error: 'store redis' is not supported in this version
                2 | store redis { url "redis://x"; }
                  |       ^~~~~
            1 error
            """),
        Golden(
            "noListen",
            """
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf: error: no 'listen': clients have nowhere to connect; add 'listen 0.0.0.0:8080;'
            1 error
            """),
        Golden(
            "noRoute",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }

            """,
            """
            proxy.conf: error: no 'route': no request would go anywhere; add 'route / { upstream NAME; }'
            1 error
            """),
        Golden(
            "routeWithoutUpstream",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upgrade off; }

            """,
            """
            proxy.conf:3:1: error: route without 'upstream'
                3 | route / { upgrade off; }
                  | ^~~~~~~ add 'upstream billing;'
            1 error
            """),
        Golden(
            "upstreamWithoutServer",
            """
            listen 127.0.0.1:8080;
            upstream a { keepalive 2; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:1: error: upstream without 'server'
                2 | upstream a { keepalive 2; }
                  | ^~~~~~~~~~ add 'server http://127.0.0.1:9000;'
            1 error
            """),
        Golden(
            "unknownUpstream",
            """
            listen 127.0.0.1:8080;
            upstream billing { server http://a; }
            route / { upstream biling; }

            """,
            """
            proxy.conf:3:20: error: unknown upstream 'biling'
                3 | route / { upstream biling; }
                  |                    ^~~~~~ did you mean 'billing'?
            1 error
            """),
        Golden(
            "unknownUpstreamWithoutGuess",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream zebra; }

            """,
            """
            proxy.conf:3:20: error: unknown upstream 'zebra'
                3 | route / { upstream zebra; }
                  |                    ^~~~~ add 'upstream zebra { server URL; }'
            1 error
            """),
        Golden(
            "upstreamTwice",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:3:10: error: upstream 'a' is defined twice
                3 | upstream a { server http://a:80; }
                  |          ^ first at proxy.conf:2:10
            1 error
            """),
        Golden(
            "listenTwice",
            """
            listen 127.0.0.1:8080;
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:8: error: '127.0.0.1:8080' is listened on twice
                2 | listen 127.0.0.1:8080;
                  |        ^~~~~~~~~~~~~~ first at proxy.conf:1:8
            1 error
            """),
        Golden(
            "adminOnListener",
            """
            listen 127.0.0.1:8080;
            admin 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:7: error: '127.0.0.1:8080' is listened on twice
                2 | admin 127.0.0.1:8080;
                  |       ^~~~~~~~~~~~~~ first at proxy.conf:1:8
            1 error
            """),
        Golden(
            "routeTwice",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:4:7: error: route '/' is defined twice
                4 | route / { upstream a; }
                  |       ^ first at proxy.conf:3:7
            1 error
            """),
        Golden(
            "serverTwice",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://A; server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:38: error: the server is given twice
                2 | upstream a { server http://A; server http://a:80; }
                  |                                      ^~~~~~~~~~~ first at proxy.conf:2:21
            1 error
            """),
        Golden(
            "windowMissing",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key hash;
                    hash {
                        body json;
                        replay always;
                    }
                }
            }

            """,
            """
            proxy.conf:7:9: error: 'hash' identifies requests and has no 'window'
                7 |         hash {
                  |         ^~~~ add 'window 2m;': how long equal requests are one request
            1 error
            """),
        Golden(
            "replayMissing",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key hash;
                    hash {
                        body json;
                        window 2m;
                    }
                }
            }

            """,
            """
            proxy.conf:7:9: error: 'hash' identifies requests and has no 'replay'
                7 |         hash {
                  |         ^~~~ two equal requests can be meant: 'replay always;' replays both within the window, \
            'replay undelivered;' only while the first answer was not completely delivered
            1 error
            """),
        Golden(
            "bothMissing",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key hash;
                    hash {
                        body json;
                    }
                }
            }

            """,
            """
            proxy.conf:7:9: error: 'hash' identifies requests and has no 'window'
                7 |         hash {
                  |         ^~~~ add 'window 2m;': how long equal requests are one request
            proxy.conf:7:9: error: 'hash' identifies requests and has no 'replay'
                7 |         hash {
                  |         ^~~~ two equal requests can be meant: 'replay always;' replays both within the window, \
            'replay undelivered;' only while the first answer was not completely delivered
            2 errors
            """),
        Golden(
            "hashBlockMissing",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key hash;
                }
            }

            """,
            """
            proxy.conf:6:24: error: 'on_missing_key hash' without a block 'hash'
                6 |         on_missing_key hash;
                  |                        ^~~~ add 'hash { window 2m; replay always; }' and say what makes two \
            requests the same
            1 error
            """),
        Golden(
            "windowLongerThanRetention",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key hash;
                    hash {
                        window 48h;
                        replay always;
                    }
                }
            }

            """,
            """
            proxy.conf:8:20: error: 'window' is longer than 'retention' (24h)
                8 |             window 48h;
                  |                    ^~~ the record would be gone before the window ends
            1 error
            """),
        Golden(
            "windowWithoutUse",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key reject;
                    hash {
                        window 2m;
                    }
                }
            }

            """,
            """
            proxy.conf:8:13: warning: 'window' has no effect: requests are identified by their token
                8 |             window 2m;
                  |             ^~~~~~ add 'on_missing_key hash;' to identify those without one by their arguments
            1 warning
            """),
        Golden(
            "undelivered",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key hash;
                    hash {
                        window 2m;
                        replay undelivered;
                    }
                }
            }

            """,
            """
            proxy.conf:9:20: note: 'replay undelivered' is right where clients connect directly
                9 |             replay undelivered;
                  |                    ^~~~~~~~~~~ it is wrong behind another proxy, which acknowledges for its \
            clients
            """),
        Golden(
            "undeliveredBehindProxy",
            """
            listen 127.0.0.1:8080;
            trusted_proxies 10.0.0.0/8;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key hash;
                    hash {
                        window 2m;
                        replay undelivered;
                    }
                }
            }

            """,
            """
            proxy.conf:10:20: warning: 'replay undelivered' is right where clients connect directly
               10 |             replay undelivered;
                  |                    ^~~~~~~~~~~ behind a proxy (trusted_proxies at proxy.conf:2:1) it is wrong: \
            the proxy acknowledges for its clients
            1 warning
            """),
        Golden(
            "selectorWithoutBody",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key hash;
                    hash {
                        exclude json /ts;
                        window 2m;
                        replay always;
                    }
                }
            }

            """,
            """
            proxy.conf:8:21: error: 'exclude json' needs 'body json'
                8 |             exclude json /ts;
                  |                     ^~~~ add 'body json;'
            1 error
            """),
        Golden(
            "statusOnTwoLists",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    record 500-599;
                    unknown 502 504;
                }
            }

            """,
            """
            proxy.conf:7:17: error: 502 is on two lists: 'record' and 'unknown'
                7 |         unknown 502 504;
                  |                 ^~~ a status has one rule
            proxy.conf:7:21: error: 504 is on two lists: 'record' and 'unknown'
                7 |         unknown 502 504;
                  |                     ^~~ a status has one rule
            2 errors
            """),
        Golden(
            "waitLongerThanRouteTimeout",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    in_flight wait 5m;
                }
            }

            """,
            """
            proxy.conf:6:24: warning: 'in_flight wait' is longer than 'route_timeout' (2m)
                6 |         in_flight wait 5m;
                  |                        ^~ no attempt runs that long
            1 warning
            """),
        Golden(
            "retentionShorterThanRouteTimeout",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    retention 60s;
                }
            }

            """,
            """
            proxy.conf:6:19: warning: 'retention' is shorter than 'route_timeout' (2m)
                6 |         retention 60s;
                  |                   ^~~ retention runs from the claim: a slow answer's record may end at once
            1 warning
            """),
        Golden(
            "routeTimeoutOff",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; route_timeout off; idempotency { } }

            """,
            """
            proxy.conf:3:37: warning: 'route_timeout off' on a route with idempotency
                3 | route / { upstream a; route_timeout off; idempotency { } }
                  |                                     ^~~ an attempt may then run for ever, and its repeats wait \
            or get 409 as long
            1 warning
            """),
        Golden(
            "upgradeWithIdempotency",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; upgrade on; idempotency { } }

            """,
            """
            proxy.conf:3:31: error: 'upgrade on' in a route with idempotency
                3 | route / { upstream a; upgrade on; idempotency { } }
                  |                               ^~ what a tunnel carries cannot be replayed
            1 error
            """),
        Golden(
            "bodyLimitAboveSpool",
            """
            listen 127.0.0.1:8080; spool_limit 256MiB;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    request_body_limit 512MiB;
                }
            }

            """,
            """
            proxy.conf:6:28: warning: 'request_body_limit' is larger than 'spool_limit'
                6 |         request_body_limit 512MiB;
                  |                            ^~~~~~ such a request never fits
            1 warning
            """),
        Golden(
            "keyTwice",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    key header X-Key;
                    key header x-key;
                }
            }

            """,
            """
            proxy.conf:7:20: error: the key is given twice
                7 |         key header x-key;
                  |                    ^~~~~ remove one
            1 error
            """),
        Golden(
            "healthTimeout",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a; health_check { path /h; interval 1s; timeout 2s; } }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:76: warning: 'timeout' is longer than 'interval'
                2 | upstream a { server http://a; health_check { path /h; interval 1s; timeout 2s; } }
                  |                                                                            ^~ a check is \
            skipped while one runs
            1 warning
            """),
        Golden(
            "includeMissing",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            include missing.conf;

            """,
            """
            proxy.conf:4:9: error: cannot read 'missing.conf': No such file or directory
                4 | include missing.conf;
                  |         ^~~~~~~~~~~~
            1 error
            """),
        Golden(
            "includeLoop",
            """
            include proxy.conf;
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:9: error: 'proxy.conf' includes itself
                1 | include proxy.conf;
                  |         ^~~~~~~~~~ proxy.conf → proxy.conf
            1 error
            """),
        Golden(
            "includeChain",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            include one.conf;
            route / { upstream a; }

            """,
            """
            sub/two.conf:2:5: error: unknown directive 'upstrem' in block 'route'
                2 |     upstrem a;
                  |     ^~~~~~~ did you mean 'upstream'?
                    included from one.conf:2:9
                    included from proxy.conf:3:9
            1 error
            """),
        Golden(
            "envUnset",
            """
            listen 127.0.0.1:8080;
            upstream a { server env("UNSET"); }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:21: error: environment variable 'UNSET' is not set
                2 | upstream a { server env("UNSET"); }
                  |                     ^~~~~~~~~~~~
            1 error
            """),
        Golden(
            "secretNotShown",
            """
            listen 127.0.0.1:8080;
            upstream a { server env("SECRET"); }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:21: error: the value of env("SECRET") is not valid here
                2 | upstream a { server env("SECRET"); }
                  |                     ^~~~~~~~~~~~~ URL is expected
            1 error
            """),
        Golden(
            "fileMissing",
            """
            listen 127.0.0.1:8080;
            upstream a { server file("/nonexistent/url"); }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:21: error: cannot read '/nonexistent/url': No such file or directory
                2 | upstream a { server file("/nonexistent/url"); }
                  |                     ^~~~~~~~~~~~~~~~~~~~~~~~
            1 error
            """),
        Golden(
            "severalAtOnce",
            """
            listen 8080;
            workers 0;
            upstream a { server http://a; balance random; }
            route / {
                upstrem a;
                idempotency { retention 1; window 3m; }
            }

            """,
            """
            proxy.conf:1:8: error: '8080' has no address
                1 | listen 8080;
                  |        ^~~~ write '127.0.0.1:8080' or '0.0.0.0:8080'?
            proxy.conf:2:9: error: '0' is out of range
                2 | workers 0;
                  |         ^ from 1 to 1024
            proxy.conf:3:39: error: unknown value 'random' for 'balance'
                3 | upstream a { server http://a; balance random; }
                  |                                       ^~~~~~ expected: round_robin, least_requests or first
            proxy.conf:5:5: error: unknown directive 'upstrem' in block 'route'
                5 |     upstrem a;
                  |     ^~~~~~~ did you mean 'upstream'?
            proxy.conf:6:29: error: '1' has no unit
                6 |     idempotency { retention 1; window 3m; }
                  |                             ^ write '1h'?
            proxy.conf:6:32: error: directive 'window' is not allowed in block 'idempotency'
                6 |     idempotency { retention 1; window 3m; }
                  |                                ^~~~~~ it belongs in block 'hash'
            6 errors
            """),
    ]
}
