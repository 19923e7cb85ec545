/// What is checked on the octets before libxml2 sees them: what its time depends on more than linearly, and where it
/// would stop reading without an error.
enum XMLOutline {
    static func check(_ input: Span<UInt8>, encoding: XMLEncoding) throws(XMLError) {
        guard input.count <= XMLLimits.octetsMax else { throw .tooLarge }
        var outline = Outline()
        switch encoding {
        case .utf8, .ascii, .latin1:
            let isASCII = encoding == .ascii
            for index in input.indices {
                let octet = input[index]
                // libxml2 takes a NUL behind the root for the end of its input.
                if octet == 0 { throw .malformed }
                if octet >= 0x80 {
                    if isASCII { throw .encoding }
                    outline.skip()
                } else {
                    try outline.take(octet)
                }
            }
        case .utf16(let isBigEndian):
            var isPairOpen = false
            // Behind the mark.
            for index in stride(from: 2, to: input.count, by: 2) {
                let unit = UInt16(input[index]) << 8 | UInt16(input[index + 1])
                let character = isBigEndian ? unit : unit.byteSwapped
                if character == 0 { throw .malformed }
                // A surrogate of its own would end the conversion.
                if isPairOpen != (character & 0xFC00 == 0xDC00) { throw .malformed }
                isPairOpen = character & 0xFC00 == 0xD800
                if character < 0x80 {
                    try outline.take(UInt8(character))
                } else {
                    outline.skip()
                }
            }
            if isPairOpen { throw .malformed }
        }
    }

    /// Finds a document type in what precedes the root, and counts the attributes of each tag by their equals signs.
    ///
    /// Two `<` of a well-formed document enclose at most one tag, and libxml2 is stopped at the first error, so behind
    /// the root's `<` tags are found without more knowledge; what looks like one in a comment counts as well, and errs
    /// towards octets.
    private struct Outline {
        private enum Place {
            case prolog
            /// Behind `<` of the prolog.
            case opened
            /// Behind `<!`.
            case declared
            case instruction
            case comment
            case content
            case tag
        }

        private var place = Place.prolog
        private var attributes = 0
        private var quote: UInt8 = 0
        /// The last two characters, where the end of a comment or an instruction is looked for.
        private var last: (UInt8, UInt8) = (0, 0)

        /// Takes a character that is not ASCII.
        @inline(__always)
        mutating func skip() {
            if place == .comment || place == .instruction { last = (0, 0) }
        }

        @inline(__always)
        mutating func take(_ octet: UInt8) throws(XMLError) {
            switch place {
            case .content:
                if octet == 0x3C { open() }
            case .tag:
                if octet == 0x3C {
                    open()
                } else if quote != 0 {
                    if octet == quote { quote = 0 }
                } else if octet == 0x22 || octet == 0x27 {
                    quote = octet
                } else if octet == 0x3E {
                    place = .content
                } else if octet == 0x3D {
                    attributes += 1
                    guard attributes <= XMLLimits.attributesMax else { throw .tooManyAttributes }
                }
            default: try takeInProlog(octet)
            }
        }

        private mutating func open() {
            place = .tag
            attributes = 0
            quote = 0
        }

        private mutating func takeInProlog(_ octet: UInt8) throws(XMLError) {
            switch place {
            case .prolog:
                if octet == 0x3C { place = .opened }
            case .opened:
                last = (0, 0)
                switch octet {
                case 0x3F: place = .instruction
                case 0x21: place = .declared
                default: open()
                }
            case .declared:
                // Else it is no XML, or a document type.
                guard octet == 0x2D else { throw .documentType }
                place = .comment
            case .instruction:
                if octet == 0x3E, last.1 == 0x3F { place = .prolog }
                last = (last.1, octet)
            case .comment:
                if octet == 0x3E, last == (0x2D, 0x2D) { place = .prolog }
                last = (last.1, octet)
            case .content, .tag: break
            }
        }
    }
}
