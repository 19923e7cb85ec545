import Testing

@testable import Configuration

@Suite struct FormatterTests {
    private func format(_ text: String) throws -> String {
        try Formatter.format(Array(text.utf8), name: "p").get()
    }

    @Test func layout() throws {
        let text = """


            # head
            listen   127.0.0.1:80 ;workers 4;  # how many


            route / {upstream a;# where
            # inside

            idempotency { methods POST   # those
              PUT; }
            include x {} }
              # tail
            """
        #expect(
            try format(text) == """
                # head
                listen 127.0.0.1:80;
                workers 4;  # how many

                route / {
                    upstream a;  # where
                    # inside

                    idempotency {
                        methods POST  # those
                            PUT;
                    }
                    include x {}
                }
                # tail

                """)
    }

    @Test func valuesAreKeptAsWritten() throws {
        let text = "a \"\\u{e9} \\\" ;{\" env(\"X\") x#y;\n"
        #expect(try format(text) == text)
        #expect(try format("") == "")
        #expect(try format("# only\r\n") == "# only\n")
    }

    @Test func badGrammarIsRefused() {
        #expect(throws: ConfigurationError.self) { try format("a {") }
        #expect(throws: ConfigurationError.self) { try format("a") }
    }

    @Test func formattingTwiceIsFormattingOnce() throws {
        for golden in Golden.all {
            guard let once = try? format(golden.text) else { continue }
            #expect(try format(once) == once)
        }
    }

    /// Any tokens, grammatical or not: the layout of the layout is the same, and no token changes.
    @Test func randomTokenStreams() {
        let pieces = ["a", "\"b c\"", "env(\"X\")", ";", ";", "{", "}", "# note", "# x ; {"]
        let blanks = ["\n", "\n\n", "\n\n\n", " ", "  ", "\t", " "]
        var random = SeededGenerator(seed: 0x0F_CA7E)
        for _ in 0..<1500 {
            var text = ""
            for _ in 0..<Int.random(in: 0..<24, using: &random) {
                let piece = pieces.randomElement(using: &random) ?? ""
                text += piece + (piece.hasPrefix("#") ? "\n" : "") + (blanks.randomElement(using: &random) ?? "")
            }
            let (once, kinds) = layout(text)
            let (twice, kindsAgain) = layout(once)
            #expect(once == twice, "\(text.debugDescription)")
            #expect(kinds == kindsAgain, "\(text.debugDescription)")
        }
    }

    private func layout(_ text: String) -> (String, [Token.Kind]) {
        var log = DiagnosticLog()
        let file = log.add(SourceFile(name: "p", octets: Array(text.utf8)))
        let tokens = Lexer.tokens(file: file, log: &log)
        return (Formatter.format(tokens, of: log.files[file]), tokens.map(\.kind))
    }
}

/// SplitMix64.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
