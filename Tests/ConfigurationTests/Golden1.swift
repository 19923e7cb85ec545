// Texts with mistakes and what is said about them, to the letter.
extension Golden {
    static let part1: [Golden] = [
        Golden(
            "unknownDirective",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            rout / { upstream a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:3:1: error: unknown directive 'rout'
                3 | rout / { upstream a; }
                  | ^~~~ did you mean 'route'?
            proxy.conf:4:7: error: route '/' is defined twice
                4 | route / { upstream a; }
                  |       ^ first at proxy.conf:3:6
            2 errors
            """),
        Golden(
            "unknownDirectiveWithoutGuess",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            colour blue;

            """,
            """
            proxy.conf:4:1: error: unknown directive 'colour'
                4 | colour blue;
                  | ^~~~~~
            1 error
            """),
        Golden(
            "theExampleOfTheDesign",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1/charges {
                upstream a;
                idempotancy {
                    key header Idempotency-Key;
                    retention 24;
                }
            }

            """,
            """
            proxy.conf:5:5: error: unknown directive 'idempotancy' in block 'route'
                5 |     idempotancy {
                  |     ^~~~~~~~~~~ did you mean 'idempotency'?
            proxy.conf:7:19: error: '24' has no unit
                7 |         retention 24;
                  |                   ^~ write '24h'?
            2 errors
            """),
        Golden(
            "wrongBlock",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; retention 24h; }

            """,
            """
            proxy.conf:3:23: error: directive 'retention' is not allowed in block 'route'
                3 | route / { upstream a; retention 24h; }
                  |                       ^~~~~~~~~ it belongs in block 'idempotency'
            1 error
            """),
        Golden(
            "wrongBlockTop",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; workers 4; }

            """,
            """
            proxy.conf:3:23: error: directive 'workers' is not allowed in block 'route'
                3 | route / { upstream a; workers 4; }
                  |                       ^~~~~~~ it belongs at the top level; is a '}' missing above?
            1 error
            """),
        Golden(
            "missingSemicolon",
            """
            workers 4
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:10: error: missing ';' after '4'
                1 | workers 4
                  |          ^ write ';' here
            1 error
            """),
        Golden(
            "missingSemicolonBeforeBrace",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80 }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:32: error: missing ';' after 'http://a:80'
                2 | upstream a { server http://a:80 }
                  |                                ^ write ';' here
            1 error
            """),
        Golden(
            "missingSemicolonAtEnd",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            workers 4
            """,
            """
            proxy.conf:4:10: error: missing ';' after '4'
                4 | workers 4
                  |          ^ write ';' here
            1 error
            """),
        Golden(
            "strayclose",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            }

            """,
            """
            proxy.conf:4:1: error: unexpected '}'
                4 | }
                  | ^ no block is open here
            1 error
            """),
        Golden(
            "straySemicolon",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; };

            """,
            """
            proxy.conf:3:24: error: unexpected ';'
                3 | route / { upstream a; };
                  |                        ^ remove it
            1 error
            """),
        Golden(
            "unclosedBlock",
            """
            listen 127.0.0.1:8080;
            upstream a {
                server http://a:80;

            route / { upstream a; }

            """,
            """
            proxy.conf:2:1: error: block 'upstream' is not closed
                2 | upstream a {
                  | ^~~~~~~~ its '}' is missing
            1 error
            """),
        Golden(
            "unclosedBlockAtEnd",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / {
                upstream a;

            """,
            """
            proxy.conf:3:1: error: block 'route' is not closed
                3 | route / {
                  | ^~~~~ its '}' is missing
            1 error
            """),
        Golden(
            "unclosedString",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            via "edge;
            workers 2;

            """,
            """
            proxy.conf:4:5: error: string is not closed
                4 | via "edge;
                  |     ^ a string ends on its line with '"'
            1 error
            """),
        Golden(
            "unknownEscape",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route ~ "^/a\\d" { upstream a; }

            """,
            """
            proxy.conf:3:13: error: unknown escape '\\d'
                3 | route ~ "^/a\\d" { upstream a; }
                  |             ^~ the escapes are \\" \\\\ \\n \\r \\t \\u{…}; write '\\\\' for a backslash
            1 error
            """),
        Golden(
            "badUnicodeEscape",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            access_log json "/\\u{zz}";

            """,
            """
            proxy.conf:4:19: error: '\\u' without a character's number
                4 | access_log json "/\\u{zz}";
                  |                   ^~~ write '\\u{' hexadecimal digits '}'
            1 error
            """),
        Golden(
            "quoteInsideWord",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            via ed"ge";

            """,
            """
            proxy.conf:4:7: error: quote inside a word
                4 | via ed"ge";
                  |       ^ quote the whole value
            1 error
            """),
        Golden(
            "missingBlank",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            via "edge"x;

            """,
            """
            proxy.conf:4:11: error: missing blank after '"edge"'
                4 | via "edge"x;
                  |           ^
            1 error
            """),
        Golden(
            "unknownFunction",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            via secret("X");

            """,
            """
            proxy.conf:4:5: error: unknown function 'secret'
                4 | via secret("X");
                  |     ^~~~~~~ the functions are env("NAME") and file("/path")
            1 error
            """),
        Golden(
            "nameInQuotes",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            "workers" 2;

            """,
            """
            proxy.conf:4:1: error: a directive's name is a bare word
                4 | "workers" 2;
                  | ^~~~~~~~~ remove the quotes
            1 error
            """),
        Golden(
            "blockWithoutName",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            { workers 2; }

            """,
            """
            proxy.conf:4:1: error: block without a directive
                4 | { workers 2; }
                  | ^ a name is missing before '{'
            1 error
            """),
        Golden(
            "columnInCharacters",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            via "é" "ü"; # ü

            """,
            """
            proxy.conf:4:5: error: 'é' is not a field name
                4 | via "é" "ü"; # ü
                  |     ^~~ letters, digits and !#$%&'*+-.^_`|~ (RFC 9110 §5.6.2)
            proxy.conf:4:9: error: too many arguments for 'via'
                4 | via "é" "ü"; # ü
                  |         ^~~ the syntax is: via off | NAME;
            2 errors
            """),
        Golden(
            "tabs",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            \tworkers\tmany;

            """,
            """
            proxy.conf:4:10: error: 'many' is not a whole number
                4 | \tworkers\tmany;
                  | \t       \t^~~~ from 1 to 1024
            1 error
            """),
        Golden(
            "controlCharacter",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            # \u{1B}[31m red

            """,
            """
            proxy.conf:4:3: error: control character in the text
                4 | # �[31m red
                  |   ^
            1 error
            """),
        Golden(
            "missingArgument",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            workers;

            """,
            """
            proxy.conf:4:1: error: 'workers' needs an argument
                4 | workers;
                  | ^~~~~~~ the syntax is: workers auto | NUMBER;
            1 error
            """),
        Golden(
            "missingSecondArgument",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    in_flight wait;
                }
            }

            """,
            """
            proxy.conf:6:9: error: 'in_flight wait' needs an argument
                6 |         in_flight wait;
                  |         ^~~~~~~~~~~~~~ the syntax is: in_flight reject;  or  in_flight wait DURATION;
            1 error
            """),
        Golden(
            "tooManyArguments",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            workers 1 2 3;

            """,
            """
            proxy.conf:4:11: error: too many arguments for 'workers'
                4 | workers 1 2 3;
                  |           ^~~ the syntax is: workers auto | NUMBER;
            1 error
            """),
        Golden(
            "noBlockAllowed",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            workers 2 { a b; }

            """,
            """
            proxy.conf:4:1: error: 'workers' takes no block here
                4 | workers 2 { a b; }
                  | ^~~~~~~ write ';' instead
            1 error
            """),
        Golden(
            "blockNeeded",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            upstream b;

            """,
            """
            proxy.conf:4:11: error: 'upstream' needs a block
                4 | upstream b;
                  |           ^ write '{ … }'
            1 error
            """),
        Golden(
            "givenTwice",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            workers 2;
            workers 3;

            """,
            """
            proxy.conf:5:1: error: 'workers' is given twice
                5 | workers 3;
                  | ^~~~~~~ first at proxy.conf:4:1
            1 error
            """),
        Golden(
            "notANumber",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            workers many;

            """,
            """
            proxy.conf:4:9: error: 'many' is not a whole number
                4 | workers many;
                  |         ^~~~ from 1 to 1024
            1 error
            """),
        Golden(
            "numberOutOfRange",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            workers 0;

            """,
            """
            proxy.conf:4:9: error: '0' is out of range
                4 | workers 0;
                  |         ^ from 1 to 1024
            1 error
            """),
        Golden(
            "keywordMisspelt",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            workers aut;

            """,
            """
            proxy.conf:4:9: error: unknown value 'aut' for 'workers'
                4 | workers aut;
                  |         ^~~ did you mean 'auto'?
            1 error
            """),
        Golden(
            "durationWithoutUnit",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    in_flight wait 10;
                }
            }

            """,
            """
            proxy.conf:6:24: error: '10' has no unit
                6 |         in_flight wait 10;
                  |                        ^~ write '10s'?
            1 error
            """),
        Golden(
            "durationFraction",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    retention 1.5h;
                }
            }

            """,
            """
            proxy.conf:6:19: error: '1.5h' is not a duration
                6 |         retention 1.5h;
                  |                   ^~~~ a whole number and one unit: ms, s, m, h and d, such as '250ms'
            1 error
            """),
        Golden(
            "durationUnknownUnit",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    retention 24hours;
                }
            }

            """,
            """
            proxy.conf:6:19: error: unknown unit 'hours' in '24hours'
                6 |         retention 24hours;
                  |                   ^~~~~~~ write '24h'?
            1 error
            """),
        Golden(
            "durationTwoUnits",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    retention 1h30m;
                }
            }

            """,
            """
            proxy.conf:6:19: error: '1h30m' is not a duration
                6 |         retention 1h30m;
                  |                   ^~~~~ a whole number and one unit: ms, s, m, h and d, such as '250ms'
            1 error
            """),
        Golden(
            "durationOutOfRange",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    retention 9999999999d;
                }
            }

            """,
            """
            proxy.conf:6:19: error: '9999999999d' is out of range
                6 |         retention 9999999999d;
                  |                   ^~~~~~~~~~~ from 1s to 365d
            1 error
            """),
        Golden(
            "notADuration",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            drain_delay soon;

            """,
            """
            proxy.conf:4:13: error: 'soon' is not a duration
                4 | drain_delay soon;
                  |             ^~~~ a whole number and a unit: ms, s, m, h and d, such as '250ms'
            1 error
            """),
        Golden(
            "sizeWithoutUnit",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    request_body_limit 8;
                }
            }

            """,
            """
            proxy.conf:6:28: error: '8' has no unit
                6 |         request_body_limit 8;
                  |                            ^ write '8MiB'?
            1 error
            """),
        Golden(
            "sizeUnknownUnit",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    request_body_limit 8MB;
                }
            }

            """,
            """
            proxy.conf:6:28: error: unknown unit 'MB' in '8MB'
                6 |         request_body_limit 8MB;
                  |                            ^~~ write '8MiB'?
            1 error
            """),
        Golden(
            "enumMisspelt",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_missing_key rejct;
                }
            }

            """,
            """
            proxy.conf:6:24: error: unknown value 'rejct' for 'on_missing_key'
                6 |         on_missing_key rejct;
                  |                        ^~~~~ did you mean 'reject'?
            1 error
            """),
        Golden(
            "enumUnknown",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    on_unknown maybe;
                }
            }

            """,
            """
            proxy.conf:6:20: error: unknown value 'maybe' for 'on_unknown'
                6 |         on_unknown maybe;
                  |                    ^~~~~ expected: hold, resend or probe
            1 error
            """),
        Golden(
            "enumByCase",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    key header X-Key;
                    durability Power;
                }
            }

            """,
            """
            proxy.conf:7:20: error: unknown value 'Power' for 'durability'
                7 |         durability Power;
                  |                    ^~~~~ did you mean 'power'?
            1 error
            """),
        Golden(
            "listenWithoutAddress",
            """
            listen 8080;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:8: error: '8080' has no address
                1 | listen 8080;
                  |        ^~~~ write '127.0.0.1:8080' or '0.0.0.0:8080'?
            1 error
            """),
        Golden(
            "listenWildcard",
            """
            listen *:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:8: error: '*:8080' has no address
                1 | listen *:8080;
                  |        ^~~~~~ write '0.0.0.0:8080' or '[::]:8080'?
            1 error
            """),
        Golden(
            "listenName",
            """
            listen localhost:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:8: error: 'localhost' is a name
                1 | listen localhost:8080;
                  |        ^~~~~~~~~~~~~~ write '127.0.0.1:8080'?
            1 error
            """),
        Golden(
            "listenBadPort",
            """
            listen 127.0.0.1:99999;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:8: error: '99999' is not a port
                1 | listen 127.0.0.1:99999;
                  |        ^~~~~~~~~~~~~~~ from 0 to 65535
            1 error
            """),
        Golden(
            "listenIPv6WithoutBrackets",
            """
            listen ::1;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:8: error: '::1' has no port
                1 | listen ::1;
                  |        ^~~ write '[::1]:8080'?
            1 error
            """),
        Golden(
            "listenRelativeSocket",
            """
            listen unix:run/x.sock;
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:8: error: 'unix:run/x.sock' is not an absolute path
                1 | listen unix:run/x.sock;
                  |        ^~~~~~~~~~~~~~~ write 'unix:/PATH'
            1 error
            """),
        Golden(
            "modeOnTCP",
            """
            listen 127.0.0.1:80 { mode 0660; }
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:23: error: 'mode' needs a UNIX socket
                1 | listen 127.0.0.1:80 { mode 0660; }
                  |                       ^~~~ remove it
            1 error
            """),
        Golden(
            "badMode",
            """
            listen unix:/run/x.sock { mode 999; }
            upstream a { server http://a:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:1:32: error: '999' is not a mode
                1 | listen unix:/run/x.sock { mode 999; }
                  |                                ^~~ permissions in octal, such as 0660
            1 error
            """),
        Golden(
            "bareServer",
            """
            listen 127.0.0.1:8080;
            upstream a { server 10.0.0.1:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:21: error: '10.0.0.1:80' is not a server's URL
                2 | upstream a { server 10.0.0.1:80; }
                  |                     ^~~~~~~~~~~ write 'http://10.0.0.1:80'?
            1 error
            """),
        Golden(
            "serverWithPath",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a/v1; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:21: error: a server's URL has no path
                2 | upstream a { server http://a/v1; }
                  |                     ^~~~~~~~~~~ write 'http://a'?
            1 error
            """),
        Golden(
            "serverBadHost",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://10.0.0.300:80; }
            route / { upstream a; }

            """,
            """
            proxy.conf:2:21: error: '10.0.0.300' is not a host
                2 | upstream a { server http://10.0.0.300:80; }
                  |                     ^~~~~~~~~~~~~~~~~~~~ a name, an IPv4 address or an IPv6 address in brackets
            1 error
            """),
        Golden(
            "badCIDR",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            trusted_proxies 10.0.0.0/33;

            """,
            """
            proxy.conf:4:17: error: '10.0.0.0/33' is not a CIDR block
                4 | trusted_proxies 10.0.0.0/33;
                  |                 ^~~~~~~~~~~ the prefix has 0 to 32 bits
            1 error
            """),
        Golden(
            "hostBitsInCIDR",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route / { upstream a; }
            trusted_proxies 10.0.0.1/8;

            """,
            """
            proxy.conf:4:17: error: '10.0.0.1/8' has bits after its prefix
                4 | trusted_proxies 10.0.0.1/8;
                  |                 ^~~~~~~~~~ write '10.0.0.0/8'?
            1 error
            """),
        Golden(
            "badRegex",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route ~ ^/(a { upstream a; }

            """,
            """
            proxy.conf:3:9: error: bad regular expression: Unmatched ( or \\(
                3 | route ~ ^/(a { upstream a; }
                  |         ^~~~ POSIX extended syntax; quote what holds ; { }
            1 error
            """),
        Golden(
            "joinedSign",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route ~^/a { upstream a; }

            """,
            """
            proxy.conf:3:7: error: '~' and the rest are two arguments
                3 | route ~^/a { upstream a; }
                  |       ^~~~ write '~ ^/a'?
            1 error
            """),
        Golden(
            "badStatus",
            """
            listen 127.0.0.1:8080;
            upstream a { server http://a:80; }
            route /v1 {
                upstream a;
                idempotency {
                    release 40x;
                }
            }

            """,
            """
            proxy.conf:6:17: error: '40x' is not a status
                6 |         release 40x;
                  |                 ^~~ a status such as 404, a class such as 2xx or a range such as 500-599
            1 error
            """),
    ]
}
