// Texts with mistakes about payloads and keys of the store, and what is said about them, to the letter.
extension Golden {
    static let payloads: [Golden] = [
        Golden(
            "bodySelectorXPath",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    hash {
                        body json;
                        exclude xpath //a;
                    }
                }
            }

            """,
            """
            proxy.conf:8:21: error: 'exclude xpath' needs 'body xml'
                8 |             exclude xpath //a;
                  |                     ^~~~~ add 'body xml;'
            1 error
            """),
        Golden(
            "bodySelectorPart",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    hash {
                        body form;
                        exclude part file;
                    }
                }
            }

            """,
            """
            proxy.conf:8:21: error: 'exclude part' needs 'body multipart'
                8 |             exclude part file;
                  |                     ^~~~ add 'body multipart;'
            1 error
            """),
        Golden(
            "bodySelectorSyntax",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    hash {
                        body xml;
                        exclude xpath "//a[";
                    }
                }
            }

            """,
            """
            proxy.conf:8:27: error: '//a[': a bracket is not closed
                8 |             exclude xpath "//a[";
                  |                           ^~~~~~
            1 error
            """),
        Golden(
            "bodySelectorNumber",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    hash {
                        body soap;
                        exclude xpath "count(//a)";
                    }
                }
            }

            """,
            """
            proxy.conf:8:27: error: 'count(//a)': it does not select nodes
                8 |             exclude xpath "count(//a)";
                  |                           ^~~~~~~~~~~~
            1 error
            """),
        Golden(
            "bodySelectorPrefix",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    hash {
                        body soap;
                        exclude xpath //o:Sent;
                    }
                }
            }

            """,
            """
            proxy.conf:8:27: error: '//o:Sent': the prefix 'o' is not declared
                8 |             exclude xpath //o:Sent;
                  |                           ^~~~~~~~ add 'namespace PREFIX NAME;', or write local-name()
            1 error
            """),
        Golden(
            "keyXPath",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    key xpath "//a = 1";
                }
            }

            """,
            """
            proxy.conf:6:19: error: '//a = 1': its value is neither a set of nodes nor a string
                6 |         key xpath "//a = 1";
                  |                   ^~~~~~~~~
            1 error
            """),
        Golden(
            "keySOAP",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    key soap messageid;
                }
            }

            """,
            """
            proxy.conf:6:18: error: unknown value 'messageid' for 'key'
                6 |         key soap messageid;
                  |                  ^~~~~~~~~ did you mean 'message-id'?
            1 error
            """),
        Golden(
            "namespaceTwice",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    namespace o urn:a;
                    namespace o urn:b;
                }
            }

            """,
            """
            proxy.conf:7:19: error: 'o' is declared twice
                7 |         namespace o urn:b;
                  |                   ^ remove one
            1 error
            """),
        Golden(
            "namespacePrefix",
            """
            listen 127.0.0.1:80;
            upstream a { server http://a; }
            route / {
                upstream a;
                idempotency {
                    namespace 1o urn:a;
                }
            }

            """,
            """
            proxy.conf:6:19: error: '1o' is not a prefix
                6 |         namespace 1o urn:a;
                  |                   ^~ letters, digits, '-', '_' and '.'
            1 error
            """),
        Golden(
            "encryptionWithoutKey",
            """
            listen 127.0.0.1:80;
            store embedded {
                encryption {
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:3:5: error: encryption without 'key'
                3 |     encryption {
                  |     ^~~~~~~~~~ add 'key file("/run/secrets/oncegate-keys");'
            1 error
            """),
        Golden(
            "encryptionKeyWritten",
            """
            listen 127.0.0.1:80;
            store embedded {
                encryption {
                    key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=;
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:4:13: error: a secret does not stand in the configuration itself
                4 |         key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=;
                  |             ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ write file("/run/secrets/…") or env("…")
            1 error
            """),
        Golden(
            "encryptionKeyShort",
            """
            listen 127.0.0.1:80;
            store embedded {
                encryption {
                    key env("SECRET");
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:4:13: error: env("SECRET"): key 1 is neither 64 hexadecimal digits nor base64
                4 |         key env("SECRET");
                  |             ^~~~~~~~~~~~~
            1 error
            """),
        Golden(
            "encryptionKeyTwice",
            """
            listen 127.0.0.1:80;
            store embedded {
                encryption {
                    key env("KEY");
                    key file("/key");
                }
            }
            upstream a { server http://a; }
            route / { upstream a; }

            """,
            """
            proxy.conf:5:13: error: file("/key"): key 2 is key 1 again
                5 |         key file("/key");
                  |             ^~~~~~~~~~~~
            1 error
            """),
    ]
}
