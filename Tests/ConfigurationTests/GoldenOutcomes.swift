// Texts with mistakes about outcomes, callers and options, and what is said about them, to the letter.
extension Golden {
    static let outcomes: [Golden] = [
        Golden(
            "probeWithoutBlock",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe;
                }
            }

            """,
            """
            proxy.conf:6:25: error: 'on_unknown' needs a block
                6 |         on_unknown probe;
                  |                         ^ write '{ … }'
            1 error
            """),
        Golden(
            "probeEmpty",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                    }
                }
            }

            """,
            """
            proxy.conf:6:9: error: on_unknown probe without 'get'
                6 |         on_unknown probe {
                  |         ^~~~~~~~~~~~~~~~ add 'get "/orders?ref={body.json(/reference)}";'
            proxy.conf:6:9: error: on_unknown probe without 'found'
                6 |         on_unknown probe {
                  |         ^~~~~~~~~~~~~~~~ add 'found 200;'
            2 errors
            """),
        Golden(
            "probeMisspelt",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        fuond 200;
                    }
                }
            }

            """,
            """
            proxy.conf:8:13: error: unknown directive 'fuond' in block 'on_unknown probe'
                8 |             fuond 200;
                  |             ^~~~~ did you mean 'found'?
            1 error
            """),
        Golden(
            "probeTemplateBare",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get /orders?ref={key};
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:13: error: 'get' takes no block here
                7 |             get /orders?ref={key};
                  |             ^~~ put what holds a '{' in quotes
            proxy.conf:7:17: warning: the probe asks the same of every request
                7 |             get /orders?ref={key};
                  |                 ^~~~~~~~~~~~ name what tells them apart: '{key}', '{body.json(/POINTER)}'
            proxy.conf:7:33: error: missing ';' after 'key'
                7 |             get /orders?ref={key};
                  |                                 ^ write ';' here
            proxy.conf:7:34: error: unexpected ';'
                7 |             get /orders?ref={key};
                  |                                  ^ remove it
            3 errors, 1 warning
            """),
        Golden(
            "probeTemplatePath",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "orders/{key}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: 'orders/{key}' is not a path
                7 |             get "orders/{key}";
                  |                 ^~~~~~~~~~~~~~ it starts with '/'
            1 error
            """),
        Golden(
            "probeTemplateHost",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "//x/{key}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: '//x/{key}' is not a path
                7 |             get "//x/{key}";
                  |                 ^~~~~~~~~~~ it starts with '/'
            1 error
            """),
        Golden(
            "probeTemplateSpace",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?q=a b{key}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: '/o?q=a b{key}' is not a path
                7 |             get "/o?q=a b{key}";
                  |                 ^~~~~~~~~~~~~~~ visible ASCII without '#'; escape the rest as %XX
            1 error
            """),
        Golden(
            "probeTemplateSame",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get /orders;
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: warning: the probe asks the same of every request
                7 |             get /orders;
                  |                 ^~~~~~~ name what tells them apart: '{key}', '{body.json(/POINTER)}'
            1 warning
            """),
        Golden(
            "probePlaceholder",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?ref={body.jsno(/id)}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: unknown placeholder '{body.jsno(/id)}'
                7 |             get "/o?ref={body.jsno(/id)}";
                  |                 ^~~~~~~~~~~~~~~~~~~~~~~~~ write '{body.json(/POINTER)}'?
            1 error
            """),
        Golden(
            "probePlaceholderUnknown",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?ref={token}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: unknown placeholder '{token}'
                7 |             get "/o?ref={token}";
                  |                 ^~~~~~~~~~~~~~~~ there are {key}, {header(NAME)}, {query(NAME)}, \
            {body.json(/POINTER)}, {body.xpath(EXPR)}, {body.form(NAME)}
            1 error
            """),
        Golden(
            "probePlaceholderArgument",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?ref={header}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: unknown placeholder '{header}'
                7 |             get "/o?ref={header}";
                  |                 ^~~~~~~~~~~~~~~~~ write '{header(NAME)}'?
            1 error
            """),
        Golden(
            "probePlaceholderPointer",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?ref={body.json(id)}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: 'id' is not a JSON pointer
                7 |             get "/o?ref={body.json(id)}";
                  |                 ^~~~~~~~~~~~~~~~~~~~~~~~ write '/id'?
            1 error
            """),
        Golden(
            "probePlaceholderOpen",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?ref={key";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: '{key' has no '}'
                7 |             get "/o?ref={key";
                  |                 ^~~~~~~~~~~~~ write '{{' for the brace itself
            1 error
            """),
        Golden(
            "probePlaceholderClose",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?ref=key}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: a '}' without '{'
                7 |             get "/o?ref=key}";
                  |                 ^~~~~~~~~~~~~ write '}}' for the brace itself
            1 error
            """),
        Golden(
            "probePlaceholderOfTheAnswer",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?ref={probe.json(/id)}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: '{probe.json(/id)}' stands for the probe's answer
                7 |             get "/o?ref={probe.json(/id)}";
                  |                 ^~~~~~~~~~~~~~~~~~~~~~~~~~ which is there in 'answer' only
            1 error
            """),
        Golden(
            "probeXPath",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?ref={body.xpath(//a[)}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: '//a[': a bracket is not closed
                7 |             get "/o?ref={body.xpath(//a[)}";
                  |                 ^~~~~~~~~~~~~~~~~~~~~~~~~~~
            1 error
            """),
        Golden(
            "probeXPathPrefix",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o?ref={body.xpath(//o:Ref)}";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: '//o:Ref': the prefix 'o' is not declared
                7 |             get "/o?ref={body.xpath(//o:Ref)}";
                  |                 ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ add 'namespace PREFIX NAME;', or write local-name()
            1 error
            """),
        Golden(
            "probeFoundAndAbsent",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        found 2xx;
                        absent 200 { contains "[]"; }
                    }
                }
            }

            """,
            """
            proxy.conf:9:20: error: '200' is 'found' already, whatever the body says
                9 |             absent 200 { contains "[]"; }
                  |                    ^~~ add a block to 'found' that tells them apart: 'found 200 { json /0; }'
            1 error
            """),
        Golden(
            "probeForwardsFraming",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        forward Authorization Content-Type;
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:8:35: error: 'Content-Type' belongs to the request, not to a probe
                8 |             forward Authorization Content-Type;
                  |                                   ^~~~~~~~~~~~ remove it
            1 error
            """),
        Golden(
            "probeHeaderHost",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        header Host x;
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:8:20: error: 'Host' is the proxy's to write
                8 |             header Host x;
                  |                    ^~~~ remove it
            1 error
            """),
        Golden(
            "probeHeaderControl",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        header Accept "a\\r\\nX: y";
                        found 200;
                    }
                }
            }

            """,
            """
            proxy.conf:8:27: error: the value of a field holds no control characters
                8 |             header Accept "a\\r\\nX: y";
                  |                           ^~~~~~~~~~~
            1 error
            """),
        Golden(
            "probeAnswerClass",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        found 200;
                        answer 2xx { body ok; }
                    }
                }
            }

            """,
            """
            proxy.conf:9:20: error: '200-299' is more than one status
                9 |             answer 2xx { body ok; }
                  |                    ^~~ an answer has one, such as 201
            1 error
            """),
        Golden(
            "probeAnswerWithoutBlock",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        found 200;
                        answer 201;
                    }
                }
            }

            """,
            """
            proxy.conf:9:23: error: 'answer' needs a block
                9 |             answer 201;
                  |                       ^ write '{ … }'
            1 error
            """),
        Golden(
            "probeBackgroundTurned",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        found 200;
                        background 10m 5s;
                    }
                }
            }

            """,
            """
            proxy.conf:9:28: error: '5s' is shorter than '10m'
                9 |             background 10m 5s;
                  |                            ^~ the first interval, then the longest
            1 error
            """),
        Golden(
            "probeAttemptsWithoutBackground",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        found 200;
                        max_attempts 5;
                    }
                }
            }

            """,
            """
            proxy.conf:9:13: warning: 'max_attempts' has no effect without 'background'
                9 |             max_attempts 5;
                  |             ^~~~~~~~~~~~ probes that repeats ask for are not counted
            1 warning
            """),
        Golden(
            "probeConditionXPath",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        found 200 { xpath "count(//a"; }
                    }
                }
            }

            """,
            """
            proxy.conf:8:31: error: 'count(//a': a bracket is not closed
                8 |             found 200 { xpath "count(//a"; }
                  |                               ^~~~~~~~~~~
            1 error
            """),
        Golden(
            "jwtWithoutBlock",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope jwt sub;
                }
            }

            """,
            """
            proxy.conf:6:22: error: 'scope' needs a block
                6 |         scope jwt sub;
                  |                      ^ write '{ … }'
            1 error
            """),
        Golden(
            "jwtWithoutKey",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope jwt sub {
                        issuer https://id.test;
                    }
                }
            }

            """,
            """
            proxy.conf:6:15: error: 'scope jwt' has no key of the issuer
                6 |         scope jwt sub {
                  |               ^~~ add 'jwks FILE;' or 'key RS256 FILE;': a token that nobody verifies says nothing
            1 error
            """),
        Golden(
            "jwtSecretWritten",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope jwt sub {
                        key HS256 abcdefghijklmnopqrstuvwxyz0123456789;
                    }
                }
            }

            """,
            """
            proxy.conf:7:23: error: a secret does not stand in the configuration itself
                7 |             key HS256 abcdefghijklmnopqrstuvwxyz0123456789;
                  |                       ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ write file("/run/secrets/…") or \
            env("…")
            1 error
            """),
        Golden(
            "jwtSecretShort",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope jwt sub {
                        key HS256 env("SECRET");
                    }
                }
            }

            """,
            """
            proxy.conf:7:23: error: the value of env("SECRET") has 7 octets: HS256 needs 32
                7 |             key HS256 env("SECRET");
                  |                       ^~~~~~~~~~~~~ RFC 7518 §3.2
            1 error
            """),
        Golden(
            "jwtAlgorithm",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope jwt sub {
                        key RS512 /k.pem;
                    }
                }
            }

            """,
            """
            proxy.conf:7:17: error: unknown value 'RS512' for 'key'
                7 |             key RS512 /k.pem;
                  |                 ^~~~~ expected: HS256, RS256, ES256 or EdDSA
            1 error
            """),
        Golden(
            "jwtAlgorithmNone",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope jwt sub {
                        jwks /k.json;
                        algorithms none;
                    }
                }
            }

            """,
            """
            proxy.conf:8:24: error: unknown value 'none' for 'algorithms'
                8 |             algorithms none;
                  |                        ^~~~ expected: RS256, ES256, EdDSA or HS256
            1 error
            """),
        Golden(
            "jwtAlgorithmsUnused",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    scope jwt sub {
                        key ES256 /k.pem;
                        algorithms ES256;
                    }
                }
            }

            """,
            """
            proxy.conf:8:13: warning: 'algorithms' has no effect without 'jwks'
                8 |             algorithms ES256;
                  |             ^~~~~~~~~~ each 'key' names its own
            1 warning
            """),
        Golden(
            "modeOther",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    mode observ;
                }
            }

            """,
            """
            proxy.conf:6:14: error: unknown value 'observ' for 'mode'
                6 |         mode observ;
                  |              ^~~~~~ did you mean 'observe'?
            1 error
            """),
        Golden(
            "modeObserve",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    mode observe;
                }
            }

            """,
            """
            proxy.conf:6:14: note: 'mode observe' protects nothing: every request is forwarded
                6 |         mode observe;
                  |              ^~~~~~~ `oncegate report` shows what 'mode enforce' would have done
            """),
        Golden(
            "repeatabilityTwice",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    key header Repeatability-Request-ID;
                    repeatability on;
                }
            }

            """,
            """
            proxy.conf:7:9: warning: 'repeatability on' takes Repeatability-Request-ID by itself
                7 |         repeatability on;
                  |         ^~~~~~~~~~~~~ remove 'key header Repeatability-Request-ID;'
            1 warning
            """),
        Golden(
            "absentTooEarly",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route /a {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        found 200;
                        absent 404;
                        absent_after 10s;
                    }
                }
            }
            route /b {
                upstream a;
                response_header_timeout 2m;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        found 200;
                        absent 404;
                    }
                }
            }
            route /c {
                upstream a;
                idempotency {
                    on_unknown probe {
                        get "/o/{key}";
                        found 200;
                        absent_after 10s;
                    }
                }
            }

            """,
            """
            proxy.conf:10:26: warning: absence is believed after 10s, and the service may take 1m to answer
               10 |             absent_after 10s;
                  |                          ^~~ what still executes would run twice: 'absent_after 1m' or more
            proxy.conf:21:13: warning: absence is believed after 1m, and the service may take 2m to answer
               21 |             absent 404;
                  |             ^~~~~~ what still executes would run twice: 'absent_after 2m' or more
            proxy.conf:31:13: warning: 'absent_after' has no effect without 'absent'
               31 |             absent_after 10s;
                  |             ^~~~~~~~~~~~ no probe frees a key here
            3 warnings
            """),
        Golden(
            "webhookPath",
            """
            unknown_webhook hooks.test/x;
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:17: error: 'hooks.test/x' is not a URL to post to
                1 | unknown_webhook hooks.test/x;
                  |                 ^~~~~~~~~~~~ https://HOST/PATH
            1 error
            """),
        Golden(
            "webhookScheme",
            """
            unknown_webhook ftp://hooks.test/x;
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:17: error: 'ftp://hooks.test/x' is not a URL to post to
                1 | unknown_webhook ftp://hooks.test/x;
                  |                 ^~~~~~~~~~~~~~~~~~ https://HOST/PATH
            1 error
            """),
    ]
}
