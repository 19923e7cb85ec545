import Testing

@testable import Idempotency

@Suite struct SHA256Tests {
    // FIPS 180-4 examples.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func vectors(text: String, digest: String) {
        #expect(SHA256.digest(of: Array(text.utf8).span).hexadecimal == digest)
    }

    @Test func piecesHashAsTheWhole() {
        let octets = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let whole = SHA256.digest(of: octets.span)
        for split in 0...octets.count {
            var hash = SHA256()
            hash.update(octets.span.extracting(0..<split))
            hash.update(octets.span.extracting(split..<octets.count))
            #expect(hash.finish() == whole)
        }
    }

    @Test func integersAreBigEndian() {
        var integers = SHA256()
        integers.update(integer: UInt32(0x0102_0304))
        integers.update(5)
        #expect(integers.finish() == SHA256.digest(of: [1, 2, 3, 4, 5].span))
    }

    /// E12: a boundary that moves is another input.
    @Test func partsCannotBeShifted() {
        func hash(_ parts: [String]) -> Digest256 {
            var hash = SHA256()
            for part in parts { hash.update(prefixed: Array(part.utf8)) }
            return hash.finish()
        }
        #expect(hash(["a", "bc"]) != hash(["ab", "c"]))
        #expect(hash(["abc"]) != hash(["abc", ""]))
        #expect(hash(["a", "bc"]) == SHA256.digest(of: Array("\0\0\0\u{1}a\0\0\0\u{2}bc".utf8).span))
    }

    @Test func aPrefixIsAbsorbedOnceAndCopied() {
        var prefix = SHA256()
        prefix.update(Array("ab".utf8))
        var first = prefix
        first.update(Array("c".utf8))
        #expect(first.finish() == SHA256.digest(of: Array("abc".utf8).span))
        #expect(prefix.finish() == SHA256.digest(of: Array("ab".utf8).span))
    }
}
