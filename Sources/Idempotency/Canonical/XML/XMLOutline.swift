/// What is checked on the octets before libxml2 sees them: what its time depends on more than linearly, and where it would
/// stop reading without an error.
enum XMLOutline {
    /// Two `<` of a well-formed document enclose at most one tag, and libxml2 is stopped at the first error, so tags are
    /// found without more knowledge; what looks like one in a comment counts as well, and errs towards octets.
    static func check(_ input: Span<UInt8>, encoding: XMLEncoding) throws(XMLError) {
        guard input.count <= XMLLimits.octetsMax else { throw .tooLarge }
        var tag = Tag()
        switch encoding {
        case .utf8, .ascii, .latin1:
            let isASCII = encoding == .ascii
            for index in input.indices {
                let octet = input[index]
                // libxml2 takes a NUL behind the root for the end of its input.
                if octet == 0 { throw .malformed }
                if octet >= 0x80 {
                    if isASCII { throw .encoding }
                    continue
                }
                try tag.take(octet)
            }
        case .utf16(let isBigEndian):
            var isPairOpen = false
            for index in stride(from: 0, to: input.count, by: 2) {
                let unit = UInt16(input[index]) << 8 | UInt16(input[index + 1])
                let character = isBigEndian ? unit : unit.byteSwapped
                if character == 0 { throw .malformed }
                // A surrogate of its own would end the conversion.
                if isPairOpen != (character & 0xFC00 == 0xDC00) { throw .malformed }
                isPairOpen = character & 0xFC00 == 0xD800
                if character < 0x80 { try tag.take(UInt8(character)) }
            }
            if isPairOpen { throw .malformed }
        }
    }

    /// Counts the attributes of the tag at hand by their equals signs.
    private struct Tag {
        private var attributes = 0
        private var isOpen = false
        private var quote: UInt8 = 0

        @inline(__always)
        mutating func take(_ octet: UInt8) throws(XMLError) {
            if octet == 0x3C {
                self = Tag(isOpen: true)
            } else if !isOpen {
                return
            } else if quote != 0 {
                if octet == quote { quote = 0 }
            } else if octet == 0x22 || octet == 0x27 {
                quote = octet
            } else if octet == 0x3E {
                isOpen = false
            } else if octet == 0x3D {
                attributes += 1
                guard attributes <= XMLLimits.attributesMax else { throw .tooManyAttributes }
            }
        }

        init(isOpen: Bool = false) {
            self.isOpen = isOpen
        }
    }
}
